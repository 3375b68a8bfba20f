//! The behaviour of a storage: one suite that a folder, a bucket and memory must all pass, with and without faults.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use coursevault::clock::Timestamp;
use coursevault::course::ContentKind;
use coursevault::ids::{PackId, SiteId, UploadId};
use coursevault::reason::Reason;
use coursevault::vault::fault::{Fault, Faults, Operation};
use coursevault::vault::journal::Event;
use coursevault::vault::{
    JournalEvent, ListedPart, PackItem, SegmentId, Storage, StorageConfig, Vault, VaultError,
};

#[path = "support/s3.rs"]
mod s3_server;
#[path = "support/vault.rs"]
mod support;

use support::{Fixture, MIB, item, noise, put, stream};

async fn items_read_back(vault: Fixture) -> Result<()> {
    let mut writer = vault.storage.pack_writer(&vault.site);
    for (seed, size) in [(1, 10), (2, 0), (3, 100_000), (4, 1)] {
        put(&mut writer, noise(seed, size)).await?;
    }
    let record = Bytes::from_static(b"{}");
    let sha1 = Some("da39a3ee5e6b4b0d3255bfef95601890afd80709".parse()?);
    let described = PackItem { sha1, ..PackItem::stored(ContentKind::Record, &record) };
    writer.put(described, record).await?;
    ensure!(vault.packs().await?.is_empty(), "a pack is to be seen before it is finished");

    let written = writer.finish().await?;
    ensure!(written.len() == 1 && written[0].items.len() == 5 && written[0].items[4].item == described);
    vault.holds(&written[0]).await?;
    ensure!(vault.packs().await? == [(written[0].pack.clone(), written[0].size)]);

    let other: SiteId = "other".parse()?;
    ensure!(vault.storage.list_packs(&other).await?.is_empty());
    vault.storage.delete_pack(&vault.site, &written[0].pack).await?;
    ensure!(vault.packs().await?.is_empty());
    Ok(())
}

async fn a_large_streamed_item_reads_back(vault: Fixture) -> Result<()> {
    let mut writer = vault.storage.pack_writer(&vault.site);
    put(&mut writer, noise(1, 1000)).await?;
    let large = stream(&mut writer, 2, 400).await?;
    writer.end(large).await?;
    put(&mut writer, noise(3, 1000)).await?;
    let written = writer.finish().await?;
    ensure!(written.len() == 2 && written[0].items[1].item.content.size == 100 * MIB as u64);
    for pack in &written {
        vault.holds(pack).await?;
    }
    Ok(())
}

async fn packs_close_at_64_mib(vault: Fixture) -> Result<()> {
    let mut writer = vault.storage.pack_writer(&vault.site);
    for seed in 0..80 {
        put(&mut writer, noise(seed, MIB)).await?;
    }
    let written = writer.finish().await?;
    ensure!(written.iter().map(|pack| pack.items.len()).collect::<Vec<_>>() == [64, 16]);
    for pack in &written {
        vault.holds(pack).await?;
    }
    let packs = written.into_iter().map(|pack| (pack.pack, pack.size)).collect::<Vec<_>>();
    ensure!(vault.packs().await? == packs);
    Ok(())
}

async fn a_footer_of_many_items_reads_back(vault: Fixture) -> Result<()> {
    let mut writer = vault.storage.pack_writer(&vault.site);
    for seed in 0..1500 {
        put(&mut writer, noise(seed, 20)).await?;
    }
    let written = writer.finish().await?;
    ensure!(written.len() == 1 && written[0].items.len() == 1500);
    let footer = vault.storage.pack_footer(&vault.site, &written[0].pack).await?;
    ensure!(footer.items == written[0].items);
    Ok(())
}

