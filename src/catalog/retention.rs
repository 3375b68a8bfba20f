//! What was decided over archives, and what has to be decided: reviews that are due, the groups in which archives are
//! counted, and the marks that a changed policy leaves.

use std::collections::HashMap;

use super::archives::ArchiveRow;
use super::dialect::Dialect;
use super::error::CatalogError;
use super::sql::{self, Cells, Stored};
use super::values::Area;
use super::{Catalog, Tx};
use crate::clock::Timestamp;
use crate::ids::{ArchiveId, CourseId, PolicyId, SiteId};
use crate::retention::{Candidate, Expiry, Reason};

/// Archives that are counted together: of one course in an area, and in private areas and the drop zone of one owner.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group {
    /// Their site.
    pub site: SiteId,
    /// Their area.
    pub area: Area,
    /// Their course.
    pub course: Option<CourseId>,
    /// Their owner, where it makes a difference.
    pub owner: Option<String>,
}

impl Group {
    /// The group of an archive.
    pub fn of(row: &ArchiveRow) -> Self {
        Self::new(&row.site, row.area, row.course.clone(), row.owner.clone())
    }

    fn new(site: &SiteId, area: Area, course: Option<CourseId>, owner: String) -> Self {
        let owner = matches!(area, Area::DropZone | Area::Private).then_some(owner);
        Self { site: site.clone(), area, course, owner }
    }

    /// The condition for its archives, over `a`, with `$1` to `$4`; and the rest of the statement.
    fn select(&self, columns: &str, rest: &str) -> sql::Bound {
        // Two texts rather than one with COALESCE, which no index helps.
        let course = if self.course.is_some() { "a.course = $3" } else { "a.course IS NULL AND $3 IS NULL" };
        let statement = format!(
            "SELECT {columns} FROM archives a
             LEFT JOIN retention r ON r.site = a.site AND r.archive = a.archive
             WHERE a.site = $1 AND a.area = $2 AND {course} AND ($4 IS NULL OR a.owner = $4)
                 AND a.delete_ms IS NULL {rest}"
        );
        sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(sql::text(&self.site))
            .bind(self.area.as_str())
            .bind(sql::opt_text(self.course.as_ref()))
            .bind(self.owner.clone())
    }
}

/// A live archive as a decision looks at it, with what was last decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CandidateRow {
    /// What the decision looks at.
    pub candidate: Candidate<ArchiveId>,
    /// Its version.
    pub version: i64,
    /// What was last decided, and when it is looked at again.
    pub decided: Option<Decided>,
}

/// What was decided over an archive that stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Why it is kept.
    pub because: Vec<Reason>,
    /// Until when, if nothing changes; `None`: not by time alone.
    pub until: Option<Timestamp>,
    /// By which policy; `None`: by the defaults of its area.
    pub policy: Option<PolicyId>,
}

/// What is known of an archive's time with us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionRow {
    /// Which one.
    pub archive: ArchiveId,
    /// What was last decided; `None`: nothing yet, or it is deleted.
    pub decided: Option<Decided>,
    /// Why it expired, when nobody but the service deleted it.
    pub expiry: Option<Expiry>,
}

/// An archive that is to be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueReview {
    /// Which one.
    pub archive: ArchiveId,
    /// With which others.
    pub group: Group,
}

const CANDIDATE: &str = "a.archive, a.create_ms, a.good, a.hold_ms, a.version, r.because, r.until_ms, r.policy, \
    r.expiry, r.spared_ms, r.review_ms";

impl Stored for CandidateRow {
    const TABLE: &'static str = "archives";
    const KEY: &'static [&'static str] = &["archive"];

    fn parse(cells: &Cells<'_>) -> Result<Self, CatalogError> {
        Ok(Self {
            candidate: Candidate {
                id: cells.parsed("archive")?,
                create_time: cells.time("create_ms")?,
                good: cells.flag("good")?,
                held: cells.opt_time("hold_ms")?.is_some(),
                spared_until: cells.opt_time("spared_ms")?,
            },
            version: cells.int("version")?,
            // What is to be looked at at once was not decided in its present state.
            decided: match cells.opt_int("review_ms")? {
                Some(0) => None,
                _ => decided(cells)?,
            },
        })
    }
}

