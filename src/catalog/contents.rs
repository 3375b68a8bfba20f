//! Where contents lie: a cache of the footers of all packs, and what a site uses.

use std::collections::BTreeMap;

use super::error::CatalogError;
use super::sql::{self, Cells, Stored};
use super::{Catalog, Tx};
use crate::clock::Timestamp;
use crate::course::{ContentKind, ContentRef, Encoding};
use crate::digest::{Digest, Sha1};
use crate::ids::{PackId, SiteId, StorageName};

/// A pack object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackRow {
    /// Its id.
    pub pack: PackId,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// When it was written.
    pub create_time: Timestamp,
}

/// One encoded form of a content, and where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentRow {
    /// The content and its form.
    pub content: ContentRef,
    /// What it is.
    pub kind: ContentKind,
    /// Its SHA-1, when somebody computed it.
    pub sha1: Option<Sha1>,
    /// The pack it lies in.
    pub pack: PackId,
    /// Position of its first byte in the pack.
    pub offset: u64,
}

/// Where an encoded form lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The pack.
    pub pack: PackId,
    /// Position of its first byte in the pack.
    pub offset: u64,
    /// Its size in bytes, as it is kept.
    pub encoded_size: u64,
}

/// What a site holds on one storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageUseRow {
    /// The storage.
    pub storage: StorageName,
    /// Live archives.
    pub archive_count: u64,
    /// Revisions of live courses.
    pub revision_count: u64,
    /// Uncompressed size of all of these, each counted in full.
    pub logical_bytes: u64,
    /// Distinct contents of members.
    pub content_count: u64,
    /// Uncompressed size of these.
    pub content_bytes: u64,
    /// Size of all packs.
    pub stored_bytes: u64,
    /// Number of packs.
    pub pack_count: u64,
}

impl Stored for ContentRow {
    const TABLE: &'static str = "contents";
    const KEY: &'static [&'static str] = &["site", "storage", "digest", "form"];

    fn parse(cells: &Cells<'_>) -> Result<Self, CatalogError> {
        let encoding = match cells.text("encoding")?.as_str() {
            STORED => Encoding::Stored,
            DEFLATE => Encoding::Deflate,
            _ => return Err(cells.corrupt("encoding")),
        };
        let content = ContentRef {
            digest: cells.parsed("digest")?,
            size: cells.count("size_bytes")?,
            crc32: cells.count("crc32")?,
            encoding,
            encoded_size: cells.count("encoded_size")?,
            form: cells.count("form")?,
        };
        Ok(Self {
            content,
            kind: cells.parsed("kind")?,
            sha1: cells.opt_parsed("sha1")?,
            pack: cells.parsed("pack")?,
            offset: cells.count("pack_offset")?,
        })
    }
}

impl Stored for StorageUseRow {
    const TABLE: &'static str = "storage use";
    const KEY: &'static [&'static str] = &["storage"];

    fn parse(cells: &Cells<'_>) -> Result<Self, CatalogError> {
        Ok(Self {
            storage: cells.parsed("storage")?,
            archive_count: cells.count("archive_count")?,
            revision_count: cells.count("revision_count")?,
            logical_bytes: cells.count("logical_bytes")?,
            content_count: cells.count("content_count")?,
            content_bytes: cells.count("content_bytes")?,
            stored_bytes: cells.count("stored_bytes")?,
            pack_count: cells.count("pack_count")?,
        })
    }
}

const STORED: &str = "STORED";
const DEFLATE: &str = "DEFLATE";

const fn encoding_text(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Stored => STORED,
        Encoding::Deflate => DEFLATE,
    }
}

macro_rules! columns {
    () => {
        "site, storage, digest, form, pack, pack_offset, kind, encoding, size_bytes, encoded_size, crc32, sha1"
    };
}

/// Columns of a content.
const COLUMNS: usize = 12;

/// Digests in one statement that looks contents up.
const LOOKUP: usize = sql::BATCH;

/// What a site takes of what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SiteUse {
    /// Bytes of its packs.
    pub stored_bytes: u64,
    /// Archives that are not deleted.
    pub archives: u64,
    /// Jobs that have not ended.
    pub open_jobs: u64,
}

impl Catalog {
    /// All known forms of some contents. A content that is not known is not in the answer.
    pub async fn find_contents(
        &self,
        site: &SiteId,
        storage: &StorageName,
        digests: &[Digest],
    ) -> Result<Vec<ContentRow>, CatalogError> {
        find_contents(&mut *self.read().await?, site, storage, digests).await
    }

