//! Whose turn it is: one due time after the other, with what was missed.

use std::time::Duration;

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::window::{Window, place};
use crate::clock::Timestamp;
use crate::label::labels;

labels! {
    /// What happens when the run before has not ended.
    pub enum Overlap {
        /// This one is left out.
        Skip = "SKIP",
        /// This one waits for it.
        Wait = "WAIT",
    }
}

/// When something is done by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Schedule {
    /// When it may begin.
    pub window: Window,
    /// What happens when the run before has not ended.
    pub overlap: Overlap,
    /// A turn that was missed is made up for until so many minutes after it was due; at most a week. Within a window
    /// nothing is missed. 0: it is not made up for.
    pub catch_up_minutes: u32,
}

/// Most minutes for which a missed turn is made up for: a week.
const MOST_CATCH_UP: u32 = 7 * 24 * 60;

impl Default for Schedule {
    /// Every night from 1 to 5; a missed night is made up for within 12 hours.
    fn default() -> Self {
        Self { window: Window::default(), overlap: Overlap::Skip, catch_up_minutes: 720 }
    }
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Not yet; at that time.
    Later {
        /// The next due time.
        next: Timestamp,
    },
    /// Now.
    Now {
        /// It was due then.
        due: Timestamp,
        /// The due time after this one.
        next: Timestamp,
    },
    /// It was due, and is left out: too late, or the run before has not ended.
    LeftOut {
        /// It was due then.
        due: Timestamp,
        /// The due time after this one.
        next: Timestamp,
    },
    /// It was due, and waits for the run before.
    Waits {
        /// It is due since then.
        due: Timestamp,
    },
}

impl Schedule {
    /// What is wrong with it: field and reason.
    pub fn faults(&self) -> Vec<(&'static str, &'static str)> {
        let mut faults = self.window.faults();
        if self.catch_up_minutes > MOST_CATCH_UP {
            faults.push(("catch_up_minutes", "must be at most 10080, a week"));
        }
        faults
    }

    /// The first due time after `after`. `seed` gives the place in the window.
    pub fn next(&self, zone: Tz, seed: &str, after: Timestamp) -> Option<Timestamp> {
        self.window.first(zone, after, |span| place(seed, span))
    }
}

/// Whose turn it is, where the due time was set to `due` (`None`: never). However long the service was away, what was
/// missed is one turn: the next due time is always after `now`.
pub fn turn(
    schedule: &Schedule,
    zone: Tz,
    seed: &str,
    due: Option<Timestamp>,
    now: Timestamp,
    running: bool,
) -> Option<Turn> {
    let next = schedule.next(zone, seed, now)?;
    let Some(due) = due else { return Some(Turn::Later { next }) };
    if due > now {
        // The window may have been moved since.
        return Some(Turn::Later { next: due });
    }
    let catch_up = Duration::from_secs(u64::from(schedule.catch_up_minutes.min(MOST_CATCH_UP)) * 60);
    // Of the turns that were missed the last one counts.
    let last = last_due(schedule, zone, seed, due, now);
    let window_is_open = schedule.window.first(zone, last, |span| span.end).is_some_and(|end| now < end);
    let may_begin = window_is_open || now < last.plus(catch_up);
    Some(match (may_begin, running, schedule.overlap) {
        (true, false, _) => Turn::Now { due: last, next },
        (true, true, Overlap::Wait) => Turn::Waits { due: last },
        (true, true, Overlap::Skip) | (false, ..) => Turn::LeftOut { due: last, next },
    })
}

/// The newest due time that is not after `now`, at least `due`. Looks back two weeks at most: any window came since.
fn last_due(schedule: &Schedule, zone: Tz, seed: &str, due: Timestamp, now: Timestamp) -> Timestamp {
    let mut last = due.max(now.minus(Duration::from_secs(15 * 86_400)));
    while let Some(next) = schedule.next(zone, seed, last).filter(|next| *next <= now) {
        last = next;
    }
    last
}
