//! Rewriting packs of which little is in use: encodings are copied, never made anew, so archives keep their bytes.

use bytes::Bytes;

use super::collect::Used;
use super::error::Error;
use super::run::Packed;
use super::{Engine, Place};
use crate::catalog::ContentRow;
use crate::course::{ContentRef, Encoding};
use crate::digest::Digest;
use crate::job::Garbage;
use crate::reason::Reason;
use crate::vault::{PackItem, PackWriter, Storage};

/// Bytes that are rewritten in one transaction, at most by a pack more.
const GROUP: u64 = 256 << 20;

/// Bytes that are copied at once.
const PIECE: u64 = 4 << 20;

impl Engine {
    /// Puts what is in use of packs into new ones and condemns the old. A pack with a damaged content stays as it is.
    pub(super) async fn repack(
        &self,
        place: &Place,
        packs: Vec<Used>,
        dry_run: bool,
        garbage: &mut Garbage,
    ) -> Result<(), Error> {
        let mut group: Vec<Used> = Vec::new();
        let mut bytes = 0;
        for used in packs {
            if dry_run {
                garbage.rewritten.add(used.known.size_bytes);
                continue;
            }
            bytes += used.bytes;
            group.push(used);
            if bytes >= GROUP {
                self.repack_group(place, std::mem::take(&mut group), garbage).await?;
                bytes = 0;
            }
        }
        if group.is_empty() { Ok(()) } else { self.repack_group(place, group, garbage).await }
    }

    async fn repack_group(
        &self,
        place: &Place,
        group: Vec<Used>,
        garbage: &mut Garbage,
    ) -> Result<(), Error> {
        let storage = self.storage(place)?;
        let mut writer = storage.pack_writer(&place.site);
        let mut copied = Vec::new();
        for used in group {
            match copy_all(storage, place, &mut writer, &used).await {
                Ok(()) => copied.push(used),
                Err(error) if error.reason == Reason::StorageCorrupt => {
                    tracing::error!(pack = %used.known.pack, error = error.chain(), "a damaged pack is not rewritten");
                    garbage.kept.add(used.known.size_bytes);
                }
                Err(error) => {
                    writer.abort().await;
                    return Err(error);
                }
            }
        }
        let written = writer.finish().await?;
        let mut tx = self.catalog.begin().await?;
        for used in &copied {
            if !tx.condemn_pack(&place.site, &place.storage, &used.known).await? {
                // Somebody relies on it since it was looked at. The copies are garbage; the next collection tries again.
                drop(tx);
                for pack in &written {
                    storage.delete_pack(&place.site, &pack.pack).await?;
                }
                copied.iter().for_each(|used| garbage.kept.add(used.known.size_bytes));
                return Ok(());
            }
        }
        let packed = Packed { written, ..Packed::default() };
        self.insert_packs(&mut tx, place, &packed).await?;
        tx.commit().await?;
        copied.iter().for_each(|used| garbage.rewritten.add(used.known.size_bytes));
        packed.written.iter().for_each(|pack| garbage.repacked.add(pack.size));
        Ok(())
    }
}

/// Copies what is in use of a pack. After a damaged content, what was copied before it stays and is harmless: nothing names it.
async fn copy_all(
    storage: &Storage,
    place: &Place,
    writer: &mut PackWriter,
    used: &Used,
) -> Result<(), Error> {
    for row in &used.rows {
        writer.begin().await?;
        match copy(storage, place, writer, row).await {
            Ok(()) => {
                let item = PackItem { kind: row.kind, content: row.content, sha1: row.sha1 };
                writer.end(item).await?;
            }
            Err(error) => {
                writer.discard().await?;
                return Err(error);
            }
        }
    }
    Ok(())
}

async fn copy(
    storage: &Storage,
    place: &Place,
    writer: &mut PackWriter,
    row: &ContentRow,
) -> Result<(), Error> {
    let (mut at, end) = (row.offset, row.offset + row.content.encoded_size);
    let mut hasher = blake3::Hasher::new();
    while at < end {
        let next = end.min(at + PIECE);
        let bytes: Bytes = storage.read_pack(&place.site, &row.pack, at..next).await?;
        hasher.update(&bytes);
        writer.append(bytes).await?;
        at = next;
    }
    if is_form(&row.content, Digest(*hasher.finalize().as_bytes())) {
        Ok(())
    } else {
        let message = format!("the content {} is damaged", row.content.digest);
        Err(Error::new(Reason::StorageCorrupt, message).with("digest", &row.content.digest))
    }
}

/// Whether encoded bytes of that digest are this form of the content.
fn is_form(content: &ContentRef, encoded: Digest) -> bool {
    match content.encoding {
        Encoding::Stored => encoded == content.digest,
        Encoding::Deflate => ContentRef::form_of(&encoded) == content.form,
    }
}
