//! Reading contents and trees from the vault, with few and large requests.

use std::collections::{HashMap, VecDeque};
use std::io::Write;

use bytes::Bytes;
use flate2::write::DeflateDecoder;

use super::error::Error;
use super::{Engine, Place};
use crate::catalog::Location;
use crate::course::{ContentRef, Encoding, Entry, Tree, TreeRef};
use crate::digest::Digest;
use crate::ids::PackId;
use crate::limits::Limits;
use crate::reason::Reason;
use crate::vault::{Storage, VaultError, tree as blocks};

/// Bytes read at once where a few documents are wanted and not their neighbours.
const SMALL_BLOCK: u64 = 256 << 10;

/// Blocks kept by one reader.
const BLOCKS: usize = 6;

/// Contents looked up in the catalog at once.
const LOOK_AHEAD: usize = 500;

/// Reads encoded contents of one site from one storage. Small contents that were stored together are read together, in
/// blocks of packs; a few of these are kept, so memory is bounded.
pub struct ContentReader {
    engine: Engine,
    storage: Storage,
    place: Place,
    located: HashMap<(Digest, u64), Location>,
    block_bytes: u64,
    blocks: VecDeque<(PackId, u64, Bytes)>,
    /// The block behind the last one, on its way when blocks are read in order.
    ahead: Option<Ahead>,
}

/// A block that is read while the one before it is used.
struct Ahead {
    pack: PackId,
    base: u64,
    reading: tokio::task::JoinHandle<Result<Bytes, VaultError>>,
}

impl ContentReader {
    /// Looks up where contents lie, before they are read.
    pub async fn locate(&mut self, contents: impl Iterator<Item = &ContentRef>) -> Result<(), Error> {
        let wanted: Vec<(Digest, u64)> = contents
            .map(|content| (content.digest, content.form))
            .filter(|key| !self.located.contains_key(key))
            .take(LOOK_AHEAD)
            .collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let found = self.engine.catalog.locate(&self.place.site, &self.place.storage, &wanted).await?;
        if self.located.len() > 8 * LOOK_AHEAD {
            self.located.clear();
        }
        self.located.extend(found);
        Ok(())
    }

    /// Whether [`Self::locate`] must be called before this content is read.
    pub fn is_located(&self, content: &ContentRef) -> bool {
        self.located.contains_key(&(content.digest, content.form))
    }

    /// Bytes of the encoded form of a content, from `offset`: at least one, at most up to the end of a block.
    pub async fn encoded(&mut self, content: &ContentRef, offset: u64) -> Result<Bytes, Error> {
        if !self.is_located(content) {
            self.locate(std::iter::once(content)).await?;
        }
        let Some(location) = self.located.get(&(content.digest, content.form)) else {
            return Err(lost(content));
        };
        let location = location.clone();
        let mut position = location.offset + offset;
        let (base, block) = match self.block(&location.pack, position).await {
            // Its pack may have been rewritten since it was looked up.
            Err(error) if error.reason == Reason::StorageCorrupt => {
                let moved = self.moved(content, &location).await?.ok_or(error)?;
                position = moved.offset + offset;
                self.block(&moved.pack, position).await?
            }
            read => read?,
        };
        let from = usize::try_from(position - base).unwrap_or(usize::MAX);
        let count = usize::try_from(content.encoded_size - offset).unwrap_or(usize::MAX);
        if from >= block.len() {
            return Err(lost(content));
        }
        Ok(block.slice(from..block.len().min(from.saturating_add(count))))
    }

    /// Where a content lies now, if that is in another pack than before.
    async fn moved(&mut self, content: &ContentRef, before: &Location) -> Result<Option<Location>, Error> {
        self.located.clear();
        self.locate(std::iter::once(content)).await?;
        let now = self.located.get(&(content.digest, content.form));
        Ok(now.filter(|now| now.pack != before.pack).cloned())
    }

