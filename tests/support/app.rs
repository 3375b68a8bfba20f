//! A real server for tests: in this process, on a port of its own, with real clients.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use coursevault::app::App;
use coursevault::clock::SystemClock;
use coursevault::config::Config;
use coursevault::proto::admin_service_client::AdminServiceClient;
use coursevault::proto::backup_service_client::BackupServiceClient;
use coursevault::proto::course_service_client::CourseServiceClient;
use coursevault::proto::job_service_client::JobServiceClient;
use coursevault::proto::restore_service_client::RestoreServiceClient;
use coursevault::proto::transfer_service_client::TransferServiceClient;
use coursevault::proto::*;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// What a test returns: whatever goes wrong fails it with its own words.
pub type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// The parent of everything in the default site.
pub const SITE: &str = "sites/main";

/// A running server.
pub struct TestApp {
    channel: Channel,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), coursevault::app::AppError>>,
}

/// Bytes as a client announces them.
pub fn sha256(bytes: &[u8]) -> String {
    coursevault::digest::Sha256(Sha256::digest(bytes).into()).to_string()
}

impl TestApp {
    /// A server on SQLite and a folder below `data_dir`.
    pub async fn embedded(data_dir: &Path) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Self::start(Config::embedded(data_dir.to_path_buf())).await
    }

    /// A server of any configuration.
    pub async fn start(config: Config) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let app = Box::pin(App::build(config, Arc::new(SystemClock))).await?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(Box::pin(app.serve(listener, async {
            // A dropped sender stops the server as well.
            let _ = stopped.await;
        })));
        let channel = Endpoint::from_shared(format!("http://{address}"))?.connect().await?;
        Ok(Self { channel, stop, serving })
    }

    /// Stops the server as SIGTERM does, and waits for its end.
    pub async fn stop(self) -> Outcome {
        drop(self.channel);
        drop(self.stop);
        Ok(self.serving.await??)
    }

    /// A connection to the server.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// A client.
    pub fn backup(&self) -> BackupServiceClient<Channel> {
        BackupServiceClient::new(self.channel())
    }

    /// A client.
    pub fn restore(&self) -> RestoreServiceClient<Channel> {
        RestoreServiceClient::new(self.channel())
    }

    /// A client.
    pub fn transfer(&self) -> TransferServiceClient<Channel> {
        TransferServiceClient::new(self.channel())
    }

    /// A client.
    pub fn courses(&self) -> CourseServiceClient<Channel> {
        CourseServiceClient::new(self.channel())
    }

    /// A client.
    pub fn jobs(&self) -> JobServiceClient<Channel> {
        JobServiceClient::new(self.channel())
    }

    /// A client.
    pub fn admin(&self) -> AdminServiceClient<Channel> {
        AdminServiceClient::new(self.channel())
    }

    /// Uploads an archive in one call.
    pub async fn upload(&self, bytes: &[u8]) -> Result<UploadArchiveResponse, Status> {
        let finish = UploadFinish { size_bytes: bytes.len() as i64, sha256: sha256(bytes) };
        self.upload_parts(bytes, finish, "").await
    }

    /// Uploads an archive in one call with any finish.
    pub async fn upload_parts(
        &self,
        bytes: &[u8],
        finish: UploadFinish,
        request_id: &str,
    ) -> Result<UploadArchiveResponse, Status> {
        use upload_archive_request::Part;
        let header = UploadHeader {
            parent: SITE.into(),
            file_name: "archive.mbz".into(),
            request_id: request_id.into(),
            ..UploadHeader::default()
        };
        let chunks = chunks(bytes, 0, 100_000).into_iter().map(Part::Chunk);
        let parts: Vec<_> = std::iter::once(Part::Header(header))
            .chain(chunks)
            .chain([Part::Finish(finish)])
            .map(|part| UploadArchiveRequest { part: Some(part) })
            .collect();
        let answer = self.restore().upload_archive(tokio_stream::iter(parts)).await?;
        Ok(answer.into_inner())
    }

    /// Waits for a job's end.
    pub async fn wait(&self, job: Option<Job>) -> Result<Job, Status> {
        let name = job.ok_or_else(|| Status::internal("no job in the answer"))?.name;
        let ended = self.jobs().wait_job(WaitJobRequest { name, timeout: None }).await?;
        ended.into_inner().job.ok_or_else(|| Status::internal("no job in the answer"))
    }

    /// Downloads a range of an archive; answers with the header and the bytes.
    pub async fn download(
        &self,
        request: DownloadArchiveRequest,
    ) -> Result<(DownloadHeader, Vec<u8>, DownloadFinish), Status> {
        use download_archive_response::Part;
        let mut expected = request.offset;
        let mut stream = self.backup().download_archive(request).await?.into_inner();
        let (mut header, mut bytes, mut finish) = (None, Vec::new(), None);
        while let Some(message) = stream.message().await? {
            match message.part {
                Some(Part::Header(part)) => header = Some(part),
                Some(Part::Chunk(chunk)) => {
                    assert_eq!(chunk.offset, expected, "chunks come in order");
                    assert_eq!(chunk.crc32, Some(crc32fast::hash(&chunk.data)));
                    expected += chunk.data.len() as i64;
                    bytes.extend_from_slice(&chunk.data);
                }
                Some(Part::Finish(part)) => finish = Some(part),
                None => return Err(Status::internal("an empty message")),
            }
        }
        header
            .zip(finish)
            .map(|(header, finish)| (header, bytes, finish))
            .ok_or_else(|| Status::internal("cut"))
    }

    /// Downloads a course.
    pub async fn download_course(&self, name: &str, container: Container) -> Result<Vec<u8>, Status> {
        use download_course_response::Part;
        let request = DownloadCourseRequest {
            name: name.into(),
            container: container.into(),
            ..DownloadCourseRequest::default()
        };
        let mut stream = self.courses().download_course(request).await?.into_inner();
        let mut bytes = Vec::new();
        while let Some(message) = stream.message().await? {
            if let Some(Part::Chunk(chunk)) = message.part {
                bytes.extend_from_slice(&chunk.data);
            }
        }
        Ok(bytes)
    }

    /// What the default site holds.
    pub async fn report(&self) -> Result<StorageUse, Status> {
        let request = GetStorageReportRequest { parent: SITE.into() };
        let report = self.admin().get_storage_report(request).await?.into_inner();
        Ok(report.storages.into_iter().next().unwrap_or_default())
    }

    /// All archives of the default site, deleted ones too, page by page.
    pub async fn archives(&self) -> Result<Vec<Archive>, Status> {
        let mut all = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = ListArchivesRequest {
                parent: SITE.into(),
                page_token,
                page_size: 7,
                show_deleted: true,
                ..ListArchivesRequest::default()
            };
            let page = self.backup().list_archives(Request::new(request)).await?.into_inner();
            all.extend(page.archives);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(all);
            }
        }
    }
}

/// Bytes as chunks of a size, from an offset on.
pub fn chunks(bytes: &[u8], from: usize, size: usize) -> Vec<Chunk> {
    let offsets = (from..bytes.len()).step_by(size);
    offsets
        .map(|offset| {
            let data = Bytes::copy_from_slice(&bytes[offset..bytes.len().min(offset + size)]);
            Chunk { offset: offset as i64, crc32: Some(crc32fast::hash(&data)), data }
        })
        .collect()
}
