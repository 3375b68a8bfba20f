//! Jobs as their requesters see them: asking for them, waiting, watching, stopping.

use std::time::Duration;

use tokio::sync::watch;

use super::error::Error;
use super::{Call, Engine};
use crate::catalog::{JobFilter, JobRow, NewJob, Newest};
use crate::ids::{JobId, JobName, SiteId};
use crate::job::{JobPayload, Priority};
use crate::reason::Reason;

/// Another replica's jobs are looked at this often; those of this process tell by themselves.
const LOOK: Duration = Duration::from_secs(1);

impl Engine {
    /// A job that is about to be asked for.
    pub(super) fn new_job(
        &self,
        call: &Call,
        site: &SiteId,
        payload: JobPayload,
        priority: Priority,
    ) -> NewJob {
        NewJob {
            site: site.clone(),
            job: JobId::generate(),
            payload,
            priority,
            course: None,
            exclusive: false,
            source: None,
            requester: call.principal.name.clone(),
            trace: super::trace::current().map(|trace| trace.to_string()),
        }
    }

    /// Asks for a job, as the one effect of a call.
    pub(super) async fn enqueue(&self, call: &Call, job: &NewJob) -> Result<JobRow, Error> {
        let name = JobName { site: job.site.clone(), job: job.job.clone() };
        let mut tx = self.catalog.begin().await?;
        let row = tx.insert_job(job).await?;
        call.record(&mut tx, &name.to_string(), self).await?;
        tx.commit().await?;
        self.job_changed();
        Ok(row)
    }

    /// The job that an earlier call with the same request id asked for.
    pub(super) async fn replayed_job(&self, call: &Call) -> Result<Option<JobRow>, Error> {
        match self.replayed(call).await? {
            None => Ok(None),
            Some(name) => {
                let name: JobName = name.parse().map_err(|error: crate::ids::InvalidName| {
                    Error::new(Reason::CatalogCorrupt, "a kept name is damaged").caused_by(error)
                })?;
                self.get_job(&name).await.map(Some)
            }
        }
    }

    /// One job.
    pub async fn get_job(&self, name: &JobName) -> Result<JobRow, Error> {
        self.catalog
            .get_job(&name.site, &name.job)
            .await?
            .ok_or_else(|| Error::not_found(Reason::JobNotFound, name))
    }

    /// Jobs, newest first.
    pub async fn list_jobs(
        &self,
        site: &SiteId,
        filter: &JobFilter,
        after: Option<&Newest<JobId>>,
        limit: u32,
    ) -> Result<Vec<JobRow>, Error> {
        self.site(site).await?;
        Ok(self.catalog.list_jobs(site, filter, after, limit).await?)
    }

    /// A job as it is when it ends or when the time is over.
    pub async fn wait_job(&self, name: &JobName, wait: Duration) -> Result<JobRow, Error> {
        let mut watch = self.watch_job(name);
        let waiting = async {
            loop {
                let row = watch.next().await?;
                if row.state.is_ended() {
                    return Ok(row);
                }
            }
        };
        match tokio::time::timeout(wait, waiting).await {
            Ok(ended) => ended,
            Err(_) => self.get_job(name).await,
        }
    }

    /// The states of a job, one after the other.
    pub fn watch_job(&self, name: &JobName) -> JobWatch {
        JobWatch { engine: self.clone(), name: name.clone(), seen: None, changes: self.changes.subscribe() }
    }

    /// Asks a job to stop.
    pub async fn cancel_job(&self, call: &Call, name: &JobName) -> Result<JobRow, Error> {
        if let Some(row) = self.replayed_job(call).await? {
            return Ok(row);
        }
        self.get_job(name).await?;
        let mut tx = self.catalog.begin().await?;
        let row = tx.request_cancel(&name.site, &name.job).await?;
        self.release_upload(&mut tx, &row).await?;
        call.record(&mut tx, &name.to_string(), self).await?;
        tx.commit().await?;
        tracing::info!(job = %name, principal = call.principal.name, "job is asked to stop");
        self.job_changed();
        Ok(row)
    }

    /// Lets a job that failed or was cancelled run once more.
    pub async fn retry_job(&self, call: &Call, name: &JobName) -> Result<JobRow, Error> {
        if let Some(row) = self.replayed_job(call).await? {
            return Ok(row);
        }
        let job = self.get_job(name).await?;
        if let JobPayload::Ingest { .. } = job.payload {
            let message = format!("{name} read an upload; finishing the upload again reads it again");
            return Err(Error::new(Reason::JobNotRetryable, message)
                .with("job", name)
                .with("state", &job.state)
                .with("upload", &job.source.unwrap_or_default())
                .on(name));
        }
        let mut tx = self.catalog.begin().await?;
        let row = tx.retry_job(&name.site, &name.job).await?;
        call.record(&mut tx, &name.to_string(), self).await?;
        tx.commit().await?;
        self.job_changed();
        Ok(row)
    }
}

/// Follows a job.
pub struct JobWatch {
    engine: Engine,
    name: JobName,
    seen: Option<i64>,
    changes: watch::Receiver<u64>,
}

impl JobWatch {
    /// The job as it is now, at first; then each time as soon as it has changed.
    pub async fn next(&mut self) -> Result<JobRow, Error> {
        loop {
            self.changes.mark_unchanged();
            let row = self.engine.get_job(&self.name).await?;
            if self.seen != Some(row.version) {
                self.seen = Some(row.version);
                return Ok(row);
            }
            // Whatever ends this, a time-out or a change, the row is looked at again.
            tokio::select! {
                _ = self.changes.changed() => {}
                () = tokio::time::sleep(LOOK) => {}
                () = self.engine.closing.cancelled() => {
                    return Err(Error::shutting_down());
                }
            }
        }
    }
}
