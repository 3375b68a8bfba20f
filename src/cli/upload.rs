//! Sending a file by TransferService: in several streams, going on from what the server has after a cut connection.
//!
//! The file is read once: its SHA-256 is taken of the bytes on their way out. Bytes that are sent again after a cut are not
//! hashed again.

use std::path::Path;

use anyhow::{Context as _, bail};
use bytes::{Bytes, BytesMut};
use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, SeekFrom};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::digest;
use crate::proto::{self, upload_chunks_request::Part};
use crate::reason::Reason;

use super::client::Server;
use super::progress::Progress;
use super::retry::{Retries, is_cut, reason};

/// Bytes of one stream at most: a server that asks for the whole to be sent again after a crash loses no more.
const STREAM_BYTES: u64 = 64 << 20;
/// Bytes of one chunk, when the server takes as many.
const CHUNK_BYTES: u64 = 1 << 20;
/// Chunks read ahead of the network.
const READ_AHEAD: usize = 4;
/// How often to look whether the job that reads the archive is there yet.
const LOOK_FOR_JOB: std::time::Duration = std::time::Duration::from_millis(200);

/// Where an archive is to be kept.
#[derive(Clone, Debug)]
pub struct Place {
    /// `sites/{site}`.
    pub site: String,
    /// Area.
    pub area: proto::Area,
    /// Name of the course it belongs to, or empty.
    pub course: String,
}

/// A local file on its way out.
struct Source {
    file: File,
    size: u64,
    hasher: Sha256,
    hashed: u64,
}

impl Source {
    async fn open(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).await?;
        let meta = file.metadata().await?;
        if !meta.is_file() {
            bail!("not a file");
        }
        Ok(Self { file, size: meta.len(), hasher: Sha256::new(), hashed: 0 })
    }

    /// Reads from `offset` on; bytes that were never read before are hashed first.
    async fn seek(&mut self, offset: u64) -> std::io::Result<()> {
        if offset > self.hashed {
            self.file.seek(SeekFrom::Start(self.hashed)).await?;
            while self.hashed < offset {
                let at = self.hashed;
                self.read(at, (offset - at).min(CHUNK_BYTES)).await?;
            }
        }
        self.file.seek(SeekFrom::Start(offset)).await.map(drop)
    }

    /// The next `size` bytes, which stand at `offset`.
    async fn read(&mut self, offset: u64, size: u64) -> std::io::Result<Bytes> {
        let size = usize::try_from(size).map_err(std::io::Error::other)?;
        let mut bytes = BytesMut::zeroed(size);
        self.file.read_exact(&mut bytes).await?;
        let known = self.hashed.saturating_sub(offset);
        if let Some(new) = usize::try_from(known).ok().and_then(|known| bytes.get(known..)) {
            self.hasher.update(new);
            self.hashed += new.len() as u64;
        }
        Ok(bytes.freeze())
    }

    /// SHA-256 of the whole file.
    async fn sha256(&mut self) -> std::io::Result<digest::Sha256> {
        self.seek(self.size).await?;
        Ok(digest::Sha256(self.hasher.clone().finalize().into()))
    }
}

/// What went wrong in one stream.
enum Broken {
    /// Here: the file cannot be read.
    Here(std::io::Error),
    /// There, or on the way.
    There(Status),
}

/// Sends a file, waits until the server stored it, and answers with what the server says of it.
///
/// `resume`: the session of an earlier run, else a new one is opened.
pub async fn send(
    server: &Server,
    path: &Path,
    place: &Place,
    resume: Option<String>,
    progress: &Progress,
) -> anyhow::Result<proto::FinishUploadResponse> {
    let shown = || path.display().to_string();
    let mut source = Source::open(path).await.with_context(shown)?;
    progress.set_total(source.size);
    let session = match resume {
        Some(name) => get_upload(server, &name).await.with_context(shown)?,
        None => start(server, path, place).await.with_context(shown)?,
    };
    let name = session.upload.name.clone();
    let whole = transfer(server, &mut source, session, progress).await;
    let finished = match whole {
        Ok(()) => finish(server, &mut source, &name, progress).await,
        Err(error) => Err(error),
    };
    finished.with_context(|| format!("{} (upload session {name})", path.display()))
}

/// A session as the server tells it.
struct Session {
    upload: proto::Upload,
    /// Bytes of a chunk: ours, or the server's limit where that is lower.
    chunk_bytes: u64,
}

impl Session {
    fn of(upload: Option<proto::Upload>, max_chunk_bytes: i64) -> Result<Self, Status> {
        let upload = upload.ok_or_else(|| Status::internal("an answer without the session"))?;
        let most = u64::try_from(max_chunk_bytes).ok().filter(|&most| most > 0);
        Ok(Self { upload, chunk_bytes: most.unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES) })
    }
}

async fn start(server: &Server, path: &Path, place: &Place) -> anyhow::Result<Session> {
    let file_name = path.file_name().context("no file name")?.to_string_lossy().into_owned();
    let request = proto::StartUploadRequest {
        parent: place.site.clone(),
        area: place.area.into(),
        course: place.course.clone(),
        file_name,
        request_id: super::client::request_id(),
    };
    let mut retries = Retries::default();
    loop {
        match server.transfers().start_upload(request.clone()).await {
            Ok(answer) => {
                let answer = answer.into_inner();
                return Ok(Session::of(answer.upload, answer.max_chunk_bytes)?);
            }
            Err(status) if is_cut(&status) => retries.pause(status).await?,
            Err(status) => return Err(status.into()),
        }
    }
}

