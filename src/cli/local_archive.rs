//! Local archives as the comparison reads them. An archive can only be read forward, so it is read twice: first for the
//! digests of all members, then for the documents that differ, which are copied to a temporary file without a name.
//! Contents are never copied, however large: their digests tell.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::Context as _;

use super::local::{self, Content, Members};
use crate::archive::{MemberEnd, MemberSink, ReadError, read_archive};
use crate::compare::{self, Member, is_document};
use crate::course::MemberPath;
use crate::digest::Digest;
use crate::limits::Limits;

/// A local archive: what it lists, and a copy of the documents that were asked for.
pub struct LocalArchive {
    members: Members,
    copies: BTreeMap<MemberPath, (u64, u64)>,
    file: File,
}

/// Reads two archives so far that they can be compared.
pub fn open(a: &Path, b: &Path) -> anyhow::Result<(LocalArchive, LocalArchive)> {
    let (one, other) = (local::members(a)?, local::members(b)?);
    let wanted = |mine: &Members, theirs: &Members| -> Members {
        let differs = |path: &MemberPath, content: &Content| {
            path.as_str() == MemberPath::MANIFEST
                || is_document(path) && theirs.get(path).is_some_and(|other| other != content)
        };
        let found = mine.iter().filter(|(path, content)| differs(path, content));
        found.map(|(path, content)| (path.clone(), *content)).collect()
    };
    let (left, right) = (wanted(&one, &other), wanted(&other, &one));
    Ok((LocalArchive::copy(a, one, left)?, LocalArchive::copy(b, other, right)?))
}

/// Reads two archives with all their documents.
pub fn open_all(a: &Path, b: &Path) -> anyhow::Result<(LocalArchive, LocalArchive)> {
    let all = |path: &Path| {
        let members = local::members(path)?;
        let documents = members.iter().filter(|(path, _)| is_document(path));
        let wanted = documents.map(|(path, content)| (path.clone(), *content)).collect();
        LocalArchive::copy(path, members, wanted)
    };
    Ok((all(a)?, all(b)?))
}

impl LocalArchive {
    fn copy(path: &Path, members: Members, wanted: Members) -> anyhow::Result<Self> {
        let shown = || path.display().to_string();
        let mut copying = Copying {
            wanted,
            copies: BTreeMap::new(),
            file: BufWriter::new(tempfile::tempfile()?),
            size: 0,
            current: None,
        };
        if !copying.wanted.is_empty() {
            let input = BufReader::new(File::open(path).with_context(shown)?);
            match read_archive(input, &Limits::default(), &mut copying) {
                Ok(_) | Err(ReadError::Sink(Stop::Complete)) => {}
                Err(ReadError::Sink(Stop::Failed(error))) => return Err(error).with_context(shown),
                Err(ReadError::Archive(refused)) => return Err(refused).with_context(shown),
                Err(error) => return Err(error).with_context(shown),
            }
        }
        anyhow::ensure!(copying.wanted.is_empty(), "{} changed while it was read", path.display());
        let file = copying.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(Self { members, copies: copying.copies, file })
    }
}

impl compare::Members for LocalArchive {
    fn members(&self) -> io::Result<Vec<Member>> {
        let member = |(path, content): (&MemberPath, &Content)| Member {
            path: path.clone(),
            size: content.size,
            digest: Some(content.digest),
        };
        Ok(self.members.iter().map(member).collect())
    }

    fn open(&self, path: &MemberPath) -> io::Result<Box<dyn Read + '_>> {
        match self.copies.get(path) {
            Some((offset, size)) => Ok(Box::new(Copied { file: &self.file, position: *offset, left: *size })),
            None => Err(io::Error::new(io::ErrorKind::NotFound, "not one of the documents that differ")),
        }
    }
}

/// Reads one copy.
struct Copied<'f> {
    file: &'f File,
    position: u64,
    left: u64,
}

impl Read for Copied<'_> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(target.len());
        let count = self.file.read_at(&mut target[..room], self.position)?;
        self.position += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

/// Why the second reading ends before the archive does.
#[derive(Debug, thiserror::Error)]
enum Stop {
    /// Everything was found.
    #[error("everything was found")]
    Complete,
    /// The copies cannot be written.
    #[error("a temporary file could not be used")]
    Failed(#[source] io::Error),
}

/// Copies the members that are wanted.
struct Copying {
    /// Those still to come.
    wanted: Members,
    copies: BTreeMap<MemberPath, (u64, u64)>,
    file: BufWriter<File>,
    size: u64,
    current: Option<(MemberPath, Content, blake3::Hasher, u64)>,
}

impl MemberSink for Copying {
    type Error = Stop;

    fn start(&mut self, path: &MemberPath, _declared_size: Option<u64>, _raw: bool) -> Result<(), Stop> {
        let wanted = self.wanted.get(path);
        self.current = wanted.map(|content| (path.clone(), *content, blake3::Hasher::new(), self.size));
        Ok(())
    }

    fn plain(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        if let Some((_, _, hasher, _)) = &mut self.current {
            hasher.update(bytes);
            self.file.write_all(bytes).map_err(Stop::Failed)?;
            self.size += bytes.len() as u64;
        }
        Ok(())
    }

    fn raw(&mut self, _bytes: &[u8]) -> Result<(), Stop> {
        Ok(())
    }

    fn finish(&mut self, _end: MemberEnd) -> Result<(), Stop> {
        let Some((path, content, hasher, offset)) = self.current.take() else { return Ok(()) };
        // What is there now must be what the first reading saw; what is not stays wanted.
        if Digest(*hasher.finalize().as_bytes()) == content.digest {
            self.wanted.remove(&path);
            self.copies.insert(path, (offset, self.size - offset));
        }
        if self.wanted.is_empty() { Err(Stop::Complete) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
    }

    #[test]
    fn only_documents_that_differ_are_copied() -> anyhow::Result<()> {
        let (a, b) = open(&fixture("rich101-full-zip.mbz"), &fixture("rich101-full-tgz.mbz"))?;
        let copied: Vec<&str> = a.copies.keys().map(MemberPath::as_str).collect();
        let expected = ["moodle_backup.xml", "activities/lti_29/lti.xml", "activities/lti_30/lti.xml"];
        assert_eq!(copied, expected);
        assert_eq!(a.copies.len(), b.copies.len());
        for (path, content) in
            [(&a, &b), (&b, &a)].iter().flat_map(|(one, _)| one.copies.keys().map(move |p| (p, *one)))
        {
            let mut bytes = Vec::new();
            compare::Members::open(content, path)?.read_to_end(&mut bytes)?;
            assert_eq!(Digest::of(&bytes), content.members[path].digest);
        }
        Ok(())
    }
}
