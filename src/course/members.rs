//! The members of an archive as something that can be listed and read, wherever they lie.

use std::io::{self, Read};

use super::MemberPath;
use crate::digest::Digest;

/// A member as its archive lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Where it stands.
    pub path: MemberPath,
    /// Size of the content in bytes.
    pub size: u64,
    /// BLAKE3 of the content, where it is known.
    pub digest: Option<Digest>,
}

/// An archive or a state of a course.
pub trait Members {
    /// All members, in the order of their paths.
    fn members(&self) -> io::Result<Vec<Member>>;

    /// The content of a member. `NotFound` if there is none of that path.
    fn open(&self, path: &MemberPath) -> io::Result<Box<dyn Read + '_>>;
}
