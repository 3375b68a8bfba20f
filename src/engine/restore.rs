//! Restores: the tree of an archive becomes a state of a course, in one transaction at the end; and taking that back.

use super::courses::NewRevision;
use super::directory::Telling;
use super::error::Error;
use super::plan_token::PlanToken;
use super::restoring::{Restoration, refuse_blocked};
use super::run::{JobContext, requester};
use super::{Call, Engine, Place};
use crate::catalog::{JobRow, RevisionOrigin, RevisionRow};
use crate::ids::{ArchiveName, CourseId, CourseName, JobId, JobName, RevisionName};
use crate::job::{JobKind, JobPayload, JobResult, JobState, Priority};
use crate::reason::Reason;
use crate::restore::Order;
use crate::vault::journal::Event;

/// What is asked of a restore.
#[derive(Clone, Debug, Default)]
pub struct NewRestore {
    /// Id of the course; one is made for a new course if none.
    pub course: Option<CourseId>,
    /// Target, settings, selection, and what becomes of users.
    pub order: Order,
    /// Stands for the plan that is to run.
    pub plan_token: String,
    /// Full or short name of a course whose contents are deleted.
    pub course_name: String,
}

impl Engine {
    /// Asks for a restore. With `validate_only` everything is checked and nothing asked for.
    ///
    /// With the token of a plan exactly that plan runs: refused with [`Reason::PlanStale`] when something that it was made of is
    /// another by now. Where contents are deleted first, token and name of the course must be given.
    pub async fn create_restore(
        &self,
        call: &Call,
        archive: &ArchiveName,
        new: NewRestore,
        validate_only: bool,
    ) -> Result<Option<JobRow>, Error> {
        if let Some(row) = self.replayed_job(call).await? {
            return Ok(Some(row));
        }
        let site = archive.site.clone();
        self.site(&site).await?;
        let course = CourseName { site, course: new.course.clone().unwrap_or_else(CourseId::generate) };
        let mut restoration = self.restoration(archive, &course, new.order.clone(), None).await?;
        refuse_blocked(&restoration.findings)?;
        deletion_is_meant(&restoration, &new)?;
        let plan = match new.plan_token.as_str() {
            "" => None,
            text => Some(PlanToken::parse(text)?),
        };
        if let Some(plan) = &plan {
            restoration = Box::pin(self.confirm_plan(restoration, plan)).await?;
        }
        let planned_of = restoration.target.as_ref().map(|target| target.revision.revision);
        if validate_only {
            return Ok(None);
        }
        let payload = JobPayload::Restore {
            archive: archive.archive.clone(),
            course_id: course.course.clone(),
            order: Box::new(restoration.order),
            revision: planned_of.filter(|_| plan.is_some()),
            decisions: plan.map(|plan| plan.decisions().to_owned()),
        };
        let mut job = self.new_job(call, &course.site, payload, Priority::Interactive);
        job.course = Some(course.course);
        job.exclusive = true;
        job.source = Some(archive.to_string());
        self.enqueue(call, &job).await.map(Some)
    }

    /// Asks for a restore to be undone.
    pub async fn rollback_restore(&self, call: &Call, restore: &JobName) -> Result<JobRow, Error> {
        if let Some(row) = self.replayed_job(call).await? {
            return Ok(row);
        }
        let (course, _) = self.undoable(restore).await?;
        let payload = JobPayload::Rollback { restore_job: restore.job.clone() };
        let mut job = self.new_job(call, &restore.site, payload, Priority::Interactive);
        job.course = Some(course.course);
        job.exclusive = true;
        job.source = Some(restore.to_string());
        self.enqueue(call, &job).await
    }

    /// The course that a restore made, and its revision, if that can be undone.
    async fn undoable(&self, restore: &JobName) -> Result<(CourseName, i64), Error> {
        let row = self.get_job(restore).await?;
        let (Some(course), Some(revision)) = (
            row.result.as_ref().and_then(|result| result.course.clone()),
            row.result.as_ref().and_then(|result| result.revision),
        ) else {
            return Err(not_undoable(restore, "the job is no restore that succeeded"));
        };
        let is_restore = matches!(row.payload.kind(), JobKind::Restore | JobKind::Copy | JobKind::Import);
        if !is_restore || row.state != JobState::Succeeded {
            return Err(not_undoable(restore, "the job is no restore that succeeded"));
        }
        let name = CourseName { site: restore.site.clone(), course };
        let present = self.get_course(&name).await?;
        if present.delete_time.is_some() {
            return Err(not_undoable(restore, "its course is deleted already"));
        }
        if present.live_revision != Some(revision) {
            return Err(self.superseded(&name, revision).await?);
        }
        let restored = self.get_revision(&RevisionName { course: name.clone(), number: revision }).await?;
        if let Some(number) = restored.parent {
            let before = RevisionName { course: name.clone(), number };
            match self.get_revision(&before).await {
                Err(error) if error.reason == Reason::RevisionNotFound => {
                    let why = format!("what was there before, {before}, is not kept any more");
                    return Err(not_undoable(restore, &why).with("revision", &before));
                }
                kept => drop(kept?),
            }
        }
        Ok((name, revision))
    }

