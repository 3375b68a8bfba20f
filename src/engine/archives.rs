//! Archives in store: looking them up, deleting, looking into them, streaming them out.

use std::sync::Arc;

use super::assemble::{Download, Range, Source, form_sizes};
use super::error::Error;
use super::holds::not_held;
use super::ingest::Arriving;
use super::read::MemberReader;
use super::{Call, Engine, Place};
use crate::archive::Container;
use crate::catalog::{ArchiveOrigin, ArchiveQuery, ArchiveRow, ArchiveType};
use crate::course::{Entry, MemberPath, Tree, TreeRef};
use crate::digest::Sha256;
use crate::ids::{ArchiveId, ArchiveName, SiteId};
use crate::job::Finding;
use crate::moodle::{self, Manifest};
use crate::reason::Reason;
use crate::vault::journal::Event;

/// What an archive says of itself, and what was found about it.
pub struct Inspected {
    /// The archive.
    pub row: ArchiveRow,
    /// What it says of itself; none for a cartridge.
    pub manifest: Option<Manifest>,
}

/// What is known of an archive besides its members.
pub(super) struct Description<'a> {
    pub arriving: &'a Arriving,
    pub origin: ArchiveOrigin,
    pub container: Container,
    pub upload: Option<(u64, Sha256)>,
    pub manifest: Option<&'a Manifest>,
    pub findings: Vec<Finding>,
}

impl Engine {
    /// The row of an archive that is about to become visible.
    pub(super) fn archive_row(
        &self,
        place: &Place,
        tree: &Arc<Tree>,
        tree_ref: TreeRef,
        about: Description<'_>,
    ) -> ArchiveRow {
        let sizes = form_sizes(tree);
        let now = self.now();
        let Arriving { site, area, course, file_name, owner, job } = about.arriving.clone();
        let original = about.manifest.map(|manifest| &manifest.original_course);
        ArchiveRow {
            site,
            archive: ArchiveId::generate(),
            storage: place.storage.clone(),
            area,
            course,
            owner,
            file_name,
            origin: about.origin,
            archive_type: about
                .manifest
                .map_or(ArchiveType::Cartridge, |manifest| manifest.archive_type.into()),
            container: about.container,
            tree: tree_ref,
            upload_size_bytes: about.upload.map(|(size, _)| size),
            upload_sha256: about.upload.map(|(_, sha256)| sha256),
            zip_size_bytes: sizes.get(&Container::Zip).copied(),
            zip_sha256: None,
            tgz_size_bytes: sizes.get(&Container::TarGz).copied(),
            tgz_sha256: None,
            original_full_name: original.map(|course| course.full_name.clone()).unwrap_or_default(),
            original_short_name: original.map(|course| course.short_name.clone()).unwrap_or_default(),
            backup_time: about.manifest.and_then(|manifest| manifest.backup_time),
            includes_users: about.manifest.is_some_and(Manifest::includes_users),
            anonymized: about.manifest.is_some_and(Manifest::is_anonymized),
            findings: about.findings,
            create_time: now,
            update_time: now,
            delete_time: None,
            purge_time: None,
            job: job.map(|job| job.job),
            version: 1,
            description: String::new(),
            hold: None,
            verification: None,
        }
    }

    /// One archive, deleted or not.
    pub async fn get_archive(&self, name: &ArchiveName) -> Result<ArchiveRow, Error> {
        self.catalog
            .get_archive(&name.site, &name.archive)
            .await?
            .ok_or_else(|| Error::not_found(Reason::ArchiveNotFound, name))
    }

    /// An archive that may be used: one that is not deleted.
    pub(super) async fn live_archive(&self, name: &ArchiveName) -> Result<ArchiveRow, Error> {
        let row = self.get_archive(name).await?;
        is_live(&row, name)?;
        Ok(row)
    }

    /// Archives that somebody sees, in the order that was asked for.
    pub async fn list_archives(
        &self,
        site: &SiteId,
        query: &ArchiveQuery,
        limit: u32,
    ) -> Result<Vec<ArchiveRow>, Error> {
        self.site(site).await?;
        Ok(self.catalog.list_archives(site, query, limit).await?)
    }

    /// Deletes an archive softly. `None`: it was missing and that was allowed.
    pub async fn delete_archive(
        &self,
        call: &Call,
        name: &ArchiveName,
        version: Option<i64>,
        allow_missing: bool,
    ) -> Result<Option<ArchiveRow>, Error> {
        if self.replayed(call).await?.is_some() {
            return Ok(Some(self.get_archive(name).await?));
        }
        let row = match self.get_archive(name).await {
            Err(error) if error.reason == Reason::ArchiveNotFound && allow_missing => return Ok(None),
            row => row?,
        };
        if row.delete_time.is_some() {
            return if allow_missing {
                Ok(Some(row))
            } else {
                Err(Error::not_found(Reason::ArchiveNotFound, name))
            };
        }
        check_version(version, row.version, name)?;
        not_held(&row, name)?;
        let now = self.now();
        let purge_time = self.purge_time(&row, now).await?;
        let event = Event::ArchiveDeleted { archive: name.clone(), purge_time };
        let mut tx = self.catalog.begin().await?;
        tx.delete_archive(&name.site, &name.archive, row.version, now, purge_time).await?;
        self.put_down(&mut tx, &name.site, call, event).await?;
        call.record(&mut tx, &name.to_string(), self).await?;
        tx.commit().await?;
        self.flush_journal().await;
        self.review_now(&row).await;
        Ok(Some(self.get_archive(name).await?))
    }

