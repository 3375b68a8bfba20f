//! One object that is written part by part while its bytes come in, with bounded memory.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::error::VaultError;
use super::key::VaultKey;
use super::storage::path;

/// Size of the first parts in bytes: the least that S3 wants, because each writer has three of them in memory.
const FIRST_PART_BYTES: u64 = 5 << 20;
/// After so many parts the size of a part doubles, so that S3's bound of 10 000 parts allows 302 GiB.
const PARTS_OF_ONE_SIZE: u64 = 2_000;
/// The most parts that S3 allows for an object.
const MAX_PARTS: u64 = 10_000;
/// Pieces below this are copied together: a system call or a frame for each would cost more.
const SMALL_PIECE_BYTES: usize = 32 << 10;

/// Unit of the room for parts that are under way.
const ROOM_UNIT: u64 = 1 << 20;
/// Room for parts that are under way: two of the first size; one larger part may take all of it.
const ROOM_UNITS: u32 = 10;

/// Room for the parts of one writer that are under way, over all its objects.
pub(super) fn room() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(ROOM_UNITS as usize))
}

fn part_bytes(index: u64) -> u64 {
    FIRST_PART_BYTES << (index / PARTS_OF_ONE_SIZE).min(4)
}

/// Bytes that no part took yet. Larger pieces are kept as they came, without copying.
#[derive(Default)]
struct Pieces {
    pieces: Vec<Bytes>,
    small: BytesMut,
    size: u64,
}

impl Pieces {
    fn push(&mut self, bytes: Bytes) {
        self.size += bytes.len() as u64;
        if bytes.len() < SMALL_PIECE_BYTES {
            self.small.extend_from_slice(&bytes);
        } else {
            self.seal();
            self.pieces.push(bytes);
        }
    }

    fn seal(&mut self) {
        if !self.small.is_empty() {
            self.pieces.push(self.small.split().freeze());
        }
    }

    fn truncate(&mut self, size: u64) {
        self.seal();
        while self.size > size {
            let over = self.size - size;
            let Some(mut last) = self.pieces.pop() else { break };
            let length = last.len() as u64;
            if length > over {
                last.truncate(usize::try_from(length - over).unwrap_or(0));
                self.pieces.push(last);
                self.size = size;
            } else {
                self.size -= length;
            }
        }
    }

    fn take(&mut self) -> PutPayload {
        self.seal();
        self.size = 0;
        std::mem::take(&mut self.pieces).into_iter().collect()
    }
}

/// An object that grows. It is not to be seen before [`Self::complete`] returns.
pub(super) struct Parts {
    store: Arc<dyn ObjectStore>,
    key: VaultKey,
    pieces: Pieces,
    /// Bytes that were handed to parts.
    flushed: u64,
    parts: u64,
    upload: Option<Box<dyn MultipartUpload>>,
    under_way: JoinSet<object_store::Result<()>>,
    room: Arc<Semaphore>,
}

impl Parts {
    /// An object that begins with `head`.
    pub(super) fn new(store: Arc<dyn ObjectStore>, key: VaultKey, room: Arc<Semaphore>, head: Bytes) -> Self {
        let mut pieces = Pieces::default();
        pieces.push(head);
        Self { store, key, pieces, flushed: 0, parts: 0, upload: None, under_way: JoinSet::new(), room }
    }

    pub(super) fn key(&self) -> &VaultKey {
        &self.key
    }

    /// Bytes so far.
    pub(super) fn size(&self) -> u64 {
        self.flushed + self.pieces.size
    }

    /// Appends bytes. Waits while too much is under way.
    pub(super) async fn append(&mut self, mut bytes: Bytes) -> Result<(), VaultError> {
        loop {
            let missing = part_bytes(self.parts).saturating_sub(self.pieces.size);
            let missing = usize::try_from(missing).unwrap_or(usize::MAX);
            if bytes.len() < missing {
                self.pieces.push(bytes);
                return Ok(());
            }
            self.pieces.push(bytes.split_to(missing));
            self.flush().await?;
        }
    }

