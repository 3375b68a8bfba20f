//! What a site may take, how often somebody may call, and that people are answered while the machine is busy.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coursevault::limits::Quota;
use coursevault::proto::*;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

use crate::access::{as_whom, guarded, store};
use crate::app::TestApp;
use crate::client::*;
use crate::errors::refused;

/// A refusal that says when to come again, to people's programs and to clients that repeat calls by themselves.
fn put_off<T>(answer: Result<T, Status>, reason: &str) -> Result<()> {
    let status = answer.err().with_context(|| format!("not refused with {reason}"))?;
    let retry = status.get_details_retry_info().and_then(|retry| retry.retry_delay);
    ensure!(retry.is_some_and(|delay| delay > Duration::ZERO), "{status:?}");
    let pushback = status.metadata().get("grpc-retry-pushback-ms").and_then(|text| text.to_str().ok());
    ensure!(pushback.and_then(|text| text.parse::<u64>().ok()).is_some(), "{status:?}");
    ensure!(status.get_details_quota_failure().is_some(), "{status:?}");
    refused::<()>(Err(status), Code::ResourceExhausted, reason).map(|_| ())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_takes_what_it_may_and_others_do_not_feel_it() -> Result<()> {
    let app = TestApp::with(|config| {
        config.limits.concurrent_jobs = 0;
        let main = Quota { archives: Some(2), jobs: Some(1), ..Quota::default() };
        let full = Quota { bytes: Some(1), ..Quota::default() };
        config.quotas = [("main".to_owned(), main), ("*".to_owned(), full)].into();
    })
    .await?;
    let bytes = fixture("gen_xs-nu.mbz")?;
    let first = app.upload(&bytes).await?.name;
    let restore = app.restore(&first, "one").await?;
    put_off(app.restore(&first, "two").await, "QUOTA_JOBS")?;
    app.jobs().cancel_job(CancelJobRequest { name: restore.name, ..Default::default() }).await?;
    app.restore(&first, "two").await?;
    app.upload(&bytes).await?;
    put_off(app.upload(&bytes).await, "QUOTA_ARCHIVES")?;
    put_off(app.start_upload().await, "QUOTA_ARCHIVES")?;
    app.backups().delete_archive(DeleteArchiveRequest { name: first, ..Default::default() }).await?;
    app.upload(&bytes).await?;

    let site = CreateSiteRequest { site_id: "other".into(), ..Default::default() };
    app.admin().create_site(site).await?;
    let elsewhere = || UploadHeader { parent: "sites/other".into(), ..header("x.mbz") };
    app.send(upload(elsewhere(), &bytes)).await?;
    put_off(app.send(upload(elsewhere(), &bytes)).await, "QUOTA_BYTES")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_calls_too_often_is_put_off_and_others_are_not() -> Result<()> {
    let app = guarded().await?;
    let app = app
        .restart_with(|config| {
            config.limits.calls_per_second = 1;
            config.limits.calls_at_once = 5;
        })
        .await?;
    let info = GetServerInfoRequest {};
    let mut refusal = None;
    for _ in 0..50 {
        if let Err(status) = app.admin().get_server_info(as_whom("lms", info)?).await {
            refusal = Some(status);
            break;
        }
    }
    put_off(refusal.map_or(Ok(()), Err), "RATE_LIMITED")?;
    app.admin().get_server_info(as_whom("cms", info)?).await?;
    for _ in 0..50 {
        HealthClient::new(app.channel.clone()).check(HealthCheckRequest::default()).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_answered_while_uploads_and_workers_are_busy() -> Result<()> {
    let app = guarded().await?;
    let app = app
        .restart_with(|config| {
            config.limits.concurrent_ingests = 1;
            config.limits.concurrent_jobs = 0;
        })
        .await?;
    let archive = store(&app, "lms", header("x.mbz")).await?.name;
    // One upload that says nothing more holds the only place, and jobs wait that nobody runs.
    let (hold, held) = futures::channel::mpsc::unbounded();
    let part = upload_backup_request::Part::Header(header("slow.mbz"));
    hold.unbounded_send(UploadBackupRequest { part: Some(part) })?;
    let part = upload_backup_request::Part::Chunk(
        chunks(0, &fixture("gen_xs-nu.mbz")?[..100]).next().context("one")?,
    );
    hold.unbounded_send(UploadBackupRequest { part: Some(part) })?;
    let (mut backups, request) = (app.backups(), as_whom("lms", held)?);
    let slow = tokio::spawn(async move { backups.upload_backup(request).await });
    let (mut restores, mut waiting) = (app.restores(), Vec::new());
    for n in 0..20 {
        let restore = restore_request(&archive, &format!("r{n}"));
        waiting.push(restores.create_restore(as_whom("lms", restore)?).await?);
    }
    let waits = tokio::spawn({
        let (app, header) = (app.client.clone(), header("next.mbz"));
        let request = as_whom(
            "lms",
            futures::stream::iter(
                upload(header, &fixture("gen_xs-nu.mbz")?)
                    .into_iter()
                    .map(|part| UploadBackupRequest { part: Some(part) }),
            ),
        )?;
        async move { app.backups().upload_backup(request).await }
    });
    for _ in 0..50 {
        let get = within(Duration::from_secs(5), GetArchiveRequest { name: archive.clone() });
        let mut get = get;
        get.metadata_mut().insert("authorization", "Bearer lms-secret".parse()?);
        app.backups().get_archive(get).await?;
        let list = ListJobsRequest { parent: MAIN.into(), ..Default::default() };
        let mut list = within(Duration::from_secs(5), list);
        list.metadata_mut().insert("authorization", "Bearer lms-secret".parse()?);
        app.jobs().list_jobs(list).await?;
    }
    // The place is free as soon as the slow one goes away.
    drop(hold);
    ensure!(slow.await?.is_err());
    waits.await??;
    Ok(())
}
