//! Descriptions as values: what a plugin's part of an archive means.

use std::collections::HashMap;

use super::condition::{Compatibility, Conditions};

/// A kind of thing that has ids, such as `user` or `forum_post`; a number given out by the [`Format`](super::Format).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(pub(super) u16);

/// What a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// An option, a number, a name of something technical.
    Plain,
    /// The id of a thing; 0 and NULL mean nothing. `annotated`: Moodle lists it in `inforef.xml`, where it lists that kind.
    Ref {
        /// Of what.
        kind: Kind,
        /// Whether Moodle annotates this field.
        annotated: bool,
    },
    /// Points when positive, the id of a scale when negative. `annotated`: Moodle lists the scale in `inforef.xml`.
    Grade {
        /// Whether Moodle annotates this field.
        annotated: bool,
    },
    /// A time that moves with the start of the course.
    Date,
    /// Another time stamp.
    Time,
    /// Plain text by people.
    Text,
    /// Formatted text with encoded links, and files of these areas.
    Html(Vec<String>),
    /// A link.
    Url,
    /// Names or describes a person.
    Person,
    /// A network address.
    Ip,
    /// A password, key or shared secret.
    Secret,
    /// Ids in a list with commas.
    Ids(Kind),
    /// The id of a thing whose kind other fields tell.
    Item(Selector),
    /// A format of its own, by name, and the fields that its reading depends on.
    Codec(Selector),
}

/// A name of a table of kinds or of a format, and the fields that go with it: of the same row or of one around it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// Its name; empty where nothing tells the kind.
    pub name: String,
    /// Names of fields, `@name` for attributes.
    pub fields: Vec<String>,
}

/// What a line `tells` says of a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// The id of such a thing.
    Kind(Kind),
    /// No id of anything that an archive holds.
    Nothing,
    /// The id of a thing of the kind that the star of the key stands for.
    Captured,
    /// The id of a thing of the kind that another field or attribute names.
    Named(String),
}

/// A line of a table of kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tell {
    /// The table.
    pub table: String,
    /// Values of the fields joined by slashes, with `*`.
    pub key: String,
    /// What the numbers are, one for each.
    pub told: Vec<Told>,
}

/// A value and its constant in an anonymised archive, where `%` stands for the number of the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// What it is.
    pub meaning: Meaning,
    /// Its constant in an anonymised archive.
    pub anonymous: Option<String>,
}

/// What an attribute is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeMeaning {
    /// The id of the element's own thing.
    Defines(Kind),
    /// A value like another.
    Value(Meaning),
}

/// An attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// What it is.
    pub meaning: AttributeMeaning,
}

/// Which rows a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowTest {
    /// Every row.
    Any,
    /// Rows whose field is neither empty, nor 0, nor NULL.
    Set(String),
    /// Rows whose field is empty, 0 or NULL.
    Unset(String),
    /// Rows whose field refers to something that was left out.
    Follows(String),
}

/// What happens unless the conditions hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleEffect {
    /// The element stays, its children go.
    Empty,
    /// The element goes.
    Gone,
    /// The element goes if the test holds.
    Row(RowTest),
}

/// A rule of an element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// In whose result it holds; `None`: in both.
    pub only: Option<Compatibility>,
    /// What happens.
    pub effect: RuleEffect,
    /// Unless all of these are on.
    pub needs: Conditions,
}

impl Rule {
    /// Whether the rule takes effect.
    pub fn is_active(&self, compatibility: Compatibility, on: Conditions) -> bool {
        let holds = on.holds(self.needs) && !matches!(self.effect, RuleEffect::Row(RowTest::Follows(_)));
        self.only.is_none_or(|only| only == compatibility) && !holds
    }
}

/// An element of a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element {
    /// Its name.
    pub name: String,
    /// Its attributes.
    pub attributes: Vec<Attribute>,
    /// What its text is; `None` for an element that holds elements.
    pub value: Option<Value>,
    /// The database table that it mirrors, without prefix.
    pub table: Option<String>,
    /// The label under which it is counted.
    pub counts: Option<String>,
    /// What happens to it, and when.
    pub rules: Vec<Rule>,
    /// The elements in it.
    pub children: HashMap<String, Element>,
    /// Names, with `*`, of elements that other plugins hang in here.
    pub slots: Vec<String>,
}

impl Element {
    /// Whether a plugin's element of that name may hang in here.
    pub fn has_slot(&self, name: &str) -> bool {
        self.slots.iter().any(|slot| matches(slot, name))
    }

    /// Whether it or anything described below it, hung in elements not counted, answers yes.
    pub fn any(&self, test: &impl Fn(&Self) -> bool) -> bool {
        test(self) || self.children.values().any(|child| child.any(test))
    }

    /// This element and all below it, with their paths.
    pub fn visit<'e>(&'e self, path: &str, visitor: &mut impl FnMut(&str, &'e Self)) {
        let path = format!("{path}/{}", self.name);
        visitor(&path, self);
        for child in self.children.values() {
            child.visit(&path, visitor);
        }
    }
}

/// A kind of document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Paths in the archive, with `*` for anything but a slash.
    pub patterns: Vec<String>,
    /// It exists only if all of these are on.
    pub needs: Conditions,
    /// Moodle writes it after the `inforef.xml` of its folder.
    pub late: bool,
    /// Its root element.
    pub root: Element,
}

/// Which rows of `files.xml` stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRule {
    /// Component of the rows, with `*`.
    pub component: String,
    /// Area of the rows, with `*`.
    pub area: String,
    /// Rows stay with the thing of this kind whose id is their item id (for the kind `context`: their context).
    pub per: Option<Kind>,
    /// They stay only if all of these are on.
    pub needs: Conditions,
}

/// What one description file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plugin {
    /// Its name, such as `mod_forum`.
    pub name: String,
    /// Its file areas.
    pub files: Vec<FileRule>,
    /// Its documents.
    pub documents: Vec<Document>,
    /// Its elements in documents of others.
    pub elements: Vec<Element>,
    /// Its lines in tables of kinds.
    pub tells: Vec<Tell>,
}

/// Whether a text fits a pattern in which `*` stands for any characters but a slash.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == text };
    let Some(rest) = text.strip_prefix(head) else { return false };
    // The shortest first; patterns have two stars at most, so this stays cheap.
    let end = rest.find('/').unwrap_or(rest.len());
    (0..=end).filter(|at| rest.is_char_boundary(*at)).any(|at| matches(tail, &rest[at..]))
}
