//! Round trips: what goes into a course by a restore comes out of it again, and what was there before stays as it was.

use anyhow::{Context, Result, ensure};
use coursevault::proto::existing_course::Contents;
use coursevault::proto::*;

use crate::app::TestApp;
use crate::client::*;

/// Where a course tells its names: a restored one beside its original has others.
const NAMES: [&str; 4] = [
    "/moodle_backup/information/original_course_fullname",
    "/moodle_backup/information/original_course_shortname",
    "/course/fullname",
    "/course/shortname",
];

/// Differences whatever ids both have, but for names and the times at which they were made.
async fn differences(app: &TestApp, a: &str, b: &str) -> Result<Vec<comparison::Difference>> {
    let request = CompareArchivesRequest {
        a: a.into(),
        b: b.into(),
        limit: 1000,
        ignore_ids: true,
        ..Default::default()
    };
    let told = app.backups().compare_archives(request).await?.into_inner().comparison.context("it")?;
    ensure!(told.difference_count <= 1000, "{} differences", told.difference_count);
    Ok(told.differences.into_iter().filter(|each| !NAMES.contains(&each.path.as_str())).collect())
}

async fn restored(app: &TestApp, request: CreateRestoreRequest) -> Result<JobResult> {
    let job = app.restores().create_restore(request).await?.into_inner().job.context("a job")?;
    app.result_of(&job).await
}

/// A backup of a course that was restored equals the archive that it was restored of, up to ids and names.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_restored_course_is_the_archive_again() -> Result<()> {
    let app = TestApp::start().await?;
    for (number, name) in ["rich101-full-zip.mbz", "gen_xs-full.mbz", "rich101-zip-an.mbz"].iter().enumerate()
    {
        let archive = app.upload(&fixture(name)?).await?;
        let course = format!("round{number}");
        let result = restored(&app, restore_request(&archive.name, &course)).await?;
        ensure!(result.proof.iter().all(|proof| proof.difference == 0), "{name}: {:?}", result.proof);
        let job = app.backup(&format!("{MAIN}/courses/{course}")).await?;
        let backup = app.result_of(&job).await?.archive;
        let differences = differences(&app, &archive.name, &backup).await?;
        ensure!(differences.is_empty(), "{name}: {differences:?}");
    }
    Ok(())
}

/// Merging changes no member of the course but those that list what is in it.
#[tokio::test(flavor = "multi_thread")]
async fn a_merge_leaves_the_activities_of_the_course_as_they_are() -> Result<()> {
    let app = TestApp::start().await?;
    let target = fixture("gen_xs-full.mbz")?;
    let there = app.upload(&target).await?;
    let course = format!("{MAIN}/courses/target");
    for archive in ["rich101-full-zip.mbz", "rich101-section3.mbz", "rich101-activity-quiz.mbz"] {
        let live = app.courses().get_course(GetCourseRequest { name: course.clone() }).await;
        let parent = live.ok().and_then(|live| live.into_inner().course).unwrap_or_default().live_revision;
        app.publish(&course, &there.name, &parent).await?;
        let archive = app.upload(&fixture(archive)?).await?;
        let contents = Contents::Merge.into();
        let into = ExistingCourse { course: course.clone(), contents };
        let request = CreateRestoreRequest {
            archive: archive.name,
            target: Some(create_restore_request::Target::ExistingCourse(into)),
            ..Default::default()
        };
        restored(&app, request).await?;
        let (before, after) =
            (members(&target)?, members(&app.download_course(&course, Container::Zip).await?.bytes)?);
        for (path, content) in &before {
            let is_own = path.starts_with("activities/") || path.starts_with("files/");
            ensure!(!is_own || after.get(path) == Some(content), "{path} is another");
            ensure!(after.contains_key(path), "{path} is gone");
        }
        ensure!(after.len() > before.len(), "nothing came in");
    }
    Ok(())
}
