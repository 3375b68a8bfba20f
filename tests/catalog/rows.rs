//! Rows that cannot be, rows that are not there, and opening.

use anyhow::ensure;
use coursevault::catalog::{CatalogError, JobFilter};
use coursevault::clock::{Clock, SystemClock};
use coursevault::ids::{ArchiveId, JobId};
use coursevault::reason::Reason;

use crate::ground::{Ground, LEASE, problem, progress};

pub async fn bad_cells_are_named(ground: &Ground) -> anyhow::Result<()> {
    let archive = ground.archive_row();
    let mut tx = ground.catalog.begin().await?;
    tx.insert_archive(&archive).await?;
    tx.commit().await?;
    let job = ground.any_job().await?;
    let key = format!("main/{}", archive.archive);
    let damages = [
        ("UPDATE archives SET findings = 'nothing'", "findings"),
        ("UPDATE archives SET includes_users = 2", "includes_users"),
        ("UPDATE archives SET upload_sha256 = 'ABC'", "upload_sha256"),
        ("UPDATE archives SET tree_members = -1", "tree_members"),
        ("UPDATE archives SET tree_root = ''", "tree_root"),
        ("UPDATE archives SET area = 'ATTIC'", "area"),
    ];
    // each stands before the one that was damaged before
    for (statement, column) in damages {
        assert_eq!(ground.damage(statement).await?, 1);
        let read = ground.catalog.get_archive(&ground.site, &archive.archive).await;
        assert_eq!(read, Err(CatalogError::Corrupt { table: "archives", key: key.clone(), column }));
        assert_eq!(read.map_err(|error| error.reason()), Err(Reason::CatalogCorrupt));
    }
    ground.damage("UPDATE jobs SET kind = 'INGEST'").await?;
    let key = format!("main/{}", job.job);
    let listed = ground.catalog.list_jobs(&ground.site, &JobFilter::default(), None, 9).await;
    assert_eq!(listed, Err(CatalogError::Corrupt { table: "jobs", key, column: "kind" }));
    Ok(())
}

pub async fn unknown_rows_are_not_found(ground: &Ground) -> anyhow::Result<()> {
    let (site, job) = (&ground.site, JobId::generate());
    assert_eq!(ground.catalog.get_job(site, &job).await?, None);
    assert_eq!(ground.catalog.get_archive(site, &ArchiveId::generate()).await?, None);
    let mut tx = ground.catalog.begin().await?;
    let missing = [
        tx.fail_job(site, &job, 1, &problem(Reason::Internal)).await.map(|_| ()),
        tx.retry_job(site, &job).await.map(|_| ()),
        tx.heartbeat(site, &job, 1, &progress("x"), LEASE).await.map(|_| ()),
    ];
    for missing in missing {
        assert_eq!(missing.map_err(|error| error.reason()), Err(Reason::JobNotFound));
    }
    let course = ground.course_row("rich")?;
    let missing = tx.set_live_revision(&course, None).await;
    assert_eq!(missing.map_err(|error| error.reason()), Err(Reason::CourseNotFound));
    // a row of a site that is not there
    let mut stray = course;
    stray.site = "nowhere".parse()?;
    let refused = tx.insert_course(&stray).await;
    ensure!(matches!(refused, Err(CatalogError::Driver { .. })), "{refused:?}");
    ensure!(refused.is_err_and(|error| !error.is_retryable()));
    Ok(())
}

pub async fn catalogs_open_twice(ground: &Ground) -> anyhow::Result<()> {
    let job = ground.any_job().await?;
    let (one, two) = tokio::join!(ground.reopen(), ground.reopen());
    for other in [one?, two?] {
        assert_eq!(other.deployment_id(), ground.catalog.deployment_id());
        assert_eq!(other.get_job(&ground.site, &job.job).await?, Some(job.clone()));
        other.check().await?;
        other.close().await;
        ensure!(other.check().await.is_err_and(|error| error.reason() == Reason::CatalogUnavailable));
    }
    Ok(())
}

pub async fn clocks_agree(ground: &Ground) -> anyhow::Result<()> {
    let catalog = ground.reopen().await?;
    let before = SystemClock.now();
    let (read, written) = (catalog.now().await?, catalog.begin().await?.now().await?);
    let after = SystemClock.now();
    ensure!(
        before <= read && read <= written && written <= after,
        "{before:?} {read:?} {written:?} {after:?}"
    );
    ground.any_job().await?;
    // made by the clock that stands in the past, so it is due by the database's
    ensure!(catalog.claim_job("worker", LEASE).await?.is_some());
    Ok(())
}
