//! What a case stands on: an empty catalog with a clock that stands still.

use std::sync::Arc;
use std::time::Duration;

use coursevault::archive::Container;
use coursevault::catalog::{
    ArchiveOrigin, ArchiveRow, ArchiveType, Area, Catalog, CatalogClock, CatalogConfig, CourseRow, JobRow,
    NewJob, SiteRow,
};
use coursevault::clock::{Clock, ManualClock, Timestamp};
use coursevault::course::TreeRef;
use coursevault::digest::Digest;
use coursevault::directory::Platform;
use coursevault::ids::{ArchiveId, CourseId, JobId, JobName, SiteId, StorageName, UploadId, UploadName};
use coursevault::job::{JobPayload, Priority, Problem, Progress};
use coursevault::reason::Reason;
use sqlx::Connection;

use crate::support::postgres;

/// Leases in these tests.
pub const LEASE: Duration = Duration::from_secs(30);

pub struct Ground {
    pub catalog: Catalog,
    pub clock: Arc<ManualClock>,
    pub site: SiteId,
    pub storage: StorageName,
    url: String,
    /// Removed with the case.
    _folder: Option<tempfile::TempDir>,
}

impl Ground {
    pub async fn sqlite() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let url = format!("sqlite:{}", folder.path().join("the catalog.db").display());
        Self::open(url, Some(folder)).await
    }

    pub async fn postgres() -> anyhow::Result<Self> {
        let url = tokio::task::spawn_blocking(|| postgres::server().fresh_database()).await??;
        Self::open(url, None).await
    }

    async fn open(url: String, folder: Option<tempfile::TempDir>) -> anyhow::Result<Self> {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_700_000_000)));
        let catalog =
            Catalog::open(&config(&url), CatalogClock::Manual(Arc::clone(&clock) as Arc<dyn Clock>)).await?;
        let ground =
            Self { catalog, clock, site: "main".parse()?, storage: "primary".parse()?, url, _folder: folder };
        ground.insert_site(&ground.site).await?;
        Ok(ground)
    }

    /// Another catalog over the same database, with the database's own clock.
    pub async fn reopen(&self) -> anyhow::Result<Catalog> {
        Ok(Catalog::open(&config(&self.url), CatalogClock::Database).await?)
    }

    /// Does to the database what the catalog never would.
    pub async fn damage(&self, statement: &'static str) -> anyhow::Result<u64> {
        let address = self.url.replace("sqlite:", "sqlite://").replace(' ', "%20");
        let mut conn = sqlx::AnyConnection::connect(&address).await?;
        let changed = sqlx::query(statement).execute(&mut conn).await?.rows_affected();
        conn.close().await?;
        Ok(changed)
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub async fn insert_site(&self, site: &SiteId) -> anyhow::Result<()> {
        let mut tx = self.catalog.begin().await?;
        tx.insert_site(&self.site_row(site)).await?;
        Ok(tx.commit().await?)
    }

    pub fn site_row(&self, site: &SiteId) -> SiteRow {
        SiteRow {
            site: site.clone(),
            display_name: "Main".into(),
            language: "en".into(),
            time_zone: "Europe/Paris".into(),
            platform: Platform::default(),
            create_time: self.now(),
        }
    }

    pub fn course_row(&self, course: &str) -> anyhow::Result<CourseRow> {
        Ok(CourseRow {
            site: self.site.clone(),
            course: course.parse()?,
            full_name: "Rich course".into(),
            short_name: "RICH".into(),
            moodle_course_id: 7,
            id_number: String::new(),
            live_revision: None,
            create_time: self.now(),
            update_time: self.now(),
            delete_time: None,
            version: 1,
        })
    }

    pub fn archive_row(&self) -> ArchiveRow {
        ArchiveRow {
            site: self.site.clone(),
            archive: ArchiveId::generate(),
            storage: self.storage.clone(),
            area: Area::DropZone,
            course: None,
            owner: "teacher".into(),
            file_name: "backup.mbz".into(),
            origin: ArchiveOrigin::Upload,
            archive_type: ArchiveType::Course,
            container: Container::TarGz,
            tree: tree("archive", 1000),
            upload_size_bytes: Some(500),
            upload_sha256: None,
            zip_size_bytes: Some(600),
            zip_sha256: None,
            tgz_size_bytes: None,
            tgz_sha256: None,
            original_full_name: "Rich course".into(),
            original_short_name: "RICH".into(),
            backup_time: Some(self.now()),
            includes_users: true,
            anonymized: false,
            findings: Vec::new(),
            create_time: self.now(),
            update_time: self.now(),
            delete_time: None,
            purge_time: None,
            job: None,
            version: 1,
            description: String::new(),
            hold: None,
            verification: None,
        }
    }

    /// A job on a course, or on none.
    pub fn new_job(&self, course: Option<&str>, exclusive: bool) -> anyhow::Result<NewJob> {
        let course: Option<CourseId> = course.map(str::parse).transpose()?;
        Ok(NewJob {
            site: self.site.clone(),
            job: JobId::generate(),
            payload: JobPayload::Rollback { restore_job: JobId::generate() },
            priority: Priority::Requested,
            course,
            exclusive,
            source: None,
            requester: "teacher".into(),
            requester_via: Some("lms".into()),
            trace: None,
        })
    }

    pub async fn insert_job(&self, new: &NewJob) -> anyhow::Result<JobRow> {
        let mut tx = self.catalog.begin().await?;
        let row = tx.insert_job(new).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// A job that nothing is special about.
    pub async fn any_job(&self) -> anyhow::Result<JobRow> {
        self.insert_job(&self.new_job(None, false)?).await
    }

    /// The job as it is now.
    pub async fn job(&self, job: &JobId) -> anyhow::Result<JobRow> {
        self.catalog.get_job(&self.site, job).await?.ok_or_else(|| anyhow::anyhow!("no job {job}"))
    }

    /// Claims the next job and gives its id and token.
    pub fn job_name(&self, job: &JobId) -> JobName {
        JobName { site: self.site.clone(), job: job.clone() }
    }

    pub fn upload_name(&self, upload: &UploadId) -> UploadName {
        UploadName { site: self.site.clone(), upload: upload.clone() }
    }

    pub async fn claim(&self, owner: &str) -> anyhow::Result<Option<(JobId, i64)>> {
        let claimed = self.catalog.claim_job(owner, LEASE).await?;
        Ok(claimed.map(|claimed| (claimed.job.job, claimed.token)))
    }

    /// Claims a job that must be there.
    pub async fn must_claim(&self, owner: &str) -> anyhow::Result<(JobId, i64)> {
        self.claim(owner).await?.ok_or_else(|| anyhow::anyhow!("nothing to claim"))
    }
}

pub fn tree(text: &str, content_bytes: u64) -> TreeRef {
    TreeRef { root: Digest::of(text.as_bytes()), root_size: 10, members: 3, content_bytes }
}

pub fn progress(phase: &str) -> Progress {
    Progress { phase: phase.into(), items_done: 1, items_total: 2, bytes_done: 3, bytes_total: 4 }
}

pub fn problem(reason: Reason) -> Problem {
    Problem {
        reason,
        message: "because".into(),
        metadata: std::collections::BTreeMap::new(),
        retryable: true,
    }
}

fn config(url: &str) -> CatalogConfig {
    CatalogConfig { url: url.into(), max_connections: 8 }
}
