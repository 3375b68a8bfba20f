//! Restoring: the documents of an archive find their place in a course, and what comes of it becomes a revision.
//!
//! Everything happens beside the course: members go into the vault, and the course sees nothing of them until one
//! transaction makes the revision the live one. A job that fails, is stopped, or is killed leaves the course as it was.

use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;

use super::courses::NewRevision;
use super::derive::{self, Derivation, StageSink};
use super::directory::Told;
use super::error::Error;
use super::plan_token::stale;
use super::prepare::{Prepared, spooled};
use super::proof::{Evidence, unexplained};
use super::run::{JobContext, requester};
use super::spool::{Elsewhere, Located, Spool};
use super::stage::Staged;
use super::stored::Stored;
use super::{Call, Engine, Place};
use crate::catalog::{ArchiveRow, CourseRow, JobRow, RevisionOrigin, RevisionRow};
use crate::choice::Decision;
use crate::course::Members;
use crate::derive::{Adjust, Sink};
use crate::directory::{self, Person};
use crate::ids::{ArchiveName, CourseName, RevisionName};
use crate::job::{Finding, JobPayload, JobResult, Proof, Severity};
use crate::matching;
use crate::merge::{self, MergeError};
use crate::moodle::{self, Manifest};
use crate::reason::Reason;
use crate::renumber::Renumber;
use crate::restore::{
    self, CourseValue, Effective, Locks, Order, Setting, WantedNames, date_offset, precheck, unique_names,
};

/// Characters by which names are looked up that might be taken: a suffix never reaches so far to the front.
const BEGINNING: usize = 40;

/// The course that an archive is restored into, as it is before.
pub(super) struct TargetCourse {
    pub row: CourseRow,
    pub revision: RevisionRow,
    pub base: Manifest,
}

/// What is restored: an archive; or what a backup of a course holds, which nobody keeps.
pub(super) struct Source {
    pub archive: ArchiveRow,
    pub base: Manifest,
    /// The backup that comes first.
    pub drawing: Option<Box<Derivation>>,
}

/// An archive, where it goes, and with what.
pub(super) struct Restoration {
    pub archive: ArchiveRow,
    pub base: Manifest,
    /// The backup that comes first; none for an archive that is there.
    pub drawing: Option<Box<Derivation>>,
    pub course: CourseName,
    pub target: Option<TargetCourse>,
    pub order: Order,
    pub effective: Effective,
    /// What was found before.
    pub findings: Vec<Finding>,
}

/// What became of an archive, durable and not visible yet.
struct Restored {
    row: RevisionRow,
    manifest: Manifest,
    staged: Staged,
    written: Written,
    id_number: String,
}

/// What else there is to say of what was written.
struct Written {
    /// Accounts that it makes.
    people: Vec<Person>,
    findings: Vec<Finding>,
    proof: Vec<Proof>,
}

impl Restoration {
    /// Where the course lies: where it lay before, or beside the archive.
    pub fn place(&self) -> Place {
        let storage = self.target.as_ref().map(|target| &target.revision.storage);
        Place::of(&self.course.site, storage.unwrap_or(&self.archive.storage))
    }
}

impl Engine {
    /// Resolves an order against the archive and its target. All contradictions are told at once.
    pub(super) async fn restoration(
        &self,
        archive: &ArchiveName,
        course: &CourseName,
        order: Order,
        revision: Option<i64>,
    ) -> Result<Restoration, Error> {
        let row = self.live_archive(archive).await?;
        let base = self.manifest_of(&row).await?.ok_or_else(|| {
            let message =
                format!("{archive} has no moodle_backup.xml: it is no archive of Moodle's own format");
            Error::new(Reason::ArchiveTypeUnsupported, message).on(archive)
        })?;
        if !order.asked.target.admits(base.archive_type) {
            let message = format!(
                "{archive} is of type {}: it can be merged into a course, and neither become one nor replace its contents",
                row.archive_type
            );
            let error = Error::new(Reason::ArchiveTypeUnsupported, message);
            return Err(error.with("type", &row.archive_type).on(archive));
        }
        let source = Source { archive: row, base, drawing: None };
        Box::pin(self.restoration_of(source, course, order, revision)).await
    }

