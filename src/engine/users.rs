//! Accounts and roles of a site as administrators bring them in, see them and let them be forgotten.
//!
//! Names and addresses of people never reach a log or an error: only counts and ids do.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::error::Error;
use super::{Call, Engine};
use crate::catalog::{AccountQuery, AccountRow, RoleRow, Tx};
use crate::directory::{Existing, Fate, Person, Refusal, SiteRole, Source, plan_import};
use crate::ids::{SiteId, UserName};
use crate::reason::Reason;
use crate::vault::journal::Event;

/// Most accounts in one import: they are held in memory, and written in one transaction, for which all others that write wait on
/// SQLite. That takes some seconds, and must stay far below the time for which leases hold.
pub const MOST_ROWS: usize = 100_000;
/// Most roles in one import.
const MOST_ROLES: usize = 1000;
/// Refused rows that are told one by one.
const MOST_REFUSED: usize = 1000;
/// Accounts in one event of the journal.
const CHUNK: usize = 200;

/// What an import did, or would do. Kept with the request's id, so that a repeated call gets the same answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// Rows that are new accounts.
    pub created: u64,
    /// Rows that changed an account.
    pub updated: u64,
    /// Rows of accounts that were like that.
    pub unchanged: u64,
    /// Rows that were left out.
    pub refused: u64,
    /// The first of those.
    pub told: Vec<RefusedRow>,
}

/// A row that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedRow {
    /// Which, counted from 1.
    pub row: u64,
    /// Its id.
    pub id: i64,
    /// Why.
    pub why: WhyRefused,
    /// The field concerned, or nothing.
    pub field: String,
    /// The other account concerned, or 0.
    pub other: i64,
    /// For people.
    pub message: String,
}

/// Why a row was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "see `directory::Refusal`")]
pub enum WhyRefused {
    FieldInvalid,
    RepeatedId,
    RepeatedName,
    NameTaken,
    ReservedId,
}

impl RefusedRow {
    fn of(at: usize, id: i64, refusal: &Refusal) -> Self {
        let none = String::new;
        let (why, field, other, message) = match refusal {
            Refusal::Unfit(unfit) => {
                (WhyRefused::FieldInvalid, unfit.field.to_owned(), 0, unfit.message.clone())
            }
            Refusal::RepeatedId => {
                (WhyRefused::RepeatedId, none(), 0, "several rows have this id".to_owned())
            }
            Refusal::RepeatedName { other } => {
                (WhyRefused::RepeatedName, none(), *other, "several rows have this name and host".to_owned())
            }
            Refusal::NameTaken { holder } => {
                (WhyRefused::NameTaken, none(), *holder, format!("user {holder} has this name and host"))
            }
            Refusal::ReservedId => (
                WhyRefused::ReservedId,
                none(),
                0,
                "the service gives out ids like this, and did not give out this one".to_owned(),
            ),
        };
        Self { row: at as u64 + 1, id, why, field, other, message }
    }
}

impl Engine {
    /// Brings accounts into a site's directory. Rows that cannot be kept are told and left out.
    ///
    /// # Errors
    ///
    /// [`Reason::LimitImportRows`] for more than [`MOST_ROWS`].
    pub async fn import_users(
        &self,
        call: &Call,
        site: &SiteId,
        rows: &[Person],
        validate_only: bool,
    ) -> Result<Imported, Error> {
        too_many(rows.len(), MOST_ROWS)?;
        if let Some(kept) = self.replayed(call).await? {
            return serde_json::from_str(&kept).map_err(|error| {
                Error::new(Reason::CatalogCorrupt, "a kept answer is damaged").caused_by(error)
            });
        }
        self.site(site).await?;
        let mut tx = self.catalog.begin().await?;
        tx.lock_directory(site).await?;
        let (existing, known) = self.existing(&mut tx, site, rows).await?;
        let fates = plan_import(rows, &existing);
        let imported = told(rows, &fates);
        if validate_only {
            return Ok(imported);
        }
        let now = self.now();
        let written: Vec<AccountRow> = rows
            .iter()
            .zip(&fates)
            .filter(|(_, fate)| matches!(fate, Fate::Created | Fate::Updated))
            .map(|(row, _)| {
                let before = known.get(&row.id);
                let is_pseudonym = before.is_some_and(|before| before.person.is_pseudonym);
                AccountRow {
                    site: site.clone(),
                    person: Person { is_pseudonym, ..row.clone() },
                    source: Source::Imported,
                    create_time: before.map_or(now, |before| before.create_time),
                    update_time: now,
                }
            })
            .collect();
        tx.put_accounts(&written).await?;
        for chunk in written.chunks(CHUNK) {
            let accounts = chunk.iter().map(|row| row.person.clone()).collect();
            let event = Event::AccountsWritten { site: site.clone(), source: Source::Imported, accounts };
            self.put_down(&mut tx, site, call, event).await?;
        }
        let kept = serde_json::to_string(&imported)
            .map_err(|error| Error::new(Reason::Internal, "an answer cannot be kept").caused_by(error))?;
        call.record(&mut tx, &kept, self).await?;
        tx.commit().await?;
        tracing::info!(
            %site,
            created = imported.created,
            updated = imported.updated,
            unchanged = imported.unchanged,
            refused = imported.refused,
            "accounts were imported"
        );
        self.flush_journal().await;
        Ok(imported)
    }

