//! Areas and shares, through the front door: who sees what, and every refusal.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use coursevault::config::Token;
use coursevault::digest::Sha256;
use coursevault::proto::share_archive_request::Expiration;
use coursevault::proto::*;
use sha2::Digest;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::access::{as_whom, store};
use crate::app::{TestApp, eventually};
use crate::client::*;
use crate::errors::{Detail, refused, refused_with};

/// Nothing has this name.
const NOWHERE: &str = "sites/main/archives/01a20ab7-f4bf-749e-9d52-162ed3d05c02";

/// Tokens of an administrator and of three people of the main site.
fn people() -> Result<Vec<Token>> {
    let token = |principal: &str, administrator| -> Result<Token> {
        Ok(Token {
            principal: principal.into(),
            sha256: Sha256(sha2::Sha256::digest(format!("{principal}-secret")).into()),
            administrator,
            sites: vec!["main".parse()?],
        })
    };
    Ok(vec![token("root", true)?, token("anna", false)?, token("ben", false)?, token("carl", false)?])
}

/// A server with those tokens.
pub async fn on_sqlite() -> Result<TestApp> {
    let tokens = people()?;
    TestApp::with(|config| config.tokens = tokens).await
}

/// The same on PostgreSQL.
pub async fn on_postgres() -> Result<TestApp> {
    let app = TestApp::on_postgres().await?;
    let tokens = people()?;
    app.restart_with(|config| config.tokens = tokens).await
}

/// A header for that area.
pub fn in_area(area: Area) -> UploadHeader {
    let course = match area {
        Area::Course | Area::Automated => format!("{MAIN}/courses/c"),
        _ => String::new(),
    };
    UploadHeader { area: area.into(), course, ..header("x.mbz") }
}

/// How everything that can be done with an archive ends for somebody. What would change it names an etag that it does not have,
/// so that whoever may change it is told of that, and nothing is changed.
async fn attempts(app: &TestApp, whom: &str, archive: &str) -> Result<Vec<(&'static str, Status)>> {
    let name = || archive.to_owned();
    let etag = || "\"0\"".to_owned();
    let described = Archive { name: name(), etag: etag(), description: "x".into(), ..Default::default() };
    let compare = CompareArchivesRequest { a: name(), b: name(), ..Default::default() };
    let hold = PlaceHoldRequest { name: name(), etag: etag(), reason: "x".into(), ..Default::default() };
    let release = ReleaseHoldRequest { name: name(), etag: etag(), reason: "x".into(), ..Default::default() };
    let unshare = UnshareArchiveRequest { name: name(), principal: "nobody".into(), ..Default::default() };
    let publish = PublishRevisionRequest {
        course: format!("{MAIN}/courses/c"),
        archive: name(),
        expected_parent: format!("{MAIN}/courses/c/revisions/77"),
        ..Default::default()
    };
    let restore = CreateRestoreRequest { validate_only: true, ..restore_request(archive, "") };
    let member = ReadArchiveMemberRequest { name: name(), path: "moodle_backup.xml".into() };
    let members = ListArchiveMembersRequest { parent: name(), ..Default::default() };
    let share = ShareArchiveRequest { name: name(), principal: "carl".into(), ..Default::default() };
    let update = UpdateArchiveRequest { archive: Some(described), ..Default::default() };
    let delete = DeleteArchiveRequest { name: name(), etag: etag(), ..Default::default() };
    let undelete = UndeleteArchiveRequest { name: name(), ..Default::default() };
    let backups = || app.backups();
    let fine = || Status::ok("");
    macro_rules! tried {
        ($($what:literal: $stub:expr, $call:ident, $request:expr;)*) => {
            vec![$((
                $what,
                $stub.$call(as_whom(whom, $request)?).await.err().unwrap_or_else(fine),
            ),)*]
        };
    }
    Ok(tried! {
        "get": backups(), get_archive, GetArchiveRequest { name: name() };
        "inspect": backups(), inspect_archive, InspectArchiveRequest { name: name() };
        "members": backups(), list_archive_members, members;
        "member": backups(), read_archive_member, member;
        "download": backups(), download_archive, DownloadArchiveRequest { name: name(), ..Default::default() };
        "compare": backups(), compare_archives, compare;
        "restore": app.restores(), create_restore, restore;
        "publish": app.courses(), publish_revision, publish;
        "update": backups(), update_archive, update;
        "delete": backups(), delete_archive, delete;
        "undelete": backups(), undelete_archive, undelete;
        "share": backups(), share_archive, share;
        "unshare": backups(), unshare_archive, unshare;
        "hold": backups(), place_hold, hold;
        "release": backups(), release_hold, release;
    })
}