async fn a_discarded_item_is_in_no_footer(vault: Fixture) -> Result<()> {
    let mut writer = vault.storage.pack_writer(&vault.site);
    put(&mut writer, noise(1, 1000)).await?;
    // One that no part took yet, and one that some parts took.
    stream(&mut writer, 2, 4).await?;
    writer.discard().await?;
    put(&mut writer, noise(3, 40_000)).await?;
    stream(&mut writer, 4, 80).await?;
    writer.discard().await?;
    put(&mut writer, noise(5, 2000)).await?;
    let kept = stream(&mut writer, 6, 3).await?;
    writer.end(kept).await?;

    let written = writer.finish().await?;
    ensure!(written.len() == 1);
    let offsets: Vec<u64> = written[0].items.iter().map(|item| item.offset).collect();
    // What some parts took stays: the next item begins where the fourth part of 5 MiB ends.
    ensure!(offsets == [64, 1064, 20 * MIB as u64, 20 * MIB as u64 + 2000], "{offsets:?}");
    vault.holds(&written[0]).await
}

async fn without_items_there_is_no_pack(vault: Fixture) -> Result<()> {
    ensure!(vault.storage.pack_writer(&vault.site).finish().await?.is_empty());
    let mut writer = vault.storage.pack_writer(&vault.site);
    for (seed, pieces) in [(1, 2), (2, 60), (3, 0)] {
        stream(&mut writer, seed, pieces).await?;
        writer.discard().await?;
    }
    ensure!(writer.finish().await?.is_empty() && vault.packs().await?.is_empty());
    Ok(())
}

async fn abort_and_drop_leave_nothing_in_sight(vault: Fixture) -> Result<()> {
    for drops in [false, true] {
        let mut writer = vault.storage.pack_writer(&vault.site);
        stream(&mut writer, 1, 60).await?;
        if drops {
            drop(writer);
        } else {
            writer.abort().await;
        }
        ensure!(vault.packs().await?.is_empty(), "{drops}");
    }
    let mut writer = vault.storage.pack_writer(&vault.site);
    for seed in 0..70 {
        put(&mut writer, noise(seed, MIB)).await?;
    }
    writer.abort().await;
    ensure!(vault.packs().await?.is_empty(), "closed packs");
    Ok(())
}

async fn upload_parts_are_kept_until_deleted(vault: Fixture) -> Result<()> {
    let (upload, other) = (UploadId::generate(), UploadId::generate());
    let Fixture { storage, site, .. } = &vault;
    ensure!(storage.list_parts(site, &upload).await?.is_empty());
    for (offset, size) in [(3_000_000_000, 7), (0, 10), (10, 2_000_000)] {
        storage.put_part(site, &upload, offset, noise(offset, size)).await?;
    }
    storage.put_part(site, &upload, 0, noise(0, 10)).await?;
    storage.put_part(site, &other, 0, noise(9, 9)).await?;
    let part = |offset, size| ListedPart { offset, size };
    let expected = [part(0, 10), part(10, 2_000_000), part(3_000_000_000, 7)];
    ensure!(storage.list_parts(site, &upload).await? == expected);
    ensure!(storage.read_part(site, &upload, 10, 2_000_000).await? == noise(10, 2_000_000));
    for size in [9, 11] {
        let error = storage.read_part(site, &upload, 0, size).await.err().context("a refusal")?;
        ensure!(matches!(error, VaultError::Corrupt { .. }), "{error:?}");
    }
    for _ in 0..2 {
        storage.delete_parts(site, &upload).await?;
        ensure!(storage.list_parts(site, &upload).await?.is_empty());
    }
    ensure!(storage.list_parts(site, &other).await? == [part(0, 9)]);
    Ok(())
}

async fn the_journal_reads_back_in_order(vault: Fixture) -> Result<()> {
    let Fixture { storage, site, .. } = &vault;
    ensure!(storage.list_journal(site).await?.is_empty());
    let course = "sites/main/courses/rich101".parse()?;
    let event = JournalEvent {
        time: Timestamp::from_secs(1),
        principal: "admin".into(),
        request_id: None,
        event: Event::CourseCreated { course },
    };
    let (first, second) = (SegmentId::generate(), SegmentId::generate());
    storage.append_journal(site, &second, &[]).await?;
    for _ in 0..2 {
        storage.append_journal(site, &first, &[event.clone(), event.clone()]).await?;
    }
    ensure!(storage.list_journal(site).await? == [first, second]);
    ensure!(storage.read_journal(site, &first).await? == [event.clone(), event]);
    ensure!(storage.read_journal(site, &second).await?.is_empty());
    Ok(())
}

