//! Documents between two steps of one job, such as deriving and merging: written to a temporary file, so that memory does
//! not grow with them. Members that stay as they are stay where they are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;

use super::stage::spill_failed;
use super::stored::Stored;
use crate::course::{ContentRef, Entry, Member, MemberPath, Members};
use crate::derive::Sink;
use crate::digest::Digest;
use crate::{imscc, merge};

/// Bytes that are read at once.
const BLOCK: usize = 64 << 10;

/// Members of which some lie in the vault already.
pub(super) trait Located: Members {
    /// The entry of a member that lies in the vault as it is, under its path here; none if there is none such.
    fn entry(&self, path: &MemberPath) -> Option<Entry>;
}

impl Located for Stored {
    fn entry(&self, path: &MemberPath) -> Option<Entry> {
        let position = self.tree.position_of(path)?;
        Some(self.tree.entries()[position].clone())
    }
}

/// Where a member of a spool is.
#[derive(Clone, Debug)]
enum Place {
    /// In what lies below: in which of it, and under which path if it has another one there.
    Below { source: usize, size: u64, path: Option<MemberPath> },
    /// In the file.
    Here { offset: u64, size: u64 },
}

/// Members of another place: none of them lies where the new ones go, so all are written again.
pub(super) struct Elsewhere<'m>(pub &'m dyn Located);

impl Members for Elsewhere<'_> {
    fn members(&self) -> io::Result<Vec<Member>> {
        self.0.members()
    }

    fn open(&self, path: &MemberPath) -> io::Result<Box<dyn Read + '_>> {
        self.0.open(path)
    }
}

impl Located for Elsewhere<'_> {
    fn entry(&self, _: &MemberPath) -> Option<Entry> {
        None
    }
}

/// Members of another place, some of which lie where the new ones go, too: those are not written again.
pub(super) struct Carried<'m> {
    /// The members.
    pub below: &'m Stored,
    /// Contents that lie there already.
    pub there: std::collections::HashMap<Digest, ContentRef>,
}

impl Members for Carried<'_> {
    fn members(&self) -> io::Result<Vec<Member>> {
        self.below.members()
    }

    fn open(&self, path: &MemberPath) -> io::Result<Box<dyn Read + '_>> {
        self.below.open(path)
    }
}

impl Located for Carried<'_> {
    fn entry(&self, path: &MemberPath) -> Option<Entry> {
        let entry = self.below.entry(path)?;
        let content = self.there.get(&entry.content.digest).copied()?;
        Some(Entry { path: entry.path, content })
    }
}

/// A set of members over others: those that were kept, and those that were written.
pub(super) struct Spool<'b> {
    below: Vec<&'b dyn Located>,
    members: BTreeMap<MemberPath, Place>,
    file: BufWriter<File>,
    end: u64,
    begun: Option<(MemberPath, u64)>,
}

impl<'b> Spool<'b> {
    /// Empty. The file has no name and goes when the spool goes, or the process.
    pub fn over(below: &'b dyn Located) -> io::Result<Self> {
        Self::over_all(vec![below])
    }

    /// The same over several others; what is kept is of the first, unless it is said of which.
    pub fn over_all(below: Vec<&'b dyn Located>) -> io::Result<Self> {
        let file =
            BufWriter::new(tempfile::tempfile().map_err(|error| io::Error::other(spill_failed(error)))?);
        Ok(Self { below, members: BTreeMap::new(), file, end: 0, begun: None })
    }

    /// Says that all is written; from now on it can be read.
    pub fn finish(&mut self) -> io::Result<()> {
        self.file.flush().map_err(|error| io::Error::other(spill_failed(error)))
    }

    /// Keeps a member of one of what lies below, by its number.
    pub fn keep_of(&mut self, source: usize, member: &Member) {
        self.members.insert(member.path.clone(), Place::Below { source, size: member.size, path: None });
    }

    /// Leaves a member out after all.
    pub fn forget(&mut self, path: &str) {
        self.members.retain(|found, _| found.as_str() != path);
    }

