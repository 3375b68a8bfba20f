//! Reads a zip file forward: local headers and contents as they come, then the central directory against them.
//!
//! Most readers of zip start at the end. Here the end can only confirm what was read: [`Central`] refuses a file whose
//! central directory tells anything else than its local headers, so that every reader sees the same members.

use std::io::Read;

use flate2::{Decompress, FlushDecompress, Status};

use super::error::{ArchiveError, Halt, ReadError};
use super::intake::{Intake, check_ratio, decode_name};
use super::source::{BUFFER_BYTES, Source};
use super::zip_central::Central;
use super::zip_record::*;
use super::{MemberEnd, MemberSink};
use crate::course::MemberPath;

/// What a local header said and what was counted behind it.
pub(super) struct Local {
    pub(super) offset: u64,
    pub(super) name: Box<[u8]>,
    pub(super) flags: u16,
    pub(super) method: u16,
    pub(super) crc32: u32,
    pub(super) packed: u64,
    pub(super) size: u64,
}

/// A local header as written.
struct Header {
    offset: u64,
    name: Vec<u8>,
    flags: u16,
    method: u16,
    crc32: u32,
    /// Packed size and size; unknown when a data descriptor follows.
    sizes: Option<(u64, u64)>,
}

/// What was counted of one content.
#[derive(Default)]
struct Counted {
    packed: u64,
    size: u64,
    crc32: crc32fast::Hasher,
}

pub(super) fn read<R: Read, S: MemberSink>(
    source: &mut Source<R>,
    intake: &mut Intake<'_>,
    sink: &mut S,
) -> Result<(), ReadError<S::Error>> {
    let mut unpacker = Unpacker::new();
    let mut locals = Vec::new();
    while next_signature(source)? == LOCAL {
        intake.entry()?;
        let header = read_header(source)?;
        let name = decode_name(&header.name)?;
        let local = read_entry(source, intake, sink, &mut unpacker, &header, name)?;
        locals.push(local);
    }
    Central::new(locals).read(source)?;
    Ok(())
}

/// The signature of the next record, which is not consumed.
pub(super) fn next_signature<R: Read>(source: &mut Source<R>) -> Result<[u8; 4], Halt> {
    let offset = source.position();
    match source.peek(4)?.first_chunk() {
        Some(signature) => Ok(*signature),
        None => Err(ArchiveError::truncated(offset).into()),
    }
}

fn read_header<R: Read>(source: &mut Source<R>) -> Result<Header, Halt> {
    let offset = source.position();
    let fixed = source.array::<30>()?;
    let mut fields = Fields(&fixed[6..]);
    let (flags, method) = (fields.u16(), fields.u16());
    fields.skip(4);
    let crc32 = fields.u32();
    let (narrow_packed, narrow_size) = (fields.u32(), fields.u32());
    let (name_bytes, extra_bytes) = (usize::from(fields.u16()), usize::from(fields.u16()));
    let mut name = Vec::new();
    source.append(name_bytes, &mut name)?;
    let mut extra = Vec::new();
    source.append(extra_bytes, &mut extra)?;

    let shown = || String::from_utf8_lossy(&name).chars().take(200).collect::<String>();
    if flags & FLAGS_ENCRYPTED != 0 {
        return Err(ArchiveError::Encrypted { member: shown() }.into());
    }
    if method != METHOD_STORED && method != METHOD_DEFLATE {
        return Err(ArchiveError::MethodUnsupported { member: shown(), method }.into());
    }
    // In local headers the zip64 field has the size first, and both sizes always.
    let [size, packed] = resolve_extra(&extra, &name, [narrow_size, narrow_packed], offset)
        .map_err(|error| error.within(&shown()))?;
    let unknown = flags & FLAG_DESCRIPTOR != 0 && packed == 0;
    Ok(Header { offset, name, flags, method, crc32, sizes: (!unknown).then_some((packed, size)) })
}

