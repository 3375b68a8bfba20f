//! What was seen while a document was rewritten.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::description::Kind;

/// Ids of things of one kind.
pub type IdSet = HashSet<i64>;

/// Ids by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refs(HashMap<Kind, IdSet>);

impl Refs {
    /// Adds an id.
    pub fn add(&mut self, kind: Kind, id: i64) {
        self.0.entry(kind).or_default().insert(id);
    }

    /// Adds all of others.
    pub fn extend(&mut self, others: &Self) {
        for (kind, ids) in &others.0 {
            self.0.entry(*kind).or_default().extend(ids);
        }
    }

    /// Adds ids of a kind.
    pub fn extend_kind(&mut self, kind: Kind, ids: impl IntoIterator<Item = i64>) {
        self.0.entry(kind).or_default().extend(ids);
    }

    /// The ids of a kind.
    pub fn of(&self, kind: Kind) -> Option<&IdSet> {
        self.0.get(&kind)
    }

    /// Removes and gives the ids of a kind.
    pub fn take(&mut self, kind: Kind) -> IdSet {
        self.0.remove(&kind).unwrap_or_default()
    }

    /// Whether it holds that one.
    pub fn has(&self, kind: Kind, id: i64) -> bool {
        self.0.get(&kind).is_some_and(|ids| ids.contains(&id))
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.0.values().all(HashSet::is_empty)
    }

    /// The kinds it holds ids of.
    pub fn kinds(&self) -> impl Iterator<Item = Kind> {
        self.0.keys().copied()
    }

    /// The ids of a kind in order.
    pub fn sorted(&self, kind: Kind) -> Vec<i64> {
        let mut ids: Vec<i64> = self.0.get(&kind).into_iter().flatten().copied().collect();
        ids.sort_unstable();
        ids
    }
}

/// A reference from within a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Link {
    /// Id of the thing, of the kind that was asked for.
    pub from: i64,
    /// Kind of what it refers to.
    pub kind: Kind,
    /// Id of that.
    pub to: i64,
}

/// What was seen in a document, and what became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Whether what was written differs from what was read.
    pub changed: bool,
    /// References that Moodle lists in `inforef.xml`, of what stays. Of tracked kinds only, see [`Format`](super::Format).
    pub refs: Refs,
    /// The other references to the same kinds, of what stays.
    pub quiet: Refs,
    /// Things that stay, of kinds that files depend on or that Moodle lists.
    pub kept: Refs,
    /// References from within things of the kind that was asked for.
    pub links: Vec<Link>,
    /// Elements that stay, by the label under which they are counted.
    pub counts: BTreeMap<String, u64>,
    /// Elements that went, likewise.
    pub dropped: BTreeMap<String, u64>,
    /// Elements and attributes (`@name`) that no description covers, by path.
    pub unknown: BTreeMap<String, u64>,
    /// Values that name or describe people, addresses and references to people that were emptied.
    pub blanked: u64,
    /// Passwords, keys and shared secrets that stay, by path.
    pub secrets: BTreeMap<String, u64>,
    /// Values that name or describe people, and network addresses, that stay, by path.
    pub people: BTreeMap<String, u64>,
}

impl Outcome {
    /// Adds what was seen in another document; whether that changed is another matter.
    pub fn absorb(&mut self, other: &Self) {
        self.refs.extend(&other.refs);
        self.quiet.extend(&other.quiet);
        self.kept.extend(&other.kept);
        self.add_counts(other);
    }

    /// Counts all that is in a document which is left out as a whole.
    pub fn add_dropped(&mut self, other: &Self) {
        for (label, count) in other.counts.iter().chain(&other.dropped) {
            *self.dropped.entry(label.clone()).or_default() += count;
        }
    }

    /// Adds the counts only.
    pub fn add_counts(&mut self, other: &Self) {
        self.blanked += other.blanked;
        let maps = [
            (&mut self.counts, &other.counts),
            (&mut self.dropped, &other.dropped),
            (&mut self.unknown, &other.unknown),
            (&mut self.secrets, &other.secrets),
            (&mut self.people, &other.people),
        ];
        for (mine, theirs) in maps {
            for (label, count) in theirs {
                *mine.entry(label.clone()).or_default() += count;
            }
        }
    }
}
