//! What is `SQLite`'s own: the file, its lock, its versions, and what the database refuses whoever asks.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use sqlx::{Connection as _, Executor as _, SqliteConnection, sqlite::SqliteConnectOptions};
use token_broker::{
    audit::Auditor,
    clock::Clock,
    error::Reason,
    model::{Closing, ConnectionUid, EventKind, Generation, Sealed, SecretVersion, State},
    store::{
        Audit as _, AuditEntry, Connections as _, Grants as _, OauthClients as _, StoreError,
        sqlite::{OpenError, Sqlite},
    },
};

use crate::fixtures::{
    TENANT, at, attempt, burn, client, connected, connection, directory, furnish, nonce, rotated, state,
    token, told,
};

/// A connection past this program, as a console would have it: foreign keys off, triggers in force.
async fn console(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path).foreign_keys(false);
    SqliteConnection::connect_with(&options).await.unwrap()
}

// === the file ===

/// This test's own binary again, as the second process.
#[tokio::test]
async fn a_second_process_is_refused() {
    const DATABASE: &str = "STORE_TEST_DATABASE";
    if let Some(path) = std::env::var_os(DATABASE) {
        let refused = Sqlite::open(Path::new(&path)).await.unwrap_err();
        assert!(matches!(refused, OpenError::InUse { .. }), "{refused}");
        return;
    }
    let directory = directory();
    let path = directory.path().join("broker.db");
    let store = Sqlite::open(&path).await.unwrap();
    let second = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sqlite::a_second_process_is_refused"])
        .env(DATABASE, &path)
        .output()
        .unwrap();
    assert!(second.status.success(), "{}", String::from_utf8_lossy(&second.stdout));
    assert!(String::from_utf8_lossy(&second.stdout).contains("1 passed"));
    drop(store);
    Sqlite::open(&path).await.unwrap();
}

#[tokio::test]
async fn another_name_of_the_file_meets_the_same_lock() {
    let directory = directory();
    let (path, alias) = (directory.path().join("broker.db"), directory.path().join("alias.db"));
    let _store = Sqlite::open(&path).await.unwrap();
    std::os::unix::fs::symlink(&path, &alias).unwrap();
    let refused = Sqlite::open(&alias).await.unwrap_err();
    assert!(refused.to_string().contains("broker.db.lock"), "{refused}");
}

#[tokio::test]
async fn a_newer_database_is_refused() {
    let directory = directory();
    let path = directory.path().join("broker.db");
    Sqlite::open(&path).await.unwrap().close().await;
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (9999, 'of the future', TRUE, x'00', 0)";
    console(&path).await.execute(newer).await.unwrap();
    let refused = Sqlite::open(&path).await.unwrap_err();
    assert!(matches!(refused, OpenError::Newer { migration: 9999 }), "{refused}");
}

#[tokio::test]
async fn an_edited_migration_is_refused() {
    let directory = directory();
    let path = directory.path().join("broker.db");
    Sqlite::open(&path).await.unwrap().close().await;
    console(&path).await.execute("UPDATE _sqlx_migrations SET checksum = x'00'").await.unwrap();
    assert!(matches!(Sqlite::open(&path).await.unwrap_err(), OpenError::Migrate(_)));
}

#[tokio::test]
async fn what_is_no_database_is_refused() {
    let directory = directory();
    let path = directory.path().join("broker.db");
    std::fs::write(&path, [7; 8192]).unwrap();
    assert!(matches!(Sqlite::open(&path).await.unwrap_err(), OpenError::Database(_)));
    let nowhere = directory.path().join("absent/broker.db");
    assert!(matches!(Sqlite::open(&nowhere).await.unwrap_err(), OpenError::File { .. }));
}

#[tokio::test]
async fn only_the_owner_may_read_the_files() {
    let directory = directory();
    let path = directory.path().join("broker.db");
    let store = Sqlite::open(&path).await.unwrap();
    furnish(&store).await;
    let mut files = 0;
    for file in std::fs::read_dir(directory.path()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.path().display());
        files += 1;
    }
    assert_eq!(files, 4, "database, log, its index, lock");
}

