//! A site's directory: writing accounts and roles, the platform it stands for, and the sequence of new ids.
//!
//! Whoever writes accounts or roles begins with [`Tx::lock_directory`], so that one directory has one writer at a time; what it
//! reads afterwards stays true until it commits.

use super::accounts::{AccountRow, name_key};
use super::error::{CatalogError, Resource};
use super::sql::{self, Cells, Stored};
use super::{Catalog, Tx};
use crate::directory::{HIGHEST_ID, Platform, SiteRole, Source};
use crate::ids::SiteId;
use crate::restore::users::address_key;

/// A role of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleRow {
    /// The role.
    pub role: SiteRole,
    /// How it came to be known.
    pub source: Source,
}

impl Stored for RoleRow {
    const TABLE: &'static str = "roles";
    const KEY: &'static [&'static str] = &["site", "role"];

    fn parse(cells: &Cells<'_>) -> Result<Self, CatalogError> {
        let role = SiteRole {
            id: cells.int("role")?,
            short_name: cells.text("short_name")?,
            archetype: cells.text("archetype")?,
            name: cells.text("name")?,
        };
        Ok(Self { role, source: cells.parsed("source")? })
    }
}

/// A number that a statement gives.
struct Number(i64);

impl Stored for Number {
    const TABLE: &'static str = "sites";
    const KEY: &'static [&'static str] = &[];

    fn parse(cells: &Cells<'_>) -> Result<Self, CatalogError> {
        Ok(Self(cells.int("number")?))
    }
}

/// Columns of a row of accounts.
const COLUMNS: usize = 17;
/// Rows of accounts in one statement.
const ROWS: usize = 200;

fn roles(site: &SiteId) -> sql::Bound {
    sqlx::query(
        "SELECT site, role, short_name, archetype, name, source FROM roles WHERE site = $1 ORDER BY role",
    )
    .bind(sql::text(site))
}

impl Catalog {
    /// All roles of a site, by id. A platform has some tens.
    pub async fn list_roles(&self, site: &SiteId) -> Result<Vec<RoleRow>, CatalogError> {
        sql::all(&mut *self.read().await?, roles(site)).await
    }

    /// Grows with every change of a site's directory.
    pub async fn directory_version(&self, site: &SiteId) -> Result<i64, CatalogError> {
        let query = sqlx::query("SELECT directory_version AS number FROM sites WHERE site = $1");
        let version: Option<Number> = sql::one(&mut *self.read().await?, query.bind(sql::text(site))).await?;
        Ok(version.map_or(0, |Number(version)| version))
    }

    /// Number of accounts of a site, deleted ones included.
    pub async fn count_accounts(&self, site: &SiteId) -> Result<u64, CatalogError> {
        let query = sqlx::query("SELECT CAST(COUNT(*) AS BIGINT) AS number FROM accounts WHERE site = $1");
        let count: Option<Number> = sql::one(&mut *self.read().await?, query.bind(sql::text(site))).await?;
        Ok(count.map_or(0, |Number(count)| u64::try_from(count).unwrap_or(0)))
    }
}

/// A text that a statement gives.
struct Key(String);

impl Stored for Key {
    const TABLE: &'static str = "sites";
    const KEY: &'static [&'static str] = &[];

    fn parse(cells: &Cells<'_>) -> Result<Self, CatalogError> {
        Ok(Self(cells.text("pseudonym_key")?))
    }
}

impl Tx {
    /// What the pseudonyms of a site are made with: `fresh`, unless there is a key already.
    pub async fn pseudonym_key(&mut self, site: &SiteId, fresh: &str) -> Result<String, CatalogError> {
        let query = sqlx::query("UPDATE sites SET pseudonym_key = $2 WHERE site = $1 AND pseudonym_key = ''");
        sql::run(self.conn(), query.bind(sql::text(site)).bind(fresh.to_owned())).await?;
        let query = sqlx::query("SELECT pseudonym_key FROM sites WHERE site = $1").bind(sql::text(site));
        match sql::one(self.conn(), query).await? {
            Some(Key(key)) => Ok(key),
            None => Err(CatalogError::NotFound { resource: Resource::Site, key: site.to_string() }),
        }
    }

    /// Keeps others from writing to the directory until the end of the transaction. [`CatalogError::NotFound`] when there is
    /// no such site.
    pub async fn lock_directory(&mut self, site: &SiteId) -> Result<(), CatalogError> {
        let query = sqlx::query("UPDATE sites SET directory_version = directory_version + 1 WHERE site = $1");
        match sql::run(self.conn(), query.bind(sql::text(site))).await? {
            0 => Err(CatalogError::NotFound { resource: Resource::Site, key: site.to_string() }),
            _ => Ok(()),
        }
    }

    /// Takes the next `count` ids of a site's sequence and gives the first; they follow each other. No other call of any
    /// replica gets one of them, if this transaction commits. [`CatalogError::Unstorable`] when there are not so many left.
    pub async fn reserve_ids(&mut self, site: &SiteId, count: u64) -> Result<i64, CatalogError> {
        let count = sql::stored("next_id", count)?;
        let query = sqlx::query(
            "UPDATE sites
             SET next_id = next_id + $2
             WHERE site = $1 AND next_id <= $3
             RETURNING next_id - $4 AS number",
        )
        .bind(sql::text(site))
        .bind(count)
        .bind(HIGHEST_ID.saturating_sub(count))
        .bind(count);
        match sql::one(self.conn(), query).await? {
            Some(Number(first)) => Ok(first),
            None if self.get_site(site).await?.is_some() => {
                Err(CatalogError::Unstorable { column: "next_id" })
            }
            None => Err(CatalogError::NotFound { resource: Resource::Site, key: site.to_string() }),
        }
    }

