//! Sites.

use super::error::{CatalogError, Resource};
use super::sql::{self, Cells, Stored};
use super::{Catalog, Tx};
use crate::clock::Timestamp;
use crate::directory::Platform;
use crate::ids::SiteId;

/// A site: one platform with its courses and archives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteRow {
    /// Its id.
    pub site: SiteId,
    /// For people.
    pub display_name: String,
    /// Language of file names: `en` or `fr`.
    pub language: String,
    /// Time zone of file names, an IANA name.
    pub time_zone: String,
    /// The platform it stands for, as far as that is known.
    pub platform: Platform,
    /// When it was made.
    pub create_time: Timestamp,
}

impl Stored for SiteRow {
    const TABLE: &'static str = "sites";
    const KEY: &'static [&'static str] = &["site"];

    fn parse(cells: &Cells<'_>) -> Result<Self, CatalogError> {
        Ok(Self {
            site: cells.parsed("site")?,
            display_name: cells.text("display_name")?,
            language: cells.text("language")?,
            time_zone: cells.text("time_zone")?,
            platform: Platform {
                identifier_hash: cells.text("identifier_hash")?,
                wwwroot: cells.text("wwwroot")?,
            },
            create_time: cells.time("create_ms")?,
        })
    }
}

const GET: &str = "SELECT site, display_name, language, time_zone, identifier_hash, wwwroot, create_ms
    FROM sites
    WHERE site = $1";

impl Catalog {
    /// A site.
    pub async fn get_site(&self, site: &SiteId) -> Result<Option<SiteRow>, CatalogError> {
        sql::one(&mut *self.read().await?, sqlx::query(GET).bind(sql::text(site))).await
    }

    /// At most `limit` sites by id, those after `after`.
    pub async fn list_sites(&self, after: Option<&SiteId>, limit: u32) -> Result<Vec<SiteRow>, CatalogError> {
        let query = sqlx::query(
            "SELECT site, display_name, language, time_zone, identifier_hash, wwwroot, create_ms
             FROM sites
             WHERE site > $1
             ORDER BY site
             LIMIT $2",
        );
        // the empty text stands before every id
        let after = after.map(SiteId::as_str).unwrap_or_default();
        sql::all(&mut *self.read().await?, query.bind(after.to_owned()).bind(i64::from(limit))).await
    }
}

impl Tx {
    /// A site, as this transaction sees it.
    pub async fn get_site(&mut self, site: &SiteId) -> Result<Option<SiteRow>, CatalogError> {
        sql::one(self.conn(), sqlx::query(GET).bind(sql::text(site))).await
    }

    /// Makes a site. [`CatalogError::Conflict`] when there is one of that id.
    pub async fn insert_site(&mut self, row: &SiteRow) -> Result<(), CatalogError> {
        let query = sqlx::query(
            "INSERT INTO sites (site, display_name, language, time_zone, identifier_hash, wwwroot, create_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT DO NOTHING",
        )
        .bind(sql::text(&row.site))
        .bind(row.display_name.clone())
        .bind(row.language.clone())
        .bind(row.time_zone.clone())
        .bind(row.platform.identifier_hash.clone())
        .bind(row.platform.wwwroot.clone())
        .bind(row.create_time.millis());
        match sql::run(self.conn(), query).await? {
            0 => Err(CatalogError::Conflict { resource: Resource::Site, key: row.site.to_string() }),
            _ => Ok(()),
        }
    }

    /// Changes name, language, time zone and platform of a site. [`CatalogError::NotFound`] when there is none of that id.
    pub async fn update_site(&mut self, row: &SiteRow) -> Result<(), CatalogError> {
        let query = sqlx::query(
            "UPDATE sites
             SET display_name = $2, language = $3, time_zone = $4, identifier_hash = $5, wwwroot = $6
             WHERE site = $1",
        )
        .bind(sql::text(&row.site))
        .bind(row.display_name.clone())
        .bind(row.language.clone())
        .bind(row.time_zone.clone())
        .bind(row.platform.identifier_hash.clone())
        .bind(row.platform.wwwroot.clone());
        match sql::run(self.conn(), query).await? {
            0 => Err(CatalogError::NotFound { resource: Resource::Site, key: row.site.to_string() }),
            _ => Ok(()),
        }
    }
}
