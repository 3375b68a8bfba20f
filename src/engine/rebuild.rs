//! The catalog made anew from the storages alone: packs tell what lies where, their records what was stored, the journals what
//! became of it.
//!
//! It is exclusive: the catalog serves nobody before it is whole, and the storages are claimed for it at the end. A rebuild that
//! broke off is begun anew.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};

use super::assemble::form_sizes;
use super::directory::Telling;
use super::error::Error;
use super::forms::Forms;
use super::replay::{ArchiveFacts, SiteFacts};
use super::run::content_row;
use super::{Engine, Place};
use crate::archive::Container;
use crate::catalog::{
    ArchiveRow, CatalogError, CourseQuery, CourseRow, Damage, PackRow, RevisionRow, Root, SiteRow,
    VerificationRow,
};
use crate::clock::Timestamp;
use crate::course::{ContentKind, Tree};
use crate::directory::Platform;
use crate::ids::{ArchiveName, CourseName, RevisionName, SiteId};
use crate::job::{Finding, Severity};
use crate::reason::Reason;
use crate::vault::record::{ArchiveRecord, Record, RevisionRecord};
use crate::vault::{ListedPack, VaultError, WrittenPack};

/// Packs that are read at once.
const PACKS: usize = 8;

/// What was stored so shortly before the journal's end may lack its word there.
const LAG: Duration = Duration::from_secs(3600);

/// Rows read at once, and contents looked up at once.
const PAGE: u32 = 500;

/// What a rebuild found.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Rebuilt {
    /// Sites.
    pub sites: u64,
    /// Packs.
    pub packs: u64,
    /// Events of the journals.
    pub events: u64,
    /// Archives.
    pub archives: u64,
    /// Revisions of courses.
    pub revisions: u64,
    /// Accounts of directories.
    pub accounts: u64,
    /// Archives that were purged and stay so.
    pub purged: u64,
    /// Records that do not count: of work that was given up. Their packs are garbage.
    pub orphaned: Vec<String>,
    /// What cannot be read as it was stored, and why.
    pub damaged: Vec<String>,
    /// Deployments from which the storages were taken over.
    pub replaced: Vec<String>,
}

impl Engine {
    /// Fills an empty catalog from the storages. Refuses one that is in use, and storages that another deployment claims, unless
    /// they are to be taken over: nobody else may work on them from then on.
    pub async fn rebuild(&self, take_over: bool) -> Result<Rebuilt, Error> {
        let mut rebuilt = Rebuilt::default();
        let mut others = BTreeSet::new();
        for (_, storage) in self.vault.storages() {
            others.extend(storage.claims().await?.into_iter().filter(|id| *id != self.deployment()));
        }
        rebuilt.replaced = others.iter().map(ToString::to_string).collect();
        if !others.is_empty() && !take_over {
            let message = format!(
                "the storages are claimed by {}; stop its servers for good, then take them over",
                rebuilt.replaced.join(", ")
            );
            return Err(Error::new(Reason::CollectionRefused, message));
        }
        let mut tx = self.catalog.begin().await?;
        if !tx.begin_rebuild().await? {
            let message = "the catalog is in use; a rebuild needs an empty one";
            return Err(Error::new(Reason::CollectionRefused, message));
        }
        tx.commit().await?;
        let mut sites = BTreeSet::new();
        for (_, storage) in self.vault.storages() {
            sites.extend(storage.list_sites().await?);
        }
        for site in &sites {
            tracing::info!(%site, "site is rebuilt");
            self.rebuild_site(site, &mut rebuilt).await?;
        }
        let others: Vec<_> = others.into_iter().collect();
        for (_, storage) in self.vault.storages() {
            storage.claim(self.deployment(), &others).await?;
        }
        let mut tx = self.catalog.begin().await?;
        tx.end_rebuild().await?;
        tx.commit().await?;
        Ok(rebuilt)
    }

