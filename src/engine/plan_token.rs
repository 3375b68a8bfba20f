//! What stands for a plan of a restore: one part for each thing that it was made of, so that a stale one tells what changed.

use super::error::Error;
use super::restoring::Restoration;
use super::{Engine, prepare};
use crate::derive::Adjust;
use crate::digest::Digest;
use crate::reason::Reason;

/// Hexadecimal digits of a part: callers can do no harm with a forged one, they would only fool themselves.
const DIGITS: usize = 16;

/// The parts of a token, in the order in which they stand in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PlanToken {
    /// The archive and its contents.
    archive: String,
    /// The course, its state, its names, and by how much dates move.
    course: String,
    /// Target, settings, selection, mappings, and what was resolved of them.
    options: String,
    /// The state of the site's directory.
    directory: String,
    /// What became of users and roles.
    decisions: String,
}

impl PlanToken {
    /// Reads a token.
    ///
    /// # Errors
    ///
    /// `plan_token`, for a text that no plan has.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut parts = text.split('-').map(str::to_owned);
        let mut next = || {
            let part = parts.next()?;
            let is_part = part.len() == DIGITS && part.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_part.then_some(part)
        };
        let token = match (next(), next(), next(), next(), next()) {
            (Some(archive), Some(course), Some(options), Some(directory), Some(decisions)) => {
                Self { archive, course, options, directory, decisions }
            }
            _ => return Err(Error::field("plan_token", "is none that PlanRestore gave")),
        };
        match parts.next() {
            None => Ok(token),
            Some(_) => Err(Error::field("plan_token", "is none that PlanRestore gave")),
        }
    }

    /// What became of users and roles when the plan was made.
    pub fn decisions(&self) -> &str {
        &self.decisions
    }
}

impl std::fmt::Display for PlanToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { archive, course, options, directory, decisions } = self;
        write!(f, "{archive}-{course}-{options}-{directory}-{decisions}")
    }
}

/// Stands for a value.
pub(super) fn part(value: &impl serde::Serialize) -> Result<String, Error> {
    let text = serde_json::to_vec(value)
        .map_err(|error| Error::new(Reason::Internal, "a plan cannot be written down").caused_by(error))?;
    let mut digits = Digest::of(&text).to_string();
    digits.truncate(DIGITS);
    Ok(digits)
}

/// Says that a plan is stale, and of what.
pub(super) fn stale(restoration: &Restoration, changed: &[&str]) -> Error {
    let changed = changed.join(", ");
    let message = format!("since the plan was made this changed: {changed}; plan again");
    Error::new(Reason::PlanStale, message).with("changed", &changed).on(&restoration.course)
}

impl Engine {
    /// The token of a plan whose decisions are known.
    pub(super) async fn plan_token(
        &self,
        restoration: &Restoration,
        adjust: &Adjust,
        decisions: String,
    ) -> Result<PlanToken, Error> {
        let archive = &restoration.archive;
        let target = restoration.target.as_ref();
        let course = target.map(|target| (&target.row.course, target.revision.revision));
        Ok(PlanToken {
            archive: part(&(archive.archive.to_string(), archive.tree.root.to_string()))?,
            course: part(&(
                course.map(|(course, revision)| (course.to_string(), revision)),
                &adjust.full_name,
                &adjust.short_name,
                adjust.date_offset,
            ))?,
            options: part(&(&restoration.order, &restoration.effective))?,
            directory: part(&self.catalog.directory_version(&restoration.course.site).await?)?,
            decisions,
        })
    }

    /// Checks that a plan is still what would be done. Answers with what it decided about users and roles, to which the job
    /// holds itself.
    ///
    /// # Errors
    ///
    /// [`Reason::PlanStale`] whose `changed` names what changed: archive, course, options, directory.
    pub(super) async fn confirm_plan(
        &self,
        restoration: Restoration,
        token: &PlanToken,
    ) -> Result<Restoration, Error> {
        let adjust = self.adjusted(&restoration).await?;
        let now = self.plan_token(&restoration, &adjust, token.decisions.clone()).await?;
        let parts = [
            ("archive", now.archive == token.archive),
            ("course", now.course == token.course),
            ("options", now.options == token.options),
        ];
        let changed: Vec<&str> = parts.iter().filter(|(_, same)| !same).map(|(name, _)| *name).collect();
        if !changed.is_empty() {
            return Err(stale(&restoration, &changed));
        }
        if now.directory == token.directory {
            return Ok(restoration);
        }
        // Somebody joined the directory, or left it. What counts is whether that matters to anybody here.
        let prepare::Planned { restoration, decisions, .. } = self.planned(restoration).await?;
        match decisions == token.decisions {
            true => Ok(restoration),
            false => Err(stale(&restoration, &["directory"])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_as_they_are_written() {
        let part = |value: &str| part(&value).unwrap_or_default();
        let token = PlanToken {
            archive: part("a"),
            course: part("b"),
            options: part("c"),
            directory: part("d"),
            decisions: part("e"),
        };
        let text = token.to_string();
        assert_eq!(PlanToken::parse(&text).ok(), Some(token));
        for wrong in ["", "x", &text[1..], &format!("{text}-{}", part("f")), &text.replace('-', "_")] {
            assert!(PlanToken::parse(wrong).is_err(), "{wrong}");
        }
    }
}
