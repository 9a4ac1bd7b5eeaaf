-- `adopt`, also where an attempt is in doubt: of a database that was put back to where that one was open, when others
-- had brought the next pairs since.

-- A pair whose attempt the database forgot: the new generation, or NULL where it must be kept. Not from 'dispatched':
-- that holder may live.
CREATE OR REPLACE FUNCTION token_broker.adopt(_tenant uuid, _connection uuid, _generation bigint, _attempt uuid,
    _nonce_hash bytea, _replica text, _cause text, _parent bytea, _successor text, _access bytea, _issued_at bigint,
    _expires_at bigint, _refresh bytea, _fingerprint bytea, _now bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, token_broker, pg_temp AS $$
DECLARE
    _adopted bigint;
BEGIN
    PERFORM enter(_tenant), insist_on_durability();
    PERFORM FROM grants
    WHERE connection_uid = _connection AND state NOT IN ('dispatched', 'revoked') AND generation = _generation
        AND fingerprint = _parent AND NOT held_elsewhere(_fingerprint, connection_uid)
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    BEGIN
        -- The token of the one in doubt was still good: whatever it presented was not processed.
        UPDATE attempts SET outcome = 'refused', closed_at = _now
        WHERE outcome IS NULL
            AND attempt_id = (SELECT attempt_id FROM grants WHERE connection_uid = _connection);
        INSERT INTO attempts (attempt_id, connection_uid, tenant_uid, generation, nonce_hash, replica, cause,
            fingerprint, dispatched_at, outcome, closed_at)
        SELECT _attempt, connection_uid, tenant_uid, generation, _nonce_hash, _replica, _cause, fingerprint,
            _now, 'settled', _now
        FROM grants WHERE connection_uid = _connection;
        _adopted := advance(_connection, _successor, _access, _issued_at, _expires_at, _refresh, _fingerprint, _now);
        IF _adopted IS NULL THEN -- meanwhile the token is another connection's
            RAISE unique_violation;
        END IF;
        RETURN _adopted;
    EXCEPTION WHEN unique_violation THEN
        RETURN NULL; -- the attempt is known, or the generation's slot is another's: nothing above has happened
    END;
END
$$;

UPDATE token_broker.schema_version SET version = greatest(version, 7);
