//! What becomes of every id of an archive that is restored: what it is the same as, what is created, what is left out.

mod contents;
mod digest;
mod document;
mod rows;
mod table;

pub use contents::Contents;
pub use document::MatchError;
