//! Every bound in the service, with its reason.

/// Bounds that protect the service from its input. Sizes are counted while reading, never believed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of one upload as sent.
    pub upload_bytes: u64,
    /// Members of an archive. A course of 10 000 users has 23 000; the list is held in memory while an archive is read.
    pub members: u64,
    /// Uncompressed bytes of one member. A tar member of Moodle's own is below 8 GiB.
    pub member_bytes: u64,
    /// Uncompressed bytes of all members together.
    pub content_bytes: u64,
    /// Uncompressed bytes for each byte read, once `ratio_floor_bytes` came out: text reaches 1:30, deflate itself ends at 1:1032.
    pub ratio: u64,
    /// Uncompressed bytes below which the ratio is not looked at.
    pub ratio_floor_bytes: u64,
    /// Bytes of a member's path. Moodle's longest are about 120.
    pub path_bytes: usize,
    /// Folders above a member.
    pub path_depth: usize,
    /// Bytes of `moodle_backup.xml`, which is parsed as a whole. 2 000 activities need 3 MiB.
    pub manifest_bytes: u64,
    /// Depth of elements in XML.
    pub xml_depth: usize,
    /// Bytes of a chunk in an upload.
    pub chunk_bytes: usize,
    /// Archives read at once from callers' streams in this process: each holds two threads and some tens of MiB.
    /// Jobs that read upload sessions come on top.
    pub concurrent_ingests: usize,
    /// Jobs run at once in this process.
    pub concurrent_jobs: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            upload_bytes: 64 << 30,
            members: 250_000,
            member_bytes: 32 << 30,
            content_bytes: 256 << 30,
            ratio: 200,
            ratio_floor_bytes: 64 << 20,
            path_bytes: 1024,
            path_depth: 32,
            manifest_bytes: 64 << 20,
            xml_depth: 64,
            chunk_bytes: 2 << 20,
            concurrent_ingests: 8,
            concurrent_jobs: 2,
        }
    }
}

/// How the service cares for what it stores.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Care {
    /// Days within which every archive is read and checked once: a share of them every night. 0 for never.
    pub verify_days: u32,
    /// Whether what nobody needs is cleared away every night.
    pub collect: bool,
    /// Hours for which what nobody needs stays, and then stays once more before its bytes go: longer than any download.
    pub min_age_hours: u32,
    /// Revisions of a course that are kept in any case, the live one among them.
    pub keep_revisions: u32,
    /// Days for which what was there before a restore is kept, so that it can be undone.
    pub undo_days: u32,
}

impl Default for Care {
    fn default() -> Self {
        Self { verify_days: 30, collect: false, min_age_hours: 24, keep_revisions: 10, undo_days: 30 }
    }
}
