//! What can go wrong in the catalog, in the words of its callers.
//!
//! Texts of the driver pass through [`CatalogError::driver`] only, which keeps the connection's address and password out.

use crate::clock::Timestamp;
use crate::ids::{JobId, JobName, UploadName};
use crate::job::JobState;
use crate::label::labels;
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
        /// An account of a site's directory.
        Account = "user",
        /// A role of a site.
        Role = "role",
        /// A pack of contents.
        Pack = "pack",
        /// A retention policy.
        Policy = "retention policy",
    }
}

impl Resource {
    /// The full name of what the catalog knows by `key`, the ids from the site on with slashes between.
    fn full_name(self, key: &str) -> Option<String> {
        let mut ids = key.split('/');
        let site = format!("sites/{}", ids.next()?);
        let mut below = |collection: &str| Some(format!("{collection}/{}", ids.next()?));
        let rest = match self {
            Self::Site => return Some(site),
            Self::Course => below("courses")?,
            Self::Revision => format!("{}/{}", below("courses")?, below("revisions")?),
            Self::Archive => below("archives")?,
            Self::Upload => below("uploads")?,
            Self::Job => below("jobs")?,
            Self::Account => below("users")?,
            Self::Policy => below("retentionPolicies")?,
            Self::Request | Self::Role | Self::Pack => return None,
        };
        Some(format!("{site}/{rest}"))
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
    #[error("{holder} works on the course and is {state}")]
    CourseBusy {
        /// That job.
        holder: JobName,
        /// Where it stands.
        state: JobState,
    },
    /// Another stream writes to the upload session, or replaced the one that asks.
    #[error("another stream writes to {upload}")]
    UploadBusy {
        /// The upload session.
        upload: UploadName,
        /// Its lease ends then, unless it is renewed.
        until: Timestamp,
    },
    /// The upload session takes no bytes (any more).
    #[error("{upload} is {state}")]
    UploadNotOpen {
        /// The upload session.
        upload: UploadName,
        /// Where it stands.
        state: UploadState,
        /// The job that reads it or has read it.
        job: Option<JobName>,
    },
    /// The part does not begin where the committed bytes end.
    #[error("{upload} has {committed_bytes} bytes")]
    UploadOffset {
        /// The upload session.
        upload: UploadName,
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
    #[error("{job} has ended: it is {state}")]
    JobEnded {
        /// The job.
        job: JobName,
        /// How it ended.
        state: JobState,
    },
    /// The job has not failed and was not cancelled.
    #[error("{job} is {state}; only failed and cancelled jobs can be retried")]
    JobNotRetryable {
        /// The job.
        job: JobName,
        /// Where it stands.
        state: JobState,
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
    /// The database has no room left.
    #[error("the catalog has no room left: {what}")]
    Full {
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
                Resource::Account => Reason::UserNotFound,
                Resource::Policy => Reason::PolicyNotFound,
                Resource::Request | Resource::Role | Resource::Pack => Reason::Internal,
            },
            Self::Conflict { resource, .. } => match resource {
                Resource::Site => Reason::SiteExists,
                Resource::Course => Reason::CourseExists,
                Resource::Revision => Reason::RevisionConflict,
                Resource::Request => Reason::RequestIdReused,
                Resource::Policy => Reason::PolicyExists,
                Resource::Archive
                | Resource::Upload
                | Resource::Job
                | Resource::Account
                | Resource::Role
                | Resource::Pack => Reason::Internal,
            },
            Self::LostRace { resource, .. } => match resource {
                Resource::Course | Resource::Revision => Reason::RevisionConflict,
                Resource::Upload => Reason::UploadNotOpen,
                Resource::Job => Reason::JobLeaseLost,
                Resource::Account | Resource::Role => Reason::DirectoryConflict,
                Resource::Pack => Reason::StorageChanged,
                Resource::Site | Resource::Archive | Resource::Request | Resource::Policy => {
                    Reason::EtagMismatch
                }
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
            // Where it lies is the operator's to know; for a caller nothing can be stored.
            Self::Full { .. } => Reason::StorageFull,
            Self::Unstorable { .. } | Self::Configuration { .. } | Self::Driver { .. } => Reason::Internal,
        }
    }

    /// Whether the same call may succeed a little later.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Unavailable { .. }
                | Self::UploadBusy { .. }
                // The job that stood in the way ended at that very moment.
                | Self::LostRace {
                    resource: Resource::Job | Resource::Account | Resource::Role | Resource::Pack,
                    ..
                }
        )
    }