impl Stored for RetentionRow {
    const TABLE: &'static str = "retention";
    const KEY: &'static [&'static str] = &["site", "archive"];

    fn parse(cells: &Cells<'_>) -> Result<Self, CatalogError> {
        Ok(Self {
            archive: cells.parsed("archive")?,
            decided: decided(cells)?,
            expiry: cells.opt_parsed("expiry")?,
        })
    }
}

impl Stored for DueReview {
    const TABLE: &'static str = "retention";
    const KEY: &'static [&'static str] = &["site", "archive"];

    fn parse(cells: &Cells<'_>) -> Result<Self, CatalogError> {
        let site = cells.parsed("site")?;
        let (area, course) = (cells.parsed("area")?, cells.opt_parsed("course")?);
        let group = Group::new(&site, area, course, cells.text("owner")?);
        Ok(Self { archive: cells.parsed("archive")?, group })
    }
}

fn decided(cells: &Cells<'_>) -> Result<Option<Decided>, CatalogError> {
    let because = cells.opt_text("because")?.unwrap_or_default();
    if because.is_empty() {
        return Ok(None);
    }
    let words = because.split(',').map(str::parse).collect::<Result<Vec<Reason>, _>>();
    Ok(Some(Decided {
        because: words.map_err(|_| cells.corrupt("because"))?,
        until: cells.opt_time("until_ms")?,
        policy: cells.opt_parsed("policy")?,
    }))
}

impl Catalog {
    /// What is known of archives' times with us.
    pub async fn retention_of(
        &self,
        site: &SiteId,
        archives: &[ArchiveId],
    ) -> Result<HashMap<ArchiveId, RetentionRow>, CatalogError> {
        let mut found = HashMap::new();
        let mut conn = self.read().await?;
        for batch in archives.chunks(sql::BATCH) {
            let statement = format!(
                "SELECT site, archive, because, until_ms, policy, expiry
                 FROM retention
                 WHERE site = $1 AND archive IN ({})",
                sql::placeholders(2, batch.len())
            );
            let query = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(sql::text(site));
            let query = batch.iter().fold(query, |query, archive| query.bind(sql::text(archive)));
            let rows = sql::all::<RetentionRow>(&mut conn, query).await?;
            found.extend(rows.into_iter().map(|row| (row.archive.clone(), row)));
        }
        Ok(found)
    }

