//! Automated backups, through the front door; nights come when the test says so.

use anyhow::{Context, Result, ensure};
use coursevault::clock::Timestamp;
use coursevault::proto::*;
use coursevault::vault::StorageConfig;
use tonic::Code;

use crate::access::as_whom;
use crate::app::{TestApp, eventually};
use crate::areas::{on_postgres, on_sqlite};
use crate::client::*;
use crate::errors::{Detail, refused, refused_with};
use crate::retention::policies;

const COURSE: &str = "sites/main/courses/rich101";

async fn backups(app: &TestApp) -> Result<CourseBackups> {
    let request = as_whom("root", GetCourseRequest { name: COURSE.into() })?;
    let course = app.courses().get_course(request).await?.into_inner().course.context("a course")?;
    course.backups.context("how its backups stand")
}

/// The course's next turn, as soon as it is found out.
async fn next_turn(app: &TestApp) -> Result<Timestamp> {
    let time = eventually("a turn", || async { Ok(backups(app).await?.next_backup_time) }).await?;
    Ok(Timestamp::from_millis(time.seconds * 1000 + i64::from(time.nanos) / 1_000_000))
}

/// Lets a night come: what is due then is asked for, and has ended. Answers how the course stands.
async fn night(app: &TestApp) -> Result<CourseBackups> {
    let due = next_turn(app).await?;
    app.engine.tick(due).await?;
    // Nothing is due twice.
    app.engine.tick(due).await?;
    let stands = backups(app).await?;
    if !stands.last_job.is_empty() {
        let request = WaitJobRequest { name: stands.last_job, timeout: None };
        app.jobs().wait_job(as_whom("root", request)?).await?;
    }
    backups(app).await
}

async fn automated(app: &TestApp, whom: &str) -> Result<Vec<Archive>> {
    let request =
        ListArchivesRequest { parent: MAIN.into(), area: Area::Automated.into(), ..Default::default() };
    Ok(app.backups().list_archives(as_whom(whom, request)?).await?.into_inner().archives)
}

async fn publish(app: &TestApp, parent: &str) -> Result<String> {
    let bytes = fixture("rich101-nf.mbz")?;
    let parts =
        upload(header("x.mbz"), &bytes).into_iter().map(|part| UploadBackupRequest { part: Some(part) });
    let stream = futures::stream::iter(parts.collect::<Vec<_>>());
    let stored = app.backups().upload_backup(as_whom("root", stream)?).await?.into_inner().archive;
    let request = PublishRevisionRequest {
        course: COURSE.into(),
        archive: stored.context("an archive")?.name,
        expected_parent: parent.into(),
        ..Default::default()
    };
    let answer = app.courses().publish_revision(as_whom("root", request)?).await?.into_inner();
    Ok(answer.revision.context("a revision")?.name)
}

