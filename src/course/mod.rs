//! What an archive and a state of a course are made of: a tree of members.
//!
//! Pure values: this module knows neither containers nor storage.

#[cfg(test)]
pub(crate) mod in_memory;
mod members;
mod path;
mod tree;

pub use members::{Member, Members};
pub use path::{MemberPath, PathError};
pub use tree::{ContentKind, ContentRef, Encoding, Entry, Tree, TreeError, TreeRef};
