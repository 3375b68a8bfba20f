//! Reading documents piece by piece, within bounds and as they are spelled.

use std::borrow::Cow;
use std::io::{self, BufRead, Read};

use quick_xml::Reader;
use quick_xml::events::Event;

use crate::limits::Limits;

/// Bytes of one tag or one piece of text. Moodle's largest values are pages with embedded pictures, some MiB.
const PIECE: u64 = 64 << 20;

/// Why a document was not read.
#[derive(Debug, thiserror::Error)]
pub enum XmlError {
    /// It is no XML that can be read in one way.
    #[error("at byte {offset}: {what}")]
    Invalid {
        /// Where, in bytes from its beginning.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// It is nested too deep.
    #[error("at byte {offset}: elements are nested deeper than {limit}")]
    TooDeep {
        /// Where, in bytes from its beginning.
        offset: u64,
        /// The limit.
        limit: usize,
    },
    /// Its bytes could not be had.
    #[error("its bytes cannot be had")]
    Input(#[source] io::Error),
}

/// A document as a sequence of pieces. Well-formed as far as tags go, without a document type, of bounded depth.
pub struct Pieces<R: BufRead> {
    reader: Reader<Bounded<R>>,
    buffer: Vec<u8>,
    depth: usize,
    roots: usize,
    limit: usize,
}

impl<R: BufRead> Pieces<R> {
    /// Reads a document from its beginning.
    pub fn new(input: R, limits: &Limits) -> Self {
        let reader = Reader::from_reader(Bounded { input, left: PIECE, too_large: false });
        Self { reader, buffer: Vec::new(), depth: 0, roots: 0, limit: limits.xml_depth }
    }

    /// Where the next piece begins, in bytes.
    pub fn offset(&self) -> u64 {
        self.reader.buffer_position()
    }

    /// The next piece.
    ///
    /// # Errors
    ///
    /// [`XmlError`], which names the place. Whatever comes after is meaningless.
    pub fn advance(&mut self) -> Result<Event<'_>, XmlError> {
        self.buffer.clear();
        self.reader.get_mut().left = PIECE;
        let offset = self.reader.buffer_position();
        let invalid = |what: &str| Err(XmlError::Invalid { offset, what: what.to_owned() });
        let event = match self.reader.read_event_into(&mut self.buffer) {
            Ok(event) => event,
            Err(_) if self.reader.get_ref().too_large => {
                return invalid(&format!("a tag or value of more than {PIECE} bytes"));
            }
            Err(quick_xml::Error::Io(error)) => {
                return Err(XmlError::Input(io::Error::new(error.kind(), error)));
            }
            Err(error) => return invalid(&error.to_string()),
        };
        match &event {
            Event::Start(_) | Event::Empty(_) => {
                self.roots += usize::from(self.depth == 0);
                if self.roots > 1 {
                    return invalid("a second root element");
                }
                if matches!(event, Event::Start(_)) {
                    self.depth += 1;
                    if self.depth > self.limit {
                        return Err(XmlError::TooDeep { offset, limit: self.limit });
                    }
                }
            }
            Event::End(_) => self.depth -= 1,
            Event::DocType(_) => return invalid("a document type"),
            Event::Text(text) if self.depth == 0 && !text.trim_ascii().is_empty() => {
                return invalid("text outside of the root element");
            }
            Event::CData(_) | Event::GeneralRef(_) if self.depth == 0 => {
                return invalid("text outside of the root element");
            }
            Event::Eof if self.depth > 0 => return invalid("it ends within an element"),
            Event::Eof if self.roots == 0 => return invalid("no root element"),
            _ => {}
        }
        Ok(event)
    }
}

/// A piece as it stands in the document: what opens it, what is in it, what closes it.
pub fn spelled<'e>(event: &'e Event<'_>) -> [&'e str; 3] {
    match event {
        Event::Start(start) => ["<", start, ">"],
        Event::Empty(start) => ["<", start, "/>"],
        Event::End(end) => ["</", end, ">"],
        Event::Text(text) => ["", text, ""],
        Event::CData(text) => ["<![CDATA[", text, "]]>"],
        Event::Comment(text) => ["<!--", text, "-->"],
        Event::Decl(declaration) => ["<?", declaration, "?>"],
        Event::PI(instruction) => ["<?", instruction, "?>"],
        Event::DocType(text) => ["<!DOCTYPE", text, ">"],
        Event::GeneralRef(reference) => ["&", reference, ";"],
        Event::Eof => ["", "", ""],
    }
}

/// The text that a spelling stands for. References to what XML does not know by itself stay as they are.
pub fn unescaped(raw: &str) -> Cow<'_, str> {
    if raw.contains('&') {
        quick_xml::escape::unescape(raw).unwrap_or(Cow::Borrowed(raw))
    } else {
        Cow::Borrowed(raw)
    }
}

/// A text as Moodle spells it between tags.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    out
}

/// Input of which each piece may have so many bytes only, for the reader holds one in memory.
struct Bounded<R> {
    input: R,
    left: u64,
    too_large: bool,
}

impl<R: BufRead> BufRead for Bounded<R> {
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

impl<R: BufRead> Read for Bounded<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let shown = self.fill_buf()?;
        let count = shown.len().min(target.len());
        target[..count].copy_from_slice(&shown[..count]);
        self.consume(count);
        Ok(count)
    }
}
