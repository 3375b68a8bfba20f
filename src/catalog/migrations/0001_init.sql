-- The whole catalog, for SQLite and PostgreSQL alike, so only TEXT and BIGINT: times are milliseconds since 1970 (_ms),
-- digests lower-case hexadecimal digits, flags 0 or 1, closed sets their words in upper case, JSON is text.
-- Forward only: what stands here is never edited once it was released; a change is a new file.

CREATE TABLE meta (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);
-- Claims lock this row on PostgreSQL, see claims.rs.
INSERT INTO meta (name, value) VALUES ('claim_gate', '');

CREATE TABLE sites (
    site TEXT NOT NULL PRIMARY KEY,
    display_name TEXT NOT NULL,
    language TEXT NOT NULL,
    time_zone TEXT NOT NULL,
    create_ms BIGINT NOT NULL
);

CREATE TABLE courses (
    site TEXT NOT NULL,
    course TEXT NOT NULL,
    full_name TEXT NOT NULL,
    short_name TEXT NOT NULL,
    moodle_course_id BIGINT NOT NULL,
    live_revision BIGINT,
    create_ms BIGINT NOT NULL,
    update_ms BIGINT NOT NULL,
    delete_ms BIGINT,
    version BIGINT NOT NULL,
    PRIMARY KEY (site, course),
    FOREIGN KEY (site) REFERENCES sites (site)
);

CREATE TABLE revisions (
    site TEXT NOT NULL,
    course TEXT NOT NULL,
    revision BIGINT NOT NULL,
    parent BIGINT,
    origin TEXT NOT NULL,
    archive TEXT NOT NULL,
    job TEXT,
    author TEXT NOT NULL,
    storage TEXT NOT NULL,
    tree_root TEXT NOT NULL,
    tree_root_size BIGINT NOT NULL,
    tree_members BIGINT NOT NULL,
    tree_content_bytes BIGINT NOT NULL,
    create_ms BIGINT NOT NULL,
    PRIMARY KEY (site, course, revision),
    FOREIGN KEY (site, course) REFERENCES courses (site, course)
);

CREATE TABLE archives (
    site TEXT NOT NULL,
    archive TEXT NOT NULL,
    storage TEXT NOT NULL,
    area TEXT NOT NULL,
    course TEXT,
    owner TEXT NOT NULL,
    file_name TEXT NOT NULL,
    origin TEXT NOT NULL,
    type TEXT NOT NULL,
    container TEXT NOT NULL,
    tree_root TEXT NOT NULL,
    tree_root_size BIGINT NOT NULL,
    tree_members BIGINT NOT NULL,
    tree_content_bytes BIGINT NOT NULL,
    upload_size_bytes BIGINT,
    upload_sha256 TEXT,
    zip_size_bytes BIGINT,
    zip_sha256 TEXT,
    tgz_size_bytes BIGINT,
    tgz_sha256 TEXT,
    original_full_name TEXT NOT NULL,
    original_short_name TEXT NOT NULL,
    backup_ms BIGINT,
    includes_users BIGINT NOT NULL,
    anonymized BIGINT NOT NULL,
    findings TEXT NOT NULL,
    create_ms BIGINT NOT NULL,
    update_ms BIGINT NOT NULL,
    delete_ms BIGINT,
    purge_ms BIGINT,
    job TEXT,
    version BIGINT NOT NULL,
    PRIMARY KEY (site, archive),
    FOREIGN KEY (site) REFERENCES sites (site)
);
CREATE INDEX archives_newest ON archives (site, create_ms, archive);
CREATE INDEX archives_of_course ON archives (site, course, create_ms, archive);

CREATE TABLE uploads (
    site TEXT NOT NULL,
    upload TEXT NOT NULL,
    state TEXT NOT NULL,
    storage TEXT NOT NULL,
    area TEXT NOT NULL,
    course TEXT,
    file_name TEXT NOT NULL,
    owner TEXT NOT NULL,
    committed_bytes BIGINT NOT NULL,
    -- grows with every writer, so that a writer that was replaced is told apart from the present one
    writer_token BIGINT NOT NULL,
    -- the present writer's lease; in the past when there is none
    writer_until_ms BIGINT NOT NULL,
    job TEXT,
    archive TEXT,
    last_problem TEXT,
    create_ms BIGINT NOT NULL,
    expire_ms BIGINT NOT NULL,
    PRIMARY KEY (site, upload),
    FOREIGN KEY (site) REFERENCES sites (site)
);
CREATE INDEX uploads_expiring ON uploads (expire_ms) WHERE state = 'OPEN';

