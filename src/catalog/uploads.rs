//! Upload sessions: which bytes are there, who may write, where the session stands.

use std::time::Duration;

use super::error::{CatalogError, Resource};
use super::sql::{self, Cells, Stored};
use super::values::{Area, UploadState};
use super::{Catalog, Tx};
use crate::clock::Timestamp;
use crate::ids::{ArchiveId, CourseId, JobId, JobName, SiteId, StorageName, UploadId, UploadName};
use crate::job::Problem;

/// An upload session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadRow {
    /// Its site.
    pub site: SiteId,
    /// Its id.
    pub upload: UploadId,
    /// Where it stands.
    pub state: UploadState,
    /// Where its bytes lie.
    pub storage: StorageName,
    /// Area of the archive to be.
    pub area: Area,
    /// Course of the archive to be.
    pub course: Option<CourseId>,
    /// File name of the archive to be.
    pub file_name: String,
    /// The principal that opened it.
    pub owner: String,
    /// Bytes that are durable.
    pub committed_bytes: u64,
    /// Token of the newest writer; grows with every writer. 0 before the first.
    pub writer_token: i64,
    /// The newest writer's lease ends then; in the past when nobody writes.
    pub writer_until: Timestamp,
    /// The job that reads it.
    pub job: Option<JobId>,
    /// The archive, once it is stored.
    pub archive: Option<ArchiveId>,
    /// Why the last attempt to finish was refused.
    pub last_problem: Option<Problem>,
    /// When it was opened.
    pub create_time: Timestamp,
    /// It may be removed when nothing happened until then.
    pub expire_time: Timestamp,
}

/// The right to write to an upload session, for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriterLease {
    /// Shown with every write; an older one is refused.
    pub token: i64,
    /// Bytes that are durable: the next part begins there.
    pub committed_bytes: u64,
    /// The lease ends then, unless it is renewed.
    pub until: Timestamp,
}

/// A part of an upload whose bytes are durable in the storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartRow {
    /// Position of its first byte in the upload.
    pub offset: u64,
    /// Its size in bytes.
    pub size: u64,
}

/// A part that is to be added.
#[derive(Clone, Copy, Debug)]
pub struct NewPart {
    /// Token of the writer's lease.
    pub token: i64,
    /// The part; it begins at the committed bytes.
    pub part: PartRow,
    /// The writer's lease is renewed for so long.
    pub lease: Duration,
    /// The session stays at least until then.
    pub expire_time: Timestamp,
}

impl UploadRow {
    /// Its full name.
    pub fn name(&self) -> UploadName {
        UploadName { site: self.site.clone(), upload: self.upload.clone() }
    }

    /// The refusal for whoever needs it open.
    pub fn not_open(&self) -> CatalogError {
        let job = self.job.clone().map(|job| JobName { site: self.site.clone(), job });
        CatalogError::UploadNotOpen { upload: self.name(), state: self.state, job }
    }
}

impl Stored for UploadRow {
    const TABLE: &'static str = "uploads";
    const KEY: &'static [&'static str] = &["site", "upload"];

    fn parse(cells: &Cells<'_>) -> Result<Self, CatalogError> {
        Ok(Self {
            site: cells.parsed("site")?,
            upload: cells.parsed("upload")?,
            state: cells.parsed("state")?,
            storage: cells.parsed("storage")?,
            area: cells.parsed("area")?,
            course: cells.opt_parsed("course")?,
            file_name: cells.text("file_name")?,
            owner: cells.text("owner")?,
            committed_bytes: cells.count("committed_bytes")?,
            writer_token: cells.int("writer_token")?,
            writer_until: cells.time("writer_until_ms")?,
            job: cells.opt_parsed("job")?,
            archive: cells.opt_parsed("archive")?,
            last_problem: cells.opt_json("last_problem")?,
            create_time: cells.time("create_ms")?,
            expire_time: cells.time("expire_ms")?,
        })
    }
}

impl Stored for PartRow {
    const TABLE: &'static str = "upload_parts";
    const KEY: &'static [&'static str] = &["site", "upload", "part_offset"];

    fn parse(cells: &Cells<'_>) -> Result<Self, CatalogError> {
        Ok(Self { offset: cells.count("part_offset")?, size: cells.count("size_bytes")? })
    }
}

