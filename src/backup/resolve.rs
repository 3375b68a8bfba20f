//! From what was asked to what will be: the root settings.
//!
//! Pure. One rule makes errors: what a caller asked for by name is what happens, or it is a contradiction that says why
//! not; only what the course's state does not hold is told by its source (NOT_HELD) and no error. Whatever was not asked
//! for by name gives way silently, and its source says to what.

use serde::{Deserialize, Serialize};

use super::contradiction::{Contradiction, Contradictions};
use super::effective::{Cause, Decision, Effective, EffectiveSetting, Source};
use super::item::{Inventory, Scope};
use super::preset::{Lock, Preset, Values};
use super::resolve_items::resolve_items;
use super::selection::Selection;
use super::settings::{Mode, Row, Setting, TABLE};
use crate::moodle::Manifest;

/// Modules of Moodle's core that use the question bank: they are out when it is (`FEATURE_USES_QUESTIONS`).
pub const QUESTION_MODULES: &[&str] = &["quiz"];

/// What a caller asks of a backup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Asked {
    /// What the backup is for.
    pub mode: Mode,
    /// What it is of.
    pub scope: Scope,
    /// Root settings that the caller sets.
    pub settings: Values,
    /// What stands in for settings that the caller does not set.
    pub preset: Option<Preset>,
    /// Sections and activities.
    pub selection: Selection,
}

/// What a backup of a course's state `base` is made with, if this is asked for under the locks of a site.
///
/// `question_modules` names the modules that use the question bank, see [`QUESTION_MODULES`]. The first of several locks
/// of one setting counts.
///
/// # Errors
///
/// All contradictions at once.
pub fn resolve(
    asked: &Asked,
    locks: &[Lock],
    base: &Manifest,
    question_modules: &[&str],
) -> Result<Effective, Contradictions> {
    let mut found = Contradictions::default();
    check_preset(asked, locks, &mut found);
    let settings = resolve_settings(asked, locks, base, &mut found);
    let items = match Inventory::of(base, asked.scope) {
        Ok(inventory) => resolve_items(asked, &settings, &inventory, question_modules, &mut found),
        Err(message) => {
            found.add(Contradiction { field: "scope".to_owned(), message });
            Vec::new()
        }
    };
    let settings =
        settings.0.into_iter().map(|(setting, decision)| EffectiveSetting { setting, decision }).collect();
    found.none_or(Effective { mode: asked.mode, scope: asked.scope, settings, items })
}

/// The decisions on root settings, in Moodle's order; those that do not exist are not in it.
pub(super) struct Decided(Vec<(Setting, Decision)>);

impl Decided {
    /// The decision on a setting, unless it does not exist.
    pub fn get(&self, setting: Setting) -> Option<&Decision> {
        self.0.iter().find(|(decided, _)| *decided == setting).map(|(_, decision)| decision)
    }

    /// The setting as something that keeps others out when it is off.
    pub fn parent(&self, setting: Setting) -> Option<Blocker<'_>> {
        let decision = self.get(setting)?;
        Some(Blocker { cause: Cause::Setting(setting), decision, when: false })
    }
}

/// Something that keeps others out when it has a value.
pub(super) struct Blocker<'d> {
    pub cause: Cause,
    pub decision: &'d Decision,
    pub when: bool,
}

impl Blocker<'_> {
    fn blocks(&self) -> bool {
        self.decision.value == self.when
    }
}

