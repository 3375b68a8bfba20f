//! Changing the values of one document along its description. Whatever the editor does not replace keeps its spelling,
//! byte for byte; elements and attributes stay where they are. What a value is replaced with is the editor's matter.

use std::io::{BufRead, Write};

use quick_xml::events::{BytesStart, Event};

use super::description::{AttributeMeaning, Element, Kind, Meaning};
use super::registry::Format;
use super::rewrite::RewriteError;
use super::xml::{Pieces, spelled};
use crate::limits::Limits;

/// Bytes that are written at once.
const BLOCK: usize = 64 << 10;

/// Bytes of a field that other values may depend on. Names of components, areas and tables are far shorter.
const FIELD: usize = 1024;

/// What an editor is shown.
#[derive(Clone, Copy, Debug)]
pub enum Spot<'f> {
    /// The id of an element's own thing.
    Defines(Kind),
    /// A value, or an attribute that is one.
    Value(&'f Meaning),
    /// A value or an attribute that no description covers.
    Undescribed,
}

/// Where an editor is.
pub struct Place<'p> {
    path: &'p str,
    open: &'p [Frame<'p>],
    outer: &'p [(&'p str, &'p str)],
}

impl Place<'_> {
    /// Names of the elements from the root down, `/@name` behind them for an attribute.
    pub fn path(&self) -> &str {
        self.path
    }

    /// A field that some description says other values depend on, as it is spelled: of the same row, else of the nearest
    /// one around it, else what was told for the whole document. It must stand in front of what depends on it.
    pub fn field(&self, name: &str) -> Option<&str> {
        let rows = self.open.iter().rev().flat_map(|frame| &frame.fields);
        let inner = rows.filter(|(field, _)| *field == name).map(|(_, value)| value.as_str()).next();
        inner.or_else(|| self.outer.iter().find(|(field, _)| *field == name).map(|(_, value)| *value))
    }
}

/// An open element.
struct Frame<'f> {
    element: Option<&'f Element>,
    /// Length of the path without it.
    path: usize,
    fields: Vec<(&'f str, String)>,
}

/// What decides over values: the new spelling, or `None` to keep the old one.
pub type Editor<'e> = dyn FnMut(&Place<'_>, Spot<'_>, &str) -> Option<String> + 'e;

/// Edits one document.
pub struct Edit<'r, 'e, W: Write> {
    format: &'r Format,
    root: &'r Element,
    outer: &'r [(&'r str, &'r str)],
    editor: &'e mut Editor<'e>,
    output: W,
    out: Vec<u8>,
    /// Text since the last tag, not written yet.
    held: String,
    open: Vec<Frame<'r>>,
    path: String,
    changed: bool,
}

impl<'r, 'e, W: Write> Edit<'r, 'e, W> {
    /// For a document whose root is described by `root`; `outer` are fields for the whole document.
    pub fn new(
        format: &'r Format,
        root: &'r Element,
        outer: &'r [(&'r str, &'r str)],
        output: W,
        editor: &'e mut Editor<'e>,
    ) -> Self {
        Self {
            format,
            root,
            outer,
            editor,
            output,
            out: Vec::with_capacity(BLOCK + BLOCK / 4),
            held: String::new(),
            open: Vec::new(),
            path: String::new(),
            changed: false,
        }
    }

    /// Edits; whether anything was replaced.
    ///
    /// # Errors
    ///
    /// [`RewriteError`]; what was written until then is worthless.
    pub fn run(mut self, input: impl BufRead, limits: &Limits) -> Result<bool, RewriteError> {
        let mut pieces = Pieces::new(input, limits);
        loop {
            let event = pieces.advance()?;
            match &event {
                Event::Start(start) => self.start(start, false),
                Event::Empty(start) => {
                    self.start(start, true);
                    self.close(None);
                }
                Event::End(end) => self.close(Some(end)),
                Event::Eof => break,
                other => spelled(other).iter().for_each(|part| self.held.push_str(part)),
            }
            if self.out.len() > BLOCK {
                self.flush()?;
            }
        }
        self.emit_held();
        self.flush()?;
        Ok(self.changed)
    }

    fn flush(&mut self) -> Result<(), RewriteError> {
        self.output.write_all(&self.out).map_err(RewriteError::Output)?;
        self.out.clear();
        Ok(())
    }

