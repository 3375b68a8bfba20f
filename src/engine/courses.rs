//! Course spaces: their state is their newest revision, and a revision is a tree.

use super::assemble::{Download, Range, Source};
use super::directory::{Telling, Told, met};
use super::error::Error;
use super::run::Packed;
use super::{Call, Engine, Place};
use crate::archive::Container;
use crate::catalog::{ArchiveType, CourseQuery, CourseRow, RevisionOrigin, RevisionRow, Tx};
use crate::directory;
use crate::ids::{ArchiveName, CourseName, JobId, RevisionName, SiteId};
use crate::moodle::Manifest;
use crate::reason::Reason;
use crate::vault::journal::Event;

/// A state of a course that became the live one.
pub struct Published {
    /// The course.
    pub course: CourseRow,
    /// Its live revision.
    pub revision: RevisionRow,
}

/// A revision that is about to become the live one, with its record durable.
pub(super) struct NewRevision {
    pub row: RevisionRow,
    pub manifest: Manifest,
    pub told: Told,
    pub packs: Packed,
}

impl Engine {
    /// One course, deleted or not.
    pub async fn get_course(&self, name: &CourseName) -> Result<CourseRow, Error> {
        self.catalog
            .get_course(&name.site, &name.course)
            .await?
            .ok_or_else(|| Error::not_found(Reason::CourseNotFound, name))
    }

    /// A course that is not deleted, and the number of its live revision.
    pub(super) async fn live_course(&self, name: &CourseName) -> Result<(CourseRow, i64), Error> {
        let course = self.get_course(name).await?;
        if course.delete_time.is_some() {
            return Err(Error::new(Reason::CourseDeleted, format!("{name} is deleted")).on(name));
        }
        let number = course.live_revision.ok_or_else(|| {
            Error::new(Reason::CourseEmpty, format!("nothing was published for {name} yet")).on(name)
        })?;
        Ok((course, number))
    }

    /// Courses by id.
    pub async fn list_courses(
        &self,
        site: &SiteId,
        query: &CourseQuery,
        limit: u32,
    ) -> Result<Vec<CourseRow>, Error> {
        self.site(site).await?;
        Ok(self.catalog.list_courses(site, query, limit).await?)
    }

    /// One revision.
    pub async fn get_revision(&self, name: &RevisionName) -> Result<RevisionRow, Error> {
        self.catalog
            .get_revision(&name.course.site, &name.course.course, name.number)
            .await?
            .ok_or_else(|| Error::not_found(Reason::RevisionNotFound, name))
    }

