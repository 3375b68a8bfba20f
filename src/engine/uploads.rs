//! Upload sessions: bytes that arrive in several streams, kept as parts until they are read as an archive.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tokio::task::JoinHandle;

use super::error::Error;
use super::ingest::Arriving;
use super::{Call, Engine};
use crate::catalog::{
    ArchiveRow, CatalogError, JobRow, NewPart, PartRow, UploadRow, UploadState, WriterLease,
};
use crate::digest::Sha256;
use crate::ids::{JobName, UploadId, UploadName};
use crate::job::{JobPayload, Priority};
use crate::reason::Reason;
use crate::vault::{Storage, VaultError};

/// Bytes of a part, but for the last one of a stream. Two of them are held for each stream: one that is written and
/// one that fills.
const PART: usize = 4 << 20;

/// A session whose end was asked for.
pub struct Finished {
    /// The session.
    pub upload: UploadRow,
    /// The job that reads it.
    pub job: JobRow,
    /// The archive, once it is stored.
    pub archive: Option<ArchiveRow>,
}

impl Engine {
    /// Opens a session.
    pub async fn start_upload(&self, call: &Call, arriving: Arriving) -> Result<UploadRow, Error> {
        if let Some(name) = self.replayed(call).await? {
            return self.get_upload(&parse(&name)?).await;
        }
        self.check_arriving(&arriving).await?;
        let now = self.now();
        let Arriving { site, area, course, file_name, owner, .. } = arriving;
        let row = UploadRow {
            site: site.clone(),
            upload: UploadId::generate(),
            state: UploadState::Open,
            storage: self.rules.storage.clone(),
            area,
            course,
            file_name,
            owner,
            committed_bytes: 0,
            writer_token: 0,
            writer_until: crate::clock::Timestamp::default(),
            job: None,
            archive: None,
            last_problem: None,
            create_time: now,
            expire_time: now.plus(self.rules.upload_idle),
        };
        let name = UploadName { site, upload: row.upload.clone() };
        let mut tx = self.catalog.begin().await?;
        tx.insert_upload(&row).await?;
        call.record(&mut tx, &name.to_string(), self).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// One session.
    pub async fn get_upload(&self, name: &UploadName) -> Result<UploadRow, Error> {
        self.catalog
            .get_upload(&name.site, &name.upload)
            .await?
            .ok_or_else(|| Error::not_found(Reason::UploadNotFound, name))
    }

    /// Begins to write to a session. Nobody else can until the stream ends or its lease is over.
    pub async fn open_upload_stream(&self, name: &UploadName) -> Result<UploadStream, Error> {
        let upload = self.get_upload(name).await?;
        let lease = self.rules.lease;
        let storage = self.vault.storage(&upload.storage)?.clone();
        let renewed = Instant::now();
        let mut tx = self.catalog.begin().await?;
        let writer = tx.acquire_writer(&name.site, &name.upload, lease).await?;
        tx.commit().await?;
        Ok(UploadStream {
            storage,
            engine: self.clone(),
            name: name.clone(),
            received: writer.committed_bytes,
            writer,
            renewed,
            pending: BytesMut::new(),
            writing: None,
        })
    }

    /// Asks for the end of a session: a job reads its archive. Asking again for the same end finds that job.
    pub async fn finish_upload(
        &self,
        call: &Call,
        name: &UploadName,
        size: u64,
        sha256: Sha256,
    ) -> Result<JobRow, Error> {
        let upload = self.get_upload(name).await?;
        let payload = JobPayload::Ingest { upload: name.upload.clone(), size_bytes: size, sha256 };
        if let (UploadState::Finishing | UploadState::Finished, Some(job)) = (upload.state, &upload.job) {
            let job = self.get_job(&JobName { site: name.site.clone(), job: job.clone() }).await?;
            return if job.payload == payload {
                Ok(job)
            } else {
                let message = format!("{name} is {} with another size or digest", upload.state);
                let mut error = Error::from(upload.not_open());
                error.message = message;
                Err(error)
            };
        }
        if upload.state != UploadState::Open {
            return Err(upload.not_open().into());
        }
        if upload.committed_bytes != size {
            return Err(Error::new(
                Reason::SizeMismatch,
                format!("{} bytes arrived, {size} were announced", upload.committed_bytes),
            )
            .with("committedBytes", &upload.committed_bytes)
            .with("announced", &size)
            .on(name));
        }
        let mut job = self.new_job(call, &name.site, payload, Priority::Interactive);
        job.source = Some(name.to_string());
        let mut tx = self.catalog.begin().await?;
        match tx.start_finishing(&name.site, &name.upload, &job.job).await {
            // The same call came twice at once: the other one asked for the job.
            Err(CatalogError::LostRace { .. }) => {
                drop(tx);
                return Box::pin(self.finish_upload(call, name, size, sha256)).await;
            }
            other => drop(other?),
        }
        let row = tx.insert_job(&job).await?;
        tx.commit().await?;
        self.job_changed();
        Ok(row)
    }

    /// The session, its job and its archive as they are now, after waiting for the job until `deadline` at most.
    pub async fn finished_upload(
        &self,
        name: &UploadName,
        job: &JobName,
        wait: Duration,
    ) -> Result<Finished, Error> {
        let job = self.wait_job(job, wait).await?;
        let upload = self.get_upload(name).await?;
        let archive = match &upload.archive {
            Some(archive) => self.catalog.get_archive(&name.site, archive).await?,
            None => None,
        };
        Ok(Finished { upload, job, archive })
    }

    /// Gives a session up and removes its bytes.
    pub async fn abort_upload(&self, name: &UploadName) -> Result<UploadRow, Error> {
        let upload = self.get_upload(name).await?;
        if upload.state == UploadState::Aborted {
            return Ok(upload);
        }
        if upload.state != UploadState::Open {
            return Err(upload.not_open().into());
        }
        let mut tx = self.catalog.begin().await?;
        tx.abort_upload(&name.site, &name.upload).await?;
        tx.commit().await?;
        self.remove_parts(&upload).await;
        self.get_upload(name).await
    }

    /// Removes the parts of a session that ended, then their rows. What an error leaves is swept up later.
    pub(super) async fn remove_parts(&self, upload: &UploadRow) {
        let removing = async {
            self.vault.storage(&upload.storage)?.delete_parts(&upload.site, &upload.upload).await?;
            let mut tx = self.catalog.begin().await?;
            tx.forget_parts(&upload.site, &upload.upload).await?;
            Ok::<_, Error>(tx.commit().await?)
        };
        if let Err(error) = removing.await {
            tracing::warn!(error = error.chain(), upload = %upload.upload, "parts of an upload are left behind");
        }
    }
}

fn parse(name: &str) -> Result<UploadName, Error> {
    name.parse().map_err(|error: crate::ids::InvalidName| {
        Error::new(Reason::CatalogCorrupt, "a kept name is damaged").caused_by(error)
    })
}

/// Writes chunks to a session as parts. A part is durable, then its row is written, then it counts.
pub struct UploadStream {
    engine: Engine,
    storage: Storage,
    name: UploadName,
    writer: WriterLease,
    /// The writer's lease counts from here at least.
    renewed: Instant,
    /// Bytes taken, durable or not.
    received: u64,
    /// The last of them, in no part yet.
    pending: BytesMut,
    writing: Option<Writing>,
}

/// A part on its way into the storage.
struct Writing {
    part: PartRow,
    task: JoinHandle<Result<(), VaultError>>,
}

impl UploadStream {
    /// Takes a chunk. Bytes that are there already are skipped.
    pub async fn push(&mut self, offset: u64, mut bytes: Bytes) -> Result<(), Error> {
        if offset > self.received {
            return Err(Error::new(
                Reason::UploadOffsetMismatch,
                format!("the chunk begins at {offset}, the upload has {} bytes", self.received),
            )
            .with("committedBytes", &self.received)
            .with("offset", &offset)
            .on(&self.name));
        }
        let known = usize::try_from(self.received - offset).unwrap_or(usize::MAX).min(bytes.len());
        drop(bytes.split_to(known));
        let limit = self.engine.limits().upload_bytes;
        if self.received + bytes.len() as u64 > limit {
            return Err(Error::new(
                Reason::LimitUploadBytes,
                format!("the upload is over the limit of {limit} bytes"),
            )
            .with("limit", &limit)
            .on(&self.name));
        }
        self.received += bytes.len() as u64;
        while !bytes.is_empty() {
            if self.pending.capacity() == 0 {
                self.pending = BytesMut::with_capacity(PART);
            }
            let room = PART - self.pending.len();
            self.pending.extend_from_slice(&bytes.split_to(room.min(bytes.len())));
            if self.pending.len() == PART {
                let part = std::mem::take(&mut self.pending).freeze();
                self.write(part).await?;
            }
        }
        Ok(())
    }

