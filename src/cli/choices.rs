//! What a backup is made with, as options of a command: settings by Moodle's names, sections and activities.

use std::collections::HashMap;

use clap::ValueEnum;

use super::failure::Usage;
use crate::backup::Setting;
use crate::grpc::settings;
use crate::proto;

/// Whose rules count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Compat {
    /// Ours: nobody is in it without being asked for, and nothing is lost needlessly.
    Own,
    /// Moodle's, to the letter.
    Moodle,
}

/// What a backup is for, by the numbers that Moodle has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BackupMode {
    /// An ordinary backup.
    General = 10,
    /// The source of an import.
    Import = 20,
    /// For publishing.
    Hub = 30,
    /// For use within the site.
    SameSite = 40,
    /// Made on schedule.
    Automated = 50,
    /// Ordinary, run in the background.
    Async = 70,
    /// The source of a course copy.
    Copy = 80,
}

/// A choice of rules as the wire has it.
pub fn wire_compat(compat: Option<Compat>) -> proto::Compatibility {
    match compat {
        Some(Compat::Moodle) => proto::Compatibility::Moodle,
        _ => proto::Compatibility::Unspecified,
    }
}

/// Reads `NAME=VALUE` words: `set` takes a setting of that name, if there is one; settings of items are the answer.
pub fn parse_settings(
    words: &[String],
    mut set: impl FnMut(&str, bool) -> bool,
) -> Result<HashMap<String, bool>, Usage> {
    let mut item_settings = HashMap::new();
    for word in words {
        let (name, value) = word.split_once('=').unwrap_or((word, "1"));
        let value = match value {
            "1" | "true" | "on" | "yes" => true,
            "0" | "false" | "off" | "no" => false,
            _ => return Err(Usage(format!("--set {word}: a value is 0 or 1"))),
        };
        if set(name, value) {
            continue;
        }
        if !name.ends_with("_included") && !name.ends_with("_userinfo") {
            return Err(Usage(format!("--set {word}: there is no setting {name}")));
        }
        item_settings.insert(name.to_owned(), value);
    }
    Ok(item_settings)
}

/// Settings and selection.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Choices {
    /// What stands in for settings that are not given: moodle, automated, everything, without_users, anonymized.
    #[arg(long, value_name = "NAME", help_heading = "Settings")]
    pub preset: Option<String>,
    /// A setting by Moodle's name, such as users=0 or logs=1. Repeatable.
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Settings")]
    pub set: Vec<String>,
    /// Whose rules count where Moodle leaks people or loses contents. Default: own.
    #[arg(long, value_enum, help_heading = "Settings")]
    pub compat: Option<Compat>,
    /// Take passwords, enrolment and group keys and shared secrets out.
    #[arg(long, help_heading = "Settings")]
    pub remove_secrets: bool,
    /// What it is for, which decides defaults and which settings exist. Default: general.
    #[arg(id = "backup-mode", long = "backup-mode", value_enum, help_heading = "Settings")]
    pub mode: Option<BackupMode>,
    /// Only this section or activity, as an archive of its own: section_4, forum_9.
    #[arg(long, value_name = "ITEM", help_heading = "Contents")]
    pub item: Option<String>,
    /// Leave out: section_4, forum_9, type:quiz, all. Repeatable.
    #[arg(long, value_name = "ITEM", help_heading = "Contents")]
    pub exclude: Vec<String>,
    /// Only these, of the whole course. Repeatable.
    #[arg(long, value_name = "ITEM", help_heading = "Contents")]
    pub only: Vec<String>,
    /// Without the user data of these. Repeatable.
    #[arg(long, value_name = "ITEM", help_heading = "Contents")]
    pub no_user_data: Vec<String>,
    /// With the user data of these. Repeatable.
    #[arg(long, value_name = "ITEM", help_heading = "Contents")]
    pub user_data: Vec<String>,
    /// Take this activity along although its plugin is not known. Repeatable.
    #[arg(long, value_name = "ITEM", help_heading = "Contents")]
    pub accept_unknown: Vec<String>,
}

impl Choices {
    /// Whether nothing was chosen.
    pub fn is_empty(&self) -> bool {
        self.preset.is_none()
            && self.compat.is_none()
            && self.mode.is_none()
            && !self.remove_secrets
            && self.item.is_none()
            && [
                &self.set,
                &self.exclude,
                &self.only,
                &self.no_user_data,
                &self.user_data,
                &self.accept_unknown,
            ]
            .iter()
            .all(|list| list.is_empty())
    }

    /// As the request has it. Names of items are the server's to check.
    pub fn options(&self) -> anyhow::Result<proto::BackupOptions> {
        let mut values = crate::backup::Values::default();
        let item_settings = parse_settings(&self.set, |name, value| {
            name.parse::<Setting>().map(|setting| values.set(setting, Some(value))).is_ok()
        })?;
        let extent = if self.only.is_empty() {
            proto::selection::Extent::Unspecified
        } else {
            proto::selection::Extent::None
        };
        Ok(proto::BackupOptions {
            settings: Some(settings::backup_settings(&values, self.preset.as_deref().unwrap_or_default())),
            selection: Some(proto::Selection {
                extent: extent.into(),
                include: self.only.clone(),
                exclude: self.exclude.clone(),
                user_data_on: self.user_data.clone(),
                user_data_off: self.no_user_data.clone(),
                item_settings,
            }),
            item: self.item.clone().unwrap_or_default(),
            compatibility: wire_compat(self.compat).into(),
            remove_secrets: self.remove_secrets,
            accept_unknown: self.accept_unknown.clone(),
            mode: self.mode.map_or(0, |mode| mode as i32),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_and_items_are_told_apart() -> anyhow::Result<()> {
        let set = ["users=0", "logs", "forum_9_userinfo=0"].map(str::to_owned).to_vec();
        let options = Choices { set, only: vec!["type:quiz".into()], ..Choices::default() }.options()?;
        let settings = options.settings.unwrap_or_default();
        assert_eq!((settings.users, settings.logs, settings.groups), (Some(false), Some(true), None));
        let selection = options.selection.unwrap_or_default();
        assert_eq!(selection.item_settings.get("forum_9_userinfo"), Some(&false));
        assert_eq!(selection.extent(), proto::selection::Extent::None);
        for bad in ["nothing=1", "users=maybe"] {
            assert!(Choices { set: vec![bad.into()], ..Choices::default() }.options().is_err(), "{bad}");
        }
        assert!(Choices::default().is_empty());
        Ok(())
    }
}
