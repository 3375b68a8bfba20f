//! Runs jobs: claim, run under a lease, settle. Any number of workers may run on one catalog.
//!
//! It knows what a job's life is, not what a job does: that is the engine's.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::catalog::{ClaimedJob, Dialect, JobRow};
use crate::engine::{Engine, Error, JobContext, trace};
use crate::job::JobState;
use crate::reason::Reason;
use crate::{metric, telemetry};

/// Due jobs of other replicas, and expired leases, are looked for this often.
const LOOK: Duration = Duration::from_secs(1);

/// What the service does by itself is looked for this often.
const TICK: Duration = Duration::from_secs(5);

/// Leftovers are looked for this often.
const SWEEP: Duration = Duration::from_secs(900);

/// What is due by itself is looked for this often.
const CHORES: Duration = Duration::from_secs(60);

/// A job that takes its process down each time is begun so often. Far above the attempts after errors.
const MAX_CLAIMS: u32 = 20;

/// Claims and runs jobs until it is told to stop.
pub struct Worker {
    engine: Engine,
    /// The name under which this process claims.
    owner: String,
    slots: Arc<Semaphore>,
    running: TaskTracker,
    stop: CancellationToken,
}

impl Worker {
    /// A worker that claims as `owner` and stops with `stop`.
    pub fn new(engine: Engine, owner: String, stop: CancellationToken) -> Self {
        let slots = Arc::new(Semaphore::new(engine.limits().concurrent_jobs));
        Self { engine, owner, slots, running: TaskTracker::new(), stop }
    }

    /// Runs jobs until told to stop, then hands the unfinished ones back for others to claim.
    pub async fn run(self) {
        let journal = tokio::spawn(keep_journal(self.engine.clone(), self.stop.clone()));
        let chores = tokio::spawn(keep_chores(self.engine.clone(), self.stop.clone()));
        let sweeps = tokio::spawn(keep_clean(self.engine.clone(), self.stop.clone()));
        let schedule = tokio::spawn(keep_schedule(self.engine.clone(), self.stop.clone()));
        while !self.stop.is_cancelled() {
            let claimed = tokio::select! {
                () = self.stop.cancelled() => break,
                claimed = self.claim() => claimed,
            };
            match claimed {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => tracing::warn!(error = error.chain(), "no job could be claimed"),
            }
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = self.engine.work_arrived() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
        self.running.close();
        self.running.wait().await;
        if let Err(error) = self.engine.hand_back(&self.owner).await {
            tracing::warn!(error = error.chain(), "jobs wait for the end of their leases");
        }
        // What was decided last is told, too, as far as the time to stop allows.
        self.engine.flush_journal().await;
        // They end with the same signal, and never by themselves.
        drop((journal.await, chores.await, sweeps.await, schedule.await));
    }

    /// For a process that leaves jobs to others: only brings to the journal what its calls decide.
    pub async fn run_without_jobs(self) {
        keep_journal(self.engine.clone(), self.stop.clone()).await;
        self.engine.flush_journal().await;
    }

    /// Claims a job and starts it, as soon as a slot is free. `false`: there is none.
    async fn claim(&self) -> Result<bool, Error> {
        let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else { return Ok(false) };
        let Some(claimed) = self.engine.claim_job(&self.owner).await? else { return Ok(false) };
        let (engine, stop) = (self.engine.clone(), self.stop.clone());
        self.running.spawn(async move {
            Box::pin(run(&engine, claimed, stop)).await;
            drop(slot);
            engine.job_changed();
        });
        Ok(true)
    }
}

/// Brings events to the journal that could not be brought there with their facts. Beside the claims, for a storage that
/// does not answer takes minutes to say so.
async fn keep_journal(engine: Engine, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = engine.flush_journal() => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Asks for what is due. Whatever stops it in the middle, the rest is still due.
async fn keep_schedule(engine: Engine, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = engine.keep_schedule() => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

/// Begins what is due by itself.
async fn keep_chores(engine: Engine, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = engine.begin_chores() => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(CHORES) => {}
        }
    }
}

/// Clears up now and then. A server that starts on a catalog of one process has the storages for itself.
async fn keep_clean(engine: Engine, stop: CancellationToken) {
    let mut alone = engine.catalog().dialect() == Dialect::Sqlite;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = engine.sweep(alone) => {}
        }
        alone = false;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(SWEEP) => {}
        }
    }
}

/// Why a job was left.
enum Left {
    /// It was asked to stop.
    Cancelled,
    /// Another worker has it, or may have it.
    Lost,
    /// This process stops.
    Stopping,
}

