//! Reads one element of a document: its start tag, then its children one after the other, then what stands before its end.
//! Of a child are kept what tells it from its siblings and a digest, never the child.

use std::collections::HashMap;
use std::io;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::error::CompareError;
use super::keys;
use super::spool::{Document, Pieces};
use super::text::{Text, excerpt};

/// The first half of a BLAKE3, for comparisons in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Mark16([u8; 16]);

impl Mark16 {
    pub fn of(hasher: &blake3::Hasher) -> Self {
        let mut first = [0; 16];
        first.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self(first)
    }
}

/// A start tag.
#[derive(Clone, Debug, Default)]
pub(super) struct Tag {
    /// As it is spelled, without the brackets.
    pub raw: String,
    /// Names and values, as they are spelled.
    pub attributes: Vec<(String, String)>,
}

impl Tag {
    fn of(start: &BytesStart<'_>) -> Self {
        let attributes = start
            .attributes()
            .flatten()
            .map(|each| (each.key.as_ref().to_owned(), each.value.to_string()))
            .collect();
        Self { raw: start.to_string(), attributes }
    }

    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// A child of the element that is scanned.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub name: String,
    /// What tells it from its siblings, as paths show it; none where only its place does.
    pub label: Option<String>,
    /// Its `id` as a number, if that is what tells it.
    pub id: Option<u64>,
    /// Its beginning, as it is spelled.
    pub shown: String,
    pub mark: Mark,
}

/// What is kept of a child that cannot be matched at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    /// Digest of name and label.
    pub key: Mark16,
    /// Whether it has a label.
    pub keyed: bool,
    /// Digest of the whole child, tags included.
    pub digest: Mark16,
    /// Beginning of the digest of the text in front of it.
    pub lead: u64,
    /// Where it begins in the document.
    pub start: u64,
    /// Its number among all children, from 1.
    pub position: u32,
    /// Its number among those of its key, from 1.
    pub ordinal: u32,
}

/// A cursor over the children of one element.
pub(super) struct Scan {
    reader: Reader<Pieces>,
    buffer: Vec<u8>,
    base: u64,
    /// Name of the element; empty for the document, whose only child needs no id.
    parent: String,
    position: u32,
    /// Children so far of each key without a label.
    counts: HashMap<Mark16, u32>,
    /// The text before the end tag, once all children were read; before that the text in front of the last child.
    pub text: Text,
    done: bool,
}

/// What was read of a piece of XML, so that the next one can be read into the same buffer.
enum Piece {
    Open(Tag, bool),
    Close,
    Between,
    End,
}

impl Scan {
    /// The document itself: its only child is the root, and its text what stands around it.
    pub fn document(document: &Document) -> Self {
        Self::at(document, document.start(), String::new())
    }

    /// The element that begins at an offset, and its start tag.
    pub fn element(document: &Document, offset: u64) -> Result<(Self, Tag), CompareError> {
        let mut scan = Self::at(document, offset, String::new());
        match scan.piece(&mut Text::default())? {
            Piece::Open(tag, empty) => {
                scan.parent = name_of(&tag).to_owned();
                scan.done = empty;
                Ok((scan, tag))
            }
            _ => Err(changed()),
        }
    }

    /// The child of an element named `parent` that begins at an offset, once more.
    pub fn row(document: &Document, offset: u64, parent: &str) -> Result<Row, CompareError> {
        Self::at(document, offset, parent.to_owned()).next_row()?.ok_or_else(changed)
    }

    fn at(document: &Document, offset: u64, parent: String) -> Self {
        Self {
            reader: document.xml_from(offset),
            buffer: Vec::new(),
            base: offset,
            parent,
            position: 0,
            counts: HashMap::new(),
            text: Text::default(),
            done: false,
        }
    }

    /// Name of the element.
    pub fn parent(&self) -> &str {
        &self.parent
    }

    /// Children of a key without a label that were read so far.
    pub fn count_of(&self, key: Mark16) -> u32 {
        self.counts.get(&key).copied().unwrap_or(0)
    }

    /// The next child. `None` at the end of the element.
    pub fn next_row(&mut self) -> Result<Option<Row>, CompareError> {
        if self.done {
            return Ok(None);
        }
        let mut lead = Text::default();
        while !self.done {
            let start = self.base + self.reader.buffer_position();
            match self.piece(&mut lead)? {
                Piece::Between => {}
                Piece::Close | Piece::End => self.done = true,
                Piece::Open(tag, empty) => return self.child(&tag, empty, start, lead).map(Some),
            }
        }
        self.text = lead;
        Ok(None)
    }

    fn child(&mut self, tag: &Tag, empty: bool, start: u64, lead: Text) -> Result<Row, CompareError> {
        let name = name_of(tag).to_owned();
        let candidates = match self.parent.as_str() {
            "" => [&[][..]; 3],
            parent => keys::candidates(parent, &name),
        };
        let mut child = Child::new(&candidates);
        child.open(tag, empty);
        let mut depth = usize::from(!empty);
        let mut text = Text::default();
        while depth > 0 {
            let piece = self.piece_of(&mut child, &mut text, depth)?;
            match piece {
                Piece::Open(_, true) | Piece::Between => {}
                Piece::Open(_, false) => depth += 1,
                Piece::Close => depth -= 1,
                Piece::End => return Err(changed()),
            }
        }
        let (label, key) = child.label(&candidates, tag, &name);
        self.position += 1;
        let ordinal = match &label {
            Some(_) => 1,
            None => {
                let count = self.counts.entry(key).or_default();
                *count += 1;
                *count
            }
        };
        let id = tag.attribute("id").and_then(|text| text.parse().ok());
        let mut first = [0; 8];
        first.copy_from_slice(&lead.digest().0[..8]);
        let mark = Mark {
            key,
            keyed: label.is_some(),
            digest: Mark16::of(&child.hasher),
            lead: u64::from_le_bytes(first),
            start,
            position: self.position,
            ordinal,
        };
        self.text = lead;
        Ok(Row { name, label, id, shown: child.shown(), mark })
    }

