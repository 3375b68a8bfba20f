//! Accounts of sites: looking them up.
//!
//! Look-ups for matching come with thousands of keys of five kinds; each kind is a few statements over an index of its own.
//! Writing is in `directory`.

use sqlx::AnyConnection;

use super::error::CatalogError;
use super::sql::{self, Cells, Stored};
use super::{Catalog, Tx};
use crate::clock::Timestamp;
use crate::directory::{Person, Source};
use crate::ids::SiteId;
use crate::restore::users::{Account, Keys, folded};

/// An account of a site's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRow {
    /// Its site.
    pub site: SiteId,
    /// The account.
    pub person: Person,
    /// How it came to be known.
    pub source: Source,
    /// When it did.
    pub create_time: Timestamp,
    /// When it last changed.
    pub update_time: Timestamp,
}

impl Stored for AccountRow {
    const TABLE: &'static str = "accounts";
    const KEY: &'static [&'static str] = &["site", "account"];

    fn parse(cells: &Cells<'_>) -> Result<Self, CatalogError> {
        let person = Person {
            id: cells.int("account")?,
            username: cells.text("username")?,
            host: cells.int("host")?,
            email: cells.text("email")?,
            id_number: cells.text("id_number")?,
            first_name: cells.text("first_name")?,
            last_name: cells.text("last_name")?,
            first_access: cells.int("first_access")?,
            is_deleted: cells.flag("deleted")?,
            auth: cells.text("auth")?,
            is_pseudonym: cells.flag("pseudonym")?,
        };
        Ok(Self {
            site: cells.parsed("site")?,
            person,
            source: cells.parsed("source")?,
            create_time: cells.time("create_ms")?,
            update_time: cells.time("update_ms")?,
        })
    }
}

macro_rules! account_columns {
    () => {
        "site, account, username, host, email, id_number, first_name, last_name, first_access, deleted, auth, \
         pseudonym, source, create_ms, update_ms"
    };
}

/// What matching looks at.
struct Matchable(Account);

impl Stored for Matchable {
    const TABLE: &'static str = "accounts";
    const KEY: &'static [&'static str] = &["site", "account"];

    fn parse(cells: &Cells<'_>) -> Result<Self, CatalogError> {
        Ok(Self(Account {
            id: cells.int("account")?,
            username: cells.text("username")?,
            email: cells.text("email")?,
            first_access: cells.int("first_access")?,
            is_deleted: cells.flag("deleted")?,
            host: cells.int("host")?,
        }))
    }
}

macro_rules! matchable_columns {
    () => {
        "site, account, username, email, first_access, deleted, host"
    };
}

/// Which accounts of a site are wanted. Texts are compared exactly, but for addresses the case of letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountQuery {
    /// Only those of this name, of any host.
    pub username: Option<String>,
    /// Only those of this address.
    pub email: Option<String>,
    /// Only those of this id number.
    pub id_number: Option<String>,
    /// Only those that came to be known so.
    pub source: Option<Source>,
    /// Those that the platform deleted, too.
    pub show_deleted: bool,
    /// Only those of higher ids.
    pub after: Option<i64>,
}

impl Catalog {
    /// An account, deleted or not.
    pub async fn get_account(&self, site: &SiteId, account: i64) -> Result<Option<AccountRow>, CatalogError> {
        let query = sqlx::query(concat!(
            "SELECT ",
            account_columns!(),
            " FROM accounts WHERE site = $1 AND account = $2"
        ));
        sql::one(&mut *self.read().await?, query.bind(sql::text(site)).bind(account)).await
    }

    /// At most `limit` accounts of a site, by id.
    pub async fn list_accounts(
        &self,
        site: &SiteId,
        query: &AccountQuery,
        limit: u32,
    ) -> Result<Vec<AccountRow>, CatalogError> {
        let mut statement = String::from(concat!(
            "SELECT ",
            account_columns!(),
            " FROM accounts WHERE site = $1 AND account > $2"
        ));
        let mut texts = Vec::new();
        if !query.show_deleted {
            statement.push_str(" AND deleted = 0");
        }
        // Addresses are found by the key of the index first, which may hold less than all of them.
        let email_key = query.email.as_deref().map(crate::restore::users::address_key);
        let source = query.source.map(|source| source.to_string());
        for (column, value) in [
            ("username", query.username.clone()),
            ("email_key", email_key),
            ("id_number", query.id_number.clone()),
            ("source", source),
        ] {
            if let Some(value) = value {
                texts.push(value);
                statement.push_str(&format!(" AND {column} = ${}", texts.len() + 3));
            }
        }
        statement.push_str(" ORDER BY account LIMIT $3");
        let bound = sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(sql::text(site))
            .bind(query.after.unwrap_or(i64::MIN))
            .bind(i64::from(limit));
        let bound = texts.into_iter().fold(bound, |bound, text| bound.bind(text));
        sql::all(&mut *self.read().await?, bound).await
    }

    /// All accounts that these keys ask for, each at least once, in no order.
    pub async fn find_accounts(&self, site: &SiteId, keys: &Keys) -> Result<Vec<Account>, CatalogError> {
        find(&mut *self.read().await?, site, keys).await
    }
}

impl Tx {
    /// As [`Catalog::find_accounts`], as this transaction sees it.
    pub async fn find_accounts(&mut self, site: &SiteId, keys: &Keys) -> Result<Vec<Account>, CatalogError> {
        find(self.conn(), site, keys).await
    }

