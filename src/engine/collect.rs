//! Garbage collection: what nobody refers to is condemned, and its bytes go when nobody can be reading them any more.
//!
//! Nothing is taken for garbage that is younger than the minimum age, and what is stored while a collection runs is safe by the
//! count of reliances (`catalog::packs`), whatever clocks say. Facts first, bytes last: what decides over an archive is in the
//! journal before any of its bytes go.

use std::collections::BTreeSet;
use std::time::Duration;

use super::error::Error;
use super::forms::Forms;
use super::run::JobContext;
use super::{Call, Engine, Place};
use crate::catalog::{ContentRow, JobFilter, JobRow, KnownPack, RevisionOrigin, Root, UploadState};
use crate::clock::Timestamp;
use crate::course::ContentKind;
use crate::ids::{CourseName, JobName, SiteId};
use crate::job::{Amount, Garbage, JobKind, JobPayload, JobResult, JobState, Priority};
use crate::reason::Reason;
use crate::retention;
use crate::vault::ListedPack;
use crate::vault::journal::{Event, SegmentId};
use crate::vault::record::Record;

/// Rows read at once.
const PAGE: u32 = 500;

/// So few packs may all go without a question.
const FEW: u64 = 8;

/// A pack with less than one part in this many of its bytes in use is rewritten.
const THIN: u64 = 2;

/// Packs with fewer bytes in use are put together, once there are [`MANY`] of them.
const SMALL: u64 = 8 << 20;
/// So many small packs are worth being put together.
const MANY: usize = 32;

/// Rows of packs that are gone stay so long: longer than anybody holds on to a pack that was never committed.
const REMEMBERED: Duration = Duration::from_secs(30 * 86_400);

/// Segments of the journal that are worth being put together, and bytes of one that comes of it.
const SEGMENTS: usize = 64;
const SEGMENT_BYTES: usize = 4 << 20;

/// How a collection is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CollectionOrder {
    /// Only tell what would go.
    pub dry_run: bool,
    /// What is younger stays.
    pub min_age: Duration,
    /// Go on though most of what is there would go.
    pub accept_most: bool,
}

/// A pack with what of it is in use.
pub(super) struct Used {
    pub known: KnownPack,
    /// Contents that are in use.
    pub rows: Vec<ContentRow>,
    /// Their bytes as they are kept.
    pub bytes: u64,
}

/// What is to become of the packs of a place.
#[derive(Default)]
struct Findings {
    dead: Vec<KnownPack>,
    thin: Vec<Used>,
    orphans: Vec<ListedPack>,
    /// Bytes of all packs that were looked at.
    bytes: u64,
}

impl Engine {
    /// What is younger than this is never taken for garbage, unless somebody asks for it.
    pub(super) fn min_age(&self) -> Duration {
        Duration::from_secs(u64::from(self.rules.care.min_age_hours) * 3600)
    }

    /// Asks for a collection.
    pub async fn collect_garbage(
        &self,
        call: &Call,
        site: &SiteId,
        dry_run: bool,
        min_age: Option<Duration>,
        accept_most: bool,
    ) -> Result<JobRow, Error> {
        if let Some(row) = self.replayed_job(call).await? {
            return Ok(row);
        }
        self.site(site).await?;
        let min_age_seconds = min_age.unwrap_or(self.min_age()).as_secs();
        let payload = JobPayload::Collect { dry_run, min_age_seconds, accept_most };
        // One that has not begun does just what is asked for.
        let filter = JobFilter {
            state: Some(JobState::Pending),
            kind: Some(JobKind::Collect),
            ..JobFilter::default()
        };
        let waiting = self.catalog.list_jobs(site, &filter, None, PAGE).await?;
        if let Some(row) = waiting.into_iter().find(|row| row.payload == payload) {
            let mut tx = self.catalog.begin().await?;
            let name = JobName { site: site.clone(), job: row.job.clone() };
            call.record(&mut tx, &name.to_string(), self).await?;
            tx.commit().await?;
            return Ok(row);
        }
        let job = self.new_job(call, site, payload, Priority::Requested);
        self.enqueue(call, &job).await
    }

