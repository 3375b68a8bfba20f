//! Records of a zip file and their fields (APPNOTE 6.3.10, sections 4.3 to 4.6).

use super::error::ArchiveError;

pub(super) const LOCAL: [u8; 4] = *b"PK\x03\x04";
pub(super) const CENTRAL: [u8; 4] = *b"PK\x01\x02";
pub(super) const END: [u8; 4] = *b"PK\x05\x06";
pub(super) const END64: [u8; 4] = *b"PK\x06\x06";
pub(super) const LOCATOR64: [u8; 4] = *b"PK\x06\x07";
pub(super) const DESCRIPTOR: [u8; 4] = *b"PK\x07\x08";

pub(super) const METHOD_STORED: u16 = 0;
pub(super) const METHOD_DEFLATE: u16 = 8;

pub(super) const FLAG_DESCRIPTOR: u16 = 1 << 3;
pub(super) const FLAG_UTF8: u16 = 1 << 11;
/// Encrypted content (bit 0), strong encryption (bit 6), masked headers (bit 13).
pub(super) const FLAGS_ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;
/// Bits that tell how hard the compressor tried; nobody reads them.
pub(super) const FLAGS_EFFORT: u16 = 1 << 1 | 1 << 2;

/// Extra field with 64-bit sizes and offsets.
pub(super) const EXTRA_ZIP64: u16 = 0x0001;
/// Info-ZIP's extra field with a second name.
const EXTRA_UNICODE_PATH: u16 = 0x7075;

/// Stands in a 32-bit field whose value is in the zip64 extra field.
pub(super) const IN_ZIP64: u32 = u32::MAX;

/// Reads fields of a record from its start; the record is complete, so that reading cannot run over its end.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        let count = N.min(self.0.len());
        debug_assert_eq!(count, N, "a record is read whole before its fields");
        bytes[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        bytes
    }

    pub(super) fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    pub(super) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    pub(super) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    pub(super) fn skip(&mut self, count: usize) {
        self.0 = &self.0[count.min(self.0.len())..];
    }

    pub(super) fn remaining(&self) -> usize {
        self.0.len()
    }
}

/// The 64-bit values of a header's extra fields: those whose 32-bit fields say [`IN_ZIP64`], in that order.
///
/// Refuses extra fields that are cut off, a zip64 field that occurs twice or is too short, and a second name that is
/// another one than `name`.
pub(super) fn resolve_extra<const N: usize>(
    extra: &[u8],
    name: &[u8],
    narrow: [u32; N],
    offset: u64,
) -> Result<[u64; N], ArchiveError> {
    let mut wide: Option<&[u8]> = None;
    let mut fields = Fields(extra);
    // Some writers align contents with up to three zero bytes, less than an extra field's own header.
    while fields.remaining() >= 4 {
        let (id, size) = (fields.u16(), usize::from(fields.u16()));
        let body = fields.0.get(..size).ok_or_else(|| {
            ArchiveError::corrupt(offset, "an extra field is longer than all of them together")
        })?;
        fields.skip(size);
        match id {
            EXTRA_ZIP64 if wide.is_some() => {
                return Err(ArchiveError::ambiguous(offset, "two extra fields with 64-bit sizes"));
            }
            EXTRA_ZIP64 => wide = Some(body),
            // Version 1, CRC-32 of the name in the header, the name in UTF-8.
            EXTRA_UNICODE_PATH if body.get(5..) != Some(name) => {
                return Err(ArchiveError::ambiguous(offset, "an extra field tells another name"));
            }
            _ => {}
        }
    }
    if fields.0.iter().any(|byte| *byte != 0) {
        return Err(ArchiveError::corrupt(offset, "an extra field is cut off"));
    }
    let mut wide = Fields(wide.unwrap_or_default());
    let mut values = [0; N];
    for (value, narrow) in values.iter_mut().zip(narrow) {
        *value = u64::from(narrow);
        if narrow == IN_ZIP64 {
            if wide.remaining() < 8 {
                return Err(ArchiveError::corrupt(offset, "a 64-bit size is missing"));
            }
            *value = wide.u64();
        }
    }
    Ok(values)
}
