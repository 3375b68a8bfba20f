//! Changes of archives that callers see: deletions, holds, descriptions. Each is one guarded statement.

use super::Tx;
use super::archives::{ArchiveRow, HoldRow, archive_columns, key};
use super::error::{CatalogError, Resource};
use super::sql;
use crate::clock::Timestamp;
use crate::ids::{ArchiveId, SiteId};

/// One statement that changes an archive and returns its row. All of them have site and archive as `$1` and `$2`, the time as
/// `$3`, and count the version up.
macro_rules! change {
    ($set:literal, $guard:literal) => {
        sqlx::query(concat!(
            "UPDATE archives SET ",
            $set,
            " update_ms = $3, version = version + 1 WHERE site = $1 AND archive = $2 AND ",
            $guard,
            " RETURNING ",
            archive_columns!()
        ))
    };
}

impl Tx {
    /// Marks an archive as deleted. [`CatalogError::LostRace`] when it has another version, is held, or is deleted already.
    pub async fn delete_archive(
        &mut self,
        site: &SiteId,
        archive: &ArchiveId,
        version: i64,
        delete_time: Timestamp,
        purge_time: Timestamp,
    ) -> Result<ArchiveRow, CatalogError> {
        let query = change!(
            "delete_ms = $3, purge_ms = $5,",
            "version = $4 AND delete_ms IS NULL AND hold_ms IS NULL"
        )
        .bind(sql::text(site))
        .bind(sql::text(archive))
        .bind(delete_time.millis())
        .bind(version)
        .bind(purge_time.millis());
        self.changed_and_reviewed(site, archive, query).await
    }

    /// Takes a deletion back. [`CatalogError::LostRace`] when the archive has another version or is not deleted.
    pub async fn undelete_archive(
        &mut self,
        site: &SiteId,
        archive: &ArchiveId,
        version: i64,
        update_time: Timestamp,
    ) -> Result<ArchiveRow, CatalogError> {
        let query = change!(
            "delete_ms = NULL, purge_ms = NULL,",
            "version = $4 AND delete_ms IS NOT NULL AND purging = 0"
        )
        .bind(sql::text(site))
        .bind(sql::text(archive))
        .bind(update_time.millis())
        .bind(version);
        self.changed_and_reviewed(site, archive, query).await
    }

    /// Holds an archive, deleted or not. [`CatalogError::LostRace`] when it has another version or is held already.
    pub async fn place_hold(
        &mut self,
        site: &SiteId,
        archive: &ArchiveId,
        version: i64,
        hold: &HoldRow,
    ) -> Result<ArchiveRow, CatalogError> {
        let query = change!(
            "hold_reason = $5, hold_by = $6, hold_ms = $3,",
            "version = $4 AND hold_ms IS NULL AND purging = 0"
        )
        .bind(sql::text(site))
        .bind(sql::text(archive))
        .bind(hold.create_time.millis())
        .bind(version)
        .bind(hold.reason.clone())
        .bind(hold.principal.clone());
        self.changed_and_reviewed(site, archive, query).await
    }

    /// Releases a hold. [`CatalogError::LostRace`] when the archive has another version or is not held.
    pub async fn release_hold(
        &mut self,
        site: &SiteId,
        archive: &ArchiveId,
        version: i64,
        update_time: Timestamp,
    ) -> Result<ArchiveRow, CatalogError> {
        let query = change!(
            "hold_reason = NULL, hold_by = NULL, hold_ms = NULL,",
            "version = $4 AND hold_ms IS NOT NULL"
        )
        .bind(sql::text(site))
        .bind(sql::text(archive))
        .bind(update_time.millis())
        .bind(version);
        self.changed_and_reviewed(site, archive, query).await
    }

    /// Changes what people wrote about an archive. [`CatalogError::LostRace`] when it has another version or is deleted.
    pub async fn describe_archive(
        &mut self,
        site: &SiteId,
        archive: &ArchiveId,
        version: i64,
        description: &str,
        update_time: Timestamp,
    ) -> Result<ArchiveRow, CatalogError> {
        let query = change!("description = $5,", "version = $4 AND delete_ms IS NULL")
            .bind(sql::text(site))
            .bind(sql::text(archive))
            .bind(update_time.millis())
            .bind(version)
            .bind(description.to_owned());
        self.changed(site, archive, query).await
    }

    /// Notes that something about an archive changed that stands elsewhere, such as its shares, and keeps others from changing
    /// it until this transaction ends.
    pub async fn touch_archive(
        &mut self,
        site: &SiteId,
        archive: &ArchiveId,
        update_time: Timestamp,
    ) -> Result<ArchiveRow, CatalogError> {
        let query =
            change!("", "1 = 1").bind(sql::text(site)).bind(sql::text(archive)).bind(update_time.millis());
        self.changed(site, archive, query).await
    }

    /// A change that the archive's time with us depends on.
    async fn changed_and_reviewed(
        &mut self,
        site: &SiteId,
        archive: &ArchiveId,
        query: sql::Bound,
    ) -> Result<ArchiveRow, CatalogError> {
        let row = self.changed(site, archive, query).await?;
        self.mark_for_review(&row).await?;
        Ok(row)
    }

    async fn changed(
        &mut self,
        site: &SiteId,
        archive: &ArchiveId,
        query: sql::Bound,
    ) -> Result<ArchiveRow, CatalogError> {
        match sql::one(self.conn(), query).await? {
            Some(row) => Ok(row),
            None => Err(self.why_no_archive(site, archive).await?),
        }
    }

    /// Why a change found no row.
    pub(super) async fn why_no_archive(
        &mut self,
        site: &SiteId,
        archive: &ArchiveId,
    ) -> Result<CatalogError, CatalogError> {
        let (resource, key) = (Resource::Archive, key(site, archive));
        Ok(match self.get_archive(site, archive).await? {
            Some(_) => CatalogError::LostRace { resource, key },
            None => CatalogError::NotFound { resource, key },
        })
    }
}
