//! Rewriting one document along its description: what the settings leave out goes, what must not be told is emptied, and
//! everything that stays keeps its spelling, byte for byte.
//!
//! Moodle's white space comes by itself: the text in front of an element goes with it, the text before an end tag stays.
//! So a wrapper that loses its last child is left with the white space that Moodle writes into empty wrappers.

use std::io::{BufRead, Write};

use quick_xml::events::{BytesStart, Event};

use super::codec;
use super::condition::{Compatibility, Conditions, Switch};
use super::description::{AttributeMeaning, Element, Kind, Meaning, RowTest, RuleEffect, Value};
use super::outcome::{IdSet, Outcome};
use super::registry::Format;
use super::seen::{Fact, Mark, Note, Seen};
use super::xml::{Pieces, XmlError, escaped, spelled};
use crate::limits::Limits;

/// Bytes that are written at once.
const BLOCK: usize = 64 << 10;

/// Bytes of a row that waits for what decides over it. Moodle's largest such rows are submissions of some MiB.
const ROW: usize = 64 << 20;

/// How Moodle writes SQL's NULL.
const NULL: &str = "$@NULL@$";

/// Kinds of which only some things stay.
pub type Keep<'p> = Vec<(Kind, &'p IdSet)>;

/// What a document is rewritten for.
#[derive(Clone, Debug)]
pub struct Purpose<'p> {
    /// Whose rules count.
    pub compatibility: Compatibility,
    /// What is on in the document's place.
    pub on: Conditions,
    /// Elements that define a thing of these kinds go, unless its id is in the set.
    pub keep: Keep<'p>,
    /// Things that were left out elsewhere: rows that follow them go.
    pub gone: Keep<'p>,
    /// Seconds by which dates move with the course's start.
    pub date_offset: i64,
    /// Values that are set, by path from the root element, such as `/course/fullname`.
    pub values: Vec<(&'static str, &'p str)>,
    /// Tell references from within things of this kind one by one.
    pub links_of: Option<Kind>,
}

impl Purpose<'_> {
    fn without_users(&self) -> bool {
        !self.on.has(Switch::Users)
    }

    fn anonymises(&self) -> bool {
        !self.on.has(Switch::NotAnonymized)
    }

    /// Whether values that name people are emptied whatever element they stand in.
    fn hides_people(&self) -> bool {
        self.compatibility == Compatibility::Strict && (self.without_users() || self.anonymises())
    }

    /// What is not described may be about people.
    fn drops_unknown(&self) -> bool {
        self.without_users() || self.anonymises() || !self.on.has(Switch::Userinfo)
    }
}

/// Why a document was not rewritten.
#[derive(Debug, thiserror::Error)]
pub enum RewriteError {
    /// It could not be read.
    #[error(transparent)]
    Xml(#[from] XmlError),
    /// A row is too large to wait for what decides over it.
    #[error("at byte {offset}: a row of more than {ROW} bytes")]
    RowTooLarge {
        /// Where, in bytes from the document's beginning.
        offset: u64,
    },
    /// The result could not be written.
    #[error("the result cannot be written")]
    Output(#[source] std::io::Error),
}

/// The fields that decide over a row, and which of them were found set.
struct Row<'f> {
    mark: Mark,
    tests: Vec<(&'f RowTest, bool)>,
}

impl Row<'_> {
    fn sees(&mut self, field: &str, is_set: bool, is_gone: bool) {
        for (test, hit) in &mut self.tests {
            match test {
                RowTest::Any => *hit = true,
                RowTest::Set(wanted) if wanted == field => *hit = is_set,
                RowTest::Unset(wanted) if wanted == field => *hit = !is_set,
                RowTest::Follows(wanted) if wanted == field => *hit = is_gone,
                RowTest::Set(_) | RowTest::Unset(_) | RowTest::Follows(_) => {}
            }
        }
    }

    fn goes(&self) -> bool {
        self.tests.iter().any(|(_, hit)| *hit)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Kept,
    Emptied,
    Dropped,
}

/// An open element.
struct Frame<'f> {
    element: Option<&'f Element>,
    state: State,
    row: Option<Row<'f>>,
    /// Length of the path without it.
    path: usize,
    /// It is the thing whose references are told one by one.
    owns: bool,
}

/// Rewrites documents for one purpose.
pub struct Rewrite<'r, W: Write> {
    format: &'r Format,
    purpose: &'r Purpose<'r>,
    user: Option<Kind>,
    root: &'r Element,
    output: W,
    out: Vec<u8>,
    /// Text since the last tag, not written yet.
    held: String,
    open: Vec<Frame<'r>>,
    path: String,
    /// Rows that wait for a decision.
    waiting: usize,
    /// Number of the last user, for constants.
    number: u64,
    owner: Option<i64>,
    changed: bool,
    seen: Seen<'r>,
}

