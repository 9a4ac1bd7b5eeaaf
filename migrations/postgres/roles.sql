-- The roles behind the gate, for a whole cluster; `token-broker migrate` runs this before the migrations, or prints it
-- where its user may not. Nobody logs in as one of these.

DO $$
DECLARE
    _role text;
BEGIN
    FOREACH _role IN ARRAY ARRAY[
        'token_broker_gate',     -- owns grants, attempts, events and the functions over one tenant's
        'token_broker_fleet',    -- owns the functions over all tenants; cannot read a refresh token
        'token_broker_serving',  -- what a serving user is granted: the functions of the gate, the other tables
        'token_broker_sweeping'  -- what a user is granted that also sweeps and retains
    ] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE', _role);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL; -- another database of this cluster has them already
        END;
    END LOOP;
END
$$;

-- `take` asks how far synchronous standbys are. Where nobody may grant this and replication is synchronous, it refuses.
DO $$
BEGIN
    GRANT pg_read_all_stats TO token_broker_gate;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE 'token_broker_gate may not read the state of standbys (pg_read_all_stats)';
END
$$;
