//! AdminService.

use tonic::{Request, Response, Status, Streaming};

use super::convert::{self, name};
use super::paging::Page;
use super::{audit, auth, call, directory, mask};
use crate::capability::Capability;
use crate::engine::{Engine, Error, SiteChange};
use crate::ids::{SiteId, SiteName};
use crate::principal::Sites;
use crate::proto::admin_service_server::AdminService;
use crate::proto::*;

/// What the server tells about itself.
#[derive(Clone, Debug)]
pub struct ServerFacts {
    /// `sqlite` or `postgresql`.
    pub catalog: &'static str,
    /// Names of the storages.
    pub storages: Vec<String>,
}

/// Sites, and the server itself.
pub struct Admin {
    engine: Engine,
    facts: ServerFacts,
}

impl Admin {
    /// The service over the use cases.
    pub fn new(engine: Engine, facts: ServerFacts) -> Self {
        Self { engine, facts }
    }
}

#[tonic::async_trait]
impl AdminService for Admin {
    async fn create_site(
        &self,
        request: Request<CreateSiteRequest>,
    ) -> Result<Response<CreateSiteResponse>, Status> {
        let principal = auth::principal(&request)?;
        let message = request.into_inner();
        let id: SiteId = name("site_id", &message.site_id)?;
        auth::reach(&principal, &id)?;
        let site = message.site.clone().unwrap_or_default();
        let call = call(principal, "CreateSite", &message.request_id, &message)?;
        let wanted = SiteChange {
            display_name: Some(site.display_name),
            language: Some(site.language),
            time_zone: Some(site.time_zone),
            identifier_hash: Some(site.identifier_hash),
            wwwroot: Some(site.wwwroot),
        };
        let row = self.engine.once(&call, || self.engine.create_site(&call, &id, &wanted)).await?;
        Ok(Response::new(CreateSiteResponse { site: Some(convert::site(&row)) }))
    }

    async fn get_site(&self, request: Request<GetSiteRequest>) -> Result<Response<GetSiteResponse>, Status> {
        let principal = auth::principal(&request)?;
        let SiteName(site) = name("name", &request.into_inner().name)?;
        auth::within(&principal, &site)?;
        let row = self.engine.get_site(&site).await?;
        Ok(Response::new(GetSiteResponse { site: Some(convert::site(&row)) }))
    }

    async fn update_site(
        &self,
        request: Request<UpdateSiteRequest>,
    ) -> Result<Response<UpdateSiteResponse>, Status> {
        let principal = auth::principal(&request)?;
        let message = request.into_inner();
        let site = message.site.clone().unwrap_or_default();
        let SiteName(id) = name("site.name", &site.name)?;
        auth::reach(&principal, &id)?;
        let fields = [
            ("display_name", !site.display_name.is_empty()),
            ("language", !site.language.is_empty()),
            ("time_zone", !site.time_zone.is_empty()),
            ("identifier_hash", !site.identifier_hash.is_empty()),
            ("wwwroot", !site.wwwroot.is_empty()),
        ];
        let [display_name, language, time_zone, identifier_hash, wwwroot] =
            mask::chosen(message.update_mask.as_ref(), fields)?;
        let change = SiteChange {
            display_name: display_name.then_some(site.display_name),
            language: language.then_some(site.language),
            time_zone: time_zone.then_some(site.time_zone),
            identifier_hash: identifier_hash.then_some(site.identifier_hash),
            wwwroot: wwwroot.then_some(site.wwwroot),
        };
        let call = call(principal, "UpdateSite", &message.request_id, &message)?;
        let row = self.engine.once(&call, || self.engine.update_site(&call, &id, &change)).await?;
        Ok(Response::new(UpdateSiteResponse { site: Some(convert::site(&row)) }))
    }

