-- A burn changes a grant in its place: no index names what it changes, so that a page tidies itself up and no index of
-- grants grows with a burn. What it changed was indexed twice, for the sweeper and for whoever settles; both start from the
-- attempts now.

-- Whoever refreshes waits for a scan of the attempts, not for a backup that reads: rather fail, and be run again. Grants
-- alone: who takes or settles has attempts in its hands when it comes to them, and would wait for us while we waited for it.
SET LOCAL lock_timeout = '5s';
LOCK TABLE token_broker.grants IN ACCESS EXCLUSIVE MODE;

-- By connection, not by time: what is closed leaves its entry behind, and only an entry that comes to the same page clears
-- it away. And in words that the sweep alone uses: who knows an attempt's id is not to look through all that are open.
CREATE INDEX attempts_open ON token_broker.attempts (connection_uid) WHERE coalesce(outcome, 'open') = 'open';

-- Room in a page for the grant as it was before the burn and before the settle.
ALTER TABLE token_broker.grants SET (fillfactor = 60);

-- As in 0008; what is locked is found through its attempt, which is known once only. What is long stays in its arrays: an
-- update keeps a copy of each row that it is joined with.
CREATE OR REPLACE FUNCTION token_broker.settle_all(_tenants uuid[], _attempts uuid[], _successors text[], _access bytea[],
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
    _locked := array(SELECT g.connection_uid FROM attempts a JOIN grants g USING (connection_uid)
        WHERE a.attempt_id = ANY (_attempts) AND g.attempt_id = a.attempt_id FOR NO KEY UPDATE OF g SKIP LOCKED);
    WITH advanced AS (
        UPDATE grants g SET generation = g.generation + 1, attempt_id = NULL, since = NULL, state = 'idle',
            not_before = NULL, spend_before = NULL, access = _access[r.number],
            access_issued_at = _issued_at[r.number], access_expires_at = _expires_at[r.number],
            predecessor = g.fingerprint, refresh = _refresh[r.number], fingerprint = _fingerprints[r.number]
        FROM unnest(_tenants, _attempts, _successors, _nows) WITH ORDINALITY
                AS r(tenant, attempt, successor, at, number)
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

-- As in 0005; a grant that is dispatched or in doubt has an open attempt. (Not every open attempt has such a grant: what was
-- given up for a person to mend stays open.) Only a plain scan of an index marks what it finds closed, to be cleared away.
CREATE OR REPLACE FUNCTION token_broker.sweep(_lost_since bigint, _doubted_since bigint, _now bigint)
RETURNS TABLE (connection uuid) LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, token_broker, pg_temp SET enable_bitmapscan = off
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
    PERFORM insist_on_durability();
    -- In one statement, so that a grant takes one step at a time: silence becomes doubt, doubt a person's work, and a
    -- replay window ends.
    RETURN QUERY WITH candidates AS (
        SELECT a.connection_uid FROM attempts a WHERE coalesce(a.outcome, 'open') = 'open'
        UNION
        SELECT g.connection_uid FROM grants g WHERE g.spend_before <= _now
    ), due AS (
        SELECT g.connection_uid FROM candidates JOIN grants g USING (connection_uid)
        WHERE (g.state = 'dispatched' AND g.since <= _lost_since)
            OR (g.state = 'in_doubt' AND g.since <= _doubted_since
                AND (g.access_expires_at IS NULL OR g.access_expires_at <= _now))
            OR (g.state = 'idle' AND g.spend_before <= _now)
        FOR NO KEY UPDATE OF g SKIP LOCKED
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

DROP INDEX token_broker.grants_attempt; -- that an attempt is known once is said by attempts
DROP INDEX token_broker.grants_unsettled;

UPDATE token_broker.schema_version SET version = 9;
