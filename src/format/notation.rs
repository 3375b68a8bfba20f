//! The notation of descriptions. `docs/plugins.md` explains it to those who write one.
//!
//! Line oriented: two blanks for each level, `#` begins a comment. Errors name the line.

use std::collections::HashMap;

use super::condition::{Compatibility, Conditions, Switch};
use super::description::{
    Attribute, AttributeMeaning, Document, Element, FileRule, Kind, Meaning, Plugin, RowTest, Rule,
    RuleEffect, Selector, Tell, Told, Value,
};

/// Why a description was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct NotationError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

/// Names of kinds, and the numbers that stand for them.
#[derive(Clone, Debug, Default)]
pub(super) struct Kinds {
    numbers: HashMap<String, Kind>,
    names: Vec<String>,
}

impl Kinds {
    pub(super) fn of(&mut self, name: &str) -> Kind {
        if let Some(kind) = self.numbers.get(name) {
            return *kind;
        }
        let kind = Kind(u16::try_from(self.names.len()).unwrap_or(u16::MAX));
        self.names.push(name.to_owned());
        self.numbers.insert(name.to_owned(), kind);
        kind
    }

    pub(super) fn find(&self, name: &str) -> Option<Kind> {
        self.numbers.get(name).copied()
    }

    pub(super) fn name(&self, kind: Kind) -> &str {
        self.names.get(usize::from(kind.0)).map_or("", String::as_str)
    }
}

/// Reads one description.
pub(super) fn parse(text: &str, kinds: &mut Kinds) -> Result<Plugin, NotationError> {
    let mut reader = Reader { kinds, plugin: None, open: Vec::new(), head: None };
    for (index, line) in text.lines().enumerate() {
        reader.line(line).map_err(|what| NotationError { line: index + 1, what })?;
    }
    let line = text.lines().count();
    reader.close(0).map_err(|what| NotationError { line, what })?;
    if reader.head.is_some() {
        return Err(NotationError { line, what: "a document or element without a root".into() });
    }
    reader.plugin.ok_or(NotationError { line, what: "no line \"plugin NAME\"".into() })
}

/// What an open root belongs to.
enum Head {
    Document { patterns: Vec<String>, needs: Conditions, late: bool },
    Element(String),
}

struct Reader<'k> {
    kinds: &'k mut Kinds,
    plugin: Option<Plugin>,
    /// Elements from the root to the one that lines may belong to.
    open: Vec<Element>,
    head: Option<Head>,
}

