//! JobService.

use std::time::Duration;

use futures::stream;
use tonic::{Request, Response, Status};

use super::backup::{newest, newest_key};
use super::convert::{self, name};
use super::outflow::Outflow;
use super::paging::Page;
use super::{auth, call};
use crate::capability::Capability;
use crate::catalog::{JobFilter, JobRow, JobViewer};
use crate::engine::{Engine, Error};
use crate::ids::{JobName, SiteName};
use crate::job::JobKind;
use crate::principal::Principal;
use crate::proto::job_service_server::JobService;
use crate::proto::*;
use crate::reason::Reason;

/// Longest wait of WaitJob.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// Work in the background.
pub struct Jobs(pub Engine);

/// Whether a job is the caller's business as a whole.
fn is_own(principal: &Principal, row: &JobRow) -> bool {
    row.requester == principal.name
        || principal.holds_at(Capability::JobViewAll, &row.site, row.course.as_ref())
}

/// Whether the caller sees a job at all.
fn sees(principal: &Principal, row: &JobRow) -> bool {
    is_own(principal, row)
        || row.payload.kind() != JobKind::Ingest
            && principal.holds_at(Capability::JobView, &row.site, row.course.as_ref())
}

/// A job that the caller sees, and to which it may do what the call does: one's own, and those of courses where one may.
pub(super) async fn reach(engine: &Engine, principal: &Principal, name: &JobName) -> Result<JobRow, Error> {
    auth::within(principal, &name.site)?;
    let row = engine.get_job(name).await?;
    if !sees(principal, &row) {
        return Err(Error::not_found(Reason::JobNotFound, name));
    }
    if row.requester != principal.name {
        auth::reach_at(principal, &row.site, row.course.as_ref()).map_err(|error| error.on(name))?;
    }
    Ok(row)
}

/// A job as a message for somebody. Of others' jobs it tells what goes on with which course, and nothing of the archives and
/// uploads concerned, for those may be somebody's own.
fn told(principal: &Principal, row: &JobRow) -> Job {
    let mut job = convert::job(row);
    if !is_own(principal, row) {
        job.source.clear();
        if let Some(problem) = &mut job.problem {
            problem.message.clear();
            problem.metadata.clear();
        }
        if let Some(result) = &mut job.result {
            result.archive.clear();
            result.findings.clear();
        }
    }
    job
}

impl Jobs {
    /// Who asks, and the job of the request if they see it. The reading of somebody else's upload looks like a job that does not
    /// exist.
    async fn job<T>(&self, request: &Request<T>, text: &str) -> Result<(Principal, JobName), Error> {
        let principal = auth::principal(request)?;
        let name: JobName = name("name", text)?;
        reach(&self.0, &principal, &name).await?;
        Ok((principal, name))
    }
}

#[tonic::async_trait]
impl JobService for Jobs {
    type WatchJobStream = Outflow<WatchJobResponse>;

    async fn get_job(&self, request: Request<GetJobRequest>) -> Result<Response<GetJobResponse>, Status> {
        let (principal, name) = self.job(&request, &request.get_ref().name).await?;
        let row = self.0.get_job(&name).await?;
        Ok(Response::new(GetJobResponse { job: Some(told(&principal, &row)) }))
    }

    async fn list_jobs(
        &self,
        request: Request<ListJobsRequest>,
    ) -> Result<Response<ListJobsResponse>, Status> {
        let principal = auth::principal(&request)?;
        let message = request.into_inner();
        let SiteName(site) = name("parent", &message.parent)?;
        auth::within(&principal, &site)?;
        let list = [&message.parent, &message.course, &message.state.to_string(), &message.kind.to_string()];
        let page = Page::parse(message.page_size, &message.page_token, &list.map(String::as_str))?;
        let filter = JobFilter {
            state: convert::job_state("state", message.state)?,
            kind: convert::job_kind("kind", message.kind)?,
            course: super::intake::course_of(&site, "course", &message.course)?,
            viewer: Some(JobViewer {
                name: principal.name.clone(),
                courses: principal.courses_with(Capability::JobView, &site),
                all_of: principal.courses_with(Capability::JobViewAll, &site),
            }),
        };
        let rows = self.0.list_jobs(&site, &filter, newest(&page)?.as_ref(), page.fetch()).await?;
        let key = |row: &JobRow| newest_key(row.create_time, &row.job);
        let (jobs, next_page_token) = page.fill(&rows, key, |row| told(&principal, row));
        Ok(Response::new(ListJobsResponse { jobs, next_page_token }))
    }

    async fn wait_job(&self, request: Request<WaitJobRequest>) -> Result<Response<WaitJobResponse>, Status> {
        let (principal, name) = self.job(&request, &request.get_ref().name).await?;
        let wait = match request.into_inner().timeout {
            // A negative duration is no time to wait.
            Some(timeout) => Duration::try_from(timeout).unwrap_or_default().min(MAX_WAIT),
            None => MAX_WAIT,
        };
        let row = self.0.wait_job(&name, wait).await?;
        Ok(Response::new(WaitJobResponse { job: Some(told(&principal, &row)) }))
    }

    async fn watch_job(
        &self,
        request: Request<WatchJobRequest>,
    ) -> Result<Response<Self::WatchJobStream>, Status> {
        let (principal, name) = self.job(&request, &request.get_ref().name).await?;
        let states =
            stream::try_unfold((principal, Some(self.0.watch_job(&name))), |(principal, watch)| async move {
                let Some(mut watch) = watch else { return Ok(None) };
                let row = watch.next().await?;
                let message = WatchJobResponse { job: Some(told(&principal, &row)) };
                Ok(Some((message, (principal, (!row.state.is_ended()).then_some(watch)))))
            });
        Ok(Response::new(Box::pin(states)))
    }

    async fn cancel_job(
        &self,
        request: Request<CancelJobRequest>,
    ) -> Result<Response<CancelJobResponse>, Status> {
        let (principal, name) = self.job(&request, &request.get_ref().name).await?;
        let message = request.into_inner();
        let call = call(principal.clone(), "CancelJob", &message.request_id, &message)?;
        let row = self.0.once(&call, || self.0.cancel_job(&call, &name)).await?;
        Ok(Response::new(CancelJobResponse { job: Some(told(&principal, &row)) }))
    }

    async fn retry_job(
        &self,
        request: Request<RetryJobRequest>,
    ) -> Result<Response<RetryJobResponse>, Status> {
        let (principal, name) = self.job(&request, &request.get_ref().name).await?;
        let message = request.into_inner();
        let call = call(principal.clone(), "RetryJob", &message.request_id, &message)?;
        let row = self.0.once(&call, || self.0.retry_job(&call, &name)).await?;
        Ok(Response::new(RetryJobResponse { job: Some(told(&principal, &row)) }))
    }
}
