//! Records: what decides over an archive or a revision, kept as JSON beside the contents, so that a catalog can be made
//! anew from the storage alone.
//!
//! A record says what it is (`record`) and of which version. Later versions of the service may add fields, which older
//! ones ignore; a change that older ones would misread gets a new version, which they refuse.

use super::error::Malformed;
use crate::clock::Timestamp;
use crate::course::TreeRef;
use crate::digest::Sha256;
use crate::ids::{ArchiveName, CourseName, JobName};

const WHAT: &str = "record";
/// Version of the records written here.
const VERSION: u64 = 1;

/// Something that inspection found wrong.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FindingRecord {
    /// How much it matters.
    pub severity: String,
    /// A stable code.
    pub code: String,
    /// The member or element concerned; may be empty.
    pub path: String,
    /// For people.
    pub message: String,
}

/// An archive as it was stored. Its fields never change; deletions are in the journal.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ArchiveRecord {
    /// Its name.
    pub archive: ArchiveName,
    /// The area it is in.
    pub area: String,
    /// The course it belongs to.
    pub course: Option<CourseName>,
    /// The principal that made or uploaded it.
    pub owner: String,
    /// Its file name.
    pub file_name: String,
    /// How it came to be.
    pub origin: String,
    /// What it holds.
    #[serde(rename = "type")]
    pub archive_type: String,
    /// The container in which it arrived.
    pub container: String,
    /// Size of the upload as it was sent, in bytes; unset for a backup made here.
    pub upload_size: Option<u64>,
    /// SHA-256 of the upload as it was sent; unset for a backup made here.
    pub upload_sha256: Option<Sha256>,
    /// Its members.
    pub tree: TreeRef,
    /// Full name of the course, as the archive tells it.
    pub original_full_name: String,
    /// Short name of the course, as the archive tells it.
    pub original_short_name: String,
    /// When the backup was made, as the archive tells it.
    pub backup_time: Option<Timestamp>,
    /// Whether user data is inside, as the archive tells it.
    pub includes_users: bool,
    /// Whether users are anonymised, as the archive tells it.
    pub anonymized: bool,
    /// What inspection found wrong.
    pub findings: Vec<FindingRecord>,
    /// When it was stored.
    pub create_time: Timestamp,
    /// The job that made it.
    pub job: Option<JobName>,
}

/// A revision of a course as it was stored. Its fields never change.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RevisionRecord {
    /// The course.
    pub course: CourseName,
    /// Its number, from 1.
    pub number: i64,
    /// Number of the revision before.
    pub parent: Option<i64>,
    /// How it came to be.
    pub origin: String,
    /// The archive it came from.
    pub archive: Option<ArchiveName>,
    /// The job that made it.
    pub job: Option<JobName>,
    /// The principal that asked for it.
    pub author: String,
    /// Its members.
    pub tree: TreeRef,
    /// When it was made.
    pub create_time: Timestamp,
    /// Full name of the course.
    pub full_name: String,
    /// Short name of the course.
    pub short_name: String,
    /// The course's id on its platform.
    pub moodle_course_id: Option<i64>,
}

/// A record of either kind.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// Of an archive.
    Archive(Box<ArchiveRecord>),
    /// Of a revision.
    Revision(Box<RevisionRecord>),
}

#[derive(serde::Deserialize)]
struct Version {
    version: u64,
}

#[derive(serde::Serialize)]
struct Versioned<'a> {
    version: u64,
    #[serde(flatten)]
    record: &'a Record,
}

impl Record {
    /// The record as JSON.
    pub fn encode(&self) -> Result<Vec<u8>, Malformed> {
        serde_json::to_vec(&Versioned { version: VERSION, record: self })
            .map_err(|error| Malformed::damaged(WHAT, error.to_string()))
    }

    /// Reads a record. Fields that are unknown here are ignored.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let damaged = |error: serde_json::Error| Malformed::damaged(WHAT, error.to_string());
        match serde_json::from_slice::<Version>(bytes).map_err(damaged)?.version {
            VERSION => serde_json::from_slice(bytes).map_err(damaged),
            found => Err(Malformed::Version { what: WHAT, found, known: VERSION }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    const ARCHIVE: &str = include_str!("golden/archive_record.json");
    const REVISION: &str = include_str!("golden/revision_record.json");

    fn tree() -> TreeRef {
        TreeRef { root: Digest::of(b"root"), root_size: 812, members: 245, content_bytes: 1 << 33 }
    }

    fn archive() -> ArchiveRecord {
        ArchiveRecord {
            archive: "sites/main/archives/01920000-0000-7000-8000-000000000001".parse().expect("an archive"),
            area: "course".into(),
            course: Some("sites/main/courses/rich101".parse().expect("a course")),
            owner: "teacher".into(),
            file_name: "sauvegarde-é.mbz".into(),
            origin: "uploaded".into(),
            archive_type: "course".into(),
            container: "tar.gz".into(),
            upload_size: Some(7_340_032),
            upload_sha256: Some(Sha256([0xab; 32])),
            tree: tree(),
            original_full_name: "Rich course".into(),
            original_short_name: "RICH101".into(),
            backup_time: Some(Timestamp::from_secs(1_690_000_000)),
            includes_users: true,
            anonymized: false,
            findings: vec![FindingRecord {
                severity: "warning".into(),
                code: "CONTENT_ALTERED".into(),
                path: "files/da/da39a3ee5e6b4b0d3255bfef95601890afd80709".into(),
                message: "its content has another SHA-1".into(),
            }],
            create_time: Timestamp::from_millis(1_700_000_000_123),
            job: Some("sites/main/jobs/01920000-0000-7000-8000-000000000002".parse().expect("a job")),
        }
    }

    fn revision() -> RevisionRecord {
        let archive = archive();
        RevisionRecord {
            course: archive.course.expect("a course"),
            number: 2,
            parent: Some(1),
            origin: "restored".into(),
            archive: Some(archive.archive),
            job: archive.job,
            author: "teacher".into(),
            tree: tree(),
            create_time: Timestamp::from_millis(1_700_000_000_456),
            full_name: "Rich course".into(),
            short_name: "RICH101".into(),
            moodle_course_id: Some(42),
        }
    }

    #[test]
    fn records_have_the_documented_bytes() {
        for (record, golden) in
            [(Record::Archive(archive().into()), ARCHIVE), (Record::Revision(revision().into()), REVISION)]
        {
            let bytes = record.encode().expect("a record");
            assert_eq!(String::from_utf8_lossy(&bytes), golden.trim_end());
            assert_eq!(Record::decode(golden.as_bytes()), Ok(record));
        }
    }

    #[test]
    fn fields_of_later_services_are_ignored() {
        let later = ARCHIVE.replacen('{', r#"{"hold":{"by":"x"},"#, 1);
        assert_eq!(Record::decode(later.as_bytes()), Ok(Record::Archive(archive().into())));
    }

    #[test]
    fn other_versions_and_kinds_are_refused() {
        let version = |version: &str| ARCHIVE.replace(r#""version":1"#, &format!(r#""version":{version}"#));
        for (text, found) in [("0", 0), ("2", 2)] {
            assert_eq!(
                Record::decode(version(text).as_bytes()),
                Err(Malformed::Version { what: WHAT, found, known: 1 })
            );
        }
        let kind = ARCHIVE.replace(r#""record":"archive""#, r#""record":"policy""#);
        for bad in [version("\"1\""), version("-1"), kind, "{}".into(), String::new(), "[".repeat(10_000)] {
            assert!(matches!(Record::decode(bad.as_bytes()), Err(Malformed::Damaged { .. })), "{bad:.80}");
        }
    }
}
