//! Upload sessions.

use std::time::Duration;

use anyhow::ensure;
use coursevault::catalog::{Area, CatalogError, NewPart, PartRow, UploadRow, UploadState};
use coursevault::ids::{ArchiveId, JobId, UploadId};
use coursevault::reason::Reason;

use crate::ground::{Ground, LEASE, problem};

async fn open_upload(ground: &Ground) -> anyhow::Result<UploadId> {
    let row = UploadRow {
        site: ground.site.clone(),
        upload: UploadId::generate(),
        state: UploadState::Open,
        storage: ground.storage.clone(),
        area: Area::DropZone,
        course: Some("rich".parse()?),
        file_name: "backup.mbz".into(),
        owner: "teacher".into(),
        committed_bytes: 0,
        writer_token: 0,
        writer_until: ground.now(),
        job: None,
        archive: None,
        last_problem: None,
        create_time: ground.now(),
        expire_time: ground.now().plus(Duration::from_secs(60)),
    };
    let mut tx = ground.catalog.begin().await?;
    tx.insert_upload(&row).await?;
    tx.commit().await?;
    assert_eq!(ground.catalog.get_upload(&ground.site, &row.upload).await?, Some(row.clone()));
    Ok(row.upload)
}

fn part(ground: &Ground, token: i64, offset: u64, size: u64) -> NewPart {
    let expire_time = ground.now().plus(Duration::from_secs(120));
    NewPart { token, part: PartRow { offset, size }, lease: LEASE, expire_time }
}

pub async fn one_writer_at_a_time(ground: &Ground) -> anyhow::Result<()> {
    let (site, upload) = (&ground.site, open_upload(ground).await?);
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (catalog, site, upload) = (ground.catalog.clone(), site.clone(), upload.clone());
        writers.spawn(async move {
            let mut tx = catalog.begin().await?;
            let lease = tx.acquire_writer(&site, &upload, LEASE).await?;
            tx.commit().await?;
            Ok::<_, CatalogError>(lease)
        });
    }
    let (won, lost): (Vec<_>, Vec<_>) = writers.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 7));
    let until = ground.now().plus(LEASE);
    for lost in lost {
        assert_eq!(lost, Err(CatalogError::UploadBusy { upload: ground.upload_name(&upload), until }));
    }
    let first = won.into_iter().collect::<Result<Vec<_>, _>>()?[0];
    // a renewed lease lives, an old one ends, and its writer is shut out
    ground.clock.advance(LEASE / 2);
    let mut tx = ground.catalog.begin().await?;
    tx.renew_writer(site, &upload, first.token, LEASE).await?;
    tx.commit().await?;
    ground.clock.advance(LEASE - Duration::from_millis(1));
    let mut tx = ground.catalog.begin().await?;
    assert_eq!(
        tx.acquire_writer(site, &upload, LEASE).await.map_err(|e| e.reason()),
        Err(Reason::UploadBusy)
    );
    ground.clock.advance(Duration::from_millis(1));
    let second = tx.acquire_writer(site, &upload, LEASE).await?;
    assert_eq!(second.token, first.token + 1);
    let late = tx.add_part(site, &upload, &part(ground, first.token, 0, 5)).await;
    let busy = CatalogError::UploadBusy { upload: ground.upload_name(&upload), until: second.until };
    assert_eq!(late, Err(busy.clone()));
    let late = tx.renew_writer(site, &upload, first.token, LEASE).await;
    assert_eq!(late, Err(busy));
    // giving back what another one has changes nothing; giving back one's own lets the next in at once
    tx.release_writer(site, &upload, first.token).await?;
    assert_eq!(
        tx.acquire_writer(site, &upload, LEASE).await.map_err(|e| e.reason()),
        Err(Reason::UploadBusy)
    );
    tx.release_writer(site, &upload, second.token).await?;
    let third = tx.acquire_writer(site, &upload, LEASE).await?;
    assert_eq!(third.token, second.token + 1);
    // a server that was killed comes back: its writers are gone, and shut out should one of them live
    assert_eq!(tx.release_all_leases().await?, 0);
    let late = tx.add_part(site, &upload, &part(ground, third.token, 0, 5)).await;
    assert_eq!(late.map_err(|e| e.reason()), Err(Reason::UploadBusy));
    assert_eq!(tx.acquire_writer(site, &upload, LEASE).await?.token, third.token + 2);
    Ok(())
}