async fn what_is_not_there_is_not_found(vault: Fixture) -> Result<()> {
    let Fixture { storage, site, .. } = &vault;
    let (pack, upload, segment) = (PackId::generate(), UploadId::generate(), SegmentId::generate());
    let errors = [
        storage.read_pack(site, &pack, 0..10).await.err(),
        storage.pack_footer(site, &pack).await.err(),
        storage.read_part(site, &upload, 0, 1).await.err(),
        storage.read_journal(site, &segment).await.err(),
    ];
    for error in errors {
        let error = error.context("an error")?;
        ensure!(matches!(&error, VaultError::NotFound { key } if key.contains("/main/")), "{error:?}");
        ensure!(error.reason() == Reason::StorageCorrupt && !error.is_retryable());
    }
    storage.delete_pack(site, &pack).await?;
    storage.delete_parts(site, &upload).await?;
    Ok(())
}

async fn checks_pass_side_by_side(vault: Fixture) -> Result<()> {
    // Side by side, because a folder whose last object goes is removed under the others' hands.
    for _ in 0..5 {
        futures::future::try_join_all((0..8).map(|_| vault.storage.check())).await?;
    }
    Ok(())
}

async fn cut_packs_and_wrong_ranges_are_corrupt(vault: Fixture) -> Result<()> {
    let faults = Faults::default();
    let failing = vault.storage.with_faults(&faults);
    // Header 64, item 1000, footer 96, trailer 48.
    for size in [0, 10, 64, 111, 112, 600, 1064, 1160, 1207] {
        faults.fail(Operation::Put, 1, Fault::Cut(size));
        let mut writer = failing.pack_writer(&vault.site);
        put(&mut writer, noise(1, 1000)).await?;
        let written = writer.finish().await?;
        let error = vault.storage.pack_footer(&vault.site, &written[0].pack).await.err();
        let error = error.with_context(|| format!("an error for {size} bytes"))?;
        ensure!(matches!(error, VaultError::Corrupt { .. }), "{size}: {error:?}");
    }
    let mut writer = failing.pack_writer(&vault.site);
    put(&mut writer, noise(1, 1000)).await?;
    let pack = writer.finish().await?.remove(0);
    ensure!(pack.size == 1208);
    for range in [1200..1209, 1208..1209, 5000..6000] {
        let error =
            vault.storage.read_pack(&vault.site, &pack.pack, range).await.err().context("an error")?;
        ensure!(matches!(error, VaultError::Corrupt { .. }), "{error:?}");
    }
    ensure!(vault.storage.read_pack(&vault.site, &pack.pack, 7..7).await?.is_empty());
    Ok(())
}

async fn a_failing_write_is_typed_and_leaves_no_pack(vault: Fixture) -> Result<()> {
    let cases = [
        (Operation::Begin, 1, Fault::Unavailable),
        (Operation::PutPart, 1, Fault::Unavailable),
        (Operation::PutPart, 4, Fault::Full),
        (Operation::PutPart, 12, Fault::Full),
        (Operation::Complete, 1, Fault::Unavailable),
        (Operation::Complete, 1, Fault::AnswerLost),
        (Operation::Complete, 2, Fault::Full),
    ];
    for (operation, nth, fault) in cases {
        let faults = Faults::default();
        faults.fail(operation, nth, fault);
        let mut writer = vault.storage.with_faults(&faults).pack_writer(&vault.site);
        let mut failed = None;
        for seed in 0..90 {
            if let Err(error) = put(&mut writer, noise(seed, MIB)).await {
                failed = Some(error);
                break;
            }
        }
        let error = match failed {
            Some(error) => {
                let again = put(&mut writer, noise(0, 1)).await;
                ensure!(matches!(again, Err(VaultError::Misuse(_))), "{again:?}");
                writer.abort().await;
                error
            }
            None => writer.finish().await.err().context("an error")?,
        };
        let is_full = fault == Fault::Full;
        ensure!(matches!(error, VaultError::Full { .. }) == is_full, "{operation:?} {nth}: {error:?}");
        ensure!(error.is_retryable() != is_full, "{operation:?} {nth}: {error:?}");
        ensure!(vault.packs().await?.is_empty(), "{operation:?} {nth}");
    }
    Ok(())
}