    async fn rebuild_site(&self, site: &SiteId, rebuilt: &mut Rebuilt) -> Result<(), Error> {
        let mut facts = self.read_facts(site, rebuilt).await?;
        rebuilt.sites += 1;
        rebuilt.events += facts.events;
        let row = facts.site.clone().unwrap_or_else(|| SiteRow {
            site: site.clone(),
            display_name: site.to_string(),
            language: "en".into(),
            time_zone: "UTC".into(),
            platform: Platform::default(),
            create_time: self.now(),
        });
        let mut tx = self.catalog.begin().await?;
        tx.insert_site(&row).await?;
        tx.raise_next_id(site, facts.ids_below).await?;
        tx.replace_roles(site, &facts.roles).await?;
        for policy in facts.policies.values() {
            tx.insert_policy(policy).await?;
        }
        if let Some(schedule) = &facts.schedule {
            tx.put_schedule(schedule).await?;
        }
        for accounts in facts.distinct_accounts().chunks(PAGE as usize) {
            tx.put_accounts(accounts).await?;
            rebuilt.accounts += accounts.len() as u64;
        }
        tx.commit().await?;
        rebuilt.purged += facts.archives.values().filter(|archive| archive.is_purged).count() as u64;
        for (storage, _) in self.vault.storages() {
            let place = Place::of(site, storage);
            self.read_packs(&place, &facts, rebuilt).await?;
        }
        for (storage, _) in self.vault.storages() {
            self.check_archives(&Place::of(site, storage), &facts, rebuilt).await?;
        }
        self.finish_courses(site, &facts, rebuilt).await
    }

    async fn read_facts(&self, site: &SiteId, rebuilt: &mut Rebuilt) -> Result<SiteFacts, Error> {
        let mut events = Vec::new();
        for (name, storage) in self.vault.storages() {
            for segment in storage.list_journal(site).await? {
                match storage.read_journal(site, &segment).await {
                    Ok(read) => events.extend(read),
                    Err(error) if error.is_retryable() => return Err(error.into()),
                    Err(error) => rebuilt.damaged.push(format!("{name}: {error}")),
                }
            }
        }
        let mut facts = SiteFacts::new();
        facts.replay(site, events);
        Ok(facts)
    }

    /// Writes down what lies in the packs of a place, and adopts what their records tell of.
    async fn read_packs(&self, place: &Place, facts: &SiteFacts, rebuilt: &mut Rebuilt) -> Result<(), Error> {
        let listed = self.storage(place)?.list_packs(&place.site).await?;
        let mut reading = stream::iter(listed)
            .map(|listed| async move {
                let read = self.read_records(place, &listed).await;
                Ok::<_, Error>((listed, read))
            })
            .buffered(PACKS);
        while let Some((listed, read)) = reading.try_next().await? {
            let (written, records) = match read {
                Ok(read) => read,
                Err(error) if error.is_retryable() => return Err(error.into()),
                Err(error) => {
                    rebuilt.damaged.push(format!("{}: {error}", place.storage));
                    continue;
                }
            };
            rebuilt.packs += 1;
            let mut tx = self.catalog.begin().await?;
            let row =
                PackRow { pack: listed.pack.clone(), size_bytes: listed.size, create_time: listed.modified };
            tx.insert_packs(&place.site, &place.storage, &[row]).await?;
            let contents: Vec<_> = written.items.iter().map(|item| content_row(&written, item)).collect();
            tx.insert_contents(&place.site, &place.storage, &contents).await?;
            tx.commit().await?;
            for record in records {
                match record {
                    Record::Archive(record) => self.adopt_archive(place, &record, facts, rebuilt).await?,
                    Record::Revision(record) => self.adopt_revision(place, &record, facts, rebuilt).await?,
                }
            }
        }
        Ok(())
    }

    async fn read_records(
        &self,
        place: &Place,
        listed: &ListedPack,
    ) -> Result<(WrittenPack, Vec<Record>), VaultError> {
        let storage = self.vault.storage(&place.storage)?;
        let footer = storage.pack_footer(&place.site, &listed.pack).await?;
        let written = WrittenPack { pack: listed.pack.clone(), size: listed.size, items: footer.items };
        let mut records = Vec::new();
        for packed in written.items.iter().filter(|packed| packed.item.kind == ContentKind::Record) {
            let range = packed.offset..packed.offset + packed.item.content.encoded_size;
            let bytes = storage.read_pack(&place.site, &listed.pack, range).await?;
            match Record::decode(&bytes) {
                Ok(record) => records.push(record),
                Err(error) => tracing::error!(pack = %listed.pack, %error, "a record cannot be read"),
            }
        }
        Ok((written, records))
    }