/// What somebody may do, by the words of [`attempts`]; what is left is PERMISSION_DENIED, or, when nothing at all may be done,
/// the same as with an archive that does not exist.
async fn may(app: &TestApp, whom: &str, archive: &str) -> Result<BTreeSet<&'static str>> {
    let told = |status: &Status, name: &str| {
        let details = format!("{:?}", status.get_error_details());
        (status.code(), status.message().replace(name, "?"), details.replace(name, "?"))
    };
    let (tried, nowhere) = (attempts(app, whom, archive).await?, attempts(app, whom, NOWHERE).await?);
    let mut allowed = BTreeSet::new();
    for ((what, status), (_, missing)) in tried.iter().zip(&nowhere) {
        match status.code() {
            Code::PermissionDenied => {}
            Code::NotFound if told(status, archive) == told(missing, NOWHERE) => {}
            _ => {
                allowed.insert(*what);
            }
        }
    }
    let unseen = tried.iter().filter(|(_, status)| status.code() == Code::PermissionDenied).count() == 0;
    if allowed.is_empty() {
        ensure!(unseen, "{whom} learns that {archive} exists: {tried:?}");
    }
    let listed = ListArchivesRequest { parent: MAIN.into(), ..Default::default() };
    let listed = app.backups().list_archives(as_whom(whom, listed)?).await?.into_inner().archives;
    let is_listed = listed.iter().any(|one| one.name == archive);
    ensure!(is_listed == allowed.contains("get"), "{whom} {archive}: {is_listed} {allowed:?}");
    Ok(allowed)
}

const LOOK: &[&str] = &["get", "inspect", "members", "member", "download", "compare", "restore", "publish"];
const OPERATE: &[&str] = &["get", "delete", "undelete", "hold", "release"];
const ALL: &[&str] = &[
    "get", "inspect", "members", "member", "download", "compare", "restore", "publish", "update", "delete",
    "undelete", "share", "unshare", "hold", "release",
];

