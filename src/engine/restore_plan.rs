//! Looking at a restore before it is made.

use std::collections::BTreeMap;

use super::error::Error;
use super::{Engine, Place};
use crate::ids::{ArchiveName, CourseId, CourseName, RevisionName};
use crate::job::{Finding, Severity};
use crate::restore::users::{ArchiveUser, Conflict};
use crate::restore::{Effective, Order, precheck};

/// What would become of the things of a kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Made.
    pub created: u64,
    /// There already; they stay as they are.
    pub matched: u64,
    /// There already; something is added to them.
    pub merged: u64,
    /// Left out.
    pub skipped: u64,
}

/// What a restore would come to.
#[derive(Debug)]
pub struct RestorePlan {
    /// Whether something found stands against it.
    pub blocked: bool,
    /// What was found, the worst first.
    pub findings: Vec<Finding>,
    /// Settings and selection, resolved.
    pub effective: Effective,
    /// What would become of everything, by kind.
    pub counts: BTreeMap<String, Count>,
    /// Users about whom someone must decide.
    pub conflicts: Vec<(ArchiveUser, Conflict)>,
    /// The state of the course that it would change.
    pub revision: Option<RevisionName>,
    /// Full name that the course would have.
    pub full_name: String,
    /// Short name that the course would have.
    pub short_name: String,
    /// Seconds by which dates would move.
    pub date_offset: i64,
    /// Stands for this plan.
    pub token: String,
}

impl Engine {
    /// What a restore would come to.
    pub async fn plan_restore(
        &self,
        archive: &ArchiveName,
        course: Option<CourseId>,
        order: Order,
    ) -> Result<RestorePlan, Error> {
        let course =
            CourseName { site: archive.site.clone(), course: course.unwrap_or_else(CourseId::generate) };
        let restoration = self.restoration(archive, &course, order, None).await?;
        let adjust = self.adjusted(&restoration).await?;
        let place = Place::of(&restoration.archive.site, &restoration.archive.storage);
        let contents = restoration.effective.contents(&restoration.base, &restoration.order.accepted);
        let derivation = self.derivation(&archive.site, place, restoration.archive.tree, contents).await?;
        let (_, preview) = self.preview(derivation).await?;
        let token = restoration.token()?;
        let mut findings = restoration.findings;
        findings.extend(preview.findings);
        findings.sort_by_key(|finding| std::cmp::Reverse(severity(finding.severity)));
        let seen = &preview.derived.seen;
        let mut counts: BTreeMap<String, Count> = BTreeMap::new();
        for (kind, count) in &seen.counts {
            counts.entry(kind.clone()).or_default().created = *count;
        }
        for (kind, count) in &seen.dropped {
            counts.entry(kind.clone()).or_default().skipped = *count;
        }
        Ok(RestorePlan {
            blocked: precheck::is_blocked(&findings),
            findings,
            effective: restoration.effective,
            counts,
            conflicts: Vec::new(),
            revision: restoration
                .target
                .map(|target| RevisionName { course, number: target.revision.revision }),
            full_name: adjust.full_name.unwrap_or_default(),
            short_name: adjust.short_name.unwrap_or_default(),
            date_offset: adjust.date_offset,
            token,
        })
    }
}

const fn severity(severity: Severity) -> u8 {
    match severity {
        Severity::Info => 0,
        Severity::Warning => 1,
        Severity::Error => 2,
    }
}
