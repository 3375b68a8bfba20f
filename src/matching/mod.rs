//! What becomes of every id of an archive that is restored: what it is the same as, what is created, what is left out.
//!
//! [`Contents`] are what documents say, of the archive and of the course that it goes to; [`Contents::keys`] is what to ask
//! the user directory for. [`decide`] applies the rules of [`restore`](crate::restore) to both and answers with a
//! [`Plan`]: a map of ids for [`renumber`](crate::renumber), what is to be left out, counts, conflicts and findings.
//!
//! Two things of an archive never become one thing of the course, unless someone says so of two users, or Moodle's rules
//! are asked for. Nothing depends on the order of documents or rows. This module knows neither storage nor clock.

mod alike;
mod banks;
mod blocks;
mod contents;
mod course;
mod deciding;
mod digest;
mod document;
mod files;
mod findings;
mod followers;
mod people;
mod plan;
mod rows;
mod scan;
mod table;
mod users;

#[cfg(test)]
mod tests;

pub use contents::Contents;
pub use deciding::{DecideError, decide};
pub use document::MatchError;
pub use findings::dangling;
pub use plan::{Count, CourseIds, Existing, Incoming, Plan, Request, Rights};
pub use scan::Scan;
pub use users::{NewAccount, Remedy, UserConflict, constants};
