//! What an archive and a state of a course are made of: a tree of members.
//!
//! Pure values: this module knows neither containers nor storage.

mod path;
mod tree;

pub use path::{MemberPath, PathError};
pub use tree::{ContentRef, Encoding, Entry, Tree, TreeError, TreeRef};
