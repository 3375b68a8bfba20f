//! Why two archives were not merged.

use std::io;

use crate::format::RewriteError;
use crate::format::xml::XmlError;
use crate::moodle::ManifestError;
use crate::reason::Reason;

/// Whose document it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The course that is restored into.
    Target,
    /// What is restored.
    Incoming,
}

/// Why two archives were not merged.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// Bytes could not be had or written.
    #[error("{path} cannot be read or written")]
    Bytes {
        /// Which member; empty for the list of them.
        path: String,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// A document is broken.
    #[error("{path} of the {side:?} tree, {error}")]
    Broken {
        /// Which.
        path: String,
        /// Whose.
        side: Side,
        /// Where, and what is wrong.
        #[source]
        error: XmlError,
    },
    /// Two rows of one id.
    #[error("{path}: {element} {id} stands there twice")]
    Repeated {
        /// The document.
        path: String,
        /// The rows' element.
        element: String,
        /// Their id.
        id: i64,
    },
    /// A document is larger in one place than may be.
    #[error("{path}, {what}")]
    TooLarge {
        /// Which.
        path: String,
        /// Where and how.
        what: String,
    },
    /// The manifest is not understood.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// What was asked for is not there yet.
    #[error("{what} is not supported")]
    Unsupported {
        /// What.
        what: &'static str,
    },
}

impl MergeError {
    pub(super) fn bytes(path: &str, error: io::Error) -> Self {
        Self::Bytes { path: path.to_owned(), error }
    }

    pub(super) fn xml(path: &str, side: Side, error: XmlError) -> Self {
        match error {
            XmlError::Input(error) => Self::bytes(path, error),
            error => Self::Broken { path: path.to_owned(), side, error },
        }
    }

    pub(super) fn rewrite(path: &str, side: Side, error: RewriteError) -> Self {
        match error {
            RewriteError::Xml(error) => Self::xml(path, side, error),
            RewriteError::Output(error) => Self::bytes(path, error),
            error @ RewriteError::RowTooLarge { .. } => {
                Self::TooLarge { path: path.to_owned(), what: error.to_string() }
            }
        }
    }

    /// The reason for callers; `None` when no document is to blame.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Bytes { .. } | Self::Unsupported { .. } => None,
            Self::Broken { error: XmlError::TooDeep { .. }, .. } => Some(Reason::LimitXmlDepth),
            Self::Broken { .. } | Self::Repeated { .. } | Self::TooLarge { .. } => {
                Some(Reason::DocumentInvalid)
            }
            Self::Manifest(error) => error.reason(),
        }
    }
}
