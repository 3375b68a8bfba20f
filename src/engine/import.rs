//! Imports: what was chosen of one course is merged into another one. A backup and a restore in one job; nothing is kept of
//! what passes between them.

use super::archives::Description;
use super::derive::{self, Derivation};
use super::error::Error;
use super::ingest::Arriving;
use super::prepare::spooled;
use super::restoring::{Restoration, Source, refuse_blocked};
use super::run::JobContext;
use super::spool::{Located, Spool};
use super::{Call, Engine};
use crate::archive::Container;
use crate::backup::{Compatibility, Mode, Order};
use crate::catalog::{ArchiveOrigin, JobRow};
use crate::derive::described;
use crate::ids::CourseName;
use crate::job::{Area, JobPayload, Priority};
use crate::reason::Reason;
use crate::restore::{self, Target};

impl Engine {
    /// Asks for an import of what is chosen of a course into another one. With `validate_only` everything is checked and
    /// nothing asked for.
    pub async fn import_course(
        &self,
        call: &Call,
        course: &CourseName,
        source: &CourseName,
        order: Order,
        validate_only: bool,
    ) -> Result<Option<JobRow>, Error> {
        if let Some(row) = self.replayed_job(call).await? {
            return Ok(Some(row));
        }
        self.site(&course.site).await?;
        if source.site != course.site {
            return Err(Error::field("source_course", "must be of the same site"));
        }
        if source == course {
            return Err(Error::field("source_course", "must be another course"));
        }
        if order.asked.mode != Mode::Import {
            return Err(Error::field("options.mode", "must be IMPORT, which is the default here"));
        }
        let restoration = Box::pin(self.importing(course, source, order.clone())).await?;
        refuse_blocked(&restoration.findings)?;
        if validate_only {
            return Ok(None);
        }
        let payload = JobPayload::Import {
            source: source.course.clone(),
            course_id: course.course.clone(),
            order: Box::new(order),
        };
        let mut job = self.new_job(call, &course.site, payload, Priority::Interactive);
        job.course = Some(course.course.clone());
        job.exclusive = true;
        job.source = Some(source.to_string());
        self.enqueue(call, &job).await.map(Some)
    }

    /// Imports. Done twice it makes one revision, for only one claim can settle the job.
    pub(super) async fn run_import(&self, row: &JobRow, context: &JobContext) -> Result<(), Error> {
        let JobPayload::Import { source, course_id, order } = &row.payload else {
            return Err(Error::new(Reason::Internal, "the job is no import"));
        };
        context.report(|progress| progress.phase = "planning".into());
        let course = CourseName { site: row.site.clone(), course: course_id.clone() };
        let source = CourseName { site: row.site.clone(), course: source.clone() };
        let restoration = Box::pin(self.importing(&course, &source, (**order).clone())).await?;
        Box::pin(self.run_restoration(restoration, None, row, context)).await
    }

    /// A restore of what a backup of the source would hold, into the course.
    async fn importing(
        &self,
        course: &CourseName,
        source: &CourseName,
        order: Order,
    ) -> Result<Restoration, Error> {
        let (compatibility, accepted) = (order.compatibility, order.accepted.clone());
        // Moodle leaves contents of files out of a backup for an import, for its site has them. Here only what passes is there.
        let order = Order { compatibility: Compatibility::Strict, ..order };
        let (revision, drawing) = self.ordered(source, None, order).await?;
        let passing = described(&drawing.base, &drawing.effective, &drawing.label);
        let arriving = Arriving {
            site: source.site.clone(),
            area: Area::Private,
            course: Some(source.course.clone()),
            file_name: drawing.label.file_name.clone(),
            owner: revision.author.clone(),
            job: None,
        };
        let about = Description {
            arriving: &arriving,
            origin: ArchiveOrigin::Backup,
            container: Container::Zip,
            upload: None,
            manifest: Some(&passing),
            findings: Vec::new(),
        };
        let tree = std::sync::Arc::new(self.load_tree(&drawing.place, &drawing.tree).await?);
        let mut archive = self.archive_row(&drawing.place, &tree, drawing.tree, about);
        archive.archive = revision.archive;
        let asked = restore::Asked {
            target: Target::ExistingAdding,
            mode: Mode::Import,
            compatibility,
            ..restore::Asked::default()
        };
        let order = restore::Order { asked, accepted, ..restore::Order::default() };
        let passing = Source { archive, base: passing, drawing: Some(Box::new(drawing)) };
        Box::pin(self.restoration_of(passing, course, order, None)).await
    }

    /// What of the source passes over; none where everything of an archive is looked at. On a thread that may block.
    pub(super) fn drawn<'s>(
        &self,
        drawing: Option<&Derivation>,
        source: &'s dyn Located,
    ) -> Result<Option<Spool<'s>>, Error> {
        let Some(drawing) = drawing else { return Ok(None) };
        let mut spool = Spool::over(source).map_err(spooled)?;
        derive::run(&self.rules.format, drawing, source, &mut spool, self.limits(), false)?;
        spool.finish().map_err(spooled)?;
        Ok(Some(spool))
    }
}
