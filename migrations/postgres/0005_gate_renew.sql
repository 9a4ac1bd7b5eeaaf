-- The gate, third part: what comes from outside the rotation, what may be read, and what spans tenants.

-- 'done', or why not: 'refused', 'token_known', 'gone'. `_silent_since`: a refresh in flight that began later is awaited.
CREATE FUNCTION token_broker.reauthorise(_tenant uuid, _connection uuid, _generation bigint, _epoch bigint,
    _access bytea, _issued_at bigint, _expires_at bigint, _refresh bytea, _fingerprint bytea, _endpoint bytea,
    _silent_since bigint, _now bigint) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, token_broker, pg_temp AS $$
DECLARE
    _held uuid;
BEGIN
    PERFORM enter(_tenant), insist_on_durability();
    -- Shared with other steps, not with a deletion: a grant must not be planted behind a tombstone.
    PERFORM FROM connections WHERE uid = _connection AND tenant_uid = _tenant AND deleted_at IS NULL FOR SHARE;
    IF NOT FOUND THEN
        RETURN 'gone';
    END IF;
    -- A token that is someone's already would be spent twice, one that was someone's is spent.
    IF is_known(_fingerprint) THEN
        RETURN 'token_known';
    END IF;
    SELECT attempt_id INTO _held FROM grants WHERE connection_uid = _connection FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        INSERT INTO grants (connection_uid, tenant_uid, generation, revoke_epoch, state, access, access_issued_at,
            access_expires_at, refresh, fingerprint, endpoint)
        SELECT uid, tenant_uid, _generation, _epoch, 'idle', _access, _issued_at, _expires_at, _refresh, _fingerprint,
            _endpoint
        FROM connections WHERE uid = _connection AND generation_floor < _generation AND _epoch = 0
        ON CONFLICT (connection_uid) DO NOTHING;
        RETURN CASE WHEN FOUND THEN 'done' ELSE 'refused' END;
    END IF;
    UPDATE grants SET generation = _generation, state = 'idle', attempt_id = NULL, since = NULL,
        not_before = NULL, spend_before = NULL, predecessor = NULL,
        access = _access, access_issued_at = _issued_at, access_expires_at = _expires_at,
        refresh = _refresh, fingerprint = _fingerprint, endpoint = _endpoint
    WHERE connection_uid = _connection AND revoke_epoch = _epoch AND generation < _generation
        AND (state <> 'dispatched' OR since <= _silent_since);
    IF NOT FOUND THEN
        RETURN 'refused';
    END IF;
    -- A late answer of the old attempt is an orphan.
    UPDATE attempts SET outcome = 'superseded', closed_at = _now WHERE attempt_id = _held AND outcome IS NULL;
    RETURN 'done';
END
$$;

