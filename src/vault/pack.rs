//! Writing packs: items are appended as they come, packs are closed at 64 MiB, and nothing counts before `finish`.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::error::VaultError;
use super::footer::{self, HEADER_BYTES, PackItem, PackedItem};
use super::key::VaultKey;
use super::parts::{self, Parts};
use super::storage::Storage;
use crate::ids::{PackId, SiteId};

/// A pack of this size or more is closed after the item that it holds then.
const PACK_BYTES: u64 = 64 << 20;
/// Packs that are made durable in the background at a time.
const CLOSING_PACKS: usize = 2;

/// A pack that is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenPack {
    /// Its id.
    pub pack: PackId,
    /// Its size in bytes.
    pub size: u64,
    /// Its items by ascending offset.
    pub items: Vec<PackedItem>,
}

struct OpenPack {
    pack: PackId,
    parts: Parts,
    items: Vec<PackedItem>,
}

/// Writes items into new packs of one site. Holds at most about 15 MiB of them in memory: calls wait for the storage.
///
/// Items come whole ([`put`](Self::put)) or in pieces ([`begin`](Self::begin), [`append`](Self::append), then
/// [`end`](Self::end) or [`discard`](Self::discard)). They are durable when [`finish`](Self::finish) returns, and not
/// before. After an error, or when the future of a call was dropped half-way, only [`abort`](Self::abort) is left. A
/// writer that is dropped leaves unfinished objects that nobody sees, and packs that nothing names.
pub struct PackWriter {
    storage: Storage,
    site: SiteId,
    room: Arc<Semaphore>,
    open: Option<OpenPack>,
    /// Where the item that comes in pieces begins in the open pack.
    item_start: Option<u64>,
    closing: JoinSet<Result<WrittenPack, VaultError>>,
    written: Vec<WrittenPack>,
    /// Packs that may be there, to be removed on abort.
    begun: Vec<VaultKey>,
    is_broken: bool,
}

impl std::fmt::Debug for PackWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PackWriter")
            .field("storage", &self.storage)
            .field("site", &self.site)
            .finish_non_exhaustive()
    }
}

impl PackWriter {
    pub(super) fn new(storage: Storage, site: SiteId) -> Self {
        Self {
            storage,
            site,
            room: parts::room(),
            open: None,
            item_start: None,
            closing: JoinSet::new(),
            written: Vec::new(),
            begun: Vec::new(),
            is_broken: false,
        }
    }

    /// Appends an item that is in memory. `encoded` is its content in the encoding that `item` names.
    pub async fn put(&mut self, item: PackItem, encoded: Bytes) -> Result<(), VaultError> {
        self.enter(false)?;
        if encoded.len() as u64 != item.content.encoded_size {
            return Err(VaultError::Misuse("an item has another size than its description"));
        }
        let open = self.open_pack();
        let offset = open.parts.size();
        open.parts.append(encoded).await?;
        open.items.push(PackedItem { item, offset });
        self.close_if_full().await?;
        self.leave();
        Ok(())
    }

    /// Begins an item whose bytes come in pieces, and whose description is known only after the last.
    pub async fn begin(&mut self) -> Result<(), VaultError> {
        self.enter(false)?;
        self.item_start = Some(self.open_pack().parts.size());
        self.leave();
        Ok(())
    }

    /// Appends a piece of the item that was begun.
    pub async fn append(&mut self, encoded: Bytes) -> Result<(), VaultError> {
        self.enter(true)?;
        self.open_pack().parts.append(encoded).await?;
        self.leave();
        Ok(())
    }

    /// Ends the item that was begun: its pieces are what `item` describes.
    pub async fn end(&mut self, item: PackItem) -> Result<(), VaultError> {
        self.enter(true)?;
        let offset = self.item_start.take().unwrap_or(HEADER_BYTES);
        let open = self.open_pack();
        if open.parts.size() - offset != item.content.encoded_size {
            return Err(VaultError::Misuse("an item has another size than its description"));
        }
        open.items.push(PackedItem { item, offset });
        self.close_if_full().await?;
        self.leave();
        Ok(())
    }

