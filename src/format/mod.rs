//! The format as data: what every document of a Moodle archive means, read from one description per plugin.
//!
//! Moodle's XML does not say which elements are user data, which numbers are ids and of what, or which texts name people.
//! The files below `plugins/` say so, in the notation that `docs/plugins.md` explains. [`Format`] is all of them together;
//! [`rewrite`] walks a document along its description. Nothing here knows a plugin by name.

mod codec;
mod condition;
mod description;
mod edit;
mod notation;
mod outcome;
mod read;
mod registry;
mod rewrite;
mod seen;
mod tables;
#[cfg(test)]
mod tests;
pub mod xml;

pub use condition::{Compatibility, Conditions, Switch};
pub use description::{
    Attribute, AttributeMeaning, Document, Element, FileRule, Kind, Meaning, Plugin, RowTest, Rule,
    RuleEffect, Selector, Tell, Told, Value,
};
pub use edit::{Edit, Place, Spot};
pub use notation::NotationError;
pub use outcome::{IdSet, Link, Outcome, Refs};
pub use read::{Step, read};
pub use registry::{Format, FormatError, Located};
pub use rewrite::{Keep, Purpose, Rewrite, RewriteError, moved};
pub use seen::LISTED;
