//! Who works on a job: claims with a lease and a fencing token, heartbeats, hand-over.

use std::time::Duration;

use super::error::{CatalogError, Resource};
use super::jobs::{JobRow, job_columns, key};
use super::sql::{self, Cells, Stored};
use super::{Catalog, Tx};
use crate::ids::{JobId, SiteId};
use crate::job::{JobState, Problem, Progress};
use crate::reason::Reason;

/// A job that a worker has, for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedJob {
    /// The job as it was claimed. In state CANCELLING when the worker before was asked to stop and vanished.
    pub job: JobRow,
    /// Shown with every later call; an older one is refused.
    pub token: i64,
}

/// What a worker hears when it gives a sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeartbeatAnswer {
    /// Whether it should stop.
    pub cancel_requested: bool,
}

/// The claim: the next job for the worker `$2`, with a lease until `$3`, at the time `$1`. A macro, because `concat!`
/// takes literals only.
macro_rules! claim {
    ($skip_locked:literal) => {
        concat!(
            "UPDATE jobs
             SET state = CASE WHEN state = 'PENDING' THEN 'RUNNING' ELSE state END,
                 attempts = attempts + 1,
                 lease_owner = $2,
                 lease_token = lease_token + 1,
                 lease_until_ms = $3,
                 heartbeat_ms = $1,
                 start_ms = COALESCE(start_ms, $1),
                 version = version + 1
             WHERE (site, job) = (
                 SELECT j.site, j.job
                 FROM jobs j
                 LEFT JOIN (
                     SELECT site, COUNT(*) AS running
                     FROM jobs
                     WHERE state IN ('RUNNING', 'CANCELLING')
                     GROUP BY site
                 ) busy ON busy.site = j.site
                 WHERE (
                     -- it is due
                     (j.state = 'PENDING' AND j.run_after_ms <= $1)
                     -- or its worker vanished: whoever comes takes it over, to go on or to finish stopping
                     OR (j.state IN ('RUNNING', 'CANCELLING') AND j.lease_until_ms <= $1)
                 )
                 -- work on one course is serialised: exclusive work runs alone there
                 AND NOT EXISTS (
                     SELECT 1
                     FROM jobs other
                     WHERE other.site = j.site AND other.course = j.course AND other.job <> j.job
                         AND other.state IN ('RUNNING', 'CANCELLING')
                         AND (other.exclusive = 1 OR j.exclusive = 1)
                 )
                 -- one collection of a site at a time: they take long, and more of them would leave no place for others
                 AND NOT (j.kind = 'COLLECT' AND EXISTS (
                     SELECT 1
                     FROM jobs other
                     WHERE other.site = j.site AND other.job <> j.job AND other.kind = 'COLLECT'
                         AND other.state IN ('RUNNING', 'CANCELLING')
                 ))
                 ORDER BY
                     -- the nightly run never delays a person
                     j.priority,
                     -- a site with much work does not starve the others
                     COALESCE(busy.running, 0),
                     -- first come, first served; the id settles the rest
                     j.run_after_ms,
                     j.job
                 LIMIT 1 ",
            $skip_locked,
            ")
             RETURNING ",
            job_columns!()
        )
    };
}

impl Catalog {
    /// [`Tx::claim_job`] in a transaction of its own.
    pub async fn claim_job(&self, owner: &str, lease: Duration) -> Result<Option<ClaimedJob>, CatalogError> {
        let mut tx = self.begin().await?;
        let claimed = tx.claim_job(owner, lease).await?;
        tx.commit().await?;
        Ok(claimed)
    }

    /// [`Tx::heartbeat`] in a transaction of its own.
    pub async fn heartbeat(
        &self,
        site: &SiteId,
        job: &JobId,
        token: i64,
        progress: &Progress,
        lease: Duration,
    ) -> Result<HeartbeatAnswer, CatalogError> {
        let mut tx = self.begin().await?;
        let answer = tx.heartbeat(site, job, token, progress, lease).await?;
        tx.commit().await?;
        Ok(answer)
    }
}

impl Tx {
    /// Takes the next job, if there is one, in one statement. Commit before you begin to work.
    ///
    /// A job whose row cannot be understood is failed on the way, so that it does not stand before all others.
    pub async fn claim_job(
        &mut self,
        owner: &str,
        lease: Duration,
    ) -> Result<Option<ClaimedJob>, CatalogError> {
        let statement = match self.dialect {
            // one writer at a time, so nobody holds any rows
            super::Dialect::Sqlite => claim!(""),
            // rows that another transaction is just changing are passed over
            super::Dialect::Postgres => claim!("FOR UPDATE OF j SKIP LOCKED"),
        };
        if let Some(gate) = self.dialect.claim_gate() {
            sql::all_rows(self.conn(), sqlx::query(gate)).await?;
        }
        loop {
            let now = self.now().await?;
            let query = sqlx::query(statement)
                .bind(now.millis())
                .bind(owner.to_owned())
                .bind(now.plus(lease).millis());
            let rows = sql::all_rows(self.conn(), query).await?;
            let Some(row) = rows.first() else { return Ok(None) };
            let cells = Cells::new(row, JobRow::TABLE, JobRow::KEY);
            match JobRow::parse(&cells) {
                Ok(job) => return Ok(Some(ClaimedJob { token: job.lease_token, job })),
                Err(error) => self.fail_bad_row(&cells, &error).await?,
            }
        }
    }

    /// A worker's sign of life: renews the lease, keeps the progress, and hears whether to stop.
    /// [`CatalogError::LeaseLost`] when the job has another worker or has ended.
    pub async fn heartbeat(
        &mut self,
        site: &SiteId,
        job: &JobId,
        token: i64,
        progress: &Progress,
        lease: Duration,
    ) -> Result<HeartbeatAnswer, CatalogError> {
        let now = self.now().await?;
        let query = sqlx::query(concat!(
            "UPDATE jobs
             SET phase = $4, items_done = $5, items_total = $6, bytes_done = $7, bytes_total = $8, heartbeat_ms = $9,
                 lease_until_ms = $10, version = version + 1
             WHERE site = $1 AND job = $2 AND lease_token = $3 AND state IN ('RUNNING', 'CANCELLING')
             RETURNING ",
            job_columns!()
        ))
        .bind(sql::text(site))
        .bind(sql::text(job))
        .bind(token)
        .bind(progress.phase.clone())
        .bind(sql::stored("items_done", progress.items_done)?)
        .bind(sql::stored("items_total", progress.items_total)?)
        .bind(sql::stored("bytes_done", progress.bytes_done)?)
        .bind(sql::stored("bytes_total", progress.bytes_total)?)
        .bind(now.millis())
        .bind(now.plus(lease).millis());
        match sql::one::<JobRow>(self.conn(), query).await? {
            Some(row) => Ok(HeartbeatAnswer { cancel_requested: row.state == JobState::Cancelling }),
            None if self.get_job(site, job).await?.is_some() => {
                Err(CatalogError::LeaseLost { job: job.clone() })
            }
            None => Err(CatalogError::NotFound { resource: Resource::Job, key: key(site, job) }),
        }
    }

    /// Hands over what a worker has when it stops in good order: running jobs wait again, and this attempt does not
    /// count; jobs that were asked to stop can be taken over at once. Tells how many.
    pub async fn release_leases_of(&mut self, owner: &str) -> Result<u64, CatalogError> {
        let query = sqlx::query(
            "UPDATE jobs
             SET state = CASE WHEN state = 'RUNNING' THEN 'PENDING' ELSE state END,
                 attempts = attempts - 1,
                 lease_owner = NULL,
                 -- shuts out what the worker may still be sending
                 lease_token = lease_token + 1,
                 lease_until_ms = 0,
                 version = version + 1
             WHERE lease_owner = $1 AND state IN ('RUNNING', 'CANCELLING')",
        )
        .bind(owner.to_owned());
        sql::run(self.conn(), query).await
    }

    /// Ends all leases, so that a server that was killed takes its own jobs over at once when it comes back, and its
    /// callers go on with their uploads. Only for a catalog of one process (SQLite), before it claims anything. Tells
    /// how many jobs there were.
    pub async fn release_all_leases(&mut self) -> Result<u64, CatalogError> {
        let writers = "UPDATE uploads SET writer_token = writer_token + 1, writer_until_ms = 0
             WHERE state = 'OPEN' AND writer_until_ms > 0";
        sql::run(self.conn(), sqlx::query(writers)).await?;
        let query = sqlx::query(
            "UPDATE jobs
             SET lease_owner = NULL, lease_token = lease_token + 1, lease_until_ms = 0, version = version + 1
             WHERE state IN ('RUNNING', 'CANCELLING')",
        );
        sql::run(self.conn(), query).await
    }

    async fn fail_bad_row(&mut self, cells: &Cells<'_>, error: &CatalogError) -> Result<(), CatalogError> {
        let problem = Problem {
            reason: Reason::CatalogCorrupt,
            message: error.to_string(),
            metadata: std::collections::BTreeMap::new(),
            // a newer version of the service may understand it
            retryable: true,
        };
        let now = self.now().await?;
        let query = sqlx::query(
            "UPDATE jobs
             SET state = 'FAILED', problem = $3, lease_owner = NULL, lease_until_ms = 0, end_ms = $4
             WHERE site = $1 AND job = $2",
        )
        .bind(cells.text("site")?)
        .bind(cells.text("job")?)
        .bind(sql::json("problem", &problem)?)
        .bind(now.millis());
        sql::run(self.conn(), query).await.map(|_| ())
    }
}
