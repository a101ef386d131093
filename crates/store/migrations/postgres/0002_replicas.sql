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
