//! When the service does things by itself: nightly windows in a site's time zone, who is when in a window, what becomes of
//! nights that were missed, and which courses have nothing to back up.
//!
//! Invariants, each held by a property test:
//! - a night has at most one window, also where clocks are changed, and no window is empty;
//! - each course has its place in the window, the same every night, and never at or after the window's end;
//! - due times only move forward, and after a downtime of any length at most one run makes up for what was missed;
//! - a course whose last backup failed is never skipped because nothing changed.
//!
//! Pure; it must not know databases, jobs or who runs them.

mod skip;
#[cfg(test)]
mod tests;
mod turn;
mod window;

pub use skip::{Facts, LastRun, RunOutcome, Skip, SkipRules, skip};
pub use turn::{Overlap, Schedule, Turn, turn};
pub use window::{Span, Weekdays, Window, place};
