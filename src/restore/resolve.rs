//! From what was asked of a restore to what it will be.
//!
//! Pure. The rule about errors is that of backups, see [`crate::choice`].

use serde::{Deserialize, Serialize};

use super::course_choice::{self, CourseChoices, Surroundings};
use super::effective::{Effective, EffectiveSetting};
use super::settings::{Circumstance, Held, Row, Setting, TABLE};
use super::target::Target;
use super::{Decision, Lock, Preset, Values};
use crate::backup::{Compatibility, Mode};
use crate::choice::{
    Blocker, Cause, Contradiction, Contradictions, Decided, Inventory, Roots, Scope, Selection, Source,
    check_preset, on, resolve_items, settle, wanted,
};
use crate::moodle::{ArchiveType, Manifest};

/// What a caller asks of a restore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Asked {
    /// Where it goes.
    pub target: Target,
    /// What the restore is for: general, import or copy, say. Not the mode in which the archive was made.
    pub mode: Mode,
    /// Whose rules are followed.
    pub compatibility: Compatibility,
    /// Switches that the caller sets.
    pub settings: Values,
    /// Choices that are no switches.
    pub choices: CourseChoices,
    /// What stands in for switches that the caller does not set.
    pub preset: Option<Preset>,
    /// Sections and activities.
    pub selection: Selection,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            target: Target::NewCourse,
            mode: Mode::default(),
            compatibility: Compatibility::default(),
            settings: Values::default(),
            choices: CourseChoices::default(),
            preset: None,
            selection: Selection::default(),
        }
    }
}

/// What callers cannot change: the site's policy, and what their permissions leave them. A caller without
/// `moodle/restore:userinfo` has `users` locked off; without `moodle/restore:rolldates`, `moodle/course:changefullname`,
/// `moodle/course:changeshortname` or `moodle/course:enrolconfig` the start, the names or the enrolments are those of
/// the course; without `moodle/course:update` `overwrite_conf` is locked off (`restore_check::check_security`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Locks {
    /// Switches.
    pub settings: Vec<Lock>,
    /// Other choices.
    pub choices: CourseChoices,
}

/// What a restore of an archive is made with, if this is asked for under these locks.
///
/// # Errors
///
/// All contradictions at once.
pub fn resolve(asked: &Asked, locks: &Locks, archive: &Manifest) -> Result<Effective, Contradictions> {
    let mut found = Contradictions::default();
    check_preset(asked.preset.as_ref(), &locks.settings, &mut found);
    let archive_type = archive.archive_type;
    if !asked.target.admits(archive_type) {
        found.add(Contradiction {
            field: "target".to_owned(),
            message: "an archive of a section or an activity can only be merged into a course".to_owned(),
        });
    }
    let settings = resolve_settings(asked, locks, archive, &mut found);
    let around = Surroundings {
        target: asked.target,
        archive_type,
        compatibility: asked.compatibility,
        holds_users: archive.includes_users(),
        overwrite: settings.get(Setting::OverwriteConf),
    };
    let (choices, locked) = (&asked.choices, &locks.choices);
    let enrolments = course_choice::enrolments(choices, locked, around, &mut found);
    let name = |setting, asked, lock, found: &mut _| course_choice::name(setting, asked, lock, around, found);
    let full_name =
        name("course_fullname", choices.full_name.as_ref(), locked.full_name.as_ref(), &mut found);
    let short_name =
        name("course_shortname", choices.short_name.as_ref(), locked.short_name.as_ref(), &mut found);
    let start = course_choice::start(choices.start.as_ref(), locked.start.as_ref(), around, &mut found);
    let items = match inventory(archive) {
        Ok(inventory) => {
            let roots = Roots { users: Setting::Users, activities: Setting::Activities, questions: None };
            resolve_items(&asked.selection, &settings, roots, &inventory, &mut found)
        }
        Err(message) => {
            found.add(Contradiction { field: "selection".to_owned(), message });
            Vec::new()
        }
    };
    let settings =
        settings.0.into_iter().map(|(setting, decision)| EffectiveSetting { setting, decision }).collect();
    found.none_or(Effective {
        target: asked.target,
        mode: asked.mode,
        archive_type,
        compatibility: asked.compatibility,
        settings,
        enrolments,
        full_name,
        short_name,
        start,
        items,
    })
}

