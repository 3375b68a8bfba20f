//! Second half of reading an archive in: hashes members, finds out what the vault lacks, and packs that.
//!
//! Runs on a thread of its own and waits there for catalog and vault. Nothing it writes is visible: the caller commits
//! what [`Stager::finish`] returns, or lets it become garbage.

use std::collections::{BTreeSet, HashMap};
use std::io::{Read, Seek, Write};
use std::sync::Arc;

use bytes::Bytes;
use sha1::Digest as _;
use tokio::runtime::Handle;

use super::Place;
use super::encode::{Deflater, SAMPLE};
use super::error::Error;
use super::intake::Event;
use super::run::Packed;
use crate::archive::MemberEnd;
use crate::catalog::Catalog;
use crate::course::{ContentKind, ContentRef, Encoding, Entry, MemberPath, Tree, TreeRef};
use crate::digest::{Digest, Sha1};
use crate::ids::PackId;
use crate::job::{Finding, Severity};
use crate::limits::Limits;
use crate::reason::Reason;
use crate::vault::{PackItem, PackWriter, Storage, tree as blocks};

/// Small members wait until so many, or so many bytes, can be looked up at once.
const BATCH_ITEMS: usize = 400;
const BATCH_BYTES: usize = 8 << 20;

/// Findings that are told one by one: they are kept with the archive's row, which every list reads.
const MAX_FINDINGS: usize = 100;

/// What was staged of an archive: durable as soon as [`Stager::finish`] has returned, invisible until committed.
pub struct Staged {
    /// The members.
    pub tree: Arc<Tree>,
    /// Where the tree is kept.
    pub tree_ref: TreeRef,
    /// What was written.
    pub packs: Packed,
    /// `moodle_backup.xml`, when the archive has it.
    pub manifest: Option<Vec<u8>>,
    /// What was found wrong.
    pub findings: Vec<Finding>,
}

/// A small member that waits for its batch.
struct Waiting {
    path: MemberPath,
    digest: Digest,
    sha1: Option<Sha1>,
    plain: Vec<u8>,
    raw: Option<Vec<u8>>,
    end: MemberEnd,
}

/// A large member on its way.
struct Large {
    path: MemberPath,
    hasher: blake3::Hasher,
    sha1: Option<sha1::Sha1>,
    encoded_hasher: blake3::Hasher,
    encoded_size: u64,
    /// The archive's own deflate data is kept.
    raw: bool,
    encoding: Encoding,
    /// The first bytes, until the encoding is decided.
    sample: Vec<u8>,
    /// Set when the vault seems to have the content: its encoded form goes here, not into a pack.
    spill: Option<std::fs::File>,
    started: bool,
}

/// Stages the members of one archive.
pub struct Stager {
    handle: Handle,
    catalog: Catalog,
    place: Place,
    limits: Limits,
    pack: PackWriter,
    deflater: Deflater,
    known: HashMap<Digest, ContentRef>,
    /// Contents that the vault has already, as an earlier tree names them.
    kept: BTreeSet<(Digest, u64)>,
    /// Packs in which contents were found.
    relied: BTreeSet<PackId>,
    entries: Vec<Entry>,
    waiting: Vec<Waiting>,
    waiting_bytes: usize,
    large: Option<Large>,
    manifest: Option<Vec<u8>>,
    findings: Vec<Finding>,
    /// Contents that are not what their names say; the first of them are findings.
    altered: usize,
}

impl Stager {
    /// A stager for one archive at a place.
    pub fn new(handle: Handle, catalog: Catalog, place: Place, storage: &Storage, limits: Limits) -> Self {
        Self {
            pack: storage.pack_writer(&place.site),
            handle,
            catalog,
            place,
            limits,
            deflater: Deflater::default(),
            known: HashMap::new(),
            kept: BTreeSet::new(),
            relied: BTreeSet::new(),
            entries: Vec::new(),
            waiting: Vec::new(),
            waiting_bytes: 0,
            large: None,
            manifest: None,
            findings: Vec::new(),
            altered: 0,
        }
    }

    /// A member that the vault has already, at the same place.
    pub fn keep(&mut self, entry: Entry) {
        self.kept.insert((entry.content.digest, entry.content.form));
        self.entries.push(entry);
    }

    /// Takes the next event.
    pub fn take(&mut self, event: Event) -> Result<(), Error> {
        match event {
            Event::Whole { path, plain, raw, end } => self.whole(path, plain, raw, end),
            Event::Begin { path, declared, raw } => self.begin(path, declared, raw),
            Event::Plain(bytes) => self.plain(&bytes),
            Event::Raw(bytes) => self.raw(bytes),
            Event::End(end) => self.end(end),
        }
    }

