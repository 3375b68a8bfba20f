//! Values of settings, named sets of them, and what is wanted before anything else has a say.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::contradiction::{Contradiction, Contradictions};
use super::decision::{Decision, Root, Source, on};

/// Values of settings, each unset, on or off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent, bound = "")]
pub struct Values<S: Root>(BTreeMap<S, bool>);

impl<S: Root> Default for Values<S> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<S: Root> Values<S> {
    /// Value of a setting, if it is set.
    pub fn get(&self, setting: S) -> Option<bool> {
        self.0.get(&setting).copied()
    }

    /// Sets a setting, or unsets it.
    pub fn set(&mut self, setting: S, value: Option<bool>) {
        match value {
            Some(value) => self.0.insert(setting, value),
            None => self.0.remove(&setting),
        };
    }

    /// What is set, in Moodle's order.
    pub fn iter(&self) -> impl Iterator<Item = (S, bool)> + '_ {
        self.0.iter().map(|(setting, value)| (*setting, *value))
    }
}

impl<S: Root> FromIterator<(S, bool)> for Values<S> {
    fn from_iter<I: IntoIterator<Item = (S, bool)>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

/// A value that callers cannot change. A setting that is locked on still goes off when one that it depends on is off:
/// a lock never brings in what another setting keeps out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Lock<S: Root> {
    /// The setting.
    pub setting: S,
    /// Its value.
    pub value: bool,
}

/// A named set of values and locks. Unset settings keep their default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Preset<S: Root> {
    /// Its name.
    pub name: String,
    /// Values that stand in for a caller who does not ask.
    pub values: Values<S>,
    /// Values that a caller who takes this preset cannot change.
    pub locks: Vec<Lock<S>>,
}

/// The value to which a setting is locked; the first lock counts.
pub(crate) fn locked<S: Root>(locks: &[Lock<S>], setting: S) -> Option<bool> {
    locks.iter().find(|lock| lock.setting == setting).map(|lock| lock.value)
}

/// A preset that locks what the site locks otherwise cannot be taken.
pub(crate) fn check_preset<S: Root>(
    preset: Option<&Preset<S>>,
    locks: &[Lock<S>],
    found: &mut Contradictions,
) {
    let Some(preset) = preset else { return };
    for lock in &preset.locks {
        let other = locked(locks, lock.setting).filter(|value| *value != lock.value);
        if other.is_some() {
            let message = format!(
                "the preset {} locks {} {}, the site {}",
                preset.name,
                lock.setting,
                on(lock.value),
                on(!lock.value)
            );
            found.add(Contradiction { field: "settings.preset".to_owned(), message });
        }
    }
}

/// The value before anything else has a say: lock, request, preset, default.
pub(crate) fn wanted<S: Root>(
    setting: S,
    asked: &Values<S>,
    preset: Option<&Preset<S>>,
    locks: &[Lock<S>],
    default: bool,
) -> Decision<S> {
    let lock = locked(locks, setting).or_else(|| locked(&preset?.locks, setting));
    if let Some(value) = lock {
        return Decision::new(value, Source::Lock);
    }
    if let Some(value) = asked.get(setting) {
        return Decision::new(value, Source::Asked);
    }
    match preset.and_then(|preset| preset.values.get(setting)) {
        Some(value) => Decision::new(value, Source::Preset),
        None => Decision::new(default, Source::Default),
    }
}
