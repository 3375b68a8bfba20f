//! The end of a zip file: its central directory, compared with the members that were read.
//!
//! Readers find the central directory from the file's end, by searching for the end record. This one comes to it from
//! the front, and refuses everything by which the search could find something else: bytes that belong to nothing, a
//! second end record in the comment, a zip64 locator that only looks like one.

use std::io::Read;

use super::error::{ArchiveError, Halt};
use super::source::Source;
use super::zip_read::{Local, next_signature};
use super::zip_record::*;

/// The members that were read, and which of them the central directory has named.
pub(super) struct Central {
    locals: Vec<Local>,
    named: Vec<bool>,
}

/// Where the central directory lies.
#[derive(Clone, Copy)]
struct Extent {
    start: u64,
    size: u64,
    entries: u64,
}

impl Central {
    pub(super) fn new(locals: Vec<Local>) -> Self {
        Self { named: vec![false; locals.len()], locals }
    }

    /// Reads to the end of the file.
    pub(super) fn read<R: Read>(mut self, source: &mut Source<R>) -> Result<(), Halt> {
        let start = source.position();
        let mut record = Vec::new();
        let mut entries = 0;
        while next_signature(source)? == CENTRAL {
            let offset = source.position();
            record.clear();
            source.append(46, &mut record)?;
            let mut lengths = Fields(&record[28..]);
            let variable: usize = (0..3).map(|_| usize::from(lengths.u16())).sum();
            source.append(variable, &mut record)?;
            self.compare(&record, offset)?;
            entries += 1;
        }
        let extent = Extent { start, size: source.position() - start, entries };
        if let Some(missed) = self.named.iter().position(|named| !named) {
            let local = &self.locals[missed];
            let name = String::from_utf8_lossy(&local.name);
            let what = "the central directory does not name it";
            return Err(ArchiveError::ambiguous(local.offset, what).within(&name).into());
        }
        read_end(source, extent, &record)
    }

    /// Compares a central header with the local one that it names.
    fn compare(&mut self, record: &[u8], offset: u64) -> Result<(), ArchiveError> {
        let mut fields = Fields(&record[8..]);
        let (flags, method) = (fields.u16(), fields.u16());
        fields.skip(4);
        let crc32 = fields.u32();
        let (narrow_packed, narrow_size) = (fields.u32(), fields.u32());
        let (name_bytes, extra_bytes) = (usize::from(fields.u16()), usize::from(fields.u16()));
        fields.skip(2);
        let disk = fields.u16();
        fields.skip(2);
        let attributes = fields.u32();
        let narrow_offset = fields.u32();
        let name = &record[46..46 + name_bytes];
        let extra = &record[46 + name_bytes..46 + name_bytes + extra_bytes];
        let shown = String::from_utf8_lossy(name);
        let refuse = |what: &str| Err(ArchiveError::ambiguous(offset, what).within(&shown));

        let [size, packed, local_offset] =
            resolve_extra(extra, name, [narrow_size, narrow_packed, narrow_offset], offset)
                .map_err(|error| error.within(&shown))?;
        let Ok(index) = self.locals.binary_search_by_key(&local_offset, |local| local.offset) else {
            return refuse("the central directory names a place where no member begins");
        };
        let local = &self.locals[index];
        if std::mem::replace(&mut self.named[index], true) {
            return refuse("the central directory names one member twice");
        }
        if *name != *local.name {
            return refuse("the central directory tells another name than the member's own header");
        }
        if (packed, size, crc32) != (local.packed, local.size, local.crc32) {
            return refuse("the central directory tells another size or checksum than was read");
        }
        if (method, flags & !FLAGS_EFFORT) != (local.method, local.flags & !FLAGS_EFFORT) {
            return refuse(
                "the central directory tells another method or other flags than the member's own header",
            );
        }
        if disk != 0 {
            return refuse("it begins on another disk");
        }
        check_kind(attributes, &shown)
    }
}

