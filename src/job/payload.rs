//! What a job is to do, as it is stored: JSON with a version, one variant for each kind.
//!
//! A payload is written by one version of the service and may be read by the next, so a change of meaning takes a
//! new version number, and the golden texts below stay readable. Names within a payload are ids: the site is the job's.

use crate::backup::Order;
use crate::digest::Sha256;
use crate::ids::{ArchiveId, CourseId, JobId, UploadId};
use crate::label::labels;
use crate::restore;

labels! {
    /// Where an archive lives, and so who may see it and how long it stays.
    pub enum Area {
        /// Uploaded by a person in order to restore it.
        DropZone = "DROP_ZONE",
        /// Backups of a course made on demand.
        Course = "COURSE",
        /// A person's own archives.
        Private = "PRIVATE",
        /// Nightly backups, for administrators only.
        Automated = "AUTOMATED",
    }
}

labels! {
    /// Kinds of work.
    pub enum JobKind {
        /// Reads an upload and stores its archive.
        Ingest = "INGEST",
        /// Makes a backup of a course.
        Backup = "BACKUP",
        /// Restores an archive.
        Restore = "RESTORE",
        /// Undoes a restore.
        Rollback = "ROLLBACK",
        /// Makes an archive with other settings of an archive.
        Convert = "CONVERT",
        /// Makes a new course of a course.
        Copy = "COPY",
        /// Merges what is chosen of a course into another one.
        Import = "IMPORT",
        /// Decides how long archives are kept, deletes what expired and purges what was deleted long enough ago.
        Retention = "RETENTION",
        /// Checks every byte of archives.
        Verify = "VERIFY",
        /// Clears a site's storage of what nobody needs.
        Collect = "COLLECT",
    }
}

