//! Courses and their revisions.

use super::error::{CatalogError, Resource};
use super::sql::{self, Cells, Stored};
use super::values::RevisionOrigin;
use super::{Catalog, Tx};
use crate::clock::Timestamp;
use crate::course::TreeRef;
use crate::ids::{ArchiveId, CourseId, JobId, SiteId, StorageName};
use crate::restore::users::folded;

/// A course space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CourseRow {
    /// Its site.
    pub site: SiteId,
    /// Its id.
    pub course: CourseId,
    /// Full name, as the live state tells it.
    pub full_name: String,
    /// Short name, as the live state tells it.
    pub short_name: String,
    /// Its id on its platform, as the live state tells it.
    pub moodle_course_id: i64,
    /// The institution's own number of it, as the live state tells it; may be empty.
    pub id_number: String,
    /// Number of the live revision.
    pub live_revision: Option<i64>,
    /// When it was made.
    pub create_time: Timestamp,
    /// When it last changed.
    pub update_time: Timestamp,
    /// When it was deleted.
    pub delete_time: Option<Timestamp>,
    /// Grows with every change.
    pub version: i64,
}

/// A state of a course. It never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevisionRow {
    /// Its site.
    pub site: SiteId,
    /// Its course.
    pub course: CourseId,
    /// Its number, from 1.
    pub revision: i64,
    /// Number of the revision before.
    pub parent: Option<i64>,
    /// How it came to be.
    pub origin: RevisionOrigin,
    /// The archive it came from.
    pub archive: ArchiveId,
    /// The job that made it.
    pub job: Option<JobId>,
    /// The principal that asked for it.
    pub author: String,
    /// Where its tree lies.
    pub storage: StorageName,
    /// Its members.
    pub tree: TreeRef,
    /// When it was made.
    pub create_time: Timestamp,
}

/// Which courses of a site are wanted. Texts are contained, whatever the case of letters; empty ones ask for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CourseQuery {
    /// Only those that have this in full name, short name or id number.
    pub any: String,
    /// Only those that have this in their full name.
    pub full_name: String,
    /// Only those that have this in their short name.
    pub short_name: String,
    /// Only those that have this in their id number.
    pub id_number: String,
    /// Deleted ones too.
    pub show_deleted: bool,
    /// Only those without a good automated backup that was stored at that time or later.
    pub backup_before: Option<Timestamp>,
    /// Only those that changed after their last automated backup that succeeded was begun, or have none.
    pub changed_since_backup: bool,
    /// Only those of later ids.
    pub after: Option<CourseId>,
}

/// The columns that are searched.
const KEYS: [&str; 3] = ["full_name_key", "short_name_key", "id_number_key"];

macro_rules! course_columns {
    () => {
        "site, course, full_name, short_name, moodle_course_id, id_number, live_revision, create_ms, update_ms, \
         delete_ms, version"
    };
}

impl Stored for CourseRow {
    const TABLE: &'static str = "courses";
    const KEY: &'static [&'static str] = &["site", "course"];

    fn parse(cells: &Cells<'_>) -> Result<Self, CatalogError> {
        Ok(Self {
            site: cells.parsed("site")?,
            course: cells.parsed("course")?,
            full_name: cells.text("full_name")?,
            short_name: cells.text("short_name")?,
            moodle_course_id: cells.int("moodle_course_id")?,
            id_number: cells.text("id_number")?,
            live_revision: cells.opt_int("live_revision")?,
            create_time: cells.time("create_ms")?,
            update_time: cells.time("update_ms")?,
            delete_time: cells.opt_time("delete_ms")?,
            version: cells.int("version")?,
        })
    }
}

impl Stored for RevisionRow {
    const TABLE: &'static str = "revisions";
    const KEY: &'static [&'static str] = &["site", "course", "revision"];

    fn parse(cells: &Cells<'_>) -> Result<Self, CatalogError> {
        Ok(Self {
            site: cells.parsed("site")?,
            course: cells.parsed("course")?,
            revision: cells.int("revision")?,
            parent: cells.opt_int("parent")?,
            origin: cells.parsed("origin")?,
            archive: cells.parsed("archive")?,
            job: cells.opt_parsed("job")?,
            author: cells.text("author")?,
            storage: cells.parsed("storage")?,
            tree: cells.tree()?,
            create_time: cells.time("create_ms")?,
        })
    }
}

