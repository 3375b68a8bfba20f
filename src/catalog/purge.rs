//! Archives that go for good. First they are marked, in the transaction of their tombstones; their rows go after the tombstones
//! are in the storage's journal. From the mark on nothing brings an archive back.

use super::archives::{ArchiveRow, archive_columns};
use super::error::CatalogError;
use super::sql;
use super::{Catalog, Tx};
use crate::clock::Timestamp;
use crate::ids::{ArchiveId, SiteId};

impl Catalog {
    /// At most `limit` archives of a site whose grace period is over and that are not held, and those that are marked already,
    /// by id, those after `after`.
    pub async fn archives_to_purge(
        &self,
        site: &SiteId,
        now: Timestamp,
        after: Option<&ArchiveId>,
        limit: u32,
    ) -> Result<Vec<ArchiveRow>, CatalogError> {
        let query = sqlx::query(concat!(
            "SELECT ",
            archive_columns!(),
            " FROM archives
             WHERE site = $1 AND archive > $2 AND purge_ms <= $3 AND delete_ms IS NOT NULL AND hold_ms IS NULL
             ORDER BY archive
             LIMIT $4"
        ))
        .bind(sql::text(site))
        .bind(after.map(ArchiveId::as_str).unwrap_or_default().to_owned())
        .bind(now.millis())
        .bind(i64::from(limit));
        sql::all(&mut *self.read().await?, query).await
    }
}

impl Tx {
    /// Puts the purge of a deleted archive off: the law, as a policy has it, wants it kept until then.
    pub async fn put_purge_off(
        &mut self,
        row: &ArchiveRow,
        purge_time: Timestamp,
    ) -> Result<bool, CatalogError> {
        let query = sqlx::query(
            "UPDATE archives SET purge_ms = $4
             WHERE site = $1 AND archive = $2 AND version = $3 AND delete_ms IS NOT NULL AND purging = 0",
        )
        .bind(sql::text(&row.site))
        .bind(sql::text(&row.archive))
        .bind(row.version)
        .bind(purge_time.millis());
        Ok(sql::run(self.conn(), query).await? > 0)
    }

    /// Marks an archive: it will be purged, whatever comes. `false`: somebody undeleted or held it.
    pub async fn mark_purging(&mut self, row: &ArchiveRow) -> Result<bool, CatalogError> {
        let query = sqlx::query(
            "UPDATE archives SET purging = 1
             WHERE site = $1 AND archive = $2 AND version = $3 AND delete_ms IS NOT NULL AND hold_ms IS NULL",
        )
        .bind(sql::text(&row.site))
        .bind(sql::text(&row.archive))
        .bind(row.version);
        Ok(sql::run(self.conn(), query).await? > 0)
    }

    /// Removes the row of a marked archive, and all that hangs on it. Its tombstone must be in the journal. What it consisted
    /// of becomes garbage unless something else refers to it.
    pub async fn purge_archive(&mut self, site: &SiteId, archive: &ArchiveId) -> Result<bool, CatalogError> {
        for table in ["shares", "retention"] {
            let statement = format!(
                "DELETE FROM {table} WHERE site = $1 AND archive = $2 AND EXISTS (
                     SELECT 1 FROM archives a WHERE a.site = $1 AND a.archive = $2 AND a.purging = 1
                 )"
            );
            let query = sqlx::query(sqlx::AssertSqlSafe(statement));
            sql::run(self.conn(), query.bind(sql::text(site)).bind(sql::text(archive))).await?;
        }
        let query = sqlx::query("DELETE FROM archives WHERE site = $1 AND archive = $2 AND purging = 1")
            .bind(sql::text(site))
            .bind(sql::text(archive));
        Ok(sql::run(self.conn(), query).await? > 0)
    }
}
