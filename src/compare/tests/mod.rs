//! The comparison on members in memory.

mod align;
mod closed_list;
mod documents;
mod mutations;
mod tree;

use super::{Difference, Kind, Level, Options, Report, compare};
pub(super) use crate::course::in_memory::{InMemory, fixture, path_of};

pub(super) fn at(level: Level) -> Options {
    Options { level, ..Options::default() }
}

/// Compares two documents of one path.
pub(super) fn documents(path: &str, a: &str, b: &str, options: &Options) -> Report {
    let (one, other) = (InMemory::of(&[(path, a)]), InMemory::of(&[(path, b)]));
    compare(&one, &other, options).expect("memory can be read")
}

/// Differences as kind and path.
pub(super) fn told(report: &Report) -> Vec<(Kind, &str)> {
    report.differences.iter().map(|each: &Difference| (each.kind, each.path.as_str())).collect()
}
