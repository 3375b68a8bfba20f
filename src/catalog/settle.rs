//! How jobs end, wait again, are cancelled and retried. Each is one guarded UPDATE along `JobState::allows`.
//!
//! A worker's calls carry its token: when another worker has the job, they change nothing.

use std::time::Duration;

use super::Tx;
use super::error::{CatalogError, Resource};
use super::jobs::{JobRow, job_columns, key, name};
use super::sql;
use crate::ids::{JobId, SiteId};
use crate::job::{JobResult, JobState, Problem};

impl Tx {
    /// RUNNING to SUCCEEDED, in the transaction that makes the job's outcome visible.
    ///
    /// [`CatalogError::Cancelled`] when the job was asked to stop meanwhile: drop the transaction, so that nothing of
    /// the outcome becomes visible. [`CatalogError::LeaseLost`] when another worker has it.
    pub async fn succeed_job(
        &mut self,
        site: &SiteId,
        job: &JobId,
        token: i64,
        result: &JobResult,
    ) -> Result<JobRow, CatalogError> {
        let now = self.now().await?;
        let query = sqlx::query(concat!(
            "UPDATE jobs
             SET state = 'SUCCEEDED', result = $4, problem = NULL, end_ms = $5, lease_owner = NULL, lease_until_ms = 0,
                 version = version + 1
             WHERE site = $1 AND job = $2 AND lease_token = $3 AND state = 'RUNNING'
             RETURNING ",
            job_columns!()
        ))
        .bind(sql::text(site))
        .bind(sql::text(job))
        .bind(token)
        .bind(sql::json("result", result)?)
        .bind(now.millis());
        self.settled(site, job, token, query).await
    }

    /// RUNNING to FAILED. Errors as for [`Tx::succeed_job`].
    pub async fn fail_job(
        &mut self,
        site: &SiteId,
        job: &JobId,
        token: i64,
        problem: &Problem,
    ) -> Result<JobRow, CatalogError> {
        let now = self.now().await?;
        let query = sqlx::query(concat!(
            "UPDATE jobs
             SET state = 'FAILED', problem = $4, end_ms = $5, lease_owner = NULL, lease_until_ms = 0,
                 version = version + 1
             WHERE site = $1 AND job = $2 AND lease_token = $3 AND state = 'RUNNING'
             RETURNING ",
            job_columns!()
        ))
        .bind(sql::text(site))
        .bind(sql::text(job))
        .bind(token)
        .bind(sql::json("problem", problem)?)
        .bind(now.millis());
        self.settled(site, job, token, query).await
    }

    /// RUNNING to PENDING: the next attempt is begun after `wait`. Errors as for [`Tx::succeed_job`].
    pub async fn retry_job_later(
        &mut self,
        site: &SiteId,
        job: &JobId,
        token: i64,
        wait: Duration,
        problem: &Problem,
    ) -> Result<JobRow, CatalogError> {
        let run_after = self.now().await?.plus(wait);
        let query = sqlx::query(concat!(
            "UPDATE jobs
             SET state = 'PENDING', problem = $4, run_after_ms = $5, lease_owner = NULL, lease_until_ms = 0,
                 version = version + 1
             WHERE site = $1 AND job = $2 AND lease_token = $3 AND state = 'RUNNING'
             RETURNING ",
            job_columns!()
        ))
        .bind(sql::text(site))
        .bind(sql::text(job))
        .bind(token)
        .bind(sql::json("problem", problem)?)
        .bind(run_after.millis());
        self.settled(site, job, token, query).await
    }

    /// CANCELLING to CANCELLED: the worker has stopped. [`CatalogError::LeaseLost`] when another worker has the job,
    /// [`CatalogError::LostRace`] when nobody asked it to stop.
    pub async fn cancel_settled(
        &mut self,
        site: &SiteId,
        job: &JobId,
        token: i64,
    ) -> Result<JobRow, CatalogError> {
        let now = self.now().await?;
        let query = sqlx::query(concat!(
            "UPDATE jobs
             SET state = 'CANCELLED', end_ms = $4, lease_owner = NULL, lease_until_ms = 0, version = version + 1
             WHERE site = $1 AND job = $2 AND lease_token = $3 AND state = 'CANCELLING'
             RETURNING ",
            job_columns!()
        ))
        .bind(sql::text(site))
        .bind(sql::text(job))
        .bind(token)
        .bind(now.millis());
        self.settled(site, job, token, query).await
    }