/// The columns of an upload, for the statements below; the macro exists because `concat!` takes literals only.
macro_rules! columns {
    () => {
        "site, upload, state, storage, area, course, file_name, owner, committed_bytes, writer_token, writer_until_ms,
         job, archive, last_problem, create_ms, expire_ms"
    };
}

fn get(site: &SiteId, upload: &UploadId) -> sql::Bound {
    sqlx::query(concat!("SELECT ", columns!(), " FROM uploads WHERE site = $1 AND upload = $2"))
        .bind(sql::text(site))
        .bind(sql::text(upload))
}

fn key(site: &SiteId, upload: &UploadId) -> String {
    format!("{site}/{upload}")
}

impl Catalog {
    /// An upload session.
    pub async fn get_upload(
        &self,
        site: &SiteId,
        upload: &UploadId,
    ) -> Result<Option<UploadRow>, CatalogError> {
        sql::one(&mut *self.read().await?, get(site, upload)).await
    }

    /// All parts of an upload, in order.
    pub async fn list_parts(&self, site: &SiteId, upload: &UploadId) -> Result<Vec<PartRow>, CatalogError> {
        let query = sqlx::query(
            "SELECT site, upload, part_offset, size_bytes
             FROM upload_parts
             WHERE site = $1 AND upload = $2
             ORDER BY part_offset",
        )
        .bind(sql::text(site))
        .bind(sql::text(upload));
        sql::all(&mut *self.read().await?, query).await
    }

    /// At most `limit` open sessions, of all sites, that may be removed at `now`.
    pub async fn list_expired_uploads(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<UploadRow>, CatalogError> {
        let query = sqlx::query(concat!(
            "SELECT ",
            columns!(),
            " FROM uploads
             WHERE state = 'OPEN' AND expire_ms <= $1 AND writer_until_ms <= $1
             ORDER BY expire_ms, upload
             LIMIT $2"
        ))
        .bind(now.millis())
        .bind(i64::from(limit));
        sql::all(&mut *self.read().await?, query).await
    }
}

impl Catalog {
    /// At most `limit` sessions, of all sites, that have ended and whose parts are not forgotten yet.
    pub async fn list_ended_uploads(&self, limit: u32) -> Result<Vec<UploadRow>, CatalogError> {
        let query = sqlx::query(concat!(
            "SELECT ",
            columns!(),
            " FROM uploads u
             WHERE u.state IN ('FINISHED', 'ABORTED')
                 AND (u.site, u.upload) IN (SELECT p.site, p.upload FROM upload_parts p)
             ORDER BY u.upload
             LIMIT $1"
        ))
        .bind(i64::from(limit));
        sql::all(&mut *self.read().await?, query).await
    }
}

impl Tx {
    /// An upload session, as this transaction sees it.
    pub async fn get_upload(
        &mut self,
        site: &SiteId,
        upload: &UploadId,
    ) -> Result<Option<UploadRow>, CatalogError> {
        sql::one(self.conn(), get(site, upload)).await
    }

    /// Opens a session. [`CatalogError::Conflict`] when there is one of that id.
    pub async fn insert_upload(&mut self, row: &UploadRow) -> Result<(), CatalogError> {
        let problem = row.last_problem.as_ref().map(|problem| sql::json("last_problem", problem));
        let query = sqlx::query(concat!(
            "INSERT INTO uploads (",
            columns!(),
            ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
             ON CONFLICT DO NOTHING"
        ))
        .bind(sql::text(&row.site))
        .bind(sql::text(&row.upload))
        .bind(row.state.as_str())
        .bind(sql::text(&row.storage))
        .bind(row.area.as_str())
        .bind(sql::opt_text(row.course.as_ref()))
        .bind(row.file_name.clone())
        .bind(row.owner.clone())
        .bind(sql::stored("committed_bytes", row.committed_bytes)?)
        .bind(row.writer_token)
        .bind(row.writer_until.millis())
        .bind(sql::opt_text(row.job.as_ref()))
        .bind(sql::opt_text(row.archive.as_ref()))
        .bind(problem.transpose()?)
        .bind(row.create_time.millis())
        .bind(row.expire_time.millis());
        match sql::run(self.conn(), query).await? {
            0 => Err(CatalogError::Conflict { resource: Resource::Upload, key: key(&row.site, &row.upload) }),
            _ => Ok(()),
        }
    }

