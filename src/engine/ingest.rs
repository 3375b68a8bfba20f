//! Reading an archive in: from a stream of bytes to a stored archive.
//!
//! Two threads for each archive: one inflates and checks the container, one hashes and packs. The archive becomes
//! visible in one transaction after everything is durable and what was announced was found true.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::archives::Description;
use super::error::Error;
use super::feed::{Feed, feed};
use super::intake::{self, Event, Intake};
use super::run::JobContext;
use super::stage::{Staged, Stager};
use super::{Call, Engine, Place};
use crate::archive::{ReadError, ReadSummary, read_archive};
use crate::catalog::{ArchiveOrigin, ArchiveRow, JobRow, Tx, UploadRow};
use crate::course::Tree;
use crate::digest::Sha256;
use crate::ids::{ArchiveName, CourseId, JobName, SiteId, UploadId, UploadName};
use crate::job::{Area, JobResult};
use crate::moodle::{self, Manifest};
use crate::reason::Reason;

/// Bytes handed to the reader at once.
const PIECE: usize = 256 << 10;

/// A stream waits so long until it may be read.
const ADMISSION: Duration = Duration::from_secs(30);

/// An archive that arrives.
#[derive(Clone, Debug)]
pub struct Arriving {
    /// The site it is for.
    pub site: SiteId,
    /// The area it goes to.
    pub area: Area,
    /// The course it belongs to.
    pub course: Option<CourseId>,
    /// Its file name.
    pub file_name: String,
    /// Name of its owner.
    pub owner: String,
    /// The job that reads it.
    pub job: Option<JobName>,
}

/// An archive that was read, and is durable but not visible yet.
pub struct Ingested {
    /// Its row to be.
    pub row: ArchiveRow,
    /// What it says of itself; none for a cartridge.
    pub manifest: Option<Manifest>,
    staged: Staged,
}

impl Engine {
    /// Checks where an archive would go, before any byte is taken.
    pub async fn check_arriving(&self, arriving: &Arriving) -> Result<(), Error> {
        self.site(&arriving.site).await?;
        let name = &arriving.file_name;
        if name.is_empty()
            || name.len() > 255
            || name.contains(['/', '\\'])
            || name.contains(char::is_control)
        {
            return Err(Error::field(
                "file_name",
                "must have 1 to 255 bytes, no slashes, no control characters",
            ));
        }
        if arriving.course.is_none() && matches!(arriving.area, Area::Course | Area::Automated) {
            return Err(Error::field("course", format!("is required in the area {}", arriving.area)));
        }
        Ok(())
    }

    /// Reads an archive from a caller's stream. `sent` tells size and SHA-256 of the upload once the input has ended.
    /// [`Reason::Overloaded`] when no other such stream ends for a while: a stream lasts as long as its caller likes.
    pub async fn ingest(
        &self,
        arriving: &Arriving,
        input: impl Read + Send + 'static,
        sent: impl FnOnce() -> Option<(u64, Sha256)> + Send + 'static,
    ) -> Result<Ingested, Error> {
        let free = Arc::clone(&self.ingests).acquire_owned();
        match tokio::time::timeout(ADMISSION, free).await {
            Ok(Ok(permit)) => self.read(arriving, input, sent, Some(permit)).await,
            Ok(Err(_)) => Err(Error::shutting_down()),
            Err(_) => {
                let message = "too many uploads at once; an upload session takes bytes at any time";
                Err(Error::new(Reason::Overloaded, message).retryable())
            }
        }
    }

