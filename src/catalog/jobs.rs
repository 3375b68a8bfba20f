//! Jobs as rows: adding and reading them. Claims are in `claims`, endings in `settle`.

use super::error::{CatalogError, Resource};
use super::sql::{self, Cells, Stored};
use super::{Catalog, Newest, Tx};
use crate::clock::Timestamp;
use crate::ids::{CourseId, JobId, JobName, SiteId};
use crate::job::{JobKind, JobPayload, JobResult, JobState, Priority, Problem, Progress};

/// A unit of work in the background.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRow {
    /// Its site.
    pub site: SiteId,
    /// Its id.
    pub job: JobId,
    /// What it is to do; tells the kind, too.
    pub payload: JobPayload,
    /// Where it stands.
    pub state: JobState,
    /// How urgent it is.
    pub priority: Priority,
    /// The course it works on.
    pub course: Option<CourseId>,
    /// Whether nothing else may work on the course beside it.
    pub exclusive: bool,
    /// Name of the archive or upload it reads.
    pub source: Option<String>,
    /// The principal that asked for it.
    pub requester: String,
    /// Trace of the call that asked for it (W3C `traceparent`).
    pub trace: Option<String>,
    /// How far it is.
    pub progress: Progress,
    /// How often it was begun.
    pub attempts: u32,
    /// Why it failed, or why the last attempt did.
    pub problem: Option<Problem>,
    /// What came out of it.
    pub result: Option<JobResult>,
    /// The worker that has it.
    pub lease_owner: Option<String>,
    /// The fencing token of the newest claim.
    pub lease_token: i64,
    /// The worker's lease ends then; in the past when nobody has it.
    pub lease_until: Timestamp,
    /// When its worker last gave a sign of life.
    pub heartbeat_time: Option<Timestamp>,
    /// It is not begun before. For a pending job that was begun already: the next attempt.
    pub run_after: Timestamp,
    /// When it was asked for.
    pub create_time: Timestamp,
    /// When it was begun first.
    pub start_time: Option<Timestamp>,
    /// When it ended.
    pub end_time: Option<Timestamp>,
    /// Grows with every change.
    pub version: i64,
}

/// A job that is asked for. It may be begun at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewJob {
    /// Its site.
    pub site: SiteId,
    /// Its id.
    pub job: JobId,
    /// What it is to do.
    pub payload: JobPayload,
    /// How urgent it is.
    pub priority: Priority,
    /// The course it works on.
    pub course: Option<CourseId>,
    /// Whether nothing else may work on the course beside it. Means nothing without a course.
    pub exclusive: bool,
    /// Name of the archive or upload it reads.
    pub source: Option<String>,
    /// The principal that asks for it.
    pub requester: String,
    /// Trace of the call that asks for it (W3C `traceparent`).
    pub trace: Option<String>,
}

/// Which jobs of a site are wanted.
#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    /// Only those in this state.
    pub state: Option<JobState>,
    /// Only those of this kind.
    pub kind: Option<JobKind>,
    /// Only those on this course.
    pub course: Option<CourseId>,
    /// Without those that read an upload of somebody else than this principal.
    pub without_uploads_but_of: Option<String>,
}

/// The columns of a job, for all statements that read one; a macro, because `concat!` takes literals only.
macro_rules! job_columns {
    () => {
        "site, job, kind, payload, state, priority, course, exclusive, source, requester, trace, phase, items_done,
         items_total, bytes_done, bytes_total, attempts, problem, result, lease_owner, lease_token, lease_until_ms,
         heartbeat_ms, run_after_ms, create_ms, start_ms, end_ms, version"
    };
}
pub(super) use job_columns;

