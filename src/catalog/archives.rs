//! Archives: stored backups and their forms. Changes are in `archive_changes`, lists in `archive_list`.

use super::error::{CatalogError, Resource};
use super::sql::{self, Cells, Stored};
use super::values::{ArchiveOrigin, ArchiveType, Area};
use super::verification::{VerificationRow, verification};
use super::{Catalog, Tx};
use crate::archive::Container;
use crate::clock::Timestamp;
use crate::course::TreeRef;
use crate::digest::Sha256;
use crate::ids::{ArchiveId, CourseId, JobId, SiteId, StorageName};
use crate::job::{Finding, Severity};

/// A stored backup. Its members never change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveRow {
    /// Its site.
    pub site: SiteId,
    /// Its id.
    pub archive: ArchiveId,
    /// Where its tree and contents lie.
    pub storage: StorageName,
    /// The area it is in.
    pub area: Area,
    /// The course it belongs to.
    pub course: Option<CourseId>,
    /// The principal that made or uploaded it.
    pub owner: String,
    /// Its file name.
    pub file_name: String,
    /// How it came to be.
    pub origin: ArchiveOrigin,
    /// What it holds.
    pub archive_type: ArchiveType,
    /// The container in which it arrived, or zip for a backup made here.
    pub container: Container,
    /// Its members.
    pub tree: TreeRef,
    /// Size in bytes of the upload as it was sent.
    pub upload_size_bytes: Option<u64>,
    /// SHA-256 of the upload as it was sent.
    pub upload_sha256: Option<Sha256>,
    /// Size in bytes of its zip form; `None` when the tree cannot be written so.
    pub zip_size_bytes: Option<u64>,
    /// SHA-256 of its zip form, once it was streamed from start to end.
    pub zip_sha256: Option<Sha256>,
    /// Size in bytes of its gzip-compressed tar form; `None` when the tree cannot be written so.
    pub tgz_size_bytes: Option<u64>,
    /// SHA-256 of its gzip-compressed tar form, once it was streamed from start to end.
    pub tgz_sha256: Option<Sha256>,
    /// Full name of the course, as the archive tells it; may be empty.
    pub original_full_name: String,
    /// Short name of the course, as the archive tells it; may be empty.
    pub original_short_name: String,
    /// When the backup was made, by the archive's own word.
    pub backup_time: Option<Timestamp>,
    /// Whether user data is inside, by the archive's own settings.
    pub includes_users: bool,
    /// Whether users are anonymised, by the archive's own settings.
    pub anonymized: bool,
    /// What inspection found wrong.
    pub findings: Vec<Finding>,
    /// When it was stored.
    pub create_time: Timestamp,
    /// When it last changed for those who see it, or else was stored.
    pub update_time: Timestamp,
    /// When it was deleted.
    pub delete_time: Option<Timestamp>,
    /// A deleted archive can be undeleted until then.
    pub purge_time: Option<Timestamp>,
    /// The job that made it.
    pub job: Option<JobId>,
    /// Grows with every change that callers see as one.
    pub version: i64,
    /// What people wrote about it.
    pub description: String,
    /// What keeps it from being deleted or purged, and from expiring.
    pub hold: Option<HoldRow>,
    /// What the last check of all its bytes found, if there was one since it was stored.
    pub verification: Option<VerificationRow>,
}

/// A hold on an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldRow {
    /// Why it is held.
    pub reason: String,
    /// Who placed the hold.
    pub principal: String,
    /// When.
    pub create_time: Timestamp,
}

impl ArchiveRow {
    /// Whether nothing was found that blocks its use, neither on the way in nor since.
    pub fn is_good(&self) -> bool {
        let damaged = self.verification.as_ref().is_some_and(|verification| verification.damage.is_some());
        !damaged && self.findings.iter().all(|finding| finding.severity != Severity::Error)
    }

    /// Size in bytes of its byte stream in its own container; 0 when it cannot be written so.
    pub fn size_bytes(&self) -> u64 {
        match self.container {
            Container::Zip => self.zip_size_bytes,
            Container::TarGz => self.tgz_size_bytes,
        }
        .unwrap_or(0)
    }
}