    /// The block of a pack that holds `position`.
    async fn block(&mut self, pack: &PackId, position: u64) -> Result<(u64, Bytes), Error> {
        let base = position / self.block_bytes * self.block_bytes;
        let kept = |(kept, start, bytes): &&(PackId, u64, Bytes)| {
            kept == pack && *start == base && position - base < bytes.len() as u64
        };
        if let Some((_, start, bytes)) = self.blocks.iter().find(kept) {
            return Ok((*start, bytes.clone()));
        }
        let awaited = self.ahead.take_if(|ahead| ahead.pack == *pack && ahead.base == base);
        let bytes = match awaited {
            Some(ahead) => ahead.reading.await.map_err(|error| {
                Error::new(Reason::Internal, "reading a block failed unexpectedly").caused_by(error)
            })??,
            None => self.storage.read_pack_block(&self.place.site, pack, base, self.block_bytes).await?,
        };
        let in_order = self
            .blocks
            .back()
            .is_some_and(|(last, start, _)| last == pack && start + self.block_bytes == base);
        if in_order && bytes.len() as u64 == self.block_bytes {
            self.read_ahead(pack, base + self.block_bytes);
        }
        if self.blocks.len() == BLOCKS {
            self.blocks.pop_front();
        }
        self.blocks.push_back((pack.clone(), base, bytes.clone()));
        Ok((base, bytes))
    }

    /// Begins to read a block that is probably wanted next. One behind the end of the pack fails, and nobody asks for it.
    fn read_ahead(&mut self, pack: &PackId, base: u64) {
        let (storage, site, wanted, size) =
            (self.storage.clone(), self.place.site.clone(), pack.clone(), self.block_bytes);
        let reading = tokio::spawn(async move { storage.read_pack_block(&site, &wanted, base, size).await });
        self.ahead = Some(Ahead { pack: pack.clone(), base, reading });
    }

    /// A whole content, decoded and checked against its digest. For documents and tree blocks.
    pub async fn whole(&mut self, content: &ContentRef, limit: u64) -> Result<Vec<u8>, Error> {
        if content.size > limit {
            return Err(lost(content));
        }
        let mut decoder = Decoder::new(content);
        let mut out = Vec::with_capacity(usize::try_from(content.size).unwrap_or(0));
        let mut offset = 0;
        while offset < content.encoded_size {
            let piece = self.encoded(content, offset).await?;
            offset += piece.len() as u64;
            for part in parts(piece) {
                out.extend_from_slice(&decoder.decode(&part)?);
                if out.len() as u64 > content.size {
                    return Err(lost(content));
                }
            }
        }
        out.extend_from_slice(&decoder.finish()?);
        Ok(out)
    }
}

/// Deflate data can unpack to a thousand times its size, so it is decoded in small parts.
fn parts(mut encoded: Bytes) -> impl Iterator<Item = Bytes> {
    const PART: usize = 16 << 10;
    std::iter::from_fn(move || (!encoded.is_empty()).then(|| encoded.split_to(PART.min(encoded.len()))))
}

/// Reads one member, decoded and checked.
pub struct MemberReader {
    reader: ContentReader,
    entry: Entry,
    cursor: Cursor,
}

impl MemberReader {
    pub(super) fn new(reader: ContentReader, entry: Entry) -> Self {
        let cursor = Cursor::new(&entry.content);
        Self { reader, entry, cursor }
    }

    /// The member.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// The next bytes, at most 256 KiB. `None`: that was all, and it is what it should be.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        self.cursor.next(&mut self.reader).await
    }
}

/// How far a content was read, decoded and checked, by a reader that may read others in between.
pub(super) struct Cursor {
    content: ContentRef,
    decoder: Option<Decoder>,
    offset: u64,
    encoded: Bytes,
    decoded: Bytes,
}

impl Cursor {
    pub fn new(content: &ContentRef) -> Self {
        let decoder = Some(Decoder::new(content));
        Self { content: *content, decoder, offset: 0, encoded: Bytes::new(), decoded: Bytes::new() }
    }

