//! Who works on what.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::ensure;
use coursevault::catalog::CatalogError;
use coursevault::ids::{JobId, SiteId};
use coursevault::job::{JobPayload, JobResult, JobState, Priority};
use coursevault::reason::Reason;

use crate::ground::{Ground, LEASE, problem, progress};

pub async fn many_workers_take_each_job_once(ground: &Ground) -> anyhow::Result<()> {
    let mut tx = ground.catalog.begin().await?;
    for _ in 0..200 {
        tx.insert_job(&ground.new_job(None, false)?).await?;
    }
    tx.commit().await?;
    assert_eq!(ground.catalog.count_open_jobs().await?, 200);
    let mut workers = tokio::task::JoinSet::new();
    for n in 0..16 {
        let catalog = ground.catalog.clone();
        workers.spawn(async move {
            let mut taken = Vec::new();
            while let Some(claimed) = catalog.claim_job(&format!("worker{n}"), LEASE).await? {
                taken.push(claimed.job.job);
            }
            Ok::<Vec<JobId>, CatalogError>(taken)
        });
    }
    let taken: Result<Vec<_>, _> = workers.join_all().await.into_iter().collect();
    let taken: Vec<_> = taken?.into_iter().flatten().collect();
    assert_eq!((taken.len(), taken.iter().collect::<BTreeSet<_>>().len()), (200, 200));
    Ok(())
}

pub async fn urgent_jobs_first_then_the_idle_site(ground: &Ground) -> anyhow::Result<()> {
    let other: SiteId = "other".parse()?;
    ground.insert_site(&other).await?;
    let mut expected = Vec::new();
    // asked for in the order of the first number, taken in the order of the second
    let asked = [
        (Priority::Automated, &ground.site, 6),
        (Priority::Requested, &ground.site, 2),
        (Priority::Requested, &ground.site, 4),
        (Priority::Requested, &ground.site, 5),
        (Priority::Requested, &other, 1),
        (Priority::Requested, &other, 3),
        (Priority::Interactive, &ground.site, 0),
    ];
    for (priority, site, place) in asked {
        ground.clock.advance(Duration::from_millis(1));
        let mut new = ground.new_job(None, false)?;
        (new.priority, new.site) = (priority, site.clone());
        ground.insert_job(&new).await?;
        expected.push((place, new.job));
    }
    expected.sort();
    // The interactive one runs on `main`, so `other` is next although it asked last; then both have one, and the
    // older request wins, and so on in turns.
    for (place, job) in expected {
        let (claimed, _) = ground.must_claim("worker").await?;
        assert_eq!(claimed, job, "place {place}");
    }
    assert_eq!(ground.claim("worker").await?, None);
    Ok(())
}

pub async fn one_collection_of_a_site_at_a_time(ground: &Ground) -> anyhow::Result<()> {
    let other: SiteId = "other".parse()?;
    ground.insert_site(&other).await?;
    for site in [&ground.site, &ground.site, &other] {
        ground.clock.advance(Duration::from_millis(1));
        let mut new = ground.new_job(None, false)?;
        new.payload = JobPayload::Collect { dry_run: false, min_age_seconds: 0, accept_most: false };
        new.site = site.clone();
        ground.insert_job(&new).await?;
    }
    let (first, token) = ground.must_claim("one").await?;
    let (elsewhere, _) = ground.must_claim("one").await?;
    assert_eq!(ground.claim("two").await?, None);
    // Other work goes past the one that waits.
    let row = ground.any_job().await?;
    assert_eq!(ground.must_claim("two").await?.0, row.job);
    let mut tx = ground.catalog.begin().await?;
    tx.succeed_job(&ground.site, &first, token, &JobResult::default()).await?;
    tx.commit().await?;
    let (second, _) = ground.must_claim("two").await?;
    ensure!(second != first && second != elsewhere, "{second}");
    Ok(())
}

pub async fn jobs_wait_until_due(ground: &Ground) -> anyhow::Result<()> {
    let row = ground.any_job().await?;
    let (job, token) = ground.must_claim("worker").await?;
    let mut tx = ground.catalog.begin().await?;
    let wait = Duration::from_secs(4);
    let row_after =
        tx.retry_job_later(&row.site, &job, token, wait, &problem(Reason::StorageUnavailable)).await?;
    tx.commit().await?;
    assert_eq!((row_after.state, row_after.run_after), (JobState::Pending, ground.now().plus(wait)));
    assert_eq!(row_after.problem, Some(problem(Reason::StorageUnavailable)));
    ground.clock.advance(Duration::from_millis(3999));
    assert_eq!(ground.claim("worker").await?, None);
    ground.clock.advance(Duration::from_millis(1));
    assert_eq!(ground.must_claim("worker").await?, (job.clone(), token + 1));
    assert_eq!(ground.job(&job).await?.attempts, 2);
    Ok(())
}

