//! Uploads and downloads against a server that cuts streams where the test says.

use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt};

use super::client::Server;
use super::download;
use super::names::Fetchable;
use super::output::Output;
use super::progress::Progress;
use super::upload;
use crate::digest;
use crate::proto::course_service_server::{CourseService, CourseServiceServer};
use crate::proto::transfer_service_server::{TransferService, TransferServiceServer};
use crate::proto::{self, download_course_response::Part as Down, upload_chunks_request::Part as Up};

const UPLOAD: &str = "sites/main/uploads/0190a5f0-2f5d-7c3e-8a61-9f5d1c2b3a4d";
const CHUNK: usize = 10_000;

/// What the server has, and what it is to do wrong.
#[derive(Default)]
struct State {
    received: Vec<u8>,
    /// For each call that streams: after how many chunks it fails, and with what. Then calls go well.
    faults: Vec<(usize, Status)>,
    /// Offsets at which calls began.
    begun: Vec<u64>,
    content: Vec<u8>,
    etag: String,
    told: String,
}

#[derive(Clone, Default)]
struct Fake(Arc<Mutex<State>>);

impl Fake {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fault(&self) -> Option<(usize, Status)> {
        let mut state = self.state();
        (!state.faults.is_empty()).then(|| state.faults.remove(0))
    }

    fn upload(&self) -> proto::Upload {
        proto::Upload {
            name: UPLOAD.to_owned(),
            state: proto::upload::State::Open.into(),
            committed_bytes: self.state().received.len() as i64,
            ..Default::default()
        }
    }
}

#[tonic::async_trait]
impl TransferService for Fake {
    async fn start_upload(
        &self,
        _: Request<proto::StartUploadRequest>,
    ) -> Result<Response<proto::StartUploadResponse>, Status> {
        let upload = Some(self.upload());
        Ok(Response::new(proto::StartUploadResponse { upload, max_chunk_bytes: CHUNK as i64 }))
    }

    async fn upload_chunks(
        &self,
        request: Request<Streaming<proto::UploadChunksRequest>>,
    ) -> Result<Response<proto::UploadChunksResponse>, Status> {
        let mut stream = request.into_inner();
        let mut fault = self.fault();
        while let Some(message) = stream.next().await {
            match message?.part {
                Some(Up::Name(name)) => {
                    assert_eq!(name, UPLOAD);
                    let at = self.state().received.len() as u64;
                    self.state().begun.push(at);
                }
                Some(Up::Chunk(chunk)) => {
                    if let Some((after, status)) = &mut fault {
                        if *after == 0 {
                            return Err(status.clone());
                        }
                        *after -= 1;
                    }
                    let mut state = self.state();
                    assert_eq!(chunk.offset, state.received.len() as i64);
                    assert!(chunk.data.len() <= CHUNK, "as told by StartUpload and GetUpload");
                    assert_eq!(chunk.crc32, Some(crc32fast::hash(&chunk.data)));
                    state.received.extend_from_slice(&chunk.data);
                }
                None => return Err(Status::invalid_argument("no part")),
            }
        }
        let committed_bytes = self.state().received.len() as i64;
        Ok(Response::new(proto::UploadChunksResponse { committed_bytes }))
    }

    async fn get_upload(
        &self,
        _: Request<proto::GetUploadRequest>,
    ) -> Result<Response<proto::GetUploadResponse>, Status> {
        let upload = Some(self.upload());
        Ok(Response::new(proto::GetUploadResponse { upload, max_chunk_bytes: CHUNK as i64 }))
    }

    async fn finish_upload(
        &self,
        request: Request<proto::FinishUploadRequest>,
    ) -> Result<Response<proto::FinishUploadResponse>, Status> {
        let request = request.into_inner();
        let state = self.state();
        if request.sha256 != sha256(&state.received) || request.size_bytes != state.received.len() as i64 {
            return Err(refusal(Code::InvalidArgument, "DIGEST_MISMATCH"));
        }
        let archive = proto::Archive { upload_sha256: request.sha256, ..Default::default() };
        Ok(Response::new(proto::FinishUploadResponse { archive: Some(archive), ..Default::default() }))
    }

    async fn abort_upload(
        &self,
        _: Request<proto::AbortUploadRequest>,
    ) -> Result<Response<proto::AbortUploadResponse>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }
}

type Downloads = Pin<Box<dyn Stream<Item = Result<proto::DownloadCourseResponse, Status>> + Send>>;

#[tonic::async_trait]
impl CourseService for Fake {
    type DownloadCourseStream = Downloads;

