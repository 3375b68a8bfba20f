//! Restores: the tree of an archive becomes a state of a course, in one transaction at the end; and taking that back.

use super::error::Error;
use super::run::{JobContext, requester};
use super::{Call, Engine};
use crate::catalog::{JobRow, RevisionOrigin};
use crate::ids::{ArchiveId, ArchiveName, CourseId, CourseName, JobId, JobName, RevisionName};
use crate::job::{JobKind, JobPayload, JobResult, JobState, Priority};
use crate::reason::Reason;
use crate::vault::journal::Event;

impl Engine {
    /// Asks for a restore into a new course. With `validate_only` everything is checked and nothing asked for.
    pub async fn create_restore(
        &self,
        call: &Call,
        archive: &ArchiveName,
        course: Option<CourseId>,
        validate_only: bool,
    ) -> Result<Option<JobRow>, Error> {
        if let Some(row) = self.replayed_job(call).await? {
            return Ok(Some(row));
        }
        self.course_archive(archive).await?;
        let site = archive.site.clone();
        let course_id = course.unwrap_or_else(CourseId::generate);
        let name = CourseName { site: site.clone(), course: course_id.clone() };
        if self.catalog.get_course(&site, &course_id).await?.is_some() {
            return Err(Error::new(Reason::CourseExists, format!("{name} exists already")).on(&name));
        }
        if validate_only {
            return Ok(None);
        }
        let payload = JobPayload::Restore { archive: archive.archive.clone(), course_id: course_id.clone() };
        let mut job = self.new_job(call, &site, payload, Priority::Interactive);
        job.course = Some(course_id);
        job.exclusive = true;
        job.source = Some(archive.to_string());
        self.enqueue(call, &job).await.map(Some)
    }

    pub(super) async fn run_restore(
        &self,
        row: &JobRow,
        context: &JobContext,
        archive: &ArchiveId,
        course: &CourseId,
    ) -> Result<(), Error> {
        context.report(|progress| progress.phase = "restoring".into());
        let course = CourseName { site: row.site.clone(), course: course.clone() };
        let archive = ArchiveName { site: row.site.clone(), archive: archive.clone() };
        if self.catalog.get_course(&course.site, &course.course).await?.is_some() {
            return Err(Error::new(Reason::CourseExists, format!("{course} exists already")).on(&course));
        }
        let job = Some(row.job.clone());
        let new =
            self.new_revision(&course, &archive, None, RevisionOrigin::Restored, &row.requester, job).await?;
        context.report(|progress| {
            progress.items_total = new.row.tree.members;
            progress.bytes_total = new.row.tree.content_bytes;
            progress.items_done = progress.items_total;
            progress.bytes_done = progress.bytes_total;
        });
        let result = JobResult {
            archive: Some(archive.archive.clone()),
            course: Some(course.course.clone()),
            revision: Some(new.row.revision),
            findings: Vec::new(),
        };
        let call = Call::by(requester(row));
        let mut tx = self.catalog.begin().await?;
        self.insert_revision(&mut tx, &call, &new).await?;
        self.succeed(&mut tx, context, &result).await?;
        tx.commit().await?;
        self.flush_journal().await;
        Ok(())
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
        if !matches!(row.payload.kind(), JobKind::Restore | JobKind::Copy) || row.state != JobState::Succeeded
        {
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
}

fn not_undoable(restore: &JobName, why: &str) -> Error {
    Error::new(Reason::RestoreNotUndoable, format!("{restore} cannot be undone: {why}")).on(restore)
}
