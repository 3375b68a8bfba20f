//! Archives in memory, for tests of the domain.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::{self, Read};

use super::{Member, MemberPath, Members};
use crate::archive::{MemberEnd, MemberSink, read_archive};
use crate::digest::Digest;
use crate::limits::Limits;

/// An archive in memory.
#[derive(Clone, Default)]
pub(crate) struct InMemory {
    pub members: BTreeMap<MemberPath, Vec<u8>>,
    /// Whether digests are told.
    pub digests: bool,
    /// The member that is being read.
    pub last: Option<MemberPath>,
}

impl InMemory {
    pub fn of(list: &[(&str, &str)]) -> Self {
        let member = |(path, text): &(&str, &str)| (path_of(path), text.as_bytes().to_vec());
        Self { members: list.iter().map(member).collect(), digests: true, last: None }
    }
}

pub(crate) fn path_of(text: &str) -> MemberPath {
    MemberPath::parse(text, &Limits::default()).expect("a path")
}

impl Members for InMemory {
    fn members(&self) -> io::Result<Vec<Member>> {
        let member = |(path, bytes): (&MemberPath, &Vec<u8>)| Member {
            path: path.clone(),
            size: bytes.len() as u64,
            digest: self.digests.then(|| Digest::of(bytes)),
        };
        Ok(self.members.iter().map(member).collect())
    }

    fn open(&self, path: &MemberPath) -> io::Result<Box<dyn Read + '_>> {
        let bytes = self.members.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(bytes.as_slice()))
    }
}

impl MemberSink for InMemory {
    type Error = Infallible;

    fn start(&mut self, path: &MemberPath, _: Option<u64>, _: bool) -> Result<(), Infallible> {
        self.members.insert(path.clone(), Vec::new());
        self.last = Some(path.clone());
        Ok(())
    }

    fn plain(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        if let Some(content) = self.last.as_ref().and_then(|path| self.members.get_mut(path)) {
            content.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn raw(&mut self, _: &[u8]) -> Result<(), Infallible> {
        Ok(())
    }

    fn finish(&mut self, _: MemberEnd) -> Result<(), Infallible> {
        Ok(())
    }
}

/// A fixture of the tests.
pub(crate) fn fixture(name: &str) -> io::Result<InMemory> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    let mut read = InMemory { digests: true, ..InMemory::default() };
    read_archive(std::fs::File::open(path)?, &Limits::default(), &mut read).map_err(io::Error::other)?;
    Ok(read)
}
