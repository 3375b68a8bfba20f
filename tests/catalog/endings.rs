//! How jobs end.

use std::time::Duration;

use anyhow::ensure;
use coursevault::catalog::{CatalogError, JobFilter, Newest};
use coursevault::ids::JobId;
use coursevault::job::{JobKind, JobResult, JobState};
use coursevault::reason::Reason;

use crate::ground::{Ground, LEASE, problem, progress};

pub async fn stale_tokens_are_refused_everywhere(ground: &Ground) -> anyhow::Result<()> {
    let site = &ground.site;
    ground.any_job().await?;
    let (job, stale) = ground.must_claim("one").await?;
    ground.clock.advance(LEASE);
    let (_, fresh) = ground.must_claim("two").await?;
    let lost = || CatalogError::LeaseLost { job: job.clone() };
    let trouble = problem(Reason::Internal);
    let mut tx = ground.catalog.begin().await?;
    assert_eq!(tx.heartbeat(site, &job, stale, &progress("late"), LEASE).await, Err(lost()));
    assert_eq!(tx.succeed_job(site, &job, stale, &JobResult::default()).await, Err(lost()));
    assert_eq!(tx.fail_job(site, &job, stale, &trouble).await, Err(lost()));
    assert_eq!(tx.retry_job_later(site, &job, stale, LEASE, &trouble).await, Err(lost()));
    tx.request_cancel(site, &job).await?;
    assert_eq!(tx.cancel_settled(site, &job, stale).await, Err(lost()));
    tx.commit().await?;
    let row = ground.job(&job).await?;
    assert_eq!((row.state, row.lease_token, row.progress.phase.as_str()), (JobState::Cancelling, fresh, ""));
    // the one that has it can still settle, once
    let mut tx = ground.catalog.begin().await?;
    assert_eq!(tx.cancel_settled(site, &job, fresh).await?.state, JobState::Cancelled);
    assert_eq!(tx.cancel_settled(site, &job, fresh).await, Err(lost()));
    assert_eq!(tx.heartbeat(site, &job, fresh, &progress("late"), LEASE).await, Err(lost()));
    Ok(())
}

pub async fn cancelled_jobs_cannot_succeed(ground: &Ground) -> anyhow::Result<()> {
    let site = &ground.site;
    ground.any_job().await?;
    let (job, token) = ground.must_claim("worker").await?;
    let mut tx = ground.catalog.begin().await?;
    let running = tx.cancel_settled(site, &job, token).await;
    ensure!(matches!(running, Err(CatalogError::LostRace { .. })), "nobody asked it to stop: {running:?}");
    drop(tx);
    let mut tx = ground.catalog.begin().await?;
    let asked = tx.request_cancel(site, &job).await?;
    assert_eq!((asked.state, asked.end_time), (JobState::Cancelling, None));
    assert_eq!(tx.request_cancel(site, &job).await?.version, asked.version, "asking again changes nothing");
    tx.commit().await?;
    ensure!(ground.catalog.heartbeat(site, &job, token, &progress("x"), LEASE).await?.cancel_requested);
    // what the job made is undone with its transaction
    let mut tx = ground.catalog.begin().await?;
    tx.insert_archive(&ground.archive_row()).await?;
    let refused = tx.succeed_job(site, &job, token, &JobResult::default()).await;
    assert_eq!(refused, Err(CatalogError::Cancelled { job: job.clone() }));
    drop(tx);
    let all = coursevault::catalog::ArchiveQuery::all(coursevault::principal::Principal::local());
    ensure!(ground.catalog.list_archives(site, &all, 1).await?.is_empty());
    let mut tx = ground.catalog.begin().await?;
    let trouble = problem(Reason::Internal);
    assert_eq!(
        tx.fail_job(site, &job, token, &trouble).await,
        Err(CatalogError::Cancelled { job: job.clone() })
    );
    assert_eq!(tx.cancel_settled(site, &job, token).await?.end_time, Some(ground.now()));
    let ended = CatalogError::JobEnded { job: ground.job_name(&job), state: JobState::Cancelled };
    assert_eq!(tx.request_cancel(site, &job).await, Err(ended));
    Ok(())
}

