//! Backups: the live state of a course, or an archive, becomes an archive with the settings that were asked for.

use super::derive::{Derivation, Made};
use super::error::Error;
use super::ingest::Arriving;
use super::run::JobContext;
use super::{Call, Engine, Place};
use crate::backup::{Effective, Language, Order, Setting};
use crate::catalog::{ArchiveOrigin, JobRow, RevisionRow};
use crate::ids::{ArchiveId, ArchiveName, CourseName, JobName, RevisionName};
use crate::job::{Area, JobPayload, JobResult, Priority};
use crate::reason::Reason;

impl Engine {
    /// Asks for a backup. With `validate_only` everything is checked and nothing asked for.
    ///
    /// With the token of a plan, exactly that plan runs: of the revision that it was made of, and refused with
    /// [`Reason::PlanStale`] when the course, or what the order comes to, is another by now.
    pub async fn create_backup(
        &self,
        call: &Call,
        course: &CourseName,
        area: Option<Area>,
        order: Order,
        plan_token: &str,
        validate_only: bool,
    ) -> Result<Option<JobRow>, Error> {
        if let Some(row) = self.replayed_job(call).await? {
            return Ok(Some(row));
        }
        self.site(&course.site).await?;
        let (revision, derivation) = self.ordered(course, None, order).await?;
        let area = target(area, &derivation.effective)?;
        let name = RevisionName { course: course.clone(), number: revision.revision };
        let pinned = self.pinned(&name, &derivation, plan_token)?;
        if validate_only {
            return Ok(None);
        }
        let payload = JobPayload::Backup {
            course: course.course.clone(),
            area,
            order: Box::new(derivation.order),
            revision: pinned,
        };
        let mut job = self.new_job(call, &course.site, payload, Priority::Requested);
        job.course = Some(course.course.clone());
        self.enqueue(call, &job).await.map(Some)
    }

    fn pinned(
        &self,
        revision: &RevisionName,
        derivation: &Derivation,
        plan_token: &str,
    ) -> Result<Option<i64>, Error> {
        if plan_token.is_empty() {
            return Ok(None);
        }
        let now = super::plan::token(&revision.to_string(), &derivation.order, &derivation.effective)?;
        if now == plan_token {
            return Ok(Some(revision.number));
        }
        let message = format!("the plan is not that of this request and {revision}; plan again");
        Err(Error::new(Reason::PlanStale, message).on(revision))
    }

    /// What an order comes to, of the live revision or of a certain one.
    pub(super) async fn ordered(
        &self,
        course: &CourseName,
        revision: Option<i64>,
        order: Order,
    ) -> Result<(RevisionRow, Derivation), Error> {
        let (_, live) = self.live_course(course).await?;
        let number = revision.unwrap_or(live);
        let row = self.get_revision(&RevisionName { course: course.clone(), number }).await?;
        let place = Place::of(&course.site, &row.storage);
        let derivation = self.derivation(&course.site, place, row.tree, order).await?;
        Ok((row, derivation))
    }

    /// Makes the backup. Done twice it makes the archive once, for only one claim can settle the job.
    pub(super) async fn run_backup(
        &self,
        row: &JobRow,
        context: &JobContext,
        course: &CourseName,
        (area, order, revision): (Area, &Order, Option<i64>),
    ) -> Result<(), Error> {
        context.report(|progress| progress.phase = "planning".into());
        let (_, derivation) = self.ordered(course, revision, order.clone()).await?;
        let arriving = Arriving {
            site: course.site.clone(),
            area,
            course: Some(course.course.clone()),
            file_name: derivation.label.file_name.clone(),
            owner: row.requester.clone(),
            job: Some(JobName { site: row.site.clone(), job: row.job.clone() }),
        };
        let made = self.make(derivation, arriving, ArchiveOrigin::Backup, context).await?;
        self.record(context, made).await
    }

