//! Upload sessions: cut, resumed, restarted, contradicted.

use coursevault::proto::*;
use tonic::Status;
use tonic_types::StatusExt;

use crate::app::{Outcome, SITE, TestApp, chunks, sha256};
use crate::members::fixture;

async fn start(app: &TestApp) -> Result<Upload, Status> {
    let request = StartUploadRequest {
        parent: SITE.into(),
        file_name: "a.mbz".into(),
        ..StartUploadRequest::default()
    };
    Ok(app.transfer().start_upload(request).await?.into_inner().upload.unwrap_or_default())
}

/// Sends the bytes from `from` to `to`.
async fn send(app: &TestApp, name: &str, bytes: &[u8], from: usize, to: usize) -> Result<i64, Status> {
    use upload_chunks_request::Part;
    let parts: Vec<_> = std::iter::once(Part::Name(name.into()))
        .chain(chunks(&bytes[..to], from, 10_007).into_iter().map(Part::Chunk))
        .map(|part| UploadChunksRequest { part: Some(part) })
        .collect();
    Ok(app.transfer().upload_chunks(tokio_stream::iter(parts)).await?.into_inner().committed_bytes)
}

async fn finish(
    app: &TestApp,
    name: &str,
    size: usize,
    sha256: String,
) -> Result<FinishUploadResponse, Status> {
    let request = FinishUploadRequest { name: name.into(), size_bytes: size as i64, sha256 };
    Ok(app.transfer().finish_upload(request).await?.into_inner())
}

