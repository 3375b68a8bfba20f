//! The client of both servers: the same code moves the same bytes.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::{Bytes, BytesMut};
use coursevault::proto::admin_service_client::AdminServiceClient;
use coursevault::proto::backup_service_client::BackupServiceClient;
use coursevault::proto::course_service_client::CourseServiceClient;
use coursevault::proto::job_service_client::JobServiceClient;
use coursevault::proto::transfer_service_client::TransferServiceClient;
use coursevault::proto::*;
use futures::{StreamExt, stream};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};

use super::CHUNK;
use super::container::Container;
use super::course;
use super::process::Process;

const SITE: &str = "sites/main";
const COURSE: &str = "sites/main/courses/large";
const MESSAGE_BYTES: usize = 8 << 20;
const WINDOW_BYTES: u32 = 4 << 20;

/// An archive in memory.
pub struct Loaded {
    pub bytes: Bytes,
    sha256: String,
}

impl Loaded {
    pub fn new(bytes: Vec<u8>) -> Self {
        let sha256 = coursevault::digest::Sha256(Sha256::digest(&bytes).into()).to_string();
        Self { bytes: bytes.into(), sha256 }
    }

    fn chunks(&self) -> impl Iterator<Item = Chunk> + Send + use<> {
        let bytes = self.bytes.clone();
        (0..bytes.len())
            .step_by(CHUNK)
            .map(move |start| chunk(start as u64, bytes.slice(start..bytes.len().min(start + CHUNK))))
    }
}

