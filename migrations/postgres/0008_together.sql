-- What many refreshes want at once goes together: one statement, one commit, one wait for the disk. Each request names
-- its tenant, and keeps its own guard and its own answer, in the order of the requests. An answer of NULL: ask alone, by
-- the step's own function. So nobody waits here for somebody else's lock.
--
-- Plans are made once, for few requests: a hash join over all grants is never right.

-- A policy is altered under a lock for which every step would queue behind a backup that reads: rather fail, and be run
-- again.
SET LOCAL lock_timeout = '5s';

-- The tenants of the rest of this transaction. Row-level security shows their rows, and every statement below joins each
-- row to the tenant that its own request named.
CREATE FUNCTION token_broker.enter_all(_tenants uuid[]) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM set_config('token_broker.tenant', array_to_string(_tenants, ','), true);
END
$$;

CREATE FUNCTION token_broker.entered() RETURNS uuid[] LANGUAGE sql STABLE AS $$
    SELECT string_to_array(nullif(current_setting('token_broker.tenant', true), ''), ',')::uuid[]
$$;

-- In a subquery: once per statement, not per row.
ALTER POLICY of_tenant ON token_broker.grants USING (tenant_uid = ANY ((SELECT token_broker.entered())::uuid[]));
ALTER POLICY of_tenant ON token_broker.attempts USING (tenant_uid = ANY ((SELECT token_broker.entered())::uuid[]));
ALTER POLICY of_tenant ON token_broker.events USING (tenant_uid = ANY ((SELECT token_broker.entered())::uuid[]));

-- `burn` for many. `_waits`: for locks.
CREATE FUNCTION token_broker.burn_all(_tenants uuid[], _connections uuid[], _generations bigint[], _attempts uuid[],
    _nonce_hashes bytea[], _replicas text[], _causes text[], _nows bigint[], _waits boolean) RETURNS boolean[]
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, token_broker, pg_temp SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    _locked uuid[];
    _burnt bigint[];
BEGIN
    PERFORM enter_all(_tenants), insist_on_durability();
    IF _waits THEN
        _locked := array(SELECT g.connection_uid FROM grants g WHERE g.connection_uid = ANY (_connections)
            FOR NO KEY UPDATE);
    ELSE
        _locked := array(SELECT g.connection_uid FROM grants g WHERE g.connection_uid = ANY (_connections)
            FOR NO KEY UPDATE SKIP LOCKED);
    END IF;
    WITH burnt AS (
        UPDATE grants g SET state = 'dispatched', attempt_id = r.attempt, since = r.at
        FROM unnest(_tenants, _connections, _generations, _attempts, _nonce_hashes, _replicas, _causes, _nows)
            WITH ORDINALITY AS r(tenant, connection, generation, attempt, nonce_hash, replica, cause, at, number)
        WHERE r.connection = ANY (_locked) AND g.connection_uid = r.connection AND g.tenant_uid = r.tenant
            AND g.state = 'idle' AND g.generation = r.generation AND g.refresh IS NOT NULL
            AND (g.not_before IS NULL OR g.not_before <= r.at)
            AND (g.spend_before IS NULL OR r.at < g.spend_before)
        RETURNING r.*, g.fingerprint
    ), made AS (
        INSERT INTO attempts (attempt_id, connection_uid, tenant_uid, generation, nonce_hash, replica, cause,
            fingerprint, dispatched_at)
        SELECT attempt, connection, tenant, generation, nonce_hash, replica, cause, fingerprint, at FROM burnt
    )
    SELECT array_agg(number) INTO _burnt FROM burnt;
    RETURN array(SELECT CASE WHEN _connections[n] = ANY (_locked) THEN coalesce(n = ANY (_burnt), false) END
        FROM generate_subscripts(_attempts, 1) n);
EXCEPTION WHEN unique_violation THEN -- an attempt is known (a tombstone!), whosever it is, or a generation's slot is taken
    RETURN array_fill(NULL::boolean, ARRAY[cardinality(_attempts)]);
END
$$;

