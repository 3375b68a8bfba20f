//! The path of a member: the only way to name one.

use std::fmt;

use crate::limits::Limits;
use crate::reason::Reason;

/// Path of a member inside an archive: relative, `/` between parts, UTF-8, no part empty, `.` or `..`, no control
/// characters and no backslash, so that every reader and every file system understands the same by it.
///
/// Ordered as archives are written: `moodle_backup.xml` first, then by bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct MemberPath(Box<str>);

/// Why a text is no path of a member.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It leaves the archive or cannot be kept.
    #[error("{what}: {path:?}")]
    Invalid {
        /// The path as given, at most 200 characters of it.
        path: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// It is longer or deeper than a path may be.
    #[error("path is over the limit of {limit} {unit}: {path:?}")]
    Limit {
        /// The path as given, at most 200 characters of it.
        path: String,
        /// The limit.
        limit: usize,
        /// What is counted.
        unit: &'static str,
    },
}

impl PathError {
    /// The reason for callers.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Invalid { .. } => Reason::MemberPathInvalid,
            Self::Limit { .. } => Reason::LimitPath,
        }
    }
}

impl MemberPath {
    /// The document that describes an archive; the first member of every tree that has it.
    pub const MANIFEST: &'static str = "moodle_backup.xml";

    /// Checks a path. Container readers strip a leading `./` before.
    pub fn parse(text: &str, limits: &Limits) -> Result<Self, PathError> {
        let shown = || text.chars().take(200).collect::<String>();
        if text.len() > limits.path_bytes {
            return Err(PathError::Limit { path: shown(), limit: limits.path_bytes, unit: "bytes" });
        }
        if text.split('/').count() > limits.path_depth + 1 {
            return Err(PathError::Limit { path: shown(), limit: limits.path_depth, unit: "folders" });
        }
        match fault(text) {
            Some(what) => Err(PathError::Invalid { path: shown(), what }),
            None => Ok(Self(text.into())),
        }
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// For a content file `files/xx/HASH`, the SHA-1 that its name claims (reference: Moodle's file pool).
    pub fn claimed_sha1(&self) -> Option<crate::digest::Sha1> {
        let (folder, name) = self.0.strip_prefix("files/")?.split_once('/')?;
        name.starts_with(folder).then(|| name.parse().ok())?.filter(|_| folder.len() == 2)
    }
}

fn fault(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        return Some("path is empty");
    }
    if text.starts_with('/') {
        return Some("path is absolute");
    }
    if text.contains('\\') {
        return Some("path has a backslash, which some readers take for a slash");
    }
    if text.contains(char::is_control) {
        return Some("path has a control character");
    }
    if text.as_bytes().get(1) == Some(&b':') && text.as_bytes()[0].is_ascii_alphabetic() {
        return Some("path names a drive");
    }
    text.split('/').find_map(|part| match part {
        "" => Some("path has an empty part"),
        "." | ".." => Some("path has a part that is . or .."),
        _ => None,
    })
}

impl Ord for MemberPath {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let key = |path: &Self| &*path.0 != Self::MANIFEST;
        (key(self), &self.0).cmp(&(key(other), &other.0))
    }
}

impl PartialOrd for MemberPath {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for MemberPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MemberPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<MemberPath, PathError> {
        MemberPath::parse(text, &Limits::default())
    }

    #[test]
    fn ordinary_paths_pass() {
        for good in ["moodle_backup.xml", "activities/forum_12/forum.xml", "a/é日🎓 x.txt", "...", "..a/b.."]
        {
            assert!(parse(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn tricks_are_refused() {
        for bad in [
            "",
            "/",
            "/etc/passwd",
            "../x",
            "a/../b",
            "a/./b",
            "a//b",
            "a/",
            "a\\b",
            "a\0b",
            "a\nb",
            "C:/x",
            ".",
        ] {
            assert_eq!(parse(bad).map_err(|e| e.reason()), Err(Reason::MemberPathInvalid), "{bad:?}");
        }
    }

    #[test]
    fn limits_hold_at_the_limit_and_one_past_it() {
        let limits = Limits { path_bytes: 10, path_depth: 2, ..Limits::default() };
        assert!(MemberPath::parse("abcdefghij", &limits).is_ok());
        assert!(matches!(MemberPath::parse("abcdefghijk", &limits), Err(PathError::Limit { limit: 10, .. })));
        assert!(MemberPath::parse("a/b/c", &limits).is_ok());
        assert!(matches!(MemberPath::parse("a/b/c/d", &limits), Err(PathError::Limit { limit: 2, .. })));
    }

    #[test]
    fn the_manifest_comes_first() -> Result<(), PathError> {
        let mut paths =
            [parse("zoo.xml")?, parse("activities/a.xml")?, parse("moodle_backup.xml")?, parse("a.xml")?];
        paths.sort();
        assert_eq!(
            paths.map(|p| p.to_string()),
            ["moodle_backup.xml", "a.xml", "activities/a.xml", "zoo.xml"]
        );
        Ok(())
    }

    #[test]
    fn content_files_claim_their_sha1() -> Result<(), PathError> {
        let hash = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
        assert_eq!(
            parse(&format!("files/da/{hash}"))?.claimed_sha1().map(|h| h.to_string()).as_deref(),
            Some(hash)
        );
        for other in [format!("files/db/{hash}"), format!("files/{hash}"), format!("x/da/{hash}")] {
            assert_eq!(parse(&other)?.claimed_sha1(), None, "{other}");
        }
        Ok(())
    }
}
