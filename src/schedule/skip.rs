//! Which courses have nothing to back up, by the rules of Moodle's automated backups.
//!
//! As in Moodle, whether anything changed is asked only when the last run came to a good end: a course whose backup failed
//! is tried again. Unlike in Moodle the default is to leave out what did not change, however old, and to take hidden
//! courses: what nobody sees is lost as easily.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::label::labels;

/// Which courses are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SkipRules {
    /// Hidden ones (Moodle: `backup_auto_skip_hidden`).
    pub hidden: bool,
    /// Those that did not change for so many days; 0: none (Moodle: `backup_auto_skip_modif_days`).
    pub unmodified_days: u32,
    /// Those that did not change since their last run began (Moodle: `backup_auto_skip_modif_prev`).
    pub unchanged: bool,
}

impl Default for SkipRules {
    fn default() -> Self {
        Self { hidden: false, unmodified_days: 0, unchanged: true }
    }
}

labels! {
    /// How a run ended.
    pub enum RunOutcome {
        /// Well.
        Good = "GOOD",
        /// Badly, or not at all.
        Failed = "FAILED",
        /// There was nothing to do.
        Skipped = "SKIPPED",
    }
}

/// The last run for a course.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastRun {
    /// What it saw was the course at that time.
    pub start: Timestamp,
    /// How it ended.
    pub outcome: RunOutcome,
}

/// What is known of a course.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Whether it is hidden on its platform.
    pub hidden: bool,
    /// When it last changed, as far as anybody told.
    pub modified: Timestamp,
    /// The last run for it.
    pub last: Option<LastRun>,
}

labels! {
    /// Why a course is left out.
    pub enum Skip {
        /// It is hidden.
        Hidden = "HIDDEN",
        /// It did not change for too long.
        Unmodified = "UNMODIFIED",
        /// It did not change since its last run.
        Unchanged = "UNCHANGED",
    }
}

/// Why a course is left out; `None`: it is backed up.
pub fn skip(rules: &SkipRules, facts: &Facts, now: Timestamp) -> Option<Skip> {
    if rules.hidden && facts.hidden {
        return Some(Skip::Hidden);
    }
    let last = facts.last.filter(|last| last.outcome != RunOutcome::Failed)?;
    let days = Duration::from_secs(u64::from(rules.unmodified_days) * 86_400);
    if rules.unmodified_days > 0 && facts.modified < now.minus(days) {
        return Some(Skip::Unmodified);
    }
    (rules.unchanged && facts.modified < last.start).then_some(Skip::Unchanged)
}
