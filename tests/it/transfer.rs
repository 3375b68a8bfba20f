//! Resumable uploads: cut anywhere, go on, and end with the same archive.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coursevault::proto::*;
use futures::StreamExt;
use tonic::Code;

use crate::app::{TestApp, eventually};
use crate::client::*;
use crate::errors::{reason, refused};

const FIXTURE: &str = "rich101-noactivities.mbz";

/// Sends a piece and then breaks the connection off without ending the stream.
async fn cut(app: &TestApp, upload: &str, offset: usize, bytes: &[u8]) -> Result<()> {
    let client = Client::connect(&app.url).await?;
    let (sent, all_sent) = tokio::sync::oneshot::channel();
    let mut sent = Some(sent);
    let messages = chunk_messages(upload, offset, bytes);
    let stream = futures::stream::iter(messages).chain(futures::stream::poll_fn(move |_| {
        // Asked for more: all before is on its way.
        if let Some(sent) = sent.take() {
            let _ = sent.send(());
        }
        std::task::Poll::Pending
    }));
    let calling = tokio::spawn(async move { client.transfers().upload_chunks(stream).await });
    all_sent.await?;
    calling.abort();
    Ok(())
}

/// The session's committed bytes, once nobody writes to it any more.
async fn settled(app: &TestApp, upload: &str) -> Result<usize> {
    pushed(app, upload, 0, &[]).await
}