    /// Paths of the members that are those of the first source as they are.
    pub fn kept_paths(&self) -> BTreeSet<&str> {
        let kept = self.members.iter().filter(|(_, place)| matches!(place, Place::Below { source: 0, .. }));
        kept.map(|(path, _)| path.as_str()).collect()
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes).map_err(|error| io::Error::other(spill_failed(error)))?;
        self.end += bytes.len() as u64;
        Ok(())
    }
}

impl Sink for Spool<'_> {
    fn keep(&mut self, member: &Member) -> io::Result<()> {
        self.keep_of(0, member);
        Ok(())
    }

    fn write(&mut self, path: &MemberPath, bytes: &[u8]) -> io::Result<()> {
        Sink::begin(self, path)?;
        Sink::append(self, bytes)?;
        Sink::end(self)
    }

    fn begin(&mut self, path: &MemberPath) -> io::Result<()> {
        self.begun = Some((path.clone(), self.end));
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.put(bytes)
    }

    fn end(&mut self) -> io::Result<()> {
        let (path, offset) = self.begun.take().ok_or(io::ErrorKind::InvalidInput)?;
        self.members.insert(path, Place::Here { offset, size: self.end - offset });
        Ok(())
    }
}

/// Contents are kept under paths of their own.
impl imscc::Sink for Spool<'_> {
    fn keep(&mut self, member: &Member, path: &MemberPath) -> io::Result<()> {
        let original = Some(member.path.clone());
        self.members.insert(path.clone(), Place::Below { source: 0, size: member.size, path: original });
        Ok(())
    }

    fn begin(&mut self, path: &MemberPath) -> io::Result<()> {
        Sink::begin(self, path)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        Sink::append(self, bytes)
    }

    fn end(&mut self) -> io::Result<()> {
        Sink::end(self)
    }
}

/// Of two sources: the first is the target, the second what comes in.
impl merge::Sink for Spool<'_> {
    fn keep_target(&mut self, member: &Member) -> io::Result<()> {
        self.keep_of(0, member);
        Ok(())
    }

    fn keep_incoming(&mut self, member: &Member) -> io::Result<()> {
        self.keep_of(1, member);
        Ok(())
    }

    fn begin(&mut self, path: &MemberPath) -> io::Result<()> {
        Sink::begin(self, path)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        Sink::append(self, bytes)
    }

    fn end(&mut self) -> io::Result<()> {
        Sink::end(self)
    }
}

impl Members for Spool<'_> {
    fn members(&self) -> io::Result<Vec<Member>> {
        let member = |(path, place): (&MemberPath, &Place)| match place {
            Place::Below { source, size, path: original } => {
                let entry = self.below[*source].entry(original.as_ref().unwrap_or(path));
                let digest = entry.map(|entry| entry.content.digest);
                Member { path: path.clone(), size: *size, digest }
            }
            Place::Here { size, .. } => Member { path: path.clone(), size: *size, digest: None },
        };
        Ok(self.members.iter().map(member).collect())
    }

    fn open(&self, path: &MemberPath) -> io::Result<Box<dyn Read + '_>> {
        match self.members.get(path).ok_or(io::ErrorKind::NotFound)? {
            Place::Below { source, path: original, .. } => {
                self.below[*source].open(original.as_ref().unwrap_or(path))
            }
            Place::Here { offset, size } => {
                let part = Part { file: self.file.get_ref(), offset: *offset, left: *size };
                Ok(Box::new(io::BufReader::with_capacity(BLOCK, part)))
            }
        }
    }
}

impl Located for Spool<'_> {
    fn entry(&self, path: &MemberPath) -> Option<Entry> {
        match self.members.get(path)? {
            Place::Below { source, path: original, .. } => {
                let entry = self.below[*source].entry(original.as_ref().unwrap_or(path))?;
                Some(Entry { path: path.clone(), ..entry })
            }
            Place::Here { .. } => None,
        }
    }
}

/// A part of the file.
struct Part<'f> {
    file: &'f File,
    offset: u64,
    left: u64,
}

impl Read for Part<'_> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).map_or(target.len(), |left| left.min(target.len()));
        let count = self.file.read_at(&mut target[..most], self.offset)?;
        if count == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.offset += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}