impl Stored for JobRow {
    const TABLE: &'static str = "jobs";
    const KEY: &'static [&'static str] = &["site", "job"];

    fn parse(cells: &Cells<'_>) -> Result<Self, CatalogError> {
        let payload = JobPayload::from_json(&cells.text("payload")?).map_err(|_| cells.corrupt("payload"))?;
        if cells.parsed::<JobKind>("kind")? != payload.kind() {
            return Err(cells.corrupt("kind"));
        }
        let priority =
            Priority::from_rank(cells.int("priority")?).ok_or_else(|| cells.corrupt("priority"))?;
        Ok(Self {
            site: cells.parsed("site")?,
            job: cells.parsed("job")?,
            payload,
            state: cells.parsed("state")?,
            priority,
            course: cells.opt_parsed("course")?,
            exclusive: cells.flag("exclusive")?,
            source: cells.opt_text("source")?,
            requester: cells.text("requester")?,
            trace: cells.opt_text("trace")?,
            progress: Progress {
                phase: cells.text("phase")?,
                items_done: cells.count("items_done")?,
                items_total: cells.count("items_total")?,
                bytes_done: cells.count("bytes_done")?,
                bytes_total: cells.count("bytes_total")?,
            },
            attempts: cells.count("attempts")?,
            problem: cells.opt_json("problem")?,
            result: cells.opt_json("result")?,
            lease_owner: cells.opt_text("lease_owner")?,
            lease_token: cells.int("lease_token")?,
            lease_until: cells.time("lease_until_ms")?,
            heartbeat_time: cells.opt_time("heartbeat_ms")?,
            run_after: cells.time("run_after_ms")?,
            create_time: cells.time("create_ms")?,
            start_time: cells.opt_time("start_ms")?,
            end_time: cells.opt_time("end_ms")?,
            version: cells.int("version")?,
        })
    }
}

/// The job that holds a course, and where it stands.
pub(super) struct Holder {
    job: JobId,
    state: JobState,
}

impl Holder {
    /// The refusal for whoever wants the course, too.
    pub(super) fn refuses(self, site: &SiteId) -> CatalogError {
        CatalogError::CourseBusy { holder: name(site, &self.job), state: self.state }
    }
}

impl Stored for Holder {
    const TABLE: &'static str = "jobs";
    const KEY: &'static [&'static str] = &["job"];

    fn parse(cells: &Cells<'_>) -> Result<Self, CatalogError> {
        Ok(Self { job: cells.parsed("job")?, state: cells.parsed("state")? })
    }
}

pub(super) fn key(site: &SiteId, job: &JobId) -> String {
    format!("{site}/{job}")
}

pub(super) fn name(site: &SiteId, job: &JobId) -> JobName {
    JobName { site: site.clone(), job: job.clone() }
}

fn get(site: &SiteId, job: &JobId) -> sql::Bound {
    sqlx::query(concat!("SELECT ", job_columns!(), " FROM jobs WHERE site = $1 AND job = $2"))
        .bind(sql::text(site))
        .bind(sql::text(job))
}

impl Catalog {
    /// A job.
    pub async fn get_job(&self, site: &SiteId, job: &JobId) -> Result<Option<JobRow>, CatalogError> {
        sql::one(&mut *self.read().await?, get(site, job)).await
    }

    /// At most `limit` jobs of a site, newest first, those after `after`.
    pub async fn list_jobs(
        &self,
        site: &SiteId,
        filter: &JobFilter,
        after: Option<&Newest<JobId>>,
        limit: u32,
    ) -> Result<Vec<JobRow>, CatalogError> {
        let query = sqlx::query(concat!(
            "SELECT ",
            job_columns!(),
            " FROM jobs
             WHERE site = $1
                 AND ($2 IS NULL OR state = $2)
                 AND ($3 IS NULL OR kind = $3)
                 AND ($4 IS NULL OR course = $4)
                 AND ($8 IS NULL OR requester = $8 OR kind <> 'INGEST')
                 -- the keyset: strictly after the last row of the page before
                 AND ($5 IS NULL OR create_ms < $5 OR (create_ms = $5 AND job < $6))
             ORDER BY create_ms DESC, job DESC
             LIMIT $7"
        ))
        .bind(sql::text(site))
        .bind(sql::opt_text(filter.state.as_ref()))
        .bind(sql::opt_text(filter.kind.as_ref()))
        .bind(sql::opt_text(filter.course.as_ref()))
        .bind(sql::opt_millis(after.map(|after| after.create_time)))
        .bind(sql::opt_text(after.map(|after| &after.id)))
        .bind(i64::from(limit))
        .bind(filter.without_uploads_but_of.clone());
        sql::all(&mut *self.read().await?, query).await
    }