pub async fn cancel_and_succeed_race_has_one_winner(ground: &Ground) -> anyhow::Result<()> {
    for _ in 0..20 {
        ground.any_job().await?;
        let (job, token) = ground.must_claim("worker").await?;
        let cancel = async {
            let mut tx = ground.catalog.begin().await?;
            tx.request_cancel(&ground.site, &job).await?;
            tx.commit().await
        };
        let succeed = async {
            let mut tx = ground.catalog.begin().await?;
            tx.succeed_job(&ground.site, &job, token, &JobResult::default()).await?;
            tx.commit().await
        };
        let (cancelled, succeeded) = tokio::join!(cancel, succeed);
        let state = ground.job(&job).await?.state;
        match (cancelled, succeeded) {
            (Ok(()), Err(CatalogError::Cancelled { .. })) => assert_eq!(state, JobState::Cancelling),
            (Err(CatalogError::JobEnded { .. }), Ok(())) => assert_eq!(state, JobState::Succeeded),
            other => anyhow::bail!("two winners or none: {other:?}"),
        }
    }
    Ok(())
}

pub async fn waiting_jobs_are_cancelled_at_once(ground: &Ground) -> anyhow::Result<()> {
    let row = ground.any_job().await?;
    let mut tx = ground.catalog.begin().await?;
    let cancelled = tx.request_cancel(&ground.site, &row.job).await?;
    assert_eq!((cancelled.state, cancelled.end_time), (JobState::Cancelled, Some(ground.now())));
    tx.commit().await?;
    assert_eq!(ground.claim("worker").await?, None);
    let mut tx = ground.catalog.begin().await?;
    let nothing = tx.request_cancel(&ground.site, &JobId::generate()).await;
    assert_eq!(nothing.map_err(|error| error.reason()), Err(Reason::JobNotFound));
    Ok(())
}

pub async fn failed_jobs_wait_and_can_be_retried(ground: &Ground) -> anyhow::Result<()> {
    let site = &ground.site;
    ground.any_job().await?;
    let (job, token) = ground.must_claim("worker").await?;
    let mut tx = ground.catalog.begin().await?;
    let not_retryable = |state| CatalogError::JobNotRetryable { job: ground.job_name(&job), state };
    assert_eq!(tx.retry_job(site, &job).await, Err(not_retryable(JobState::Running)));
    let failed = tx.fail_job(site, &job, token, &problem(Reason::StorageFull)).await?;
    assert_eq!((failed.state, failed.end_time), (JobState::Failed, Some(ground.now())));
    assert_eq!(failed.problem, Some(problem(Reason::StorageFull)));
    let again = tx.retry_job(site, &job).await?;
    assert_eq!(
        (again.state, again.attempts, again.problem, again.end_time),
        (JobState::Pending, 1, None, None)
    );
    tx.commit().await?;
    let (_, token) = ground.must_claim("worker").await?;
    let result = JobResult { revision: Some(4), ..JobResult::default() };
    let mut tx = ground.catalog.begin().await?;
    let done = tx.succeed_job(site, &job, token, &result).await?;
    tx.commit().await?;
    assert_eq!((done.state, done.result.as_ref(), done.attempts), (JobState::Succeeded, Some(&result), 2));
    assert_eq!(ground.job(&job).await?, done);
    let mut tx = ground.catalog.begin().await?;
    assert_eq!(tx.retry_job(site, &job).await, Err(not_retryable(JobState::Succeeded)));
    assert_eq!(ground.catalog.count_open_jobs().await?, 0);
    Ok(())
}

pub async fn jobs_page_without_gaps_or_doubles(ground: &Ground) -> anyhow::Result<()> {
    for n in 0..30 {
        if n % 4 == 0 {
            ground.clock.advance(Duration::from_millis(1));
        }
        ground.insert_job(&ground.new_job((n % 2 == 0).then_some("rich"), false)?).await?;
    }
    ground.must_claim("worker").await?;
    let filters = [
        (JobFilter::default(), 30),
        (JobFilter { state: Some(JobState::Running), ..JobFilter::default() }, 1),
        (JobFilter { kind: Some(JobKind::Rollback), ..JobFilter::default() }, 30),
        (JobFilter { kind: Some(JobKind::Ingest), ..JobFilter::default() }, 0),
        (JobFilter { course: Some("rich".parse()?), ..JobFilter::default() }, 15),
    ];
    for (filter, expected) in filters {
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let page = ground.catalog.list_jobs(&ground.site, &filter, after.as_ref(), 7).await?;
            let Some(last) = page.last() else { break };
            after = Some(Newest { create_time: last.create_time, id: last.job.clone() });
            seen.extend(page.into_iter().map(|row| (row.create_time, row.job)));
        }
        ensure!(seen.is_sorted_by(|a, b| a > b), "newest first, none twice");
        assert_eq!(seen.len(), expected);
    }
    Ok(())
}