    /// Drops the item that was begun. Bytes that were sent already stay in the pack, and no footer names them; a pack
    /// that would hold nothing else is given up.
    pub async fn discard(&mut self) -> Result<(), VaultError> {
        self.enter(true)?;
        let start = self.item_start.take().unwrap_or(HEADER_BYTES);
        let open = self.open_pack();
        let is_clean = open.parts.truncate(start) == start;
        if open.items.is_empty() && !is_clean {
            self.give_up_open_pack().await;
        }
        self.close_if_full().await?;
        self.leave();
        Ok(())
    }

    /// Ends the last pack and waits until all packs are durable. Without any item there is none. After an error nothing
    /// of what this writer wrote counts; it is removed as far as possible.
    pub async fn finish(mut self) -> Result<Vec<WrittenPack>, VaultError> {
        match self.try_finish().await {
            Ok(()) => {
                self.written.sort_by(|a, b| a.pack.cmp(&b.pack));
                Ok(self.written)
            }
            Err(error) => {
                self.abort().await;
                Err(error)
            }
        }
    }

    async fn try_finish(&mut self) -> Result<(), VaultError> {
        self.enter(false)?;
        self.close_open_pack().await?;
        while let Some(closed) = self.closing.join_next().await {
            self.pack_ended(closed)?;
        }
        self.leave();
        Ok(())
    }

    /// Removes all that was written, as far as possible. Waits for packs that are being finished, so it may take as long
    /// as the storage takes to fail.
    pub async fn abort(mut self) {
        self.give_up_open_pack().await;
        // Not cut short: a pack that is being finished could appear after it was removed.
        while self.closing.join_next().await.is_some() {}
        for key in &self.begun {
            if let Err(error) = self.storage.delete(key).await {
                tracing::debug!(%key, %error, "a pack that nothing names could not be removed");
            }
        }
    }

    /// Every call breaks the writer until it is done, so that no error and no dropped future goes unnoticed.
    fn enter(&mut self, is_inside_item: bool) -> Result<(), VaultError> {
        if self.is_broken {
            return Err(VaultError::Misuse("the pack writer failed before"));
        }
        self.is_broken = true;
        match (self.item_start.is_some(), is_inside_item) {
            (true, false) => Err(VaultError::Misuse("the item that was begun must end first")),
            (false, true) => Err(VaultError::Misuse("no item was begun")),
            _ => Ok(()),
        }
    }

    fn leave(&mut self) {
        self.is_broken = false;
    }

    fn open_pack(&mut self) -> &mut OpenPack {
        self.open.get_or_insert_with(|| {
            let pack = PackId::generate();
            let key = VaultKey::pack(&self.site, &pack);
            let parts = Parts::new(
                Arc::clone(self.storage.store()),
                key,
                Arc::clone(&self.room),
                Bytes::copy_from_slice(&footer::encode_header()),
            );
            OpenPack { pack, parts, items: Vec::new() }
        })
    }

    async fn give_up_open_pack(&mut self) {
        if let Some(open) = self.open.take() {
            open.parts.abort().await;
        }
    }

    async fn close_if_full(&mut self) -> Result<(), VaultError> {
        let is_full =
            |open: &OpenPack| open.parts.size() >= PACK_BYTES || open.items.len() >= footer::MAX_ITEMS;
        if self.open.as_ref().is_some_and(is_full) { self.close_open_pack().await } else { Ok(()) }
    }

    /// Ends the open pack. It becomes durable in the background while the next one is filled.
    async fn close_open_pack(&mut self) -> Result<(), VaultError> {
        let Some(OpenPack { pack, mut parts, items }) = self.open.take_if(|open| !open.items.is_empty())
        else {
            self.give_up_open_pack().await;
            return Ok(());
        };
        while self.closing.len() >= CLOSING_PACKS {
            if let Some(closed) = self.closing.join_next().await {
                self.pack_ended(closed)?;
            }
        }
        self.begun.push(parts.key().clone());
        self.closing.spawn(async move {
            parts.append(footer::encode_footer(&items).into()).await?;
            let size = parts.size();
            parts.complete().await?;
            Ok(WrittenPack { pack, size, items })
        });
        Ok(())
    }

    fn pack_ended(
        &mut self,
        closed: Result<Result<WrittenPack, VaultError>, tokio::task::JoinError>,
    ) -> Result<(), VaultError> {
        let pack = closed.map_err(|error| VaultError::Unavailable {
            operation: "finish",
            key: VaultKey::packs_of(&self.site),
            source: error.into(),
        })??;
        self.written.push(pack);
        Ok(())
    }
}
