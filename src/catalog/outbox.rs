//! Events for the journals of the storages: written with the fact, carried to the storage afterwards.

use uuid::Uuid;

use super::error::CatalogError;
use super::sql::{self, Cells, Stored};
use super::{Catalog, Tx};
use crate::clock::Timestamp;
use crate::ids::{SiteId, StorageName};

/// An event that is decided but not in its storage's journal yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxEvent {
    /// Its identity and, among events of one moment, its place: a UUID that grows with time.
    pub seq: Uuid,
    /// The site it belongs to.
    pub site: SiteId,
    /// The storage whose journal gets it.
    pub storage: StorageName,
    /// The event, as JSON.
    pub event: String,
    /// When it was decided.
    pub create_time: Timestamp,
}

impl Stored for OutboxEvent {
    const TABLE: &'static str = "journal_outbox";
    const KEY: &'static [&'static str] = &["seq"];

    fn parse(cells: &Cells<'_>) -> Result<Self, CatalogError> {
        Ok(Self {
            seq: cells.parsed("seq")?,
            site: cells.parsed("site")?,
            storage: cells.parsed("storage")?,
            event: cells.text("event")?,
            create_time: cells.time("create_ms")?,
        })
    }
}

impl Catalog {
    /// The oldest `limit` events that are not flushed.
    pub async fn pending_outbox(&self, limit: u32) -> Result<Vec<OutboxEvent>, CatalogError> {
        let query = sqlx::query(
            "SELECT seq, site, storage, event, create_ms
             FROM journal_outbox
             ORDER BY create_ms, seq
             LIMIT $1",
        )
        .bind(i64::from(limit));
        sql::all(&mut *self.read().await?, query).await
    }
}

impl Tx {
    /// Adds an event, in the transaction of its fact.
    pub async fn append_outbox(
        &mut self,
        site: &SiteId,
        storage: &StorageName,
        event: &str,
    ) -> Result<Uuid, CatalogError> {
        let now = self.now().await?;
        let seq = Uuid::now_v7();
        let query = sqlx::query(
            "INSERT INTO journal_outbox (seq, site, storage, event, create_ms) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(seq.to_string())
        .bind(sql::text(site))
        .bind(sql::text(storage))
        .bind(event.to_owned())
        .bind(now.millis());
        sql::run(self.conn(), query).await?;
        Ok(seq)
    }

    /// Forgets events that are in their journals. Those that are gone already do not matter.
    pub async fn mark_flushed(&mut self, seqs: &[Uuid]) -> Result<u64, CatalogError> {
        let mut gone = 0;
        for batch in seqs.chunks(sql::BATCH) {
            let list = sql::placeholders(1, batch.len());
            let statement = format!("DELETE FROM journal_outbox WHERE seq IN ({list})");
            let query = sqlx::query(sqlx::AssertSqlSafe(statement));
            let query = batch.iter().fold(query, |query, seq| query.bind(seq.to_string()));
            gone += sql::run(self.conn(), query).await?;
        }
        Ok(gone)
    }
}