    /// Where forms of contents lie. A form that is not known is not in the answer.
    pub async fn locate(
        &self,
        site: &SiteId,
        storage: &StorageName,
        forms: &[(Digest, u64)],
    ) -> Result<BTreeMap<(Digest, u64), Location>, CatalogError> {
        let digests: Vec<_> = forms.iter().map(|(digest, _)| *digest).collect();
        let rows = self.find_contents(site, storage, &digests).await?;
        let wanted: std::collections::BTreeSet<_> = forms.iter().copied().collect();
        let located = rows.into_iter().map(|row| {
            let location =
                Location { pack: row.pack, offset: row.offset, encoded_size: row.content.encoded_size };
            ((row.content.digest, row.content.form), location)
        });
        Ok(located.filter(|(form, _)| wanted.contains(form)).collect())
    }

    /// A content of that SHA-1 and size, in any of its forms.
    pub async fn find_by_sha1(
        &self,
        site: &SiteId,
        storage: &StorageName,
        sha1: &Sha1,
        size: u64,
    ) -> Result<Option<ContentRow>, CatalogError> {
        let query = sqlx::query(concat!(
            "SELECT ",
            columns!(),
            " FROM contents
             WHERE site = $1 AND storage = $2 AND sha1 = $3 AND size_bytes = $4
             ORDER BY digest, form
             LIMIT 1"
        ))
        .bind(sql::text(site))
        .bind(sql::text(storage))
        .bind(sql::text(sha1))
        .bind(sql::stored("size_bytes", size)?);
        sql::one(&mut *self.read().await?, query).await
    }

    /// What a site takes now.
    pub async fn site_use(&self, site: &SiteId) -> Result<SiteUse, CatalogError> {
        let query = sqlx::query(
            "SELECT
                 (SELECT CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT) FROM packs WHERE site = $1) AS stored_bytes,
                 (SELECT COUNT(*) FROM archives WHERE site = $1 AND delete_ms IS NULL) AS archives,
                 (SELECT COUNT(*) FROM jobs
                  WHERE site = $1 AND state IN ('PENDING', 'RUNNING', 'CANCELLING')) AS open_jobs",
        )
        .bind(sql::text(site));
        let rows = sql::all_rows(&mut *self.read().await?, query).await?;
        let missing = CatalogError::Driver { what: "a sum has no row".into() };
        let cells = Cells::new(rows.first().ok_or(missing)?, "packs", &[]);
        Ok(SiteUse {
            stored_bytes: cells.count("stored_bytes")?,
            archives: cells.count("archives")?,
            open_jobs: cells.count("open_jobs")?,
        })
    }

    /// What a site holds, a row for each storage that it uses, by name.
    pub async fn storage_report(&self, site: &SiteId) -> Result<Vec<StorageUseRow>, CatalogError> {
        // every measure as rows of its own, then one sum for each storage: joins would count rows twice
        let query = sqlx::query(
            "SELECT storage,
                 CAST(SUM(archive_count) AS BIGINT) AS archive_count,
                 CAST(SUM(revision_count) AS BIGINT) AS revision_count,
                 CAST(SUM(logical_bytes) AS BIGINT) AS logical_bytes,
                 CAST(SUM(content_count) AS BIGINT) AS content_count,
                 CAST(SUM(content_bytes) AS BIGINT) AS content_bytes,
                 CAST(SUM(stored_bytes) AS BIGINT) AS stored_bytes,
                 CAST(SUM(pack_count) AS BIGINT) AS pack_count
             FROM (
                 SELECT storage, 1 AS archive_count, 0 AS revision_count, tree_content_bytes AS logical_bytes,
                     0 AS content_count, 0 AS content_bytes, 0 AS stored_bytes, 0 AS pack_count
                 FROM archives
                 WHERE site = $1 AND delete_ms IS NULL
                 UNION ALL
                 SELECT r.storage, 0, 1, r.tree_content_bytes, 0, 0, 0, 0
                 FROM revisions r
                 JOIN courses c ON c.site = r.site AND c.course = r.course
                 WHERE r.site = $1 AND c.delete_ms IS NULL
                 UNION ALL
                 -- a content counts once, however many forms it has
                 SELECT storage, 0, 0, 0, 1, MAX(size_bytes), 0, 0
                 FROM contents
                 WHERE site = $1 AND kind = 'CONTENT'
                 GROUP BY storage, digest
                 UNION ALL
                 SELECT storage, 0, 0, 0, 0, 0, size_bytes, 1
                 FROM packs
                 WHERE site = $1
             ) measures
             GROUP BY storage
             ORDER BY storage",
        )
        .bind(sql::text(site));
        sql::all(&mut *self.read().await?, query).await
    }
}

