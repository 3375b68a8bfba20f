//! Unpacks a sequence of gzip members (RFC 1952), which stand for their contents one after the other.
//!
//! Bytes behind the last member are refused, padding too: other readers stop there, or complain.

use std::io::Read;

use flate2::{Decompress, FlushDecompress, Status};

use super::error::{ArchiveError, Halt};
use super::intake::check_ratio;
use super::source::Source;
use crate::limits::Limits;

const FLAG_HEADER_CRC: u8 = 1 << 1;
const FLAG_EXTRA: u8 = 1 << 2;
const FLAG_NAME: u8 = 1 << 3;
const FLAG_COMMENT: u8 = 1 << 4;
const FLAGS_RESERVED: u8 = 0b1110_0000;

/// The unpacked bytes of a gzip stream.
pub(super) struct Gunzip<'l, R> {
    source: Source<R>,
    limits: &'l Limits,
    inflate: Decompress,
    within_member: bool,
    size: u64,
    crc32: crc32fast::Hasher,
    unpacked: u64,
}

impl<'l, R: Read> Gunzip<'l, R> {
    pub(super) fn new(source: Source<R>, limits: &'l Limits) -> Self {
        Self {
            source,
            limits,
            inflate: Decompress::new(false),
            within_member: false,
            size: 0,
            crc32: crc32fast::Hasher::new(),
            unpacked: 0,
        }
    }

    /// Number of packed bytes consumed so far.
    pub(super) fn position(&self) -> u64 {
        self.source.position()
    }

    /// Unpacks the next bytes; 0 only at the end of the last member.
    pub(super) fn read(&mut self, target: &mut [u8]) -> Result<usize, Halt> {
        if target.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.within_member {
                if self.source.fill()?.is_empty() {
                    return Ok(0);
                }
                self.read_header()?;
            }
            let given = self.unpack(target)?;
            if given > 0 {
                return Ok(given);
            }
        }
    }

    fn unpack(&mut self, target: &mut [u8]) -> Result<usize, Halt> {
        let offset = self.source.position();
        let shown = self.source.fill()?;
        let at_end = shown.is_empty();
        let (taken_before, given_before) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self
            .inflate
            .decompress(shown, target, FlushDecompress::None)
            .map_err(|_| ArchiveError::corrupt(offset, "the gzip stream is damaged"))?;
        // Both are bounded by the buffers' sizes.
        let taken = (self.inflate.total_in() - taken_before) as usize;
        let given = (self.inflate.total_out() - given_before) as usize;
        self.source.consume(taken);
        self.size += given as u64;
        self.unpacked += given as u64;
        self.crc32.update(&target[..given]);
        check_ratio(self.limits, self.unpacked, self.source.position())?;
        match status {
            Status::StreamEnd => self.read_trailer()?,
            _ if taken == 0 && given == 0 && at_end => {
                return Err(ArchiveError::truncated(offset).into());
            }
            _ if taken == 0 && given == 0 => {
                return Err(ArchiveError::corrupt(offset, "the gzip stream does not go on").into());
            }
            _ => {}
        }
        Ok(given)
    }

    fn read_header(&mut self) -> Result<(), Halt> {
        let offset = self.source.position();
        if self.source.peek(2)?.first_chunk() != Some(&[0x1f, 0x8b]) {
            return Err(ArchiveError::corrupt(offset, "bytes behind the gzip stream").into());
        }
        let mut header = self.source.array::<10>()?.to_vec();
        let (method, flags) = (header[2], header[3]);
        if method != 8 || flags & FLAGS_RESERVED != 0 {
            return Err(ArchiveError::corrupt(offset, "a gzip header of unknown kind").into());
        }
        if flags & FLAG_EXTRA != 0 {
            let size = self.source.array::<2>()?;
            header.extend(size);
            self.source.append(usize::from(u16::from_le_bytes(size)), &mut header)?;
        }
        for flag in [FLAG_NAME, FLAG_COMMENT] {
            if flags & flag != 0 {
                self.read_text(&mut header)?;
            }
        }
        if flags & FLAG_HEADER_CRC != 0 {
            let told = u16::from_le_bytes(self.source.array()?);
            if u32::from(told) != crc32fast::hash(&header) & 0xffff {
                return Err(ArchiveError::corrupt(offset, "a gzip header's checksum is wrong").into());
            }
        }
        self.inflate.reset(false);
        self.size = 0;
        self.crc32.reset();
        self.within_member = true;
        Ok(())
    }

    /// A text up to a zero byte: the file's name or a comment, of which nothing is used.
    fn read_text(&mut self, header: &mut Vec<u8>) -> Result<(), Halt> {
        // An extra field may have 64 KiB; names and comments are short.
        const LONGEST: usize = 128 << 10;
        loop {
            let offset = self.source.position();
            let [byte] = self.source.array()?;
            header.push(byte);
            if byte == 0 {
                return Ok(());
            }
            if header.len() > LONGEST {
                return Err(ArchiveError::corrupt(offset, "a gzip header without end").into());
            }
        }
    }

    fn read_trailer(&mut self) -> Result<(), Halt> {
        self.within_member = false;
        let offset = self.source.position();
        let crc32 = u32::from_le_bytes(self.source.array()?);
        let size = u32::from_le_bytes(self.source.array()?);
        // The size is told modulo 2^32.
        if crc32 != self.crc32.clone().finalize() || u64::from(size) != self.size & u64::from(u32::MAX) {
            return Err(ArchiveError::corrupt(offset, "a gzip member's checksum or size is wrong").into());
        }
        Ok(())
    }
}