    /// Reads an archive from `input`. The permit is held until both threads have ended, even if nobody waits for them.
    async fn read(
        &self,
        arriving: &Arriving,
        input: impl Read + Send + 'static,
        sent: impl FnOnce() -> Option<(u64, Sha256)> + Send + 'static,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Result<Ingested, Error> {
        let (sender, receiver) = mpsc::channel(intake::IN_FLIGHT);
        let limits = self.limits().clone();
        let reading =
            tokio::task::spawn_blocking(move || read_archive(input, &limits, &mut Intake::new(sender)));
        let place = self.place(&arriving.site, arriving.area);
        let stager = Stager::new(
            Handle::current(),
            self.catalog.clone(),
            place.clone(),
            self.storage(&place)?,
            self.limits().clone(),
        );
        let (engine, arriving) = (self.clone(), arriving.clone());
        let staging = tokio::task::spawn_blocking(move || {
            let staged = stage(&engine, &arriving, stager, receiver, reading, sent);
            drop(permit);
            staged
        });
        staging.await.map_err(panicked)?
    }

    /// Makes an ingested archive visible, within a transaction. The caller commits.
    pub(super) async fn publish_archive(&self, tx: &mut Tx, ingested: &Ingested) -> Result<(), Error> {
        self.insert_packs(tx, &Place::of(&ingested.row.site, &ingested.row.storage), &ingested.staged.packs)
            .await?;
        self.insert_archive(tx, &ingested.row).await
    }

    /// Makes an uploaded archive visible, as the one effect of a call.
    pub async fn store_upload(&self, call: &Call, ingested: Ingested) -> Result<Ingested, Error> {
        let mut tx = self.catalog.begin().await?;
        self.publish_archive(&mut tx, &ingested).await?;
        let name = ArchiveName { site: ingested.row.site.clone(), archive: ingested.row.archive.clone() };
        call.record(&mut tx, &name.to_string(), self).await?;
        tx.commit().await?;
        self.review_now(&ingested.row).await;
        Ok(ingested)
    }
}

impl Engine {
    /// Reads the archive of an upload session.
    pub(super) async fn run_ingest(
        &self,
        row: &JobRow,
        context: &JobContext,
        upload: &UploadId,
        size: u64,
        sha256: Sha256,
    ) -> Result<(), Error> {
        let name = UploadName { site: row.site.clone(), upload: upload.clone() };
        let upload = self.get_upload(&name).await?;
        context.report(|progress| {
            progress.phase = "reading".into();
            progress.bytes_total = size;
        });
        let arriving = Arriving {
            site: upload.site.clone(),
            area: upload.area,
            course: upload.course.clone(),
            file_name: upload.file_name.clone(),
            owner: upload.owner.clone(),
            job: Some(context.name.clone()),
        };
        let (feed, reader) = feed(self.limits().upload_bytes);
        let feeding = self.feed_parts(&upload, feed, context, size, sha256);
        // Without a permit: jobs have a bound of their own, and callers' slow streams must not hold them up.
        let ingesting = self.read(&arriving, reader, move || Some((size, sha256)), None);
        let (fed, ingested) = tokio::join!(feeding, ingesting);
        // A mismatch breaks the reading off as well, so it is told first.
        fed?;
        let ingested = ingested?;
        context.report(|progress| {
            progress.phase = "storing".into();
            progress.items_total = ingested.row.tree.members;
            progress.items_done = progress.items_total;
        });
        let archive = ingested.row.archive.clone();
        let result = JobResult { archive: Some(archive.clone()), ..JobResult::default() };
        let mut tx = self.catalog.begin().await?;
        self.publish_archive(&mut tx, &ingested).await?;
        tx.finish_upload(&name.site, &name.upload, &row.job, &archive).await?;
        self.succeed(&mut tx, context, &result).await?;
        tx.commit().await?;
        // By itself: the job has ended, so its worker may leave it at any moment.
        let engine = self.clone();
        tokio::spawn(async move {
            engine.review_now(&ingested.row).await;
            engine.remove_parts(&upload).await;
        });
        Ok(())
    }

