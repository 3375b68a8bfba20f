//! Looking at a restore before it is made.

use std::collections::BTreeMap;

use super::Engine;
use super::error::Error;
use super::prepare::Planned;
use super::restoring::Restoration;
use crate::ids::{ArchiveName, CourseId, CourseName, RevisionName};
use crate::job::{Finding, Severity};
use crate::matching::{Count, UserConflict};
use crate::restore::precheck::Code;
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
    /// Users about whom someone must decide, by their ids.
    pub conflicts: Vec<(ArchiveUser, UserConflict)>,
    /// The state of the course that it would change.
    pub revision: Option<RevisionName>,
    /// Full name that the course would have.
    pub full_name: String,
    /// Short name that the course would have.
    pub short_name: String,
    /// Seconds by which dates would move.
    pub date_offset: i64,
    /// Bytes of what comes in, unpacked.
    pub content_bytes: u64,
    /// About so many bytes would be stored anew, at most.
    pub new_bytes: u64,
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
        let Planned { restoration, adjust, decisions, findings: found, counts, mut conflicts, bytes } =
            self.planned(restoration).await?;
        let token = self.plan_token(&restoration, &adjust, decisions).await?;
        let space = self.check_space(&restoration, bytes.new).await?;
        let mut findings = restoration.findings;
        findings.extend(found);
        findings.extend(space);
        findings.sort_by_key(|finding| std::cmp::Reverse(severity(finding.severity)));
        conflicts.sort_by_key(|(_, conflict)| conflict.user);
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
            content_bytes: bytes.content,
            new_bytes: bytes.new,
            token: token.to_string(),
        })
    }

    /// Whether the storage takes anything at all, and so much.
    async fn check_space(&self, restoration: &Restoration, new: u64) -> Result<Option<Finding>, Error> {
        let place = restoration.place();
        let storage = self.storage(&place)?;
        let finding = |message: String| Finding {
            severity: Severity::Error,
            code: Code::SpaceShort.as_str().to_owned(),
            path: format!("storages/{}", place.storage),
            message,
        };
        match storage.check().await.map_err(Error::from) {
            Err(error) if error.reason == crate::reason::Reason::StorageFull => {
                return Ok(Some(finding("the storage takes nothing more".into())));
            }
            Err(error) => return Err(error),
            Ok(()) => {}
        }
        let free = storage.free_bytes().filter(|free| *free < new);
        Ok(free.map(|free| {
            finding(format!("about {new} bytes would be stored, and the storage has room for {free}"))
        }))
    }
}

const fn severity(severity: Severity) -> u8 {
    match severity {
        Severity::Info => 0,
        Severity::Warning => 1,
        Severity::Error => 2,
    }
}
