//! `inspect`: what an archive says of itself, on a page that people can read.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::json;

use super::args::Global;
use super::client::Server;
use super::failure::Usage;
use super::output::Output;
use super::words::{clean, rows, word, yes};
use super::{json, local, names, profile, units};
use crate::proto::{self, Inspection};

/// A local file is read here; anything else must name an archive on the server.
pub async fn run(archive: &str, global: &Global, output: Output) -> anyhow::Result<()> {
    let path = Path::new(archive);
    if path.exists() {
        let (container, told) = local::inspection(path)?;
        if output.is_json() {
            let container = container.as_str_name();
            let document =
                json!({ "file": archive, "container": container, "inspection": json::value(&told)? });
            return Ok(output.document(&document)?);
        }
        let head =
            format!("file        {}, {}\n", clean(archive), word(container.as_str_name(), "CONTAINER_"));
        return Ok(output.text(&(head + &page(&told)))?);
    }
    let target = profile::target(global)?;
    let name = names::archive(&target.site, archive)
        .map_err(|_| Usage(format!("{archive:?} is neither a file nor the name of an archive")))?
        .to_string();
    let server = Server::connect(&target.server, &target.site, target.token.as_ref()).await?;
    let told = of_stored(&server, &name).await?;
    if output.is_json() {
        return Ok(output.document(&json!({ "name": name, "inspection": json::value(&told)? }))?);
    }
    Ok(output.text(&format!("archive     {name}\n{}", page(&told)))?)
}

/// What an archive on the server says of itself.
pub async fn of_stored(server: &Server, name: &str) -> anyhow::Result<Inspection> {
    let request = proto::InspectArchiveRequest { name: name.to_owned() };
    Ok(server.backups().inspect_archive(request).await?.into_inner().inspection.unwrap_or_default())
}

/// Moodle's words for the modes of a backup (`backup::MODE_*`).
fn mode(number: i32) -> String {
    let name = match number {
        0 => return String::new(),
        10 => "general",
        20 => "import",
        30 => "hub",
        40 => "same site",
        50 => "automated",
        60 => "converted",
        70 => "asynchronous",
        80 => "copy",
        _ => "unknown",
    };
    format!("{number} ({name})")
}

/// The page: the archive, its origin, its settings, its sections with their activities, and what is wrong.
pub fn page(told: &Inspection) -> String {
    let mut text = rows(&head(told));
    sections(told, &mut text);
    if !told.findings.is_empty() {
        text.push_str("\nfindings\n");
        for each in &told.findings {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {}", finding(each));
        }
    }
    text
}