    async fn adopt_archive(
        &self,
        place: &Place,
        record: &ArchiveRecord,
        facts: &SiteFacts,
        rebuilt: &mut Rebuilt,
    ) -> Result<(), Error> {
        let nothing = ArchiveFacts::default();
        let said = facts.archives.get(&record.archive.archive).unwrap_or(&nothing);
        if said.is_purged {
            return Ok(());
        }
        if !said.is_stored && was_given_up(facts, record.create_time) {
            rebuilt.orphaned.push(record.archive.to_string());
            return Ok(());
        }
        let Some(row) = archive_row(place, record, said) else {
            rebuilt.damaged.push(format!("{}: its record cannot be understood", record.archive));
            return Ok(());
        };
        let mut tx = self.catalog.begin().await?;
        match tx.insert_archive(&row).await {
            // A second copy of its record, in a pack that was rewritten.
            Err(CatalogError::Conflict { .. }) => return Ok(()),
            inserted => inserted?,
        }
        for share in said.shares.values() {
            tx.put_share(share).await?;
        }
        if let Some((expiry, policy)) = &said.expired {
            tx.write_expired(&row.site, &row.archive, *expiry, policy.as_ref()).await?;
        }
        tx.commit().await?;
        rebuilt.archives += 1;
        Ok(())
    }

    async fn adopt_revision(
        &self,
        place: &Place,
        record: &RevisionRecord,
        facts: &SiteFacts,
        rebuilt: &mut Rebuilt,
    ) -> Result<(), Error> {
        let name = RevisionName { course: record.course.clone(), number: record.number };
        let said = facts.courses.get(&record.course.course);
        if said.is_some_and(|said| said.pruned.contains(&record.number)) {
            return Ok(());
        }
        let root = said.and_then(|said| said.roots.get(&record.number));
        let counts = match root {
            Some(root) => *root == record.tree.root,
            None => !was_given_up(facts, record.create_time),
        };
        let row = revision_row(place, record);
        let (true, Some(row)) = (counts, row) else {
            rebuilt.orphaned.push(name.to_string());
            return Ok(());
        };
        let mut tx = self.catalog.begin().await?;
        if tx.get_course(&row.site, &row.course).await?.is_none() {
            let create_time = said.and_then(|said| said.create_time).unwrap_or(record.create_time);
            tx.insert_course(&CourseRow {
                site: row.site.clone(),
                course: row.course.clone(),
                full_name: record.full_name.clone(),
                short_name: record.short_name.clone(),
                moodle_course_id: record.moodle_course_id.unwrap_or(0),
                id_number: String::new(),
                live_revision: None,
                create_time,
                update_time: create_time,
                delete_time: None,
                version: 1,
            })
            .await?;
        }
        match tx.insert_revision(&row).await {
            Err(CatalogError::Conflict { .. }) => return Ok(()),
            inserted => inserted?,
        }
        tx.commit().await?;
        rebuilt.revisions += 1;
        Ok(())
    }

