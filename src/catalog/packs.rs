//! Packs over time: who relies on them, which are to go, which are gone.
//!
//! A collection looks at packs, then at everything that refers to their contents, then condemns what nobody refers to. What is
//! stored meanwhile may rely on contents that it found before: its transaction counts `reliances` up, and a condemnation names the
//! count that it saw. So one of the two fails, whatever their order, and no time is assumed for either.

use std::collections::BTreeSet;

use super::contents::{ContentRow, columns};
use super::error::{CatalogError, Resource};
use super::sql::{self, Cells, Stored};
use super::{Catalog, Dialect, Tx};
use crate::clock::Timestamp;
use crate::ids::{ArchiveId, CourseId, JobId, PackId, SiteId, StorageName};

/// A pack that is in use or may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownPack {
    /// Its id.
    pub pack: PackId,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// When it was written.
    pub create_time: Timestamp,
    /// How many transactions relied on it.
    pub reliances: i64,
}

/// A pack whose object is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CondemnedPack {
    /// Its id.
    pub pack: PackId,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Since when.
    pub condemn_time: Timestamp,
}

/// A tree that an archive or a revision is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// The archive or, before the slash, the course with the number of its revision: where the next page goes on.
    pub key: (String, i64),
    /// The tree.
    pub tree: crate::course::TreeRef,
}

impl Stored for KnownPack {
    const TABLE: &'static str = "packs";
    const KEY: &'static [&'static str] = &["pack"];

    fn parse(cells: &Cells<'_>) -> Result<Self, CatalogError> {
        Ok(Self {
            pack: cells.parsed("pack")?,
            size_bytes: cells.count("size_bytes")?,
            create_time: cells.time("create_ms")?,
            reliances: cells.int("reliances")?,
        })
    }
}

impl Stored for CondemnedPack {
    const TABLE: &'static str = "packs";
    const KEY: &'static [&'static str] = &["pack"];

    fn parse(cells: &Cells<'_>) -> Result<Self, CatalogError> {
        Ok(Self {
            pack: cells.parsed("pack")?,
            size_bytes: cells.count("size_bytes")?,
            condemn_time: cells.time("condemn_ms")?,
        })
    }
}

impl Stored for Root {
    const TABLE: &'static str = "roots";
    const KEY: &'static [&'static str] = &["id", "number"];

    fn parse(cells: &Cells<'_>) -> Result<Self, CatalogError> {
        Ok(Self { key: (cells.text("id")?, cells.int("number")?), tree: cells.tree()? })
    }
}

impl Catalog {
    /// At most `limit` packs of a place that are not condemned, by id, those after `after`.
    pub async fn list_known_packs(
        &self,
        site: &SiteId,
        storage: &StorageName,
        after: Option<&PackId>,
        limit: u32,
    ) -> Result<Vec<KnownPack>, CatalogError> {
        let query = sqlx::query(
            "SELECT pack, size_bytes, create_ms, reliances
             FROM packs
             WHERE site = $1 AND storage = $2 AND pack > $3 AND condemn_ms IS NULL
             ORDER BY pack
             LIMIT $4",
        )
        .bind(sql::text(site))
        .bind(sql::text(storage))
        .bind(after.map(ToString::to_string).unwrap_or_default())
        .bind(i64::from(limit));
        sql::all(&mut *self.read().await?, query).await
    }

    /// Packs of a place that were condemned by then and whose objects are still there.
    pub async fn list_condemned_packs(
        &self,
        site: &SiteId,
        storage: &StorageName,
        by: Timestamp,
    ) -> Result<Vec<CondemnedPack>, CatalogError> {
        let query = sqlx::query(
            "SELECT pack, size_bytes, condemn_ms
             FROM packs
             WHERE site = $1 AND storage = $2 AND condemn_ms IS NOT NULL AND condemn_ms <= $3 AND delete_ms IS NULL
             ORDER BY pack",
        )
        .bind(sql::text(site))
        .bind(sql::text(storage))
        .bind(by.millis());
        sql::all(&mut *self.read().await?, query).await
    }

    /// Of some packs those that the catalog knows, condemned or not.
    pub async fn which_packs_are_known(
        &self,
        site: &SiteId,
        storage: &StorageName,
        packs: &[PackId],
    ) -> Result<BTreeSet<PackId>, CatalogError> {
        let mut known = BTreeSet::new();
        for batch in packs.chunks(sql::BATCH) {
            let list = sql::placeholders(3, batch.len());
            let query = sqlx::query(sqlx::AssertSqlSafe(format!(
                "SELECT pack FROM packs WHERE site = $1 AND storage = $2 AND pack IN ({list})"
            )));
            let query = query.bind(sql::text(site)).bind(sql::text(storage));
            let query = batch.iter().fold(query, |query, pack| query.bind(sql::text(pack)));
            for row in sql::all_rows(&mut *self.read().await?, query).await? {
                known.insert(Cells::new(&row, "packs", &["pack"]).parsed("pack")?);
            }
        }
        Ok(known)
    }