    /// Revisions, newest first.
    pub async fn list_revisions(
        &self,
        name: &CourseName,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<RevisionRow>, Error> {
        self.get_course(name).await?;
        Ok(self.catalog.list_revisions(&name.site, &name.course, before, limit).await?)
    }

    /// Streams a state of a course out: the live one, or a revision.
    pub async fn download_course(
        &self,
        name: &CourseName,
        number: Option<i64>,
        container: Container,
        range: Range,
    ) -> Result<Download, Error> {
        let (course, live) = self.live_course(name).await?;
        let number = number.unwrap_or(live);
        let revision = self.get_revision(&RevisionName { course: name.clone(), number }).await?;
        let short_name: String = course
            .short_name
            .chars()
            .map(|c| if c.is_alphanumeric() || matches!(c, '-' | '.') { c } else { '_' })
            .take(60)
            .collect();
        tracing::info!(course = %name, revision = number, offset = range.offset, "course is downloaded");
        let source = Source {
            place: Place::of(&revision.site, &revision.storage),
            tree: revision.tree,
            container,
            file_name: format!("{short_name}-revision-{number}.mbz"),
            sha256: None,
            archive: None,
        };
        self.stream_out(source, range).await
    }

    /// Makes a stored course archive the live state of a course. `expected`: the revision that must be live now.
    pub async fn publish_revision(
        &self,
        call: &Call,
        name: &CourseName,
        archive: &ArchiveName,
        expected: Option<i64>,
    ) -> Result<Published, Error> {
        if let Some(revision) = self.replayed(call).await? {
            return self.published(name, &revision).await;
        }
        let present = self.catalog.get_course(&name.site, &name.course).await?;
        if present.as_ref().is_some_and(|course| course.delete_time.is_some()) {
            return Err(Error::new(Reason::CourseDeleted, format!("{name} is deleted")).on(name));
        }
        let live = present.as_ref().and_then(|course| course.live_revision);
        if live != expected {
            return Err(conflict(name, live));
        }
        let site = self.site(&name.site).await?;
        // Once more in the transaction; here, before anything is written.
        met(&site, &self.course_archive(archive).await?)?;
        let author = &call.principal.name;
        let new = self.new_revision(name, archive, live, RevisionOrigin::Published, author, None).await?;
        let mut tx = self.catalog.begin().await?;
        self.insert_revision(&mut tx, call, &new).await?;
        self.meet_platform(&mut tx, call, &name.site, &new.manifest).await?;
        self.learn_roles(&mut tx, call, &name.site, &new.told.roles).await?;
        let people = &new.told.people;
        let joined = self
            .join_directory(&mut tx, call, &name.site, directory::Source::Published, &people.people)
            .await?;
        let revision = RevisionName { course: name.clone(), number: new.row.revision };
        call.record(&mut tx, &revision.to_string(), self).await?;
        tx.commit().await?;
        joined.log(&name.site, people.left_out);
        self.flush_journal().await;
        self.published(name, &revision.to_string()).await
    }

    async fn published(&self, name: &CourseName, revision: &str) -> Result<Published, Error> {
        let revision: RevisionName = revision.parse().map_err(|error: crate::ids::InvalidName| {
            Error::new(Reason::CatalogCorrupt, "a kept name is damaged").caused_by(error)
        })?;
        Ok(Published { course: self.get_course(name).await?, revision: self.get_revision(&revision).await? })
    }

    /// Prepares a revision made of an archive: checks that it can be one, and makes its record durable.
    pub(super) async fn new_revision(
        &self,
        name: &CourseName,
        archive: &ArchiveName,
        parent: Option<i64>,
        origin: RevisionOrigin,
        author: &str,
        job: Option<JobId>,
    ) -> Result<NewRevision, Error> {
        let manifest = self.course_archive(archive).await?;
        let source = self.live_archive(archive).await?;
        let row = RevisionRow {
            site: name.site.clone(),
            course: name.course.clone(),
            revision: parent.unwrap_or(0) + 1,
            parent,
            origin,
            archive: archive.archive.clone(),
            job,
            author: author.to_owned(),
            storage: source.storage,
            tree: source.tree,
            create_time: self.now(),
        };
        let told = match origin {
            RevisionOrigin::Published => Telling::Everything,
            RevisionOrigin::Restored | RevisionOrigin::RolledBack => Telling::Course,
        };
        let told = self.told_by(&Place::of(&row.site, &row.storage), &row.tree, &manifest, told).await?;
        let original = &manifest.original_course;
        let record =
            super::journal::revision_record(&row, &original.full_name, &original.short_name, original.id)?;
        let packs = self.write_record(&Place::of(&row.site, &row.storage), &record).await?;
        Ok(NewRevision { row, manifest, told, packs })
    }

    /// What a course archive says of itself. Refuses an archive that cannot become a course.
    pub(super) async fn course_archive(&self, name: &ArchiveName) -> Result<Manifest, Error> {
        let row = self.live_archive(name).await?;
        if row.archive_type != ArchiveType::Course {
            return Err(Error::new(
                Reason::ArchiveTypeUnsupported,
                format!("{name} is of type {}; only a course archive can become a course", row.archive_type),
            )
            .with("type", &row.archive_type)
            .on(name));
        }
        self.manifest_of(&row).await?.ok_or_else(|| {
            Error::new(Reason::StorageCorrupt, "the archive has lost its moodle_backup.xml").on(name)
        })
    }

    /// Makes a revision the live one, in a transaction. The course must be where the revision's parent says.
    pub(super) async fn insert_revision(
        &self,
        tx: &mut Tx,
        call: &Call,
        new: &NewRevision,
    ) -> Result<(), Error> {
        let row = &new.row;
        let name = CourseName { site: row.site.clone(), course: row.course.clone() };
        let original = &new.manifest.original_course;
        self.insert_packs(tx, &Place::of(&row.site, &row.storage), &new.packs).await?;
        // It is the archive's own tree, of which nothing was written anew.
        if row.origin == RevisionOrigin::Published && !tx.keep_archive(&row.site, &row.archive).await? {
            let archive = ArchiveName { site: row.site.clone(), archive: row.archive.clone() };
            return Err(Error::not_found(Reason::ArchiveNotFound, &archive));
        }
        let mut course = match tx.get_course(&row.site, &row.course).await? {
            Some(course) if course.delete_time.is_some() => {
                return Err(Error::new(Reason::CourseDeleted, format!("{name} is deleted")).on(&name));
            }
            Some(course) => course,
            None => {
                let course = CourseRow {
                    site: row.site.clone(),
                    course: row.course.clone(),
                    full_name: original.full_name.clone(),
                    short_name: original.short_name.clone(),
                    moodle_course_id: original.id,
                    id_number: new.told.course_id_number.clone(),
                    live_revision: None,
                    create_time: row.create_time,
                    update_time: row.create_time,
                    delete_time: None,
                    version: 1,
                };
                tx.insert_course(&course).await?;
                self.put_down(tx, &row.site, call, Event::CourseCreated { course: name.clone() }).await?;
                course
            }
        };
        tx.insert_revision(row).await?;
        let stored =
            Event::RevisionStored { course: name.clone(), number: row.revision, root: row.tree.root };
        self.put_down(tx, &row.site, call, stored).await?;
        course.live_revision = Some(row.revision);
        course.update_time = row.create_time;
        course.full_name.clone_from(&original.full_name);
        course.short_name.clone_from(&original.short_name);
        course.moodle_course_id = original.id;
        course.id_number.clone_from(&new.told.course_id_number);
        tx.set_live_revision(&course, row.parent).await?;
        self.note_change(tx, call, &name, new.told.placement.as_ref()).await
    }
}

fn conflict(name: &CourseName, live: Option<i64>) -> Error {
    let live =
        live.map(|number| RevisionName { course: name.clone(), number }.to_string()).unwrap_or_default();
    let message = if live.is_empty() {
        format!("{name} has no live revision")
    } else {
        format!("the live revision is {live}")
    };
    Error::new(Reason::RevisionConflict, message).with("liveRevision", &live).on(name)
}