impl<'r, W: Write> Rewrite<'r, W> {
    /// For a document whose root is described by `root`.
    pub fn new(format: &'r Format, purpose: &'r Purpose<'r>, root: &'r Element, output: W) -> Self {
        Self {
            format,
            purpose,
            user: format.kind("user"),
            root,
            output,
            out: Vec::with_capacity(BLOCK + BLOCK / 4),
            held: String::new(),
            open: Vec::new(),
            path: String::new(),
            waiting: 0,
            number: 0,
            owner: None,
            changed: false,
            seen: Seen::new(format),
        }
    }

    /// Whether rewriting a document with that root could change it at all.
    pub fn may_change(format: &Format, purpose: &Purpose<'_>, root: &Element) -> bool {
        let user = format.kind("user");
        let rule = |element: &Element| {
            element.rules.iter().any(|rule| {
                let follows = matches!(rule.effect, RuleEffect::Row(RowTest::Follows(_)));
                rule.is_active(purpose.compatibility, purpose.on) && !(follows && purpose.gone.is_empty())
            }) || element.attributes.iter().any(|attribute| match &attribute.meaning {
                AttributeMeaning::Defines(kind) => purpose.keep.iter().any(|(kept, _)| kept == kind),
                AttributeMeaning::Value(_) => false,
            }) || (purpose.anonymises()
                && element.value.as_ref().is_some_and(|value| value.anonymous.is_some()))
                || element.meanings().any(|meaning| Self::empties(purpose, user, meaning))
        };
        // Unknown elements are dropped where people may be in them, so such documents are always looked at.
        let sets = purpose.values.iter().any(|(path, _)| path.split('/').nth(1) == Some(root.name.as_str()));
        purpose.drops_unknown() || sets || format.any(root, &rule)
    }

    /// Whether a value of that meaning is replaced wherever it stands.
    fn empties(purpose: &Purpose<'_>, user: Option<Kind>, meaning: &Meaning) -> bool {
        let nobody = purpose.compatibility == Compatibility::Strict && purpose.without_users();
        match meaning {
            Meaning::Ref { kind, .. } | Meaning::Ids(kind) => nobody && Some(*kind) == user,
            Meaning::Codec(codec) => {
                (nobody && codec::names_users(&codec.name))
                    || (purpose.date_offset != 0 && codec::has_dates(&codec.name))
            }
            Meaning::Person | Meaning::Ip => purpose.hides_people(),
            Meaning::Secret => !purpose.on.has(Switch::Secrets),
            Meaning::Date => purpose.date_offset != 0,
            _ => false,
        }
    }

    /// Rewrites a document.
    ///
    /// # Errors
    ///
    /// [`RewriteError`]; what was written until then is worthless.
    pub fn run(mut self, input: impl BufRead, limits: &Limits) -> Result<Outcome, RewriteError> {
        let mut pieces = Pieces::new(input, limits);
        loop {
            let offset = pieces.offset();
            let event = pieces.advance()?;
            match &event {
                Event::Start(start) => self.start(start, false),
                Event::Empty(start) => {
                    self.start(start, true);
                    self.close(None);
                }
                Event::End(end) => self.close(Some(end)),
                Event::Eof => break,
                other => self.text(&spelled(other)),
            }
            if self.waiting == 0 && (self.out.len() > BLOCK || self.seen.is_full()) {
                self.flush()?;
            } else if self.out.len() > ROW {
                return Err(RewriteError::RowTooLarge { offset });
            }
        }
        self.emit_held();
        self.flush()?;
        Ok(self.seen.finish(self.changed))
    }

    fn flush(&mut self) -> Result<(), RewriteError> {
        self.seen.settle();
        self.output.write_all(&self.out).map_err(RewriteError::Output)?;
        self.out.clear();
        Ok(())
    }

    fn text(&mut self, parts: &[&str; 3]) {
        if self.open.last().is_none_or(|frame| frame.state != State::Dropped) {
            parts.iter().for_each(|part| self.held.push_str(part));
        }
    }

    fn emit_held(&mut self) {
        self.out.extend_from_slice(self.held.as_bytes());
        self.held.clear();
    }