fn inventory(archive: &Manifest) -> Result<Inventory<'_>, String> {
    let scope = Scope::whole(archive).ok_or("the archive holds neither a section nor an activity")?;
    Inventory::of(archive, scope)
}

fn resolve_settings(
    asked: &Asked,
    locks: &Locks,
    archive: &Manifest,
    found: &mut Contradictions,
) -> Decided<Setting> {
    let mut decided = Decided(Vec::with_capacity(TABLE.len()));
    for row in &TABLE {
        let (setting, wish) = (row.setting, asked.settings.get(row.setting));
        let field = || format!("settings.{setting}");
        if !row.exists(archive.archive_type) {
            if wish == Some(true) {
                let message = format!("{setting} can be on with a whole course only");
                found.add(Contradiction { field: field(), message });
            }
            continue;
        }
        let decision = decide(row, asked, locks, archive, &decided);
        if wish.is_some_and(|value| value != decision.value) && decision.source != Source::NotHeld {
            let message =
                format!("{setting} cannot be {}: {}", on(!decision.value), why(&decision, &decided));
            found.add(Contradiction { field: field(), message });
        }
        decided.0.push((setting, decision));
    }
    decided
}

fn decide(
    row: &Row,
    asked: &Asked,
    locks: &Locks,
    archive: &Manifest,
    decided: &Decided<Setting>,
) -> Decision {
    let forced = |value, circumstance| Decision::new(value, Source::Forced(Cause::Mode(circumstance)));
    if let Some(value) = row.forced(asked.target) {
        return forced(value, Circumstance::Target(asked.target));
    }
    let preset = asked.preset.as_ref();
    let default = default(row, asked, archive);
    let wanted = wanted(row.setting, &asked.settings, preset, &locks.settings, default);
    // Imports and hub courses never bring users (`restore_check::check_security`).
    if row.setting == Setting::Users && wanted.value && !asked.mode.admits_users() {
        return forced(false, Circumstance::Mode(asked.mode));
    }
    let blockers: Vec<Blocker<'_, Setting>> =
        row.parents(asked.compatibility).filter_map(|parent| decided.parent(parent)).collect();
    settle(wanted, &blockers, is_held(archive, row))
}

/// Moodle 4.4 gives custom fields the default that it computed for groups (a slip in `define_settings`).
fn default(row: &Row, asked: &Asked, archive: &Manifest) -> bool {
    let follows_groups = row.setting == Setting::CustomField && asked.compatibility == Compatibility::Moodle;
    row.default && (!follows_groups || is_held(archive, Setting::Groups.row()))
}

/// Whether an archive holds what a setting stands for, by its own settings.
fn is_held(archive: &Manifest, row: &Row) -> bool {
    let told = || archive.root_setting(row.setting.as_str());
    match row.held {
        Held::Always => true,
        Held::Told => told() == Some("1"),
        Held::ToldOrAbsent => told().is_none_or(|value| value == "1"),
    }
}

/// Why a decision is not what was asked, with the state of what forces it.
fn why(decision: &Decision, decided: &Decided<Setting>) -> String {
    match &decision.source {
        Source::Forced(Cause::Setting(parent)) => {
            let parent_is = decided.get(*parent).map(Decision::sentence).unwrap_or_default();
            format!("{parent} is {parent_is}")
        }
        _ => format!("it is {}", decision.sentence()),
    }
}

impl Effective {
    /// Whether the grade book's structure, course completion and badges stay out of the course, as Moodle has it: as soon
    /// as one activity is left out, or is of a module that is missing here, or the archive is a section
    /// (`execute_condition` of `restore_gradebook_structure_step`, `restore_course_completion_structure_step` and
    /// `restore_badges_structure_step`; `restore_controller::execute_plan`). Ours restores them nevertheless.
    pub fn loses_as_moodle(&self, misses_modules: bool) -> bool {
        self.compatibility == Compatibility::Moodle
            && (misses_modules
                || self.archive_type == ArchiveType::Section
                || self.activities().any(|activity| !activity.included.value))
    }
}
