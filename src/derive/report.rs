//! What a derivation did.

use std::collections::BTreeMap;

use crate::format::Outcome;

/// What a derivation did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Derived {
    /// Members that are as they were.
    pub members_kept: u64,
    /// Members that were written again.
    pub members_written: u64,
    /// Members that were left out.
    pub members_left_out: u64,
    /// Bytes of those.
    pub bytes_left_out: u64,
    /// What is in it and what is not, by label, and what was noticed. Its lists of ids are empty.
    pub seen: Outcome,
    /// Rows of files that stay, folders not counted.
    pub files: u64,
    /// Rows of files that went, likewise.
    pub files_left_out: u64,
    /// Members that no description covers, and whether they stay.
    pub unknown_members: BTreeMap<String, bool>,
    /// Contents that rows of files need and the course's state lacks, by member path, with the number of rows.
    pub missing_contents: BTreeMap<String, u64>,
}