    /// Looks for every content of every archive, and finds out what no record tells.
    async fn check_archives(
        &self,
        place: &Place,
        facts: &SiteFacts,
        rebuilt: &mut Rebuilt,
    ) -> Result<(), Error> {
        let mut there = Forms::default();
        let mut after: Option<Root> = None;
        loop {
            let page =
                self.catalog.roots_of_archives(&place.site, &place.storage, after.as_ref(), PAGE).await?;
            for root in &page {
                let archive = root.key.0.parse().map_err(|error: crate::ids::InvalidName| {
                    Error::new(Reason::CatalogCorrupt, "a kept name is damaged").caused_by(error)
                })?;
                let name = ArchiveName { site: place.site.clone(), archive };
                let missing = self.missing(place, root, &mut there).await?;
                let is_stored = facts.archives.get(&name.archive).is_some_and(|said| said.is_stored);
                let mut tx = self.catalog.begin().await?;
                match missing {
                    (Some(tree), damage) if damage.members == 0 => {
                        let sizes = form_sizes(&std::sync::Arc::new(tree));
                        let size = |container| sizes.get(&container).copied();
                        let (zip, tgz) = (size(Container::Zip), size(Container::TarGz));
                        tx.set_form_sizes(&name.site, &name.archive, zip, tgz).await?;
                    }
                    // Work that was cut off before all of it was durable.
                    _ if !is_stored => {
                        tx.reject_archive(&name.site, &name.archive).await?;
                        rebuilt.archives -= 1;
                        rebuilt.orphaned.push(name.to_string());
                    }
                    (tree, damage) => {
                        rebuilt.damaged.push(format!("{name}: {} members", damage.members));
                        if let Some(tree) = tree {
                            let sizes = form_sizes(&std::sync::Arc::new(tree));
                            let size = |container| sizes.get(&container).copied();
                            let (zip, tgz) = (size(Container::Zip), size(Container::TarGz));
                            tx.set_form_sizes(&name.site, &name.archive, zip, tgz).await?;
                        }
                        let found = VerificationRow { time: tx.now().await?, damage: Some(damage) };
                        tx.set_verification(&name.site, &name.archive, &found).await?;
                    }
                }
                tx.commit().await?;
            }
            match page.into_iter().last() {
                Some(last) => after = Some(last),
                None => return Ok(()),
            }
        }
    }

    /// A tree, and which of its members have no content.
    async fn missing(
        &self,
        place: &Place,
        root: &Root,
        there: &mut Forms,
    ) -> Result<(Option<Tree>, Damage), Error> {
        let tree = match self.load_tree(place, &root.tree).await {
            Ok(tree) => tree,
            Err(error) if error.retryable => return Err(error),
            Err(error) => {
                let findings = vec![finding("TREE_DAMAGED", "", error.chain())];
                return Ok((None, Damage { members: root.tree.members.max(1), findings }));
            }
        };
        let mut damage = Damage::default();
        let unseen: Vec<_> =
            tree.entries().iter().filter(|entry| !there.has(&entry.content)).cloned().collect();
        for batch in unseen.chunks(PAGE as usize) {
            let forms: Vec<_> =
                batch.iter().map(|entry| (entry.content.digest, entry.content.form)).collect();
            let located = self.catalog.locate(&place.site, &place.storage, &forms).await?;
            for entry in batch {
                if located.contains_key(&(entry.content.digest, entry.content.form)) {
                    there.add(&entry.content);
                } else {
                    damage.members += 1;
                    let message = format!("the content {} is missing", entry.content.digest);
                    if damage.findings.len() < 100 {
                        damage.findings.push(finding("CONTENT_DAMAGED", entry.path.as_str(), message));
                    }
                }
            }
        }
        Ok((Some(tree), damage))
    }

    /// Makes the newest revision of every course the live one, with the names that it tells.
    async fn finish_courses(
        &self,
        site: &SiteId,
        facts: &SiteFacts,
        rebuilt: &mut Rebuilt,
    ) -> Result<(), Error> {
        let mut query = CourseQuery::default();
        loop {
            let courses = self.catalog.list_courses(site, &query, PAGE).await?;
            let Some(last) = courses.last() else { return Ok(()) };
            query.after = Some(last.course.clone());
            for mut course in courses {
                let name = CourseName { site: site.clone(), course: course.course.clone() };
                let newest = self.catalog.list_revisions(site, &course.course, None, 1).await?;
                let Some(newest) = newest.into_iter().next() else { continue };
                let place = Place::of(site, &newest.storage);
                match self.names_of(&place, &newest).await {
                    Ok(Some((manifest, id_number))) => {
                        course.full_name = manifest.original_course.full_name;
                        course.short_name = manifest.original_course.short_name;
                        course.moodle_course_id = manifest.original_course.id;
                        course.id_number = id_number;
                    }
                    Ok(None) => rebuilt.damaged.push(format!("{name}: its live state has no manifest")),
                    Err(error) if error.retryable => return Err(error),
                    Err(error) => rebuilt.damaged.push(format!("{name}: {}", error.chain())),
                }
                course.live_revision = Some(newest.revision);
                course.delete_time = facts.courses.get(&course.course).and_then(|said| said.delete_time);
                course.update_time = course.delete_time.unwrap_or(newest.create_time);
                let mut tx = self.catalog.begin().await?;
                tx.set_live_revision(&course, None).await?;
                let placement = facts.courses.get(&course.course).and_then(|said| said.placement.as_ref());
                tx.note_change(site, &course.course, placement).await?;
                tx.commit().await?;
            }
        }
    }

