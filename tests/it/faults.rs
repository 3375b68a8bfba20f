//! A storage that is full, or does not answer: a clear error, nothing half-visible, and work that goes on afterwards.

use anyhow::{Context, Result, ensure};
use coursevault::proto::job::State;
use coursevault::proto::*;
use coursevault::vault::fault::{Fault, Operation};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::app::{TestApp, eventually};
use crate::client::*;
use crate::errors::refused;
use crate::surface::serves;

const WRITES: [Operation; 4] = [Operation::Put, Operation::Begin, Operation::PutPart, Operation::Complete];

fn fail_writes(app: &TestApp, fault: Fault) {
    for operation in WRITES {
        app.faults().fail_from(operation, 1, fault);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_cannot_be_stored_leaves_nothing() -> Result<()> {
    let app = TestApp::start().await?;
    let bytes = fixture("rich101-full-zip.mbz")?;
    for (fault, code, reason) in [
        (Fault::Full, Code::ResourceExhausted, "STORAGE_FULL"),
        (Fault::Unavailable, Code::Unavailable, "STORAGE_UNAVAILABLE"),
        (Fault::AnswerLost, Code::Unavailable, "STORAGE_UNAVAILABLE"),
    ] {
        fail_writes(&app, fault);
        let status = app.upload(&bytes).await.err().with_context(|| format!("{fault:?} was not noticed"))?;
        if code == Code::ResourceExhausted {
            ensure!(status.get_details_quota_failure().is_some(), "{status:?}");
        } else {
            ensure!(status.get_details_retry_info().is_some(), "{status:?}");
        }
        refused::<()>(Err(status), code, reason)?;
        ensure!(app.archives(true).await?.is_empty() && app.report().await? == StorageUse::default());
        app.faults().clear();
    }
    let archive = app.upload(&bytes).await?;
    ensure!(members(&app.download(&archive.name, Container::Zip).await?.bytes)? == members(&bytes)?);
    ensure!(app.report().await?.archive_count == 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_that_cannot_be_stored_do_not_count() -> Result<()> {
    let app = TestApp::start().await?;
    let bytes = fixture("gen_xs-full.mbz")?;
    let upload = app.start_upload().await?.name;
    app.push(&upload, 0, &bytes[..1000]).await?;
    for (fault, code, reason) in [
        (Fault::Full, Code::ResourceExhausted, "STORAGE_FULL"),
        (Fault::Unavailable, Code::Unavailable, "STORAGE_UNAVAILABLE"),
        (Fault::AnswerLost, Code::Unavailable, "STORAGE_UNAVAILABLE"),
    ] {
        fail_writes(&app, fault);
        refused(app.push(&upload, 1000, &bytes[1000..]).await, code, reason)?;
        app.faults().clear();
        ensure!(app.committed(&upload).await? == 1000, "{fault:?}");
        // The session is free at once for whoever goes on.
        app.push(&upload, 1000, &[]).await.with_context(|| format!("after {fault:?}"))?;
    }
    app.push(&upload, 1000, &bytes[1000..]).await?;
    let archive = app.finish(&upload, &bytes).await?.archive.context("an archive")?;
    ensure!(members(&app.download(&archive.name, Container::TarGz).await?.bytes)? == members(&bytes)?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingest_outlives_a_hiccup_of_the_storage() -> Result<()> {
    let app = TestApp::start().await?;
    let bytes = fixture("gen_xs-full.mbz")?;
    let upload = app.start_upload().await?.name;
    app.push(&upload, 0, &bytes).await?;
    // The first attempt finds no parts.
    app.faults().fail(Operation::Get, 1, Fault::Unavailable);
    let finished = app.finish(&upload, &bytes).await?;
    let job = finished.job.context("a job")?;
    ensure!(job.state() == State::Succeeded && job.attempts == 2, "{job:?}");
    ensure!(finished.archive.is_some() && app.archives(true).await?.len() == 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_waits_for_the_storage_can_be_stopped_and_retried() -> Result<()> {
    let app = TestApp::start().await?;
    let archive = app.upload(&fixture("gen_xs-full.mbz")?).await?.name;
    let course = "sites/main/courses/c";
    app.publish(course, &archive, "").await?;
    fail_writes(&app, Fault::Unavailable);
    let name = app.backup(course).await?.name;
    let waiting = eventually("the job waits for its next attempt", || async {
        let job = app.jobs().get_job(GetJobRequest { name: name.clone() }).await?.into_inner().job;
        let job = job.context("a job")?;
        Ok((job.state() == State::Pending && job.problem.is_some()).then_some(job))
    })
    .await?;
    let problem = waiting.problem.context("a problem")?;
    ensure!(problem.reason == "STORAGE_UNAVAILABLE" && problem.retryable, "{problem:?}");
    ensure!(waiting.next_attempt_time.is_some());
    app.jobs().cancel_job(CancelJobRequest { name: name.clone(), ..Default::default() }).await?;
    ensure!(app.ended(&name).await?.state() == State::Cancelled);
    app.faults().clear();
    app.jobs().retry_job(RetryJobRequest { name: name.clone(), ..Default::default() }).await?;
    let job = app.ended(&name).await?;
    ensure!(job.state() == State::Succeeded && job.problem.is_none(), "{job:?}");
    let backups = app.archives(true).await?;
    ensure!(backups.iter().filter(|archive| archive.job == name).count() == 1, "{backups:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_breaks_says_why() -> Result<()> {
    let app = TestApp::start().await?;
    let archive = app.upload(&fixture("rich101-full-zip.mbz")?).await?.name;
    // A server that has not read anything yet.
    let app = app.restart().await?;
    app.faults().fail_from(Operation::Get, 1, Fault::Unavailable);
    let error = app.download(&archive, Container::Zip).await.err().context("a refusal")?;
    let status = error.downcast::<Status>()?;
    refused::<()>(Err(status), Code::Unavailable, "STORAGE_UNAVAILABLE")?;
    app.faults().clear();
    app.download(&archive, Container::Zip).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fact_holds_although_the_journal_lags() -> Result<()> {
    let app = TestApp::start().await?;
    let archive = app.upload(&fixture("gen_xs-nu.mbz")?).await?.name;
    let before = app.stored_files("journal").len();
    fail_writes(&app, Fault::Unavailable);
    app.backups()
        .delete_archive(DeleteArchiveRequest { name: archive.clone(), ..Default::default() })
        .await?;
    ensure!(app.archives(false).await?.is_empty());
    ensure!(app.stored_files("journal").len() == before);
    app.faults().clear();
    eventually("the journal has caught up", || async {
        Ok((app.stored_files("journal").len() == before + 1).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn health_follows_the_storage() -> Result<()> {
    let app = TestApp::start().await?;
    let turns = async |service: &str, wanted: bool| {
        eventually("health turns", || async {
            let now = serves(&app, &format!("coursevault.v1.{service}")).await.unwrap_or(!wanted);
            Ok((now == wanted).then_some(()))
        })
        .await
    };
    turns("BackupService", true).await?;
    fail_writes(&app, Fault::Unavailable);
    turns("BackupService", false).await?;
    // What needs no storage goes on.
    ensure!(serves(&app, "coursevault.v1.JobService").await? && serves(&app, "").await?);
    // A full storage still gives what it has.
    app.faults().clear();
    fail_writes(&app, Fault::Full);
    turns("CourseService", true).await?;
    ensure!(serves(&app, "coursevault.v1.BackupService").await?);
    for stores_only in ["coursevault.v1.RestoreService", "coursevault.v1.TransferService"] {
        ensure!(!serves(&app, stores_only).await?, "{stores_only}");
    }
    app.faults().clear();
    turns("TransferService", true).await
}
