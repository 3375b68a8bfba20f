//! Verification: every byte of archives is read and checked against the digests under which it was stored.

use std::collections::HashSet;

use super::error::Error;
use super::read::Cursor;
use super::run::JobContext;
use super::{Call, Engine, Place};
use crate::catalog::{ArchiveRow, Damage, JobRow, VerificationRow};
use crate::clock::Timestamp;
use crate::course::{ContentRef, Tree};
use crate::ids::{ArchiveId, ArchiveName, SiteId};
use crate::job::{Finding, JobPayload, JobResult, Priority, Severity};
use crate::reason::Reason;

/// Damaged members of an archive that are told one by one.
const TOLD: usize = 100;

/// Archives that are taken up at once by a check of many.
const BATCH: u32 = 50;

/// Members that are looked up in the catalog at once.
const AHEAD: usize = 500;

/// Contents that one job remembers as sound, so that what archives share is read once. Eight bytes each.
const REMEMBERED: usize = 4 << 20;

/// What a job has found to be sound.
#[derive(Default)]
struct Sound(HashSet<u64>);

impl Sound {
    /// Eight bytes that stand for a form of a content. Two of the same would hide damage from this one job, at odds of one to
    /// a billion of them; the next job reads it.
    fn key(content: &ContentRef) -> u64 {
        let mut first = [0; 8];
        first.copy_from_slice(&content.digest.0[..8]);
        u64::from_le_bytes(first) ^ content.form
    }

    fn has(&self, content: &ContentRef) -> bool {
        self.0.contains(&Self::key(content))
    }

    fn add(&mut self, content: &ContentRef) {
        if self.0.len() < REMEMBERED {
            self.0.insert(Self::key(content));
        }
    }
}

impl Engine {
    /// Asks for a check of every byte of an archive.
    pub async fn verify_archive(&self, call: &Call, name: &ArchiveName) -> Result<JobRow, Error> {
        if let Some(row) = self.replayed_job(call).await? {
            return Ok(row);
        }
        self.live_archive(name).await?;
        let payload = JobPayload::Verify { archive: Some(name.archive.clone()), at_most: 0 };
        let mut job = self.new_job(call, &name.site, payload, Priority::Requested);
        job.source = Some(name.to_string());
        self.enqueue(call, &job).await
    }

    /// Asks for a check of the archives of a site that were not checked for the longest time; 0 stands for all.
    pub async fn verify_archives(&self, call: &Call, site: &SiteId, at_most: u32) -> Result<JobRow, Error> {
        if let Some(row) = self.replayed_job(call).await? {
            return Ok(row);
        }
        self.site(site).await?;
        let at_most = if at_most == 0 { u32::MAX } else { at_most };
        let payload = JobPayload::Verify { archive: None, at_most };
        let job = self.new_job(call, site, payload, Priority::Requested);
        self.enqueue(call, &job).await
    }

    /// Archives of a site that are due in one night, so that all are read within the period.
    pub(super) async fn share_of_a_night(&self, site: &SiteId) -> Result<u32, Error> {
        let nights = u64::from(self.rules.care.verify_days.max(1));
        let share = self.catalog.count_archives(site).await?.div_ceil(nights);
        Ok(u32::try_from(share).unwrap_or(u32::MAX))
    }

    pub(super) async fn run_verify(
        &self,
        row: &JobRow,
        context: &JobContext,
        archive: Option<&ArchiveId>,
        at_most: u32,
    ) -> Result<(), Error> {
        context.report(|progress| progress.phase = "verifying".into());
        let mut sound = Sound::default();
        let mut findings = Vec::new();
        match archive {
            Some(archive) => {
                let name = ArchiveName { site: row.site.clone(), archive: archive.clone() };
                let archive = self.get_archive(&name).await?;
                context.report(|progress| {
                    progress.items_total = archive.tree.members;
                    progress.bytes_total = archive.tree.content_bytes;
                });
                let damage = self.verify(&archive, &mut sound, context, true).await?;
                findings.extend(damage.into_iter().flat_map(|damage| damage.findings));
            }
            None => {
                let begun = row.start_time.unwrap_or(row.create_time);
                self.verify_many(&row.site, begun, at_most, &mut sound, context, &mut findings).await?;
            }
        }
        let result = JobResult { archive: archive.cloned(), findings, ..JobResult::default() };
        let mut tx = self.catalog.begin().await?;
        self.succeed(&mut tx, context, &result).await?;
        Ok(tx.commit().await?)
    }

