-- Times are microseconds since the Unix epoch; identities are 16 bytes, hashes 32.

CREATE TABLE tenants (
    uid          BLOB    NOT NULL PRIMARY KEY CHECK (length(uid) = 16),
    name         TEXT    NOT NULL UNIQUE,
    display_name TEXT    NOT NULL,
    revision     INTEGER NOT NULL CHECK (revision >= 0),
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL
) STRICT;

CREATE TABLE oauth_clients (
    uid                        BLOB    NOT NULL PRIMARY KEY CHECK (length(uid) = 16),
    name                       TEXT    NOT NULL UNIQUE,
    tenant_uid                 BLOB    REFERENCES tenants (uid), -- absent: shared by tenants
    display_name               TEXT    NOT NULL,
    provider                   TEXT    NOT NULL,
    environment                TEXT    NOT NULL,
    client_id                  TEXT    NOT NULL,
    client_credentials_tenants TEXT    NOT NULL CHECK (json_valid(client_credentials_tenants)),
    current_secret             INTEGER CHECK (current_secret >= 0),
    revision                   INTEGER NOT NULL CHECK (revision >= 0),
    created_at                 INTEGER NOT NULL,
    updated_at                 INTEGER NOT NULL
) STRICT;

CREATE INDEX oauth_clients_of_tenant ON oauth_clients (tenant_uid, name);

CREATE TABLE client_secrets (
    oauth_client_uid BLOB    NOT NULL REFERENCES oauth_clients (uid) ON DELETE CASCADE,
    version          INTEGER NOT NULL CHECK (version >= 0),
    sealed           BLOB    NOT NULL,
    created_at       INTEGER NOT NULL,
    PRIMARY KEY (oauth_client_uid, version)
) STRICT;

CREATE TABLE leases (
    oauth_client_uid  BLOB    NOT NULL PRIMARY KEY REFERENCES oauth_clients (uid) ON DELETE CASCADE,
    generation        INTEGER NOT NULL CHECK (generation > 0),
    access            BLOB    NOT NULL,
    access_issued_at  INTEGER NOT NULL,
    access_expires_at INTEGER NOT NULL
) STRICT;

-- A deleted connection leaves a tombstone for ever: its uid is never used again, and a connection of the same name
-- starts above its last generation.
CREATE TABLE connections (
    uid              BLOB    NOT NULL PRIMARY KEY CHECK (length(uid) = 16),
    name             TEXT    NOT NULL,
    tenant_uid       BLOB    REFERENCES tenants (uid) ON DELETE SET NULL,
    oauth_client_uid BLOB    REFERENCES oauth_clients (uid) ON DELETE SET NULL,
    display_name     TEXT    NOT NULL,
    grant_type       TEXT    NOT NULL CHECK (grant_type IN ('authorization_code', 'client_credentials')),
    account_id       TEXT    NOT NULL,
    max_min_ttl      INTEGER CHECK (max_min_ttl >= 0),
    generation_floor INTEGER NOT NULL CHECK (generation_floor >= 0),
    revision         INTEGER NOT NULL CHECK (revision >= 0),
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL,
    deleted_at       INTEGER,
    last_generation  INTEGER CHECK (last_generation >= 0),
    CHECK ((deleted_at IS NULL) = (last_generation IS NULL)),
    CHECK (deleted_at IS NOT NULL OR (tenant_uid IS NOT NULL AND oauth_client_uid IS NOT NULL))
) STRICT;

CREATE UNIQUE INDEX connections_living ON connections (name) WHERE deleted_at IS NULL;
CREATE INDEX connections_tombstones ON connections (name, last_generation) WHERE deleted_at IS NOT NULL;
CREATE INDEX connections_of_tenant ON connections (tenant_uid, name);
CREATE INDEX connections_of_oauth_client ON connections (oauth_client_uid);

