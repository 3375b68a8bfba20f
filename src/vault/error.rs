//! What can go wrong in the vault, as types callers decide by.
//!
//! Messages name keys of objects and causes; they never hold credentials or addresses with credentials.

use std::error::Error as StdError;
use std::io;

use crate::reason::Reason;

/// A cause from below.
pub type Cause = Box<dyn StdError + Send + Sync>;

/// Why the vault refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The object is not there.
    #[error("the storage holds no object {key}")]
    NotFound {
        /// Its key.
        key: String,
    },
    /// The storage has no room left.
    #[error("the storage is full: {operation} {key}")]
    Full {
        /// What was tried.
        operation: &'static str,
        /// On which object.
        key: String,
        /// What the storage said.
        source: Cause,
    },
    /// The storage does not answer, or answers with a fault that may pass.
    #[error("the storage does not answer: {operation} {key}")]
    Unavailable {
        /// What was tried.
        operation: &'static str,
        /// On which object.
        key: String,
        /// What the storage said.
        source: Cause,
    },
    /// The storage refuses these credentials, or files may not be touched.
    #[error("the storage refuses access: {operation} {key}")]
    Denied {
        /// What was tried.
        operation: &'static str,
        /// On which object.
        key: String,
        /// What the storage said.
        source: Cause,
    },
    /// An object is there and is not what it must be.
    #[error("object {key} is damaged: {what}")]
    Corrupt {
        /// Its key.
        key: String,
        /// What is wrong with it.
        what: String,
    },
    /// An item does not fit an object of the storage.
    #[error("object {key} would be over {limit_bytes} bytes")]
    TooLarge {
        /// The object.
        key: String,
        /// The largest size in bytes.
        limit_bytes: u64,
    },
    /// The configuration of a storage cannot be used, or no storage has that name.
    #[error("storage {storage}: {what}")]
    Config {
        /// The storage's name, or its address where it has no name yet.
        storage: String,
        /// What is wrong.
        what: String,
    },
    /// Calls came in an order or with values that cannot be: a defect of the caller.
    #[error("the vault was used wrongly: {0}")]
    Misuse(&'static str),
}

impl VaultError {
    /// The reason for callers.
    pub fn reason(&self) -> Reason {
        match self {
            Self::NotFound { .. } | Self::Corrupt { .. } => Reason::StorageCorrupt,
            Self::Full { .. } => Reason::StorageFull,
            Self::Unavailable { .. } | Self::Denied { .. } => Reason::StorageUnavailable,
            Self::TooLarge { .. } => Reason::LimitMemberBytes,
            Self::Config { .. } | Self::Misuse(_) => Reason::Internal,
        }
    }

    /// Whether the same call may succeed a little later without anybody's doing. A full storage stays full.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    pub(super) fn corrupt(key: &impl ToString, what: impl Into<String>) -> Self {
        Self::Corrupt { key: key.to_string(), what: what.into() }
    }

    /// What an error of the object store means.
    pub(super) fn from_store(
        operation: &'static str,
        key: &impl ToString,
        source: object_store::Error,
    ) -> Self {
        use object_store::Error;

        let key = key.to_string();
        match &source {
            Error::NotFound { .. } => Self::NotFound { key },
            _ if is_full(&source) => Self::Full { operation, key, source: source.into() },
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
                Self::Denied { operation, key, source: source.into() }
            }
            _ if has_kind(&source, &[io::ErrorKind::PermissionDenied, io::ErrorKind::ReadOnlyFilesystem]) => {
                Self::Denied { operation, key, source: source.into() }
            }
            _ => Self::Unavailable { operation, key, source: source.into() },
        }
    }
}

/// Stored bytes that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// They are of a version of the format that this service does not know.
    #[error("{what} is of version {found}; this service knows version {known}")]
    Version {
        /// What the bytes should be.
        what: &'static str,
        /// The version they claim.
        found: u64,
        /// The newest version known here.
        known: u64,
    },
    /// They contradict the format.
    #[error("{what}: {fault}")]
    Damaged {
        /// What the bytes should be.
        what: &'static str,
        /// What is wrong with them.
        fault: String,
    },
}

impl Malformed {
    /// The reason for callers.
    pub fn reason(&self) -> Reason {
        Reason::StorageCorrupt
    }

    /// The error of the vault for an object that holds such bytes.
    pub fn in_object(&self, key: &impl ToString) -> VaultError {
        VaultError::corrupt(key, self.to_string())
    }

    pub(super) fn damaged(what: &'static str, fault: impl Into<String>) -> Self {
        Self::Damaged { what, fault: fault.into() }
    }
}

/// An error and all its causes. An `io::Error` does not name the error that it wraps as its source, so it is asked.
fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| {
        let wrapped = (*error).downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        wrapped.map(|wrapped| wrapped as &(dyn StdError + 'static)).or_else(|| (*error).source())
    })
}

fn has_kind(error: &(dyn StdError + 'static), kinds: &[io::ErrorKind]) -> bool {
    chain(error)
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| kinds.contains(&error.kind()))
}

/// Codes and a status by which S3-compatible servers say that there is no room: they are not in the S3 standard, so they
/// only stand in the text of the answer.
const FULL_CODES: [&str; 3] = ["XMinioStorageFull", "QuotaExceeded", "507 Insufficient Storage"];

fn is_full(error: &(dyn StdError + 'static)) -> bool {
    has_kind(error, &[io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded])
        || chain(error).any(|error| {
            let text = error.to_string();
            FULL_CODES.iter().any(|code| text.contains(code))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(kind: io::ErrorKind) -> object_store::Error {
        let inner = io::Error::other(io::Error::from(kind));
        object_store::Error::Generic { store: "test", source: Box::new(inner) }
    }

    #[test]
    fn a_full_disk_is_seen_through_the_chain_of_causes() {
        let full = VaultError::from_store("write", &"packs/a/b", generic(io::ErrorKind::StorageFull));
        assert!(matches!(full, VaultError::Full { .. }), "{full:?}");
        assert_eq!((full.reason(), full.is_retryable()), (Reason::StorageFull, false));

        let answer = "507 Insufficient Storage: no room";
        let full = object_store::Error::Generic { store: "S3", source: answer.into() };
        assert_eq!(VaultError::from_store("write", &"k", full).reason(), Reason::StorageFull);
    }

    #[test]
    fn other_faults_may_pass_and_denials_do_not() {
        let gone = VaultError::from_store("read", &"k", generic(io::ErrorKind::ConnectionReset));
        assert_eq!((gone.reason(), gone.is_retryable()), (Reason::StorageUnavailable, true));
        let denied = VaultError::from_store("read", &"k", generic(io::ErrorKind::PermissionDenied));
        assert!(matches!(denied, VaultError::Denied { .. }) && !denied.is_retryable(), "{denied:?}");
    }
}