    /// Checks archives that were not checked since `begun`, so that a job that is begun again goes on where it was.
    async fn verify_many(
        &self,
        site: &SiteId,
        begun: Timestamp,
        at_most: u32,
        sound: &mut Sound,
        context: &JobContext,
        findings: &mut Vec<Finding>,
    ) -> Result<(), Error> {
        let total = self.catalog.count_archives(site).await?.min(at_most.into());
        context.report(|progress| progress.items_total = total);
        let mut left = at_most;
        while left > 0 {
            let rows = self.catalog.list_unverified(site, begun, BATCH.min(left)).await?;
            if rows.is_empty() {
                break;
            }
            for row in &rows {
                let damage = self.verify(row, sound, context, false).await?;
                if let Some(damage) = damage {
                    let name = ArchiveName { site: site.clone(), archive: row.archive.clone() };
                    let message = format!("{} of {} members are damaged", damage.members, row.tree.members);
                    if findings.len() < TOLD {
                        findings.push(damaged("ARCHIVE_DAMAGED", &name, message));
                    }
                }
                context.report(|progress| progress.items_done += 1);
                left -= 1;
            }
        }
        Ok(())
    }

    /// Checks one archive, and keeps what was found with it. A storage that does not answer is an error, not a damage.
    async fn verify(
        &self,
        row: &ArchiveRow,
        sound: &mut Sound,
        context: &JobContext,
        counted: bool,
    ) -> Result<Option<Damage>, Error> {
        let name = ArchiveName { site: row.site.clone(), archive: row.archive.clone() };
        let damage = self.damage_of(row, sound, context, counted).await?;
        let damage = (damage.members > 0).then_some(damage);
        if let Some(damage) = &damage {
            tracing::error!(archive = %name, members = damage.members, "an archive is damaged");
        }
        let mut tx = self.catalog.begin().await?;
        let found = VerificationRow { time: tx.now().await?, damage: damage.clone() };
        tx.set_verification(&row.site, &row.archive, &found).await?;
        tx.commit().await?;
        Ok(damage)
    }

    async fn damage_of(
        &self,
        row: &ArchiveRow,
        sound: &mut Sound,
        context: &JobContext,
        counted: bool,
    ) -> Result<Damage, Error> {
        let place = Place::of(&row.site, &row.storage);
        let tree: Tree = match self.load_tree(&place, &row.tree).await {
            Ok(tree) => tree,
            Err(error) if is_damage(&error) => {
                let findings = vec![damaged("TREE_DAMAGED", &"", error.chain())];
                return Ok(Damage { members: row.tree.members.max(1), findings });
            }
            Err(error) => return Err(error),
        };
        let mut damage = Damage::default();
        let mut reader = self.reader(&place)?;
        for (index, entry) in tree.entries().iter().enumerate() {
            let content = &entry.content;
            if !sound.has(content) {
                if !reader.is_located(content) {
                    let following = &tree.entries()[index..tree.entries().len().min(index + AHEAD)];
                    let unread = following.iter().map(|entry| &entry.content);
                    reader.locate(unread.filter(|content| !sound.has(content))).await?;
                }
                match self.check_content(&mut reader, content).await {
                    Ok(()) => sound.add(content),
                    Err(error) if is_damage(&error) => {
                        damage.members += 1;
                        if damage.findings.len() < TOLD {
                            damage.findings.push(damaged("CONTENT_DAMAGED", &entry.path, error.chain()));
                        }
                    }
                    Err(error) => return Err(error),
                }
            }
            context.report(|progress| {
                progress.items_done += u64::from(counted);
                progress.bytes_done += content.size;
            });
        }
        Ok(damage)
    }

    /// Reads one content to its end: digest and size are checked by the reader, the CRC-32 that goes into containers here.
    async fn check_content(
        &self,
        reader: &mut super::read::ContentReader,
        content: &ContentRef,
    ) -> Result<(), Error> {
        let mut cursor = Cursor::new(content);
        let mut crc32 = crc32fast::Hasher::new();
        while let Some(bytes) = cursor.next(reader).await? {
            crc32.update(&bytes);
        }
        if crc32.finalize() == content.crc32 {
            Ok(())
        } else {
            Err(Error::new(Reason::StorageCorrupt, "its CRC-32 is not the one that is kept with it"))
        }
    }
}

/// Whether an error says that bytes are not there or not what they should be, and not only that nobody could tell.
fn is_damage(error: &Error) -> bool {
    error.reason == Reason::StorageCorrupt
}

fn damaged(code: &str, path: &impl ToString, message: String) -> Finding {
    Finding { severity: Severity::Error, code: code.into(), path: path.to_string(), message }
}