/// Runs a job as a step of the trace of the call that asked for it.
async fn run(engine: &Engine, claimed: ClaimedJob, stop: CancellationToken) {
    let parent = claimed.job.trace.as_deref().and_then(|trace| trace.parse().ok());
    let (job, kind) = (&claimed.job.job, claimed.job.payload.kind());
    let span = tracing::info_span!("job", job = %job, kind = %kind, trace_id = tracing::field::Empty);
    let here = telemetry::follow(&span, parent).unwrap_or_else(|| trace::next(parent));
    span.record("trace_id", here.trace_id());
    Box::pin(trace::within(here, run_claimed(engine, claimed, stop))).instrument(span).await;
}

async fn run_claimed(engine: &Engine, claimed: ClaimedJob, stop: CancellationToken) {
    let begin = Instant::now();
    let context = JobContext::new(&claimed);
    let row = &claimed.job;
    let kind = row.payload.kind().as_str();
    tracing::info!(job = %context.name, kind = %row.payload.kind(), attempt = row.attempts, "job begins");
    engine.job_changed();
    let done = tokio::select! {
        done = attempt(engine, row, &context) => Ok(done),
        left = leave(engine, &context, &stop) => Err(left),
    };
    metrics::histogram!(metric::JOB_SECONDS, "kind" => kind).record(begin.elapsed().as_secs_f64());
    let settled = match done {
        Ok(Ok(())) => {
            tracing::info!(job = %context.name, "job succeeded");
            let state = JobState::Succeeded.as_str();
            metrics::counter!(metric::JOBS_ENDED, "kind" => kind, "state" => state).increment(1);
            Ok(())
        }
        Ok(Err(error)) => unsuccessful(engine, row, &context, error).await,
        Err(Left::Cancelled) => unsuccessful(engine, row, &context, cancelled()).await,
        Err(Left::Lost) => lost(engine, &context).await,
        // All of this worker's jobs are handed back at once, after the last of them has stopped.
        Err(Left::Stopping) => Ok(()),
    };
    if let Err(error) = settled {
        tracing::warn!(job = %context.name, error = error.chain(), "job is left to its next claim");
    }
}

/// Runs a job. One that panics fails like any other: it must not come back for ever, each time with its next claim.
async fn attempt(engine: &Engine, row: &JobRow, context: &JobContext) -> Result<(), Error> {
    if row.attempts > MAX_CLAIMS {
        let message = format!("the job was begun {MAX_CLAIMS} times and never came to an end");
        return Err(Error::new(Reason::JobAttemptsExhausted, message));
    }
    let running = AssertUnwindSafe(engine.run_job(row, context)).catch_unwind();
    running.await.unwrap_or_else(|_| Err(Error::new(Reason::Internal, "the job failed unexpectedly")))
}

/// A sign of life that comes just after the job's end finds no lease either.
async fn lost(engine: &Engine, context: &JobContext) -> Result<(), Error> {
    let row = engine.get_job(&context.name).await?;
    if row.state.is_ended() && row.lease_token == context.token {
        tracing::info!(job = %context.name, state = %row.state, "job has ended");
        return Ok(());
    }
    metrics::counter!(metric::LEASES_LOST, "kind" => row.payload.kind().as_str()).increment(1);
    Err(Error::new(Reason::JobLeaseLost, "another worker has the job"))
}

fn cancelled() -> Error {
    Error::new(Reason::JobCancelled, "the job was cancelled")
}

async fn unsuccessful(
    engine: &Engine,
    row: &JobRow,
    context: &JobContext,
    error: Error,
) -> Result<(), Error> {
    match error.reason {
        Reason::JobLeaseLost => return Err(error),
        Reason::JobCancelled => tracing::info!(job = %context.name, "job was cancelled"),
        reason => {
            let reason = reason.as_str();
            tracing::warn!(job = %context.name, reason, error = error.chain(), "job did not succeed");
        }
    }
    match engine.settle_unsuccessful(row, context, &error).await {
        // It was asked to stop just before it failed.
        Err(late) if late.reason == Reason::JobCancelled && error.reason != late.reason => {
            engine.settle_unsuccessful(row, context, &cancelled()).await
        }
        settled => settled,
    }
}

/// Gives signs of life until there is a reason to leave the job.
async fn leave(engine: &Engine, context: &JobContext, stop: &CancellationToken) -> Left {
    let lease = engine.rules().lease;
    let mut missed = 0;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Left::Stopping,
            () = tokio::time::sleep((lease / 6).min(Duration::from_secs(1))) => {}
        }
        let name = &context.name;
        match engine.heartbeat(context).await {
            Ok(true) => return Left::Cancelled,
            Ok(false) => missed = 0,
            Err(error) if error.reason == Reason::JobLeaseLost => return Left::Lost,
            Err(error) => {
                missed += 1;
                tracing::warn!(job = %name, error = error.chain(), missed, "no sign of life could be given");
                // After this the lease may be over; then another worker has the job.
                if missed >= 5 {
                    return Left::Lost;
                }
            }
        }
        engine.job_changed();
    }
}
