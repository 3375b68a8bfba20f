//! Restores into courses that are there: merged, with the contents deleted first, looked at before, and taken back.

use anyhow::{Context, Result, ensure};
use coursevault::proto::existing_course::Contents;
use coursevault::proto::*;
use tonic::Code;

use crate::app::TestApp;
use crate::client::*;
use crate::errors::{Detail, refused_with};

fn existing(course: &str, contents: Contents) -> ExistingCourse {
    ExistingCourse { course: course.to_owned(), contents: contents.into() }
}

fn request(archive: &str, course: &str, contents: Contents) -> CreateRestoreRequest {
    let target = create_restore_request::Target::ExistingCourse(existing(course, contents));
    CreateRestoreRequest { archive: archive.to_owned(), target: Some(target), ..Default::default() }
}

async fn planned(app: &TestApp, archive: &str, course: &str, contents: Contents) -> Result<RestorePlan> {
    let target = plan_restore_request::Target::ExistingCourse(existing(course, contents));
    let request =
        PlanRestoreRequest { archive: archive.to_owned(), target: Some(target), ..Default::default() };
    app.restores().plan_restore(request).await?.into_inner().plan.context("a plan")
}

fn count<'p>(plan: &'p RestorePlan, kind: &str) -> Result<&'p RestoreCount> {
    plan.counts.iter().find(|count| count.kind == kind).with_context(|| format!("no {kind}"))
}

async fn inspected(app: &TestApp, course: &str, id: &str) -> Result<Inspection> {
    let fetched = app.download_course(course, Container::Zip).await?;
    let archive = app.upload(&fetched.bytes).await.with_context(|| id.to_owned())?;
    let request = InspectArchiveRequest { name: archive.name };
    app.backups().inspect_archive(request).await?.into_inner().inspection.context("an inspection")
}

/// An archive is merged into another course: what is there stays, what comes in is there in full, and it can be undone.
#[tokio::test(flavor = "multi_thread")]
async fn an_archive_is_merged_into_another_course_and_taken_out_again() -> Result<()> {
    let app = TestApp::start().await?;
    let rich = app.upload(&fixture("rich101-full-zip.mbz")?).await?;
    let small = app.upload(&fixture("gen_xs-full.mbz")?).await?;
    let course = format!("{MAIN}/courses/rich");
    app.publish(&course, &rich.name, "").await?;
    let before = inspected(&app, &course, "before").await?;

    let plan = planned(&app, &small.name, &course, Contents::Merge).await?;
    ensure!(!plan.blocked && plan.revision == format!("{course}/revisions/1"), "{plan:?}");
    let modules = count(&plan, "course_module")?.created;
    ensure!(modules > 0 && count(&plan, "course_section")?.created == 0, "{:?}", plan.counts);

    let mut merge = request(&small.name, &course, Contents::Merge);
    merge.plan_token = plan.plan_token;
    let job = app.restores().create_restore(merge.clone()).await?.into_inner().job.context("a job")?;
    let result = app.result_of(&job).await?;
    ensure!(result.revision == format!("{course}/revisions/2"), "{result:?}");
    for proof in &result.proof {
        ensure!(proof.found == proof.expected || proof.reason.contains("as planned"), "{proof:?}");
        ensure!(!proof.reason.contains("not there"), "{proof:?}");
    }
    let after = inspected(&app, &course, "after").await?;
    ensure!(after.activities.len() == before.activities.len() + usize::try_from(modules)?, "activities");
    ensure!(after.sections.len() == before.sections.len(), "sections");
    for activity in &before.activities {
        ensure!(after.activities.contains(activity), "{activity:?} is not there any more");
    }
    // The plan is of a state that is no more.
    merge.request_id = String::new();
    let stale = app.restores().create_restore(merge).await;
    refused_with(stale, Code::FailedPrecondition, "PLAN_STALE", &Detail::None)?;

    app.result_of(&app.rollback(&job.name).await?).await?;
    let back = app.download_course(&course, Container::Zip).await?;
    ensure!(members(&back.bytes)? == members(&fixture("rich101-full-zip.mbz")?)?, "the course is as it was");
    Ok(())
}

/// A second merge doubles activities and nothing that a course has by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_merge_finds_what_the_first_brought() -> Result<()> {
    let app = TestApp::start().await?;
    let rich = app.upload(&fixture("rich101-full-zip.mbz")?).await?;
    let course = format!("{MAIN}/courses/rich");
    app.publish(&course, &rich.name, "").await?;
    let modules = inspected(&app, &course, "before").await?.activities.len();
    for round in 2..4_usize {
        let job = app.restores().create_restore(request(&rich.name, &course, Contents::Merge)).await?;
        let result = app.result_of(&job.into_inner().job.context("a job")?).await?;
        let is_there = result.proof.iter().all(|proof| !proof.reason.contains("not there"));
        ensure!(is_there, "{:?}", result.proof);
        for kind in
            ["user", "group", "grouping", "question_category", "question_bank_entry", "course_section"]
        {
            let proof = result.proof.iter().find(|proof| proof.kind == kind);
            let proof = proof.with_context(|| format!("no {kind}"))?;
            ensure!(proof.matched == proof.found && proof.found > 0, "{round}: {proof:?}");
        }
        ensure!(inspected(&app, &course, "again").await?.activities.len() == modules * round, "{round}");
    }
    Ok(())
}

/// Contents are deleted first only for who has looked and says the course's name; the result is the archive's contents.
#[tokio::test(flavor = "multi_thread")]
async fn contents_are_deleted_first_only_with_plan_and_name() -> Result<()> {
    let app = TestApp::start().await?;
    let rich = app.upload(&fixture("rich101-full-zip.mbz")?).await?;
    let small = app.upload(&fixture("gen_xs-full.mbz")?).await?;
    let course = format!("{MAIN}/courses/rich");
    app.publish(&course, &rich.name, "").await?;
    let mut delete = request(&small.name, &course, Contents::Delete);
    let told = app.restores().create_restore(delete.clone()).await;
    refused_with(told, Code::FailedPrecondition, "PLAN_REQUIRED", &Detail::None)?;
    delete.plan_token = planned(&app, &small.name, &course, Contents::Delete).await?.plan_token;
    delete.course_name = "gen_xs".into();
    let told = app.restores().create_restore(delete.clone()).await;
    refused_with(told, Code::FailedPrecondition, "COURSE_NAME_REQUIRED", &Detail::None)?;
    delete.course_name = "RICH101".into();
    let job = app.restores().create_restore(delete).await?.into_inner().job.context("a job")?;
    let result = app.result_of(&job).await?;
    ensure!(result.proof.iter().all(|proof| !proof.reason.contains("not there")), "{:?}", result.proof);
    let after = inspected(&app, &course, "after").await?;
    let request = InspectArchiveRequest { name: small.name.clone() };
    let brought = app.backups().inspect_archive(request).await?.into_inner().inspection.context("it")?;
    ensure!(after.activities.len() == brought.activities.len(), "only what came in is there");
    let row = app.courses().get_course(GetCourseRequest { name: course.clone() }).await?;
    let row = row.into_inner().course.context("a course")?;
    ensure!(row.short_name == "RICH101", "the course keeps its names: {row:?}");
    app.result_of(&app.rollback(&job.name).await?).await?;
    let back = app.download_course(&course, Container::Zip).await?;
    ensure!(members(&back.bytes)? == members(&fixture("rich101-full-zip.mbz")?)?, "the course is as it was");
    Ok(())
}
