//! One element of a document and what stands directly in it: where each child begins and ends, and what tells it from
//! others. Some hundred bytes for each row of the element at hand; nothing else of a document is held.

use std::collections::HashMap;
use std::io;

use quick_xml::events::{BytesStart, Event};

use super::Compatibility;
use super::rules::{Rule, fields_of, rule_of};
use super::scratch::Scratch;
use crate::format::xml::{Pieces, XmlError, spelled};
use crate::format::{AttributeMeaning, Element, Format, Kind};
use crate::limits::Limits;

/// How Moodle writes SQL's NULL.
pub(super) const NULL: &str = "$@NULL@$";

/// A document that can be entered.
#[derive(Clone)]
pub(super) struct Doc<'d> {
    pub text: Scratch,
    pub format: &'d Format,
    pub limits: &'d Limits,
    pub compatibility: Compatibility,
}

/// What a child is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// A value of the element.
    Field,
    /// One of many.
    Row,
    /// It holds rows.
    Wrapper,
    /// No description covers it, or it hangs in: it is taken or left as a whole.
    Closed,
}

/// A child.
#[derive(Clone, Debug)]
pub(super) struct Mark<'d> {
    pub name: u16,
    pub class: Class,
    pub element: Option<&'d Element>,
    /// Where the text in front of it begins.
    pub start: u64,
    /// Where its start tag begins.
    pub tag: u64,
    /// Where its start tag ends.
    pub tag_end: u64,
    /// Where its end tag begins.
    pub close: u64,
    /// Where it ends.
    pub end: u64,
    pub id: Option<(Option<Kind>, i64)>,
    pub key: Option<[u8; 16]>,
    /// Whether any element is in it.
    pub has_elements: bool,
}

/// An element and its children.
pub(super) struct Level<'d> {
    pub names: Vec<String>,
    pub children: Vec<Mark<'d>>,
    /// Where the last child ends, or the start tag.
    pub inner_end: u64,
    pub tag: u64,
    pub tag_end: u64,
    pub end: u64,
    /// An empty-element tag.
    pub is_empty_tag: bool,
}

impl Level<'_> {
    pub fn name(&self, mark: &Mark<'_>) -> &str {
        &self.names[usize::from(mark.name)]
    }

    pub fn child(&self, name: &str) -> Option<&Mark<'_>> {
        self.children.iter().find(|mark| self.name(mark) == name)
    }
}

/// The number that an attribute `id` is, and of what kind.
fn id_of(element: Option<&Element>, start: &BytesStart<'_>) -> Option<(Option<Kind>, i64)> {
    let found = start.attributes().flatten().find(|attribute| attribute.key.as_ref() == "id")?;
    let id = found.value.parse().ok()?;
    let Some(element) = element else { return Some((None, id)) };
    element.attributes.iter().find(|known| known.name == "id").and_then(|known| match known.meaning {
        AttributeMeaning::Defines(kind) => Some((Some(kind), id)),
        AttributeMeaning::Value(_) => None,
    })
}

/// A child on its way.
struct Open<'d> {
    mark: Mark<'d>,
    rule: Option<&'static Rule>,
    fields: HashMap<String, String>,
    content: blake3::Hasher,
}

