//! Where the members of what was converted go.

use std::io;

use crate::course::{Member, MemberPath};

/// Takes members, each path once, in any order.
pub trait Sink {
    /// The content of a member of the source, at a path of its own.
    fn keep(&mut self, member: &Member, path: &MemberPath) -> io::Result<()>;

    /// A member whose bytes follow by [`Self::append`], until [`Self::end`].
    fn begin(&mut self, path: &MemberPath) -> io::Result<()>;

    /// Further bytes.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// The end of a member that was begun.
    fn end(&mut self) -> io::Result<()>;
}
