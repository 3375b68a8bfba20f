//! Reading a document along its description, for whoever wants values and changes nothing. Texts come as what they stand
//! for, not as they are spelled. Nothing is held but the open elements and one text.

use std::io::BufRead;

use quick_xml::events::{BytesStart, Event};

use super::description::Element;
use super::registry::Format;
use super::xml::{Pieces, XmlError, escaped, unescaped};
use crate::limits::Limits;

/// What is read.
#[derive(Clone, Copy, Debug)]
pub enum Step<'s, 'f> {
    /// An element begins.
    Open {
        /// What describes it, if anything does.
        element: Option<&'f Element>,
        /// Its name.
        name: &'s str,
        /// Its attributes.
        attributes: &'s [(String, String)],
    },
    /// An element ends.
    Close {
        /// What describes it, if anything does.
        element: Option<&'f Element>,
        /// Its name.
        name: &'s str,
        /// Its text; none for an element with elements in it.
        text: Option<&'s str>,
    },
}

struct Frame<'f> {
    element: Option<&'f Element>,
    name: String,
    holds_elements: bool,
}

struct Reading<'r, 'f> {
    format: &'f Format,
    root: &'f Element,
    open: Vec<Frame<'f>>,
    /// As it is spelled.
    text: String,
    see: &'r mut dyn FnMut(Step<'_, 'f>),
}

/// Reads a document whose root is described by `root`.
///
/// # Errors
///
/// [`XmlError`] for a document that is no XML; what was seen until then is worthless.
pub fn read<'f>(
    format: &'f Format,
    root: &'f Element,
    input: impl BufRead,
    limits: &Limits,
    see: &mut dyn FnMut(Step<'_, 'f>),
) -> Result<(), XmlError> {
    let mut pieces = Pieces::new(input, limits);
    let mut reading = Reading { format, root, open: Vec::new(), text: String::new(), see };
    loop {
        match pieces.advance()? {
            Event::Start(start) => reading.start(&start),
            Event::Empty(start) => {
                reading.start(&start);
                reading.end();
            }
            Event::End(_) => reading.end(),
            Event::Text(text) => reading.text.push_str(&text),
            Event::CData(text) => reading.text.push_str(&escaped(&text)),
            Event::GeneralRef(reference) => {
                ["&", &reference, ";"].iter().for_each(|part| reading.text.push_str(part));
            }
            Event::Eof => return Ok(()),
            _ => {}
        }
    }
}

impl Reading<'_, '_> {
    fn start(&mut self, start: &BytesStart<'_>) {
        let name = start.name();
        let name: &str = name.as_ref();
        let element = match self.open.last_mut() {
            None => (self.root.name == name).then_some(self.root),
            Some(parent) => {
                parent.holds_elements = true;
                parent.element.and_then(|parent| self.format.child(parent, name))
            }
        };
        let attribute = |attribute: quick_xml::events::attributes::Attribute<'_>| {
            let name: &str = attribute.key.as_ref();
            let value: &str = &attribute.value;
            (name.to_owned(), unescaped(value).into_owned())
        };
        let attributes: Vec<(String, String)> = start.attributes().flatten().map(attribute).collect();
        self.text.clear();
        (self.see)(Step::Open { element, name, attributes: &attributes });
        self.open.push(Frame { element, name: name.to_owned(), holds_elements: false });
    }

    fn end(&mut self) {
        let Some(frame) = self.open.pop() else { return };
        let text = unescaped(&self.text);
        let text = (!frame.holds_elements).then_some(text.as_ref());
        (self.see)(Step::Close { element: frame.element, name: &frame.name, text });
        self.text.clear();
    }
}