    /// Takes a deletion back.
    pub async fn undelete_archive(&self, call: &Call, name: &ArchiveName) -> Result<ArchiveRow, Error> {
        if self.replayed(call).await?.is_some() {
            return self.get_archive(name).await;
        }
        let row = self.get_archive(name).await?;
        if row.delete_time.is_none() {
            return Err(Error::new(Reason::ArchiveNotDeleted, format!("{name} is not deleted")).on(name));
        }
        let mut tx = self.catalog.begin().await?;
        tx.undelete_archive(&name.site, &name.archive, row.version, self.now()).await?;
        // Else it might expire again at once.
        let spared_until = tx.now().await?.plus(self.rules.grace);
        tx.spare_archive(&name.site, &name.archive, spared_until).await?;
        self.put_down(&mut tx, &name.site, call, Event::ArchiveUndeleted { archive: name.clone() }).await?;
        call.record(&mut tx, &name.to_string(), self).await?;
        tx.commit().await?;
        self.flush_journal().await;
        self.review_now(&row).await;
        self.get_archive(name).await
    }

    /// What an archive says of itself. Reads the tree's root, one block, and `moodle_backup.xml`.
    pub async fn inspect_archive(&self, name: &ArchiveName) -> Result<Inspected, Error> {
        let row = self.live_archive(name).await?;
        let manifest = self.manifest_of(&row).await?;
        Ok(Inspected { row, manifest })
    }

    /// What an archive says of itself; none for a cartridge.
    pub async fn manifest_of(&self, row: &ArchiveRow) -> Result<Option<Manifest>, Error> {
        self.manifest(&Place::of(&row.site, &row.storage), &row.tree).await
    }

    /// `moodle_backup.xml` of a tree, understood.
    pub(super) async fn manifest(&self, place: &Place, tree: &TreeRef) -> Result<Option<Manifest>, Error> {
        let mut reader = self.document_reader(place)?;
        let Some(entry) = self.find_member(&mut reader, tree, MemberPath::MANIFEST).await? else {
            return Ok(None);
        };
        let limits = self.stored_limits();
        let bytes = reader.whole(&entry.content, limits.manifest_bytes).await?;
        Ok(Some(moodle::parse(&*bytes, &limits)?))
    }

    /// Members of an archive after a path, of those that begin with a prefix.
    pub async fn list_members(
        &self,
        name: &ArchiveName,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        let row = self.live_archive(name).await?;
        self.members_after(&Place::of(&row.site, &row.storage), &row.tree, prefix, after, limit).await
    }

    /// One member of an archive, ready to be read.
    pub async fn open_member(&self, name: &ArchiveName, path: &str) -> Result<MemberReader, Error> {
        let row = self.live_archive(name).await?;
        let mut reader = self.reader(&Place::of(&row.site, &row.storage))?;
        match self.find_member(&mut reader, &row.tree, path).await? {
            Some(entry) => Ok(MemberReader::new(reader, entry)),
            None => Err(Error::new(Reason::MemberNotFound, "the archive has no such member")
                .with("path", &path)
                .on(name)),
        }
    }

    /// Streams an archive out.
    pub async fn download_archive(
        &self,
        name: &ArchiveName,
        container: Option<Container>,
        range: Range,
    ) -> Result<Download, Error> {
        let row = self.live_archive(name).await?;
        let container = container.unwrap_or(row.container);
        let sha256 = match container {
            Container::Zip => row.zip_sha256,
            Container::TarGz => row.tgz_sha256,
        };
        tracing::info!(archive = %name, offset = range.offset, "archive is downloaded");
        let source = Source {
            place: Place::of(&row.site, &row.storage),
            tree: row.tree,
            container,
            file_name: row.file_name,
            sha256,
            archive: Some(name.clone()),
        };
        self.stream_out(source, range).await
    }
}

/// Refuses an archive that is deleted.
pub(super) fn is_live(row: &ArchiveRow, name: &ArchiveName) -> Result<(), Error> {
    if row.delete_time.is_some() {
        return Err(Error::new(Reason::ArchiveDeleted, format!("{name} is deleted")).on(name));
    }
    Ok(())
}

/// The version that an etag stands for must be the present one.
pub(super) fn check_version(wanted: Option<i64>, present: i64, name: &impl ToString) -> Result<(), Error> {
    match wanted {
        Some(wanted) if wanted != present => {
            Err(Error::new(Reason::EtagMismatch, format!("{} changed meanwhile", name.to_string())).on(name))
        }
        _ => Ok(()),
    }
}
