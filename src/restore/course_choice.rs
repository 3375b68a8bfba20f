//! The settings of a restore that are no switches: enrolments, names and start date of the course.
//!
//! Moodle's `false` for a name or the start date means the course's own (`restore_course_defaultcustom_setting`); the
//! form's preset value is the archive's.

use serde::{Deserialize, Serialize};

use super::names::{LONGEST_FULL_NAME, LONGEST_SHORT_NAME};
use super::settings::Setting;
use super::target::{Enrolments, Target};
use crate::backup::Compatibility;
use crate::choice::{Cause, Contradiction, Contradictions, Decision, Source};
use crate::clock::Timestamp;
use crate::moodle::ArchiveType;

/// Which of several values a course gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CourseValue<T> {
    /// That of the course before the restore.
    OfCourse,
    /// That of the archive.
    OfArchive,
    /// This one.
    Given(T),
}

/// Full name or short name of the course. Uniqueness is made of it later ([`super::unique_names`]).
pub type CourseName = CourseValue<String>;
/// Start of the course. Dates in the contents move with it ([`super::date_offset`]).
pub type CourseStart = CourseValue<Timestamp>;

/// Choices that are no switches, each asked for or not; or, in a policy, locked or not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CourseChoices {
    /// Whether enrolment methods are restored.
    pub enrolments: Option<Enrolments>,
    /// Full name, `course_fullname`.
    pub full_name: Option<CourseName>,
    /// Short name, `course_shortname`.
    pub short_name: Option<CourseName>,
    /// Start date, `course_startdate`.
    pub start: Option<CourseStart>,
}

/// What holds around the choices.
#[derive(Clone, Copy)]
pub(super) struct Surroundings<'s> {
    pub target: Target,
    pub archive_type: ArchiveType,
    pub compatibility: Compatibility,
    /// Whether the archive has users.
    pub holds_users: bool,
    /// The decision on `overwrite_conf`; none where it does not exist.
    pub overwrite: Option<&'s Decision<Setting>>,
}

/// The decision on enrolments. They are no matter of sections and activities (`restore_course_task::build`); without
/// users in the archive only *never* and *always* differ (`restore_root_task::define_settings`).
pub(super) fn enrolments(
    asked: &CourseChoices,
    locks: &CourseChoices,
    around: Surroundings<'_>,
    found: &mut Contradictions,
) -> Option<Decision<Setting, Enrolments>> {
    if around.archive_type != ArchiveType::Course {
        if asked.enrolments.is_some_and(|value| value != Enrolments::Never) {
            found.add(Contradiction {
                field: "settings.enrolments".to_owned(),
                message: "enrolments are restored with a whole course only".to_owned(),
            });
        }
        return None;
    }
    let wanted = locked_or_asked(
        "enrolments",
        locks.enrolments.as_ref(),
        asked.enrolments.as_ref(),
        Enrolments::WithUsers,
        found,
    );
    match wanted.value {
        Enrolments::WithUsers if !around.holds_users => {
            Some(Decision::new(Enrolments::Never, Source::NotHeld))
        }
        _ => Some(wanted),
    }
}

/// The decision on a name. A course keeps its own unless its configuration is overwritten.
pub(super) fn name(
    setting: &'static str,
    asked: Option<&CourseName>,
    lock: Option<&CourseName>,
    around: Surroundings<'_>,
    found: &mut Contradictions,
) -> Option<Decision<Setting, CourseName>> {
    let longest = if setting == "course_fullname" { LONGEST_FULL_NAME } else { LONGEST_SHORT_NAME };
    if let Some(CourseValue::Given(text)) = asked {
        let length = text.chars().count();
        let message = if text.trim().is_empty() {
            Some(format!("{setting} cannot be empty"))
        } else if around.compatibility == Compatibility::Strict && length > longest {
            // Moodle cuts it without a word.
            Some(format!("{setting} has {length} characters, at most {longest} are taken"))
        } else {
            None
        };
        if let Some(message) = message {
            found.add(Contradiction { field: format!("settings.{setting}"), message });
        }
    }
    let alone = Alone { default: CourseValue::OfCourse, also: None };
    of_course(setting, asked, lock, alone, around, found)
}

