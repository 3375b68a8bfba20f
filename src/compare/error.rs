//! Why a comparison could not be made.

use std::fmt;
use std::io;

use crate::course::MemberPath;
use crate::derive::DeriveError;

/// One of the two archives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The first.
    A,
    /// The second.
    B,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "the first archive",
            Self::B => "the second archive",
        })
    }
}

/// Why a comparison could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// The members of an archive could not be listed.
    #[error("{side}: its members cannot be listed")]
    List {
        /// Which.
        side: Side,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// A member could not be read.
    #[error("{side}: {member} cannot be read")]
    Read {
        /// Which archive.
        side: Side,
        /// Which member.
        member: MemberPath,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// A document is broken, so the ids in it cannot be told from other numbers.
    #[error("{side}: {error}")]
    Ids {
        /// Which archive.
        side: Side,
        /// What is wrong, and where.
        #[source]
        error: DeriveError,
    },
    /// The copy of a document could not be written or read again.
    #[error("the scratch space for documents fails")]
    Scratch(#[source] io::Error),
}

impl CompareError {
    pub(super) fn read(side: Side, member: &MemberPath, error: io::Error) -> Self {
        Self::Read { side, member: member.clone(), error }
    }
}
