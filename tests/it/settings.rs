//! Backups with settings and selection: the plan, what it comes to, and what is refused before anything is written.

use std::io::{Read as _, Write as _};

use anyhow::{Context, Result, ensure};
use coursevault::proto::*;
use tonic::Code;
use tonic_types::StatusExt;

use crate::app::TestApp;
use crate::client::*;
use crate::errors::{Detail, refused, refused_with};

const FULLEST: &str = "rich101-logs-histories-tgz.mbz";
const COURSE: &str = "sites/main/courses/rich";

fn options(settings: BackupSettings) -> BackupOptions {
    BackupOptions { settings: Some(settings), ..Default::default() }
}

fn without_users() -> BackupOptions {
    options(BackupSettings { users: Some(false), ..Default::default() })
}

async fn plan(app: &TestApp, source: &str, options: BackupOptions) -> Result<BackupPlan, tonic::Status> {
    let request = PlanBackupRequest { source: source.into(), options: Some(options) };
    Ok(app.backups().plan_backup(request).await?.into_inner().plan.unwrap_or_default())
}

async fn create(app: &TestApp, request: CreateBackupRequest) -> Result<Job, tonic::Status> {
    let request = CreateBackupRequest { course: COURSE.into(), ..request };
    Ok(app.backups().create_backup(request).await?.into_inner().job.unwrap_or_default())
}

/// Publishes an archive as the course's state.
async fn published(app: &TestApp, bytes: &[u8]) -> Result<Archive> {
    let archive = app.upload(bytes).await?;
    app.publish(COURSE, &archive.name, "").await?;
    Ok(archive)
}

