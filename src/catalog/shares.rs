//! To whom archives are made available. A share counts while the catalog's clock stands before its end.

use super::error::CatalogError;
use super::sql::{self, Cells, Stored};
use super::{Catalog, Tx};
use crate::clock::Timestamp;
use crate::ids::{ArchiveId, SiteId};

/// An archive that is made available to a principal for a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareRow {
    /// The archive's site.
    pub site: SiteId,
    /// The archive.
    pub archive: ArchiveId,
    /// To whom it is made available.
    pub principal: String,
    /// Who shared it.
    pub author: String,
    /// A word to that principal; may be empty.
    pub note: String,
    /// When it was shared, or shared anew.
    pub create_time: Timestamp,
    /// It ends then.
    pub expire_time: Timestamp,
}

impl Stored for ShareRow {
    const TABLE: &'static str = "shares";
    const KEY: &'static [&'static str] = &["site", "archive", "principal"];

    fn parse(cells: &Cells<'_>) -> Result<Self, CatalogError> {
        Ok(Self {
            site: cells.parsed("site")?,
            archive: cells.parsed("archive")?,
            principal: cells.text("principal")?,
            author: cells.text("author")?,
            note: cells.text("note")?,
            create_time: cells.time("create_ms")?,
            expire_time: cells.time("expire_ms")?,
        })
    }
}

impl Catalog {
    /// The shares of these archives of a site that have not ended, by archive and principal. Those of one principal if one is
    /// given.
    pub async fn list_shares(
        &self,
        site: &SiteId,
        archives: &[ArchiveId],
        principal: Option<&str>,
    ) -> Result<Vec<ShareRow>, CatalogError> {
        let now = self.now().await?;
        let mut found = Vec::new();
        let mut conn = self.read().await?;
        for batch in archives.chunks(sql::BATCH) {
            let statement = format!(
                "SELECT site, archive, principal, author, note, create_ms, expire_ms
                 FROM shares
                 WHERE site = $1
                     AND expire_ms > $2
                     AND ($3 IS NULL OR principal = $3)
                     AND archive IN ({})
                 ORDER BY archive, principal",
                sql::placeholders(4, batch.len())
            );
            let query = sqlx::query(sqlx::AssertSqlSafe(statement))
                .bind(sql::text(site))
                .bind(now.millis())
                .bind(principal.map(str::to_owned));
            let query = batch.iter().fold(query, |query, archive| query.bind(sql::text(archive)));
            found.extend(sql::all::<ShareRow>(&mut conn, query).await?);
        }
        Ok(found)
    }
}

impl Tx {
    /// Number of principals other than this one to whom an archive is made available.
    pub async fn count_other_shares(
        &mut self,
        site: &SiteId,
        archive: &ArchiveId,
        principal: &str,
    ) -> Result<u64, CatalogError> {
        let now = self.now().await?;
        let query = sqlx::query(
            "SELECT COUNT(*) AS others
             FROM shares
             WHERE site = $1 AND archive = $2 AND principal <> $3 AND expire_ms > $4",
        )
        .bind(sql::text(site))
        .bind(sql::text(archive))
        .bind(principal.to_owned())
        .bind(now.millis());
        let rows = sql::all_rows(self.conn(), query).await?;
        rows.first().map_or(Ok(0), |row| Cells::new(row, ShareRow::TABLE, &[]).count("others"))
    }

    /// Makes an archive available, or does so anew: then time, note and author are replaced. Whoever calls this has changed the
    /// archive's row in the same transaction, so that shares of one archive are made one after the other.
    pub async fn put_share(&mut self, row: &ShareRow) -> Result<(), CatalogError> {
        let query = sqlx::query(
            "INSERT INTO shares (site, archive, principal, author, note, create_ms, expire_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (site, archive, principal) DO UPDATE
             SET author = excluded.author, note = excluded.note, create_ms = excluded.create_ms,
                 expire_ms = excluded.expire_ms",
        )
        .bind(sql::text(&row.site))
        .bind(sql::text(&row.archive))
        .bind(row.principal.clone())
        .bind(row.author.clone())
        .bind(row.note.clone())
        .bind(row.create_time.millis())
        .bind(row.expire_time.millis());
        sql::run(self.conn(), query).await?;
        Ok(())
    }

    /// Ends a share. Answers whether there was one that had not ended.
    pub async fn remove_share(
        &mut self,
        site: &SiteId,
        archive: &ArchiveId,
        principal: &str,
    ) -> Result<bool, CatalogError> {
        let now = self.now().await?;
        let query = sqlx::query(
            "DELETE FROM shares WHERE site = $1 AND archive = $2 AND principal = $3 AND expire_ms > $4",
        )
        .bind(sql::text(site))
        .bind(sql::text(archive))
        .bind(principal.to_owned())
        .bind(now.millis());
        Ok(sql::run(self.conn(), query).await? > 0)
    }

    /// Removes shares that have ended. Answers how many.
    pub async fn forget_shares(&mut self) -> Result<u64, CatalogError> {
        let now = self.now().await?;
        let query = sqlx::query("DELETE FROM shares WHERE expire_ms <= $1").bind(now.millis());
        sql::run(self.conn(), query).await
    }
}