pub async fn expired_leases_are_taken_over(ground: &Ground) -> anyhow::Result<()> {
    let row = ground.any_job().await?;
    let (job, first) = ground.must_claim("one").await?;
    let begun = ground.now();
    ground.clock.advance(LEASE - Duration::from_millis(1));
    assert_eq!(ground.claim("two").await?, None);
    // a sign of life keeps the lease
    let answer = ground.catalog.heartbeat(&row.site, &job, first, &progress("reading"), LEASE).await?;
    ensure!(!answer.cancel_requested);
    ground.clock.advance(LEASE - Duration::from_millis(1));
    assert_eq!(ground.claim("two").await?, None);
    ground.clock.advance(Duration::from_millis(1));
    let (again, second) = ground.must_claim("two").await?;
    assert_eq!((&again, second), (&job, first + 1));
    let row = ground.job(&job).await?;
    assert_eq!((row.state, row.attempts, row.lease_owner.as_deref()), (JobState::Running, 2, Some("two")));
    assert_eq!((row.start_time, row.progress), (Some(begun), progress("reading")));

    // one that was asked to stop is taken over, too, and stays so
    let mut tx = ground.catalog.begin().await?;
    tx.request_cancel(&row.site, &job).await?;
    tx.commit().await?;
    ground.clock.advance(LEASE);
    let claimed = ground.catalog.claim_job("three", LEASE).await?;
    assert_eq!(
        claimed.map(|claimed| (claimed.job.state, claimed.token)),
        Some((JobState::Cancelling, second + 1))
    );
    Ok(())
}

pub async fn exclusive_jobs_run_alone(ground: &Ground) -> anyhow::Result<()> {
    let backup = ground.insert_job(&ground.new_job(Some("rich"), false)?).await?;
    let (first, first_token) = ground.must_claim("worker").await?;
    assert_eq!(first, backup.job);
    // a restore waits for the backup, work on other courses does not
    ground.clock.advance(Duration::from_millis(1));
    let restore = ground.insert_job(&ground.new_job(Some("rich"), true)?).await?;
    assert_eq!(ground.claim("worker").await?, None);
    let elsewhere = ground.insert_job(&ground.new_job(Some("poor"), true)?).await?;
    assert_eq!(ground.must_claim("worker").await?.0, elsewhere.job);
    let mut tx = ground.catalog.begin().await?;
    tx.succeed_job(&ground.site, &first, first_token, &JobResult::default()).await?;
    tx.commit().await?;
    let (second, second_token) = ground.must_claim("worker").await?;
    assert_eq!(second, restore.job);
    // and a backup waits for the restore, even one that is asked to stop
    let late = ground.insert_job(&ground.new_job(Some("rich"), false)?).await?;
    assert_eq!(ground.claim("worker").await?, None);
    let mut tx = ground.catalog.begin().await?;
    tx.request_cancel(&ground.site, &second).await?;
    tx.commit().await?;
    assert_eq!(ground.claim("worker").await?, None);
    let mut tx = ground.catalog.begin().await?;
    tx.cancel_settled(&ground.site, &second, second_token).await?;
    tx.commit().await?;
    assert_eq!(ground.must_claim("worker").await?.0, late.job);
    Ok(())
}

pub async fn exclusive_jobs_never_overlap_under_contention(ground: &Ground) -> anyhow::Result<()> {
    for round in 0..10 {
        let course = format!("course{round}");
        let mut tx = ground.catalog.begin().await?;
        let restore = tx.insert_job(&ground.new_job(Some(&course), true)?).await?;
        for _ in 0..3 {
            tx.insert_job(&ground.new_job(Some(&course), false)?).await?;
        }
        tx.commit().await?;
        let mut workers = tokio::task::JoinSet::new();
        for n in 0..8 {
            let catalog = ground.catalog.clone();
            workers.spawn(async move { catalog.claim_job(&format!("worker{n}"), LEASE).await });
        }
        let claimed: Result<Vec<_>, _> = workers.join_all().await.into_iter().collect();
        let claimed: Vec<_> = claimed?.into_iter().flatten().map(|claimed| claimed.job).collect();
        let restores = claimed.iter().filter(|row| row.job == restore.job).count();
        let alone = restores == 1 && claimed.len() == 1;
        ensure!(alone || restores == 0 && claimed.len() == 3, "{restores} of {} run", claimed.len());
    }
    Ok(())
}