/// The columns of an archive, for all statements that read one; a macro, because `concat!` takes literals only.
macro_rules! archive_columns {
    () => {
        "site, archive, storage, area, course, owner, file_name, origin, type, container, tree_root, tree_root_size,
         tree_members, tree_content_bytes, upload_size_bytes, upload_sha256, zip_size_bytes, zip_sha256,
         tgz_size_bytes, tgz_sha256, original_full_name, original_short_name, backup_ms, includes_users, anonymized,
         findings, create_ms, update_ms, delete_ms, purge_ms, job, version, description, hold_reason, hold_by, hold_ms,
         verify_ms, verify_damage"
    };
}
pub(super) use archive_columns;

impl Stored for ArchiveRow {
    const TABLE: &'static str = "archives";
    const KEY: &'static [&'static str] = &["site", "archive"];

    fn parse(cells: &Cells<'_>) -> Result<Self, CatalogError> {
        Ok(Self {
            site: cells.parsed("site")?,
            archive: cells.parsed("archive")?,
            storage: cells.parsed("storage")?,
            area: cells.parsed("area")?,
            course: cells.opt_parsed("course")?,
            owner: cells.text("owner")?,
            file_name: cells.text("file_name")?,
            origin: cells.parsed("origin")?,
            archive_type: cells.parsed("type")?,
            container: cells.parsed("container")?,
            tree: cells.tree()?,
            upload_size_bytes: cells.opt_count("upload_size_bytes")?,
            upload_sha256: cells.opt_parsed("upload_sha256")?,
            zip_size_bytes: cells.opt_count("zip_size_bytes")?,
            zip_sha256: cells.opt_parsed("zip_sha256")?,
            tgz_size_bytes: cells.opt_count("tgz_size_bytes")?,
            tgz_sha256: cells.opt_parsed("tgz_sha256")?,
            original_full_name: cells.text("original_full_name")?,
            original_short_name: cells.text("original_short_name")?,
            backup_time: cells.opt_time("backup_ms")?,
            includes_users: cells.flag("includes_users")?,
            anonymized: cells.flag("anonymized")?,
            findings: cells.json("findings")?,
            create_time: cells.time("create_ms")?,
            update_time: cells.time("update_ms")?,
            delete_time: cells.opt_time("delete_ms")?,
            purge_time: cells.opt_time("purge_ms")?,
            job: cells.opt_parsed("job")?,
            version: cells.int("version")?,
            description: cells.text("description")?,
            hold: hold(cells)?,
            verification: verification(cells)?,
        })
    }
}

/// The hold: of its three columns all are there or none.
fn hold(cells: &Cells<'_>) -> Result<Option<HoldRow>, CatalogError> {
    let Some(create_time) = cells.opt_time("hold_ms")? else { return Ok(None) };
    Ok(Some(HoldRow { reason: cells.text("hold_reason")?, principal: cells.text("hold_by")?, create_time }))
}

fn get(site: &SiteId, archive: &ArchiveId) -> sql::Bound {
    sqlx::query(concat!("SELECT ", archive_columns!(), " FROM archives WHERE site = $1 AND archive = $2"))
        .bind(sql::text(site))
        .bind(sql::text(archive))
}

impl Catalog {
    /// An archive, deleted or not.
    pub async fn get_archive(
        &self,
        site: &SiteId,
        archive: &ArchiveId,
    ) -> Result<Option<ArchiveRow>, CatalogError> {
        sql::one(&mut *self.read().await?, get(site, archive)).await
    }
}

impl Tx {
    /// An archive, as this transaction sees it.
    pub async fn get_archive(
        &mut self,
        site: &SiteId,
        archive: &ArchiveId,
    ) -> Result<Option<ArchiveRow>, CatalogError> {
        sql::one(self.conn(), get(site, archive)).await
    }

