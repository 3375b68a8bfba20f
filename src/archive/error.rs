//! Why an archive is refused: one variant per refusal, with the member and the place where they are known.

use std::io;

use crate::course::PathError;
use crate::reason::Reason;

/// Why an archive is refused. Offsets count bytes of the stream as it came in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// Neither zip nor gzip.
    #[error("neither a zip file nor a gzip-compressed tar file")]
    FormatUnsupported,
    /// The bytes end within something.
    #[error("the archive ends too early, after {offset} bytes{}", of(member))]
    Truncated {
        /// Where it ends.
        offset: u64,
        /// The member in which it ends.
        member: Option<String>,
    },
    /// A checksum, a size or a header is wrong.
    #[error("the archive is damaged at byte {offset}{}: {what}", of(member))]
    Corrupt {
        /// Where it was noticed.
        offset: u64,
        /// The member concerned.
        member: Option<String>,
        /// What is wrong.
        what: String,
    },
    /// Two readers could see different contents.
    #[error("the archive can be understood in two ways at byte {offset}{}: {what}", of(member))]
    Ambiguous {
        /// Where it was noticed.
        offset: u64,
        /// The member concerned.
        member: Option<String>,
        /// What is ambiguous.
        what: String,
    },
    /// A member is encrypted.
    #[error("{member:?} is encrypted")]
    Encrypted {
        /// The member.
        member: String,
    },
    /// A member is compressed in an unknown way.
    #[error("{member:?} is compressed by method {method}; only stored (0) and deflate (8) are read")]
    MethodUnsupported {
        /// The member.
        member: String,
        /// The method's number in zip.
        method: u16,
    },
    /// A path that cannot be kept.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A path that is not UTF-8.
    #[error("path is not UTF-8: {shown:?}")]
    PathEncoding {
        /// The path with replacement characters.
        shown: String,
    },
    /// Two members have one path.
    #[error("{path:?} is there twice")]
    Duplicate {
        /// The path.
        path: String,
    },
    /// Two members have paths that are one on systems that ignore letter case.
    #[error("{path:?} and {other:?} differ only in letter case")]
    CaseCollision {
        /// The later path.
        path: String,
        /// The earlier path.
        other: String,
    },
    /// A file stands where other members need a folder.
    #[error("{path:?} is both a file and a folder")]
    FileAndFolder {
        /// The path.
        path: String,
    },
    /// Something that is neither file nor folder.
    #[error("{member:?} is a {kind}; only files and folders are read")]
    KindUnsupported {
        /// The member.
        member: String,
        /// What it is.
        kind: &'static str,
    },
    /// Too many members.
    #[error("more than {limit} members")]
    LimitMembers {
        /// The limit.
        limit: u64,
    },
    /// A member is too large.
    #[error("{member:?} has more than {limit} bytes")]
    LimitMemberBytes {
        /// The member.
        member: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// All members together are too large.
    #[error("the members have more than {limit} bytes together")]
    LimitContentBytes {
        /// The limit in bytes.
        limit: u64,
    },
    /// Too many bytes come out of too few.
    #[error("the archive unpacks to more than {limit} times its size")]
    LimitRatio {
        /// The limit.
        limit: u64,
    },
}

fn of(member: &Option<String>) -> String {
    member.as_ref().map(|name| format!(" ({name:?})")).unwrap_or_default()
}

impl ArchiveError {
    /// The values in the message that callers may act on, by lower-camel key: the member, the place, the limit.
    pub fn values(&self) -> Vec<(&'static str, String)> {
        let at = |offset: &u64, member: &Option<String>| {
            let member = member.iter().map(|member| ("member", member.clone()));
            member.chain([("offset", offset.to_string())]).collect()
        };
        match self {
            Self::Truncated { offset, member }
            | Self::Corrupt { offset, member, .. }
            | Self::Ambiguous { offset, member, .. } => at(offset, member),
            Self::Encrypted { member }
            | Self::MethodUnsupported { member, .. }
            | Self::KindUnsupported { member, .. }
            | Self::PathEncoding { shown: member }
            | Self::Duplicate { path: member }
            | Self::CaseCollision { path: member, .. }
            | Self::FileAndFolder { path: member } => vec![("member", member.clone())],
            Self::LimitMemberBytes { member, limit } => {
                vec![("member", member.clone()), ("limit", limit.to_string())]
            }
            Self::LimitMembers { limit } | Self::LimitContentBytes { limit } | Self::LimitRatio { limit } => {
                vec![("limit", limit.to_string())]
            }
            Self::Path(PathError::Invalid { path, .. }) => vec![("member", path.clone())],
            Self::Path(PathError::Limit { path, limit, .. }) => {
                vec![("member", path.clone()), ("limit", limit.to_string())]
            }
            Self::FormatUnsupported => Vec::new(),
        }
    }

