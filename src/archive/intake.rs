//! What may come in: counts members and bytes against the limits, and refuses paths that meet.

use std::collections::{HashMap, HashSet};

use super::error::ArchiveError;
use crate::course::MemberPath;
use crate::limits::Limits;

/// The container's own list of entries, which Moodle writes first and skips wherever it stands (reference 1.2).
pub(super) const ARCHIVE_INDEX: &str = ".ARCHIVE_INDEX";

/// Counts of one archive while it is read, and the paths that were seen. Paths are compared in lower case: two that
/// differ only so would be one file where letter case is ignored.
pub(super) struct Intake<'l> {
    limits: &'l Limits,
    entries: u64,
    files: HashMap<Box<str>, MemberPath>,
    folders: HashSet<Box<str>>,
    member_bytes: u64,
    content_bytes: u64,
}

impl<'l> Intake<'l> {
    pub(super) fn new(limits: &'l Limits) -> Self {
        Self {
            limits,
            entries: 0,
            files: HashMap::new(),
            folders: HashSet::new(),
            member_bytes: 0,
            content_bytes: 0,
        }
    }

    pub(super) fn limits(&self) -> &'l Limits {
        self.limits
    }

    pub(super) fn files(&self) -> u64 {
        self.files.len() as u64
    }

    pub(super) fn content_bytes(&self) -> u64 {
        self.content_bytes
    }

    /// Counts an entry of any kind: folders and skipped entries cost memory and time, too.
    pub(super) fn entry(&mut self) -> Result<(), ArchiveError> {
        self.entries += 1;
        match self.entries > self.limits.members {
            true => Err(ArchiveError::LimitMembers { limit: self.limits.members }),
            false => Ok(()),
        }
    }

    /// A file begins. `declared` is the size that its header announces.
    pub(super) fn file(&mut self, name: &str, declared: Option<u64>) -> Result<MemberPath, ArchiveError> {
        let path = MemberPath::parse(name.strip_prefix("./").unwrap_or(name), self.limits)?;
        let folded = path.as_str().to_lowercase();
        self.reserve_folders(&folded, path.as_str())?;
        if self.folders.contains(folded.as_str()) {
            return Err(ArchiveError::FileAndFolder { path: path.to_string() });
        }
        if let Some(other) = self.files.insert(folded.into(), path.clone()) {
            return Err(match other == path {
                true => ArchiveError::Duplicate { path: path.to_string() },
                false => ArchiveError::CaseCollision { path: path.to_string(), other: other.to_string() },
            });
        }
        self.member_bytes = 0;
        self.check(&path, declared.unwrap_or(0))?;
        Ok(path)
    }

    /// A folder of its own. It holds nothing, so it may come twice; the root may be named, too.
    pub(super) fn folder(&mut self, name: &str) -> Result<(), ArchiveError> {
        if matches!(name, "." | "./") {
            return Ok(());
        }
        let name = name.strip_prefix("./").unwrap_or(name);
        let name = name.strip_suffix('/').unwrap_or(name);
        let path = MemberPath::parse(name, self.limits)?;
        let mut folded = path.as_str().to_lowercase();
        folded.push('/');
        self.reserve_folders(&folded, path.as_str())
    }

    /// Bytes of the present file came out.
    pub(super) fn content(&mut self, path: &MemberPath, count: u64) -> Result<(), ArchiveError> {
        self.member_bytes = self.member_bytes.saturating_add(count);
        self.content_bytes = self.content_bytes.saturating_add(count);
        self.check(path, 0)
    }

    /// Checks the sizes as they would be with `more` bytes.
    fn check(&self, path: &MemberPath, more: u64) -> Result<(), ArchiveError> {
        let Limits { member_bytes, content_bytes, .. } = *self.limits;
        if self.member_bytes.saturating_add(more) > member_bytes {
            return Err(ArchiveError::LimitMemberBytes { member: path.to_string(), limit: member_bytes });
        }
        match self.content_bytes.saturating_add(more) > content_bytes {
            true => Err(ArchiveError::LimitContentBytes { limit: content_bytes }),
            false => Ok(()),
        }
    }

    /// Notes the folders above `folded`, from the innermost out; those above a known one are known.
    fn reserve_folders(&mut self, folded: &str, shown: &str) -> Result<(), ArchiveError> {
        let mut rest = folded;
        while let Some((folder, _)) = rest.rsplit_once('/') {
            if self.folders.contains(folder) {
                break;
            }
            if self.files.contains_key(folder) {
                let file = self.files.get(folder).map_or(shown, MemberPath::as_str);
                return Err(ArchiveError::FileAndFolder { path: file.to_owned() });
            }
            self.folders.insert(folder.into());
            rest = folder;
        }
        Ok(())
    }
}

/// Refuses an archive of which too much comes out: `unpacked` bytes of `packed` bytes.
pub(super) fn check_ratio(limits: &Limits, unpacked: u64, packed: u64) -> Result<(), ArchiveError> {
    match unpacked > limits.ratio_floor_bytes && unpacked > packed.saturating_mul(limits.ratio) {
        true => Err(ArchiveError::LimitRatio { limit: limits.ratio }),
        false => Ok(()),
    }
}

/// The text of a name in an archive.
pub(super) fn decode_name(bytes: &[u8]) -> Result<&str, ArchiveError> {
    std::str::from_utf8(bytes).map_err(|_| ArchiveError::PathEncoding {
        shown: String::from_utf8_lossy(bytes).chars().take(200).collect(),
    })
}
