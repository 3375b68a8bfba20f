//! Reads a gzip-compressed tar file forward: ustar, GNU and PAX entries by the `tar` crate, and what it leaves open.
//!
//! The crate reads long names and PAX records into memory whatever their size, takes a missing end for an end, and
//! accepts kinds of entries that have no place here; so headers have a budget, and the rest is checked here.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use tar::EntryType;

use super::error::{ArchiveError, Halt, ReadError};
use super::gunzip::Gunzip;
use super::intake::{ARCHIVE_INDEX, Intake, decode_name};
use super::source::{BUFFER_BYTES, Source};
use super::{MemberEnd, MemberSink};

const BLOCK: usize = 512;
/// Bytes that the headers of one entry may have, with long names and PAX records: far more than a path may have.
const HEADER_BUDGET: u64 = 1 << 20;

/// What the tar reader's input tells about itself while the `tar` crate owns it.
#[derive(Default)]
struct Gauge {
    /// Bytes that may still be read now.
    budget: Cell<u64>,
    /// Packed bytes consumed.
    position: Cell<u64>,
    /// The stream ended.
    ended: Cell<bool>,
}

/// The unpacked stream as the `tar` crate reads it. Why it stops travels inside of [`io::Error`].
struct Input<'l, R> {
    gunzip: Gunzip<'l, R>,
    gauge: Rc<Gauge>,
}

impl<R: Read> Read for Input<'_, R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let budget = usize::try_from(self.gauge.budget.get()).unwrap_or(usize::MAX);
        if budget == 0 && !target.is_empty() {
            let offset = self.gunzip.position();
            let what = "the headers of one entry are larger than any path needs";
            return Err(io::Error::other(Halt::from(ArchiveError::corrupt(offset, what))));
        }
        let count = target.len().min(budget);
        let read = self.gunzip.read(&mut target[..count]);
        self.gauge.position.set(self.gunzip.position());
        let read = read.map_err(io::Error::other)?;
        self.gauge.budget.set(self.gauge.budget.get() - read as u64);
        self.gauge.ended.set(read == 0 && !target.is_empty());
        Ok(read)
    }
}

pub(super) fn read<R: Read, S: MemberSink>(
    source: Source<R>,
    intake: &mut Intake<'_>,
    sink: &mut S,
) -> Result<(), ReadError<S::Error>> {
    let gauge = Rc::new(Gauge::default());
    let input = Input { gunzip: Gunzip::new(source, intake.limits()), gauge: Rc::clone(&gauge) };
    let mut archive = tar::Archive::new(input);
    let mut buffer = vec![0; BUFFER_BYTES].into_boxed_slice();
    gauge.budget.set(HEADER_BUDGET);
    for entry in archive.entries().map_err(|error| halt(error, &gauge))? {
        let mut entry = entry.map_err(|error| halt(error, &gauge))?;
        gauge.budget.set(u64::MAX);
        intake.entry()?;
        read_entry(&mut entry, intake, sink, &gauge, &mut buffer)?;
        gauge.budget.set(HEADER_BUDGET);
    }
    if gauge.ended.get() {
        return Err(ArchiveError::truncated(gauge.position.get()).into());
    }
    gauge.budget.set(u64::MAX);
    read_end(&mut archive.into_inner().gunzip, &mut buffer)?;
    Ok(())
}

fn read_entry<R: Read, S: MemberSink>(
    entry: &mut tar::Entry<'_, R>,
    intake: &mut Intake<'_>,
    sink: &mut S,
    gauge: &Gauge,
    buffer: &mut [u8],
) -> Result<(), ReadError<S::Error>> {
    let position = gauge.position.get();
    let name = entry.path_bytes().into_owned();
    let name = decode_name(&name)?;
    let kind = entry.header().entry_type();
    let size = entry.size();
    if matches!(kind, EntryType::Regular | EntryType::Directory) {
        check_header(entry, name, position)?;
    }
    match kind {
        EntryType::Directory if size > 0 => {
            // Some readers take the size for an announcement without bytes, others for bytes.
            return Err(ArchiveError::ambiguous(position, "a folder has a size").within(name).into());
        }
        EntryType::Directory => intake.folder(name)?,
        EntryType::XGlobalHeader => check_global_header(entry, gauge)?,
        EntryType::Regular if name.strip_prefix("./").unwrap_or(name) == ARCHIVE_INDEX => {
            pour(entry, gauge, buffer, |_| Ok(())).map_err(|error| named(error, name))?;
        }
        EntryType::Regular => {
            let path = intake.file(name, Some(size))?;
            sink.start(&path, Some(size), false).map_err(ReadError::Sink)?;
            let mut crc32 = crc32fast::Hasher::new();
            pour(entry, gauge, buffer, |piece| {
                crc32.update(piece);
                intake.content(&path, piece.len() as u64)?;
                sink.plain(piece).map_err(ReadError::Sink)
            })
            .map_err(|error| named(error, name))?;
            let end = MemberEnd { size, crc32: crc32.finalize(), raw_size: None };
            sink.finish(end).map_err(ReadError::Sink)?;
        }
        other => return Err(unsupported(other, name).into()),
    }
    Ok(())
}

