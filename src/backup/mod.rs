//! Backups: what is made of a course, with which settings, and what the result is called.
//!
//! Pure: values in, values out; time and place are arguments.

mod contradiction;
mod effective;
mod file_name;
mod item;
mod order;
mod preset;
mod resolve;
mod resolve_items;
mod selection;
mod settings;

#[cfg(test)]
mod tests;

pub use crate::format::Compatibility;
pub use contradiction::{Contradiction, Contradictions};
pub use effective::{Cause, Decision, Effective, EffectiveItem, EffectiveSetting, Source};
pub use file_name::{Contents, Language, file_name};
pub use item::{ItemKind, Scope};
pub use order::Order;
pub use preset::{BuiltInPreset, Lock, Preset, Values};
pub use resolve::{Asked, QUESTION_MODULES, resolve};
pub use selection::{Extent, Selection};
pub use settings::{Mode, Row, Setting, TABLE};
