//! Retention policies.

use super::error::{CatalogError, Resource};
use super::sql::{self, Cells, Stored};
use super::{Catalog, Tx};
use crate::clock::Timestamp;
use crate::ids::{PolicyId, SiteId};
use crate::retention::{Rules, Scope};

/// A retention policy of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyRow {
    /// Its site.
    pub site: SiteId,
    /// Its id.
    pub policy: PolicyId,
    /// For people.
    pub display_name: String,
    /// For which archives it is.
    pub scope: Scope,
    /// What it asks for.
    pub rules: Rules,
    /// Who wrote it last.
    pub author: String,
    /// When it was made.
    pub create_time: Timestamp,
    /// When it last changed.
    pub update_time: Timestamp,
    /// Grows with every change.
    pub version: i64,
}

macro_rules! policy_columns {
    () => {
        "site, policy, display_name, area, category, course, rules, author, create_ms, update_ms, version"
    };
}

impl Stored for PolicyRow {
    const TABLE: &'static str = "retention_policies";
    const KEY: &'static [&'static str] = &["site", "policy"];

    fn parse(cells: &Cells<'_>) -> Result<Self, CatalogError> {
        Ok(Self {
            site: cells.parsed("site")?,
            policy: cells.parsed("policy")?,
            display_name: cells.text("display_name")?,
            scope: Scope {
                area: parsed(cells, "area")?,
                category: Some(cells.text("category")?).filter(|text| !text.is_empty()),
                course: parsed(cells, "course")?,
            },
            rules: cells.json("rules")?,
            author: cells.text("author")?,
            create_time: cells.time("create_ms")?,
            update_time: cells.time("update_ms")?,
            version: cells.int("version")?,
        })
    }
}

/// A part of a scope: an empty text stands for all.
pub(super) fn parsed<T: std::str::FromStr>(
    cells: &Cells<'_>,
    column: &'static str,
) -> Result<Option<T>, CatalogError> {
    match cells.text(column)?.as_str() {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| cells.corrupt(column)),
    }
}

fn get(site: &SiteId, policy: &PolicyId) -> sql::Bound {
    sqlx::query(concat!(
        "SELECT ",
        policy_columns!(),
        " FROM retention_policies WHERE site = $1 AND policy = $2"
    ))
    .bind(sql::text(site))
    .bind(sql::text(policy))
}

fn all(site: &SiteId) -> sql::Bound {
    sqlx::query(concat!(
        "SELECT ",
        policy_columns!(),
        " FROM retention_policies WHERE site = $1 ORDER BY policy"
    ))
    .bind(sql::text(site))
}

impl Catalog {
    /// A policy.
    pub async fn get_policy(
        &self,
        site: &SiteId,
        policy: &PolicyId,
    ) -> Result<Option<PolicyRow>, CatalogError> {
        sql::one(&mut *self.read().await?, get(site, policy)).await
    }

    /// All policies of a site, by id; their number is bounded where they are made.
    pub async fn all_policies(&self, site: &SiteId) -> Result<Vec<PolicyRow>, CatalogError> {
        sql::all(&mut *self.read().await?, all(site)).await
    }
}

impl Tx {
    /// All policies of a site, as this transaction sees them.
    pub async fn all_policies(&mut self, site: &SiteId) -> Result<Vec<PolicyRow>, CatalogError> {
        sql::all(self.conn(), all(site)).await
    }

    /// Makes a policy. [`CatalogError::Conflict`] when there is one of that id, or another one of that very scope, which it
    /// names.
    pub async fn insert_policy(&mut self, row: &PolicyRow) -> Result<(), CatalogError> {
        let query = sqlx::query(concat!(
            "INSERT INTO retention_policies (",
            policy_columns!(),
            ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING"
        ));
        let changed = sql::run(self.conn(), written(query, row)?).await?;
        if changed == 0 { Err(self.why_no_policy(row).await?) } else { Ok(()) }
    }

    /// Changes a policy from the version before. [`CatalogError::LostRace`] when it has another version by now,
    /// [`CatalogError::Conflict`] when another one has that scope, which it names.
    pub async fn update_policy(&mut self, row: &PolicyRow) -> Result<(), CatalogError> {
        let taken = self.policy_of_scope(row).await?;
        if let Some(other) = taken.filter(|other| other.policy != row.policy) {
            return Err(conflict(&other));
        }
        let query = sqlx::query(
            "UPDATE retention_policies
             SET display_name = $3, area = $4, category = $5, course = $6, rules = $7, author = $8, create_ms = $9,
                 update_ms = $10, version = $11
             WHERE site = $1 AND policy = $2 AND version = $11 - 1",
        );
        match sql::run(self.conn(), written(query, row)?).await? {
            0 => Err(CatalogError::LostRace { resource: Resource::Policy, key: key(&row.site, &row.policy) }),
            _ => Ok(()),
        }
    }

    /// Forgets a policy. [`CatalogError::LostRace`] when it has another version or is gone.
    pub async fn delete_policy(
        &mut self,
        site: &SiteId,
        policy: &PolicyId,
        version: i64,
    ) -> Result<(), CatalogError> {
        let query =
            sqlx::query("DELETE FROM retention_policies WHERE site = $1 AND policy = $2 AND version = $3")
                .bind(sql::text(site))
                .bind(sql::text(policy))
                .bind(version);
        match sql::run(self.conn(), query).await? {
            0 => Err(CatalogError::LostRace { resource: Resource::Policy, key: key(site, policy) }),
            _ => Ok(()),
        }
    }

    async fn policy_of_scope(&mut self, row: &PolicyRow) -> Result<Option<PolicyRow>, CatalogError> {
        let query = sqlx::query(concat!(
            "SELECT ",
            policy_columns!(),
            " FROM retention_policies WHERE site = $1 AND area = $2 AND category = $3 AND course = $4"
        ))
        .bind(sql::text(&row.site))
        .bind(row.scope.area.map(|area| area.to_string()).unwrap_or_default())
        .bind(row.scope.category.clone().unwrap_or_default())
        .bind(sql::opt_text(row.scope.course.as_ref()).unwrap_or_default());
        sql::one(self.conn(), query).await
    }

    async fn why_no_policy(&mut self, row: &PolicyRow) -> Result<CatalogError, CatalogError> {
        if let Some(same) = sql::one::<PolicyRow>(self.conn(), get(&row.site, &row.policy)).await? {
            return Ok(conflict(&same));
        }
        Ok(self.policy_of_scope(row).await?.as_ref().map_or_else(|| conflict(row), conflict))
    }
}

fn written(query: sql::Bound, row: &PolicyRow) -> Result<sql::Bound, CatalogError> {
    Ok(query
        .bind(sql::text(&row.site))
        .bind(sql::text(&row.policy))
        .bind(row.display_name.clone())
        .bind(row.scope.area.map(|area| area.to_string()).unwrap_or_default())
        .bind(row.scope.category.clone().unwrap_or_default())
        .bind(sql::opt_text(row.scope.course.as_ref()).unwrap_or_default())
        .bind(sql::json("rules", &row.rules)?)
        .bind(row.author.clone())
        .bind(row.create_time.millis())
        .bind(row.update_time.millis())
        .bind(row.version))
}

fn conflict(row: &PolicyRow) -> CatalogError {
    CatalogError::Conflict { resource: Resource::Policy, key: key(&row.site, &row.policy) }
}

fn key(site: &SiteId, policy: &PolicyId) -> String {
    format!("{site}/{policy}")
}
