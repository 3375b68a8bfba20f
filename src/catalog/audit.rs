//! The audit log: one chain of entries for each site. There is no statement that changes or removes one.

use super::error::CatalogError;
use super::sql::{self, Cells, Stored};
use super::{Catalog, Tx};
use crate::audit::{Deed, Entry, Head};
use crate::clock::Timestamp;
use crate::ids::{SiteId, StorageName};

/// Which entries of a site are wanted. Empty fields ask for nothing.
#[derive(Clone, Debug, Default)]
pub struct AuditQuery {
    /// Only what this principal did, or what was done for it.
    pub principal: Option<String>,
    /// Only this action.
    pub action: Option<String>,
    /// Only what was done to this resource.
    pub resource: Option<String>,
    /// Only from then on.
    pub since: Option<Timestamp>,
    /// Only what was done before.
    pub until: Option<Timestamp>,
    /// From old to new; else from new to old.
    pub oldest_first: bool,
    /// Only those that come after the one of this number.
    pub after: Option<i64>,
}

impl Stored for Entry {
    const TABLE: &'static str = "audit";
    const KEY: &'static [&'static str] = &["site", "number"];

    fn parse(cells: &Cells<'_>) -> Result<Self, CatalogError> {
        let deed = Deed {
            time: cells.time("time_ms")?,
            principal: cells.text("principal")?,
            via: cells.opt_text("via")?,
            action: cells.text("action")?,
            resource: cells.text("resource")?,
            reason: cells.text("reason")?,
            values: serde_json::from_str(&cells.text("details")?).map_err(|_| cells.corrupt("details"))?,
            request_id: cells.opt_text("request_id")?,
        };
        Ok(Self {
            site: cells.parsed("site")?,
            number: cells.int("number")?,
            deed,
            previous: cells.parsed("previous")?,
            digest: cells.parsed("digest")?,
        })
    }
}

/// Something that was done in a transaction that is not over.
pub(super) struct Deferred {
    site: SiteId,
    storage: StorageName,
    deed: Deed,
    event: Box<dyn FnOnce(Entry) -> serde_json::Result<String> + Send>,
}

struct HeadRow(Head);

impl Stored for HeadRow {
    const TABLE: &'static str = "audit_heads";
    const KEY: &'static [&'static str] = &["site"];

    fn parse(cells: &Cells<'_>) -> Result<Self, CatalogError> {
        Ok(Self(Head { number: cells.int("number")?, digest: cells.parsed("digest")? }))
    }
}

impl Catalog {
    /// At most `limit` entries of a site.
    pub async fn list_audit(
        &self,
        site: &SiteId,
        query: &AuditQuery,
        limit: u32,
    ) -> Result<Vec<Entry>, CatalogError> {
        let (beyond, order) = if query.oldest_first { (">", "ASC") } else { ("<", "DESC") };
        let statement = format!(
            "SELECT site, number, time_ms, principal, via, action, resource, reason, details, request_id, previous, digest
             FROM audit
             WHERE site = $1
                 AND ($2 IS NULL OR principal = $2 OR via = $2)
                 AND ($3 IS NULL OR action = $3)
                 AND ($4 IS NULL OR resource = $4)
                 AND ($5 IS NULL OR time_ms >= $5)
                 AND ($6 IS NULL OR time_ms < $6)
                 AND ($7 IS NULL OR number {beyond} $7)
             ORDER BY number {order}
             LIMIT $8"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(sql::text(site))
            .bind(query.principal.clone())
            .bind(query.action.clone())
            .bind(query.resource.clone())
            .bind(sql::opt_millis(query.since))
            .bind(sql::opt_millis(query.until))
            .bind(query.after)
            .bind(i64::from(limit));
        sql::all(&mut *self.read().await?, query).await
    }
}

impl Tx {
    /// Puts down that something was done. It gets its place in the chain with the commit, as the very last thing: the end of a
    /// chain is a row that only one transaction has at a time, and whoever waits for it must not hold what the other one needs.
    /// `event` makes of the entry what the journal of that storage gets.
    pub fn defer_audit(
        &mut self,
        site: &SiteId,
        storage: &StorageName,
        deed: Deed,
        event: impl FnOnce(Entry) -> serde_json::Result<String> + Send + 'static,
    ) {
        let (site, storage) = (site.clone(), storage.clone());
        self.deeds.push(Deferred { site, storage, deed, event: Box::new(event) });
    }

    /// Gives everything that was put down its place.
    pub(super) async fn enter_deeds(&mut self) -> Result<(), CatalogError> {
        for Deferred { site, storage, deed, event } in std::mem::take(&mut self.deeds) {
            let entry = self.append_audit(&site, deed).await?;
            let event = event(entry).map_err(|_| CatalogError::Unstorable { column: "event" })?;
            self.append_outbox(&site, &storage, &event).await?;
        }
        Ok(())
    }

    async fn append_audit(&mut self, site: &SiteId, deed: Deed) -> Result<Entry, CatalogError> {
        let insert =
            "INSERT INTO audit_heads (site, number, digest) VALUES ($1, 0, $2) ON CONFLICT (site) DO NOTHING";
        let insert = sqlx::query(insert).bind(sql::text(site)).bind(Head::START.digest.to_string());
        sql::run(self.conn(), insert).await?;
        // The row is ours from here to the end of the transaction, so that no two entries get one number.
        let take = "UPDATE audit_heads SET number = number WHERE site = $1 RETURNING site, number, digest";
        let head: Option<HeadRow> = sql::one(self.conn(), sqlx::query(take).bind(sql::text(site))).await?;
        let HeadRow(head) = head.ok_or(CatalogError::Corrupt {
            table: "audit_heads",
            key: site.to_string(),
            column: "site",
        })?;
        let entry = head.then(site.clone(), deed);
        self.insert_audit(&entry).await?;
        Ok(entry)
    }

    /// Puts an entry back as it was, when a catalog is made anew from a journal. Those that are there already stay.
    pub async fn replay_audit(&mut self, entry: &Entry) -> Result<(), CatalogError> {
        let insert =
            "INSERT INTO audit_heads (site, number, digest) VALUES ($1, 0, $2) ON CONFLICT (site) DO NOTHING";
        let insert = sqlx::query(insert).bind(sql::text(&entry.site)).bind(Head::START.digest.to_string());
        sql::run(self.conn(), insert).await?;
        self.insert_audit(entry).await
    }

    async fn insert_audit(&mut self, entry: &Entry) -> Result<(), CatalogError> {
        let deed = &entry.deed;
        let insert = sqlx::query(
            "INSERT INTO audit (site, number, time_ms, principal, via, action, resource, reason, details, request_id, previous, digest)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
             ON CONFLICT (site, number) DO NOTHING",
        )
        .bind(sql::text(&entry.site))
        .bind(entry.number)
        .bind(deed.time.millis())
        .bind(deed.principal.clone())
        .bind(deed.via.clone())
        .bind(deed.action.clone())
        .bind(deed.resource.clone())
        .bind(deed.reason.clone())
        .bind(sql::json("details", &deed.values)?)
        .bind(deed.request_id.clone())
        .bind(entry.previous.to_string())
        .bind(entry.digest.to_string());
        sql::run(self.conn(), insert).await?;
        let advance = "UPDATE audit_heads SET number = $2, digest = $3 WHERE site = $1 AND number < $2";
        let advance = sqlx::query(advance)
            .bind(sql::text(&entry.site))
            .bind(entry.number)
            .bind(entry.digest.to_string());
        sql::run(self.conn(), advance).await.map(|_| ())
    }
}