    /// Takes the right to write. [`CatalogError::UploadBusy`] while another writer's lease lives.
    pub async fn acquire_writer(
        &mut self,
        site: &SiteId,
        upload: &UploadId,
        lease: Duration,
    ) -> Result<WriterLease, CatalogError> {
        let now = self.now().await?;
        let query = sqlx::query(concat!(
            "UPDATE uploads
             SET writer_token = writer_token + 1, writer_until_ms = $4
             WHERE site = $1 AND upload = $2 AND state = 'OPEN' AND writer_until_ms <= $3
             RETURNING ",
            columns!()
        ))
        .bind(sql::text(site))
        .bind(sql::text(upload))
        .bind(now.millis())
        .bind(now.plus(lease).millis());
        match sql::one::<UploadRow>(self.conn(), query).await? {
            Some(row) => Ok(WriterLease {
                token: row.writer_token,
                committed_bytes: row.committed_bytes,
                until: row.writer_until,
            }),
            None => Err(self.why_not_written(site, upload, None).await?),
        }
    }

    /// Adds a part whose bytes are durable, renews the writer's lease, and tells the committed bytes.
    ///
    /// [`CatalogError::UploadBusy`] when another writer replaced this one, [`CatalogError::UploadNotOpen`],
    /// [`CatalogError::UploadOffset`] when the part does not begin at the committed bytes.
    pub async fn add_part(
        &mut self,
        site: &SiteId,
        upload: &UploadId,
        new: &NewPart,
    ) -> Result<u64, CatalogError> {
        let now = self.now().await?;
        let (offset, size) =
            (sql::stored("part_offset", new.part.offset)?, sql::stored("size_bytes", new.part.size)?);
        let query = sqlx::query(
            "UPDATE uploads
             SET committed_bytes = committed_bytes + $5,
                 writer_until_ms = $6,
                 expire_ms = CASE WHEN expire_ms < $7 THEN $7 ELSE expire_ms END
             WHERE site = $1 AND upload = $2 AND state = 'OPEN'
                 -- a writer that was replaced must not add anything, however late it wakes up
                 AND writer_token = $3
                 -- parts follow each other without gaps
                 AND committed_bytes = $4",
        )
        .bind(sql::text(site))
        .bind(sql::text(upload))
        .bind(new.token)
        .bind(offset)
        .bind(size)
        .bind(now.plus(new.lease).millis())
        .bind(new.expire_time.millis());
        if sql::run(self.conn(), query).await? == 0 {
            return Err(self.why_not_written(site, upload, Some(new.token)).await?);
        }
        let query = sqlx::query(
            "INSERT INTO upload_parts (site, upload, part_offset, size_bytes) VALUES ($1, $2, $3, $4)",
        )
        .bind(sql::text(site))
        .bind(sql::text(upload))
        .bind(offset)
        .bind(size);
        sql::run(self.conn(), query).await?;
        Ok(new.part.offset + new.part.size)
    }

    /// Renews the right to write. [`CatalogError::UploadBusy`] when another writer replaced this one.
    pub async fn renew_writer(
        &mut self,
        site: &SiteId,
        upload: &UploadId,
        token: i64,
        lease: Duration,
    ) -> Result<(), CatalogError> {
        let until = self.now().await?.plus(lease);
        let query = sqlx::query(
            "UPDATE uploads SET writer_until_ms = $4
             WHERE site = $1 AND upload = $2 AND state = 'OPEN' AND writer_token = $3",
        )
        .bind(sql::text(site))
        .bind(sql::text(upload))
        .bind(token)
        .bind(until.millis());
        match sql::run(self.conn(), query).await? {
            0 => Err(self.why_not_written(site, upload, Some(token)).await?),
            _ => Ok(()),
        }
    }

    /// Gives the right to write back. Nothing happens when another writer has it already.
    pub async fn release_writer(
        &mut self,
        site: &SiteId,
        upload: &UploadId,
        token: i64,
    ) -> Result<(), CatalogError> {
        let query = sqlx::query(
            "UPDATE uploads SET writer_until_ms = 0 WHERE site = $1 AND upload = $2 AND writer_token = $3",
        )
        .bind(sql::text(site))
        .bind(sql::text(upload))
        .bind(token);
        sql::run(self.conn(), query).await.map(|_| ())
    }

