//! Storages to test with, and bytes to put into them.

use std::any::Any;

use anyhow::{Result, ensure};
use bytes::Bytes;
use coursevault::course::{ContentKind, ContentRef};
use coursevault::digest::Digest;
use coursevault::ids::{PackId, SiteId};
use coursevault::vault::{PackItem, PackWriter, Storage, StorageConfig, VaultError, WrittenPack};

use crate::s3_server::S3Server;

pub const MIB: usize = 1 << 20;

/// An empty storage, and what must live as long as it does.
pub struct Fixture {
    pub storage: Storage,
    pub site: SiteId,
    _kept: Box<dyn Any + Send>,
}

impl Fixture {
    fn new(config: &StorageConfig, kept: impl Any + Send) -> Result<Self> {
        let storage = Storage::open(&"test", config)?;
        Ok(Self { storage, site: "main".parse()?, _kept: Box::new(kept) })
    }

    pub async fn memory() -> Result<Self> {
        Self::new(&StorageConfig::memory(), ())
    }

    pub async fn folder() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        Self::new(&StorageConfig::folder(&folder.path().join("vault")), folder)
    }

    pub async fn s3() -> Result<Self> {
        let server = S3Server::start().await?;
        Self::new(&server.config(), server)
    }

    pub async fn packs(&self) -> Result<Vec<(PackId, u64)>> {
        let packs = self.storage.list_packs(&self.site).await?;
        Ok(packs.into_iter().map(|listed| (listed.pack, listed.size)).collect())
    }

    /// A footer that says what the writer said, and items that read back whole.
    pub async fn holds(&self, written: &WrittenPack) -> Result<()> {
        let footer = self.storage.pack_footer(&self.site, &written.pack).await?;
        ensure!(footer.items == written.items && footer.size == written.size, "another footer");
        for packed in &written.items {
            let mut hasher = blake3::Hasher::new();
            let end = packed.offset + packed.item.content.encoded_size;
            let mut at = packed.offset;
            while at < end {
                let next = end.min(at + 8 * MIB as u64);
                hasher.update(&self.storage.read_pack(&self.site, &written.pack, at..next).await?);
                at = next;
            }
            ensure!(hasher.finalize().as_bytes() == &packed.item.content.digest.0, "another content");
        }
        Ok(())
    }
}

/// Bytes that repeat nowhere, the same for the same seed.
pub fn noise(seed: u64, size: usize) -> Bytes {
    let mut out = vec![0; size];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut out);
    out.into()
}

pub fn item(bytes: &[u8]) -> PackItem {
    PackItem::stored(ContentKind::Content, bytes)
}

pub async fn put(writer: &mut PackWriter, bytes: Bytes) -> Result<(), VaultError> {
    writer.put(item(&bytes), bytes).await
}

/// Streams the pieces of an item and describes what was streamed. The item is not ended.
pub async fn stream(writer: &mut PackWriter, seed: u64, pieces: usize) -> Result<PackItem> {
    let (mut hasher, mut crc32, mut size) = (blake3::Hasher::new(), crc32fast::Hasher::new(), 0);
    writer.begin().await?;
    for index in 0..pieces {
        let piece = noise(seed * 1_000_000 + index as u64, MIB / 4);
        hasher.update(&piece);
        crc32.update(&piece);
        size += piece.len() as u64;
        writer.append(piece).await?;
    }
    let content = ContentRef {
        digest: Digest(*hasher.finalize().as_bytes()),
        size,
        crc32: crc32.finalize(),
        encoded_size: size,
        ..item(b"").content
    };
    Ok(PackItem { content, ..item(b"") })
}
