-- What the service does by itself: how long archives are kept, backups on schedule; what goes with the automated area:
-- requests for its archives; and what a site decides over settings.

-- 0: something was found that blocks its use, so it never counts as one of the good ones.
ALTER TABLE archives ADD COLUMN good BIGINT NOT NULL DEFAULT 1;
UPDATE archives SET good = 0 WHERE REPLACE(findings, '"severity":"ERROR"', '') <> findings;
-- 1 from the moment on when it is decided that it is purged: it comes back in no way.
ALTER TABLE archives ADD COLUMN purging BIGINT NOT NULL DEFAULT 0;
CREATE INDEX archives_to_purge ON archives (site, purge_ms) WHERE purge_ms IS NOT NULL;
-- Groups of archives of no course.
CREATE INDEX archives_of_owner ON archives (site, area, owner, create_ms, archive) WHERE course IS NULL;
-- The newest backup that was made by itself, for each course.
CREATE INDEX archives_automated ON archives (site, course, create_ms)
    WHERE area = 'AUTOMATED' AND origin = 'BACKUP' AND good = 1 AND delete_ms IS NULL;

-- The scope is area, category and course; an empty text stands for all.
CREATE TABLE retention_policies (
    site TEXT NOT NULL,
    policy TEXT NOT NULL,
    display_name TEXT NOT NULL,
    area TEXT NOT NULL,
    category TEXT NOT NULL,
    course TEXT NOT NULL,
    rules TEXT NOT NULL,
    author TEXT NOT NULL,
    create_ms BIGINT NOT NULL,
    update_ms BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (site, policy),
    FOREIGN KEY (site) REFERENCES sites (site)
);
CREATE UNIQUE INDEX retention_policies_by_scope ON retention_policies (site, area, category, course);

-- What was last decided over an archive.
CREATE TABLE retention (
    site TEXT NOT NULL,
    archive TEXT NOT NULL,
    -- it is looked at again then; never, unless something changes
    review_ms BIGINT,
    -- why it is kept: words with commas between; empty: it was not decided yet, or is deleted
    because TEXT NOT NULL,
    until_ms BIGINT,
    policy TEXT,
    -- why it expired, when nobody but the service deleted it
    expiry TEXT,
    -- somebody undeleted it, so it stays until then
    spared_ms BIGINT,
    PRIMARY KEY (site, archive),
    FOREIGN KEY (site, archive) REFERENCES archives (site, archive)
);
CREATE INDEX retention_due ON retention (site, review_ms) WHERE review_ms IS NOT NULL;
INSERT INTO retention (site, archive, review_ms, because)
SELECT site, archive, 0, '' FROM archives WHERE delete_ms IS NULL;
INSERT INTO retention (site, archive, because)
SELECT site, archive, '' FROM archives WHERE delete_ms IS NOT NULL;

-- A policy changed: all archives of the site are looked at again, those up to this one are marked already.
CREATE TABLE retention_marks (
    site TEXT NOT NULL PRIMARY KEY,
    after_archive TEXT NOT NULL,
    version BIGINT NOT NULL,
    FOREIGN KEY (site) REFERENCES sites (site)
);

-- Whose turn it is among replicas: who moves the due time on does what is due.
CREATE TABLE turns (
    name TEXT NOT NULL PRIMARY KEY,
    due_ms BIGINT NOT NULL
);

-- What a course's platform tells about it besides its contents, and how its automated backups stand.
CREATE TABLE course_backups (
    site TEXT NOT NULL,
    course TEXT NOT NULL,
    -- the platform's id of its category; empty when not known
    category TEXT NOT NULL,
    hidden BIGINT NOT NULL,
    -- counts changes, so that no clock decides whether one came after a backup was begun
    change_seq BIGINT NOT NULL,
    change_ms BIGINT NOT NULL,
    -- the platform told of a change then that it has not published
    unpublished_ms BIGINT,
    -- 0: it is to be placed in its schedule's window
    due_ms BIGINT NOT NULL,
    -- it is looked at then; never: no schedule is for it
    look_ms BIGINT,
    retries BIGINT NOT NULL,
    -- the last run: when it was decided on, what it saw, its job, or else why the course was left out
    run_ms BIGINT,
    run_seq BIGINT,
    job TEXT,
    skip TEXT,
    PRIMARY KEY (site, course),
    FOREIGN KEY (site, course) REFERENCES courses (site, course)
);
CREATE INDEX course_backups_due ON course_backups (look_ms) WHERE look_ms IS NOT NULL;
INSERT INTO course_backups (site, course, category, hidden, change_seq, change_ms, due_ms, look_ms, retries)
SELECT site, course, '', 0, 1, update_ms, 0, 0, 0 FROM courses;

-- When a site's courses are backed up by themselves; a site without a row has the defaults.
CREATE TABLE schedules (
    site TEXT NOT NULL PRIMARY KEY,
    paused BIGINT NOT NULL,
    timing TEXT NOT NULL,
    skip_rules TEXT NOT NULL,
    backup_order TEXT NOT NULL,
    author TEXT NOT NULL,
    update_ms BIGINT NOT NULL,
    version BIGINT NOT NULL,
    FOREIGN KEY (site) REFERENCES sites (site)
);

CREATE TABLE access_requests (
    site TEXT NOT NULL,
    request TEXT NOT NULL,
    course TEXT NOT NULL,
    requester TEXT NOT NULL,
    reason TEXT NOT NULL,
    -- the state of the course that is wanted: of that time or before; the newest
    wanted_ms BIGINT,
    state TEXT NOT NULL,
    archive TEXT,
    expire_ms BIGINT,
    decided_by TEXT,
    note TEXT NOT NULL,
    decide_ms BIGINT,
    create_ms BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (site, request),
    FOREIGN KEY (site) REFERENCES sites (site)
);
CREATE INDEX access_requests_newest ON access_requests (site, create_ms, request);
CREATE INDEX access_requests_of ON access_requests (site, requester, create_ms, request);
