//! Rows as messages, and fields of messages as values.

use prost_types::Timestamp as WireTime;

use super::bounded::{ANSWER_BYTES, fit};
use crate::archive::Container;
use crate::catalog::{
    ArchiveOrigin, ArchiveRow, ArchiveType, CourseRow, JobRow, RevisionOrigin, RevisionRow, ShareRow,
    SiteRow, StorageUseRow, UploadRow, UploadState, VerificationRow,
};
use crate::clock::Timestamp;
use crate::course::Entry;
use crate::engine::{Error, Inspected, Seen};
use crate::ids::{ArchiveName, CourseName, InvalidName, JobName, RevisionName, SiteId, UploadName};
use crate::job::{
    Amount, Area, Finding, Garbage, JobKind, JobState, Missing, Problem, Progress, Proof, Severity,
};
use crate::moodle::Manifest;
use crate::proto;

/// A time as the wire has it.
pub fn time(time: Timestamp) -> WireTime {
    let nanos = i32::try_from(time.millis().rem_euclid(1000) * 1_000_000).unwrap_or(0);
    WireTime { seconds: time.secs(), nanos }
}

/// A count as the wire has it. Nothing in the service reaches 2^63.
pub fn count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A time in a field of a request, to the millisecond.
pub fn instant(field: &str, time: &WireTime) -> Result<Timestamp, Error> {
    let nanos = u32::try_from(time.nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    let millis =
        nanos.and_then(|nanos| time.seconds.checked_mul(1000)?.checked_add(i64::from(nanos / 1_000_000)));
    millis.map(Timestamp::from_millis).ok_or_else(|| Error::field(field, "is no time"))
}

/// A name in a field of a request.
pub fn name<T: std::str::FromStr<Err = InvalidName>>(field: &str, text: &str) -> Result<T, Error> {
    if text.is_empty() {
        return Err(Error::field(field, "is required"));
    }
    text.parse().map_err(|error: InvalidName| Error::field(field, error.to_string()))
}

/// A name in a field of a request that may be empty.
pub fn optional_name<T: std::str::FromStr<Err = InvalidName>>(
    field: &str,
    text: &str,
) -> Result<Option<T>, Error> {
    if text.is_empty() { Ok(None) } else { name(field, text).map(Some) }
}

/// A count in a field of a request.
pub fn unsigned(field: &str, value: i64) -> Result<u64, Error> {
    u64::try_from(value).map_err(|_| Error::field(field, "must not be negative"))
}

/// An area in a field of a request; none when it is not given.
pub fn area(field: &str, value: i32) -> Result<Option<Area>, Error> {
    match proto::Area::try_from(value) {
        Ok(proto::Area::Unspecified) => Ok(None),
        Ok(proto::Area::DropZone) => Ok(Some(Area::DropZone)),
        Ok(proto::Area::Course) => Ok(Some(Area::Course)),
        Ok(proto::Area::Private) => Ok(Some(Area::Private)),
        Ok(proto::Area::Automated) => Ok(Some(Area::Automated)),
        Err(_) => Err(Error::field(field, format!("{value} is no area"))),
    }
}

/// A container in a field of a request; none when it is not given.
pub fn container(field: &str, value: i32) -> Result<Option<Container>, Error> {
    match proto::Container::try_from(value) {
        Ok(proto::Container::Unspecified) => Ok(None),
        Ok(proto::Container::Zip) => Ok(Some(Container::Zip)),
        Ok(proto::Container::TarGz) => Ok(Some(Container::TarGz)),
        Err(_) => Err(Error::field(field, format!("{value} is no container"))),
    }
}

/// A state of jobs in a field of a request; none when it is not given.
pub fn job_state(field: &str, value: i32) -> Result<Option<JobState>, Error> {
    use proto::job::State;
    match State::try_from(value) {
        Ok(State::Unspecified) => Ok(None),
        Ok(State::Pending) => Ok(Some(JobState::Pending)),
        Ok(State::Running) => Ok(Some(JobState::Running)),
        Ok(State::Cancelling) => Ok(Some(JobState::Cancelling)),
        Ok(State::Succeeded) => Ok(Some(JobState::Succeeded)),
        Ok(State::Failed) => Ok(Some(JobState::Failed)),
        Ok(State::Cancelled) => Ok(Some(JobState::Cancelled)),
        Err(_) => Err(Error::field(field, format!("{value} is no state"))),
    }
}

/// A kind of jobs in a field of a request; none when it is not given.
pub fn job_kind(field: &str, value: i32) -> Result<Option<JobKind>, Error> {
    use proto::job::Kind;
    match Kind::try_from(value) {
        Ok(Kind::Unspecified) => Ok(None),
        Ok(Kind::Ingest) => Ok(Some(JobKind::Ingest)),
        Ok(Kind::Backup) => Ok(Some(JobKind::Backup)),
        Ok(Kind::Restore) => Ok(Some(JobKind::Restore)),
        Ok(Kind::Rollback) => Ok(Some(JobKind::Rollback)),
        Ok(Kind::Convert) => Ok(Some(JobKind::Convert)),
        Ok(Kind::Copy) => Ok(Some(JobKind::Copy)),
        Ok(Kind::Import) => Ok(Some(JobKind::Import)),
        Ok(Kind::Retention) => Ok(Some(JobKind::Retention)),
        Ok(Kind::Verify) => Ok(Some(JobKind::Verify)),
        Ok(Kind::Collect) => Ok(Some(JobKind::Collect)),
        Err(_) => Err(Error::field(field, format!("{value} is no kind"))),
    }
}

/// An area as the wire has it, or none.
pub fn optional_area(area: Option<Area>) -> proto::Area {
    area.map_or(proto::Area::Unspecified, wire_area)
}

fn wire_area(area: Area) -> proto::Area {
    match area {
        Area::DropZone => proto::Area::DropZone,
        Area::Course => proto::Area::Course,
        Area::Private => proto::Area::Private,
        Area::Automated => proto::Area::Automated,
    }
}

/// A container as the wire has it.
pub fn wire_container(container: Container) -> proto::Container {
    match container {
        Container::Zip => proto::Container::Zip,
        Container::TarGz => proto::Container::TarGz,
    }
}

fn wire_type(archive: ArchiveType) -> proto::ArchiveType {
    match archive {
        ArchiveType::Course => proto::ArchiveType::Course,
        ArchiveType::Section => proto::ArchiveType::Section,
        ArchiveType::Activity => proto::ArchiveType::Activity,
        ArchiveType::Cartridge => proto::ArchiveType::Cartridge,
    }
}

fn course_name(site: &SiteId, course: &crate::ids::CourseId) -> CourseName {
    CourseName { site: site.clone(), course: course.clone() }
}

fn archive_name(site: &SiteId, archive: &crate::ids::ArchiveId) -> ArchiveName {
    ArchiveName { site: site.clone(), archive: archive.clone() }
}

fn job_name(site: &SiteId, job: &crate::ids::JobId) -> JobName {
    JobName { site: site.clone(), job: job.clone() }
}

fn text<T: ToString>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// An etag of a version.
pub fn etag(version: i64) -> String {
    format!("\"{version}\"")
}

/// The version in an etag; none when it is not given. An etag that nothing has matches nothing.
pub fn version(etag: &str) -> Option<i64> {
    if etag.is_empty() { None } else { Some(etag.trim_matches('"').parse().unwrap_or(-1)) }
}

/// An archive with its shares as a message.
pub fn seen(seen: &Seen) -> proto::Archive {
    let retention = seen.retention.as_ref().and_then(|row| super::retention::retention(&seen.row.site, row));
    proto::Archive { shares: seen.shares.iter().map(share).collect(), retention, ..archive(&seen.row) }
}

fn share(row: &ShareRow) -> proto::Share {
    proto::Share {
        principal: row.principal.clone(),
        expire_time: Some(time(row.expire_time)),
        note: row.note.clone(),
        author: row.author.clone(),
        create_time: Some(time(row.create_time)),
    }
}

/// An archive without its shares as a message.
pub fn archive(row: &ArchiveRow) -> proto::Archive {
    let form = |container, size: Option<u64>, sha256: Option<crate::digest::Sha256>| {
        size.map(|size| proto::ArchiveForm {
            container: wire_container(container).into(),
            size_bytes: count(size),
            sha256: text(sha256),
        })
    };
    let forms = [
        form(Container::Zip, row.zip_size_bytes, row.zip_sha256),
        form(Container::TarGz, row.tgz_size_bytes, row.tgz_sha256),
    ];
    proto::Archive {
        name: archive_name(&row.site, &row.archive).to_string(),
        area: wire_area(row.area).into(),
        course: text(row.course.as_ref().map(|course| course_name(&row.site, course))),
        owner: row.owner.clone(),
        file_name: row.file_name.clone(),
        origin: match row.origin {
            ArchiveOrigin::Upload => proto::ArchiveOrigin::Upload,
            ArchiveOrigin::Backup => proto::ArchiveOrigin::Backup,
            ArchiveOrigin::Conversion => proto::ArchiveOrigin::Conversion,
        }
        .into(),
        r#type: wire_type(row.archive_type).into(),
        container: wire_container(row.container).into(),
        member_count: count(row.tree.members),
        content_bytes: count(row.tree.content_bytes),
        upload_size_bytes: count(row.upload_size_bytes.unwrap_or(0)),
        upload_sha256: text(row.upload_sha256),
        forms: forms.into_iter().flatten().collect(),
        original_full_name: row.original_full_name.clone(),
        original_short_name: row.original_short_name.clone(),
        backup_time: row.backup_time.map(time),
        includes_users: row.includes_users,
        anonymized: row.anonymized,
        finding_count: i32::try_from(row.findings.len()).unwrap_or(i32::MAX),
        create_time: Some(time(row.create_time)),
        update_time: Some(time(row.update_time)),
        delete_time: row.delete_time.map(time),
        purge_time: row.purge_time.filter(|_| row.hold.is_none()).map(time),
        job: text(row.job.as_ref().map(|job| job_name(&row.site, job))),
        etag: etag(row.version),
        size_bytes: count(row.size_bytes()),
        description: row.description.clone(),
        hold: row.hold.as_ref().map(|hold| proto::Hold {
            reason: hold.reason.clone(),
            principal: hold.principal.clone(),
            create_time: Some(time(hold.create_time)),
        }),
        shares: Vec::new(),
        retention: None,
        verification: row.verification.as_ref().map(verification),
    }
}

fn verification(row: &VerificationRow) -> proto::Verification {
    let damage = row.damage.as_ref();
    proto::Verification {
        verify_time: Some(time(row.time)),
        damaged_member_count: count(damage.map_or(0, |damage| damage.members)),
        damage: damage.map(|damage| damage.findings.iter().map(finding).collect()).unwrap_or_default(),
    }
}

/// A member as a message.
pub fn member(entry: &Entry) -> proto::ArchiveMember {
    proto::ArchiveMember {
        path: entry.path.to_string(),
        size_bytes: count(entry.content.size),
        stored_bytes: count(entry.content.encoded_size),
        blake3: entry.content.digest.to_string(),
        crc32: entry.content.crc32,
    }
}

/// A finding as a message.
pub fn finding(finding: &Finding) -> proto::Finding {
    proto::Finding {
        severity: match finding.severity {
            Severity::Info => proto::Severity::Info,
            Severity::Warning => proto::Severity::Warning,
            Severity::Error => proto::Severity::Error,
        }
        .into(),
        code: finding.code.clone(),
        path: finding.path.clone(),
        message: finding.message.clone(),
    }
}

/// What an archive says of itself, as a message that clients take.
pub fn inspection(inspected: &Inspected) -> proto::Inspection {
    let row = &inspected.row;
    let told = inspected.manifest.as_ref().map(told).unwrap_or_default();
    let all = proto::Inspection {
        r#type: wire_type(row.archive_type).into(),
        format: if inspected.manifest.is_some() { told.format } else { "imscc1".into() },
        findings: row.findings.iter().map(finding).collect(),
        member_count: count(row.tree.members),
        content_bytes: count(row.tree.content_bytes),
        ..told
    };
    fit(all, ANSWER_BYTES)
}

/// What `moodle_backup.xml` says, as a message; what it does not say is left at its default.
pub fn told(manifest: &Manifest) -> proto::Inspection {
    let (site, course) = (&manifest.original_site, &manifest.original_course);
    proto::Inspection {
        r#type: wire_type(manifest.archive_type.into()).into(),
        format: manifest.format.clone(),
        mode: manifest.mode,
        interactive: manifest.interactive,
        execution: manifest.execution,
        backup_id: manifest.backup_id.clone(),
        file_name: manifest.file_name.clone(),
        backup_time: manifest.backup_time.map(time),
        moodle_version: manifest.moodle_version.clone(),
        moodle_release: manifest.moodle_release.clone(),
        backup_version: manifest.backup_version.clone(),
        backup_release: manifest.backup_release.clone(),
        original_site: Some(proto::OriginalSite {
            wwwroot: site.wwwroot.clone(),
            identifier_hash: site.identifier_hash.clone(),
            system_context_id: site.system_context_id,
        }),
        original_course: Some(proto::OriginalCourse {
            id: course.id,
            format: course.format.clone(),
            full_name: course.full_name.clone(),
            short_name: course.short_name.clone(),
            start_time: course.start_time.map(time),
            end_time: course.end_time.map(time),
            context_id: course.context_id,
        }),
        includes_files: manifest.includes_files,
        includes_file_references: manifest.includes_file_references,
        includes_remote_users: manifest.includes_remote_users,
        includes_users: manifest.includes_users(),
        anonymized: manifest.is_anonymized(),
        settings: manifest.settings.iter().map(setting).collect(),
        sections: manifest.sections.iter().map(section).collect(),
        activities: manifest.activities.iter().map(activity).collect(),
        ..proto::Inspection::default()
    }
}

fn setting(setting: &crate::moodle::Setting) -> proto::InspectedSetting {
    proto::InspectedSetting {
        level: setting.level.as_str().to_owned(),
        item: setting.item.clone(),
        name: setting.name.clone(),
        value: setting.value.clone(),
    }
}

fn section(section: &crate::moodle::Section) -> proto::InspectedSection {
    proto::InspectedSection {
        section_id: section.section_id,
        title: section.title.clone(),
        directory: section.directory.clone(),
        included: section.included,
        includes_user_data: section.includes_user_data,
    }
}

fn activity(activity: &crate::moodle::Activity) -> proto::InspectedActivity {
    proto::InspectedActivity {
        module_id: activity.module_id,
        section_id: activity.section_id,
        module_name: activity.module_name.clone(),
        title: activity.title.clone(),
        directory: activity.directory.clone(),
        included: activity.included,
        includes_user_data: activity.includes_user_data,
    }
}

/// A course as a message.
pub fn course(row: &CourseRow) -> proto::Course {
    let name = course_name(&row.site, &row.course);
    proto::Course {
        live_revision: text(row.live_revision.map(|number| RevisionName { course: name.clone(), number })),
        name: name.to_string(),
        full_name: row.full_name.clone(),
        short_name: row.short_name.clone(),
        moodle_course_id: row.moodle_course_id,
        id_number: row.id_number.clone(),
        create_time: Some(time(row.create_time)),
        update_time: Some(time(row.update_time)),
        delete_time: row.delete_time.map(time),
        etag: etag(row.version),
        backups: None,
    }
}

/// A revision as a message.
pub fn revision(row: &RevisionRow) -> proto::Revision {
    let course = course_name(&row.site, &row.course);
    proto::Revision {
        parent: text(row.parent.map(|number| RevisionName { course: course.clone(), number })),
        name: RevisionName { course, number: row.revision }.to_string(),
        origin: match row.origin {
            RevisionOrigin::Published => proto::revision::Origin::Published,
            RevisionOrigin::Restored => proto::revision::Origin::Restored,
            RevisionOrigin::RolledBack => proto::revision::Origin::RolledBack,
        }
        .into(),
        archive: archive_name(&row.site, &row.archive).to_string(),
        job: text(row.job.as_ref().map(|job| job_name(&row.site, job))),
        author: row.author.clone(),
        member_count: count(row.tree.members),
        content_bytes: count(row.tree.content_bytes),
        create_time: Some(time(row.create_time)),
    }
}

/// A problem as a message.
pub fn problem(problem: &Problem) -> proto::Problem {
    proto::Problem {
        reason: problem.reason.as_str().to_owned(),
        message: problem.message.clone(),
        metadata: problem.metadata.clone().into_iter().collect(),
        retryable: problem.retryable,
    }
}

fn missing(missing: &Missing) -> proto::MissingReason {
    proto::MissingReason {
        code: missing.why.as_str().to_owned(),
        count: i64::try_from(missing.count).unwrap_or(i64::MAX),
    }
}

fn proof(proof: &Proof) -> proto::RestoreProof {
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    proto::RestoreProof {
        kind: proof.kind.clone(),
        expected: number(proof.expected),
        found: number(proof.found),
        matched: number(proof.matched),
        reason: proof.reason.clone(),
        held: number(proof.held),
        difference: number(proof.difference()),
        reasons: proof.reasons.iter().map(missing).collect(),
        label: proof.label.clone(),
    }
}

fn garbage(garbage: &Garbage) -> proto::Garbage {
    let amount = |amount: Amount| {
        Some(proto::garbage::Amount { count: count(amount.count), bytes: count(amount.bytes) })
    };
    proto::Garbage {
        dry_run: garbage.dry_run,
        kept: amount(garbage.kept),
        dead: amount(garbage.dead),
        orphans: amount(garbage.orphans),
        rewritten: amount(garbage.rewritten),
        repacked: amount(garbage.repacked),
        removed: amount(garbage.removed),
        upload_count: count(garbage.uploads),
        revision_count: count(garbage.revisions),
        journal_segment_count: count(garbage.segments),
    }
}

/// A job as a message.
pub fn job(row: &JobRow) -> proto::Job {
    let result = row.result.as_ref().map(|result| {
        let course = result.course.as_ref().map(|course| course_name(&row.site, course));
        proto::JobResult {
            archive: text(result.archive.as_ref().map(|archive| archive_name(&row.site, archive))),
            revision: text(
                course.clone().zip(result.revision).map(|(course, number)| RevisionName { course, number }),
            ),
            course: text(course),
            findings: result.findings.iter().map(finding).collect(),
            proof: result.proof.iter().map(proof).collect(),
            garbage: result.garbage.as_ref().map(garbage),
            proof_summary: Proof::summary(&result.proof).iter().map(proof).collect(),
        }
    });
    let waits = row.state == JobState::Pending && row.problem.is_some();
    proto::Job {
        name: job_name(&row.site, &row.job).to_string(),
        kind: wire_kind(row.payload.kind()).into(),
        state: wire_state(row.state).into(),
        progress: Some(progress(&row.progress, row.heartbeat_time)),
        requester: row.requester.clone(),
        course: text(row.course.as_ref().map(|course| course_name(&row.site, course))),
        source: row.source.clone().unwrap_or_default(),
        attempts: i32::try_from(row.attempts).unwrap_or(i32::MAX),
        create_time: Some(time(row.create_time)),
        start_time: row.start_time.map(time),
        end_time: row.end_time.map(time),
        next_attempt_time: waits.then(|| time(row.run_after)),
        problem: row.problem.as_ref().map(problem),
        result,
        version: row.version,
    }
}

fn wire_kind(kind: JobKind) -> proto::job::Kind {
    match kind {
        JobKind::Ingest => proto::job::Kind::Ingest,
        JobKind::Backup => proto::job::Kind::Backup,
        JobKind::Restore => proto::job::Kind::Restore,
        JobKind::Rollback => proto::job::Kind::Rollback,
        JobKind::Convert => proto::job::Kind::Convert,
        JobKind::Copy => proto::job::Kind::Copy,
        JobKind::Import => proto::job::Kind::Import,
        JobKind::Retention => proto::job::Kind::Retention,
        JobKind::Verify => proto::job::Kind::Verify,
        JobKind::Collect => proto::job::Kind::Collect,
    }
}

/// A state of a job as the wire has it.
pub fn wire_state(state: JobState) -> proto::job::State {
    match state {
        JobState::Pending => proto::job::State::Pending,
        JobState::Running => proto::job::State::Running,
        JobState::Cancelling => proto::job::State::Cancelling,
        JobState::Succeeded => proto::job::State::Succeeded,
        JobState::Failed => proto::job::State::Failed,
        JobState::Cancelled => proto::job::State::Cancelled,
    }
}

fn progress(progress: &Progress, heartbeat: Option<Timestamp>) -> proto::JobProgress {
    proto::JobProgress {
        phase: progress.phase.clone(),
        items_done: count(progress.items_done),
        items_total: count(progress.items_total),
        bytes_done: count(progress.bytes_done),
        bytes_total: count(progress.bytes_total),
        heartbeat_time: heartbeat.map(time),
    }
}

/// An upload session as a message.
pub fn upload(row: &UploadRow) -> proto::Upload {
    use proto::upload::State;
    proto::Upload {
        name: UploadName { site: row.site.clone(), upload: row.upload.clone() }.to_string(),
        state: match row.state {
            UploadState::Open => State::Open,
            UploadState::Finishing => State::Finishing,
            UploadState::Finished => State::Finished,
            UploadState::Aborted => State::Aborted,
        }
        .into(),
        area: wire_area(row.area).into(),
        course: text(row.course.as_ref().map(|course| course_name(&row.site, course))),
        file_name: row.file_name.clone(),
        owner: row.owner.clone(),
        committed_bytes: count(row.committed_bytes),
        create_time: Some(time(row.create_time)),
        expire_time: Some(time(row.expire_time)),
        job: text(row.job.as_ref().map(|job| job_name(&row.site, job))),
        archive: text(row.archive.as_ref().map(|archive| archive_name(&row.site, archive))),
        last_problem: row.last_problem.as_ref().map(problem),
    }
}

/// A site as a message.
pub fn site(row: &SiteRow) -> proto::Site {
    proto::Site {
        name: format!("sites/{}", row.site),
        display_name: row.display_name.clone(),
        language: row.language.clone(),
        time_zone: row.time_zone.clone(),
        identifier_hash: row.platform.identifier_hash.clone(),
        wwwroot: row.platform.wwwroot.clone(),
        create_time: Some(time(row.create_time)),
    }
}

/// What a site uses of a storage, as a message.
pub fn storage_use(row: &StorageUseRow) -> proto::StorageUse {
    proto::StorageUse {
        storage: row.storage.to_string(),
        archive_count: count(row.archive_count),
        revision_count: count(row.revision_count),
        logical_bytes: count(row.logical_bytes),
        content_count: count(row.content_count),
        content_bytes: count(row.content_bytes),
        stored_bytes: count(row.stored_bytes),
        pack_count: count(row.pack_count),
        condemned_bytes: count(row.condemned_bytes),
        damaged_archive_count: count(row.damaged_archive_count),
    }
}
