//! An archive under ids of its own reckoning, so that two of them can be compared whatever ids they have.
//!
//! Of each kind the least id becomes 1, the next 2, and so on. What restores give new ids keeps its order, so an archive and
//! what was restored of it have the same canonical form.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read, Seek, Write};

use super::{IdMap, Renumber, Survey, is_document};
use crate::course::{Member, MemberPath, Members};
use crate::derive::DeriveError;
use crate::format::Format;
use crate::limits::Limits;

/// Bytes of a document that are held in memory while it is read; more go to a temporary file.
const IN_MEMORY: usize = 1 << 20;

/// An archive under canonical ids.
pub struct Canonical<'m> {
    source: &'m dyn Members,
    format: &'m Format,
    survey: Survey,
    map: IdMap,
    /// Where members are, by their canonical paths.
    paths: BTreeMap<MemberPath, Member>,
    limits: &'m Limits,
}

impl<'m> Canonical<'m> {
    /// Reads all documents once.
    ///
    /// # Errors
    ///
    /// [`DeriveError`], which names the document.
    pub fn of(source: &'m dyn Members, format: &'m Format, limits: &'m Limits) -> Result<Self, DeriveError> {
        let survey = Survey::of(format, source, limits)?;
        let mut map = IdMap::new();
        for kind in survey.defined.kinds() {
            for (id, new) in survey.defined.sorted(kind).into_iter().zip(1..) {
                map.set(kind, id, new);
            }
        }
        let mut renumber = Renumber::new(format, &survey, &map);
        let mut paths = BTreeMap::new();
        for member in source.members().map_err(DeriveError::List)? {
            let path = match is_document(&member.path) {
                true => MemberPath::parse(&renumber.member_path(member.path.as_str()), limits).map_err(
                    |error| DeriveError::Read { path: member.path.clone(), error: io::Error::other(error) },
                )?,
                false => member.path.clone(),
            };
            paths.insert(path, member);
        }
        Ok(Self { source, format, survey, map, paths, limits })
    }
}

impl Members for Canonical<'_> {
    fn members(&self) -> io::Result<Vec<Member>> {
        let member = |(path, member): (&MemberPath, &Member)| match is_document(path) {
            // What it is under canonical ids is not known before it is read.
            true => Member { path: path.clone(), size: member.size, digest: None },
            false => member.clone(),
        };
        Ok(self.paths.iter().map(member).collect())
    }

    fn open(&self, path: &MemberPath) -> io::Result<Box<dyn Read + '_>> {
        let member = self.paths.get(path).ok_or(io::ErrorKind::NotFound)?;
        let input = self.source.open(&member.path)?;
        if !is_document(path) {
            return Ok(input);
        }
        let mut document = tempfile::SpooledTempFile::new(IN_MEMORY);
        Renumber::new(self.format, &self.survey, &self.map)
            .document(member.path.as_str(), BufReader::new(input), &mut document, self.limits)
            .map_err(io::Error::other)?;
        document.flush()?;
        document.rewind()?;
        Ok(Box::new(document))
    }
}
