//! Blocks: one is the same as one of the course if it is of the same type, in the same place and says the same. What it
//! says holds ids and links, so it is compared as it will be.

use std::io::BufReader;

use super::deciding::Deciding;
use super::document::MatchError;
use super::rows::{RowReader, Rows, Wanted};
use crate::format::{RewriteError, read};
use crate::renumber::Renumber;

impl Deciding<'_> {
    /// Reads the settings of the course's blocks, with the ids that they will have.
    pub fn blocks(&mut self) -> Result<(), MatchError> {
        let (request, Some(kind)) = (self.request, self.kind("block")) else { return Ok(()) };
        if request.target.is_none() {
            return Ok(());
        }
        let (format, incoming) = (request.format, request.incoming);
        let wanted = Wanted::of(format);
        let mut renumber = Renumber::new(format, incoming.survey, &self.plan.map);
        let mut rows = Rows::default();
        for member in incoming.members.members().map_err(MatchError::List)? {
            let path = member.path.as_str();
            let is_block = path.starts_with("course/blocks/") && path.ends_with("/block.xml");
            let Some(found) = format.document(path).filter(|_| is_block) else { continue };
            let failed = |error| MatchError::Read { path: path.to_owned(), error };
            let input = BufReader::new(incoming.members.open(&member.path).map_err(failed)?);
            let mut bytes = Vec::new();
            match renumber.document(path, input, &mut bytes, request.limits) {
                Ok(_) => {}
                Err(RewriteError::Xml(error)) => return Err(MatchError::of(path, error)),
                // Neither the memory that it is written to nor its rows can be too small.
                Err(_) => continue,
            }
            let mut reader = RowReader::new(&wanted, &mut rows, None);
            read(format, &found.document.root, bytes.as_slice(), request.limits, &mut |step| {
                reader.see(step);
            })
            .map_err(|error| MatchError::of(path, error))?;
        }
        self.block_settings =
            rows.of(kind).map(|(id, row)| (id, row.text("configdata").to_owned())).collect();
        Ok(())
    }
}