impl<'d> Doc<'d> {
    /// Reads the element that begins at `start`; `path` is its own. `drop` decides over rows by their fields.
    pub fn level(&self, path: &str, element: Option<&'d Element>, start: u64) -> Result<Level<'d>, XmlError> {
        let mut pieces = Pieces::new(self.text.from(start), self.limits);
        let mut level = Level {
            names: Vec::new(),
            children: Vec::new(),
            inner_end: 0,
            tag: 0,
            tag_end: 0,
            end: 0,
            is_empty_tag: false,
        };
        let mut numbers: HashMap<String, u16> = HashMap::new();
        let mut open: Option<Open<'d>> = None;
        let (mut depth, mut held_from, mut text, mut leaf) = (0_usize, 0_u64, String::new(), String::new());
        loop {
            let at = start + pieces.offset();
            let event = pieces.advance()?;
            let parts = spelled(&event);
            let size: usize = parts.iter().map(|part| part.len()).sum();
            let after = at + size as u64;
            match &event {
                Event::Start(tag) | Event::Empty(tag) => {
                    let is_empty = matches!(event, Event::Empty(_));
                    match depth {
                        0 => {
                            (level.tag, level.tag_end, level.is_empty_tag) = (at, after, is_empty);
                            (level.inner_end, held_from) = (after, after);
                        }
                        1 => {
                            let known = numbers.len();
                            let name = tag.name().as_ref().to_owned();
                            let number = *numbers.entry(name.clone()).or_insert_with(|| {
                                level.names.push(name.clone());
                                u16::try_from(known).unwrap_or(u16::MAX)
                            });
                            let mut child = self.open(path, element, &name, tag);
                            (child.mark.name, child.mark.start, child.mark.tag) = (number, held_from, at);
                            child.mark.tag_end = after;
                            open = Some(child);
                        }
                        _ => {
                            if let Some(open) = &mut open {
                                open.mark.has_elements = true;
                                open.content.update(parts.concat().as_bytes());
                            }
                            if depth == 2 {
                                leaf.clear();
                                leaf.push_str(tag.name().as_ref());
                            }
                        }
                    }
                    text.clear();
                    depth += 1;
                    if is_empty {
                        depth -= 1;
                        self.ended(depth, at, after, &mut level, &mut open, &mut held_from, (&leaf, &text));
                    }
                }
                Event::End(_) => {
                    depth -= 1;
                    if let Some(open) = &mut open {
                        open.content.update(text.trim().as_bytes());
                        open.content.update(b"/");
                    }
                    self.ended(depth, at, after, &mut level, &mut open, &mut held_from, (&leaf, &text));
                    text.clear();
                }
                Event::Eof => return Ok(level),
                _ => parts.iter().for_each(|part| text.push_str(part)),
            }
            if depth == 0 && level.end > 0 {
                return Ok(level);
            }
        }
    }

    /// A child begins.
    fn open(&self, path: &str, parent: Option<&'d Element>, name: &str, tag: &BytesStart<'_>) -> Open<'d> {
        let hung = parent.is_some_and(|parent| !parent.children.contains_key(name));
        let element = parent.and_then(|parent| self.format.child(parent, name));
        let path = format!("{path}/{name}");
        let rule = rule_of(&path, self.compatibility);
        let id = id_of(element, tag).filter(|_| name != "tag");
        let class = match element {
            _ if hung => Class::Closed,
            Some(element) if element.value.is_some() => Class::Field,
            Some(element) if id.is_some() || element.table.is_some() || rule.is_some() => Class::Row,
            Some(_) => Class::Wrapper,
            None => Class::Closed,
        };
        let mark = Mark {
            name: 0,
            class,
            element,
            start: 0,
            tag: 0,
            tag_end: 0,
            close: 0,
            end: 0,
            id,
            key: None,
            has_elements: false,
        };
        Open { mark, rule, fields: HashMap::new(), content: blake3::Hasher::new() }
    }

    #[expect(clippy::too_many_arguments, reason = "the state of one loop")]
    fn ended(
        &self,
        depth: usize,
        at: u64,
        after: u64,
        level: &mut Level<'d>,
        open: &mut Option<Open<'d>>,
        held_from: &mut u64,
        (leaf, text): (&str, &str),
    ) {
        match depth {
            0 => level.end = after,
            1 => {
                let Some(mut done) = open.take() else { return };
                (done.mark.close, done.mark.end) = (at.max(done.mark.tag_end), after);
                done.mark.key = key_of(&done, &level.names[usize::from(done.mark.name)]);
                level.children.push(done.mark);
                (*held_from, level.inner_end) = (after, after);
            }
            2 => {
                if let Some(open) = open.as_mut().filter(|open| open.rule.is_some()) {
                    open.fields.insert(leaf.to_owned(), text.to_owned());
                }
            }
            _ => {}
        }
    }

    /// The root element.
    pub fn root(&self) -> Result<u64, XmlError> {
        let mut pieces = Pieces::new(self.text.from(0), self.limits);
        loop {
            let at = pieces.offset();
            if let Event::Start(_) | Event::Empty(_) = pieces.advance()? {
                return Ok(at);
            }
        }
    }

    /// The text of a field.
    pub fn value(&self, mark: &Mark<'_>) -> io::Result<String> {
        self.text.text(mark.tag_end, mark.close.max(mark.tag_end))
    }
}

/// What is equal in equal rows; `None` where only the id tells.
fn key_of(open: &Open<'_>, name: &str) -> Option<[u8; 16]> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(name.as_bytes());
    match (open.mark.class, open.rule) {
        (Class::Field | Class::Wrapper, _) => return None,
        (_, Some(rule)) => {
            let fields = fields_of(rule, |field| open.fields.get(field).cloned())?;
            for field in fields {
                let value = open.fields.get(*field).map_or(NULL, String::as_str);
                hasher.update(value.as_bytes());
                hasher.update(&[0]);
            }
        }
        (_, None) if open.mark.id.is_some() => return None,
        (_, None) => {
            hasher.update(open.content.finalize().as_bytes());
        }
    }
    let mut key = [0; 16];
    key.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    Some(key)
}
