-- Care of the store: what was verified, which packs are to go, and when each chore is due.

-- When the bytes of an archive were last checked, 0 for never, and what was damaged then; NULL when nothing was.
ALTER TABLE archives ADD COLUMN verify_ms BIGINT NOT NULL DEFAULT 0;
ALTER TABLE archives ADD COLUMN verify_damage TEXT;
CREATE INDEX archives_by_verification ON archives (site, verify_ms, archive);

-- Grows with every transaction that relies on what lies in the pack, so that a collection that looked before finds out.
ALTER TABLE packs ADD COLUMN reliances BIGINT NOT NULL DEFAULT 0;
-- When it was decided that nobody needs the pack. Its contents are forgotten then; the object goes after a grace period.
ALTER TABLE packs ADD COLUMN condemn_ms BIGINT;
-- When the object went. The row stays for a while, so that nobody who wrote the pack long ago takes it for there.
ALTER TABLE packs ADD COLUMN delete_ms BIGINT;
CREATE INDEX packs_condemned ON packs (site, condemn_ms) WHERE condemn_ms IS NOT NULL;
CREATE INDEX contents_of_pack ON contents (site, storage, pack);

-- What the service does by itself, for each site: whoever moves the due time on does it, whatever the number of replicas.
CREATE TABLE chores (
    site TEXT NOT NULL,
    chore TEXT NOT NULL,
    due_ms BIGINT NOT NULL,
    PRIMARY KEY (site, chore),
    FOREIGN KEY (site) REFERENCES sites (site)
);
CREATE INDEX chores_due ON chores (due_ms);