    /// What an import may touch, for the plan and in full.
    async fn existing(
        &self,
        tx: &mut Tx,
        site: &SiteId,
        rows: &[Person],
    ) -> Result<(Existing, std::collections::HashMap<i64, AccountRow>), Error> {
        let ids: BTreeSet<i64> = rows.iter().map(|row| row.id).collect();
        let names: BTreeSet<&str> = rows
            .iter()
            // What cannot be kept is not asked for: some databases refuse it.
            .filter(|row| row.check().is_ok())
            .map(|row| row.username.as_str())
            .collect();
        let (ids, names): (Vec<i64>, Vec<&str>) = (ids.into_iter().collect(), names.into_iter().collect());
        let holders = tx.accounts_of_names(site, &names).await?.into_iter();
        let holders = holders.map(|row| ((row.person.username, row.person.host), row.person.id)).collect();
        let known = tx.accounts_of_ids(site, &ids).await?;
        let by_id = known.iter().map(|row| (row.person.id, row.person.clone())).collect();
        Ok((Existing { by_id, holders }, known.into_iter().map(|row| (row.person.id, row)).collect()))
    }

    /// An account of a site.
    pub async fn get_user(&self, name: &UserName) -> Result<AccountRow, Error> {
        self.catalog
            .get_account(&name.site, name.user)
            .await?
            .ok_or_else(|| Error::not_found(Reason::UserNotFound, name))
    }

    /// Accounts of a site, by id.
    pub async fn list_users(
        &self,
        site: &SiteId,
        query: &AccountQuery,
        limit: u32,
    ) -> Result<Vec<AccountRow>, Error> {
        self.site(site).await?;
        Ok(self.catalog.list_accounts(site, query, limit).await?)
    }

    /// Forgets accounts, and tells how many were known.
    pub async fn delete_users(&self, call: &Call, site: &SiteId, ids: &[i64]) -> Result<u64, Error> {
        if let Some(kept) = self.replayed(call).await? {
            return kept.parse().map_err(|error: std::num::ParseIntError| {
                Error::new(Reason::CatalogCorrupt, "a kept answer is damaged").caused_by(error)
            });
        }
        self.site(site).await?;
        let mut tx = self.catalog.begin().await?;
        tx.lock_directory(site).await?;
        let gone = tx.delete_accounts(site, ids).await?;
        if gone > 0 {
            let event = Event::AccountsForgotten { site: site.clone(), accounts: ids.to_vec() };
            self.put_down(&mut tx, site, call, event).await?;
        }
        call.record(&mut tx, &gone.to_string(), self).await?;
        tx.commit().await?;
        tracing::info!(%site, count = gone, "accounts were forgotten");
        self.flush_journal().await;
        Ok(gone)
    }

    /// Makes these all the roles of a site.
    pub async fn import_roles(
        &self,
        call: &Call,
        site: &SiteId,
        roles: &[SiteRole],
    ) -> Result<Vec<RoleRow>, Error> {
        if self.replayed(call).await?.is_some() {
            return self.list_roles(site).await;
        }
        self.site(site).await?;
        check_roles(roles)?;
        let rows: Vec<RoleRow> =
            roles.iter().map(|role| RoleRow { role: role.clone(), source: Source::Imported }).collect();
        let mut tx = self.catalog.begin().await?;
        tx.lock_directory(site).await?;
        tx.replace_roles(site, &rows).await?;
        let event =
            Event::RolesWritten { site: site.clone(), source: Source::Imported, roles: roles.to_vec() };
        self.put_down(&mut tx, site, call, event).await?;
        call.record(&mut tx, &format!("sites/{site}"), self).await?;
        tx.commit().await?;
        self.flush_journal().await;
        self.list_roles(site).await
    }

    /// All roles of a site, by id.
    pub async fn list_roles(&self, site: &SiteId) -> Result<Vec<RoleRow>, Error> {
        self.site(site).await?;
        Ok(self.catalog.list_roles(site).await?)
    }
}

fn too_many(rows: usize, limit: usize) -> Result<(), Error> {
    if rows <= limit {
        return Ok(());
    }
    let message = format!("one import has at most {limit} rows");
    Err(Error::new(Reason::LimitImportRows, message).with("limit", &limit))
}

/// All that is wrong at once: a platform's roles are few, and importing half of them would be of no use.
fn check_roles(roles: &[SiteRole]) -> Result<(), Error> {
    too_many(roles.len(), MOST_ROLES)?;
    let (mut ids, mut names, mut wrong) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for (at, role) in roles.iter().enumerate() {
        if let Err(unfit) = role.check() {
            wrong.push((format!("roles[{at}].{}", unfit.field), unfit.message));
        } else if !ids.insert(role.id) {
            wrong.push((format!("roles[{at}].role_id"), "another role has this id".to_owned()));
        } else if !names.insert(role.short_name.as_str()) {
            wrong.push((format!("roles[{at}].short_name"), "another role has this short name".to_owned()));
        }
    }
    let more = wrong.len().saturating_sub(20);
    wrong.truncate(20);
    if wrong.is_empty() { Ok(()) } else { Err(Error::fields(wrong, more)) }
}

fn told(rows: &[Person], fates: &[Fate]) -> Imported {
    let mut imported = Imported::default();
    for (at, (row, fate)) in rows.iter().zip(fates).enumerate() {
        match fate {
            Fate::Created => imported.created += 1,
            Fate::Updated => imported.updated += 1,
            Fate::Unchanged => imported.unchanged += 1,
            Fate::Refused(refusal) => {
                imported.refused += 1;
                if imported.told.len() < MOST_REFUSED {
                    imported.told.push(RefusedRow::of(at, row.id, refusal));
                }
            }
        }
    }
    imported
}