#[tokio::test]
async fn what_is_committed_outlives_a_crash() {
    let directory = directory();
    let (path, copy) = (directory.path().join("broker.db"), directory.path().join("copy.db"));
    let store = Sqlite::open(&path).await.unwrap();
    furnish(&store).await;
    let uid = connected(&store, 1).await;
    assert!(store.burn(TENANT, uid, burn(1, 1), at(1)).await.unwrap());
    // The files as a killed process leaves them: no checkpoint, no goodbye.
    std::fs::copy(&path, &copy).unwrap();
    std::fs::copy(path.with_extension("db-wal"), copy.with_extension("db-wal")).unwrap();

    let reopened = Sqlite::open(&copy).await.unwrap();
    assert_eq!(state(&reopened, uid).await, State::Dispatched { attempt: attempt(1), since: at(1) });
    assert_eq!(reopened.take(TENANT, attempt(1), nonce(1)).await.unwrap(), Some(token(11).sealed));
    assert_eq!(reopened.orphan_dispatched(at(2)).await.unwrap(), [uid]);
    assert_eq!(state(&reopened, uid).await, State::InDoubt { attempt: attempt(1), since: at(2) });
    assert_eq!(told(&reopened, uid).await, [(1, EventKind::InDoubt)]);
    assert!(reopened.orphan_dispatched(at(3)).await.unwrap().is_empty());
    assert_eq!(reopened.take(TENANT, attempt(1), nonce(1)).await.unwrap(), None, "its holder is gone");
}

