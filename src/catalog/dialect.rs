//! What differs between the two databases. All other SQL is one text for both: `$n` placeholders, TEXT and BIGINT
//! columns, casts around sums.
//!
//! Two statements look at the dialect themselves: the claim in `claims` (SKIP LOCKED) and rows of values in `sql`.

/// The kind of database behind the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite, embedded: one process, one writer at a time.
    Sqlite,
    /// PostgreSQL: any number of replicas.
    Postgres,
}

impl Dialect {
    /// The name that clients see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgresql",
        }
    }

    /// How a writing transaction begins. SQLite takes the write lock at once: a transaction that first reads and then
    /// writes would else fail when another one wrote in between. PostgreSQL stays at READ COMMITTED, for every change
    /// is a guarded statement that looks at its row again.
    pub(super) const fn begin(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => "BEGIN",
        }
    }

    /// Lets one claim after the other through. Two claims at the same time would not see each other's course, so
    /// that a backup and a restore of one course could both begin. On SQLite BEGIN IMMEDIATE does the same.
    pub(super) const fn claim_gate(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some("SELECT name FROM meta WHERE name = 'claim_gate' FOR UPDATE"),
        }
    }

    /// Asks the database for the time. SQLite's clock is the machine's own, so there nothing is asked.
    pub(super) const fn clock(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            // not now(): that one stands still within a transaction
            Self::Postgres => {
                Some("SELECT CAST(FLOOR(EXTRACT(EPOCH FROM clock_timestamp()) * 1000) AS BIGINT) AS now_ms")
            }
        }
    }
}
