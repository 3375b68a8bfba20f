//! The layout of a pack, as pure functions over bytes: header, footer and trailer.
//!
//! A pack is `header · item bytes back to back · footer · trailer`. The footer names every item; bytes that it does not
//! name are dead. Byte tables and the rules for versions are in `docs/storage-format.md`.

use super::error::Malformed;
use super::wire::Reader;
use crate::course::{ContentKind, ContentRef, Encoding};
use crate::digest::{Digest, Sha1};

/// First and last bytes of every pack.
pub(super) const MAGIC: [u8; 4] = *b"CVPK";
/// Version of the format written here.
pub(super) const VERSION: u16 = 1;
/// Bytes before the first item.
pub(super) const HEADER_BYTES: u64 = 64;
/// Bytes after the footer.
pub(super) const TRAILER_BYTES: u64 = 48;
/// Items of one pack. A footer is at most 6 MiB then.
pub(super) const MAX_ITEMS: usize = 1 << 16;
/// Bytes that the footer spends on an item.
const ITEM_BYTES: usize = 96;

const WHAT: &str = "pack";
const CIPHER_NONE: u8 = 0;
const FOOTER_PLAIN: u8 = 0;
const HAS_SHA1: u8 = 1;

/// How a footer writes what an item is.
fn code(kind: ContentKind) -> u8 {
    match kind {
        ContentKind::Content => 1,
        ContentKind::Tree => 2,
        ContentKind::Record => 3,
    }
}

/// What a pack says about an item in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackItem {
    /// What it is.
    pub kind: ContentKind,
    /// Its address and the form in which its bytes are kept.
    pub content: ContentRef,
    /// SHA-1 of the content, where it is known: its name in Moodle's file pool.
    pub sha1: Option<Sha1>,
}

impl PackItem {
    /// The item for bytes that are kept as they are.
    pub fn stored(kind: ContentKind, bytes: &[u8]) -> Self {
        let size = bytes.len() as u64;
        let content = ContentRef {
            digest: Digest::of(bytes),
            size,
            crc32: crc32fast::hash(bytes),
            encoding: Encoding::Stored,
            encoded_size: size,
            form: 0,
        };
        Self { kind, content, sha1: None }
    }
}

/// An item and where its bytes begin in its pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedItem {
    /// The item.
    pub item: PackItem,
    /// Offset of its first byte from the beginning of the pack; `item.content.encoded_size` bytes follow.
    pub offset: u64,
}

/// The table of contents of a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackFooter {
    /// Size of the whole pack in bytes.
    pub size: u64,
    /// Its items by ascending offset.
    pub items: Vec<PackedItem>,
}

/// The header of a pack that is not encrypted.
pub(super) fn encode_header() -> [u8; HEADER_BYTES as usize] {
    let mut header = [0; HEADER_BYTES as usize];
    header[..4].copy_from_slice(&MAGIC);
    header[4..6].copy_from_slice(&VERSION.to_le_bytes());
    header[6] = CIPHER_NONE;
    header
}

/// Checks the header of a pack.
pub(super) fn decode_header(bytes: &[u8]) -> Result<(), Malformed> {
    let mut reader = Reader::new(bytes, WHAT);
    if reader.array()? != MAGIC {
        return Err(reader.damaged("it does not begin as a pack does"));
    }
    check_version(reader.u16()?)?;
    let cipher = reader.u8()?;
    check_cipher(&reader, cipher)?;
    reader.reserved(HEADER_BYTES as usize - 7)?;
    reader.end()
}

/// The footer and the trailer of a pack.
pub(super) fn encode_footer(items: &[PackedItem]) -> Vec<u8> {
    let mut out = Vec::with_capacity(items.len() * ITEM_BYTES + TRAILER_BYTES as usize);
    for item in items {
        encode_item(&mut out, item);
    }
    let digest = Digest::of(&out);
    let size = out.len() as u64;
    out.extend_from_slice(&size.to_le_bytes());
    out.extend_from_slice(&digest.0);
    out.extend_from_slice(&[FOOTER_PLAIN, CIPHER_NONE]);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&MAGIC);
    out
}

fn encode_item(out: &mut Vec<u8>, PackedItem { item, offset }: &PackedItem) {
    let content = &item.content;
    let encoding = match content.encoding {
        Encoding::Stored => 0,
        Encoding::Deflate => 1,
    };
    let flags = if item.sha1.is_some() { HAS_SHA1 } else { 0 };
    out.extend_from_slice(&[code(item.kind), encoding, flags, 0]);
    out.extend_from_slice(&content.crc32.to_le_bytes());
    out.extend_from_slice(&content.digest.0);
    for number in [content.form, content.size, content.encoded_size, *offset] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&item.sha1.map_or([0; 20], |sha1| sha1.0));
    out.extend_from_slice(&[0; 4]);
}

/// What the last bytes of a pack tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trailer {
    /// Bytes of the footer, which stands right before the trailer.
    pub(super) footer_bytes: u64,
    digest: Digest,
}