#[tokio::test]
async fn a_step_that_began_outlives_its_caller() {
    let directory = directory();
    let store = Sqlite::open(&directory.path().join("broker.db")).await.unwrap();
    furnish(&store).await;
    let uid = connected(&store, 1).await;
    for n in 1..=50_u8 {
        let mut call = Box::pin(store.burn(TENANT, uid, burn(n, 1), at(1)));
        // Polled some times, then dropped: wherever it was.
        let polls = n % 8;
        for _ in 0..polls {
            if futures_util::poll!(&mut call).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(call);
        // Serial writes: this one comes after the abandoned one.
        store.conclude(TENANT, attempt(200), Closing::NotSent, at(2)).await.unwrap();
        let burnt = matches!(state(&store, uid).await, State::Dispatched { .. });
        assert_eq!(burnt, polls > 0, "begun is done: {n}");
        assert_eq!(burnt, store.take(TENANT, attempt(n.into()), nonce(n)).await.unwrap().is_some(), "{n}");
        if burnt {
            assert!(store.conclude(TENANT, attempt(n.into()), Closing::NotSent, at(2)).await.unwrap());
        }
    }
}

#[tokio::test]
async fn a_closed_store_is_unavailable() {
    let directory = directory();
    let store = Sqlite::open(&directory.path().join("broker.db")).await.unwrap();
    store.close().await;
    let uid = ConnectionUid(uuid::Uuid::from_u128(1));
    assert!(matches!(store.burn(TENANT, uid, burn(1, 1), at(1)).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.grant(TENANT, uid).await, Err(StoreError::Unavailable(_))));
}

#[tokio::test]
async fn nothing_is_done_whose_intent_cannot_be_noted() {
    let directory = directory();
    let store = Sqlite::open(&directory.path().join("broker.db")).await.unwrap();
    store.close().await;
    let (auditor, done) = (Auditor::new(Arc::new(store), Clock::System), AtomicBool::new(false));
    let work = async {
        done.store(true, Ordering::SeqCst);
        Ok(())
    };
    let refused = auditor.audited("static:admin", "delete", "tenants/t1", work).await.unwrap_err();
    assert_eq!(refused.reason, Reason::StoreUnavailable);
    assert!(!done.load(Ordering::SeqCst));
}

#[tokio::test]
async fn deleted_ciphertexts_leave_the_files() {
    let directory = directory();
    let store = Sqlite::open(&directory.path().join("broker.db")).await.unwrap();
    furnish(&store).await;
    let kept = connection("kept", 9);
    store.create_connection(&kept).await.unwrap();
    let secret = Sealed(b"sealed-client-secret-sealed".to_vec());
    let own = client("tenants/t1/oauthClients/own", 2);
    store.create_oauth_client(&own).await.unwrap();
    store.add_secret(own.uid, &SecretVersion { version: 1, created_at: at(0) }, &secret).await.unwrap();
    connected(&store, 1).await;
    let pair = token(11).sealed.0;
    assert!(found(directory.path(), &pair) && found(directory.path(), &secret.0));

    store.delete_connection(&connection("c1", 1).name, None, Generation(0), at(1)).await.unwrap();
    store.delete_oauth_client(&own.name, None).await.unwrap();
    assert!(!found(directory.path(), &pair), "the refresh token");
    assert!(!found(directory.path(), &secret.0), "the client secret");
}

fn found(directory: &Path, needle: &[u8]) -> bool {
    std::fs::read_dir(directory).unwrap().any(|file| {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        bytes.windows(needle.len()).any(|window| window == needle)
    })
}

#[tokio::test]
async fn an_impossible_row_is_named() {
    let directory = directory();
    let path = directory.path().join("broker.db");
    let store = Sqlite::open(&path).await.unwrap();
    furnish(&store).await;
    let uid = connected(&store, 1).await;
    let mut console = console(&path).await;
    console.execute("PRAGMA ignore_check_constraints = ON").await.unwrap();
    console.execute("UPDATE grants SET state = 'lost'").await.unwrap();
    let corrupt = store.grant(TENANT, uid).await.unwrap_err();
    assert!(matches!(corrupt, StoreError::Corrupt { table: "grants", column: "state", .. }), "{corrupt}");
}

// === what the database refuses ===

const TWO: &str = "x'00000000000000000000000000000002'";

/// A store with two connections: the first settled twice and dispatched at generation 3, the second idle.
async fn lived_in(path: &Path) -> Sqlite {
    let store = Sqlite::open(path).await.unwrap();
    furnish(&store).await;
    let (one, _two) = (connected(&store, 1).await, connected(&store, 2).await);
    for n in 1..=2_u8 {
        store.burn(TENANT, one, burn(n, n.into()), at(1)).await.unwrap();
        store.settle(TENANT, attempt(n.into()), rotated(11 + n), at(2)).await.unwrap();
    }
    store.burn(TENANT, one, burn(3, 3), at(3)).await.unwrap();
    let entry = AuditEntry {
        at: at(1),
        principal: "static:admin".to_owned(),
        action: "burn".to_owned(),
        resource: "one".to_owned(),
        outcome: "intent".to_owned(),
    };
    store.append(&entry).await.unwrap();
    store
}

#[tokio::test]
async fn the_database_refuses_whoever_asks() {
    let directory = directory();
    let path = directory.path().join("broker.db");
    let _store = lived_in(&path).await;
    let mut console = console(&path).await;
    let refused = [
        ("UPDATE grants SET generation = generation - 1", "a generation never decreases"),
        ("UPDATE grants SET revoke_epoch = -1", "a revocation is never undone"),
        (
            "UPDATE grants SET state = 'idle', attempt_id = NULL, since = NULL WHERE state = 'dispatched'",
            "a spent refresh token never becomes idle",
        ),
        (
            "UPDATE grants SET connection_uid = randomblob(16) WHERE generation = 3",
            "a grant keeps its connection",
        ),
        ("DELETE FROM grants WHERE generation = 3", "a grant is never deleted"),
        ("INSERT OR REPLACE INTO grants SELECT * FROM grants", "a grant is never replaced"),
        (
            "UPDATE OR REPLACE grants SET refresh = o.refresh, fingerprint = o.fingerprint
                FROM grants o WHERE grants.generation = 1 AND o.generation = 3",
            "a refresh token belongs to one connection",
        ),
        (
            "UPDATE attempts SET outcome = 'not_sent', closed_at = 1 WHERE outcome = 'settled'",
            "an outcome is written once",
        ),
        (
            "UPDATE attempts SET outcome = NULL, closed_at = NULL WHERE outcome = 'settled'",
            "an outcome is written once",
        ),
        ("UPDATE attempts SET generation = 9 WHERE generation = 3", "an attempt is never rewritten"),
        ("UPDATE attempts SET fingerprint = NULL", "an attempt is never rewritten"),
        (
            "DELETE FROM attempts WHERE generation = 3",
            "an attempt of the current generation is never deleted",
        ),
        (
            "INSERT OR REPLACE INTO attempts (attempt_id, connection_uid, generation, nonce_hash, replica, cause,
                dispatched_at)
                SELECT randomblob(16), connection_uid, generation, nonce_hash, replica, cause, dispatched_at
                FROM attempts WHERE generation = 3",
            "an attempt is never replaced",
        ),
        ("DELETE FROM audit", "the audit table is append-only"),
        ("UPDATE audit SET outcome = 'done'", "the audit table is append-only"),
        ("INSERT OR REPLACE INTO audit SELECT * FROM audit", "the audit table is append-only"),
    ];
    for (statement, why) in refused {
        let error = console.execute(statement).await.expect_err(statement);
        assert!(error.to_string().contains(why), "{statement}: {error}");
    }
    let older = console.execute("DELETE FROM attempts WHERE generation < 3").await.unwrap();
    assert_eq!(older.rows_affected(), 2, "retention may");
}

