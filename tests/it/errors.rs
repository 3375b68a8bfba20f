//! Every refusal that a caller can bring about: its code, its reason, and the detail that is promised with it.

use anyhow::{Context, Result, ensure};
use coursevault::engine::{Error, JobContext};
use coursevault::proto::*;
use coursevault::reason::Reason;
use tonic::{Code, Status};
use tonic_types::{ErrorInfo, StatusExt};

use crate::app::TestApp;
use crate::client::*;

/// The stable reason of a status; empty when it has none.
pub fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

/// The ErrorInfo of a call that must be refused so.
pub fn refused<T>(answer: Result<T, Status>, code: Code, reason: &str) -> Result<ErrorInfo> {
    refused_with(answer, code, reason, &Detail::None)
}

/// What is promised beside the ErrorInfo.
pub enum Detail<'a> {
    None,
    /// BadRequest names this field.
    Field(&'a str),
    /// ResourceInfo names this resource.
    Resource(&'a str),
    /// ErrorInfo has this in its metadata.
    Metadata(&'a str, &'a str),
    /// ErrorInfo and ResourceInfo name the job that is in the way, and its state.
    Holder(&'a str, &'a str),
}

/// As [`refused`], with a detail.
pub fn refused_with<T>(
    answer: Result<T, Status>,
    code: Code,
    reason: &str,
    detail: &Detail<'_>,
) -> Result<ErrorInfo> {
    let status = answer.err().with_context(|| format!("not refused with {reason}"))?;
    let details = status.get_error_details();
    let info = details.error_info().with_context(|| format!("no ErrorInfo: {status:?}"))?;
    ensure!((status.code(), info.reason.as_str()) == (code, reason), "{status:?}, not {reason}");
    ensure!(info.domain == "coursevault", "{info:?}");
    ensure!(!status.message().is_empty(), "{reason} without a message");
    match *detail {
        Detail::None => {}
        Detail::Field(field) => {
            let fields = details.bad_request().map(|bad| bad.field_violations.clone()).unwrap_or_default();
            ensure!(fields.iter().map(|violation| &violation.field).eq([field]), "{fields:?}, not {field}");
        }
        Detail::Resource(name) => {
            let told = details.resource_info().context("no ResourceInfo")?;
            ensure!(told.resource_name == name && !told.resource_type.is_empty(), "{told:?}, not {name}");
        }
        Detail::Metadata(key, value) => {
            ensure!(info.metadata.get(key).map(String::as_str) == Some(value), "{info:?}, not {key} {value}");
        }
        Detail::Holder(job, state) => {
            let told = details.resource_info().context("no ResourceInfo")?;
            ensure!((told.resource_type.as_str(), told.resource_name.as_str()) == ("jobs", job), "{told:?}");
            let told = ["job", "state"].map(|key| info.metadata.get(key).map(String::as_str));
            ensure!(told == [Some(job), Some(state)], "{info:?}, not {job} {state}");
        }
    }
    Ok(info.clone())
}

/// A table of refusals: each line a call, then code, reason and detail.
macro_rules! refusals {
    ($($call:expr => $code:ident $reason:literal $detail:expr;)*) => {{
        use Detail::*;
        $(
            refused_with($call.await, Code::$code, $reason, &$detail)
                .with_context(|| stringify!($call).to_owned())?;
        )*
    }};
}

const NOWHERE: &str = "sites/main/archives/01a20ab7-f4bf-749e-9d52-162ed3d05c02";
const NO_JOB: &str = "sites/main/jobs/01a20ab7-f4bf-749e-9d52-162ed3d05c02";
const NO_UPLOAD: &str = "sites/main/uploads/01a20ab7-f4bf-749e-9d52-162ed3d05c02";

#[tokio::test(flavor = "multi_thread")]
async fn names_that_nothing_has_and_names_that_are_none() -> Result<()> {
    let app = TestApp::start().await?;
    let course = "sites/main/courses/none";
    let revision = "sites/main/courses/none/revisions/1";
    let archive = app.upload(&fixture("gen_xs-nu.mbz")?).await?.name;
    let member = |path: &str| ReadArchiveMemberRequest { name: archive.clone(), path: path.into() };
    let list = |parent: &str| ListArchivesRequest { parent: parent.into(), ..Default::default() };
    let jobs = |parent: &str| ListJobsRequest { parent: parent.into(), ..Default::default() };
    let courses = |parent: &str| ListCoursesRequest { parent: parent.into(), ..Default::default() };
    let revisions = |parent: &str| ListRevisionsRequest { parent: parent.into(), ..Default::default() };
    let elsewhere = UploadHeader { parent: "sites/none".into(), ..header("x.mbz") };
    let start = |request: StartUploadRequest| StartUploadRequest { file_name: "x.mbz".into(), ..request };
    refusals! {
        app.admin().get_site(GetSiteRequest { name: "sites/none".into() }) => NotFound "SITE_NOT_FOUND" Resource("sites/none");
        app.admin().get_storage_report(GetStorageReportRequest { parent: "sites/none".into() }) => NotFound "SITE_NOT_FOUND" Resource("sites/none");
        app.backups().list_archives(list("sites/none")) => NotFound "SITE_NOT_FOUND" Resource("sites/none");
        app.jobs().list_jobs(jobs("sites/none")) => NotFound "SITE_NOT_FOUND" Resource("sites/none");
        app.courses().list_courses(courses("sites/none")) => NotFound "SITE_NOT_FOUND" Resource("sites/none");
        app.transfers().start_upload(start(StartUploadRequest { parent: "sites/none".into(), ..Default::default() })) => NotFound "SITE_NOT_FOUND" Resource("sites/none");
        app.send(upload(elsewhere, b"x")) => NotFound "SITE_NOT_FOUND" Resource("sites/none");
        app.courses().get_course(GetCourseRequest { name: course.into() }) => NotFound "COURSE_NOT_FOUND" Resource(course);
        app.courses().list_revisions(revisions(course)) => NotFound "COURSE_NOT_FOUND" Resource(course);
        app.courses().download_course(DownloadCourseRequest { name: course.into(), ..Default::default() }) => NotFound "COURSE_NOT_FOUND" Resource(course);
        app.backup(course) => NotFound "COURSE_NOT_FOUND" Resource(course);
        app.courses().get_revision(GetRevisionRequest { name: revision.into() }) => NotFound "REVISION_NOT_FOUND" Resource(revision);
        app.backups().get_archive(GetArchiveRequest { name: NOWHERE.into() }) => NotFound "ARCHIVE_NOT_FOUND" Resource(NOWHERE);
        app.backups().delete_archive(DeleteArchiveRequest { name: NOWHERE.into(), ..Default::default() }) => NotFound "ARCHIVE_NOT_FOUND" Resource(NOWHERE);
        app.backups().undelete_archive(UndeleteArchiveRequest { name: NOWHERE.into(), ..Default::default() }) => NotFound "ARCHIVE_NOT_FOUND" Resource(NOWHERE);
        app.backups().inspect_archive(InspectArchiveRequest { name: NOWHERE.into() }) => NotFound "ARCHIVE_NOT_FOUND" Resource(NOWHERE);
        app.backups().download_archive(DownloadArchiveRequest { name: NOWHERE.into(), ..Default::default() }) => NotFound "ARCHIVE_NOT_FOUND" Resource(NOWHERE);
        app.backups().list_archive_members(ListArchiveMembersRequest { parent: NOWHERE.into(), ..Default::default() }) => NotFound "ARCHIVE_NOT_FOUND" Resource(NOWHERE);
        app.restore(NOWHERE, "fresh") => NotFound "ARCHIVE_NOT_FOUND" Resource(NOWHERE);
        app.publish(course, NOWHERE, "") => NotFound "ARCHIVE_NOT_FOUND" Resource(NOWHERE);
        app.backups().read_archive_member(member("none.xml")) => NotFound "MEMBER_NOT_FOUND" Metadata("path", "none.xml");
        app.backups().read_archive_member(member("")) => InvalidArgument "FIELD_INVALID" Field("path");
        app.jobs().get_job(GetJobRequest { name: NO_JOB.into() }) => NotFound "JOB_NOT_FOUND" Resource(NO_JOB);
        app.jobs().wait_job(WaitJobRequest { name: NO_JOB.into(), timeout: Option::None }) => NotFound "JOB_NOT_FOUND" Resource(NO_JOB);
        app.jobs().watch_job(WatchJobRequest { name: NO_JOB.into() }) => NotFound "JOB_NOT_FOUND" Resource(NO_JOB);
        app.jobs().cancel_job(CancelJobRequest { name: NO_JOB.into(), ..Default::default() }) => NotFound "JOB_NOT_FOUND" Resource(NO_JOB);
        app.jobs().retry_job(RetryJobRequest { name: NO_JOB.into(), ..Default::default() }) => NotFound "JOB_NOT_FOUND" Resource(NO_JOB);
        app.rollback(NO_JOB) => NotFound "JOB_NOT_FOUND" Resource(NO_JOB);
        app.transfers().get_upload(GetUploadRequest { name: NO_UPLOAD.into() }) => NotFound "UPLOAD_NOT_FOUND" Resource(NO_UPLOAD);
        app.transfers().abort_upload(AbortUploadRequest { name: NO_UPLOAD.into() }) => NotFound "UPLOAD_NOT_FOUND" Resource(NO_UPLOAD);
        app.finish(NO_UPLOAD, b"x") => NotFound "UPLOAD_NOT_FOUND" Resource(NO_UPLOAD);
        app.push(NO_UPLOAD, 0, b"x") => NotFound "UPLOAD_NOT_FOUND" Resource(NO_UPLOAD);
        app.backups().get_archive(GetArchiveRequest { name: "archives/x".into() }) => InvalidArgument "FIELD_INVALID" Field("name");
        app.backups().get_archive(GetArchiveRequest { name: String::new() }) => InvalidArgument "FIELD_INVALID" Field("name");
        app.courses().get_course(GetCourseRequest { name: "sites/main/courses/Not An Id".into() }) => InvalidArgument "FIELD_INVALID" Field("name");
        app.backups().list_archives(list("")) => InvalidArgument "FIELD_INVALID" Field("parent");
        app.backup("") => InvalidArgument "FIELD_INVALID" Field("course");
        app.restore(&archive, "Not An Id") => InvalidArgument "FIELD_INVALID" Field("new_course.course_id");
        app.publish("sites/other/courses/c", &archive, "") => InvalidArgument "FIELD_INVALID" Field("archive");
        app.publish(course, &archive, "sites/main/courses/other/revisions/1") => InvalidArgument "FIELD_INVALID" Field("expected_parent");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_no_field_takes() -> Result<()> {
    let app = TestApp::start().await?;
    let archive = app.upload(&fixture("gen_xs-nu.mbz")?).await?.name;
    app.publish("sites/main/courses/c", &archive, "").await?;
    let site = |site_id: &str, language: &str, time_zone: &str| CreateSiteRequest {
        site_id: site_id.into(),
        site: Some(Site { language: language.into(), time_zone: time_zone.into(), ..Default::default() }),
        ..Default::default()
    };
    let start =
        || StartUploadRequest { parent: MAIN.into(), file_name: "x.mbz".into(), ..Default::default() };
    let list = || ListArchivesRequest { parent: MAIN.into(), ..Default::default() };
    let jobs = || ListJobsRequest { parent: MAIN.into(), ..Default::default() };
    let backup = || CreateBackupRequest { course: "sites/main/courses/c".into(), ..Default::default() };
    let download = || DownloadArchiveRequest { name: archive.clone(), ..Default::default() };
    let long = "x".repeat(256);
    refusals! {
        app.admin().create_site(site("Main", "", "")) => InvalidArgument "FIELD_INVALID" Field("site_id");
        app.admin().create_site(site("", "", "")) => InvalidArgument "FIELD_INVALID" Field("site_id");
        app.admin().create_site(site("two", "xx", "")) => InvalidArgument "FIELD_INVALID" Field("site.language");
        app.admin().create_site(site("two", "", "Mars/Base")) => InvalidArgument "FIELD_INVALID" Field("site.time_zone");
        app.admin().create_site(site("main", "", "")) => AlreadyExists "SITE_EXISTS" None;
        app.transfers().start_upload(StartUploadRequest { file_name: String::new(), ..start() }) => InvalidArgument "FIELD_INVALID" Field("file_name");
        app.transfers().start_upload(StartUploadRequest { file_name: "a/b".into(), ..start() }) => InvalidArgument "FIELD_INVALID" Field("file_name");
        app.transfers().start_upload(StartUploadRequest { file_name: "a\nb".into(), ..start() }) => InvalidArgument "FIELD_INVALID" Field("file_name");
        app.transfers().start_upload(StartUploadRequest { file_name: long, ..start() }) => InvalidArgument "FIELD_INVALID" Field("file_name");
        app.transfers().start_upload(StartUploadRequest { area: 77, ..start() }) => InvalidArgument "FIELD_INVALID" Field("area");
        app.transfers().start_upload(StartUploadRequest { area: Area::Course.into(), ..start() }) => InvalidArgument "FIELD_INVALID" Field("course");
        app.transfers().start_upload(StartUploadRequest { course: "sites/other/courses/c".into(), ..start() }) => InvalidArgument "FIELD_INVALID" Field("course");
        app.transfers().start_upload(StartUploadRequest { request_id: "7".into(), ..start() }) => InvalidArgument "FIELD_INVALID" Field("request_id");
        app.backups().list_archives(ListArchivesRequest { page_size: -1, ..list() }) => InvalidArgument "FIELD_INVALID" Field("page_size");
        app.backups().list_archives(ListArchivesRequest { area: 77, ..list() }) => InvalidArgument "FIELD_INVALID" Field("area");
        app.backups().list_archives(ListArchivesRequest { course: "x".into(), ..list() }) => InvalidArgument "FIELD_INVALID" Field("course");
        app.jobs().list_jobs(ListJobsRequest { state: 77, ..jobs() }) => InvalidArgument "FIELD_INVALID" Field("state");
        app.jobs().list_jobs(ListJobsRequest { kind: 77, ..jobs() }) => InvalidArgument "FIELD_INVALID" Field("kind");
        app.backups().create_backup(CreateBackupRequest { area: Area::Automated.into(), ..backup() }) => InvalidArgument "FIELD_INVALID" Field("area");
        app.backups().create_backup(CreateBackupRequest { area: 77, ..backup() }) => InvalidArgument "FIELD_INVALID" Field("area");
        app.backups().download_archive(DownloadArchiveRequest { container: 77, ..download() }) => InvalidArgument "FIELD_INVALID" Field("container");
        app.backups().download_archive(DownloadArchiveRequest { offset: -1, ..download() }) => InvalidArgument "FIELD_INVALID" Field("offset");
        app.backups().download_archive(DownloadArchiveRequest { limit: -1, ..download() }) => InvalidArgument "FIELD_INVALID" Field("limit");
        app.backups().download_archive(DownloadArchiveRequest { offset: 1 << 40, ..download() }) => OutOfRange "OFFSET_OUT_OF_RANGE" None;
        app.backups().download_archive(DownloadArchiveRequest { if_etag: "\"x\"".into(), ..download() }) => Aborted "ETAG_MISMATCH" None;
        app.restores().create_restore(CreateRestoreRequest { archive: archive.clone(), ..Default::default() }) => InvalidArgument "FIELD_INVALID" Field("target");
        app.transfers().finish_upload(FinishUploadRequest { name: app.start_upload().await?.name, size_bytes: 1, sha256: "x".into() }) => InvalidArgument "FIELD_INVALID" Field("sha256");
        app.transfers().finish_upload(FinishUploadRequest { name: app.start_upload().await?.name, size_bytes: -1, sha256: sha256(b"") }) => InvalidArgument "FIELD_INVALID" Field("size_bytes");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn states_that_forbid_a_call() -> Result<()> {
    let app = TestApp::start().await?;
    let archive = app.upload(&fixture("gen_xs-nu.mbz")?).await?;
    let section = app.upload(&fixture("rich101-section3.mbz")?).await?.name;
    let name = archive.name.as_str();
    let course = "sites/main/courses/c";
    let delete =
        |etag: &str| DeleteArchiveRequest { name: name.into(), etag: etag.into(), ..Default::default() };
    let undelete = || UndeleteArchiveRequest { name: name.into(), ..Default::default() };
    refusals! {
        app.backups().undelete_archive(undelete()) => AlreadyExists "ARCHIVE_NOT_DELETED" Resource(name);
        app.backups().delete_archive(delete("\"77\"")) => Aborted "ETAG_MISMATCH" Resource(name);
        app.backups().delete_archive(delete("nonsense")) => Aborted "ETAG_MISMATCH" Resource(name);
        app.restore(&section, "s") => FailedPrecondition "ARCHIVE_TYPE_UNSUPPORTED" Resource(&section);
        app.publish(course, &section, "") => FailedPrecondition "ARCHIVE_TYPE_UNSUPPORTED" Metadata("type", "SECTION");
        app.publish(course, name, "sites/main/courses/c/revisions/1") => Aborted "REVISION_CONFLICT" Metadata("liveRevision", "");
    }
    app.publish(course, name, "").await?;
    let first = "sites/main/courses/c/revisions/1";
    refusals! {
        app.publish(course, name, "") => Aborted "REVISION_CONFLICT" Metadata("liveRevision", first);
        app.restore(name, "c") => AlreadyExists "COURSE_EXISTS" Resource(course);
    }
    let backup = app.backup(course).await?;
    app.result_of(&backup).await?;
    let cancel = CancelJobRequest { name: backup.name.clone(), ..Default::default() };
    let retry = RetryJobRequest { name: backup.name.clone(), ..Default::default() };
    refusals! {
        app.jobs().cancel_job(cancel) => FailedPrecondition "JOB_ENDED" Holder(&backup.name, "SUCCEEDED");
        app.jobs().retry_job(retry) => FailedPrecondition "JOB_NOT_RETRYABLE" Holder(&backup.name, "SUCCEEDED");
        app.rollback(&backup.name) => FailedPrecondition "RESTORE_NOT_UNDOABLE" Resource(&backup.name);
    }

    let restore = app.restore(name, "once").await?;
    app.result_of(&restore).await?;
    app.result_of(&app.rollback(&restore.name).await?).await?;
    let once = "sites/main/courses/once";
    refusals! {
        app.rollback(&restore.name) => FailedPrecondition "RESTORE_NOT_UNDOABLE" Resource(&restore.name);
        app.publish(once, name, "") => FailedPrecondition "COURSE_DELETED" Resource(once);
        app.backup(once) => FailedPrecondition "COURSE_DELETED" Resource(once);
        app.courses().download_course(DownloadCourseRequest { name: once.into(), ..Default::default() }) => FailedPrecondition "COURSE_DELETED" Resource(once);
    }
    let restore = app.restore(name, "changed").await?;
    let restored = app.result_of(&restore).await?;
    let newer = app.publish(&restored.course, name, &restored.revision).await?.name;
    refusals! {
        app.rollback(&restore.name) => FailedPrecondition "RESTORE_SUPERSEDED" Metadata("newerRevisions", &newer);
    }

    app.backups().delete_archive(delete(&archive.etag)).await?;
    refusals! {
        app.backups().delete_archive(delete("")) => NotFound "ARCHIVE_NOT_FOUND" Resource(name);
        app.restore(name, "d") => FailedPrecondition "ARCHIVE_DELETED" Resource(name);
        app.publish(course, name, first) => FailedPrecondition "ARCHIVE_DELETED" Resource(name);
        app.backups().inspect_archive(InspectArchiveRequest { name: name.into() }) => FailedPrecondition "ARCHIVE_DELETED" Resource(name);
        app.backups().download_archive(DownloadArchiveRequest { name: name.into(), ..Default::default() }) => FailedPrecondition "ARCHIVE_DELETED" Resource(name);
    }
    app.backups().undelete_archive(undelete()).await?;
    ensure!(app.archive(name).await?.delete_time.is_none());
    app.download(name, Container::Zip).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_course_in_the_making_is_busy() -> Result<()> {
    let app = TestApp::without_worker().await?;
    let archive = app.upload(&fixture("gen_xs-nu.mbz")?).await?.name;
    let holder = app.restore(&archive, "new").await?;
    app.publish("sites/main/courses/c", &archive, "").await?;
    let waiting = app.backup("sites/main/courses/c").await?.name;
    let retry = |name: &str| RetryJobRequest { name: name.into(), ..Default::default() };
    refusals! {
        app.restore(&archive, "new") => Aborted "COURSE_BUSY" Holder(&holder.name, "PENDING");
        app.jobs().retry_job(retry(&holder.name)) => FailedPrecondition "JOB_NOT_RETRYABLE" Holder(&holder.name, "PENDING");
        app.jobs().retry_job(retry(&waiting)) => FailedPrecondition "JOB_NOT_RETRYABLE" Holder(&waiting, "PENDING");
    }
    // Whoever runs holds the course, too; and who gave it up cannot have it back while another one has it.
    let claimed = app.engine.claim_job("test").await?.context("a job to do")?;
    ensure!(holder.name.ends_with(&claimed.job.job.to_string()), "{claimed:?}");
    let cancel = |name: &str| CancelJobRequest { name: name.into(), ..Default::default() };
    refusals! {
        app.restore(&archive, "new") => Aborted "COURSE_BUSY" Holder(&holder.name, "RUNNING");
    }
    app.jobs().cancel_job(cancel(&holder.name)).await?;
    refusals! {
        app.restore(&archive, "new") => Aborted "COURSE_BUSY" Holder(&holder.name, "CANCELLING");
    }
    let context = JobContext::new(&claimed);
    let stopped = Error::new(Reason::JobCancelled, "a test says so");
    app.engine.settle_unsuccessful(&claimed.job, &context, &stopped).await?;
    let next = app.restore(&archive, "new").await?.name;
    refusals! {
        app.jobs().retry_job(retry(&holder.name)) => Aborted "COURSE_BUSY" Holder(&next, "PENDING");
        app.jobs().cancel_job(cancel(&holder.name)) => FailedPrecondition "JOB_ENDED" Holder(&holder.name, "CANCELLED");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_a_job_reads_is_not_open() -> Result<()> {
    let app = TestApp::without_worker().await?;
    let bytes = fixture("gen_xs-nu.mbz")?;
    let upload = app.start_upload().await?.name;
    app.push(&upload, 0, &bytes).await?;
    let finish =
        FinishUploadRequest { name: upload.clone(), size_bytes: size(&bytes), sha256: sha256(&bytes) };
    let in_time = within(std::time::Duration::from_millis(500), finish.clone());
    let job = app.transfers().finish_upload(in_time).await?.into_inner().job.context("a job")?.name;
    let other = FinishUploadRequest { sha256: sha256(b"other"), ..finish };
    let abort = AbortUploadRequest { name: upload.clone() };
    let cancel = CancelJobRequest { name: job.clone(), ..Default::default() };
    let retry = RetryJobRequest { name: job.clone(), ..Default::default() };
    refusals! {
        app.push(&upload, 0, &bytes) => FailedPrecondition "UPLOAD_NOT_OPEN" Metadata("job", &job);
        app.push(&upload, 0, &bytes) => FailedPrecondition "UPLOAD_NOT_OPEN" Resource(&upload);
        app.transfers().finish_upload(other.clone()) => FailedPrecondition "UPLOAD_NOT_OPEN" Metadata("job", &job);
        app.transfers().abort_upload(abort.clone()) => FailedPrecondition "UPLOAD_NOT_OPEN" Metadata("job", &job);
        app.transfers().abort_upload(abort.clone()) => FailedPrecondition "UPLOAD_NOT_OPEN" Metadata("state", "FINISHING");
        app.jobs().retry_job(retry.clone()) => FailedPrecondition "JOB_NOT_RETRYABLE" Holder(&job, "PENDING");
    }
    app.jobs().cancel_job(cancel).await?;
    refusals! {
        app.jobs().retry_job(retry.clone()) => FailedPrecondition "JOB_NOT_RETRYABLE" Metadata("upload", &upload);
    }
    app.transfers().abort_upload(abort).await?;
    refusals! {
        app.push(&upload, 0, &bytes) => FailedPrecondition "UPLOAD_NOT_OPEN" Metadata("state", "ABORTED");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn page_tokens_are_good_for_their_list_only() -> Result<()> {
    let app = TestApp::start().await?;
    let bytes = fixture("gen_xs-nu.mbz")?;
    app.upload(&bytes).await?;
    let archive = app.upload(&bytes).await?.name;
    let list = |token: &str| ListArchivesRequest {
        parent: MAIN.into(),
        page_size: 1,
        page_token: token.into(),
        ..Default::default()
    };
    let token = app.backups().list_archives(list("")).await?.into_inner().next_page_token;
    ensure!(!token.is_empty());
    let flipped = format!("{}{}", if token.starts_with('0') { '1' } else { '0' }, &token[1..]);
    let jobs = ListJobsRequest { parent: MAIN.into(), page_token: token.clone(), ..Default::default() };
    let members = ListArchiveMembersRequest {
        parent: archive.clone(),
        page_token: token.clone(),
        ..Default::default()
    };
    refusals! {
        app.backups().list_archives(list("nonsense")) => InvalidArgument "PAGE_TOKEN_INVALID" None;
        app.backups().list_archives(list(&flipped)) => InvalidArgument "PAGE_TOKEN_INVALID" None;
        app.backups().list_archives(list(&token[..20])) => InvalidArgument "PAGE_TOKEN_INVALID" None;
        app.backups().list_archives(ListArchivesRequest { show_deleted: true, ..list(&token) }) => InvalidArgument "PAGE_TOKEN_INVALID" None;
        app.backups().list_archives(ListArchivesRequest { area: Area::Private.into(), ..list(&token) }) => InvalidArgument "PAGE_TOKEN_INVALID" None;
        app.jobs().list_jobs(jobs) => InvalidArgument "PAGE_TOKEN_INVALID" None;
        app.backups().list_archive_members(members) => InvalidArgument "PAGE_TOKEN_INVALID" None;
    }
    Ok(())
}
