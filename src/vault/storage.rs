//! One storage: packs, upload pieces, journal segments and the probe, by typed keys.
//!
//! Objects are written once under names of their own and never changed. Nothing here locks, counts or compares on the
//! storage: widely used servers ignore such conditions without an error.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload};

use super::config::StorageConfig;
use super::error::VaultError;
use super::footer::{self, HEADER_BYTES, PackFooter, TRAILER_BYTES};
use super::journal::{self, JournalEvent, SegmentId};
use super::key::VaultKey;
use super::measured::MeasuredStore;
use super::pack::PackWriter;
use crate::clock::Timestamp;
use crate::ids::{PackId, SiteId, UploadId};

/// Bytes that are read from the end of a pack at first: enough for the footer of 680 items.
const TAIL_BYTES: u64 = 64 << 10;
/// After so long a health probe has failed.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// A storage that was opened. Cheap to clone.
#[derive(Clone)]
pub struct Storage {
    name: Arc<str>,
    store: Arc<dyn ObjectStore>,
    folder: Option<Arc<PathBuf>>,
}

/// A pack as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedPack {
    /// Its id.
    pub pack: PackId,
    /// Its size in bytes.
    pub size: u64,
    /// When it was finished, by the storage's clock.
    pub modified: Timestamp,
}

/// A piece of an upload as a listing shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedPart {
    /// Where it begins in the upload, in bytes.
    pub offset: u64,
    /// Its size in bytes.
    pub size: u64,
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Storage").field("name", &self.name).finish_non_exhaustive()
    }
}

pub(super) fn path(key: &VaultKey) -> Path {
    Path::from(key.to_string())
}

impl Storage {
    /// Opens the storage of that name. Touches the disk for a folder, and no network.
    pub fn open(name: &impl fmt::Display, config: &StorageConfig) -> Result<Self, VaultError> {
        let opened = config.open(name)?;
        let folder = opened.folder.map(Arc::new);
        let name: Arc<str> = name.to_string().into();
        let store = MeasuredStore::over(opened.store, Arc::clone(&name));
        Ok(Self { name, store, folder })
    }

    /// The storage's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    #[cfg(any(test, feature = "testing"))]
    pub(super) fn with_store(&self, store: Arc<dyn ObjectStore>) -> Self {
        Self { name: Arc::clone(&self.name), store, folder: self.folder.clone() }
    }

    /// Bytes of a pack that are best read at once: a folder answers at once, and what is read of it should stay in
    /// the processor's cache until it is sent; a bucket takes some 20 ms for an answer of any size.
    pub fn block_bytes(&self) -> u64 {
        if self.folder.is_some() { 512 << 10 } else { 2 << 20 }
    }

    /// A writer of new packs for a site. Nothing is written before it gets an item.
    pub fn pack_writer(&self, site: &SiteId) -> PackWriter {
        PackWriter::new(self.clone(), site.clone())
    }

    /// Some bytes of a pack, in one request. A range beyond its end is [`VaultError::Corrupt`]: ranges come from footers.
    pub async fn read_pack(
        &self,
        site: &SiteId,
        pack: &PackId,
        range: Range<u64>,
    ) -> Result<Bytes, VaultError> {
        self.read_range(&VaultKey::pack(site, pack), range).await
    }

    /// The table of contents of a pack. Asks for its size and reads its end: two requests, three for a pack of many items.
    pub async fn pack_footer(&self, site: &SiteId, pack: &PackId) -> Result<PackFooter, VaultError> {
        let key = VaultKey::pack(site, pack);
        // Not a request for "the last 64 KiB", which would be one less: servers fail when there are not so many.
        let meta = self.store.head(&path(&key)).await;
        let size = meta.map_err(|error| VaultError::from_store("read", &key, error))?.size;
        let Some(trailer_at) = size.checked_sub(TRAILER_BYTES).filter(|at| *at >= HEADER_BYTES) else {
            return Err(VaultError::corrupt(&key, "it is too short for a pack"));
        };
        let tail_at = size.saturating_sub(TAIL_BYTES);
        let tail = self.read_range(&key, tail_at..size).await?;
        let damaged = |error: super::Malformed| error.in_object(&key);
        // Neither index can be out of bounds: the tail holds a header's and a trailer's bytes at least.
        let cut = |at: u64| usize::try_from(at - tail_at).unwrap_or(tail.len());
        if tail_at == 0 {
            footer::decode_header(&tail[..cut(HEADER_BYTES)]).map_err(damaged)?;
        }
        let trailer = footer::decode_trailer(&tail[cut(trailer_at)..], size).map_err(damaged)?;
        let footer_at = trailer_at - trailer.footer_bytes;
        let bytes = if footer_at >= tail_at {
            tail.slice(cut(footer_at)..cut(trailer_at))
        } else {
            self.read_range(&key, footer_at..trailer_at).await?
        };
        footer::decode_footer(&bytes, &trailer, size).map_err(damaged)
    }