    /// The contents that are read from a pack.
    pub async fn contents_of_pack(
        &self,
        site: &SiteId,
        storage: &StorageName,
        pack: &PackId,
    ) -> Result<Vec<ContentRow>, CatalogError> {
        let query = sqlx::query(concat!(
            "SELECT ",
            columns!(),
            " FROM contents WHERE site = $1 AND storage = $2 AND pack = $3 ORDER BY pack_offset"
        ))
        .bind(sql::text(site))
        .bind(sql::text(storage))
        .bind(sql::text(pack));
        sql::all(&mut *self.read().await?, query).await
    }

    /// Trees of archives of a place, deleted ones too, by id.
    pub async fn roots_of_archives(
        &self,
        site: &SiteId,
        storage: &StorageName,
        after: Option<&Root>,
        limit: u32,
    ) -> Result<Vec<Root>, CatalogError> {
        let query = sqlx::query(
            "SELECT archive AS id, CAST(0 AS BIGINT) AS number, tree_root, tree_root_size, tree_members,
                 tree_content_bytes
             FROM archives
             WHERE site = $1 AND storage = $2 AND archive > $3
             ORDER BY archive
             LIMIT $4",
        )
        .bind(sql::text(site))
        .bind(sql::text(storage))
        .bind(after.map(|root| root.key.0.clone()).unwrap_or_default())
        .bind(i64::from(limit));
        sql::all(&mut *self.read().await?, query).await
    }

    /// Trees of revisions of a place, those of deleted courses too, by course and number.
    pub async fn roots_of_revisions(
        &self,
        site: &SiteId,
        storage: &StorageName,
        after: Option<&Root>,
        limit: u32,
    ) -> Result<Vec<Root>, CatalogError> {
        let query = sqlx::query(
            "SELECT course AS id, revision AS number, tree_root, tree_root_size, tree_members, tree_content_bytes
             FROM revisions
             WHERE site = $1 AND storage = $2 AND (course, revision) > ($3, $4)
             ORDER BY course, revision
             LIMIT $5",
        )
        .bind(sql::text(site))
        .bind(sql::text(storage))
        .bind(after.map(|root| root.key.0.clone()).unwrap_or_default())
        .bind(after.map_or(0, |root| root.key.1))
        .bind(i64::from(limit));
        sql::all(&mut *self.read().await?, query).await
    }

    /// When the longest running job but one was begun: it may still read what was condemned after that.
    pub async fn oldest_running_but(&self, job: &JobId) -> Result<Option<Timestamp>, CatalogError> {
        let query = sqlx::query(
            "SELECT MIN(start_ms) AS oldest_ms FROM jobs WHERE state IN ('RUNNING', 'CANCELLING') AND job <> $1",
        );
        let rows = sql::all_rows(&mut *self.read().await?, query.bind(sql::text(job))).await?;
        rows.first().map_or(Ok(None), |row| Cells::new(row, "jobs", &[]).opt_time("oldest_ms"))
    }
}

impl Tx {
    /// Notes that what this transaction stores relies on contents of packs, its own ones among them.
    /// [`CatalogError::LostRace`] when one of them is condemned meanwhile: nothing of the transaction may hold then.
    pub async fn rely_on_packs(
        &mut self,
        site: &SiteId,
        storage: &StorageName,
        packs: &BTreeSet<PackId>,
    ) -> Result<(), CatalogError> {
        let packs: Vec<&PackId> = packs.iter().collect();
        for batch in packs.chunks(sql::BATCH) {
            let list = sql::placeholders(3, batch.len());
            let bind = |statement: String| {
                let query = sqlx::query(sqlx::AssertSqlSafe(statement));
                let query = query.bind(sql::text(site)).bind(sql::text(storage));
                batch.iter().fold(query, |query, pack| query.bind(pack.to_string()))
            };
            if self.dialect == Dialect::Postgres {
                // One order for all, so that two transactions never wait for each other in a circle.
                let lock = format!(
                    "SELECT pack FROM packs WHERE site = $1 AND storage = $2 AND pack IN ({list})
                     ORDER BY pack FOR NO KEY UPDATE"
                );
                sql::all_rows(self.conn(), bind(lock)).await?;
            }
            let count = format!(
                "UPDATE packs SET reliances = reliances + 1
                 WHERE site = $1 AND storage = $2 AND pack IN ({list}) AND condemn_ms IS NULL"
            );
            if sql::run(self.conn(), bind(count)).await? != batch.len() as u64 {
                return Err(changed(site, storage));
            }
        }
        Ok(())
    }

