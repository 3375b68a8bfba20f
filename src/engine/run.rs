//! Running a job: from a claim to its end, each step harmless when it is done twice.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::collect::CollectionOrder;
use super::error::Error;
use super::{Engine, Place};
use crate::catalog::{ClaimedJob, JobRow, PackRow, Tx};
use crate::course::ContentKind;
use crate::ids::{CourseName, JobName, PackId};
use crate::job::{JobPayload, JobResult, JobState, Problem, Progress, backoff};
use crate::metric;
use crate::principal::{Principal, Scope};
use crate::reason::Reason;
use crate::vault::{PackItem, WrittenPack};

/// What was written of something new, and what it shares with what was there before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packed {
    /// Packs of its own, durable.
    pub written: Vec<WrittenPack>,
    /// Packs of others that hold the rest of its contents.
    pub relied: BTreeSet<PackId>,
}

/// What a running job holds on to.
#[derive(Clone)]
pub struct JobContext {
    /// The job.
    pub name: JobName,
    /// The fencing token of its claim: whoever has an older one changes nothing any more.
    pub token: i64,
    /// Set when the job was asked to stop, or has lost its lease.
    pub stop: CancellationToken,
    progress: Arc<Mutex<Progress>>,
}

impl JobContext {
    /// The context of a claim.
    pub fn new(claimed: &ClaimedJob) -> Self {
        Self {
            name: JobName { site: claimed.job.site.clone(), job: claimed.job.job.clone() },
            token: claimed.token,
            stop: CancellationToken::new(),
            progress: Arc::new(Mutex::new(Progress::default())),
        }
    }

