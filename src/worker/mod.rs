//! Runs jobs: claim, run under a lease, settle. Any number of workers may run on one catalog.
//!
//! It knows what a job's life is, not what a job does: that is the engine's.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::catalog::ClaimedJob;
use crate::engine::{Engine, Error, JobContext};
use crate::reason::Reason;

/// Due jobs of other replicas, and expired leases, are looked for this often.
const LOOK: Duration = Duration::from_secs(1);

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
            self.engine.flush_journal().await;
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
    }

    /// Claims a job and starts it, as soon as a slot is free. `false`: there is none.
    async fn claim(&self) -> Result<bool, Error> {
        let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else { return Ok(false) };
        let Some(claimed) = self.engine.claim_job(&self.owner).await? else { return Ok(false) };
        let (engine, stop) = (self.engine.clone(), self.stop.clone());
        self.running.spawn(async move {
            run(&engine, claimed, stop).await;
            drop(slot);
            engine.job_changed();
        });
        Ok(true)
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

async fn run(engine: &Engine, claimed: ClaimedJob, stop: CancellationToken) {
    let context = JobContext::new(&claimed);
    let row = &claimed.job;
    tracing::info!(job = %context.name, kind = %row.payload.kind(), attempt = row.attempts, "job begins");
    engine.job_changed();
    let ended = tokio::select! {
        ended = engine.run_job(row, &context) => Ok(ended),
        left = leave(engine, &context, &stop) => Err(left),
    };
    let settled = match ended {
        Ok(Ok(())) => {
            tracing::info!(job = %context.name, "job succeeded");
            Ok(())
        }
        Ok(Err(error)) if error.reason == Reason::JobLeaseLost => Err(error),
        Ok(Err(error)) => {
            tracing::warn!(job = %context.name, reason = error.reason.as_str(), error = error.chain(), "job did not succeed");
            engine.settle_unsuccessful(row, &context, &error).await
        }
        Err(Left::Cancelled) => {
            let error = Error::new(Reason::JobCancelled, "the job was cancelled");
            engine.settle_unsuccessful(row, &context, &error).await
        }
        Err(Left::Lost) => Err(Error::new(Reason::JobLeaseLost, "another worker has the job")),
        // All of this worker's jobs are handed back at once, after the last of them has stopped.
        Err(Left::Stopping) => Ok(()),
    };
    if let Err(error) = settled {
        tracing::warn!(job = %context.name, error = error.chain(), "job is left to its next claim");
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