    /// The description of a child of the open element.
    fn described(&self, name: &str) -> Option<&'r Element> {
        let Some(parent) = self.open.last() else { return (self.root.name == name).then_some(self.root) };
        self.format.child(parent.element?, name)
    }

    fn start(&mut self, start: &BytesStart<'_>, empty: bool) {
        let name = start.name();
        let name: &str = name.as_ref();
        let element = self.described(name);
        let path = self.path.len();
        self.path.push('/');
        self.path.push_str(name);
        let (state, tests) = self.decide(element, start);
        let mark = self.seen.mark(self.out.len());
        let mut frame = Frame { element, state, row: None, path, owns: false };
        if state == State::Dropped {
            self.held.clear();
            self.changed = true;
            self.seen.dropped(element);
        } else {
            if !tests.is_empty() {
                self.waiting += 1;
                frame.row = Some(Row { mark, tests });
            }
            self.emit_held();
            frame.owns = self.attributes(element, start);
            self.tag(element, start, empty);
            self.seen.kept(element);
        }
        self.open.push(frame);
    }

    /// What becomes of an element, and the tests of its fields that decide over it later.
    fn decide(
        &mut self,
        element: Option<&'r Element>,
        start: &BytesStart<'_>,
    ) -> (State, Vec<(&'r RowTest, bool)>) {
        let parent = self.open.last();
        if parent.is_some_and(|parent| parent.state != State::Kept) {
            return (State::Dropped, Vec::new());
        }
        let Some(element) = element else {
            // Only the topmost element that is not described is told and decided upon.
            if parent.is_none_or(|parent| parent.element.is_some()) {
                self.seen.add(Fact::Noted(Note::Unknown, self.path.clone()));
                if self.purpose.drops_unknown() && parent.is_some() {
                    return (State::Dropped, Vec::new());
                }
            }
            return (State::Kept, Vec::new());
        };
        let mut state = State::Kept;
        let mut tests = Vec::new();
        for rule in &element.rules {
            if !rule.is_active(self.purpose.compatibility, self.purpose.on) {
                continue;
            }
            match &rule.effect {
                RuleEffect::Gone | RuleEffect::Row(RowTest::Any) => return (State::Dropped, Vec::new()),
                RuleEffect::Empty => state = State::Emptied,
                // A field that does not come at all is not set.
                RuleEffect::Row(test) => tests.push((test, matches!(test, RowTest::Unset(_)))),
            }
        }
        if !self.purpose.keep.is_empty() && self.is_left_out(element, start) {
            return (State::Dropped, Vec::new());
        }
        (state, tests)
    }

    /// Whether it defines a thing that does not stay.
    fn is_left_out(&self, element: &Element, start: &BytesStart<'_>) -> bool {
        element.attributes.iter().any(|attribute| {
            let AttributeMeaning::Defines(kind) = attribute.meaning else { return false };
            let Some((_, ids)) = self.purpose.keep.iter().find(|(kept, _)| *kept == kind) else {
                return false;
            };
            let id = attribute_of(start, &attribute.name).and_then(|text| text.parse().ok());
            id.is_none_or(|id| !ids.contains(&id))
        })
    }

    /// Sees the attributes of an element that stays; true when its references are told one by one from here on.
    fn attributes(&mut self, element: Option<&'r Element>, start: &BytesStart<'_>) -> bool {
        let Some(element) = element else { return false };
        let mut owns = false;
        for attribute in &element.attributes {
            let Some(text) = attribute_of(start, &attribute.name) else { continue };
            let id = text.parse::<i64>().ok().filter(|id| *id > 0);
            match (&attribute.meaning, id) {
                (AttributeMeaning::Defines(kind), Some(id)) => {
                    self.seen.defines(*kind, id);
                    if Some(*kind) == self.user {
                        self.number += 1;
                    }
                    if self.purpose.links_of == Some(*kind) {
                        self.owner = Some(id);
                        owns = true;
                    }
                }
                (AttributeMeaning::Value(meaning), _) => self.seen.refers(meaning, &text, self.owner),
                _ => {}
            }
        }
        owns
    }

    /// Writes a start tag, without attributes that must not be told.
    fn tag(&mut self, element: Option<&'r Element>, start: &BytesStart<'_>, empty: bool) {
        let mut raw: String = (**start).to_owned();
        let described = |name: &str| {
            element.is_none_or(|element| element.attributes.iter().any(|attribute| attribute.name == name))
        };
        let mut rebuilt = false;
        let mut tag = start.name().as_ref().to_owned();
        for attribute in start.attributes().flatten() {
            let name: &str = attribute.key.as_ref();
            if !described(name) {
                self.seen.add(Fact::Noted(Note::Unknown, format!("{}/@{name}", self.path)));
                if self.purpose.drops_unknown() {
                    rebuilt = true;
                    continue;
                }
            }
            tag.push_str(&format!(" {name}=\"{}\"", attribute.value));
        }
        if rebuilt {
            self.changed = true;
            raw = tag;
        }
        // An empty-element tag that must get a text becomes a pair of tags.
        let value = element.and_then(|element| element.value.as_ref()).filter(|_| empty);
        if let Some(text) = value.and_then(|value| self.replacement(value, "")) {
            self.changed = true;
            let name = start.name();
            let name: &str = name.as_ref();
            for part in ["<", raw.trim_end(), ">", &text, "</", name, ">"] {
                self.out.extend_from_slice(part.as_bytes());
            }
            return;
        }
        for part in ["<", &raw, if empty { "/>" } else { ">" }] {
            self.out.extend_from_slice(part.as_bytes());
        }
    }

    /// Ends the open element, with its end tag unless it was an empty-element tag.
    fn close(&mut self, end: Option<&str>) {
        let Some(frame) = self.open.pop() else { return };
        if frame.state != State::Dropped {
            if let Some(value) = frame.element.and_then(|element| element.value.as_ref()) {
                self.value(value, end.is_none());
            }
            if let Some(end) = end {
                self.emit_held();
                for part in ["</", end, ">"] {
                    self.out.extend_from_slice(part.as_bytes());
                }
            }
            if let Some(row) = &frame.row {
                self.waiting -= 1;
                if row.goes() {
                    self.changed = true;
                    self.out.truncate(row.mark.out);
                    self.seen.roll_back(&row.mark);
                }
            }
        }
        if frame.owns {
            self.owner = None;
        }
        self.path.truncate(frame.path);
    }

    /// A value has come to its end: its text is what is held.
    fn value(&mut self, value: &'r Value, empty: bool) {
        let raw = std::mem::take(&mut self.held);
        let is_set = !matches!(raw.as_str(), "" | "0" | NULL);
        let name = self.path.rsplit('/').next().unwrap_or_default();
        if let Some(row) = self.open.last_mut().and_then(|parent| parent.row.as_mut()) {
            let is_gone = match &value.meaning {
                Meaning::Ref { kind, .. } => {
                    let gone = self.purpose.gone.iter().find(|(gone, _)| gone == kind);
                    gone.is_some_and(|(_, ids)| raw.parse().is_ok_and(|id| ids.contains(&id)))
                }
                _ => false,
            };
            row.sees(name, is_set, is_gone);
        }
        // An empty-element tag was replaced when it was written.
        match self.replacement(value, &raw).filter(|_| !empty) {
            Some(text) => {
                self.changed = true;
                if !matches!(value.meaning, Meaning::Date | Meaning::Text) {
                    self.seen.add(Fact::Blanked);
                }
                self.held = text;
            }
            // Anonymised already, by the same constant.
            None if value.anonymous.is_some() && self.purpose.anonymises() => self.held = raw,
            None => {
                self.seen.value(&value.meaning, &raw, is_set, &self.path, self.owner);
                self.held = raw;
            }
        }
    }

    /// What a value becomes, if it must not stay as it is.
    fn replacement(&self, value: &Value, raw: &str) -> Option<String> {
        if let Some(constant) = value.anonymous.as_ref().filter(|_| self.purpose.anonymises()) {
            let text = escaped(&constant.replace('%', &self.number.to_string()));
            return (text != raw).then_some(text);
        }
        if let Some((_, text)) = self.purpose.values.iter().find(|(path, _)| *path == self.path) {
            let text = escaped(text);
            return (text != raw).then_some(text);
        }
        if matches!(raw, "" | NULL) || !Self::empties(self.purpose, self.user, &value.meaning) {
            return None;
        }
        match &value.meaning {
            Meaning::Ref { .. } => (raw != "0").then(|| "0".to_owned()),
            Meaning::Date => {
                let moved = raw.parse().ok().map(|date| moved(date, self.purpose.date_offset));
                moved.map(|date: i64| date.to_string())
            }
            Meaning::Codec(codec) if codec::has_dates(&codec.name) => {
                codec::with_dates(raw, |date| moved(date, self.purpose.date_offset))
            }
            Meaning::Codec(codec) => codec::without_users(&codec.name, raw),
            _ => Some(String::new()),
        }
    }
}

/// A date of the contents, in seconds since 1970, moved. 0 is no date, and stays.
///
/// A date that would become 0 becomes 1: Moodle lets it vanish.
pub const fn moved(date: i64, offset: i64) -> i64 {
    if date == 0 {
        return 0;
    }
    match date.saturating_add(offset) {
        0 => 1,
        moved => moved,
    }
}

/// The value of an attribute, as it is spelled.
fn attribute_of<'s>(start: &'s BytesStart<'_>, name: &str) -> Option<std::borrow::Cow<'s, str>> {
    let found = start.attributes().flatten().find(|attribute| attribute.key.as_ref() == name);
    found.map(|attribute| attribute.value)
}
