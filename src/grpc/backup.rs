//! BackupService.

use std::time::Duration;

use futures::{StreamExt, stream};
use tonic::{Request, Response, Status, Streaming};

use super::comparison;
use super::convert::{self, name};
use super::drain::until_dropped;
use super::intake::{Accepts, Part, Stored, receive};
use super::outflow::{self, Outflow, range, stream_out};
use super::paging::Page;
use super::{auth, call, listing, mask, settings};
use crate::access::Action;
use crate::backup::BuiltInPreset;
use crate::catalog::{ArchivePosition, ArchiveRow, Newest};
use crate::engine::{Call, Comparable, Engine, Error, MemberReader, NewShare, Seen, Until};
use crate::ids::{ArchiveName, CourseName, RevisionName, SiteName};
use crate::principal::Principal;
use crate::proto::backup_service_server::BackupService;
use crate::proto::*;
use crate::reason::Reason;

/// Bytes of differences in one answer. Clients take four MiB unless they say otherwise.
const COMPARISON_BYTES: usize = 2 << 20;

/// Makes backups and keeps archives.
pub struct Backup(pub Engine);

/// The archive of a request, if the caller reaches its site and may do that with it.
pub(super) async fn archive(
    engine: &Engine,
    principal: &Principal,
    field: &str,
    text: &str,
    action: Action,
) -> Result<ArchiveName, Error> {
    let name: ArchiveName = name(field, text)?;
    auth::within(principal, &name.site)?;
    engine.admit(principal, &name, action).await?;
    Ok(name)
}

impl Backup {
    /// An archive as a message, with what the caller may see of its shares.
    async fn told(&self, principal: &Principal, row: ArchiveRow) -> Result<Option<Archive>, Error> {
        Ok(self.0.seen(principal, vec![row]).await?.first().map(convert::seen))
    }
}

/// A page's end in a list that is ordered from the newest.
pub(super) fn newest_key(create_time: crate::clock::Timestamp, id: &impl ToString) -> String {
    format!("{}/{}", create_time.millis(), id.to_string())
}

/// Where a page of such a list begins.
pub(super) fn newest<Id: std::str::FromStr>(page: &Page) -> Result<Option<Newest<Id>>, Error> {
    let invalid = || Error::new(Reason::PageTokenInvalid, "page_token is not of this list");
    let Some(after) = &page.after else { return Ok(None) };
    let (millis, id) = after.split_once('/').ok_or_else(invalid)?;
    let create_time = crate::clock::Timestamp::from_millis(millis.parse().map_err(|_| invalid())?);
    Ok(Some(Newest { create_time, id: id.parse().map_err(|_| invalid())? }))
}

#[tonic::async_trait]
impl BackupService for Backup {
    type DownloadArchiveStream = Outflow<DownloadArchiveResponse>;
    type ReadArchiveMemberStream = Outflow<ReadArchiveMemberResponse>;

    async fn upload_backup(
        &self,
        request: Request<Streaming<UploadBackupRequest>>,
    ) -> Result<Response<UploadBackupResponse>, Status> {
        use upload_backup_request::Part as Wire;
        let accepts = Accepts { method: "UploadBackup", only: None };
        let stored = receive(&self.0, request, accepts, |message: UploadBackupRequest| match message.part {
            Some(Wire::Header(header)) => Part::Header(header),
            Some(Wire::Chunk(chunk)) => Part::Chunk(chunk),
            Some(Wire::Finish(finish)) => Part::Finish(finish),
            None => Part::Empty,
        })
        .await?;
        let row: ArchiveRow = match stored {
            Stored::Now(ingested) => ingested.row,
            Stored::Before(text) => self.0.get_archive(&name("name", &text)?).await?,
        };
        Ok(Response::new(UploadBackupResponse { archive: Some(convert::archive(&row)) }))
    }

    async fn create_backup(
        &self,
        request: Request<CreateBackupRequest>,
    ) -> Result<Response<CreateBackupResponse>, Status> {
        let principal = auth::principal(&request)?;
        let message = request.into_inner();
        let course: CourseName = name("course", &message.course)?;
        auth::reach_course(&principal, &course)?;
        let area = convert::area("area", message.area)?;
        let call = call(principal, "CreateBackup", &message.request_id, &message)?;
        let order = settings::order(message.options, None)?;
        let (token, validate_only) = (message.plan_token.as_str(), message.validate_only);
        let create = || self.0.create_backup(&call, &course, area, order.clone(), token, validate_only);
        let row = self.0.once(&call, create).await?;
        Ok(Response::new(CreateBackupResponse {
            job: Some(row.as_ref().map(convert::job).unwrap_or_default()),
        }))
    }

