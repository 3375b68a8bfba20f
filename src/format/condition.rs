//! What a rule of a description depends on: the settings of a backup, as they take effect in one place of it.

use std::fmt;

use crate::label::labels;

labels! {
    /// A setting that rules name. `userinfo` is that of the activity; outside of activities it equals `users`.
    pub enum Switch {
        /// User data of the activity at hand.
        Userinfo = "userinfo",
        /// Users of the course.
        Users = "users",
        /// Role assignments.
        RoleAssignments = "role_assignments",
        /// Completion of users.
        Userscompletion = "userscompletion",
        /// Grade histories.
        GradeHistories = "grade_histories",
        /// Groups and groupings.
        Groups = "groups",
        /// Question bank.
        Questionbank = "questionbank",
        /// Logs.
        Logs = "logs",
        /// Comments.
        Comments = "comments",
        /// Badges.
        Badges = "badges",
        /// Calendar events.
        Calendarevents = "calendarevents",
        /// Filters.
        Filters = "filters",
        /// Competencies.
        Competencies = "competencies",
        /// States of xAPI.
        Xapistate = "xapistate",
        /// Content bank.
        Contentbankcontent = "contentbankcontent",
        /// Blocks.
        Blocks = "blocks",
        /// Custom fields.
        Customfield = "customfield",
        /// Files of the course from before Moodle 2.
        Legacyfiles = "legacyfiles",
        /// People keep their names.
        NotAnonymized = "not_anonymized",
        /// Keys, passwords and shared secrets stay in.
        Secrets = "secrets",
    }
}

/// A set of switches.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Conditions(u32);

impl Conditions {
    /// No switch.
    pub const NONE: Self = Self(0);

    /// All switches.
    pub fn all() -> Self {
        Switch::ALL.iter().copied().collect()
    }

    /// With or without one switch.
    #[must_use]
    pub const fn set(self, switch: Switch, on: bool) -> Self {
        let bit = 1 << switch as u32;
        if on { Self(self.0 | bit) } else { Self(self.0 & !bit) }
    }

    /// Whether it holds that switch.
    pub const fn has(self, switch: Switch) -> bool {
        self.0 & (1 << switch as u32) != 0
    }

    /// Whether it holds all the switches of another set.
    pub const fn holds(self, needed: Self) -> bool {
        needed.0 & !self.0 == 0
    }
}

impl FromIterator<Switch> for Conditions {
    fn from_iter<I: IntoIterator<Item = Switch>>(switches: I) -> Self {
        switches.into_iter().fold(Self::NONE, |set, switch| set.set(switch, true))
    }
}

impl fmt::Debug for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(Switch::ALL.iter().filter(|switch| self.has(**switch))).finish()
    }
}

/// Whose rules a derived archive follows where Moodle leaks people or loses contents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compatibility {
    /// Ours: nobody leaks, nothing is lost needlessly.
    #[default]
    Strict,
    /// Moodle's, to the letter.
    Moodle,
}
