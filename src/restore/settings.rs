//! The settings of a restore that are on or off, as one table: what each depends on, where it exists, and what the archive
//! must hold for it.
//!
//! Facts of Moodle 4.4 (`restore_root_task::define_settings`, `restore_course_task::define_settings`; defaults of a fresh
//! site: `restore_general_*`, `restore_merge_*`, `restore_replace_*` of the administration's course settings, all on but
//! overwriting and keeping). How enrolments, names and the start date are chosen is in `course_choice`. This module
//! decides nothing.

use serde::{Deserialize, Serialize};

use super::target::Target;
use crate::backup::{Compatibility, Mode};
use crate::choice::Root;
use crate::label::labels;
use crate::moodle::ArchiveType;

labels! {
    /// A setting, in the order in which Moodle's plan has them. What a setting depends on comes before it.
    pub enum Setting {
        /// Users and all user data.
        Users = "users",
        /// Role assignments of users.
        RoleAssignments = "role_assignments",
        /// Role overrides.
        Permissions = "permissions",
        /// Activities and resources.
        Activities = "activities",
        /// Blocks.
        Blocks = "blocks",
        /// Filters.
        Filters = "filters",
        /// Comments.
        Comments = "comments",
        /// Badges.
        Badges = "badges",
        /// Calendar events.
        CalendarEvents = "calendarevents",
        /// Details of users' completion.
        UsersCompletion = "userscompletion",
        /// Course logs.
        Logs = "logs",
        /// Grade history.
        GradeHistories = "grade_histories",
        /// Groups and groupings.
        Groups = "groups",
        /// Competencies.
        Competencies = "competencies",
        /// Custom fields. Moodle 4.4 calls it `customfields` at restore only, and restores them whatever it says.
        CustomField = "customfield",
        /// Content bank.
        ContentBankContent = "contentbankcontent",
        /// State of xAPI content for each user.
        XapiState = "xapistate",
        /// Legacy course files.
        LegacyFiles = "legacyfiles",
        /// Put the archive's course configuration over that of the course.
        OverwriteConf = "overwrite_conf",
        /// Keep roles and enrolments while the contents are deleted.
        KeepRolesAndEnrolments = "keep_roles_and_enrolments",
        /// Keep groups and groupings while the contents are deleted.
        KeepGroupsAndGroupings = "keep_groups_and_groupings",
    }
}

/// What forces a value and is no setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Circumstance {
    /// The mode of the restore.
    Mode(Mode),
    /// Where it goes.
    Target(Target),
}

impl Root for Setting {
    type Circumstance = Circumstance;

    const HOLDER: &'static str = "the archive";

    fn name(circumstance: &Circumstance) -> &'static str {
        match circumstance {
            Circumstance::Mode(_) => "mode",
            Circumstance::Target(_) => "target",
        }
    }

    fn phrase(circumstance: &Circumstance) -> String {
        match circumstance {
            Circumstance::Mode(mode) => format!("in mode {}", mode.as_str()),
            Circumstance::Target(target) => format!("for the target {target}"),
        }
    }
}

/// Where a setting exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Existence {
    /// In every restore.
    Everywhere,
    /// In restores of a whole course (`restore_course_task`).
    WholeCourse,
}

/// How an archive tells that it holds what a setting stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// Its own setting of that name is on.
    Told,
    /// Its own setting of that name is on or absent, for the contents are older than the setting, or not governed by
    /// it (`permissions` and `groups` in Moodle; ours adds `customfield`, since archives have the values anyway).
    ToldOrAbsent,
    /// It need not tell.
    Always,
}

/// What is known of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The setting.
    pub setting: Setting,
    /// Default of a fresh site, where the archive holds it.
    pub default: bool,
    /// It is off as soon as one of these is off.
    pub parents: &'static [Setting],
    /// Parents that Moodle forgot: it keeps the setting on without them, to no avail.
    pub own_parents: &'static [Setting],
    /// How an archive tells that it has it.
    pub held: Held,
    existence: Existence,
}

impl Row {
    const fn on(setting: Setting) -> Self {
        Self {
            setting,
            default: true,
            parents: &[],
            own_parents: &[],
            held: Held::Told,
            existence: Existence::Everywhere,
        }
    }

    /// About the course's own row and what to keep of it: off by default, only with a whole course.
    const fn of_course(setting: Setting) -> Self {
        Self { default: false, held: Held::Always, existence: Existence::WholeCourse, ..Self::on(setting) }
    }

    const fn below(self, parents: &'static [Setting]) -> Self {
        Self { parents, ..self }
    }

    const fn really_below(self, own_parents: &'static [Setting]) -> Self {
        Self { own_parents, ..self }
    }

    const fn held(self, held: Held) -> Self {
        Self { held, ..self }
    }

    /// Whether it can be chosen in a restore of that type of archive.
    pub const fn exists(&self, archive_type: ArchiveType) -> bool {
        matches!(self.existence, Existence::Everywhere) || matches!(archive_type, ArchiveType::Course)
    }

    /// The settings without which it is off.
    pub fn parents(&self, compatibility: Compatibility) -> impl Iterator<Item = Setting> {
        let own = match compatibility {
            Compatibility::Strict => self.own_parents,
            Compatibility::Moodle => &[],
        };
        self.parents.iter().chain(own).copied()
    }

    /// The value that a target leaves no choice about: a new course always takes the archive's configuration, and only
    /// where contents are deleted is something kept from that (`restore_course_task::define_settings`).
    pub const fn forced(&self, target: Target) -> Option<bool> {
        match self.setting {
            Setting::OverwriteConf if target.is_new() => Some(true),
            Setting::KeepRolesAndEnrolments | Setting::KeepGroupsAndGroupings if !target.is_deleting() => {
                Some(false)
            }
            _ => None,
        }
    }
}

/// What is known of each setting, in Moodle's order.
pub static TABLE: [Row; Setting::ALL.len()] = {
    use Setting::*;
    [
        Row::on(Users),
        Row::on(RoleAssignments).below(&[Users]),
        Row::on(Permissions).held(Held::ToldOrAbsent),
        Row::on(Activities),
        Row::on(Blocks),
        Row::on(Filters),
        Row::on(Comments).below(&[Users]),
        Row::on(Badges).below(&[Users, Activities]),
        Row::on(CalendarEvents),
        Row::on(UsersCompletion).below(&[Users]),
        Row::on(Logs).below(&[Users]),
        Row::on(GradeHistories).below(&[Users, Activities]),
        Row::on(Groups).held(Held::ToldOrAbsent),
        Row::on(Competencies),
        Row::on(CustomField).held(Held::ToldOrAbsent),
        Row::on(ContentBankContent),
        Row::on(XapiState).really_below(&[Users]),
        Row::on(LegacyFiles).held(Held::Always),
        Row::of_course(OverwriteConf),
        Row::of_course(KeepRolesAndEnrolments),
        Row::of_course(KeepGroupsAndGroupings),
    ]
};

impl Setting {
    /// What is known of it.
    pub fn row(self) -> &'static Row {
        // The table is in the order of the enum, which a test holds.
        &TABLE[self as usize]
    }
}