    /// Packs the rest and the tree, and makes everything durable. `record` makes the record that travels along.
    pub fn finish(mut self, record: impl FnOnce(&Staged) -> Result<Vec<u8>, Error>) -> Result<Staged, Error> {
        match self.pack_rest(record) {
            Ok(mut staged) => {
                let written = self.handle.block_on(self.pack.finish())?;
                staged.packs = Packed { written, relied: self.relied };
                Ok(staged)
            }
            Err(error) => {
                self.abort();
                Err(error)
            }
        }
    }

    fn pack_rest(&mut self, record: impl FnOnce(&Staged) -> Result<Vec<u8>, Error>) -> Result<Staged, Error> {
        self.flush()?;
        self.find_kept()?;
        let tree = Tree::new(std::mem::take(&mut self.entries))?;
        let staged = Staged {
            tree_ref: self.pack_tree(&tree)?,
            tree: Arc::new(tree),
            packs: Packed::default(),
            manifest: self.manifest.take(),
            findings: self.take_findings(),
        };
        let record = record(&staged)?;
        self.put_plain(ContentKind::Record, &record)?;
        Ok(staged)
    }

    fn take_findings(&mut self) -> Vec<Finding> {
        if let Some(more) = self.altered.checked_sub(MAX_FINDINGS).filter(|more| *more > 0) {
            self.findings.push(Finding {
                severity: Severity::Warning,
                code: "CONTENT_ALTERED".into(),
                path: String::new(),
                message: format!("{more} more contents are not what their names say"),
            });
        }
        std::mem::take(&mut self.findings)
    }

    /// Removes what was written, as far as that is possible; the rest is garbage that nothing names.
    pub fn abort(self) {
        self.handle.block_on(self.pack.abort());
    }

    fn whole(
        &mut self,
        path: MemberPath,
        plain: Vec<u8>,
        raw: Option<Vec<u8>>,
        end: MemberEnd,
    ) -> Result<(), Error> {
        let digest = Digest::of(&plain);
        let sha1 = path.claimed_sha1().map(|_| Sha1(sha1::Sha1::digest(&plain).into()));
        self.compare_sha1(&path, sha1);
        if path.as_str() == MemberPath::MANIFEST {
            self.keep_manifest(&plain)?;
        }
        self.waiting_bytes += plain.len() + raw.as_ref().map_or(0, Vec::len);
        self.waiting.push(Waiting { path, digest, sha1, plain, raw, end });
        if self.waiting.len() >= BATCH_ITEMS || self.waiting_bytes >= BATCH_BYTES {
            self.flush()
        } else {
            Ok(())
        }
    }

    /// Moodle finds a content by the SHA-1 in its name and never checks it; we tell when it lies.
    fn compare_sha1(&mut self, path: &MemberPath, actual: Option<Sha1>) {
        if let (Some(claimed), Some(actual)) = (path.claimed_sha1(), actual)
            && claimed != actual
        {
            self.altered += 1;
            if self.altered > MAX_FINDINGS {
                return;
            }
            self.findings.push(Finding {
                severity: Severity::Warning,
                code: "CONTENT_ALTERED".into(),
                path: path.to_string(),
                message: format!("the content's SHA-1 is {actual}: it is not the content that its name says"),
            });
        }
    }

    fn keep_manifest(&mut self, piece: &[u8]) -> Result<(), Error> {
        let manifest = self.manifest.get_or_insert_default();
        let limit = self.limits.manifest_bytes;
        if manifest.len() as u64 + piece.len() as u64 > limit {
            let message = format!("moodle_backup.xml is over the limit of {limit} bytes");
            return Err(Error::new(Reason::LimitManifestBytes, message).with("limit", &limit));
        }
        manifest.extend_from_slice(piece);
        Ok(())
    }

    /// Looks the waiting members up, packs those that are new, and makes entries of all.
    fn flush(&mut self) -> Result<(), Error> {
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        let digests: Vec<Digest> = waiting.iter().map(|member| member.digest).collect();
        self.look_up(&digests)?;
        for Waiting { path, digest, sha1, plain, raw, end } in waiting {
            let content = match self.known.get(&digest) {
                Some(content) => *content,
                None => self.put_member(digest, sha1, plain, raw, end)?,
            };
            self.entries.push(Entry { path, content });
        }
        Ok(())
    }

    fn look_up(&mut self, digests: &[Digest]) -> Result<(), Error> {
        let unknown: Vec<Digest> =
            digests.iter().filter(|digest| !self.known.contains_key(digest)).copied().collect();
        let found = self.handle.block_on(self.catalog.find_contents(
            &self.place.site,
            &self.place.storage,
            &unknown,
        ))?;
        for row in found {
            self.relied.insert(row.pack.clone());
            self.known.entry(row.content.digest).or_insert(row.content);
        }
        Ok(())
    }

