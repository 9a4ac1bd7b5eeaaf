-- The gate, first part: burn, take, resolve. A serving user has no other way to a grant than these functions, so no
-- older version, other code path or console session under it can read a refresh token without burning it first.
--
-- Every function names its tenant; row-level security (0006) shows it that tenant's rows and no others. Each is one
-- transition of src/model/grant.rs: it locks the grant, so that what its statements judge stays as it is, and states
-- the guard of every write in its WHERE. What does not apply is 0 rows, a normal answer.
--
-- plpgsql: `_name` is a parameter or variable, `name` a column.

-- === what the functions are made of: plain functions, run with the caller's rights and search path ===

-- The current tenant, for the rest of the transaction: every function of the gate begins with this, and nothing else
-- may look at the tables. set_config() assigns no transaction id, which `take` relies on.
CREATE FUNCTION token_broker.enter(_tenant uuid) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM set_config('token_broker.tenant', coalesce(_tenant::text, ''), true);
END
$$;

-- The attack this stops: a session, or a role's defaults, with synchronous_commit = off acknowledges what a crash
-- forgets. It holds for the whole transaction.
CREATE FUNCTION token_broker.insist_on_durability() RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF current_setting('synchronous_commit') NOT IN ('on', 'remote_apply') THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
END
$$;

-- Waits for every other step of this grant.
CREATE FUNCTION token_broker.lock_grant(_connection uuid) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM FROM grants WHERE connection_uid = _connection FOR NO KEY UPDATE;
END
$$;

-- The same by an attempt; NULL where it is not known.
CREATE FUNCTION token_broker.lock_grant_of(_attempt uuid) RETURNS uuid LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    _connection uuid;
BEGIN
    SELECT connection_uid INTO _connection FROM attempts WHERE attempt_id = _attempt;
    PERFORM lock_grant(_connection);
    RETURN _connection;
END
$$;

-- An event for the outbox, once per generation and kind.
CREATE FUNCTION token_broker.tell(_connection uuid, _kind text, _now bigint) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    INSERT INTO events (connection_uid, tenant_uid, generation, kind, at)
    SELECT connection_uid, tenant_uid, generation, _kind, _now FROM grants WHERE connection_uid = _connection
    ON CONFLICT DO NOTHING;
END
$$;

-- === burn, take, resolve ===

