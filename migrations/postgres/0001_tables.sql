-- The tables, as migrations/sqlite has them. Times are microseconds since the Unix epoch by this database's clock;
-- names sort by their bytes, as in SQLite.
--
-- Expected before: the roles of roles.sql, of which the migrating user is a member of token_broker_gate and
-- token_broker_fleet. What they may do is 0004; nothing serves a database that has not all of these migrations.

CREATE SCHEMA IF NOT EXISTS token_broker;

-- What a program must know to use this schema: at least `oldest_program`. A program in turn names the oldest `version`
-- that it can use. Each migration updates the one row.
CREATE TABLE token_broker.schema_version (
    one            boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (one),
    version        integer NOT NULL,
    oldest_program integer NOT NULL CHECK (oldest_program <= version)
);
INSERT INTO token_broker.schema_version (version, oldest_program) VALUES (0, 0);

CREATE TABLE token_broker.tenants (
    uid          uuid   NOT NULL PRIMARY KEY,
    name         text   COLLATE "C" NOT NULL UNIQUE,
    display_name text   NOT NULL,
    revision     bigint NOT NULL CHECK (revision >= 0),
    created_at   bigint NOT NULL,
    updated_at   bigint NOT NULL
);

CREATE TABLE token_broker.oauth_clients (
    uid                        uuid   NOT NULL PRIMARY KEY,
    name                       text   COLLATE "C" NOT NULL UNIQUE,
    tenant_uid                 uuid   REFERENCES token_broker.tenants (uid), -- absent: shared by tenants
    display_name               text   NOT NULL,
    provider                   text   NOT NULL,
    environment                text   NOT NULL,
    client_id                  text   NOT NULL,
    client_credentials_tenants text   NOT NULL CHECK (client_credentials_tenants::jsonb IS NOT NULL),
    current_secret             bigint CHECK (current_secret >= 0),
    revision                   bigint NOT NULL CHECK (revision >= 0),
    created_at                 bigint NOT NULL,
    updated_at                 bigint NOT NULL
);

CREATE INDEX oauth_clients_of_tenant ON token_broker.oauth_clients (tenant_uid, name);

CREATE TABLE token_broker.client_secrets (
    oauth_client_uid uuid   NOT NULL REFERENCES token_broker.oauth_clients (uid) ON DELETE CASCADE,
    version          bigint NOT NULL CHECK (version >= 0),
    sealed           bytea  NOT NULL,
    created_at       bigint NOT NULL,
    PRIMARY KEY (oauth_client_uid, version)
);

CREATE TABLE token_broker.leases (
    oauth_client_uid  uuid   NOT NULL PRIMARY KEY REFERENCES token_broker.oauth_clients (uid) ON DELETE CASCADE,
    generation        bigint NOT NULL CHECK (generation > 0),
    access            bytea  NOT NULL,
    access_issued_at  bigint NOT NULL,
    access_expires_at bigint NOT NULL
);

-- A deleted connection leaves a tombstone for ever: its uid is never used again, and a connection of the same name
-- starts above its last generation.
CREATE TABLE token_broker.connections (
    uid              uuid   NOT NULL PRIMARY KEY,
    name             text   COLLATE "C" NOT NULL,
    tenant_uid       uuid   REFERENCES token_broker.tenants (uid) ON DELETE SET NULL,
    oauth_client_uid uuid   REFERENCES token_broker.oauth_clients (uid) ON DELETE SET NULL,
    display_name     text   NOT NULL,
    grant_type       text   NOT NULL CHECK (grant_type IN ('authorization_code', 'client_credentials')),
    account_id       text   NOT NULL,
    max_min_ttl      bigint CHECK (max_min_ttl >= 0),
    generation_floor bigint NOT NULL CHECK (generation_floor >= 0),
    revision         bigint NOT NULL CHECK (revision >= 0),
    created_at       bigint NOT NULL,
    updated_at       bigint NOT NULL,
    deleted_at       bigint,
    last_generation  bigint CHECK (last_generation >= 0),
    CHECK ((deleted_at IS NULL) = (last_generation IS NULL)),
    CHECK (deleted_at IS NOT NULL OR (tenant_uid IS NOT NULL AND oauth_client_uid IS NOT NULL))
);

CREATE UNIQUE INDEX connections_living ON token_broker.connections (name) WHERE deleted_at IS NULL;
CREATE INDEX connections_tombstones ON token_broker.connections (name, last_generation) WHERE deleted_at IS NOT NULL;
CREATE INDEX connections_of_tenant ON token_broker.connections (tenant_uid, name);
CREATE INDEX connections_of_oauth_client ON token_broker.connections (oauth_client_uid);

