//! Backups: the live tree of a course becomes an archive.

use std::sync::Arc;

use super::archives::Description;
use super::error::Error;
use super::ingest::Arriving;
use super::run::JobContext;
use super::{Call, Engine, Place};
use crate::archive::Container;
use crate::backup::{Contents, Language, file_name};
use crate::catalog::{ArchiveOrigin, JobRow};
use crate::ids::{CourseName, JobName, RevisionName};
use crate::job::{Area, JobPayload, JobResult, Priority};
use crate::moodle::Manifest;
use crate::reason::Reason;

impl Engine {
    /// Asks for a backup. With `validate_only` everything is checked and nothing asked for.
    pub async fn create_backup(
        &self,
        call: &Call,
        course: &CourseName,
        area: Area,
        validate_only: bool,
    ) -> Result<Option<JobRow>, Error> {
        if let Some(row) = self.replayed_job(call).await? {
            return Ok(Some(row));
        }
        if !matches!(area, Area::Course | Area::Private) {
            return Err(Error::field("area", "must be AREA_COURSE or AREA_PRIVATE"));
        }
        self.site(&course.site).await?;
        self.live_course(course).await?;
        if validate_only {
            return Ok(None);
        }
        let payload = JobPayload::Backup { course: course.course.clone(), area };
        let mut job = self.new_job(call, &course.site, payload, Priority::Requested);
        job.course = Some(course.course.clone());
        self.enqueue(call, &job).await.map(Some)
    }

    /// Makes the backup. Done twice it makes the archive once, for only one claim can settle the job.
    pub(super) async fn run_backup(
        &self,
        row: &JobRow,
        context: &JobContext,
        course: &CourseName,
        area: Area,
    ) -> Result<(), Error> {
        context.report(|progress| progress.phase = "planning".into());
        let (_, number) = self.live_course(course).await?;
        let revision = self.get_revision(&RevisionName { course: course.clone(), number }).await?;
        let place = Place::of(&course.site, &revision.storage);
        let tree = Arc::new(self.load_tree(&place, &revision.tree).await?);
        context.report(|progress| {
            progress.phase = "recording".into();
            progress.items_total = revision.tree.members;
            progress.bytes_total = revision.tree.content_bytes;
        });
        let manifest = self.manifest(&place, &revision.tree).await?.ok_or_else(|| {
            Error::new(Reason::StorageCorrupt, "the course has lost its moodle_backup.xml").on(course)
        })?;
        let arriving = Arriving {
            site: course.site.clone(),
            area,
            course: Some(course.course.clone()),
            file_name: self.backup_name(course, &manifest).await?,
            owner: row.requester.clone(),
            job: Some(JobName { site: row.site.clone(), job: row.job.clone() }),
        };
        let about = Description {
            arriving: &arriving,
            origin: ArchiveOrigin::Backup,
            container: Container::Zip,
            upload: None,
            manifest: Some(&manifest),
            findings: Vec::new(),
        };
        let archive = self.archive_row(&place, &tree, revision.tree, about);
        let packs = self.write_record(&place, &super::journal::archive_record(&archive)?).await?;
        let result = JobResult {
            archive: Some(archive.archive.clone()),
            course: Some(course.course.clone()),
            ..JobResult::default()
        };
        let mut tx = self.catalog.begin().await?;
        self.insert_packs(&mut tx, &place, &packs).await?;
        tx.insert_archive(&archive).await?;
        context.report(|progress| {
            progress.items_done = progress.items_total;
            progress.bytes_done = progress.bytes_total;
        });
        self.succeed(&mut tx, context, &result).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn backup_name(&self, course: &CourseName, manifest: &Manifest) -> Result<String, Error> {
        let site = self.site(&course.site).await?;
        let contents = Contents {
            users: manifest.includes_users(),
            anonymized: manifest.is_anonymized(),
            files: manifest.includes_files,
        };
        let language = language(&site.language).unwrap_or(Language::English);
        let zone = site.time_zone.parse().unwrap_or(chrono_tz::UTC);
        let original = &manifest.original_course;
        Ok(file_name(language, original.id, &original.short_name, self.now(), zone, contents))
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
