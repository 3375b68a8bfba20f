//! The journal of a site, read from its beginning: what it says of everything, with the last word counting.
//!
//! A new kind of event needs an arm here: the match has no default, so that none is forgotten.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::catalog::{AccountRow, HoldRow, PolicyRow, RoleRow, ScheduleRow, ShareRow, SiteRow};
use crate::clock::Timestamp;
use crate::digest::Digest;
use crate::directory::Placement;
use crate::ids::{ArchiveId, CourseId, PolicyId, SiteId};
use crate::retention::Expiry;
use crate::vault::journal::{Event, JournalEvent};

/// What the journal says of an archive.
#[derive(Default)]
pub(super) struct ArchiveFacts {
    pub is_stored: bool,
    pub is_purged: bool,
    /// When it was deleted and when it may be purged.
    pub deleted: Option<(Timestamp, Timestamp)>,
    /// Why it expired, and by which policy, when nobody but the service deleted it.
    pub expired: Option<(Expiry, Option<PolicyId>)>,
    pub description: String,
    pub hold: Option<HoldRow>,
    pub shares: BTreeMap<String, ShareRow>,
    /// When something that callers see was last said of it.
    pub update_time: Option<Timestamp>,
}

/// What the journal says of a course.
#[derive(Default)]
pub(super) struct CourseFacts {
    pub create_time: Option<Timestamp>,
    pub delete_time: Option<Timestamp>,
    /// Roots of the trees of revisions that became live ones.
    pub roots: HashMap<i64, Digest>,
    pub pruned: HashSet<i64>,
    /// Where its platform says that it stands.
    pub placement: Option<Placement>,
}

/// What the journal of a site says.
pub(super) struct SiteFacts {
    pub site: Option<SiteRow>,
    pub archives: HashMap<ArchiveId, ArchiveFacts>,
    pub courses: HashMap<CourseId, CourseFacts>,
    pub accounts: HashMap<i64, AccountRow>,
    pub roles: Vec<RoleRow>,
    pub policies: BTreeMap<PolicyId, PolicyRow>,
    pub schedule: Option<ScheduleRow>,
    /// Ids below this one may be in use.
    pub ids_below: i64,
    /// When it was first said of an archive that it was stored: what older services stored has no such word.
    pub since: Option<Timestamp>,
    /// When the last thing was said.
    pub until: Timestamp,
    pub events: u64,
    seen: HashSet<Digest>,
}

impl SiteFacts {
    pub(super) fn new() -> Self {
        Self {
            site: None,
            archives: HashMap::new(),
            courses: HashMap::new(),
            accounts: HashMap::new(),
            roles: Vec::new(),
            policies: BTreeMap::new(),
            schedule: None,
            ids_below: 0,
            since: None,
            until: Timestamp::default(),
            events: 0,
            seen: HashSet::new(),
        }
    }

    /// Takes all events of a journal, in whatever order its segments were read.
    pub(super) fn replay(&mut self, site: &SiteId, mut events: Vec<JournalEvent>) {
        // Replicas write segments at the same time; the times are those of one clock, their database's.
        events.sort_by_key(|event| event.time);
        for event in events {
            // Two replicas may have brought the same events over, and a crash may leave a segment beside its compaction.
            let text = serde_json::to_vec(&event).unwrap_or_default();
            if self.seen.insert(Digest::of(&text)) {
                self.events += 1;
                self.until = self.until.max(event.time);
                self.take(site, event);
            }
        }
    }