/// The file type of a Unix mode, which stands in the upper half of the attributes whichever system is said to have
/// written them: readers do not all look at the system.
fn check_kind(attributes: u32, name: &str) -> Result<(), ArchiveError> {
    let kind = match (attributes >> 16) & 0o170_000 {
        0 => return Ok(()),
        0o100_000 if !name.ends_with('/') => return Ok(()),
        0o040_000 if name.ends_with('/') => return Ok(()),
        0o100_000 => "file with a folder's name",
        0o040_000 => "folder with a file's name",
        0o120_000 => "symbolic link",
        0o060_000 | 0o020_000 => "device",
        0o010_000 => "pipe",
        0o140_000 => "socket",
        _ => "thing of unknown kind",
    };
    Err(ArchiveError::KindUnsupported { member: name.to_owned(), kind })
}

/// Reads the end records; `last` is the last central header.
fn read_end<R: Read>(source: &mut Source<R>, extent: Extent, last: &[u8]) -> Result<(), Halt> {
    let wide = next_signature(source)? == END64;
    if wide {
        read_end64(source, extent)?;
    } else if last.len() >= 20 && last[last.len() - 20..].starts_with(&LOCATOR64) {
        let what = "the last entry ends with what other readers take for a zip64 locator";
        return Err(ArchiveError::ambiguous(source.position(), what).into());
    }
    let offset = source.position();
    if next_signature(source)? != END {
        let what = "bytes that belong to no member and no record";
        return Err(ArchiveError::ambiguous(offset, what).into());
    }
    let record = source.array::<22>()?;
    let mut fields = Fields(&record[4..]);
    let disks = [fields.u16(), fields.u16()];
    let entries = [fields.u16(), fields.u16()];
    let (size, start) = (fields.u32(), fields.u32());
    let comment_bytes = usize::from(fields.u16());
    let fits16 = |value: u16, real: u64| u64::from(value) == real || (wide && value == u16::MAX);
    let fits32 = |value: u32, real: u64| u64::from(value) == real || (wide && value == u32::MAX);
    let right = disks.iter().all(|disk| fits16(*disk, 0))
        && entries.iter().all(|count| fits16(*count, extent.entries))
        && fits32(size, extent.size)
        && fits32(start, extent.start);
    if !right {
        return Err(ArchiveError::ambiguous(offset, "the end record does not tell what was read").into());
    }
    let mut comment = Vec::new();
    source.append(comment_bytes, &mut comment)?;
    if comment.windows(4).any(|window| window == END) {
        let what = "the comment holds what other readers take for the end record";
        return Err(ArchiveError::ambiguous(offset, what).into());
    }
    if !source.fill()?.is_empty() {
        let what = "there are bytes behind the end";
        return Err(ArchiveError::ambiguous(source.position(), what).into());
    }
    Ok(())
}

/// Reads the zip64 end record and its locator.
fn read_end64<R: Read>(source: &mut Source<R>, extent: Extent) -> Result<(), Halt> {
    let offset = source.position();
    let record = source.array::<56>()?;
    let mut fields = Fields(&record[4..]);
    // The record's own size does not count its first 12 bytes; more than 44 would hide something behind it.
    let bytes = fields.u64();
    fields.skip(4);
    let disks = [fields.u32(), fields.u32()];
    let told = [fields.u64(), fields.u64(), fields.u64(), fields.u64()];
    if bytes != 44 || disks != [0, 0] || told != [extent.entries, extent.entries, extent.size, extent.start] {
        return Err(
            ArchiveError::ambiguous(offset, "the zip64 end record does not tell what was read").into()
        );
    }
    let locator_offset = source.position();
    let locator = source.array::<20>()?;
    let mut fields = Fields(&locator[4..]);
    let (disk, end_offset, disks) = (fields.u32(), fields.u64(), fields.u32());
    if !locator.starts_with(&LOCATOR64) || disk != 0 || end_offset != offset || disks > 1 {
        return Err(ArchiveError::ambiguous(locator_offset, "the zip64 locator points elsewhere").into());
    }
    Ok(())
}
