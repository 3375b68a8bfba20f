//! The command line as people and scripts run it: the real binary against a real server.

use std::process::Output;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::app::TestApp;
use crate::client::*;

/// Runs the binary with some arguments and `--json`.
async fn run(app: &TestApp, arguments: &[&str]) -> Result<Output> {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_coursevault"));
    command.args(arguments).args(["--json", "--server", &app.url]).env_remove("COURSEVAULT_TOKEN");
    Ok(tokio::task::spawn_blocking(move || command.output()).await??)
}

/// The document that the binary prints when all goes well.
async fn document(app: &TestApp, arguments: &[&str]) -> Result<Value> {
    let output = run(app, arguments).await?;
    ensure!(output.status.success(), "{arguments:?}: {output:?}");
    serde_json::from_slice(&output.stdout).with_context(|| format!("{arguments:?}: {output:?}"))
}

/// The reason with which the server refuses.
async fn refusal(app: &TestApp, arguments: &[&str]) -> Result<String> {
    let output = run(app, arguments).await?;
    ensure!(output.status.code() == Some(2) && output.stdout.is_empty(), "{arguments:?}: {output:?}");
    let error: Value = serde_json::from_slice(&output.stderr)?;
    Ok(error["reason"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_pushed_once_and_what_is_refused_is_told() -> Result<()> {
    let app = TestApp::start().await?;
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("backup-moodle2-course-7-x-20260301-0210.mbz"), fixture("gen_xs-nu.mbz")?)?;
    std::fs::write(at("backup-moodle2-course-8-y-20260301-0211.mbz"), b"no archive")?;
    std::fs::write(at("notes.txt"), b"not sent")?;
    let path = folder.path().to_string_lossy().into_owned();
    let push = ["push", path.as_str(), "--course", "moodle{id}", "--area", "automated", "--after", "remove"];

    let output = run(&app, &push).await?;
    ensure!(output.status.code() == Some(1), "{output:?}");
    let told: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(told["archives"].as_array().map(Vec::len), Some(2));
    ensure!(
        told["archives"][1]["refused"].as_str().is_some_and(|text| text.starts_with("ARCHIVE_")),
        "{told}"
    );
    let archive = app.archive(told["archives"][0]["archive"].as_str().context("an archive")?).await?;
    assert_eq!(archive.course, "sites/main/courses/moodle7");
    ensure!(!at("backup-moodle2-course-7-x-20260301-0210.mbz").exists(), "stored, so removed");
    ensure!(at("backup-moodle2-course-8-y-20260301-0211.mbz").exists(), "refused, so kept");

    let again = document(&app, &push).await?;
    assert_eq!(again["archives"], Value::Array(Vec::new()));
    assert_eq!(app.archives(true).await?.len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_are_managed_on_the_command_line() -> Result<()> {
    let app = TestApp::start().await?;
    let name = app.upload(&fixture("gen_xs-nu.mbz")?).await?.name;
    let other = app.send(upload(header("other.mbz"), &fixture("rich101-section3.mbz")?)).await?.name;
    let (id, count) = (name.rsplit('/').next().context("an id")?, |document: &Value| {
        document["archives"].as_array().map_or(0, Vec::len)
    });

    let described = document(&app, &["describe", id, "before the exam"]).await?;
    assert_eq!(described["description"], "before the exam");
    let held = document(&app, &["hold", id, "--reason", "an appeal"]).await?;
    assert_eq!(held["hold"]["reason"], "an appeal");
    assert_eq!(refusal(&app, &["rm", id]).await?, "ARCHIVE_HELD");
    let shared = document(&app, &["share", id, "lms", "--days", "2", "--note", "as you asked"]).await?;
    assert_eq!(shared["shares"][0]["principal"], "lms");
    assert_eq!(refusal(&app, &["share", id, "lms", "--days", "91"]).await?, "FIELD_INVALID");

    assert_eq!(count(&document(&app, &["ls"]).await?), 2);
    let listed = document(&app, &["ls", "--filter", "hold:*", "--order", "size_bytes desc"]).await?;
    assert_eq!((count(&listed), &listed["archives"][0]["name"]), (1, &Value::from(name.as_str())));
    let listed = document(&app, &["ls", "archives", "--order", "name desc"]).await?;
    assert_eq!(listed["archives"][0]["name"], other.as_str());
    assert_eq!(count(&document(&app, &["ls", "--shared"]).await?), 0);
    assert_eq!(refusal(&app, &["ls", "--filter", "colour = red"]).await?, "FIELD_INVALID");

    let ended = document(&app, &["share", id, "lms", "--end"]).await?;
    assert_eq!(ended["shares"], Value::Array(Vec::new()));
    let free = document(&app, &["hold", id, "--release", "--reason", "decided"]).await?;
    ensure!(free["hold"].is_null(), "{free}");
    let deleted = document(&app, &["rm", id]).await?;
    ensure!(deleted["delete_time"].is_string() && deleted["purge_time"].is_string(), "{deleted}");
    assert_eq!(count(&document(&app, &["ls"]).await?), 1);
    assert_eq!(count(&document(&app, &["ls", "--deleted"]).await?), 2);
    let live = document(&app, &["undelete", id]).await?;
    ensure!(live["delete_time"].is_null() && live["description"] == "before the exam", "{live}");

    let site = document(&app, &["site", "--language", "fr", "--time-zone", "Europe/Paris"]).await?;
    assert_eq!((&site["language"], &site["time_zone"]), (&"fr".into(), &"Europe/Paris".into()));
    assert_eq!(document(&app, &["site"]).await?, site);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_imported_and_listed_on_the_command_line() -> Result<()> {
    let app = TestApp::start().await?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("users.csv");
    std::fs::write(
        &file,
        "id,username,email,idnumber,deleted\n3,zoe,Zoe@x.org,N3,0\n4,bob,,,1\n5,bob,,,0\n6,ann,,,0\n",
    )?;
    let file = file.to_str().context("a path")?;
    let counts = |told: &Value| ["created_count", "refused_count"].map(|name| told[name].as_i64());
    let dry = document(&app, &["users", "import", file, "--dry-run"]).await?;
    let told = document(&app, &["users", "import", file]).await?;
    assert_eq!(dry, told);
    assert_eq!(counts(&told), [Some(2), Some(2)]);
    assert_eq!(told["refused"][0]["reason"], "REASON_REPEATED_NAME");
    let listed = document(&app, &["users", "ls"]).await?;
    assert_eq!(listed["users"].as_array().map(Vec::len), Some(2));
    let listed = document(&app, &["users", "ls", "--email", "ZOE@X.ORG", "--deleted"]).await?;
    assert_eq!(listed["users"][0]["id_number"], "N3");
    std::fs::write(file, "id,username\nx,y\n")?;
    let output = run(&app, &["users", "import", file]).await?;
    ensure!(output.status.code() == Some(64), "{output:?}");

    let site = document(&app, &["site", "--wwwroot", "https://moodle.example.org"]).await?;
    assert_eq!(site["wwwroot"], "https://moodle.example.org");
    let listed = document(&app, &["ls", "courses", "nothing of that name"]).await?;
    assert_eq!(listed["courses"], Value::Array(Vec::new()));
    Ok(())
}
