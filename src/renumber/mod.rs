//! New ids for everything in an archive, and every reference follows: attributes, elements, lists, encoded links in texts,
//! serialised values, paths of members.
//!
//! Two passes. [`Survey`] reads the documents and knows what they define; whoever restores or copies makes an [`IdMap`] of
//! it; [`Renumber`] writes the documents anew. What cannot be followed stays and is told in [`Losses`].
//!
//! Where ids are is said by the descriptions of [`format`](crate::format); this module knows no plugin, only the formats
//! of values (`codecs`). Pure: a document comes as bytes and goes as bytes.

mod amend;
mod canonical;
mod codecs;
mod ids;
mod json;
mod links;
mod losses;
mod map;
mod members;
mod names;
mod php;
mod survey;
#[cfg(test)]
mod tests;
mod value;

use std::io::{BufRead, Write};

pub use amend::Amendments;
pub use canonical::Canonical;
pub use losses::{Loss, Losses, Lost};
pub use map::IdMap;
pub use members::is_document;
pub use survey::Survey;

use crate::format::{Edit, Format, Place, RewriteError, Spot};
use crate::limits::Limits;
use value::Reach;

/// Renumbers the members of one archive.
#[derive(Debug)]
pub struct Renumber<'r> {
    format: &'r Format,
    survey: &'r Survey,
    map: &'r IdMap,
    kinds: value::Kinds,
    losses: Losses,
}

impl<'r> Renumber<'r> {
    /// For the archive that was surveyed.
    pub fn new(format: &'r Format, survey: &'r Survey, map: &'r IdMap) -> Self {
        Self { format, survey, map, kinds: value::Kinds::of(format), losses: Losses::default() }
    }

    /// Writes a document anew; whether it differs. The document keeps everything but numbers, byte for byte.
    ///
    /// # Errors
    ///
    /// [`RewriteError`]; what was written until then is worthless. A document that no description covers is copied and told
    /// as a loss.
    pub fn document(
        &mut self,
        member: &str,
        mut input: impl BufRead,
        mut output: impl Write,
        limits: &Limits,
    ) -> Result<bool, RewriteError> {
        let Some(found) = self.format.document(member) else {
            self.losses.add(member, "", Loss::Undescribed, member, None);
            std::io::copy(&mut input, &mut output).map_err(RewriteError::Output)?;
            return Ok(false);
        };
        let pattern = found.document.patterns.first().map_or(member, String::as_str);
        let module = names::module_of(member).unwrap_or_default();
        let outer = [("@module", module)];
        let (format, survey, map, kinds) = (self.format, self.survey, self.map, self.kinds);
        let losses = &mut self.losses;
        let mut edit = |place: &Place<'_>, spot: Spot<'_>, raw: &str| {
            Reach { format, survey, map, kinds, place, pattern, member, losses: &mut *losses }.spot(spot, raw)
        };
        Edit::new(format, &found.document.root, &outer, output, &mut edit).run(input, limits)
    }

    /// The new path of a member: folders are named after ids.
    pub fn member_path(&mut self, member: &str) -> String {
        names::member_path(&self.kinds, self.map, member).unwrap_or_else(|| member.to_owned())
    }

    /// What could not be followed so far.
    pub fn losses(&self) -> &Losses {
        &self.losses
    }

    /// Ends, with what could not be followed.
    pub fn finish(self) -> Losses {
        self.losses
    }
}
