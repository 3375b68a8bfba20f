//! PolicyService.

use tonic::{Request, Response, Status};

use super::convert::{self, instant, name};
use super::intake::course_of;
use super::paging::Page;
use super::{auth, call, mask, retention, schedule};
use crate::engine::{Call, Engine, Error, PreviewQuery};
use crate::ids::{ArchiveId, JobName, PolicyId, PolicyName, SiteId, SiteName};
use crate::principal::Principal;
use crate::proto::policy_service_server::PolicyService;
use crate::proto::*;

/// What a site decides for everybody.
pub struct Policies(pub Engine);

/// Who asks, and the site of a request that they reach.
fn site<T>(request: &Request<T>, field: &str, text: &str) -> Result<(Principal, SiteId), Error> {
    let principal = auth::principal(request)?;
    let SiteName(site) = name(field, text)?;
    auth::reach(&principal, &site)?;
    Ok((principal, site))
}

/// The version of an etag that must be given.
fn seen_version(field: &str, etag: &str) -> Result<Option<i64>, Error> {
    let version = convert::version(etag);
    if version.is_none() { Err(Error::field(field, "is required")) } else { Ok(version) }
}

#[tonic::async_trait]
impl PolicyService for Policies {
    async fn create_retention_policy(
        &self,
        request: Request<CreateRetentionPolicyRequest>,
    ) -> Result<Response<CreateRetentionPolicyResponse>, Status> {
        let (principal, site) = site(&request, "parent", &request.get_ref().parent)?;
        let message = request.into_inner();
        let policy: PolicyId = name("policy_id", &message.policy_id)?;
        let wanted = retention::wanted(&site, &message.policy.clone().unwrap_or_default())?;
        let call = call(principal, "CreateRetentionPolicy", &message.request_id, &message)?;
        let policy = PolicyName { site, policy };
        let create = || self.0.create_policy(&call, &policy, &wanted, message.validate_only);
        let row = self.0.once(&call, create).await?;
        Ok(Response::new(CreateRetentionPolicyResponse { policy: Some(retention::policy(&row)) }))
    }

    async fn get_retention_policy(
        &self,
        request: Request<GetRetentionPolicyRequest>,
    ) -> Result<Response<GetRetentionPolicyResponse>, Status> {
        let principal = auth::principal(&request)?;
        let policy: PolicyName = name("name", &request.into_inner().name)?;
        auth::reach(&principal, &policy.site)?;
        let row = self.0.get_policy(&policy).await?;
        Ok(Response::new(GetRetentionPolicyResponse { policy: Some(retention::policy(&row)) }))
    }

    async fn list_retention_policies(
        &self,
        request: Request<ListRetentionPoliciesRequest>,
    ) -> Result<Response<ListRetentionPoliciesResponse>, Status> {
        let (_, site) = site(&request, "parent", &request.get_ref().parent)?;
        let message = request.into_inner();
        let page = Page::parse(message.page_size, &message.page_token, &["policies", &message.parent])?;
        let after: Option<PolicyId> = page.key()?;
        let rows = self.0.list_policies(&site).await?;
        let rest: Vec<_> =
            rows.into_iter().filter(|row| after.as_ref().is_none_or(|after| row.policy > *after)).collect();
        let (policies, next_page_token) = page.fill(&rest, |row| row.policy.to_string(), retention::policy);
        Ok(Response::new(ListRetentionPoliciesResponse { policies, next_page_token }))
    }

    async fn update_retention_policy(
        &self,
        request: Request<UpdateRetentionPolicyRequest>,
    ) -> Result<Response<UpdateRetentionPolicyResponse>, Status> {
        let principal = auth::principal(&request)?;
        let message = request.into_inner();
        let policy = message.policy.clone().unwrap_or_default();
        let id: PolicyName = name("policy.name", &policy.name)?;
        auth::reach(&principal, &id.site)?;
        let version = seen_version("policy.etag", &policy.etag)?;
        let fields = [
            ("display_name", !policy.display_name.is_empty()),
            ("area", policy.area != 0),
            ("category", !policy.category.is_empty()),
            ("course", !policy.course.is_empty()),
            ("rules", policy.rules.is_some()),
        ];
        let [display_name, area, category, course, rules] =
            mask::chosen(message.update_mask.as_ref(), fields)?;
        let scope = retention::scope(&id.site, &policy)?;
        let new_rules = retention::wanted_rules(&policy.rules.unwrap_or_default())?;
        let call = call(principal, "UpdateRetentionPolicy", &message.request_id, &message)?;
        let change = |wanted: &mut crate::engine::WantedPolicy| {
            if display_name {
                wanted.display_name.clone_from(&policy.display_name);
            }
            if area {
                wanted.scope.area = scope.area;
            }
            if category {
                wanted.scope.category.clone_from(&scope.category);
            }
            if course {
                wanted.scope.course.clone_from(&scope.course);
            }
            if rules {
                wanted.rules = new_rules.clone();
            }
        };
        let update = || self.0.update_policy(&call, &id, change, version, message.validate_only);
        let row = self.0.once(&call, update).await?;
        Ok(Response::new(UpdateRetentionPolicyResponse { policy: Some(retention::policy(&row)) }))
    }

