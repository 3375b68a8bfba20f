//! The order of decisions. Each part decides over what the ones before it decided, and every part goes by ids, so that the
//! order of documents changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::document::MatchError;
use super::plan::{Count, Plan, Request};
use super::rows::{Row, Rows};
use super::{followers, table};
use crate::backup::Compatibility;
use crate::choice::Contradictions;
use crate::format::{Kind, Refs};
use crate::renumber::IdMap;

/// Why nothing was decided.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// The caller's mapping contradicts the archive.
    #[error("the mapping of users contradicts the archive")]
    Contradictions(Contradictions),
    /// A document could not be read.
    #[error(transparent)]
    Read(#[from] MatchError),
}

/// Decisions on their way.
pub(super) struct Deciding<'r> {
    pub request: &'r Request<'r>,
    pub plan: Plan,
    /// Users that are left out with all that is theirs.
    pub gone_users: BTreeSet<i64>,
    /// Users who are in the course already, and stay there as they are.
    pub staying_users: BTreeSet<i64>,
    /// Roles that are left out.
    pub gone_roles: BTreeSet<i64>,
    /// Things of the course that something of the archive is already.
    pub taken: BTreeSet<(Kind, i64)>,
    /// Matched things that take something over.
    pub merged: BTreeSet<(Kind, i64)>,
    /// Settings of the archive's blocks as they will be, by block.
    pub block_settings: BTreeMap<i64, String>,
}

/// Decides what becomes of everything in an archive.
///
/// # Errors
///
/// [`DecideError`]. What must be decided by someone is no error, but told in the plan.
pub fn decide(request: &Request<'_>) -> Result<Plan, DecideError> {
    let plan = Plan {
        map: IdMap::new(),
        left_out: Refs::default(),
        users: BTreeMap::new(),
        new_accounts: BTreeMap::new(),
        conflicts: Vec::new(),
        roles: BTreeMap::new(),
        groups: BTreeMap::new(),
        groupings: BTreeMap::new(),
        sections: BTreeMap::new(),
        without_section: BTreeSet::new(),
        manual_users: BTreeSet::new(),
        banks: BTreeMap::new(),
        without_number: Refs::default(),
        counts: BTreeMap::new(),
        findings: Vec::new(),
        doubles: Vec::new(),
    };
    let mut deciding = Deciding {
        request,
        plan,
        gone_users: BTreeSet::new(),
        staying_users: BTreeSet::new(),
        gone_roles: BTreeSet::new(),
        taken: BTreeSet::new(),
        merged: BTreeSet::new(),
        block_settings: BTreeMap::new(),
    };
    deciding.course();
    deciding.users().map_err(DecideError::Contradictions)?;
    deciding.roles();
    deciding.follow_gone()?;
    deciding.groups();
    deciding.scales();
    deciding.sections();
    deciding.banks();
    deciding.gradebook();
    deciding.enrolments();
    deciding.blocks()?;
    deciding.alike();
    deciding.files();
    deciding.check();
    deciding.count();
    Ok(deciding.plan)
}

impl<'r> Deciding<'r> {
    pub fn kind(&self, name: &str) -> Option<Kind> {
        self.request.format.kind(name)
    }

    pub fn follows_moodle(&self) -> bool {
        self.request.effective.compatibility == Compatibility::Moodle
    }

