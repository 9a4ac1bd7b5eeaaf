-- What nobody may do: not this program, not the tables' owner, not a superuser. ALWAYS, so that they also fire for
-- replicated changes and under session_replication_role = replica. (A superuser can still disable a trigger: what is
-- done in plain sight cannot be prevented here.)

CREATE FUNCTION token_broker.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'integrity_constraint_violation';
END
$$;

-- === grants ===

CREATE TRIGGER grants_generation BEFORE UPDATE ON token_broker.grants FOR EACH ROW
WHEN (NEW.generation < OLD.generation)
EXECUTE FUNCTION token_broker.refuse('a generation never decreases');

CREATE TRIGGER grants_epoch BEFORE UPDATE ON token_broker.grants FOR EACH ROW
WHEN (NEW.revoke_epoch < OLD.revoke_epoch)
EXECUTE FUNCTION token_broker.refuse('a revocation is never undone');

CREATE TRIGGER grants_identity BEFORE UPDATE ON token_broker.grants FOR EACH ROW
WHEN (NEW.connection_uid <> OLD.connection_uid OR NEW.tenant_uid <> OLD.tenant_uid)
EXECUTE FUNCTION token_broker.refuse('a grant keeps its connection');

CREATE TRIGGER grants_kept BEFORE DELETE ON token_broker.grants FOR EACH ROW
EXECUTE FUNCTION token_broker.refuse('a grant is never deleted');

CREATE TRIGGER grants_all_kept BEFORE TRUNCATE ON token_broker.grants
EXECUTE FUNCTION token_broker.refuse('a grant is never deleted');

-- An attempt that the current user does not see frees nothing.
CREATE FUNCTION token_broker.refuse_idle() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, token_broker, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM attempts
        WHERE attempt_id = OLD.attempt_id AND outcome IN ('not_sent', 'refused', 'replay_permitted'))
    THEN
        RAISE EXCEPTION 'a spent refresh token never becomes idle'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER grants_idle BEFORE UPDATE ON token_broker.grants FOR EACH ROW
WHEN (NEW.state = 'idle' AND OLD.state <> 'idle' AND NEW.generation = OLD.generation)
EXECUTE FUNCTION token_broker.refuse_idle();

-- === attempts ===

CREATE TRIGGER attempts_outcome BEFORE UPDATE ON token_broker.attempts FOR EACH ROW
WHEN (OLD.outcome IS NOT NULL)
EXECUTE FUNCTION token_broker.refuse('an outcome is written once');

CREATE TRIGGER attempts_identity BEFORE UPDATE ON token_broker.attempts FOR EACH ROW
WHEN ((NEW.seq, NEW.attempt_id, NEW.connection_uid, NEW.tenant_uid, NEW.generation, NEW.kind, NEW.nonce_hash,
        NEW.replica, NEW.cause, NEW.fingerprint, NEW.dispatched_at)
    IS DISTINCT FROM (OLD.seq, OLD.attempt_id, OLD.connection_uid, OLD.tenant_uid, OLD.generation, OLD.kind,
        OLD.nonce_hash, OLD.replica, OLD.cause, OLD.fingerprint, OLD.dispatched_at))
EXECUTE FUNCTION token_broker.refuse('an attempt is never rewritten');

-- Retention removes what is closed and of an older generation. A grant that the current user does not see keeps all.
CREATE FUNCTION token_broker.refuse_forgetting() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, token_broker, pg_temp AS $$
BEGIN
    IF OLD.outcome IS NULL OR NOT EXISTS (SELECT FROM grants
        WHERE connection_uid = OLD.connection_uid AND generation > OLD.generation)
    THEN
        RAISE EXCEPTION 'an attempt that is open, or of the current generation, is never deleted'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN OLD;
END
$$;

CREATE TRIGGER attempts_kept BEFORE DELETE ON token_broker.attempts FOR EACH ROW
EXECUTE FUNCTION token_broker.refuse_forgetting();

CREATE TRIGGER attempts_all_kept BEFORE TRUNCATE ON token_broker.attempts
EXECUTE FUNCTION token_broker.refuse('an attempt of the current generation is never deleted');

-- === connections ===

CREATE TRIGGER connections_kept BEFORE DELETE ON token_broker.connections FOR EACH ROW
EXECUTE FUNCTION token_broker.refuse('a connection leaves a tombstone');

CREATE TRIGGER connections_all_kept BEFORE TRUNCATE ON token_broker.connections
EXECUTE FUNCTION token_broker.refuse('a connection leaves a tombstone');

CREATE TRIGGER connections_gone BEFORE UPDATE ON token_broker.connections FOR EACH ROW
WHEN (NEW.uid <> OLD.uid OR NEW.name <> OLD.name OR NEW.tenant_uid <> OLD.tenant_uid
    OR (OLD.deleted_at IS NOT NULL AND (NEW.deleted_at, NEW.last_generation)
        IS DISTINCT FROM (OLD.deleted_at, OLD.last_generation)))
EXECUTE FUNCTION token_broker.refuse('a connection keeps its identity, a tombstone its generation');

-- After the insert, hence after the wait for a deletion of the same name: that tombstone is seen.
CREATE FUNCTION token_broker.refuse_below_tombstone() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, token_broker, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM connections WHERE name = NEW.name AND last_generation > NEW.generation_floor) THEN
        RAISE EXCEPTION 'a name made again starts above its tombstone' USING ERRCODE = 'serialization_failure';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER connections_floor AFTER INSERT ON token_broker.connections FOR EACH ROW
EXECUTE FUNCTION token_broker.refuse_below_tombstone();

-- === audit ===

CREATE TRIGGER audit_unchanged BEFORE UPDATE ON token_broker.audit FOR EACH ROW
EXECUTE FUNCTION token_broker.refuse('the audit table is append-only');

CREATE TRIGGER audit_all_kept BEFORE TRUNCATE ON token_broker.audit
EXECUTE FUNCTION token_broker.refuse('the audit table is append-only');

-- Only `retain` runs as token_broker_fleet. The attack the age stops: whoever may call it erases fresh tracks.
CREATE TRIGGER audit_kept BEFORE DELETE ON token_broker.audit FOR EACH ROW
WHEN (current_user <> 'token_broker_fleet'
    OR OLD.at > extract(epoch FROM clock_timestamp() - interval '30 days') * 1000000)
EXECUTE FUNCTION token_broker.refuse('the audit table is append-only');

DO $$
DECLARE
    _table regclass;
    _trigger name;
BEGIN
    FOR _table, _trigger IN
        SELECT t.tgrelid, t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
        WHERE c.relnamespace = 'token_broker'::regnamespace AND NOT t.tgisinternal
    LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', _table, _trigger);
    END LOOP;
END
$$;