    fn emit_held(&mut self) {
        self.out.extend_from_slice(self.held.as_bytes());
        self.held.clear();
    }

    fn start(&mut self, start: &BytesStart<'_>, empty: bool) {
        self.emit_held();
        let name = start.name();
        let name: &str = name.as_ref();
        let element = match self.open.last() {
            None => (self.root.name == name).then_some(self.root),
            Some(parent) => parent.element.and_then(|parent| self.format.child(parent, name)),
        };
        let path = self.path.len();
        self.path.push('/');
        self.path.push_str(name);
        self.open.push(Frame { element, path, fields: Vec::new() });
        let tag = self.tag(element, start);
        for part in ["<", &tag, if empty { "/>" } else { ">" }] {
            self.out.extend_from_slice(part.as_bytes());
        }
    }

    /// The inside of a start tag, with what the editor made of its attributes.
    fn tag(&mut self, element: Option<&'r Element>, start: &BytesStart<'_>) -> String {
        let raw: &str = start;
        let mut tag = String::with_capacity(raw.len() + 16);
        // Up to here of the raw tag is in the new one.
        let mut taken = 0;
        for attribute in start.attributes().flatten() {
            let name: &str = attribute.key.as_ref();
            let value: &str = &attribute.value;
            let described =
                element.and_then(|element| element.attributes.iter().find(|known| known.name == name));
            let spot = match described.map(|known| &known.meaning) {
                Some(AttributeMeaning::Defines(kind)) => Spot::Defines(*kind),
                Some(AttributeMeaning::Value(meaning)) => Spot::Value(meaning),
                None => Spot::Undescribed,
            };
            let length = self.path.len();
            self.path.push_str("/@");
            self.path.push_str(name);
            let field = self.format.field(&self.path[length + 1..]);
            let new = self.ask(spot, value);
            self.path.truncate(length);
            if let (Some(field), Some(frame)) = (field, self.open.last_mut()) {
                frame.fields.push((field, value.to_owned()));
            }
            let Some(new) = new else { continue };
            // Its value stands behind its name and a quote.
            let found = ['"', '\''].iter().find_map(|quote| {
                let spelled = format!("{name}={quote}{value}{quote}");
                // Not the end of a longer name.
                let starts = |at: &usize| raw[..*at].ends_with(|c: char| c.is_ascii_whitespace());
                let at = raw[taken..].match_indices(&spelled).map(|(at, _)| taken + at).find(starts)?;
                Some(at + name.len() + 2)
            });
            let Some(at) = found else { continue };
            tag.push_str(&raw[taken..at]);
            tag.push_str(&new);
            taken = at + value.len();
            self.changed = true;
        }
        tag.push_str(&raw[taken..]);
        tag
    }

    fn ask(&mut self, spot: Spot<'_>, raw: &str) -> Option<String> {
        let place = Place { path: &self.path, open: &self.open, outer: self.outer };
        (self.editor)(&place, spot, raw).filter(|new| new != raw)
    }

    /// Ends the open element, with its end tag unless it was an empty-element tag.
    fn close(&mut self, end: Option<&str>) {
        let Some(frame) = self.open.pop() else { return };
        let value = frame.element.and_then(|element| element.value.as_ref());
        let spot = match (frame.element, value) {
            (_, Some(value)) => Some(Spot::Value(&value.meaning)),
            (None, None) if !self.held.trim_ascii().is_empty() => Some(Spot::Undescribed),
            _ => None,
        };
        if let (Some(spot), Some(_)) = (spot, end) {
            let raw = std::mem::take(&mut self.held);
            let new = self.ask(spot, &raw);
            self.changed |= new.is_some();
            let field = self.format.field(&self.path[frame.path + 1..]);
            if let (Some(field), Some(parent)) = (field.filter(|_| raw.len() <= FIELD), self.open.last_mut())
            {
                parent.fields.push((field, raw.clone()));
            }
            self.held = new.unwrap_or(raw);
        }
        if let Some(end) = end {
            self.emit_held();
            for part in ["</", end, ">"] {
                self.out.extend_from_slice(part.as_bytes());
            }
        }
        self.path.truncate(frame.path);
    }
}
