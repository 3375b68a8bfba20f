//! The root settings of a Moodle backup, as one table: names, defaults, what depends on what, and where each exists.
//!
//! Facts of Moodle 4.4 (reference 9.1; `backup_root_task`, `backup_controller_dbops`, the administration's course
//! settings). `filename` is no choice of content and so not among them. This module decides nothing.

use serde::{Deserialize, Serialize};

use crate::choice::Root;
use crate::label::labels;

labels! {
    /// A root setting, in the order in which `moodle_backup.xml` lists them. What a setting depends on comes before it.
    pub enum Setting {
        /// Make an IMS Common Cartridge 1.1 instead of the native format.
        Imscc11 = "imscc11",
        /// Enrolled users and all user data.
        Users = "users",
        /// Replace the users' names and addresses.
        Anonymize = "anonymize",
        /// Role assignments of users.
        RoleAssignments = "role_assignments",
        /// Role overrides. A choice in imports only; elsewhere they are always in.
        Permissions = "permissions",
        /// Activities and resources.
        Activities = "activities",
        /// Blocks.
        Blocks = "blocks",
        /// Contents of files.
        Files = "files",
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
        /// Question bank.
        QuestionBank = "questionbank",
        /// Groups and groupings.
        Groups = "groups",
        /// Competencies.
        Competencies = "competencies",
        /// Custom fields. Without effect in Moodle 4.4.
        CustomField = "customfield",
        /// Content bank.
        ContentBankContent = "contentbankcontent",
        /// State of xAPI content for each user.
        XapiState = "xapistate",
        /// Legacy course files.
        LegacyFiles = "legacyfiles",
    }
}

/// What a backup is for; it decides defaults, and which settings exist (reference 4.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// 10: an ordinary backup.
    #[default]
    General,
    /// 20: the source of an import. Never with users.
    Import,
    /// 30: for publishing. Never with users.
    Hub,
    /// 40: for use within the site.
    SameSite,
    /// 50: made on schedule.
    Automated,
    /// 60: the result of a conversion.
    Converted,
    /// 70: general, run in the background.
    Async,
    /// 80: the source of a course copy.
    Copy,
}

impl Mode {
    /// All modes, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::General,
        Self::Import,
        Self::Hub,
        Self::SameSite,
        Self::Automated,
        Self::Converted,
        Self::Async,
        Self::Copy,
    ];

    /// Moodle's number of it, as `moodle_backup.xml` tells.
    pub const fn number(self) -> i32 {
        match self {
            Self::General => 10,
            Self::Import => 20,
            Self::Hub => 30,
            Self::SameSite => 40,
            Self::Automated => 50,
            Self::Converted => 60,
            Self::Async => 70,
            Self::Copy => 80,
        }
    }

    /// The mode of that number.
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.number() == number)
    }

    /// Its name in sentences.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::General => "general",
            Self::Import => "import",
            Self::Hub => "hub",
            Self::SameSite => "same site",
            Self::Automated => "automated",
            Self::Converted => "converted",
            Self::Async => "asynchronous",
            Self::Copy => "copy",
        }
    }

    /// Whether contents of files are in such a backup. Where the result stays on the site Moodle leaves them out, for it has
    /// them (`backup_controller::get_include_files_default`).
    pub const fn admits_contents(self) -> bool {
        !matches!(self, Self::Import | Self::SameSite | Self::Copy)
    }

    /// Whether users may be in such a backup at all. Moodle turns `users` off in the others (`backup_check`).
    pub const fn admits_users(self) -> bool {
        !matches!(self, Self::Import | Self::Hub)
    }
}

/// Where a setting exists and is listed in `moodle_backup.xml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Existence {
    /// In all modes and types.
    Everywhere,
    /// Only for a whole course in mode general; elsewhere it is off.
    GeneralCourse,
    /// Only in imports; elsewhere it is on.
    Import,
}

/// What is known of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The setting.
    pub setting: Setting,
    /// Default of a backup plan, before any site has a say.
    pub plan_default: bool,
    /// Default of a fresh site for general backups (`backup_general_*`).
    pub general_default: bool,
    /// Default of a fresh site for automated backups (`backup_auto_*`).
    pub automated_default: bool,
    /// It is off as soon as one of these is off.
    pub parents: &'static [Setting],
    /// It is off as soon as one of these is on.
    pub conflicts: &'static [Setting],
    /// Whether an archive that does not list the setting holds what it stands for: true for contents that are older
    /// than their setting, false for contents that came with it, and for users (reference 4.4).
    pub held_when_untold: bool,
    existence: Existence,
}

