//! Backups: what is made of a course, and what the result is called.
//!
//! Pure: values in, values out; time and place are arguments.

mod file_name;

pub use file_name::{Contents, Language, file_name};
