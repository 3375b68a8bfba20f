//! What a course's platform tells about it besides its contents, and how its automated backups stand.

use super::Tx;
use super::error::CatalogError;
use super::sql::{self, Cells};
use crate::directory::Placement;
use crate::ids::{CourseId, SiteId};

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
                let cells = Cells::new(row, "course_backups", &[]);
                Some(Placement { category: cells.text("category")?, hidden: cells.flag("hidden")? })
            }
        };
        let placement = placement.cloned().or_else(|| known.clone()).unwrap_or_default();
        let query = sqlx::query(
            "INSERT INTO course_backups (site, course, category, hidden, change_seq, change_ms, due_ms, look_ms, retries)
             VALUES ($1, $2, $3, $4, 1, $5, 0, 0, 0)
             ON CONFLICT (site, course) DO UPDATE
             SET category = excluded.category, hidden = excluded.hidden, change_seq = course_backups.change_seq + 1,
                 change_ms = excluded.change_ms, unpublished_ms = NULL",
        )
        .bind(sql::text(site))
        .bind(sql::text(course))
        .bind(placement.category.clone())
        .bind(i64::from(placement.hidden))
        .bind(now.millis());
        sql::run(self.conn(), query).await?;
        Ok(known.unwrap_or_default() != placement)
    }
}
