//! The documents of an archive, opened and read.

use std::io::{self, BufReader};

use crate::course::{Member, Members};
use crate::format::xml::XmlError;
use crate::format::{Format, Step, read};
use crate::limits::Limits;
use crate::reason::Reason;

/// How Moodle writes SQL's NULL.
const NULL: &str = "$@NULL@$";

/// Why an archive or a course was not read.
#[derive(Debug, thiserror::Error)]
pub enum MatchError {
    /// The members could not be listed.
    #[error("the members cannot be listed")]
    List(#[source] io::Error),
    /// A member could not be read.
    #[error("{path} cannot be read")]
    Read {
        /// Which.
        path: String,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// A document is broken.
    #[error("{path}, {error}")]
    Broken {
        /// Which.
        path: String,
        /// Where, and what is wrong.
        #[source]
        error: XmlError,
    },
}

impl MatchError {
    /// The document that is to blame, if one is.
    pub fn document(&self) -> Option<&str> {
        match self {
            Self::Broken { path, .. } => Some(path),
            Self::List(_) | Self::Read { .. } => None,
        }
    }

    /// The reason for callers; `None` when no document is to blame, but what lies below.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Broken { error: XmlError::TooDeep { .. }, .. } => Some(Reason::LimitXmlDepth),
            Self::Broken { .. } => Some(Reason::DocumentInvalid),
            Self::List(_) | Self::Read { .. } => None,
        }
    }

    pub(super) fn of(path: &str, error: XmlError) -> Self {
        let path = path.to_owned();
        match error {
            XmlError::Input(error) => Self::Read { path, error },
            error => Self::Broken { path, error },
        }
    }
}

/// What documents are read with.
#[derive(Clone, Copy)]
pub(super) struct Source<'s> {
    pub format: &'s Format,
    pub members: &'s dyn Members,
    pub limits: &'s Limits,
}

impl<'s> Source<'s> {
    /// All members.
    pub fn list(&self) -> Result<Vec<Member>, MatchError> {
        self.members.members().map_err(MatchError::List)
    }

    /// Reads a document along its description; one that is not described is not read. Whether it was.
    pub fn read(&self, member: &Member, see: &mut dyn FnMut(Step<'_, 's>)) -> Result<bool, MatchError> {
        let path = member.path.as_str();
        let Some(found) = self.format.document(path) else { return Ok(false) };
        let failed = |error| MatchError::Read { path: path.to_owned(), error };
        let input = BufReader::new(self.members.open(&member.path).map_err(failed)?);
        read(self.format, &found.document.root, input, self.limits, see)
            .map_err(|error| MatchError::of(path, error))?;
        Ok(true)
    }
}

/// Whether a member is a document, not a content.
pub(super) fn is_document(path: &str) -> bool {
    path.ends_with(".xml") && !path.starts_with("files/")
}

/// A value without SQL's NULL.
pub(super) fn value(text: &str) -> &str {
    if text == NULL { "" } else { text }
}

/// A value as a number; 0 for what is none.
pub(super) fn number(text: &str) -> i64 {
    text.parse().unwrap_or(0)
}