fn head(told: &Inspection) -> Vec<(&'static str, String)> {
    let site = told.original_site.clone().unwrap_or_default();
    let course = told.original_course.clone().unwrap_or_default();
    let pair = |one: &str, other: &str| match (one, other) {
        ("", other) => other.to_owned(),
        (one, "") => one.to_owned(),
        (one, other) => format!("{one}, {other}"),
    };
    let execution = match told.execution {
        1 => "at once",
        2 => "delayed",
        _ => "",
    };
    let by_hand = if told.interactive { "step by step" } else { "" };
    let users = match (told.includes_users, told.anonymized) {
        (true, true) => "yes, anonymised",
        (true, false) => "yes",
        _ => "no",
    };
    let root = told.settings.iter().filter(|setting| setting.level == "root");
    let settings: Vec<String> = root.map(|setting| format!("{}={}", setting.name, setting.value)).collect();
    let named =
        if course.short_name.is_empty() { String::new() } else { format!(" ({})", course.short_name) };
    vec![
        ("type      ", word(told.r#type().as_str_name(), "ARCHIVE_TYPE_")),
        ("format", told.format.clone()),
        ("mode", pair(&mode(told.mode), &pair(by_hand, execution))),
        ("made", units::time(told.backup_time.as_ref())),
        ("backup id", told.backup_id.clone()),
        ("named", told.file_name.clone()),
        ("platform", pair(&told.moodle_release, &told.moodle_version)),
        ("backup", pair(&told.backup_release, &told.backup_version)),
        ("site", pair(&site.wwwroot, &site.identifier_hash)),
        ("course", format!("{}{named}", course.full_name)),
        ("course id", if course.id == 0 { String::new() } else { course.id.to_string() }),
        ("layout", course.format),
        ("starts", units::time(course.start_time.as_ref())),
        ("ends", units::time(course.end_time.as_ref())),
        ("members", format!("{}, {}", told.member_count, units::signed_size(told.content_bytes))),
        ("users", users.to_owned()),
        ("files", yes(told.includes_files)),
        ("references", yes(told.includes_file_references)),
        ("remote", yes(told.includes_remote_users)),
        ("settings", settings.join(" ")),
    ]
}

/// What is inside and whether with user data, in a word.
fn inside(included: bool, user_data: bool) -> &'static str {
    match (included, user_data) {
        (false, _) => "left out",
        (true, true) => "with users",
        (true, false) => "",
    }
}

fn sections(told: &Inspection, text: &mut String) {
    let activity = |each: &proto::InspectedActivity, indent: &str| {
        let flag = inside(each.included, each.includes_user_data);
        format!("{indent}{flag:11}{} {}  {}\n", each.module_name, each.module_id, clean(&each.title))
    };
    if !told.sections.is_empty() {
        text.push_str("\nsections and activities\n");
    }
    for section in &told.sections {
        let flag = inside(section.included, section.includes_user_data);
        let _ = writeln!(text, "  {flag:11}section {}  {}", section.section_id, clean(&section.title));
        let own = told.activities.iter().filter(|each| each.section_id == section.section_id);
        text.extend(own.map(|each| activity(each, "    ")));
    }
    let known = |id: i64| told.sections.iter().any(|section| section.section_id == id);
    let mut others = told.activities.iter().filter(|each| !known(each.section_id)).peekable();
    if others.peek().is_some() {
        text.push_str("\nactivities\n");
        text.extend(others.map(|each| activity(each, "  ")));
    }
}

/// A finding on one line.
pub fn finding(finding: &proto::Finding) -> String {
    let severity = word(finding.severity().as_str_name(), "SEVERITY_");
    clean(&format!("{severity} {} {}: {}", finding.code, finding.path, finding.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told() -> Inspection {
        let section = |section_id, title: &str, included, includes_user_data| proto::InspectedSection {
            section_id,
            title: title.into(),
            included,
            includes_user_data,
            ..Default::default()
        };
        let activity = |module_id, section_id, includes_user_data| proto::InspectedActivity {
            module_id,
            section_id,
            module_name: "forum".into(),
            title: "News\u{1b}[2J".into(),
            included: true,
            includes_user_data,
            ..Default::default()
        };
        let setting = |level: &str, name: &str| proto::InspectedSetting {
            level: level.into(),
            name: name.into(),
            value: "1".into(),
            ..Default::default()
        };
        Inspection {
            r#type: proto::ArchiveType::Course.into(),
            format: "moodle2".into(),
            mode: 10,
            interactive: true,
            includes_users: true,
            anonymized: true,
            settings: vec![setting("root", "users"), setting("activity", "forum_7_userinfo")],
            sections: vec![section(1, "General", true, true), section(2, "Week 1", false, false)],
            activities: vec![activity(7, 1, true), activity(8, 9, false)],
            findings: vec![proto::Finding {
                severity: proto::Severity::Warning.into(),
                code: "CONTENT_ALTERED".into(),
                path: "files/a".into(),
                message: "not what its name says".into(),
            }],
            member_count: 3,
            content_bytes: 2048,
            ..Default::default()
        }
    }

    #[test]
    fn the_page_tells_type_settings_sections_and_findings() {
        let text = page(&told());
        for line in [
            "type        course",
            "mode        10 (general), step by step",
            "members     3, 2.0 KiB",
            "users       yes, anonymised",
            "settings    users=1",
            "  with users section 1  General",
            "    with users forum 7  News [2J",
            "  left out   section 2  Week 1",
            "             forum 8  News [2J",
            "  warning CONTENT_ALTERED files/a: not what its name says",
        ] {
            assert!(text.lines().any(|each| each == line), "{line:?} is not in\n{text}");
        }
    }

    #[test]
    fn nothing_of_an_archive_reaches_the_terminal_raw() {
        assert!(!page(&told()).contains('\u{1b}'));
    }

    #[test]
    fn a_page_of_nothing_is_short() {
        assert!(page(&Inspection::default()).lines().count() < 5);
    }
}
