//! Where the members of a derived archive go.

use std::io::{self, Write};

use crate::course::{Member, MemberPath};

/// Bytes of a document that are gathered before it is written in pieces.
const WHOLE: usize = 1 << 20;

/// Takes the members of an archive, in any order.
pub trait Sink {
    /// A member as it is in the source.
    fn keep(&mut self, member: &Member) -> io::Result<()>;

    /// A member of these bytes.
    fn write(&mut self, path: &MemberPath, bytes: &[u8]) -> io::Result<()>;

    /// A member whose bytes follow by [`Self::append`], until [`Self::end`].
    fn begin(&mut self, path: &MemberPath) -> io::Result<()>;

    /// Further bytes.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// The end of a member that was begun.
    fn end(&mut self) -> io::Result<()>;
}

/// A document on its way to the sink: in memory while it is small, so that one that did not change can be kept instead.
pub struct Document<'s> {
    sink: &'s mut dyn Sink,
    path: &'s MemberPath,
    gathered: Vec<u8>,
    begun: bool,
}

impl<'s> Document<'s> {
    /// Before anything was written of it.
    pub fn new(sink: &'s mut dyn Sink, path: &'s MemberPath) -> Self {
        Self { sink, path, gathered: Vec::new(), begun: false }
    }

    /// Ends it. One that did not change is kept as it was, unless its bytes are on their way already.
    ///
    /// # Errors
    ///
    /// Those of the sink.
    pub fn finish(self, original: &Member, changed: bool) -> io::Result<()> {
        match (self.begun, changed) {
            (true, _) => {
                self.sink.append(&self.gathered)?;
                self.sink.end()
            }
            (false, true) => self.sink.write(self.path, &self.gathered),
            (false, false) => self.sink.keep(original),
        }
    }
}

impl Write for Document<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.gathered.len() + bytes.len() > WHOLE {
            if !self.begun {
                self.sink.begin(self.path)?;
                self.begun = true;
            }
            self.sink.append(&self.gathered)?;
            self.gathered.clear();
        }
        self.gathered.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