fn count<'p>(plan: &'p BackupPlan, kind: &str) -> Result<&'p PlannedCount> {
    plan.counts.iter().find(|count| count.kind == kind).with_context(|| kind.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_what_its_plan_says_and_what_moodle_makes() -> Result<()> {
    plan_and_make(&TestApp::start().await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_on_postgres() -> Result<()> {
    plan_and_make(&TestApp::on_postgres().await?).await
}

async fn plan_and_make(app: &TestApp) -> Result<()> {
    published(app, &fixture(FULLEST)?).await?;
    let moodles = app.upload(&fixture("rich101-tgz-nu.mbz")?).await?;
    let options = BackupOptions { compatibility: Compatibility::Moodle.into(), ..without_users() };
    let plan = plan(app, COURSE, options.clone()).await?;
    ensure!(
        plan.revision == format!("{COURSE}/revisions/1") && plan.file_name.ends_with("-nu.mbz"),
        "{plan:?}"
    );
    let (users, posts) = (count(&plan, "users")?, count(&plan, "posts")?);
    ensure!(users.included == 0 && users.left_out == 14, "{users:?}");
    ensure!(posts.included == 0 && posts.left_out > 3, "{posts:?}");
    let source = |name: &str| {
        let setting = plan.settings.iter().find(|setting| setting.name == name);
        setting.map(EffectiveSetting::source).with_context(|| name.to_owned())
    };
    ensure!(source("users")? == SettingSource::Asked && source("badges")? == SettingSource::Forced);
    ensure!(plan.findings.iter().any(|finding| finding.code == "SECRET_INCLUDED"), "{:?}", plan.findings);
    ensure!(plan.findings.iter().any(|finding| finding.code == "PERSON_INCLUDED"), "{:?}", plan.findings);

    let request = CreateBackupRequest {
        options: Some(options),
        plan_token: plan.plan_token.clone(),
        ..Default::default()
    };
    let made = app.result_of(&create(app, request).await?).await?;
    let archive = app.archive(&made.archive).await?;
    ensure!(!archive.includes_users && archive.origin() == ArchiveOrigin::Backup, "{archive:?}");
    ensure!(archive.member_count == plan.members && archive.area() == Area::Course, "{archive:?}");
    let fetched = app.download(&archive.name, Container::Zip).await?;
    let (size, planned) = (fetched.bytes.len() as i64, plan.zip_size_bytes);
    ensure!((size - planned).abs() < size / 20, "{size} bytes, planned {planned}");

    let request = CompareArchivesRequest { a: archive.name.clone(), b: moodles.name, ..Default::default() };
    let comparison = app.backups().compare_archives(request).await?.into_inner().comparison;
    ensure!(comparison.as_ref().is_some_and(|found| found.difference_count == 0), "{comparison:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_of_another_state_or_of_another_request_does_not_run() -> Result<()> {
    let app = TestApp::start().await?;
    let archive = published(&app, &fixture("gen_xs-full.mbz")?).await?;
    let plan = plan(&app, COURSE, without_users()).await?;
    let request = |options| CreateBackupRequest {
        options: Some(options),
        plan_token: plan.plan_token.clone(),
        validate_only: true,
        ..Default::default()
    };
    create(&app, request(without_users())).await?;
    refused(create(&app, request(BackupOptions::default())).await, Code::FailedPrecondition, "PLAN_STALE")?;
    app.publish(COURSE, &archive.name, &format!("{COURSE}/revisions/1")).await?;
    refused(create(&app, request(without_users())).await, Code::FailedPrecondition, "PLAN_STALE")?;
    ensure!(app.all_jobs().await?.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_cannot_be_is_told_at_once_and_nothing_is_begun() -> Result<()> {
    let app = TestApp::start().await?;
    published(&app, &fixture(FULLEST)?).await?;
    let settings = BackupSettings { users: Some(false), logs: Some(true), ..Default::default() };
    let selection = Selection {
        exclude: vec!["forum_99".into()],
        user_data_on: vec!["forum_9".into()],
        ..Default::default()
    };
    let wrong = BackupOptions { selection: Some(selection), ..options(settings) };
    let request = CreateBackupRequest { options: Some(wrong.clone()), ..Default::default() };
    let Err(status) = create(&app, request).await else { anyhow::bail!("not refused") };
    let expected =
        ["options.settings.logs", "options.selection.exclude[0]", "options.selection.user_data_on[0]"];
    let told = status.get_details_bad_request().context("fields")?.field_violations;
    ensure!(expected.iter().all(|field| told.iter().any(|told| told.field == *field)), "{told:?}");
    refused(plan(&app, COURSE, wrong).await, Code::InvalidArgument, "FIELD_INVALID")?;
    for bad in ["forum", "section_99", "quiz_x"] {
        let options = BackupOptions { item: bad.into(), ..Default::default() };
        refused(plan(&app, COURSE, options).await, Code::InvalidArgument, "FIELD_INVALID")?;
    }
    let preset = options(BackupSettings { preset: "nothing".into(), ..Default::default() });
    refused(plan(&app, COURSE, preset).await, Code::InvalidArgument, "FIELD_INVALID")?;
    let public = CreateBackupRequest {
        options: Some(options(BackupSettings { anonymize: Some(true), ..Default::default() })),
        area: Area::Course.into(),
        ..Default::default()
    };
    refused(create(&app, public).await, Code::InvalidArgument, "FIELD_INVALID")?;
    ensure!(app.all_jobs().await?.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_is_converted_and_anonymised_ones_are_private() -> Result<()> {
    let app = TestApp::start().await?;
    let archive = published(&app, &fixture(FULLEST)?).await?;
    let anonymised = options(BackupSettings { anonymize: Some(true), ..Default::default() });
    let convert = |name: &str, options: BackupOptions| ConvertArchiveRequest {
        name: name.to_owned(),
        options: Some(options),
        ..Default::default()
    };
    let job =
        app.backups().convert_archive(convert(&archive.name, anonymised.clone())).await?.into_inner().job;
    let made = app.result_of(&job.unwrap_or_default()).await?;
    let made = app.archive(&made.archive).await?;
    ensure!(made.anonymized && made.area() == Area::Private, "{made:?}");
    ensure!(made.origin() == ArchiveOrigin::Conversion && made.file_name.ends_with("-an.mbz"), "{made:?}");
    let request = CreateBackupRequest { options: Some(anonymised), ..Default::default() };
    let backup = app.result_of(&create(&app, request).await?).await?;
    ensure!(app.archive(&backup.archive).await?.area() == Area::Private);

    // A part of a course, and a part of a part.
    let item = BackupOptions { item: "forum_9".into(), ..without_users() };
    let job = app.backups().convert_archive(convert(&archive.name, item)).await?.into_inner().job;
    let part = app.result_of(&job.unwrap_or_default()).await?;
    let part = app.archive(&part.archive).await?;
    ensure!(part.r#type() == ArchiveType::Activity && !part.includes_users, "{part:?}");
    let wrong = convert(&part.name, BackupOptions::default());
    let status = app.backups().convert_archive(wrong).await.map(|answer| answer.into_inner());
    refused(status, Code::InvalidArgument, "FIELD_INVALID")?;
    Ok(())
}

/// An archive whose members were changed.
pub fn changed(change: impl Fn(&str, Vec<u8>) -> (String, Vec<u8>)) -> Result<Vec<u8>> {
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(fixture("rich101-full-zip.mbz")?))?;
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for index in 0..archive.len() {
        let mut member = archive.by_index(index)?;
        if member.is_dir() || member.name()? == ".ARCHIVE_INDEX" {
            continue;
        }
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes)?;
        let (path, bytes) = change(&member.name()?, bytes);
        writer.start_file(path, zip::write::SimpleFileOptions::default())?;
        writer.write_all(&bytes)?;
    }
    Ok(writer.finish()?.into_inner())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_document_is_named_and_nothing_is_left() -> Result<()> {
    let app = TestApp::start().await?;
    let broken = "sections/section_1/section.xml";
    let bytes = changed(|path, bytes| {
        let end = if path == broken { bytes.len() / 2 } else { bytes.len() };
        (path.to_owned(), bytes[..end].to_vec())
    })?;
    published(&app, &bytes).await?;
    let told = Detail::Metadata("path", broken);
    let refusal = plan(&app, COURSE, without_users()).await;
    refused_with(refusal, Code::FailedPrecondition, "DOCUMENT_INVALID", &told)?;
    let request = CreateBackupRequest { options: Some(without_users()), ..Default::default() };
    let job = app.ended(&create(&app, request).await?.name).await?;
    let problem = job.problem.context("a problem")?;
    ensure!(
        problem.reason == "DOCUMENT_INVALID"
            && problem.metadata.get("path").is_some_and(|path| path == broken)
    );
    ensure!(app.archives(true).await?.len() == 1, "only what was uploaded");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activity_of_an_unknown_plugin_stays_out_unless_it_is_accepted() -> Result<()> {
    let app = TestApp::start().await?;
    let bytes = with_a_riddle()?;
    published(&app, &bytes).await?;
    let whole = plan(&app, COURSE, BackupOptions::default()).await?;
    ensure!(whole.findings.iter().any(|finding| finding.path == "activities/riddle_11/riddle.xml"));
    let item = |plan: &BackupPlan| {
        let item = plan.items.iter().find(|item| item.name == "riddle_11").cloned();
        item.and_then(|item| item.included).context("the riddle")
    };
    ensure!(item(&whole)?.value, "with users nothing is hidden");
    let hidden = item(&plan(&app, COURSE, without_users()).await?)?;
    ensure!(!hidden.value && hidden.source() == SettingSource::UnknownPlugin, "{hidden:?}");
    let accepted = BackupOptions { accept_unknown: vec!["riddle_11".into()], ..without_users() };
    ensure!(item(&plan(&app, COURSE, accepted).await?)?.value);
    Ok(())
}

/// A chat that calls itself something that nobody described.
fn with_a_riddle() -> Result<Vec<u8>> {
    changed(|path, bytes| {
        let bytes = match String::from_utf8(bytes) {
            Ok(text) if path == "moodle_backup.xml" => text
                .replace("chat_11", "riddle_11")
                .replace("<modulename>chat<", "<modulename>riddle<")
                .into_bytes(),
            Ok(text) => text.into_bytes(),
            Err(error) => error.into_bytes(),
        };
        (path.replace("chat_11/chat.xml", "riddle_11/riddle.xml").replace("chat_11", "riddle_11"), bytes)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_can_describe_a_plugin() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let chat = include_str!("../../plugins/mod_chat.plugin");
    let riddle = chat
        .replace("plugin mod_chat", "plugin mod_riddle")
        .replace("activities/chat_*/chat.xml", "activities/riddle_*/riddle.xml");
    std::fs::write(folder.path().join("mod_riddle.plugin"), riddle)?;
    let at = folder.path().to_owned();
    let app = TestApp::with(|config| config.plugins_dir = Some(at)).await?;
    published(&app, &with_a_riddle()?).await?;
    let plan = plan(&app, COURSE, without_users()).await?;
    let item = plan.items.iter().find(|item| item.name == "riddle_11").context("the riddle")?;
    ensure!(item.included.as_ref().is_some_and(|included| included.value), "{item:?}");
    ensure!(plan.findings.iter().all(|finding| finding.code != "MEMBER_UNKNOWN"), "{:?}", plan.findings);
    ensure!(count(&plan, "messages")?.left_out > 0);

    std::fs::write(folder.path().join("broken.plugin"), "plugin x\n   odd\n")?;
    let at = folder.path().to_owned();
    let refused = TestApp::with(|config| config.plugins_dir = Some(at)).await;
    let message = refused.err().map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(message.contains("broken.plugin, line 2"), "{message}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_content_that_is_missing_is_named() -> Result<()> {
    let app = TestApp::start().await?;
    let lost = std::sync::Mutex::new(String::new());
    let bytes = changed(|path, bytes| {
        let mut lost = lost.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if lost.is_empty() && path.starts_with("files/") {
            path.clone_into(&mut lost);
            return ("files/00/placeholder".to_owned(), bytes);
        }
        (path.to_owned(), bytes)
    })?;
    let lost = lost.into_inner()?;
    published(&app, &bytes).await?;
    let plan = plan(&app, COURSE, BackupOptions::default()).await?;
    let found = plan.findings.iter().find(|finding| finding.code == "CONTENT_MISSING");
    ensure!(found.is_some_and(|finding| finding.path == lost), "{:?}", plan.findings);
    Ok(())
}
