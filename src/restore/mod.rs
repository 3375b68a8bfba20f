//! Restores: what an archive is restored with, and the rules by which its parts find their place in a course.
//!
//! Pure: values in, values out; nothing here reads documents. Every rule names the place in Moodle that has it. Where
//! Moodle loses, doubles or misleads, `Compatibility::Strict` is ours and `Compatibility::Moodle` Moodle's to the letter.

mod course_choice;
mod dates;
mod effective;
pub mod groups;
mod names;
mod order;
pub mod precheck;
mod preset;
pub mod questions;
mod resolve;
pub mod roles;
pub mod sections;
mod settings;
mod target;
pub mod users;

#[cfg(test)]
mod tests;

pub use course_choice::{CourseChoices, CourseName, CourseStart, CourseValue};
pub use dates::{date_offset, moved};
pub use effective::{Effective, EffectiveSetting};
pub use names::{LONGEST_FULL_NAME, LONGEST_SHORT_NAME, UniqueNames, WantedNames, unique_names};
pub use order::{Category, Order};
pub use preset::BuiltInPreset;
pub use resolve::{Asked, Locks, resolve};
pub use settings::{Circumstance, Held, Row, Setting, TABLE};
pub use target::{EnrolmentWork, Enrolments, Target};

/// Where a value of a restore comes from.
pub type Source = crate::choice::Source<Setting>;
/// What forces a value of a restore.
pub type Cause = crate::choice::Cause<Setting>;
/// A value of a restore, and where it comes from.
pub type Decision = crate::choice::Decision<Setting>;
/// A section or an activity as a restore treats it.
pub type EffectiveItem = crate::choice::EffectiveItem<Setting>;
/// Values of a restore's switches.
pub type Values = crate::choice::Values<Setting>;
/// A restore's switch that callers cannot change.
pub type Lock = crate::choice::Lock<Setting>;
/// A named set of values and locks for restores.
pub type Preset = crate::choice::Preset<Setting>;
