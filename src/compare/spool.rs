//! A document that differs, copied so that it can be read again from any place: in memory while it is small, else in a
//! temporary file that nobody else sees.

use std::cell::RefCell;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::rc::Rc;

use quick_xml::Reader;
use quick_xml::events::Event;

use super::Members;
use super::error::{CompareError, Side};
use crate::course::MemberPath;
use crate::digest::Digest;
use crate::limits::Limits;

/// Bytes of a document that stay in memory.
const IN_MEMORY: usize = 8 << 20;

/// Bytes read at once. Small, for a document may be entered at many places.
const BUFFER: usize = 16 << 10;

/// Bytes of one tag or one piece of text. Moodle's largest values are pages with embedded pictures, some MiB.
const PIECE: u64 = 64 << 20;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Why a document is not read as XML.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    /// Where it was noticed, in bytes.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
}

/// A copy of a document.
pub(super) struct Document {
    copy: Rc<RefCell<tempfile::SpooledTempFile>>,
    digest: Digest,
    size: u64,
    start: u64,
    refusal: Option<Refusal>,
}

impl Document {
    /// Copies a document, and reads it once to see whether it is XML within the limits.
    pub fn take(
        side: Side,
        source: &dyn Members,
        path: &MemberPath,
        limits: &Limits,
    ) -> Result<Self, CompareError> {
        let failed = |error| CompareError::read(side, path, error);
        let mut input = source.open(path).map_err(failed)?;
        let mut copy = tempfile::SpooledTempFile::new(IN_MEMORY);
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; BUFFER];
        let mut first: Vec<u8> = Vec::new();
        let mut size = 0;
        loop {
            let count = match input.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(error)),
            };
            let bytes = &buffer[..count];
            hasher.update(bytes);
            copy.write_all(bytes).map_err(CompareError::Scratch)?;
            first.extend(bytes.iter().copied().take(BYTE_ORDER_MARK.len().saturating_sub(first.len())));
            size += count as u64;
        }
        let start = if first == BYTE_ORDER_MARK { first.len() as u64 } else { 0 };
        let digest = Digest(*hasher.finalize().as_bytes());
        let copy = Rc::new(RefCell::new(copy));
        let mut document = Self { copy, digest, size, start, refusal: None };
        document.refusal = document.check(limits).map_err(CompareError::Scratch)?;
        Ok(document)
    }

    pub fn digest(&self) -> Digest {
        self.digest
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// Where the XML begins.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Why it is not read as XML.
    pub fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_ref()
    }

    /// A reader of the copy from an offset. Any number of them may be in use.
    pub fn read_from(&self, offset: u64) -> Window {
        Window { copy: Rc::clone(&self.copy), position: offset }
    }

    /// The text directly in front of an offset, or its end.
    pub fn text_before(&self, offset: u64) -> io::Result<String> {
        const SHOWN: u64 = 120;
        let start = offset.saturating_sub(SHOWN);
        let mut bytes = Vec::new();
        self.read_from(start).take(offset - start).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        Ok(text.rsplit('>').next().unwrap_or_default().to_owned())
    }

    /// A reader of the XML from an offset.
    pub fn xml_from(&self, offset: u64) -> Reader<Pieces> {
        let input = BufReader::with_capacity(BUFFER, self.read_from(offset));
        Reader::from_reader(Pieces { input, left: PIECE, too_large: false })
    }

    /// Reads the whole document; what is accepted here never fails later.
    fn check(&self, limits: &Limits) -> io::Result<Option<Refusal>> {
        let mut reader = self.xml_from(self.start);
        let mut buffer = Vec::new();
        let (mut depth, mut roots) = (0_usize, 0_usize);
        loop {
            buffer.clear();
            reader.get_mut().next_piece();
            let offset = self.start + reader.buffer_position();
            let refuse = |what: String| Ok(Some(Refusal { offset, what }));
            let event = match reader.read_event_into(&mut buffer) {
                Ok(event) => event,
                Err(_) if reader.get_ref().too_large => {
                    return refuse(format!("a tag or value of more than {PIECE} bytes"));
                }
                Err(quick_xml::Error::Io(error)) => return Err(io::Error::new(error.kind(), error)),
                Err(error) => return refuse(error.to_string()),
            };
            match event {
                Event::Start(start) | Event::Empty(start)
                    if start.attributes().any(|attribute| attribute.is_err()) =>
                {
                    return refuse("an attribute that is not well formed".to_owned());
                }
                Event::Start(_) => {
                    roots += usize::from(depth == 0);
                    depth += 1;
                    if depth > limits.xml_depth {
                        return refuse(format!("elements more than {} deep", limits.xml_depth));
                    }
                }
                Event::Empty(_) => roots += usize::from(depth == 0),
                Event::End(_) => depth -= 1,
                Event::DocType(_) => return refuse("a document type".to_owned()),
                Event::Text(text) if depth == 0 && !text.trim_ascii().is_empty() => {
                    return refuse("text outside of the root element".to_owned());
                }
                Event::CData(_) | Event::GeneralRef(_) if depth == 0 => {
                    return refuse("text outside of the root element".to_owned());
                }
                Event::Eof if depth > 0 => return refuse("it ends within an element".to_owned()),
                Event::Eof if roots == 0 => return refuse("no root element".to_owned()),
                Event::Eof => return Ok(None),
                _ => {}
            }
            if roots > 1 {
                return refuse("a second root element".to_owned());
            }
        }
    }
}

/// Reads a copy from a place of its own.
pub(super) struct Window {
    copy: Rc<RefCell<tempfile::SpooledTempFile>>,
    position: u64,
}

impl Read for Window {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let mut copy = self.copy.borrow_mut();
        copy.seek(SeekFrom::Start(self.position))?;
        let count = copy.read(target)?;
        self.position += count as u64;
        Ok(count)
    }
}

/// Input of which each piece of XML may have so many bytes only, for the reader holds one in memory.
pub(super) struct Pieces {
    input: BufReader<Window>,
    left: u64,
    too_large: bool,
}

impl Pieces {
    /// The next piece begins.
    pub fn next_piece(&mut self) {
        self.left = PIECE;
    }
}

impl BufRead for Pieces {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            self.too_large = true;
            return Err(io::Error::other("a tag or value is too large"));
        }
        self.input.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.left = self.left.saturating_sub(count as u64);
        self.input.consume(count);
    }
}

impl Read for Pieces {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let shown = self.fill_buf()?;
        let count = shown.len().min(target.len());
        target[..count].copy_from_slice(&shown[..count]);
        self.consume(count);
        Ok(count)
    }
}
