-- The gate, second part: what came back, and attempts that brought nothing.

-- What of other tenants a tenant's step must know: whether a refresh token is theirs. These two run as
-- token_broker_fleet, which sees every fingerprint and no token, and only token_broker_gate may call them.
CREATE FUNCTION token_broker.held_elsewhere(_fingerprint bytea, _connection uuid) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, token_broker, pg_temp AS $$
BEGIN
    RETURN EXISTS (SELECT FROM grants WHERE fingerprint = _fingerprint AND connection_uid <> _connection);
END
$$;

CREATE FUNCTION token_broker.is_known(_fingerprint bytea) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, token_broker, pg_temp AS $$
BEGIN
    RETURN EXISTS (SELECT FROM grants WHERE fingerprint = _fingerprint)
        OR EXISTS (SELECT FROM grants WHERE predecessor = _fingerprint)
        OR EXISTS (SELECT FROM attempts WHERE fingerprint = _fingerprint
            AND (outcome IS NULL OR outcome NOT IN ('not_sent', 'refused', 'replay_permitted')));
END
$$;

-- The next generation of a locked grant. `_successor`: 'rotated', 'unchanged' or 'missing'. No token of another
-- connection gets in: 0 rows, or, where both come at once, the unique index.
CREATE FUNCTION token_broker.advance(_connection uuid, _successor text, _access bytea, _issued_at bigint,
    _expires_at bigint, _refresh bytea, _fingerprint bytea, _now bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    _generation bigint;
BEGIN
    UPDATE grants SET generation = generation + 1, attempt_id = NULL, since = NULL,
        state = CASE WHEN _successor = 'missing' THEN 'reauth_required' ELSE 'idle' END,
        not_before = NULL, spend_before = NULL,
        access = _access, access_issued_at = _issued_at, access_expires_at = _expires_at,
        predecessor = CASE WHEN _successor = 'unchanged' THEN predecessor ELSE fingerprint END,
        refresh = CASE WHEN _successor = 'unchanged' THEN refresh ELSE _refresh END,
        fingerprint = CASE WHEN _successor = 'unchanged' THEN fingerprint ELSE _fingerprint END
    WHERE connection_uid = _connection AND NOT held_elsewhere(_fingerprint, connection_uid)
    RETURNING generation INTO _generation;
    IF _successor = 'missing' THEN
        PERFORM tell(_connection, 'reauth_required', _now);
    END IF;
    RETURN _generation;
END
$$;

-- 'settled' with the new generation, or why not: 'ignored', 'waits', 'kept', 'orphan', 'unknown'.
CREATE FUNCTION token_broker.settle(_tenant uuid, _attempt uuid, _successor text, _access bytea, _issued_at bigint,
    _expires_at bigint, _refresh bytea, _fingerprint bytea, _now bigint, OUT answer text, OUT generation bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, token_broker, pg_temp AS $$
DECLARE
    _connection uuid;
BEGIN
    PERFORM enter(_tenant), insist_on_durability();
    _connection := lock_grant_of(_attempt);
    IF _connection IS NULL THEN
        answer := 'unknown';
        RETURN;
    END IF;
    -- The answer of the current, open attempt, or of a replayed one.
    PERFORM FROM attempts a JOIN grants g USING (connection_uid)
    WHERE a.attempt_id = _attempt AND (
        (a.outcome IS NULL AND g.attempt_id = _attempt AND g.state IN ('dispatched', 'in_doubt', 'reauth_required'))
        OR (a.outcome = 'replay_permitted' AND g.state = 'idle' AND g.generation = a.generation));
    IF FOUND THEN
        generation := advance(_connection, _successor, _access, _issued_at, _expires_at, _refresh, _fingerprint, _now);
    END IF;
    IF generation IS NOT NULL THEN
        UPDATE attempts SET outcome = 'settled', closed_at = _now WHERE attempt_id = _attempt AND outcome IS NULL;
        answer := 'settled';
        RETURN;
    END IF;
    -- The grant has moved on.
    UPDATE attempts a SET outcome = 'superseded', closed_at = _now
    WHERE attempt_id = _attempt AND outcome IS NULL AND EXISTS (SELECT FROM grants g
        WHERE g.connection_uid = _connection AND g.state <> 'quarantined' AND g.attempt_id IS DISTINCT FROM _attempt);
    SELECT CASE
        WHEN a.outcome = 'settled' THEN 'ignored'
        WHEN a.outcome IS NULL THEN 'kept' -- quarantined, or the token of another connection
        WHEN a.outcome <> 'replay_permitted' THEN 'orphan'
        WHEN g.state = 'quarantined' THEN 'kept'
        WHEN g.generation = a.generation AND g.state IN ('dispatched', 'in_doubt', 'reauth_required') THEN 'waits'
        WHEN g.generation = a.generation AND g.state = 'idle' THEN 'kept' -- the token of another connection
        WHEN _fingerprint IS NULL OR _fingerprint IN (g.fingerprint, g.predecessor) THEN 'ignored' -- settled before
        ELSE 'orphan' END
    INTO answer FROM attempts a JOIN grants g USING (connection_uid) WHERE a.attempt_id = _attempt;
    IF answer = 'orphan' THEN
        PERFORM tell(_connection, 'orphan', _now);
    END IF;
END
$$;

-- A pair whose attempt the database forgot: the new generation, or NULL where it must be kept.
CREATE FUNCTION token_broker.adopt(_tenant uuid, _connection uuid, _generation bigint, _attempt uuid,
    _nonce_hash bytea, _replica text, _cause text, _parent bytea, _successor text, _access bytea, _issued_at bigint,
    _expires_at bigint, _refresh bytea, _fingerprint bytea, _now bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, token_broker, pg_temp AS $$
BEGIN
    PERFORM enter(_tenant), insist_on_durability();
    PERFORM lock_grant(_connection);
    INSERT INTO attempts (attempt_id, connection_uid, tenant_uid, generation, nonce_hash, replica, cause, fingerprint,
        dispatched_at, outcome, closed_at)
    SELECT _attempt, connection_uid, tenant_uid, generation, _nonce_hash, _replica, _cause, fingerprint,
        _now, 'settled', _now
    FROM grants
    WHERE connection_uid = _connection AND state IN ('idle', 'quarantined') AND generation = _generation
        AND fingerprint = _parent AND NOT held_elsewhere(_fingerprint, connection_uid)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    RETURN advance(_connection, _successor, _access, _issued_at, _expires_at, _refresh, _fingerprint, _now);
END
$$;

-- Closes an attempt that brought no tokens. `_closing`: 'not_sent', 'refused', 'rejected', or 'unknown', which is no
-- outcome: the attempt stays open. A generation is refused `_refusals` times, then a person must act.
CREATE FUNCTION token_broker.conclude(_tenant uuid, _attempt uuid, _closing text, _not_before bigint,
    _refusals integer, _now bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, token_broker, pg_temp AS $$
DECLARE
    _connection uuid;
BEGIN
    PERFORM enter(_tenant), insist_on_durability();
    _connection := lock_grant_of(_attempt);
    IF _closing = 'unknown' THEN
        UPDATE grants SET state = 'in_doubt', since = _now
        WHERE connection_uid = _connection AND attempt_id = _attempt AND state = 'dispatched'
            AND EXISTS (SELECT FROM attempts WHERE attempt_id = _attempt AND outcome IS NULL);
        IF FOUND THEN
            PERFORM tell(_connection, 'in_doubt', _now);
            RETURN true;
        END IF;
        RETURN false;
    END IF;
    UPDATE attempts SET outcome = _closing, closed_at = _now WHERE attempt_id = _attempt AND outcome IS NULL;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    -- The token may be burnt again, unless the endpoint has refused this generation too often.
    UPDATE grants SET state = 'idle', attempt_id = NULL, since = NULL, not_before = coalesce(_not_before, not_before)
    WHERE connection_uid = _connection AND attempt_id = _attempt
        AND state IN ('dispatched', 'in_doubt', 'reauth_required') AND _closing IN ('not_sent', 'refused')
        AND (_closing = 'not_sent' OR _refusals > (SELECT count(*) FROM attempts a
            WHERE a.connection_uid = _connection AND a.generation = grants.generation AND a.outcome = 'refused'));
    IF FOUND THEN
        RETURN true;
    END IF;
    -- Where a person must act already nothing changes, and nobody is told again.
    UPDATE grants SET state = 'reauth_required', since = NULL
    WHERE connection_uid = _connection AND attempt_id = _attempt AND state IN ('dispatched', 'in_doubt');
    IF FOUND THEN
        PERFORM tell(_connection, 'reauth_required', _now);
    END IF;
    RETURN true;
END
$$;

-- The token of a doubtful attempt may be burnt again, for a while.
CREATE FUNCTION token_broker.permit_replay(_tenant uuid, _attempt uuid, _spend_before bigint, _now bigint)
RETURNS boolean LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, token_broker, pg_temp AS $$
DECLARE
    _connection uuid;
BEGIN
    PERFORM enter(_tenant), insist_on_durability();
    _connection := lock_grant_of(_attempt);
    UPDATE attempts SET outcome = 'replay_permitted', closed_at = _now
    WHERE attempt_id = _attempt AND outcome IS NULL AND EXISTS (SELECT FROM grants g
        WHERE g.connection_uid = _connection AND g.attempt_id = _attempt AND g.state = 'in_doubt');
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE grants SET state = 'idle', attempt_id = NULL, since = NULL, spend_before = _spend_before
    WHERE connection_uid = _connection AND attempt_id = _attempt AND state = 'in_doubt';
    RETURN true;
END
$$;