    /// Finds out where what is kept of earlier trees lies, so that it stays there. Refuses a tree that would lack something.
    fn find_kept(&mut self) -> Result<(), Error> {
        let kept: Vec<_> = std::mem::take(&mut self.kept).into_iter().collect();
        for batch in kept.chunks(BATCH_ITEMS) {
            let located =
                self.handle.block_on(self.catalog.locate(&self.place.site, &self.place.storage, batch))?;
            for form in batch {
                let found = located.get(form).map(|location| location.pack.clone());
                match found {
                    Some(pack) => drop(self.relied.insert(pack)),
                    // It may be new, and be kept a second time under another path.
                    None if self.known.get(&form.0).is_some_and(|known| known.form == form.1) => {}
                    None => {
                        let message = format!("the content {} is missing", form.0);
                        return Err(Error::new(Reason::StorageCorrupt, message).with("digest", &form.0));
                    }
                }
            }
        }
        Ok(())
    }

    fn put_member(
        &mut self,
        digest: Digest,
        sha1: Option<Sha1>,
        plain: Vec<u8>,
        raw: Option<Vec<u8>>,
        end: MemberEnd,
    ) -> Result<ContentRef, Error> {
        let size = plain.len() as u64;
        let deflated = match raw {
            Some(raw) if raw.len() < plain.len() => Some(Bytes::from(raw)),
            Some(_) => None,
            None => self.deflater.whole(&plain),
        };
        let (encoding, form, encoded) = match deflated {
            Some(bytes) => (Encoding::Deflate, ContentRef::form_of(&Digest::of(&bytes)), bytes),
            None => (Encoding::Stored, 0, Bytes::from(plain)),
        };
        let encoded_size = encoded.len() as u64;
        let content = ContentRef { digest, size, crc32: end.crc32, encoding, encoded_size, form };
        self.put(PackItem { kind: ContentKind::Content, content, sha1 }, encoded)?;
        Ok(content)
    }

    fn put(&mut self, item: PackItem, encoded: Bytes) -> Result<(), Error> {
        self.known.insert(item.content.digest, item.content);
        Ok(self.handle.block_on(self.pack.put(item, encoded))?)
    }

    /// Packs a tree block or a record as it is, unless the vault has it.
    fn put_plain(&mut self, kind: ContentKind, bytes: &[u8]) -> Result<Digest, Error> {
        let digest = Digest::of(bytes);
        self.look_up(&[digest])?;
        // A member with these very bytes may be known in a deflated form; a tree or a record is read as it is.
        if self.known.get(&digest).is_none_or(|known| known.encoding != Encoding::Stored) {
            self.put(PackItem::stored(kind, bytes), Bytes::copy_from_slice(bytes))?;
        }
        Ok(digest)
    }

    fn pack_tree(&mut self, tree: &Tree) -> Result<TreeRef, Error> {
        let split = blocks::split(tree);
        let references: Vec<_> = split.iter().map(blocks::Block::reference).collect();
        let digests: Vec<Digest> = references.iter().map(|block| block.digest).collect();
        self.look_up(&digests)?;
        for block in &split {
            self.put_plain(ContentKind::Tree, &block.bytes)?;
        }
        let root = blocks::encode_root(&references);
        let digest = self.put_plain(ContentKind::Tree, &root)?;
        Ok(TreeRef {
            root: digest,
            root_size: root.len() as u64,
            members: tree.entries().len() as u64,
            content_bytes: tree.content_bytes(),
        })
    }

    fn begin(&mut self, path: MemberPath, declared: Option<u64>, raw: bool) -> Result<(), Error> {
        let claimed = path.claimed_sha1();
        let expected = match (claimed, declared) {
            (Some(sha1), Some(size)) => self
                .handle
                .block_on(self.catalog.find_by_sha1(&self.place.site, &self.place.storage, &sha1, size))?
                .is_some(),
            _ => false,
        };
        let spill = if expected { Some(tempfile::tempfile().map_err(spill_failed)?) } else { None };
        self.large = Some(Large {
            path,
            hasher: blake3::Hasher::new(),
            sha1: claimed.map(|_| sha1::Sha1::new()),
            encoded_hasher: blake3::Hasher::new(),
            encoded_size: 0,
            raw,
            encoding: if raw { Encoding::Deflate } else { Encoding::Stored },
            sample: Vec::new(),
            spill,
            started: false,
        });
        Ok(())
    }

