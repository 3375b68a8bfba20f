//! What decides over archives, written into the bucket: records beside the contents, and the journal of later facts.
//!
//! An event is put into the catalog's outbox in the transaction of its fact and flushed to the journal right after.
//! When the store fails then, the fact holds, and the next flush brings the event over.

use super::audit::deed_of;
use super::error::Error;
use super::{Call, Engine};
use crate::catalog::{ArchiveRow, RevisionRow, Tx};
use crate::ids::{ArchiveName, CourseName, JobName, SiteId};
use crate::job::Finding;
use crate::reason::Reason;
use crate::vault::journal::{Event, JournalEvent, SegmentId};
use crate::vault::record::{ArchiveRecord, FindingRecord, Record, RevisionRecord};

/// Events brought over at once.
const BATCH: u32 = 200;

/// Bytes of events in one segment of the journal; it may have four times as many.
const SEGMENT_BYTES: usize = 4 << 20;

/// The record of an archive, as it travels in its pack.
pub(super) fn archive_record(row: &ArchiveRow) -> Result<Vec<u8>, Error> {
    let course =
        |course: &crate::ids::CourseId| CourseName { site: row.site.clone(), course: course.clone() };
    let record = ArchiveRecord {
        archive: ArchiveName { site: row.site.clone(), archive: row.archive.clone() },
        area: row.area.to_string(),
        course: row.course.as_ref().map(course),
        owner: row.owner.clone(),
        file_name: row.file_name.clone(),
        origin: row.origin.to_string(),
        archive_type: row.archive_type.to_string(),
        container: row.container.to_string(),
        upload_size: row.upload_size_bytes,
        upload_sha256: row.upload_sha256,
        tree: row.tree,
        original_full_name: row.original_full_name.clone(),
        original_short_name: row.original_short_name.clone(),
        backup_time: row.backup_time,
        includes_users: row.includes_users,
        anonymized: row.anonymized,
        findings: row.findings.iter().map(finding).collect(),
        create_time: row.create_time,
        job: row.job.as_ref().map(|job| JobName { site: row.site.clone(), job: job.clone() }),
    };
    encode(&Record::Archive(Box::new(record)))
}

/// The record of a revision.
pub(super) fn revision_record(
    row: &RevisionRow,
    full_name: &str,
    short_name: &str,
    moodle_course_id: i64,
) -> Result<Vec<u8>, Error> {
    let record = RevisionRecord {
        course: CourseName { site: row.site.clone(), course: row.course.clone() },
        number: row.revision,
        parent: row.parent,
        origin: row.origin.to_string(),
        archive: Some(ArchiveName { site: row.site.clone(), archive: row.archive.clone() }),
        job: row.job.as_ref().map(|job| JobName { site: row.site.clone(), job: job.clone() }),
        author: row.author.clone(),
        tree: row.tree,
        create_time: row.create_time,
        full_name: full_name.to_owned(),
        short_name: short_name.to_owned(),
        moodle_course_id: Some(moodle_course_id),
    };
    encode(&Record::Revision(Box::new(record)))
}

fn finding(finding: &Finding) -> FindingRecord {
    FindingRecord {
        severity: finding.severity.to_string(),
        code: finding.code.clone(),
        path: finding.path.clone(),
        message: finding.message.clone(),
    }
}

fn encode(record: &Record) -> Result<Vec<u8>, Error> {
    record
        .encode()
        .map_err(|error| Error::new(Reason::Internal, "a record cannot be written").caused_by(error))
}

impl Engine {
    /// Puts an event down, in the transaction of its fact, and into the audit log.
    pub(super) async fn put_down(
        &self,
        tx: &mut Tx,
        site: &SiteId,
        call: &Call,
        event: Event,
    ) -> Result<(), Error> {
        let now = self.now();
        if let Some(deed) = deed_of(&event, call, now) {
            self.enter(tx, site, deed);
        }
        let event = JournalEvent {
            time: now,
            principal: call.principal.name.clone(),
            request_id: call.request.as_ref().map(|request| request.id.clone()),
            event,
        };
        let text = serde_json::to_string(&event)
            .map_err(|error| Error::new(Reason::Internal, "an event cannot be written").caused_by(error))?;
        tx.append_outbox(site, &self.rules.storage, &text).await?;
        Ok(())
    }

    /// Brings events from the outbox into the journal. Errors are logged, not returned: the facts hold without it.
    pub async fn flush_journal(&self) {
        if let Err(error) = self.try_flush_journal().await {
            tracing::warn!(error = error.chain(), "the journal lags behind the catalog");
        }
    }

    /// Brings all events from the outbox into the journal: what was put down and committed before is there afterwards.
    pub(super) async fn try_flush_journal(&self) -> Result<(), Error> {
        let _one_at_a_time = self.journal.lock().await;
        loop {
            let pending = self.catalog.pending_outbox(BATCH).await?;
            let Some(first) = pending.first() else { return Ok(()) };
            let (site, storage) = (first.site.clone(), first.storage.clone());
            let mut bytes = 0;
            let batch: Vec<_> = pending
                .iter()
                .filter(|event| event.site == site && event.storage == storage)
                .take_while(|event| {
                    // One at least; accounts are told by hundreds, and a segment has a limit.
                    let is_first = bytes == 0;
                    bytes += event.event.len();
                    is_first || bytes <= SEGMENT_BYTES
                })
                .collect();
            let events: Vec<JournalEvent> = batch
                .iter()
                .map(|event| serde_json::from_str(&event.event))
                .collect::<Result<_, _>>()
                .map_err(|error| {
                    Error::new(Reason::CatalogCorrupt, "an event in the outbox is damaged").caused_by(error)
                })?;
            self.vault.storage(&storage)?.append_journal(&site, &SegmentId::generate(), &events).await?;
            let seqs: Vec<_> = batch.iter().map(|event| event.seq).collect();
            let mut tx = self.catalog.begin().await?;
            tx.mark_flushed(&seqs).await?;
            tx.commit().await?;
        }
    }
}