    async fn superseded(&self, course: &CourseName, revision: i64) -> Result<Error, Error> {
        let newer: Vec<String> = self
            .list_revisions(course, None, 20)
            .await?
            .into_iter()
            .filter(|row| row.revision > revision)
            .map(|row| RevisionName { course: course.clone(), number: row.revision }.to_string())
            .collect();
        let newer = newer.join(", ");
        Ok(Error::new(Reason::RestoreSuperseded, format!("{course} changed since the restore: {newer}"))
            .with("newerRevisions", &newer)
            .on(course))
    }

    pub(super) async fn run_rollback(
        &self,
        row: &JobRow,
        context: &JobContext,
        restore: &JobId,
    ) -> Result<(), Error> {
        context.report(|progress| progress.phase = "undoing".into());
        let restore = JobName { site: row.site.clone(), job: restore.clone() };
        let (course, revision) = self.undoable(&restore).await?;
        let name = RevisionName { course: course.clone(), number: revision };
        match self.get_revision(&name).await?.parent {
            None => self.delete_restored(row, context, &course, revision).await,
            Some(parent) => self.go_back(row, context, &course, (revision, parent)).await,
        }
    }

    /// Deletes the course that a restore made.
    async fn delete_restored(
        &self,
        row: &JobRow,
        context: &JobContext,
        course: &CourseName,
        revision: i64,
    ) -> Result<(), Error> {
        let result = JobResult { course: Some(course.course.clone()), ..JobResult::default() };
        let call = Call::by(requester(row));
        let mut tx = self.catalog.begin().await?;
        tx.delete_course(&course.site, &course.course, Some(revision), self.now()).await?;
        self.put_down(&mut tx, &course.site, &call, Event::CourseDeleted { course: course.clone() }).await?;
        self.succeed(&mut tx, context, &result).await?;
        tx.commit().await?;
        self.flush_journal().await;
        Ok(())
    }

    /// Makes what was there before the restore the newest state again. The restored state stays in the history.
    async fn go_back(
        &self,
        row: &JobRow,
        context: &JobContext,
        course: &CourseName,
        (revision, before): (i64, i64),
    ) -> Result<(), Error> {
        let before = self.get_revision(&RevisionName { course: course.clone(), number: before }).await?;
        let new = RevisionRow {
            revision: revision + 1,
            parent: Some(revision),
            origin: RevisionOrigin::RolledBack,
            job: Some(row.job.clone()),
            author: row.requester.clone(),
            create_time: self.now(),
            ..before
        };
        let place = Place::of(&new.site, &new.storage);
        let manifest = self.manifest(&place, &new.tree).await?.ok_or_else(|| {
            Error::new(Reason::StorageCorrupt, "the course has lost its moodle_backup.xml").on(course)
        })?;
        let told = self.told_by(&place, &new.tree, &manifest, Telling::Course).await?;
        let original = &manifest.original_course;
        let record =
            super::journal::revision_record(&new, &original.full_name, &original.short_name, original.id)?;
        let packs = self.write_record(&place, &record).await?;
        let result = JobResult {
            course: Some(course.course.clone()),
            revision: Some(new.revision),
            ..JobResult::default()
        };
        let call = Call::by(requester(row));
        let mut tx = self.catalog.begin().await?;
        self.insert_revision(&mut tx, &call, &NewRevision { row: new, manifest, told, packs }).await?;
        self.succeed(&mut tx, context, &result).await?;
        tx.commit().await?;
        self.flush_journal().await;
        Ok(())
    }
}

/// What would destroy contents needs a plan, and the name of the course.
fn deletion_is_meant(restoration: &Restoration, new: &NewRestore) -> Result<(), Error> {
    let course = &restoration.course;
    if !restoration.order.asked.target.is_deleting() {
        return Ok(());
    }
    if new.plan_token.is_empty() {
        let message =
            format!("the contents of {course} would be deleted; plan first, and send the plan's token");
        return Err(Error::new(Reason::PlanRequired, message).on(course));
    }
    let named = restoration.target.as_ref().is_some_and(|target| {
        new.course_name == target.row.full_name || new.course_name == target.row.short_name
    });
    if !named {
        let message = format!("the contents of {course} would be deleted; send its full or its short name");
        return Err(Error::new(Reason::CourseNameRequired, message).on(course));
    }
    Ok(())
}

fn not_undoable(restore: &JobName, why: &str) -> Error {
    Error::new(Reason::RestoreNotUndoable, format!("{restore} cannot be undone: {why}")).on(restore)
}
