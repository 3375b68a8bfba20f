//! Why an archive was not derived.

use std::io;

use crate::course::MemberPath;
use crate::format::RewriteError;
use crate::format::xml::XmlError;
use crate::reason::Reason;

/// Why an archive was not derived.
#[derive(Debug, thiserror::Error)]
pub enum DeriveError {
    /// The members could not be listed.
    #[error("the members cannot be listed")]
    List(#[source] io::Error),
    /// A member could not be read.
    #[error("{path} cannot be read")]
    Read {
        /// Which.
        path: MemberPath,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// A document is broken.
    #[error("{path}, {error}")]
    Broken {
        /// Which.
        path: MemberPath,
        /// Where, and what is wrong.
        #[source]
        error: XmlError,
    },
    /// A document is larger in one place than may be.
    #[error("{path}, {what}")]
    TooLarge {
        /// Which.
        path: MemberPath,
        /// Where and how.
        what: String,
    },
    /// A member that must be there is missing.
    #[error("{path} is missing")]
    Missing {
        /// Which.
        path: &'static str,
    },
    /// The result could not be written.
    #[error("{path} cannot be written")]
    Write {
        /// Which.
        path: MemberPath,
        /// Why.
        #[source]
        error: io::Error,
    },
}

impl DeriveError {
    pub(crate) fn output(path: &MemberPath, error: io::Error) -> Self {
        Self::Write { path: path.clone(), error }
    }

    pub(crate) fn xml(path: &MemberPath, error: XmlError) -> Self {
        match error {
            XmlError::Input(error) => Self::Read { path: path.clone(), error },
            error => Self::Broken { path: path.clone(), error },
        }
    }

    pub(crate) fn rewrite(path: &MemberPath, error: RewriteError) -> Self {
        match error {
            RewriteError::Xml(error) => Self::xml(path, error),
            RewriteError::Output(error) => Self::output(path, error),
            error @ RewriteError::RowTooLarge { .. } => {
                Self::TooLarge { path: path.clone(), what: error.to_string() }
            }
        }
    }

    /// The document that is to blame, if one is.
    pub fn document(&self) -> Option<&str> {
        match self {
            Self::Broken { path, .. } | Self::TooLarge { path, .. } => Some(path.as_str()),
            Self::Missing { path } => Some(path),
            Self::List(_) | Self::Read { .. } | Self::Write { .. } => None,
        }
    }

    /// The reason for callers; `None` when the course's state is not to blame, but what lies below.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Broken { error: XmlError::TooDeep { .. }, .. } => Some(Reason::LimitXmlDepth),
            Self::Broken { .. } | Self::TooLarge { .. } | Self::Missing { .. } => {
                Some(Reason::DocumentInvalid)
            }
            Self::List(_) | Self::Read { .. } | Self::Write { .. } => None,
        }
    }
}