    async fn delete_retention_policy(
        &self,
        request: Request<DeleteRetentionPolicyRequest>,
    ) -> Result<Response<DeleteRetentionPolicyResponse>, Status> {
        let principal = auth::principal(&request)?;
        let message = request.into_inner();
        let id: PolicyName = name("name", &message.name)?;
        auth::reach(&principal, &id.site)?;
        let version = seen_version("etag", &message.etag)?;
        let call = call(principal, "DeleteRetentionPolicy", &message.request_id, &message)?;
        self.0.once(&call, || self.0.delete_policy(&call, &id, version)).await?;
        Ok(Response::new(DeleteRetentionPolicyResponse {}))
    }

    async fn preview_retention(
        &self,
        request: Request<PreviewRetentionRequest>,
    ) -> Result<Response<PreviewRetentionResponse>, Status> {
        let (_, site) = site(&request, "parent", &request.get_ref().parent)?;
        let message = request.into_inner();
        let list = PreviewRetentionRequest { page_size: 0, page_token: String::new(), ..message.clone() };
        let page = Page::parse(message.page_size, &message.page_token, &[&format!("{list:?}")])?;
        let proposed = match &message.proposed {
            None => None,
            Some(policy) => {
                // A policy that has no name yet stands for a new one.
                let id = match policy.name.as_str() {
                    "" => name("proposed.name", "proposed")?,
                    text => name::<PolicyName>("proposed.name", text)?.policy,
                };
                let wanted = retention::wanted(&site, policy)?;
                Some((id, wanted.scope, wanted.rules))
            }
        };
        let query = PreviewQuery {
            area: convert::area("area", message.area)?,
            course: course_of(&site, "course", &message.course)?,
            time: message.time.as_ref().map(|time| instant("time", time)).transpose()?,
            proposed,
            only_expiring: message.only_expiring,
        };
        let after: Option<ArchiveId> = page.key()?;
        let (found, next) =
            self.0.preview_retention(&site, &query, after.as_ref(), page.size as usize).await?;
        Ok(Response::new(PreviewRetentionResponse {
            previews: found.iter().map(|one| retention::preview(&site, one)).collect(),
            next_page_token: next.map(|last| page.token(&last.to_string())).unwrap_or_default(),
        }))
    }

    async fn run_retention(
        &self,
        request: Request<RunRetentionRequest>,
    ) -> Result<Response<RunRetentionResponse>, Status> {
        let (principal, site) = site(&request, "parent", &request.get_ref().parent)?;
        let message = request.into_inner();
        let call = call(principal, "RunRetention", &message.request_id, &message)?;
        let row = self.0.once(&call, || self.0.ask_for_retention(&call, &site)).await?;
        Ok(Response::new(RunRetentionResponse { job: JobName { site, job: row.job }.to_string() }))
    }

    async fn get_schedule(
        &self,
        request: Request<GetScheduleRequest>,
    ) -> Result<Response<GetScheduleResponse>, Status> {
        let name = &request.get_ref().name;
        let (_, site) = site(&request, "name", schedule::site_of("name", name)?)?;
        let row = self.0.get_schedule(&site).await?;
        Ok(Response::new(GetScheduleResponse { schedule: Some(schedule::schedule(&row)) }))
    }

    async fn update_schedule(
        &self,
        request: Request<UpdateScheduleRequest>,
    ) -> Result<Response<UpdateScheduleResponse>, Status> {
        let asked = request.get_ref().schedule.clone().unwrap_or_default();
        let (principal, site) =
            site(&request, "schedule.name", schedule::site_of("schedule.name", &asked.name)?)?;
        let message = request.into_inner();
        let version = seen_version("schedule.etag", &asked.etag)?;
        let change = schedule::change(message.update_mask.as_ref(), &asked)?;
        let call = call(principal, "UpdateSchedule", &message.request_id, &message)?;
        let row = self.0.once(&call, || self.0.update_schedule(&call, &site, &change, version)).await?;
        Ok(Response::new(UpdateScheduleResponse { schedule: Some(schedule::schedule(&row)) }))
    }

    async fn run_schedule(
        &self,
        request: Request<RunScheduleRequest>,
    ) -> Result<Response<RunScheduleResponse>, Status> {
        let name = &request.get_ref().name;
        let (principal, site) = site(&request, "name", schedule::site_of("name", name)?)?;
        let call = Call::by(principal);
        let named = request.into_inner().courses;
        let mut courses = Vec::new();
        for name in &named {
            courses.extend(course_of(&site, "courses", name)?);
        }
        if courses.is_empty() {
            let course_count = convert::count(self.0.run_schedule(&call, &site).await?);
            return Ok(Response::new(RunScheduleResponse { jobs: Vec::new(), course_count }));
        }
        let rows = self.0.back_up_now(&call, &site, &courses).await?;
        let name = |row: crate::catalog::JobRow| JobName { site: row.site, job: row.job }.to_string();
        Ok(Response::new(RunScheduleResponse { jobs: rows.into_iter().map(name).collect(), course_count: 0 }))
    }
}
