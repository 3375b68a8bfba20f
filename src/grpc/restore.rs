//! RestoreService.

use tonic::{Request, Response, Status, Streaming};

use super::convert::{self, name, optional_name};
use super::intake::{Accepts, Part, Stored, receive};
use super::restore_settings::{self, Where};
use super::{auth, backup, call, jobs, settings};
use crate::access::Action;
use crate::backup::BuiltInPreset;
use crate::capability::Capability;
use crate::engine::{Engine, Error, Inspected, NewCopy, NewRestore};
use crate::ids::{ArchiveName, CourseId, CourseName, JobName};
use crate::job::Area;
use crate::principal::Principal;
use crate::proto::restore_service_server::RestoreService;
use crate::proto::*;
use crate::restore::{Order, Target};

/// The course that a restore goes to, if it is given, and what is asked.
fn ordered(
    archive: &ArchiveName,
    target: Where,
    options: Option<RestoreOptions>,
    principal: &Principal,
) -> Result<(Option<CourseId>, Order), Error> {
    let (site, course, target) = restore_settings::target(target)?;
    if site.is_some_and(|site| site != archive.site) {
        return Err(Error::field("existing_course.course", "must be of the archive's site"));
    }
    if target == Target::NewCourse {
        auth::allow(principal, Capability::CourseCreate, &archive.site, course.as_ref())?;
    } else {
        auth::reach_at(principal, &archive.site, course.as_ref())?;
    }
    Ok((course, restore_settings::order(options, target)?))
}

/// Looks into archives and restores them.
pub struct Restore(pub Engine);

#[tonic::async_trait]
impl RestoreService for Restore {
    async fn upload_archive(
        &self,
        request: Request<Streaming<UploadArchiveRequest>>,
    ) -> Result<Response<UploadArchiveResponse>, Status> {
        use upload_archive_request::Part as Wire;
        let accepts = Accepts { method: "UploadArchive", only: Some(Area::DropZone) };
        let stored = receive(&self.0, request, accepts, |message: UploadArchiveRequest| match message.part {
            Some(Wire::Header(header)) => Part::Header(header),
            Some(Wire::Chunk(chunk)) => Part::Chunk(chunk),
            Some(Wire::Finish(finish)) => Part::Finish(finish),
            None => Part::Empty,
        })
        .await?;
        let inspected = match stored {
            Stored::Now(ingested) => Inspected { row: ingested.row, manifest: ingested.manifest },
            Stored::Before(text) => self.0.inspect_archive(&name("name", &text)?).await?,
        };
        Ok(Response::new(UploadArchiveResponse {
            archive: Some(convert::archive(&inspected.row)),
            inspection: Some(convert::inspection(&inspected)),
        }))
    }

    async fn plan_restore(
        &self,
        request: Request<PlanRestoreRequest>,
    ) -> Result<Response<PlanRestoreResponse>, Status> {
        use plan_restore_request::Target as Wire;
        let principal = auth::principal(&request)?;
        let message = request.into_inner();
        let archive =
            backup::archive(&self.0, &principal, "archive", &message.archive, Action::Restore).await?;
        let target = match message.target {
            Some(Wire::NewCourse(new)) => Where::New(new),
            Some(Wire::ExistingCourse(existing)) => Where::Existing(existing),
            None => return Err(Error::field("target", "is required").into()),
        };
        let (course, order) = ordered(&archive, target, message.options, &principal)?;
        let plan = self.0.plan_restore(&archive, course, order).await?;
        Ok(Response::new(PlanRestoreResponse { plan: Some(restore_settings::plan(plan)) }))
    }

    async fn create_restore(
        &self,
        request: Request<CreateRestoreRequest>,
    ) -> Result<Response<CreateRestoreResponse>, Status> {
        let principal = auth::principal(&request)?;
        let message = request.into_inner();
        let archive =
            backup::archive(&self.0, &principal, "archive", &message.archive, Action::Restore).await?;
        use create_restore_request::Target as Wire;
        let target = match message.target.clone() {
            Some(Wire::NewCourse(new)) => Where::New(new),
            Some(Wire::ExistingCourse(existing)) => Where::Existing(existing),
            None => return Err(Error::field("target", "is required").into()),
        };
        let (course, order) = ordered(&archive, target, message.options.clone(), &principal)?;
        let new = NewRestore {
            course,
            order,
            plan_token: message.plan_token.clone(),
            course_name: message.course_name.clone(),
        };
        let call = call(principal, "CreateRestore", &message.request_id, &message)?;
        let row = self
            .0
            .once(&call, || self.0.create_restore(&call, &archive, new.clone(), message.validate_only))
            .await?;
        Ok(Response::new(CreateRestoreResponse {
            job: Some(row.as_ref().map(convert::job).unwrap_or_default()),
        }))
    }

    async fn copy_course(
        &self,
        request: Request<CopyCourseRequest>,
    ) -> Result<Response<CopyCourseResponse>, Status> {
        let principal = auth::principal(&request)?;
        let message = request.into_inner();
        let course: CourseName = name("course", &message.course)?;
        auth::reach(&principal, &course.site)?;
        auth::allow(&principal, Capability::BackupCourse, &course.site, Some(&course.course))?;
        let call = call(principal, "CopyCourse", &message.request_id, &message)?;
        let new_course = message.new_course.unwrap_or_default();
        let copy = NewCopy {
            course_id: optional_name("new_course.course_id", &new_course.course_id)?,
            full_name: message.full_name,
            short_name: message.short_name,
            start: message.start_time.map(|time| time.seconds),
            order: settings::order(message.options, Some(BuiltInPreset::WithoutUsers))?,
        };
        let create = || self.0.copy_course(&call, &course, copy.clone(), message.validate_only);
        let row = self.0.once(&call, create).await?;
        Ok(Response::new(CopyCourseResponse {
            job: Some(row.as_ref().map(convert::job).unwrap_or_default()),
        }))
    }

    async fn rollback_restore(
        &self,
        request: Request<RollbackRestoreRequest>,
    ) -> Result<Response<RollbackRestoreResponse>, Status> {
        let principal = auth::principal(&request)?;
        let message = request.into_inner();
        let job: JobName = name("job", &message.job)?;
        jobs::reach(&self.0, &principal, &job).await?;
        let call = call(principal, "RollbackRestore", &message.request_id, &message)?;
        let row = self.0.once(&call, || self.0.rollback_restore(&call, &job)).await?;
        Ok(Response::new(RollbackRestoreResponse { job: Some(convert::job(&row)) }))
    }
}
