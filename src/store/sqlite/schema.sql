-- One row for each aggregate. Times are microseconds since 1970.
CREATE TABLE aggregates (
    tenant      TEXT    NOT NULL,
    kind        TEXT    NOT NULL,
    id          TEXT    NOT NULL,
    version     INTEGER NOT NULL,
    status      TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    due         INTEGER,
    lease_token TEXT,
    lease_until INTEGER,
    slot        INTEGER,
    expires_at  INTEGER,
    urgent      INTEGER NOT NULL DEFAULT 0,
    body        TEXT    NOT NULL,
    -- When a worker should look: a lease, live or run out, outranks the due time. Receipts are in no index.
    due_at      INTEGER GENERATED ALWAYS AS (iif(kind = 'receipt', NULL, coalesce(lease_until, due))) VIRTUAL,
    PRIMARY KEY (tenant, kind, id)
) STRICT;

CREATE INDEX by_due ON aggregates (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX by_tenant_and_due ON aggregates (tenant, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX by_urgency ON aggregates (tenant, due_at) WHERE urgent = 1 AND due_at IS NOT NULL;
CREATE INDEX by_status ON aggregates (tenant, kind, status, created_at, id);
CREATE INDEX by_depth ON aggregates (kind, status, created_at);
CREATE INDEX by_expiry ON aggregates (expires_at) WHERE expires_at IS NOT NULL;

-- Whose turn it is: a tenant's earliest due time, or when it was last served if it had more due then.
CREATE TABLE turns (
    tenant TEXT    NOT NULL PRIMARY KEY,
    turn   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX by_turn ON turns (turn);

CREATE TABLE gates (
    tenant   TEXT NOT NULL,
    upstream TEXT NOT NULL,
    state    TEXT NOT NULL,
    PRIMARY KEY (tenant, upstream)
) STRICT, WITHOUT ROWID;

-- The last commits, so that one repeated after a lost answer has no second effect. No slot: NULL; a conflict: -1.
CREATE TABLE commits (
    seq  INTEGER PRIMARY KEY,
    id   TEXT NOT NULL UNIQUE,
    slot INTEGER
) STRICT;

-- Written by a ping, to see whether a write succeeds.
CREATE TABLE pings (
    one   INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    count INTEGER NOT NULL
) STRICT;

PRAGMA user_version = 1;
