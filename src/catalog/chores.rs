//! What the service does by itself for each site, and when it is due next.

use super::error::CatalogError;
use super::sql::{self, Cells, Stored};
use super::{Catalog, Tx};
use crate::clock::Timestamp;
use crate::ids::SiteId;
use crate::label::labels;

labels! {
    /// Something that is done again and again.
    pub enum Chore {
        /// A share of the archives is verified.
        Verify = "VERIFY",
    }
}

/// A chore that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueChore {
    /// The site.
    pub site: SiteId,
    /// What is to be done.
    pub chore: Chore,
    /// Since when; the epoch when it was never planned.
    pub due: Timestamp,
}

impl Stored for DueChore {
    const TABLE: &'static str = "chores";
    const KEY: &'static [&'static str] = &["site", "chore"];

    fn parse(cells: &Cells<'_>) -> Result<Self, CatalogError> {
        Ok(Self { site: cells.parsed("site")?, chore: cells.parsed("chore")?, due: cells.time("due_ms")? })
    }
}

impl Catalog {
    /// At most `limit` chores that are due, the longest due first.
    pub async fn due_chores(&self, now: Timestamp, limit: u32) -> Result<Vec<DueChore>, CatalogError> {
        let query = sqlx::query(
            "SELECT site, chore, due_ms FROM chores WHERE due_ms <= $1 ORDER BY due_ms, site, chore LIMIT $2",
        );
        let query = query.bind(now.millis()).bind(i64::from(limit));
        sql::all(&mut *self.read().await?, query).await
    }
}

impl Tx {
    /// Gives sites that have no plan for a chore one: they are due at once, which plans them.
    pub async fn adopt_chores(&mut self) -> Result<u64, CatalogError> {
        let mut added = 0;
        for chore in Chore::ALL {
            let query = sqlx::query(
                "INSERT INTO chores (site, chore, due_ms)
                 SELECT s.site, $1, 0
                 FROM sites s
                 WHERE NOT EXISTS (SELECT 1 FROM chores c WHERE c.site = s.site AND c.chore = $1)
                 ON CONFLICT DO NOTHING",
            );
            added += sql::run(self.conn(), query.bind(chore.as_str())).await?;
        }
        Ok(added)
    }

    /// Moves a chore on to its next time. `false`: another replica did.
    pub async fn move_chore(&mut self, due: &DueChore, next: Timestamp) -> Result<bool, CatalogError> {
        let query =
            sqlx::query("UPDATE chores SET due_ms = $4 WHERE site = $1 AND chore = $2 AND due_ms = $3")
                .bind(sql::text(&due.site))
                .bind(due.chore.as_str())
                .bind(due.due.millis())
                .bind(next.millis());
        Ok(sql::run(self.conn(), query).await? == 1)
    }
}