    /// Rows of the archive.
    pub fn rows(&self) -> &'r Rows {
        &self.request.incoming.contents.rows
    }

    /// Rows of the course, if there is one.
    pub fn there(&self) -> Option<&'r Rows> {
        self.request.target.map(|target| &target.contents.rows)
    }

    /// Rows of a kind of the archive, less what is left out.
    pub fn incoming(&self, kind: Kind) -> Vec<(i64, &'r Row)> {
        self.rows().of(kind).filter(|(id, _)| !self.plan.left_out.has(kind, *id)).collect()
    }

    /// Rows of a kind of the course.
    pub fn existing(&self, kind: Kind) -> Vec<(i64, &'r Row)> {
        self.there().into_iter().flat_map(|rows| rows.of(kind)).collect()
    }

    pub fn is_free(&self, kind: Kind, id: i64) -> bool {
        !self.taken.contains(&(kind, id))
    }

    /// Says that a row of the archive is one of the course.
    pub fn is_same(&mut self, kind: Kind, old: i64, same: i64) {
        self.plan.map.set(kind, old, same);
        self.taken.insert((kind, same));
        let here = self.rows().get(kind, old);
        let there = self.there().and_then(|rows| rows.get(kind, same));
        for (kind, other) in here.map(|row| row.others.as_slice()).unwrap_or_default() {
            let others = there.map(|row| row.others.as_slice()).unwrap_or_default();
            if let Some((_, same)) = others.iter().find(|(found, _)| found == kind) {
                self.plan.map.set(*kind, *other, *same);
            }
        }
    }

    /// Says that a row is a double of another one of the archive.
    pub fn is_double(&mut self, kind: Kind, double: i64, other: i64) {
        self.plan.left_out.add(kind, double);
        match self.plan.map.get(kind, other) {
            Some(new) => self.plan.map.set(kind, double, new),
            None => self.plan.doubles.push((kind, double, other)),
        }
    }

    /// The course, its context and the site.
    fn course(&mut self) {
        let own: Vec<Kind> = table::OF_SITE.iter().filter_map(|name| self.kind(name)).collect();
        self.plan.map.keep_own(own);
        let (manifest, ids) = (self.request.incoming.manifest, self.request.ids);
        let course = &manifest.original_course;
        let all = [
            ("course", course.id, ids.course),
            ("context", course.context_id, ids.context),
            ("context", manifest.original_site.system_context_id, ids.system_context),
        ];
        for (name, old, new) in all {
            if let Some(kind) = self.kind(name).filter(|_| old > 0) {
                self.plan.map.set(kind, old, new);
            }
        }
        let Some(kind) = self.kind("course") else { return };
        for (old, row) in self.incoming(kind) {
            self.plan.map.set(kind, old, ids.course);
            for (kind, context) in &row.others {
                self.plan.map.set(*kind, *context, ids.context);
            }
        }
    }

    /// Everything that is of users and roles who are left out, and what the archive says of users who stay as they are.
    fn follow_gone(&mut self) -> Result<(), MatchError> {
        if !self.staying_users.is_empty() {
            let below = followers::below(self.request, &self.staying_users)?;
            self.plan.left_out.extend(&below);
        }
        if !self.gone_users.is_empty() || !self.gone_roles.is_empty() {
            let followers = followers::read(self.request, &self.gone_users, &self.gone_roles)?;
            self.plan.left_out.extend(&followers);
        }
        Ok(())
    }

    /// Counts what became of everything.
    fn count(&mut self) {
        let format = self.request.format;
        let defined = &self.request.incoming.survey.defined;
        for kind in defined.kinds().filter(|kind| !self.plan.map.is_own(*kind)) {
            let mut count = Count::default();
            for id in defined.sorted(kind) {
                let is_mapped = self.plan.map.get(kind, id).is_some();
                let is_left_out = self.plan.left_out.has(kind, id);
                // Whoever is left out leads to nobody; a double is what it is a double of.
                let is_double = is_left_out && self.plan.map.get(kind, id).is_some_and(|new| new > 0);
                let one = match (is_left_out && !is_double, is_mapped) {
                    (true, _) => &mut count.skipped,
                    (false, true) if self.merged.contains(&(kind, id)) => &mut count.merged,
                    (false, true) => &mut count.matched,
                    (false, false) => &mut count.created,
                };
                *one += 1;
            }
            self.plan.counts.insert(format.kind_name(kind).to_owned(), count);
        }
    }
}
