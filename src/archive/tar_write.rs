//! Gzip-compressed tar files as this service writes them: a sequence of gzip members, so that the deflated contents of
//! the vault are copied as they are. A real Moodle restores such archives (reference 1.2, 17).
//!
//! Parts: for each entry of the tree one gzip member with the previous content's padding and the tar header, and one
//! with the content; at the end one with padding and two zero blocks.

use super::fixed_deflate::compress;
use super::layout::Piece;
use crate::course::{Encoding, Entry, Tree};

/// Size in bytes up to which a tar header tells sizes in 11 octal digits.
pub(super) const LARGEST_MEMBER: u64 = 0o77_777_777_777;

const BLOCK: usize = 512;
/// Deflate, no name, no time, no hint about the compression, unknown system.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
const GZIP_TRAILER_BYTES: u64 = 8;
/// Most bytes of a stored deflate block.
const STORED_BLOCK: u64 = 65_535;
const STORED_HEADER_BYTES: u64 = 5;
/// 1980-01-01 00:00 UTC, the time that this service's zip files have.
const TIME: u64 = 315_532_800;
const NAME_BYTES: usize = 100;
const PREFIX_BYTES: usize = 155;
/// Name of the PAX header of a path that ustar cannot hold; readers of PAX do not look at it.
const PAX_NAME: &str = "././@PaxHeader";

/// Where each part begins, and the size.
pub(super) fn starts(tree: &Tree) -> Vec<u64> {
    let mut starts = Vec::with_capacity(tree.entries().len() + 2);
    let mut position = 0;
    for (part, entry) in tree.entries().iter().enumerate() {
        starts.push(position);
        position += header_member(tree, part).len() as u64 + content_member_size(entry);
    }
    starts.push(position);
    starts.push(position + end_member(tree).len() as u64);
    starts
}

/// The piece of a part that stands at place `step`: the header, then the content's gzip member.
pub(super) fn piece(tree: &Tree, part: usize, step: u64) -> Option<Piece> {
    let Some(entry) = tree.entries().get(part) else {
        return (step == 0).then(|| Piece::Literal(end_member(tree)));
    };
    let content = &entry.content;
    if step == 0 {
        let mut bytes = header_member(tree, part);
        if content_member_size(entry) > 0 {
            bytes.extend(GZIP_HEADER);
            if content.encoding == Encoding::Stored {
                bytes.extend(stored_header(content.size, 0));
            }
        }
        return Some(Piece::Literal(bytes));
    }
    match content.encoding {
        Encoding::Stored if content.size == 0 => None,
        Encoding::Stored => stored_piece(entry, part, step - 1),
        Encoding::Deflate => match step {
            1 => Some(Piece::Content { entry: part, range: 0..content.encoded_size }),
            2 => Some(Piece::Literal(trailer(content.crc32, content.size))),
            _ => None,
        },
    }
}

/// Blocks of content at even places; between them the next block's header, behind the last one the trailer.
fn stored_piece(entry: &Entry, part: usize, place: u64) -> Option<Piece> {
    let content = &entry.content;
    let start = place / 2 * STORED_BLOCK;
    if start >= content.size {
        return None;
    }
    let end = (start + STORED_BLOCK).min(content.size);
    Some(match place % 2 {
        0 => Piece::Content { entry: part, range: start..end },
        _ if end == content.size => Piece::Literal(trailer(content.crc32, content.size)),
        _ => Piece::Literal(stored_header(content.size, end).to_vec()),
    })
}

/// Header of the stored block that begins at byte `start` of a content (RFC 1951, 3.2.4).
fn stored_header(size: u64, start: u64) -> [u8; 5] {
    let block = (size - start).min(STORED_BLOCK);
    // At most STORED_BLOCK.
    let length = block as u16;
    let [low, high] = length.to_le_bytes();
    [u8::from(start + block == size), low, high, !low, !high]
}

fn trailer(crc32: u32, size: u64) -> Vec<u8> {
    // The size is told modulo 2^32.
    [crc32.to_le_bytes(), (size as u32).to_le_bytes()].concat()
}

/// Size of the gzip member with an entry's content. An empty content needs none.
fn content_member_size(entry: &Entry) -> u64 {
    let content = &entry.content;
    let deflated = match content.encoding {
        Encoding::Stored if content.size == 0 => return 0,
        Encoding::Stored => content.size + content.size.div_ceil(STORED_BLOCK) * STORED_HEADER_BYTES,
        Encoding::Deflate => content.encoded_size,
    };
    GZIP_HEADER.len() as u64 + deflated + GZIP_TRAILER_BYTES
}

/// Zero bytes that fill the last block of the content before entry `part`.
fn padding(tree: &Tree, part: usize) -> Vec<u8> {
    let before = part.checked_sub(1).map_or(0, |index| tree.entries()[index].content.size);
    let block = BLOCK as u64;
    // Below 512.
    vec![0; ((block - before % block) % block) as usize]
}

fn header_member(tree: &Tree, part: usize) -> Vec<u8> {
    let mut plain = padding(tree, part);
    put_headers(&mut plain, &tree.entries()[part]);
    gzip_member(&plain)
}

fn end_member(tree: &Tree) -> Vec<u8> {
    let mut plain = padding(tree, tree.entries().len());
    plain.extend([0; 2 * BLOCK]);
    gzip_member(&plain)
}

fn gzip_member(plain: &[u8]) -> Vec<u8> {
    let mut bytes = GZIP_HEADER.to_vec();
    bytes.extend(compress(plain));
    bytes.extend(trailer(crc32fast::hash(plain), plain.len() as u64));
    bytes
}

fn put_headers(plain: &mut Vec<u8>, entry: &Entry) {
    let path = entry.path.as_str();
    if let Some((prefix, name)) = split(path) {
        plain.extend(header(prefix, name, entry.content.size, b'0'));
        return;
    }
    let record = pax_record(path);
    plain.extend(header("", PAX_NAME, record.len() as u64, b'x'));
    plain.extend(record.as_bytes());
    plain.resize(plain.len() + (BLOCK - record.len() % BLOCK) % BLOCK, 0);
    plain.extend(header("", &path[..path.floor_char_boundary(NAME_BYTES)], entry.content.size, b'0'));
}

/// Splits a path into ustar's prefix and name, at the first slash behind which the rest fits the name.
fn split(path: &str) -> Option<(&str, &str)> {
    if path.len() <= NAME_BYTES {
        return Some(("", path));
    }
    let (slash, _) = path.match_indices('/').find(|(slash, _)| path.len() - slash - 1 <= NAME_BYTES)?;
    (slash <= PREFIX_BYTES).then(|| (&path[..slash], &path[slash + 1..]))
}

/// `LENGTH path=PATH`, where the length counts the whole record with its own digits.
fn pax_record(path: &str) -> String {
    let rest = format!(" path={path}\n");
    let mut length = rest.len();
    loop {
        let record = format!("{length}{rest}");
        if record.len() == length {
            return record;
        }
        length = record.len();
    }
}

/// A ustar header (POSIX.1-1988): numbers in octal digits with a zero byte behind.
fn header(prefix: &str, name: &str, size: u64, kind: u8) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, format!("{TIME:011o}\0").as_bytes());
    // While it is summed up, the checksum's own field counts as blanks.
    put(148, b"        ");
    put(156, &[kind]);
    put(257, b"ustar\x0000");
    put(329, b"0000000\0");
    put(337, b"0000000\0");
    put(345, prefix.as_bytes());
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}
