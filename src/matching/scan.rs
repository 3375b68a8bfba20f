//! One look through all documents of an archive: which people and roles they name, and what nobody described.

use std::collections::BTreeMap;

use super::document::{MatchError, Source, is_document, number};
use crate::course::Members;
use crate::format::{Format, Kind, Meaning, Refs, Step};
use crate::limits::Limits;

/// Elements of unknown places that are told one by one.
const TOLD: usize = 1000;

/// What all documents of an archive were looked through for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// Users and roles that something refers to.
    pub(super) named: Refs,
    /// Documents that no description covers.
    pub(super) unknown_documents: Vec<String>,
    /// Elements that no description covers, by pattern of the document and path: how many, and the least member.
    pub(super) unknown_elements: BTreeMap<(String, String), (u64, String)>,
}

impl Scan {
    /// Looks through all documents.
    ///
    /// # Errors
    ///
    /// [`MatchError`] for a document that is no XML, or cannot be had.
    pub fn read(format: &Format, members: &dyn Members, limits: &Limits) -> Result<Self, MatchError> {
        let source = Source { format, members, limits };
        let mut scan = Self::default();
        let kinds: Vec<Kind> = ["user", "role"].iter().filter_map(|name| format.kind(name)).collect();
        for member in source.list()?.iter().filter(|member| is_document(member.path.as_str())) {
            let path = member.path.as_str();
            let Some(found) = format.document(path) else {
                scan.unknown_documents.push(path.to_owned());
                continue;
            };
            let pattern = found.document.patterns.first().map_or(path, String::as_str);
            // Path of the open elements, and how many of them nobody described.
            let (mut place, mut lengths, mut unknown) = (String::new(), Vec::new(), 0_usize);
            source.read(member, &mut |step| match step {
                Step::Open { element, name, .. } => {
                    lengths.push(place.len());
                    place.push('/');
                    place.push_str(name);
                    if element.is_none() {
                        unknown += 1;
                        if unknown == 1 {
                            scan.add_unknown(pattern, &place, path);
                        }
                    }
                }
                Step::Close { element, text, .. } => {
                    place.truncate(lengths.pop().unwrap_or_default());
                    unknown -= usize::from(element.is_none());
                    let meaning = element.and_then(|element| element.value.as_ref());
                    if let (Some(Meaning::Ref { kind, .. }), Some(text)) =
                        (meaning.map(|value| &value.meaning), text)
                        && kinds.contains(kind)
                        && number(text) > 0
                    {
                        scan.named.add(*kind, number(text));
                    }
                }
            })?;
        }
        scan.unknown_documents.sort();
        Ok(scan)
    }

    fn add_unknown(&mut self, pattern: &str, place: &str, member: &str) {
        let key = (pattern.to_owned(), place.to_owned());
        if let Some((count, least)) = self.unknown_elements.get_mut(&key) {
            *count += 1;
            if member < least.as_str() {
                member.clone_into(least);
            }
        } else if self.unknown_elements.len() < TOLD {
            self.unknown_elements.insert(key, (1, member.to_owned()));
        }
    }
}