    async fn plan_backup(
        &self,
        request: Request<PlanBackupRequest>,
    ) -> Result<Response<PlanBackupResponse>, Status> {
        let principal = auth::principal(&request)?;
        let message = request.into_inner();
        let plan = if message.source.contains("/archives/") {
            let archive = archive(&self.0, &principal, "source", &message.source, Action::Inspect).await?;
            let order = settings::order(message.options, Some(BuiltInPreset::Everything))?;
            self.0.plan_conversion(&archive, order).await?
        } else {
            let course: CourseName = name("source", &message.source)?;
            auth::reach_course(&principal, &course)?;
            self.0.plan_backup(&course, settings::order(message.options, None)?).await?
        };
        Ok(Response::new(PlanBackupResponse { plan: Some(settings::plan(&plan)) }))
    }

    async fn convert_archive(
        &self,
        request: Request<ConvertArchiveRequest>,
    ) -> Result<Response<ConvertArchiveResponse>, Status> {
        let principal = auth::principal(&request)?;
        let message = request.into_inner();
        let archive = archive(&self.0, &principal, "name", &message.name, Action::Fetch).await?;
        let area = convert::area("area", message.area)?;
        let call = call(principal, "ConvertArchive", &message.request_id, &message)?;
        let order = settings::order(message.options, Some(BuiltInPreset::Everything))?;
        let create = || self.0.convert_archive(&call, &archive, area, order.clone(), message.validate_only);
        let row = self.0.once(&call, create).await?;
        Ok(Response::new(ConvertArchiveResponse {
            job: Some(row.as_ref().map(convert::job).unwrap_or_default()),
        }))
    }

    async fn verify_archive(
        &self,
        request: Request<VerifyArchiveRequest>,
    ) -> Result<Response<VerifyArchiveResponse>, Status> {
        let principal = auth::principal(&request)?;
        let message = request.into_inner();
        let archive = archive(&self.0, &principal, "name", &message.name, Action::Inspect).await?;
        let call = call(principal, "VerifyArchive", &message.request_id, &message)?;
        let row = self.0.once(&call, || self.0.verify_archive(&call, &archive)).await?;
        Ok(Response::new(VerifyArchiveResponse { job: Some(convert::job(&row)) }))
    }

    async fn get_archive(
        &self,
        request: Request<GetArchiveRequest>,
    ) -> Result<Response<GetArchiveResponse>, Status> {
        let principal = auth::principal(&request)?;
        let name = archive(&self.0, &principal, "name", &request.into_inner().name, Action::See).await?;
        let row = self.0.get_archive(&name).await?;
        Ok(Response::new(GetArchiveResponse { archive: self.told(&principal, row).await? }))
    }

    async fn list_archives(
        &self,
        request: Request<ListArchivesRequest>,
    ) -> Result<Response<ListArchivesResponse>, Status> {
        let principal = auth::principal(&request)?;
        let message = request.into_inner();
        let SiteName(site) = name("parent", &message.parent)?;
        auth::within(&principal, &site)?;
        let (query, page) = listing::query(&principal, &site, &message)?;
        let rows = self.0.list_archives(&site, &query, page.fetch()).await?;
        let seen = self.0.seen(&principal, rows).await?;
        let key = |seen: &Seen| listing::position_key(&ArchivePosition::of(&seen.row));
        let (archives, next_page_token) = page.fill(&seen, key, convert::seen);
        Ok(Response::new(ListArchivesResponse { archives, next_page_token }))
    }

    async fn update_archive(
        &self,
        request: Request<UpdateArchiveRequest>,
    ) -> Result<Response<UpdateArchiveResponse>, Status> {
        let principal = auth::principal(&request)?;
        let message = request.into_inner();
        let wanted = message.archive.clone().unwrap_or_default();
        let name = archive(&self.0, &principal, "archive.name", &wanted.name, Action::Update).await?;
        let fields = [("description", !wanted.description.is_empty())];
        let [description] = mask::chosen(message.update_mask.as_ref(), fields)?;
        let description = description.then_some(wanted.description.as_str());
        let call = call(principal.clone(), "UpdateArchive", &message.request_id, &message)?;
        let version = convert::version(&wanted.etag);
        let row = self.0.once(&call, || self.0.describe_archive(&call, &name, description, version)).await?;
        Ok(Response::new(UpdateArchiveResponse { archive: self.told(&principal, row).await? }))
    }

