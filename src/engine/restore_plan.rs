//! Looking at a restore before it is made.

use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;

use super::error::Error;
use super::restoring::TargetCourse;
use super::spool::Located;
use super::{Engine, Place};
use crate::ids::{ArchiveName, CourseId, CourseName, RevisionName};
use crate::job::{Finding, Severity};
use crate::matching::{Count, UserConflict};
use crate::restore::users::ArchiveUser;
use crate::restore::{Effective, Order, precheck};

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
    pub conflicts: Vec<(ArchiveUser, UserConflict)>,
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
        let restoration = Box::pin(self.restoration(archive, &course, order, None)).await?;
        let derivation = self.derivation_of(&restoration).await?;
        let adjust = derivation.adjust.clone();
        let facts = self.facts(&restoration).await?;
        let abandoned = CancellationToken::new();
        let _guard = abandoned.clone().drop_guard();
        let stored = self.stored(&derivation.place, &derivation.tree, &abandoned).await?;
        let target = match &restoration.target {
            Some(TargetCourse { revision, .. }) => {
                let place = Place::of(&revision.site, &revision.storage);
                Some(self.stored(&place, &revision.tree, &abandoned).await?)
            }
            None => None,
        };
        let emptying = self.emptying_of(&restoration).await?;
        let engine = self.clone();
        let planning = tokio::task::spawn_blocking(move || {
            let emptied = engine.emptied_target(&restoration, emptying.as_ref(), target.as_ref())?;
            let there = emptied.as_ref().map(|spool| spool as &dyn Located);
            let there = there.or_else(|| target.as_ref().map(|stored| stored as &dyn Located));
            let prepared = engine.prepare(&restoration, &derivation, &facts, &stored, there)?;
            let conflicts = prepared.plan.conflicts.iter().map(|conflict| {
                (prepared.contents.user(conflict.user).cloned().unwrap_or_default(), conflict.clone())
            });
            let conflicts = conflicts.collect();
            Ok::<_, Error>((conflicts, prepared.plan.counts, prepared.findings, restoration))
        });
        let (conflicts, counts, found, restoration) = planning.await.map_err(super::derive::failed)??;
        let token = restoration.token()?;
        let mut findings = restoration.findings;
        findings.extend(found);
        findings.sort_by_key(|finding| std::cmp::Reverse(severity(finding.severity)));
        Ok(RestorePlan {
            blocked: precheck::is_blocked(&findings),
            findings,
            effective: restoration.effective,
            counts,
            conflicts,
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
