//! What can go wrong in the catalog, in the words of its callers.
//!
//! Texts of the driver pass through [`CatalogError::driver`] only, which keeps the connection's address and password out.

use crate::clock::Timestamp;
use crate::ids::JobId;
use crate::job::label::labels;
use crate::reason::Reason;

use super::values::UploadState;

labels! {
    /// What an error is about.
    pub enum Resource {
        /// A site.
        Site = "site",
        /// A course.
        Course = "course",
        /// A revision of a course.
        Revision = "revision",
        /// An archive.
        Archive = "archive",
        /// An upload session.
        Upload = "upload",
        /// A job.
        Job = "job",
        /// A remembered request id.
        Request = "request",
    }
}

/// Why the catalog did not do what it was asked to do. Whatever the error, the transaction can only be dropped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// There is no such row.
    #[error("there is no {resource} {key}")]
    NotFound {
        /// What was looked for.
        resource: Resource,
        /// Its name within the catalog.
        key: String,
    },
    /// There is one already.
    #[error("{resource} {key} exists already")]
    Conflict {
        /// What was to be made.
        resource: Resource,
        /// Its name within the catalog.
        key: String,
    },
    /// The row is not in the state (or of the version) that the change expected.
    #[error("{resource} {key} changed meanwhile")]
    LostRace {
        /// What was to be changed.
        resource: Resource,
        /// Its name within the catalog.
        key: String,
    },
    /// Another exclusive job on the course has not ended.
    #[error("job {holder} works on the course")]
    CourseBusy {
        /// That job.
        holder: JobId,
    },
    /// Another stream writes to the upload session, or replaced the one that asks.
    #[error("another stream writes to the upload")]
    UploadBusy {
        /// Its lease ends then, unless it is renewed.
        until: Timestamp,
    },
    /// The upload session takes no bytes (any more).
    #[error("the upload is {state}")]
    UploadNotOpen {
        /// Where it stands.
        state: UploadState,
    },
    /// The part does not begin where the committed bytes end.
    #[error("the upload has {committed_bytes} bytes")]
    UploadOffset {
        /// Bytes that are there.
        committed_bytes: u64,
    },
    /// The job has another worker now, or has ended: nothing that the asking worker does counts.
    #[error("job {job} has another worker")]
    LeaseLost {
        /// The job.
        job: JobId,
    },
    /// The job was asked to stop, so it cannot succeed or be put off any more.
    #[error("job {job} was asked to stop")]
    Cancelled {
        /// The job.
        job: JobId,
    },
    /// The job has ended.
    #[error("job {job} has ended")]
    JobEnded {
        /// The job.
        job: JobId,
    },
    /// The job has not failed and was not cancelled.
    #[error("job {job} cannot be retried")]
    JobNotRetryable {
        /// The job.
        job: JobId,
    },
    /// A row cannot be understood.
    #[error("row {key} of {table} has a bad {column}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The row's key.
        key: String,
        /// The column.
        column: &'static str,
    },
    /// A value that no column can hold.
    #[error("{column} cannot be stored")]
    Unstorable {
        /// The column.
        column: &'static str,
    },
    /// The database does not answer, or not now.
    #[error("the catalog does not answer: {what}")]
    Unavailable {
        /// What the driver says, without the connection's address.
        what: String,
    },
    /// The address of the database is none.
    #[error("the catalog's address {what}")]
    Configuration {
        /// What is wrong with it, without the address itself.
        what: &'static str,
    },
    /// The database refused a statement: a defect of the service, or a schema that is not ours.
    #[error("the catalog refuses: {what}")]
    Driver {
        /// What the driver says, without the connection's address.
        what: String,
    },
}

