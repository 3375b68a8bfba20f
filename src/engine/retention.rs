//! How long archives are kept, done: reviews that are due are decided and written down, what expired is deleted softly, and
//! what was deleted long enough ago is purged. A preview decides by the very same code and writes nothing.
//!
//! A decision and what follows from it are one transaction, in which nobody else changes the archives concerned.

use std::collections::{BTreeMap, HashMap};

use chrono_tz::Tz;

use super::error::Error;
use super::run::JobContext;
use super::{Call, Engine};
use crate::catalog::{
    ArchiveRow, CandidateRow, Decided, DueReview, Group, JobRow, PolicyRow, RetentionRow, Tx,
};
use crate::clock::Timestamp;
use crate::ids::{ArchiveId, ArchiveName, CourseId, PolicyId, PolicyName, SiteId};
use crate::job::{Area, Finding, JobKind, JobResult, Severity};
use crate::principal::Principal;
use crate::retention::{Effective, Expiry, Outcome, Rules, Scope, Subject, decide, effective, narrowest};
use crate::vault::journal::Event;

/// Reviews done at once, and archives purged at once.
const BATCH: u32 = 500;

/// Archives that one call of a preview looks at.
const PREVIEWED: usize = 10_000;

/// Sites are looked at this often for what is due.
const INTERVAL: std::time::Duration = std::time::Duration::from_secs(900);

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retained {
    /// Archives that were looked at.
    pub reviewed: u64,
    /// Archives that expired: they are deleted, and can be undeleted for a time.
    pub expired: u64,
    /// Archives that are gone for good.
    pub purged: u64,
}

/// What is to be previewed.
#[derive(Clone, Debug, Default)]
pub struct PreviewQuery {
    /// Only archives of this area.
    pub area: Option<Area>,
    /// Only archives of this course.
    pub course: Option<CourseId>,
    /// As it will be then, if nothing changes.
    pub time: Option<Timestamp>,
    /// As if there were this policy, instead of the one of its id.
    pub proposed: Option<(PolicyId, Scope, Rules)>,
    /// Only what would expire.
    pub only_expiring: bool,
}

/// What would become of an archive.
#[derive(Clone, Debug)]
pub struct Previewed {
    /// Which one.
    pub archive: ArchiveId,
    /// With which others it is counted.
    pub group: Group,
    /// What would become of it.
    pub outcome: Outcome,
    /// By which policy; `None`: by the defaults of its area.
    pub policy: Option<PolicyId>,
}

/// What counts for the groups of a site.
struct Counting<'e> {
    engine: &'e Engine,
    zone: Tz,
    policies: Vec<(PolicyId, Scope, Rules)>,
    categories: HashMap<CourseId, Option<String>>,
}

/// What counts for one group.
struct Counted {
    effective: Effective,
    policy: Option<PolicyId>,
    zone: Tz,
}

impl Counted {
    fn decide(&self, rows: &[CandidateRow], now: Timestamp) -> HashMap<ArchiveId, Outcome> {
        let candidates: Vec<_> = rows.iter().map(|row| row.candidate.clone()).collect();
        let decisions = decide(&self.effective, self.zone, &candidates, now);
        decisions.into_iter().map(|decision| (decision.id, decision.outcome)).collect()
    }

    /// When an archive may be purged that is deleted now: after the grace period, and not before the law allows it.
    fn purge_time(&self, create_time: Timestamp, grace: Timestamp) -> Timestamp {
        self.legal_end(create_time).map_or(grace, |legal| legal.max(grace))
    }

    fn legal_end(&self, create_time: Timestamp) -> Option<Timestamp> {
        self.effective.legal.iter().map(|period| period.after(self.zone, create_time)).max()
    }
}

impl Counting<'_> {
    async fn of(&mut self, group: &Group) -> Result<Counted, Error> {
        let category = match &group.course {
            None => None,
            Some(course) => match self.categories.get(course) {
                Some(known) => known.clone(),
                None => {
                    let category = self.engine.catalog.category_of(&group.site, course).await?;
                    self.categories.insert(course.clone(), category.clone());
                    category
                }
            },
        };
        let subject =
            Subject { area: group.area, category: category.as_deref(), course: group.course.as_ref() };
        let policies = self.policies.iter();
        let place = narrowest(policies.clone().map(|(_, scope, _)| scope), subject);
        Ok(Counted {
            effective: effective(policies.map(|(_, scope, rules)| (scope, rules)), subject),
            policy: place.and_then(|place| self.policies.get(place)).map(|(policy, ..)| policy.clone()),
            zone: self.zone,
        })
    }
}