fn busy(ground: &Ground, job: &JobId) -> CatalogError {
    CatalogError::CourseBusy { holder: ground.job_name(job), state: JobState::Pending }
}

pub async fn second_exclusive_job_is_refused(ground: &Ground) -> anyhow::Result<()> {
    let mut jobs = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (catalog, new) = (ground.catalog.clone(), ground.new_job(Some("rich"), true)?);
        jobs.spawn(async move {
            let mut tx = catalog.begin().await?;
            let row = tx.insert_job(&new).await?;
            tx.commit().await?;
            Ok::<_, CatalogError>(row.job)
        });
    }
    let answers = jobs.join_all().await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    let won: Vec<JobId> = won.into_iter().collect::<Result<_, _>>()?;
    assert_eq!((won.len(), lost.len()), (1, 7));
    for lost in lost {
        assert_eq!(lost, Err(busy(ground, &won[0])));
    }
    // on another course, and without a course, nobody is in the way
    ground.insert_job(&ground.new_job(Some("poor"), true)?).await?;
    ground.insert_job(&ground.new_job(None, true)?).await?;
    ground.insert_job(&ground.new_job(None, true)?).await?;
    // one that failed frees the course, and can be retried only when it is free again
    let mut tx = ground.catalog.begin().await?;
    tx.request_cancel(&ground.site, &won[0]).await?;
    let holder = tx.insert_job(&ground.new_job(Some("rich"), true)?).await?.job;
    assert_eq!(tx.retry_job(&ground.site, &won[0]).await, Err(busy(ground, &holder)));
    tx.request_cancel(&ground.site, &holder).await?;
    assert_eq!(tx.retry_job(&ground.site, &won[0]).await?.state, JobState::Pending);
    Ok(())
}

pub async fn leases_are_handed_over(ground: &Ground) -> anyhow::Result<()> {
    let running = ground.any_job().await?;
    ground.clock.advance(Duration::from_millis(1));
    let stopping = ground.any_job().await?;
    let (_, token) = ground.must_claim("one").await?;
    let (_, stopping_token) = ground.must_claim("one").await?;
    let mut tx = ground.catalog.begin().await?;
    tx.request_cancel(&ground.site, &stopping.job).await?;
    assert_eq!(tx.release_leases_of("two").await?, 0);
    assert_eq!(tx.release_leases_of("one").await?, 2);
    tx.commit().await?;
    let row = ground.job(&running.job).await?;
    assert_eq!((row.state, row.attempts, row.lease_owner), (JobState::Pending, 0, None));
    assert_eq!(ground.job(&stopping.job).await?.state, JobState::Cancelling);
    let mut tx = ground.catalog.begin().await?;
    let stale = tx.succeed_job(&ground.site, &running.job, token, &JobResult::default()).await;
    assert_eq!(stale, Err(CatalogError::LeaseLost { job: running.job.clone() }));
    let stale = tx.cancel_settled(&ground.site, &stopping.job, stopping_token).await;
    assert_eq!(stale, Err(CatalogError::LeaseLost { job: stopping.job.clone() }));
    drop(tx);
    let taken = BTreeSet::from([ground.must_claim("two").await?.0, ground.must_claim("two").await?.0]);
    assert_eq!(taken, BTreeSet::from([running.job.clone(), stopping.job]));
    assert_eq!(ground.job(&running.job).await?.attempts, 1);

    // a server that was killed comes back: the attempt counts, the lease does not
    let mut tx = ground.catalog.begin().await?;
    assert_eq!(tx.release_all_leases().await?, 2);
    tx.commit().await?;
    assert_eq!(ground.job(&running.job).await?.state, JobState::Running);
    ground.must_claim("three").await?;
    ground.must_claim("three").await?;
    assert_eq!(ground.job(&running.job).await?.attempts, 2);
    Ok(())
}

pub async fn damaged_jobs_do_not_block_the_queue(ground: &Ground) -> anyhow::Result<()> {
    ground.any_job().await?;
    ground.damage("UPDATE jobs SET payload = '{\"version\":99}'").await?;
    ground.clock.advance(Duration::from_millis(1));
    let sound = ground.any_job().await?;
    assert_eq!(ground.must_claim("worker").await?.0, sound.job);
    assert_eq!(ground.claim("worker").await?, None);
    assert_eq!(ground.catalog.count_open_jobs().await?, 1);
    Ok(())
}
