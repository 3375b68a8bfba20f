//! What a backup will really be made with: every setting with its value and where the value comes from.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::item::{ItemKind, Scope};
use super::settings::{Mode, Setting};
use crate::moodle::{self, SettingLevel};

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Source {
    /// The caller asked for it.
    Asked,
    /// The preset that the caller took.
    Preset,
    /// The default of the backup's mode.
    Default,
    /// The site's policy, or a lock of the preset.
    Lock,
    /// Another setting leaves no choice.
    Forced(Cause),
    /// The course's state holds no such thing, whatever was asked.
    NotHeld,
    /// No description covers the activity's plugin, so nobody knows what in it is about people.
    UnknownPlugin,
}

/// What forces a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The mode of the backup.
    Mode(Mode),
    /// A root setting.
    Setting(Setting),
    /// A setting of a section or an activity, such as `section_3_included`.
    Item(String),
}

impl fmt::Display for Cause {
    /// The forcing setting's name, or `mode`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mode(_) => f.write_str("mode"),
            Self::Setting(setting) => setting.fmt(f),
            Self::Item(name) => f.write_str(name),
        }
    }
}

/// A value and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// On or off.
    pub value: bool,
    /// Why.
    pub source: Source,
}

impl Decision {
    pub(super) const fn new(value: bool, source: Source) -> Self {
        Self { value, source }
    }

    /// "on" or "off", and why, as the middle of a sentence.
    pub(super) fn sentence(&self) -> String {
        let value = if self.value { "on" } else { "off" };
        match &self.source {
            Source::Asked => format!("{value}, as asked"),
            Source::Preset => format!("{value} by the preset"),
            Source::Default => format!("{value} by default"),
            Source::Lock => format!("locked {value}"),
            Source::Forced(Cause::Mode(mode)) => format!("{value} in mode {}", mode.as_str()),
            Source::Forced(cause) => format!("{value} because of {cause}"),
            Source::NotHeld => format!("{value}, for the course's state holds none"),
            Source::UnknownPlugin => format!("{value}, for its plugin is not known"),
        }
    }
}

/// A root setting as it will be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectiveSetting {
    /// The setting.
    pub setting: Setting,
    /// Its value.
    pub decision: Decision,
}

/// A section or an activity as it will be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectiveItem {
    /// Which of the two.
    pub kind: ItemKind,
    /// `section_ID` or `MODNAME_CMID`.
    pub name: String,
    /// An activity's section, as `section_ID`, where that is part of the backup.
    pub section: Option<String>,
    /// An activity's kind, such as `forum`; empty for a section.
    pub module_name: String,
    /// Its title.
    pub title: String,
    /// Whether it will be in the backup.
    pub included: Decision,
    /// Whether its user data will be.
    pub user_data: Decision,
}

impl EffectiveItem {
    /// Moodle's name of its first setting.
    pub fn included_name(&self) -> String {
        included_name(&self.name)
    }

    /// Moodle's name of its second setting.
    pub fn user_data_name(&self) -> String {
        user_data_name(&self.name)
    }
}

/// Moodle's name for whether an item is in.
pub(super) fn included_name(item: &str) -> String {
    format!("{item}_included")
}

/// Moodle's name for whether an item's user data is in.
pub(super) fn user_data_name(item: &str) -> String {
    format!("{item}_userinfo")
}

/// Everything that a backup will be made with. Made by [`resolve`](super::resolve) only, so that nothing in it
/// contradicts itself: what depends on something that is off is off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effective {
    /// What the backup is for.
    pub mode: Mode,
    /// What it is of.
    pub scope: Scope,
    /// The root settings that exist in this mode and scope, in Moodle's order.
    pub settings: Vec<EffectiveSetting>,
    /// Sections, each followed by its activities, included or not.
    pub items: Vec<EffectiveItem>,
}

impl Effective {
    /// Whether a root setting is on; one that does not exist here has the value that holds without it.
    pub fn is_on(&self, setting: Setting) -> bool {
        self.settings
            .iter()
            .find(|effective| effective.setting == setting)
            .map_or(setting.row().value_when_absent(), |effective| effective.decision.value)
    }

    /// The item of that name.
    pub fn item(&self, name: &str) -> Option<&EffectiveItem> {
        self.items.iter().find(|item| item.name == name)
    }

    /// Leaves an activity out whose plugin is not known.
    pub fn leave_out_unknown(&mut self, name: &str) {
        if let Some(item) = self.items.iter_mut().find(|item| item.name == name) {
            item.included = Decision::new(false, Source::UnknownPlugin);
            item.user_data = Decision::new(false, Source::UnknownPlugin);
        }
    }

    /// The settings as the archive's `moodle_backup.xml` lists them: `filename` and the root settings, then those of
    /// each included section and of its included activities (`backup_controller_dbops`: excluded items are not listed).
    pub fn entries(&self, file_name: &str) -> Vec<moodle::Setting> {
        let text = |value| if value { "1" } else { "0" }.to_owned();
        let root = |name: &str, value| moodle::Setting {
            level: SettingLevel::Root,
            item: String::new(),
            name: name.to_owned(),
            value,
        };
        let mut entries = vec![root("filename", file_name.to_owned())];
        entries.extend(
            self.settings
                .iter()
                .map(|effective| root(effective.setting.as_str(), text(effective.decision.value))),
        );
        for item in self.items.iter().filter(|item| item.included.value) {
            let level = match item.kind {
                ItemKind::Section => SettingLevel::Section,
                ItemKind::Activity => SettingLevel::Activity,
            };
            let of_item = |name, value| moodle::Setting { level, item: item.name.clone(), name, value };
            entries.push(of_item(item.included_name(), text(true)));
            entries.push(of_item(item.user_data_name(), text(item.user_data.value)));
        }
        entries
    }
}