-- The one-way record: idle -> dispatched. Returns nothing secret.
CREATE FUNCTION token_broker.burn(_tenant uuid, _connection uuid, _generation bigint, _attempt uuid,
    _nonce_hash bytea, _replica text, _cause text, _now bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, token_broker, pg_temp AS $$
BEGIN
    PERFORM enter(_tenant), insist_on_durability();
    PERFORM FROM grants
    WHERE connection_uid = _connection AND state = 'idle' AND generation = _generation AND refresh IS NOT NULL
        AND (not_before IS NULL OR not_before <= _now)
        AND (spend_before IS NULL OR _now < spend_before)
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    -- Nothing where the attempt is known (a tombstone!), whosever it is, or the generation's slot is taken.
    INSERT INTO attempts (attempt_id, connection_uid, tenant_uid, generation, nonce_hash, replica, cause, fingerprint,
        dispatched_at)
    SELECT _attempt, connection_uid, tenant_uid, generation, _nonce_hash, _replica, _cause, fingerprint, _now
    FROM grants WHERE connection_uid = _connection
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE grants SET state = 'dispatched', attempt_id = _attempt, since = _now WHERE connection_uid = _connection;
    RETURN true;
END
$$;

-- How many synchronous standbys must have what is committed; 0 where replication is not synchronous.
CREATE FUNCTION token_broker.synchronous_standbys() RETURNS integer LANGUAGE plpgsql STABLE AS $$
DECLARE
    _names text := current_setting('synchronous_standby_names');
BEGIN
    IF _names !~ '\S' THEN
        RETURN 0;
    END IF;
    RETURN coalesce(substring(_names FROM '^\s*(?:[a-zA-Z]+\s+)?(\d+)\s*\(')::integer, 1);
END
$$;

-- Whether the log is on the disk up to a position: here, and on as many synchronous standbys as commits wait for. The
-- second half is for a commit whose wait was cancelled: it was acknowledged with a warning that a driver may swallow.
CREATE FUNCTION token_broker.is_durable(_position pg_lsn, _standbys integer) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    RETURN pg_current_wal_flush_lsn() >= _position AND (_standbys = 0 OR _standbys <= (
        SELECT count(*) FROM pg_stat_get_wal_senders()
        WHERE sync_state IN ('sync', 'quorum') AND flush_lsn >= _position));
END
$$;

-- The sealed refresh token, for the holder of the nonce of a committed, flushed, open attempt, any number of times while
-- it is dispatched. NULL: not yours, or not any more; where it is not `durable`, not yet: ask again.
CREATE FUNCTION token_broker.take(_tenant uuid, _attempt uuid, _nonce bytea, OUT sealed bytea, OUT durable boolean)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, token_broker, pg_temp AS $$
DECLARE
    _position pg_lsn;
    _standbys integer := synchronous_standbys();
    _deadline timestamptz := clock_timestamp() + interval '20 milliseconds';
BEGIN
    -- A transaction that has written sees its own burn, and may still roll it back. One that has not sees others'
    -- commits only.
    IF pg_current_xact_id_if_assigned() IS NOT NULL THEN
        RAISE EXCEPTION 'take() in a transaction that has written' USING ERRCODE = 'active_sql_transaction';
    END IF;
    -- An older snapshot shows tokens that were settled since.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'take() outside read committed' USING ERRCODE = 'invalid_transaction_state';
    END IF;
    IF pg_is_in_recovery() THEN
        RAISE EXCEPTION 'take() on a standby' USING ERRCODE = 'read_only_sql_transaction';
    END IF;
    PERFORM enter(_tenant);
    PERFORM FROM attempts WHERE attempt_id = _attempt AND nonce_hash = sha256(_nonce);
    IF NOT FOUND THEN
        durable := true;
        RETURN;
    END IF;
    -- The burn is visible, so its commit record lies before this position. Read once: a moving one is never reached.
    _position := pg_current_wal_insert_lsn();
    LOOP
        durable := is_durable(_position, _standbys);
        EXIT WHEN durable;
        IF clock_timestamp() > _deadline THEN
            RETURN;
        END IF;
        PERFORM pg_sleep(0.001);
    END LOOP;
    sealed := (SELECT g.refresh FROM attempts a JOIN grants g USING (connection_uid)
        WHERE a.attempt_id = _attempt AND a.nonce_hash = sha256(_nonce) AND a.outcome IS NULL
            AND g.state = 'dispatched' AND g.attempt_id = a.attempt_id);
END
$$;

-- What became of a burn whose commit was not acknowledged: 'proceed', 'release' or 'stop'. The lock waits for a burn
-- that is still at its commit. Where there is none, a tombstone takes its place, on whose key one still queued fails.
CREATE FUNCTION token_broker.resolve_burn(_tenant uuid, _connection uuid, _generation bigint, _attempt uuid,
    _nonce_hash bytea, _replica text, _cause text, _now bigint) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, token_broker, pg_temp AS $$
DECLARE
    _fate text;
BEGIN
    PERFORM enter(_tenant), insist_on_durability();
    PERFORM lock_grant(_connection);
    SELECT CASE
        WHEN a.outcome IS NOT NULL THEN 'stop'
        WHEN g.state = 'dispatched' AND g.attempt_id = a.attempt_id THEN 'proceed'
        ELSE 'release' END
    INTO _fate FROM attempts a JOIN grants g USING (connection_uid)
    WHERE a.attempt_id = _attempt AND a.connection_uid = _connection;
    IF FOUND THEN
        RETURN _fate;
    END IF;
    INSERT INTO attempts (attempt_id, connection_uid, tenant_uid, generation, nonce_hash, replica, cause,
        dispatched_at, outcome, closed_at)
    SELECT _attempt, connection_uid, tenant_uid, _generation, _nonce_hash, _replica, _cause, _now, 'not_sent', _now
    FROM grants WHERE connection_uid = _connection
    ON CONFLICT DO NOTHING;
    RETURN 'stop';
END
$$;