    /// Asks for an archive with other settings of an archive.
    pub async fn convert_archive(
        &self,
        call: &Call,
        archive: &ArchiveName,
        area: Option<Area>,
        order: Order,
        validate_only: bool,
    ) -> Result<Option<JobRow>, Error> {
        if let Some(row) = self.replayed_job(call).await? {
            return Ok(Some(row));
        }
        let row = self.live_archive(archive).await?;
        let place = Place::of(&row.site, &row.storage);
        let derivation = self.derivation(&row.site, place, row.tree, order).await?;
        let area = target(area.or(Some(Area::Private)), &derivation.effective)?;
        if area == Area::Course && row.course.is_none() {
            return Err(Error::field(
                "area",
                "the archive belongs to no course, so its area must be AREA_PRIVATE",
            ));
        }
        if validate_only {
            return Ok(None);
        }
        let payload =
            JobPayload::Convert { archive: archive.archive.clone(), area, order: Box::new(derivation.order) };
        let mut job = self.new_job(call, &archive.site, payload, Priority::Requested);
        job.source = Some(archive.to_string());
        self.enqueue(call, &job).await.map(Some)
    }

    /// Makes an archive with other settings of an archive.
    pub(super) async fn run_conversion(
        &self,
        row: &JobRow,
        context: &JobContext,
        archive: &ArchiveId,
        (area, order): (Area, &Order),
    ) -> Result<(), Error> {
        context.report(|progress| progress.phase = "planning".into());
        let name = ArchiveName { site: row.site.clone(), archive: archive.clone() };
        let source = self.live_archive(&name).await?;
        let place = Place::of(&source.site, &source.storage);
        let derivation = self.derivation(&row.site, place, source.tree, order.clone()).await?;
        let arriving = Arriving {
            site: row.site.clone(),
            area,
            course: source.course.clone(),
            file_name: derivation.label.file_name.clone(),
            owner: row.requester.clone(),
            job: Some(JobName { site: row.site.clone(), job: row.job.clone() }),
        };
        let made = self.make(derivation, arriving, ArchiveOrigin::Conversion, context).await?;
        self.record(context, made).await
    }

    /// Makes a derived archive visible, with the success of its job.
    async fn record(&self, context: &JobContext, Made { row, staged, .. }: Made) -> Result<(), Error> {
        context.report(|progress| {
            progress.phase = "recording".into();
            progress.items_done = progress.items_total;
            progress.bytes_done = progress.bytes_total;
        });
        let result = JobResult {
            archive: Some(row.archive.clone()),
            course: row.course.clone(),
            findings: row.findings.clone(),
            ..JobResult::default()
        };
        let mut tx = self.catalog.begin().await?;
        self.insert_packs(&mut tx, &Place::of(&row.site, &row.storage), &staged.packs).await?;
        self.insert_archive(&mut tx, &row).await?;
        self.succeed(&mut tx, context, &result).await?;
        tx.commit().await?;
        // By itself: the job has ended, so its worker may leave it at any moment.
        let engine = self.clone();
        tokio::spawn(async move { engine.review_now(&row).await });
        Ok(())
    }
}

/// Where a backup goes: anonymised ones are their maker's own (requirement B11).
fn target(area: Option<Area>, effective: &Effective) -> Result<Area, Error> {
    let anonymised = effective.is_on(Setting::Anonymize) && effective.is_on(Setting::Users);
    match area {
        None if anonymised => Ok(Area::Private),
        None => Ok(Area::Course),
        Some(Area::Course) if anonymised => {
            Err(Error::field("area", "must be AREA_PRIVATE, for anonymised backups are their maker's own"))
        }
        Some(area @ (Area::Course | Area::Private)) => Ok(area),
        Some(_) => Err(Error::field("area", "must be AREA_COURSE or AREA_PRIVATE")),
    }
}

/// The language of that code, if file names can be made in it.
pub(super) fn language(code: &str) -> Option<Language> {
    match code {
        "en" => Some(Language::English),
        "fr" => Some(Language::French),
        _ => None,
    }
}