/// With the trigger gone that keeps a grant from it, as after an accident at a console.
#[tokio::test]
async fn a_spent_token_is_not_burnt_although_its_grant_is_idle() {
    let directory = directory();
    let path = directory.path().join("broker.db");
    let store = lived_in(&path).await;
    let mut console = console(&path).await;
    console.execute("DROP TRIGGER grants_idle").await.unwrap();
    let idle = "UPDATE grants SET state = 'idle', attempt_id = NULL, since = NULL WHERE generation = 3";
    assert_eq!(console.execute(idle).await.unwrap().rows_affected(), 1);
    let one = connection("c1", 1).uid;
    assert!(!store.burn(TENANT, one, burn(4, 3), at(4)).await.unwrap());
    assert_eq!(state(&store, one).await, State::Idle);
}

/// With its triggers gone and the burn's guard bypassed, the index alone is left.
#[tokio::test]
async fn the_index_refuses_a_second_spend() {
    let directory = directory();
    let path = directory.path().join("broker.db");
    let _store = lived_in(&path).await;
    let mut console = console(&path).await;
    console.execute("DROP TRIGGER attempts_replaced").await.unwrap();
    console.execute("DROP TRIGGER grants_replaced_by_update").await.unwrap();
    let second = "INSERT INTO attempts (attempt_id, connection_uid, generation, nonce_hash, replica, cause,
        dispatched_at) SELECT randomblob(16), connection_uid, generation, nonce_hash, replica, cause, dispatched_at
        FROM attempts WHERE generation = 3";
    let error = console.execute(second).await.unwrap_err();
    assert!(error.to_string().contains("UNIQUE constraint failed: attempts.connection_uid"), "{error}");

    let shared = format!(
        "UPDATE grants SET refresh = o.refresh, fingerprint = o.fingerprint FROM grants o
        WHERE grants.connection_uid = {TWO} AND o.generation = 3"
    );
    let error = console.execute(sqlx::AssertSqlSafe(shared)).await.unwrap_err();
    assert!(error.to_string().contains("UNIQUE constraint failed: grants.fingerprint"), "{error}");
}
