//! `restore`: into a new course or one that is there, looked at before with `--plan`.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context as _;
use clap::ValueEnum;

use super::choices::{Compat, parse_settings, wire_compat};
use super::client::{Server, request_id};
use super::failure::Usage;
use super::inspect::finding;
use super::output::Output;
use super::plan::{contents_table, settings_table};
use super::progress::Progress;
use super::table::{Column, Table};
use super::words::{clean, rows};
use super::{conflicts, jobs, json, names, units, upload};
use crate::grpc::restore_settings;
use crate::ids::CourseId;
use crate::proto::{self, create_restore_request::Target};
use crate::restore::{CourseChoices, CourseValue, Enrolments, Setting, Values};

/// What happens to what is in the course.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// The archive is merged into it.
    Merge,
    /// It is deleted first.
    Delete,
}

/// Where `try` restores to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TryMode {
    /// Into a new course.
    New,
    /// Into the target, which keeps what it has.
    Merge,
    /// Into the target, whose contents are deleted first.
    Delete,
}

/// Arguments of `restore`.
#[derive(Debug, clap::Args)]
pub struct Restore {
    /// The archive; or a local file, which is uploaded into the drop zone first.
    pub archive: String,
    /// Id of the new course. Default: the server makes one.
    #[arg(long, value_name = "ID", conflicts_with = "into")]
    pub course_id: Option<CourseId>,
    /// Into this course instead of a new one.
    #[arg(long, value_name = "COURSE")]
    pub into: Option<String>,
    /// What happens to what is in the course. Default: merge.
    #[arg(long, value_enum, requires = "into")]
    pub mode: Option<Mode>,
    /// Full or short name of the course, to say that its contents may be deleted.
    #[arg(long, value_name = "NAME")]
    pub course_name: Option<String>,
    /// Wait until it is done.
    #[arg(long)]
    pub wait: bool,
    /// Only show what would become of everything, and what stands against it.
    #[arg(long, conflicts_with = "wait")]
    pub plan: bool,
    /// With --plan: write all users about whom someone must decide to this new file, as a table. Fill in its last column, and send it
    /// back with --users.
    #[arg(long, value_name = "FILE", requires = "plan")]
    pub conflicts: Option<String>,
    /// The category of courses that a new course is in: its id on the platform and its name, such as 12:Chemistry.
    #[arg(long, value_name = "ID:NAME", conflicts_with = "into")]
    pub category: Option<String>,
    /// The token that a plan showed: exactly that plan runs, or nothing.
    #[arg(long, value_name = "TOKEN", conflicts_with = "plan")]
    pub plan_token: Option<String>,
    /// Settings and selection.
    #[command(flatten)]
    pub choices: RestoreChoices,
}

/// Settings and selection of a restore.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct RestoreChoices {
    /// What stands in for settings that are not given: moodle, without_users.
    #[arg(long, value_name = "NAME", help_heading = "Settings")]
    pub preset: Option<String>,
    /// A setting by Moodle's name: users=0, overwrite_conf=1, enrolments=always, course_fullname=NAME,
    /// course_startdate=2027-01-01. Repeatable.
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Settings")]
    pub set: Vec<String>,
    /// Whose rules count where Moodle loses, doubles or misleads. Default: own.
    #[arg(long, value_enum, help_heading = "Settings")]
    pub compat: Option<Compat>,
    /// What becomes of a user of the archive: 7=match:42, 7=create, 7=create:name, 7=drop, 7=pseudonymise. Repeatable.
    #[arg(long, value_name = "USER=WHAT", help_heading = "Settings")]
    pub user: Vec<String>,
    /// The same for many users: a table (CSV) with the columns `user` and `decision`, as --conflicts writes it. Goes before --user.
    #[arg(long, value_name = "FILE", help_heading = "Settings")]
    pub users: Option<String>,
    /// Leave out: section_4, forum_9, type:quiz, all. Repeatable.
    #[arg(long, value_name = "ITEM", help_heading = "Contents")]
    pub exclude: Vec<String>,
    /// Only these. Repeatable.
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

