//! From what was asked to what will be: the root settings.
//!
//! Pure. One rule makes errors: what a caller asked for by name is what happens, or it is a contradiction that says why
//! not; only what the course's state does not hold is told by its source (NOT_HELD) and no error. Whatever was not asked
//! for by name gives way silently, and its source says to what.

use serde::{Deserialize, Serialize};

use super::effective::{Effective, EffectiveSetting};
use super::settings::{Mode, Row, Setting, TABLE};
use super::{Cause, Decision, EffectiveItem, Lock, Preset, Source, Values};
use crate::choice::{
    Blocker, Contradiction, Contradictions, Decided, Inventory, Roots, Scope, Selection, check_preset,
    resolve_items, settle, wanted,
};
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
    check_preset(asked.preset.as_ref(), locks, &mut found);
    let settings = resolve_settings(asked, locks, base, &mut found);
    let items = match Inventory::of(base, asked.scope) {
        Ok(inventory) => {
            let roots = Roots {
                users: Setting::Users,
                activities: Setting::Activities,
                questions: Some((Setting::QuestionBank, question_modules)),
            };
            let items = resolve_items(&asked.selection, &settings, roots, &inventory, &mut found);
            check_top(asked.scope, &items, &mut found);
            items
        }
        Err(message) => {
            found.add(Contradiction { field: "item".to_owned(), message });
            Vec::new()
        }
    };
    let settings =
        settings.0.into_iter().map(|(setting, decision)| EffectiveSetting { setting, decision }).collect();
    found.none_or(Effective { mode: asked.mode, scope: asked.scope, settings, items })
}

/// A backup of a part needs the part.
fn check_top(scope: Scope, items: &[EffectiveItem], found: &mut Contradictions) {
    let top = items.first().filter(|top| scope != Scope::Course && !top.included.value);
    if let Some(top) = top {
        let (name, state) = (top.included_name(), top.included.sentence());
        let message = format!("nothing would be in the backup: {name} is {state}");
        found.add(Contradiction { field: "item".to_owned(), message });
    }
}

fn resolve_settings(
    asked: &Asked,
    locks: &[Lock],
    base: &Manifest,
    found: &mut Contradictions,
) -> Decided<Setting> {
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

fn decide(row: &Row, asked: &Asked, locks: &[Lock], base: &Manifest, decided: &Decided<Setting>) -> Decision {
    let preset = asked.preset.as_ref();
    let wanted = wanted(row.setting, &asked.settings, preset, locks, row.default(asked.mode));
    if row.setting == Setting::Users && wanted.value && !asked.mode.admits_users() {
        return Decision::new(false, Source::Forced(Cause::Mode(asked.mode)));
    }
    let parents = row.parents.iter().filter_map(|parent| decided.parent(*parent));
    let conflicts =
        row.conflicts.iter().filter_map(|other| Some(Blocker { when: true, ..decided.parent(*other)? }));
    let blockers: Vec<Blocker<'_, Setting>> = conflicts.chain(parents).collect();
    if row.setting == Setting::Anonymize {
        return anonymize(wanted, &blockers, base);
    }
    settle(wanted, &blockers, is_held(base, row))
}

/// Anonymising is the one setting that takes away when it is on: names that the state has lost stay lost.
fn anonymize(wanted: Decision, blockers: &[Blocker<'_, Setting>], base: &Manifest) -> Decision {
    let has_users = !blockers.iter().any(Blocker::blocks);
    if has_users && base.is_anonymized() && !wanted.value {
        return Decision::new(true, Source::NotHeld);
    }
    settle(wanted, blockers, true)
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
fn why(decision: &Decision, decided: &Decided<Setting>) -> String {
    match &decision.source {
        Source::Forced(Cause::Mode(mode)) => format!("a backup in mode {} holds no users", mode.as_str()),
        Source::Forced(Cause::Setting(parent)) => {
            let parent_is = decided.get(*parent).map(Decision::sentence).unwrap_or_default();
            format!("{parent} is {parent_is}")
        }
        _ => format!("it is {}", decision.sentence()),
    }
}
