//! Containers: how an archive's bytes become members, and members an archive's bytes.
//!
//! [`read_archive`] takes one forward pass over a byte stream and hands each member to a [`MemberSink`]; it never
//! seeks, never spools, and holds the list of paths but no content. [`Layout`] is the opposite: it knows where every
//! byte of a tree's archive lies without reading any content.
//!
//! Invariants: every archive is hostile; what two readers could understand in two ways is refused; sizes are
//! counted, never believed. This module knows paths, sizes and checksums, but neither Moodle's documents nor storage.

mod error;
mod fixed_deflate;
mod gunzip;
mod intake;
mod layout;
mod source;
mod tar_read;
mod tar_write;
mod zip_central;
mod zip_read;
mod zip_record;
mod zip_write;

#[cfg(test)]
mod tests;

use std::io::Read;

pub use error::{ArchiveError, ReadError};
pub use layout::{Layout, LayoutError, Piece, Pieces};

use crate::course::MemberPath;
use crate::label::labels;
use crate::limits::Limits;

labels! {
    /// The outer format of an archive.
    pub enum Container {
        /// A zip file.
        Zip = "ZIP",
        /// A tar file compressed with gzip.
        TarGz = "TAR_GZ",
    }
}

impl Container {
    /// Bytes that [`Self::sniff`] needs to decide.
    pub const SNIFF_BYTES: usize = 4;

    /// Tells a container by the first bytes of an archive (at least [`Self::SNIFF_BYTES`], unless it is shorter).
    /// Names and media types play no role, as in Moodle (reference 1.1).
    pub fn sniff(first: &[u8]) -> Option<Self> {
        match first {
            [0x1f, 0x8b, ..] => Some(Self::TarGz),
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Some(Self::Zip),
            _ => None,
        }
    }
}

/// Takes the members of an archive in the order in which they stand there: `start`, then `plain` and `raw` in any
/// mixture, then `finish`. When reading fails, what a sink got so far is worth nothing: only the end of a zip file
/// tells whether its members were what they seemed.
pub trait MemberSink {
    /// Why the sink cannot go on; it ends the reading.
    type Error;

    /// A file begins. `declared_size` is its size in bytes by the header's word, if it has one; it may be wrong, and
    /// then the reading fails later. With `raw`, the member's own deflate stream is delivered, too.
    fn start(&mut self, path: &MemberPath, declared_size: Option<u64>, raw: bool) -> Result<(), Self::Error>;

    /// The next bytes of the content.
    fn plain(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;

    /// The next bytes of the raw deflate stream (RFC 1951) of the same member.
    fn raw(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;

    /// The file is complete, and agrees with the checksum that stands beside it, if the container has one.
    fn finish(&mut self, end: MemberEnd) -> Result<(), Self::Error>;
}

/// What was counted while a member was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberEnd {
    /// Size of the content in bytes.
    pub size: u64,
    /// CRC-32 of the content.
    pub crc32: u32,
    /// Size in bytes of the deflate stream that was delivered as `raw`; the stream ends exactly there.
    pub raw_size: Option<u64>,
}

/// What was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadSummary {
    /// The container it came in.
    pub container: Container,
    /// Number of files.
    pub members: u64,
    /// Sum of their sizes in bytes.
    pub content_bytes: u64,
}

/// Reads an archive to its end, once and forward. Folders are checked and not delivered; Moodle's `.ARCHIVE_INDEX`
/// belongs to the container and is skipped. A leading `./` is not part of a path.
///
/// # Errors
///
/// [`ReadError::Archive`] for an archive that is refused, [`ReadError::Input`] when `input` fails,
/// [`ReadError::Sink`] when the sink does.
pub fn read_archive<R: Read, S: MemberSink>(
    input: R,
    limits: &Limits,
    sink: &mut S,
) -> Result<ReadSummary, ReadError<S::Error>> {
    let mut source = source::Source::new(input);
    let first = source.peek(Container::SNIFF_BYTES).map_err(ReadError::Input)?;
    let container = Container::sniff(first).ok_or(ArchiveError::FormatUnsupported)?;
    let mut intake = intake::Intake::new(limits);
    match container {
        Container::Zip => zip_read::read(&mut source, &mut intake, sink)?,
        Container::TarGz => tar_read::read(source, &mut intake, sink)?,
    }
    Ok(ReadSummary { container, members: intake.files(), content_bytes: intake.content_bytes() })
}
