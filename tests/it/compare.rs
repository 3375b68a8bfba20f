//! CompareArchives: what differs between archives and revisions, told by a server.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use coursevault::proto::comparison::{Kind, Level};
use coursevault::proto::*;
use tonic::Code;

use crate::app::TestApp;
use crate::client::*;
use crate::errors::refused;

fn request(a: &str, b: &str) -> CompareArchivesRequest {
    CompareArchivesRequest { a: a.into(), b: b.into(), ..Default::default() }
}

async fn compare(app: &TestApp, request: CompareArchivesRequest) -> Result<Comparison> {
    app.backups().compare_archives(request).await?.into_inner().comparison.context("a comparison")
}

#[tokio::test(flavor = "multi_thread")]
async fn two_backups_of_one_course_are_the_same_but_for_the_closed_list() -> Result<()> {
    let app = TestApp::start().await?;
    let a = app.upload(&fixture("rich101-full-zip.mbz")?).await?;
    let b = app.upload(&fixture("rich101-full-tgz.mbz")?).await?;
    let told = compare(&app, request(&a.name, &b.name)).await?;
    ensure!(told.same && told.level() == Level::Meaning && told.differences.is_empty(), "{told:?}");
    let excused: Vec<_> = told.excused.iter().map(|each| (each.entry.as_str(), each.count)).collect();
    assert_eq!(excused, [("BACKUP_DATE", 1), ("BACKUP_ID", 1), ("FRESHLY_ENCRYPTED", 6)]);
    ensure!(told.excused.iter().all(|each| !each.reason.is_empty()));
    assert_eq!((told.same_member_count, told.altered_member_count, told.lone_member_count), (578, 3, 0));

    let exact = CompareArchivesRequest { level: Level::Exact.into(), limit: 2, ..request(&a.name, &b.name) };
    let told = compare(&app, exact).await?;
    ensure!(!told.same && told.difference_count == 8 && told.differences.len() == 2, "{told:?}");
    ensure!(told.differences[0].path == "/moodle_backup/information/backup_date", "{told:?}");
    ensure!(told.differences[0].kind() == Kind::ValueDiffers, "{told:?}");
    let members: Vec<_> = told.members.iter().map(|each| (each.member.as_str(), each.count)).collect();
    let tools = [("activities/lti_29/lti.xml", 2), ("activities/lti_30/lti.xml", 4)];
    assert_eq!(members, [("moodle_backup.xml", 2), tools[0], tools[1]]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn revisions_are_compared_with_archives() -> Result<()> {
    let app = TestApp::start().await?;
    let full = app.upload(&fixture("gen_xs-full.mbz")?).await?;
    let without_users = app.upload(&fixture("gen_xs-nu.mbz")?).await?;
    let course = format!("{MAIN}/courses/c");
    let revision = app.publish(&course, &full.name, "").await?;
    let told = compare(
        &app,
        CompareArchivesRequest { level: Level::Exact.into(), ..request(&revision.name, &full.name) },
    )
    .await?;
    ensure!(told.same && told.same_member_count == full.member_count, "{told:?}");
    let told = compare(&app, request(&revision.name, &without_users.name)).await?;
    let users = told.differences.iter().find(|each| each.member == "users.xml").context("users.xml")?;
    ensure!(users.kind() == Kind::MemberOnlyInA && users.a.is_some() && users.b.is_none(), "{users:?}");
    let setting = "/moodle_backup/information/settings/setting[name=users]/value";
    let setting = told.differences.iter().find(|each| each.path == setting).context("the setting")?;
    assert_eq!((setting.a.as_deref(), setting.b.as_deref()), (Some("1"), Some("0")));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_compared_is_refused() -> Result<()> {
    let app = TestApp::start().await?;
    let there = app.upload(&fixture("gen_xs-full.mbz")?).await?.name;
    let missing = format!("{MAIN}/archives/0190a5f0-2f5d-7c3e-8a61-9f5d1c2b3a4d");
    let foreign = "sites/other/archives/0190a5f0-2f5d-7c3e-8a61-9f5d1c2b3a4d";
    let level = CompareArchivesRequest { level: 9, ..request(&there, &there) };
    let limit = CompareArchivesRequest { limit: -1, ..request(&there, &there) };
    let logs = CompareArchivesRequest {
        level: Level::Exact.into(),
        ignore_new_log_rows: true,
        ..request(&there, &there)
    };
    for (request, code, reason) in [
        (request(&there, &missing), Code::NotFound, "ARCHIVE_NOT_FOUND"),
        (request(&there, &format!("{MAIN}/courses/c/revisions/1")), Code::NotFound, "COURSE_NOT_FOUND"),
        (request(&there, ""), Code::InvalidArgument, "FIELD_INVALID"),
        (request(&format!("{MAIN}/courses/c"), &there), Code::InvalidArgument, "FIELD_INVALID"),
        (request(&there, foreign), Code::InvalidArgument, "FIELD_INVALID"),
        (level, Code::InvalidArgument, "FIELD_INVALID"),
        (limit, Code::InvalidArgument, "FIELD_INVALID"),
        (logs, Code::InvalidArgument, "FIELD_INVALID"),
    ] {
        let answer = app.backups().compare_archives(request.clone()).await;
        refused(answer, code, reason).with_context(|| format!("{request:?}"))?;
    }
    let delete = DeleteArchiveRequest { name: there.clone(), ..Default::default() };
    app.backups().delete_archive(delete).await?;
    let answer = app.backups().compare_archives(request(&there, &there)).await;
    refused(answer, Code::FailedPrecondition, "ARCHIVE_DELETED")?;
    Ok(())
}

/// Runs the command line: its exit code and what it wrote to standard output and standard error.
fn command(arguments: &[&str]) -> Result<(Option<i32>, String, String)> {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    let out = Command::new(env!("CARGO_BIN_EXE_coursevault"))
        .current_dir(fixtures)
        .env_remove("COURSEVAULT_SERVER")
        .arg("compare")
        .args(arguments)
        .output()?;
    Ok((out.status.code(), String::from_utf8(out.stdout)?, String::from_utf8(out.stderr)?))
}

#[test]
fn the_command_line_explains_what_two_containers_of_one_course_differ_in() -> Result<()> {
    let (zip, tgz) = ("rich101-full-zip.mbz", "rich101-full-tgz.mbz");
    let (code, told, errors) = command(&[zip, tgz])?;
    ensure!(code == Some(0) && errors.is_empty() && told.ends_with("\nthe same\n"), "{told}{errors}");
    ensure!(told.contains("let pass: 6 FRESHLY_ENCRYPTED: "), "{told}");

    let (code, told, _) = command(&[zip, tgz, "--exact", "--limit", "1"])?;
    let difference =
        "  value differs /moodle_backup/information/backup_date: \"1795456797\" / \"1795456784\"";
    let lines: Vec<&str> = told.lines().collect();
    ensure!(code == Some(1), "{told}");
    assert_eq!(lines[..3], ["moodle_backup.xml: 2 differences", difference, "… and 7 more"]);
    assert_eq!(lines[4], "8 differences in 3 members: 7 value differs, 1 attribute differs");

    let (code, told, errors) = command(&[zip, "rich101-nf.mbz", "--json"])?;
    let document: serde_json::Value = serde_json::from_str(&told)?;
    let comparison = &document["comparison"];
    ensure!(code == Some(1) && errors.contains("CONTENT_DIFFERS"), "{errors}");
    assert_eq!((&comparison["same"], &comparison["lone_member_count"]), (&false.into(), &81.into()));
    assert_eq!(comparison["differences"][0]["kind"], "KIND_VALUE_DIFFERS");
    Ok(())
}

#[test]
fn the_command_line_tells_different_from_unreadable() -> Result<()> {
    let (code, told, errors) = command(&["README.md", "gen_xs-nu.mbz", "--json"])?;
    ensure!(code == Some(2) && told.is_empty() && errors.contains("ARCHIVE_FORMAT_UNSUPPORTED"), "{errors}");
    let (code, _, errors) = command(&["gen_xs-nu.mbz", "no-such-file.mbz"])?;
    ensure!(code == Some(64) && errors.contains("no-such-file.mbz"), "{errors}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_compares_what_a_server_holds() -> Result<()> {
    let app = TestApp::start().await?;
    let a = app.upload(&fixture("rich101-full-zip.mbz")?).await?;
    let b = app.upload(&fixture("rich101-full-tgz.mbz")?).await?;
    let url = app.url.clone();
    let stored = move |exact: &str| command(&[&a.name, &b.name, "--server", &url, exact]);
    let (told, exact) =
        tokio::task::spawn_blocking(move || Ok::<_, anyhow::Error>((stored("--json")?, stored("--exact")?)))
            .await??;
    ensure!(told.0 == Some(0) && told.1.contains("\"same\": true"), "{told:?}");
    ensure!(exact.0 == Some(1) && exact.1.contains("8 differences in 3 members"), "{exact:?}");
    Ok(())
}
