//! CourseService.

use tonic::{Request, Response, Status};

use super::convert::{self, name, optional_name};
use super::outflow::{self, Outflow, range, stream_out};
use super::paging::Page;
use super::{auth, call, schedule, searched};
use crate::access::Action;
use crate::archive::Container;
use crate::catalog::{CourseQuery, CourseRow};
use crate::engine::{Engine, Error};
use crate::ids::{ArchiveName, CourseName, RevisionName, SiteId, SiteName};
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
        auth::reach(&principal, &name.site)?;
        let row = self.0.get_course(&name).await?;
        let courses = self.with_backups(&name.site, &[row]).await?;
        Ok(Response::new(GetCourseResponse { course: courses.into_iter().next() }))
    }

    async fn list_courses(
        &self,
        request: Request<ListCoursesRequest>,
    ) -> Result<Response<ListCoursesResponse>, Status> {
        let principal = auth::principal(&request)?;
        let message = request.into_inner();
        let SiteName(site) = name("parent", &message.parent)?;
        auth::reach(&principal, &site)?;
        let list = ListCoursesRequest { page_size: 0, page_token: String::new(), ..message.clone() };
        let page = Page::parse(message.page_size, &message.page_token, &[&format!("{list:?}")])?;
        let backup_before = match message.backup_older_than {
            None => None,
            Some(age) => {
                let age = std::time::Duration::try_from(age)
                    .map_err(|_| Error::field("backup_older_than", "must not be negative"))?;
                Some(self.0.catalog().now().await.map_err(Error::from)?.minus(age))
            }
        };
        let query = CourseQuery {
            any: searched("search", message.search)?,
            full_name: searched("full_name", message.full_name)?,
            short_name: searched("short_name", message.short_name)?,
            id_number: searched("id_number", message.id_number)?,
            show_deleted: message.show_deleted,
            backup_before,
            changed_since_backup: message.changed_since_backup,
            after: page.key()?,
        };
        let rows = self.0.list_courses(&site, &query, page.fetch()).await?;
        let courses = self.with_backups(&site, &rows).await?;
        let rows: Vec<_> = rows.iter().zip(courses).collect();
        let (courses, next_page_token) =
            page.fill(&rows, |(row, _)| row.course.to_string(), |(_, course)| course.clone());
        Ok(Response::new(ListCoursesResponse { courses, next_page_token }))
    }

    async fn get_revision(
        &self,
        request: Request<GetRevisionRequest>,
    ) -> Result<Response<GetRevisionResponse>, Status> {
        let principal = auth::principal(&request)?;
        let name: RevisionName = name("name", &request.into_inner().name)?;
        auth::reach(&principal, &name.course.site)?;
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
        auth::reach(&principal, &name.site)?;
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
        auth::reach(&principal, &course.site)?;
        let container = convert::container("container", message.container)?.unwrap_or(Container::Zip);
        let range = range(message.offset, message.limit, &message.if_etag)?;
        let download = self.0.download_course(&course, number, container, range).await?;
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
        auth::reach(&principal, &course.site)?;
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

    async fn report_course_changes(
        &self,
        request: Request<ReportCourseChangesRequest>,
    ) -> Result<Response<ReportCourseChangesResponse>, Status> {
        let principal = auth::principal(&request)?;
        let message = request.into_inner();
        let SiteName(site) = name("parent", &message.parent)?;
        auth::reach(&principal, &site)?;
        let mut changes = Vec::new();
        for change in &message.changes {
            let course: CourseName = name("changes.course", &change.course)?;
            if course.site != site {
                return Err(Error::field("changes.course", "must be of the site").into());
            }
            let time = change.change_time.as_ref();
            changes.push((
                course.course,
                time.map(|time| convert::instant("changes.change_time", time)).transpose()?,
            ));
        }
        let unknown = self.0.report_changes(&site, &changes).await?;
        let unknown = unknown.into_iter().map(|course| CourseName { site: site.clone(), course }.to_string());
        Ok(Response::new(ReportCourseChangesResponse { unknown_courses: unknown.collect() }))
    }
}

impl Course {
    /// Courses as messages, with how their automated backups stand.
    async fn with_backups(
        &self,
        site: &SiteId,
        rows: &[CourseRow],
    ) -> Result<Vec<crate::proto::Course>, Error> {
        let ids: Vec<_> = rows.iter().map(|row| row.course.clone()).collect();
        let (standing, now) = self.0.course_backups(site, &ids).await?;
        let told = |row: &CourseRow| crate::proto::Course {
            backups: standing.get(&row.course).map(|standing| schedule::course_backups(standing, now)),
            ..convert::course(row)
        };
        Ok(rows.iter().map(told).collect())
    }
}

impl Page {
    /// The key after which this page begins.
    pub fn key<T: std::str::FromStr>(&self) -> Result<Option<T>, Error> {
        let invalid = |_| Error::new(Reason::PageTokenInvalid, "page_token is not of this list");
        self.after.as_ref().map(|key| key.parse().map_err(|_| invalid(()))).transpose()
    }
}