pub async fn parts_follow_each_other(ground: &Ground) -> anyhow::Result<()> {
    let (site, upload) = (&ground.site, open_upload(ground).await?);
    let mut tx = ground.catalog.begin().await?;
    let token = tx.acquire_writer(site, &upload, LEASE).await?.token;
    assert_eq!(tx.add_part(site, &upload, &part(ground, token, 0, 8)).await?, 8);
    assert_eq!(tx.add_part(site, &upload, &part(ground, token, 8, 4)).await?, 12);
    for offset in [0, 8, 13] {
        let wrong = tx.add_part(site, &upload, &part(ground, token, offset, 1)).await;
        let upload = ground.upload_name(&upload);
        assert_eq!(wrong, Err(CatalogError::UploadOffset { upload, committed_bytes: 12 }));
    }
    tx.release_writer(site, &upload, token).await?;
    tx.commit().await?;
    let expected = [PartRow { offset: 0, size: 8 }, PartRow { offset: 8, size: 4 }];
    assert_eq!(ground.catalog.list_parts(site, &upload).await?, expected);
    let mut tx = ground.catalog.begin().await?;
    assert_eq!(tx.acquire_writer(site, &upload, LEASE).await?.committed_bytes, 12);
    Ok(())
}

pub async fn sessions_move_along_their_states(ground: &Ground) -> anyhow::Result<()> {
    let (site, upload, job) = (&ground.site, open_upload(ground).await?, JobId::generate());
    let mut tx = ground.catalog.begin().await?;
    let token = tx.acquire_writer(site, &upload, LEASE).await?.token;
    tx.add_part(site, &upload, &part(ground, token, 0, 8)).await?;
    let finishing = tx.start_finishing(site, &upload, &job).await?;
    assert_eq!((finishing.state, finishing.job.as_ref()), (UploadState::Finishing, Some(&job)));
    // the writer is shut out, nobody else gets in, and nobody finishes twice
    let late = tx.add_part(site, &upload, &part(ground, token, 8, 1)).await;
    let not_open = CatalogError::UploadNotOpen {
        upload: ground.upload_name(&upload),
        state: UploadState::Finishing,
        job: Some(ground.job_name(&job)),
    };
    assert_eq!(late, Err(not_open));
    let closed = tx.acquire_writer(site, &upload, LEASE).await.map_err(|error| error.reason());
    assert_eq!(closed, Err(Reason::UploadNotOpen));
    let twice = tx.start_finishing(site, &upload, &JobId::generate()).await;
    ensure!(matches!(twice, Err(CatalogError::LostRace { .. })), "{twice:?}");
    let aborted = tx.abort_upload(site, &upload).await;
    ensure!(matches!(aborted, Err(CatalogError::LostRace { .. })), "{aborted:?}");
    // only its job may end it
    let expire_time = ground.now().plus(Duration::from_secs(500));
    let trouble = problem(Reason::ArchiveCorrupt);
    let other = tx.reopen_upload(site, &upload, &JobId::generate(), &trouble, expire_time).await;
    ensure!(matches!(other, Err(CatalogError::LostRace { .. })), "{other:?}");
    let open = tx.reopen_upload(site, &upload, &job, &trouble, expire_time).await?;
    assert_eq!(
        (open.state, open.last_problem, open.expire_time),
        (UploadState::Open, Some(trouble), expire_time)
    );
    let second = JobId::generate();
    assert_eq!(tx.start_finishing(site, &upload, &second).await?.last_problem, None);
    let archive = ArchiveId::generate();
    let finished = tx.finish_upload(site, &upload, &second, &archive).await?;
    assert_eq!((finished.state, finished.archive), (UploadState::Finished, Some(archive)));
    assert_eq!(tx.forget_parts(site, &upload).await?, 1);
    tx.commit().await?;
    let given_up = open_upload(ground).await?;
    let mut tx = ground.catalog.begin().await?;
    assert_eq!(tx.abort_upload(site, &given_up).await?.state, UploadState::Aborted);
    let nothing = tx.abort_upload(site, &UploadId::generate()).await.map_err(|error| error.reason());
    assert_eq!(nothing, Err(Reason::UploadNotFound));
    Ok(())
}

pub async fn idle_sessions_expire(ground: &Ground) -> anyhow::Result<()> {
    let (site, idle, busy) = (&ground.site, open_upload(ground).await?, open_upload(ground).await?);
    let mut tx = ground.catalog.begin().await?;
    let token = tx.acquire_writer(site, &busy, LEASE).await?.token;
    tx.add_part(site, &busy, &part(ground, token, 0, 8)).await?;
    tx.commit().await?;
    let expired = async |ground: &Ground| {
        let rows = ground.catalog.list_expired_uploads(ground.now(), 10).await?;
        anyhow::Ok(rows.into_iter().map(|row| row.upload).collect::<Vec<_>>())
    };
    assert_eq!(expired(ground).await?, []);
    ground.clock.advance(Duration::from_secs(60));
    assert_eq!(expired(ground).await?, std::slice::from_ref(&idle));
    ground.clock.advance(Duration::from_secs(60));
    assert_eq!(expired(ground).await?, [idle, busy]);
    Ok(())
}
