//! Backups: what is made of a course, with which settings, and what the result is called.
//!
//! Pure: values in, values out; time and place are arguments.

mod effective;
mod file_name;
mod order;
mod preset;
mod resolve;
mod settings;

#[cfg(test)]
mod tests;

pub use crate::choice::{Contradiction, Contradictions, Extent, ItemKind, Scope, Selection};
pub use crate::format::Compatibility;
pub use effective::{Effective, EffectiveSetting};
pub use file_name::{Contents, Language, Subject, file_name};
pub use order::Order;
pub use preset::BuiltInPreset;
pub use resolve::{Asked, QUESTION_MODULES, resolve};
pub use settings::{Mode, Row, Setting, TABLE};

/// Where a value of a backup comes from.
pub type Source = crate::choice::Source<Setting>;
/// What forces a value of a backup.
pub type Cause = crate::choice::Cause<Setting>;
/// A value of a backup, and where it comes from.
pub type Decision = crate::choice::Decision<Setting>;
/// A section or an activity as a backup treats it.
pub type EffectiveItem = crate::choice::EffectiveItem<Setting>;
/// Values of a backup's settings.
pub type Values = crate::choice::Values<Setting>;
/// A backup's setting that callers cannot change.
pub type Lock = crate::choice::Lock<Setting>;
/// A named set of values and locks for backups.
pub type Preset = crate::choice::Preset<Setting>;
