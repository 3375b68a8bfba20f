//! Where every byte of the archive of a tree lies, known without reading any content.
//!
//! An archive is a sequence of *parts* (a member with its headers, a central header, the end), and a part a sequence
//! of [`Piece`]s: bytes made here, and ranges of encoded contents, which are copied and never compressed again. The
//! bytes follow from the tree and the container alone and must never change between versions of this service: they
//! carry no time of their own, no library's compression, no order but the tree's.

use std::ops::Range;
use std::sync::Arc;

use super::intake::ARCHIVE_INDEX;
use super::{Container, tar_write, zip_write};
use crate::course::{Encoding, Entry, Tree};
use crate::reason::Reason;

/// Consecutive bytes of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes that belong to the container.
    Literal(Vec<u8>),
    /// Bytes of a member's encoded content: `range` within the encoded form of entry `entry` of the tree. May be as
    /// large as the content; whoever reads it cuts it further.
    Content {
        /// Index in [`Tree::entries`].
        entry: usize,
        /// Range within the encoded form, in bytes; never empty.
        range: Range<u64>,
    },
}

impl Piece {
    /// Number of bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Literal(bytes) => bytes.len() as u64,
            Self::Content { range, .. } => range.end - range.start,
        }
    }

    /// What remains behind the first `count` bytes.
    fn after(self, count: u64) -> Self {
        match self {
            Self::Literal(mut bytes) => {
                bytes.drain(..usize::try_from(count).unwrap_or(usize::MAX).min(bytes.len()));
                Self::Literal(bytes)
            }
            Self::Content { entry, range } => Self::Content { entry, range: range.start + count..range.end },
        }
    }
}

/// Why a tree has no archive in a container.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// The container cannot hold a member.
    #[error("{member:?} does not fit the container: {what}")]
    Unsuitable {
        /// The member's path.
        member: String,
        /// Why not.
        what: &'static str,
    },
    /// A stored content whose encoded size is not its size.
    #[error("{member:?} is stored as it is in {encoded_size} bytes, but has {size}")]
    Inconsistent {
        /// The member's path.
        member: String,
        /// Size by the tree.
        size: u64,
        /// Encoded size by the tree.
        encoded_size: u64,
    },
}

impl LayoutError {
    /// The reason for callers.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Unsuitable { .. } => Reason::ContainerUnsuitable,
            Self::Inconsistent { .. } => Reason::StorageCorrupt,
        }
    }
}

/// The archive of a tree in a container. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Layout {
    plan: Arc<Plan>,
}

#[derive(Debug)]
struct Plan {
    tree: Arc<Tree>,
    container: Container,
    /// Where each part begins, and behind the last one the archive's size.
    starts: Vec<u64>,
}

impl Layout {
    /// Lays the archive out: some microseconds for each member, and 8 or 16 bytes of memory.
    ///
    /// # Errors
    ///
    /// A tar file holds members below 8 GiB only, and none named `.ARCHIVE_INDEX`, which readers skip; a zip file holds
    /// paths below 64 KiB only.
    pub fn new(tree: Arc<Tree>, container: Container) -> Result<Self, LayoutError> {
        for entry in tree.entries() {
            check(entry, container)?;
        }
        let starts = match container {
            Container::Zip => zip_write::starts(&tree),
            Container::TarGz => tar_write::starts(&tree),
        };
        Ok(Self { plan: Arc::new(Plan { tree, container, starts }) })
    }

    /// The tree whose archive this is.
    pub fn tree(&self) -> &Arc<Tree> {
        &self.plan.tree
    }

    /// The container.
    pub fn container(&self) -> Container {
        self.plan.container
    }

    /// Size of the archive in bytes, exact.
    pub fn size(&self) -> u64 {
        self.plan.starts.last().copied().unwrap_or(0)
    }

    /// The archive from byte `offset` to its end; nothing when that lies at the end or beyond. The iterator owns what it
    /// needs and makes each piece when it is asked for.
    pub fn pieces(&self, offset: u64) -> Pieces {
        let starts = &self.plan.starts;
        let part = starts.partition_point(|start| *start <= offset).saturating_sub(1);
        let skip = offset - starts.get(part).copied().unwrap_or(offset).min(offset);
        Pieces { plan: Arc::clone(&self.plan), part, step: 0, skip }
    }
}

fn check(entry: &Entry, container: Container) -> Result<(), LayoutError> {
    let content = &entry.content;
    let member = || entry.path.to_string();
    if content.encoding == Encoding::Stored && content.size != content.encoded_size {
        let (size, encoded_size) = (content.size, content.encoded_size);
        return Err(LayoutError::Inconsistent { member: member(), size, encoded_size });
    }
    let what = match container {
        Container::TarGz if content.size > tar_write::LARGEST_MEMBER => "tar ends at 8 GiB",
        Container::TarGz if entry.path.as_str() == ARCHIVE_INDEX => {
            "readers take it for the tar file's own index and skip it"
        }
        Container::Zip if entry.path.as_str().len() > usize::from(u16::MAX) => "zip ends paths at 64 KiB",
        _ => return Ok(()),
    };
    Err(LayoutError::Unsuitable { member: member(), what })
}

/// The pieces of an archive from some byte on, see [`Layout::pieces`].
#[derive(Clone, Debug)]
pub struct Pieces {
    plan: Arc<Plan>,
    part: usize,
    step: u64,
    /// Bytes still to be left out at the front.
    skip: u64,
}

impl Iterator for Pieces {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        // The last start is the end of the last part.
        while self.part + 1 < self.plan.starts.len() {
            let Plan { tree, container, starts } = &*self.plan;
            let piece = match container {
                Container::Zip => zip_write::piece(tree, starts, self.part, self.step),
                Container::TarGz => tar_write::piece(tree, self.part, self.step),
            };
            let Some(piece) = piece else {
                (self.part, self.step) = (self.part + 1, 0);
                continue;
            };
            self.step += 1;
            let size = piece.size();
            if size > self.skip {
                return Some(piece.after(std::mem::take(&mut self.skip)));
            }
            self.skip -= size;
        }
        None
    }
}
