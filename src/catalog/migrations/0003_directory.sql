-- Who is known on a site: the platform it stands for, its accounts and roles, and the sequence of new ids.

-- What tells the platform from every other; empty while it is not known.
ALTER TABLE sites ADD COLUMN identifier_hash TEXT NOT NULL DEFAULT '';
ALTER TABLE sites ADD COLUMN wwwroot TEXT NOT NULL DEFAULT '';
-- The next id that the service gives out itself.
ALTER TABLE sites ADD COLUMN next_id BIGINT NOT NULL DEFAULT 1000000000000;
-- What pseudonyms are made with; empty until the first one. It is a secret: who has it can tell whose a pseudonym is.
ALTER TABLE sites ADD COLUMN pseudonym_key TEXT NOT NULL DEFAULT '';
-- Grows with every transaction that writes accounts or roles: its first statement, so that they take turns.
ALTER TABLE sites ADD COLUMN directory_version BIGINT NOT NULL DEFAULT 0;

CREATE TABLE accounts (
    site TEXT NOT NULL,
    account BIGINT NOT NULL,
    username TEXT NOT NULL,
    host BIGINT NOT NULL,
    email TEXT NOT NULL,
    id_number TEXT NOT NULL,
    first_name TEXT NOT NULL,
    last_name TEXT NOT NULL,
    -- seconds since 1970, 0 for never
    first_access BIGINT NOT NULL,
    deleted BIGINT NOT NULL,
    auth TEXT NOT NULL,
    pseudonym BIGINT NOT NULL,
    source TEXT NOT NULL,
    -- what matching compares of the address, without the case of letters
    email_key TEXT NOT NULL,
    -- of deleted accounts the name without the case of letters, as hexadecimal digits of its UTF-8: beginnings of those are
    -- ranges of these, in whatever order the database puts letters
    deleted_name_key TEXT,
    create_ms BIGINT NOT NULL,
    update_ms BIGINT NOT NULL,
    PRIMARY KEY (site, account),
    FOREIGN KEY (site) REFERENCES sites (site)
);
CREATE UNIQUE INDEX accounts_by_name ON accounts (site, username, host);
CREATE INDEX accounts_by_address ON accounts (site, email_key);
CREATE INDEX accounts_by_id_number ON accounts (site, id_number) WHERE id_number <> '';
CREATE INDEX accounts_deleted_by_address ON accounts (site, email) WHERE deleted = 1;
CREATE INDEX accounts_deleted_by_name ON accounts (site, deleted_name_key) WHERE deleted = 1;

CREATE TABLE roles (
    site TEXT NOT NULL,
    role BIGINT NOT NULL,
    short_name TEXT NOT NULL,
    archetype TEXT NOT NULL,
    name TEXT NOT NULL,
    source TEXT NOT NULL,
    PRIMARY KEY (site, role),
    FOREIGN KEY (site) REFERENCES sites (site)
);
CREATE UNIQUE INDEX roles_by_short_name ON roles (site, short_name);

-- The institution's own number of a course, as its live state tells it.
ALTER TABLE courses ADD COLUMN id_number TEXT NOT NULL DEFAULT '';
-- Names and number without the case of letters, for searching. What was there before is searched letter by letter until its next
-- revision, as far as its letters are not those of ASCII.
ALTER TABLE courses ADD COLUMN full_name_key TEXT NOT NULL DEFAULT '';
ALTER TABLE courses ADD COLUMN short_name_key TEXT NOT NULL DEFAULT '';
ALTER TABLE courses ADD COLUMN id_number_key TEXT NOT NULL DEFAULT '';
UPDATE courses SET full_name_key = UPPER(full_name), short_name_key = UPPER(short_name);
