-- Columns are BIGINT, TEXT and BLOB only, and instants are milliseconds since 1970, so that one set of
-- statements serves every database that Keyward runs on.

-- Every change that must be in force counts the one row up and gives it a new random name.
CREATE TABLE revision (
    only_row BIGINT NOT NULL PRIMARY KEY CHECK (only_row = 1),
    value BIGINT NOT NULL,
    change_id TEXT NOT NULL
);
INSERT INTO revision (only_row, value, change_id) VALUES (1, 0, 'new store');

CREATE TABLE apps (
    id BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL
);

-- A regenerated access key keeps its row, so that its id is never used again, but not its secret.
CREATE TABLE access_keys (
    app_id BLOB NOT NULL REFERENCES apps (id),
    id BLOB NOT NULL,
    slot TEXT NOT NULL CHECK (slot IN ('primary', 'secondary')),
    sealed BLOB,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    revision BIGINT NOT NULL,
    regenerated_at BIGINT,
    PRIMARY KEY (app_id, id),
    CHECK ((sealed IS NULL) = (regenerated_at IS NOT NULL))
);
CREATE UNIQUE INDEX one_access_key_per_slot ON access_keys (app_id, slot) WHERE regenerated_at IS NULL;

-- The register: what an API key is, never the key.
CREATE TABLE api_keys (
    id TEXT NOT NULL PRIMARY KEY,
    app_id BLOB NOT NULL REFERENCES apps (id),
    access_key_id BLOB NOT NULL,
    label TEXT,
    scopes TEXT,
    issued_at BIGINT NOT NULL,
    issued_by TEXT NOT NULL,
    not_after BIGINT,
    last_used_at BIGINT,
    FOREIGN KEY (app_id, access_key_id) REFERENCES access_keys (app_id, id)
);
CREATE INDEX api_keys_newest_first ON api_keys (app_id, issued_at DESC, id DESC);

-- Kept for good: forgetting one when its key has expired would trust the wall clock, which may have been
-- ahead for a moment.
CREATE TABLE revocations (
    app_id BLOB NOT NULL REFERENCES apps (id),
    id TEXT NOT NULL,
    revoked_at BIGINT NOT NULL,
    revoked_by TEXT NOT NULL,
    PRIMARY KEY (app_id, id)
);

CREATE TABLE audit_events (
    id TEXT NOT NULL PRIMARY KEY,
    app_id BLOB NOT NULL REFERENCES apps (id),
    at BIGINT NOT NULL,
    caller TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX audit_events_newest_first ON audit_events (app_id, at DESC, id DESC);