    /// All finished packs of a site, oldest first.
    pub async fn list_packs(&self, site: &SiteId) -> Result<Vec<ListedPack>, VaultError> {
        let mut packs = self
            .list(&VaultKey::packs_of(site), |key, meta| match key {
                VaultKey::Pack { pack, .. } => {
                    let modified = Timestamp::from_millis(meta.last_modified.timestamp_millis());
                    Some(ListedPack { pack, size: meta.size, modified })
                }
                _ => None,
            })
            .await?;
        packs.sort_by(|a, b| a.pack.cmp(&b.pack));
        Ok(packs)
    }

    /// Removes a pack. One that is not there is no error.
    pub async fn delete_pack(&self, site: &SiteId, pack: &PackId) -> Result<(), VaultError> {
        self.delete(&VaultKey::pack(site, pack)).await
    }

    /// Keeps a piece of an upload. Durable when it returns; the same piece again is the same.
    pub async fn put_part(
        &self,
        site: &SiteId,
        upload: &UploadId,
        offset: u64,
        bytes: Bytes,
    ) -> Result<(), VaultError> {
        let key = VaultKey::UploadPart { site: site.clone(), upload: upload.clone(), offset };
        self.write(&key, bytes).await
    }

    /// The whole piece of an upload that begins at `offset` and has `size` bytes. Another size is [`VaultError::Corrupt`].
    pub async fn read_part(
        &self,
        site: &SiteId,
        upload: &UploadId,
        offset: u64,
        size: u64,
    ) -> Result<Bytes, VaultError> {
        let key = VaultKey::UploadPart { site: site.clone(), upload: upload.clone(), offset };
        let bytes = self.read_whole(&key, size).await?;
        if bytes.len() as u64 == size {
            Ok(bytes)
        } else {
            Err(VaultError::corrupt(&key, format!("it has {} bytes and not {size}", bytes.len())))
        }
    }

    /// All pieces of an upload, by offset.
    pub async fn list_parts(&self, site: &SiteId, upload: &UploadId) -> Result<Vec<ListedPart>, VaultError> {
        let mut parts = self
            .list(&VaultKey::parts_of(site, upload), |key, meta| match key {
                VaultKey::UploadPart { offset, .. } => Some(ListedPart { offset, size: meta.size }),
                _ => None,
            })
            .await?;
        parts.sort_by_key(|part| part.offset);
        Ok(parts)
    }

    /// Removes all pieces of an upload. None is no error.
    pub async fn delete_parts(&self, site: &SiteId, upload: &UploadId) -> Result<(), VaultError> {
        let prefix = VaultKey::parts_of(site, upload);
        let found = self.store.list(Some(&Path::from(prefix.as_str()))).map_ok(|meta| meta.location).boxed();
        self.store
            .delete_stream(found)
            .filter_map(|result| async {
                match result {
                    Ok(_) | Err(object_store::Error::NotFound { .. }) => None,
                    Err(error) => Some(VaultError::from_store("delete", &prefix, error)),
                }
            })
            .collect::<Vec<_>>()
            .await
            .into_iter()
            .next()
            .map_or(Ok(()), Err)
    }

    /// Appends a segment to a site's journal. Durable when it returns; the same segment again is the same.
    pub async fn append_journal(
        &self,
        site: &SiteId,
        segment: &SegmentId,
        events: &[JournalEvent],
    ) -> Result<(), VaultError> {
        let key = VaultKey::Journal { site: site.clone(), segment: *segment };
        let bytes = journal::encode_segment(site, events).map_err(|error| error.in_object(&key))?;
        self.write(&key, bytes.into()).await
    }

    /// The segments of a site's journal, oldest first.
    pub async fn list_journal(&self, site: &SiteId) -> Result<Vec<SegmentId>, VaultError> {
        let mut segments = self
            .list(&VaultKey::journal_of(site), |key, _| match key {
                VaultKey::Journal { segment, .. } => Some(segment),
                _ => None,
            })
            .await?;
        segments.sort();
        Ok(segments)
    }