fn reason(status: &Status) -> String {
    status.get_error_details().error_info().map(|info| info.reason.clone()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_goes_on_after_cuts_and_a_restart() -> Outcome {
    let folder = tempfile::tempdir()?;
    let bytes = fixture("rich101-full-tgz.mbz")?;
    let mut app = TestApp::embedded(folder.path()).await?;
    let upload = start(&app).await?;
    let mut at = 0;
    for (round, to) in [1, 10_000, 500_001, 500_001, 1_200_000, bytes.len()].into_iter().enumerate() {
        // Every other round begins too early: what is there already is skipped.
        let from = if round % 2 == 0 { at } else { at / 2 };
        assert_eq!(send(&app, &upload.name, &bytes, from, to).await?, to as i64);
        at = to;
        if round == 2 {
            app.stop().await?;
            app = TestApp::embedded(folder.path()).await?;
        }
        let now =
            app.transfer().get_upload(GetUploadRequest { name: upload.name.clone() }).await?.into_inner();
        assert_eq!(now.upload.map(|upload| upload.committed_bytes), Some(to as i64));
    }
    let finished = finish(&app, &upload.name, bytes.len(), sha256(&bytes)).await?;
    let archive = finished.archive.unwrap_or_default();
    assert_eq!(archive.upload_sha256, sha256(&bytes));
    assert!(finished.inspection.is_some());
    // Asking again finds the same end.
    let again = finish(&app, &upload.name, bytes.len(), sha256(&bytes)).await?;
    assert_eq!(again.archive.map(|archive| archive.name), Some(archive.name));
    assert_eq!(again.job.map(|job| job.name), finished.job.map(|job| job.name));
    // The parts are gone.
    let parts = folder.path().join("storage/uploads");
    assert_eq!(walk(&parts), 0, "parts are left in {}", parts.display());
    app.stop().await
}

fn walk(folder: &std::path::Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries.flatten().map(|entry| if entry.path().is_dir() { walk(&entry.path()) } else { 1 }).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrived_before_a_broken_stream_counts() -> Outcome {
    use upload_chunks_request::Part;
    let folder = tempfile::tempdir()?;
    let bytes = fixture("rich101-full-tgz.mbz")?;
    let app = TestApp::embedded(folder.path()).await?;
    let upload = start(&app).await?;
    let mut parts = vec![Part::Name(upload.name.clone())];
    parts.extend(chunks(&bytes[..300_000], 0, 100_000).into_iter().map(Part::Chunk));
    // Then a chunk that leaves a gap.
    parts.push(Part::Chunk(Chunk {
        offset: 400_000,
        data: bytes[400_000..400_100].to_vec().into(),
        crc32: None,
    }));
    let parts = parts.into_iter().map(|part| UploadChunksRequest { part: Some(part) }).collect::<Vec<_>>();
    let refused = app.transfer().upload_chunks(tokio_stream::iter(parts)).await.err();
    let refused = refused.ok_or("the gap was taken")?;
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (tonic::Code::OutOfRange, "UPLOAD_OFFSET_MISMATCH")
    );
    let details = refused.get_error_details();
    assert_eq!(
        details.error_info().map(|info| info.metadata["committedBytes"].clone()),
        Some("300000".into())
    );
    let now = app.transfer().get_upload(GetUploadRequest { name: upload.name }).await?.into_inner();
    assert_eq!(now.upload.map(|upload| upload.committed_bytes), Some(300_000));
    app.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_size_or_digest_leaves_the_session_usable() -> Outcome {
    let folder = tempfile::tempdir()?;
    let bytes = fixture("gen_xs-nu.mbz")?;
    let app = TestApp::embedded(folder.path()).await?;
    let upload = start(&app).await?;
    send(&app, &upload.name, &bytes, 0, bytes.len()).await?;
    let wrong_size = finish(&app, &upload.name, bytes.len() + 1, sha256(&bytes)).await.err();
    assert_eq!(wrong_size.as_ref().map(reason).as_deref(), Some("SIZE_MISMATCH"));
    let wrong = finish(&app, &upload.name, bytes.len(), sha256(b"other")).await?;
    let job = wrong.job.unwrap_or_default();
    assert_eq!(job.state(), job::State::Failed);
    assert_eq!(job.problem.map(|problem| problem.reason).as_deref(), Some("DIGEST_MISMATCH"));
    assert!(wrong.archive.is_none() && app.archives().await?.is_empty());
    let session = wrong.upload.unwrap_or_default();
    assert_eq!(session.state(), upload::State::Open);
    assert_eq!(session.last_problem.map(|problem| problem.reason).as_deref(), Some("DIGEST_MISMATCH"));
    let right = finish(&app, &upload.name, bytes.len(), sha256(&bytes)).await?;
    assert!(right.archive.is_some());
    app.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_stream_at_a_time_and_an_abort_removes_the_bytes() -> Outcome {
    use upload_chunks_request::Part;
    let folder = tempfile::tempdir()?;
    // A session takes any bytes; only its end asks for an archive. These fill two parts, but not the third.
    let bytes: Vec<u8> = (0..9_u32 << 20).map(|at| at.to_le_bytes()[1]).collect();
    let app = TestApp::embedded(folder.path()).await?;
    let upload = start(&app).await?;
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let mut client = app.transfer();
    let first = tokio::spawn(async move {
        client.upload_chunks(tokio_stream::wrappers::ReceiverStream::new(receiver)).await.map(|_| ())
    });
    sender.send(UploadChunksRequest { part: Some(Part::Name(upload.name.clone())) }).await?;
    for chunk in chunks(&bytes, 0, 500_000) {
        sender.send(UploadChunksRequest { part: Some(Part::Chunk(chunk)) }).await?;
    }
    // A part that counts shows that the first stream holds the session.
    let mut looks = tokio::time::interval(std::time::Duration::from_millis(10));
    for look in 0.. {
        looks.tick().await;
        let now =
            app.transfer().get_upload(GetUploadRequest { name: upload.name.clone() }).await?.into_inner();
        if now.upload.is_some_and(|upload| upload.committed_bytes > 0) {
            break;
        }
        assert!(look < 2000, "no part counts");
    }
    let busy = send(&app, &upload.name, &bytes, 0, 1).await.err().ok_or("two streams at once")?;
    assert_eq!((busy.code(), reason(&busy).as_str()), (tonic::Code::Aborted, "UPLOAD_BUSY"));
    drop(sender);
    first.await??;
    let aborted =
        app.transfer().abort_upload(AbortUploadRequest { name: upload.name.clone() }).await?.into_inner();
    assert_eq!(aborted.upload.map(|upload| upload.state()), Some(upload::State::Aborted));
    assert_eq!(walk(&folder.path().join("storage/uploads")), 0);
    let late = send(&app, &upload.name, &bytes, 0, 10).await.err();
    assert_eq!(late.as_ref().map(reason).as_deref(), Some("UPLOAD_NOT_OPEN"));
    app.stop().await
}
