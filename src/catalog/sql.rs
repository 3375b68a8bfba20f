//! The few helpers around sqlx: lists of placeholders, and cells that are parsed into values.

use std::fmt::Write;
use std::str::FromStr;

use sqlx::AnyConnection;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::dialect::Dialect;
use super::error::CatalogError;
use crate::clock::Timestamp;
use crate::course::TreeRef;

/// Most values that one statement gets. SQLite takes 32 766, PostgreSQL 65 535.
pub(super) const BATCH: usize = 500;

/// `$first, …` for `count` values.
pub(super) fn placeholders(first: usize, count: usize) -> String {
    let mut text = String::with_capacity(count * 5);
    for n in first..first + count {
        let comma = if n == first { "" } else { "," };
        // writing to a String cannot fail
        let _ = write!(text, "{comma}${n}");
    }
    text
}

/// `($1, …),(…)` for `rows` rows of `columns` values each, in the order in which they are bound. SQLite gets plain `?`:
/// `$n` is a name there, and looking up thousands of names takes longer than everything else (measured: 20 times as long).
pub(super) fn value_rows(dialect: Dialect, rows: usize, columns: usize) -> String {
    let row = |row: usize| match dialect {
        Dialect::Sqlite => vec!["?"; columns].join(","),
        Dialect::Postgres => placeholders(row * columns + 1, columns),
    };
    (0..rows).map(|n| format!("({})", row(n))).collect::<Vec<_>>().join(",")
}

/// A size or count as it is stored.
pub(super) fn stored(column: &'static str, value: u64) -> Result<i64, CatalogError> {
    i64::try_from(value).map_err(|_| CatalogError::Unstorable { column })
}

/// A value as stored JSON.
pub(super) fn json<T: serde::Serialize>(column: &'static str, value: &T) -> Result<String, CatalogError> {
    serde_json::to_string(value).map_err(|_| CatalogError::Unstorable { column })
}

/// A row that is being read. Every way in which a cell can be wrong is [`CatalogError::Corrupt`].
pub(super) struct Cells<'r> {
    row: &'r AnyRow,
    table: &'static str,
    key: &'static [&'static str],
}