/// Sends a piece, once nobody else writes: a stream that was cut may reach the server late.
async fn pushed(app: &TestApp, upload: &str, offset: usize, bytes: &[u8]) -> Result<usize> {
    eventually("the cut stream is given up", || async {
        match app.push(upload, offset, bytes).await {
            Ok(committed) => Ok(Some(usize::try_from(committed)?)),
            Err(status) if reason(&status) == "UPLOAD_BUSY" => Ok(None),
            Err(status) => Err(status.into()),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_cut_at_many_offsets_and_go_on() -> Result<()> {
    let app = TestApp::start().await?;
    let bytes = fixture("gen_s-nf.mbz")?;
    let upload = app.start_upload().await?.name;
    let mut committed = 0;
    // Lengths on both sides of a chunk; the last cut comes when everything is there.
    for (round, length) in [1, 511, 1, 4096, 9_999, 20_000, 63, usize::MAX].into_iter().enumerate() {
        let end = committed + length.min(bytes.len() - committed);
        cut(&app, &upload, committed, &bytes[committed..end]).await?;
        let now = settled(&app, &upload).await?;
        ensure!((committed..=end).contains(&now), "round {round}: {now} is not in {committed}..={end}");
        committed = now;
    }
    pushed(&app, &upload, committed, &bytes[committed..]).await?;
    check(&app, &upload, &bytes).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_server_goes_on_where_the_upload_was() -> Result<()> {
    let mut app = TestApp::start().await?;
    let bytes = fixture(FIXTURE)?;
    let upload = app.start_upload().await?.name;
    for (index, piece) in bytes.chunks(bytes.len() / 3 + 1).enumerate() {
        let offset = index * (bytes.len() / 3 + 1);
        ensure!(app.committed(&upload).await? == offset);
        app.push(&upload, offset, piece).await?;
        app = app.restart().await?;
    }
    check(&app, &upload, &bytes).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_tells_how_large_its_chunks_may_be() -> Result<()> {
    let app = TestApp::start().await?;
    let bytes = fixture(FIXTURE)?;
    let request = StartUploadRequest { parent: MAIN.into(), file_name: "x.mbz".into(), ..Default::default() };
    let started = app.transfers().start_upload(request).await?.into_inner();
    assert_eq!(started.max_chunk_bytes, 2 << 20);
    let upload = started.upload.context("an upload")?.name;
    let app = app.restart_with(|config| config.limits.chunk_bytes = 100).await?;
    let told = app.transfers().get_upload(GetUploadRequest { name: upload.clone() }).await?.into_inner();
    assert_eq!(told.max_chunk_bytes, 100);
    refused(app.push(&upload, 0, &bytes[..101]).await, Code::InvalidArgument, "LIMIT_CHUNK_BYTES")?;
    assert_eq!(app.push(&upload, 0, &bytes[..100]).await?, 100);
    Ok(())
}

/// Finishes, and compares what is stored with what was meant.
async fn check(app: &TestApp, upload: &str, bytes: &[u8]) -> Result<()> {
    let finished = app.finish(upload, bytes).await?;
    ensure!(finished.upload.context("an upload")?.state() == upload::State::Finished);
    let archive = finished.archive.context("an archive")?;
    ensure!(archive.upload_sha256 == sha256(bytes));
    let fetched = app.download(&archive.name, Container::Zip).await?;
    ensure!(members(&fetched.bytes)? == members(bytes)?);
    ensure!(app.archives(true).await?.len() == 1);
    eventually("parts are removed", || async { Ok(app.stored_files("uploads").is_empty().then_some(())) })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offset_too_high_tells_where_to_go_on_and_an_overlap_is_skipped() -> Result<()> {
    let app = TestApp::start().await?;
    let bytes = fixture(FIXTURE)?;
    let upload = app.start_upload().await?.name;
    app.push(&upload, 0, &bytes[..1000]).await?;
    let refusal = app.push(&upload, 1001, &bytes[1001..2000]).await;
    let info = refused(refusal, Code::OutOfRange, "UPLOAD_OFFSET_MISMATCH")?;
    assert_eq!(info.metadata.get("committedBytes").map(String::as_str), Some("1000"));
    // Bytes before a bad chunk of the same stream count.
    let mut messages = chunk_messages(&upload, 1000, &bytes[1000..1500]);
    messages.extend(chunk_messages(&upload, 1700, &bytes[1700..1800]).into_iter().skip(1));
    let refusal = app.transfers().upload_chunks(futures::stream::iter(messages)).await;
    refused(refusal, Code::OutOfRange, "UPLOAD_OFFSET_MISMATCH")?;
    assert_eq!(app.committed(&upload).await?, 1500);
    // What is there already may hold anything: it is not looked at again.
    let mut overlapping = vec![b'?'; 500];
    overlapping.extend_from_slice(&bytes[1500..3000]);
    assert_eq!(app.push(&upload, 1000, &overlapping).await?, 3000);
    assert_eq!(app.push(&upload, 0, &bytes[..3000]).await?, 3000);
    app.push(&upload, 3000, &bytes[3000..]).await?;
    check(&app, &upload, &bytes).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_end_is_refused_and_the_session_stays_usable() -> Result<()> {
    let app = TestApp::start().await?;
    let bytes = fixture(FIXTURE)?;
    let upload = app.start_upload().await?.name;
    app.push(&upload, 0, &bytes[..5000]).await?;
    // Not all bytes are there yet.
    refused(app.finish(&upload, &bytes).await, Code::InvalidArgument, "SIZE_MISMATCH")?;
    app.push(&upload, 5000, &bytes[5000..]).await?;
    let request =
        FinishUploadRequest { name: upload.clone(), size_bytes: size(&bytes), sha256: sha256(b"other") };
    let refusal = app.transfers().finish_upload(request).await;
    refused(refusal, Code::InvalidArgument, "DIGEST_MISMATCH")?;
    let session = app.session(&upload).await?;
    let problem = session.last_problem.clone().context("a problem")?;
    ensure!(session.state() == upload::State::Open && problem.reason == "DIGEST_MISMATCH", "{session:?}");
    ensure!(app.archives(true).await?.is_empty());
    ensure!(app.report().await?.pack_count == 0);
    check(&app, &upload, &bytes).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_archive_leaves_the_session_open() -> Result<()> {
    let app = TestApp::start().await?;
    let bytes = fixture(FIXTURE)?;
    for (what, bytes, reason) in [
        ("text", &b"not an archive at all"[..], "ARCHIVE_FORMAT_UNSUPPORTED"),
        ("truncated", &bytes[..bytes.len() / 2], "ARCHIVE_TRUNCATED"),
    ] {
        let upload = app.start_upload().await?.name;
        app.push(&upload, 0, bytes).await?;
        let refusal = refused(app.finish(&upload, bytes).await, Code::InvalidArgument, reason)?;
        let named = refusal.metadata.get("job").context("a job")?.clone();
        let job = app.ended(&named).await?;
        ensure!(job.state() == job::State::Failed && job.attempts == 1, "{what}: {job:?}");
        ensure!(job.problem.as_ref().is_some_and(|problem| problem.reason == reason), "{what}: {job:?}");
        ensure!(app.session(&upload).await?.state() == upload::State::Open, "{what}");
        // A retry would find the same bytes.
        let request = RetryJobRequest { name: job.name, ..Default::default() };
        refused(app.jobs().retry_job(request).await, Code::FailedPrecondition, "JOB_NOT_RETRYABLE")?;
    }
    ensure!(app.archives(true).await?.is_empty() && app.report().await?.stored_bytes == 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_writer_is_refused() -> Result<()> {
    let app = TestApp::start().await?;
    // A session takes any bytes; only its end asks for an archive. These fill two parts and a bit: a part counts when the next one is full.
    let bytes: Vec<u8> = (0..9_u32 << 20).map(|at| at.to_le_bytes()[1]).collect();
    let upload = app.start_upload().await?.name;
    let (more, messages) = tokio::sync::mpsc::channel(8);
    let stream = tokio_stream::wrappers::ReceiverStream::new(messages);
    let mut first = app.transfers();
    let first = tokio::spawn(async move { first.upload_chunks(stream).await });
    for message in chunk_messages(&upload, 0, &bytes) {
        more.send(message).await?;
    }
    // A part that counts shows that the first stream has the session; a push to find out could take it away.
    eventually("the first writer is at work", || async {
        Ok((app.committed(&upload).await? > 0).then_some(()))
    })
    .await?;
    let second = app.push(&upload, 0, &bytes[..10]).await;
    refused(second, Code::Aborted, "UPLOAD_BUSY")?;
    drop(more);
    assert_eq!(first.await??.into_inner().committed_bytes, size(&bytes));
    assert_eq!(app.push(&upload, 0, &bytes[..10]).await?, size(&bytes));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_session_leaves_nothing() -> Result<()> {
    let app = TestApp::start().await?;
    let upload = app.start_upload().await?.name;
    app.push(&upload, 0, b"some bytes").await?;
    ensure!(app.stored_files("uploads").len() == 1);
    for _ in 0..2 {
        let aborted = app.transfers().abort_upload(AbortUploadRequest { name: upload.clone() }).await?;
        ensure!(aborted.into_inner().upload.context("one")?.state() == upload::State::Aborted);
    }
    ensure!(app.stored_files("uploads").is_empty());
    refused(app.push(&upload, 10, b"more").await, Code::FailedPrecondition, "UPLOAD_NOT_OPEN")?;
    refused(app.finish(&upload, b"some bytes").await, Code::FailedPrecondition, "UPLOAD_NOT_OPEN")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn finishing_twice_is_one_job() -> Result<()> {
    let app = TestApp::start().await?;
    let bytes = fixture(FIXTURE)?;
    let upload = app.start_upload().await?.name;
    app.push(&upload, 0, &bytes).await?;
    let (first, second) = tokio::join!(app.finish(&upload, &bytes), app.finish(&upload, &bytes));
    let (first, second, third) = (first?, second?, app.finish(&upload, &bytes).await?);
    ensure!(first.job.is_some() && first.archive.is_some());
    ensure!((&first.job, &first.archive) == (&second.job, &second.archive));
    ensure!((&first.job, &first.archive) == (&third.job, &third.archive));
    ensure!(app.archives(true).await?.len() == 1 && app.all_jobs().await?.len() == 1);
    let request = FinishUploadRequest { name: upload, size_bytes: size(&bytes), sha256: sha256(b"other") };
    let refusal = app.transfers().finish_upload(request).await;
    refused(refusal, Code::FailedPrecondition, "UPLOAD_NOT_OPEN")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn finishing_answers_before_the_deadline_and_can_be_asked_again() -> Result<()> {
    let app = TestApp::without_worker().await?;
    let bytes = fixture(FIXTURE)?;
    let upload = app.start_upload().await?.name;
    app.push(&upload, 0, &bytes).await?;
    let request =
        FinishUploadRequest { name: upload.clone(), size_bytes: size(&bytes), sha256: sha256(&bytes) };
    let early = within(Duration::from_secs(5), request);
    let early = app.transfers().finish_upload(early).await?.into_inner();
    ensure!(early.job.as_ref().is_some_and(|job| job.state() == job::State::Pending), "{early:?}");
    ensure!(early.upload.is_some_and(|upload| upload.state() == upload::State::Finishing));
    let app = app.restart_with(|config| config.limits.concurrent_jobs = 2).await?;
    let late = app.finish(&upload, &bytes).await?;
    ensure!(late.archive.is_some() && late.job.map(|job| job.name) == early.job.map(|job| job.name));
    Ok(())
}