async fn report(app: &TestApp, course: &str) -> Result<Vec<String>> {
    let request = ReportCourseChangesRequest {
        parent: MAIN.into(),
        changes: vec![CourseChange { course: course.into(), change_time: None }],
    };
    Ok(app.courses().report_course_changes(as_whom("root", request)?).await?.into_inner().unknown_courses)
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_courses_are_backed_up_by_night_on_sqlite() -> Result<()> {
    by_night(on_sqlite().await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_courses_are_backed_up_by_night_on_postgres() -> Result<()> {
    by_night(on_postgres().await?).await
}

async fn by_night(app: TestApp) -> Result<()> {
    // The automated area has a storage of its own.
    let folder = tempfile::tempdir()?;
    let storage = |name: &str| StorageConfig::folder(&folder.path().join(name));
    let storages = [("primary".parse()?, storage("primary")), ("automated".parse()?, storage("automated"))];
    let app = app.restart_with(|config| config.storages = storages.into()).await?;
    let first = publish(&app, "").await?;
    let stands = night(&app).await?;
    ensure!(stands.last_job_state() == job::State::Succeeded && !stands.changed_since_backup, "{stands:?}");
    ensure!(stands.seconds_since_last_good_backup.is_some_and(|seconds| seconds < 600), "{stands:?}");
    let made = automated(&app, "root").await?;
    ensure!(made.len() == 1 && made[0].course == COURSE && made[0].owner == "coursevault", "{made:?}");
    ensure!(automated(&app, "anna").await?.is_empty());
    let whole = GetStorageReportRequest { parent: MAIN.into() };
    let whole = app.admin().get_storage_report(as_whom("root", whole)?).await?.into_inner().storages;
    let of = |name: &str| {
        whole.iter().find(|storage| storage.storage == name).map(|storage| storage.archive_count)
    };
    ensure!((of("primary"), of("automated")) == (Some(1), Some(1)), "{whole:?}");
    // It can be read from there as a whole.
    let request = DownloadArchiveRequest { name: made[0].name.clone(), ..Default::default() };
    let mut stream = app.backups().download_archive(as_whom("root", request)?).await?.into_inner();
    while stream.message().await?.is_some() {}

    // A course that did not change is left out, and says why; one whose platform tells of changes is not.
    let stands = night(&app).await?;
    ensure!(stands.last_skip() == course_backups::Skip::Unchanged, "{stands:?}");
    ensure!(automated(&app, "root").await?.len() == 1);
    ensure!(report(&app, COURSE).await?.is_empty());
    ensure!(report(&app, "sites/main/courses/none").await? == ["sites/main/courses/none"]);
    let stands = backups(&app).await?;
    ensure!(stands.changed_since_backup && stands.unpublished_change_time.is_some(), "{stands:?}");
    night(&app).await?;
    ensure!(automated(&app, "root").await?.len() == 2);
    // A new revision takes what was told for published; of three backups the last two stay.
    publish(&app, &first).await?;
    let stands = backups(&app).await?;
    ensure!(stands.changed_since_backup && stands.unpublished_change_time.is_none(), "{stands:?}");
    night(&app).await?;
    let kept = eventually("the last two", || async {
        let kept = automated(&app, "root").await?;
        Ok((kept.len() == 2 && kept.iter().all(|archive| archive.name != made[0].name)).then_some(kept))
    })
    .await?;
    ensure!(kept.iter().all(|archive| {
        archive.retention.as_ref().is_some_and(|told| told.reasons().eq([RetentionReason::KeepLast]))
    }));

    // Who has no fresh backup is found by a filter.
    let list = |seconds, changed| ListCoursesRequest {
        parent: MAIN.into(),
        backup_older_than: Some(prost_types::Duration { seconds, nanos: 0 }),
        changed_since_backup: changed,
        ..Default::default()
    };
    for (request, count) in [(list(3600, false), 0), (list(0, false), 1), (list(0, true), 0)] {
        let found = app.courses().list_courses(as_whom("root", request)?).await?.into_inner().courses;
        ensure!(found.len() == count, "{found:?}");
    }
    // Started now it comes although nothing changed.
    let now = RunScheduleRequest { name: format!("{MAIN}/schedule"), courses: vec![COURSE.into()] };
    let answer = policies(&app).run_schedule(as_whom("anna", now.clone())?).await;
    refused(answer, Code::PermissionDenied, "PERMISSION_DENIED")?;
    let jobs = policies(&app).run_schedule(as_whom("root", now)?).await?.into_inner().jobs;
    let request = as_whom("root", WaitJobRequest { name: jobs[0].clone(), timeout: None })?;
    let job = app.jobs().wait_job(request).await?.into_inner().job.context("a job")?;
    ensure!(job.state() == job::State::Succeeded, "{job:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_follow_the_clocks_of_their_site() -> Result<()> {
    let app = on_sqlite().await?;
    publish(&app, "").await?;
    let site = Site { name: MAIN.into(), time_zone: "Europe/Paris".into(), ..Default::default() };
    let update = UpdateSiteRequest { site: Some(site), ..Default::default() };
    app.admin().update_site(as_whom("root", update)?).await?;
    let name = format!("{MAIN}/schedule");
    let get = as_whom("root", GetScheduleRequest { name: name.clone() })?;
    let schedule = policies(&app).get_schedule(get).await?.into_inner().schedule.context("a schedule")?;
    ensure!(!schedule.paused && schedule.weekdays == [1, 2, 3, 4, 5, 6, 7] && schedule.author.is_empty());
    let update = |etag: &str, start_minute: i32, paused: bool| UpdateScheduleRequest {
        schedule: Some(Schedule {
            name: name.clone(),
            etag: etag.into(),
            start_minute,
            window_minutes: 60,
            paused,
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: ["start_minute", "window_minutes", "paused"].map(str::to_owned).into(),
        }),
        ..Default::default()
    };
    let answer = policies(&app).update_schedule(as_whom("root", update(&schedule.etag, 1440, false))?).await;
    refused_with(answer, Code::InvalidArgument, "FIELD_INVALID", &Detail::Field("schedule.start_minute"))?;
    let answer = policies(&app).update_schedule(as_whom("root", update("\"9\"", 120, false))?).await;
    refused(answer, Code::Aborted, "ETAG_MISMATCH")?;
    // From two to three by the clocks: that hour is left out on 28 March 2027, so the window is the hour after it.
    let changed =
        policies(&app).update_schedule(as_whom("root", update(&schedule.etag, 120, false))?).await?;
    let changed = changed.into_inner().schedule.context("a schedule")?;
    ensure!(changed.start_minute == 120 && changed.skip_unchanged && changed.author == "root", "{changed:?}");
    let at = |text: &str| -> Result<Timestamp> {
        let time: chrono::DateTime<chrono::Utc> = text.parse()?;
        Ok(Timestamp::from_millis(time.timestamp_millis()))
    };
    app.engine.tick(at("2027-03-27T12:00:00Z")?).await?;
    for (from, to) in
        [("2027-03-28T01:00:00Z", "2027-03-28T02:00:00Z"), ("2027-03-29T00:00:00Z", "2027-03-29T01:00:00Z")]
    {
        let due = next_turn(&app).await?;
        ensure!(at(from)? <= due && due < at(to)?, "{due:?} {from}");
        night(&app).await?;
    }
    // While it is paused nothing comes.
    policies(&app).update_schedule(as_whom("root", update(&changed.etag, 120, true))?).await?;
    app.engine.tick(at("2027-05-01T12:00:00Z")?).await?;
    ensure!(backups(&app).await?.next_backup_time.is_none());
    Ok(())
}