    /// Full name of the resource that is missing or in the way, if there is one.
    pub fn resource_name(&self) -> Option<String> {
        match self {
            Self::NotFound { resource, key }
            | Self::Conflict { resource, key }
            | Self::LostRace { resource, key } => resource.full_name(key),
            Self::CourseBusy { holder: job, .. }
            | Self::JobEnded { job, .. }
            | Self::JobNotRetryable { job, .. } => Some(job.to_string()),
            Self::UploadBusy { upload, .. }
            | Self::UploadNotOpen { upload, .. }
            | Self::UploadOffset { upload, .. } => Some(upload.to_string()),
            Self::LeaseLost { .. }
            | Self::Cancelled { .. }
            | Self::Corrupt { .. }
            | Self::Unstorable { .. }
            | Self::Unavailable { .. }
            | Self::Full { .. }
            | Self::Configuration { .. }
            | Self::Driver { .. } => None,
        }
    }

    /// The values in the message that callers may act on, by lower-camel key.
    pub fn values(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::CourseBusy { holder: job, state }
            | Self::JobEnded { job, state }
            | Self::JobNotRetryable { job, state } => {
                vec![("job", job.to_string()), ("state", state.to_string())]
            }
            Self::UploadNotOpen { state, job, .. } => {
                let job = job.iter().map(|job| ("job", job.to_string()));
                job.chain([("state", state.to_string())]).collect()
            }
            Self::UploadOffset { committed_bytes, .. } => {
                vec![("committedBytes", committed_bytes.to_string())]
            }
            Self::LeaseLost { job } | Self::Cancelled { job } => vec![("job", job.to_string())],
            _ => Vec::new(),
        }
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
                match () {
                    () if is_full(&code) => Self::Full { what },
                    () if passes(&code) => Self::Unavailable { what },
                    () => Self::Driver { what },
                }
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
/// set up. SQLite's primary codes, in the low byte: 5 busy, 6 locked, 10 input or output, 14 cannot open.
fn passes(code: &str) -> bool {
    if code.len() == 5 {
        return ["08", "40", "53", "57P", "55P03", "28", "3D000"].iter().any(|class| code.starts_with(class));
    }
    code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 10 | 14))
}

/// Whether an error of that code says that the disk is full: `disk_full` of PostgreSQL, `SQLITE_FULL`.
fn is_full(code: &str) -> bool {
    matches!(code, "53100" | "13")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted() {
        for passing in ["08006", "40P01", "53300", "57P03", "5", "261", "517"] {
            assert!(passes(passing) && !is_full(passing), "{passing}");
        }
        for lasting in ["23505", "42601", "1555", "1", ""] {
            assert!(!passes(lasting) && !is_full(lasting), "{lasting}");
        }
        assert!(is_full("13") && is_full("53100"));
    }

    #[test]
    fn resources_are_told_by_their_full_names() {
        let told = |resource, key: &str| CatalogError::NotFound { resource, key: key.into() }.resource_name();
        for (resource, key, name) in [
            (Resource::Site, "s", "sites/s"),
            (Resource::Course, "s/c", "sites/s/courses/c"),
            (Resource::Revision, "s/c/3", "sites/s/courses/c/revisions/3"),
            (Resource::Archive, "s/a", "sites/s/archives/a"),
            (Resource::Upload, "s/u", "sites/s/uploads/u"),
            (Resource::Job, "s/j", "sites/s/jobs/j"),
        ] {
            assert_eq!(told(resource, key).as_deref(), Some(name));
        }
        assert_eq!(told(Resource::Request, "anything"), None);
    }

    #[test]
    fn addresses_do_not_show() {
        let quoting = sqlx::Error::Configuration("bad url postgres://u:secret@h/db".into());
        assert!(!CatalogError::driver(&quoting).to_string().contains("secret"));
    }
}
