-- As in 0008, but for what a take waits for: what was in the log when it looked, the burn included, no longer what it then
-- writes itself. Whoever reads a page that a burn has changed may tidy it up, and nobody flushes that for a while. Where
-- somebody else has done so in between, who asks is told so, and flushes.
CREATE OR REPLACE FUNCTION token_broker.take_all(_tenants uuid[], _attempts uuid[], _nonces bytea[],
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
    -- once: a moving one is never reached. And before any table, which spares time, not safety: the requests come out of its
    -- row by a CASE that is always true, OFFSET 0 keeps that row a step of its own, `min` is for the aggregate's sake.
    SELECT min(log.position), array_agg(g.refresh ORDER BY r.number) INTO _position, sealed
    FROM (SELECT pg_current_wal_insert_lsn() AS position OFFSET 0) AS log
        CROSS JOIN LATERAL unnest(_tenants, _attempts, CASE WHEN log.position > '0/0' THEN _nonces END)
            WITH ORDINALITY AS r(tenant, attempt, nonce, number)
        LEFT JOIN attempts a ON a.attempt_id = r.attempt AND a.tenant_uid = r.tenant
            AND a.nonce_hash = sha256(r.nonce) AND a.outcome IS NULL
        LEFT JOIN grants g ON g.connection_uid = a.connection_uid AND g.tenant_uid = r.tenant
            AND g.state = 'dispatched' AND g.attempt_id = a.attempt_id;
    durable := coalesce(array_remove(sealed, NULL) = '{}', true);
    WHILE NOT durable LOOP
        durable := coalesce(is_durable(_position, _standbys), false);
        EXIT WHEN durable;
        IF clock_timestamp() > _deadline THEN
            sealed := NULL;
            RETURN;
        END IF;
        PERFORM pg_sleep(0.001);
    END LOOP;
END
$$;