    /// Number of jobs, of all sites, that have not ended.
    pub async fn count_open_jobs(&self) -> Result<u64, CatalogError> {
        let query = sqlx::query(
            "SELECT COUNT(*) AS open_jobs FROM jobs WHERE state IN ('PENDING', 'RUNNING', 'CANCELLING')",
        );
        let rows = sql::all_rows(&mut *self.read().await?, query).await?;
        rows.first().map_or(Ok(0), |row| Cells::new(row, "jobs", &[]).count("open_jobs"))
    }
}

impl Tx {
    /// A job, as this transaction sees it.
    pub async fn get_job(&mut self, site: &SiteId, job: &JobId) -> Result<Option<JobRow>, CatalogError> {
        sql::one(self.conn(), get(site, job)).await
    }

    /// Whether a site has a job of this kind that has not ended.
    pub async fn has_open_job(&mut self, site: &SiteId, kind: JobKind) -> Result<bool, CatalogError> {
        let query = sqlx::query(
            "SELECT job, state
             FROM jobs
             WHERE site = $1 AND kind = $2 AND state IN ('PENDING', 'RUNNING', 'CANCELLING')
             LIMIT 1",
        )
        .bind(sql::text(site))
        .bind(kind.as_str());
        Ok(sql::one::<Holder>(self.conn(), query).await?.is_some())
    }

    /// Adds a job, in the transaction of the fact that it follows from.
    ///
    /// [`CatalogError::CourseBusy`] when the job is exclusive and another exclusive one on its course has not ended.
    /// Work that is not exclusive does not stand in its way: the new job waits for it.
    pub async fn insert_job(&mut self, new: &NewJob) -> Result<JobRow, CatalogError> {
        let now = self.now().await?;
        let payload = new.payload.to_json().map_err(|_| CatalogError::Unstorable { column: "payload" })?;
        let exclusive = new.exclusive && new.course.is_some();
        let query = sqlx::query(concat!(
            "INSERT INTO jobs (",
            job_columns!(),
            ") VALUES ($1, $2, $3, $4, 'PENDING', $5, $6, $7, $8, $9, $10, '', 0, 0, 0, 0, 0, NULL, NULL, NULL, 0, 0,
                 NULL, $11, $11, NULL, NULL, 1)
             -- also when the unique index jobs_exclusive refuses: the transaction goes on and names the holder
             ON CONFLICT DO NOTHING
             RETURNING ",
            job_columns!()
        ))
        .bind(sql::text(&new.site))
        .bind(sql::text(&new.job))
        .bind(new.payload.kind().as_str())
        .bind(payload)
        .bind(new.priority.rank())
        .bind(sql::opt_text(new.course.as_ref()))
        .bind(i64::from(exclusive))
        .bind(new.source.clone())
        .bind(new.requester.clone())
        .bind(new.trace.clone())
        .bind(now.millis());
        if let Some(row) = sql::one(self.conn(), query).await? {
            return Ok(row);
        }
        let (resource, key) = (Resource::Job, key(&new.site, &new.job));
        if self.get_job(&new.site, &new.job).await?.is_some() {
            return Err(CatalogError::Conflict { resource, key });
        }
        match self.exclusive_job_of(&new.site, new.course.as_ref()).await? {
            Some(holder) => Err(holder.refuses(&new.site)),
            // it ended between the two statements
            None => Err(CatalogError::LostRace { resource, key }),
        }
    }

    /// The exclusive job of a course that has not ended.
    pub(super) async fn exclusive_job_of(
        &mut self,
        site: &SiteId,
        course: Option<&CourseId>,
    ) -> Result<Option<Holder>, CatalogError> {
        let query = sqlx::query(
            "SELECT job, state
             FROM jobs
             WHERE site = $1 AND course = $2 AND exclusive = 1 AND state IN ('PENDING', 'RUNNING', 'CANCELLING')",
        )
        .bind(sql::text(site))
        .bind(sql::opt_text(course));
        sql::one(self.conn(), query).await
    }
}
