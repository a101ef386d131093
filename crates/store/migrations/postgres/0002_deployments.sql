-- The versions of an app's files, sealed under a master key as one value. A row never changes: what has
-- another content has another id. What is not sealed names nothing that a file holds.
CREATE TABLE deployments (
    app_id BYTEA NOT NULL REFERENCES apps (id),
    version BIGINT NOT NULL,
    id TEXT COLLATE "C" NOT NULL UNIQUE,
    sealed BYTEA NOT NULL,
    public_url TEXT COLLATE "C",
    deployed_at BIGINT NOT NULL,
    deployed_by TEXT COLLATE "C" NOT NULL,
    note TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (app_id, version)
);

-- The version that is in force; none of an app that is served from a folder, or not yet at all.
ALTER TABLE apps ADD COLUMN deployed_version BIGINT;