    /// Makes everything durable that was taken, and lets others write. Answers with the number of durable bytes.
    pub async fn close(mut self) -> Result<u64, Error> {
        let kept = self.keep_all().await;
        let mut tx = self.engine.catalog.begin().await?;
        tx.release_writer(&self.name.site, &self.name.upload, self.writer.token).await?;
        tx.commit().await?;
        kept.map(|()| self.writer.committed_bytes)
    }

    async fn keep_all(&mut self) -> Result<(), Error> {
        self.settle().await?;
        // After a part that failed, what came behind it has no place: the sender repeats both.
        if !self.pending.is_empty()
            && self.writer.committed_bytes + self.pending.len() as u64 == self.received
        {
            let part = std::mem::take(&mut self.pending).freeze();
            self.write(part).await?;
        }
        self.settle().await
    }

    /// Starts writing a part while the next one is collected.
    async fn write(&mut self, part: Bytes) -> Result<(), Error> {
        self.settle().await?;
        self.stay_writer().await?;
        let row = PartRow { offset: self.writer.committed_bytes, size: part.len() as u64 };
        let (storage, name) = (self.storage.clone(), self.name.clone());
        let task =
            tokio::spawn(async move { storage.put_part(&name.site, &name.upload, row.offset, part).await });
        self.writing = Some(Writing { part: row, task });
        Ok(())
    }

