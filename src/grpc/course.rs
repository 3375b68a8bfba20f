//! CourseService.

use tonic::{Request, Response, Status};

use super::convert::{self, name, optional_name};
use super::outflow::{self, Outflow, range, stream_out};
use super::paging::Page;
use super::{auth, call, searched};
use crate::access::Action;
use crate::archive::Container;
use crate::capability::Capability;
use crate::catalog::CourseQuery;
use crate::engine::{Call, Engine, Error};
use crate::ids::{ArchiveName, CourseName, RevisionName, SiteName};
use crate::proto::course_service_server::CourseService;
use crate::proto::*;
use crate::reason::Reason;

/// Course spaces and their revisions.
pub struct Course(pub Engine);

#[tonic::async_trait]
impl CourseService for Course {
    type DownloadCourseStream = Outflow<DownloadCourseResponse>;

    async fn get_course(
        &self,
        request: Request<GetCourseRequest>,
    ) -> Result<Response<GetCourseResponse>, Status> {
        let principal = auth::principal(&request)?;
        let name: CourseName = name("name", &request.into_inner().name)?;
        auth::reach_course(&principal, &name)?;
        let row = self.0.get_course(&name).await?;
        Ok(Response::new(GetCourseResponse { course: Some(convert::course(&row)) }))
    }

    async fn list_courses(
        &self,
        request: Request<ListCoursesRequest>,
    ) -> Result<Response<ListCoursesResponse>, Status> {
        let principal = auth::principal(&request)?;
        let message = request.into_inner();
        let SiteName(site) = name("parent", &message.parent)?;
        auth::within(&principal, &site)?;
        let list = ListCoursesRequest { page_size: 0, page_token: String::new(), ..message.clone() };
        let page = Page::parse(message.page_size, &message.page_token, &[&format!("{list:?}")])?;
        let query = CourseQuery {
            any: searched("search", message.search)?,
            full_name: searched("full_name", message.full_name)?,
            short_name: searched("short_name", message.short_name)?,
            id_number: searched("id_number", message.id_number)?,
            show_deleted: message.show_deleted,
            among: principal.courses_with(Capability::CourseView, &site).only(),
            after: page.key()?,
        };
        let rows = self.0.list_courses(&site, &query, page.fetch()).await?;
        let (courses, next_page_token) = page.fill(&rows, |row| row.course.to_string(), convert::course);
        Ok(Response::new(ListCoursesResponse { courses, next_page_token }))
    }

    async fn get_revision(
        &self,
        request: Request<GetRevisionRequest>,
    ) -> Result<Response<GetRevisionResponse>, Status> {
        let principal = auth::principal(&request)?;
        let name: RevisionName = name("name", &request.into_inner().name)?;
        auth::reach_course(&principal, &name.course)?;
        let row = self.0.get_revision(&name).await?;
        Ok(Response::new(GetRevisionResponse { revision: Some(convert::revision(&row)) }))
    }

    async fn list_revisions(
        &self,
        request: Request<ListRevisionsRequest>,
    ) -> Result<Response<ListRevisionsResponse>, Status> {
        let principal = auth::principal(&request)?;
        let message = request.into_inner();
        let name: CourseName = name("parent", &message.parent)?;
        auth::reach_course(&principal, &name)?;
        let page = Page::parse(message.page_size, &message.page_token, &["revisions", &message.parent])?;
        let rows = self.0.list_revisions(&name, page.key()?, page.fetch()).await?;
        let (revisions, next_page_token) =
            page.fill(&rows, |row| row.revision.to_string(), convert::revision);
        Ok(Response::new(ListRevisionsResponse { revisions, next_page_token }))
    }

    async fn download_course(
        &self,
        request: Request<DownloadCourseRequest>,
    ) -> Result<Response<Self::DownloadCourseStream>, Status> {
        use download_course_response::Part as Wire;
        let principal = auth::principal(&request)?;
        let message = request.into_inner();
        let (course, number) = match message.name.parse::<RevisionName>() {
            Ok(revision) => (revision.course, Some(revision.number)),
            Err(_) => (name::<CourseName>("name", &message.name)?, None),
        };
        auth::reach_course(&principal, &course)?;
        let container = convert::container("container", message.container)?.unwrap_or(Container::Zip);
        let range = range(message.offset, message.limit, &message.if_etag)?;
        let download =
            self.0.download_course(&Call::by(principal), &course, number, container, range).await?;
        Ok(stream_out(&self.0, download, |part| DownloadCourseResponse {
            part: Some(match part {
                outflow::Part::Header(header) => Wire::Header(header),
                outflow::Part::Chunk(chunk) => Wire::Chunk(chunk),
                outflow::Part::Finish(finish) => Wire::Finish(finish),
            }),
        }))
    }

    async fn publish_revision(
        &self,
        request: Request<PublishRevisionRequest>,
    ) -> Result<Response<PublishRevisionResponse>, Status> {
        let principal = auth::principal(&request)?;
        let message = request.into_inner();
        let course: CourseName = name("course", &message.course)?;
        auth::reach_course(&principal, &course)?;
        let archive: ArchiveName = name("archive", &message.archive)?;
        if archive.site != course.site {
            return Err(Error::field("archive", "must be of the course's site").into());
        }
        self.0.admit(&principal, &archive, Action::Restore).await?;
        let expected: Option<RevisionName> = optional_name("expected_parent", &message.expected_parent)?;
        if expected.as_ref().is_some_and(|revision| revision.course != course) {
            return Err(Error::field("expected_parent", "must be a revision of the course").into());
        }
        let expected = expected.map(|revision| revision.number);
        let call = call(principal, "PublishRevision", &message.request_id, &message)?;
        let published =
            self.0.once(&call, || self.0.publish_revision(&call, &course, &archive, expected)).await?;
        Ok(Response::new(PublishRevisionResponse {
            revision: Some(convert::revision(&published.revision)),
            course: Some(convert::course(&published.course)),
        }))
    }
}

impl Page {
    /// The key after which this page begins.
    pub fn key<T: std::str::FromStr>(&self) -> Result<Option<T>, Error> {
        let invalid = |_| Error::new(Reason::PageTokenInvalid, "page_token is not of this list");
        self.after.as_ref().map(|key| key.parse().map_err(|_| invalid(()))).transpose()
    }
}
