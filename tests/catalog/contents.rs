//! Where contents lie.

use std::collections::BTreeMap;
use std::time::Instant;

use coursevault::catalog::{ContentRow, Location, PackRow, RevisionOrigin, RevisionRow, StorageUseRow};
use coursevault::course::{ContentKind, ContentRef, Encoding};
use coursevault::digest::{Digest, Sha1};
use coursevault::ids::{ArchiveId, PackId};

use crate::ground::{Ground, tree};

fn content(pack: &PackId, text: &str, form: u64, offset: u64) -> ContentRow {
    ContentRow {
        content: ContentRef {
            digest: Digest::of(text.as_bytes()),
            size: 100,
            crc32: u32::MAX,
            encoding: if form == 0 { Encoding::Stored } else { Encoding::Deflate },
            encoded_size: if form == 0 { 100 } else { 40 },
            form,
        },
        kind: ContentKind::Content,
        sha1: None,
        pack: pack.clone(),
        offset,
    }
}

fn pack(ground: &Ground, size_bytes: u64) -> PackRow {
    PackRow { pack: PackId::generate(), size_bytes, create_time: ground.now() }
}

#[expect(
    clippy::print_stderr,
    reason = "the time is for people; it depends on the machine and is not asserted"
)]
pub async fn many_contents_at_once(ground: &Ground) -> anyhow::Result<()> {
    const MANY: u64 = 23_000;
    let pack = pack(ground, 1 << 20);
    let rows: Vec<_> =
        (0..MANY).map(|n| content(&pack.pack, &n.to_string(), ((1 << 63) - 1) - n, n * 40)).collect();
    let digests: Vec<_> = rows.iter().map(|row| row.content.digest).collect();
    let begun = Instant::now();
    let mut tx = ground.catalog.begin().await?;
    tx.insert_packs(&ground.site, &ground.storage, std::slice::from_ref(&pack)).await?;
    tx.insert_contents(&ground.site, &ground.storage, &rows).await?;
    tx.commit().await?;
    let written = begun.elapsed();
    let found = ground.catalog.find_contents(&ground.site, &ground.storage, &digests).await?;
    let read = begun.elapsed() - written;
    eprintln!(
        "{}: {MANY} contents written in {written:?}, found in {read:?}",
        ground.catalog.dialect().as_str()
    );
    let found: BTreeMap<_, _> = found.into_iter().map(|row| (row.content.digest, row)).collect();
    assert_eq!(found.len(), rows.len());
    for row in &rows {
        assert_eq!(found.get(&row.content.digest), Some(row));
    }
    Ok(())
}

pub async fn forms_are_found_and_located(ground: &Ground) -> anyhow::Result<()> {
    let (site, storage, pack) = (&ground.site, &ground.storage, pack(ground, 10));
    let mut stored = content(&pack.pack, "a", 0, 0);
    stored.sha1 = Some(Sha1([7; 20]));
    let deflated = content(&pack.pack, "a", 12, 100);
    let mut block = content(&pack.pack, "b", 0, 140);
    block.kind = ContentKind::Tree;
    let mut tx = ground.catalog.begin().await?;
    tx.insert_packs(site, storage, &[]).await?;
    tx.insert_contents(site, storage, &[stored.clone(), deflated.clone(), block.clone()]).await?;
    // a form that is known stays where it is
    let mut elsewhere = deflated.clone();
    (elsewhere.pack, elsewhere.offset) = (PackId::generate(), 0);
    tx.insert_contents(site, storage, &[elsewhere]).await?;
    let digest = stored.content.digest;
    let found = tx.find_contents(site, storage, &[digest, digest, Digest::of(b"unknown")]).await?;
    assert_eq!(found, [stored.clone(), deflated.clone()]);
    tx.commit().await?;

    let unknown = (Digest::of(b"unknown"), 0);
    let wanted = [(digest, 12), (block.content.digest, 0), (digest, 13), unknown];
    let located = ground.catalog.locate(site, storage, &wanted).await?;
    let expected = BTreeMap::from([
        ((digest, 12), Location { pack: pack.pack.clone(), offset: 100, encoded_size: 40 }),
        ((block.content.digest, 0), Location { pack: pack.pack.clone(), offset: 140, encoded_size: 100 }),
    ]);
    assert_eq!(located, expected);
    assert_eq!(ground.catalog.find_by_sha1(site, storage, &Sha1([7; 20]), 100).await?, Some(stored));
    assert_eq!(ground.catalog.find_by_sha1(site, storage, &Sha1([7; 20]), 99).await?, None);
    assert_eq!(ground.catalog.find_contents(site, &"other".parse()?, &[digest]).await?, []);
    assert_eq!(ground.catalog.find_contents(site, storage, &[]).await?, []);
    Ok(())
}

pub async fn storage_use_counts_everything_once(ground: &Ground) -> anyhow::Result<()> {
    assert_eq!(ground.catalog.storage_report(&ground.site).await?, []);
    let (site, storage, automated) = (&ground.site, &ground.storage, "automated".parse()?);
    let packs = [pack(ground, 1000), pack(ground, 500)];
    let mut block = content(&packs[0].pack, "block", 0, 0);
    block.kind = ContentKind::Tree;
    let contents = [
        content(&packs[0].pack, "a", 0, 0),
        content(&packs[0].pack, "a", 5, 0),
        content(&packs[1].pack, "b", 5, 0),
        block,
    ];
    let mut tx = ground.catalog.begin().await?;
    tx.insert_packs(site, storage, &packs).await?;
    tx.insert_packs(site, storage, &packs).await?;
    tx.insert_contents(site, storage, &contents).await?;
    let (live, deleted) = (ground.archive_row(), ground.archive_row());
    tx.insert_archive(&live).await?;
    tx.insert_archive(&deleted).await?;
    tx.delete_archive(site, &deleted.archive, 1, ground.now(), ground.now()).await?;
    let course = ground.course_row("rich")?;
    tx.insert_course(&course).await?;
    tx.insert_revision(&RevisionRow {
        site: site.clone(),
        course: course.course.clone(),
        revision: 1,
        parent: None,
        origin: RevisionOrigin::Restored,
        archive: ArchiveId::generate(),
        job: None,
        author: "teacher".into(),
        storage: automated,
        tree: tree("revision", 30),
        create_time: ground.now(),
    })
    .await?;
    tx.commit().await?;
    let none = StorageUseRow {
        storage: "automated".parse()?,
        archive_count: 0,
        revision_count: 1,
        logical_bytes: 30,
        content_count: 0,
        content_bytes: 0,
        stored_bytes: 0,
        pack_count: 0,
        condemned_bytes: 0,
        damaged_archive_count: 0,
    };
    let primary = StorageUseRow {
        storage: storage.clone(),
        archive_count: 1,
        revision_count: 0,
        logical_bytes: 1000,
        content_count: 2,
        content_bytes: 200,
        stored_bytes: 1500,
        pack_count: 2,
        condemned_bytes: 0,
        damaged_archive_count: 0,
    };
    assert_eq!(ground.catalog.storage_report(site).await?, [none, primary]);
    Ok(())
}