fn read_entry<R: Read, S: MemberSink>(
    source: &mut Source<R>,
    intake: &mut Intake<'_>,
    sink: &mut S,
    unpacker: &mut Unpacker,
    header: &Header,
    name: &str,
) -> Result<Local, ReadError<S::Error>> {
    let deflate = header.method == METHOD_DEFLATE;
    let counted = if name.ends_with('/') {
        intake.folder(name)?;
        read_folder(source, unpacker, header).map_err(|halt| halt.within(name))?
    } else {
        let declared = header.sizes.map(|(_, size)| size);
        let path = intake.file(name, declared)?;
        sink.start(&path, declared, deflate).map_err(ReadError::Sink)?;
        let counted = match deflate {
            true => unpacker.deflated(source, intake, sink, header, &path)?,
            false => stored(source, intake, sink, header, &path)?,
        };
        settle(source, header, &counted).map_err(|halt| halt.within(name))?;
        let end = MemberEnd {
            size: counted.size,
            crc32: counted.crc32.clone().finalize(),
            raw_size: deflate.then_some(counted.packed),
        };
        sink.finish(end).map_err(ReadError::Sink)?;
        counted
    };
    Ok(Local {
        offset: header.offset,
        name: header.name.as_slice().into(),
        flags: header.flags,
        method: header.method,
        crc32: counted.crc32.finalize(),
        packed: counted.packed,
        size: counted.size,
    })
}

/// A folder's entry holds nothing; some writers deflate the nothing.
fn read_folder<R: Read>(
    source: &mut Source<R>,
    unpacker: &mut Unpacker,
    header: &Header,
) -> Result<Counted, Halt> {
    let mut counted = Counted::default();
    if header.method == METHOD_DEFLATE {
        unpacker.start();
        loop {
            let step = unpacker.step(source, header, &mut counted)?;
            source.consume(step.taken);
            if step.ended {
                break;
            }
        }
    }
    let packed = header.sizes.map_or(counted.packed, |(packed, _)| packed);
    if counted.size > 0 || packed != counted.packed {
        let what = "a folder has a content";
        return Err(ArchiveError::ambiguous(header.offset, what).into());
    }
    settle(source, header, &counted)?;
    Ok(counted)
}

fn stored<R: Read, S: MemberSink>(
    source: &mut Source<R>,
    intake: &mut Intake<'_>,
    sink: &mut S,
    header: &Header,
    path: &MemberPath,
) -> Result<Counted, ReadError<S::Error>> {
    let mut counted = Counted::default();
    // Without sizes it can only be empty; `settle` looks.
    let (packed, size) = header.sizes.unwrap_or_default();
    if packed != size {
        let what = "a stored member has two sizes";
        return Err(ArchiveError::ambiguous(header.offset, what).within(path.as_str()).into());
    }
    while counted.size < size {
        let position = source.position();
        let shown = source.fill().map_err(ReadError::Input)?;
        let left = usize::try_from(size - counted.size).unwrap_or(usize::MAX);
        let piece = &shown[..shown.len().min(left)];
        if piece.is_empty() {
            return Err(ArchiveError::truncated(position).within(path.as_str()).into());
        }
        let taken = piece.len();
        counted.size += taken as u64;
        counted.crc32.update(piece);
        intake.content(path, taken as u64)?;
        sink.plain(piece).map_err(ReadError::Sink)?;
        source.consume(taken);
    }
    counted.packed = counted.size;
    Ok(counted)
}

/// Compares what was counted with the header, or with the data descriptor behind the content.
fn settle<R: Read>(source: &mut Source<R>, header: &Header, counted: &Counted) -> Result<(), Halt> {
    let crc32 = counted.crc32.clone().finalize();
    if let Some((packed, size)) = header.sizes
        && (packed, size) != (counted.packed, counted.size)
    {
        return Err(ArchiveError::corrupt(header.offset, "it has another size than its header says").into());
    }
    if header.flags & FLAG_DESCRIPTOR == 0 {
        return match header.crc32 == crc32 {
            true => Ok(()),
            false => Err(ArchiveError::corrupt(header.offset, "its checksum is wrong").into()),
        };
    }
    read_descriptor(source, header, crc32, counted)
}

