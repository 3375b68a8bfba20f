//! The audit log, through the front door: what is on it, in whose name, and that nobody can change it unnoticed.

use anyhow::{Context, Result, ensure};
use coursevault::config::PrincipalConfig;
use coursevault::digest::Sha256;
use coursevault::proto::*;
use futures::StreamExt;
use sha2::Digest;
use tonic::{Code, Request};

use crate::access::{as_whom, store};
use crate::app::TestApp;
use crate::areas::{in_area, share};
use crate::client::*;
use crate::errors::refused;

fn people() -> Vec<PrincipalConfig> {
    let principal = |name: &str, grant: &str| PrincipalConfig {
        name: name.into(),
        tokens: vec![Sha256(sha2::Sha256::digest(format!("{name}-secret")).into())],
        grants: vec![grant.into()],
        acts_for_others: name == "lms",
        ..PrincipalConfig::default()
    };
    vec![
        principal("root", "administrator@*"),
        principal("lms", "service@sites/main"),
        principal("eve", "auditor@sites/main"),
    ]
}

/// A request of the platform in the name of a teacher, for a reason.
fn for_anna<T>(message: T) -> Result<Request<T>> {
    let mut request = as_whom("lms", message)?;
    let metadata = request.metadata_mut();
    metadata.insert("coursevault-on-behalf-of", "anna".parse()?);
    metadata.insert("coursevault-roles", "teacher@sites/main/courses/c".parse()?);
    metadata.insert("coursevault-reason", "l%27ann%C3%A9e".parse()?);
    Ok(request)
}

/// Runs the command line's `audit` as the auditor.
async fn command(app: &TestApp, arguments: &[&str]) -> Result<std::process::Output> {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_coursevault"));
    command.arg("audit").args(arguments).args(["--json", "--server", &app.url]);
    command.env("COURSEVAULT_TOKEN", "eve-secret");
    Ok(tokio::task::spawn_blocking(move || command.output()).await??)
}

