//! What only a rebuild does: an empty catalog is filled from the storages, and serves nobody before it is whole.

use super::error::CatalogError;
use super::sql::{self, Cells};
use super::{Catalog, Tx};
use crate::ids::{ArchiveId, SiteId};

/// Tables that a rebuild fills, those first whose rows refer to others.
const FILLED: [&str; 18] = [
    "shares",
    "retention",
    "archives",
    "revisions",
    "course_backups",
    "courses",
    "contents",
    "packs",
    "accounts",
    "roles",
    "chores",
    "retention_policies",
    "retention_marks",
    "schedules",
    "access_requests",
    "requests",
    "journal_outbox",
    "sites",
];

/// Tables in which a catalog that somebody works with has rows.
const USED: [&str; 6] = ["archives", "revisions", "courses", "packs", "jobs", "uploads"];

impl Catalog {
    /// Whether a rebuild was begun and has not come to its end.
    pub async fn is_being_rebuilt(&self) -> Result<bool, CatalogError> {
        let query = sqlx::query("SELECT value FROM meta WHERE name = 'rebuild'");
        Ok(!sql::all_rows(&mut *self.read().await?, query).await?.is_empty())
    }
}

impl Tx {
    /// Begins a rebuild. `false`: the catalog is in use. What an earlier rebuild left half done is removed.
    pub async fn begin_rebuild(&mut self) -> Result<bool, CatalogError> {
        let begun = "INSERT INTO meta (name, value) VALUES ('rebuild', '') ON CONFLICT (name) DO NOTHING";
        let is_first = sql::run(self.conn(), sqlx::query(begun)).await? == 1;
        if is_first {
            for table in USED {
                let query = sqlx::query(sqlx::AssertSqlSafe(format!("SELECT COUNT(*) AS used FROM {table}")));
                let rows = sql::all_rows(self.conn(), query).await?;
                let used: u64 =
                    rows.first().map_or(Ok(0), |row| Cells::new(row, "meta", &[]).count("used"))?;
                if used > 0 {
                    return Ok(false);
                }
            }
        }
        for table in FILLED {
            sql::run(self.conn(), sqlx::query(sqlx::AssertSqlSafe(format!("DELETE FROM {table}")))).await?;
        }
        Ok(true)
    }

    /// Ends a rebuild: from now on the catalog serves.
    pub async fn end_rebuild(&mut self) -> Result<(), CatalogError> {
        sql::run(self.conn(), sqlx::query("DELETE FROM meta WHERE name = 'rebuild'")).await.map(|_| ())
    }

    /// Keeps the sizes of an archive's forms, which no record tells: `None` for a form that it cannot have.
    pub async fn set_form_sizes(
        &mut self,
        site: &SiteId,
        archive: &ArchiveId,
        zip: Option<u64>,
        tgz: Option<u64>,
    ) -> Result<(), CatalogError> {
        let size = |size: Option<u64>| size.map(|size| sql::stored("size_bytes", size)).transpose();
        let query = sqlx::query(
            "UPDATE archives
             SET zip_size_bytes = $3, tgz_size_bytes = $4,
                 size_bytes = COALESCE(CASE container WHEN 'ZIP' THEN $5 ELSE $6 END, 0)
             WHERE site = $1 AND archive = $2",
        )
        .bind(sql::text(site))
        .bind(sql::text(archive))
        .bind(size(zip)?)
        .bind(size(tgz)?)
        .bind(size(zip)?)
        .bind(size(tgz)?);
        sql::run(self.conn(), query).await.map(|_| ())
    }

    /// Removes an archive that was taken for one and is none.
    pub async fn reject_archive(&mut self, site: &SiteId, archive: &ArchiveId) -> Result<(), CatalogError> {
        for table in ["shares", "retention", "archives"] {
            let statement = format!("DELETE FROM {table} WHERE site = $1 AND archive = $2");
            let query = sqlx::query(sqlx::AssertSqlSafe(statement));
            sql::run(self.conn(), query.bind(sql::text(site)).bind(sql::text(archive))).await?;
        }
        Ok(())
    }
}