    async fn list_sites(
        &self,
        request: Request<ListSitesRequest>,
    ) -> Result<Response<ListSitesResponse>, Status> {
        let principal = auth::principal(&request)?;
        let message = request.into_inner();
        let page = Page::parse(message.page_size, &message.page_token, &["sites", &principal.name])?;
        let after: Option<SiteId> = page.key()?;
        let rows = match principal.sites_with(Capability::SiteView) {
            Sites::All => self.engine.list_sites(after.as_ref(), page.fetch()).await?,
            Sites::Only(sites) => self.engine.sites_of(&sites, after.as_ref(), page.fetch()).await?,
        };
        let (sites, next_page_token) = page.fill(&rows, |row| row.site.to_string(), convert::site);
        Ok(Response::new(ListSitesResponse { sites, next_page_token }))
    }

    async fn get_server_info(
        &self,
        request: Request<GetServerInfoRequest>,
    ) -> Result<Response<GetServerInfoResponse>, Status> {
        let principal = auth::principal(&request)?;
        let limits = self.engine.limits();
        Ok(Response::new(GetServerInfoResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            principal: principal.name,
            max_chunk_bytes: convert::count(limits.chunk_bytes as u64),
            max_upload_bytes: convert::count(limits.upload_bytes),
            max_members: convert::count(limits.members),
            max_member_bytes: convert::count(limits.member_bytes),
            max_content_bytes: convert::count(limits.content_bytes),
            catalog: self.facts.catalog.to_owned(),
            storages: self.facts.storages.clone(),
        }))
    }

    async fn get_storage_report(
        &self,
        request: Request<GetStorageReportRequest>,
    ) -> Result<Response<GetStorageReportResponse>, Status> {
        let principal = auth::principal(&request)?;
        let SiteName(site) = name("parent", &request.into_inner().parent)?;
        auth::reach(&principal, &site)?;
        let rows = self.engine.storage_report(&site).await?;
        Ok(Response::new(GetStorageReportResponse {
            storages: rows.iter().map(convert::storage_use).collect(),
        }))
    }

    async fn verify_archives(
        &self,
        request: Request<VerifyArchivesRequest>,
    ) -> Result<Response<VerifyArchivesResponse>, Status> {
        let principal = auth::principal(&request)?;
        let message = request.into_inner();
        let SiteName(site) = name("parent", &message.parent)?;
        auth::reach(&principal, &site)?;
        let count = u32::try_from(message.archive_count)
            .map_err(|_| Error::field("archive_count", "must not be negative"))?;
        let call = call(principal, "VerifyArchives", &message.request_id, &message)?;
        let row = self.engine.once(&call, || self.engine.verify_archives(&call, &site, count)).await?;
        Ok(Response::new(VerifyArchivesResponse { job: Some(convert::job(&row)) }))
    }

    async fn import_users(
        &self,
        request: Request<Streaming<ImportUsersRequest>>,
    ) -> Result<Response<ImportUsersResponse>, Status> {
        Ok(Response::new(directory::import_users(&self.engine, request).await?))
    }

    async fn get_user(&self, request: Request<GetUserRequest>) -> Result<Response<GetUserResponse>, Status> {
        Ok(Response::new(directory::get_user(&self.engine, request).await?))
    }

    async fn list_users(
        &self,
        request: Request<ListUsersRequest>,
    ) -> Result<Response<ListUsersResponse>, Status> {
        Ok(Response::new(directory::list_users(&self.engine, request).await?))
    }

    async fn delete_users(
        &self,
        request: Request<DeleteUsersRequest>,
    ) -> Result<Response<DeleteUsersResponse>, Status> {
        Ok(Response::new(directory::delete_users(&self.engine, request).await?))
    }

    async fn import_roles(
        &self,
        request: Request<ImportRolesRequest>,
    ) -> Result<Response<ImportRolesResponse>, Status> {
        Ok(Response::new(directory::import_roles(&self.engine, request).await?))
    }

    async fn list_roles(
        &self,
        request: Request<ListRolesRequest>,
    ) -> Result<Response<ListRolesResponse>, Status> {
        Ok(Response::new(directory::list_roles(&self.engine, request).await?))
    }

    async fn list_audit_entries(
        &self,
        request: Request<ListAuditEntriesRequest>,
    ) -> Result<Response<ListAuditEntriesResponse>, Status> {
        Ok(Response::new(audit::list_audit_entries(&self.engine, request).await?))
    }
}
