//! Copies: a new course of the live state of another one. A backup and a restore in one job and one transaction.

use super::courses::NewRevision;
use super::derive::{Derivation, Made};
use super::directory::Told;
use super::error::Error;
use super::ingest::Arriving;
use super::run::{JobContext, requester};
use super::{Call, Engine, Place};
use crate::backup::{Order, Setting};
use crate::catalog::{ArchiveOrigin, JobRow, RevisionOrigin, RevisionRow};
use crate::choice::Scope;
use crate::clock::Timestamp;
use crate::derive::Adjust;
use crate::ids::{CourseId, CourseName, JobName};
use crate::job::{Area, JobPayload, JobResult, Priority};
use crate::moodle::ArchiveType;
use crate::reason::Reason;
use crate::restore::{
    CourseValue, LONGEST_FULL_NAME, LONGEST_SHORT_NAME, WantedNames, date_offset, unique_names,
};

/// Characters by which names are looked up that might be taken: a suffix never reaches so far to the front.
const BEGINNING: usize = 40;

/// What a copy is to be.
#[derive(Clone, Debug)]
pub struct NewCopy {
    /// Id of the new course; one is made if none.
    pub course_id: Option<CourseId>,
    /// Its full name; that of the original if empty. Made unique.
    pub full_name: String,
    /// Its short name; that of the original if empty. Made unique.
    pub short_name: String,
    /// When it starts, in seconds since 1970; as the original if none.
    pub start: Option<i64>,
    /// Settings and selection.
    pub order: Order,
}

impl Engine {
    /// Asks for a copy. With `validate_only` everything is checked and nothing asked for.
    pub async fn copy_course(
        &self,
        call: &Call,
        course: &CourseName,
        copy: NewCopy,
        validate_only: bool,
    ) -> Result<Option<JobRow>, Error> {
        if let Some(row) = self.replayed_job(call).await? {
            return Ok(Some(row));
        }
        self.site(&course.site).await?;
        let names = [
            ("full_name", &copy.full_name, LONGEST_FULL_NAME),
            ("short_name", &copy.short_name, LONGEST_SHORT_NAME),
        ];
        for (field, name, longest) in names {
            if name.chars().count() > longest || name.contains(char::is_control) {
                return Err(Error::field(
                    field,
                    format!("must have at most {longest} characters, no control characters"),
                ));
            }
        }
        let (_, derivation) = self.ordered(course, None, copy.order.clone()).await?;
        if derivation.effective.is_on(Setting::Imscc11) {
            return Err(Error::field("options.settings.imscc11", "a copy of a course is no cartridge"));
        }
        if derivation.effective.scope != Scope::Course {
            return Err(Error::field("options.item", "a part of a course is no course"));
        }
        if copy.start.is_some() && derivation.base.original_course.start_time.is_none() {
            return Err(Error::field(
                "start_time",
                "the course has no start, so its dates cannot move with one",
            ));
        }
        let course_id = copy.course_id.unwrap_or_else(CourseId::generate);
        let new = CourseName { site: course.site.clone(), course: course_id.clone() };
        self.is_free(&new).await?;
        if validate_only {
            return Ok(None);
        }
        let payload = JobPayload::Copy {
            course: course.course.clone(),
            course_id: course_id.clone(),
            order: Box::new(copy.order),
            full_name: copy.full_name,
            short_name: copy.short_name,
            start: copy.start,
        };
        let mut job = self.new_job(call, &course.site, payload, Priority::Requested);
        job.course = Some(course_id);
        job.exclusive = true;
        job.source = Some(course.to_string());
        self.enqueue(call, &job).await.map(Some)
    }

    pub(super) async fn is_free(&self, name: &CourseName) -> Result<(), Error> {
        match self.catalog.get_course(&name.site, &name.course).await? {
            Some(_) => Err(Error::new(Reason::CourseExists, format!("{name} exists already")).on(name)),
            None => Ok(()),
        }
    }