/// Reads the trailer of a pack of `pack_bytes` bytes.
pub(super) fn decode_trailer(bytes: &[u8], pack_bytes: u64) -> Result<Trailer, Malformed> {
    let mut reader = Reader::new(bytes, WHAT);
    if !bytes.ends_with(&MAGIC) {
        return Err(reader.damaged("it does not end as a pack does"));
    }
    let footer_bytes = reader.u64()?;
    let digest = Digest(reader.array()?);
    let [footer_form, cipher] = reader.array()?;
    check_version(reader.u16()?)?;
    reader.take(MAGIC.len())?;
    reader.end()?;
    check_cipher(&reader, cipher)?;
    if footer_form != FOOTER_PLAIN {
        return Err(reader.damaged("its footer is in a form that version 1 does not have"));
    }
    let room = pack_bytes.saturating_sub(HEADER_BYTES + TRAILER_BYTES);
    if footer_bytes > room.min((MAX_ITEMS * ITEM_BYTES) as u64) {
        return Err(reader.damaged("its footer is longer than can be"));
    }
    if footer_bytes == 0 || footer_bytes % ITEM_BYTES as u64 != 0 {
        return Err(reader.damaged("its footer is no list of items"));
    }
    Ok(Trailer { footer_bytes, digest })
}

/// Reads the footer of a pack of `pack_bytes` bytes.
pub(super) fn decode_footer(
    bytes: &[u8],
    trailer: &Trailer,
    pack_bytes: u64,
) -> Result<PackFooter, Malformed> {
    let mut reader = Reader::new(bytes, WHAT);
    if Digest::of(bytes) != trailer.digest {
        return Err(reader.damaged("its footer has another digest than its trailer says"));
    }
    let items_end = pack_bytes.saturating_sub(TRAILER_BYTES + trailer.footer_bytes);
    let mut items = Vec::with_capacity(bytes.len() / ITEM_BYTES);
    let mut free_from = HEADER_BYTES;
    while reader.remaining() > 0 {
        let packed = decode_item(&mut reader)?;
        let end = packed.offset.checked_add(packed.item.content.encoded_size);
        match end.filter(|end| packed.offset >= free_from && *end <= items_end) {
            Some(end) => free_from = end,
            None => return Err(reader.damaged("an item lies outside of the items' bytes or over another")),
        }
        items.push(packed);
    }
    Ok(PackFooter { size: pack_bytes, items })
}

fn decode_item(reader: &mut Reader<'_>) -> Result<PackedItem, Malformed> {
    let [kind, encoding, flags, reserved] = reader.array()?;
    let crc32 = reader.u32()?;
    let digest = Digest(reader.array()?);
    let (form, size, encoded_size, offset) = (reader.u64()?, reader.u64()?, reader.u64()?, reader.u64()?);
    let sha1 = Sha1(reader.array()?);
    reader.reserved(4)?;

    let Some(kind) = ContentKind::ALL.iter().copied().find(|known| code(*known) == kind) else {
        return Err(reader.damaged("an item is of an unknown kind"));
    };
    let sha1 = match flags {
        0 if sha1.0 == [0; 20] => None,
        HAS_SHA1 => Some(sha1),
        _ => return Err(reader.damaged("an item has unknown flags")),
    };
    let encoding = match encoding {
        0 if form == 0 && encoded_size == size => Encoding::Stored,
        1 if form != 0 && form >> 63 == 0 => Encoding::Deflate,
        _ => return Err(reader.damaged("an item is in a form that cannot be")),
    };
    if reserved != 0 {
        return Err(reader.damaged("a reserved byte is not 0"));
    }
    let content = ContentRef { digest, size, crc32, encoding, encoded_size, form };
    Ok(PackedItem { item: PackItem { kind, content, sha1 }, offset })
}

fn check_version(found: u16) -> Result<(), Malformed> {
    if found == VERSION {
        Ok(())
    } else {
        Err(Malformed::Version { what: WHAT, found: found.into(), known: VERSION.into() })
    }
}