impl Reader<'_> {
    fn line(&mut self, line: &str) -> Result<(), String> {
        let line = line.split_once(" #").map_or(line, |(line, _)| line).trim_end();
        let content = line.trim_start_matches(' ');
        if content.is_empty() || content.starts_with('#') {
            return Ok(());
        }
        let blanks = line.len() - content.len();
        if !blanks.is_multiple_of(2) {
            return Err("two blanks stand for a level, here is an odd number of them".into());
        }
        let tokens = split(content, char::is_whitespace)?;
        match (blanks / 2, tokens.first().copied().unwrap_or("")) {
            (0, word @ ("plugin" | "file" | "document" | "element" | "tells")) => {
                self.close(0)?;
                if self.head.is_some() {
                    return Err("the document or element before has no root".into());
                }
                self.head_line(word, &tokens[1..])
            }
            (level, ".") => self.values(level, &content[1..]),
            (level, "slot") => self.slot(level, &tokens[1..]),
            (level, _) => self.element(level, &tokens),
        }
    }

    fn head_line(&mut self, word: &str, rest: &[&str]) -> Result<(), String> {
        if word == "plugin" {
            let [name] = rest else { return Err("a plugin has one name".into()) };
            if self.plugin.is_some() {
                return Err("a second plugin in one file".into());
            }
            let name = (*name).to_owned();
            self.plugin = Some(Plugin {
                name,
                files: Vec::new(),
                documents: Vec::new(),
                elements: Vec::new(),
                tells: Vec::new(),
            });
            return Ok(());
        }
        if self.plugin.is_none() {
            return Err("the first line must be \"plugin NAME\"".into());
        }
        match word {
            "file" => {
                let rule = self.file_rule(rest)?;
                self.plugin_mut()?.files.push(rule);
            }
            "tells" => {
                let tell = self.tell(rest)?;
                self.plugin_mut()?.tells.push(tell);
            }
            "document" => {
                let (mut rest, mut late) = (rest.to_vec(), false);
                if rest.last() == Some(&"late") {
                    rest.pop();
                    late = true;
                }
                let (patterns, needs) = when(&rest)?;
                if patterns.is_empty() {
                    return Err("a document has a path".into());
                }
                let patterns = patterns.iter().map(ToString::to_string).collect();
                self.head = Some(Head::Document { patterns, needs, late });
            }
            _ => {
                let [name] = rest else { return Err("an element line is: element NAME".into()) };
                self.head = Some(Head::Element((*name).to_owned()));
            }
        }
        Ok(())
    }

    fn file_rule(&mut self, rest: &[&str]) -> Result<FileRule, String> {
        let (rest, needs) = when(rest)?;
        let (area, per) = match rest[..] {
            [area] => (area, None),
            [area, "per", kind] => (area, Some(self.kinds.of(kind))),
            _ => return Err("a file line is: file AREA, or: file AREA per KIND".into()),
        };
        let (component, area) = match area.split_once('/') {
            Some((component, area)) => (component.to_owned(), area),
            None => (self.plugin_mut()?.name.clone(), area),
        };
        Ok(FileRule { component, area: area.to_owned(), per, needs })
    }

    fn tell(&mut self, rest: &[&str]) -> Result<Tell, String> {
        let [table, key, told @ ..] = rest else { return Err("a line is: tells TABLE KEY KIND…".into()) };
        if told.is_empty() {
            return Err("a table tells at least one kind".into());
        }
        let told = told.iter().map(|word| match (*word, word.strip_prefix('@')) {
            ("-", _) => Ok(Told::Nothing),
            ("*", _) => Ok(Told::Captured),
            (_, Some(field)) => Ok(Told::Named(checked(field)?)),
            (kind, None) => Ok(Told::Kind(self.kinds.of(&checked(kind)?))),
        });
        let told = told.collect::<Result<_, String>>()?;
        Ok(Tell { table: checked(table)?, key: (*key).to_owned(), told })
    }

    fn plugin_mut(&mut self) -> Result<&mut Plugin, String> {
        self.plugin.as_mut().ok_or_else(|| "the first line must be \"plugin NAME\"".into())
    }

    /// Ends open elements until so many are left.
    fn close(&mut self, level: usize) -> Result<(), String> {
        while self.open.len() > level {
            let Some(done) = self.open.pop() else { break };
            if let Some(parent) = self.open.last_mut() {
                let name = done.name.clone();
                if parent.children.insert(name.clone(), done).is_some() {
                    return Err(format!("the element {name} is described twice in {}", parent.name));
                }
                continue;
            }
            let head = self.head.take();
            let plugin = self.plugin_mut()?;
            match head {
                Some(Head::Document { patterns, needs, late }) => {
                    plugin.documents.push(Document { patterns, needs, late, root: done });
                }
                Some(Head::Element(name)) if name == done.name => plugin.elements.push(done),
                Some(Head::Element(name)) => return Err(format!("{} stands where {name} should", done.name)),
                None => return Err(format!("the element {} belongs to no document", done.name)),
            }
        }
        Ok(())
    }

    /// Ends what a line does not belong to. A root stands at the margin, what is in it one level in.
    fn parent(&mut self, level: usize) -> Result<(), String> {
        if level > self.open.len() {
            return Err("this line is too far to the right".into());
        }
        self.close(level)
    }

    fn element(&mut self, level: usize, tokens: &[&str]) -> Result<(), String> {
        self.parent(level)?;
        if self.open.is_empty() && self.head.is_none() {
            return Err("an element outside of a document".into());
        }
        let element = self.described(tokens)?;
        self.open.push(element);
        Ok(())
    }

    fn described(&mut self, tokens: &[&str]) -> Result<Element, String> {
        let (name, mut rest) = tokens.split_first().ok_or("an element has a name")?;
        let mut element = Element { name: checked(name)?, ..Element::default() };
        while let Some(attribute) = rest.first().and_then(|token| token.strip_prefix('@')) {
            element.attributes.push(self.attribute(attribute)?);
            rest = &rest[1..];
        }
        if rest.first() == Some(&"=") {
            rest = &rest[1..];
            let meaning = match rest.first() {
                Some(token) if !is_clause(token) => {
                    rest = &rest[1..];
                    *token
                }
                _ => "",
            };
            element.value = Some(self.value(meaning)?);
        }
        self.clauses(&mut element, rest)?;
        Ok(element)
    }

    fn attribute(&mut self, text: &str) -> Result<Attribute, String> {
        if let Some((name, kind)) = text.split_once('=') {
            return Ok(Attribute {
                name: checked(name)?,
                meaning: AttributeMeaning::Defines(self.kinds.of(kind)),
            });
        }
        let (name, meaning) = text.split_once(':').unwrap_or((text, ""));
        let meaning = AttributeMeaning::Value(self.value(meaning)?.meaning);
        Ok(Attribute { name: checked(name)?, meaning })
    }

    fn clauses(&mut self, element: &mut Element, mut rest: &[&str]) -> Result<(), String> {
        let mut only = None;
        while let Some((word, behind)) = rest.split_first() {
            let end = behind.iter().position(|token| is_clause(token)).unwrap_or(behind.len());
            let (arguments, next) = behind.split_at(end);
            let rule = |effect, settings: &[&str]| {
                Ok::<_, String>(Rule { only, effect, needs: switches(settings)? })
            };
            match (*word, arguments) {
                ("table", [name]) => element.table = Some((*name).to_owned()),
                ("counts", [label]) => element.counts = Some((*label).to_owned()),
                ("moodle", []) => only = Some(Compatibility::Moodle),
                ("own", []) => only = Some(Compatibility::Strict),
                ("when", settings) => element.rules.push(rule(RuleEffect::Empty, settings)?),
                ("only", settings) => element.rules.push(rule(RuleEffect::Gone, settings)?),
                ("row", [field, "needs", settings @ ..]) => {
                    let test = match (*field, field.strip_prefix('!')) {
                        ("*", _) => RowTest::Any,
                        (_, Some(field)) => RowTest::Unset(field.to_owned()),
                        (field, None) => RowTest::Set(field.to_owned()),
                    };
                    element.rules.push(rule(RuleEffect::Row(test), settings)?);
                }
                ("follows", [field]) => {
                    let effect = RuleEffect::Row(RowTest::Follows((*field).to_owned()));
                    element.rules.push(Rule { only, effect, needs: Conditions::NONE });
                }
                _ => return Err(format!("{word:?} is not understood here")),
            }
            if !matches!(*word, "moodle" | "own") {
                only = None;
            }
            rest = next;
        }
        Ok(())
    }

    fn slot(&mut self, level: usize, names: &[&str]) -> Result<(), String> {
        self.parent(level)?;
        let parent = self.open.last_mut().ok_or("a slot outside of an element")?;
        parent.slots.extend(names.iter().map(ToString::to_string));
        Ok(())
    }

    fn values(&mut self, level: usize, text: &str) -> Result<(), String> {
        self.parent(level)?;
        for item in split(text, |c| c == ',')? {
            let item = item.trim();
            let at = item.find([':', '[']).unwrap_or(item.len());
            let (name, meaning) = item.split_at(at);
            let value = self.value(meaning.strip_prefix(':').unwrap_or(meaning))?;
            let leaf = Element { name: checked(name)?, value: Some(value), ..Element::default() };
            let parent = self.open.last_mut().ok_or("values outside of an element")?;
            if parent.children.insert(leaf.name.clone(), leaf).is_some() {
                return Err(format!("the value {name} is described twice in {}", parent.name));
            }
        }
        Ok(())
    }

    fn value(&mut self, text: &str) -> Result<Value, String> {
        let (text, anonymous) = match text.strip_suffix(']').and_then(|text| text.split_once('[')) {
            Some((text, constant)) => (text, Some(constant.to_owned())),
            None => (text, None),
        };
        let (word, argument) = match text.strip_suffix(')').and_then(|text| text.split_once('(')) {
            Some((word, argument)) => (word, Some(argument)),
            None => (text, None),
        };
        let areas = |text: Option<&str>| {
            text.unwrap_or("")
                .split([' ', ','])
                .filter(|area| !area.is_empty())
                .map(ToOwned::to_owned)
                .collect()
        };
        let meaning = match (word, argument) {
            ("", None) => Meaning::Plain,
            ("grade", None) => Meaning::Grade { annotated: true },
            ("grade~", None) => Meaning::Grade { annotated: false },
            ("date", None) => Meaning::Date,
            ("time", None) => Meaning::Time,
            ("text", None) => Meaning::Text,
            ("url", None) => Meaning::Url,
            ("person", None) => Meaning::Person,
            ("ip", None) => Meaning::Ip,
            ("secret", None) => Meaning::Secret,
            ("item", None) => Meaning::Item(Selector::default()),
            ("item", Some(argument)) => Meaning::Item(selector(argument)?),
            ("html", areas_of) => Meaning::Html(areas(areas_of)),
            ("ids", Some(kind)) => Meaning::Ids(self.kinds.of(kind)),
            ("codec", Some(argument)) => Meaning::Codec(selector(argument)?),
            (kind, None) => {
                let (name, annotated) = kind.strip_suffix('~').map_or((kind, true), |name| (name, false));
                Meaning::Ref { kind: self.kinds.of(&checked(name)?), annotated }
            }
            _ => return Err(format!("{text:?} is no type of value")),
        };
        Ok(Value { meaning, anonymous })
    }
}

