//! Named sets of values for restores that are always there.

use super::settings::{Setting, TABLE};
use super::{Lock, Preset};
use crate::label::labels;

labels! {
    /// Presets that are always there.
    pub enum BuiltInPreset {
        /// The defaults of a fresh Moodle site: everything that the archive holds; the course keeps its configuration.
        Moodle = "moodle",
        /// Contents only: no users and no user data; `users` is locked off.
        WithoutUsers = "without_users",
    }
}

impl BuiltInPreset {
    /// Its values and locks.
    pub fn preset(self) -> Preset {
        let (values, locks) = match self {
            Self::Moodle => (TABLE.iter().map(|row| (row.setting, row.default)).collect(), Vec::new()),
            Self::WithoutUsers => {
                let lock = Lock { setting: Setting::Users, value: false };
                ([(lock.setting, lock.value)].into_iter().collect(), vec![lock])
            }
        };
        Preset { name: self.as_str().to_owned(), values, locks }
    }
}