fn check_cipher(reader: &Reader<'_>, cipher: u8) -> Result<(), Malformed> {
    if cipher == CIPHER_NONE { Ok(()) } else { Err(reader.damaged("it is encrypted in a way unknown here")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items() -> Vec<PackedItem> {
        let stored = PackItem::stored(ContentKind::Record, b"{}");
        let deflated = ContentRef {
            digest: Digest([0x11; 32]),
            size: 1000,
            crc32: 0x0403_0201,
            encoding: Encoding::Deflate,
            encoded_size: 300,
            form: 0x7766_5544_3322_1100,
        };
        let content =
            PackItem { kind: ContentKind::Content, content: deflated, sha1: Some(Sha1([0x22; 20])) };
        vec![PackedItem { item: content, offset: 64 }, PackedItem { item: stored, offset: 400 }]
    }

    /// The pack of those items: 64 of header, items up to 402, footer, trailer.
    const PACK_BYTES: u64 = 402 + 2 * 96 + 48;

    fn decode(end: &[u8], pack_bytes: u64) -> Result<PackFooter, Malformed> {
        let (footer, trailer) = end.split_at(end.len() - 48);
        let trailer = decode_trailer(trailer, pack_bytes)?;
        let at = footer.len().checked_sub(usize::try_from(trailer.footer_bytes).expect("a size"));
        decode_footer(&footer[at.unwrap_or(0)..], &trailer, pack_bytes)
    }

    /// `items` sealed as a footer, after `change` altered the bytes of the list.
    fn sealed(change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
        let mut end = encode_footer(&items());
        let trailer = end.split_off(end.len() - 48);
        change(&mut end);
        let list = end.clone();
        end.extend_from_slice(&(list.len() as u64).to_le_bytes());
        end.extend_from_slice(&Digest::of(&list).0);
        end.extend_from_slice(&trailer[40..]);
        end
    }

    #[test]
    fn header_footer_and_trailer_have_the_documented_bytes() {
        let mut header = b"CVPK\x01\x00\x00".to_vec();
        header.resize(64, 0);
        assert_eq!(encode_header().to_vec(), header);

        let mut list = vec![1, 1, 1, 0, 1, 2, 3, 4];
        list.extend([0x11; 32]);
        list.extend([0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77]);
        list.extend([0xe8, 3, 0, 0, 0, 0, 0, 0, 0x2c, 1, 0, 0, 0, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0]);
        list.extend([0x22; 20]);
        list.extend([0; 4]);
        list.extend([3, 0, 0, 0]);
        // The CRC-32 of `{}` by zlib.
        list.extend(0xa3a6_bf43_u32.to_le_bytes());
        list.extend(Digest::of(b"{}").0);
        list.extend([0; 8]);
        list.extend([2, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0x90, 1, 0, 0, 0, 0, 0, 0]);
        list.extend([0; 24]);
        let mut expected = list.clone();
        expected.extend([192, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend(Digest::of(&list).0);
        expected.extend(b"\x00\x00\x01\x00CVPK");

        let end = encode_footer(&items());
        assert_eq!(end, expected);
        assert_eq!(decode(&end, PACK_BYTES), Ok(PackFooter { size: PACK_BYTES, items: items() }));
    }

    #[test]
    fn every_altered_byte_is_noticed() {
        let end = encode_footer(&items());
        for position in 0..end.len() {
            let mut altered = end.clone();
            altered[position] ^= 0x40;
            assert!(decode(&altered, PACK_BYTES).is_err(), "{position}");
        }
        for position in 0..64 {
            let mut header = encode_header();
            header[position] ^= 0x40;
            assert!(decode_header(&header).is_err(), "{position}");
        }
    }

    #[test]
    fn other_versions_are_told_from_damage() {
        let mut header = encode_header();
        header[4] = 2;
        assert_eq!(decode_header(&header), Err(Malformed::Version { what: WHAT, found: 2, known: 1 }));
        let mut end = encode_footer(&items());
        let at = end.len() - 6;
        end[at] = 9;
        assert_eq!(decode(&end, PACK_BYTES), Err(Malformed::Version { what: WHAT, found: 9, known: 1 }));
    }

    #[test]
    fn sealed_lists_that_cannot_be_are_refused() {
        assert!(decode(&sealed(|_| ()), PACK_BYTES).is_ok());
        let put = |at: usize, byte: u8| move |list: &mut Vec<u8>| list[at] = byte;
        // Kind, encoding, flags, reserved, form, stored size, offsets before, over and beyond, SHA-1 without its flag.
        for (at, byte) in [
            (0, 0),
            (0, 4),
            (1, 2),
            (2, 2),
            (3, 1),
            (47, 0x80),
            (96 + 48, 3),
            (64, 63),
            (96 + 64, 0),
            (96 + 65, 2),
            (2, 0),
            (95, 1),
        ] {
            let result = decode(&sealed(put(at, byte)), PACK_BYTES);
            assert!(matches!(result, Err(Malformed::Damaged { .. })), "{at}: {result:?}");
        }
        let huge = |list: &mut Vec<u8>| list[96 + 64..96 + 72].fill(0xff);
        assert!(decode(&sealed(huge), PACK_BYTES).is_err());
        assert!(decode(&sealed(|list| list.clear()), PACK_BYTES).is_err());
        assert!(decode(&sealed(|list| list.truncate(100)), PACK_BYTES).is_err());
    }

    #[test]
    fn a_trailer_is_checked_against_the_size_of_the_pack() {
        let end = encode_footer(&items());
        let trailer = &end[end.len() - 48..];
        for pack_bytes in [0, 48, 64 + 48, 64 + 192 + 47] {
            assert!(decode_trailer(trailer, pack_bytes).is_err(), "{pack_bytes}");
        }
        assert!(decode_trailer(trailer, 64 + 192 + 48).is_ok());
        for length in 0..48 {
            assert!(decode_trailer(&trailer[..length], PACK_BYTES).is_err(), "{length}");
        }
    }
}