CREATE TABLE grants (
    connection_uid    BLOB    NOT NULL PRIMARY KEY REFERENCES connections (uid),
    generation        INTEGER NOT NULL CHECK (generation >= 0),
    revoke_epoch      INTEGER NOT NULL CHECK (revoke_epoch >= 0),
    state             TEXT    NOT NULL,
    attempt_id        BLOB,    -- kept as long as a late answer must find its place
    since             INTEGER,
    not_before        INTEGER,
    spend_before      INTEGER,
    access            BLOB,
    access_issued_at  INTEGER,
    access_expires_at INTEGER,
    refresh           BLOB,
    fingerprint       BLOB    CHECK (length(fingerprint) = 32),
    predecessor       BLOB    CHECK (length(predecessor) = 32),
    endpoint          BLOB    NOT NULL CHECK (length(endpoint) = 32),
    CHECK (CASE state
        WHEN 'idle' THEN attempt_id IS NULL AND since IS NULL
        WHEN 'dispatched' THEN attempt_id IS NOT NULL AND since IS NOT NULL
        WHEN 'in_doubt' THEN attempt_id IS NOT NULL AND since IS NOT NULL
        WHEN 'reauth_required' THEN since IS NULL
        WHEN 'quarantined' THEN since IS NULL
        WHEN 'revoked' THEN attempt_id IS NULL AND since IS NULL
        ELSE FALSE
    END),
    CHECK ((access IS NULL) = (access_issued_at IS NULL) AND (access IS NULL) = (access_expires_at IS NULL)),
    CHECK ((refresh IS NULL) = (fingerprint IS NULL))
) STRICT;

-- The same refresh token under two connections would be spent twice.
CREATE UNIQUE INDEX grants_fingerprint ON grants (fingerprint) WHERE fingerprint IS NOT NULL;
CREATE INDEX grants_predecessor ON grants (predecessor) WHERE predecessor IS NOT NULL;
CREATE UNIQUE INDEX grants_attempt ON grants (attempt_id) WHERE attempt_id IS NOT NULL;
CREATE INDEX grants_unsettled ON grants (state, since) WHERE since IS NOT NULL;
CREATE INDEX grants_window ON grants (spend_before) WHERE spend_before IS NOT NULL;

CREATE TABLE attempts (
    seq            INTEGER NOT NULL PRIMARY KEY,
    attempt_id     BLOB    NOT NULL UNIQUE CHECK (length(attempt_id) = 16),
    connection_uid BLOB    NOT NULL REFERENCES grants (connection_uid),
    generation     INTEGER NOT NULL CHECK (generation >= 0),
    kind           TEXT    NOT NULL DEFAULT 'refresh' CHECK (kind IN ('refresh', 'revoke')),
    nonce_hash     BLOB    NOT NULL CHECK (length(nonce_hash) = 32),
    replica        TEXT    NOT NULL,
    cause          TEXT    NOT NULL,
    fingerprint    BLOB    CHECK (length(fingerprint) = 32), -- absent: the tombstone of a burn that never was
    dispatched_at  INTEGER NOT NULL,
    outcome        TEXT CHECK (outcome IN
        ('settled', 'not_sent', 'refused', 'rejected', 'replay_permitted', 'superseded')),
    closed_at      INTEGER,
    holds_slot     INTEGER NOT NULL GENERATED ALWAYS AS (kind = 'refresh'
        AND (outcome IS NULL OR outcome NOT IN ('not_sent', 'refused', 'replay_permitted'))) VIRTUAL,
    CHECK ((outcome IS NULL) = (closed_at IS NULL))
) STRICT;

-- A refresh token is spent at most once, whatever the program believes.
CREATE UNIQUE INDEX one_spend ON attempts (connection_uid, generation)
    WHERE kind = 'refresh' AND (outcome IS NULL OR outcome NOT IN ('not_sent', 'refused', 'replay_permitted'));
CREATE INDEX attempts_of_connection ON attempts (connection_uid, generation);
CREATE INDEX attempts_fingerprint ON attempts (fingerprint) WHERE fingerprint IS NOT NULL;

-- The outbox.
CREATE TABLE events (
    seq            INTEGER NOT NULL PRIMARY KEY,
    connection_uid BLOB    NOT NULL REFERENCES connections (uid),
    generation     INTEGER NOT NULL CHECK (generation >= 0),
    kind           TEXT    NOT NULL CHECK (kind IN
        ('in_doubt', 'reauth_required', 'quarantined', 'revoked', 'orphan')),
    at             INTEGER NOT NULL,
    UNIQUE (connection_uid, generation, kind)
) STRICT;

CREATE TABLE data_keys (
    seq        INTEGER NOT NULL PRIMARY KEY,
    id         BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    scope      TEXT    NOT NULL CHECK (scope IN ('tenant', 'platform', 'fingerprint')),
    tenant_uid BLOB    REFERENCES tenants (uid) ON DELETE CASCADE,
    wrapped_by TEXT    NOT NULL,
    wrapped    BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    CHECK ((scope = 'tenant') = (tenant_uid IS NOT NULL))
) STRICT;

