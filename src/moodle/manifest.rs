//! `moodle_backup.xml` as a value (reference 4).

use std::io;

use crate::clock::Timestamp;
use crate::reason::Reason;

/// What an archive holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ArchiveType {
    /// A whole course.
    Course,
    /// One section and its activities.
    Section,
    /// One activity.
    Activity,
}

impl ArchiveType {
    /// Moodle's name of it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Course => "course",
            Self::Section => "section",
            Self::Activity => "activity",
        }
    }
}

/// What an archive of Moodle's own format says of itself. A field that the archive does not tell, or tells as NULL, is
/// empty, 0 or `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// What it holds.
    pub archive_type: ArchiveType,
    /// `moodle2`.
    pub format: String,
    /// Mode of the backup by Moodle's number, such as 10 (general) or 50 (automated).
    pub mode: i32,
    /// Whether a person made it step by step.
    pub interactive: bool,
    /// 1 run at once, 2 delayed.
    pub execution: i32,
    /// The backup's identifier, 32 hexadecimal digits.
    pub backup_id: String,
    /// Name of the file as the backup was told.
    pub file_name: String,
    /// When the backup was made.
    pub backup_time: Option<Timestamp>,
    /// Code version of the platform; decimals are possible.
    pub moodle_version: String,
    /// Release of the platform, for people.
    pub moodle_release: String,
    /// Version of the backup format.
    pub backup_version: String,
    /// Release of the backup format, such as `4.4`.
    pub backup_release: String,
    /// The site it came from.
    pub original_site: OriginalSite,
    /// The course it came from.
    pub original_course: OriginalCourse,
    /// Whether contents of files are in it. Archives from before 2.6 do not tell: then they are.
    pub includes_files: bool,
    /// Whether it refers to files kept elsewhere.
    pub includes_file_references: bool,
    /// Whether users of another networked host are in it.
    pub includes_remote_users: bool,
    /// All settings that it was made with, in the archive's order.
    pub settings: Vec<Setting>,
    /// Its sections, in the archive's order.
    pub sections: Vec<Section>,
    /// Its activities, in the archive's order.
    pub activities: Vec<Activity>,
}

/// The site an archive came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OriginalSite {
    /// Its address.
    pub wwwroot: String,
    /// MD5 of its secret identifier, hexadecimal.
    pub identifier_hash: String,
    /// Its system context's id.
    pub system_context_id: i64,
}

/// The course an archive came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OriginalCourse {
    /// Id in the source's database.
    pub id: i64,
    /// Course format, such as `topics`. Told since 2.9.
    pub format: String,
    /// Full name.
    pub full_name: String,
    /// Short name.
    pub short_name: String,
    /// Start of the course; `None` when it has none (0 in the document).
    pub start_time: Option<Timestamp>,
    /// End of the course; `None` when it has none (0 in the document). Told since 3.2.
    pub end_time: Option<Timestamp>,
    /// Its context's id.
    pub context_id: i64,
}

/// What a setting is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SettingLevel {
    /// The whole backup.
    Root,
    /// The course.
    Course,
    /// A section.
    Section,
    /// An activity.
    Activity,
}

impl SettingLevel {
    /// The level as the document spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Course => "course",
            Self::Section => "section",
            Self::Activity => "activity",
        }
    }

    /// The level of that name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Root, Self::Course, Self::Section, Self::Activity]
            .into_iter()
            .find(|level| level.as_str() == text)
    }
}

/// A setting that an archive was made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// What it is about.
    pub level: SettingLevel,
    /// `section_N` or `MOD_CMID`; empty at root and course level.
    pub item: String,
    /// Moodle's name of the setting.
    pub name: String,
    /// Its value as written; empty for NULL.
    pub value: String,
}

/// A section in an archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// Id in the source's database.
    pub section_id: i64,
    /// A name, or the section's number.
    pub title: String,
    /// Its folder in the archive.
    pub directory: String,
    /// Whether the settings say that it is included.
    pub included: bool,
    /// Whether the settings say that its user data is included.
    pub includes_user_data: bool,
}

/// An activity in an archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Id of the course module in the source's database.
    pub module_id: i64,
    /// Id of its section.
    pub section_id: i64,
    /// Its kind, such as `forum`.
    pub module_name: String,
    /// Its title.
    pub title: String,
    /// Its folder in the archive.
    pub directory: String,
    /// Whether the settings say that it is included.
    pub included: bool,
    /// Whether the settings say that its user data is included.
    pub includes_user_data: bool,
}

impl Manifest {
    /// Value of a root setting, if the archive tells it.
    pub fn root_setting(&self, name: &str) -> Option<&str> {
        let found = |setting: &&Setting| setting.level == SettingLevel::Root && setting.name == name;
        self.settings.iter().rfind(found).map(|setting| setting.value.as_str())
    }

    /// Whether user data is in it, by its settings. One that does not tell has none (reference 4.4).
    pub fn includes_users(&self) -> bool {
        self.root_setting("users") == Some("1")
    }

    /// Whether its users are anonymised, by its settings.
    pub fn is_anonymized(&self) -> bool {
        self.root_setting("anonymize") == Some("1")
    }
}

/// Why `moodle_backup.xml` was not read.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is not what the format demands.
    #[error("moodle_backup.xml, line {line}: {what}")]
    Invalid {
        /// The line at which it was noticed, from 1.
        line: u64,
        /// What is wrong.
        what: String,
    },
    /// It is too large.
    #[error("moodle_backup.xml has more than {limit} bytes")]
    LimitBytes {
        /// The limit in bytes.
        limit: u64,
    },
    /// It is nested too deep.
    #[error("moodle_backup.xml, line {line}: elements are nested deeper than {limit}")]
    LimitDepth {
        /// The line of the element that is too deep, from 1.
        line: u64,
        /// The limit.
        limit: usize,
    },
    /// Its bytes could not be had.
    #[error("moodle_backup.xml cannot be read")]
    Input(#[source] io::Error),
}

impl ManifestError {
    /// The reason for callers; `None` when the document is not to blame.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Invalid { .. } => Some(Reason::ArchiveManifestInvalid),
            Self::LimitBytes { .. } => Some(Reason::LimitManifestBytes),
            Self::LimitDepth { .. } => Some(Reason::LimitXmlDepth),
            Self::Input(_) => None,
        }
    }
}
