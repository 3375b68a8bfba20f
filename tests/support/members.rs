//! The members of an archive's bytes, for comparing them one by one.

use std::collections::BTreeMap;
use std::convert::Infallible;

use coursevault::archive::{MemberEnd, MemberSink, read_archive};
use coursevault::course::MemberPath;
use coursevault::limits::Limits;

/// Contents by path.
pub type Members = BTreeMap<String, Vec<u8>>;

#[derive(Default)]
struct Collect {
    members: Members,
    current: (String, Vec<u8>),
}

impl MemberSink for Collect {
    type Error = Infallible;

    fn start(
        &mut self,
        path: &MemberPath,
        _declared_size: Option<u64>,
        _raw: bool,
    ) -> Result<(), Infallible> {
        self.current = (path.to_string(), Vec::new());
        Ok(())
    }

    fn plain(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.current.1.extend_from_slice(bytes);
        Ok(())
    }

    fn raw(&mut self, _bytes: &[u8]) -> Result<(), Infallible> {
        Ok(())
    }

    fn finish(&mut self, _end: MemberEnd) -> Result<(), Infallible> {
        let (path, content) = std::mem::take(&mut self.current);
        self.members.insert(path, content);
        Ok(())
    }
}

/// All members of an archive.
pub fn members(archive: &[u8]) -> Result<Members, String> {
    let mut collect = Collect::default();
    match read_archive(archive, &Limits::default(), &mut collect) {
        Ok(_) => Ok(collect.members),
        Err(error) => Err(error.to_string()),
    }
}

/// The archives in tests/fixtures, by name.
pub fn fixtures() -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "mbz") {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            found.push((name, std::fs::read(path)?));
        }
    }
    found.sort();
    assert!(found.len() >= 8, "the fixtures are there");
    Ok(found)
}

/// One fixture.
pub fn fixture(name: &str) -> std::io::Result<Vec<u8>> {
    std::fs::read(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name))
}
