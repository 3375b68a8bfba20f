//! The first pass: what an archive defines. Ids only, so memory grows by some ten bytes for each row.

use std::collections::HashMap;
use std::io::{self, BufRead};

use crate::format::{Edit, Format, Meaning, Refs, RewriteError, Spot};
use crate::limits::Limits;

/// The format of the field that says the type of a question.
const QUESTION_TYPE: &str = "questiontype";

/// What the documents of an archive define.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Ids of all things, by kind.
    pub defined: Refs,
    /// Numbers of question types, by question.
    types: HashMap<i64, u16>,
    names: Vec<String>,
}

impl Survey {
    /// Before anything was read.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what a document defines. One that no description covers defines nothing.
    ///
    /// # Errors
    ///
    /// [`RewriteError`] for a document that is no XML.
    pub fn read(
        &mut self,
        format: &Format,
        member: &str,
        input: impl BufRead,
        limits: &Limits,
    ) -> Result<(), RewriteError> {
        let Some(found) = format.document(member) else { return Ok(()) };
        let mut look = |place: &crate::format::Place<'_>, spot: Spot<'_>, raw: &str| {
            match spot {
                Spot::Defines(kind) => {
                    if let Some(id) = raw.parse().ok().filter(|id| *id > 0) {
                        self.defined.add(kind, id);
                    }
                }
                Spot::Value(Meaning::Codec(codec)) if codec.name == QUESTION_TYPE => {
                    if let Some(id) = place.field("@id").and_then(|id| id.parse().ok()) {
                        self.question(id, raw);
                    }
                }
                _ => {}
            }
            None
        };
        Edit::new(format, &found.document.root, &[], io::sink(), &mut look).run(input, limits)?;
        Ok(())
    }

    fn question(&mut self, id: i64, name: &str) {
        let known = self.names.iter().position(|known| known == name);
        let number = known.unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        self.types.insert(id, u16::try_from(number).unwrap_or(u16::MAX));
    }

    /// The type of a question, such as `multichoice`.
    pub fn question_type(&self, question: i64) -> Option<&str> {
        let number = self.types.get(&question)?;
        self.names.get(usize::from(*number)).map(String::as_str)
    }
}