    /// Says to every storage that this deployment stores there. One that does not answer now hears it with the first collection.
    pub async fn claim_storages(&self) {
        for (name, storage) in self.vault.storages() {
            if let Err(error) = storage.claim(self.deployment(), &[]).await {
                let error = Error::from(error);
                tracing::warn!(storage = %name, error = error.chain(), "the storage could not be claimed");
            }
        }
    }

    pub(super) fn deployment(&self) -> uuid::Uuid {
        uuid::Uuid::try_parse(self.catalog.deployment_id()).unwrap_or_default()
    }

    pub(super) async fn run_collection(
        &self,
        row: &JobRow,
        context: &JobContext,
        order: CollectionOrder,
    ) -> Result<(), Error> {
        let mut garbage = Garbage { dry_run: order.dry_run, ..Garbage::default() };
        let call = Call::by(super::run::requester(row));
        let before = self.catalog.now().await?.minus(order.min_age);
        context.report(|progress| progress.phase = "pruning".into());
        garbage.revisions = self.prune_revisions(&call, &row.site, order.dry_run).await?;
        // What was decided is in the journal before any bytes go.
        self.try_flush_journal().await?;
        let storages: Vec<_> = self.vault.storages().map(|(name, _)| name.clone()).collect();
        for storage in storages {
            let place = Place::of(&row.site, &storage);
            self.refuse_others(&place, order.dry_run).await?;
            self.collect_place(&place, context, order, before, &mut garbage).await?;
            garbage.uploads += self.remove_lost_uploads(&place, before, order.dry_run).await?;
            garbage.segments += self.compact_journal(&place, before, order.dry_run).await?;
        }
        tracing::info!(site = %row.site, ?garbage, "garbage is collected");
        let result = JobResult { garbage: Some(garbage), ..JobResult::default() };
        let mut tx = self.catalog.begin().await?;
        if !order.dry_run {
            tx.forget_packs(&row.site, before.minus(REMEMBERED)).await?;
        }
        self.succeed(&mut tx, context, &result).await?;
        Ok(tx.commit().await?)
    }

    /// Two deployments on one storage would take each other's packs for garbage.
    async fn refuse_others(&self, place: &Place, dry_run: bool) -> Result<(), Error> {
        let storage = self.storage(place)?;
        if !dry_run {
            storage.claim(self.deployment(), &[]).await?;
        }
        let others: BTreeSet<_> =
            storage.claims().await?.into_iter().filter(|id| *id != self.deployment()).collect();
        if others.is_empty() {
            return Ok(());
        }
        let others = others.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let message = format!(
            "the storage {} is claimed by other deployments, whose packs would look like garbage: {others}",
            place.storage
        );
        Err(Error::new(Reason::CollectionRefused, message).with("deployments", &others))
    }

    async fn collect_place(
        &self,
        place: &Place,
        context: &JobContext,
        order: CollectionOrder,
        before: Timestamp,
        garbage: &mut Garbage,
    ) -> Result<(), Error> {
        // The packs first, then all that refers to them: what is stored in between counts its reliances up.
        let packs = self.known_packs(place).await?;
        context.report(|progress| {
            progress.phase = "marking".into();
            progress.items_total = packs.len() as u64;
        });
        let (marks, roots) = self.mark(place).await?;
        let mut found = Findings::default();
        for known in packs {
            found.bytes += known.size_bytes;
            context.report(|progress| progress.items_done += 1);
            if known.create_time > before {
                garbage.kept.add(known.size_bytes);
                continue;
            }
            match self.used(place, known, &marks).await? {
                used if used.rows.is_empty() => found.dead.push(used.known),
                used if used.bytes * THIN < used.known.size_bytes || used.bytes < SMALL => {
                    found.thin.push(used);
                }
                used => garbage.kept.add(used.known.size_bytes),
            }
        }
        found.orphans = self.orphans(place, before).await?;
        found.bytes += found.orphans.iter().map(|pack| pack.size).sum::<u64>();
        refuse_most(place, &found, roots, order)?;
        context.report(|progress| progress.phase = "removing".into());
        self.condemn(place, &found, order.dry_run, garbage).await?;
        self.repack(place, worth_repacking(found.thin, garbage), order.dry_run, garbage).await?;
        self.remove_condemned(place, context, order, garbage).await
    }

