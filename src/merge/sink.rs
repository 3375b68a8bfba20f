//! Where the members of the union go.

use std::io::{self, Write};

use crate::course::{Member, MemberPath};

/// Takes the members of the union, in any order.
pub trait Sink {
    /// A member as it is in the target.
    fn keep_target(&mut self, member: &Member) -> io::Result<()>;

    /// A member as it is in the incoming tree.
    fn keep_incoming(&mut self, member: &Member) -> io::Result<()>;

    /// A member whose bytes follow by [`Self::append`], until [`Self::end`].
    fn begin(&mut self, path: &MemberPath) -> io::Result<()>;

    /// Further bytes.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// The end of a member that was begun.
    fn end(&mut self) -> io::Result<()>;
}

/// The member at hand as something to write to.
pub(super) struct Pipe<'p>(pub &'p mut dyn Sink);

impl Write for Pipe<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.append(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