/// What becomes of a wanted value. Off stays off; on goes off when something keeps it out, or is not held.
///
/// The course's lack counts as a reason only where nothing that was chosen keeps the thing out already.
pub(super) fn settle(wanted: Decision, blockers: &[Blocker<'_>], is_held: bool) -> Decision {
    if !wanted.value {
        return wanted;
    }
    let mut blocking = blockers.iter().filter(|blocker| blocker.blocks()).peekable();
    let is_kept_out = blocking.peek().is_some();
    match blocking.find(|blocker| blocker.decision.source != Source::NotHeld) {
        Some(blocker) => Decision::new(false, Source::Forced(blocker.cause.clone())),
        None if is_kept_out || !is_held => Decision::new(false, Source::NotHeld),
        None => wanted,
    }
}

/// A preset that locks what the site locks otherwise cannot be taken.
fn check_preset(asked: &Asked, locks: &[Lock], found: &mut Contradictions) {
    let Some(preset) = &asked.preset else { return };
    for lock in &preset.locks {
        let other = locked(locks, lock.setting).filter(|value| *value != lock.value);
        if other.is_some() {
            let (ours, theirs) = if lock.value { ("on", "off") } else { ("off", "on") };
            let message =
                format!("the preset {} locks {} {ours}, the site {theirs}", preset.name, lock.setting);
            found.add(Contradiction { field: "settings.preset".to_owned(), message });
        }
    }
}

fn locked(locks: &[Lock], setting: Setting) -> Option<bool> {
    locks.iter().find(|lock| lock.setting == setting).map(|lock| lock.value)
}

fn resolve_settings(asked: &Asked, locks: &[Lock], base: &Manifest, found: &mut Contradictions) -> Decided {
    let mut decided = Decided(Vec::with_capacity(TABLE.len()));
    for row in &TABLE {
        let (setting, wish) = (row.setting, asked.settings.get(row.setting));
        if !row.exists(asked.mode, asked.scope == Scope::Course) {
            if wish.is_some_and(|value| value != row.value_when_absent()) {
                found.add(absent(row, asked.mode));
            }
            continue;
        }
        let decision = decide(row, asked, locks, base, &decided);
        if wish.is_some_and(|value| value != decision.value) && decision.source != Source::NotHeld {
            let why = why(&decision, &decided);
            let value = if decision.value { "off" } else { "on" };
            let message = format!("{setting} cannot be {value}: {why}");
            found.add(Contradiction { field: format!("settings.{setting}"), message });
        }
        decided.0.push((setting, decision));
    }
    decided
}

fn absent(row: &Row, mode: Mode) -> Contradiction {
    let setting = row.setting;
    let rule = if row.value_when_absent() {
        "can be off in imports only"
    } else {
        "can be on only for a whole course in mode general"
    };
    let message = format!("{setting} {rule}; this is mode {}", mode.as_str());
    Contradiction { field: format!("settings.{setting}"), message }
}

fn decide(row: &Row, asked: &Asked, locks: &[Lock], base: &Manifest, decided: &Decided) -> Decision {
    let wanted = wanted(row, asked, locks);
    if row.setting == Setting::Users && wanted.value && !asked.mode.admits_users() {
        return Decision::new(false, Source::Forced(Cause::Mode(asked.mode)));
    }
    let parents = row.parents.iter().filter_map(|parent| decided.parent(*parent));
    let conflicts =
        row.conflicts.iter().filter_map(|other| Some(Blocker { when: true, ..decided.parent(*other)? }));
    let blockers: Vec<Blocker<'_>> = conflicts.chain(parents).collect();
    if row.setting == Setting::Anonymize {
        return anonymize(wanted, &blockers, base);
    }
    settle(wanted, &blockers, is_held(base, row))
}

/// Anonymising is the one setting that takes away when it is on: names that the state has lost stay lost.
fn anonymize(wanted: Decision, blockers: &[Blocker<'_>], base: &Manifest) -> Decision {
    let has_users = !blockers.iter().any(Blocker::blocks);
    if has_users && base.is_anonymized() && !wanted.value {
        return Decision::new(true, Source::NotHeld);
    }
    settle(wanted, blockers, true)
}

/// The value before anything else has a say: lock, request, preset, default.
fn wanted(row: &Row, asked: &Asked, locks: &[Lock]) -> Decision {
    let setting = row.setting;
    let preset = asked.preset.as_ref();
    let lock = locked(locks, setting).or_else(|| locked(&preset?.locks, setting));
    if let Some(value) = lock {
        return Decision::new(value, Source::Lock);
    }
    if let Some(value) = asked.settings.get(setting) {
        return Decision::new(value, Source::Asked);
    }
    match preset.and_then(|preset| preset.values.get(setting)) {
        Some(value) => Decision::new(value, Source::Preset),
        None => Decision::new(row.default(asked.mode), Source::Default),
    }
}

/// Whether a state holds what a setting stands for, by its own settings.
fn is_held(base: &Manifest, row: &Row) -> bool {
    let told = base.root_setting(row.setting.as_str()).map_or(row.held_when_untold, |value| value == "1");
    match row.setting {
        // Forms of the result, not contents of the state.
        Setting::Imscc11 | Setting::Anonymize | Setting::Permissions => true,
        // Modes 20, 40 and 80 leave the contents out although the setting is on (`backup_controller`).
        Setting::Files => told && base.includes_files,
        _ => told,
    }
}

/// Why a decision is not what was asked, with the state of what forces it.
fn why(decision: &Decision, decided: &Decided) -> String {
    match &decision.source {
        Source::Forced(Cause::Mode(mode)) => format!("a backup in mode {} holds no users", mode.as_str()),
        Source::Forced(Cause::Setting(parent)) => {
            let parent_is = decided.get(*parent).map(Decision::sentence).unwrap_or_default();
            format!("{parent} is {parent_is}")
        }
        _ => format!("it is {}", decision.sentence()),
    }
}
