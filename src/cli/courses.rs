//! What is done with courses: back up, restore, undo a restore, publish.

use serde_json::json;

use super::args::{Area, Backup, BackupFormat, Convert, Copy, Import};
use super::choices::Choices;
use super::client::{Server, request_id};
use super::failure::Usage;
use super::output::Output;
use super::words::rows;
use super::{jobs, json, names, plan, units};
use crate::ids::CourseName;
use crate::proto;
use crate::reason::Reason;

/// `backup`.
pub async fn backup(server: &Server, arguments: &Backup, output: Output) -> anyhow::Result<()> {
    let course = names::course(&server.site, &arguments.course)?.to_string();
    if matches!(arguments.area, Some(Area::DropZone | Area::Automated)) {
        return Err(Usage("a backup made on demand is kept in --area course or private".into()).into());
    }
    let options = formatted(&arguments.choices, arguments.format)?;
    if arguments.plan {
        return plan::show(server, course, options, output).await;
    }
    let job = start_backup(server, course, arguments.area, options).await?;
    jobs::started(server, job, arguments.wait, output).await
}

/// Settings and selection of a backup in that format.
fn formatted(choices: &Choices, format: Option<BackupFormat>) -> anyhow::Result<proto::BackupOptions> {
    let mut options = choices.options()?;
    if let Some(format) = format {
        options.settings.get_or_insert_default().imscc11 = Some(format == BackupFormat::Imscc);
    }
    Ok(options)
}

/// Starts a backup and answers with its job.
pub async fn start_backup(
    server: &Server,
    course: String,
    area: Option<Area>,
    options: proto::BackupOptions,
) -> Result<Option<proto::Job>, tonic::Status> {
    let request = proto::CreateBackupRequest {
        course,
        area: area.map_or(proto::Area::Unspecified, proto::Area::from).into(),
        validate_only: false,
        request_id: request_id(),
        options: Some(options),
        plan_token: String::new(),
    };
    Ok(server.backups().create_backup(request).await?.into_inner().job)
}

/// `copy`.
pub async fn copy(server: &Server, arguments: &Copy, output: Output) -> anyhow::Result<()> {
    let start = arguments
        .start
        .and_then(|day| day.and_hms_opt(0, 0, 0))
        .map(|time| prost_types::Timestamp { seconds: time.and_utc().timestamp(), nanos: 0 });
    let request = proto::CopyCourseRequest {
        course: names::course(&server.site, &arguments.course)?.to_string(),
        new_course: Some(proto::NewCourse {
            category: None,
            course_id: arguments.course_id.as_ref().map_or_else(String::new, ToString::to_string),
        }),
        full_name: arguments.full_name.clone().unwrap_or_default(),
        short_name: arguments.short_name.clone().unwrap_or_default(),
        start_time: start,
        options: Some(arguments.choices.options()?),
        validate_only: false,
        request_id: request_id(),
    };
    let job = server.restores().copy_course(request).await?.into_inner().job;
    jobs::started(server, job, arguments.wait, output).await
}

/// `import`.
pub async fn import(server: &Server, arguments: &Import, output: Output) -> anyhow::Result<()> {
    let request = proto::ImportCourseRequest {
        course: names::course(&server.site, &arguments.course)?.to_string(),
        source_course: names::course(&server.site, &arguments.source_course)?.to_string(),
        options: Some(arguments.choices.options()?),
        validate_only: false,
        request_id: request_id(),
    };
    let job = server.restores().import_course(request).await?.into_inner().job;
    jobs::started(server, job, arguments.wait, output).await
}

/// `convert`.
pub async fn convert(server: &Server, arguments: &Convert, output: Output) -> anyhow::Result<()> {
    let name = names::archive(&server.site, &arguments.archive)?.to_string();
    let options = formatted(&arguments.choices, arguments.format)?;
    if arguments.plan {
        return plan::show(server, name, options, output).await;
    }
    let request = proto::ConvertArchiveRequest {
        name,
        area: arguments.area.map_or(proto::Area::Unspecified, proto::Area::from).into(),
        options: Some(options),
        validate_only: false,
        request_id: request_id(),
    };
    let job = server.backups().convert_archive(request).await?.into_inner().job;
    jobs::started(server, job, arguments.wait, output).await
}

/// `rollback`.
pub async fn rollback(server: &Server, job: &str, wait: bool, output: Output) -> anyhow::Result<()> {
    let job = names::job(&server.site, job)?.to_string();
    let request = proto::RollbackRestoreRequest { job, request_id: request_id() };
    let job = server.restores().rollback_restore(request).await?.into_inner().job;
    jobs::started(server, job, wait, output).await
}

/// `publish`.
pub async fn publish(server: &Server, course: &str, archive: &str, output: Output) -> anyhow::Result<()> {
    let course = names::course(&server.site, course)?;
    let archive = names::archive(&server.site, archive)?.to_string();
    let published = make_live(server, &course, &archive).await?;
    if output.is_json() {
        return Ok(output.document(&json::value(&published)?)?);
    }
    Ok(output.text(&told(&published))?)
}

/// What was published, for people.
pub fn told(published: &proto::PublishRevisionResponse) -> String {
    let revision = published.revision.clone().unwrap_or_default();
    let size = units::signed_size(revision.content_bytes);
    rows(&[
        ("revision", revision.name),
        ("before", revision.parent),
        ("holds", format!("{} members, {size}", revision.member_count)),
    ])
}

/// Makes an archive the live state of a course: on top of what is live now, so that nobody else's state is passed over.
pub async fn make_live(
    server: &Server,
    course: &CourseName,
    archive: &str,
) -> anyhow::Result<proto::PublishRevisionResponse> {
    let now = server.courses().get_course(proto::GetCourseRequest { name: course.to_string() }).await;
    let expected_parent = match now {
        Ok(answer) => answer.into_inner().course.unwrap_or_default().live_revision,
        Err(status) if super::retry::reason(&status).as_deref() == Some(Reason::CourseNotFound.as_str()) => {
            String::new()
        }
        Err(status) => return Err(status.into()),
    };
    let request = proto::PublishRevisionRequest {
        course: course.to_string(),
        archive: archive.to_owned(),
        expected_parent,
        request_id: request_id(),
    };
    Ok(server.courses().publish_revision(request).await?.into_inner())
}

/// A stored archive with what was published of it, as JSON.
pub fn stored_json(
    file: &str,
    stored: &proto::FinishUploadResponse,
    published: Option<&proto::PublishRevisionResponse>,
) -> anyhow::Result<serde_json::Value> {
    let published = published.map(json::value).transpose()?;
    Ok(json!({ "file": file, "stored": json::value(stored)?, "published": published }))
}