    /// At most `limit` archives of a site that are to be looked at, the longest due first.
    pub async fn due_reviews(
        &self,
        site: &SiteId,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<DueReview>, CatalogError> {
        let query = sqlx::query(
            "SELECT r.site, r.archive, a.area, a.course, a.owner
             FROM retention r
             JOIN archives a ON a.site = r.site AND a.archive = r.archive
             WHERE r.site = $1 AND r.review_ms <= $2 AND a.delete_ms IS NULL
             ORDER BY r.review_ms, r.archive
             LIMIT $3",
        )
        .bind(sql::text(site))
        .bind(now.millis())
        .bind(i64::from(limit));
        sql::all(&mut *self.read().await?, query).await
    }

    /// At most `limit` live archives of a site by id, those after `after`, with what they are counted with. For previews.
    pub async fn archives_to_preview(
        &self,
        site: &SiteId,
        area: Option<Area>,
        course: Option<&CourseId>,
        after: Option<&ArchiveId>,
        limit: u32,
    ) -> Result<Vec<DueReview>, CatalogError> {
        let query = sqlx::query(
            "SELECT site, archive, area, course, owner
             FROM archives
             WHERE site = $1 AND archive > $2 AND ($3 IS NULL OR area = $3) AND ($4 IS NULL OR course = $4)
                 AND delete_ms IS NULL
             ORDER BY archive
             LIMIT $5",
        )
        .bind(sql::text(site))
        .bind(after.map(ArchiveId::as_str).unwrap_or_default().to_owned())
        .bind(sql::opt_text(area.as_ref()))
        .bind(sql::opt_text(course))
        .bind(i64::from(limit));
        sql::all(&mut *self.read().await?, query).await
    }

    /// All live archives of a group; with `only`, of these ones and the newest good one.
    pub async fn candidates(
        &self,
        group: &Group,
        only: Option<&[ArchiveId]>,
    ) -> Result<Vec<CandidateRow>, CatalogError> {
        let mut conn = self.read().await?;
        let mut found = Vec::new();
        for query in candidates(group, only, "") {
            found.extend(sql::all::<CandidateRow>(&mut conn, query).await?);
        }
        Ok(once(found))
    }

    /// The platform's id of a course's category, where it told it.
    pub async fn category_of(
        &self,
        site: &SiteId,
        course: &CourseId,
    ) -> Result<Option<String>, CatalogError> {
        let query =
            sqlx::query("SELECT site, course, category FROM course_backups WHERE site = $1 AND course = $2")
                .bind(sql::text(site))
                .bind(sql::text(course));
        let rows = sql::all_rows(&mut *self.read().await?, query).await?;
        let category =
            rows.first().map(|row| Cells::new(row, "course_backups", &["site", "course"]).text("category"));
        Ok(category.transpose()?.filter(|text| !text.is_empty()))
    }

    /// Sites in which something about retention is due: a review, a purge, a mark.
    pub async fn sites_to_retain(&self, now: Timestamp) -> Result<Vec<SiteId>, CatalogError> {
        let query = sqlx::query(
            "SELECT site
             FROM sites
             WHERE EXISTS (
                     SELECT 1
                     FROM retention r
                     JOIN archives a ON a.site = r.site AND a.archive = r.archive
                     WHERE r.site = sites.site AND r.review_ms <= $1 AND a.delete_ms IS NULL
                 )
                 OR EXISTS (
                     SELECT 1
                     FROM archives a
                     WHERE a.site = sites.site AND a.purge_ms <= $1 AND a.delete_ms IS NOT NULL AND a.hold_ms IS NULL
                 )
                 OR EXISTS (SELECT 1 FROM retention_marks m WHERE m.site = sites.site)
             ORDER BY site",
        )
        .bind(now.millis());
        let rows = sql::all_rows(&mut *self.read().await?, query).await?;
        rows.iter().map(|row| Cells::new(row, "sites", &["site"]).parsed("site")).collect()
    }
}

/// Statements for the candidates of a group. Their order is the same for everybody, so that nobody waits in a circle.
fn candidates(group: &Group, only: Option<&[ArchiveId]>, lock: &str) -> Vec<sql::Bound> {
    const NEWEST: &str = "ORDER BY a.create_ms DESC, a.archive DESC";
    let Some(only) = only else { return vec![group.select(CANDIDATE, &format!("{NEWEST} {lock}"))] };
    let newest_good = group.select(CANDIDATE, &format!("AND a.good = 1 {NEWEST} LIMIT 1"));
    let chosen = only.chunks(sql::BATCH).map(|batch| {
        let list = sql::placeholders(5, batch.len());
        let query = group.select(CANDIDATE, &format!("AND a.archive IN ({list}) {NEWEST} {lock}"));
        batch.iter().fold(query, |query, archive| query.bind(sql::text(archive)))
    });
    chosen.chain([newest_good]).collect()
}

/// Each archive once.
fn once(mut found: Vec<CandidateRow>) -> Vec<CandidateRow> {
    found.sort_by(|a, b| a.candidate.id.cmp(&b.candidate.id));
    found.dedup_by(|a, b| a.candidate.id == b.candidate.id);
    found
}

impl Tx {
    /// As [`Catalog::candidates`], and nobody else deletes, holds or decides over those archives until this transaction ends.
    pub async fn lock_candidates(
        &mut self,
        group: &Group,
        only: Option<&[ArchiveId]>,
    ) -> Result<Vec<CandidateRow>, CatalogError> {
        let lock = match self.dialect {
            Dialect::Sqlite => "",
            Dialect::Postgres => "FOR UPDATE OF a",
        };
        let mut found = Vec::new();
        for query in candidates(group, only, lock) {
            found.extend(sql::all::<CandidateRow>(self.conn(), query).await?);
        }
        Ok(once(found))
    }

