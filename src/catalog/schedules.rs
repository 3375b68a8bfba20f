//! When a site's courses are backed up by themselves.

use super::error::{CatalogError, Resource};
use super::sql::{self, Cells, Stored};
use super::{Catalog, Tx};
use crate::backup::Order;
use crate::clock::Timestamp;
use crate::ids::SiteId;
use crate::schedule::{Schedule, SkipRules};

/// The schedule of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleRow {
    /// The site.
    pub site: SiteId,
    /// Nothing happens by itself while it is.
    pub paused: bool,
    /// When.
    pub timing: Schedule,
    /// Which courses are left out.
    pub skip: SkipRules,
    /// With which settings.
    pub order: Order,
    /// Who wrote it last.
    pub author: String,
    /// When it last changed.
    pub update_time: Timestamp,
    /// Grows with every change; 0: nobody ever wrote it.
    pub version: i64,
}

impl Stored for ScheduleRow {
    const TABLE: &'static str = "schedules";
    const KEY: &'static [&'static str] = &["site"];

    fn parse(cells: &Cells<'_>) -> Result<Self, CatalogError> {
        Ok(Self {
            site: cells.parsed("site")?,
            paused: cells.flag("paused")?,
            timing: cells.json("timing")?,
            skip: cells.json("skip_rules")?,
            order: cells.json("backup_order")?,
            author: cells.text("author")?,
            update_time: cells.time("update_ms")?,
            version: cells.int("version")?,
        })
    }
}

impl Catalog {
    /// The schedule of a site, if anybody wrote one.
    pub async fn get_schedule(&self, site: &SiteId) -> Result<Option<ScheduleRow>, CatalogError> {
        let query = sqlx::query(
            "SELECT site, paused, timing, skip_rules, backup_order, author, update_ms, version
             FROM schedules
             WHERE site = $1",
        )
        .bind(sql::text(site));
        sql::one(&mut *self.read().await?, query).await
    }
}

impl Tx {
    /// Writes the schedule of a site; its version is the one before plus one. [`CatalogError::LostRace`] when somebody else wrote
    /// it meanwhile.
    pub async fn put_schedule(&mut self, row: &ScheduleRow) -> Result<(), CatalogError> {
        let query = sqlx::query(
            "INSERT INTO schedules (site, paused, timing, skip_rules, backup_order, author, update_ms, version)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (site) DO UPDATE
             SET paused = excluded.paused, timing = excluded.timing, skip_rules = excluded.skip_rules,
                 backup_order = excluded.backup_order, author = excluded.author, update_ms = excluded.update_ms,
                 version = excluded.version
             WHERE schedules.version = excluded.version - 1",
        )
        .bind(sql::text(&row.site))
        .bind(i64::from(row.paused))
        .bind(sql::json("timing", &row.timing)?)
        .bind(sql::json("skip_rules", &row.skip)?)
        .bind(sql::json("backup_order", &row.order)?)
        .bind(row.author.clone())
        .bind(row.update_time.millis())
        .bind(row.version);
        match sql::run(self.conn(), query).await? {
            0 => Err(CatalogError::LostRace { resource: Resource::Site, key: row.site.to_string() }),
            _ => Ok(()),
        }
    }
}
