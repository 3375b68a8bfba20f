//! Which new id every old one gets: a value that whoever plans a restore fills.

use std::collections::{HashMap, HashSet};

use crate::format::{Format, IdSet, Kind, Refs};

/// New ids by kind and old id.
///
/// What has no new id stays as it is. That is told as a loss, unless the kind was said to be the site's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdMap {
    new: HashMap<Kind, HashMap<i64, i64>>,
    own: HashSet<Kind>,
    otherwise: HashMap<Kind, i64>,
    /// Ids that are other things where the archive goes.
    foreign: Refs,
    nothing: Option<i64>,
}

impl IdMap {
    /// A map without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every id of `defined` stays what it is.
    pub fn identity(format: &Format, defined: &Refs) -> Self {
        let mut map = Self::new();
        map.each(format, defined, |_, id| id);
        map
    }

    /// Things of these kinds belong to the site, not to an archive: their ids stay silently where the map has none.
    pub fn keep_own(&mut self, kinds: impl IntoIterator<Item = Kind>) {
        self.own.extend(kinds);
    }

    /// References to things of this kind that have no new id lead to `id`.
    pub fn lead_otherwise(&mut self, kind: Kind, id: i64) {
        self.otherwise.insert(kind, id);
    }

    /// The ids of `defined` are other things where the archive goes: a reference to one of them that has no new id leads to
    /// nothing, see [`Self::lead_to_nothing`], lest it leads to a stranger.
    pub fn keep_off(&mut self, defined: Refs) {
        self.foreign = defined;
    }

    /// An id that nothing has, for references that must lead to nothing.
    pub fn lead_to_nothing(&mut self, id: i64) {
        self.nothing = Some(id);
    }

    /// Where a reference leads: to the new id of the thing, or to what stands for things without one.
    pub fn reference(&self, kind: Kind, old: i64) -> Option<i64> {
        let stranger = || self.foreign.has(kind, old) && !self.is_own(kind);
        self.get(kind, old)
            .or_else(|| self.otherwise.get(&kind).copied())
            .or_else(|| self.nothing.filter(|_| stranger()))
    }

    /// Gives one id. An entry that exists is replaced.
    pub fn set(&mut self, kind: Kind, old: i64, new: i64) {
        self.new.entry(kind).or_default().insert(old, new);
    }

    /// Takes an entry back, so that the next ids may be given.
    pub fn unset(&mut self, kind: Kind, old: i64) {
        if let Some(ids) = self.new.get_mut(&kind) {
            ids.remove(&old);
        }
    }

    /// Gives all of `defined` that have no id yet the next ones from `next` on, and answers with the first one unused.
    ///
    /// Ids ascend with the old ones within a kind, so rows keep the order that Moodle tells from ids. Kinds that are the
    /// site's own get none.
    pub fn allocate(&mut self, format: &Format, defined: &Refs, mut next: i64) -> i64 {
        self.each(format, defined, |_, _| {
            next += 1;
            next - 1
        });
        next
    }

    /// Gives every id of `defined` without an entry what `give` says, kinds by name and ids in order.
    fn each(&mut self, format: &Format, defined: &Refs, mut give: impl FnMut(Kind, i64) -> i64) {
        let mut kinds: Vec<Kind> = defined.kinds().filter(|kind| !self.own.contains(kind)).collect();
        kinds.sort_by_key(|kind| format.kind_name(*kind));
        for kind in kinds {
            let entries = self.new.entry(kind).or_default();
            for id in defined.sorted(kind) {
                entries.entry(id).or_insert_with(|| give(kind, id));
            }
        }
    }

    /// The new id, if there is one.
    pub fn get(&self, kind: Kind, old: i64) -> Option<i64> {
        self.new.get(&kind)?.get(&old).copied()
    }

    /// Whether ids of that kind stay silently where there is none.
    pub fn is_own(&self, kind: Kind) -> bool {
        self.own.contains(&kind)
    }

    /// All old ids of a kind that have a new one.
    pub fn old_ids(&self, kind: Kind) -> IdSet {
        self.new.get(&kind).into_iter().flat_map(|ids| ids.keys().copied()).collect()
    }

    /// The way back, if no two things got one id.
    pub fn inverse(&self) -> Option<Self> {
        let mut back = Self { own: self.own.clone(), ..Self::default() };
        for (kind, ids) in &self.new {
            let entries = back.new.entry(*kind).or_default();
            for (old, new) in ids {
                if entries.insert(*new, *old).is_some() {
                    return None;
                }
            }
        }
        Some(back)
    }
}