    /// Asks a job to stop: PENDING to CANCELLED at once, RUNNING to CANCELLING. Asking again changes nothing.
    /// [`CatalogError::JobEnded`] when it has ended.
    pub async fn request_cancel(&mut self, site: &SiteId, job: &JobId) -> Result<JobRow, CatalogError> {
        let now = self.now().await?;
        let query = sqlx::query(concat!(
            "UPDATE jobs
             SET state = CASE WHEN state = 'PENDING' THEN 'CANCELLED' ELSE 'CANCELLING' END,
                 end_ms = CASE WHEN state = 'PENDING' THEN $3 ELSE end_ms END,
                 version = CASE WHEN state = 'CANCELLING' THEN version ELSE version + 1 END
             WHERE site = $1 AND job = $2 AND state IN ('PENDING', 'RUNNING', 'CANCELLING')
             RETURNING ",
            job_columns!()
        ))
        .bind(sql::text(site))
        .bind(sql::text(job))
        .bind(now.millis());
        if let Some(row) = sql::one(self.conn(), query).await? {
            return Ok(row);
        }
        Err(match self.get_job(site, job).await? {
            Some(row) => CatalogError::JobEnded { job: name(site, job), state: row.state },
            None => CatalogError::NotFound { resource: Resource::Job, key: key(site, job) },
        })
    }

    /// FAILED or CANCELLED to PENDING, on a person's request. Attempts go on counting.
    ///
    /// [`CatalogError::JobNotRetryable`] in any other state, [`CatalogError::CourseBusy`] when the job is exclusive and
    /// another exclusive one on its course has not ended.
    pub async fn retry_job(&mut self, site: &SiteId, job: &JobId) -> Result<JobRow, CatalogError> {
        let now = self.now().await?;
        let query = sqlx::query(concat!(
            "UPDATE jobs
             SET state = 'PENDING', problem = NULL, result = NULL, end_ms = NULL, run_after_ms = $3,
                 version = version + 1
             WHERE site = $1 AND job = $2 AND state IN ('FAILED', 'CANCELLED')
                 -- when another job becomes the holder at this very moment, the unique index refuses
                 AND (exclusive = 0 OR NOT EXISTS (
                     SELECT 1
                     FROM jobs other
                     WHERE other.site = jobs.site AND other.course = jobs.course AND other.exclusive = 1
                         AND other.state IN ('PENDING', 'RUNNING', 'CANCELLING')
                 ))
             RETURNING ",
            job_columns!()
        ))
        .bind(sql::text(site))
        .bind(sql::text(job))
        .bind(now.millis());
        let changed = query.fetch_all(self.conn()).await.map_err(|error| {
            let unique =
                error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation);
            let lost = CatalogError::LostRace { resource: Resource::Job, key: key(site, job) };
            if unique { lost } else { CatalogError::from(error) }
        })?;
        let row = self.get_job(site, job).await?;
        let Some(row) = row else {
            return Err(CatalogError::NotFound { resource: Resource::Job, key: key(site, job) });
        };
        if !changed.is_empty() {
            return Ok(row);
        }
        if !row.state.is_retryable() {
            return Err(CatalogError::JobNotRetryable { job: name(site, job), state: row.state });
        }
        match self.exclusive_job_of(site, row.course.as_ref()).await? {
            Some(holder) => Err(holder.refuses(site)),
            None => Err(CatalogError::LostRace { resource: Resource::Job, key: key(site, job) }),
        }
    }

    async fn settled(
        &mut self,
        site: &SiteId,
        job: &JobId,
        token: i64,
        query: sql::Bound,
    ) -> Result<JobRow, CatalogError> {
        if let Some(row) = sql::one(self.conn(), query).await? {
            return Ok(row);
        }
        let Some(row) = self.get_job(site, job).await? else {
            return Err(CatalogError::NotFound { resource: Resource::Job, key: key(site, job) });
        };
        let job = job.clone();
        Err(match row.state {
            _ if row.lease_token != token => CatalogError::LeaseLost { job },
            JobState::Cancelling => CatalogError::Cancelled { job },
            JobState::Running => CatalogError::LostRace { resource: Resource::Job, key: key(site, &job) },
            _ => CatalogError::LeaseLost { job },
        })
    }
}