    /// Condemns a pack on which nobody relied since it was seen, and forgets that contents lie in it. `false`: somebody did.
    pub async fn condemn_pack(
        &mut self,
        site: &SiteId,
        storage: &StorageName,
        seen: &KnownPack,
    ) -> Result<bool, CatalogError> {
        let now = self.now().await?;
        let query = sqlx::query(
            "UPDATE packs SET condemn_ms = $5
             WHERE site = $1 AND storage = $2 AND pack = $3 AND reliances = $4 AND condemn_ms IS NULL",
        )
        .bind(sql::text(site))
        .bind(sql::text(storage))
        .bind(sql::text(&seen.pack))
        .bind(seen.reliances)
        .bind(now.millis());
        if sql::run(self.conn(), query).await? == 0 {
            return Ok(false);
        }
        let query = sqlx::query("DELETE FROM contents WHERE site = $1 AND storage = $2 AND pack = $3")
            .bind(sql::text(site))
            .bind(sql::text(storage))
            .bind(sql::text(&seen.pack));
        sql::run(self.conn(), query).await?;
        Ok(true)
    }

    /// Condemns a pack that the catalog does not know. `false`: it knows it meanwhile.
    pub async fn condemn_orphan(
        &mut self,
        site: &SiteId,
        storage: &StorageName,
        pack: &PackId,
        size_bytes: u64,
    ) -> Result<bool, CatalogError> {
        let now = self.now().await?;
        let query = sqlx::query(
            "INSERT INTO packs (site, storage, pack, size_bytes, create_ms, condemn_ms)
             VALUES ($1, $2, $3, $4, $5, $5)
             ON CONFLICT DO NOTHING",
        )
        .bind(sql::text(site))
        .bind(sql::text(storage))
        .bind(sql::text(pack))
        .bind(sql::stored("size_bytes", size_bytes)?)
        .bind(now.millis());
        Ok(sql::run(self.conn(), query).await? == 1)
    }

    /// Notes that the object of a condemned pack is gone.
    pub async fn pack_is_gone(
        &mut self,
        site: &SiteId,
        storage: &StorageName,
        pack: &PackId,
    ) -> Result<(), CatalogError> {
        let now = self.now().await?;
        let query = sqlx::query(
            "UPDATE packs SET delete_ms = $4
             WHERE site = $1 AND storage = $2 AND pack = $3 AND condemn_ms IS NOT NULL",
        )
        .bind(sql::text(site))
        .bind(sql::text(storage))
        .bind(sql::text(pack))
        .bind(now.millis());
        sql::run(self.conn(), query).await.map(|_| ())
    }

    /// Forgets packs whose objects went before then.
    pub async fn forget_packs(&mut self, site: &SiteId, before: Timestamp) -> Result<u64, CatalogError> {
        let query = sqlx::query(
            "DELETE FROM packs WHERE site = $1 AND condemn_ms IS NOT NULL AND delete_ms IS NOT NULL AND delete_ms < $2",
        );
        sql::run(self.conn(), query.bind(sql::text(site)).bind(before.millis())).await
    }

    /// Keeps an archive from being purged until this transaction ends. `false`: there is none.
    pub async fn keep_archive(&mut self, site: &SiteId, archive: &ArchiveId) -> Result<bool, CatalogError> {
        let statement = match self.dialect {
            Dialect::Sqlite => "SELECT archive FROM archives WHERE site = $1 AND archive = $2",
            Dialect::Postgres => "SELECT archive FROM archives WHERE site = $1 AND archive = $2 FOR SHARE",
        };
        let query = sqlx::query(statement).bind(sql::text(site)).bind(sql::text(archive));
        Ok(!sql::all_rows(self.conn(), query).await?.is_empty())
    }

    /// Forgets revisions of a course on which no job works. Tells how many.
    pub async fn forget_revisions(
        &mut self,
        site: &SiteId,
        course: &CourseId,
        revisions: &[i64],
    ) -> Result<u64, CatalogError> {
        let mut gone = 0;
        for batch in revisions.chunks(sql::BATCH) {
            let list = sql::placeholders(3, batch.len());
            let query = sqlx::query(sqlx::AssertSqlSafe(format!(
                "DELETE FROM revisions
                 WHERE site = $1 AND course = $2 AND revision IN ({list})
                     -- never the live one, whatever it is by now
                     AND revision < (SELECT c.live_revision FROM courses c
                         WHERE c.site = revisions.site AND c.course = revisions.course)
                     AND NOT EXISTS (SELECT 1 FROM jobs j
                         WHERE j.site = revisions.site AND j.course = revisions.course
                             AND j.state IN ('PENDING', 'RUNNING', 'CANCELLING'))"
            )));
            let query = query.bind(sql::text(site)).bind(sql::text(course));
            let query = batch.iter().fold(query, |query, number| query.bind(*number));
            gone += sql::run(self.conn(), query).await?;
        }
        Ok(gone)
    }
}

/// The refusal for whoever relied on what was just condemned.
pub(super) fn changed(site: &SiteId, storage: &StorageName) -> CatalogError {
    CatalogError::LostRace { resource: Resource::Pack, key: format!("{site}/{storage}") }
}