impl Row {
    /// A setting that is on by default, exists everywhere and stands alone.
    const fn on(setting: Setting) -> Self {
        Self {
            setting,
            plan_default: true,
            general_default: true,
            automated_default: true,
            parents: &[],
            conflicts: &[],
            held_when_untold: true,
            existence: Existence::Everywhere,
        }
    }

    /// A setting that is off by default.
    const fn off(setting: Setting) -> Self {
        Self { plan_default: false, general_default: false, automated_default: false, ..Self::on(setting) }
    }

    /// On in a plan, but off in a fresh site.
    const fn off_in_sites(self) -> Self {
        Self { general_default: false, automated_default: false, ..self }
    }

    const fn below(self, parents: &'static [Setting]) -> Self {
        Self { parents, ..self }
    }

    const fn not_with(self, conflicts: &'static [Setting]) -> Self {
        Self { conflicts, ..self }
    }

    /// The contents came to Moodle together with the setting.
    const fn as_old_as_its_setting(self) -> Self {
        Self { held_when_untold: false, ..self }
    }

    const fn only(self, existence: Existence) -> Self {
        Self { existence, ..self }
    }

    /// Its default in a mode.
    pub const fn default(&self, mode: Mode) -> bool {
        match mode {
            Mode::General | Mode::Async => self.general_default,
            Mode::Automated => self.automated_default,
            // A fresh site's defaults for imports are the plan's; the other modes have none of their own.
            Mode::Import | Mode::Hub | Mode::SameSite | Mode::Converted | Mode::Copy => self.plan_default,
        }
    }

    /// Whether it can be chosen, and is listed, in a backup of that mode, of a whole course or of a part.
    pub const fn exists(&self, mode: Mode, whole_course: bool) -> bool {
        match self.existence {
            Existence::Everywhere => true,
            Existence::GeneralCourse => whole_course && matches!(mode, Mode::General),
            Existence::Import => matches!(mode, Mode::Import),
        }
    }

    /// The value that holds where it does not exist.
    pub const fn value_when_absent(&self) -> bool {
        matches!(self.existence, Existence::Import)
    }
}

/// What is known of each setting, in Moodle's order.
///
/// Moodle itself turns `users`, `blocks` and `filters` *on* when `imscc11` is turned on (reference 14.1), which puts
/// users' files into a cartridge that has no use for them; here they exclude each other.
pub static TABLE: [Row; Setting::ALL.len()] = {
    use Setting::*;
    [
        Row::off(Imscc11).only(Existence::GeneralCourse),
        Row::on(Users).not_with(&[Imscc11]).as_old_as_its_setting(),
        Row::off(Anonymize).below(&[Users]),
        Row::on(RoleAssignments).below(&[Users]),
        Row::off(Permissions).only(Existence::Import),
        Row::on(Activities),
        Row::on(Blocks).not_with(&[Imscc11]),
        Row::on(Files),
        Row::on(Filters).not_with(&[Imscc11]),
        Row::on(Comments).below(&[Users]),
        Row::on(Badges).below(&[Users, Activities]).as_old_as_its_setting(),
        Row::on(CalendarEvents),
        Row::on(UsersCompletion).below(&[Users]),
        Row::on(Logs).below(&[Users]).off_in_sites(),
        Row::on(GradeHistories).below(&[Users, Activities]).off_in_sites(),
        Row::on(QuestionBank),
        Row::on(Groups),
        Row::on(Competencies).as_old_as_its_setting(),
        Row::on(CustomField).as_old_as_its_setting(),
        Row::on(ContentBankContent).as_old_as_its_setting(),
        Row::on(XapiState).below(&[Users]).as_old_as_its_setting(),
        Row::on(LegacyFiles),
    ]
};

impl Setting {
    /// What is known of it.
    pub fn row(self) -> &'static Row {
        // The table is in the order of the enum, which a test holds.
        &TABLE[self as usize]
    }
}

impl Root for Setting {
    type Circumstance = Mode;

    const HOLDER: &'static str = "the course's state";

    fn name(_: &Mode) -> &'static str {
        "mode"
    }

    fn phrase(mode: &Mode) -> String {
        format!("in mode {}", mode.as_str())
    }
}
