//! All members of an archive: the survey of them, and their way into a sink under new ids.

use std::io::BufReader;

use super::{Renumber, Survey};
use crate::course::{MemberPath, Members};
use crate::derive::{DeriveError, Document, Sink};
use crate::format::Format;
use crate::limits::Limits;

/// Whether ids are in it: a document, as opposed to the content of a file.
pub fn is_document(path: &MemberPath) -> bool {
    path.as_str().ends_with(".xml") && !path.as_str().starts_with("files/")
}

impl Survey {
    /// What all documents of an archive define.
    ///
    /// # Errors
    ///
    /// [`DeriveError`], which names the document.
    pub fn of(format: &Format, source: &dyn Members, limits: &Limits) -> Result<Self, DeriveError> {
        Self::of_some(format, source, limits, |_| true)
    }

    /// What those documents of an archive define that are wanted.
    ///
    /// # Errors
    ///
    /// [`DeriveError`], which names the document.
    pub fn of_some(
        format: &Format,
        source: &dyn Members,
        limits: &Limits,
        is_wanted: impl Fn(&MemberPath) -> bool,
    ) -> Result<Self, DeriveError> {
        let mut survey = Self::new();
        for member in source.members().map_err(DeriveError::List)? {
            if !is_document(&member.path) || !is_wanted(&member.path) {
                continue;
            }
            let input = source
                .open(&member.path)
                .map_err(|error| DeriveError::Read { path: member.path.clone(), error })?;
            survey
                .read(format, member.path.as_str(), BufReader::new(input), limits)
                .map_err(|error| DeriveError::rewrite(&member.path, error))?;
        }
        Ok(survey)
    }
}

impl Renumber<'_> {
    /// Writes all members anew; those in which no id changes are kept.
    ///
    /// # Errors
    ///
    /// [`DeriveError`], which names the document; what the sink got until then is worthless.
    pub fn members(
        &mut self,
        source: &dyn Members,
        sink: &mut dyn Sink,
        limits: &Limits,
    ) -> Result<(), DeriveError> {
        for member in source.members().map_err(DeriveError::List)? {
            if !is_document(&member.path) {
                sink.keep(&member).map_err(|error| DeriveError::output(&member.path, error))?;
                continue;
            }
            let input = source
                .open(&member.path)
                .map_err(|error| DeriveError::Read { path: member.path.clone(), error })?;
            let new = self.member_path(member.path.as_str());
            let path = MemberPath::parse(&new, limits).map_err(|error| DeriveError::Write {
                path: member.path.clone(),
                error: std::io::Error::other(error),
            })?;
            let mut document = Document::new(sink, &path);
            let changed = self
                .document(member.path.as_str(), BufReader::new(input), &mut document, limits)
                .map_err(|error| DeriveError::rewrite(&member.path, error))?;
            document
                .finish(&member, changed || path != member.path)
                .map_err(|error| DeriveError::output(&path, error))?;
        }
        Ok(())
    }
}
