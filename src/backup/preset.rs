//! Values of settings, and named sets of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::settings::{Mode, Setting, TABLE};
use crate::label::labels;

/// Values of settings, each unset, on or off.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Values(BTreeMap<Setting, bool>);

impl Values {
    /// Value of a setting, if it is set.
    pub fn get(&self, setting: Setting) -> Option<bool> {
        self.0.get(&setting).copied()
    }

    /// Sets a setting, or unsets it.
    pub fn set(&mut self, setting: Setting, value: Option<bool>) {
        match value {
            Some(value) => self.0.insert(setting, value),
            None => self.0.remove(&setting),
        };
    }

    /// What is set, in Moodle's order.
    pub fn iter(&self) -> impl Iterator<Item = (Setting, bool)> + '_ {
        self.0.iter().map(|(setting, value)| (*setting, *value))
    }
}

impl FromIterator<(Setting, bool)> for Values {
    fn from_iter<I: IntoIterator<Item = (Setting, bool)>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

/// A value that callers cannot change. A setting that is locked on still goes off when one that it depends on is off:
/// a lock never brings in what another setting keeps out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// The setting.
    pub setting: Setting,
    /// Its value.
    pub value: bool,
}

/// A named set of values and locks. Unset settings keep the default of the backup's mode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preset {
    /// Its name.
    pub name: String,
    /// Values that stand in for a caller who does not ask.
    pub values: Values,
    /// Values that a caller who takes this preset cannot change.
    pub locks: Vec<Lock>,
}

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