    /// The same of what is known already.
    pub(super) async fn restoration_of(
        &self,
        Source { archive, base, drawing }: Source,
        course: &CourseName,
        order: Order,
        revision: Option<i64>,
    ) -> Result<Restoration, Error> {
        let target = match order.asked.target.is_new() {
            true => {
                self.is_free(course).await?;
                None
            }
            false => Some(self.target_course(course, revision).await?),
        };
        let resolved = restore::resolve(&order.asked, &Locks::default(), &base);
        let effective = resolved.map_err(|found| Error::from(found).within("options"))?;
        let place = precheck::Place {
            moodle_version: target.as_ref().map_or("", |target| target.base.moodle_version.as_str()),
            is_same_site: true,
            is_administrator: true,
            is_front_page: target.as_ref().is_some_and(|target| target.base.original_course.format == "site"),
            busy_with: None,
        };
        let format = &self.rules.format;
        let mut findings =
            precheck::check_archive(&base, &order.asked, place, effective.is_on(Setting::Users));
        let is_known = |module: &str| {
            let document = format!("activities/{module}_1/{module}.xml");
            format.document(&document).is_some()
        };
        findings.extend(precheck::check_contents(&base, &order.asked, &effective, is_known));
        let course = course.clone();
        Ok(Restoration { archive, base, drawing, course, target, order, effective, findings })
    }

    async fn target_course(&self, name: &CourseName, revision: Option<i64>) -> Result<TargetCourse, Error> {
        let (row, live) = self.live_course(name).await?;
        if revision.is_some_and(|expected| expected != live) {
            let live = RevisionName { course: name.clone(), number: live };
            let message = format!("the live revision is {live}; plan again");
            return Err(Error::new(Reason::PlanStale, message).with("changed", &"course").on(&live));
        }
        let revision = self.get_revision(&RevisionName { course: name.clone(), number: live }).await?;
        let place = Place::of(&name.site, &revision.storage);
        let base = self.manifest(&place, &revision.tree).await?.ok_or_else(|| {
            Error::new(Reason::StorageCorrupt, "the course has lost its moodle_backup.xml").on(name)
        })?;
        Ok(TargetCourse { row, revision, base })
    }

    /// Restores an archive. Done twice it makes one revision, for only one claim can settle the job.
    pub(super) async fn run_restore(&self, row: &JobRow, context: &JobContext) -> Result<(), Error> {
        let JobPayload::Restore { archive, course_id, order, revision, decisions } = &row.payload else {
            return Err(Error::new(Reason::Internal, "the job is no restore"));
        };
        context.report(|progress| progress.phase = "planning".into());
        let course = CourseName { site: row.site.clone(), course: course_id.clone() };
        let archive = ArchiveName { site: row.site.clone(), archive: archive.clone() };
        let restoration = self.restoration(&archive, &course, (**order).clone(), *revision).await?;
        Box::pin(self.run_restoration(restoration, decisions.clone(), row, context)).await
    }

    /// Carries a restore out that was resolved; with the decisions about people of a plan, exactly those.
    pub(super) async fn run_restoration(
        &self,
        restoration: Restoration,
        decisions: Option<String>,
        row: &JobRow,
        context: &JobContext,
    ) -> Result<(), Error> {
        refuse_blocked(&restoration.findings)?;
        let restored = self.restore_into(restoration, decisions, row, context).await?;
        self.put_restored(row, context, restored).await
    }

