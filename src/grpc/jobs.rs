//! JobService.

use std::time::Duration;

use futures::stream;
use tonic::{Request, Response, Status};

use super::backup::{newest, newest_key};
use super::convert::{self, name};
use super::outflow::Outflow;
use super::paging::Page;
use super::{auth, call};
use crate::catalog::JobFilter;
use crate::engine::Engine;
use crate::ids::{JobName, SiteName};
use crate::proto::job_service_server::JobService;
use crate::proto::*;

/// Longest wait of WaitJob.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// Work in the background.
pub struct Jobs(pub Engine);

/// The job of a request, if the caller reaches its site.
fn job_name<T>(request: &Request<T>, text: &str) -> Result<JobName, Status> {
    let principal = auth::principal(request)?;
    let name: JobName = name("name", text)?;
    auth::reach(&principal, &name.site)?;
    Ok(name)
}

#[tonic::async_trait]
impl JobService for Jobs {
    type WatchJobStream = Outflow<WatchJobResponse>;

    async fn get_job(&self, request: Request<GetJobRequest>) -> Result<Response<GetJobResponse>, Status> {
        let name = job_name(&request, &request.get_ref().name)?;
        let row = self.0.get_job(&name).await?;
        Ok(Response::new(GetJobResponse { job: Some(convert::job(&row)) }))
    }

    async fn list_jobs(
        &self,
        request: Request<ListJobsRequest>,
    ) -> Result<Response<ListJobsResponse>, Status> {
        let principal = auth::principal(&request)?;
        let message = request.into_inner();
        let SiteName(site) = name("parent", &message.parent)?;
        auth::reach(&principal, &site)?;
        let list = [&message.parent, &message.course, &message.state.to_string(), &message.kind.to_string()];
        let page = Page::parse(message.page_size, &message.page_token, &list.map(String::as_str))?;
        let filter = JobFilter {
            state: convert::job_state("state", message.state)?,
            kind: convert::job_kind("kind", message.kind)?,
            course: super::intake::course_of(&site, "course", &message.course)?,
        };
        let mut rows = self.0.list_jobs(&site, &filter, newest(&page)?.as_ref(), page.fetch()).await?;
        let next_page_token = page.cut(&mut rows, |row| newest_key(row.create_time, &row.job));
        let jobs = rows.iter().map(convert::job).collect();
        Ok(Response::new(ListJobsResponse { jobs, next_page_token }))
    }

    async fn wait_job(&self, request: Request<WaitJobRequest>) -> Result<Response<WaitJobResponse>, Status> {
        let name = job_name(&request, &request.get_ref().name)?;
        let wait = match request.into_inner().timeout {
            // A negative duration is no time to wait.
            Some(timeout) => Duration::try_from(timeout).unwrap_or_default().min(MAX_WAIT),
            None => MAX_WAIT,
        };
        let row = self.0.wait_job(&name, wait).await?;
        Ok(Response::new(WaitJobResponse { job: Some(convert::job(&row)) }))
    }

    async fn watch_job(
        &self,
        request: Request<WatchJobRequest>,
    ) -> Result<Response<Self::WatchJobStream>, Status> {
        let name = job_name(&request, &request.get_ref().name)?;
        self.0.get_job(&name).await?;
        let states = stream::try_unfold(Some(self.0.watch_job(&name)), |watch| async move {
            let Some(mut watch) = watch else { return Ok(None) };
            let row = watch.next().await?;
            let message = WatchJobResponse { job: Some(convert::job(&row)) };
            Ok(Some((message, (!row.state.is_ended()).then_some(watch))))
        });
        Ok(Response::new(Box::pin(states)))
    }

    async fn cancel_job(
        &self,
        request: Request<CancelJobRequest>,
    ) -> Result<Response<CancelJobResponse>, Status> {
        let name = job_name(&request, &request.get_ref().name)?;
        let principal = auth::principal(&request)?;
        let message = request.into_inner();
        let call = call(principal, "CancelJob", &message.request_id, &message)?;
        let row = self.0.once(&call, || self.0.cancel_job(&call, &name)).await?;
        Ok(Response::new(CancelJobResponse { job: Some(convert::job(&row)) }))
    }

    async fn retry_job(
        &self,
        request: Request<RetryJobRequest>,
    ) -> Result<Response<RetryJobResponse>, Status> {
        let name = job_name(&request, &request.get_ref().name)?;
        let principal = auth::principal(&request)?;
        let message = request.into_inner();
        let call = call(principal, "RetryJob", &message.request_id, &message)?;
        let row = self.0.once(&call, || self.0.retry_job(&call, &name)).await?;
        Ok(Response::new(RetryJobResponse { job: Some(convert::job(&row)) }))
    }
}