    /// Adds an archive. [`CatalogError::Conflict`] when there is one of that id.
    pub async fn insert_archive(&mut self, row: &ArchiveRow) -> Result<(), CatalogError> {
        let query = sqlx::query(concat!(
            "INSERT INTO archives (",
            archive_columns!(),
            ", size_bytes, good) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
                 $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32,
                 $33, $34, $35, $36, $37, $38, $39, $40)
             ON CONFLICT DO NOTHING"
        ));
        let size = |column, value: Option<u64>| value.map(|value| sql::stored(column, value)).transpose();
        let query = query
            .bind(sql::text(&row.site))
            .bind(sql::text(&row.archive))
            .bind(sql::text(&row.storage))
            .bind(row.area.as_str())
            .bind(sql::opt_text(row.course.as_ref()))
            .bind(row.owner.clone())
            .bind(row.file_name.clone())
            .bind(row.origin.as_str())
            .bind(row.archive_type.as_str())
            .bind(row.container.as_str())
            .bind(sql::text(&row.tree.root))
            .bind(sql::stored("tree_root_size", row.tree.root_size)?)
            .bind(sql::stored("tree_members", row.tree.members)?)
            .bind(sql::stored("tree_content_bytes", row.tree.content_bytes)?)
            .bind(size("upload_size_bytes", row.upload_size_bytes)?)
            .bind(sql::opt_text(row.upload_sha256.as_ref()))
            .bind(size("zip_size_bytes", row.zip_size_bytes)?)
            .bind(sql::opt_text(row.zip_sha256.as_ref()))
            .bind(size("tgz_size_bytes", row.tgz_size_bytes)?)
            .bind(sql::opt_text(row.tgz_sha256.as_ref()))
            .bind(row.original_full_name.clone())
            .bind(row.original_short_name.clone())
            .bind(sql::opt_millis(row.backup_time))
            .bind(i64::from(row.includes_users))
            .bind(i64::from(row.anonymized))
            .bind(sql::json("findings", &row.findings)?)
            .bind(row.create_time.millis())
            .bind(row.update_time.millis())
            .bind(sql::opt_millis(row.delete_time))
            .bind(sql::opt_millis(row.purge_time))
            .bind(sql::opt_text(row.job.as_ref()))
            .bind(row.version)
            .bind(row.description.clone())
            .bind(row.hold.as_ref().map(|hold| hold.reason.clone()))
            .bind(row.hold.as_ref().map(|hold| hold.principal.clone()))
            .bind(sql::opt_millis(row.hold.as_ref().map(|hold| hold.create_time)))
            .bind(row.verification.as_ref().map_or(0, |verification| verification.time.millis()))
            .bind(row.verification.as_ref().and_then(VerificationRow::damage_json).transpose()?)
            .bind(sql::stored("size_bytes", row.size_bytes())?)
            .bind(i64::from(row.is_good()));
        match sql::run(self.conn(), query).await? {
            0 => {
                Err(CatalogError::Conflict { resource: Resource::Archive, key: key(&row.site, &row.archive) })
            }
            _ => self.mark_for_review(row).await,
        }
    }

    /// Keeps the SHA-256 of a form that was streamed from start to end. The bytes of a form never change, so this
    /// is no change of the archive. [`CatalogError::LostRace`] when another digest is known already: then bytes did
    /// change, which is a defect.
    pub async fn set_form_sha256(
        &mut self,
        site: &SiteId,
        archive: &ArchiveId,
        container: Container,
        sha256: &Sha256,
    ) -> Result<(), CatalogError> {
        let statement = match container {
            Container::Zip => {
                "UPDATE archives SET zip_sha256 = $3
                 WHERE site = $1 AND archive = $2 AND (zip_sha256 IS NULL OR zip_sha256 = $3)"
            }
            Container::TarGz => {
                "UPDATE archives SET tgz_sha256 = $3
                 WHERE site = $1 AND archive = $2 AND (tgz_sha256 IS NULL OR tgz_sha256 = $3)"
            }
        };
        let query =
            sqlx::query(statement).bind(sql::text(site)).bind(sql::text(archive)).bind(sql::text(sha256));
        match sql::run(self.conn(), query).await? {
            0 => Err(self.why_no_archive(site, archive).await?),
            _ => Ok(()),
        }
    }
}

pub(super) fn key(site: &SiteId, archive: &ArchiveId) -> String {
    format!("{site}/{archive}")
}