    fn take(&mut self, own: &SiteId, JournalEvent { time, principal, event, .. }: JournalEvent) {
        match event {
            Event::SiteCreated { site, display_name, language, time_zone, platform } => {
                // A server that was started on an empty catalog made it once more.
                self.site.get_or_insert(SiteRow {
                    site,
                    display_name,
                    language,
                    time_zone,
                    platform,
                    create_time: time,
                });
            }
            Event::SiteUpdated { site, display_name, language, time_zone, platform } => {
                let create_time = self.site.as_ref().map_or(time, |site| site.create_time);
                self.site = Some(SiteRow { site, display_name, language, time_zone, platform, create_time });
            }
            Event::AccountsWritten { site, source, accounts } => {
                for person in accounts {
                    let known = self.accounts.get(&person.id).map(|row| row.create_time);
                    let row = AccountRow {
                        site: site.clone(),
                        source,
                        create_time: known.unwrap_or(time),
                        update_time: time,
                        person,
                    };
                    self.accounts.insert(row.person.id, row);
                }
            }
            Event::AccountsForgotten { accounts, .. } => {
                accounts.iter().for_each(|id| drop(self.accounts.remove(id)));
            }
            Event::RolesWritten { source, roles, .. } => {
                self.roles = roles.into_iter().map(|role| RoleRow { role, source }).collect();
            }
            Event::IdsReserved { below, .. } => self.ids_below = self.ids_below.max(below),
            Event::CourseCreated { course } => {
                self.courses.entry(course.course).or_default().create_time = Some(time);
            }
            Event::CourseDeleted { course } => {
                self.courses.entry(course.course).or_default().delete_time = Some(time);
            }
            Event::RevisionStored { course, number, root } => {
                self.courses.entry(course.course).or_default().roots.insert(number, root);
            }
            Event::RevisionsPruned { course, numbers } => {
                self.courses.entry(course.course).or_default().pruned.extend(numbers);
            }
            Event::ArchiveStored { archive } => {
                self.since.get_or_insert(time);
                self.archives.entry(archive.archive).or_default().is_stored = true;
            }
            Event::ArchivePurged { archive } => {
                self.archives.entry(archive.archive).or_default().is_purged = true;
            }
            Event::ArchiveDeleted { archive, purge_time } => {
                self.of(archive.archive, time).deleted = Some((time, purge_time));
            }
            Event::ArchiveExpired { archive, purge_time, expiry, policy } => {
                let facts = self.of(archive.archive, time);
                facts.deleted = Some((time, purge_time));
                facts.expired = Some((expiry, policy.map(|policy| policy.policy)));
            }
            Event::ArchiveUndeleted { archive } => {
                let facts = self.of(archive.archive, time);
                (facts.deleted, facts.expired) = (None, None);
            }
            Event::PolicyWritten { policy, display_name, scope, rules } => {
                let known = self.policies.get(&policy.policy).map(|row| row.create_time);
                let row = PolicyRow {
                    site: policy.site,
                    policy: policy.policy.clone(),
                    display_name,
                    scope,
                    rules,
                    author: principal,
                    create_time: known.unwrap_or(time),
                    update_time: time,
                    version: 1,
                };
                self.policies.insert(policy.policy, row);
            }
            Event::PolicyDeleted { policy } => drop(self.policies.remove(&policy.policy)),
            Event::ScheduleWritten { site, paused, timing, skip, order } => {
                self.schedule = Some(ScheduleRow {
                    site,
                    paused,
                    timing,
                    skip,
                    order: *order,
                    author: principal,
                    update_time: time,
                    version: 1,
                });
            }
            Event::CourseTold { course, category, hidden } => {
                let facts = self.courses.entry(course.course).or_default();
                facts.placement = Some(Placement { category, hidden });
            }
            Event::ArchiveDescribed { archive, description } => {
                self.of(archive.archive, time).description = description;
            }
            Event::ArchiveHeld { archive, reason } => {
                self.of(archive.archive, time).hold = Some(HoldRow { reason, principal, create_time: time });
            }
            Event::ArchiveReleased { archive, .. } => self.of(archive.archive, time).hold = None,
            Event::ArchiveShared { archive, with, expire_time, note } => {
                let share = ShareRow {
                    site: own.clone(),
                    archive: archive.archive.clone(),
                    principal: with.clone(),
                    author: principal,
                    note,
                    create_time: time,
                    expire_time,
                };
                self.of(archive.archive, time).shares.insert(with, share);
            }
            Event::ArchiveUnshared { archive, with } => {
                self.of(archive.archive, time).shares.remove(&with);
            }
        }
    }

    fn of(&mut self, archive: ArchiveId, time: Timestamp) -> &mut ArchiveFacts {
        let facts = self.archives.entry(archive).or_default();
        facts.update_time = Some(time);
        facts
    }

    /// Accounts of which each has a name of its own: where two have one, what was written last.
    pub(super) fn distinct_accounts(&mut self) -> Vec<AccountRow> {
        let mut rows: Vec<AccountRow> = std::mem::take(&mut self.accounts).into_values().collect();
        rows.sort_by_key(|row| (std::cmp::Reverse(row.update_time), row.person.id));
        let mut names = BTreeSet::new();
        rows.retain(|row| names.insert((row.person.username.clone(), row.person.host)));
        rows
    }
}
