//! The catalog: what exists, where it lies and who works on it, in SQLite or PostgreSQL through `sqlx::Any`.
//!
//! Invariants:
//! - one schema and one SQL text for both databases; [`Dialect`] holds the few differences;
//! - reads are methods of [`Catalog`], writes are methods of [`Tx`]: facts that belong together are one transaction;
//! - a change of state is one guarded statement that names the expected state, version or token. When no row fits,
//!   the caller gets a typed error, and dropping the transaction undoes what it did before;
//! - rows are private: cells are parsed into values, and what does not parse is [`CatalogError::Corrupt`];
//! - leases and due times follow [`CatalogClock`]: the database's clock, so that replicas need not agree on theirs.
//!
//! Do not read through [`Catalog`] while you hold a [`Tx`]: the read takes a second connection and, on SQLite, does
//! not see what the transaction wrote. A [`Tx`] has the reads that are needed beside writes.
//!
//! `Any` carries it: no statement needs more than TEXT and BIGINT. It must not know the vault, gRPC or a job's work.

mod accounts;
mod archive_changes;
mod archive_list;
mod archives;
mod chores;
mod claims;
mod contents;
mod course_backups;
mod courses;
mod dialect;
mod directory;
mod error;
mod gauges;
mod jobs;
mod outbox;
mod packs;
mod policies;
mod purge;
mod rebuild;
mod requests;
mod retention;
mod schedules;
mod settle;
mod shares;
mod sites;
mod sql;
mod uploads;
mod values;
mod verification;

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::any::AnyPoolOptions;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, AnyPool, SqlSafeStr, Transaction};

use crate::clock::{Clock, SystemClock, Timestamp};
pub use accounts::{AccountQuery, AccountRow};
pub use archive_list::{ArchivePosition, ArchiveQuery};
pub use archives::{ArchiveRow, HoldRow};
pub use chores::{Chore, DueChore};
pub use claims::{ClaimedJob, HeartbeatAnswer};
pub use contents::{ContentRow, Location, PackRow, StorageUseRow};
pub use course_backups::{CourseBackupRow, Decision as TurnDecision};
pub use courses::{CourseQuery, CourseRow, RevisionRow};
pub use dialect::Dialect;
pub use directory::RoleRow;
pub use error::{CatalogError, Resource};
pub use gauges::{OpenJobs, SavedCourses};
pub use jobs::{JobFilter, JobRow, NewJob};
pub use outbox::OutboxEvent;
pub use packs::{CondemnedPack, KnownPack, Root};
pub use policies::PolicyRow;
pub use requests::RequestRow;
pub use retention::{CandidateRow, Decided, DueReview, Group, RetentionRow};
pub use schedules::ScheduleRow;
pub use shares::ShareRow;
pub use sites::SiteRow;
pub use uploads::{NewPart, PartRow, UploadRow, WriterLease};
pub use values::{ArchiveOrigin, ArchiveType, Area, RevisionOrigin, UploadState};
pub use verification::{Damage, VerificationRow};

/// Where the catalog is.
#[derive(Clone, Debug)]
pub struct CatalogConfig {
    /// `sqlite:PATH`, where PATH is a file (made when it is missing) in a folder that exists, or `postgres://…`.
    pub url: SecretString,
    /// Most connections to PostgreSQL. SQLite has one that writes and four that read.
    pub max_connections: u32,
}

/// Whose clock decides over leases and due times.
#[derive(Clone)]
pub enum CatalogClock {
    /// The database's (for SQLite that is the machine's).
    Database,
    /// A given one. For tests.
    Manual(Arc<dyn Clock>),
}

/// A keyset position in a list that runs from new to old: the last row of the page before.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Newest<Id> {
    /// When the row was made.
    pub create_time: Timestamp,
    /// Its id.
    pub id: Id,
}

/// The catalog. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Catalog {
    dialect: Dialect,
    clock: CatalogClock,
    writer: AnyPool,
    reader: AnyPool,
    deployment_id: Arc<str>,
}

/// A transaction that writes. [`Tx::commit`] makes all of it true; dropping it, none.
pub struct Tx {
    dialect: Dialect,
    clock: CatalogClock,
    open: Transaction<'static, Any>,
}

/// A connection is waited for this long before [`CatalogError::Unavailable`].
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(20);

/// Connections that read SQLite beside the one that writes.
const SQLITE_READERS: u32 = 4;

/// Before any statement on SQLite. WAL lets readers go on while one writes; FULL makes a commit outlast a power cut.
const SQLITE_WRITER: &str = "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;";
const SQLITE_READER: &str = "PRAGMA busy_timeout = 10000; PRAGMA query_only = ON;";