    /// Writes down why an archive is kept. It is looked at again when that ends.
    pub async fn write_decided(
        &mut self,
        site: &SiteId,
        archive: &ArchiveId,
        decided: &Decided,
    ) -> Result<(), CatalogError> {
        let because: Vec<&str> = decided.because.iter().map(|reason| reason.as_str()).collect();
        let query = sqlx::query(
            "INSERT INTO retention (site, archive, review_ms, because, until_ms, policy)
             VALUES ($1, $2, $3, $4, $3, $5)
             ON CONFLICT (site, archive) DO UPDATE
             SET review_ms = excluded.review_ms, because = excluded.because, until_ms = excluded.until_ms,
                 policy = excluded.policy, expiry = NULL",
        )
        .bind(sql::text(site))
        .bind(sql::text(archive))
        .bind(sql::opt_millis(decided.until))
        .bind(because.join(","))
        .bind(sql::opt_text(decided.policy.as_ref()));
        sql::run(self.conn(), query).await.map(|_| ())
    }

    /// Writes down why an archive expired, in the transaction that deletes it.
    pub async fn write_expired(
        &mut self,
        site: &SiteId,
        archive: &ArchiveId,
        expiry: Expiry,
        policy: Option<&PolicyId>,
    ) -> Result<(), CatalogError> {
        let query =
            sqlx::query("UPDATE retention SET expiry = $3, policy = $4 WHERE site = $1 AND archive = $2")
                .bind(sql::text(site))
                .bind(sql::text(archive))
                .bind(expiry.as_str())
                .bind(sql::opt_text(policy));
        sql::run(self.conn(), query).await.map(|_| ())
    }

    /// An archive was undeleted and stays until then.
    pub async fn spare_archive(
        &mut self,
        site: &SiteId,
        archive: &ArchiveId,
        until: Timestamp,
    ) -> Result<(), CatalogError> {
        let query = sqlx::query("UPDATE retention SET spared_ms = $3 WHERE site = $1 AND archive = $2")
            .bind(sql::text(site))
            .bind(sql::text(archive))
            .bind(until.millis());
        sql::run(self.conn(), query).await.map(|_| ())
    }

    /// Something about an archive changed that its time with us depends on: it is looked at again, and so is the group, by
    /// its newest archive. Part of every such change.
    pub(super) async fn mark_for_review(&mut self, row: &ArchiveRow) -> Result<(), CatalogError> {
        let query = sqlx::query(
            "INSERT INTO retention (site, archive, review_ms, because) VALUES ($1, $2, $3, '')
             ON CONFLICT (site, archive) DO UPDATE
             SET review_ms = excluded.review_ms, expiry = NULL,
                 because = CASE WHEN excluded.review_ms IS NULL THEN '' ELSE retention.because END,
                 until_ms = CASE WHEN excluded.review_ms IS NULL THEN NULL ELSE retention.until_ms END",
        )
        .bind(sql::text(&row.site))
        .bind(sql::text(&row.archive))
        .bind(row.delete_time.is_none().then_some(0_i64));
        sql::run(self.conn(), query).await?;
        if row.delete_time.is_none() {
            return Ok(());
        }
        let newest = Group::of(row).select("a.archive", "ORDER BY a.create_ms DESC, a.archive DESC LIMIT 1");
        let rows = sql::all_rows(self.conn(), newest).await?;
        let Some(newest) = rows.first() else { return Ok(()) };
        let newest: ArchiveId = Cells::new(newest, "archives", &["archive"]).parsed("archive")?;
        let query = sqlx::query("UPDATE retention SET review_ms = 0 WHERE site = $1 AND archive = $2")
            .bind(sql::text(&row.site))
            .bind(sql::text(&newest));
        sql::run(self.conn(), query).await.map(|_| ())
    }

