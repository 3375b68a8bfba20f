//! Looking before a restore: what stands against it, whom someone must decide about, and whether the plan still holds.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use coursevault::proto::existing_course::Contents;
use coursevault::proto::*;
use coursevault::vault::fault::{Fault, Operation};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::app::TestApp;
use crate::client::*;
use crate::errors::{Detail, refused, refused_with};

fn into(course: &str) -> ExistingCourse {
    ExistingCourse { course: course.to_owned(), contents: Contents::Merge.into() }
}

async fn planned(app: &TestApp, archive: &str, course: &str) -> Result<RestorePlan> {
    let target = plan_restore_request::Target::ExistingCourse(into(course));
    let request =
        PlanRestoreRequest { archive: archive.to_owned(), target: Some(target), ..Default::default() };
    app.restores().plan_restore(request).await?.into_inner().plan.context("a plan")
}

fn merge(archive: &str, course: &str, plan_token: &str) -> CreateRestoreRequest {
    let target = create_restore_request::Target::ExistingCourse(into(course));
    CreateRestoreRequest {
        archive: archive.to_owned(),
        target: Some(target),
        plan_token: plan_token.to_owned(),
        ..Default::default()
    }
}

/// What a refusal says has changed.
fn changed<T>(told: Result<T, Status>) -> Result<String> {
    let status = told.err().context("it was not refused")?;
    let info = status.get_details_error_info().context("an ErrorInfo")?;
    ensure!(info.reason == "PLAN_STALE" && status.code() == Code::FailedPrecondition, "{status:?}");
    info.metadata.get("changed").cloned().context("what changed")
}

/// Accounts as an administrator tells of them.
async fn import(app: &TestApp, users: Vec<User>) -> Result<()> {
    use import_users_request::Part;
    let header = ImportUsersHeader { parent: MAIN.into(), ..Default::default() };
    let messages = [Part::Header(header), Part::Rows(ImportUsersRows { users })];
    let messages = messages.map(|part| ImportUsersRequest { part: Some(part) });
    let told = app.admin().import_users(futures::stream::iter(messages)).await?.into_inner();
    ensure!(told.refused.is_empty(), "{told:?}");
    Ok(())
}