/// Sends what the server lacks, stream after stream.
async fn transfer(
    server: &Server,
    source: &mut Source,
    mut session: Session,
    progress: &Progress,
) -> anyhow::Result<()> {
    let mut retries = Retries::default();
    let mut committed = u64::try_from(session.upload.committed_bytes)?;
    progress.set(committed);
    while committed < source.size && session.upload.state() == proto::upload::State::Open {
        let stream = send_stream(server, source, &session, committed, progress).await;
        let now = match stream {
            Ok(now) => now,
            Err(Broken::Here(error)) => return Err(error.into()),
            Err(Broken::There(status)) => {
                let other = reason(&status).and_then(|text| Reason::parse(&text));
                let again = matches!(other, Some(Reason::UploadBusy | Reason::UploadOffsetMismatch));
                if !again && !is_cut(&status) {
                    return Err(status.into());
                }
                retries.pause(status).await?;
                match get_upload(server, &session.upload.name).await {
                    Ok(fresh) => session = fresh,
                    Err(status) if is_cut(&status) => continue,
                    Err(status) => return Err(status.into()),
                }
                u64::try_from(session.upload.committed_bytes)?
            }
        };
        if now > source.size {
            bail!("the server has {now} bytes of a file of {}", source.size);
        }
        if now > committed {
            retries.moved();
        }
        committed = now;
        progress.set(committed);
    }
    Ok(())
}

/// One stream from `offset` on. Answers with the bytes that the server has then.
async fn send_stream(
    server: &Server,
    source: &mut Source,
    session: &Session,
    offset: u64,
    progress: &Progress,
) -> Result<u64, Broken> {
    source.seek(offset).await.map_err(Broken::Here)?;
    let end = source.size.min(offset + STREAM_BYTES);
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    let (name, chunk_bytes) = (session.upload.name.clone(), session.chunk_bytes);
    let produce = async move {
        let message = |part| proto::UploadChunksRequest { part: Some(part) };
        let mut at = offset;
        // A closed channel means that the call ended; its own answer says why.
        let mut open = sender.send(message(Part::Name(name))).await.is_ok();
        while open && at < end {
            let data = source.read(at, chunk_bytes.min(end - at)).await?;
            let size = data.len() as u64;
            let crc32 = Some(crc32fast::hash(&data));
            let chunk = proto::Chunk { offset: i64::try_from(at).unwrap_or(i64::MAX), data, crc32 };
            open = sender.send(message(Part::Chunk(chunk))).await.is_ok();
            at += size;
            progress.set(at);
        }
        Ok::<(), std::io::Error>(())
    };
    let mut transfers = server.transfers();
    let call = transfers.upload_chunks(ReceiverStream::new(receiver));
    tokio::pin!(produce, call);
    let answer = tokio::select! {
        // An answer before the end of the stream is a refusal: what is left need not be read.
        answer = &mut call => answer,
        produced = &mut produce => {
            produced.map_err(Broken::Here)?;
            call.await
        }
    };
    let committed = answer.map_err(Broken::There)?.into_inner().committed_bytes;
    u64::try_from(committed).map_err(|_| Broken::There(Status::internal("a negative number of bytes")))
}

async fn get_upload(server: &Server, name: &str) -> Result<Session, Status> {
    let answer = server.transfers().get_upload(proto::GetUploadRequest { name: name.to_owned() }).await?;
    let answer = answer.into_inner();
    Session::of(answer.upload, answer.max_chunk_bytes)
}

/// Has the server check and store the archive, and waits for that as long as it takes.
async fn finish(
    server: &Server,
    source: &mut Source,
    name: &str,
    progress: &Progress,
) -> anyhow::Result<proto::FinishUploadResponse> {
    let request = proto::FinishUploadRequest {
        name: name.to_owned(),
        size_bytes: i64::try_from(source.size)?,
        sha256: source.sha256().await?.to_string(),
    };
    let mut retries = Retries::default();
    progress.phase("checking");
    loop {
        let mut transfers = server.transfers();
        let finished = tokio::select! {
            answer = transfers.finish_upload(request.clone()) => answer,
            never = show_reading(server, name, progress) => match never {},
        };
        match finished {
            Ok(answer) => {
                let answer = answer.into_inner();
                if answer.archive.is_some() {
                    return Ok(answer);
                }
                if let Some(job) = &answer.job {
                    super::jobs::check(job)?;
                }
                // The server waited as long as it may; asking again goes on waiting.
                retries.moved();
                retries.pause(Status::deadline_exceeded("the server did not finish")).await?;
            }
            Err(status) if is_cut(&status) => retries.pause(status).await?,
            Err(status) => return Err(status.into()),
        }
    }
}

/// Shows how far the job is that reads the archive. Never ends: whoever waits for the answer stops it.
async fn show_reading(server: &Server, name: &str, progress: &Progress) -> std::convert::Infallible {
    let job = loop {
        tokio::time::sleep(LOOK_FOR_JOB).await;
        if let Ok(Session { upload, .. }) = get_upload(server, name).await
            && !upload.job.is_empty()
        {
            break upload.job;
        }
    };
    if let Ok(stream) = server.jobs().watch_job(proto::WatchJobRequest { name: job }).await {
        let mut stream = stream.into_inner();
        while let Some(Ok(message)) = stream.next().await {
            if let Some(job) = message.job {
                progress.phase(&super::jobs::phase(&job));
            }
        }
    }
    std::future::pending().await
}

/// Size of a local file in bytes, 0 when it cannot be told; the upload itself reports what is wrong.
pub fn local_size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |meta| meta.len())
}