async fn a_failing_small_write_is_typed(vault: Fixture) -> Result<()> {
    let Fixture { storage, site, .. } = &vault;
    let faults = Faults::default();
    let failing = storage.with_faults(&faults);
    faults.fail_from(Operation::Put, 1, Fault::Full);
    let mut writer = failing.pack_writer(site);
    put(&mut writer, noise(1, 10)).await?;
    let errors = [
        writer.finish().await.err(),
        failing.put_part(site, &UploadId::generate(), 0, noise(1, 1)).await.err(),
        failing.append_journal(site, &SegmentId::generate(), &[]).await.err(),
        failing.check().await.err(),
    ];
    for error in errors {
        ensure!(error.as_ref().map(VaultError::reason) == Some(Reason::StorageFull), "{error:?}");
    }
    ensure!(vault.packs().await?.is_empty() && storage.list_journal(site).await?.is_empty());
    faults.clear();
    failing.check().await?;
    Ok(())
}

async fn a_failing_read_is_typed(vault: Fixture) -> Result<()> {
    let Fixture { storage, site, .. } = &vault;
    let mut writer = storage.pack_writer(site);
    put(&mut writer, noise(1, 1000)).await?;
    let pack = writer.finish().await?.remove(0).pack;
    let segment = SegmentId::generate();
    storage.append_journal(site, &segment, &[]).await?;

    let faults = Faults::default();
    let failing = storage.with_faults(&faults);
    faults.fail_from(Operation::Get, 1, Fault::Unavailable);
    for error in
        [failing.read_pack(site, &pack, 0..9).await.err(), failing.pack_footer(site, &pack).await.err()]
    {
        ensure!(error.as_ref().is_some_and(VaultError::is_retryable), "{error:?}");
    }
    faults.clear();
    faults.fail_from(Operation::Get, 1, Fault::Cut(5));
    for error in [
        failing.read_pack(site, &pack, 0..9).await.err(),
        failing.pack_footer(site, &pack).await.err(),
        failing.read_journal(site, &segment).await.err(),
    ] {
        ensure!(matches!(error, Some(VaultError::Corrupt { .. })), "{error:?}");
    }
    faults.fail_from(Operation::List, 1, Fault::Unavailable);
    faults.fail_from(Operation::Delete, 1, Fault::Unavailable);
    for error in [failing.list_packs(site).await.err(), failing.delete_pack(site, &pack).await.err()] {
        ensure!(error.as_ref().is_some_and(VaultError::is_retryable), "{error:?}");
    }
    Ok(())
}

async fn wrong_use_is_refused(vault: Fixture) -> Result<()> {
    let writer = || vault.storage.pack_writer(&vault.site);
    let is_misuse = |result: Result<(), VaultError>| matches!(result, Err(VaultError::Misuse(_)));
    ensure!(is_misuse(writer().append(noise(1, 1)).await));
    ensure!(is_misuse(writer().discard().await));
    ensure!(is_misuse(writer().end(item(b"")).await));
    ensure!(is_misuse(writer().put(item(b"abc"), Bytes::from_static(b"ab")).await));
    let mut begun = writer();
    begun.begin().await?;
    ensure!(is_misuse(begun.begin().await) && is_misuse(begun.finish().await.map(drop)));
    let mut begun = writer();
    begun.begin().await?;
    begun.append(noise(1, 3)).await?;
    ensure!(is_misuse(begun.end(item(b"")).await) && is_misuse(begun.begin().await));
    Ok(())
}

macro_rules! suite {
    (on $backend:ident: $($name:ident)*) => {
        mod $backend {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() -> anyhow::Result<()> {
                    super::$name(super::Fixture::$backend().await?).await
                }
            )*
        }
    };
    ($($name:ident)*) => {
        suite!(on memory: $($name)*);
        suite!(on folder: $($name)*);
        suite!(on s3: $($name)*);
    };
}