CREATE TABLE upload_parts (
    site TEXT NOT NULL,
    upload TEXT NOT NULL,
    part_offset BIGINT NOT NULL,
    size_bytes BIGINT NOT NULL,
    PRIMARY KEY (site, upload, part_offset),
    FOREIGN KEY (site, upload) REFERENCES uploads (site, upload)
);

CREATE TABLE packs (
    site TEXT NOT NULL,
    storage TEXT NOT NULL,
    pack TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    create_ms BIGINT NOT NULL,
    PRIMARY KEY (site, storage, pack)
);

-- Where every encoded form of every content lies: a cache of the footers of the packs. No foreign key to packs, for
-- thousands of rows come at once and in one transaction with their pack.
CREATE TABLE contents (
    site TEXT NOT NULL,
    storage TEXT NOT NULL,
    digest TEXT NOT NULL,
    form BIGINT NOT NULL,
    pack TEXT NOT NULL,
    pack_offset BIGINT NOT NULL,
    kind TEXT NOT NULL,
    encoding TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    encoded_size BIGINT NOT NULL,
    crc32 BIGINT NOT NULL,
    sha1 TEXT,
    PRIMARY KEY (site, storage, digest, form)
);
CREATE INDEX contents_by_sha1 ON contents (site, storage, sha1, size_bytes) WHERE sha1 IS NOT NULL;

CREATE TABLE requests (
    principal TEXT NOT NULL,
    method TEXT NOT NULL,
    request_id TEXT NOT NULL,
    body_hash TEXT NOT NULL,
    resource TEXT NOT NULL,
    create_ms BIGINT NOT NULL,
    PRIMARY KEY (principal, method, request_id)
);

-- Events that are decided but not in the storage's journal yet.
CREATE TABLE journal_outbox (
    seq TEXT NOT NULL PRIMARY KEY,
    site TEXT NOT NULL,
    storage TEXT NOT NULL,
    event TEXT NOT NULL,
    create_ms BIGINT NOT NULL
);
CREATE INDEX journal_outbox_oldest ON journal_outbox (create_ms, seq);

CREATE TABLE jobs (
    site TEXT NOT NULL,
    job TEXT NOT NULL,
    kind TEXT NOT NULL,
    payload TEXT NOT NULL,
    state TEXT NOT NULL,
    -- 0 is the most urgent
    priority BIGINT NOT NULL,
    course TEXT,
    -- 1 when no other work on the course may run beside it
    exclusive BIGINT NOT NULL,
    source TEXT,
    requester TEXT NOT NULL,
    trace TEXT,
    phase TEXT NOT NULL,
    items_done BIGINT NOT NULL,
    items_total BIGINT NOT NULL,
    bytes_done BIGINT NOT NULL,
    bytes_total BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    problem TEXT,
    result TEXT,
    lease_owner TEXT,
    -- the fencing token: grows with every claim, never falls
    lease_token BIGINT NOT NULL,
    lease_until_ms BIGINT NOT NULL,
    heartbeat_ms BIGINT,
    run_after_ms BIGINT NOT NULL,
    create_ms BIGINT NOT NULL,
    start_ms BIGINT,
    end_ms BIGINT,
    version BIGINT NOT NULL,
    PRIMARY KEY (site, job),
    FOREIGN KEY (site) REFERENCES sites (site)
);
CREATE INDEX jobs_newest ON jobs (site, create_ms, job);
-- Keep claims fast however many ended jobs there are.
CREATE INDEX jobs_pending ON jobs (priority, run_after_ms, job) WHERE state = 'PENDING';
CREATE INDEX jobs_running ON jobs (site, course) WHERE state IN ('RUNNING', 'CANCELLING');
-- At most one exclusive job of a course is not ended, whoever inserts at the same time.
CREATE UNIQUE INDEX jobs_exclusive ON jobs (site, course)
    WHERE exclusive = 1 AND state IN ('PENDING', 'RUNNING', 'CANCELLING');
