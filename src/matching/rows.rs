//! Rows of documents as values: of the kinds in the [`table`](super::table) only, and of those only the fields there.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::document::value;
use super::table::{ALIKE, RULED, fields};
use crate::format::{AttributeMeaning, Element, Format, Kind, Step};

/// A row.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Row {
    /// The thing that it stands in.
    pub above: Option<(Kind, i64)>,
    /// What else its element defines: its context.
    pub others: Vec<(Kind, i64)>,
    fields: Vec<(&'static str, String)>,
}

impl Row {
    /// A field; empty if the row does not tell it.
    pub fn text(&self, name: &str) -> &str {
        let found = self.fields.iter().find(|(field, _)| *field == name);
        found.map_or("", |(_, text)| text.as_str())
    }

    /// A field as a number; 0 for what is none.
    pub fn number(&self, name: &str) -> i64 {
        super::document::number(self.text(name))
    }
}

/// Fields of the kinds that are read.
#[derive(Debug)]
pub(super) struct Wanted(HashMap<Kind, Vec<&'static str>>);

impl Wanted {
    pub fn of(format: &Format) -> Self {
        let alike = ALIKE.iter().map(|(kind, _, list)| (*kind, *list));
        let mut wanted: HashMap<Kind, Vec<&'static str>> = HashMap::new();
        for (kind, list) in RULED.iter().copied().chain(alike) {
            if let Some(kind) = format.kind(kind) {
                wanted.entry(kind).or_default().extend(fields(list).map(|(name, _)| name));
            }
        }
        Self(wanted)
    }

    /// Whether a document can have any of the rows.
    pub fn any_in(&self, root: &Element) -> bool {
        root.any(&|element| defined(element).is_some_and(|kind| self.0.contains_key(&kind)))
    }
}

/// The kind of thing that an element is.
pub(super) fn defined(element: &Element) -> Option<Kind> {
    element.attributes.iter().find_map(|attribute| match attribute.meaning {
        AttributeMeaning::Defines(kind) if attribute.name == "id" => Some(kind),
        _ => None,
    })
}

/// What an element's attributes define: the thing itself, and whatever else.
pub(super) fn defines(element: &Element, attributes: &[(String, String)]) -> Vec<(Kind, i64)> {
    let mut all = Vec::new();
    for (name, text) in attributes {
        let known = element.attributes.iter().find(|known| known.name == *name);
        let Some(AttributeMeaning::Defines(kind)) = known.map(|known| &known.meaning) else { continue };
        let Some(id) = text.parse().ok().filter(|id| *id > 0) else { continue };
        if name == "id" { all.insert(0, (*kind, id)) } else { all.push((*kind, id)) }
    }
    all
}

/// All rows that were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rows {
    by_kind: HashMap<Kind, BTreeMap<i64, Row>>,
    /// Those whose id came more than once in one document.
    pub repeated: BTreeSet<(Kind, i64)>,
}

impl Rows {
    /// The rows of a kind by id.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = (i64, &Row)> {
        self.by_kind.get(&kind).into_iter().flatten().map(|(id, row)| (*id, row))
    }

    /// One row.
    pub fn get(&self, kind: Kind, id: i64) -> Option<&Row> {
        self.by_kind.get(&kind)?.get(&id)
    }

    /// Adds a row. Of several the least stays, so that the order of documents changes nothing.
    fn add(&mut self, kind: Kind, id: i64, row: Row) {
        let rows = self.by_kind.entry(kind).or_default();
        match rows.get_mut(&id) {
            Some(there) => {
                self.repeated.insert((kind, id));
                if row < *there {
                    *there = row;
                }
            }
            None => drop(rows.insert(id, row)),
        }
    }
}

struct Open {
    /// Of the row that the element is.
    thing: Option<(Kind, i64)>,
    row: Option<Row>,
}

/// Reads the rows of one document.
pub(super) struct RowReader<'r> {
    wanted: &'r Wanted,
    rows: &'r mut Rows,
    /// What the document as a whole stands in.
    around: Option<(Kind, i64)>,
    open: Vec<Open>,
}

impl<'r> RowReader<'r> {
    pub fn new(wanted: &'r Wanted, rows: &'r mut Rows, around: Option<(Kind, i64)>) -> Self {
        Self { wanted, rows, around, open: Vec::new() }
    }

    pub fn see(&mut self, step: Step<'_, '_>) {
        match step {
            Step::Open { element, attributes, .. } => self.open(element, attributes),
            Step::Close { name, text, .. } => self.close(name, text),
        }
    }

    fn open(&mut self, element: Option<&Element>, attributes: &[(String, String)]) {
        let mut all = element.map(|element| defines(element, attributes)).unwrap_or_default();
        let own = element.and_then(defined);
        let thing = all.first().copied().filter(|(kind, _)| Some(*kind) == own);
        let row = thing.filter(|(kind, _)| self.wanted.0.contains_key(kind)).map(|thing| {
            all.remove(0);
            let above = self.open.iter().rev().find_map(|open| open.thing);
            let above = above.or(self.around.filter(|around| *around != thing));
            Row { above, others: all, fields: Vec::new() }
        });
        self.open.push(Open { thing, row });
    }

    fn close(&mut self, name: &str, text: Option<&str>) {
        let Some(Open { thing, row }) = self.open.pop() else { return };
        if let (Some((kind, id)), Some(mut row)) = (thing, row) {
            row.fields.sort_unstable();
            self.rows.add(kind, id, row);
            return;
        }
        let Some(Open { thing: Some((kind, _)), row: Some(parent) }) = self.open.last_mut() else { return };
        let field = self.wanted.0.get(kind).and_then(|fields| fields.iter().find(|field| **field == name));
        if let (Some(field), Some(text)) = (field, text) {
            parent.fields.push((field, value(text).to_owned()));
        }
    }
}
