-- Columns are BIGINT, TEXT and BYTEA only, and instants are milliseconds since 1970, so that one set of
-- statements serves every database that Keyward runs on. Texts compare by their bytes, as on SQLite.

-- What a process must know to work with this schema: its own newest migration must be this one or a later
-- one. A migration that only adds leaves it as it is, so that replicas of the version before go on; one
-- that takes away raises it to the migration that stopped using what it takes.
CREATE TABLE compatibility (
    only_row BIGINT NOT NULL PRIMARY KEY CHECK (only_row = 1),
    serves_from BIGINT NOT NULL
);
INSERT INTO compatibility (only_row, serves_from) VALUES (1, 1);

-- Every change that must be in force counts the one row up and gives it a new random name.
CREATE TABLE revision (
    only_row BIGINT NOT NULL PRIMARY KEY CHECK (only_row = 1),
    value BIGINT NOT NULL,
    change_id TEXT COLLATE "C" NOT NULL
);
INSERT INTO revision (only_row, value, change_id) VALUES (1, 0, 'new store');

-- The lease rows of replicas. A row belongs to a random id, new for every registration; nobody decides by
-- name, version or contact_at, which are for operators.
CREATE TABLE replicas (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    counter BIGINT NOT NULL,
    lease_ms BIGINT NOT NULL,
    settled BIGINT NOT NULL,
    settled_change TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    version TEXT COLLATE "C" NOT NULL,
    contact_at BIGINT NOT NULL
);

CREATE TABLE apps (
    id BYTEA NOT NULL PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL UNIQUE,
    created_at BIGINT NOT NULL
);

-- A regenerated access key keeps its row, so that its id is never used again, but not its secret.
CREATE TABLE access_keys (
    app_id BYTEA NOT NULL REFERENCES apps (id),
    id BYTEA NOT NULL,
    slot TEXT COLLATE "C" NOT NULL CHECK (slot IN ('primary', 'secondary')),
    sealed BYTEA,
    created_at BIGINT NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    revision BIGINT NOT NULL,
    regenerated_at BIGINT,
    PRIMARY KEY (app_id, id),
    CHECK ((sealed IS NULL) = (regenerated_at IS NOT NULL))
);
CREATE UNIQUE INDEX one_access_key_per_slot ON access_keys (app_id, slot) WHERE regenerated_at IS NULL;

-- The register: what an API key is, never the key.
CREATE TABLE api_keys (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    app_id BYTEA NOT NULL REFERENCES apps (id),
    access_key_id BYTEA NOT NULL,
    label TEXT COLLATE "C",
    scopes TEXT COLLATE "C",
    issued_at BIGINT NOT NULL,
    issued_by TEXT COLLATE "C" NOT NULL,
    not_after BIGINT,
    last_used_at BIGINT,
    FOREIGN KEY (app_id, access_key_id) REFERENCES access_keys (app_id, id)
);
CREATE INDEX api_keys_newest_first ON api_keys (app_id, issued_at DESC, id DESC);

-- Kept for good: forgetting one when its key has expired would trust the wall clock, which may have been
-- ahead for a moment.
CREATE TABLE revocations (
    app_id BYTEA NOT NULL REFERENCES apps (id),
    id TEXT COLLATE "C" NOT NULL,
    revoked_at BIGINT NOT NULL,
    revoked_by TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (app_id, id)
);

CREATE TABLE audit_events (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    app_id BYTEA NOT NULL REFERENCES apps (id),
    at BIGINT NOT NULL,
    caller TEXT COLLATE "C" NOT NULL,
    action TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    detail TEXT COLLATE "C" NOT NULL
);
CREATE INDEX audit_events_newest_first ON audit_events (app_id, at DESC, id DESC);

-- The tokens of operators that hold on every replica, sealed under a master key.
CREATE TABLE operator_tokens (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);