    /// Makes sure that nobody else writes now and for a while. A stream whose connection hangs may wake up after its
    /// lease ended: it must not put its part over that of the stream that took its place, for both have one name.
    async fn stay_writer(&mut self) -> Result<(), Error> {
        let lease = self.engine.rules.lease;
        if self.renewed.elapsed() < lease / 3 {
            return Ok(());
        }
        let now = Instant::now();
        let mut tx = self.engine.catalog.begin().await?;
        tx.renew_writer(&self.name.site, &self.name.upload, self.writer.token, lease).await?;
        tx.commit().await?;
        self.renewed = now;
        Ok(())
    }

    /// Waits for the part that is being written, and counts it.
    async fn settle(&mut self) -> Result<(), Error> {
        let Some(Writing { part, task }) = self.writing.take() else { return Ok(()) };
        task.await.map_err(|error| {
            Error::new(Reason::Internal, "a part could not be written").caused_by(error)
        })??;
        let rules = &self.engine.rules;
        let part = NewPart {
            token: self.writer.token,
            part,
            lease: rules.lease,
            expire_time: self.engine.now().plus(rules.upload_idle),
        };
        let now = Instant::now();
        let mut tx = self.engine.catalog.begin().await?;
        let committed = tx.add_part(&self.name.site, &self.name.upload, &part).await?;
        tx.commit().await?;
        self.writer.committed_bytes = committed;
        self.renewed = now;
        Ok(())
    }
}
