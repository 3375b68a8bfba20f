-- What was done by whom and why, in one chain for each site. Rows are added, and never changed or removed.
CREATE TABLE audit (
    site TEXT NOT NULL,
    number BIGINT NOT NULL,
    time_ms BIGINT NOT NULL,
    principal TEXT NOT NULL,
    via TEXT,
    action TEXT NOT NULL,
    resource TEXT NOT NULL,
    reason TEXT NOT NULL,
    -- what else there is to say: JSON, texts by name
    details TEXT NOT NULL,
    request_id TEXT,
    previous TEXT NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (site, number)
);
CREATE INDEX audit_of_principal ON audit (site, principal, number);
CREATE INDEX audit_of_resource ON audit (site, resource, number);

-- The end of each chain. Changing this row first gives every entry its place.
CREATE TABLE audit_heads (
    site TEXT NOT NULL PRIMARY KEY,
    number BIGINT NOT NULL,
    digest TEXT NOT NULL
);

-- The service that asked for a job in the name of its requester.
ALTER TABLE jobs ADD COLUMN requester_via TEXT;
