//! Why a cartridge was not made or not understood.

use std::io;

use crate::course::{MemberPath, PathError, TreeError};
use crate::format::xml::XmlError;
use crate::moodle::ManifestError;
use crate::reason::Reason;

/// Why a cartridge was not made or not understood.
#[derive(Debug, thiserror::Error)]
pub enum ImsccError {
    /// The members could not be listed.
    #[error("the members cannot be listed")]
    List(#[source] io::Error),
    /// A document could not be read.
    #[error("{path} cannot be read")]
    Read {
        /// The document.
        path: String,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// A document is no XML.
    #[error("{path}, {error}")]
    Xml {
        /// The document.
        path: String,
        /// What is wrong.
        #[source]
        error: XmlError,
    },
    /// A document is not what its format demands.
    #[error("{path}: {what}")]
    Invalid {
        /// The document.
        path: String,
        /// What is wrong.
        what: String,
    },
    /// `moodle_backup.xml` cannot be understood.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A path cannot be that of a member.
    #[error(transparent)]
    Path(#[from] PathError),
    /// Members cannot stand beside each other.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// What was made could not be written.
    #[error("writing failed")]
    Write(#[source] io::Error),
}

impl ImsccError {
    /// For a document.
    pub(super) fn xml(path: &MemberPath) -> impl Fn(XmlError) -> Self {
        let path = path.to_string();
        move |error| match error {
            XmlError::Input(error) => Self::Read { path: path.clone(), error },
            error => Self::Xml { path: path.clone(), error },
        }
    }

    pub(super) fn invalid(path: &str, what: impl Into<String>) -> Self {
        Self::Invalid { path: path.to_owned(), what: what.into() }
    }

    /// The reason for callers; `None` where reading or writing failed.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::List(_) | Self::Read { .. } | Self::Write(_) => None,
            Self::Xml { error: XmlError::TooDeep { .. }, .. } => Some(Reason::LimitXmlDepth),
            Self::Xml { .. } | Self::Invalid { .. } => Some(Reason::DocumentInvalid),
            Self::Manifest(error) => error.reason(),
            Self::Path(error) => Some(error.reason()),
            Self::Tree(error) => Some(error.reason()),
        }
    }

    /// The document that is to blame.
    pub fn document(&self) -> Option<&str> {
        match self {
            Self::Read { path, .. } | Self::Xml { path, .. } | Self::Invalid { path, .. } => Some(path),
            _ => None,
        }
    }
}