    fn plain(&mut self, bytes: &Bytes) -> Result<(), Error> {
        let Some(large) = self.large.as_mut() else { return Ok(()) };
        large.hasher.update(bytes);
        if let Some(sha1) = &mut large.sha1 {
            sha1.update(bytes);
        }
        let is_manifest = large.path.as_str() == MemberPath::MANIFEST;
        if is_manifest {
            self.keep_manifest(bytes)?;
        }
        let Some(large) = self.large.as_mut().filter(|large| !large.raw) else { return Ok(()) };
        if !large.started && large.sample.len() + bytes.len() < SAMPLE {
            large.sample.extend_from_slice(bytes);
            return Ok(());
        }
        self.decide(bytes)?;
        self.encode(bytes.clone())
    }

    /// Decides how a large member is encoded, once enough of it was seen, and encodes what was held back.
    fn decide(&mut self, next: &[u8]) -> Result<(), Error> {
        let Some(large) = self.large.as_mut().filter(|large| !large.started) else { return Ok(()) };
        large.started = true;
        let held = std::mem::take(&mut large.sample);
        let sample = if held.is_empty() { next } else { &held };
        large.encoding = self.deflater.suits(sample);
        self.deflater.begin();
        if held.is_empty() { Ok(()) } else { self.encode(held.into()) }
    }

    fn encode(&mut self, plain: Bytes) -> Result<(), Error> {
        let encoding = self.large.as_ref().map(|large| large.encoding);
        match encoding {
            Some(Encoding::Deflate) => {
                let piece = self.deflater.piece(&plain);
                self.append(piece)
            }
            _ => self.append(plain),
        }
    }

    fn raw(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.append(bytes)
    }

    /// Appends encoded bytes of the large member to its pack, or to the spill file.
    fn append(&mut self, bytes: Bytes) -> Result<(), Error> {
        let Some(large) = self.large.as_mut().filter(|_| !bytes.is_empty()) else { return Ok(()) };
        if large.encoding == Encoding::Deflate {
            large.encoded_hasher.update(&bytes);
        }
        let first = large.encoded_size == 0;
        large.encoded_size += bytes.len() as u64;
        if let Some(spill) = &mut large.spill {
            return spill.write_all(&bytes).map_err(spill_failed);
        }
        if first {
            self.handle.block_on(self.pack.begin())?;
        }
        Ok(self.handle.block_on(self.pack.append(bytes))?)
    }

    fn end(&mut self, end: MemberEnd) -> Result<(), Error> {
        if self.large.as_ref().is_some_and(|large| !large.raw) {
            self.decide(&[])?;
            if self.large.as_ref().is_some_and(|large| large.encoding == Encoding::Deflate) {
                let rest = self.deflater.end();
                self.append(rest)?;
            }
        }
        let Some(large) = self.large.take() else { return Ok(()) };
        let digest = Digest(*large.hasher.finalize().as_bytes());
        let sha1 = large.sha1.map(|hasher| Sha1(hasher.finalize().into()));
        self.compare_sha1(&large.path, sha1);
        self.look_up(&[digest])?;
        let content = match self.known.get(&digest) {
            Some(content) => {
                if large.spill.is_none() {
                    self.handle.block_on(self.pack.discard())?;
                }
                *content
            }
            None => {
                let form = match large.encoding {
                    Encoding::Stored => 0,
                    Encoding::Deflate => {
                        ContentRef::form_of(&Digest(*large.encoded_hasher.finalize().as_bytes()))
                    }
                };
                let content = ContentRef {
                    digest,
                    size: end.size,
                    crc32: end.crc32,
                    encoding: large.encoding,
                    encoded_size: large.encoded_size,
                    form,
                };
                if let Some(spill) = large.spill {
                    self.pack_spill(spill)?;
                }
                self.handle.block_on(self.pack.end(PackItem {
                    kind: ContentKind::Content,
                    content,
                    sha1,
                }))?;
                self.known.insert(digest, content);
                content
            }
        };
        self.entries.push(Entry { path: large.path, content });
        Ok(())
    }

    /// The vault did not have the content after all: the name lied.
    fn pack_spill(&mut self, mut spill: std::fs::File) -> Result<(), Error> {
        self.handle.block_on(self.pack.begin())?;
        spill.rewind().map_err(spill_failed)?;
        loop {
            let mut piece = vec![0; 256 << 10];
            let count = spill.read(&mut piece).map_err(spill_failed)?;
            if count == 0 {
                return Ok(());
            }
            piece.truncate(count);
            self.handle.block_on(self.pack.append(piece.into()))?;
        }
    }
}

/// A temporary file that fails.
pub(super) fn spill_failed(error: std::io::Error) -> Error {
    let reason = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Reason::StorageFull,
        _ => Reason::Internal,
    };
    Error::new(reason, "a temporary file could not be used").retryable().caused_by(error)
}