fn key(site: &SiteId, course: &CourseId) -> String {
    format!("{site}/{course}")
}

fn get_course(site: &SiteId, course: &CourseId) -> sql::Bound {
    sqlx::query(concat!(
        "SELECT ",
        course_columns!(),
        "
         FROM courses
         WHERE site = $1 AND course = $2"
    ))
    .bind(sql::text(site))
    .bind(sql::text(course))
}

fn get_revision(site: &SiteId, course: &CourseId, revision: i64) -> sql::Bound {
    sqlx::query(
        "SELECT site, course, revision, parent, origin, archive, job, author, storage, tree_root, tree_root_size,
             tree_members, tree_content_bytes, create_ms
         FROM revisions
         WHERE site = $1 AND course = $2 AND revision = $3",
    )
    .bind(sql::text(site))
    .bind(sql::text(course))
    .bind(revision)
}

impl Catalog {
    /// A course, deleted or not.
    pub async fn get_course(
        &self,
        site: &SiteId,
        course: &CourseId,
    ) -> Result<Option<CourseRow>, CatalogError> {
        sql::one(&mut *self.read().await?, get_course(site, course)).await
    }

    /// At most `limit` courses of a site, by id.
    pub async fn list_courses(
        &self,
        site: &SiteId,
        query: &CourseQuery,
        limit: u32,
    ) -> Result<Vec<CourseRow>, CatalogError> {
        let mut statement = String::from(concat!(
            "SELECT ",
            course_columns!(),
            " FROM courses c WHERE site = $1 AND course > $2"
        ));
        if !query.show_deleted {
            statement.push_str(" AND delete_ms IS NULL");
        }
        let mut texts = Vec::new();
        for (columns, text) in [
            (&KEYS[..], &query.any),
            (&KEYS[..1], &query.full_name),
            (&KEYS[1..2], &query.short_name),
            (&KEYS[2..], &query.id_number),
        ] {
            if text.is_empty() {
                continue;
            }
            texts.push(folded(text));
            let n = texts.len() + 3;
            // LIKE minds the case of letters on one of the databases only, and has wildcards.
            let each = columns.iter().map(|column| format!("REPLACE({column}, ${n}, '') <> {column}"));
            statement.push_str(&format!(" AND ({})", each.collect::<Vec<_>>().join(" OR ")));
        }
        let mut before = None;
        if let Some(time) = query.backup_before {
            let n = texts.len() + 4;
            statement.push_str(&format!(" AND COALESCE({}, -1) < ${n}", super::course_backups::LAST_GOOD));
            before = Some(time.millis());
        }
        if query.changed_since_backup {
            statement.push_str(
                " AND NOT EXISTS (
                     SELECT 1
                     FROM course_backups b
                     JOIN jobs j ON j.site = b.site AND j.job = b.job
                     WHERE b.site = c.site AND b.course = c.course AND b.run_seq = b.change_seq AND j.state = 'SUCCEEDED'
                 )",
            );
        }
        statement.push_str(" ORDER BY course LIMIT $3");
        let bound = sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(sql::text(site))
            // the empty text stands before every id
            .bind(query.after.as_ref().map(CourseId::as_str).unwrap_or_default().to_owned())
            .bind(i64::from(limit));
        let bound = texts.into_iter().fold(bound, |bound, text| bound.bind(text));
        let bound = before.into_iter().fold(bound, |bound, time| bound.bind(time));
        sql::all(&mut *self.read().await?, bound).await
    }

    /// The site's live courses whose full or short name begins as the given one does, by so many characters.
    pub async fn courses_named_like(
        &self,
        site: &SiteId,
        full_name: &str,
        short_name: &str,
        characters: usize,
    ) -> Result<Vec<CourseRow>, CatalogError> {
        let beginning = |name: &str| name.chars().take(characters).collect::<String>();
        let query = sqlx::query(
            concat!("SELECT ", course_columns!(), "
             FROM courses
             WHERE site = $1 AND delete_ms IS NULL
                 AND (substr(full_name, 1, CAST($2 AS INTEGER)) = $3 OR substr(short_name, 1, CAST($4 AS INTEGER)) = $5)"),
        )
        .bind(sql::text(site))
        .bind(i64::try_from(characters).unwrap_or(i64::MAX))
        .bind(beginning(full_name))
        .bind(i64::try_from(characters).unwrap_or(i64::MAX))
        .bind(beginning(short_name));
        sql::all(&mut *self.read().await?, query).await
    }

    /// A revision.
    pub async fn get_revision(
        &self,
        site: &SiteId,
        course: &CourseId,
        revision: i64,
    ) -> Result<Option<RevisionRow>, CatalogError> {
        sql::one(&mut *self.read().await?, get_revision(site, course, revision)).await
    }

    /// At most `limit` revisions of a course, newest first, those with numbers below `before`.
    pub async fn list_revisions(
        &self,
        site: &SiteId,
        course: &CourseId,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<RevisionRow>, CatalogError> {
        let query = sqlx::query(
            "SELECT site, course, revision, parent, origin, archive, job, author, storage, tree_root,
                 tree_root_size, tree_members, tree_content_bytes, create_ms
             FROM revisions
             WHERE site = $1 AND course = $2 AND revision < $3
             ORDER BY revision DESC
             LIMIT $4",
        )
        .bind(sql::text(site))
        .bind(sql::text(course))
        .bind(before.unwrap_or(i64::MAX))
        .bind(i64::from(limit));
        sql::all(&mut *self.read().await?, query).await
    }
}

impl Tx {
    /// A course, as this transaction sees it.
    pub async fn get_course(
        &mut self,
        site: &SiteId,
        course: &CourseId,
    ) -> Result<Option<CourseRow>, CatalogError> {
        sql::one(self.conn(), get_course(site, course)).await
    }

    /// A revision, as this transaction sees it.
    pub async fn get_revision(
        &mut self,
        site: &SiteId,
        course: &CourseId,
        revision: i64,
    ) -> Result<Option<RevisionRow>, CatalogError> {
        sql::one(self.conn(), get_revision(site, course, revision)).await
    }

    /// Makes a course. [`CatalogError::Conflict`] when there is one of that id, deleted or not.
    pub async fn insert_course(&mut self, row: &CourseRow) -> Result<(), CatalogError> {
        let query = sqlx::query(
            "INSERT INTO courses (site, course, full_name, short_name, moodle_course_id, live_revision, create_ms,
                 update_ms, delete_ms, version, id_number, full_name_key, short_name_key, id_number_key)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
             ON CONFLICT DO NOTHING",
        )
        .bind(sql::text(&row.site))
        .bind(sql::text(&row.course))
        .bind(row.full_name.clone())
        .bind(row.short_name.clone())
        .bind(row.moodle_course_id)
        .bind(row.live_revision)
        .bind(row.create_time.millis())
        .bind(row.update_time.millis())
        .bind(sql::opt_millis(row.delete_time))
        .bind(row.version)
        .bind(row.id_number.clone())
        .bind(folded(&row.full_name))
        .bind(folded(&row.short_name))
        .bind(folded(&row.id_number));
        match sql::run(self.conn(), query).await? {
            0 => Err(CatalogError::Conflict { resource: Resource::Course, key: key(&row.site, &row.course) }),
            _ => Ok(()),
        }
    }

    /// Adds a revision. [`CatalogError::Conflict`] when the course has one of that number.
    pub async fn insert_revision(&mut self, row: &RevisionRow) -> Result<(), CatalogError> {
        let query = sqlx::query(
            "INSERT INTO revisions (site, course, revision, parent, origin, archive, job, author, storage,
                 tree_root, tree_root_size, tree_members, tree_content_bytes, create_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
             ON CONFLICT DO NOTHING",
        )
        .bind(sql::text(&row.site))
        .bind(sql::text(&row.course))
        .bind(row.revision)
        .bind(row.parent)
        .bind(row.origin.as_str())
        .bind(sql::text(&row.archive))
        .bind(sql::opt_text(row.job.as_ref()))
        .bind(row.author.clone())
        .bind(sql::text(&row.storage))
        .bind(sql::text(&row.tree.root))
        .bind(sql::stored("tree_root_size", row.tree.root_size)?)
        .bind(sql::stored("tree_members", row.tree.members)?)
        .bind(sql::stored("tree_content_bytes", row.tree.content_bytes)?)
        .bind(row.create_time.millis());
        match sql::run(self.conn(), query).await? {
            0 => Err(CatalogError::Conflict {
                resource: Resource::Revision,
                key: format!("{}/{}", key(&row.site, &row.course), row.revision),
            }),
            _ => Ok(()),
        }
    }

    /// Makes a revision the live one of its course, with the names that its state tells, and revives the course if
    /// it was deleted. [`CatalogError::LostRace`] when `expected` is not the live revision.
    pub async fn set_live_revision(
        &mut self,
        row: &CourseRow,
        expected: Option<i64>,
    ) -> Result<CourseRow, CatalogError> {
        let query = sqlx::query(concat!(
            "UPDATE courses
             SET live_revision = $4, full_name = $5, short_name = $6, moodle_course_id = $7, update_ms = $8,
                 delete_ms = $9, id_number = $10, full_name_key = $11, short_name_key = $12, id_number_key = $13,
                 version = version + 1
             -- the guard: a push must never bury a restore that it has not seen
             WHERE site = $1 AND course = $2 AND COALESCE(live_revision, 0) = $3
             RETURNING ",
            course_columns!()
        ))
        .bind(sql::text(&row.site))
        .bind(sql::text(&row.course))
        // revisions count from 1, so 0 stands for none
        .bind(expected.unwrap_or(0))
        .bind(row.live_revision)
        .bind(row.full_name.clone())
        .bind(row.short_name.clone())
        .bind(row.moodle_course_id)
        .bind(row.update_time.millis())
        .bind(sql::opt_millis(row.delete_time))
        .bind(row.id_number.clone())
        .bind(folded(&row.full_name))
        .bind(folded(&row.short_name))
        .bind(folded(&row.id_number));
        match sql::one(self.conn(), query).await? {
            Some(row) => Ok(row),
            None => Err(self.why_no_course(&row.site, &row.course).await?),
        }
    }

    /// Marks a course as deleted. [`CatalogError::LostRace`] when `expected` is not the live revision or the course
    /// is deleted already.
    pub async fn delete_course(
        &mut self,
        site: &SiteId,
        course: &CourseId,
        expected: Option<i64>,
        delete_time: Timestamp,
    ) -> Result<CourseRow, CatalogError> {
        let query = sqlx::query(concat!(
            "UPDATE courses
             SET delete_ms = $4, update_ms = $4, version = version + 1
             WHERE site = $1 AND course = $2 AND COALESCE(live_revision, 0) = $3 AND delete_ms IS NULL
             RETURNING ",
            course_columns!()
        ))
        .bind(sql::text(site))
        .bind(sql::text(course))
        .bind(expected.unwrap_or(0))
        .bind(delete_time.millis());
        match sql::one(self.conn(), query).await? {
            Some(row) => Ok(row),
            None => Err(self.why_no_course(site, course).await?),
        }
    }

    async fn why_no_course(
        &mut self,
        site: &SiteId,
        course: &CourseId,
    ) -> Result<CatalogError, CatalogError> {
        let (resource, key) = (Resource::Course, key(site, course));
        Ok(match self.get_course(site, course).await? {
            Some(_) => CatalogError::LostRace { resource, key },
            None => CatalogError::NotFound { resource, key },
        })
    }
}
