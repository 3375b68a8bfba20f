//! References between documents: what a task's `inforef.xml` lists, and what spans tasks.

use std::collections::{BTreeSet, HashMap};

use super::{DeriveError, Deriving};
use crate::format::{Format, Kind, LISTED, Refs};

/// The kinds that the derivation itself knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kinds {
    pub user: Kind,
    pub grouping: Kind,
    pub group: Kind,
    pub role: Kind,
    pub file: Kind,
    pub scale: Kind,
    pub outcome: Kind,
    pub grade_item: Kind,
    pub question_category: Kind,
    pub course_module: Kind,
    pub context: Kind,
}

impl Kinds {
    /// # Panics
    ///
    /// When the embedded descriptions name one of them nowhere, which a test excludes.
    #[expect(clippy::expect_used, reason = "the embedded descriptions are part of the program")]
    pub fn of(format: &Format) -> Self {
        let kind = |name| format.kind(name).expect("the core's descriptions name it");
        Self {
            user: kind("user"),
            grouping: kind("grouping"),
            group: kind("group"),
            role: kind("role"),
            file: kind("file"),
            scale: kind("scale"),
            outcome: kind("outcome"),
            grade_item: kind("grade_item"),
            question_category: kind("question_category"),
            course_module: kind("course_module"),
            context: kind("context"),
        }
    }
}

/// What tasks refer to, by kind, and what else the root documents need to know of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Lists {
    /// As `inforef.xml` lists it.
    pub refs: Refs,
    /// Scales of grade items and of histories of activities, which come into no list (derivation 5).
    pub scales: BTreeSet<i64>,
}

/// What spans tasks.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// Groups of each grouping.
    pub groups: HashMap<i64, Vec<i64>>,
    /// The scale of each outcome.
    pub scales: HashMap<i64, i64>,
}

/// The kinds that `inforef.xml` lists, in its order, with the element around them.
pub(super) fn listed(format: &Format) -> impl Iterator<Item = (&'static str, Kind)> {
    LISTED.iter().filter_map(|name| Some((*name, format.kind(name)?)))
}

impl Deriving<'_> {
    /// Reads what spans tasks.
    pub fn read_lists(&mut self) -> Result<(), DeriveError> {
        self.files = super::files::FileTable::read(self)?;
        if let Some(member) = self.root_document("groups.xml") {
            let outcome = self.scan(member, self.on, Some(self.kinds.grouping))?;
            for link in outcome.links.iter().filter(|link| link.kind == self.kinds.group) {
                self.links.groups.entry(link.from).or_default().push(link.to);
            }
        }
        if let Some(member) = self.root_document("outcomes.xml") {
            let outcome = self.scan(member, self.on, Some(self.kinds.outcome))?;
            for link in outcome.links.iter().filter(|link| link.kind == self.kinds.scale) {
                self.links.scales.insert(link.from, link.to);
            }
        }
        Ok(())
    }
}