    async fn restore_into(
        &self,
        restoration: Restoration,
        decisions: Option<String>,
        job: &JobRow,
        context: &JobContext,
    ) -> Result<Restored, Error> {
        let derivation = self.derivation_of(&restoration).await?;
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
        let revision = self.revision_row(&restoration, job);
        let stager = self.stager(&Place::of(&revision.site, &revision.storage))?;
        let call = Call::by(requester(job));
        let (members, bytes) = (derivation.tree.members, derivation.tree.content_bytes);
        context.report(|progress| {
            progress.phase = "restoring".into();
            progress.items_total = members;
            progress.bytes_total = bytes;
        });
        let (engine, context) = (self.clone(), context.clone());
        let restoring = tokio::task::spawn_blocking(move || {
            let elsewhere = Elsewhere(&stored);
            let source: &dyn Located = match derivation.place.storage == revision.storage {
                true => &stored,
                false => &elsewhere,
            };
            let drawn = engine.drawn(restoration.drawing.as_deref(), source)?;
            let source = drawn.as_ref().map_or(source, |drawn| drawn as &dyn Located);
            let emptied = engine.emptied_target(&restoration, emptying.as_ref(), target.as_ref())?;
            let there = emptied.as_ref().map(|spool| spool as &dyn Located);
            let there = there.or_else(|| target.as_ref().map(|stored| stored as &dyn Located));
            let mut prepared = engine.prepare(&restoration, &derivation, &facts, source, there)?;
            if decisions.is_some_and(|planned| prepared.decisions().ok() != Some(planned)) {
                return Err(stale(&restoration, &["directory"]));
            }
            prepared.number(&engine, &call, &restoration)?;
            let mut sink = StageSink::new(source, stager, &context);
            match engine.write_restored(&prepared, &restoration, (source, there), &mut sink) {
                Ok(written) => engine.finish(sink, revision, written, &restoration),
                Err(error) => {
                    sink.stager.abort();
                    Err(error)
                }
            }
        });
        restoring.await.map_err(derive::failed)?
    }

