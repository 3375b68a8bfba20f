//! Fetching an archive or a course into a file: `FILE.part` grows, `FILE.part.etag` says of which bytes, and a later call
//! or a cut connection goes on from there. The file gets its name only when its size and, where known, its SHA-256 are right.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};
use tokio::fs::{self, File, OpenOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_stream::{Stream, StreamExt};
use tonic::{Code, Status};

use crate::digest;
use crate::proto::{self, download_archive_response, download_course_response};

use super::client::Server;
use super::names::Fetchable;
use super::progress::Progress;
use super::retry::{Retries, is_cut};

/// A file that was fetched.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256, taken of what was written.
    pub sha256: digest::Sha256,
    /// Whether the server told the SHA-256 too; it was the same.
    pub verified: bool,
    /// Bytes that an earlier call had left.
    pub resumed_from: u64,
}

/// The messages of a download, whatever is downloaded.
enum Part {
    Header(proto::DownloadHeader),
    Chunk(proto::Chunk),
    Finish(proto::DownloadFinish),
}

type Parts = std::pin::Pin<Box<dyn Stream<Item = Result<Part, Status>> + Send>>;

/// A partial file and what is known of it.
struct Partial {
    path: PathBuf,
    etag_path: PathBuf,
    file: File,
    size: u64,
    hasher: Sha256,
    etag: String,
    total: u64,
    told: Option<String>,
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

impl Partial {
    /// What an earlier call left for `target`, or an empty file.
    async fn open(target: &Path) -> io::Result<Self> {
        let path = beside(target, ".part");
        let etag_path = beside(target, ".part.etag");
        let etag = match fs::read_to_string(&etag_path).await {
            Ok(etag) => etag.trim().to_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(etag.is_empty())
            .open(&path)
            .await?;
        let (hasher, size) = (Sha256::new(), 0);
        let mut partial = Self { path, etag_path, file, size, hasher, etag, total: 0, told: None };
        partial.read_what_is_there().await?;
        Ok(partial)
    }

    async fn read_what_is_there(&mut self) -> io::Result<()> {
        let mut bytes = vec![0; 1 << 20];
        loop {
            match self.file.read(&mut bytes).await? {
                0 => return Ok(()),
                read => {
                    self.hasher.update(&bytes[..read]);
                    self.size += read as u64;
                }
            }
        }
    }

    /// Forgets everything: the server has other bytes now.
    async fn start_over(&mut self) -> io::Result<()> {
        self.file = File::create(&self.path).await?;
        remove(&self.etag_path).await?;
        (self.hasher, self.size, self.etag, self.told) = (Sha256::new(), 0, String::new(), None);
        Ok(())
    }

    async fn header(&mut self, header: proto::DownloadHeader) -> anyhow::Result<()> {
        self.total = u64::try_from(header.size_bytes)?;
        if !header.sha256.is_empty() {
            self.told = Some(header.sha256);
        }
        if header.etag != self.etag {
            if self.size > 0 {
                bail!("the server sends other bytes than those that were asked for");
            }
            fs::write(&self.etag_path, &header.etag).await?;
            self.etag = header.etag;
        }
        Ok(())
    }

    async fn chunk(&mut self, chunk: &proto::Chunk) -> anyhow::Result<()> {
        if u64::try_from(chunk.offset)? != self.size {
            bail!("a chunk for position {} arrived at position {}", chunk.offset, self.size);
        }
        if chunk.crc32.is_some_and(|crc32| crc32 != crc32fast::hash(&chunk.data)) {
            bail!("a chunk was altered on the way (CRC-32), at position {}", chunk.offset);
        }
        self.file.write_all(&chunk.data).await?;
        self.hasher.update(&chunk.data);
        self.size += chunk.data.len() as u64;
        Ok(())
    }

    /// Checks the whole and gives it its name.
    async fn complete(mut self, target: &Path) -> anyhow::Result<Fetched> {
        let sha256 = digest::Sha256(self.hasher.clone().finalize().into());
        if self.size != self.total {
            bail!("got {} bytes of {}", self.size, self.total);
        }
        if let Some(told) = &self.told
            && *told != sha256.to_string()
        {
            // Going on from these bytes could never end well.
            remove(&self.path).await?;
            remove(&self.etag_path).await?;
            bail!("SHA-256 is {sha256}, the server says {told}; the partial file was removed");
        }
        self.file.flush().await?;
        self.file.sync_all().await?;
        fs::rename(&self.path, target).await?;
        remove(&self.etag_path).await?;
        Ok(Fetched { size: self.size, sha256, verified: self.told.is_some(), resumed_from: 0 })
    }
}

async fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Fetches `source` into the file `target`.
pub async fn fetch(
    server: &Server,
    source: &Fetchable,
    container: proto::Container,
    target: &Path,
    progress: &Progress,
) -> anyhow::Result<Fetched> {
    let mut partial = Partial::open(target).await.with_context(|| target.display().to_string())?;
    let resumed_from = partial.size;
    let mut retries = Retries::default();
    loop {
        let before = partial.size;
        match receive(server, source, container, &mut partial, progress).await {
            Ok(()) => break,
            Err(error) => {
                // What arrived must be in the file before it is gone on with.
                partial.file.flush().await?;
                let Some(status) = error.downcast_ref::<Status>() else { return Err(error) };
                if matches!(status.code(), Code::FailedPrecondition | Code::OutOfRange) && before > 0 {
                    partial.start_over().await?;
                } else if !is_cut(status) {
                    return Err(error);
                }
                if partial.size > before {
                    retries.moved();
                }
                retries.pause(status.clone()).await?;
            }
        }
    }
    let fetched = partial.complete(target).await.with_context(|| target.display().to_string())?;
    Ok(Fetched { resumed_from: resumed_from.min(fetched.size), ..fetched })
}

/// One call, from where the partial file ends.
async fn receive(
    server: &Server,
    source: &Fetchable,
    container: proto::Container,
    partial: &mut Partial,
    progress: &Progress,
) -> anyhow::Result<()> {
    let mut parts = open(server, source, container, partial).await?;
    while let Some(part) = parts.next().await {
        match part? {
            Part::Header(header) => {
                partial.header(header).await?;
                progress.set_total(partial.total);
                progress.set(partial.size);
            }
            Part::Chunk(chunk) => {
                partial.chunk(&chunk).await?;
                progress.set(partial.size);
            }
            Part::Finish(finish) => {
                // The digest is that of this call's bytes only when they are the whole.
                if !finish.sha256.is_empty() && u64::try_from(finish.sent_bytes)? == partial.size {
                    partial.told = Some(finish.sha256);
                }
                return Ok(());
            }
        }
    }
    Err(Status::unavailable("the stream ended before its last message").into())
}

async fn open(
    server: &Server,
    source: &Fetchable,
    container: proto::Container,
    partial: &Partial,
) -> anyhow::Result<Parts> {
    let offset = i64::try_from(partial.size)?;
    let (container, if_etag) = (container.into(), partial.etag.clone());
    let name = match source {
        Fetchable::Archive(name) => {
            let name = name.to_string();
            let request = proto::DownloadArchiveRequest { name, container, offset, limit: 0, if_etag };
            let stream = server.backups().download_archive(request).await?.into_inner();
            return Ok(Box::pin(stream.map(|message| part(message?.part.map(Part::from)))));
        }
        Fetchable::Course(name) => name.to_string(),
        Fetchable::Revision(name) => name.to_string(),
    };
    let request = proto::DownloadCourseRequest { name, container, offset, limit: 0, if_etag };
    let stream = server.courses().download_course(request).await?.into_inner();
    Ok(Box::pin(stream.map(|message| part(message?.part.map(Part::from)))))
}

fn part(part: Option<Part>) -> Result<Part, Status> {
    part.ok_or_else(|| Status::internal("a message of a kind that this client does not know"))
}

macro_rules! part_from {
    ($module:ident) => {
        impl From<$module::Part> for Part {
            fn from(part: $module::Part) -> Self {
                match part {
                    $module::Part::Header(header) => Self::Header(header),
                    $module::Part::Chunk(chunk) => Self::Chunk(chunk),
                    $module::Part::Finish(finish) => Self::Finish(finish),
                }
            }
        }
    };
}
part_from!(download_archive_response);
part_from!(download_course_response);