fn person(id: i64, name: &str) -> User {
    User { user_id: id, user_name: name.into(), email: format!("{name}@elsewhere.org"), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_plan_names_what_changed() -> Result<()> {
    let app = TestApp::start().await?;
    let rich = app.upload(&fixture("rich101-full-zip.mbz")?).await?;
    let small = app.upload(&fixture("gen_xs-full.mbz")?).await?;
    let course = format!("{MAIN}/courses/rich");
    app.publish(&course, &rich.name, "").await?;
    let plan = planned(&app, &small.name, &course).await?;
    let token = plan.plan_token.as_str();
    ensure!(plan.content_bytes > 0 && plan.new_bytes > 0, "{plan:?}");

    let check = |request: CreateRestoreRequest| {
        let mut restores = app.restores();
        let request = CreateRestoreRequest { validate_only: true, ..request };
        async move { restores.create_restore(request).await }
    };
    check(merge(&small.name, &course, token)).await?;
    refused(check(merge(&small.name, &course, "x")).await, Code::InvalidArgument, "FIELD_INVALID")?;
    let told = changed(check(merge(&rich.name, &course, token)).await)?;
    ensure!(told.contains("archive"), "{told}");
    let settings = RestoreSettings { groups: Some(false), ..Default::default() };
    let options = Some(RestoreOptions { settings: Some(settings), ..Default::default() });
    let other = CreateRestoreRequest { options, ..merge(&small.name, &course, token) };
    ensure!(changed(check(other).await)? == "options");

    // Somebody joins the directory who has nothing to do with it: the plan still holds.
    import(&app, vec![person(900_001, "nobody")]).await?;
    check(merge(&small.name, &course, token)).await?;
    // Accounts with the names of the archive's users are another matter.
    let names = members_named(&app, &small.name).await?;
    let taken = names.iter().zip(900_100..).map(|(name, id)| person(id, name)).collect();
    import(&app, taken).await?;
    ensure!(changed(check(merge(&small.name, &course, token)).await)? == "directory");

    app.publish(&course, &rich.name, &format!("{course}/revisions/1")).await?;
    ensure!(changed(check(merge(&small.name, &course, token)).await)? == "course");
    Ok(())
}

/// Names of the users in an archive.
async fn members_named(app: &TestApp, archive: &str) -> Result<BTreeSet<String>> {
    let text = String::from_utf8(member(app, archive, "users.xml").await?)?;
    let names = text.split("<username>").skip(1).filter_map(|rest| rest.split("</username>").next());
    Ok(names.map(str::to_owned).collect())
}

/// One member of an archive.
async fn member(app: &TestApp, archive: &str, path: &str) -> Result<Vec<u8>> {
    use read_archive_member_response::Part;
    let request = ReadArchiveMemberRequest { name: archive.into(), path: path.into() };
    let mut stream = app.backups().read_archive_member(request).await?.into_inner();
    let mut bytes = Vec::new();
    while let Some(message) = stream.message().await? {
        if let Some(Part::Chunk(chunk)) = message.part {
            bytes.extend_from_slice(&chunk.data);
        }
    }
    Ok(bytes)
}

async fn conflicts(
    app: &TestApp,
    archive: &str,
    options: &RestoreOptions,
    page_size: i32,
) -> Result<(Vec<UserConflict>, usize)> {
    let target = list_user_conflicts_request::Target::NewCourse(NewCourse::default());
    let mut request = ListUserConflictsRequest {
        archive: archive.to_owned(),
        target: Some(target),
        options: Some(options.clone()),
        page_size,
        page_token: String::new(),
    };
    let (mut all, mut pages) = (Vec::new(), 0);
    loop {
        let page = app.restores().list_user_conflicts(request.clone()).await?.into_inner();
        pages += 1;
        all.extend(page.user_conflicts);
        if page.next_page_token.is_empty() {
            ensure!(usize::try_from(page.total_size)? == all.len(), "{}", page.total_size);
            return Ok((all, pages));
        }
        request.page_token = page.next_page_token;
    }
}

/// All conflicts are fetched over pages, decided upon and sent back; nothing runs before.
#[tokio::test(flavor = "multi_thread")]
async fn conflicts_are_fetched_decided_and_sent_back() -> Result<()> {
    use user_mapping::{Create, Decision};
    let app = TestApp::start().await?;
    let rich = app.upload(&fixture("rich101-full-zip.mbz")?).await?;
    let names: Vec<String> = (1..=8).map(|number| format!("student{number:02}")).collect();
    import(&app, names.iter().zip(900_000..).map(|(name, id)| person(id, name)).collect()).await?;
    let none = RestoreOptions::default();
    let (all, pages) = conflicts(&app, &rich.name, &none, 3).await?;
    ensure!((all.len(), pages) == (8, 3), "{all:?}");
    ensure!(all.is_sorted_by_key(|conflict| conflict.user), "{all:?}");
    ensure!(all.iter().all(|conflict| conflict.code == "NAME_TAKEN" && conflict.accounts.len() == 1));
    ensure!(all == conflicts(&app, &rich.name, &none, 1000).await?.0);

    let told = app.restore(&rich.name, "blocked").await;
    // CreateRestore refuses what is wrong with archive and settings; users are looked at when it runs.
    let job = app.ended(&told?.name).await?;
    ensure!(job.problem.context("a problem")?.reason == "RESTORE_BLOCKED", "it ran");
    let gone = app.courses().get_course(GetCourseRequest { name: format!("{MAIN}/courses/blocked") }).await;
    refused_with(gone, Code::NotFound, "COURSE_NOT_FOUND", &Detail::None)?;

    let decide = |conflict: &UserConflict, place: usize| {
        let decision = match place % 4 {
            0 => Decision::MatchTo(conflict.accounts[0]),
            1 => Decision::Create(Create { user_name: format!("other{place}") }),
            2 => Decision::Drop(true),
            _ => Decision::Pseudonymise(true),
        };
        UserMapping { user: conflict.user, decision: Some(decision) }
    };
    let users: Vec<UserMapping> =
        all.iter().enumerate().map(|(place, conflict)| decide(conflict, place)).collect();
    let options = RestoreOptions { users, ..Default::default() };
    ensure!(conflicts(&app, &rich.name, &options, 0).await?.0.is_empty());
    let category = Some(CourseCategory { category_id: 77, name: "Chimie & Cie".into() });
    let new = NewCourse { course_id: "decided".into(), category };
    let request = CreateRestoreRequest {
        archive: rich.name.clone(),
        target: Some(create_restore_request::Target::NewCourse(new)),
        options: Some(options),
        ..Default::default()
    };
    let job = app.restores().create_restore(request).await?.into_inner().job.context("a job")?;
    let result = app.result_of(&job).await?;
    let users = result.proof.iter().find(|proof| proof.kind == "user").context("users")?;
    let planned = users.reasons.iter().find(|missing| missing.code == "PLANNED").context("dropped")?;
    ensure!(planned.count == 2 && users.found == users.expected - 2, "{users:?}");

    // The course is in its category, where the platform reads it.
    let fetched = app.download_course(&format!("{MAIN}/courses/decided"), Container::Zip).await?;
    let archive = app.upload(&fetched.bytes).await?;
    let text = String::from_utf8(member(&app, &archive.name, "course/course.xml").await?)?;
    ensure!(text.contains("<category id=\"77\">\n    <name>Chimie &amp; Cie</name>"), "{text}");
    let people = members_named(&app, &archive.name).await?;
    ensure!(people.contains("other1") && !people.contains("student03"), "{people:?}");
    Ok(())
}

/// What the result counts adds up, and every difference has a reason.
#[tokio::test(flavor = "multi_thread")]
async fn every_difference_is_explained() -> Result<()> {
    let app = TestApp::start().await?;
    let rich = app.upload(&fixture("rich101-full-zip.mbz")?).await?;
    let settings = RestoreSettings { users: Some(false), ..Default::default() };
    let selection = Selection { exclude: vec!["type:quiz".into()], ..Default::default() };
    let options =
        RestoreOptions { settings: Some(settings), selection: Some(selection), ..Default::default() };
    let target = create_restore_request::Target::NewCourse(NewCourse::default());
    let request = CreateRestoreRequest {
        archive: rich.name.clone(),
        target: Some(target),
        options: Some(options),
        ..Default::default()
    };
    let job = app.restores().create_restore(request).await?.into_inner().job.context("a job")?;
    let result = app.result_of(&job).await?;
    for proof in result.proof.iter().chain(&result.proof_summary) {
        let explained: i64 = proof.reasons.iter().map(|missing| missing.count).sum();
        ensure!(proof.difference == proof.held - proof.found && explained == proof.difference, "{proof:?}");
        ensure!(proof.reasons.iter().all(|missing| missing.code != "LOST"), "{proof:?}");
    }
    let sum =
        |kind: &str| result.proof_summary.iter().find(|proof| proof.kind == kind).context(kind.to_owned());
    for kind in ["users", "grades", "submissions", "posts", "attempts", "groups", "questions", "files"] {
        sum(kind)?;
    }
    ensure!(sum("posts")?.held > 0 && sum("posts")?.found == 0 && sum("attempts")?.found == 0);
    let activities = sum("activities")?;
    ensure!(activities.found > 0 && activities.difference > 0, "{activities:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_storage_is_found_before() -> Result<()> {
    let app = TestApp::start().await?;
    let rich = app.upload(&fixture("rich101-full-zip.mbz")?).await?;
    let course = format!("{MAIN}/courses/rich");
    app.publish(&course, &rich.name, "").await?;
    for operation in [Operation::Put, Operation::Begin, Operation::PutPart, Operation::Complete] {
        app.faults().fail_from(operation, 1, Fault::Full);
    }
    let plan = planned(&app, &rich.name, &course).await?;
    let finding = plan.findings.first().context("a finding")?;
    ensure!(plan.blocked && finding.code == "SPACE_SHORT" && !finding.path.is_empty(), "{finding:?}");
    // Who does not look first finds the course as it was.
    let job = app.restores().create_restore(merge(&rich.name, &course, "")).await?.into_inner().job;
    let job = app.ended(&job.context("a job")?.name).await?;
    let problem = job.problem.context("a problem")?;
    ensure!(problem.reason == "STORAGE_FULL", "{problem:?}");
    app.faults().clear();
    let row = app.courses().get_course(GetCourseRequest { name: course.clone() }).await?.into_inner();
    ensure!(row.course.context("a course")?.live_revision == format!("{course}/revisions/1"));
    let there = app.download_course(&course, Container::Zip).await?;
    ensure!(members(&there.bytes)? == members(&fixture("rich101-full-zip.mbz")?)?);
    Ok(())
}