impl Tx {
    /// All known forms of some contents, as this transaction sees them.
    pub async fn find_contents(
        &mut self,
        site: &SiteId,
        storage: &StorageName,
        digests: &[Digest],
    ) -> Result<Vec<ContentRow>, CatalogError> {
        find_contents(self.conn(), site, storage, digests).await
    }

    /// Adds packs. Those that are known stay as they are.
    pub async fn insert_packs(
        &mut self,
        site: &SiteId,
        storage: &StorageName,
        packs: &[PackRow],
    ) -> Result<(), CatalogError> {
        for batch in packs.chunks(sql::BATCH) {
            let values = sql::value_rows(self.dialect, batch.len(), 5);
            let mut query = sqlx::query(sqlx::AssertSqlSafe(format!(
                "INSERT INTO packs (site, storage, pack, size_bytes, create_ms)
                 VALUES {values}
                 ON CONFLICT DO NOTHING"
            )));
            for row in batch {
                query = query
                    .bind(sql::text(site))
                    .bind(sql::text(storage))
                    .bind(sql::text(&row.pack))
                    .bind(sql::stored("size_bytes", row.size_bytes)?)
                    .bind(row.create_time.millis());
            }
            sql::run(self.conn(), query).await?;
        }
        Ok(())
    }

    /// Adds forms of contents. One that is known stays where it was first: the second copy is garbage in its pack.
    pub async fn insert_contents(
        &mut self,
        site: &SiteId,
        storage: &StorageName,
        contents: &[ContentRow],
    ) -> Result<(), CatalogError> {
        // one order for all, so that two transactions that add the same forms never wait for each other in a circle
        let mut rows: Vec<_> = contents.iter().collect();
        rows.sort_unstable_by_key(|row| (row.content.digest, row.content.form));
        for batch in rows.chunks(sql::BATCH) {
            let values = sql::value_rows(self.dialect, batch.len(), COLUMNS);
            let mut query = sqlx::query(sqlx::AssertSqlSafe(format!(
                concat!("INSERT INTO contents (", columns!(), ") VALUES {} ON CONFLICT DO NOTHING"),
                values
            )));
            for row in batch {
                query = query
                    .bind(sql::text(site))
                    .bind(sql::text(storage))
                    .bind(sql::text(&row.content.digest))
                    .bind(sql::stored("form", row.content.form)?)
                    .bind(sql::text(&row.pack))
                    .bind(sql::stored("pack_offset", row.offset)?)
                    .bind(row.kind.as_str())
                    .bind(encoding_text(row.content.encoding))
                    .bind(sql::stored("size_bytes", row.content.size)?)
                    .bind(sql::stored("encoded_size", row.content.encoded_size)?)
                    .bind(i64::from(row.content.crc32))
                    .bind(sql::opt_text(row.sha1.as_ref()));
            }
            sql::run(self.conn(), query).await?;
        }
        Ok(())
    }
}

async fn find_contents(
    conn: &mut sqlx::AnyConnection,
    site: &SiteId,
    storage: &StorageName,
    digests: &[Digest],
) -> Result<Vec<ContentRow>, CatalogError> {
    let mut wanted = digests.to_vec();
    wanted.sort_unstable();
    wanted.dedup();
    let mut found = Vec::with_capacity(wanted.len());
    for batch in wanted.chunks(LOOKUP) {
        let list = (3..3 + batch.len()).map(|n| format!("(${n})")).collect::<Vec<_>>().join(",");
        // Fresh tables have no statistics, and both databases must look up by the key all the same. With `IN (…)`,
        // PostgreSQL compares each row of the site with the whole list (measured: 20 times slower); with a plain
        // join, SQLite looks through the list for each row of the site. CROSS JOIN fixes the order there.
        let query = sqlx::query(sqlx::AssertSqlSafe(format!(
            "WITH wanted (digest) AS (VALUES {list})
             SELECT c.site, c.storage, c.digest, c.form, c.pack, c.pack_offset, c.kind, c.encoding, c.size_bytes,
                 c.encoded_size, c.crc32, c.sha1
             FROM wanted w
             CROSS JOIN contents c
             WHERE c.site = $1 AND c.storage = $2 AND c.digest = w.digest"
        )));
        let query = query.bind(sql::text(site)).bind(sql::text(storage));
        let query = batch.iter().fold(query, |query, digest| query.bind(sql::text(digest)));
        found.append(&mut sql::all::<ContentRow>(conn, query).await?);
    }
    found.sort_unstable_by_key(|row| (row.content.digest, row.content.form));
    Ok(found)
}
