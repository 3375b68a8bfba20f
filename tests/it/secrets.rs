//! What never leaves the server by its logs: people, and secrets. A whole run, with everything logged that can be.

use std::net::TcpListener;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use coursevault::config::Config;
use coursevault::proto::*;
use secrecy::SecretString;
use tonic::Request;

use crate::app::eventually;
use crate::client::*;

const TOKEN: &str = "cv_0123456789abcdef-the-token-itself";

fn by_root<T>(message: T) -> Result<Request<T>> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {TOKEN}").parse()?);
    Ok(request)
}

/// Names and addresses of the people in an archive, as its `users.xml` has them.
fn people(archive: &[u8]) -> Result<Vec<String>> {
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(archive))?;
    let text = std::io::read_to_string(zip.by_name("users.xml")?)?;
    let mut found = Vec::new();
    for element in ["username", "email", "lastname", "firstname"] {
        for part in text.split(&format!("<{element}>")).skip(1) {
            let value = part.split('<').next().unwrap_or_default();
            // Words such as "User" or "admin" stand in logs for other reasons.
            if value.len() > 6
                && value.contains(|c: char| c == '@' || c == '.' || c.is_ascii_digit() || !c.is_ascii())
            {
                found.push(value.to_owned());
            }
        }
    }
    ensure!(found.len() > 3, "the fixture has people: {found:?}");
    Ok(found)
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_of_a_whole_run_name_nobody_and_hold_no_secret() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let config = folder.path().join("config.toml");
    let log = folder.path().join("log");
    std::fs::write(
        &config,
        format!(
            "log = \"info,coursevault=trace,sqlx=debug,h2=info\"\n[[tokens]]\nprincipal = \"root\"\nadministrator = true\nsha256 = \"{}\"\n",
            sha256(TOKEN.as_bytes())
        ),
    )?;
    let mut process = Command::new(env!("CARGO_BIN_EXE_coursevault"))
        .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--config"])
        .arg(&config)
        .arg("--data")
        .arg(folder.path().join("data"))
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&log)?)
        .spawn()?;
    let url = format!("http://127.0.0.1:{port}");
    let ran = async {
        let app = eventually("the server answers", || async { Ok(Client::connect(&url).await.ok()) }).await?;
        work(&app).await
    }
    .await;
    process.kill()?;
    process.wait()?;
    ran?;
    let log = std::fs::read_to_string(&log)?;
    ensure!(log.contains("job succeeded"), "the log is there: {log}");
    for secret in people(&fixture("rich101-full-zip.mbz")?)?.iter().map(String::as_str).chain([TOKEN]) {
        let line = log.lines().find(|line| line.contains(secret));
        ensure!(line.is_none(), "{secret:?} is logged: {line:?}");
    }
    Ok(())
}

/// An archive with people comes in, becomes a course, is backed up, restored, asked for in wrong ways, and its people imported.
async fn work(app: &Client) -> Result<()> {
    let bytes = fixture("rich101-full-zip.mbz")?;
    let parts =
        upload(header("rich.mbz"), &bytes).into_iter().map(|part| UploadBackupRequest { part: Some(part) });
    let request = by_root(futures::stream::iter(parts.collect::<Vec<_>>()))?;
    let archive =
        app.backups().upload_backup(request).await?.into_inner().archive.context("an archive")?.name;
    let course = "sites/main/courses/rich";
    let publish =
        PublishRevisionRequest { course: course.into(), archive: archive.clone(), ..Default::default() };
    app.courses().publish_revision(by_root(publish)?).await?;
    let backup = CreateBackupRequest { course: course.into(), ..Default::default() };
    let backup = app.backups().create_backup(by_root(backup)?).await?.into_inner().job.context("a job")?;
    let restore = app.restores().create_restore(by_root(restore_request(&archive, "copy"))?).await?;
    let restore = restore.into_inner().job.context("a job")?;
    for job in [backup.name, restore.name] {
        let wait =
            WaitJobRequest { name: job, timeout: Some(prost_types::Duration { seconds: 60, nanos: 0 }) };
        let ended = app.jobs().wait_job(by_root(wait)?).await?.into_inner().job.context("a job")?;
        ensure!(ended.state() == job::State::Succeeded, "{ended:?}");
    }
    for name in people(&bytes)? {
        let list = ListUsersRequest { parent: MAIN.into(), user_name: name.clone(), ..Default::default() };
        app.admin().list_users(by_root(list)?).await?;
        let list = ListUsersRequest { parent: MAIN.into(), email: name, ..Default::default() };
        app.admin().list_users(by_root(list)?).await?;
    }
    let cut = upload(header("cut.mbz"), &bytes[..bytes.len() / 2]);
    let parts: Vec<_> = cut.into_iter().map(|part| UploadBackupRequest { part: Some(part) }).collect();
    ensure!(app.backups().upload_backup(by_root(futures::stream::iter(parts))?).await.is_err());
    let read = ReadArchiveMemberRequest { name: archive, path: "users.xml".into() };
    app.backups().read_archive_member(by_root(read)?).await?;
    Ok(())
}

#[test]
fn the_configuration_shows_no_secret() {
    let mut config = Config::embedded("data".into());
    config.catalog_url = Some(SecretString::from("postgres://u:pass-word@host/db"));
    assert!(!format!("{config:?}").contains("pass-word"));
}