    async fn report_course_changes(
        &self,
        _: Request<proto::ReportCourseChangesRequest>,
    ) -> Result<Response<proto::ReportCourseChangesResponse>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }

    async fn download_course(
        &self,
        request: Request<proto::DownloadCourseRequest>,
    ) -> Result<Response<Downloads>, Status> {
        let request = request.into_inner();
        let fault = self.fault();
        let mut state = self.state();
        if !request.if_etag.is_empty() && request.if_etag != state.etag {
            return Err(refusal(Code::FailedPrecondition, "ETAG_MISMATCH"));
        }
        let offset = usize::try_from(request.offset).map_err(|_| Status::out_of_range("offset"))?;
        state.begun.push(offset as u64);
        let rest = state.content.get(offset..).ok_or_else(|| Status::out_of_range("offset"))?;
        let message = |part| Ok(proto::DownloadCourseResponse { part: Some(part) });
        let mut messages = vec![message(Down::Header(proto::DownloadHeader {
            size_bytes: state.content.len() as i64,
            sha256: state.told.clone(),
            etag: state.etag.clone(),
            ..Default::default()
        }))];
        for (number, data) in rest.chunks(CHUNK).enumerate() {
            let crc32 = Some(crc32fast::hash(data));
            let at = (offset + number * CHUNK) as i64;
            messages.push(message(Down::Chunk(proto::Chunk {
                offset: at,
                data: data.to_vec().into(),
                crc32,
            })));
        }
        messages.push(message(Down::Finish(proto::DownloadFinish {
            sent_bytes: rest.len() as i64,
            sha256: if offset == 0 { sha256(rest) } else { String::new() },
        })));
        if let Some((after, status)) = fault {
            messages.truncate(after + 1);
            messages.push(Err(status));
        }
        Ok(Response::new(Box::pin(tokio_stream::iter(messages))))
    }

    async fn get_course(
        &self,
        _: Request<proto::GetCourseRequest>,
    ) -> Result<Response<proto::GetCourseResponse>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }

    async fn list_courses(
        &self,
        _: Request<proto::ListCoursesRequest>,
    ) -> Result<Response<proto::ListCoursesResponse>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }

    async fn get_revision(
        &self,
        _: Request<proto::GetRevisionRequest>,
    ) -> Result<Response<proto::GetRevisionResponse>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }

    async fn list_revisions(
        &self,
        _: Request<proto::ListRevisionsRequest>,
    ) -> Result<Response<proto::ListRevisionsResponse>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }

    async fn publish_revision(
        &self,
        _: Request<proto::PublishRevisionRequest>,
    ) -> Result<Response<proto::PublishRevisionResponse>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }
}

fn sha256(bytes: &[u8]) -> String {
    digest::Sha256(Sha256::digest(bytes).into()).to_string()
}

fn refusal(code: Code, reason: &str) -> Status {
    Status::with_error_details(code, "refused", ErrorDetails::with_error_info(reason, "coursevault", []))
}

fn content(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at * 31 % 251) as u8).collect()
}

/// Starts the fake; it ends with the sender.
async fn serve(fake: &Fake) -> anyhow::Result<(Server, oneshot::Sender<()>)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let (stop, stopped) = oneshot::channel();
    let router = tonic::transport::Server::builder()
        .add_service(TransferServiceServer::new(fake.clone()))
        .add_service(CourseServiceServer::new(fake.clone()));
    tokio::spawn(router.serve_with_incoming_shutdown(TcpListenerStream::new(listener), async {
        drop(stopped.await);
    }));
    Ok((Server::connect(&url, &"main".parse()?, None).await?, stop))
}

async fn send(
    fake: &Fake,
    bytes: &[u8],
    resume: Option<&str>,
) -> anyhow::Result<proto::FinishUploadResponse> {
    let (server, _stop) = serve(fake).await?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("a.mbz");
    std::fs::write(&file, bytes)?;
    let place =
        upload::Place { site: "sites/main".into(), area: proto::Area::DropZone, course: String::new() };
    let progress = Progress::bytes(Output::new(true), "a", 0);
    upload::send(&server, &file, &place, resume.map(str::to_owned), &progress).await
}

#[tokio::test]
async fn an_upload_goes_on_after_cuts_and_sends_nothing_twice() -> anyhow::Result<()> {
    let fake = Fake::default();
    fake.state().faults = vec![
        (3, Status::unavailable("cut")),
        (2, refusal(Code::FailedPrecondition, "UPLOAD_OFFSET_MISMATCH")),
        (1, Status::unknown("h2 protocol error")),
    ];
    let bytes = content(95_000);
    let stored = send(&fake, &bytes, None).await?;
    assert_eq!(stored.archive.context("stored")?.upload_sha256, sha256(&bytes));
    assert_eq!(fake.state().begun, [0, 30_000, 50_000, 60_000]);
    assert!(fake.state().received == bytes);
    Ok(())
}