/// The decision on the start date, which is what the dates in the contents move to: that of the archive moves nothing.
///
/// In Moodle it goes with `overwrite_conf`. Ours lets dates move to the start of a course that keeps its configuration,
/// if asked (`OfCourse`); Moodle does the same where a site's default says so (`restore_merge_course_startdate` 0:
/// `apply_config_defaults` freezes the course's own date as the value, and `apply_date_offset` uses it).
pub(super) fn start(
    asked: Option<&CourseStart>,
    lock: Option<&CourseStart>,
    around: Surroundings<'_>,
    found: &mut Contradictions,
) -> Option<Decision<Setting, CourseStart>> {
    let also = (around.compatibility == Compatibility::Strict).then_some(CourseValue::OfCourse);
    let alone = Alone { default: CourseValue::OfArchive, also };
    of_course("course_startdate", asked, lock, alone, around, found)
}

/// What a value may be without overwriting the course's configuration.
struct Alone<T> {
    default: CourseValue<T>,
    also: Option<CourseValue<T>>,
}

/// A value of the course's row: the archive's by default if the configuration is overwritten.
fn of_course<T: Clone + Eq>(
    setting: &'static str,
    asked: Option<&CourseValue<T>>,
    lock: Option<&CourseValue<T>>,
    alone: Alone<T>,
    around: Surroundings<'_>,
    found: &mut Contradictions,
) -> Option<Decision<Setting, CourseValue<T>>> {
    let mut refuse = |message: String| {
        found.add(Contradiction { field: format!("settings.{setting}"), message });
    };
    let Some(overwrite) = around.overwrite else {
        if asked.is_some_and(|value| *value != alone.default) {
            refuse(format!("{setting} can be chosen with a whole course only"));
        }
        return None;
    };
    if around.target.is_new() && asked == Some(&CourseValue::OfCourse) {
        refuse(format!("{setting} cannot be that of the course: it is new"));
    }
    // What a site locks for existing courses says nothing for a new one.
    let lock = lock.filter(|value| !around.target.is_new() || **value != CourseValue::OfCourse);
    if overwrite.value {
        return Some(locked_or_asked(setting, lock, asked, CourseValue::OfArchive, found));
    }
    let may_be = |value: &CourseValue<T>| *value == alone.default || alone.also.as_ref() == Some(value);
    if let Some(lock) = lock.filter(|lock| may_be(lock)) {
        return Some(locked_or_asked(setting, Some(lock), asked, alone.default, found));
    }
    match asked {
        Some(value) if may_be(value) => Some(Decision::new(value.clone(), Source::Asked)),
        _ => {
            if asked.is_some() {
                refuse(format!("{setting} cannot be that: overwrite_conf is {}", overwrite.sentence()));
            }
            let source = Source::Forced(Cause::Setting(Setting::OverwriteConf));
            Some(Decision::new(alone.default, source))
        }
    }
}

fn locked_or_asked<T: Clone + Eq>(
    setting: &str,
    lock: Option<&T>,
    asked: Option<&T>,
    default: T,
    found: &mut Contradictions,
) -> Decision<Setting, T> {
    match (lock, asked) {
        (Some(lock), asked) => {
            if asked.is_some_and(|asked| asked != lock) {
                let message = format!("{setting} cannot be that: it is locked");
                found.add(Contradiction { field: format!("settings.{setting}"), message });
            }
            Decision::new(lock.clone(), Source::Lock)
        }
        (None, Some(asked)) => Decision::new(asked.clone(), Source::Asked),
        (None, None) => Decision::new(default, Source::Default),
    }
}