/// What a job is to do.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "kind", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum JobPayload {
    /// Read an upload and store its archive.
    Ingest {
        /// The upload session.
        upload: UploadId,
        /// Size of the whole upload in bytes, as its sender announced it.
        size_bytes: u64,
        /// SHA-256 of the whole upload, as its sender announced it.
        sha256: Sha256,
    },
    /// Make a backup of a course's live state.
    Backup {
        /// The course.
        course: CourseId,
        /// Where the archive goes.
        area: Area,
        /// With which settings and of what.
        #[serde(default, skip_serializing_if = "is_default")]
        order: Box<Order>,
        /// Of which revision; the live one when it runs, unless a plan says so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        revision: Option<i64>,
    },
    /// Make a new course of a course's live state.
    Copy {
        /// The course.
        course: CourseId,
        /// Id of the new course.
        course_id: CourseId,
        /// With which settings and of what.
        order: Box<Order>,
        /// Full name of the new course; that of the original, made unique, if empty.
        full_name: String,
        /// Short name of the new course; that of the original, made unique, if empty.
        short_name: String,
        /// Start of the new course, in seconds since 1970; that of the original if none.
        start: Option<i64>,
    },
    /// Merge what is chosen of a course's live state into another course.
    Import {
        /// The course from which.
        source: CourseId,
        /// The course into which.
        course_id: CourseId,
        /// With which settings and of what.
        order: Box<Order>,
    },
    /// Make an archive with other settings of an archive.
    Convert {
        /// The archive.
        archive: ArchiveId,
        /// Where the new one goes.
        area: Area,
        /// With which settings and of what.
        #[serde(default, skip_serializing_if = "is_default")]
        order: Box<Order>,
    },
    /// Restore an archive into a course.
    Restore {
        /// The archive.
        archive: ArchiveId,
        /// Id of the course, which is new unless the order says otherwise.
        course_id: CourseId,
        /// Where to, with which settings and of what.
        #[serde(default, skip_serializing_if = "is_default_restore")]
        order: Box<restore::Order>,
        /// The state of the course that a plan was made of; any when the job runs, unless a plan says so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        revision: Option<i64>,
        /// Stands for what a plan decided about users and roles; whatever the directory says when the job runs, unless a plan
        /// says so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        decisions: Option<String>,
    },
    /// Undo a restore.
    Rollback {
        /// The restore's job.
        restore_job: JobId,
    },
    /// Look at all archives of the site whose time it is.
    Retention,
    /// Check every byte of archives against its digests.
    Verify {
        /// The archive; if none, those that were not checked for the longest time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        archive: Option<ArchiveId>,
        /// Of those so many at most.
        #[serde(default, skip_serializing_if = "is_zero")]
        at_most: u32,
    },
    /// Clear a site's storages of what nobody needs.
    Collect {
        /// Only tell what would go.
        dry_run: bool,
        /// What is younger stays, in seconds.
        min_age_seconds: u64,
        /// Go on though most of what is there would go.
        accept_most: bool,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// A stored payload that this version of the service cannot read.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// It has another version.
    #[error("payload of version {0}, this service reads {VERSION}")]
    Version(u32),
    /// It is no payload.
    #[error("payload cannot be read: {0}")]
    Json(#[from] serde_json::Error),
}

#[expect(clippy::borrowed_box, reason = "serde's signature")]
fn is_default_restore(order: &Box<restore::Order>) -> bool {
    order.is_default()
}

#[expect(clippy::borrowed_box, reason = "serde's signature")]
fn is_default(order: &Box<Order>) -> bool {
    order.is_default()
}

const VERSION: u32 = 1;

#[derive(serde::Serialize, serde::Deserialize)]
struct Versioned<P> {
    version: u32,
    #[serde(flatten)]
    payload: P,
}

#[derive(serde::Deserialize)]
struct OnlyVersion {
    version: u32,
}

impl JobPayload {
    /// The kind of work.
    pub const fn kind(&self) -> JobKind {
        match self {
            Self::Ingest { .. } => JobKind::Ingest,
            Self::Backup { .. } => JobKind::Backup,
            Self::Copy { .. } => JobKind::Copy,
            Self::Import { .. } => JobKind::Import,
            Self::Convert { .. } => JobKind::Convert,
            Self::Restore { .. } => JobKind::Restore,
            Self::Rollback { .. } => JobKind::Rollback,
            Self::Retention => JobKind::Retention,
            Self::Verify { .. } => JobKind::Verify,
            Self::Collect { .. } => JobKind::Collect,
        }
    }

    /// Its stored form.
    pub fn to_json(&self) -> Result<String, PayloadError> {
        Ok(serde_json::to_string(&Versioned { version: VERSION, payload: self })?)
    }

    /// Reads a stored form. Refuses versions that it does not know, before it looks at anything else.
    pub fn from_json(text: &str) -> Result<Self, PayloadError> {
        let OnlyVersion { version } = serde_json::from_str(text)?;
        if version != VERSION {
            return Err(PayloadError::Version(version));
        }
        Ok(serde_json::from_str::<Versioned<Self>>(text)?.payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0190a5f3-0000-7000-8000-000000000001";

    fn golden() -> anyhow::Result<Vec<(JobPayload, String)>> {
        let zeros = "0".repeat(64);
        Ok(vec![
            (
                JobPayload::Ingest {
                    upload: ID.parse()?,
                    size_bytes: u64::from(u32::MAX) + 1,
                    sha256: Sha256([0; 32]),
                },
                format!(
                    r#"{{"version":1,"kind":"INGEST","upload":"{ID}","size_bytes":4294967296,"sha256":"{zeros}"}}"#
                ),
            ),
            (
                JobPayload::Backup {
                    course: "c-1".parse()?,
                    area: Area::Private,
                    order: Box::default(),
                    revision: None,
                },
                r#"{"version":1,"kind":"BACKUP","course":"c-1","area":"PRIVATE"}"#.into(),
            ),
            (
                JobPayload::Restore {
                    archive: ID.parse()?,
                    course_id: "c-2".parse()?,
                    order: Box::default(),
                    revision: None,
                    decisions: None,
                },
                format!(r#"{{"version":1,"kind":"RESTORE","archive":"{ID}","course_id":"c-2"}}"#),
            ),
            (
                JobPayload::Rollback { restore_job: ID.parse()? },
                format!(r#"{{"version":1,"kind":"ROLLBACK","restore_job":"{ID}"}}"#),
            ),
            (JobPayload::Retention, r#"{"version":1,"kind":"RETENTION"}"#.into()),
            (
                JobPayload::Verify { archive: Some(ID.parse()?), at_most: 0 },
                format!(r#"{{"version":1,"kind":"VERIFY","archive":"{ID}"}}"#),
            ),
            (
                JobPayload::Verify { archive: None, at_most: 7 },
                r#"{"version":1,"kind":"VERIFY","at_most":7}"#.into(),
            ),
            (
                JobPayload::Collect { dry_run: true, min_age_seconds: 86_400, accept_most: false },
                concat!(
                    r#"{"version":1,"kind":"COLLECT","dry_run":true,"min_age_seconds":86400,"#,
                    r#""accept_most":false}"#
                )
                .into(),
            ),
        ])
    }

    #[test]
    fn stored_forms_stay() -> anyhow::Result<()> {
        for (payload, text) in golden()? {
            assert_eq!(payload.to_json()?, text);
            assert_eq!(JobPayload::from_json(&text)?, payload);
            assert!(text.contains(&format!(r#""kind":"{}""#, payload.kind())));
        }
        Ok(())
    }

    #[test]
    fn other_forms_are_refused() -> anyhow::Result<()> {
        let newer = r#"{"version":2,"kind":"DREAM","of":"sheep"}"#;
        assert!(matches!(JobPayload::from_json(newer), Err(PayloadError::Version(2))));
        for bad in [
            "",
            "{}",
            r#"{"version":1}"#,
            r#"{"version":1,"kind":"DREAM"}"#,
            r#"{"version":1,"kind":"BACKUP","course":"C","area":"PRIVATE"}"#,
        ] {
            assert!(matches!(JobPayload::from_json(bad), Err(PayloadError::Json(_))), "{bad}");
        }
        Ok(())
    }
}