    /// The reason for callers.
    pub fn reason(&self) -> Reason {
        match self {
            Self::FormatUnsupported => Reason::ArchiveFormatUnsupported,
            Self::Truncated { .. } => Reason::ArchiveTruncated,
            Self::Corrupt { .. } => Reason::ArchiveCorrupt,
            Self::Ambiguous { .. } => Reason::ArchiveAmbiguous,
            Self::Encrypted { .. } => Reason::ArchiveEncrypted,
            Self::MethodUnsupported { .. } => Reason::ArchiveMethodUnsupported,
            Self::Path(error) => error.reason(),
            Self::PathEncoding { .. } => Reason::MemberPathInvalid,
            Self::Duplicate { .. } | Self::CaseCollision { .. } | Self::FileAndFolder { .. } => {
                Reason::MemberDuplicate
            }
            Self::KindUnsupported { .. } => Reason::MemberKindUnsupported,
            Self::LimitMembers { .. } => Reason::LimitMembers,
            Self::LimitMemberBytes { .. } => Reason::LimitMemberBytes,
            Self::LimitContentBytes { .. } => Reason::LimitContentBytes,
            Self::LimitRatio { .. } => Reason::LimitRatio,
        }
    }

    /// The member concerned, if one is known; as the archive spells it.
    pub fn member(&self) -> Option<&str> {
        match self {
            Self::Truncated { member, .. }
            | Self::Corrupt { member, .. }
            | Self::Ambiguous { member, .. } => member.as_deref(),
            Self::Encrypted { member }
            | Self::MethodUnsupported { member, .. }
            | Self::KindUnsupported { member, .. }
            | Self::LimitMemberBytes { member, .. } => Some(member),
            Self::Path(PathError::Invalid { path, .. } | PathError::Limit { path, .. })
            | Self::PathEncoding { shown: path }
            | Self::Duplicate { path }
            | Self::CaseCollision { path, .. }
            | Self::FileAndFolder { path } => Some(path),
            Self::FormatUnsupported
            | Self::LimitMembers { .. }
            | Self::LimitContentBytes { .. }
            | Self::LimitRatio { .. } => None,
        }
    }

    pub(super) fn truncated(offset: u64) -> Self {
        Self::Truncated { offset, member: None }
    }

    pub(super) fn corrupt(offset: u64, what: impl Into<String>) -> Self {
        Self::Corrupt { offset, member: None, what: what.into() }
    }

    pub(super) fn ambiguous(offset: u64, what: impl Into<String>) -> Self {
        Self::Ambiguous { offset, member: None, what: what.into() }
    }

    /// Names the member in which it happened, unless one is named already.
    pub(super) fn within(mut self, name: &str) -> Self {
        if let Self::Truncated { member, .. }
        | Self::Corrupt { member, .. }
        | Self::Ambiguous { member, .. } = &mut self
        {
            member.get_or_insert_with(|| name.to_owned());
        }
        self
    }
}

/// Why an archive was not read to its end. `E` is the sink's error.
#[derive(Debug, thiserror::Error)]
pub enum ReadError<E> {
    /// The archive is refused.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The bytes could not be had.
    #[error("the archive's bytes cannot be read")]
    Input(#[source] io::Error),
    /// The sink could not go on.
    #[error("a member could not be taken")]
    Sink(E),
}

/// What stops a reader below the level of sinks.
#[derive(Debug, thiserror::Error)]
pub(super) enum Halt {
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error("the archive's bytes cannot be read")]
    Input(#[from] io::Error),
}

impl Halt {
    pub(super) fn within(self, name: &str) -> Self {
        match self {
            Self::Archive(error) => Self::Archive(error.within(name)),
            Self::Input(error) => Self::Input(error),
        }
    }
}

impl<E> From<Halt> for ReadError<E> {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::Archive(error) => Self::Archive(error),
            Halt::Input(error) => Self::Input(error),
        }
    }
}