    /// The next piece within a child, told to it.
    fn piece_of(&mut self, child: &mut Child, text: &mut Text, depth: usize) -> Result<Piece, CompareError> {
        let event = next(&mut self.reader, &mut self.buffer)?;
        let [open, raw, close] = spelled(&event);
        for part in [open, raw, close] {
            child.feed(part);
        }
        Ok(match &event {
            Event::Start(start) | Event::Empty(start) => {
                let empty = matches!(event, Event::Empty(_));
                if depth == 1 {
                    child.enter(start.name().as_ref());
                    *text = Text::default();
                    if empty {
                        child.leave(text);
                    }
                }
                Piece::Open(Tag::default(), empty)
            }
            Event::End(_) => {
                if depth == 2 {
                    child.leave(text);
                }
                Piece::Close
            }
            Event::Eof => Piece::End,
            _ => {
                if depth == 2 && child.listens() {
                    text.push(open);
                    text.push(raw);
                    text.push(close);
                }
                Piece::Between
            }
        })
    }

    /// The next piece directly below the element; whatever is no tag goes to `text`.
    fn piece(&mut self, text: &mut Text) -> Result<Piece, CompareError> {
        let event = next(&mut self.reader, &mut self.buffer)?;
        Ok(match &event {
            Event::Start(start) => Piece::Open(Tag::of(start), false),
            Event::Empty(start) => Piece::Open(Tag::of(start), true),
            Event::End(_) => Piece::Close,
            Event::Eof => Piece::End,
            other => {
                spelled(other).iter().for_each(|part| text.push(part));
                Piece::Between
            }
        })
    }
}

/// What is gathered of a child while it is read.
struct Child {
    hasher: blake3::Hasher,
    shown: String,
    /// The child elements that may tell it from its siblings, and their texts.
    wanted: Vec<(&'static str, Option<Text>)>,
    listening: Option<usize>,
}

impl Child {
    /// Bytes of a child that are kept to be shown.
    const KEPT: usize = 400;

    fn new(candidates: &[&[&'static str]]) -> Self {
        let elements = candidates.iter().flat_map(|fields| fields.iter());
        let wanted = elements.filter(|field| !field.starts_with('@')).map(|field| (*field, None)).collect();
        Self { hasher: blake3::Hasher::new(), shown: String::new(), wanted, listening: None }
    }

    fn open(&mut self, tag: &Tag, empty: bool) {
        for part in ["<", &tag.raw, if empty { "/>" } else { ">" }] {
            self.feed(part);
        }
    }

    fn feed(&mut self, part: &str) {
        self.hasher.update(part.as_bytes());
        let room = Self::KEPT.saturating_sub(self.shown.len());
        self.shown.push_str(&part[..part.floor_char_boundary(room)]);
    }

    fn listens(&self) -> bool {
        self.listening.is_some()
    }

    fn enter(&mut self, name: &str) {
        self.listening = self.wanted.iter().position(|(wanted, text)| *wanted == name && text.is_none());
    }

    fn leave(&mut self, text: &mut Text) {
        if let Some(index) = self.listening.take() {
            let name = self.wanted[index].0;
            let text = std::mem::take(text);
            self.wanted.iter_mut().filter(|(wanted, _)| *wanted == name).for_each(|(_, each)| {
                *each = Some(text.clone());
            });
        }
    }

    /// The label that the first usable candidate gives, and the digest of name and label.
    fn label(&self, candidates: &[&[&'static str]], tag: &Tag, name: &str) -> (Option<String>, Mark16) {
        let mut hasher = blake3::Hasher::new();
        hasher.update(name.as_bytes());
        let value = |field: &str| match field.strip_prefix('@') {
            Some(attribute) => tag.attribute(attribute),
            None => {
                let found = self.wanted.iter().find(|(wanted, _)| *wanted == field);
                found.and_then(|(_, text)| text.as_ref()).and_then(Text::whole)
            }
        };
        for fields in candidates.iter().filter(|fields| !fields.is_empty()) {
            let values: Option<Vec<&str>> = fields.iter().map(|field| value(field)).collect();
            let Some(values) = values else { continue };
            let parts: Vec<String> = fields
                .iter()
                .zip(&values)
                .map(|(field, value)| {
                    for part in [field, value] {
                        hasher.update(&(part.len() as u64).to_le_bytes());
                        hasher.update(part.as_bytes());
                    }
                    format!("{field}={}", excerpt(value))
                })
                .collect();
            return (Some(parts.join(",")), Mark16::of(&hasher));
        }
        (None, Mark16::of(&hasher))
    }

    /// The beginning with its white space drawn together.
    fn shown(&self) -> String {
        self.shown.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
    }
}

fn name_of(tag: &Tag) -> &str {
    tag.raw.split(|c: char| c.is_ascii_whitespace()).next().unwrap_or_default()
}

fn next<'b>(reader: &mut Reader<Pieces>, buffer: &'b mut Vec<u8>) -> Result<Event<'b>, CompareError> {
    buffer.clear();
    reader.get_mut().next_piece();
    reader.read_event_into(buffer).map_err(|error| CompareError::Scratch(io::Error::other(error)))
}

/// A piece of XML as it stands in the document.
fn spelled<'e>(event: &'e Event<'_>) -> [&'e str; 3] {
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

/// The document was read to its end before, so this is no fault of the document.
fn changed() -> CompareError {
    CompareError::Scratch(io::Error::new(io::ErrorKind::InvalidData, "a document changed while it was read"))
}
