//! What a course's platform tells about it besides its contents, and how its automated backups stand.
//!
//! Whether a course changed after its last backup was begun is told by a counter, not by clocks. How a run ended is told by
//! its job, so that a job that somebody retries counts as well.

use std::collections::HashMap;

use super::error::CatalogError;
use super::sql::{self, Cells, Stored};
use super::{Catalog, Tx};
use crate::clock::Timestamp;
use crate::directory::Placement;
use crate::ids::{CourseId, JobId, SiteId};
use crate::job::JobState;
use crate::schedule::Skip;

/// How the automated backups of a course stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CourseBackupRow {
    /// Its site.
    pub site: SiteId,
    /// The course.
    pub course: CourseId,
    /// Where it stands on its platform.
    pub placement: Placement,
    /// Counts its changes.
    pub change_seq: i64,
    /// When it last changed, as far as anybody told.
    pub change_time: Timestamp,
    /// The platform told of a change then that it has not published.
    pub unpublished_time: Option<Timestamp>,
    /// When it is its turn; `None`: that is to be found out.
    pub due: Option<Timestamp>,
    /// When it is looked at.
    pub look: Option<Timestamp>,
    /// How often the last run was begun again.
    pub retries: i64,
    /// When the last run was decided on.
    pub run_time: Option<Timestamp>,
    /// The count of changes that the last run saw.
    pub run_seq: Option<i64>,
    /// The job of the last run.
    pub job: Option<JobId>,
    /// Where that stands.
    pub job_state: Option<JobState>,
    /// Why the course was left out at its last turn; `None`: it was not.
    pub skip: Option<Skip>,
    /// When the newest good automated backup was stored that is not deleted.
    pub last_good: Option<Timestamp>,
    /// Whether there is a state to back up.
    pub has_state: bool,
}

impl Stored for CourseBackupRow {
    const TABLE: &'static str = "course_backups";
    const KEY: &'static [&'static str] = &["site", "course"];

    fn parse(cells: &Cells<'_>) -> Result<Self, CatalogError> {
        Ok(Self {
            site: cells.parsed("site")?,
            course: cells.parsed("course")?,
            placement: Placement { category: cells.text("category")?, hidden: cells.flag("hidden")? },
            change_seq: cells.int("change_seq")?,
            change_time: cells.time("change_ms")?,
            unpublished_time: cells.opt_time("unpublished_ms")?,
            due: cells.opt_time("due_ms")?.filter(|due| due.millis() > 0),
            look: cells.opt_time("look_ms")?,
            retries: cells.int("retries")?,
            run_time: cells.opt_time("run_ms")?,
            run_seq: cells.opt_int("run_seq")?,
            job: cells.opt_parsed("job")?,
            job_state: cells.opt_parsed("job_state")?,
            skip: cells.opt_parsed("skip")?,
            last_good: cells.opt_time("last_good_ms")?,
            has_state: cells.opt_int("live_revision")?.is_some() && cells.opt_int("delete_ms")?.is_none(),
        })
    }
}

/// The newest good automated backup of the course of `c`; an index of its own holds them.
pub(super) const LAST_GOOD: &str = "(SELECT MAX(a.create_ms) FROM archives a \
    WHERE a.site = c.site AND a.course = c.course AND a.area = 'AUTOMATED' AND a.origin = 'BACKUP' AND a.good = 1 \
    AND a.delete_ms IS NULL)";

fn select(rest: &str) -> sql::Bound {
    let statement = format!(
        "SELECT b.site, b.course, b.category, b.hidden, b.change_seq, b.change_ms, b.unpublished_ms, b.due_ms, b.look_ms,
             b.retries, b.run_ms, b.run_seq, b.job, b.skip, j.state AS job_state, c.live_revision, c.delete_ms,
             {LAST_GOOD} AS last_good_ms
         FROM course_backups b
         JOIN courses c ON c.site = b.site AND c.course = b.course
         LEFT JOIN jobs j ON j.site = b.site AND j.job = b.job
         {rest}"
    );
    sqlx::query(sqlx::AssertSqlSafe(statement))
}

/// What becomes of a course's turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing.
    Waits,
    /// A run is begun, by this job.
    Runs {
        /// The job.
        job: JobId,
        /// How often the run was begun before.
        retries: i64,
    },
    /// It is left out.
    Skipped(Skip),
}

impl Catalog {
    /// How automated backups of courses stand.
    pub async fn course_backups(
        &self,
        site: &SiteId,
        courses: &[CourseId],
    ) -> Result<HashMap<CourseId, CourseBackupRow>, CatalogError> {
        let mut found = HashMap::new();
        let mut conn = self.read().await?;
        for batch in courses.chunks(sql::BATCH) {
            let list = sql::placeholders(2, batch.len());
            let query = select(&format!("WHERE b.site = $1 AND b.course IN ({list})")).bind(sql::text(site));
            let query = batch.iter().fold(query, |query, course| query.bind(sql::text(course)));
            let rows = sql::all::<CourseBackupRow>(&mut conn, query).await?;
            found.extend(rows.into_iter().map(|row| (row.course.clone(), row)));
        }
        Ok(found)
    }

