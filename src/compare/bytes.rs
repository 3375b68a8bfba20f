//! Contents that are not read as XML.

use std::io::{self, Read};

use super::error::{CompareError, Side};
use super::spool::Document;
use super::{Member, Members};

/// Compares contents byte by byte, unless their digests tell. `None`: they are the same; else what each is.
pub(super) fn compare(
    (a, one): (&dyn Members, &Member),
    (b, other): (&dyn Members, &Member),
) -> Result<Option<(String, String)>, CompareError> {
    let both = |offset: Option<u64>| {
        let place = offset.map(|offset| format!(", first at byte {offset}")).unwrap_or_default();
        (told(one) + &place, told(other) + &place)
    };
    if one.digest.is_some() && other.digest.is_some() {
        return Ok((one.digest != other.digest).then(|| both(None)));
    }
    let left = a.open(&one.path).map_err(|error| CompareError::read(Side::A, &one.path, error))?;
    let right = b.open(&other.path).map_err(|error| CompareError::read(Side::B, &other.path, error))?;
    let failed = |side: Side, error| CompareError::read(side, &one.path, error);
    Ok(first_difference(left, right, failed)?.map(|offset| both(Some(offset))))
}

/// A member in a few words.
pub(super) fn told(member: &Member) -> String {
    match member.digest {
        Some(digest) => format!("{} bytes, blake3 {:.16}…", member.size, digest.to_string()),
        None => format!("{} bytes", member.size),
    }
}

/// Two documents whose bytes differ in a few words.
pub(super) fn told_documents(a: &Document, b: &Document) -> Result<(String, String), CompareError> {
    let failed = |_, error| CompareError::Scratch(error);
    let offset = first_difference(a.read_from(0), b.read_from(0), failed)?.unwrap_or(0);
    let told = |document: &Document| {
        let digest = document.digest().to_string();
        format!("{} bytes, blake3 {digest:.16}…, first at byte {offset}", document.size())
    };
    Ok((told(a), told(b)))
}

/// The offset of the first byte that is not the same in both.
fn first_difference(
    mut a: impl Read,
    mut b: impl Read,
    failed: impl Fn(Side, io::Error) -> CompareError,
) -> Result<Option<u64>, CompareError> {
    const BLOCK: usize = 64 << 10;
    let (mut left, mut right) = (vec![0; BLOCK], vec![0; BLOCK]);
    let mut offset = 0;
    loop {
        let one = fill(&mut a, &mut left).map_err(|error| failed(Side::A, error))?;
        let other = fill(&mut b, &mut right).map_err(|error| failed(Side::B, error))?;
        let same = left[..one].iter().zip(&right[..other]).take_while(|(x, y)| x == y).count();
        offset += same as u64;
        if same < one || same < other {
            return Ok(Some(offset));
        }
        if one == 0 {
            return Ok(None);
        }
    }
}

/// Fills a buffer as far as there are bytes.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while count < buffer.len() {
        match input.read(&mut buffer[count..]) {
            Ok(0) => break,
            Ok(read) => count += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}
