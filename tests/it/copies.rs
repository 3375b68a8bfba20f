//! Copies of courses: contents, names, dates, and taking a copy back.

use anyhow::{Context, Result, ensure};
use coursevault::proto::*;
use tonic::Code;

use crate::app::TestApp;
use crate::client::*;
use crate::errors::{Detail, refused, refused_with};

const COURSE: &str = "sites/main/courses/rich";
const DAY: i64 = 86_400;

async fn copy(app: &TestApp, request: CopyCourseRequest) -> Result<Job, tonic::Status> {
    let request = CopyCourseRequest { course: COURSE.into(), ..request };
    Ok(app.restores().copy_course(request).await?.into_inner().job.unwrap_or_default())
}

fn new(id: &str) -> Option<NewCourse> {
    Some(NewCourse { course_id: id.into(), category: None })
}

async fn inspected(app: &TestApp, archive: &str) -> Result<Inspection> {
    let request = InspectArchiveRequest { name: archive.into() };
    app.backups().inspect_archive(request).await?.into_inner().inspection.context("an inspection")
}

async fn published(app: &TestApp) -> Result<Inspection> {
    let archive = app.upload(&fixture("rich101-full-zip.mbz")?).await?;
    app.publish(COURSE, &archive.name, "").await?;
    inspected(app, &archive.name).await
}

/// One value of a document.
async fn value(app: &TestApp, archive: &str, path: &str, field: &str) -> Result<String> {
    let request = ReadArchiveMemberRequest { name: archive.into(), path: path.into() };
    let mut parts = app.backups().read_archive_member(request).await?.into_inner();
    let mut bytes = Vec::new();
    while let Some(part) = parts.message().await? {
        if let Some(read_archive_member_response::Part::Chunk(chunk)) = part.part {
            bytes.extend_from_slice(&chunk.data);
        }
    }
    let text = String::from_utf8(bytes)?;
    let inside = text.split(&format!("<{field}>")).nth(1).and_then(|rest| rest.split("</").next());
    Ok(inside.with_context(|| format!("{path}: {field}"))?.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_has_the_contents_without_people_and_a_name_of_its_own() -> Result<()> {
    names_of_copies(&TestApp::start().await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_on_postgres() -> Result<()> {
    names_of_copies(&TestApp::on_postgres().await?).await
}

async fn names_of_copies(app: &TestApp) -> Result<()> {
    let original = published(app).await?.original_course.context("a course")?;
    for (id, suffix) in [("one", "1"), ("two", "2")] {
        let job = copy(app, CopyCourseRequest { new_course: new(id), ..Default::default() }).await?;
        let result = app.result_of(&job).await?;
        ensure!(result.course == format!("sites/main/courses/{id}"), "{result:?}");
        let request = GetCourseRequest { name: result.course };
        let course = app.courses().get_course(request).await?.into_inner().course.context("a course")?;
        ensure!(course.full_name == format!("{} copy {suffix}", original.full_name), "{course:?}");
        ensure!(course.short_name == format!("{}_{suffix}", original.short_name), "{course:?}");
        let archive = app.archive(&result.archive).await?;
        ensure!(!archive.includes_users && archive.area() == Area::Private, "{archive:?}");
        let told = inspected(app, &result.archive).await?.original_course.context("a course")?;
        ensure!(told.full_name == course.full_name && told.start_time == original.start_time, "{told:?}");
        let name = value(app, &result.archive, "course/course.xml", "fullname").await?;
        ensure!(name == course.full_name, "{name}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn dates_move_with_the_start_and_nothing_else_does() -> Result<()> {
    let app = TestApp::start().await?;
    let original = published(&app).await?;
    let source = app.archives(false).await?.first().context("an archive")?.name.clone();
    let start = original.original_course.context("a course")?.start_time.context("a start")?;
    let request = CopyCourseRequest {
        new_course: new("next-year"),
        full_name: "The next year".into(),
        short_name: "NEXT & MORE".into(),
        start_time: Some(prost_types::Timestamp { seconds: start.seconds + 364 * DAY, nanos: 0 }),
        options: Some(BackupOptions {
            settings: Some(BackupSettings { preset: "everything".into(), ..Default::default() }),
            ..Default::default()
        }),
        ..Default::default()
    };
    let result = app.result_of(&copy(&app, request).await?).await?;
    let both = async |path: &'static str, field: &'static str| -> Result<(String, String)> {
        Ok((value(&app, &source, path, field).await?, value(&app, &result.archive, path, field).await?))
    };
    let assign = "activities/assign_19/assign.xml";
    for (path, field) in [
        ("course/course.xml", "startdate"),
        (assign, "duedate"),
        ("moodle_backup.xml", "original_course_startdate"),
    ] {
        let (before, after) = both(path, field).await?;
        ensure!(
            after.parse::<i64>()? == before.parse::<i64>()? + 364 * DAY,
            "{path} {field}: {before}, {after}"
        );
    }
    for (path, field) in [(assign, "timemodified"), ("users.xml", "timecreated")] {
        let (before, after) = both(path, field).await?;
        ensure!(before == after, "{path} {field}: {before}, {after}");
    }
    ensure!(both("course/course.xml", "shortname").await?.1 == "NEXT &amp; MORE");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_taken_back_and_what_cannot_be_is_refused() -> Result<()> {
    let app = TestApp::start().await?;
    published(&app).await?;
    let job = copy(&app, CopyCourseRequest { new_course: new("other"), ..Default::default() }).await?;
    app.result_of(&job).await?;
    let again = copy(&app, CopyCourseRequest { new_course: new("other"), ..Default::default() }).await;
    refused(again, Code::AlreadyExists, "COURSE_EXISTS")?;
    app.result_of(&app.rollback(&job.name).await?).await?;
    let request = GetCourseRequest { name: "sites/main/courses/other".into() };
    let course = app.courses().get_course(request).await?.into_inner().course.context("a course")?;
    ensure!(course.delete_time.is_some(), "{course:?}");
    let long = CopyCourseRequest { short_name: "x".repeat(101), ..Default::default() };
    let field = Detail::Field("short_name");
    refused_with(copy(&app, long).await, Code::InvalidArgument, "FIELD_INVALID", &field)?;
    let part = BackupOptions { item: "forum_9".into(), ..Default::default() };
    let part = CopyCourseRequest { options: Some(part), ..Default::default() };
    let field = Detail::Field("options.item");
    refused_with(copy(&app, part).await, Code::InvalidArgument, "FIELD_INVALID", &field)?;
    Ok(())
}