    /// The target without its contents, where they are deleted first.
    pub(super) fn emptied_target<'t>(
        &self,
        restoration: &Restoration,
        emptying: Option<&Derivation>,
        target: Option<&'t Stored>,
    ) -> Result<Option<Spool<'t>>, Error> {
        let (Some(emptying), Some(target)) = (emptying, target) else { return Ok(None) };
        let keeps_people = restoration.effective.is_on(Setting::KeepRolesAndEnrolments);
        self.emptied(emptying, target, keeps_people).map(Some)
    }

    /// The archive with what of it is to be restored.
    pub(super) async fn derivation_of(&self, restoration: &Restoration) -> Result<Derivation, Error> {
        let archive = &restoration.archive;
        let place = Place::of(&archive.site, &archive.storage);
        let order = restoration.effective.contents(&restoration.base, &restoration.order.accepted);
        let base = restoration.base.clone();
        let mut derivation = self.derivation_by(&archive.site, place, (archive.tree, base), order).await?;
        derivation.adjust = self.adjusted(restoration).await?;
        Ok(derivation)
    }

    /// Writes what comes of an archive in its place.
    fn write_restored(
        &self,
        prepared: &Prepared<'_>,
        restoration: &Restoration,
        (archive, there): (&dyn Located, Option<&dyn Located>),
        sink: &mut StageSink<'_>,
    ) -> Result<Written, Error> {
        let (format, limits) = (&*self.rules.format, self.limits());
        let amendments = prepared.amendments(format);
        let amended = match amendments.is_empty() {
            true => None,
            false => {
                let mut spool = Spool::over(&prepared.spool).map_err(spooled)?;
                amendments.apply(format, &prepared.spool, &mut spool, limits)?;
                spool.finish().map_err(spooled)?;
                Some(spool)
            }
        };
        let source = amended.as_ref().unwrap_or(&prepared.spool);
        let origin = &restoration.base.original_site.wwwroot;
        let mut renumber = Renumber::new(format, &prepared.survey, &prepared.plan.map);
        let people = prepared.new_people(format, &mut renumber, source, origin, limits)?;
        let mut findings = prepared.findings.clone();
        let mut incoming = Spool::over(source).map_err(spooled)?;
        renumber.members(source, &mut incoming, limits)?;
        incoming.finish().map_err(spooled)?;
        findings.extend(matching::dangling(format, &renumber.finish()));
        let merged = match there {
            None => None,
            Some(there) => {
                let mut merged = Spool::over_all(vec![there, &incoming]).map_err(spooled)?;
                let request = merge::Request {
                    format,
                    limits,
                    compatibility: restoration.effective.compatibility,
                    overwrite_conf: restoration.effective.is_on(Setting::OverwriteConf),
                    placement: BTreeMap::new(),
                };
                let report = merge::merge(&request, there, &incoming, &mut merged)?;
                findings.extend(left_out(&report));
                merged.finish().map_err(spooled)?;
                Some((merged, report))
            }
        };
        let result = merged.as_ref().map_or(&incoming, |(merged, _)| merged);
        let report = merged.as_ref().map(|(_, report)| report);
        let evidence = Evidence { format, limits, archive, incoming: &incoming, merged: report, result };
        let proof = prepared.proof(&evidence)?;
        findings.extend(unexplained(&proof));
        let mut sink = sink.over(result);
        for member in result.members().map_err(spooled)? {
            sink.keep(&member).map_err(spooled)?;
        }
        Ok(Written { people, findings, proof })
    }

    /// Ends the staging of a revision, with its record.
    fn finish(
        &self,
        sink: StageSink<'_>,
        mut row: RevisionRow,
        written: Written,
        restoration: &Restoration,
    ) -> Result<Restored, Error> {
        let mut told = None;
        let staged = sink.stager.finish(|staged| {
            let text = staged.manifest.as_deref().unwrap_or_default();
            let manifest = moodle::parse(text, self.limits())?;
            row.tree = staged.tree_ref;
            let course = &manifest.original_course;
            let record =
                super::journal::revision_record(&row, &course.full_name, &course.short_name, course.id)?;
            told = Some(manifest);
            Ok(record)
        })?;
        let manifest = told.ok_or_else(|| Error::new(Reason::Internal, "the revision was not described"))?;
        // An id number stands for one course only, and a new one has none.
        let target = restoration.target.as_ref();
        let id_number = target.map(|target| target.row.id_number.clone()).unwrap_or_default();
        Ok(Restored { row, manifest, staged, written, id_number })
    }

    fn revision_row(&self, restoration: &Restoration, job: &JobRow) -> RevisionRow {
        let parent = restoration.target.as_ref().map(|target| target.revision.revision);
        RevisionRow {
            site: restoration.course.site.clone(),
            course: restoration.course.course.clone(),
            revision: parent.unwrap_or(0) + 1,
            parent,
            origin: RevisionOrigin::Restored,
            archive: restoration.archive.archive.clone(),
            job: Some(job.job.clone()),
            author: job.requester.clone(),
            storage: restoration.place().storage,
            tree: restoration.archive.tree,
            create_time: self.now(),
        }
    }

    /// Names that nothing else has, and by how much the dates move.
    pub(super) async fn adjusted(&self, restoration: &Restoration) -> Result<Adjust, Error> {
        let (effective, original) = (&restoration.effective, &restoration.base.original_course);
        let target = restoration.target.as_ref();
        let start = effective.start.as_ref().map(|decision| &decision.value);
        let offset = date_offset(
            original.start_time,
            target.and_then(|target| target.base.original_course.start_time),
            start,
        );
        let writes = effective.is_on(Setting::OverwriteConf);
        let wanted = |decision: Option<&Decision<Setting, restore::CourseName>>, archive: &str| match decision
            .map(|decision| &decision.value)
        {
            Some(CourseValue::Given(name)) if writes => Some(name.clone()),
            Some(CourseValue::OfArchive) if writes => Some(archive.to_owned()),
            _ => None,
        };
        let full = wanted(effective.full_name.as_ref(), &original.full_name);
        let short = wanted(effective.short_name.as_ref(), &original.short_name);
        let (own_full, own_short) =
            target.map_or(("", ""), |target| (target.row.full_name.as_str(), target.row.short_name.as_str()));
        let text = |name: &Option<String>, own: &str| name.clone().unwrap_or_else(|| own.to_owned());
        let (full_text, short_text) = (text(&full, own_full), text(&short, own_short));
        let site = &restoration.course.site;
        let mut taken = self.catalog.courses_named_like(site, &full_text, &short_text, BEGINNING).await?;
        taken.retain(|course| course.course != restoration.course.course);
        let names = unique_names(
            WantedNames {
                full: &full_text,
                short: &short_text,
                writes_full: full.is_some(),
                writes_short: short.is_some(),
            },
            "copy",
            effective.compatibility,
            |name| taken.iter().any(|course| course.full_name == name),
            |name| taken.iter().any(|course| course.short_name == name),
        );
        // Without overwriting, the course keeps the names that it has, whatever the archive's are.
        let keep = |name: Option<String>, own: &str| name.or_else(|| target.map(|_| own.to_owned()));
        Ok(Adjust {
            full_name: keep(names.full, own_full),
            short_name: keep(names.short, own_short),
            date_offset: offset,
            category_name: restoration.order.category.as_ref().map(|category| category.name.clone()),
        })
    }

    /// Makes the revision the live one, with the success of the job.
    async fn put_restored(
        &self,
        row: &JobRow,
        context: &JobContext,
        Restored { row: revision, manifest, staged, written, id_number }: Restored,
    ) -> Result<(), Error> {
        context.report(|progress| {
            progress.phase = "recording".into();
            progress.items_done = progress.items_total;
            progress.bytes_done = progress.bytes_total;
        });
        let result = JobResult {
            archive: matches!(row.payload, JobPayload::Restore { .. }).then(|| revision.archive.clone()),
            course: Some(revision.course.clone()),
            revision: Some(revision.revision),
            findings: written.findings,
            proof: written.proof,
            ..JobResult::default()
        };
        let call = Call::by(requester(row));
        let mut tx = self.catalog.begin().await?;
        let told = Told { course_id_number: id_number, ..Told::default() };
        let new = NewRevision { row: revision, manifest, told, packs: staged.packs };
        self.insert_revision(&mut tx, &call, &new).await?;
        let (site, people) = (&row.site, &written.people);
        let joined = self.join_directory(&mut tx, &call, site, directory::Source::Restored, people).await?;
        if !joined.name_taken.is_empty() {
            let message = "names of accounts that the restore would make were taken meanwhile; try again";
            let mut error = Error::new(Reason::PlanStale, message);
            error.retryable = true;
            return Err(error);
        }
        self.succeed(&mut tx, context, &result).await?;
        tx.commit().await?;
        joined.log(site, 0);
        self.flush_journal().await;
        Ok(())
    }
}

