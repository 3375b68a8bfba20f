//! `backup --plan` and `convert --plan`: what would be in the archive, what would not, and why.

use super::client::Server;
use super::inspect::finding;
use super::output::Output;
use super::table::{Column, Table};
use super::words::rows;
use super::{json, units};
use crate::proto::{self, SettingSource};

/// Asks for the plan and shows it.
pub async fn show(
    server: &Server,
    source: String,
    options: proto::BackupOptions,
    output: Output,
) -> anyhow::Result<()> {
    let request = proto::PlanBackupRequest { source, options: Some(options) };
    let plan = server.backups().plan_backup(request).await?.into_inner().plan.unwrap_or_default();
    if output.is_json() {
        return Ok(output.document(&json::value(&plan)?)?);
    }
    Ok(output.text(&page(&plan))?)
}

/// Why a setting has its value.
fn why(setting: &proto::EffectiveSetting, of: &str) -> String {
    match setting.source() {
        SettingSource::Unspecified => String::new(),
        SettingSource::Asked => "as asked".into(),
        SettingSource::Preset => "by the preset".into(),
        SettingSource::Default => "by default".into(),
        SettingSource::Lock => "locked".into(),
        SettingSource::Forced => format!("because of {}", setting.forced_by),
        SettingSource::NotHeld => format!("the {of} holds none"),
        SettingSource::UnknownPlugin => "its plugin is not known".into(),
    }
}

/// Settings with their values, and why. `of` is what holds something or not: the course, the archive.
pub fn settings_table(list: &[proto::EffectiveSetting], of: &str) -> Table {
    let mut settings = Table::new(&[("setting", Column::Whole), ("", Column::Whole), ("why", Column::Text)]);
    for setting in list {
        let value = if setting.value { "on" } else { "off" };
        settings.row([setting.name.clone(), value.into(), why(setting, of)]);
    }
    settings
}

/// Sections and activities, in or out, and why.
pub fn contents_table(list: &[proto::EffectiveItem], of: &str) -> Table {
    let mut items = Table::new(&[
        ("contents", Column::Whole),
        ("", Column::Whole),
        ("title", Column::Text),
        ("why", Column::Text),
    ]);
    for item in list {
        let (included, user_data) =
            (item.included.clone().unwrap_or_default(), item.user_data.clone().unwrap_or_default());
        let (state, reason) = match (included.value, user_data.value) {
            (false, _) => ("out", why(&included, of)),
            (true, false) => ("without user data", why(&user_data, of)),
            (true, true) => ("in", why(&included, of)),
        };
        let indent = if item.module_name.is_empty() { "" } else { "  " };
        items.row([format!("{indent}{}", item.name), state.into(), item.title.clone(), reason]);
    }
    items
}

fn page(plan: &proto::BackupPlan) -> String {
    let mut text = rows(&[
        ("name", plan.file_name.clone()),
        ("of", plan.revision.clone()),
        (
            "members",
            format!(
                "{}, {} of them as they are; {} left out",
                plan.members, plan.members_kept, plan.members_left_out
            ),
        ),
        (
            "size",
            format!(
                "about {} as zip, {} as tar.gz",
                units::signed_size(plan.zip_size_bytes),
                units::signed_size(plan.tgz_size_bytes)
            ),
        ),
        ("plan token", plan.plan_token.clone()),
    ]);
    let mut counts =
        Table::new(&[("kind", Column::Whole), ("in", Column::Number), ("left out", Column::Number)]);
    for count in &plan.counts {
        counts.row([count.kind.clone(), count.included.to_string(), count.left_out.to_string()]);
    }
    for table in [settings_table(&plan.settings, "course"), contents_table(&plan.items, "course"), counts] {
        text.push('\n');
        text.push_str(&table.render(super::output::width()));
    }
    if !plan.findings.is_empty() {
        text.push_str("\nfindings\n");
        plan.findings.iter().for_each(|each| text.push_str(&format!("  {}\n", finding(each))));
    }
    text
}