-- One of them.
CREATE OR REPLACE FUNCTION token_broker.burn(_tenant uuid, _connection uuid, _generation bigint, _attempt uuid,
    _nonce_hash bytea, _replica text, _cause text, _now bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, token_broker, pg_temp AS $$
BEGIN
    RETURN coalesce((burn_all(ARRAY[_tenant], ARRAY[_connection], ARRAY[_generation], ARRAY[_attempt],
        ARRAY[_nonce_hash], ARRAY[_replica], ARRAY[_cause], ARRAY[_now], true))[1], false);
END
$$;

-- `take` for many: NULL for what is not the asker's, or not any more; where they are not `durable`, not yet: ask again.
CREATE FUNCTION token_broker.take_all(_tenants uuid[], _attempts uuid[], _nonces bytea[],
    OUT sealed bytea[], OUT durable boolean)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, token_broker, pg_temp SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
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
    PERFORM enter_all(_tenants);
    -- In one statement: what its snapshot shows was committed before the position was read, hence lies before it. Read
    -- once: a moving one is never reached.
    SELECT pg_current_wal_insert_lsn(), array_agg(g.refresh ORDER BY r.number) INTO _position, sealed
    FROM unnest(_tenants, _attempts, _nonces) WITH ORDINALITY AS r(tenant, attempt, nonce, number)
        LEFT JOIN attempts a ON a.attempt_id = r.attempt AND a.tenant_uid = r.tenant
            AND a.nonce_hash = sha256(r.nonce) AND a.outcome IS NULL
        LEFT JOIN grants g ON g.connection_uid = a.connection_uid AND g.tenant_uid = r.tenant
            AND g.state = 'dispatched' AND g.attempt_id = a.attempt_id;
    durable := array_remove(sealed, NULL) = '{}';
    WHILE NOT durable LOOP
        durable := is_durable(_position, _standbys);
        EXIT WHEN durable;
        IF clock_timestamp() > _deadline THEN
            sealed := NULL;
            RETURN;
        END IF;
        PERFORM pg_sleep(0.001);
    END LOOP;
END
$$;

-- One of them.
CREATE OR REPLACE FUNCTION token_broker.take(_tenant uuid, _attempt uuid, _nonce bytea, OUT sealed bytea,
    OUT durable boolean)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, token_broker, pg_temp AS $$
BEGIN
    SELECT t.sealed[1], t.durable INTO sealed, durable FROM take_all(ARRAY[_tenant], ARRAY[_attempt], ARRAY[_nonce]) t;
END
$$;

-- `settle` for many: the next generations of those that have a pair for their current, open attempt.
CREATE FUNCTION token_broker.settle_all(_tenants uuid[], _attempts uuid[], _successors text[], _access bytea[],
    _issued_at bigint[], _expires_at bigint[], _refresh bytea[], _fingerprints bytea[], _nows bigint[]) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, token_broker, pg_temp SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    _locked uuid[];
    _settled bigint[];
    _generations bigint[];
BEGIN
    PERFORM enter_all(_tenants), insist_on_durability();
    _locked := array(SELECT g.connection_uid FROM grants g WHERE g.attempt_id = ANY (_attempts)
        FOR NO KEY UPDATE SKIP LOCKED);
    WITH advanced AS (
        UPDATE grants g SET generation = g.generation + 1, attempt_id = NULL, since = NULL, state = 'idle',
            not_before = NULL, spend_before = NULL, access = r.access, access_issued_at = r.issued_at,
            access_expires_at = r.expires_at, predecessor = g.fingerprint, refresh = r.refresh,
            fingerprint = r.fingerprint
        FROM unnest(_tenants, _attempts, _successors, _access, _issued_at, _expires_at, _refresh, _fingerprints, _nows)
                WITH ORDINALITY
                AS r(tenant, attempt, successor, access, issued_at, expires_at, refresh, fingerprint, at, number)
            JOIN attempts a ON a.attempt_id = r.attempt AND a.tenant_uid = r.tenant
        WHERE a.connection_uid = ANY (_locked) AND g.connection_uid = a.connection_uid AND g.tenant_uid = r.tenant
            AND r.successor = 'rotated' AND a.outcome IS NULL AND g.attempt_id = a.attempt_id
            AND g.state IN ('dispatched', 'in_doubt', 'reauth_required')
        RETURNING r.number, r.attempt, r.at, g.generation
    ), closed AS (
        UPDATE attempts a SET outcome = 'settled', closed_at = advanced.at FROM advanced
        WHERE a.attempt_id = advanced.attempt AND a.outcome IS NULL
    )
    SELECT array_agg(number), array_agg(advanced.generation) INTO _settled, _generations FROM advanced;
    RETURN array(SELECT _generations[array_position(_settled, n::bigint)] FROM generate_subscripts(_attempts, 1) n);
EXCEPTION WHEN unique_violation THEN -- the token of another connection
    RETURN array_fill(NULL::bigint, ARRAY[cardinality(_attempts)]);
END
$$;

-- `grant_facts` for many; `number` is the request's, from 1.
CREATE FUNCTION token_broker.grant_facts_all(_tenants uuid[], _connections uuid[]) RETURNS TABLE (number bigint,
    generation bigint, revoke_epoch bigint, state text, attempt_id uuid, since bigint, not_before bigint,
    spend_before bigint, access bytea, access_issued_at bigint, access_expires_at bigint, fingerprint bytea,
    endpoint bytea)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, token_broker, pg_temp SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
    PERFORM enter_all(_tenants);
    RETURN QUERY SELECT r.number, g.generation, g.revoke_epoch, g.state, g.attempt_id, g.since, g.not_before,
        g.spend_before, g.access, g.access_issued_at, g.access_expires_at, g.fingerprint, g.endpoint
    FROM unnest(_tenants, _connections) WITH ORDINALITY AS r(tenant, connection, number)
        JOIN grants g ON g.connection_uid = r.connection AND g.tenant_uid = r.tenant;
END
$$;

GRANT CREATE ON SCHEMA token_broker TO token_broker_gate;
DO $$
DECLARE
    _function regprocedure;
    _is_step boolean;
BEGIN
    FOR _function, _is_step IN
        SELECT oid, prosecdef FROM pg_proc
        WHERE pronamespace = 'token_broker'::regnamespace
            AND proname IN ('enter_all', 'entered', 'burn_all', 'take_all', 'settle_all', 'grant_facts_all')
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', _function);
        EXECUTE format('ALTER FUNCTION %s OWNER TO token_broker_gate', _function);
        IF _is_step THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO token_broker_serving', _function);
        END IF;
    END LOOP;
END
$$;
REVOKE CREATE ON SCHEMA token_broker FROM token_broker_gate;

UPDATE token_broker.schema_version SET version = 8;