impl RestoreChoices {
    /// As the request has it. Names of items are the server's to check.
    pub fn options(&self) -> anyhow::Result<proto::RestoreOptions> {
        let mut choices = CourseChoices::default();
        let mut switches = Vec::new();
        for word in &self.set {
            match word.split_once('=') {
                Some((name, value)) if chosen(&mut choices, name, value)? => {}
                _ => switches.push(word.clone()),
            }
        }
        let mut values = Values::default();
        let item_settings = parse_settings(&switches, |name, value| {
            let setting = name.parse::<Setting>();
            setting.map(|setting| values.set(setting, Some(value))).is_ok()
        })?;
        let extent = match self.only.is_empty() {
            true => proto::selection::Extent::Unspecified,
            false => proto::selection::Extent::None,
        };
        let preset = self.preset.as_deref().unwrap_or_default();
        Ok(proto::RestoreOptions {
            settings: Some(restore_settings::restore_settings(&values, &choices, preset)),
            selection: Some(proto::Selection {
                extent: extent.into(),
                include: self.only.clone(),
                exclude: self.exclude.clone(),
                user_data_on: self.user_data.clone(),
                user_data_off: self.no_user_data.clone(),
                item_settings,
            }),
            compatibility: wire_compat(self.compat).into(),
            users: self.mappings()?,
            accept_unknown: self.accept_unknown.clone(),
            mode: 0,
        })
    }
}

impl RestoreChoices {
    /// What becomes of users: what is said of one by name goes before what a table says.
    fn mappings(&self) -> anyhow::Result<Vec<proto::UserMapping>> {
        let words = self.user.iter().map(|word| conflicts::mapping(word));
        let mut all =
            words.collect::<Result<Vec<_>, _>>().map_err(|wrong| Usage(format!("--user: {wrong}")))?;
        if let Some(file) = &self.users {
            let named: BTreeSet<i64> = all.iter().map(|mapping| mapping.user).collect();
            let told = conflicts::read(file)?.into_iter();
            all.extend(told.filter(|mapping| !named.contains(&mapping.user)));
        }
        Ok(all)
    }
}

/// Whether a setting of that name is one of restores.
pub fn is_setting(name: &str) -> bool {
    const CHOICES: [&str; 4] = ["enrolments", "course_fullname", "course_shortname", "course_startdate"];
    CHOICES.contains(&name) || name.parse::<Setting>().is_ok()
}