    async fn delete_archive(
        &self,
        request: Request<DeleteArchiveRequest>,
    ) -> Result<Response<DeleteArchiveResponse>, Status> {
        let principal = auth::principal(&request)?;
        let message = request.into_inner();
        let target = match archive(&self.0, &principal, "name", &message.name, Action::Delete).await {
            Err(error) if error.reason == Reason::ArchiveNotFound && message.allow_missing => {
                return Ok(Response::new(DeleteArchiveResponse { archive: None }));
            }
            target => target?,
        };
        let call = call(principal.clone(), "DeleteArchive", &message.request_id, &message)?;
        let version = convert::version(&message.etag);
        let row = self
            .0
            .once(&call, || self.0.delete_archive(&call, &target, version, message.allow_missing))
            .await?;
        let archive = match row {
            Some(row) => self.told(&principal, row).await?,
            None => None,
        };
        Ok(Response::new(DeleteArchiveResponse { archive }))
    }

    async fn undelete_archive(
        &self,
        request: Request<UndeleteArchiveRequest>,
    ) -> Result<Response<UndeleteArchiveResponse>, Status> {
        let principal = auth::principal(&request)?;
        let message = request.into_inner();
        let name = archive(&self.0, &principal, "name", &message.name, Action::Delete).await?;
        let call = call(principal.clone(), "UndeleteArchive", &message.request_id, &message)?;
        let row = self.0.once(&call, || self.0.undelete_archive(&call, &name)).await?;
        Ok(Response::new(UndeleteArchiveResponse { archive: self.told(&principal, row).await? }))
    }

    async fn place_hold(
        &self,
        request: Request<PlaceHoldRequest>,
    ) -> Result<Response<PlaceHoldResponse>, Status> {
        let principal = auth::principal(&request)?;
        let message = request.into_inner();
        let name = archive(&self.0, &principal, "name", &message.name, Action::Hold).await?;
        let call = call(principal.clone(), "PlaceHold", &message.request_id, &message)?;
        let version = convert::version(&message.etag);
        let row = self.0.once(&call, || self.0.place_hold(&call, &name, &message.reason, version)).await?;
        Ok(Response::new(PlaceHoldResponse { archive: self.told(&principal, row).await? }))
    }

    async fn release_hold(
        &self,
        request: Request<ReleaseHoldRequest>,
    ) -> Result<Response<ReleaseHoldResponse>, Status> {
        let principal = auth::principal(&request)?;
        let message = request.into_inner();
        let name = archive(&self.0, &principal, "name", &message.name, Action::Hold).await?;
        let call = call(principal.clone(), "ReleaseHold", &message.request_id, &message)?;
        let version = convert::version(&message.etag);
        let row = self.0.once(&call, || self.0.release_hold(&call, &name, &message.reason, version)).await?;
        Ok(Response::new(ReleaseHoldResponse { archive: self.told(&principal, row).await? }))
    }

    async fn share_archive(
        &self,
        request: Request<ShareArchiveRequest>,
    ) -> Result<Response<ShareArchiveResponse>, Status> {
        use share_archive_request::Expiration;
        let principal = auth::principal(&request)?;
        let message = request.into_inner();
        let name = archive(&self.0, &principal, "name", &message.name, Action::Share).await?;
        let until = match &message.expiration {
            Some(Expiration::ExpireTime(time)) => Until::Time(convert::instant("expire_time", time)?),
            Some(Expiration::Ttl(ttl)) => Until::After(
                Duration::try_from(*ttl).map_err(|_| Error::field("ttl", "must lie in the future"))?,
            ),
            None => return Err(Error::field("expiration", "is required").into()),
        };
        let share = NewShare { principal: message.principal.clone(), until, note: message.note.clone() };
        let call = call(principal.clone(), "ShareArchive", &message.request_id, &message)?;
        let row = self.0.once(&call, || self.0.share_archive(&call, &name, &share)).await?;
        Ok(Response::new(ShareArchiveResponse { archive: self.told(&principal, row).await? }))
    }

    async fn unshare_archive(
        &self,
        request: Request<UnshareArchiveRequest>,
    ) -> Result<Response<UnshareArchiveResponse>, Status> {
        let principal = auth::principal(&request)?;
        let message = request.into_inner();
        let name = archive(&self.0, &principal, "name", &message.name, Action::Share).await?;
        let call = call(principal.clone(), "UnshareArchive", &message.request_id, &message)?;
        let row = self.0.once(&call, || self.0.unshare_archive(&call, &name, &message.principal)).await?;
        Ok(Response::new(UnshareArchiveResponse { archive: self.told(&principal, row).await? }))
    }

