//! The bytes of an archive as they come in: one reusable buffer, a position, and a look ahead.

use std::io::{self, Read};

use super::error::{ArchiveError, Halt};

/// Size of the buffers through which contents pass.
pub(super) const BUFFER_BYTES: usize = 256 << 10;

/// A byte stream with a look ahead of up to [`BUFFER_BYTES`].
pub(super) struct Source<R> {
    input: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    position: u64,
}

impl<R: Read> Source<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, buffer: vec![0; BUFFER_BYTES].into_boxed_slice(), start: 0, end: 0, position: 0 }
    }

    /// Number of bytes consumed so far.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// What is there, at least one byte unless the stream has ended.
    pub(super) fn fill(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            self.read_more()?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    /// The next bytes without consuming them: at least `count` (far below the buffer's size) unless the stream ends.
    pub(super) fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        while self.end - self.start < count {
            if self.buffer.len() - self.start < count {
                self.buffer.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
            }
            if !self.read_more()? {
                break;
            }
        }
        Ok(&self.buffer[self.start..self.end])
    }

    /// Consumes bytes that `fill` or `peek` showed.
    pub(super) fn consume(&mut self, count: usize) {
        debug_assert!(count <= self.end - self.start, "consumed what was not shown");
        self.start += count;
        self.position += count as u64;
    }

    /// The next `N` bytes.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Halt> {
        let mut bytes = [0; N];
        self.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// The next `count` bytes appended to `target`.
    pub(super) fn append(&mut self, count: usize, target: &mut Vec<u8>) -> Result<(), Halt> {
        let start = target.len();
        target.resize(start + count, 0);
        self.read_exact(&mut target[start..])
    }

    fn read_exact(&mut self, mut target: &mut [u8]) -> Result<(), Halt> {
        while !target.is_empty() {
            let shown = self.fill()?;
            let count = shown.len().min(target.len());
            target[..count].copy_from_slice(&shown[..count]);
            if count == 0 {
                return Err(ArchiveError::truncated(self.position).into());
            }
            self.consume(count);
            target = &mut target[count..];
        }
        Ok(())
    }

    fn read_more(&mut self) -> io::Result<bool> {
        loop {
            match self.input.read(&mut self.buffer[self.end..]) {
                Ok(count) => {
                    self.end += count;
                    return Ok(count > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
