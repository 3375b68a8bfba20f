//! IMS Common Cartridge: courses for other platforms, and of other platforms.
//!
//! [`export`] makes a cartridge of version 1.1 of an archive in Moodle's own format, and names everything that is lost
//! on the way ([`Report`]). What is mapped on what, and why, is in `docs/common-cartridge.md`.
//!
//! Pure: members come from [`Members`](crate::course::Members) and go to a [`Sink`]. One activity or one question is in
//! memory at a time, and a list of the files.

mod activity;
mod bank;
mod course;
mod error;
mod export;
mod files;
mod loss;
mod manifest;
mod node;
mod qti;
mod question;
mod sink;
#[cfg(test)]
mod tests;
mod text;
mod whole;

pub use error::ImsccError;
pub use export::{REPORT_PATH, export};
pub use loss::{Loss, Lost, Outcome, Report};
pub use sink::Sink;
