//! A folder as object store: what is acknowledged is on the disk, and a crash leaves nothing half written in sight.
//!
//! Reading, listing and deleting are object_store's own. Writing is ours, because its upload to a folder cannot start the
//! write-back early (a large pack would be written to the disk only at its end, while everybody waits), and because its
//! temporary files lie between the objects, where a crash leaves them for ever. Here they lie in `staging/`.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path as FilePath, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use tokio::task::JoinHandle;

use crate::clock::Timestamp;

const STAGING: &str = "staging";
/// Written bytes after which the write-back of a file is started.
const FLUSH_BYTES: u64 = 32 << 20;
/// Attempts to move a file into a folder that others may remove because it is empty.
const PUBLISH_ATTEMPTS: usize = 8;

/// Objects as files below a folder.
#[derive(Debug)]
pub(super) struct FolderStore {
    root: PathBuf,
    files: LocalFileSystem,
}

impl FolderStore {
    /// The store below `root`, which is made where it is missing.
    pub(super) fn open(root: &FilePath) -> io::Result<Self> {
        std::fs::create_dir_all(root.join(STAGING))?;
        let root = root.canonicalize()?;
        sync_folder(&root)?;
        let files = LocalFileSystem::new_with_prefix(&root)?.with_fsync(true).with_automatic_cleanup(true);
        Ok(Self { root, files })
    }

    /// The folder.
    pub(super) fn root(&self) -> &FilePath {
        &self.root
    }

    fn stage(&self, location: &Path) -> Result<Arc<Staged>> {
        let path = self.root.join(STAGING).join(uuid::Uuid::now_v7().to_string());
        let file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(fault)?;
        Ok(Arc::new(Staged {
            file,
            path,
            target: self.files.path_to_filesystem(location)?,
            root: self.root.clone(),
            unflushed: AtomicU64::new(0),
            is_flushing: AtomicBool::new(false),
            flushes: Mutex::default(),
            is_published: AtomicBool::new(false),
        }))
    }
}

/// Removes temporary files that were last written before `before`: their writers died. Returns how many.
pub(super) fn remove_unfinished(root: &FilePath, before: Timestamp) -> io::Result<u64> {
    let mut removed = 0;
    for file in std::fs::read_dir(root.join(STAGING))? {
        let file = file?;
        let age = file.metadata().and_then(|meta| meta.modified());
        let written = match age {
            Ok(time) => time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if Timestamp::default().plus(written) < before {
            match std::fs::remove_file(file.path()) {
                Ok(()) => removed += 1,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(removed)
}

fn fault(error: io::Error) -> Error {
    Error::Generic { store: "folder", source: error.into() }
}

fn sync_folder(path: &FilePath) -> io::Result<()> {
    File::open(path)?.sync_all()
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await?.map_err(fault)
}

/// A file that is being written and not in sight yet. Removed when dropped before it is published.
#[derive(Debug)]
struct Staged {
    file: File,
    path: PathBuf,
    target: PathBuf,
    root: PathBuf,
    unflushed: AtomicU64,
    is_flushing: AtomicBool,
    /// Every flush that was started. Each is waited for: an error of the disk is told to one caller only.
    flushes: Mutex<Vec<JoinHandle<io::Result<()>>>>,
    is_published: AtomicBool,
}

impl Staged {
    fn write(&self, payload: &PutPayload, mut offset: u64) -> io::Result<()> {
        for piece in payload {
            self.file.write_all_at(piece, offset)?;
            offset += piece.len() as u64;
        }
        Ok(())
    }

    /// Starts the write-back in the background when enough was written, so that the last sync is short.
    fn flush_early(self: &Arc<Self>, written: u64) {
        let unflushed = self.unflushed.fetch_add(written, Ordering::Relaxed) + written;
        if unflushed < FLUSH_BYTES || self.is_flushing.swap(true, Ordering::AcqRel) {
            return;
        }
        self.unflushed.store(0, Ordering::Relaxed);
        let staged = Arc::clone(self);
        let flush = tokio::task::spawn_blocking(move || {
            let result = staged.file.sync_data();
            staged.is_flushing.store(false, Ordering::Release);
            result
        });
        self.flushes.lock().unwrap_or_else(PoisonError::into_inner).push(flush);
    }

    async fn publish(self: Arc<Self>) -> Result<PutResult> {
        let flushes = std::mem::take(&mut *self.flushes.lock().unwrap_or_else(PoisonError::into_inner));
        for flush in flushes {
            flush.await?.map_err(fault)?;
        }
        blocking(move || {
            self.file.sync_all()?;
            self.move_to_target()?;
            // From the innermost folder up to the root, so that no folder made just now is lost with the file in it.
            for folder in self.target.ancestors().skip(1).take_while(|folder| folder.starts_with(&self.root))
            {
                sync_folder(folder)?;
            }
            Ok(())
        })
        .await?;
        Ok(PutResult { e_tag: None, version: None, extensions: Default::default() })
    }

    /// Whoever deletes the last object of a folder removes the folder, too: between its making and the move, perhaps.
    fn move_to_target(&self) -> io::Result<()> {
        let parent = self.target.parent().unwrap_or(&self.root);
        let attempt =
            || std::fs::create_dir_all(parent).and_then(|()| std::fs::rename(&self.path, &self.target));
        let mut result = attempt();
        for _ in 1..PUBLISH_ATTEMPTS {
            if !result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
                break;
            }
            result = attempt();
        }
        self.is_published.store(result.is_ok(), Ordering::Release);
        result
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.is_published.load(Ordering::Acquire) {
            // Best effort: what stays is removed with other leftovers of `staging/`.
            drop(std::fs::remove_file(&self.path));
        }
    }
}

/// An object that is written part by part.
#[derive(Debug)]
struct FolderUpload {
    staged: Option<Arc<Staged>>,
    offset: u64,
}

fn aborted() -> Error {
    fault(io::Error::other("the upload has ended"))
}

#[async_trait]
impl MultipartUpload for FolderUpload {
    fn put_part(&mut self, payload: PutPayload) -> UploadPart {
        let Some(staged) = self.staged.clone() else {
            return futures::future::ready(Err(aborted())).boxed();
        };
        let offset = self.offset;
        let size = payload.content_length() as u64;
        self.offset += size;
        async move {
            let writer = Arc::clone(&staged);
            blocking(move || writer.write(&payload, offset)).await?;
            staged.flush_early(size);
            Ok(())
        }
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.staged.take().ok_or_else(aborted)?.publish().await
    }

    async fn abort(&mut self) -> Result<()> {
        let staged = self.staged.take().ok_or_else(aborted)?;
        blocking(move || {
            drop(staged);
            Ok(())
        })
        .await
    }
}

impl fmt::Display for FolderStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "folder {}", self.root.display())
    }
}

#[async_trait]
impl ObjectStore for FolderStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        if options.mode != PutMode::Overwrite || !options.attributes.is_empty() {
            return self.files.put_opts(location, payload, options).await;
        }
        let staged = self.stage(location)?;
        let writer = Arc::clone(&staged);
        blocking(move || writer.write(&payload, 0)).await?;
        staged.publish().await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Ok(Box::new(FolderUpload { staged: Some(self.stage(location)?), offset: 0 }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.files.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.files.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.files.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.files.copy_opts(from, to, options).await
    }
}