    /// Accounts of these ids.
    pub async fn accounts_of_ids(
        &mut self,
        site: &SiteId,
        ids: &[i64],
    ) -> Result<Vec<AccountRow>, CatalogError> {
        let mut rows = Vec::new();
        for batch in ids.chunks(sql::BATCH) {
            let head =
                concat!("SELECT ", account_columns!(), " FROM accounts WHERE site = $1 AND account IN (");
            let query =
                sqlx::query(sqlx::AssertSqlSafe(format!("{head}{})", sql::placeholders(2, batch.len()))));
            let query = batch.iter().fold(query.bind(sql::text(site)), |query, id| query.bind(*id));
            rows.extend(sql::all::<AccountRow>(self.conn(), query).await?);
        }
        Ok(rows)
    }

    /// Accounts of these names, of any host.
    pub async fn accounts_of_names(
        &mut self,
        site: &SiteId,
        names: &[&str],
    ) -> Result<Vec<AccountRow>, CatalogError> {
        let mut rows = Vec::new();
        for batch in names.chunks(sql::BATCH) {
            let head =
                concat!("SELECT ", account_columns!(), " FROM accounts WHERE site = $1 AND username IN (");
            let query =
                sqlx::query(sqlx::AssertSqlSafe(format!("{head}{})", sql::placeholders(2, batch.len()))));
            let query =
                batch.iter().fold(query.bind(sql::text(site)), |query, name| query.bind((*name).to_owned()));
            rows.extend(sql::all::<AccountRow>(self.conn(), query).await?);
        }
        Ok(rows)
    }
}

async fn find(conn: &mut AnyConnection, site: &SiteId, keys: &Keys) -> Result<Vec<Account>, CatalogError> {
    let mut found = Vec::new();
    let ids: Vec<i64> = keys.ids.iter().copied().collect();
    for batch in ids.chunks(sql::BATCH) {
        let head =
            concat!("SELECT ", matchable_columns!(), " FROM accounts WHERE site = $1 AND account IN (");
        let query = sqlx::query(sqlx::AssertSqlSafe(format!("{head}{})", sql::placeholders(2, batch.len()))));
        let query = batch.iter().fold(query.bind(sql::text(site)), |query, id| query.bind(*id));
        found.extend(sql::all::<Matchable>(&mut *conn, query).await?);
    }
    let email_keys: Vec<String> = keys.email_starts.iter().map(|start| folded(start)).collect();
    let usernames: Vec<String> = keys.usernames.iter().cloned().collect();
    let deleted_emails: Vec<String> = keys.deleted_emails.iter().cloned().collect();
    for (condition, mut texts) in
        [("username", usernames), ("email_key", email_keys), ("deleted = 1 AND email", deleted_emails)]
    {
        // No account has it, and one of the databases refuses it.
        texts.retain(|text| !text.contains('\0'));
        for batch in texts.chunks(sql::BATCH) {
            let head = concat!("SELECT ", matchable_columns!(), " FROM accounts WHERE site = $1 AND ");
            let list = sql::placeholders(2, batch.len());
            let query = sqlx::query(sqlx::AssertSqlSafe(format!("{head}{condition} IN ({list})")));
            let query =
                batch.iter().fold(query.bind(sql::text(site)), |query, text| query.bind(text.clone()));
            found.extend(sql::all::<Matchable>(&mut *conn, query).await?);
        }
    }
    for batch in beginnings(&keys.deleted_username_starts).chunks(RANGES) {
        let ranges = (0..batch.len())
            .map(|at| format!("deleted_name_key >= ${} AND deleted_name_key < ${}", 2 * at + 2, 2 * at + 3));
        let head =
            concat!("SELECT ", matchable_columns!(), " FROM accounts WHERE site = $1 AND deleted = 1 AND (");
        let ranges = ranges.collect::<Vec<_>>().join(" OR ");
        let query = sqlx::query(sqlx::AssertSqlSafe(format!("{head}{ranges})")));
        let query = batch.iter().fold(query.bind(sql::text(site)), |query, start| {
            // no digit is as high as g
            query.bind(start.clone()).bind(format!("{start}g"))
        });
        found.extend(sql::all::<Matchable>(&mut *conn, query).await?);
    }
    Ok(found.into_iter().map(|Matchable(account)| account).collect())
}

/// Ranges in one statement: planners look at each.
const RANGES: usize = 100;

/// The keys of these beginnings, without those that begin with another one: whatever hostile addresses ask for, each account
/// is found once.
fn beginnings<'s>(starts: impl IntoIterator<Item = &'s String>) -> Vec<String> {
    let mut keys: Vec<String> = starts.into_iter().map(|start| name_key(start)).collect();
    keys.sort_unstable();
    let mut shortest: Vec<String> = Vec::with_capacity(keys.len());
    for key in keys {
        if shortest.last().is_none_or(|last| !key.starts_with(last.as_str())) {
            shortest.push(key);
        }
    }
    shortest
}

/// A name without the case of letters, as hexadecimal digits of its UTF-8.
pub(super) fn name_key(name: &str) -> String {
    folded(name).bytes().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginnings_that_others_cover_are_dropped() {
        let starts = ["b.", "A.x", "a.", "a.X", "ä"].map(String::from);
        assert_eq!(beginnings(&starts), [name_key("a."), name_key("b."), name_key("Ä")]);
        let all = [String::new(), "x".into()];
        assert_eq!(beginnings(&all), [""]);
    }
}
