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

/// A collection that takes nothing for too young.
fn collection() -> CollectGarbageRequest {
    let min_age = Some(prost_types::Duration::default());
    CollectGarbageRequest { parent: MAIN.into(), min_age, ..Default::default() }
}

async fn collect(app: &TestApp, request: CollectGarbageRequest) -> Result<Garbage> {
    let job = app.admin().collect_garbage(request).await?.into_inner().job.context("a job")?;
    app.result_of(&job).await?.garbage.context("garbage")
}

fn amount(amount: Option<garbage::Amount>) -> i64 {
    amount.unwrap_or_default().count
}

/// Removes an archive's row, as a purge does.
async fn purge(app: &TestApp, name: &str) -> Result<()> {
    let name: coursevault::ids::ArchiveName = name.parse()?;
    let mut tx = app.engine.catalog().begin().await?;
    tx.reject_archive(&name.site, &name.archive).await?;
    Ok(tx.commit().await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_goes_and_nothing_else_on_sqlite() -> Result<()> {
    collects(TestApp::start().await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_goes_and_nothing_else_on_postgres() -> Result<()> {
    collects(TestApp::on_postgres().await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_goes_and_nothing_else_on_s3() -> Result<()> {
    collects(TestApp::on_s3().await?).await
}

async fn collects(app: TestApp) -> Result<()> {
    let kept = app.upload(&fixture("rich101-full-zip.mbz")?).await?.name;
    let gone = app.upload(&fixture("gen_s-nf.mbz")?).await?.name;
    let before = app.download(&kept, Container::Zip).await?.bytes;
    app.publish(&format!("{MAIN}/courses/c"), &kept, "").await?;
    // Nothing is garbage, and nothing goes.
    let garbage = collect(&app, collection()).await?;
    ensure!(amount(garbage.dead) + amount(garbage.orphans) + amount(garbage.removed) == 0, "{garbage:?}");
    purge(&app, &gone).await?;
    // What is younger than the minimum age stays; a dry run changes nothing.
    let young = collect(&app, CollectGarbageRequest { min_age: None, ..collection() }).await?;
    ensure!(amount(young.dead) == 0, "{young:?}");
    let told = collect(&app, CollectGarbageRequest { dry_run: true, ..collection() }).await?;
    ensure!(told.dry_run && amount(told.dead) == 1 && app.report().await?.pack_count == 3, "{told:?}");
    let garbage = collect(&app, collection()).await?;
    ensure!(amount(garbage.dead) == 1 && amount(garbage.removed) == 1, "{garbage:?}");
    let report = app.report().await?;
    ensure!(report.pack_count == 2 && report.condemned_bytes == 0, "{report:?}");
    ensure!(app.download(&kept, Container::Zip).await?.bytes == before);
    // The same archive again is stored anew, whole.
    let again = app.upload(&fixture("gen_s-nf.mbz")?).await?.name;
    ensure!(verified(&app, &again).await?.0.findings.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn small_packs_are_put_together_and_archives_keep_their_bytes() -> Result<()> {
    let app = TestApp::start().await?;
    let bytes = fixture("gen_xs-full.mbz")?;
    let mut names = Vec::new();
    for _ in 0..45 {
        names.push(app.upload(&bytes).await?.name);
    }
    let first = app.download(&names[0], Container::TarGz).await?.bytes;
    for name in &names[1..10] {
        purge(&app, name).await?;
    }
    let garbage = collect(&app, CollectGarbageRequest { accept_most: true, ..collection() }).await?;
    ensure!(amount(garbage.dead) == 9 && amount(garbage.rewritten) == 36, "{garbage:?}");
    ensure!(amount(garbage.repacked) == 1 && amount(garbage.removed) == 45, "{garbage:?}");
    ensure!(app.stored_files("packs").len() == 1);
    for name in names[10..].iter().chain(&names[..1]) {
        ensure!(app.download(name, Container::TarGz).await?.bytes == first, "{name} has other bytes");
    }
    ensure!(verified(&app, &names[0]).await?.0.findings.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn too_much_garbage_is_refused() -> Result<()> {
    let app = TestApp::start().await?;
    let bytes = fixture("gen_xs-full.mbz")?;
    let mut names = Vec::new();
    for _ in 0..10 {
        names.push(app.upload(&bytes).await?.name);
    }
    for name in &names {
        purge(&app, name).await?;
    }
    let job = app.admin().collect_garbage(collection()).await?.into_inner().job.context("a job")?;
    let ended = app.ended(&job.name).await?;
    let problem = ended.problem.clone().unwrap_or_default();
    ensure!(ended.state() == job::State::Failed && problem.reason == "COLLECTION_REFUSED", "{ended:?}");
    ensure!(app.stored_files("packs").len() == 10);
    let garbage = collect(&app, CollectGarbageRequest { accept_most: true, ..collection() }).await?;
    ensure!(amount(garbage.removed) == 10, "{garbage:?}");
    // Another deployment stores there, too: everything of it would look like garbage.
    let storage = app.engine.vault().storage(&"primary".parse()?)?;
    storage.claim("0190a5f3-0000-7000-8000-000000000001".parse()?, &[]).await?;
    let job = app.admin().collect_garbage(collection()).await?.into_inner().job.context("a job")?;
    ensure!(app.ended(&job.name).await?.problem.unwrap_or_default().reason == "COLLECTION_REFUSED");
    Ok(())
}

/// Everything that callers see of the site and that a rebuild brings back.
async fn seen(app: &TestApp) -> Result<Vec<String>> {
    let mut seen = Vec::new();
    for mut archive in app.archives(true).await? {
        let bytes = match archive.delete_time {
            None => blake3::hash(&app.download(&archive.name, Container::Zip).await?.bytes).to_string(),
            Some(_) => String::new(),
        };
        // Versions begin anew, and so does what is found out with time.
        archive.etag.clear();
        archive.update_time = None;
        // The journal tells the time by its own clock, a few milliseconds away.
        archive.delete_time = None;
        archive.hold.iter_mut().for_each(|hold| hold.create_time = None);
        archive.shares.iter_mut().for_each(|share| share.create_time = None);
        archive.forms.iter_mut().for_each(|form| form.sha256.clear());
        archive.verification = None;
        seen.push(format!("{archive:?} {bytes}"));
    }
    let request = ListCoursesRequest { parent: MAIN.into(), ..Default::default() };
    for mut course in app.courses().list_courses(request).await?.into_inner().courses {
        course.etag.clear();
        course.update_time = None;
        course.create_time = None;
        let revisions = ListRevisionsRequest { parent: course.name.clone(), ..Default::default() };
        let revisions = app.courses().list_revisions(revisions).await?.into_inner().revisions;
        let bytes = app.download_course(&course.name, Container::Zip).await?.bytes;
        seen.push(format!("{course:?} {revisions:?} {}", blake3::hash(&bytes)));
    }
    let users = ListUsersRequest { parent: MAIN.into(), page_size: 1000, ..Default::default() };
    for mut user in app.admin().list_users(users).await?.into_inner().users {
        user.create_time = None;
        user.update_time = None;
        seen.push(format!("{user:?}"));
    }
    let roles = ListRolesRequest { parent: MAIN.into(), ..Default::default() };
    seen.push(format!("{:?}", app.admin().list_roles(roles).await?.into_inner().roles));
    seen.sort();
    Ok(seen)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalog_is_made_anew_on_sqlite() -> Result<()> {
    rebuilds(TestApp::start().await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalog_is_made_anew_on_postgres() -> Result<()> {
    rebuilds(TestApp::on_postgres().await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalog_is_made_anew_on_s3() -> Result<()> {
    rebuilds(TestApp::on_s3().await?).await
}

async fn rebuilds(app: TestApp) -> Result<()> {
    let course = format!("{MAIN}/courses/c");
    let mut names = Vec::new();
    for file in ["rich101-full-tgz.mbz", "gen_xs-full.mbz", "gen_s-nf.mbz", "rich101-bare-nu.mbz"] {
        names.push(app.upload(&fixture(file)?).await?.name);
    }
    let first = app.publish(&course, &names[0], "").await?.name;
    app.result_of(&app.backup(&course).await?).await?;
    let restored = app.restore(&names[1], "restored").await?;
    app.result_of(&restored).await?;
    app.publish(&course, &names[3], &first).await?;
    let gone = app.restore(&names[1], "gone").await?;
    app.result_of(&gone).await?;
    app.result_of(&app.rollback(&gone.name).await?).await?;
    let hold = PlaceHoldRequest { name: names[0].clone(), reason: "an appeal".into(), ..Default::default() };
    app.backups().place_hold(hold).await?;
    let described = Archive { name: names[1].clone(), description: "before".into(), ..Default::default() };
    let update = UpdateArchiveRequest { archive: Some(described), ..Default::default() };
    app.backups().update_archive(update).await?;
    app.backups().share_archive(crate::areas::share(&names[1], "ben", 3600)).await?;
    let delete = DeleteArchiveRequest { name: names[2].clone(), ..Default::default() };
    app.backups().delete_archive(delete).await?;
    let before = seen(&app).await?;
    let (app, rebuilt) = app.rebuilt().await?;
    ensure!(rebuilt.damaged.is_empty() && rebuilt.orphaned.is_empty(), "{rebuilt:?}");
    ensure!(rebuilt.archives == 5 && rebuilt.replaced.len() == 1, "{rebuilt:?}");
    let after = seen(&app).await?;
    for (one, other) in before.iter().zip(&after) {
        ensure!(one == other, "before: {one}\n after: {other}");
    }
    ensure!(before.len() == after.len());
    // It goes on: the deletion is taken back, the next restore and the next collection work.
    let undelete = UndeleteArchiveRequest { name: names[2].clone(), ..Default::default() };
    app.backups().undelete_archive(undelete).await?;
    app.result_of(&app.restore(&names[1], "another").await?).await?;
    collect(&app, collection()).await?;
    for name in &names {
        ensure!(verified(&app, name).await?.0.findings.is_empty(), "{name}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_up_is_not_adopted_and_what_is_damaged_is_told() -> Result<()> {
    let app = TestApp::start().await?;
    let kept = app.upload(&fixture("gen_xs-full.mbz")?).await?.name;
    let packs = app.stored_files("packs");
    let hurt = app.upload(&fixture("rich101-bare-nu.mbz")?).await?.name;
    let more = app.stored_files("packs");
    let last = more.iter().find(|pack| !packs.contains(pack)).context("its pack")?;
    // The footer: nobody can tell what lies in it.
    damage(last, std::fs::metadata(last)?.len() - 60)?;
    let (app, rebuilt) = app.rebuilt().await?;
    ensure!(rebuilt.damaged.len() == 1 && rebuilt.archives == 1, "{rebuilt:?}");
    let listed = app.archives(true).await?;
    ensure!(listed.len() == 1 && listed[0].name == kept && hurt != kept, "{listed:?}");
    Ok(())
}