#[tokio::test(flavor = "multi_thread")]
async fn areas_decide_who_may_do_what_on_sqlite() -> Result<()> {
    areas_decide(on_sqlite().await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn areas_decide_who_may_do_what_on_postgres() -> Result<()> {
    areas_decide(on_postgres().await?).await
}

async fn areas_decide(app: TestApp) -> Result<()> {
    for (area, owner, expected) in [
        (Area::DropZone, "anna", [("root", ALL), ("anna", ALL), ("ben", LOOK), ("carl", &[])]),
        (Area::Course, "anna", [("root", ALL), ("anna", ALL), ("ben", LOOK), ("carl", LOOK)]),
        (Area::Private, "anna", [("root", OPERATE), ("anna", ALL), ("ben", LOOK), ("carl", &[])]),
        (Area::Automated, "root", [("root", ALL), ("anna", &[]), ("ben", LOOK), ("carl", &[])]),
    ] {
        let archive = store(&app, owner, in_area(area)).await?.name;
        let share = share(&archive, "ben", 3600);
        app.backups().share_archive(as_whom(owner, share)?).await?;
        for (whom, expected) in expected {
            let allowed = may(&app, whom, &archive).await?;
            let expected: BTreeSet<_> = expected.iter().copied().collect();
            assert_eq!(allowed, expected, "{area:?} {whom}");
        }
    }
    Ok(())
}

/// A share for so many seconds.
pub fn share(archive: &str, principal: &str, seconds: i64) -> ShareArchiveRequest {
    ShareArchiveRequest {
        name: archive.into(),
        principal: principal.into(),
        expiration: Some(Expiration::Ttl(prost_types::Duration { seconds, nanos: 0 })),
        note: "as you asked".into(),
        ..Default::default()
    }
}

/// What others made available to somebody.
async fn shared_with(app: &TestApp, whom: &str) -> Result<Vec<Archive>> {
    let list = ListArchivesRequest {
        parent: MAIN.into(),
        filter: "shared_with_me = true".into(),
        ..Default::default()
    };
    Ok(app.backups().list_archives(as_whom(whom, list)?).await?.into_inner().archives)
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_are_found_used_ended_and_expire_on_sqlite() -> Result<()> {
    shares(on_sqlite().await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_are_found_used_ended_and_expire_on_postgres() -> Result<()> {
    shares(on_postgres().await?).await
}

async fn shares(app: TestApp) -> Result<()> {
    let archive = store(&app, "anna", in_area(Area::Private)).await?;
    let name = archive.name.as_str();
    ensure!(shared_with(&app, "ben").await?.is_empty());
    let answer = app.backups().share_archive(as_whom("anna", share(name, "ben", 3600))?).await?;
    let told = answer.into_inner().archive.context("an archive")?;
    ensure!(told.etag != archive.etag && told.shares.len() == 1, "{told:?}");
    app.backups().share_archive(as_whom("anna", share(name, "carl", 3600))?).await?;

    // Each finds it, and sees the share that is their own; the owner sees both, an operator none.
    for (whom, expected) in
        [("ben", vec!["ben"]), ("carl", vec!["carl"]), ("anna", vec!["ben", "carl"]), ("root", vec![])]
    {
        let get = GetArchiveRequest { name: name.into() };
        let seen = app.backups().get_archive(as_whom(whom, get)?).await?.into_inner().archive;
        let seen = seen.context("an archive")?.shares;
        let principals: Vec<_> = seen.iter().map(|share| share.principal.as_str()).collect();
        assert_eq!(principals, expected, "{whom}");
        ensure!(seen.iter().all(|share| share.author == "anna" && share.note == "as you asked"));
        let found = shared_with(&app, whom).await?;
        assert_eq!(found.len(), usize::from(whom == "ben" || whom == "carl"), "{whom}");
    }
    // It can be restored by whom it is shared with, and deleting it ends nothing but is seen.
    let restore = app.restores().create_restore(as_whom("ben", restore_request(name, "bens"))?).await?;
    ensure!(!restore.into_inner().job.context("a job")?.name.is_empty());
    let delete = DeleteArchiveRequest { name: name.into(), ..Default::default() };
    app.backups().delete_archive(as_whom("anna", delete)?).await?;
    ensure!(shared_with(&app, "ben").await?.is_empty());
    let inspect = || InspectArchiveRequest { name: name.into() };
    let answer = app.backups().inspect_archive(as_whom("ben", inspect())?).await;
    refused(answer, Code::FailedPrecondition, "ARCHIVE_DELETED")?;
    let answer = app.backups().share_archive(as_whom("anna", share(name, "ben", 3600))?).await;
    refused(answer, Code::FailedPrecondition, "ARCHIVE_DELETED")?;
    let undelete = UndeleteArchiveRequest { name: name.into(), ..Default::default() };
    app.backups().undelete_archive(as_whom("anna", undelete)?).await?;
    ensure!(shared_with(&app, "ben").await?.len() == 1);

    // Ended by hand, and by the clock.
    let unshare =
        || UnshareArchiveRequest { name: name.into(), principal: "ben".into(), ..Default::default() };
    app.backups().unshare_archive(as_whom("anna", unshare())?).await?;
    ensure!(shared_with(&app, "ben").await?.is_empty());
    let answer = app.backups().inspect_archive(as_whom("ben", inspect())?).await;
    refused(answer, Code::NotFound, "ARCHIVE_NOT_FOUND")?;
    let answer = app.backups().unshare_archive(as_whom("anna", unshare())?).await;
    refused_with(answer, Code::NotFound, "ARCHIVE_NOT_SHARED", &Detail::Resource(name))?;
    app.backups().share_archive(as_whom("anna", share(name, "carl", 1))?).await?;
    eventually("the share ends", || async { Ok(shared_with(&app, "carl").await?.is_empty().then_some(())) })
        .await?;
    let answer = app.backups().inspect_archive(as_whom("carl", inspect())?).await;
    refused(answer, Code::NotFound, "ARCHIVE_NOT_FOUND")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_that_cannot_be() -> Result<()> {
    let app = TestApp::with(|config| config.share_days = 2).await?;
    let archive = app.upload(&fixture("gen_xs-nu.mbz")?).await?.name;
    let name = archive.as_str();
    let day = 86_400;
    let time = |seconds| Some(Expiration::ExpireTime(prost_types::Timestamp { seconds, nanos: 0 }));
    let wrong = |field: &'static str, request: ShareArchiveRequest| {
        let app = app.client.clone();
        async move {
            let answer = app.backups().share_archive(request).await;
            refused_with(answer, Code::InvalidArgument, "FIELD_INVALID", &Detail::Field(field))
        }
    };
    let good = || share(name, "lms", day);
    wrong("ttl", share(name, "lms", 0)).await?;
    wrong("ttl", share(name, "lms", -1)).await?;
    wrong("ttl", share(name, "lms", 2 * day + 1)).await?;
    wrong("ttl", share(name, "lms", i64::MAX)).await?;
    wrong("expire_time", ShareArchiveRequest { expiration: time(0), ..good() }).await?;
    wrong("expire_time", ShareArchiveRequest { expiration: time(1 << 40), ..good() }).await?;
    wrong("expire_time", ShareArchiveRequest { expiration: time(i64::MAX), ..good() }).await?;
    wrong("expiration", ShareArchiveRequest { expiration: None, ..good() }).await?;
    wrong("principal", share(name, "", day)).await?;
    wrong("principal", share(name, " ", day)).await?;
    wrong("principal", share(name, "local", day)).await?;
    wrong("principal", share(name, &"x".repeat(201), day)).await?;
    wrong("principal", share(name, "a\u{7}b", day)).await?;
    wrong("note", ShareArchiveRequest { note: "x".repeat(501), ..good() }).await?;
    wrong("name", share("x", "lms", day)).await?;
    wrong("request_id", ShareArchiveRequest { request_id: "7".into(), ..good() }).await?;
    ensure!(app.archive(name).await?.shares.is_empty());

    for n in 0..100 {
        app.backups().share_archive(share(name, &format!("p{n}"), day)).await?;
    }
    let answer = app.backups().share_archive(share(name, "one more", day)).await;
    refused_with(answer, Code::FailedPrecondition, "LIMIT_SHARES", &Detail::Metadata("limit", "100"))?;
    // One of them anew is none more.
    let anew = ShareArchiveRequest { note: "anew".into(), ..share(name, "p7", 2 * day) };
    let told = app.backups().share_archive(anew).await?.into_inner().archive.context("an archive")?;
    ensure!(told.shares.len() == 100);
    ensure!(told.shares.iter().any(|share| share.principal == "p7" && share.note == "anew"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_tell_others_nothing_of_archives() -> Result<()> {
    let app = on_sqlite().await?;
    let bytes = fixture("gen_xs-nu.mbz")?;
    let start = StartUploadRequest { parent: MAIN.into(), file_name: "x.mbz".into(), ..Default::default() };
    let session = app.transfers().start_upload(as_whom("anna", start)?).await?.into_inner().upload;
    let session = session.context("an upload")?.name;
    let chunks = futures::stream::iter(chunk_messages(&session, 0, &bytes));
    app.transfers().upload_chunks(as_whom("anna", chunks)?).await?;
    let finish = FinishUploadRequest { name: session, size_bytes: size(&bytes), sha256: sha256(&bytes) };
    let finished = app.transfers().finish_upload(as_whom("anna", finish)?).await?.into_inner();
    let archive = finished.archive.context("an archive")?.name;
    let restore = restore_request(&archive, "annas");
    let restore = app.restores().create_restore(as_whom("anna", restore)?).await?.into_inner().job;
    let restore = restore.context("a job")?.name;
    let wait = WaitJobRequest { name: restore.clone(), timeout: None };
    let ended = app.jobs().wait_job(as_whom("anna", wait)?).await?.into_inner().job.context("a job")?;
    ensure!(ended.source == archive && ended.state() == job::State::Succeeded, "{ended:?}");

    let list = ListJobsRequest { parent: MAIN.into(), ..Default::default() };
    for (whom, count, whole) in [("anna", 2, true), ("root", 2, true), ("ben", 1, false)] {
        let jobs = app.jobs().list_jobs(as_whom(whom, list.clone())?).await?.into_inner().jobs;
        assert_eq!(jobs.len(), count, "{whom}");
        ensure!(format!("{jobs:?}").contains(&archive) == whole, "{whom}: {jobs:?}");
        let get = GetJobRequest { name: restore.clone() };
        let job = app.jobs().get_job(as_whom(whom, get)?).await?.into_inner().job.context("a job")?;
        ensure!((job.source == archive) == whole && job.course == format!("{MAIN}/courses/annas"));
        let watch = WatchJobRequest { name: restore.clone() };
        let mut watch = app.jobs().watch_job(as_whom(whom, watch)?).await?.into_inner();
        let seen = watch.message().await?.context("a state")?;
        ensure!(format!("{seen:?}").contains(&archive) == whole, "{whom}: {seen:?}");
    }
    let list = ListJobsRequest { kind: job::Kind::Ingest.into(), ..list };
    let ingest = app.jobs().list_jobs(as_whom("anna", list)?).await?.into_inner().jobs;
    let name = ingest.first().context("a job")?.name.clone();
    let unseen = |answer: Result<(), Status>| {
        refused_with(answer, Code::NotFound, "JOB_NOT_FOUND", &Detail::Resource(&name))
    };
    let cancel = CancelJobRequest { name: name.clone(), ..Default::default() };
    let retry = RetryJobRequest { name: name.clone(), ..Default::default() };
    let wait = WaitJobRequest { name: name.clone(), timeout: None };
    unseen(app.jobs().get_job(as_whom("ben", GetJobRequest { name: name.clone() })?).await.map(|_| ()))?;
    unseen(app.jobs().wait_job(as_whom("ben", wait)?).await.map(|_| ()))?;
    let watch = WatchJobRequest { name: name.clone() };
    unseen(app.jobs().watch_job(as_whom("ben", watch)?).await.map(|_| ()))?;
    unseen(app.jobs().cancel_job(as_whom("ben", cancel)?).await.map(|_| ()))?;
    unseen(app.jobs().retry_job(as_whom("ben", retry)?).await.map(|_| ()))?;
    Ok(())
}