async fn entries(app: &TestApp, request: ListAuditEntriesRequest) -> Result<Vec<AuditEntry>> {
    let request = ListAuditEntriesRequest { parent: MAIN.into(), ..request };
    Ok(app.admin().list_audit_entries(as_whom("eve", request)?).await?.into_inner().entries)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_is_on_record_on_sqlite() -> Result<()> {
    let app = TestApp::with(|config| config.principals = people()).await?;
    on_record(&app).await?;
    // Somebody with the database in hand changes a reason.
    sqlx::any::install_default_drivers();
    let url = format!("sqlite://{}", app.folder().join("catalog.db").display());
    let pool = sqlx::AnyPool::connect(&url).await?;
    sqlx::query("UPDATE audit SET reason = 'none' WHERE number = 3").execute(&pool).await?;
    let told = command(&app, &["verify"]).await?;
    ensure!(told.status.code() == Some(1), "{told:?}");
    ensure!(String::from_utf8_lossy(&told.stderr).contains("entry 3"), "{told:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_is_on_record_on_postgres() -> Result<()> {
    let app = TestApp::on_postgres().await?;
    on_record(&app.restart_with(|config| config.principals = people()).await?).await
}

async fn on_record(app: &TestApp) -> Result<()> {
    let archive = store(app, "lms", in_area(Area::Course)).await?;
    let (name, course) = (archive.name.clone(), format!("{MAIN}/courses/c"));
    let publish =
        PublishRevisionRequest { course: course.clone(), archive: name.clone(), ..Default::default() };
    app.courses().publish_revision(as_whom("lms", publish)?).await?;
    let download = DownloadArchiveRequest { name: name.clone(), ..Default::default() };
    let mut bytes = app.backups().download_archive(for_anna(download)?).await?.into_inner();
    while bytes.next().await.transpose()?.is_some() {}
    let backup = CreateBackupRequest { course: course.clone(), ..Default::default() };
    let job = app.backups().create_backup(for_anna(backup)?).await?.into_inner().job.context("a job")?;
    assert_eq!((job.requester.as_str(), job.requester_via.as_str()), ("anna", "lms"));
    let restore = restore_request(&name, "copy");
    app.restores().create_restore(as_whom("lms", restore)?).await?;
    app.backups().share_archive(as_whom("root", share(&name, "ben", 60))?).await?;
    let hold = PlaceHoldRequest { name: name.clone(), reason: "an appeal".into(), ..Default::default() };
    let held = app.backups().place_hold(as_whom("root", hold)?).await?.into_inner().archive.context("one")?;
    let release = ReleaseHoldRequest {
        name: name.clone(),
        etag: held.etag,
        reason: "decided".into(),
        ..Default::default()
    };
    app.backups().release_hold(as_whom("root", release)?).await?;
    let delete = DeleteArchiveRequest { name: name.clone(), ..Default::default() };
    app.backups().delete_archive(as_whom("root", delete)?).await?;

    let oldest = ListAuditEntriesRequest { oldest_first: true, page_size: 1000, ..Default::default() };
    let all = entries(app, oldest.clone()).await?;
    ensure!(all.iter().map(|entry| entry.number).eq(1..=i64::try_from(all.len())?), "{all:?}");
    let told = |entry: &AuditEntry| {
        let by = [entry.principal.as_str(), entry.via.as_str(), entry.reason.as_str()].join("/");
        format!("{} {by}", entry.action)
    };
    let told: Vec<String> = all.iter().map(told).collect();
    for expected in [
        "revision_published lms//",
        "archive_downloaded anna/lms/l'année",
        "backup_requested anna/lms/l'année",
        "restore_requested lms//",
        "archive_shared root//as you asked",
        "archive_held root//an appeal",
        "archive_released root//decided",
        "archive_deleted root//",
    ] {
        ensure!(told.iter().any(|one| one == expected), "{expected} is not in {told:?}");
    }
    // In the order in which it was done, and filtered.
    let of = |request: ListAuditEntriesRequest| async move {
        let entries = entries(app, request).await?;
        Ok::<_, anyhow::Error>(entries.into_iter().map(|entry| entry.action).collect::<Vec<_>>())
    };
    let newest = of(ListAuditEntriesRequest { page_size: 3, ..Default::default() }).await?;
    assert_eq!(newest, ["archive_deleted", "archive_released", "archive_held"]);
    let annas = ListAuditEntriesRequest { principal: "anna".into(), ..oldest.clone() };
    assert_eq!(of(annas).await?, ["archive_downloaded", "backup_requested"]);
    let through_lms = ListAuditEntriesRequest { principal: "lms".into(), ..oldest.clone() };
    ensure!(of(through_lms).await?.contains(&"archive_downloaded".to_owned()));
    let held =
        ListAuditEntriesRequest { action: "archive_held".into(), resource: name.clone(), ..oldest.clone() };
    assert_eq!(of(held).await?.len(), 1);
    let later = prost_types::Timestamp { seconds: 1 << 35, nanos: 0 };
    let never = ListAuditEntriesRequest { start_time: Some(later), ..oldest.clone() };
    ensure!(of(never).await?.is_empty());
    let before = ListAuditEntriesRequest { end_time: Some(later), ..oldest };
    assert_eq!(of(before).await?.len(), all.len());
    let page = ListAuditEntriesRequest { parent: MAIN.into(), ..Default::default() };
    let answer = app.admin().list_audit_entries(as_whom("lms", page)?).await;
    refused(answer, Code::PermissionDenied, "PERMISSION_DENIED")?;

    // What failed is not there: no entry without its fact.
    let gone = DeleteArchiveRequest { name, etag: "\"0\"".into(), ..Default::default() };
    ensure!(app.backups().delete_archive(as_whom("root", gone)?).await.is_err());
    let whole = command(app, &["verify"]).await?;
    ensure!(whole.status.success(), "{whole:?}");
    let told: serde_json::Value = serde_json::from_slice(&whole.stdout)?;
    ensure!(told["entries"].as_u64() >= Some(all.len() as u64), "{told}");
    let noted = format!("{}:{}", all[2].number, all[2].digest);
    ensure!(command(app, &["verify", "--expect", &noted]).await?.status.success());
    let other = format!("{}:{}", all[2].number, all[3].digest);
    ensure!(command(app, &["verify", "--expect", &other]).await?.status.code() == Some(1));
    Ok(())
}