fn chunk(offset: u64, data: Bytes) -> Chunk {
    Chunk { offset: signed(offset), data, crc32: None }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A connection to one server.
pub struct Client(Channel);

impl Client {
    pub async fn connect(process: &Process) -> anyhow::Result<Self> {
        let endpoint = Endpoint::from_shared(process.url())?
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .tcp_nodelay(true);
        Ok(Self(endpoint.connect().await?))
    }

    fn backups(&self) -> BackupServiceClient<Channel> {
        BackupServiceClient::new(self.0.clone()).max_decoding_message_size(MESSAGE_BYTES)
    }

    /// One-call upload. Answers with the archive's name and the time it took.
    pub async fn upload(&self, archive: &Loaded) -> anyhow::Result<(String, Duration)> {
        use upload_backup_request::Part;
        let finish =
            UploadFinish { size_bytes: signed(archive.bytes.len() as u64), sha256: archive.sha256.clone() };
        let parts = std::iter::once(Part::Header(header()))
            .chain(archive.chunks().map(Part::Chunk))
            .chain([Part::Finish(finish)])
            .map(|part| UploadBackupRequest { part: Some(part) });
        let started = Instant::now();
        let answer = self.backups().upload_backup(stream::iter(parts)).await?.into_inner();
        Ok((answer.archive.unwrap_or_default().name, started.elapsed()))
    }

    /// Makes an archive the state of a course.
    pub async fn publish(&self, archive: &Loaded) -> anyhow::Result<()> {
        let (archive, _) = self.upload(archive).await?;
        let request = PublishRevisionRequest { course: COURSE.into(), archive, ..Default::default() };
        CourseServiceClient::new(self.0.clone()).publish_revision(request).await?;
        Ok(())
    }

    /// A backup of the course without users. Answers with the archive's name.
    pub async fn backup_without_users(&self) -> anyhow::Result<String> {
        let settings = BackupSettings { users: Some(false), ..Default::default() };
        let options = Some(BackupOptions { settings: Some(settings), ..Default::default() });
        let request = CreateBackupRequest { course: COURSE.into(), options, ..Default::default() };
        let job = self.backups().create_backup(request).await?.into_inner().job.unwrap_or_default();
        let mut jobs = JobServiceClient::new(self.0.clone());
        loop {
            let request = WaitJobRequest { name: job.name.clone(), timeout: None };
            let job = jobs.wait_job(request).await?.into_inner().job.unwrap_or_default();
            match job.state() {
                job::State::Succeeded => return Ok(job.result.unwrap_or_default().archive),
                job::State::Failed | job::State::Cancelled => {
                    anyhow::bail!("the backup failed: {:?}", job.problem)
                }
                _ => {}
            }
        }
    }

    /// Downloads an archive as zip to a file.
    pub async fn save(&self, archive: &str, target: &std::path::Path) -> anyhow::Result<()> {
        let request = DownloadArchiveRequest {
            name: archive.to_owned(),
            container: Container::Zip.wire().into(),
            ..Default::default()
        };
        let mut parts = self.backups().download_archive(request).await?.into_inner();
        let mut file = io::BufWriter::with_capacity(CHUNK, std::fs::File::create(target)?);
        while let Some(part) = parts.message().await? {
            if let Some(download_archive_response::Part::Chunk(chunk)) = part.part {
                file.write_all(&chunk.data)?;
            }
        }
        file.flush()?;
        Ok(())
    }

    /// Upload of an archive that is made while it is sent. Answers with the archive's name and its size.
    pub async fn upload_made(
        &self,
        container: Container,
        seed: u64,
        bytes: u64,
    ) -> anyhow::Result<(String, u64)> {
        let (sender, receiver) = mpsc::channel(8);
        let making = tokio::task::spawn_blocking(move || {
            let mut out = Sender { sender, pending: BytesMut::new(), sent: 0, hasher: Sha256::new() };
            out.send(upload_backup_request::Part::Header(header()))?;
            container.write(course::huge(seed, bytes), 0, &mut out)?;
            out.finish()
        });
        let answer = self.backups().upload_backup(ReceiverStream::new(receiver)).await?.into_inner();
        Ok((answer.archive.unwrap_or_default().name, making.await??))
    }

    /// Upload by TransferService, in one stream. Answers with the time until the archive is stored.
    pub async fn transfer(&self, archive: &Loaded) -> anyhow::Result<Duration> {
        use upload_chunks_request::Part;
        let mut transfers =
            TransferServiceClient::new(self.0.clone()).max_decoding_message_size(MESSAGE_BYTES);
        let started = Instant::now();
        let request = StartUploadRequest {
            parent: SITE.into(),
            area: Area::DropZone.into(),
            file_name: "course.mbz".into(),
            ..StartUploadRequest::default()
        };
        let name = transfers.start_upload(request).await?.into_inner().upload.context("no session")?.name;
        let parts = std::iter::once(Part::Name(name.clone())).chain(archive.chunks().map(Part::Chunk));
        let messages = parts.map(|part| UploadChunksRequest { part: Some(part) });
        transfers.upload_chunks(stream::iter(messages)).await?;
        let size_bytes = signed(archive.bytes.len() as u64);
        let finish = FinishUploadRequest { name, size_bytes, sha256: archive.sha256.clone() };
        let finished = transfers.finish_upload(finish).await?.into_inner();
        ensure!(finished.archive.is_some(), "the upload was not stored: {:?}", finished.job);
        Ok(started.elapsed())
    }

    /// Downloads and counts the bytes.
    pub async fn download(&self, name: &str, container: Container) -> anyhow::Result<(u64, Duration)> {
        let request = DownloadArchiveRequest {
            name: name.into(),
            container: container.wire().into(),
            ..DownloadArchiveRequest::default()
        };
        let started = Instant::now();
        let mut messages = self.backups().download_archive(request).await?.into_inner();
        let mut bytes = 0;
        let mut finished = false;
        while let Some(message) = messages.next().await {
            match message?.part {
                Some(download_archive_response::Part::Chunk(chunk)) => bytes += chunk.data.len() as u64,
                Some(download_archive_response::Part::Finish(_)) => finished = true,
                _ => {}
            }
        }
        ensure!(finished, "the download did not finish");
        Ok((bytes, started.elapsed()))
    }

    pub async fn inspect(&self, name: &str) -> anyhow::Result<Duration> {
        let started = Instant::now();
        let request = InspectArchiveRequest { name: name.into() };
        let inspection = self.backups().inspect_archive(request).await?.into_inner().inspection;
        ensure!(inspection.is_some_and(|inspection| !inspection.activities.is_empty()), "nothing inspected");
        Ok(started.elapsed())
    }

    pub async fn stored_bytes(&self) -> anyhow::Result<u64> {
        let request = GetStorageReportRequest { parent: SITE.into() };
        let report = AdminServiceClient::new(self.0.clone()).get_storage_report(request).await?.into_inner();
        Ok(report.storages.iter().map(|storage| u64::try_from(storage.stored_bytes).unwrap_or(0)).sum())
    }
}

fn header() -> UploadHeader {
    UploadHeader {
        parent: SITE.into(),
        area: Area::DropZone.into(),
        file_name: "course.mbz".into(),
        ..UploadHeader::default()
    }
}

/// Turns what is written into chunks of an upload.
struct Sender {
    sender: mpsc::Sender<UploadBackupRequest>,
    pending: BytesMut,
    sent: u64,
    hasher: Sha256,
}

impl Sender {
    fn send(&self, part: upload_backup_request::Part) -> io::Result<()> {
        let message = UploadBackupRequest { part: Some(part) };
        self.sender.blocking_send(message).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn send_chunk(&mut self, size: usize) -> io::Result<()> {
        let data = self.pending.split_to(size).freeze();
        self.hasher.update(&data);
        let offset = self.sent;
        self.sent += data.len() as u64;
        self.send(upload_backup_request::Part::Chunk(chunk(offset, data)))
    }

    fn finish(mut self) -> io::Result<u64> {
        if !self.pending.is_empty() {
            self.send_chunk(self.pending.len())?;
        }
        let sha256 = coursevault::digest::Sha256(self.hasher.finalize_reset().into()).to_string();
        let size_bytes = signed(self.sent);
        self.send(upload_backup_request::Part::Finish(UploadFinish { size_bytes, sha256 }))?;
        Ok(self.sent)
    }
}

impl Write for Sender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pending.extend_from_slice(bytes);
        while self.pending.len() >= CHUNK {
            self.send_chunk(CHUNK)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
