//! Small documents, and parts of large ones, as values.

use std::io::BufRead;

use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};

use crate::format::xml::{Pieces, XmlError, unescaped};
use crate::limits::Limits;

/// How Moodle writes SQL's NULL.
const NULL: &str = "$@NULL@$";

/// Bytes of the names and texts of one part. A question with embedded pictures has some MiB.
const PART_BYTES: usize = 96 << 20;

/// An element with everything in it. Names are without the prefix of their namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Node {
    pub name: String,
    pub attributes: Vec<(String, String)>,
    /// The text directly in it.
    pub text: String,
    pub children: Vec<Node>,
}

impl Node {
    /// The first element of that name directly in it.
    pub fn child(&self, name: &str) -> Option<&Node> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The element at a path of names below it, the first of each.
    pub fn at(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(self, |node, name| node.child(name))
    }

    /// The elements of that name directly in it.
    pub fn all<'n>(&'n self, name: &'n str) -> impl Iterator<Item = &'n Node> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// Visits it and everything below it.
    pub fn visit<'n>(&'n self, see: &mut dyn FnMut(&'n Node)) {
        see(self);
        self.children.iter().for_each(|child| child.visit(see));
    }

    /// The first element of that name anywhere below it.
    pub fn find<'n>(&'n self, name: &str) -> Option<&'n Node> {
        self.children.iter().find_map(|child| match child.name == name {
            true => Some(child),
            false => child.find(name),
        })
    }

    /// The text of an element directly in it; empty for none and NULL.
    pub fn text_of(&self, name: &str) -> &str {
        self.child(name).map(|child| child.text.as_str()).filter(|text| *text != NULL).unwrap_or_default()
    }

    /// The whole number in an element directly in it; 0 for none.
    pub fn number(&self, name: &str) -> i64 {
        self.text_of(name).trim().parse().unwrap_or_default()
    }

    /// The decimal number in an element directly in it; 0 for none.
    pub fn decimal(&self, name: &str) -> f64 {
        self.text_of(name).trim().parse().unwrap_or_default()
    }

    /// An attribute, by its name without prefix.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Its `id`; 0 for none.
    pub fn id(&self) -> i64 {
        self.attribute("id").and_then(|id| id.trim().parse().ok()).unwrap_or_default()
    }
}

fn local(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}

fn opened(start: &BytesStart<'_>) -> Node {
    let attributes = start.attributes().flatten().map(|attribute| {
        let name: &str = attribute.key.as_ref();
        let value: &str = &attribute.value;
        // A declaration of a namespace keeps its prefix, so that it is no attribute of another name.
        let name = if name.starts_with("xmlns") { name } else { local(name) };
        (name.to_owned(), unescaped(value).into_owned())
    });
    let attributes = attributes.collect();
    let name = start.name();
    let name: &str = name.as_ref();
    Node { name: local(name).to_owned(), attributes, ..Node::default() }
}

/// Reads a document as a whole.
pub(super) fn document(input: impl BufRead, limits: &Limits) -> Result<Node, XmlError> {
    let mut root = None;
    each_part(input, limits, &["*"], |node| {
        root = Some(node);
        Ok::<(), XmlError>(())
    })?;
    Ok(root.unwrap_or_default())
}

/// Gives every element at `path`, the names from the root on, where `*` is any. One of them is in memory at a time.
pub(super) fn each_part<E: From<XmlError>>(
    input: impl BufRead,
    limits: &Limits,
    path: &[&str],
    mut each: impl FnMut(Node) -> Result<(), E>,
) -> Result<(), E> {
    let mut pieces = Pieces::new(input, limits);
    let (mut depth, mut fitting) = (0_usize, 0_usize);
    let mut open: Vec<Node> = Vec::new();
    let mut size = 0;
    loop {
        let offset = pieces.offset();
        let mut text = |open: &mut Vec<Node>, piece: &str| {
            if let Some(node) = open.last_mut() {
                node.text.push_str(piece);
                size += piece.len();
            }
        };
        let (mut begins, mut ends) = (None, false);
        match pieces.advance()? {
            Event::Start(start) => begins = Some(opened(&start)),
            Event::Empty(start) => (begins, ends) = (Some(opened(&start)), true),
            Event::End(_) => ends = true,
            Event::Text(piece) => text(&mut open, &unescaped(&piece)),
            Event::CData(piece) => text(&mut open, &piece),
            Event::GeneralRef(reference) => match reference.resolve_char_ref() {
                Ok(Some(letter)) => text(&mut open, letter.encode_utf8(&mut [0; 4])),
                _ => text(&mut open, resolve_predefined_entity(&reference).unwrap_or_default()),
            },
            Event::Eof => return Ok(()),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
        if let Some(node) = begins {
            size += node.name.len() + 64;
            size += node.attributes.iter().map(|(name, value)| name.len() + value.len() + 48).sum::<usize>();
            let fits = depth == fitting
                && path.get(depth).is_some_and(|wanted| *wanted == "*" || *wanted == node.name);
            fitting += usize::from(fits);
            depth += 1;
            if !open.is_empty() || (fits && fitting == path.len()) {
                open.push(node);
            }
        }
        if size > PART_BYTES {
            let what = format!("one part of the document has more than {PART_BYTES} bytes");
            return Err(XmlError::Invalid { offset, what }.into());
        }
        if ends {
            depth -= 1;
            fitting = fitting.min(depth);
            if let Some(node) = open.pop() {
                match open.last_mut() {
                    Some(parent) => parent.children.push(node),
                    None => {
                        size = 0;
                        each(node)?;
                    }
                }
            }
        }
    }
}

/// A text between tags.
pub(super) fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // XML 1.0 cannot hold these, not even escaped.
            '\u{0}'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
            c => out.push(c),
        }
    }
    out
}

/// A value of an attribute between double quotes.
pub(super) fn value(value: &str) -> String {
    text(value).replace('"', "&quot;").replace('\n', "&#10;").replace('\t', "&#9;").replace('\r', "&#13;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_one_by_one() -> Result<(), XmlError> {
        let document =
            "<a><n:b id=\"1\"><c>x&amp;<![CDATA[<y>]]>&#233;</c><b/></n:b><d><b/></d><b id='2' x:y='z'/></a>";
        let mut seen = Vec::new();
        each_part(document.as_bytes(), &Limits::default(), &["a", "b"], |node| {
            seen.push(node);
            Ok::<(), XmlError>(())
        })?;
        assert_eq!(seen.len(), 2);
        assert_eq!((seen[0].id(), seen[0].text_of("c"), seen[0].children.len()), (1, "x&<y>é", 2));
        assert_eq!((seen[1].id(), seen[1].attribute("y")), (2, Some("z")));
        let root = super::document(document.as_bytes(), &Limits::default())?;
        assert_eq!((root.name.as_str(), root.children.len()), ("a", 3));
        assert!(root.find("c").is_some() && root.at(&["d", "b"]).is_some());
        Ok(())
    }

    #[test]
    fn texts_are_escaped_and_forbidden_letters_go() {
        assert_eq!(text("a<b>&\u{1}c\nd"), "a&lt;b&gt;&amp;c\nd");
        assert_eq!(value("a\"b\nc"), "a&quot;b&#10;c");
    }
}
