//! Named sets of values that are always there.

use super::settings::{Mode, Setting, TABLE};
use super::{Lock, Preset, Values};
use crate::label::labels;

labels! {
    /// Presets that are always there.
    pub enum BuiltInPreset {
        /// The defaults of a fresh Moodle site for backups made on demand: no logs, no grade history.
        Moodle = "moodle",
        /// The defaults of a fresh Moodle site for automated backups.
        Automated = "automated",
        /// Everything that the course holds, with users as they are.
        Everything = "everything",
        /// No users and no user data; `users` is locked off.
        WithoutUsers = "without_users",
        /// Users with made-up names; `users` and `anonymize` are locked on.
        Anonymized = "anonymized",
    }
}

impl BuiltInPreset {
    /// Its values and locks.
    pub fn preset(self) -> Preset {
        let defaults = |mode| TABLE.iter().map(|row| (row.setting, row.default(mode))).collect();
        let locked = |locks: &[Lock]| {
            (locks.iter().map(|lock| (lock.setting, lock.value)).collect::<Values>(), locks.to_vec())
        };
        let (values, locks) = match self {
            Self::Moodle => (defaults(Mode::General), Vec::new()),
            Self::Automated => (defaults(Mode::Automated), Vec::new()),
            Self::Everything => {
                let is_less = |setting| matches!(setting, Setting::Anonymize | Setting::Imscc11);
                (TABLE.iter().map(|row| (row.setting, !is_less(row.setting))).collect(), Vec::new())
            }
            Self::WithoutUsers => locked(&[Lock { setting: Setting::Users, value: false }]),
            Self::Anonymized => locked(&[
                Lock { setting: Setting::Users, value: true },
                Lock { setting: Setting::Anonymize, value: true },
            ]),
        };
        Preset { name: self.as_str().to_owned(), values, locks }
    }
}