    /// The events of a segment of a site's journal.
    pub async fn read_journal(
        &self,
        site: &SiteId,
        segment: &SegmentId,
    ) -> Result<Vec<JournalEvent>, VaultError> {
        let key = VaultKey::Journal { site: site.clone(), segment: *segment };
        let bytes = self.read_whole(&key, journal::MAX_SEGMENT_BYTES as u64).await?;
        journal::decode_segment(site, &bytes).map_err(|error| error.in_object(&key))
    }

    /// Removes a segment of a site's journal, once its events stand in another one. One that is not there is no error.
    pub async fn delete_journal(&self, site: &SiteId, segment: &SegmentId) -> Result<(), VaultError> {
        self.delete(&VaultKey::Journal { site: site.clone(), segment: *segment }).await
    }

    /// Upload sessions of a site of which there are pieces, each with the time of the newest by the storage's clock.
    pub async fn list_uploads(&self, site: &SiteId) -> Result<BTreeMap<UploadId, Timestamp>, VaultError> {
        let pieces = self
            .list(&format!("uploads/{site}"), |key, meta| match key {
                VaultKey::UploadPart { upload, .. } => {
                    Some((upload, Timestamp::from_millis(meta.last_modified.timestamp_millis())))
                }
                _ => None,
            })
            .await?;
        let mut newest = BTreeMap::new();
        for (upload, time) in pieces {
            let known = newest.entry(upload).or_insert(time);
            *known = time.max(*known);
        }
        Ok(newest)
    }

    /// Sites of which there is a pack or a segment of the journal.
    pub async fn list_sites(&self) -> Result<BTreeSet<SiteId>, VaultError> {
        let mut sites = BTreeSet::new();
        for prefix in ["packs", "journal"] {
            let listed = self.store.list_with_delimiter(Some(&Path::from(prefix))).await;
            let listed = listed.map_err(|error| VaultError::from_store("list", &prefix, error))?;
            sites.extend(listed.common_prefixes.iter().filter_map(|path| path.filename()?.parse().ok()));
        }
        Ok(sites)
    }

    /// Says that a deployment stores here, and which others it took over from. A claim without others leaves one that is there
    /// as it is, for that may name some.
    pub async fn claim(&self, deployment: uuid::Uuid, replaced: &[uuid::Uuid]) -> Result<(), VaultError> {
        let key = VaultKey::Deployment { id: deployment };
        if replaced.is_empty() && self.deployments().await?.contains(&deployment) {
            return Ok(());
        }
        let lines: Vec<String> = replaced.iter().map(ToString::to_string).collect();
        self.write(&key, lines.join("\n").into()).await
    }

    /// Deployments that store here, without those from which another one took over.
    pub async fn claims(&self) -> Result<BTreeSet<uuid::Uuid>, VaultError> {
        let mut claims = self.deployments().await?;
        for id in claims.clone() {
            let bytes = self.read_whole(&VaultKey::Deployment { id }, 64 << 10).await?;
            let lines = String::from_utf8_lossy(&bytes).into_owned();
            for replaced in lines.lines().filter_map(|line| uuid::Uuid::try_parse(line).ok()) {
                claims.remove(&replaced);
            }
        }
        Ok(claims)
    }

    /// Deployments of which a claim lies here.
    async fn deployments(&self) -> Result<BTreeSet<uuid::Uuid>, VaultError> {
        let found = self.list("deployments", |key, _| match key {
            VaultKey::Deployment { id } => Some(id),
            _ => None,
        });
        Ok(found.await?.into_iter().collect())
    }

    /// Whether the storage works: a small object is written, read and deleted. Takes 10 seconds at most.
    pub async fn check(&self) -> Result<(), VaultError> {
        let id = uuid::Uuid::now_v7();
        let key = VaultKey::Probe { id };
        let probe = async {
            self.write(&key, Bytes::copy_from_slice(id.as_bytes())).await?;
            let read = self.read_whole(&key, id.as_bytes().len() as u64).await;
            self.delete(&key).await?;
            if read?.as_ref() == id.as_bytes() {
                Ok(())
            } else {
                Err(VaultError::corrupt(&key, "it reads otherwise than it was written"))
            }
        };
        tokio::time::timeout(PROBE_TIMEOUT, probe).await.unwrap_or_else(|elapsed| {
            Err(VaultError::Unavailable { operation: "probe", key: key.to_string(), source: elapsed.into() })
        })
    }