-- `tenant_uid` outlives the tenant: row-level security goes by it.
CREATE TABLE token_broker.grants (
    connection_uid    uuid   NOT NULL PRIMARY KEY REFERENCES token_broker.connections (uid),
    tenant_uid        uuid   NOT NULL,
    generation        bigint NOT NULL CHECK (generation >= 0),
    revoke_epoch      bigint NOT NULL CHECK (revoke_epoch >= 0),
    state             text   NOT NULL,
    attempt_id        uuid,    -- kept as long as a late answer must find its place
    since             bigint,
    not_before        bigint,
    spend_before      bigint,
    access            bytea,
    access_issued_at  bigint,
    access_expires_at bigint,
    refresh           bytea,
    fingerprint       bytea  CHECK (length(fingerprint) = 32),
    predecessor       bytea  CHECK (length(predecessor) = 32),
    endpoint          bytea  NOT NULL CHECK (length(endpoint) = 32),
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
);

-- The same refresh token under two connections, of one tenant or of two, would be spent twice.
CREATE UNIQUE INDEX grants_fingerprint ON token_broker.grants (fingerprint) WHERE fingerprint IS NOT NULL;
CREATE INDEX grants_predecessor ON token_broker.grants (predecessor) WHERE predecessor IS NOT NULL;
CREATE UNIQUE INDEX grants_attempt ON token_broker.grants (attempt_id) WHERE attempt_id IS NOT NULL;
CREATE INDEX grants_unsettled ON token_broker.grants (state, since) WHERE since IS NOT NULL;
CREATE INDEX grants_window ON token_broker.grants (spend_before) WHERE spend_before IS NOT NULL;

CREATE TABLE token_broker.attempts (
    seq            bigint  NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    attempt_id     uuid    NOT NULL UNIQUE,
    connection_uid uuid    NOT NULL REFERENCES token_broker.grants (connection_uid),
    tenant_uid     uuid    NOT NULL,
    generation     bigint  NOT NULL CHECK (generation >= 0),
    kind           text    NOT NULL DEFAULT 'refresh' CHECK (kind IN ('refresh', 'revoke')),
    nonce_hash     bytea   NOT NULL CHECK (length(nonce_hash) = 32),
    replica        text    NOT NULL,
    cause          text    NOT NULL,
    fingerprint    bytea   CHECK (length(fingerprint) = 32), -- absent: the tombstone of a burn that never was
    dispatched_at  bigint  NOT NULL,
    outcome        text    CHECK (outcome IN
        ('settled', 'not_sent', 'refused', 'rejected', 'replay_permitted', 'superseded')),
    closed_at      bigint,
    CHECK ((outcome IS NULL) = (closed_at IS NULL))
);

-- A refresh token is spent at most once, whatever the program believes.
CREATE UNIQUE INDEX one_spend ON token_broker.attempts (connection_uid, generation)
    WHERE kind = 'refresh' AND (outcome IS NULL OR outcome NOT IN ('not_sent', 'refused', 'replay_permitted'));
CREATE INDEX attempts_of_connection ON token_broker.attempts (connection_uid, generation);
CREATE INDEX attempts_fingerprint ON token_broker.attempts (fingerprint) WHERE fingerprint IS NOT NULL;
CREATE INDEX attempts_closed ON token_broker.attempts (closed_at) WHERE closed_at IS NOT NULL;

-- The outbox.
CREATE TABLE token_broker.events (
    seq            bigint NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    connection_uid uuid   NOT NULL REFERENCES token_broker.connections (uid),
    tenant_uid     uuid   NOT NULL,
    generation     bigint NOT NULL CHECK (generation >= 0),
    kind           text   NOT NULL CHECK (kind IN
        ('in_doubt', 'reauth_required', 'quarantined', 'revoked', 'orphan')),
    at             bigint NOT NULL,
    UNIQUE (connection_uid, generation, kind)
);

CREATE INDEX events_at ON token_broker.events (at);

CREATE TABLE token_broker.data_keys (
    seq        bigint NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id         uuid   NOT NULL UNIQUE,
    scope      text   NOT NULL CHECK (scope IN ('tenant', 'platform', 'fingerprint')),
    tenant_uid uuid   REFERENCES token_broker.tenants (uid) ON DELETE CASCADE,
    wrapped_by text   NOT NULL,
    wrapped    bytea  NOT NULL,
    created_at bigint NOT NULL,
    is_first   boolean NOT NULL DEFAULT false,
    CHECK ((scope = 'tenant') = (tenant_uid IS NOT NULL))
);

-- Two replicas that start at once must not seal, or worse: fingerprint, under two keys.
CREATE UNIQUE INDEX data_keys_first ON token_broker.data_keys (scope, tenant_uid) NULLS NOT DISTINCT WHERE is_first;

CREATE INDEX data_keys_of_scope ON token_broker.data_keys (scope, tenant_uid);

CREATE TABLE token_broker.audit (
    seq       bigint NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at        bigint NOT NULL,
    principal text   NOT NULL,
    action    text   NOT NULL,
    resource  text   NOT NULL,
    outcome   text   NOT NULL
);

CREATE INDEX audit_at ON token_broker.audit (at);