/// A data descriptor has a signature or none, and sizes of 32 or of 64 bits, and nothing says which. The one form that
/// fits both what was counted and the record that must follow is taken.
fn read_descriptor<R: Read>(
    source: &mut Source<R>,
    header: &Header,
    crc32: u32,
    counted: &Counted,
) -> Result<(), Halt> {
    const LONGEST: usize = 24;
    let offset = source.position();
    let shown = source.peek(LONGEST + 4)?;
    let mut fitting = None;
    for (signed, wide) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut expected = Vec::with_capacity(LONGEST);
        if signed {
            expected.extend(DESCRIPTOR);
        }
        expected.extend(crc32.to_le_bytes());
        for size in [counted.packed, counted.size] {
            match (wide, u32::try_from(size)) {
                (true, _) => expected.extend(size.to_le_bytes()),
                (false, Ok(size)) => expected.extend(size.to_le_bytes()),
                // Some writers keep the low half only; readers would differ.
                (false, Err(_)) => expected.clear(),
            }
        }
        let follows = |rest: &[u8]| rest.starts_with(&LOCAL) || rest.starts_with(&CENTRAL);
        if expected.len() >= 12 && shown.strip_prefix(expected.as_slice()).is_some_and(follows) {
            if fitting.is_some() {
                return Err(ArchiveError::ambiguous(offset, "two forms of data descriptor fit").into());
            }
            fitting = Some(expected.len());
        }
    }
    if let Some(bytes) = fitting {
        source.consume(bytes);
        return Ok(());
    }
    if header.method == METHOD_STORED && header.sizes.is_none() {
        let what = "a stored member whose size is told only behind it has no certain end; \
                    pack the archive again into a file, not into a pipe";
        return Err(ArchiveError::ambiguous(header.offset, what).into());
    }
    if shown.len() < LONGEST + 4 {
        return Err(ArchiveError::truncated(offset + shown.len() as u64).into());
    }
    Err(ArchiveError::corrupt(offset, "its data descriptor does not tell what was read").into())
}

/// Inflates contents, one after the other.
struct Unpacker {
    inflate: Decompress,
    plain: Box<[u8]>,
}

/// One step of inflating: bytes taken from the source (not consumed yet) and bytes put into `plain`.
struct Step {
    taken: usize,
    given: usize,
    ended: bool,
}

impl Unpacker {
    fn new() -> Self {
        Self { inflate: Decompress::new(false), plain: vec![0; BUFFER_BYTES].into_boxed_slice() }
    }

    fn start(&mut self) {
        self.inflate.reset(false);
    }

    /// Inflates a piece of what the source shows, and counts. The stream must not go beyond the packed size that the
    /// header tells.
    fn step<R: Read>(
        &mut self,
        source: &mut Source<R>,
        header: &Header,
        counted: &mut Counted,
    ) -> Result<Step, Halt> {
        let position = source.position();
        let mut shown = source.fill()?;
        let at_end = shown.is_empty();
        if let Some((packed, _)) = header.sizes {
            let left = usize::try_from(packed - counted.packed).unwrap_or(usize::MAX);
            shown = &shown[..shown.len().min(left)];
        }
        let (taken_before, given_before) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self
            .inflate
            .decompress(shown, &mut self.plain, FlushDecompress::None)
            .map_err(|_| ArchiveError::corrupt(position, "its deflate stream is damaged"))?;
        let ended = status == Status::StreamEnd;
        // Both are bounded by the buffers' sizes.
        let taken = (self.inflate.total_in() - taken_before) as usize;
        let given = (self.inflate.total_out() - given_before) as usize;
        if taken == 0 && given == 0 && !ended {
            return Err(match at_end {
                true => ArchiveError::truncated(position),
                false => ArchiveError::corrupt(position, "its deflate stream is longer than its header says"),
            }
            .into());
        }
        counted.packed += taken as u64;
        counted.size += given as u64;
        counted.crc32.update(&self.plain[..given]);
        Ok(Step { taken, given, ended })
    }

    fn deflated<R: Read, S: MemberSink>(
        &mut self,
        source: &mut Source<R>,
        intake: &mut Intake<'_>,
        sink: &mut S,
        header: &Header,
        path: &MemberPath,
    ) -> Result<Counted, ReadError<S::Error>> {
        let mut counted = Counted::default();
        self.start();
        loop {
            let step = self.step(source, header, &mut counted).map_err(|halt| halt.within(path.as_str()))?;
            intake.content(path, step.given as u64)?;
            check_ratio(intake.limits(), intake.content_bytes(), source.position() + step.taken as u64)?;
            let shown = source.fill().map_err(ReadError::Input)?;
            sink.raw(&shown[..step.taken]).map_err(ReadError::Sink)?;
            sink.plain(&self.plain[..step.given]).map_err(ReadError::Sink)?;
            source.consume(step.taken);
            if step.ended {
                return Ok(counted);
            }
        }
    }
}