impl Catalog {
    /// Opens the catalog, makes what is missing and brings the schema up to date.
    pub async fn open(config: &CatalogConfig, clock: CatalogClock) -> Result<Self, CatalogError> {
        sqlx::any::install_default_drivers();
        let url = config.url.expose_secret();
        let (dialect, writer, reader) = if let Some(path) = url.strip_prefix("sqlite:") {
            let url = sqlite_url(path)?;
            let writer = sqlite_pool(&url, 1, SQLITE_WRITER).await?;
            (Dialect::Sqlite, writer, sqlite_pool(&url, SQLITE_READERS, SQLITE_READER).await?)
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let options = AnyPoolOptions::new()
                .max_connections(config.max_connections.max(2))
                .acquire_timeout(ACQUIRE_TIMEOUT);
            let pool = options.connect(url).await?;
            (Dialect::Postgres, pool.clone(), pool)
        } else {
            return Err(CatalogError::Configuration {
                what: "begins neither with sqlite: nor with postgres://",
            });
        };
        migrate(&writer).await?;
        let mut catalog = Self { dialect, clock, writer, reader, deployment_id: Arc::from("") };
        catalog.deployment_id = catalog.ensure_deployment_id().await?.into();
        Ok(catalog)
    }

    /// Which database it is.
    pub const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Tells this deployment from every other: made once, when the catalog was.
    pub fn deployment_id(&self) -> &str {
        &self.deployment_id
    }

    /// The present time by the clock that decides over leases.
    pub async fn now(&self) -> Result<Timestamp, CatalogError> {
        match (&self.clock, self.dialect.clock()) {
            (CatalogClock::Manual(clock), _) => Ok(clock.now()),
            (CatalogClock::Database, None) => Ok(SystemClock.now()),
            (CatalogClock::Database, Some(statement)) => {
                database_now(&mut *self.read().await?, statement).await
            }
        }
    }

    /// Begins a transaction that writes. On SQLite it waits until no other one writes.
    pub async fn begin(&self) -> Result<Tx, CatalogError> {
        let mut begun = self.writer.begin_with(self.dialect.begin()).await;
        if matches!(begun, Err(sqlx::Error::InvalidSavePointStatement)) {
            // On a full disk SQLite gives a transaction up by itself. The driver's ROLLBACK then fails, and it takes the
            // connection for one inside a transaction for ever: a new one is needed.
            self.writer.acquire().await?.close().await?;
            begun = self.writer.begin_with(self.dialect.begin()).await;
        }
        let open = begun?;
        Ok(Tx { dialect: self.dialect, clock: self.clock.clone(), open })
    }

    /// Whether the database answers, to reading and to writing.
    pub async fn check(&self) -> Result<(), CatalogError> {
        sql::all_rows(&mut *self.read().await?, sqlx::query("SELECT name FROM meta")).await?;
        let mut tx = self.begin().await?;
        sql::run(tx.conn(), sqlx::query("UPDATE meta SET value = value WHERE name = 'deployment_id'"))
            .await?;
        tx.commit().await
    }

    /// Closes all connections. What is under way ends first.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }

    async fn read(&self) -> Result<PoolConnection<Any>, CatalogError> {
        Ok(self.reader.acquire().await?)
    }

    async fn ensure_deployment_id(&self) -> Result<String, CatalogError> {
        let mut tx = self.begin().await?;
        let insert =
            "INSERT INTO meta (name, value) VALUES ('deployment_id', $1) ON CONFLICT (name) DO NOTHING";
        sql::run(tx.conn(), sqlx::query(insert).bind(uuid::Uuid::now_v7().to_string())).await?;
        let select = sqlx::query("SELECT name, value FROM meta WHERE name = 'deployment_id'");
        let rows = sql::all_rows(tx.conn(), select).await?;
        tx.commit().await?;
        let row = rows.first().ok_or(CatalogError::Corrupt {
            table: "meta",
            key: "deployment_id".into(),
            column: "value",
        })?;
        sql::Cells::new(row, "meta", &["name"]).text("value")
    }
}

impl Tx {
    /// Makes everything that was written true and durable.
    pub async fn commit(self) -> Result<(), CatalogError> {
        Ok(self.open.commit().await?)
    }

    /// The present time by the clock that decides over leases.
    pub async fn now(&mut self) -> Result<Timestamp, CatalogError> {
        match (&self.clock, self.dialect.clock()) {
            (CatalogClock::Manual(clock), _) => Ok(clock.now()),
            (CatalogClock::Database, None) => Ok(SystemClock.now()),
            (CatalogClock::Database, Some(statement)) => database_now(&mut self.open, statement).await,
        }
    }

    fn conn(&mut self) -> &mut AnyConnection {
        &mut self.open
    }
}

async fn database_now(conn: &mut AnyConnection, statement: &'static str) -> Result<Timestamp, CatalogError> {
    let rows = sql::all_rows(conn, sqlx::query(statement)).await?;
    let missing = CatalogError::Driver { what: "the database tells no time".into() };
    sql::Cells::new(rows.first().ok_or(missing)?, "clock", &[]).time("now_ms")
}