    async fn known_packs(&self, place: &Place) -> Result<Vec<KnownPack>, Error> {
        let mut packs: Vec<KnownPack> = Vec::new();
        loop {
            let after = packs.last().map(|known| &known.pack);
            let page = self.catalog.list_known_packs(&place.site, &place.storage, after, PAGE).await?;
            if page.is_empty() {
                return Ok(packs);
            }
            packs.extend(page);
        }
    }

    /// Everything that archives and revisions refer to, and how many of these there are.
    async fn mark(&self, place: &Place) -> Result<(Forms, u64), Error> {
        let (mut marks, mut trees, mut roots) = (Forms::default(), Forms::default(), 0);
        for of_archives in [true, false] {
            let mut after: Option<Root> = None;
            loop {
                let (site, storage) = (&place.site, &place.storage);
                let page = if of_archives {
                    self.catalog.roots_of_archives(site, storage, after.as_ref(), PAGE).await?
                } else {
                    self.catalog.roots_of_revisions(site, storage, after.as_ref(), PAGE).await?
                };
                for root in &page {
                    roots += 1;
                    self.mark_tree(place, root, &mut trees, &mut marks).await?;
                }
                match page.into_iter().last() {
                    Some(last) => after = Some(last),
                    None => break,
                }
            }
        }
        Ok((marks, roots))
    }

    async fn mark_tree(
        &self,
        place: &Place,
        root: &Root,
        trees: &mut Forms,
        marks: &mut Forms,
    ) -> Result<(), Error> {
        marks.add_plain(&root.tree.root);
        if !trees.add_plain(&root.tree.root) {
            return Ok(());
        }
        // What it refers to cannot be told of a tree that cannot be read, so nothing may go.
        let unreadable = |mut error: Error| {
            let (id, number) = &root.key;
            error.message = format!(
                "the tree of {id}{} cannot be read, so nobody can tell what it needs: {}",
                if *number > 0 { format!(" (revision {number})") } else { String::new() },
                error.message
            );
            error
        };
        let limits = self.stored_limits();
        let mut reader = self.document_reader(place)?;
        for block in self.tree_root(&mut reader, &root.tree).await.map_err(unreadable)? {
            marks.add_plain(&block.digest);
            if trees.add_plain(&block.digest) {
                for entry in self.tree_block(&mut reader, &block, &limits).await.map_err(unreadable)? {
                    marks.add(&entry.content);
                }
            }
        }
        Ok(())
    }

    /// What of a pack is in use: what is marked, and records of what exists.
    async fn used(&self, place: &Place, known: KnownPack, marks: &Forms) -> Result<Used, Error> {
        let mut rows = self.catalog.contents_of_pack(&place.site, &place.storage, &known.pack).await?;
        let mut counting = Vec::with_capacity(rows.len());
        for row in rows.drain(..) {
            let is_used = marks.has(&row.content)
                || (row.kind == ContentKind::Record && self.record_counts(place, &row).await?);
            if is_used {
                counting.push(row);
            }
        }
        let bytes = counting.iter().map(|row| row.content.encoded_size).sum();
        Ok(Used { known, rows: counting, bytes })
    }

    async fn record_counts(&self, place: &Place, row: &ContentRow) -> Result<bool, Error> {
        let end = row.offset + row.content.encoded_size;
        let read = self.storage(place)?.read_pack(&place.site, &row.pack, row.offset..end).await;
        let record = match read {
            Ok(bytes) => Record::decode(&bytes),
            // It is damaged or gone: what it is of can only be told from the catalog, as long as that is there.
            Err(error) if error.reason() == Reason::StorageCorrupt => return Ok(true),
            Err(error) => return Err(error.into()),
        };
        Ok(match record {
            Ok(Record::Archive(record)) => {
                self.catalog.get_archive(&place.site, &record.archive.archive).await?.is_some()
            }
            Ok(Record::Revision(record)) => {
                let course = &record.course.course;
                let row = self.catalog.get_revision(&place.site, course, record.number).await?;
                row.is_some_and(|row| row.tree.root == record.tree.root)
            }
            Err(_) => true,
        })
    }

