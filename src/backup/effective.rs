//! What a backup will really be made with: every setting with its value and where the value comes from.

use serde::{Deserialize, Serialize};

use super::settings::{Mode, Setting};
use super::{Decision, EffectiveItem, Source};
use crate::choice::{ItemKind, Scope};
use crate::moodle::{self, SettingLevel};

/// A root setting as it will be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectiveSetting {
    /// The setting.
    pub setting: Setting,
    /// Its value.
    pub decision: Decision,
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
