//! Care of what is stored, through the front door: what is damaged is found and named.

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use coursevault::proto::*;
use coursevault::vault::fault::{Fault, Operation};

use crate::app::TestApp;
use crate::client::*;

/// Flips a bit of a file.
fn damage(path: &Path, offset: u64) -> Result<()> {
    let mut file = std::fs::OpenOptions::new().read(true).write(true).open(path)?;
    let mut byte = [0];
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(&mut byte)?;
    file.seek(SeekFrom::Start(offset))?;
    Ok(file.write_all(&[byte[0] ^ 1])?)
}

async fn verified(app: &TestApp, archive: &str) -> Result<(JobResult, Verification)> {
    let request = VerifyArchiveRequest { name: archive.into(), ..Default::default() };
    let job = app.backups().verify_archive(request).await?.into_inner().job.context("a job")?;
    let result = app.result_of(&job).await?;
    Ok((result, app.archive(archive).await?.verification.context("a verification")?))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_byte_is_checked_on_sqlite() -> Result<()> {
    finds_damage(TestApp::start().await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_byte_is_checked_on_postgres() -> Result<()> {
    finds_damage(TestApp::on_postgres().await?).await
}

async fn finds_damage(app: TestApp) -> Result<()> {
    let name = app.upload(&fixture("rich101-full-zip.mbz")?).await?.name;
    ensure!(app.archive(&name).await?.verification.is_none());
    let (result, sound) = verified(&app, &name).await?;
    ensure!(result.findings.is_empty() && sound.damage.is_empty() && sound.verify_time.is_some());

    let packs = app.stored_files("packs");
    ensure!(packs.len() == 1);
    damage(&packs[0], 64)?;
    let (result, hurt) = verified(&app, &name).await?;
    // Every member that has the damaged content, and no other.
    let told = usize::try_from(hurt.damaged_member_count)?;
    ensure!(told > 0 && told == hurt.damage.len() && told < 100, "{hurt:?}");
    ensure!(hurt.damage == result.findings && hurt.damage[0].code == "CONTENT_DAMAGED");
    let member = ReadArchiveMemberRequest { name: name.clone(), path: hurt.damage[0].path.clone() };
    let mut stream = app.backups().read_archive_member(member).await?.into_inner();
    let read = async {
        while stream.message().await?.is_some() {}
        Ok::<_, tonic::Status>(())
    };
    let refused = read.await.err().context("the damaged member cannot be read")?;
    ensure!(crate::errors::reason(&refused) == "STORAGE_CORRUPT", "{refused:?}");

    // What is whole again is told so, and a check of all names the archives.
    damage(&packs[0], 64)?;
    ensure!(verified(&app, &name).await?.1.damage.is_empty());
    std::fs::remove_file(&packs[0])?;
    let (_, gone) = verified(&app, &name).await?;
    ensure!(gone.damage[0].code == "TREE_DAMAGED" && gone.damaged_member_count > 1, "{gone:?}");
    let request = VerifyArchivesRequest { parent: MAIN.into(), ..Default::default() };
    let job = app.admin().verify_archives(request).await?.into_inner().job.context("a job")?;
    let findings = app.result_of(&job).await?.findings;
    ensure!(findings.len() == 1 && findings[0].path == name, "{findings:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn all_archives_are_checked_on_s3() -> Result<()> {
    let app = TestApp::on_s3().await?;
    for file in ["gen_xs-full.mbz", "gen_xs-nu.mbz", "rich101-bare-nu.mbz"] {
        app.upload(&fixture(file)?).await?;
    }
    let request = VerifyArchivesRequest { parent: MAIN.into(), archive_count: 2, ..Default::default() };
    for expected in [2, 3] {
        let job = app.admin().verify_archives(request.clone()).await?.into_inner().job.context("a job")?;
        ensure!(app.result_of(&job).await?.findings.is_empty());
        let archives = app.archives(false).await?;
        let done = archives.iter().filter(|archive| archive.verification.is_some()).count();
        ensure!(done == expected, "those that waited longest come first: {done}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_that_fails_is_no_damage() -> Result<()> {
    let app = TestApp::start().await?;
    let name = app.upload(&fixture("gen_xs-full.mbz")?).await?.name;
    app.faults().fail(Operation::Get, 1, Fault::Unavailable);
    let request = VerifyArchiveRequest { name: name.clone(), ..Default::default() };
    let job = app.backups().verify_archive(request).await?.into_inner().job.context("a job")?;
    let ended = app.ended(&job.name).await?;
    ensure!(ended.state() == job::State::Succeeded && ended.attempts == 2, "{ended:?}");
    ensure!(app.archive(&name).await?.verification.context("a verification")?.damage.is_empty());
    Ok(())
}