suite! {
    items_read_back
    a_large_streamed_item_reads_back
    packs_close_at_64_mib
    a_footer_of_many_items_reads_back
    a_discarded_item_is_in_no_footer
    without_items_there_is_no_pack
    abort_and_drop_leave_nothing_in_sight
    upload_parts_are_kept_until_deleted
    the_journal_reads_back_in_order
    what_is_not_there_is_not_found
    checks_pass_side_by_side
    cut_packs_and_wrong_ranges_are_corrupt
    a_failing_write_is_typed_and_leaves_no_pack
    a_failing_small_write_is_typed
    a_failing_read_is_typed
    wrong_use_is_refused
}

/// All files below a folder, by their paths in it.
fn files(folder: &std::path::Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(folder)?.display().to_string());
            }
        }
    }
    found.sort();
    Ok(found)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_holds_objects_under_their_keys_and_no_leftovers() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let storage = Storage::open(&"test", &StorageConfig::folder(folder.path()))?;
    let site: SiteId = "main".parse()?;
    let mut writer = storage.pack_writer(&site);
    let large = stream(&mut writer, 1, 200).await?;
    writer.end(large).await?;
    put(&mut writer, noise(2, 10)).await?;
    let written = writer.finish().await?;
    let mut aborted = storage.pack_writer(&site);
    stream(&mut aborted, 1, 60).await?;
    aborted.abort().await;
    let upload = UploadId::generate();
    storage.put_part(&site, &upload, 5, noise(1, 1)).await?;
    storage.check().await?;

    let mut expected: Vec<String> = written.iter().map(|pack| format!("packs/main/{}", pack.pack)).collect();
    expected.push(format!("uploads/main/{upload}/00000000000000000005"));
    ensure!(files(folder.path())? == expected);
    Ok(())
}

#[tokio::test]
async fn leftovers_of_dead_writers_go_once_they_are_old() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let storage = Storage::open(&"test", &StorageConfig::folder(folder.path()))?;
    std::fs::write(folder.path().join("staging/left"), b"half a pack")?;
    ensure!(storage.remove_unfinished(Timestamp::from_secs(1)).await? == 0);
    ensure!(files(folder.path())? == ["staging/left"]);
    ensure!(storage.remove_unfinished(Timestamp::from_secs(1 << 40)).await? == 1);
    ensure!(files(folder.path())?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_denied_or_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("file");
    std::fs::write(&file, b"")?;
    let error = Storage::open(&"primary", &StorageConfig::folder(&file)).err().context("a refusal")?;
    ensure!(matches!(&error, VaultError::Config { storage, .. } if storage == "primary"), "{error:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_with_wrong_credentials_is_denied_without_showing_them() -> Result<()> {
    let server = s3_server::S3Server::start().await?;
    let config = StorageConfig {
        access_key_id: Some("test-key".into()),
        secret_access_key: Some("wrong-secret".to_owned().into()),
        ..server.config()
    };
    let error = Storage::open(&"test", &config)?.check().await.err().context("a refusal")?;
    ensure!(matches!(error, VaultError::Denied { .. }), "{error:?}");
    ensure!(!error.is_retryable() && error.reason() == Reason::StorageUnavailable);
    let shown = format!("{error:?} {error}");
    ensure!(!shown.contains("wrong-secret"), "{shown}");
    Ok(())
}

#[tokio::test]
async fn a_vault_knows_its_storages_by_name() -> Result<()> {
    let (primary, other) = ("primary".parse()?, "other".parse()?);
    let vault = Vault::open(&[(primary, StorageConfig::memory())].into())?;
    for (name, storage) in vault.storages() {
        ensure!(name.as_str() == storage.name());
        vault.storage(name)?.check().await?;
    }
    let error = vault.storage(&other).err().context("a refusal")?;
    ensure!(matches!(&error, VaultError::Config { storage, .. } if storage == "other"), "{error:?}");
    Ok(())
}

/// What the servers of other tests are started with.
const _: fn(&s3_server::S3Server) -> Vec<(&'static str, String)> = s3_server::S3Server::variables;