    /// The next bytes, at most 256 KiB. `None`: that was all, and it is what it should be.
    pub async fn next(&mut self, reader: &mut ContentReader) -> Result<Option<Bytes>, Error> {
        const CHUNK: usize = 256 << 10;
        const PART: usize = 16 << 10;
        while self.decoded.is_empty() {
            let Some(decoder) = self.decoder.as_mut() else { return Ok(None) };
            if self.encoded.is_empty() && self.offset < self.content.encoded_size {
                self.encoded = reader.encoded(&self.content, self.offset).await?;
                self.offset += self.encoded.len() as u64;
            }
            if self.encoded.is_empty() {
                self.decoded = match self.decoder.take() {
                    Some(decoder) => decoder.finish()?,
                    None => Bytes::new(),
                };
            } else {
                let part = match self.content.encoding {
                    Encoding::Stored => CHUNK,
                    Encoding::Deflate => PART,
                };
                self.decoded = decoder.decode(&self.encoded.split_to(part.min(self.encoded.len())))?;
            }
        }
        Ok(Some(self.decoded.split_to(CHUNK.min(self.decoded.len()))))
    }
}

/// Decodes a content piece by piece, and checks it at the end.
struct Decoder {
    content: ContentRef,
    inflate: Option<DeflateDecoder<Vec<u8>>>,
    hasher: blake3::Hasher,
    size: u64,
}

impl Decoder {
    /// A decoder for one content.
    pub fn new(content: &ContentRef) -> Self {
        let inflate = match content.encoding {
            Encoding::Stored => None,
            Encoding::Deflate => Some(DeflateDecoder::new(Vec::new())),
        };
        Self { content: *content, inflate, hasher: blake3::Hasher::new(), size: 0 }
    }

    /// The content that a piece of the encoded form gives.
    pub fn decode(&mut self, encoded: &Bytes) -> Result<Bytes, Error> {
        let plain = match &mut self.inflate {
            None => encoded.clone(),
            Some(inflate) => {
                inflate.write_all(encoded).map_err(|error| lost(&self.content).caused_by(error))?;
                std::mem::take(inflate.get_mut()).into()
            }
        };
        Ok(self.count(plain))
    }

    /// The rest of the content. [`Reason::StorageCorrupt`] when it is not the content that it should be.
    pub fn finish(mut self) -> Result<Bytes, Error> {
        let rest = match self.inflate.take() {
            None => Bytes::new(),
            Some(inflate) => inflate.finish().map_err(|error| lost(&self.content).caused_by(error))?.into(),
        };
        let rest = self.count(rest);
        if self.size != self.content.size || Digest(*self.hasher.finalize().as_bytes()) != self.content.digest
        {
            return Err(lost(&self.content));
        }
        Ok(rest)
    }

    fn count(&mut self, plain: Bytes) -> Bytes {
        self.hasher.update(&plain);
        self.size += plain.len() as u64;
        plain
    }
}

fn lost(content: &ContentRef) -> Error {
    Error::new(Reason::StorageCorrupt, format!("the content {} is missing or damaged", content.digest))
        .with("digest", &content.digest)
}

impl Engine {
    /// A reader for contents of a site.
    pub(super) fn reader(&self, place: &Place) -> Result<ContentReader, Error> {
        Ok(ContentReader {
            engine: self.clone(),
            storage: self.storage(place)?.clone(),
            place: place.clone(),
            located: HashMap::new(),
            block_bytes: self.storage(place)?.block_bytes(),
            blocks: VecDeque::new(),
            ahead: None,
        })
    }

    /// A reader for one or two documents of a site.
    pub(super) fn document_reader(&self, place: &Place) -> Result<ContentReader, Error> {
        Ok(ContentReader { block_bytes: SMALL_BLOCK, ..self.reader(place)? })
    }

    /// The root of a stored tree: its blocks in order.
    pub(super) async fn tree_root(
        &self,
        reader: &mut ContentReader,
        tree: &TreeRef,
    ) -> Result<Vec<blocks::BlockRef>, Error> {
        let bytes = reader.whole(&plain(tree.root, tree.root_size), MAX_TREE_BYTES).await?;
        Ok(blocks::decode_root(&bytes)?)
    }

