-- Who may do what.
--
-- Covered: grants, attempts and events. A serving user has no privilege on them at all, a sweeping one neither; the
-- functions' owner token_broker_gate sees, through forced row-level security, the rows of the tenant that the function
-- was given; token_broker_fleet sees all rows and no refresh token. Deleting a connection goes through the gate too.
-- Not covered: the other tables. A serving user reads and writes them across tenants, as the program must to find a
-- resource by its name; they hold no refresh token, and what is sealed in them is bound to its row. Neither is whoever
-- migrates: the owner of this schema is a member of both roles, and can take every guard away.

ALTER TABLE token_broker.grants ENABLE ROW LEVEL SECURITY;
ALTER TABLE token_broker.grants FORCE ROW LEVEL SECURITY;
ALTER TABLE token_broker.attempts ENABLE ROW LEVEL SECURITY;
ALTER TABLE token_broker.attempts FORCE ROW LEVEL SECURITY;
ALTER TABLE token_broker.events ENABLE ROW LEVEL SECURITY;
ALTER TABLE token_broker.events FORCE ROW LEVEL SECURITY;

CREATE POLICY of_tenant ON token_broker.grants TO token_broker_gate
    USING (tenant_uid = nullif(current_setting('token_broker.tenant', true), '')::uuid);
CREATE POLICY of_tenant ON token_broker.attempts TO token_broker_gate
    USING (tenant_uid = nullif(current_setting('token_broker.tenant', true), '')::uuid);
CREATE POLICY of_tenant ON token_broker.events TO token_broker_gate
    USING (tenant_uid = nullif(current_setting('token_broker.tenant', true), '')::uuid);
CREATE POLICY of_all ON token_broker.grants TO token_broker_fleet USING (true);
CREATE POLICY of_all ON token_broker.attempts TO token_broker_fleet USING (true);
CREATE POLICY of_all ON token_broker.events TO token_broker_fleet USING (true);

REVOKE ALL ON SCHEMA token_broker FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA token_broker FROM PUBLIC;
GRANT USAGE ON SCHEMA token_broker
    TO token_broker_gate, token_broker_fleet, token_broker_serving, token_broker_sweeping;

-- === the owners ===

GRANT SELECT, UPDATE ON token_broker.connections TO token_broker_gate;
GRANT SELECT (connection_uid, tenant_uid, generation, state, since, spend_before, access_expires_at, fingerprint,
    predecessor), UPDATE (state, since) ON token_broker.grants TO token_broker_fleet;
GRANT SELECT, DELETE, UPDATE (closed_at) ON token_broker.attempts TO token_broker_fleet; -- UPDATE: to lock
GRANT SELECT, INSERT, DELETE, UPDATE (at) ON token_broker.events TO token_broker_fleet;
GRANT SELECT, DELETE, UPDATE (at) ON token_broker.audit TO token_broker_fleet;
GRANT EXECUTE ON FUNCTION token_broker.insist_on_durability() TO token_broker_fleet;

-- A new owner must be able to create what it is given.
GRANT CREATE ON SCHEMA token_broker TO token_broker_gate, token_broker_fleet;
ALTER FUNCTION token_broker.held_elsewhere(bytea, uuid) OWNER TO token_broker_fleet;
ALTER FUNCTION token_broker.is_known(bytea) OWNER TO token_broker_fleet;
ALTER FUNCTION token_broker.incarnation() OWNER TO token_broker_fleet;
ALTER FUNCTION token_broker.sweep(bigint, bigint, bigint) OWNER TO token_broker_fleet;
ALTER FUNCTION token_broker.retain(bigint, bigint, bigint, bigint) OWNER TO token_broker_fleet;
ALTER TABLE token_broker.grants OWNER TO token_broker_gate;
ALTER TABLE token_broker.attempts OWNER TO token_broker_gate;
ALTER TABLE token_broker.events OWNER TO token_broker_gate;
DO $$
DECLARE
    _function regprocedure;
BEGIN
    FOR _function IN
        SELECT oid FROM pg_proc
        WHERE pronamespace = 'token_broker'::regnamespace AND prorettype <> 'trigger'::regtype
            AND proowner <> 'token_broker_fleet'::regrole
    LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO token_broker_gate', _function);
    END LOOP;
END
$$;
REVOKE CREATE ON SCHEMA token_broker FROM token_broker_gate, token_broker_fleet;

-- === the callers ===

GRANT EXECUTE ON FUNCTION token_broker.held_elsewhere(bytea, uuid), token_broker.is_known(bytea) TO token_broker_gate;
DO $$
DECLARE
    _function regprocedure;
BEGIN
    FOR _function IN
        SELECT oid FROM pg_proc
        WHERE pronamespace = 'token_broker'::regnamespace AND prosecdef AND proowner = 'token_broker_gate'::regrole
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO token_broker_serving', _function);
    END LOOP;
END
$$;
GRANT EXECUTE ON FUNCTION token_broker.incarnation() TO token_broker_serving;
GRANT EXECUTE ON FUNCTION token_broker.sweep(bigint, bigint, bigint),
    token_broker.retain(bigint, bigint, bigint, bigint) TO token_broker_sweeping;

GRANT SELECT ON token_broker.schema_version TO token_broker_serving;
GRANT SELECT, INSERT, UPDATE, DELETE ON token_broker.tenants, token_broker.oauth_clients, token_broker.client_secrets,
    token_broker.leases TO token_broker_serving;
GRANT SELECT, INSERT ON token_broker.connections, token_broker.data_keys, token_broker.audit TO token_broker_serving;
GRANT UPDATE (display_name, max_min_ttl, revision, updated_at) ON token_broker.connections TO token_broker_serving;

UPDATE token_broker.schema_version SET version = 6, oldest_program = 6;