#[tokio::test]
async fn a_session_of_an_earlier_run_goes_on() -> anyhow::Result<()> {
    let fake = Fake::default();
    let bytes = content(45_000);
    fake.state().received = bytes[..20_000].to_vec();
    let stored = send(&fake, &bytes, Some(UPLOAD)).await?;
    assert_eq!(stored.archive.context("stored")?.upload_sha256, sha256(&bytes));
    assert_eq!(fake.state().begun, [20_000]);
    Ok(())
}

#[tokio::test]
async fn a_refusal_ends_an_upload_at_once() -> anyhow::Result<()> {
    let fake = Fake::default();
    fake.state().faults = vec![(0, refusal(Code::ResourceExhausted, "LIMIT_UPLOAD_BYTES"))];
    let error = send(&fake, &content(2_000_000), None).await.err().context("an error")?;
    let shown = super::failure::Shown::of(&error).context("shown")?;
    assert_eq!((shown.code, shown.reason.as_str()), (super::failure::REFUSED, "LIMIT_UPLOAD_BYTES"));
    assert!(shown.message.contains(UPLOAD), "{}", shown.message);
    assert_eq!(fake.state().begun.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_file_of_another_session_is_refused_by_its_digest() -> anyhow::Result<()> {
    let fake = Fake::default();
    fake.state().received = vec![7; 20_000];
    let error = send(&fake, &content(45_000), Some(UPLOAD)).await.err().context("an error")?;
    let shown = super::failure::Shown::of(&error).context("shown")?;
    assert_eq!(shown.reason, "DIGEST_MISMATCH");
    Ok(())
}

async fn fetch(fake: &Fake, target: &Path) -> anyhow::Result<download::Fetched> {
    let (server, _stop) = serve(fake).await?;
    let source = Fetchable::Course("sites/main/courses/a".parse()?);
    let progress = Progress::bytes(Output::new(true), "a", 0);
    download::fetch(&server, &source, proto::Container::Zip, target, &progress).await
}

fn holding(bytes: &[u8], etag: &str) -> Fake {
    let fake = Fake::default();
    fake.state().content = bytes.to_vec();
    etag.clone_into(&mut fake.state().etag);
    fake
}

#[tokio::test]
async fn a_download_goes_on_after_a_cut() -> anyhow::Result<()> {
    let bytes = content(45_000);
    let fake = holding(&bytes, "e1");
    fake.state().faults = vec![(2, Status::unavailable("cut"))];
    let folder = tempfile::tempdir()?;
    let target = folder.path().join("a.mbz");
    let fetched = fetch(&fake, &target).await?;
    assert_eq!(fetched.sha256.to_string(), sha256(&bytes));
    assert_eq!(fake.state().begun, [0, 20_000]);
    assert!(std::fs::read(&target)? == bytes);
    assert_eq!(std::fs::read_dir(folder.path())?.count(), 1, "no partial file stays");
    Ok(())
}

#[tokio::test]
async fn a_partial_file_is_continued_or_started_over() -> anyhow::Result<()> {
    let bytes = content(45_000);
    let folder = tempfile::tempdir()?;
    let target = folder.path().join("a.mbz");
    for (etag, begun) in [("e1", vec![12_345]), ("older", vec![0])] {
        let fake = holding(&bytes, "e1");
        fake.state().told = sha256(&bytes);
        std::fs::write(folder.path().join("a.mbz.part"), &bytes[..12_345])?;
        std::fs::write(folder.path().join("a.mbz.part.etag"), etag)?;
        let fetched = fetch(&fake, &target).await?;
        assert!(fetched.verified);
        assert!(std::fs::read(&target)? == bytes);
        assert_eq!(fake.state().begun, begun, "{etag}");
        std::fs::remove_file(&target)?;
    }
    Ok(())
}

#[tokio::test]
async fn bytes_that_are_not_what_the_server_says_get_no_name() -> anyhow::Result<()> {
    let bytes = content(45_000);
    let fake = holding(&bytes, "e1");
    fake.state().told = sha256(b"other");
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("a.mbz.part"), &bytes[..10_000])?;
    std::fs::write(folder.path().join("a.mbz.part.etag"), "e1")?;
    let error = fetch(&fake, &folder.path().join("a.mbz")).await.err().context("an error")?;
    assert!(format!("{error:#}").contains("SHA-256"), "{error:#}");
    assert_eq!(std::fs::read_dir(folder.path())?.count(), 0);
    Ok(())
}
