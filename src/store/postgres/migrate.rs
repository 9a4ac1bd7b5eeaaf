//! Bringing a database up to date, as the user that owns its tables; and making a user fit to serve.

use std::{borrow::Cow, collections::BTreeMap, sync::LazyLock};

use secrecy::SecretString;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, PgConnection, Row as _,
    migrate::{Migrate as _, MigrateError as Broken, Migrator},
};

use super::{OpenError, open::options};

/// What must be run by someone who may create roles, once per cluster.
pub const ROLES: &str = include_str!("../../../migrations/postgres/roles.sql");

const TABLE: &str = "token_broker.migrations";

static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrations = sqlx::migrate!("migrations/postgres");
    migrations.dangerous_set_table_name(TABLE);
    migrations.create_schema("token_broker");
    migrations
});

/// A connection of the user that migrates.
#[derive(Debug)]
pub struct Migrations {
    connection: PgConnection,
    user: String,
}

/// One migration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    /// Its number.
    pub version: i64,
    /// Its name.
    pub description: String,
    /// Whether it is applied.
    pub state: State,
}

/// Whether a migration is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Yes.
    Applied,
    /// No.
    Pending,
    /// Yes, but it read differently then.
    Altered,
    /// Yes, by a newer version of this program.
    Unknown,
}

/// Why a database could not be migrated.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// See [`OpenError::Url`].
    #[error(transparent)]
    Url(#[from] OpenError),
    /// Not reached, or it refused.
    #[error("the database refused")]
    Database(#[source] sqlx::Error),
    /// The roles are missing and this user may not create them.
    #[error("the user {user} may not create the roles behind the gate: let someone who may run\n\n{sql}")]
    Roles {
        /// Who tried.
        user: String,
        /// What to run.
        sql: String,
    },
    /// A migration failed, or an applied one differs from this program's.
    #[error("the database could not be migrated")]
    Migrate(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No user of this name.
    #[error("there is no database user {0}: CREATE ROLE {0} LOGIN PASSWORD '...'")]
    NoUser(String),
}

impl Migrations {
    /// Connects as the user that owns, or is to own, the tables.
    pub async fn connect(url: &SecretString) -> Result<Self, MigrateError> {
        let mut connection = options(url, "the owner's URL")?.connect().await?;
        let user = sqlx::query_scalar("SELECT current_user::text").fetch_one(&mut connection).await?;
        Ok(Self { connection, user })
    }

    /// What there is, and whether it is applied.
    pub async fn list(&mut self) -> Result<Vec<Migration>, MigrateError> {
        let exists = sqlx::query_scalar::<_, bool>("SELECT to_regclass($1) IS NOT NULL").bind(TABLE);
        let mut applied = BTreeMap::new();
        if exists.fetch_one(&mut self.connection).await? {
            let rows = self.connection.list_applied_migrations(TABLE).await?;
            applied.extend(rows.into_iter().map(|row| (row.version, row.checksum)));
        }
        let mut list: Vec<_> = MIGRATIONS
            .iter()
            .map(|known| {
                let state = match applied.remove(&known.version) {
                    None => State::Pending,
                    Some(checksum) if checksum == known.checksum => State::Applied,
                    Some(_) => State::Altered,
                };
                Migration { version: known.version, description: known.description.to_string(), state }
            })
            .collect();
        list.extend(applied.into_keys().map(|version| Migration {
            version,
            description: String::new(),
            state: State::Unknown,
        }));
        Ok(list)
    }

    /// Creates the roles where they are missing, then applies what is pending. Repeating it changes nothing.
    pub async fn run(&mut self) -> Result<(), MigrateError> {
        self.roles().await?;
        MIGRATIONS.run(&mut self.connection).await?;
        Ok(())
    }

    async fn roles(&mut self) -> Result<(), MigrateError> {
        let ready = sqlx::query_scalar::<_, bool>(
            "SELECT count(*) = 4 AND coalesce(bool_and(rolname IN ('token_broker_serving', 'token_broker_sweeping')
                OR pg_has_role(oid, 'MEMBER')), false)
            FROM pg_roles WHERE rolname IN
                ('token_broker_gate', 'token_broker_fleet', 'token_broker_serving', 'token_broker_sweeping')",
        );
        if ready.fetch_one(&mut self.connection).await? {
            return Ok(());
        }
        let user = quoted(&self.user);
        let sql = format!("{ROLES}\nGRANT token_broker_gate, token_broker_fleet TO {user};\n");
        match sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(&mut self.connection).await {
            Ok(_) => Ok(()),
            Err(sqlx::Error::Database(error)) if error.code() == Some(Cow::Borrowed("42501")) => {
                Err(MigrateError::Roles { user: self.user.clone(), sql })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Makes an existing user fit to serve and to sweep: granted the gate's functions, with commits that are neither
    /// cancelled nor acknowledged early.
    pub async fn fit_to_serve(&mut self, name: &str) -> Result<(), MigrateError> {
        let known = sqlx::query("SELECT 1 FROM pg_roles WHERE rolname = $1").bind(name);
        if known.fetch_optional(&mut self.connection).await?.is_none() {
            return Err(MigrateError::NoUser(name.to_owned()));
        }
        let database: String = sqlx::query("SELECT current_database()::text")
            .fetch_one(&mut self.connection)
            .await?
            .try_get(0)?;
        let (name, database) = (quoted(name), quoted(&database));
        let sql = format!(
            "GRANT token_broker_serving, token_broker_sweeping TO {name};
            GRANT CONNECT ON DATABASE {database} TO {name};
            ALTER ROLE {name} IN DATABASE {database} SET synchronous_commit = 'on';
            ALTER ROLE {name} IN DATABASE {database} SET statement_timeout = 0;
            ALTER ROLE {name} IN DATABASE {database} SET lock_timeout = 0;"
        );
        match sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(&mut self.connection).await {
            Ok(_) => Ok(()),
            Err(sqlx::Error::Database(error)) if error.code() == Some(Cow::Borrowed("42501")) => {
                Err(MigrateError::Roles { user: self.user.clone(), sql })
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl From<sqlx::Error> for MigrateError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<Broken> for MigrateError {
    fn from(error: Broken) -> Self {
        Self::Migrate(error.into())
    }
}
