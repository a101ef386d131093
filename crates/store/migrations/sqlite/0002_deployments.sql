-- The versions of an app's files, sealed under a master key as one value. A row never changes: what has
-- another content has another id. What is not sealed names nothing that a file holds.
CREATE TABLE deployments (
    app_id BLOB NOT NULL REFERENCES apps (id),
    version BIGINT NOT NULL,
    id TEXT NOT NULL UNIQUE,
    sealed BLOB NOT NULL,
    public_url TEXT,
    deployed_at BIGINT NOT NULL,
    deployed_by TEXT NOT NULL,
    note TEXT NOT NULL,
    PRIMARY KEY (app_id, version)
);

-- The version that is in force; none of an app that is served from a folder, or not yet at all.
ALTER TABLE apps ADD COLUMN deployed_version BIGINT;
