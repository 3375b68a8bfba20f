//! A document that can be entered at any place: in memory while it is small, else in a temporary file.

use std::cell::RefCell;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::rc::Rc;

/// Bytes of a document that stay in memory.
const IN_MEMORY: usize = 4 << 20;

/// A copy of a document.
#[derive(Clone)]
pub(super) struct Scratch {
    copy: Rc<RefCell<tempfile::SpooledTempFile>>,
    size: u64,
}

impl Scratch {
    /// A copy of what `write` writes.
    pub fn of<T, E: From<io::Error>>(
        write: impl FnOnce(&mut dyn Write) -> Result<T, E>,
    ) -> Result<(Self, T), E> {
        let mut copy = tempfile::SpooledTempFile::new(IN_MEMORY);
        let told = write(&mut copy)?;
        let size = copy.stream_position()?;
        Ok((Self { copy: Rc::new(RefCell::new(copy)), size }, told))
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reads from an offset on. Any number of readers may be in use.
    pub fn from(&self, offset: u64) -> BufReader<Window> {
        BufReader::with_capacity(16 << 10, Window { copy: Rc::clone(&self.copy), position: offset })
    }

    /// Reads a range of which the size is known: no more than that is read ahead.
    pub fn within(&self, start: u64, end: u64) -> BufReader<Window> {
        let size = usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX).clamp(256, 16 << 10);
        BufReader::with_capacity(size, Window { copy: Rc::clone(&self.copy), position: start })
    }

    /// A short range as text.
    pub fn text(&self, start: u64, end: u64) -> io::Result<String> {
        let mut text = String::new();
        self.within(start, end).take(end - start).read_to_string(&mut text)?;
        Ok(text)
    }

    /// Copies a range.
    pub fn copy(&self, start: u64, end: u64, output: &mut dyn Write) -> io::Result<()> {
        io::copy(&mut self.within(start, end).take(end - start), output)?;
        Ok(())
    }
}

/// Reads a copy from a place of its own.
pub(super) struct Window {
    copy: Rc<RefCell<tempfile::SpooledTempFile>>,
    position: u64,
}

impl Read for Window {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let mut copy = self.copy.borrow_mut();
        copy.seek(SeekFrom::Start(self.position))?;
        let count = copy.read(target)?;
        self.position += count as u64;
        Ok(count)
    }
}