    /// At most `limit` courses, of all sites, that are to be looked at, the longest due first.
    pub async fn due_courses(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<CourseBackupRow>, CatalogError> {
        let query = select("WHERE b.look_ms <= $1 ORDER BY b.look_ms, b.site, b.course LIMIT $2");
        sql::all(&mut *self.read().await?, query.bind(now.millis()).bind(i64::from(limit))).await
    }
}

impl Tx {
    /// Counts a change of a course, in the transaction that makes it, and keeps where the course stands on its platform, if that
    /// is told. Answers whether that is news.
    pub async fn note_change(
        &mut self,
        site: &SiteId,
        course: &CourseId,
        placement: Option<&Placement>,
    ) -> Result<bool, CatalogError> {
        let now = self.now().await?;
        let known =
            sqlx::query("SELECT category, hidden FROM course_backups WHERE site = $1 AND course = $2")
                .bind(sql::text(site))
                .bind(sql::text(course));
        let rows = sql::all_rows(self.conn(), known).await?;
        let known = match rows.first() {
            None => None,
            Some(row) => {
                let cells = Cells::new(row, CourseBackupRow::TABLE, &[]);
                Some(Placement { category: cells.text("category")?, hidden: cells.flag("hidden")? })
            }
        };
        let placement = placement.cloned().or_else(|| known.clone()).unwrap_or_default();
        let query = sqlx::query(
            "INSERT INTO course_backups (site, course, category, hidden, change_seq, change_ms, due_ms, look_ms, retries)
             VALUES ($1, $2, $3, $4, 1, $5, 0, 0, 0)
             ON CONFLICT (site, course) DO UPDATE
             SET category = excluded.category, hidden = excluded.hidden, change_seq = course_backups.change_seq + 1,
                 change_ms = excluded.change_ms, unpublished_ms = NULL, look_ms = COALESCE(course_backups.look_ms, 0)",
        )
        .bind(sql::text(site))
        .bind(sql::text(course))
        .bind(placement.category.clone())
        .bind(i64::from(placement.hidden))
        .bind(now.millis());
        sql::run(self.conn(), query).await?;
        Ok(known.unwrap_or_default() != placement)
    }

    /// Counts a change that a platform tells of and has not published. `false`: there is no such course.
    pub async fn report_change(
        &mut self,
        site: &SiteId,
        course: &CourseId,
        time: Option<Timestamp>,
    ) -> Result<bool, CatalogError> {
        let now = self.now().await?;
        let query = sqlx::query(
            "UPDATE course_backups
             SET change_seq = change_seq + 1, change_ms = $3, unpublished_ms = $4, look_ms = COALESCE(look_ms, 0)
             WHERE site = $1 AND course = $2
                 AND EXISTS (SELECT 1 FROM courses c WHERE c.site = $1 AND c.course = $2 AND c.delete_ms IS NULL)",
        )
        .bind(sql::text(site))
        .bind(sql::text(course))
        .bind(now.millis())
        .bind(time.unwrap_or(now).millis());
        Ok(sql::run(self.conn(), query).await? > 0)
    }

    /// Writes down what becomes of a course's turn. `false`: somebody else was faster, and nothing is changed.
    pub async fn decide_turn(
        &mut self,
        row: &CourseBackupRow,
        decision: &Decision,
        (due, look): (Option<Timestamp>, Option<Timestamp>),
    ) -> Result<bool, CatalogError> {
        let now = self.now().await?;
        let (what, extra) = match decision {
            Decision::Waits => ("", None),
            Decision::Runs { job, .. } => (
                // The count is taken as it is now: whatever comes later is a change.
                ", run_ms = $6, run_seq = change_seq, job = $7, skip = NULL, retries = $8",
                Some(job.to_string()),
            ),
            Decision::Skipped(skip) => (", skip = $7, retries = $8 + 0 * $6", Some(skip.to_string())),
        };
        let statement = format!(
            "UPDATE course_backups SET due_ms = $4, look_ms = $5{what}
             WHERE site = $1 AND course = $2 AND look_ms = $3"
        );
        let mut query = sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(sql::text(&row.site))
            .bind(sql::text(&row.course))
            .bind(sql::opt_millis(row.look))
            .bind(due.map_or(0, Timestamp::millis))
            .bind(sql::opt_millis(look));
        if let Some(extra) = extra {
            let retries = match decision {
                Decision::Runs { retries, .. } => *retries,
                _ => 0,
            };
            query = query.bind(now.millis()).bind(extra).bind(retries);
        }
        Ok(sql::run(self.conn(), query).await? > 0)
    }

    /// Has the turns of all courses of a site found out anew, or, with a time, makes it their turn then.
    pub async fn replace_turns(
        &mut self,
        site: &SiteId,
        due: Option<Timestamp>,
    ) -> Result<u64, CatalogError> {
        let query = sqlx::query("UPDATE course_backups SET due_ms = $2, look_ms = 0 WHERE site = $1")
            .bind(sql::text(site))
            .bind(due.map_or(0, Timestamp::millis));
        sql::run(self.conn(), query).await
    }
}