impl Engine {
    async fn counting(&self, site: &SiteId) -> Result<Counting<'_>, Error> {
        let zone = self.site(site).await?.time_zone.parse().unwrap_or(Tz::UTC);
        let told = |row: PolicyRow| (row.policy, row.scope, row.rules);
        let policies = self.catalog.all_policies(site).await?.into_iter().map(told).collect();
        Ok(Counting { engine: self, zone, policies, categories: HashMap::new() })
    }

    /// Decides over an archive that just changed, and over those that it is counted with. When that fails, it is done
    /// later: the review stays due.
    pub(super) async fn review_now(&self, row: &ArchiveRow) {
        let reviewed = async {
            let now = self.catalog.now().await?;
            let mut counting = self.counting(&row.site).await?;
            self.review(&mut counting, &Group::of(row), std::slice::from_ref(&row.archive), now).await
        };
        if let Err(error) = reviewed.await {
            tracing::warn!(error = error.chain(), "how long an archive is kept is decided later");
        }
    }

    /// When an archive may be purged that is deleted now.
    pub(super) async fn purge_time(&self, row: &ArchiveRow, now: Timestamp) -> Result<Timestamp, Error> {
        let counted = self.counting(&row.site).await?.of(&Group::of(row)).await?;
        Ok(counted.purge_time(row.create_time, now.plus(self.rules.grace)))
    }

    /// Decides over archives of one group and does what was decided. Answers how many expired.
    async fn review(
        &self,
        counting: &mut Counting<'_>,
        group: &Group,
        due: &[ArchiveId],
        now: Timestamp,
    ) -> Result<u64, Error> {
        let counted = counting.of(group).await?;
        // Where nothing is counted, each archive is decided by itself and by the newest good one.
        let only = (!counted.effective.counts_archives()).then_some(due);
        let mut tx = self.catalog.begin().await?;
        let rows = tx.lock_candidates(group, only).await?;
        let outcomes = counted.decide(&rows, now);
        let is_concerned = |row: &&CandidateRow| only.is_none_or(|only| only.contains(&row.candidate.id));
        let mut expired = 0;
        // What goes first, for it has the group looked at once more.
        for row in rows.iter().filter(is_concerned) {
            if let Some(Outcome::Expire(expiry)) = outcomes.get(&row.candidate.id) {
                self.expire(&mut tx, group, &counted, row, *expiry, now).await?;
                expired += 1;
            }
        }
        let mut good_ones_came = false;
        for row in rows.iter().filter(is_concerned) {
            if let Some(Outcome::Keep { until, because }) = outcomes.get(&row.candidate.id) {
                good_ones_came |= row.candidate.good && row.decided.is_none();
                let decided =
                    Decided { because: because.clone(), until: *until, policy: counted.policy.clone() };
                if row.decided.as_ref() != Some(&decided) {
                    tx.write_decided(&group.site, &row.candidate.id, &decided).await?;
                }
            }
        }
        if only.is_some() && good_ones_came {
            tx.review_bad(group).await?;
        }
        tx.commit().await?;
        if expired > 0 {
            self.flush_journal().await;
        }
        Ok(expired)
    }

    async fn expire(
        &self,
        tx: &mut Tx,
        group: &Group,
        counted: &Counted,
        row: &CandidateRow,
        expiry: Expiry,
        now: Timestamp,
    ) -> Result<(), Error> {
        let (site, archive) = (&group.site, &row.candidate.id);
        let purge_time = counted.purge_time(row.candidate.create_time, now.plus(self.rules.grace));
        tx.delete_archive(site, archive, row.version, now, purge_time).await?;
        tx.write_expired(site, archive, expiry, counted.policy.as_ref()).await?;
        let name = ArchiveName { site: site.clone(), archive: archive.clone() };
        let policy = counted.policy.clone().map(|policy| PolicyName { site: site.clone(), policy });
        tracing::info!(archive = %name, expiry = %expiry, "an archive expired");
        let event = Event::ArchiveExpired { archive: name, purge_time, expiry, policy };
        self.put_down(tx, site, &Call::by(Principal::service()), event).await
    }

    /// Does all that is due on a site at a time.
    pub async fn retain(&self, site: &SiteId, now: Timestamp) -> Result<Retained, Error> {
        self.retaining(site, now, |_| {}).await
    }

    async fn retaining(
        &self,
        site: &SiteId,
        now: Timestamp,
        tell: impl Fn(Retained),
    ) -> Result<Retained, Error> {
        let mut done = Retained::default();
        let mut last = Vec::new();
        loop {
            // Marks and reviews take turns, so that neither a changed policy nor what is due waits for the other.
            let mut tx = self.catalog.begin().await?;
            let more = tx.mark_next(site, BATCH).await?;
            tx.commit().await?;
            let due = self.catalog.due_reviews(site, now, BATCH).await?;
            if due.is_empty() && !more {
                break;
            }
            if !due.is_empty() && due == last {
                // Somebody holds them, or changes them at this very moment; they stay due.
                break;
            }
            let mut counting = self.counting(site).await?;
            for (group, archives) in grouped(&due) {
                done.expired += self.review(&mut counting, group, &archives, now).await?;
                done.reviewed += archives.len() as u64;
                tell(done);
            }
            last = due;
        }
        self.purge(site, now, &mut done, tell).await?;
        Ok(done)
    }

    /// Purges what was deleted long enough ago: the tombstones are in the journal before the first row goes.
    async fn purge(
        &self,
        site: &SiteId,
        now: Timestamp,
        done: &mut Retained,
        tell: impl Fn(Retained),
    ) -> Result<(), Error> {
        let call = Call::by(Principal::service());
        let mut after: Option<ArchiveId> = None;
        loop {
            let rows = self.catalog.archives_to_purge(site, now, after.as_ref(), BATCH).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = Some(last.archive.clone());
            let mut counting = self.counting(site).await?;
            let mut counted = Vec::new();
            for row in &rows {
                counted.push(counting.of(&Group::of(row)).await?);
            }
            let mut tx = self.catalog.begin().await?;
            let mut going = Vec::new();
            for (row, counted) in rows.iter().zip(counted) {
                if let Some(legal) = counted.legal_end(row.create_time).filter(|legal| *legal > now) {
                    tx.put_purge_off(row, legal).await?;
                } else if tx.mark_purging(row).await? {
                    let archive = ArchiveName { site: site.clone(), archive: row.archive.clone() };
                    going.push(row.archive.clone());
                    self.put_down(&mut tx, site, &call, Event::ArchivePurged { archive }).await?;
                }
            }
            tx.commit().await?;
            self.try_flush_journal().await?;
            let mut tx = self.catalog.begin().await?;
            for archive in &going {
                if tx.purge_archive(site, archive).await? {
                    done.purged += 1;
                    tracing::info!(archive = %archive, site = %site, "an archive is purged");
                }
            }
            tx.commit().await?;
            tell(*done);
        }
    }

    /// The job: everything that is due on its site.
    pub(super) async fn run_retention(&self, row: &JobRow, context: &JobContext) -> Result<(), Error> {
        context.report(|progress| progress.phase = "reviewing".into());
        let now = self.catalog.now().await?;
        let tell =
            |done: Retained| context.report(|progress| progress.items_done = done.reviewed + done.purged);
        let done = self.retaining(&row.site, now, tell).await?;
        let counts =
            [("ARCHIVES_EXPIRED", done.expired, "expired"), ("ARCHIVES_PURGED", done.purged, "were purged")];
        let findings =
            counts.into_iter().filter(|(_, count, _)| *count > 0).map(|(code, count, what)| Finding {
                severity: Severity::Info,
                code: code.into(),
                path: String::new(),
                message: format!("{count} archives {what}"),
            });
        let result = JobResult { findings: findings.collect(), ..JobResult::default() };
        let mut tx = self.catalog.begin().await?;
        self.succeed(&mut tx, context, &result).await?;
        Ok(tx.commit().await?)
    }

    /// Asks for the jobs of sites in which something about retention is due, once for all replicas.
    pub(super) async fn enqueue_retention(&self, now: Timestamp) -> Result<(), Error> {
        let mut tx = self.catalog.begin().await?;
        if !tx.take_turn("retention", now, INTERVAL).await? {
            return Ok(());
        }
        tx.commit().await?;
        let sites = self.catalog.sites_to_retain(now).await?;
        if sites.is_empty() {
            return Ok(());
        }
        let call = Call::by(Principal::service());
        let mut tx = self.catalog.begin().await?;
        for site in sites {
            if !tx.has_open_job(&site, JobKind::Retention).await? {
                tx.insert_job(&self.retention_job(&call, &site)).await?;
            }
        }
        tx.commit().await?;
        self.job_changed();
        Ok(())
    }

    /// What would become of archives, by id, at most `limit` of those after `after`; and the last one that was looked at, if
    /// there may be more.
    pub async fn preview_retention(
        &self,
        site: &SiteId,
        query: &PreviewQuery,
        after: Option<&ArchiveId>,
        limit: usize,
    ) -> Result<(Vec<Previewed>, Option<ArchiveId>), Error> {
        let now = match query.time {
            Some(time) => time,
            None => self.catalog.now().await?,
        };
        let mut counting = self.counting(site).await?;
        if let Some(proposed) = &query.proposed {
            counting.policies.retain(|(policy, ..)| *policy != proposed.0);
            counting.policies.push(proposed.clone());
        }
        let (mut found, mut looked_at) = (Vec::new(), 0);
        let mut after = after.cloned();
        loop {
            let (area, course) = (query.area, query.course.as_ref());
            let page = self.catalog.archives_to_preview(site, area, course, after.as_ref(), BATCH).await?;
            let decided = self.previewed(&mut counting, &page, now).await?;
            looked_at += page.len();
            for one in decided {
                after = Some(one.archive.clone());
                if !query.only_expiring || matches!(one.outcome, Outcome::Expire(_)) {
                    found.push(one);
                }
                if found.len() == limit {
                    return Ok((found, after));
                }
            }
            if page.len() < BATCH as usize {
                return Ok((found, None));
            }
            if looked_at >= PREVIEWED {
                return Ok((found, after));
            }
        }
    }

    /// What was decided over archives; over those of which nothing is written down yet, what will be.
    pub(super) async fn retention_of(
        &self,
        site: &SiteId,
        rows: &[ArchiveRow],
    ) -> Result<HashMap<ArchiveId, RetentionRow>, Error> {
        let ids: Vec<ArchiveId> = rows.iter().map(|row| row.archive.clone()).collect();
        let mut known = self.catalog.retention_of(site, &ids).await?;
        let is_open = |row: &&ArchiveRow| {
            row.delete_time.is_none()
                && known.get(&row.archive).is_none_or(|retention| retention.decided.is_none())
        };
        let open = rows.iter().filter(is_open);
        let open: Vec<DueReview> =
            open.map(|row| DueReview { archive: row.archive.clone(), group: Group::of(row) }).collect();
        if open.is_empty() {
            return Ok(known);
        }
        let now = self.catalog.now().await?;
        let mut counting = self.counting(site).await?;
        for one in self.previewed(&mut counting, &open, now).await? {
            if let Outcome::Keep { until, because } = one.outcome {
                let decided = Some(Decided { because, until, policy: one.policy });
                let row = RetentionRow { archive: one.archive.clone(), decided, expiry: None };
                known.insert(one.archive, row);
            }
        }
        Ok(known)
    }

    async fn previewed(
        &self,
        counting: &mut Counting<'_>,
        page: &[DueReview],
        now: Timestamp,
    ) -> Result<Vec<Previewed>, Error> {
        let mut outcomes: HashMap<ArchiveId, (Outcome, Option<PolicyId>)> = HashMap::new();
        for (group, archives) in grouped(page) {
            let counted = counting.of(group).await?;
            let only = (!counted.effective.counts_archives()).then_some(&*archives);
            let rows = self.catalog.candidates(group, only).await?;
            let decided = counted.decide(&rows, now).into_iter();
            outcomes.extend(decided.map(|(archive, outcome)| (archive, (outcome, counted.policy.clone()))));
        }
        let each = page.iter().filter_map(|one| {
            let (outcome, policy) = outcomes.get(&one.archive).cloned()?;
            Some(Previewed { archive: one.archive.clone(), group: one.group.clone(), outcome, policy })
        });
        Ok(each.collect())
    }
}

/// The archives of each group.
fn grouped(due: &[DueReview]) -> BTreeMap<&Group, Vec<ArchiveId>> {
    let mut groups: BTreeMap<&Group, Vec<ArchiveId>> = BTreeMap::new();
    for one in due {
        groups.entry(&one.group).or_default().push(one.archive.clone());
    }
    groups
}
