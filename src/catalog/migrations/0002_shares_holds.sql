-- Holds, shares, descriptions, and the size that lists are ordered by.

-- The hold: all three or none.
ALTER TABLE archives ADD COLUMN hold_reason TEXT;
ALTER TABLE archives ADD COLUMN hold_by TEXT;
ALTER TABLE archives ADD COLUMN hold_ms BIGINT;

ALTER TABLE archives ADD COLUMN description TEXT NOT NULL DEFAULT '';

-- Size of the form in the archive's own container, beside the sizes of both forms, so that an index can order by it.
ALTER TABLE archives ADD COLUMN size_bytes BIGINT NOT NULL DEFAULT 0;
UPDATE archives
SET size_bytes = COALESCE(CASE container WHEN 'ZIP' THEN zip_size_bytes ELSE tgz_size_bytes END, 0);
CREATE INDEX archives_by_size ON archives (site, size_bytes, archive);

-- To whom an archive is made available, and until when. Rows that expired mean nothing, and are removed some time.
CREATE TABLE shares (
    site TEXT NOT NULL,
    archive TEXT NOT NULL,
    principal TEXT NOT NULL,
    author TEXT NOT NULL,
    note TEXT NOT NULL,
    create_ms BIGINT NOT NULL,
    expire_ms BIGINT NOT NULL,
    PRIMARY KEY (site, archive, principal),
    FOREIGN KEY (site, archive) REFERENCES archives (site, archive)
);
CREATE INDEX shares_of_principal ON shares (site, principal, expire_ms);
CREATE INDEX shares_expiring ON shares (expire_ms);