    /// OPEN to FINISHING: the job reads the upload. A writer that is still there is shut out.
    pub async fn start_finishing(
        &mut self,
        site: &SiteId,
        upload: &UploadId,
        job: &JobId,
    ) -> Result<UploadRow, CatalogError> {
        let query = sqlx::query(concat!(
            "UPDATE uploads
             SET state = 'FINISHING', job = $3, last_problem = NULL, writer_token = writer_token + 1,
                 writer_until_ms = 0
             WHERE site = $1 AND upload = $2 AND state = 'OPEN'
             RETURNING ",
            columns!()
        ));
        self.move_upload(
            site,
            upload,
            query.bind(sql::text(site)).bind(sql::text(upload)).bind(sql::text(job)),
        )
        .await
    }

    /// FINISHING to FINISHED, by the job that reads the upload.
    pub async fn finish_upload(
        &mut self,
        site: &SiteId,
        upload: &UploadId,
        job: &JobId,
        archive: &ArchiveId,
    ) -> Result<UploadRow, CatalogError> {
        let query = sqlx::query(concat!(
            "UPDATE uploads SET state = 'FINISHED', archive = $4
             WHERE site = $1 AND upload = $2 AND state = 'FINISHING' AND job = $3
             RETURNING ",
            columns!()
        ))
        .bind(sql::text(site))
        .bind(sql::text(upload))
        .bind(sql::text(job))
        .bind(sql::text(archive));
        self.move_upload(site, upload, query).await
    }

    /// FINISHING back to OPEN, after the job that reads the upload refused it or was stopped.
    pub async fn reopen_upload(
        &mut self,
        site: &SiteId,
        upload: &UploadId,
        job: &JobId,
        problem: &Problem,
        expire_time: Timestamp,
    ) -> Result<UploadRow, CatalogError> {
        let query = sqlx::query(concat!(
            "UPDATE uploads
             SET state = 'OPEN', last_problem = $4, expire_ms = CASE WHEN expire_ms < $5 THEN $5 ELSE expire_ms END
             WHERE site = $1 AND upload = $2 AND state = 'FINISHING' AND job = $3
             RETURNING ",
            columns!()
        ))
        .bind(sql::text(site))
        .bind(sql::text(upload))
        .bind(sql::text(job))
        .bind(sql::json("last_problem", problem)?)
        .bind(expire_time.millis());
        self.move_upload(site, upload, query).await
    }

    /// OPEN to ABORTED. The parts are the caller's to remove and then to forget. A writer that is still there is shut
    /// out.
    pub async fn abort_upload(
        &mut self,
        site: &SiteId,
        upload: &UploadId,
    ) -> Result<UploadRow, CatalogError> {
        let query = sqlx::query(concat!(
            "UPDATE uploads
             SET state = 'ABORTED', writer_token = writer_token + 1, writer_until_ms = 0
             WHERE site = $1 AND upload = $2 AND state = 'OPEN'
             RETURNING ",
            columns!()
        ));
        self.move_upload(site, upload, query.bind(sql::text(site)).bind(sql::text(upload))).await
    }

    /// Forgets the parts of an upload, once its bytes are not needed any more.
    pub async fn forget_parts(&mut self, site: &SiteId, upload: &UploadId) -> Result<u64, CatalogError> {
        let query = sqlx::query("DELETE FROM upload_parts WHERE site = $1 AND upload = $2");
        sql::run(self.conn(), query.bind(sql::text(site)).bind(sql::text(upload))).await
    }

    async fn move_upload(
        &mut self,
        site: &SiteId,
        upload: &UploadId,
        query: sql::Bound,
    ) -> Result<UploadRow, CatalogError> {
        match sql::one::<UploadRow>(self.conn(), query).await? {
            Some(row) => Ok(row),
            None => Err(match self.get_upload(site, upload).await? {
                Some(_) => CatalogError::LostRace { resource: Resource::Upload, key: key(site, upload) },
                None => CatalogError::NotFound { resource: Resource::Upload, key: key(site, upload) },
            }),
        }
    }

    /// Why a guarded write to an upload changed nothing.
    async fn why_not_written(
        &mut self,
        site: &SiteId,
        upload: &UploadId,
        token: Option<i64>,
    ) -> Result<CatalogError, CatalogError> {
        let Some(row) = self.get_upload(site, upload).await? else {
            return Ok(CatalogError::NotFound { resource: Resource::Upload, key: key(site, upload) });
        };
        Ok(if row.state != UploadState::Open {
            row.not_open()
        } else if token == Some(row.writer_token) {
            CatalogError::UploadOffset { upload: row.name(), committed_bytes: row.committed_bytes }
        } else {
            CatalogError::UploadBusy { upload: row.name(), until: row.writer_until }
        })
    }
}