    /// The members in one block of a tree.
    pub(super) async fn tree_block(
        &self,
        reader: &mut ContentReader,
        block: &blocks::BlockRef,
        limits: &Limits,
    ) -> Result<Vec<Entry>, Error> {
        let bytes = reader.whole(&plain(block.digest, block.size), MAX_TREE_BYTES).await?;
        Ok(blocks::decode_block(&bytes, limits)?)
    }

    /// Members of a tree after a path, of those that begin with a prefix. Reads only the blocks that hold them.
    pub(super) async fn members_after(
        &self,
        place: &Place,
        tree: &TreeRef,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        let mut reader = self.reader(place)?;
        let limits = self.stored_limits();
        let root = self.tree_root(&mut reader, tree).await?;
        let start = after.map_or(0, |after| blocks_until(&root, after).saturating_sub(1));
        let mut found = Vec::new();
        for block in &root[start..] {
            // The manifest stands before all others, so the first block is not in the order of the rest.
            if !prefix.is_empty()
                && block.first_path.as_str() > prefix
                && !block.first_path.starts_with(prefix)
                && block.first_path != crate::course::MemberPath::MANIFEST
            {
                break;
            }
            let entries = self.tree_block(&mut reader, block, &limits).await?;
            let wanted = |entry: &Entry| {
                let path = entry.path.as_str();
                path.starts_with(prefix) && after.is_none_or(|after| order(path) > order(after))
            };
            found.extend(entries.into_iter().filter(wanted).take(limit - found.len()));
            if found.len() == limit {
                break;
            }
        }
        Ok(found)
    }

    /// A whole stored tree.
    pub(super) async fn load_tree(&self, place: &Place, tree: &TreeRef) -> Result<Tree, Error> {
        let mut reader = self.reader(place)?;
        let limits = self.stored_limits();
        let mut entries = Vec::with_capacity(usize::try_from(tree.members).unwrap_or(0));
        for block in self.tree_root(&mut reader, tree).await? {
            entries.extend(self.tree_block(&mut reader, &block, &limits).await?);
        }
        if entries.len() as u64 != tree.members {
            return Err(
                Error::new(Reason::StorageCorrupt, "a tree has lost members").with("root", &tree.root)
            );
        }
        Ok(Tree::new(entries)?)
    }

    /// The content of one member; reads one block of the tree. `None` when there is no such member.
    pub(super) async fn find_member(
        &self,
        reader: &mut ContentReader,
        tree: &TreeRef,
        path: &str,
    ) -> Result<Option<Entry>, Error> {
        let limits = self.stored_limits();
        let Ok(wanted) = crate::course::MemberPath::parse(path, &limits) else { return Ok(None) };
        let root = self.tree_root(reader, tree).await?;
        let Some(block) = root[..blocks_until(&root, path)].last() else { return Ok(None) };
        let entries = self.tree_block(reader, block, &limits).await?;
        Ok(entries.into_iter().find(|entry| entry.path == wanted))
    }

    /// What is stored was let in under the limits of its time; today's must not lock it away.
    pub(super) fn stored_limits(&self) -> Limits {
        Limits {
            members: u64::MAX,
            path_bytes: usize::MAX,
            path_depth: usize::MAX - 1,
            ..self.limits().clone()
        }
    }
}

/// The key by which paths are ordered in a tree.
fn order(path: &str) -> (bool, &str) {
    (path != crate::course::MemberPath::MANIFEST, path)
}

/// Number of blocks that begin at or before a path.
fn blocks_until(root: &[blocks::BlockRef], path: &str) -> usize {
    root.partition_point(|block| order(&block.first_path) <= order(path))
}

/// A tree's root of a million members has half a megabyte; this bounds what a damaged catalog can ask for.
const MAX_TREE_BYTES: u64 = 256 << 20;

/// The reference of something that is kept as it is.
fn plain(digest: Digest, size: u64) -> ContentRef {
    ContentRef { digest, size, crc32: 0, encoding: Encoding::Stored, encoded_size: size, form: 0 }
}