    /// Lets a site's sequence go on at `next`, unless it is there already: for whoever makes a catalog anew.
    pub async fn raise_next_id(&mut self, site: &SiteId, next: i64) -> Result<(), CatalogError> {
        let query = sqlx::query("UPDATE sites SET next_id = $2 WHERE site = $1 AND next_id < $3");
        sql::run(self.conn(), query.bind(sql::text(site)).bind(next).bind(next)).await?;
        Ok(())
    }

    /// Says which platform a site stands for.
    pub async fn set_platform(&mut self, site: &SiteId, platform: &Platform) -> Result<(), CatalogError> {
        let query = sqlx::query("UPDATE sites SET identifier_hash = $2, wwwroot = $3 WHERE site = $1")
            .bind(sql::text(site))
            .bind(platform.identifier_hash.clone())
            .bind(platform.wwwroot.clone());
        match sql::run(self.conn(), query).await? {
            0 => Err(CatalogError::NotFound { resource: Resource::Site, key: site.to_string() }),
            _ => Ok(()),
        }
    }

    /// Writes accounts, in the place of those of their ids. Their times of making stay as the rows say.
    /// [`CatalogError::LostRace`] when one has name and host of another account.
    pub async fn put_accounts(&mut self, rows: &[AccountRow]) -> Result<(), CatalogError> {
        let Some(site) = rows.first().map(|row| row.site.clone()) else { return Ok(()) };
        // First all go: within one import names may change hands.
        let ids: Vec<i64> = rows.iter().map(|row| row.person.id).collect();
        self.delete_accounts(&site, &ids).await?;
        for batch in rows.chunks(ROWS) {
            let values = sql::value_rows(self.dialect, batch.len(), COLUMNS);
            let statement = format!(
                "INSERT INTO accounts (site, account, username, host, email, id_number, first_name, last_name,
                     first_access, deleted, auth, pseudonym, source, email_key, deleted_name_key, create_ms, update_ms)
                 VALUES {values}
                 ON CONFLICT DO NOTHING"
            );
            let mut query = sqlx::query(sqlx::AssertSqlSafe(statement));
            for row in batch {
                let person = &row.person;
                query = query
                    .bind(sql::text(&row.site))
                    .bind(person.id)
                    .bind(person.username.clone())
                    .bind(person.host)
                    .bind(person.email.clone())
                    .bind(person.id_number.clone())
                    .bind(person.first_name.clone())
                    .bind(person.last_name.clone())
                    .bind(person.first_access)
                    .bind(i64::from(person.is_deleted))
                    .bind(person.auth.clone())
                    .bind(i64::from(person.is_pseudonym))
                    .bind(row.source.as_str())
                    .bind(address_key(&person.email))
                    .bind(person.is_deleted.then(|| name_key(&person.username)))
                    .bind(row.create_time.millis())
                    .bind(row.update_time.millis());
            }
            if sql::run(self.conn(), query).await? != batch.len() as u64 {
                return Err(CatalogError::LostRace { resource: Resource::Account, key: site.to_string() });
            }
        }
        Ok(())
    }

    /// Forgets accounts, and tells how many.
    pub async fn delete_accounts(&mut self, site: &SiteId, ids: &[i64]) -> Result<u64, CatalogError> {
        let mut gone = 0;
        for batch in ids.chunks(sql::BATCH) {
            let list = sql::placeholders(2, batch.len());
            let statement = format!("DELETE FROM accounts WHERE site = $1 AND account IN ({list})");
            let query = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(sql::text(site));
            gone += sql::run(self.conn(), batch.iter().fold(query, |query, id| query.bind(*id))).await?;
        }
        Ok(gone)
    }

    /// All roles of a site, by id, as this transaction sees them.
    pub async fn list_roles(&mut self, site: &SiteId) -> Result<Vec<RoleRow>, CatalogError> {
        sql::all(self.conn(), roles(site)).await
    }

    /// Makes these all the roles of a site. [`CatalogError::LostRace`] when two have one id or one short name.
    pub async fn replace_roles(&mut self, site: &SiteId, rows: &[RoleRow]) -> Result<(), CatalogError> {
        let query = sqlx::query("DELETE FROM roles WHERE site = $1").bind(sql::text(site));
        sql::run(self.conn(), query).await?;
        for row in rows {
            let query = sqlx::query(
                "INSERT INTO roles (site, role, short_name, archetype, name, source)
                 VALUES ($1, $2, $3, $4, $5, $6)
                 ON CONFLICT DO NOTHING",
            )
            .bind(sql::text(site))
            .bind(row.role.id)
            .bind(row.role.short_name.clone())
            .bind(row.role.archetype.clone())
            .bind(row.role.name.clone())
            .bind(row.source.as_str());
            if sql::run(self.conn(), query).await? == 0 {
                return Err(CatalogError::LostRace { resource: Resource::Role, key: site.to_string() });
            }
        }
        Ok(())
    }
}