    /// Packs in the storage that no committed work wrote, and that are old by the storage's clock and by their writer's.
    async fn orphans(&self, place: &Place, before: Timestamp) -> Result<Vec<ListedPack>, Error> {
        let listed = self.storage(place)?.list_packs(&place.site).await?;
        let old: Vec<ListedPack> = listed.into_iter().filter(|pack| pack.modified <= before).collect();
        let ids: Vec<_> = old.iter().map(|pack| pack.pack.clone()).collect();
        let known = self.catalog.which_packs_are_known(&place.site, &place.storage, &ids).await?;
        Ok(old.into_iter().filter(|pack| !known.contains(&pack.pack)).collect())
    }

    async fn condemn(
        &self,
        place: &Place,
        found: &Findings,
        dry_run: bool,
        garbage: &mut Garbage,
    ) -> Result<(), Error> {
        for known in &found.dead {
            let mut tx = self.catalog.begin().await?;
            if dry_run || tx.condemn_pack(&place.site, &place.storage, known).await? {
                garbage.dead.add(known.size_bytes);
            } else {
                garbage.kept.add(known.size_bytes);
            }
            commit_unless(dry_run, tx).await?;
        }
        for orphan in &found.orphans {
            let mut tx = self.catalog.begin().await?;
            let condemned =
                dry_run || tx.condemn_orphan(&place.site, &place.storage, &orphan.pack, orphan.size).await?;
            if condemned {
                garbage.orphans.add(orphan.size);
            }
            commit_unless(dry_run, tx).await?;
        }
        Ok(())
    }