    async fn feed_parts(
        &self,
        upload: &UploadRow,
        mut feed: Feed,
        context: &JobContext,
        size: u64,
        sha256: Sha256,
    ) -> Result<(), Error> {
        let storage = self.vault.storage(&upload.storage)?;
        for part in self.catalog.list_parts(&upload.site, &upload.upload).await? {
            let mut bytes = storage.read_part(&upload.site, &upload.upload, part.offset, part.size).await?;
            // Small pieces keep the queue to the reader small: it counts pieces, not bytes.
            while !bytes.is_empty() {
                if !feed.push(bytes.split_to(PIECE.min(bytes.len()))).await? {
                    return Ok(());
                }
            }
            context.report(|progress| progress.bytes_done = part.offset + part.size);
        }
        feed.finish(size, &sha256).await
    }
}

fn panicked(error: tokio::task::JoinError) -> Error {
    Error::new(Reason::Internal, "reading the archive failed unexpectedly").caused_by(error)
}

/// The second thread: stages what the first one reads, then joins both results. The reader's refusal comes first.
fn stage(
    engine: &Engine,
    arriving: &Arriving,
    mut stager: Stager,
    mut events: mpsc::Receiver<Event>,
    reading: tokio::task::JoinHandle<Result<ReadSummary, ReadError<intake::Stopped>>>,
    sent: impl FnOnce() -> Option<(u64, Sha256)>,
) -> Result<Ingested, Error> {
    let mut failed = None;
    while let Some(event) = events.blocking_recv() {
        if let Err(error) = stager.take(event) {
            failed = Some(error);
            break;
        }
    }
    drop(events);
    let read = Handle::current().block_on(reading).map_err(panicked)?;
    let summary = match (read, failed) {
        (_, Some(error)) => Err(error),
        (Ok(summary), None) => Ok(summary),
        (Err(ReadError::Archive(error)), None) => Err(error.into()),
        (Err(ReadError::Input(error)), None) => Err(broken_input(error)),
        (Err(ReadError::Sink(intake::Stopped)), None) => {
            Err(Error::new(Reason::Internal, "reading the archive stopped without a reason"))
        }
    };
    let summary = match summary {
        Ok(summary) => summary,
        Err(error) => {
            stager.abort();
            return Err(error);
        }
    };
    let mut described = None;
    let staged = stager.finish(|staged| {
        let manifest = describe(&staged.tree, staged.manifest.as_deref(), engine)?;
        let about = Description {
            arriving,
            origin: ArchiveOrigin::Upload,
            container: summary.container,
            upload: sent(),
            manifest: manifest.as_ref(),
            findings: staged.findings.clone(),
        };
        let row = engine.archive_row(
            &engine.place(&arriving.site, arriving.area),
            &staged.tree,
            staged.tree_ref,
            about,
        );
        let record = super::journal::archive_record(&row)?;
        described = Some((row, manifest));
        Ok(record)
    })?;
    let (row, manifest) =
        described.ok_or_else(|| Error::new(Reason::Internal, "the archive was not described"))?;
    Ok(Ingested { row, manifest, staged })
}

fn broken_input(error: std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::ConnectionAborted => {
            Error::new(Reason::UploadIncomplete, "the stream ended before its last message").retryable()
        }
        _ => Error::new(Reason::StorageUnavailable, "the upload's bytes cannot be read")
            .retryable()
            .caused_by(error),
    }
}

/// What a tree says of itself. Refuses what is neither a Moodle archive nor a cartridge.
fn describe(tree: &Tree, manifest: Option<&[u8]>, engine: &Engine) -> Result<Option<Manifest>, Error> {
    match (moodle::detect(tree), manifest) {
        (Some(moodle::ArchiveFormat::Moodle2), Some(bytes)) => {
            Ok(Some(moodle::parse(bytes, engine.limits())?))
        }
        (Some(moodle::ArchiveFormat::Imscc1), _) => Ok(None),
        _ => Err(Error::new(
            Reason::ArchiveManifestMissing,
            "the archive has neither moodle_backup.xml nor imsmanifest.xml at its root",
        )),
    }
}
