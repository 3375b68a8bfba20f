//! Jobs as their requesters see them: waiting, watching, stopping, listing.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coursevault::engine::{Error, JobContext};
use coursevault::proto::job::State;
use coursevault::proto::*;
use coursevault::reason::Reason;
use futures::StreamExt;
use tonic::{Code, Streaming};

use crate::app::TestApp;
use crate::client::*;
use crate::errors::refused;

const COURSE: &str = "sites/main/courses/c";

/// A server that runs no job, with a course.
async fn idle() -> Result<TestApp> {
    let app = TestApp::without_worker().await?;
    let archive = app.upload(&fixture("gen_xs-nu.mbz")?).await?.name;
    app.publish(COURSE, &archive, "").await?;
    Ok(app)
}

async fn next_state(watch: &mut Streaming<WatchJobResponse>) -> Result<State> {
    let next = tokio::time::timeout(Duration::from_secs(30), watch.next()).await.context("no news")?;
    Ok(next.context("the watch ended")??.job.context("a job")?.state())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_tells_every_state_and_ends_with_the_last() -> Result<()> {
    let app = idle().await?;
    for last in [State::Succeeded, State::Failed, State::Cancelled] {
        let name = app.backup(COURSE).await?.name;
        let mut watch = app.jobs().watch_job(WatchJobRequest { name: name.clone() }).await?.into_inner();
        ensure!(next_state(&mut watch).await? == State::Pending);
        // The test is the worker, so that each state lasts until it was seen.
        let claimed = app.engine.claim_job("test").await?.context("a job to do")?;
        let context = JobContext::new(&claimed);
        app.engine.job_changed();
        ensure!(next_state(&mut watch).await? == State::Running);
        match last {
            State::Succeeded => app.engine.run_job(&claimed.job, &context).await?,
            State::Cancelled => {
                let request = CancelJobRequest { name: name.clone(), ..Default::default() };
                let job = app.jobs().cancel_job(request).await?.into_inner().job.context("a job")?;
                ensure!(job.state() == State::Cancelling, "{job:?}");
                ensure!(next_state(&mut watch).await? == State::Cancelling);
                // Whoever was asked to stop cannot succeed any more.
                ensure!(app.engine.heartbeat(&context).await?);
                let late = app.engine.run_job(&claimed.job, &context).await.err().context("a refusal")?;
                ensure!(late.reason == Reason::JobCancelled, "{late:?}");
                app.engine.settle_unsuccessful(&claimed.job, &context, &late).await?;
            }
            _ => {
                let error = Error::new(Reason::StorageCorrupt, "a test says so");
                app.engine.settle_unsuccessful(&claimed.job, &context, &error).await?;
            }
        }
        app.engine.job_changed();
        ensure!(next_state(&mut watch).await? == last);
        ensure!(watch.next().await.is_none(), "a watch ends with the job");
        let job = app.ended(&name).await?;
        ensure!(job.end_time.is_some() && job.attempts == 1, "{job:?}");
        ensure!(job.problem.is_some() == (last == State::Failed), "{job:?}");
    }
    ensure!(app.archives(true).await?.len() == 2, "one backup, beside the upload");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_ends_with_the_job_or_with_the_time() -> Result<()> {
    let app = idle().await?;
    let name = app.backup(COURSE).await?.name;
    for timeout in [
        prost_types::Duration { seconds: 0, nanos: 1_000_000 },
        prost_types::Duration { seconds: -5, nanos: 0 },
    ] {
        let request = WaitJobRequest { name: name.clone(), timeout: Some(timeout) };
        let job = app.jobs().wait_job(request).await?.into_inner().job.context("a job")?;
        ensure!(job.state() == State::Pending, "{job:?}");
    }
    let waiting = app.ended(&name);
    let cancelling = async {
        let request = CancelJobRequest { name: name.clone(), ..Default::default() };
        Ok(app.jobs().cancel_job(request).await?)
    };
    let (ended, _) = tokio::try_join!(waiting, cancelling)?;
    ensure!(ended.state() == State::Cancelled && ended.start_time.is_none(), "{ended:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_server_ends_waits_and_watches() -> Result<()> {
    let app = idle().await?;
    let name = app.backup(COURSE).await?.name;
    let mut watch = app.jobs().watch_job(WatchJobRequest { name: name.clone() }).await?.into_inner();
    ensure!(next_state(&mut watch).await? == State::Pending);
    let app = app.restart_with(|config| config.limits.concurrent_jobs = 1).await?;
    let end = watch.next().await.context("a last word")?;
    refused(end, Code::Unavailable, "SHUTTING_DOWN")?;
    ensure!(app.ended(&name).await?.state() == State::Succeeded);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_a_stopping_server_drops_hears_why() -> Result<()> {
    let app = TestApp::with(|config| config.drain_seconds = 1).await?;
    let (taken, all_taken) = tokio::sync::oneshot::channel();
    let mut taken = Some(taken);
    let first = UploadBackupRequest { part: Some(upload_backup_request::Part::Header(header("x.mbz"))) };
    // It never goes on; asked for more, the header is on its way.
    let stream = futures::stream::iter([first]).chain(futures::stream::poll_fn(move |_| {
        taken.take().map(|taken| taken.send(()));
        std::task::Poll::Pending
    }));
    let client = Client::connect(&app.url).await?;
    let calling = tokio::spawn(async move { client.backups().upload_backup(stream).await });
    all_taken.await?;
    // An answer to a later call of the same server: the upload has reached it as well.
    let app = {
        ensure!(app.archives(true).await?.is_empty());
        app.restart().await?
    };
    refused(calling.await?, Code::Unavailable, "SHUTTING_DOWN")?;
    ensure!(app.archives(true).await?.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_ingest_opens_its_session_again() -> Result<()> {
    let app = TestApp::without_worker().await?;
    let bytes = fixture("gen_xs-nu.mbz")?;
    let upload = app.start_upload().await?.name;
    app.push(&upload, 0, &bytes).await?;
    let finish =
        FinishUploadRequest { name: upload.clone(), size_bytes: size(&bytes), sha256: sha256(&bytes) };
    let finish = within(Duration::from_millis(500), finish);
    let job = app.transfers().finish_upload(finish).await?.into_inner().job.context("a job")?;
    app.jobs().cancel_job(CancelJobRequest { name: job.name.clone(), ..Default::default() }).await?;
    let session = app.transfers().get_upload(GetUploadRequest { name: upload.clone() }).await?.into_inner();
    let session = session.upload.context("an upload")?;
    ensure!(session.state() == upload::State::Open, "{session:?}");
    ensure!(session.last_problem.is_some_and(|problem| problem.reason == "JOB_CANCELLED"));
    let app = app.restart_with(|config| config.limits.concurrent_jobs = 1).await?;
    let finished = app.finish(&upload, &bytes).await?;
    ensure!(finished.archive.is_some() && finished.job.is_some_and(|again| again.name != job.name));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_have_no_gaps() -> Result<()> {
    let app = idle().await?;
    let mut expected = Vec::new();
    for _ in 0..125 {
        expected.push(app.backup(COURSE).await?.name);
    }
    // Every tenth is cancelled: lists of one state skip over the others.
    for name in expected.iter().step_by(10) {
        app.jobs().cancel_job(CancelJobRequest { name: name.clone(), ..Default::default() }).await?;
    }
    expected.reverse();
    let cancelled: Vec<String> = expected.iter().rev().step_by(10).rev().cloned().collect();
    for (page_size, state, expected) in [
        (0, State::Unspecified, &expected),
        (1000, State::Unspecified, &expected),
        (7, State::Unspecified, &expected),
        (5, State::Cancelled, &cancelled),
    ] {
        let mut request = ListJobsRequest {
            parent: MAIN.into(),
            page_size,
            state: state.into(),
            course: COURSE.into(),
            ..Default::default()
        };
        let mut found = Vec::new();
        loop {
            let page = app.jobs().list_jobs(request.clone()).await?.into_inner();
            let most = if page_size == 0 { 50 } else { page_size };
            ensure!(page.jobs.len() <= usize::try_from(most)?);
            found.extend(page.jobs.into_iter().map(|job| job.name));
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        ensure!(found == *expected, "{page_size} {state:?}: {} of {}", found.len(), expected.len());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_are_paged_newest_first_while_others_come() -> Result<()> {
    let app = TestApp::start().await?;
    let bytes = fixture("rich101-activity-assign-nu.mbz")?;
    let mut expected = Vec::new();
    for _ in 0..30 {
        expected.push(app.upload(&bytes).await?.name);
    }
    expected.reverse();
    let mut request = ListArchivesRequest { parent: MAIN.into(), page_size: 4, ..Default::default() };
    let mut found = Vec::new();
    loop {
        let page = app.backups().list_archives(request.clone()).await?.into_inner();
        found.extend(page.archives.into_iter().map(|archive| archive.name));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
        // It is newer than where the list began, so it is on no later page.
        app.upload(&bytes).await?;
    }
    ensure!(found == expected, "{found:?}");
    Ok(())
}