    /// Takes bytes back to a size the object had before. Bytes that a part took stay: returns the new size.
    pub(super) fn truncate(&mut self, size: u64) -> u64 {
        self.pieces.truncate(size.saturating_sub(self.flushed));
        self.size()
    }

    async fn flush(&mut self) -> Result<(), VaultError> {
        while let Some(part) = self.under_way.try_join_next() {
            self.part_ended(part)?;
        }
        if self.parts == MAX_PARTS {
            return Err(VaultError::TooLarge { key: self.key.to_string(), limit_bytes: self.flushed });
        }
        let units = u32::try_from(self.pieces.size.div_ceil(ROOM_UNIT)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(units.clamp(1, ROOM_UNITS)).await;
        let room = room.map_err(|_| VaultError::Misuse("the pack writer has ended"))?;
        let upload = match &mut self.upload {
            Some(upload) => upload,
            None => {
                let upload = self.store.put_multipart(&path(&self.key)).await;
                let upload = upload.map_err(|error| VaultError::from_store("begin", &self.key, error))?;
                self.upload.insert(upload)
            }
        };
        self.flushed += self.pieces.size;
        self.parts += 1;
        let part = upload.put_part(self.pieces.take());
        self.under_way.spawn(async move {
            let result = part.await;
            drop(room);
            result
        });
        Ok(())
    }

    fn part_ended(
        &self,
        part: Result<object_store::Result<()>, tokio::task::JoinError>,
    ) -> Result<(), VaultError> {
        part.map_err(object_store::Error::from)
            .flatten()
            .map_err(|error| VaultError::from_store("write", &self.key, error))
    }

    /// Makes the object durable and visible. Nothing of it is to be seen after an error.
    pub(super) async fn complete(mut self) -> Result<(), VaultError> {
        let result = self.try_complete().await;
        if result.is_err() {
            self.abort().await;
        }
        result
    }

    async fn try_complete(&mut self) -> Result<(), VaultError> {
        if self.upload.is_none() {
            let put = self.store.put(&path(&self.key), self.pieces.take()).await;
            return put.map(drop).map_err(|error| VaultError::from_store("write", &self.key, error));
        }
        if self.pieces.size > 0 {
            self.flush().await?;
        }
        while let Some(part) = self.under_way.join_next().await {
            self.part_ended(part)?;
        }
        match &mut self.upload {
            Some(upload) => {
                let completed = upload.complete().await;
                completed.map(drop).map_err(|error| VaultError::from_store("finish", &self.key, error))
            }
            None => Ok(()),
        }
    }

    /// Gives the object up. Best effort: what stays is not to be seen.
    pub(super) async fn abort(mut self) {
        self.under_way.shutdown().await;
        if let Some(mut upload) = self.upload.take()
            && let Err(error) = upload.abort().await
        {
            tracing::debug!(key = %self.key, %error, "an unfinished object could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_grow_so_that_every_item_fits_ten_thousand() {
        let total: u64 = (0..MAX_PARTS).map(part_bytes).sum();
        assert!(total > crate::limits::Limits::default().content_bytes, "{total}");
        assert_eq!((part_bytes(0), part_bytes(1_999), part_bytes(2_000)), (5 << 20, 5 << 20, 10 << 20));
    }

    #[test]
    fn pieces_truncate_at_every_size() {
        let large = Bytes::from(vec![7; SMALL_PIECE_BYTES]);
        for size in [0, 1, 5, 6, 5 + SMALL_PIECE_BYTES, 8 + SMALL_PIECE_BYTES] {
            let mut pieces = Pieces::default();
            for bytes in [Bytes::from_static(b"first"), large.clone(), Bytes::from_static(b"end")] {
                pieces.push(bytes);
            }
            pieces.truncate(size as u64);
            assert_eq!(pieces.size, size as u64);
            let all = [b"first", &large[..], b"end"].concat();
            assert_eq!(Bytes::from(pieces.take()), all[..size]);
        }
    }
}