/// Takes a choice that is no switch; whether it is one.
fn chosen(choices: &mut CourseChoices, name: &str, value: &str) -> Result<bool, Usage> {
    let text = || match value {
        "course" => CourseValue::OfCourse,
        "archive" => CourseValue::OfArchive,
        name => CourseValue::Given(name.to_owned()),
    };
    match name {
        "course_fullname" => choices.full_name = Some(text()),
        "course_shortname" => choices.short_name = Some(text()),
        "course_startdate" => {
            choices.start = Some(match value {
                "course" => CourseValue::OfCourse,
                "archive" => CourseValue::OfArchive,
                date => CourseValue::Given(day(date).ok_or_else(|| {
                    Usage(format!(
                        "--set course_startdate={date}: a day such as 2027-01-01, archive, or course"
                    ))
                })?),
            });
        }
        "enrolments" => {
            choices.enrolments = Some(match value {
                "0" | "never" => Enrolments::Never,
                "1" | "with_users" => Enrolments::WithUsers,
                "2" | "always" => Enrolments::Always,
                other => {
                    let message = format!("--set enrolments={other}: never, with_users or always");
                    return Err(Usage(message));
                }
            });
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// The first second of a day in universal time.
fn day(text: &str) -> Option<crate::clock::Timestamp> {
    let day = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    let midnight = day.and_hms_opt(0, 0, 0)?;
    Some(crate::clock::Timestamp::from_secs(midnight.and_utc().timestamp()))
}

/// Where a command's restore goes.
fn target(server: &Server, arguments: &Restore) -> Result<Target, Usage> {
    use proto::existing_course::Contents;
    let Some(course) = &arguments.into else {
        let course_id = arguments.course_id.as_ref().map_or_else(String::new, ToString::to_string);
        let category = arguments.category.as_deref().map(category).transpose()?;
        return Ok(Target::NewCourse(proto::NewCourse { course_id, category }));
    };
    let contents = match arguments.mode {
        Some(Mode::Delete) => Contents::Delete,
        _ => Contents::Merge,
    };
    let course = names::course(&server.site, course)?.to_string();
    Ok(Target::ExistingCourse(proto::ExistingCourse { course, contents: contents.into() }))
}

fn category(word: &str) -> Result<proto::CourseCategory, Usage> {
    let wrong = || Usage(format!("--category {word}: its id and its name, such as 12:Chemistry"));
    let (id, name) = word.split_once(':').ok_or_else(wrong)?;
    Ok(proto::CourseCategory { category_id: id.parse().map_err(|_| wrong())?, name: name.to_owned() })
}

/// The archive's name on the server: a local file is sent there first.
async fn archive(server: &Server, text: &str, output: Output) -> anyhow::Result<String> {
    let path = Path::new(text);
    if !path.is_file() {
        return Ok(names::archive(&server.site, text)?.to_string());
    }
    let place =
        upload::Place { site: server.site_name(), area: proto::Area::DropZone, course: String::new() };
    let progress = Progress::bytes(output, text, upload::local_size(path));
    let stored = upload::send(server, path, &place, None, &progress).await?;
    drop(progress);
    let name = stored.archive.context("the server stored no archive")?.name;
    output.note(&format!("uploaded as {name}"));
    Ok(name)
}

/// `restore`.
pub async fn run(server: &Server, arguments: &Restore, output: Output) -> anyhow::Result<()> {
    // What is wrong with the other arguments is told before anything is sent.
    let (target, options) = (target(server, arguments)?, arguments.choices.options()?);
    let archive = archive(server, &arguments.archive, output).await?;
    if arguments.plan {
        if let Some(file) = &arguments.conflicts {
            let all = conflicts::all(server, &archive, &target, &options).await?;
            conflicts::write(file, &all)?;
        }
        let plan = planned(server, &archive, target, options).await?;
        if output.is_json() {
            return Ok(output.document(&json::value(&plan)?)?);
        }
        return Ok(output.text(&page(&plan))?);
    }
    let deletes = arguments.mode == Some(Mode::Delete);
    if deletes && arguments.course_name.is_none() {
        let message =
            "--mode delete needs --course-name, the full or short name of the course; look first with --plan";
        return Err(Usage(message.into()).into());
    }
    let plan_token = match &arguments.plan_token {
        Some(token) => token.clone(),
        None if deletes => planned(server, &archive, target.clone(), options.clone()).await?.plan_token,
        None => String::new(),
    };
    let request = proto::CreateRestoreRequest {
        archive,
        target: Some(target),
        options: Some(options),
        plan_token,
        course_name: arguments.course_name.clone().unwrap_or_default(),
        request_id: request_id(),
        validate_only: false,
    };
    let job = start(server, request).await?;
    jobs::started(server, job, arguments.wait, output).await
}

/// Starts a restore and answers with its job.
pub async fn start(
    server: &Server,
    request: proto::CreateRestoreRequest,
) -> Result<Option<proto::Job>, tonic::Status> {
    Ok(server.restores().create_restore(request).await?.into_inner().job)
}

/// What a restore would come to.
pub async fn planned(
    server: &Server,
    archive: &str,
    target: Target,
    options: proto::RestoreOptions,
) -> Result<proto::RestorePlan, tonic::Status> {
    use proto::plan_restore_request::Target as Planned;
    let target = match target {
        Target::NewCourse(new) => Planned::NewCourse(new),
        Target::ExistingCourse(existing) => Planned::ExistingCourse(existing),
    };
    let request = proto::PlanRestoreRequest {
        archive: archive.to_owned(),
        target: Some(target),
        options: Some(options),
    };
    Ok(server.restores().plan_restore(request).await?.into_inner().plan.unwrap_or_default())
}

/// Conflicts that are shown one by one; a table has all of them.
const SHOWN: usize = 20;

fn page(plan: &proto::RestorePlan) -> String {
    let blocked = if plan.blocked { "yes: see the findings of severity error" } else { "no" };
    let mut text = rows(&[
        ("blocked", blocked.to_owned()),
        ("changes", plan.revision.clone()),
        ("full name", plan.full_name.clone()),
        ("short name", plan.short_name.clone()),
        ("dates move", format!("{} s", plan.date_offset_seconds)),
        (
            "size",
            format!(
                "{} come in, about {} are stored anew",
                units::signed_size(plan.content_bytes),
                units::signed_size(plan.new_bytes)
            ),
        ),
        ("plan token", plan.plan_token.clone()),
    ]);
    let mut counts = Table::new(&[
        ("kind", Column::Whole),
        ("made", Column::Number),
        ("matched", Column::Number),
        ("merged", Column::Number),
        ("left out", Column::Number),
    ]);
    for count in &plan.counts {
        let numbers = [count.created, count.matched, count.merged, count.skipped].map(|it| it.to_string());
        let [created, matched, merged, skipped] = numbers;
        counts.row([count.kind.clone(), created, matched, merged, skipped]);
    }
    for table in [settings_table(&plan.settings, "archive"), contents_table(&plan.items, "archive"), counts] {
        text.push('\n');
        text.push_str(&table.render(super::output::width()));
    }
    if plan.user_conflicts_total > 0 {
        let total = plan.user_conflicts_total;
        text.push_str(&format!(
            "\n{total} users must be decided about (--conflicts FILE, --users FILE, --user)\n"
        ));
        for each in plan.user_conflicts.iter().take(SHOWN) {
            let accounts: Vec<String> = each.accounts.iter().map(ToString::to_string).collect();
            let accounts = accounts.join(" ");
            text.push_str(&clean(&format!("  {} {} {} {accounts}", each.user, each.user_name, each.code)));
            text.push('\n');
        }
        let shown = i32::try_from(SHOWN).unwrap_or(i32::MAX);
        if total > shown {
            text.push_str(&format!("  … and {} more\n", total - shown));
        }
    }
    if !plan.findings.is_empty() {
        text.push_str("\nfindings\n");
        plan.findings.iter().for_each(|each| text.push_str(&format!("  {}\n", finding(each))));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_fields() -> anyhow::Result<()> {
        let choices = RestoreChoices {
            set: ["users=0", "overwrite_conf", "enrolments=always", "course_startdate=2027-01-01"]
                .map(str::to_owned)
                .to_vec(),
            user: vec!["7=match:42".into(), "8=create:anna".into(), "9=drop".into()],
            ..RestoreChoices::default()
        };
        let options = choices.options()?;
        let settings = options.settings.unwrap_or_default();
        assert_eq!((settings.users, settings.overwrite_conf), (Some(false), Some(true)));
        assert_eq!(settings.enrolments(), proto::EnrolmentMethods::Always);
        assert_eq!(options.users.len(), 3);
        for (set, user) in
            [("users=maybe", ""), ("enrolments=3", ""), ("", "7"), ("", "x=drop"), ("", "7=match:x")]
        {
            let bad = RestoreChoices {
                set: Some(set.to_owned()).into_iter().filter(|it| !it.is_empty()).collect(),
                user: Some(user.to_owned()).into_iter().filter(|it| !it.is_empty()).collect(),
                ..RestoreChoices::default()
            };
            assert!(bad.options().is_err(), "{set}{user}");
        }
        Ok(())
    }
}
