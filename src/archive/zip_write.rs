//! Zip files as this service writes them: sizes in front, no data descriptors, no folders, no times.
//!
//! Parts: a member for each entry of the tree, a central header for each, the end records.

use super::layout::Piece;
use super::zip_record::*;
use crate::course::{Encoding, Entry, Tree};

/// 1980-01-01 00:00, the first time that zip knows: date in the high half, time in the low one.
const TIME: u32 = 0x0021_0000;
const VERSION: u16 = 20;
const VERSION_ZIP64: u16 = 45;
const MADE_BY_UNIX: u16 = 3 << 8;
/// A regular file that its owner may write and all may read.
const ATTRIBUTES: u32 = 0o100_644 << 16;

/// Where each part begins, and the size.
pub(super) fn starts(tree: &Tree) -> Vec<u64> {
    let entries = tree.entries();
    let mut starts = Vec::with_capacity(2 * entries.len() + 2);
    let mut position = 0;
    for entry in entries {
        starts.push(position);
        position += local_size(entry) + entry.content.encoded_size;
    }
    for (index, entry) in entries.iter().enumerate() {
        starts.push(position);
        let wide = wide_values(entry, starts[index]);
        position += 46 + entry.path.as_str().len() as u64 + extra_size(wide.len());
    }
    starts.push(position);
    let central = starts[entries.len()]..position;
    position += end(entries.len() as u64, central.start, central.end).len() as u64;
    starts.push(position);
    starts
}

/// The piece of a part that stands at place `step`.
pub(super) fn piece(tree: &Tree, starts: &[u64], part: usize, step: u64) -> Option<Piece> {
    let entries = tree.entries();
    let count = entries.len();
    match (part, step) {
        (member, 0) if member < count => Some(Piece::Literal(local_header(&entries[member]))),
        (member, 1) if member < count => {
            let size = entries[member].content.encoded_size;
            (size > 0).then_some(Piece::Content { entry: member, range: 0..size })
        }
        (central, 0) if (count..2 * count).contains(&central) => {
            let member = central - count;
            Some(Piece::Literal(central_header(&entries[member], starts[member])))
        }
        (last, 0) if last == 2 * count => {
            Some(Piece::Literal(end(count as u64, starts[count], starts[2 * count])))
        }
        _ => None,
    }
}

fn is_wide(value: u64) -> bool {
    value >= u64::from(IN_ZIP64)
}

/// The sizes need 64 bits. Then both are told so, as local headers demand.
fn has_wide_sizes(entry: &Entry) -> bool {
    is_wide(entry.content.size) || is_wide(entry.content.encoded_size)
}

fn local_size(entry: &Entry) -> u64 {
    let wide = if has_wide_sizes(entry) { 2 } else { 0 };
    30 + entry.path.as_str().len() as u64 + extra_size(wide)
}

fn extra_size(values: usize) -> u64 {
    if values == 0 { 0 } else { 4 + 8 * values as u64 }
}

/// What the zip64 extra field of a central header holds.
fn wide_values(entry: &Entry, offset: u64) -> Vec<u64> {
    let mut values = Vec::new();
    if has_wide_sizes(entry) {
        values.extend([entry.content.size, entry.content.encoded_size]);
    }
    if is_wide(offset) {
        values.push(offset);
    }
    values
}

fn narrow(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(IN_ZIP64)
}

/// The fields that local and central headers share, from the version that is needed to the length of extra fields.
fn shared_fields(entry: &Entry, wide: &[u64]) -> Vec<u8> {
    let content = &entry.content;
    let name = entry.path.as_str();
    let version = if wide.is_empty() { VERSION } else { VERSION_ZIP64 };
    let flags = if name.is_ascii() { 0 } else { FLAG_UTF8 };
    let method = match content.encoding {
        Encoding::Stored => METHOD_STORED,
        Encoding::Deflate => METHOD_DEFLATE,
    };
    let [packed, size] = match has_wide_sizes(entry) {
        true => [IN_ZIP64; 2],
        false => [narrow(content.encoded_size), narrow(content.size)],
    };
    // `Layout` refuses names of 64 KiB; the extra field has 28 bytes at most.
    let name_bytes = name.len() as u16;
    let extra_bytes = extra_size(wide.len()) as u16;
    let mut bytes = Vec::with_capacity(128);
    [version, flags, method].iter().for_each(|field| bytes.extend(field.to_le_bytes()));
    [TIME, content.crc32, packed, size].iter().for_each(|field| bytes.extend(field.to_le_bytes()));
    [name_bytes, extra_bytes].iter().for_each(|field| bytes.extend(field.to_le_bytes()));
    bytes
}

fn put_extra(bytes: &mut Vec<u8>, wide: &[u64]) {
    if !wide.is_empty() {
        bytes.extend(EXTRA_ZIP64.to_le_bytes());
        bytes.extend((8 * wide.len() as u16).to_le_bytes());
        wide.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
    }
}

fn local_header(entry: &Entry) -> Vec<u8> {
    // The offset of a member is not told in its own header.
    let wide = wide_values(entry, 0);
    let mut bytes = LOCAL.to_vec();
    bytes.extend(shared_fields(entry, &wide));
    bytes.extend(entry.path.as_str().as_bytes());
    put_extra(&mut bytes, &wide);
    bytes
}

fn central_header(entry: &Entry, offset: u64) -> Vec<u8> {
    let wide = wide_values(entry, offset);
    let made_by = MADE_BY_UNIX | if wide.is_empty() { VERSION } else { VERSION_ZIP64 };
    let mut bytes = CENTRAL.to_vec();
    bytes.extend(made_by.to_le_bytes());
    bytes.extend(shared_fields(entry, &wide));
    // Length of the comment, disk, internal attributes.
    bytes.extend([0; 6]);
    bytes.extend(ATTRIBUTES.to_le_bytes());
    bytes.extend(narrow(offset).to_le_bytes());
    bytes.extend(entry.path.as_str().as_bytes());
    put_extra(&mut bytes, &wide);
    bytes
}

/// The end records of a central directory that lies from `start` to `end`.
fn end(entries: u64, start: u64, end: u64) -> Vec<u8> {
    let size = end - start;
    let mut bytes = Vec::new();
    if entries >= u64::from(u16::MAX) || is_wide(size) || is_wide(start) {
        bytes.extend(END64);
        bytes.extend(44_u64.to_le_bytes());
        bytes.extend((MADE_BY_UNIX | VERSION_ZIP64).to_le_bytes());
        bytes.extend(VERSION_ZIP64.to_le_bytes());
        // This disk, and the disk of the central directory.
        bytes.extend([0; 8]);
        [entries, entries, size, start].iter().for_each(|field| bytes.extend(field.to_le_bytes()));
        bytes.extend(LOCATOR64);
        bytes.extend(0_u32.to_le_bytes());
        bytes.extend(end.to_le_bytes());
        bytes.extend(1_u32.to_le_bytes());
    }
    let narrow_entries = u16::try_from(entries).unwrap_or(u16::MAX);
    bytes.extend(END);
    bytes.extend([0; 4]);
    [narrow_entries; 2].iter().for_each(|field| bytes.extend(field.to_le_bytes()));
    [narrow(size), narrow(start)].iter().for_each(|field| bytes.extend(field.to_le_bytes()));
    // Length of the comment.
    bytes.extend([0; 2]);
    bytes
}
