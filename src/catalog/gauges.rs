//! Numbers over all sites, for the metrics. Statements that stay cheap however many jobs have ended.

use super::Catalog;
use super::error::CatalogError;
use super::sql::{self, Cells};
use crate::ids::SiteId;
use crate::job::{JobKind, JobState};

/// Jobs of a kind and state that have not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenJobs {
    /// What they do.
    pub kind: JobKind,
    /// Where they stand.
    pub state: JobState,
    /// How many there are.
    pub count: u64,
}

/// How well the courses of a site are saved. A good backup holds a state from its live revision on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedCourses {
    /// The site.
    pub site: SiteId,
    /// Courses that have a live state.
    pub courses: u64,
    /// Those whose live state no backup holds.
    pub unsaved: u64,
    /// Milliseconds since the oldest such state came; 0 without one.
    pub unsaved_for_ms: u64,
}

impl Catalog {
    /// Jobs that have not ended, by kind and state.
    pub async fn open_jobs(&self) -> Result<Vec<OpenJobs>, CatalogError> {
        let query = sqlx::query(
            "SELECT kind, state, COUNT(*) AS job_count FROM jobs
             WHERE state IN ('PENDING', 'RUNNING', 'CANCELLING')
             GROUP BY kind, state",
        );
        let rows = sql::all_rows(&mut *self.read().await?, query).await?;
        rows.iter()
            .map(|row| {
                let cells = Cells::new(row, "jobs", &["kind", "state"]);
                Ok(OpenJobs {
                    kind: cells.parsed("kind")?,
                    state: cells.parsed("state")?,
                    count: cells.count("job_count")?,
                })
            })
            .collect()
    }

    /// Milliseconds for which the job that waits longest has been due; 0 when none waits.
    pub async fn queue_age_ms(&self) -> Result<u64, CatalogError> {
        let now = self.now().await?;
        let query = sqlx::query(
            "SELECT COALESCE(MAX($1 - run_after_ms), 0) AS age_ms FROM jobs
             WHERE state = 'PENDING' AND run_after_ms <= $1",
        )
        .bind(now.millis());
        let rows = sql::all_rows(&mut *self.read().await?, query).await?;
        rows.first().map_or(Ok(0), |row| Cells::new(row, "jobs", &[]).count("age_ms"))
    }

    /// How well each site's courses are saved: for a course, the newest state that a backup of it holds against its live one.
    pub async fn saved_courses(&self) -> Result<Vec<SavedCourses>, CatalogError> {
        let now = self.now().await?;
        let query = sqlx::query(
            "SELECT c.site AS site,
                 COUNT(*) AS course_count,
                 COALESCE(SUM(CASE WHEN b.saved_ms IS NULL OR b.saved_ms < r.create_ms THEN 1 ELSE 0 END), 0)
                     AS unsaved_count,
                 COALESCE(MAX(CASE WHEN b.saved_ms IS NULL OR b.saved_ms < r.create_ms
                     THEN $1 - r.create_ms ELSE 0 END), 0) AS unsaved_ms
             FROM courses c
             JOIN revisions r ON r.site = c.site AND r.course = c.course AND r.revision = c.live_revision
             LEFT JOIN (
                 SELECT site, course, MAX(create_ms) AS saved_ms
                 FROM archives
                 WHERE origin = 'BACKUP' AND course IS NOT NULL AND delete_ms IS NULL
                 GROUP BY site, course
             ) b ON b.site = c.site AND b.course = c.course
             WHERE c.delete_ms IS NULL
             GROUP BY c.site
             ORDER BY c.site",
        )
        .bind(now.millis());
        let rows = sql::all_rows(&mut *self.read().await?, query).await?;
        rows.iter()
            .map(|row| {
                let cells = Cells::new(row, "courses", &["site"]);
                Ok(SavedCourses {
                    site: cells.parsed("site")?,
                    courses: cells.count("course_count")?,
                    unsaved: cells.count("unsaved_count")?,
                    unsaved_for_ms: cells.count("unsaved_ms")?,
                })
            })
            .collect()
    }
}