/// Reads a content to its end; there must be as much as the header says.
fn pour<R: Read, E>(
    entry: &mut tar::Entry<'_, R>,
    gauge: &Gauge,
    buffer: &mut [u8],
    mut take: impl FnMut(&[u8]) -> Result<(), ReadError<E>>,
) -> Result<(), ReadError<E>> {
    let mut left = entry.size();
    while left > 0 {
        let count = entry.read(buffer).map_err(|error| halt(error, gauge))?;
        if count == 0 {
            return Err(ArchiveError::truncated(gauge.position.get()).into());
        }
        take(&buffer[..count])?;
        left -= count as u64;
    }
    Ok(())
}

/// Refuses headers of one entry that tell different things.
fn check_header<R: Read>(entry: &mut tar::Entry<'_, R>, name: &str, position: u64) -> Result<(), Halt> {
    let ambiguous = |what: &str| Err(ArchiveError::ambiguous(position, what).within(name).into());
    let header = entry.header();
    // Where ustar has the first part of a path, GNU has times of incremental archives; not every reader knows.
    if header.as_gnu().is_some() && header.as_bytes()[345..500].iter().any(|byte| *byte != 0) {
        return ambiguous("a GNU header has bytes where other readers see a part of the path");
    }
    let mut paths = 0;
    let mut sizes = 0;
    if let Some(records) = entry.pax_extensions()? {
        for record in records {
            let Ok(record) = record else {
                return Err(ArchiveError::corrupt(position, "a malformed PAX record").within(name).into());
            };
            let key = record.key_bytes();
            if key.starts_with(b"GNU.sparse.") {
                let kind = "sparse file";
                return Err(ArchiveError::KindUnsupported { member: name.to_owned(), kind }.into());
            }
            if key == b"path" {
                paths += 1;
                if record.value_bytes() != name.as_bytes() {
                    return ambiguous("two headers tell two paths");
                }
            }
            sizes += usize::from(key == b"size");
        }
    }
    match paths > 1 || sizes > 1 {
        true => ambiguous("a PAX header tells one thing twice"),
        false => Ok(()),
    }
}

/// A global PAX header may hold comments and times, as `git archive` writes; nothing that changes members.
fn check_global_header<R: Read>(entry: &mut tar::Entry<'_, R>, gauge: &Gauge) -> Result<(), Halt> {
    let position = gauge.position.get();
    if entry.size() > HEADER_BUDGET {
        return Err(ArchiveError::corrupt(position, "a global PAX header of absurd size").into());
    }
    let size = entry.size();
    let mut records = Vec::new();
    entry.read_to_end(&mut records).map_err(|error| halt(error, gauge))?;
    if (records.len() as u64) < size {
        return Err(ArchiveError::truncated(gauge.position.get()).into());
    }
    for record in tar::PaxExtensions::new(&records) {
        let Ok(record) = record else {
            return Err(ArchiveError::corrupt(position, "a malformed PAX record").into());
        };
        let key = record.key_bytes();
        if matches!(key, b"path" | b"linkpath" | b"size") || key.starts_with(b"GNU.sparse.") {
            return Err(ArchiveError::ambiguous(position, "a global PAX header changes all members").into());
        }
    }
    Ok(())
}

/// Reads behind the first zero block, which the `tar` crate has taken: a second one, then nothing but zeros.
fn read_end<R: Read>(gunzip: &mut Gunzip<'_, R>, buffer: &mut [u8]) -> Result<(), Halt> {
    let mut zeros = 0;
    loop {
        let count = gunzip.read(buffer)?;
        if count == 0 {
            break;
        }
        if buffer[..count].iter().any(|byte| *byte != 0) {
            let what = "there is something behind the end of the tar file";
            return Err(ArchiveError::ambiguous(gunzip.position(), what).into());
        }
        zeros += count;
    }
    match zeros < BLOCK {
        true => Err(ArchiveError::truncated(gunzip.position()).into()),
        false => Ok(()),
    }
}

fn unsupported(kind: EntryType, name: &str) -> ArchiveError {
    let kind = match kind {
        EntryType::Symlink => "symbolic link",
        EntryType::Link => "hard link",
        EntryType::Char | EntryType::Block => "device",
        EntryType::Fifo => "pipe",
        EntryType::GNUSparse => "sparse file",
        _ => "thing of unknown kind",
    };
    ArchiveError::KindUnsupported { member: name.to_owned(), kind }
}

fn named<E>(error: ReadError<E>, name: &str) -> ReadError<E> {
    match error {
        ReadError::Archive(error) => ReadError::Archive(error.within(name)),
        other => other,
    }
}

/// Why the `tar` crate stopped: what [`Input`] put into the error, or a header that it does not understand.
fn halt(error: io::Error, gauge: &Gauge) -> Halt {
    match error.downcast::<Halt>() {
        Ok(halt) => halt,
        Err(_) if gauge.ended.get() => ArchiveError::truncated(gauge.position.get()).into(),
        Err(error) => {
            ArchiveError::corrupt(gauge.position.get(), format!("not a tar header: {error}")).into()
        }
    }
}