    async fn download_archive(
        &self,
        request: Request<DownloadArchiveRequest>,
    ) -> Result<Response<Self::DownloadArchiveStream>, Status> {
        use download_archive_response::Part as Wire;
        let principal = auth::principal(&request)?;
        let message = request.into_inner();
        let name = archive(&self.0, &principal, "name", &message.name, Action::Fetch).await?;
        let container = convert::container("container", message.container)?;
        let range = range(message.offset, message.limit, &message.if_etag)?;
        let download = self.0.download_archive(&Call::by(principal), &name, container, range).await?;
        Ok(stream_out(&self.0, download, |part| DownloadArchiveResponse {
            part: Some(match part {
                outflow::Part::Header(header) => Wire::Header(header),
                outflow::Part::Chunk(chunk) => Wire::Chunk(chunk),
                outflow::Part::Finish(finish) => Wire::Finish(finish),
            }),
        }))
    }

    async fn list_archive_members(
        &self,
        request: Request<ListArchiveMembersRequest>,
    ) -> Result<Response<ListArchiveMembersResponse>, Status> {
        let principal = auth::principal(&request)?;
        let message = request.into_inner();
        let name = archive(&self.0, &principal, "parent", &message.parent, Action::Inspect).await?;
        let list = [message.parent.as_str(), message.path_prefix.as_str()];
        let page = Page::parse(message.page_size, &message.page_token, &list)?;
        let (prefix, limit) = (&message.path_prefix, page.fetch() as usize);
        let entries = self.0.list_members(&name, prefix, page.after.as_deref(), limit).await?;
        let (members, next_page_token) = page.fill(&entries, |entry| entry.path.to_string(), convert::member);
        Ok(Response::new(ListArchiveMembersResponse { members, next_page_token }))
    }

    async fn read_archive_member(
        &self,
        request: Request<ReadArchiveMemberRequest>,
    ) -> Result<Response<Self::ReadArchiveMemberStream>, Status> {
        let principal = auth::principal(&request)?;
        let message = request.into_inner();
        let name = archive(&self.0, &principal, "name", &message.name, Action::Fetch).await?;
        if message.path.is_empty() {
            return Err(Error::field("path", "is required").into());
        }
        let member = self.0.open_member(&Call::by(principal), &name, &message.path).await?;
        Ok(Response::new(until_dropped(&self.0, stream_member(member))))
    }

    async fn inspect_archive(
        &self,
        request: Request<InspectArchiveRequest>,
    ) -> Result<Response<InspectArchiveResponse>, Status> {
        let principal = auth::principal(&request)?;
        let name = archive(&self.0, &principal, "name", &request.into_inner().name, Action::Inspect).await?;
        let inspected = self.0.inspect_archive(&name).await?;
        Ok(Response::new(InspectArchiveResponse { inspection: Some(convert::inspection(&inspected)) }))
    }

    async fn compare_archives(
        &self,
        request: Request<CompareArchivesRequest>,
    ) -> Result<Response<CompareArchivesResponse>, Status> {
        let principal = auth::principal(&request)?;
        let message = request.into_inner();
        let a = comparable(&principal, "a", &message.a)?;
        let b = comparable(&principal, "b", &message.b)?;
        if a.site() != b.site() {
            return Err(Error::field("b", "must be of the same site as a").into());
        }
        for side in [&a, &b] {
            if let Comparable::Archive(name) = side {
                self.0.admit(&principal, name, Action::Fetch).await?;
            }
        }
        let options = comparison::options(&message, self.0.limits())?;
        let report =
            self.0.compare_archives(&Call::by(principal), &a, &b, options, message.ignore_ids).await?;
        let comparison = Some(comparison::comparison(&report, COMPARISON_BYTES));
        Ok(Response::new(CompareArchivesResponse { comparison }))
    }
}

/// What is to be compared, if the caller reaches its site.
fn comparable(principal: &Principal, field: &str, text: &str) -> Result<Comparable, Error> {
    let what = match text.parse::<RevisionName>() {
        Ok(revision) => Comparable::Revision(revision),
        Err(_) => Comparable::Archive(name(field, text)?),
    };
    match &what {
        Comparable::Revision(revision) => auth::reach_course(principal, &revision.course)?,
        Comparable::Archive(archive) => auth::within(principal, &archive.site)?,
    }
    Ok(what)
}

/// A member's content, decoded as it is sent.
fn stream_member(member: MemberReader) -> Outflow<ReadArchiveMemberResponse> {
    use read_archive_member_response::Part as Wire;
    let message = |part| ReadArchiveMemberResponse { part: Some(part) };
    let head = message(Wire::Member(convert::member(member.entry())));
    let chunks = stream::try_unfold((member, 0), move |(mut member, offset)| async move {
        let Some(data) = member.next().await? else { return Ok(None) };
        let crc32 = Some(crc32fast::hash(&data));
        let next = offset + convert::count(data.len() as u64);
        Ok(Some((message(Wire::Chunk(Chunk { offset, data, crc32 })), (member, next))))
    });
    Box::pin(stream::once(async move { Ok(head) }).chain(chunks))
}