impl<'r> Cells<'r> {
    /// A row of `table`, whose key columns are `key`.
    pub(super) const fn new(row: &'r AnyRow, table: &'static str, key: &'static [&'static str]) -> Self {
        Self { row, table, key }
    }

    /// The error for a cell that cannot be.
    pub(super) fn corrupt(&self, column: &'static str) -> CatalogError {
        let part = |name: &&str| {
            let text = self.row.try_get::<String, _>(*name);
            text.or_else(|_| self.row.try_get::<i64, _>(*name).map(|n| n.to_string())).unwrap_or_default()
        };
        let key = self.key.iter().map(part).collect::<Vec<_>>().join("/");
        CatalogError::Corrupt { table: self.table, key, column }
    }

    pub(super) fn opt_text(&self, column: &'static str) -> Result<Option<String>, CatalogError> {
        self.row.try_get(column).map_err(|_| self.corrupt(column))
    }

    pub(super) fn text(&self, column: &'static str) -> Result<String, CatalogError> {
        self.opt_text(column)?.ok_or_else(|| self.corrupt(column))
    }

    pub(super) fn opt_int(&self, column: &'static str) -> Result<Option<i64>, CatalogError> {
        self.row.try_get(column).map_err(|_| self.corrupt(column))
    }

    pub(super) fn int(&self, column: &'static str) -> Result<i64, CatalogError> {
        self.opt_int(column)?.ok_or_else(|| self.corrupt(column))
    }

    /// An integer of another type than `i64`, such as a size.
    pub(super) fn count<N: TryFrom<i64>>(&self, column: &'static str) -> Result<N, CatalogError> {
        N::try_from(self.int(column)?).map_err(|_| self.corrupt(column))
    }

    pub(super) fn opt_count<N: TryFrom<i64>>(&self, column: &'static str) -> Result<Option<N>, CatalogError> {
        let value = self.opt_int(column)?;
        value.map(|value| N::try_from(value).map_err(|_| self.corrupt(column))).transpose()
    }

    pub(super) fn flag(&self, column: &'static str) -> Result<bool, CatalogError> {
        match self.int(column)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.corrupt(column)),
        }
    }

    pub(super) fn time(&self, column: &'static str) -> Result<Timestamp, CatalogError> {
        self.int(column).map(Timestamp::from_millis)
    }

    pub(super) fn opt_time(&self, column: &'static str) -> Result<Option<Timestamp>, CatalogError> {
        Ok(self.opt_int(column)?.map(Timestamp::from_millis))
    }

    pub(super) fn opt_parsed<T: FromStr>(&self, column: &'static str) -> Result<Option<T>, CatalogError> {
        let text = self.opt_text(column)?;
        text.map(|text| text.parse().map_err(|_| self.corrupt(column))).transpose()
    }

    pub(super) fn parsed<T: FromStr>(&self, column: &'static str) -> Result<T, CatalogError> {
        self.opt_parsed(column)?.ok_or_else(|| self.corrupt(column))
    }

    pub(super) fn opt_json<T: serde::de::DeserializeOwned>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>, CatalogError> {
        let text = self.opt_text(column)?;
        text.map(|text| serde_json::from_str(&text).map_err(|_| self.corrupt(column))).transpose()
    }

    pub(super) fn json<T: serde::de::DeserializeOwned>(
        &self,
        column: &'static str,
    ) -> Result<T, CatalogError> {
        self.opt_json(column)?.ok_or_else(|| self.corrupt(column))
    }

    /// The four columns of a tree.
    pub(super) fn tree(&self) -> Result<TreeRef, CatalogError> {
        Ok(TreeRef {
            root: self.parsed("tree_root")?,
            root_size: self.count("tree_root_size")?,
            members: self.count("tree_members")?,
            content_bytes: self.count("tree_content_bytes")?,
        })
    }
}

/// Values of a statement, in the order of its `$n`.
pub(super) type Bound = sqlx::query::Query<'static, sqlx::Any, sqlx::any::AnyArguments>;

/// Text of a value, for binding.
pub(super) fn text<T: ToString>(value: &T) -> String {
    value.to_string()
}

/// Text of a value that may be missing, for binding.
pub(super) fn opt_text<T: ToString>(value: Option<&T>) -> Option<String> {
    value.map(ToString::to_string)
}

/// Milliseconds of a time that may be missing, for binding.
pub(super) fn opt_millis(value: Option<Timestamp>) -> Option<i64> {
    value.map(Timestamp::millis)
}

/// A value that is read from a row of its own table.
pub(super) trait Stored: Sized {
    const TABLE: &'static str;
    const KEY: &'static [&'static str];

    fn parse(cells: &Cells<'_>) -> Result<Self, CatalogError>;
}

/// Runs a statement to its end and gives all rows that it returns.
pub(super) async fn all_rows(conn: &mut AnyConnection, query: Bound) -> Result<Vec<AnyRow>, CatalogError> {
    Ok(query.fetch_all(conn).await?)
}

/// All rows, parsed.
pub(super) async fn all<T: Stored>(conn: &mut AnyConnection, query: Bound) -> Result<Vec<T>, CatalogError> {
    let rows = all_rows(conn, query).await?;
    rows.iter().map(|row| T::parse(&Cells::new(row, T::TABLE, T::KEY))).collect()
}

/// The one row, parsed, if there is one. The statement runs to its end.
pub(super) async fn one<T: Stored>(
    conn: &mut AnyConnection,
    query: Bound,
) -> Result<Option<T>, CatalogError> {
    let rows = all_rows(conn, query).await?;
    rows.first().map(|row| T::parse(&Cells::new(row, T::TABLE, T::KEY))).transpose()
}

/// Runs a statement and tells how many rows it changed.
pub(super) async fn run(conn: &mut AnyConnection, query: Bound) -> Result<u64, CatalogError> {
    Ok(query.execute(conn).await?.rows_affected())
}