    async fn names_of(
        &self,
        place: &Place,
        revision: &RevisionRow,
    ) -> Result<Option<(crate::moodle::Manifest, String)>, Error> {
        let Some(manifest) = self.manifest(place, &revision.tree).await? else { return Ok(None) };
        let told = self.told_by(place, &revision.tree, &manifest, Telling::Course).await?;
        Ok(Some((manifest, told.course_id_number)))
    }
}

/// Whether work of which the journal says nothing was given up: what was stored is told of soon after, since services do so.
fn was_given_up(facts: &SiteFacts, create_time: Timestamp) -> bool {
    facts.since.is_some_and(|since| create_time >= since) && create_time < facts.until.minus(LAG)
}

fn finding(code: &str, path: &str, message: String) -> Finding {
    Finding { severity: Severity::Error, code: code.into(), path: path.into(), message }
}

/// The row of an archive, as its record and the journal tell it; `None` when a word of the record is unknown.
fn archive_row(place: &Place, record: &ArchiveRecord, said: &ArchiveFacts) -> Option<ArchiveRow> {
    let findings = record.findings.iter().map(|finding| {
        Some(Finding {
            severity: finding.severity.parse().ok()?,
            code: finding.code.clone(),
            path: finding.path.clone(),
            message: finding.message.clone(),
        })
    });
    Some(ArchiveRow {
        site: record.archive.site.clone(),
        archive: record.archive.archive.clone(),
        storage: place.storage.clone(),
        area: record.area.parse().ok()?,
        course: record.course.as_ref().map(|course| course.course.clone()),
        owner: record.owner.clone(),
        file_name: record.file_name.clone(),
        origin: record.origin.parse().ok()?,
        archive_type: record.archive_type.parse().ok()?,
        container: record.container.parse().ok()?,
        tree: record.tree,
        upload_size_bytes: record.upload_size,
        upload_sha256: record.upload_sha256,
        zip_size_bytes: None,
        zip_sha256: None,
        tgz_size_bytes: None,
        tgz_sha256: None,
        original_full_name: record.original_full_name.clone(),
        original_short_name: record.original_short_name.clone(),
        backup_time: record.backup_time,
        includes_users: record.includes_users,
        anonymized: record.anonymized,
        findings: findings.collect::<Option<_>>()?,
        create_time: record.create_time,
        update_time: said.update_time.unwrap_or(record.create_time),
        delete_time: said.deleted.map(|(time, _)| time),
        purge_time: said.deleted.map(|(_, time)| time),
        job: record.job.as_ref().map(|job| job.job.clone()),
        version: 1,
        description: said.description.clone(),
        hold: said.hold.clone(),
        verification: None,
    })
}

/// The row of a revision, as its record tells it; `None` when a word of it is unknown.
fn revision_row(place: &Place, record: &RevisionRecord) -> Option<RevisionRow> {
    Some(RevisionRow {
        site: record.course.site.clone(),
        course: record.course.course.clone(),
        revision: record.number,
        parent: record.parent,
        origin: record.origin.parse().ok()?,
        archive: record.archive.as_ref()?.archive.clone(),
        job: record.job.as_ref().map(|job| job.job.clone()),
        author: record.author.clone(),
        storage: place.storage.clone(),
        tree: record.tree,
        create_time: record.create_time,
    })
}