    /// A good archive came: those of its group that are kept for want of a better one are looked at again.
    pub async fn review_bad(&mut self, group: &Group) -> Result<(), CatalogError> {
        let bad =
            group.select("a.archive", "AND a.good = 0 AND r.review_ms IS NULL ORDER BY a.archive LIMIT 1000");
        let rows = sql::all_rows(self.conn(), bad).await?;
        for row in &rows {
            let archive = Cells::new(row, "archives", &["archive"]).text("archive")?;
            let query = sqlx::query("UPDATE retention SET review_ms = 0 WHERE site = $1 AND archive = $2")
                .bind(sql::text(&group.site))
                .bind(archive);
            sql::run(self.conn(), query).await?;
        }
        Ok(())
    }

    /// A policy of a site changed: all its archives are looked at again.
    pub async fn mark_site(&mut self, site: &SiteId) -> Result<(), CatalogError> {
        let query = sqlx::query(
            "INSERT INTO retention_marks (site, after_archive, version) VALUES ($1, '', 1)
             ON CONFLICT (site) DO UPDATE SET after_archive = '', version = retention_marks.version + 1",
        )
        .bind(sql::text(site));
        sql::run(self.conn(), query).await.map(|_| ())
    }

    /// Marks the next `limit` archives of a site, if a policy changed. Answers whether there may be more.
    pub async fn mark_next(&mut self, site: &SiteId, limit: u32) -> Result<bool, CatalogError> {
        let mark = sqlx::query("SELECT site, after_archive, version FROM retention_marks WHERE site = $1")
            .bind(sql::text(site));
        let rows = sql::all_rows(self.conn(), mark).await?;
        let Some(row) = rows.first() else { return Ok(false) };
        let cells = Cells::new(row, "retention_marks", &["site"]);
        let (after, version) = (cells.text("after_archive")?, cells.int("version")?);
        let page =
            "SELECT r.archive FROM retention r JOIN archives a ON a.site = r.site AND a.archive = r.archive
             WHERE r.site = $1 AND r.archive > $2 AND a.delete_ms IS NULL ORDER BY r.archive LIMIT $3";
        let query = sqlx::query(page).bind(sql::text(site)).bind(after.clone()).bind(i64::from(limit));
        let rows = sql::all_rows(self.conn(), query).await?;
        let last =
            rows.last().map(|row| Cells::new(row, "retention", &["archive"]).text("archive")).transpose()?;
        // A policy that changes meanwhile begins from the start.
        let Some(last) = last else {
            let query = sqlx::query("DELETE FROM retention_marks WHERE site = $1 AND version = $2")
                .bind(sql::text(site))
                .bind(version);
            return Ok(sql::run(self.conn(), query).await? == 0);
        };
        let query = sqlx::query(
            "UPDATE retention SET review_ms = 0
             WHERE site = $1 AND archive > $2 AND archive <= $3
                 AND EXISTS (
                     SELECT 1
                     FROM archives a
                     WHERE a.site = retention.site AND a.archive = retention.archive AND a.delete_ms IS NULL
                 )",
        )
        .bind(sql::text(site))
        .bind(after)
        .bind(last.clone());
        sql::run(self.conn(), query).await?;
        let query =
            sqlx::query("UPDATE retention_marks SET after_archive = $3 WHERE site = $1 AND version = $2")
                .bind(sql::text(site))
                .bind(version)
                .bind(last);
        sql::run(self.conn(), query).await?;
        Ok(true)
    }

    /// Takes a turn that is due, if nobody else took it, and puts the next one off by `interval`.
    pub async fn take_turn(
        &mut self,
        name: &str,
        now: Timestamp,
        interval: std::time::Duration,
    ) -> Result<bool, CatalogError> {
        let query = sqlx::query(
            "INSERT INTO turns (name, due_ms) VALUES ($1, $3)
             ON CONFLICT (name) DO UPDATE SET due_ms = excluded.due_ms WHERE turns.due_ms <= $2",
        )
        .bind(name.to_owned())
        .bind(now.millis())
        .bind(now.plus(interval).millis());
        Ok(sql::run(self.conn(), query).await? > 0)
    }
}