    /// How far the job is.
    pub fn progress(&self) -> Progress {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes how far the job is; the next heartbeat carries it on.
    pub fn report(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.progress.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Engine {
    /// Does what a job is for. Its effects and its success are one transaction.
    pub async fn run_job(&self, row: &JobRow, context: &JobContext) -> Result<(), Error> {
        match &row.payload {
            JobPayload::Ingest { upload, size_bytes, sha256 } => {
                self.run_ingest(row, context, upload, *size_bytes, *sha256).await
            }
            JobPayload::Backup { course, area, order, revision } => {
                let course = CourseName { site: row.site.clone(), course: course.clone() };
                self.run_backup(row, context, &course, (*area, order, *revision)).await
            }
            JobPayload::Copy { .. } => self.run_copy(row, context).await,
            JobPayload::Import { .. } => Box::pin(self.run_import(row, context)).await,
            JobPayload::Convert { archive, area, order } => {
                self.run_conversion(row, context, archive, (*area, order)).await
            }
            JobPayload::Restore { .. } => Box::pin(self.run_restore(row, context)).await,
            JobPayload::Rollback { restore_job } => self.run_rollback(row, context, restore_job).await,
            JobPayload::Retention => self.run_retention(row, context).await,
            JobPayload::Verify { archive, at_most } => {
                self.run_verify(row, context, archive.as_ref(), *at_most).await
            }
            JobPayload::Collect { dry_run, min_age_seconds, accept_most } => {
                let order = CollectionOrder {
                    dry_run: *dry_run,
                    min_age: Duration::from_secs(*min_age_seconds),
                    accept_most: *accept_most,
                };
                self.run_collection(row, context, order).await
            }
        }
    }

    /// Claims the job whose turn it is, if there is one.
    pub async fn claim_job(&self, owner: &str) -> Result<Option<ClaimedJob>, Error> {
        Ok(self.catalog.claim_job(owner, self.rules.lease).await?)
    }

    /// A sign of life of a running job. Answers whether it was asked to stop.
    pub async fn heartbeat(&self, context: &JobContext) -> Result<bool, Error> {
        let JobName { site, job } = &context.name;
        let (progress, lease) = (context.progress(), self.rules.lease);
        Ok(self.catalog.heartbeat(site, job, context.token, &progress, lease).await?.cancel_requested)
    }

    /// Hands the unfinished jobs of a worker that stops back, so that others claim them at once.
    pub async fn hand_back(&self, owner: &str) -> Result<(), Error> {
        let mut tx = self.catalog.begin().await?;
        tx.release_leases_of(owner).await?;
        Ok(tx.commit().await?)
    }

    /// Ends a job well, in the transaction of its effects: for whoever lost the lease, or was asked to stop, nothing of
    /// that transaction holds. How far the job got is written down with it.
    pub(super) async fn succeed(
        &self,
        tx: &mut Tx,
        context: &JobContext,
        result: &JobResult,
    ) -> Result<(), Error> {
        let JobName { site, job } = &context.name;
        tx.heartbeat(site, job, context.token, &context.progress(), self.rules.lease).await?;
        tx.succeed_job(site, job, context.token, result).await?;
        Ok(())
    }

    /// Writes down how a job ended that did not succeed: stopped, to be tried again, or failed.
    pub async fn settle_unsuccessful(
        &self,
        row: &JobRow,
        context: &JobContext,
        error: &Error,
    ) -> Result<(), Error> {
        let JobName { site, job } = &context.name;
        let mut tx = self.catalog.begin().await?;
        let state = if error.reason == Reason::JobCancelled {
            let ended = tx.cancel_settled(site, job, context.token).await?;
            self.release_upload(&mut tx, &ended).await?;
            JobState::Cancelled
        } else {
            let problem = error.to_problem();
            match backoff(row.attempts).filter(|_| error.retryable) {
                Some(wait) => {
                    tx.retry_job_later(site, job, context.token, wait, &problem).await?;
                    JobState::Pending
                }
                None => {
                    tx.fail_job(site, job, context.token, &problem).await?;
                    self.reopen(&mut tx, row, &problem).await?;
                    JobState::Failed
                }
            }
        };
        tx.commit().await?;
        let kind = row.payload.kind().as_str();
        if state != JobState::Cancelled {
            let reason = error.reason.as_str();
            metrics::counter!(metric::ATTEMPTS_FAILED, "kind" => kind, "reason" => reason).increment(1);
        }
        if state.is_ended() {
            metrics::counter!(metric::JOBS_ENDED, "kind" => kind, "state" => state.as_str()).increment(1);
        }
        self.job_changed();
        Ok(())
    }

    /// Opens the session of a cancelled ingest again, if the job has ended.
    pub(super) async fn release_upload(&self, tx: &mut Tx, row: &JobRow) -> Result<(), Error> {
        if row.state == JobState::Cancelling {
            return Ok(());
        }
        let problem = Error::new(Reason::JobCancelled, "the job was cancelled").to_problem();
        self.reopen(tx, row, &problem).await
    }

    async fn reopen(&self, tx: &mut Tx, row: &JobRow, problem: &Problem) -> Result<(), Error> {
        if let JobPayload::Ingest { upload, .. } = &row.payload {
            let expires = self.now().plus(self.rules.upload_idle);
            tx.reopen_upload(&row.site, upload, &row.job, problem, expires).await?;
        }
        Ok(())
    }

    /// Writes packs and their contents down, in the transaction of what refers to them, and relies on all that it refers to.
    /// [`Reason::StorageChanged`] when some of that was cleared away meanwhile.
    pub(super) async fn insert_packs(
        &self,
        tx: &mut Tx,
        place: &Place,
        packed: &Packed,
    ) -> Result<(), Error> {
        let now = self.now();
        let packs = &packed.written;
        let mut relied = packed.relied.clone();
        relied.extend(packs.iter().map(|pack| pack.pack.clone()));
        let rows: Vec<PackRow> = packs
            .iter()
            .map(|pack| PackRow { pack: pack.pack.clone(), size_bytes: pack.size, create_time: now })
            .collect();
        tx.insert_packs(&place.site, &place.storage, &rows).await?;
        for pack in packs {
            let contents: Vec<_> = pack.items.iter().map(|item| content_row(pack, item)).collect();
            relied.extend(tx.insert_contents(&place.site, &place.storage, &contents).await?);
        }
        tx.rely_on_packs(&place.site, &place.storage, &relied).await?;
        Ok(())
    }

    /// Makes a record durable in a pack of its own.
    pub(super) async fn write_record(&self, place: &Place, record: &[u8]) -> Result<Packed, Error> {
        let mut pack = self.storage(place)?.pack_writer(&place.site);
        pack.put(PackItem::stored(ContentKind::Record, record), Bytes::copy_from_slice(record)).await?;
        Ok(Packed { written: pack.finish().await?, relied: BTreeSet::new() })
    }
}

pub(super) fn content_row(
    pack: &WrittenPack,
    packed: &crate::vault::PackedItem,
) -> crate::catalog::ContentRow {
    crate::catalog::ContentRow {
        content: packed.item.content,
        pack: pack.pack.clone(),
        offset: packed.offset,
        kind: packed.item.kind,
        sha1: packed.item.sha1,
    }
}

/// The principal in whose name a job works. What it may do was checked when it was asked for.
pub(super) fn requester(row: &JobRow) -> Principal {
    Principal { name: row.requester.clone(), scope: Scope::Sites(vec![row.site.clone()]) }
}