CREATE INDEX data_keys_of_scope ON data_keys (scope, tenant_uid);

CREATE TABLE audit (
    seq       INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at        INTEGER NOT NULL,
    principal TEXT    NOT NULL,
    action    TEXT    NOT NULL,
    resource  TEXT    NOT NULL,
    outcome   TEXT    NOT NULL
) STRICT;

-- === what nobody may do, not even this program ===
-- `INSERT OR REPLACE` and `UPDATE OR REPLACE` delete rows without firing delete triggers, so whatever they could
-- replace is refused beforehand.

CREATE TRIGGER grants_generation BEFORE UPDATE OF generation ON grants
WHEN NEW.generation < OLD.generation
BEGIN SELECT RAISE(ABORT, 'a generation never decreases'); END;

CREATE TRIGGER grants_epoch BEFORE UPDATE OF revoke_epoch ON grants
WHEN NEW.revoke_epoch < OLD.revoke_epoch
BEGIN SELECT RAISE(ABORT, 'a revocation is never undone'); END;

CREATE TRIGGER grants_idle BEFORE UPDATE ON grants
WHEN NEW.state = 'idle' AND OLD.state <> 'idle' AND NEW.generation = OLD.generation AND NOT EXISTS (
    SELECT 1 FROM attempts
    WHERE attempt_id = OLD.attempt_id AND outcome IN ('not_sent', 'refused', 'replay_permitted'))
BEGIN SELECT RAISE(ABORT, 'a spent refresh token never becomes idle'); END;

CREATE TRIGGER grants_identity BEFORE UPDATE OF connection_uid ON grants
BEGIN SELECT RAISE(ABORT, 'a grant keeps its connection'); END;

CREATE TRIGGER grants_kept BEFORE DELETE ON grants
BEGIN SELECT RAISE(ABORT, 'a grant is never deleted'); END;

CREATE TRIGGER grants_replaced BEFORE INSERT ON grants
WHEN EXISTS (SELECT 1 FROM grants WHERE connection_uid = NEW.connection_uid OR fingerprint = NEW.fingerprint
    OR attempt_id = NEW.attempt_id)
BEGIN SELECT RAISE(ABORT, 'a grant is never replaced'); END;

CREATE TRIGGER grants_replaced_by_update BEFORE UPDATE ON grants
WHEN EXISTS (SELECT 1 FROM grants WHERE connection_uid <> OLD.connection_uid
    AND (fingerprint = NEW.fingerprint OR attempt_id = NEW.attempt_id))
BEGIN SELECT RAISE(ABORT, 'a refresh token belongs to one connection'); END;

CREATE TRIGGER attempts_outcome BEFORE UPDATE OF outcome, closed_at ON attempts
WHEN OLD.outcome IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'an outcome is written once'); END;

CREATE TRIGGER attempts_identity BEFORE UPDATE OF
    seq, attempt_id, connection_uid, generation, kind, nonce_hash, replica, cause, fingerprint, dispatched_at ON attempts
BEGIN SELECT RAISE(ABORT, 'an attempt is never rewritten'); END;

CREATE TRIGGER attempts_kept BEFORE DELETE ON attempts
WHEN OLD.generation >= (SELECT generation FROM grants WHERE connection_uid = OLD.connection_uid)
BEGIN SELECT RAISE(ABORT, 'an attempt of the current generation is never deleted'); END;

CREATE TRIGGER attempts_replaced BEFORE INSERT ON attempts
WHEN EXISTS (SELECT 1 FROM attempts WHERE attempt_id = NEW.attempt_id OR seq = NEW.seq)
    OR (NEW.kind = 'refresh'
        AND (NEW.outcome IS NULL OR NEW.outcome NOT IN ('not_sent', 'refused', 'replay_permitted'))
        AND EXISTS (SELECT 1 FROM attempts
            WHERE connection_uid = NEW.connection_uid AND generation = NEW.generation AND holds_slot))
BEGIN SELECT RAISE(ABORT, 'an attempt is never replaced'); END;

CREATE TRIGGER audit_unchanged BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit table is append-only'); END;

CREATE TRIGGER audit_kept BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit table is append-only'); END;

CREATE TRIGGER audit_replaced BEFORE INSERT ON audit
WHEN EXISTS (SELECT 1 FROM audit WHERE seq = NEW.seq)
BEGIN SELECT RAISE(ABORT, 'the audit table is append-only'); END;