    /// Removes the objects of packs that were condemned long enough ago, and before any job began that runs now.
    async fn remove_condemned(
        &self,
        place: &Place,
        context: &JobContext,
        order: CollectionOrder,
        garbage: &mut Garbage,
    ) -> Result<(), Error> {
        let running = self.catalog.oldest_running_but(&context.name.job).await?;
        // With a minimum age of nothing, what was condemned in this very run goes, too.
        let by = self.catalog.now().await?.minus(order.min_age);
        for pack in self.catalog.list_condemned_packs(&place.site, &place.storage, by).await? {
            if running.is_some_and(|begun| begun <= pack.condemn_time) {
                continue;
            }
            garbage.removed.add(pack.size_bytes);
            if order.dry_run {
                continue;
            }
            self.storage(place)?.delete_pack(&place.site, &pack.pack).await?;
            let mut tx = self.catalog.begin().await?;
            tx.pack_is_gone(&place.site, &place.storage, &pack.pack).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Pieces of upload sessions that nobody knows or that have ended.
    async fn remove_lost_uploads(
        &self,
        place: &Place,
        before: Timestamp,
        dry_run: bool,
    ) -> Result<u64, Error> {
        let storage = self.storage(place)?;
        let mut removed = 0;
        for (upload, newest) in storage.list_uploads(&place.site).await? {
            let row = self.catalog.get_upload(&place.site, &upload).await?;
            let is_over =
                row.is_none_or(|row| matches!(row.state, UploadState::Finished | UploadState::Aborted));
            if is_over && newest <= before {
                removed += 1;
                if !dry_run {
                    storage.delete_parts(&place.site, &upload).await?;
                }
            }
        }
        Ok(removed)
    }

    /// Puts many old segments of the journal into few. What a crash leaves twice is read as once.
    async fn compact_journal(&self, place: &Place, before: Timestamp, dry_run: bool) -> Result<u64, Error> {
        let storage = self.storage(place)?;
        let mut old = storage.list_journal(&place.site).await?;
        old.retain(|segment| segment.time() <= before);
        if old.len() < SEGMENTS {
            return Ok(0);
        }
        if dry_run {
            return Ok(old.len() as u64);
        }
        let (mut merged, mut done, mut events, mut bytes) = (0, Vec::new(), Vec::new(), 0);
        for (index, segment) in old.iter().enumerate() {
            let read = storage.read_journal(&place.site, segment).await?;
            bytes += read
                .iter()
                .map(|event| serde_json::to_vec(event).map_or(0, |text| text.len()))
                .sum::<usize>();
            events.extend(read);
            done.push(*segment);
            if bytes < SEGMENT_BYTES && index + 1 < old.len() {
                continue;
            }
            if done.len() > 1 {
                storage.append_journal(&place.site, &SegmentId::generate(), &events).await?;
                for segment in &done {
                    storage.delete_journal(&place.site, segment).await?;
                }
                merged += done.len() as u64;
            }
            (events, bytes) = (Vec::new(), 0);
            done.clear();
        }
        Ok(merged)
    }

    /// Forgets revisions that are not kept any more, on courses on which nobody works.
    async fn prune_revisions(&self, call: &Call, site: &SiteId, dry_run: bool) -> Result<u64, Error> {
        let care = &self.rules.care;
        let undo_since = self.now().minus(Duration::from_secs(u64::from(care.undo_days) * 86_400));
        let mut query = crate::catalog::CourseQuery { show_deleted: true, ..Default::default() };
        let mut pruned = 0;
        loop {
            let courses = self.catalog.list_courses(site, &query, PAGE).await?;
            let Some(last) = courses.last() else { return Ok(pruned) };
            query.after = Some(last.course.clone());
            for course in &courses {
                let rows = self.catalog.list_revisions(site, &course.course, None, u32::MAX).await?;
                let revisions: Vec<_> = rows
                    .iter()
                    .map(|row| retention::Revision {
                        number: row.revision,
                        parent: row.parent,
                        is_restore: row.origin == RevisionOrigin::Restored,
                        create_time: row.create_time,
                    })
                    .collect();
                let numbers = retention::prunable(&revisions, care.keep_revisions as usize, undo_since);
                if dry_run || numbers.is_empty() {
                    pruned += numbers.len() as u64;
                    continue;
                }
                let name = CourseName { site: site.clone(), course: course.course.clone() };
                let mut tx = self.catalog.begin().await?;
                if tx.forget_revisions(site, &course.course, &numbers).await? == numbers.len() as u64 {
                    pruned += numbers.len() as u64;
                    self.put_down(&mut tx, site, call, Event::RevisionsPruned { course: name, numbers })
                        .await?;
                    tx.commit().await?;
                }
            }
        }
    }
}

async fn commit_unless(dry_run: bool, tx: crate::catalog::Tx) -> Result<(), Error> {
    if dry_run {
        return Ok(());
    }
    Ok(tx.commit().await?)
}

/// Of the thin packs those that are worth the copying; the others are kept.
fn worth_repacking(thin: Vec<Used>, garbage: &mut Garbage) -> Vec<Used> {
    let is_thin = |used: &Used| used.bytes * THIN < used.known.size_bytes;
    let small = thin.iter().filter(|used| used.bytes < SMALL).count();
    let (worth, kept): (Vec<_>, Vec<_>) =
        thin.into_iter().partition(|used| (is_thin(used) && used.known.size_bytes >= SMALL) || small >= MANY);
    for used in kept {
        garbage.kept.add(used.known.size_bytes);
    }
    worth
}

/// Refuses what looks as if catalog and storage did not belong together.
fn refuse_most(place: &Place, found: &Findings, roots: u64, order: CollectionOrder) -> Result<(), Error> {
    let mut going = Amount::default();
    found.dead.iter().for_each(|known| going.add(known.size_bytes));
    found.orphans.iter().for_each(|pack| going.add(pack.size));
    let is_most = going.bytes * 2 > found.bytes && going.count > FEW;
    if order.accept_most || order.dry_run || !is_most {
        return Ok(());
    }
    let message = format!(
        "{} of {} bytes of {} on the storage {} would go, and {roots} archives and revisions are there: that looks \
         like too much; a dry run tells more, and accept_most accepts it",
        going.bytes, found.bytes, place.site, place.storage
    );
    Err(Error::new(Reason::CollectionRefused, message).with("bytes", &going.bytes).with("of", &found.bytes))
}