/// What a merge left out, as findings.
fn left_out(report: &merge::Report) -> Vec<Finding> {
    use merge::WhyLeftOut;
    let one = |((path, what, why), count): (&(String, String, WhyLeftOut), &u64)| {
        let because = match why {
            WhyLeftOut::TargetHasOwn => "the course has its own",
            WhyLeftOut::BlockShown => "the course shows that block already",
            WhyLeftOut::CourseKept => "the course keeps its configuration",
            WhyLeftOut::SummaryKept => "the section has a summary of its own",
            WhyLeftOut::Undescribed => "no description covers it, and the course has one",
            WhyLeftOut::OtherFormat => "it is of another course format",
            WhyLeftOut::GradebookInUse => "the grade book has more than its automatic category, as in Moodle",
        };
        let severity = match why {
            WhyLeftOut::Undescribed | WhyLeftOut::GradebookInUse => Severity::Warning,
            _ => Severity::Info,
        };
        let message = format!("{count} of {what} left out: {because}");
        Finding { severity, code: "MERGE_LEFT_OUT".into(), path: path.clone(), message }
    };
    report.left_out.iter().map(one).collect()
}

impl From<MergeError> for Error {
    /// What the vault said comes out as it went in.
    fn from(error: MergeError) -> Self {
        match (error.reason(), error) {
            (_, MergeError::Bytes { error, .. }) => error
                .downcast::<Self>()
                .unwrap_or_else(|error| Self::new(Reason::Internal, "merging failed").caused_by(error)),
            (reason, error) => Self::new(reason.unwrap_or(Reason::Internal), error.to_string()),
        }
    }
}

/// Refuses what a finding blocks.
pub(super) fn refuse_blocked(findings: &[Finding]) -> Result<(), Error> {
    let errors: Vec<&Finding> =
        findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
    let Some(first) = errors.first() else { return Ok(()) };
    let more = match errors.len() {
        1 => String::new(),
        count => format!(" (and {} more)", count - 1),
    };
    let mut error = Error::new(Reason::RestoreBlocked, format!("{}: {}{more}", first.code, first.message));
    let mut codes: BTreeMap<&str, usize> = BTreeMap::new();
    for finding in &errors {
        *codes.entry(finding.code.as_str()).or_default() += 1;
    }
    for (code, count) in codes {
        error = error.with(code, &count);
    }
    Err(error)
}