-- Ends a locked grant; its ciphertexts go. The new epoch, or NULL where there is no grant.
CREATE FUNCTION token_broker.end_grant(_connection uuid, _now bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    _epoch bigint;
BEGIN
    UPDATE grants SET state = 'revoked', attempt_id = NULL, since = NULL, not_before = NULL, spend_before = NULL,
        access = NULL, access_issued_at = NULL, access_expires_at = NULL, refresh = NULL, fingerprint = NULL
    WHERE connection_uid = _connection AND state <> 'revoked';
    IF FOUND THEN
        PERFORM tell(_connection, 'revoked', _now);
    END IF;
    -- Whatever began before may not complete.
    UPDATE grants SET revoke_epoch = revoke_epoch + 1 WHERE connection_uid = _connection
    RETURNING revoke_epoch INTO _epoch;
    RETURN _epoch;
END
$$;

CREATE FUNCTION token_broker.revoke(_tenant uuid, _connection uuid, _now bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, token_broker, pg_temp AS $$
BEGIN
    PERFORM enter(_tenant), insist_on_durability();
    PERFORM lock_grant(_connection);
    RETURN end_grant(_connection, _now);
END
$$;

-- Ends the grant and leaves a tombstone: 'done', 'stale' or 'absent'. `_revision`: any, where NULL.
CREATE FUNCTION token_broker.delete_connection(_tenant uuid, _name text, _revision bigint, _generation bigint,
    _now bigint) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, token_broker, pg_temp AS $$
DECLARE
    _connection uuid;
BEGIN
    PERFORM enter(_tenant), insist_on_durability();
    SELECT uid INTO _connection FROM connections
    WHERE name = _name AND tenant_uid = _tenant AND deleted_at IS NULL FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN 'absent';
    END IF;
    PERFORM lock_grant(_connection);
    UPDATE connections SET deleted_at = _now, last_generation = greatest(_generation, generation_floor,
        (SELECT generation FROM grants WHERE connection_uid = _connection))
    WHERE uid = _connection AND (_revision IS NULL OR revision = _revision);
    IF NOT FOUND THEN
        RETURN 'stale';
    END IF;
    PERFORM end_grant(_connection, _now);
    RETURN 'done';
END
$$;

-- Puts a grant aside. The caller's own attempt, if it names one, was not sent.
CREATE FUNCTION token_broker.quarantine(_tenant uuid, _connection uuid, _attempt uuid, _now bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, token_broker, pg_temp AS $$
BEGIN
    PERFORM enter(_tenant), insist_on_durability();
    PERFORM lock_grant(_connection);
    IF _attempt IS NOT NULL THEN
        UPDATE attempts SET outcome = 'not_sent', closed_at = _now
        WHERE attempt_id = _attempt AND connection_uid = _connection AND outcome IS NULL;
        IF NOT FOUND THEN
            RETURN false;
        END IF;
    END IF;
    UPDATE grants SET state = 'quarantined', since = NULL
    WHERE connection_uid = _connection AND state IN ('idle', 'dispatched', 'in_doubt')
        AND (_attempt IS NULL OR attempt_id = _attempt);
    IF FOUND THEN
        PERFORM tell(_connection, 'quarantined', _now);
        RETURN true;
    END IF;
    RETURN false;
END
$$;

-- An operator ends doubt or quarantine: what was kept for the attempt may settle, else a person must authorise anew.
CREATE FUNCTION token_broker.resolve(_tenant uuid, _connection uuid, _now bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, token_broker, pg_temp AS $$
BEGIN
    PERFORM enter(_tenant), insist_on_durability();
    PERFORM lock_grant(_connection);
    UPDATE grants SET state = 'reauth_required', since = NULL
    WHERE connection_uid = _connection AND state IN ('in_doubt', 'quarantined');
    IF FOUND THEN
        PERFORM tell(_connection, 'reauth_required', _now);
        RETURN true;
    END IF;
    RETURN false;
END
$$;

-- === what may be read ===

-- The grant without its refresh token.
CREATE FUNCTION token_broker.grant_facts(_tenant uuid, _connection uuid) RETURNS TABLE (generation bigint,
    revoke_epoch bigint, state text, attempt_id uuid, since bigint, not_before bigint, spend_before bigint,
    access bytea, access_issued_at bigint, access_expires_at bigint, fingerprint bytea, endpoint bytea)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, token_broker, pg_temp AS $$
BEGIN
    PERFORM enter(_tenant);
    RETURN QUERY SELECT g.generation, g.revoke_epoch, g.state, g.attempt_id, g.since, g.not_before, g.spend_before,
        g.access, g.access_issued_at, g.access_expires_at, g.fingerprint, g.endpoint
    FROM grants g WHERE g.connection_uid = _connection;
END
$$;

-- The newest first.
CREATE FUNCTION token_broker.attempts_of(_tenant uuid, _connection uuid, _limit bigint) RETURNS TABLE (attempt_id uuid,
    generation bigint, nonce_hash bytea, replica text, cause text, fingerprint bytea, dispatched_at bigint,
    outcome text, closed_at bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, token_broker, pg_temp AS $$
BEGIN
    PERFORM enter(_tenant);
    RETURN QUERY SELECT a.attempt_id, a.generation, a.nonce_hash, a.replica, a.cause, a.fingerprint, a.dispatched_at,
        a.outcome, a.closed_at
    FROM attempts a WHERE a.connection_uid = _connection ORDER BY a.seq DESC LIMIT _limit;
END
$$;

-- The newest first.
CREATE FUNCTION token_broker.events_of(_tenant uuid, _connection uuid, _limit bigint)
RETURNS TABLE (connection_uid uuid, generation bigint, kind text, at bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, token_broker, pg_temp AS $$
BEGIN
    PERFORM enter(_tenant);
    RETURN QUERY SELECT e.connection_uid, e.generation, e.kind, e.at
    FROM events e WHERE e.connection_uid = _connection ORDER BY e.seq DESC LIMIT _limit;
END
$$;

-- Which cluster this is, on which branch of its history, how far it has come, and when it was started: a failover or a
-- restore shows.
CREATE FUNCTION token_broker.incarnation(OUT system bigint, OUT timeline bigint, OUT "position" bigint,
    OUT started bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, token_broker, pg_temp AS $$
DECLARE
    _position pg_lsn := pg_current_wal_insert_lsn();
BEGIN
    -- Of the log file in use: the last checkpoint's may lag behind a promotion.
    timeline := ('x' || lpad(left(pg_walfile_name(_position), 8), 16, '0'))::bit(64)::bigint;
    "position" := _position - '0/0'::pg_lsn;
    started := extract(epoch FROM pg_postmaster_start_time()) * 1000000;
    BEGIN
        system := (SELECT system_identifier FROM pg_control_system());
    EXCEPTION WHEN insufficient_privilege THEN
        system := NULL; -- some hosts withhold it: GRANT EXECUTE ON FUNCTION pg_control_system() TO token_broker_fleet
    END;
END
$$;

-- === what spans tenants: owned by token_broker_fleet ===

-- What time alone does. A grant that somebody is at is left for the next sweep. Names those it moved.
CREATE FUNCTION token_broker.sweep(_lost_since bigint, _doubted_since bigint, _now bigint)
RETURNS TABLE (connection uuid) LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, token_broker, pg_temp AS $$
BEGIN
    PERFORM insist_on_durability();
    -- In one statement, so that a grant takes one step at a time: silence becomes doubt, doubt a person's work, and a
    -- replay window ends.
    RETURN QUERY WITH due AS (
        SELECT connection_uid FROM grants
        WHERE (state = 'dispatched' AND since <= _lost_since)
            OR (state = 'in_doubt' AND since <= _doubted_since
                AND (access_expires_at IS NULL OR access_expires_at <= _now))
            OR (state = 'idle' AND spend_before <= _now)
        FOR NO KEY UPDATE SKIP LOCKED
    ), moved AS (
        UPDATE grants g SET
            state = CASE g.state WHEN 'dispatched' THEN 'in_doubt' ELSE 'reauth_required' END,
            since = CASE g.state WHEN 'dispatched' THEN _now END
        FROM due WHERE g.connection_uid = due.connection_uid
        RETURNING g.connection_uid, g.tenant_uid, g.generation, g.state
    ), told AS (
        INSERT INTO events (connection_uid, tenant_uid, generation, kind, at)
        SELECT connection_uid, tenant_uid, generation, state, _now FROM moved ORDER BY connection_uid
        ON CONFLICT DO NOTHING
    )
    SELECT connection_uid FROM moved ORDER BY connection_uid;
END
$$;

-- Deletes what is older than the times named, at most `_batch` rows of each kind: closed attempts of earlier
-- generations, events, audit entries. How many it deleted.
CREATE FUNCTION token_broker.retain(_attempts_before bigint, _events_before bigint, _audit_before bigint,
    _batch bigint, OUT attempts bigint, OUT events bigint, OUT audit bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, token_broker, pg_temp AS $$
#variable_conflict use_column
BEGIN
    DELETE FROM attempts WHERE seq IN (
        SELECT a.seq FROM attempts a JOIN grants g USING (connection_uid)
        WHERE a.closed_at < _attempts_before AND a.generation < g.generation
        ORDER BY a.closed_at LIMIT _batch FOR UPDATE OF a SKIP LOCKED);
    GET DIAGNOSTICS attempts = ROW_COUNT;
    DELETE FROM events WHERE seq IN (
        SELECT seq FROM events WHERE at < _events_before ORDER BY at LIMIT _batch FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS events = ROW_COUNT;
    -- The trigger keeps what is younger than 30 days, whatever is asked.
    DELETE FROM audit WHERE seq IN (
        SELECT seq FROM audit
        WHERE at < least(_audit_before, extract(epoch FROM clock_timestamp() - interval '30 days') * 1000000)
        ORDER BY at LIMIT _batch FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS audit = ROW_COUNT;
END
$$;
