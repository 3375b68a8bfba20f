//! Facts that are gathered while a document is rewritten, and taken back with a row that goes after all.

use std::collections::{BTreeMap, HashSet};

use super::description::{Element, Kind, Meaning};
use super::outcome::{Link, Outcome};
use super::registry::Format;

/// Facts that may wait before they are written down.
const FACTS: usize = 4096;

/// Kinds that `inforef.xml` lists (reference 5).
pub const LISTED: [&str; 9] =
    ["user", "grouping", "group", "role", "file", "scale", "outcome", "grade_item", "question_category"];

/// Something told by path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    Unknown,
    Secret,
    Person,
}

#[derive(Clone, Debug)]
pub enum Fact<'f> {
    Ref(Kind, i64, bool),
    Kept(Kind, i64),
    Link(Link),
    Count(&'f str),
    Dropped(&'f str),
    Noted(Note, String),
    Blanked,
}

/// A point to go back to.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// Bytes of output then.
    pub out: usize,
    facts: usize,
}

/// What was seen so far.
#[derive(Debug)]
pub struct Seen<'f> {
    listed: HashSet<Kind>,
    tracked: HashSet<Kind>,
    scale: Option<Kind>,
    facts: Vec<Fact<'f>>,
    outcome: Outcome,
    counts: [BTreeMap<&'f str, u64>; 2],
}

impl<'f> Seen<'f> {
    pub fn new(format: &'f Format) -> Self {
        let listed: HashSet<Kind> = LISTED.iter().filter_map(|name| format.kind(name)).collect();
        Self {
            tracked: listed.iter().copied().chain(format.tracked().iter().copied()).collect(),
            listed,
            scale: format.kind("scale"),
            facts: Vec::new(),
            outcome: Outcome::default(),
            counts: Default::default(),
        }
    }

    pub fn mark(&self, out: usize) -> Mark {
        Mark { out, facts: self.facts.len() }
    }

    /// Takes facts back: what was counted as staying has gone.
    pub fn roll_back(&mut self, mark: &Mark) {
        let gone: Vec<Fact<'f>> = self.facts.drain(mark.facts..).collect();
        self.facts.extend(gone.into_iter().filter_map(|fact| match fact {
            Fact::Count(label) | Fact::Dropped(label) => Some(Fact::Dropped(label)),
            fact @ Fact::Noted(Note::Unknown, _) => Some(fact),
            _ => None,
        }));
    }

    pub fn add(&mut self, fact: Fact<'f>) {
        self.facts.push(fact);
    }

    pub fn kept(&mut self, element: Option<&'f Element>) {
        if let Some(label) = element.and_then(|element| element.counts.as_deref()) {
            self.add(Fact::Count(label));
        }
    }

    pub fn dropped(&mut self, element: Option<&'f Element>) {
        if let Some(label) = element.and_then(|element| element.counts.as_deref()) {
            self.add(Fact::Dropped(label));
        }
    }

    pub fn defines(&mut self, kind: Kind, id: i64) {
        if self.tracked.contains(&kind) {
            self.add(Fact::Kept(kind, id));
        }
    }

    /// A reference, if the meaning is one. Only positive numbers are ids.
    pub fn refers(&mut self, meaning: &Meaning, text: &str, owner: Option<i64>) {
        let (kind, id, annotated) = match meaning {
            Meaning::Ref { kind, annotated } => (Some(*kind), text.parse::<i64>().ok(), *annotated),
            Meaning::Grade { annotated } => {
                (self.scale, text.parse::<i64>().ok().and_then(i64::checked_neg), *annotated)
            }
            _ => return,
        };
        let (Some(kind), Some(id)) = (kind, id.filter(|id| *id > 0)) else { return };
        if self.listed.contains(&kind) {
            self.add(Fact::Ref(kind, id, annotated));
            if let Some(from) = owner {
                self.add(Fact::Link(Link { from, kind, to: id }));
            }
        }
    }

    /// A value that stays.
    pub fn value(&mut self, meaning: &Meaning, raw: &str, is_set: bool, path: &str, owner: Option<i64>) {
        match meaning {
            Meaning::Ref { .. } | Meaning::Grade { .. } => self.refers(meaning, raw, owner),
            Meaning::Secret if is_set => self.add(Fact::Noted(Note::Secret, path.to_owned())),
            Meaning::Person | Meaning::Ip if is_set => self.add(Fact::Noted(Note::Person, path.to_owned())),
            _ => {}
        }
    }

    /// Writes down what nothing can take back any more. Called while no row waits.
    pub fn settle(&mut self) {
        for fact in self.facts.drain(..) {
            match fact {
                Fact::Ref(kind, id, true) => self.outcome.refs.add(kind, id),
                Fact::Ref(kind, id, false) => self.outcome.quiet.add(kind, id),
                Fact::Kept(kind, id) => self.outcome.kept.add(kind, id),
                Fact::Link(link) => self.outcome.links.push(link),
                Fact::Count(label) => *self.counts[0].entry(label).or_default() += 1,
                Fact::Dropped(label) => *self.counts[1].entry(label).or_default() += 1,
                Fact::Blanked => self.outcome.blanked += 1,
                Fact::Noted(note, path) => {
                    let map = match note {
                        Note::Unknown => &mut self.outcome.unknown,
                        Note::Secret => &mut self.outcome.secrets,
                        Note::Person => &mut self.outcome.people,
                    };
                    *map.entry(path).or_default() += 1;
                }
            }
        }
    }

    /// Whether so many facts wait that they should be written down.
    pub fn is_full(&self) -> bool {
        self.facts.len() > FACTS
    }

    pub fn finish(mut self, changed: bool) -> Outcome {
        self.settle();
        let [counts, dropped] = self.counts;
        let owned = |counts: BTreeMap<&str, u64>| {
            counts.into_iter().map(|(label, count)| (label.to_owned(), count)).collect()
        };
        Outcome { changed, counts: owned(counts), dropped: owned(dropped), ..self.outcome }
    }
}
