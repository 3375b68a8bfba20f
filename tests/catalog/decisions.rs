//! What people decide over archives: holds, descriptions, shares.

use std::time::Duration;

use anyhow::ensure;
use coursevault::catalog::{CatalogError, HoldRow, ShareRow};
use coursevault::ids::ArchiveId;
use coursevault::reason::Reason;

use crate::ground::Ground;

pub async fn holds_keep_archives(ground: &Ground) -> anyhow::Result<()> {
    let row = ground.archive_row();
    let (site, id) = (&ground.site, &row.archive);
    let hold = HoldRow { reason: "it's".into(), principal: "root".into(), create_time: ground.now() };
    let mut tx = ground.catalog.begin().await?;
    tx.insert_archive(&row).await?;
    tx.commit().await?;
    let mut tx = ground.catalog.begin().await?;
    let lost = tx.place_hold(site, id, 2, &hold).await;
    assert_eq!(lost.map_err(|error| error.reason()), Err(Reason::EtagMismatch));
    let held = tx.place_hold(site, id, 1, &hold).await?;
    assert_eq!((held.hold.as_ref(), held.version), (Some(&hold), 2));
    // Whoever does not look is stopped by the statements themselves.
    let again = tx.place_hold(site, id, 2, &hold).await;
    ensure!(matches!(again, Err(CatalogError::LostRace { .. })), "{again:?}");
    let deleted = tx.delete_archive(site, id, 2, ground.now(), ground.now()).await;
    ensure!(matches!(deleted, Err(CatalogError::LostRace { .. })), "{deleted:?}");
    tx.commit().await?;
    assert_eq!(ground.catalog.get_archive(site, id).await?, Some(held));

    let mut tx = ground.catalog.begin().await?;
    let free = tx.release_hold(site, id, 2, ground.now()).await?;
    assert_eq!((free.hold, free.version), (None, 3));
    let again = tx.release_hold(site, id, 3, ground.now()).await;
    ensure!(matches!(again, Err(CatalogError::LostRace { .. })), "{again:?}");
    // A deleted archive can be held, too, and stays deleted.
    tx.delete_archive(site, id, 3, ground.now(), ground.now()).await?;
    let held = tx.place_hold(site, id, 4, &hold).await?;
    ensure!(held.hold.is_some() && held.delete_time.is_some());
    let nothing = tx.place_hold(site, &ArchiveId::generate(), 1, &hold).await;
    assert_eq!(nothing.map_err(|error| error.reason()), Err(Reason::ArchiveNotFound));
    tx.commit().await?;
    ground.damage("UPDATE archives SET hold_by = NULL").await?;
    let damaged = ground.catalog.get_archive(site, id).await;
    ensure!(matches!(damaged, Err(CatalogError::Corrupt { column: "hold_by", .. })), "{damaged:?}");
    Ok(())
}

pub async fn descriptions_are_guarded(ground: &Ground) -> anyhow::Result<()> {
    let row = ground.archive_row();
    let (site, id) = (&ground.site, &row.archive);
    ground.clock.advance(Duration::from_secs(1));
    let mut tx = ground.catalog.begin().await?;
    tx.insert_archive(&row).await?;
    let described = tx.describe_archive(site, id, 1, "é \"'", ground.now()).await?;
    assert_eq!((described.description.as_str(), described.version), ("é \"'", 2));
    assert_eq!((described.update_time, described.create_time), (ground.now(), row.create_time));
    let stale = tx.describe_archive(site, id, 1, "", ground.now()).await;
    assert_eq!(stale.map_err(|error| error.reason()), Err(Reason::EtagMismatch));
    tx.delete_archive(site, id, 2, ground.now(), ground.now()).await?;
    let deleted = tx.describe_archive(site, id, 3, "", ground.now()).await;
    ensure!(matches!(deleted, Err(CatalogError::LostRace { .. })), "{deleted:?}");
    Ok(())
}

fn share(ground: &Ground, archive: &ArchiveId, principal: &str, seconds: i64) -> ShareRow {
    ShareRow {
        site: ground.site.clone(),
        archive: archive.clone(),
        principal: principal.into(),
        author: "teacher".into(),
        note: "as you asked".into(),
        create_time: ground.now(),
        expire_time: ground.now().plus_millis(1000 * seconds),
    }
}

