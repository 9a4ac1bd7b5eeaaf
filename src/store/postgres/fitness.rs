//! Whether a connection may be used: who we are there, what it is a connection to, and whether we know its tables.

use sqlx::{PgConnection, Row as _};

use crate::config::Durability;

/// The oldest schema that this program can use. Migrations run before the programs that need them.
const OLDEST: i32 = 8;
/// The schema that this program was written for. A newer one says whether we may still use it.
const OURS: i32 = 9;

/// Why a database must not be used like this. One line, with what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The attack it stops: this user reads refresh tokens past the gate.
    #[error(
        "the database user {0} is a superuser, bypasses row-level security or owns the gate: serve as a user of its \
         own, made fit by `token-broker migrate --serving-user NAME`"
    )]
    TooPowerful(String),
    /// Not granted what serving needs.
    #[error("the database user {0} may not use the gate: run `token-broker migrate --serving-user {0}`")]
    NotServing(String),
    /// Not migrated, or not far enough.
    #[error(
        "the database has schema {found}, this program needs {OLDEST} or newer: run `token-broker migrate`"
    )]
    TooOld {
        /// 0: none.
        found: i32,
    },
    /// Migrated beyond what this program can use.
    #[error(
        "the database has schema {found}, made for programs from schema {needs} on, this one is of {OURS}: upgrade"
    )]
    TooNew {
        /// The schema.
        found: i32,
        /// The oldest program that it admits.
        needs: i32,
    },
    /// Not the primary.
    #[error("the database is a standby: nothing can be spent until the URL leads to the primary")]
    Standby,
    /// `database.durability` promises what the database does not do.
    #[error(
        "database.durability is \"synchronous\", but no standby is waited for: set synchronous_standby_names, or say \
         \"single\" or \"asynchronous\""
    )]
    NotSynchronous,
}

/// In one exchange of the simple protocol, which every pooler passes on.
const EXAMINE: &str = "
SELECT current_user::text AS name,
    r.rolsuper OR r.rolbypassrls
        OR EXISTS (SELECT FROM pg_roles o WHERE o.rolname IN ('token_broker_gate', 'token_broker_fleet')
            AND pg_has_role(current_user, o.oid, 'MEMBER'))
        OR EXISTS (SELECT FROM pg_namespace n WHERE n.nspname = 'token_broker'
            AND pg_has_role(current_user, n.nspowner, 'MEMBER')) AS too_powerful,
    EXISTS (SELECT FROM pg_roles o WHERE o.rolname = 'token_broker_serving'
        AND pg_has_role(current_user, o.oid, 'USAGE')) AS serving,
    EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'token_broker' AND c.relname = 'schema_version') AS migrated,
    pg_is_in_recovery() AS standby,
    current_setting('synchronous_standby_names') ~ '\\S' AS synchronous,
    current_setting('statement_timeout') <> '0' AS hasty
FROM pg_roles r WHERE r.rolname = current_user";

/// [`Unfit`] comes as `sqlx::Error::Configuration`.
pub(super) async fn examine(
    connection: &mut PgConnection,
    durability: Durability,
) -> Result<(), sqlx::Error> {
    let row = sqlx::raw_sql(EXAMINE).fetch_one(&mut *connection).await?;
    let name: String = row.try_get("name")?;
    if row.try_get("standby")? {
        return unfit(Unfit::Standby);
    }
    if row.try_get("too_powerful")? {
        return unfit(Unfit::TooPowerful(name));
    }
    if !row.try_get::<bool, _>("migrated")? {
        return unfit(Unfit::TooOld { found: 0 });
    }
    if !row.try_get::<bool, _>("serving")? {
        return unfit(Unfit::NotServing(name));
    }
    if durability == Durability::Synchronous && !row.try_get::<bool, _>("synchronous")? {
        return unfit(Unfit::NotSynchronous);
    }
    if row.try_get("hasty")? {
        tracing::warn!(
            user = name,
            "statement_timeout is set: a commit must not be cancelled. ALTER ROLE ... SET statement_timeout = 0"
        );
    }
    let version = "SELECT version, oldest_program FROM token_broker.schema_version";
    let row = sqlx::raw_sql(version).fetch_one(connection).await?;
    known(row.try_get("version")?, row.try_get("oldest_program")?)
}

fn known(found: i32, needs: i32) -> Result<(), sqlx::Error> {
    if found < OLDEST {
        return unfit(Unfit::TooOld { found });
    }
    if needs > OURS {
        return unfit(Unfit::TooNew { found, needs });
    }
    Ok(())
}

fn unfit(unfit: Unfit) -> Result<(), sqlx::Error> {
    Err(sqlx::Error::Configuration(unfit.into()))
}