impl CatalogError {
    /// The reason for callers.
    pub fn reason(&self) -> Reason {
        match self {
            Self::NotFound { resource, .. } => match resource {
                Resource::Site => Reason::SiteNotFound,
                Resource::Course => Reason::CourseNotFound,
                Resource::Revision => Reason::RevisionNotFound,
                Resource::Archive => Reason::ArchiveNotFound,
                Resource::Upload => Reason::UploadNotFound,
                Resource::Job => Reason::JobNotFound,
                Resource::Request => Reason::Internal,
            },
            Self::Conflict { resource, .. } => match resource {
                Resource::Site => Reason::SiteExists,
                Resource::Course => Reason::CourseExists,
                Resource::Revision => Reason::RevisionConflict,
                Resource::Request => Reason::RequestIdReused,
                Resource::Archive | Resource::Upload | Resource::Job => Reason::Internal,
            },
            Self::LostRace { resource, .. } => match resource {
                Resource::Course | Resource::Revision => Reason::RevisionConflict,
                Resource::Upload => Reason::UploadNotOpen,
                Resource::Job => Reason::JobLeaseLost,
                Resource::Site | Resource::Archive | Resource::Request => Reason::EtagMismatch,
            },
            Self::CourseBusy { .. } => Reason::CourseBusy,
            Self::UploadBusy { .. } => Reason::UploadBusy,
            Self::UploadNotOpen { .. } => Reason::UploadNotOpen,
            Self::UploadOffset { .. } => Reason::UploadOffsetMismatch,
            Self::LeaseLost { .. } => Reason::JobLeaseLost,
            Self::Cancelled { .. } => Reason::JobCancelled,
            Self::JobEnded { .. } => Reason::JobEnded,
            Self::JobNotRetryable { .. } => Reason::JobNotRetryable,
            Self::Corrupt { .. } => Reason::CatalogCorrupt,
            Self::Unavailable { .. } => Reason::CatalogUnavailable,
            Self::Unstorable { .. } | Self::Configuration { .. } | Self::Driver { .. } => Reason::Internal,
        }
    }

    /// Whether the same call may succeed a little later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::UploadBusy { .. })
    }

    /// Sorts a driver's error.
    pub(super) fn driver(error: &sqlx::Error) -> Self {
        match error {
            // a driver's configuration error may quote the address
            sqlx::Error::Configuration(_) => Self::Configuration { what: "cannot be used" },
            sqlx::Error::PoolTimedOut => {
                Self::Unavailable { what: "no connection became free in time".into() }
            }
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
                Self::Unavailable { what: "the catalog is closed".into() }
            }
            sqlx::Error::Io(io) => Self::Unavailable { what: format!("connection: {}", io.kind()) },
            sqlx::Error::Tls(_) => Self::Unavailable { what: "no secure connection".into() },
            sqlx::Error::Database(database) => {
                let code = database.code().unwrap_or_default();
                let what = format!("{} ({code})", database.message());
                if passes(&code) { Self::Unavailable { what } } else { Self::Driver { what } }
            }
            other => Self::Driver { what: other.to_string() },
        }
    }
}

impl From<sqlx::Error> for CatalogError {
    fn from(error: sqlx::Error) -> Self {
        Self::driver(&error)
    }
}

/// Whether an error of that code may pass. SQLSTATE classes of PostgreSQL: 08 connection, 40 serialisation and
/// deadlock, 53 resources, 57P shutdown and start, 55P03 lock not available, 28 and 3D000 while a database is being
/// set up. SQLite's primary codes, in the low byte: 5 busy, 6 locked, 10 input or output, 13 full, 14 cannot open.
fn passes(code: &str) -> bool {
    if code.len() == 5 {
        return ["08", "40", "53", "57P", "55P03", "28", "3D000"].iter().any(|class| code.starts_with(class));
    }
    code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 10 | 13 | 14))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted() {
        for passing in ["08006", "40P01", "57P03", "5", "261", "517", "13"] {
            assert!(passes(passing), "{passing}");
        }
        for lasting in ["23505", "42601", "1555", "1", ""] {
            assert!(!passes(lasting), "{lasting}");
        }
    }

    #[test]
    fn addresses_do_not_show() {
        let quoting = sqlx::Error::Configuration("bad url postgres://u:secret@h/db".into());
        assert!(!CatalogError::driver(&quoting).to_string().contains("secret"));
    }
}
