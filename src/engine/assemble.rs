//! Streaming archives and courses out: from a tree to the bytes of a container, from any offset, without
//! recompressing anything.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use sha2::{Digest as _, Sha256 as Hasher};
use tokio::sync::mpsc;

use super::error::Error;
use super::read::ContentReader;
use super::{Engine, Place};
use crate::archive::{Container, Layout, Piece};
use crate::course::TreeRef;
use crate::digest::{Digest, Sha256};
use crate::ids::ArchiveName;
use crate::reason::Reason;

/// Bytes sent at once.
const CHUNK: usize = 256 << 10;

/// Chunks on the way at once.
const IN_FLIGHT: usize = 8;

/// A receiver that takes no chunk for so long has gone, or wants to hold on to our memory.
const STALL: Duration = Duration::from_secs(300);

/// Which bytes of a stream are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// The first one.
    pub offset: u64,
    /// At most this many; none: to the end.
    pub limit: Option<u64>,
    /// Only if the stream is still the one with this etag.
    pub if_etag: Option<String>,
}

/// A stream of bytes on its way out.
pub struct Download {
    /// Size of the whole stream in bytes.
    pub size: u64,
    /// SHA-256 of the whole stream, when it is known.
    pub sha256: Option<Sha256>,
    /// Identifies the stream's bytes.
    pub etag: String,
    /// A name for the file.
    pub file_name: String,
    /// The container.
    pub container: Container,
    /// The chunks, or why they end early.
    pub chunks: mpsc::Receiver<Result<Outgoing, Error>>,
}

/// A part of a download.
pub enum Outgoing {
    /// Bytes and their position in the whole stream.
    Chunk(u64, Bytes),
    /// The end: how many bytes were sent, and the SHA-256 if they are the whole stream.
    End(u64, Option<Sha256>),
}

/// What a download is made of.
pub(super) struct Source {
    pub place: Place,
    pub tree: TreeRef,
    pub container: Container,
    pub file_name: String,
    pub sha256: Option<Sha256>,
    /// Where the SHA-256 is kept once it is known.
    pub archive: Option<ArchiveName>,
}

impl Engine {
    /// Lays a tree out and starts streaming it.
    pub(super) async fn stream_out(&self, source: Source, range: Range) -> Result<Download, Error> {
        let etag = etag(&source);
        if range.if_etag.as_ref().is_some_and(|wanted| *wanted != etag) {
            return Err(Error::new(Reason::EtagMismatch, "the bytes are not those of the earlier download")
                .with("etag", &etag));
        }
        let tree = Arc::new(self.load_tree(&source.place, &source.tree).await?);
        let layout = Layout::new(tree, source.container)
            .map_err(|error| Error::new(error.reason(), error.to_string()))?;
        let size = layout.size();
        if range.offset > size {
            return Err(Error::new(
                Reason::OffsetOutOfRange,
                format!("offset {} is beyond the end at {size}", range.offset),
            )
            .with("sizeBytes", &size));
        }
        let end = range.limit.map_or(size, |limit| size.min(range.offset.saturating_add(limit)));
        let (sender, chunks) = mpsc::channel(IN_FLIGHT);
        let (container, sha256, file_name) = (source.container, source.sha256, source.file_name.clone());
        let outflow = Outflow {
            reader: self.reader(&source.place)?,
            engine: self.clone(),
            layout: Arc::new(layout),
            sender,
            pending: BytesMut::with_capacity(CHUNK),
            position: range.offset,
            end,
            start: range.offset,
            hasher: (range.offset == 0 && end == size && sha256.is_none()).then(Hasher::new),
            known: sha256,
        };
        tokio::spawn(outflow.run(source));
        Ok(Download { size, sha256, etag, file_name, container, chunks })
    }
}

impl Engine {
    async fn keep_form_sha256(
        &self,
        name: &ArchiveName,
        container: Container,
        sha256: &Sha256,
    ) -> Result<(), Error> {
        let mut tx = self.catalog.begin().await?;
        tx.set_form_sha256(&name.site, &name.archive, container, sha256).await?;
        Ok(tx.commit().await?)
    }
}

/// The bytes of a form follow from tree and container alone.
fn etag(source: &Source) -> String {
    let container = match source.container {
        Container::Zip => "zip",
        Container::TarGz => "tgz",
    };
    format!(
        "\"{}-{container}\"",
        Digest::of(source.tree.root.to_string().as_bytes()).to_string().split_at(32).0
    )
}

/// The receiver is gone: nobody wants the rest.
struct Gone;