/// A name, and the fields behind it.
fn selector(text: &str) -> Result<Selector, String> {
    let mut words = text.split_whitespace();
    let name = checked(words.next().unwrap_or_default())?;
    let field = |word: &str| checked(word.strip_prefix('@').unwrap_or(word)).map(|_| word.to_owned());
    Ok(Selector { name, fields: words.map(field).collect::<Result<_, _>>()? })
}

fn is_clause(token: &str) -> bool {
    matches!(token, "table" | "counts" | "moodle" | "own" | "when" | "only" | "row" | "follows")
}

/// A name of XML, of a kind, of a codec: letters, digits and `_`, `-`, `.`.
fn checked(name: &str) -> Result<String, String> {
    if !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c)) {
        Ok(name.to_owned())
    } else {
        Err(format!("{name:?} is no name"))
    }
}

/// What stands before `when`, and the conditions behind it.
fn when<'t>(tokens: &[&'t str]) -> Result<(Vec<&'t str>, Conditions), String> {
    match tokens.iter().position(|token| *token == "when") {
        Some(at) => Ok((tokens[..at].to_vec(), switches(&tokens[at + 1..])?)),
        None => Ok((tokens.to_vec(), Conditions::NONE)),
    }
}

fn switches(names: &[&str]) -> Result<Conditions, String> {
    if names.is_empty() {
        return Err("a rule names the settings that it needs".into());
    }
    names
        .iter()
        .map(|name| name.parse::<Switch>().map_err(|_| format!("{name:?} is no setting that rules may name")))
        .collect()
}

/// Pieces between separators that are not in brackets, without empty ones.
fn split(text: &str, separator: impl Fn(char) -> bool) -> Result<Vec<&str>, String> {
    let (mut pieces, mut depth, mut start) = (Vec::new(), 0_usize, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.checked_sub(1).ok_or("a bracket closes that never opened")?,
            _ if depth == 0 && separator(c) => {
                pieces.push(&text[start..at]);
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    if depth > 0 {
        return Err("a bracket is not closed".into());
    }
    pieces.push(&text[start..]);
    pieces.retain(|piece| !piece.trim().is_empty());
    Ok(pieces)
}
