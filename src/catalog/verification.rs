//! What is known of the soundness of archives: when every byte was last checked, and what was damaged then.

use super::archives::{ArchiveRow, archive_columns};
use super::error::CatalogError;
use super::sql::{self, Cells};
use super::{Catalog, Tx};
use crate::clock::Timestamp;
use crate::ids::{ArchiveId, SiteId};
use crate::job::Finding;

/// What the last check of all bytes of an archive found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerificationRow {
    /// When it ended.
    pub time: Timestamp,
    /// What is damaged; none when every byte is what it should be.
    pub damage: Option<Damage>,
}

/// What is damaged of an archive.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Damage {
    /// Members that cannot be read as they were stored; all of them when the list of members is damaged.
    pub members: u64,
    /// The first of them, by path.
    pub findings: Vec<Finding>,
}

impl VerificationRow {
    /// The damage in its stored form.
    pub(super) fn damage_json(&self) -> Option<Result<String, CatalogError>> {
        self.damage.as_ref().map(|damage| sql::json("verify_damage", damage))
    }
}

/// The verification in a row of an archive.
pub(super) fn verification(cells: &Cells<'_>) -> Result<Option<VerificationRow>, CatalogError> {
    match cells.time("verify_ms")? {
        time if time.millis() == 0 => Ok(None),
        time => Ok(Some(VerificationRow { time, damage: cells.opt_json("verify_damage")? })),
    }
}

impl Catalog {
    /// At most `limit` archives of a site, deleted ones too, that were not checked since `before`: the longest unchecked first.
    pub async fn list_unverified(
        &self,
        site: &SiteId,
        before: Timestamp,
        limit: u32,
    ) -> Result<Vec<ArchiveRow>, CatalogError> {
        let query = sqlx::query(concat!(
            "SELECT ",
            archive_columns!(),
            " FROM archives WHERE site = $1 AND verify_ms < $2 ORDER BY verify_ms, archive LIMIT $3"
        ));
        let query = query.bind(sql::text(site)).bind(before.millis()).bind(i64::from(limit));
        sql::all(&mut *self.read().await?, query).await
    }

    /// Number of archives of a site, deleted ones too.
    pub async fn count_archives(&self, site: &SiteId) -> Result<u64, CatalogError> {
        let query =
            sqlx::query("SELECT COUNT(*) AS archives FROM archives WHERE site = $1").bind(sql::text(site));
        let rows = sql::all_rows(&mut *self.read().await?, query).await?;
        rows.first().map_or(Ok(0), |row| Cells::new(row, "archives", &[]).count("archives"))
    }
}

impl Tx {
    /// Keeps what a check of an archive found. Nothing of what callers change, so its version stays. One that is gone meanwhile
    /// does not matter.
    pub async fn set_verification(
        &mut self,
        site: &SiteId,
        archive: &ArchiveId,
        found: &VerificationRow,
    ) -> Result<(), CatalogError> {
        let query = sqlx::query(
            "UPDATE archives
             SET verify_ms = $3, verify_damage = $4,
                 good = CASE
                     WHEN $4 IS NULL AND REPLACE(findings, '\"severity\":\"ERROR\"', '') = findings THEN 1
                     ELSE 0
                 END
             WHERE site = $1 AND archive = $2",
        )
        .bind(sql::text(site))
        .bind(sql::text(archive))
        .bind(found.time.millis())
        .bind(found.damage_json().transpose()?);
        sql::run(self.conn(), query).await?;
        if found.damage.is_none() {
            return Ok(());
        }
        // One that is damaged takes no good one's place.
        let review = sqlx::query(
            "UPDATE retention SET review_ms = 0
             WHERE site = $1 AND archive = $2 AND EXISTS (
                 SELECT 1 FROM archives a WHERE a.site = $1 AND a.archive = $2 AND a.delete_ms IS NULL
             )",
        );
        let review = review.bind(sql::text(site)).bind(sql::text(archive));
        sql::run(self.conn(), review).await.map(|_| ())
    }
}