struct Outflow {
    engine: Engine,
    reader: ContentReader,
    layout: Arc<Layout>,
    sender: mpsc::Sender<Result<Outgoing, Error>>,
    pending: BytesMut,
    /// Position of the first pending byte.
    position: u64,
    start: u64,
    end: u64,
    /// Of a stream that is sent whole and whose digest is not known.
    hasher: Option<Hasher>,
    known: Option<Sha256>,
}

impl Outflow {
    async fn run(mut self, source: Source) {
        match self.send_all().await {
            Ok(Ok(())) => self.finish(source).await,
            Ok(Err(Gone)) => {}
            // The receiver may be gone as well; then nobody is left to be told.
            Err(error) => drop(self.sender.send(Err(error)).await),
        }
    }

    async fn finish(mut self, source: Source) {
        let whole = self.start == 0 && self.end == self.layout.size();
        let computed = self.hasher.take().map(|hasher| Sha256(hasher.finalize().into()));
        if let (Some(sha256), Some(archive)) = (computed, &source.archive)
            && let Err(error) = self.engine.keep_form_sha256(archive, source.container, &sha256).await
        {
            tracing::warn!(error = error.chain(), "the digest of a form could not be kept");
        }
        let sha256 = if whole { computed.or(self.known) } else { None };
        drop(self.sender.send(Ok(Outgoing::End(self.end - self.start, sha256))).await);
    }

    async fn send_all(&mut self) -> Result<Result<(), Gone>, Error> {
        let layout = Arc::clone(&self.layout);
        let mut produced = self.position;
        for piece in layout.pieces(self.position) {
            if produced >= self.end {
                break;
            }
            match piece {
                Piece::Literal(bytes) => {
                    produced += bytes.len() as u64;
                    self.pending.extend_from_slice(&bytes);
                }
                Piece::Content { entry, range } => {
                    produced += range.end - range.start;
                    if let Err(gone) = self.send_content(entry, range).await? {
                        return Ok(Err(gone));
                    }
                }
            }
            if self.pending.len() >= CHUNK
                && let Err(gone) = self.flush().await
            {
                return Ok(Err(gone));
            }
        }
        Ok(self.flush().await)
    }

    /// Sends a range of an encoded content: small pieces are gathered, large ones go as they are.
    async fn send_content(
        &mut self,
        entry: usize,
        range: std::ops::Range<u64>,
    ) -> Result<Result<(), Gone>, Error> {
        let layout = Arc::clone(&self.layout);
        let entries = layout.tree().entries();
        let content = &entries[entry].content;
        if !self.reader.is_located(content) {
            self.reader.locate(entries[entry..].iter().map(|entry| &entry.content)).await?;
        }
        let mut offset = range.start;
        while offset < range.end {
            let mut bytes = self.reader.encoded(content, offset).await?;
            bytes.truncate(usize::try_from(range.end - offset).unwrap_or(usize::MAX).min(bytes.len()));
            offset += bytes.len() as u64;
            while !bytes.is_empty() {
                if self.pending.is_empty() && bytes.len() >= CHUNK {
                    if let Err(gone) = self.send(bytes.split_to(CHUNK)).await {
                        return Ok(Err(gone));
                    }
                    continue;
                }
                let room = CHUNK.saturating_sub(self.pending.len());
                self.pending.extend_from_slice(&bytes.split_to(room.min(bytes.len())));
                if self.pending.len() >= CHUNK
                    && let Err(gone) = self.flush().await
                {
                    return Ok(Err(gone));
                }
            }
        }
        Ok(Ok(()))
    }

    async fn flush(&mut self) -> Result<(), Gone> {
        let bytes = std::mem::replace(&mut self.pending, BytesMut::with_capacity(CHUNK)).freeze();
        self.send(bytes).await
    }

    async fn send(&mut self, mut bytes: Bytes) -> Result<(), Gone> {
        bytes.truncate(
            usize::try_from(self.end.saturating_sub(self.position)).unwrap_or(usize::MAX).min(bytes.len()),
        );
        if bytes.is_empty() {
            return Ok(());
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&bytes);
        }
        let position = self.position;
        self.position += bytes.len() as u64;
        let sent = self.sender.send(Ok(Outgoing::Chunk(position, bytes)));
        match tokio::time::timeout(STALL, sent).await {
            Ok(sent) => sent.map_err(|_| Gone),
            Err(_) => {
                tracing::info!(position, "a download is given up: its receiver takes nothing");
                Err(Gone)
            }
        }
    }
}

/// The sizes of the byte streams in which a tree can be fetched.
pub(super) fn form_sizes(tree: &Arc<crate::course::Tree>) -> HashMap<Container, u64> {
    [Container::Zip, Container::TarGz]
        .into_iter()
        .filter_map(|container| Some((container, Layout::new(Arc::clone(tree), container).ok()?.size())))
        .collect()
}
