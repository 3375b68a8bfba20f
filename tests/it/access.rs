//! Who may do what, with static tokens.

use anyhow::{Context, Result, ensure};
use coursevault::config::Token;
use coursevault::digest::Sha256;
use coursevault::proto::*;
use sha2::Digest;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

use crate::app::TestApp;
use crate::client::*;
use crate::errors::refused;

/// A server with an administrator `root`, and `lms` and `cms` for a site each.
pub async fn guarded() -> Result<TestApp> {
    let token = |principal: &str, sites: &[&str]| -> Result<Token> {
        Ok(Token {
            principal: principal.into(),
            sha256: Sha256(sha2::Sha256::digest(format!("{principal}-secret")).into()),
            administrator: sites.is_empty(),
            sites: sites.iter().map(|site| site.parse()).collect::<Result<_, _>>()?,
        })
    };
    let tokens = vec![token("root", &[])?, token("lms", &["main"])?, token("cms", &["other"])?];
    TestApp::with(|config| config.tokens = tokens).await
}

/// A request by that principal.
pub fn as_whom<T>(principal: &str, message: T) -> Result<Request<T>> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {principal}-secret").parse()?);
    Ok(request)
}

/// Stores an archive as that principal.
pub async fn store(app: &TestApp, principal: &str, header: UploadHeader) -> Result<Archive, Status> {
    let bytes = fixture("gen_xs-nu.mbz").map_err(|error| Status::internal(error.to_string()))?;
    let parts = upload(header, &bytes).into_iter().map(|part| UploadBackupRequest { part: Some(part) });
    let stream = futures::stream::iter(parts.collect::<Vec<_>>());
    let request = as_whom(principal, stream).map_err(|error| Status::internal(error.to_string()))?;
    Ok(app.backups().upload_backup(request).await?.into_inner().archive.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_need_credentials_that_somebody_has() -> Result<()> {
    let app = guarded().await?;
    let info = GetServerInfoRequest {};
    let mut basic = Request::new(info);
    basic.metadata_mut().insert("authorization", "Basic bG1zOnNlY3JldA==".parse()?);
    refused(app.admin().get_server_info(info).await, Code::Unauthenticated, "CREDENTIALS_MISSING")?;
    refused(app.admin().get_server_info(basic).await, Code::Unauthenticated, "CREDENTIALS_INVALID")?;
    for guess in ["", "guess", "root-secret"] {
        let answer = app.admin().get_server_info(as_whom(guess, info)?).await;
        refused(answer, Code::Unauthenticated, "CREDENTIALS_INVALID")?;
    }
    for principal in ["root", "lms"] {
        let told = app.admin().get_server_info(as_whom(principal, info)?).await?.into_inner();
        assert_eq!(told.principal, principal);
    }
    // Every call is behind the same gate; health is not, for load balancers have no token.
    refused(app.start_upload().await, Code::Unauthenticated, "CREDENTIALS_MISSING")?;
    refused(app.send(upload(header("x"), b"x")).await, Code::Unauthenticated, "CREDENTIALS_MISSING")?;
    HealthClient::new(app.channel.clone()).check(HealthCheckRequest::default()).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_site_looks_like_one_that_does_not_exist() -> Result<()> {
    let app = guarded().await?;
    let archive = store(&app, "lms", header("x.mbz")).await?;
    ensure!(archive.owner == "lms");
    let told = |status: &Status, site: &str| {
        (status.code(), status.message().replace(site, "?"), status.get_error_details())
    };
    let mut seen = Vec::new();
    for site in ["main", "missing"] {
        let id = archive.name.rsplit('/').next().context("an id")?;
        let name = format!("sites/{site}/archives/{id}");
        let list = ListArchivesRequest { parent: format!("sites/{site}"), ..Default::default() };
        let (get, inspect) =
            (GetArchiveRequest { name: name.clone() }, InspectArchiveRequest { name: name.clone() });
        let delete = DeleteArchiveRequest { name: name.clone(), allow_missing: true, ..Default::default() };
        let course = GetCourseRequest { name: format!("sites/{site}/courses/c") };
        let compare = CompareArchivesRequest { a: name.clone(), b: name.clone(), ..Default::default() };
        let report = GetStorageReportRequest { parent: format!("sites/{site}") };
        let upload = UploadHeader { parent: format!("sites/{site}"), ..header("x.mbz") };
        let refusals = [
            app.backups().list_archives(as_whom("cms", list)?).await.err(),
            app.backups().get_archive(as_whom("cms", get)?).await.err(),
            app.backups().inspect_archive(as_whom("cms", inspect)?).await.err(),
            app.backups().delete_archive(as_whom("cms", delete)?).await.err(),
            app.backups().compare_archives(as_whom("cms", compare)?).await.err(),
            app.courses().get_course(as_whom("cms", course)?).await.err(),
            app.admin().get_storage_report(as_whom("cms", report)?).await.err(),
            app.restores().create_restore(as_whom("cms", restore_request(&name, "c"))?).await.err(),
            store(&app, "cms", upload).await.err(),
        ];
        let refusals: Vec<Status> = refusals.into_iter().flatten().collect();
        ensure!(refusals.len() == 9, "something was allowed: {refusals:?}");
        for refusal in &refusals {
            refused::<()>(Err(refusal.clone()), Code::PermissionDenied, "PERMISSION_DENIED")?;
        }
        seen.push(refusals.iter().map(|refusal| format!("{:?}", told(refusal, site))).collect::<Vec<_>>());
    }
    assert_eq!(seen[0], seen[1]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sites_are_made_by_administrators_and_seen_by_those_who_reach_them() -> Result<()> {
    let app = guarded().await?;
    let site = CreateSiteRequest { site_id: "other".into(), ..Default::default() };
    let answer = app.admin().create_site(as_whom("lms", site.clone())?).await;
    let info = refused(answer, Code::PermissionDenied, "PERMISSION_DENIED")?;
    assert_eq!(info.metadata.get("permission").map(String::as_str), Some("moodle/site:config"));
    app.admin().create_site(as_whom("root", site)?).await?;
    for (principal, expected) in
        [("root", &["sites/main", "sites/other"][..]), ("lms", &["sites/main"]), ("cms", &["sites/other"])]
    {
        let sites = app.admin().list_sites(as_whom(principal, ListSitesRequest::default())?).await?;
        let names: Vec<_> = sites.into_inner().sites.into_iter().map(|site| site.name).collect();
        assert_eq!(names, expected, "{principal}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn automated_backups_are_for_administrators() -> Result<()> {
    let app = guarded().await?;
    let automated =
        UploadHeader { area: Area::Automated.into(), course: format!("{MAIN}/courses/c"), ..header("x.mbz") };
    let denied = |answer: Result<(), Status>| refused(answer, Code::PermissionDenied, "PERMISSION_DENIED");
    // One that is there looks like one that is not.
    let unseen = |answer: Result<(), Status>| refused(answer, Code::NotFound, "ARCHIVE_NOT_FOUND");
    denied(store(&app, "lms", automated.clone()).await.map(|_| ()))?;
    let name = store(&app, "root", automated).await?.name;
    let course = format!("{MAIN}/courses/c");
    let publish =
        PublishRevisionRequest { course: course.clone(), archive: name.clone(), ..Default::default() };
    let download = DownloadArchiveRequest { name: name.clone(), ..Default::default() };
    let delete = DeleteArchiveRequest { name: name.clone(), ..Default::default() };
    let start = StartUploadRequest {
        parent: MAIN.into(),
        area: Area::Automated.into(),
        course,
        file_name: "x.mbz".into(),
        ..Default::default()
    };
    let get = GetArchiveRequest { name: name.clone() };
    unseen(app.backups().get_archive(as_whom("lms", get.clone())?).await.map(|_| ()))?;
    unseen(app.backups().download_archive(as_whom("lms", download.clone())?).await.map(|_| ()))?;
    unseen(app.backups().delete_archive(as_whom("lms", delete)?).await.map(|_| ()))?;
    let compare = CompareArchivesRequest { a: name.clone(), b: name.clone(), ..Default::default() };
    unseen(app.backups().compare_archives(as_whom("lms", compare)?).await.map(|_| ()))?;
    unseen(app.restores().create_restore(as_whom("lms", restore_request(&name, "r"))?).await.map(|_| ()))?;
    unseen(app.courses().publish_revision(as_whom("lms", publish)?).await.map(|_| ()))?;
    denied(app.transfers().start_upload(as_whom("lms", start)?).await.map(|_| ()))?;
    let list = ListArchivesRequest { parent: MAIN.into(), ..Default::default() };
    let seen = app.backups().list_archives(as_whom("lms", list.clone())?).await?.into_inner().archives;
    ensure!(seen.is_empty(), "{seen:?}");
    ensure!(app.backups().list_archives(as_whom("root", list)?).await?.into_inner().archives.len() == 1);
    app.backups().get_archive(as_whom("root", get)?).await?;
    app.backups().download_archive(as_whom("root", download)?).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_session_belongs_to_who_opened_it() -> Result<()> {
    let app = TestApp::with(|config| {
        let token = |name: &str, administrator| Token {
            principal: name.into(),
            sha256: Sha256(sha2::Sha256::digest(format!("{name}-secret")).into()),
            administrator,
            sites: "main".parse().into_iter().collect(),
        };
        config.tokens = vec![token("root", true), token("one", false), token("two", false)];
    })
    .await?;
    let start = StartUploadRequest { parent: MAIN.into(), file_name: "x.mbz".into(), ..Default::default() };
    let upload = app.transfers().start_upload(as_whom("one", start)?).await?.into_inner().upload;
    let name = upload.context("an upload")?.name;
    let chunks = || futures::stream::iter(chunk_messages(&name, 0, b"bytes"));
    let finish = FinishUploadRequest { name: name.clone(), size_bytes: 0, sha256: sha256(b"") };
    let (get, abort) = (GetUploadRequest { name: name.clone() }, AbortUploadRequest { name: name.clone() });
    let missing = |answer: Result<(), Status>| refused(answer, Code::NotFound, "UPLOAD_NOT_FOUND");
    missing(app.transfers().get_upload(as_whom("two", get.clone())?).await.map(|_| ()))?;
    missing(app.transfers().upload_chunks(as_whom("two", chunks())?).await.map(|_| ()))?;
    missing(app.transfers().finish_upload(as_whom("two", finish)?).await.map(|_| ()))?;
    missing(app.transfers().abort_upload(as_whom("two", abort)?).await.map(|_| ()))?;
    app.transfers().upload_chunks(as_whom("one", chunks())?).await?;
    app.transfers().get_upload(as_whom("root", get)?).await?;
    Ok(())
}