    pub(super) async fn run_copy(&self, row: &JobRow, context: &JobContext) -> Result<(), Error> {
        let JobPayload::Copy { course, course_id, order, full_name, short_name, start } = &row.payload else {
            return Err(Error::new(Reason::Internal, "the job is no copy"));
        };
        context.report(|progress| progress.phase = "planning".into());
        let new = CourseName { site: row.site.clone(), course: course_id.clone() };
        self.is_free(&new).await?;
        let course = CourseName { site: row.site.clone(), course: course.clone() };
        let (_, mut derivation) = self.ordered(&course, None, (**order).clone()).await?;
        derivation.adjust = self.adjustment(&course, &derivation, (full_name, short_name), *start).await?;
        let arriving = Arriving {
            site: course.site.clone(),
            area: Area::Private,
            course: Some(course.course.clone()),
            file_name: derivation.label.file_name.clone(),
            owner: row.requester.clone(),
            job: Some(JobName { site: row.site.clone(), job: row.job.clone() }),
        };
        let made = self.make(derivation, arriving, ArchiveOrigin::Backup, context).await?;
        self.put_copy(row, context, &new, made).await
    }

    /// Names that nothing else has, and by how much the dates move.
    async fn adjustment(
        &self,
        course: &CourseName,
        derivation: &Derivation,
        (full_name, short_name): (&str, &str),
        start: Option<i64>,
    ) -> Result<Adjust, Error> {
        let original = &derivation.base.original_course;
        let or =
            |name: &str, default: &str| if name.is_empty() { default.to_owned() } else { name.to_owned() };
        let (full, short) = (or(full_name, &original.full_name), or(short_name, &original.short_name));
        let taken = self.catalog.courses_named_like(&course.site, &full, &short, BEGINNING).await?;
        let names = unique_names(
            WantedNames { full: &full, short: &short, writes_full: true, writes_short: true },
            "copy",
            derivation.order.compatibility,
            |name| taken.iter().any(|course| course.full_name == name),
            |name| taken.iter().any(|course| course.short_name == name),
        );
        let start = start.map(|start| CourseValue::Given(Timestamp::from_secs(start)));
        Ok(Adjust {
            full_name: names.full,
            short_name: names.short,
            date_offset: date_offset(original.start_time, None, start.as_ref()),
            category_name: None,
        })
    }

    /// Makes archive and course visible, with the success of the job.
    async fn put_copy(
        &self,
        row: &JobRow,
        context: &JobContext,
        new: &CourseName,
        Made { row: archive, manifest, staged }: Made,
    ) -> Result<(), Error> {
        context.report(|progress| progress.phase = "recording".into());
        debug_assert_eq!(manifest.archive_type, ArchiveType::Course);
        let place = Place::of(&archive.site, &archive.storage);
        let revision = RevisionRow {
            site: new.site.clone(),
            course: new.course.clone(),
            revision: 1,
            parent: None,
            origin: RevisionOrigin::Restored,
            archive: archive.archive.clone(),
            job: Some(row.job.clone()),
            author: row.requester.clone(),
            storage: archive.storage.clone(),
            tree: archive.tree,
            create_time: self.now(),
        };
        let course = &manifest.original_course;
        let record =
            super::journal::revision_record(&revision, &course.full_name, &course.short_name, course.id)?;
        let packs = self.write_record(&place, &record).await?;
        let result = JobResult {
            archive: Some(archive.archive.clone()),
            course: Some(new.course.clone()),
            revision: Some(revision.revision),
            findings: archive.findings.clone(),
            ..JobResult::default()
        };
        let call = Call::by(requester(row));
        let mut tx = self.catalog.begin().await?;
        self.insert_packs(&mut tx, &place, &staged.packs).await?;
        self.insert_archive(&mut tx, &archive).await?;
        // Its people are known where they come from, and an id number stands for one course only.
        let new = NewRevision { row: revision, manifest, told: Told::default(), packs };
        self.insert_revision(&mut tx, &call, &new).await?;
        self.succeed(&mut tx, context, &result).await?;
        tx.commit().await?;
        self.flush_journal().await;
        // By itself: the job has ended, so its worker may leave it at any moment.
        let engine = self.clone();
        tokio::spawn(async move { engine.review_now(&archive).await });
        Ok(())
    }
}