    /// Bytes that a folder has room for; a bucket does not tell.
    pub fn free_bytes(&self) -> Option<u64> {
        let folder = self.folder.as_ref()?;
        let told = rustix::fs::statvfs(folder.as_path()).ok()?;
        Some(told.f_bavail.saturating_mul(told.f_frsize))
    }

    /// Removes what writers that died left behind unfinished, if it was last written before `before`. Returns how many
    /// files went. Only a folder shows its leftovers; a bucket needs a lifecycle rule for unfinished uploads.
    pub async fn remove_unfinished(&self, before: Timestamp) -> Result<u64, VaultError> {
        let Some(folder) = self.folder.clone() else { return Ok(0) };
        let removed =
            tokio::task::spawn_blocking(move || super::folder::remove_unfinished(&folder, before)).await;
        let unavailable = |source: super::error::Cause| VaultError::Unavailable {
            operation: "sweep",
            key: "staging".into(),
            source,
        };
        removed.map_err(|error| unavailable(error.into()))?.map_err(|error| unavailable(error.into()))
    }

    pub(super) async fn write(&self, key: &VaultKey, bytes: Bytes) -> Result<(), VaultError> {
        let result = self.store.put(&path(key), PutPayload::from_bytes(bytes)).await;
        result.map(drop).map_err(|error| VaultError::from_store("write", key, error))
    }

    pub(super) async fn delete(&self, key: &VaultKey) -> Result<(), VaultError> {
        match self.store.delete(&path(key)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(VaultError::from_store("delete", key, error)),
        }
    }

    /// An object that is at most `limit` bytes long.
    async fn read_whole(&self, key: &VaultKey, limit: u64) -> Result<Bytes, VaultError> {
        let failed = |error| VaultError::from_store("read", key, error);
        let result = self.store.get(&path(key)).await.map_err(failed)?;
        if result.meta.size > limit {
            let what = format!("it has {} bytes, over {limit}", result.meta.size);
            return Err(VaultError::corrupt(key, what));
        }
        result.bytes().await.map_err(failed)
    }

    /// Reads up to `size` bytes of a pack from `offset`: fewer where the pack ends. Beyond its end it is an error.
    pub async fn read_pack_block(
        &self,
        site: &SiteId,
        pack: &PackId,
        offset: u64,
        size: u64,
    ) -> Result<Bytes, VaultError> {
        let key = VaultKey::pack(site, pack);
        match self.store.get_range(&path(&key), offset..offset.saturating_add(size)).await {
            Ok(bytes) if !bytes.is_empty() => Ok(bytes),
            Ok(_) => Err(VaultError::corrupt(&key, format!("it ends before byte {offset}"))),
            Err(error) => Err(self.explain(&key, error, offset + 1).await),
        }
    }

    async fn read_range(&self, key: &VaultKey, range: Range<u64>) -> Result<Bytes, VaultError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let bytes = match self.store.get_range(&path(key), range.clone()).await {
            Ok(bytes) => bytes,
            Err(error) => return Err(self.explain(key, error, range.end).await),
        };
        if bytes.len() as u64 == range.end - range.start {
            Ok(bytes)
        } else {
            Err(VaultError::corrupt(key, format!("it ends before byte {}", range.end)))
        }
    }

    /// Tells an object that is too short for a range from a storage that fails: both come as the same error.
    async fn explain(&self, key: &VaultKey, error: object_store::Error, end: u64) -> VaultError {
        let failed = VaultError::from_store("read", key, error);
        if !failed.is_retryable() {
            return failed;
        }
        match self.store.head(&path(key)).await {
            Ok(meta) if meta.size < end => VaultError::corrupt(key, format!("it ends before byte {end}")),
            _ => failed,
        }
    }

    async fn list<T>(
        &self,
        prefix: &str,
        pick: impl Fn(VaultKey, &ObjectMeta) -> Option<T>,
    ) -> Result<Vec<T>, VaultError> {
        let mut found = Vec::new();
        let mut objects = self.store.list(Some(&Path::from(prefix)));
        while let Some(meta) = objects.next().await {
            let meta = meta.map_err(|error| VaultError::from_store("list", &prefix, error))?;
            match VaultKey::parse(meta.location.as_ref()).and_then(|key| pick(key, &meta)) {
                Some(item) => found.push(item),
                None => {
                    tracing::warn!(storage = %self.name, key = %meta.location, "an object that is not ours");
                }
            }
        }
        Ok(found)
    }
}
