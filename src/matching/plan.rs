//! What is asked of matching, and its answer.

use std::collections::{BTreeMap, BTreeSet};

use super::contents::Contents;
use super::scan::Scan;
use super::users::{NewAccount, UserConflict};
use crate::course::Members;
use crate::format::{Format, IdSet, Kind, Refs};
use crate::job::Finding;
use crate::limits::Limits;
use crate::moodle::Manifest;
use crate::renumber::{IdMap, Survey};
use crate::restore::Effective;
use crate::restore::groups::GroupDecision;
use crate::restore::questions::BankPlace;
use crate::restore::roles::{MatchedBy, SiteRole};
use crate::restore::sections::SectionDecision;
use crate::restore::users::{Candidates, Mapping, Site, UserDecision};

/// The archive that comes in, after the settings of the restore were applied to it.
#[derive(Clone, Copy)]
pub struct Incoming<'r> {
    /// What it says of itself.
    pub manifest: &'r Manifest,
    /// Its members, read a second time only if users or roles are left out.
    pub members: &'r dyn Members,
    /// What its documents say.
    pub contents: &'r Contents,
    /// What they define.
    pub survey: &'r Survey,
    /// What else all its documents were looked through for.
    pub scan: &'r Scan,
}

/// The course that an archive goes to, as it is; emptied already if its contents are deleted first.
#[derive(Clone, Copy)]
pub struct Existing<'r> {
    /// What its documents say.
    pub contents: &'r Contents,
    /// What they define.
    pub survey: &'r Survey,
}

/// Ids that the result has, whatever the archive says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CourseIds {
    /// Of the course.
    pub course: i64,
    /// Of its context.
    pub context: i64,
    /// Of the site's context.
    pub system_context: i64,
}

/// What the restorer may do in the course.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    /// Set id numbers of groups (`moodle/course:changeidnumber`).
    pub number_groups: bool,
    /// Create question categories and questions in the course.
    pub create_questions: bool,
    /// Create them in banks of the site and of categories of courses.
    pub create_questions_above: bool,
}

impl Rights {
    /// Those of whoever may do everything.
    pub const ALL: Self = Self { number_groups: true, create_questions: true, create_questions_above: true };
}

/// All that is decided with.
#[derive(Clone, Copy)]
pub struct Request<'r> {
    /// The descriptions.
    pub format: &'r Format,
    /// Bounds of documents.
    pub limits: &'r Limits,
    /// The archive.
    pub incoming: Incoming<'r>,
    /// The course; none for a new one.
    pub target: Option<Existing<'r>>,
    /// Settings, target and whose rules are followed.
    pub effective: &'r Effective,
    /// Ids of the result's own.
    pub ids: CourseIds,
    /// What the restorer may.
    pub rights: Rights,
    /// What the site has to say about users.
    pub site: &'r Site,
    /// What the user directory answered to [`Contents::keys`].
    pub directory: &'r Candidates,
    /// What the caller wants of single users.
    pub mapping: &'r BTreeMap<i64, Mapping>,
    /// A secret of the site that pseudonyms are made with: the same person gets the same one.
    pub pseudonym_key: &'r [u8],
    /// Roles that may be assigned in the course.
    pub roles: &'r [SiteRole],
    /// What the caller wants of single roles: one of the site's, or none to leave it out.
    pub role_mapping: &'r BTreeMap<i64, Option<i64>>,
    /// Members of the archive whose content is not what its name says.
    pub altered: &'r BTreeSet<String>,
}

/// How many things of a kind became what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// They are new.
    pub created: u64,
    /// They are one of the course or of the site, which stays as it is.
    pub matched: u64,
    /// They are one of the course, which takes something over.
    pub merged: u64,
    /// They are left out.
    pub skipped: u64,
}

/// What becomes of everything in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Ids of everything that matches. What is neither here nor left out is created, see [`Plan::allocate`]. A reference
    /// to someone whom the result must not know leads to 0.
    pub map: IdMap,
    /// Rows of the archive, by their old ids, that are to be taken out before it is renumbered, with all below them. Some
    /// are in the map as well, and what refers to them follows: doubles lead to what they are doubles of, and whoever the
    /// result must not know leads to 0.
    pub left_out: Refs,
    /// What becomes of each user, by id.
    pub users: BTreeMap<i64, UserDecision>,
    /// Accounts that are created, by id of the user.
    pub new_accounts: BTreeMap<i64, NewAccount>,
    /// Users whom someone must decide about.
    pub conflicts: Vec<UserConflict>,
    /// The role that each role is, and by what.
    pub roles: BTreeMap<i64, Option<(i64, MatchedBy)>>,
    /// What becomes of groups.
    pub groups: BTreeMap<i64, GroupDecision>,
    /// What becomes of groupings.
    pub groupings: BTreeMap<i64, GroupDecision>,
    /// What becomes of sections: whether they take name and summary over, what number they get.
    pub sections: BTreeMap<i64, SectionDecision>,
    /// Course modules whose section is not in the archive, in a course without any: sections 0 and 1 are created for them.
    pub without_section: BTreeSet<i64>,
    /// Users, by their ids in the archive, who become manual enrolments because their methods do not come along.
    pub manual_users: BTreeSet<i64>,
    /// Where each question bank goes, by its context.
    pub banks: BTreeMap<i64, BankPlace>,
    /// Things that are created without their id number: it is taken, or may not be set.
    pub without_number: Refs,
    /// What became of how many, by kind.
    pub counts: BTreeMap<String, Count>,
    /// What the caller should know, or must decide.
    pub findings: Vec<Finding>,
    /// Doubles of things that are created themselves: kind, the double's id, id of the other.
    pub(super) doubles: Vec<(Kind, i64, i64)>,
}

impl Plan {
    /// What stays of the kinds of which something is left out, for [`Purpose::keep`](crate::format::Purpose). Contexts are
    /// not among them: they go with the rows that have them, and some rows have none.
    pub fn kept(&self, format: &Format, survey: &Survey) -> BTreeMap<Kind, IdSet> {
        let context = format.kind("context");
        let kinds = self.left_out.kinds().filter(|kind| Some(*kind) != context);
        let stays = |kind: Kind| {
            let ids = survey.defined.of(kind).into_iter().flatten().copied();
            ids.filter(|id| !self.left_out.has(kind, *id)).collect()
        };
        kinds.map(|kind| (kind, stays(kind))).collect()
    }

    /// Gives everything that is created the next ids from `next` on, and answers with the first one unused.
    pub fn allocate(&mut self, format: &Format, survey: &Survey, next: i64) -> i64 {
        let mut created = Refs::default();
        for kind in survey.defined.kinds() {
            let ids = survey.defined.sorted(kind).into_iter();
            created.extend_kind(kind, ids.filter(|id| !self.left_out.has(kind, *id)));
        }
        let next = self.map.allocate(format, &created, next);
        for (kind, double, other) in &self.doubles {
            if let Some(new) = self.map.get(*kind, *other) {
                self.map.set(*kind, *double, new);
            }
        }
        next
    }
}
