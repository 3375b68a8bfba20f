//! RestoreService.

use tonic::{Request, Response, Status, Streaming};

use super::convert::{self, name, optional_name};
use super::intake::{Accepts, Part, Stored, receive};
use super::paging::Page;
use super::restore_settings::{self, Where};
use super::{auth, backup, call, settings};
use crate::access::Action;
use crate::backup::BuiltInPreset;
use crate::engine::{Engine, Error, Inspected, NewCopy, NewRestore};
use crate::ids::{ArchiveName, CourseId, CourseName, JobName};
use crate::job::Area;
use crate::proto::restore_service_server::RestoreService;
use crate::proto::*;
use crate::restore::Order;

/// The course that a restore goes to, if it is given, and what is asked.
fn ordered(
    archive: &ArchiveName,
    target: Where,
    options: Option<RestoreOptions>,
) -> Result<(Option<CourseId>, Order), Error> {
    let category = restore_settings::category(&target)?;
    let (site, course, target) = restore_settings::target(target)?;
    if site.is_some_and(|site| site != archive.site) {
        return Err(Error::field("existing_course.course", "must be of the archive's site"));
    }
    let order = restore_settings::order(options, target)?;
    Ok((course, Order { category, ..order }))
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
        let (course, order) = ordered(&archive, target, message.options)?;
        let plan = self.0.plan_restore(&archive, course, order).await?;
        Ok(Response::new(PlanRestoreResponse { plan: Some(restore_settings::plan(plan)) }))
    }

    async fn list_user_conflicts(
        &self,
        request: Request<ListUserConflictsRequest>,
    ) -> Result<Response<ListUserConflictsResponse>, Status> {
        use list_user_conflicts_request::Target as Wire;
        let principal = auth::principal(&request)?;
        let message = request.into_inner();
        let archive =
            backup::archive(&self.0, &principal, "archive", &message.archive, Action::Restore).await?;
        let target = match message.target {
            Some(Wire::NewCourse(new)) => Where::New(new),
            Some(Wire::ExistingCourse(existing)) => Where::Existing(existing),
            None => return Err(Error::field("target", "is required").into()),
        };
        // What is wrong with the size alone is told before anything is looked through.
        Page::parse(message.page_size, "", &[])?;
        let (course, order) = ordered(&archive, target, message.options)?;
        let plan = self.0.plan_restore(&archive, course, order).await?;
        let page = Page::parse(message.page_size, &message.page_token, &["userConflicts", &plan.token])?;
        let from = match page.after.as_deref().map(str::parse::<usize>) {
            None => 0,
            Some(Ok(from)) => from,
            Some(Err(_)) => return Err(Error::field("page_token", "is not of this list").into()),
        };
        let total = plan.conflicts.len();
        let rest = plan.conflicts.into_iter().enumerate().skip(from).take(page.fetch() as usize);
        let rows: Vec<(usize, UserConflict)> =
            rest.map(|(place, conflict)| (place + 1, restore_settings::conflict(conflict))).collect();
        let (user_conflicts, next_page_token) =
            page.fill(&rows, |(next, _)| next.to_string(), |(_, conflict)| conflict.clone());
        let total_size = i32::try_from(total).unwrap_or(i32::MAX);
        Ok(Response::new(ListUserConflictsResponse { user_conflicts, next_page_token, total_size }))
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
        let (course, order) = ordered(&archive, target, message.options.clone())?;
        let new = NewRestore {
            course,
            order,
            plan_token: message.plan_token.clone(),
            course_name: message.course_name.clone(),
        };
        let call = call(principal, "CreateRestore", &message.request_id, &message)?;
        let create = || Box::pin(self.0.create_restore(&call, &archive, new.clone(), message.validate_only));
        let row = Box::pin(self.0.once(&call, create)).await?;
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
        let call = call(principal, "CopyCourse", &message.request_id, &message)?;
        let new_course = message.new_course.unwrap_or_default();
        if new_course.category.is_some() {
            return Err(Error::field("new_course.category", "a copy is in the category of its course").into());
        }
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

    async fn import_course(
        &self,
        request: Request<ImportCourseRequest>,
    ) -> Result<Response<ImportCourseResponse>, Status> {
        let principal = auth::principal(&request)?;
        let message = request.into_inner();
        let course: CourseName = name("course", &message.course)?;
        let source: CourseName = name("source_course", &message.source_course)?;
        auth::reach(&principal, &course.site)?;
        auth::reach(&principal, &source.site)?;
        let call = call(principal, "ImportCourse", &message.request_id, &message)?;
        let mut options = message.options.unwrap_or_default();
        if options.mode() == BackupMode::Unspecified {
            options.set_mode(BackupMode::Import);
        }
        let order = settings::order(Some(options), None)?;
        let import = || self.0.import_course(&call, &course, &source, order.clone(), message.validate_only);
        let row = self.0.once(&call, import).await?;
        Ok(Response::new(ImportCourseResponse {
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
        auth::reach(&principal, &job.site)?;
        let call = call(principal, "RollbackRestore", &message.request_id, &message)?;
        let row = self.0.once(&call, || self.0.rollback_restore(&call, &job)).await?;
        Ok(Response::new(RollbackRestoreResponse { job: Some(convert::job(&row)) }))
    }
}