pub async fn shares_end_by_the_clock(ground: &Ground) -> anyhow::Result<()> {
    let (one, two) = (ground.archive_row(), ground.archive_row());
    let (site, catalog) = (&ground.site, &ground.catalog);
    let ids = [one.archive.clone(), two.archive.clone()];
    let (short, long) = (share(ground, &ids[0], "lms", 10), share(ground, &ids[0], "cms", 20));
    let mut tx = catalog.begin().await?;
    tx.insert_archive(&one).await?;
    tx.insert_archive(&two).await?;
    for share in [&short, &long] {
        tx.put_share(share).await?;
    }
    assert_eq!(tx.count_other_shares(site, &ids[0], "lms").await?, 1);
    assert_eq!(tx.count_other_shares(site, &ids[0], "nobody").await?, 2);
    tx.commit().await?;
    assert_eq!(catalog.list_shares(site, &ids, None).await?, [long.clone(), short.clone()]);
    assert_eq!(catalog.list_shares(site, &ids, Some("lms")).await?, std::slice::from_ref(&short));
    ensure!(catalog.list_shares(site, &ids[1..], None).await?.is_empty());
    ensure!(catalog.list_shares(site, &[], None).await?.is_empty());

    ground.clock.advance(Duration::from_millis(9_999));
    assert_eq!(catalog.list_shares(site, &ids, Some("lms")).await?.len(), 1);
    ground.clock.advance(Duration::from_millis(1));
    ensure!(catalog.list_shares(site, &ids, Some("lms")).await?.is_empty());
    let mut tx = catalog.begin().await?;
    ensure!(!tx.remove_share(site, &ids[0], "lms").await?, "it has ended already");
    assert_eq!(tx.count_other_shares(site, &ids[0], "nobody").await?, 1);
    // Shared anew, it lives again.
    let anew = ShareRow { note: String::new(), ..share(ground, &ids[0], "lms", 5) };
    tx.put_share(&anew).await?;
    tx.commit().await?;
    assert_eq!(catalog.list_shares(site, &ids, Some("lms")).await?, [anew]);
    let mut tx = catalog.begin().await?;
    ensure!(tx.remove_share(site, &ids[0], "lms").await?);
    ensure!(!tx.remove_share(site, &ids[0], "lms").await?);
    assert_eq!(tx.forget_shares().await?, 0);
    tx.commit().await?;
    ground.clock.advance(Duration::from_secs(10));
    let mut tx = catalog.begin().await?;
    assert_eq!(tx.forget_shares().await?, 1);
    let stray = tx.put_share(&share(ground, &ArchiveId::generate(), "lms", 1)).await;
    ensure!(stray.is_err(), "a share of no archive");
    Ok(())
}

/// Shares of one archive are made one after the other, for each changes the archive's row first.
pub async fn sharing_waits_for_its_turn(ground: &Ground) -> anyhow::Result<()> {
    const MOST: u64 = 3;
    let row = ground.archive_row();
    let mut tx = ground.catalog.begin().await?;
    tx.insert_archive(&row).await?;
    tx.commit().await?;
    let mut sharing = tokio::task::JoinSet::new();
    for n in 0..8 {
        let catalog = ground.catalog.clone();
        let share = share(ground, &row.archive, &format!("principal{n}"), 60);
        sharing.spawn(async move {
            let mut tx = catalog.begin().await?;
            tx.touch_archive(&share.site, &share.archive, share.create_time).await?;
            let others = tx.count_other_shares(&share.site, &share.archive, &share.principal).await?;
            if others < MOST {
                tx.put_share(&share).await?;
            }
            tx.commit().await
        });
    }
    for ended in sharing.join_all().await {
        ended?;
    }
    let id = std::slice::from_ref(&row.archive);
    assert_eq!(ground.catalog.list_shares(&ground.site, id, None).await?.len() as u64, MOST);
    let row = ground.catalog.get_archive(&ground.site, &row.archive).await?;
    assert_eq!(row.map(|row| row.version), Some(9));
    Ok(())
}