/// The schema's steps, in their order.
fn migrations() -> Vec<Migration> {
    let step = |version, name: &'static str, text: &'static str| {
        Migration::new(version, name.into(), MigrationType::Simple, text.into_sql_str(), false)
    };
    vec![
        step(1, "init", include_str!("migrations/0001_init.sql")),
        step(2, "shares and holds", include_str!("migrations/0002_shares_holds.sql")),
        step(3, "directory", include_str!("migrations/0003_directory.sql")),
        step(10, "automation", include_str!("migrations/0010_automation.sql")),
        step(20, "care of the store", include_str!("migrations/0020_store.sql")),
    ]
}

async fn migrate(pool: &AnyPool) -> Result<(), CatalogError> {
    Migrator::with_migrations(migrations()).run(pool).await.map_err(|error| match error {
        sqlx::migrate::MigrateError::Execute(error) => CatalogError::driver(&error),
        other => CatalogError::Driver { what: format!("schema: {other}") },
    })
}

async fn sqlite_pool(url: &str, connections: u32, pragmas: &'static str) -> Result<AnyPool, CatalogError> {
    let options =
        AnyPoolOptions::new().max_connections(connections).acquire_timeout(ACQUIRE_TIMEOUT).after_connect(
            move |conn, _| Box::pin(async move { sqlx::raw_sql(pragmas).execute(conn).await.map(|_| ()) }),
        );
    Ok(options.connect(url).await?)
}

/// The driver's address of a file: absolute, and escaped, for it is read as a URL.
fn sqlite_url(path: &str) -> Result<String, CatalogError> {
    let what = "names no file after sqlite:";
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || path.starts_with(':') {
        return Err(CatalogError::Configuration { what });
    }
    let absolute = std::path::absolute(path).map_err(|_| CatalogError::Configuration { what })?;
    let absolute = absolute.to_str().ok_or(CatalogError::Configuration { what })?;
    let escaped: String = absolute
        .bytes()
        .map(|byte| match byte {
            b'/' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
            _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect();
    Ok(format!("sqlite://{escaped}?mode=rwc"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_addresses() {
        assert_eq!(sqlite_url("/a/b c?.db").as_deref(), Ok("sqlite:///a/b%20c%3F.db?mode=rwc"));
        assert_eq!(sqlite_url("///a.db").as_deref(), Ok("sqlite:///a.db?mode=rwc"));
        assert!(sqlite_url("").is_err());
        assert!(sqlite_url(":memory:").is_err());
    }

    #[tokio::test]
    async fn archives_of_the_first_schema_get_what_the_second_adds() -> Result<(), CatalogError> {
        sqlx::any::install_default_drivers();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.db").display().to_string();
        let pool = sqlite_pool(&sqlite_url(&path)?, 1, SQLITE_WRITER).await?;
        Migrator::with_migrations(migrations()[..1].to_vec()).run(&pool).await.unwrap();
        let insert = "INSERT INTO sites VALUES ('main', 'Main', 'en', 'UTC', 0);
            INSERT INTO archives VALUES ('main', '0197b2a0-0000-7000-8000-000000000000', 'primary', 'COURSE', NULL,
                'local', 'a.mbz', 'UPLOAD', 'COURSE', 'TAR_GZ',
                'af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262', 1, 1, 1, 7, NULL, 8, NULL, 9, NULL,
                '', '', NULL, 0, 0, '[]', 0, 0, NULL, NULL, NULL, 1)";
        sqlx::raw_sql(insert).execute(&pool).await?;
        pool.close().await;
        let config = CatalogConfig { url: format!("sqlite:{path}").into(), max_connections: 2 };
        let catalog = Catalog::open(&config, CatalogClock::Database).await?;
        let mut query = ArchiveQuery::all(crate::principal::Principal::local());
        query.filter = crate::filter::parse("size_bytes = 9 AND NOT hold:* AND description = ''").unwrap();
        let rows = catalog.list_archives(&"main".parse().unwrap(), &query, 9).await?;
        assert_eq!(rows.iter().map(ArchiveRow::size_bytes).collect::<Vec<_>>(), [9]);
        Ok(())
    }

    #[tokio::test]
    async fn a_transaction_that_sqlite_gave_up_does_not_end_all_writing() -> Result<(), CatalogError> {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("catalog.db").display()).into();
        let config = CatalogConfig { url, max_connections: 2 };
        let catalog = Catalog::open(&config, CatalogClock::Database).await?;
        let mut tx = catalog.begin().await?;
        // What SQLite does on a full disk, behind the driver's back.
        sqlx::raw_sql("ROLLBACK").execute(tx.conn()).await?;
        drop(tx);
        for _ in 0..2 {
            catalog.check().await?;
        }
        Ok(())
    }
}
