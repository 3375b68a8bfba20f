//! What a caller asks for, and what becomes of it: the part that backups and restores have in common.
//!
//! Settings are on or off, asked for or not, and depend on one another; sections and activities are chosen by rules. One
//! rule makes errors: what was asked for by name is what happens, or it is a contradiction that says why not; only what
//! the source does not hold is told by its source (NOT_HELD). What was not asked for gives way, and says to what.
//! Which settings there are, and what a default is, the users of this module know.

mod contradiction;
mod decision;
mod item;
mod items;
mod selection;
mod values;

pub use contradiction::{Contradiction, Contradictions};
pub(crate) use decision::{Blocker, Decided, on, settle};
pub use decision::{Cause, Decision, Root, Source};
pub(crate) use item::Inventory;
pub use item::{ItemKind, Scope};
pub use items::EffectiveItem;
pub(crate) use items::{Roots, resolve_items};
pub use selection::{Extent, Selection};
pub use values::{Lock, Preset, Values};
pub(crate) use values::{check_preset, wanted};
