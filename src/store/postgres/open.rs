//! Opening the database: the connections, and what is refused before anything is served.

use std::{str::FromStr as _, sync::Arc, time::Duration};

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{
    ConnectOptions as _, Connection as _,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::{
    Inner, Postgres, Skew, Together, Unfit, fitness,
    pool::{self, ACQUIRE, Pool},
    skew,
};
use crate::{clock::Clock, config::Durability};

const PATIENCE: Duration = Duration::from_secs(30);

/// How the database is reached.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `postgres://user@host:port/database`, of the primary or of a pooler in front of it.
    pub url: SecretString,
    /// Past any pooler, for `LISTEN`; absent: as `url`.
    pub direct_url: Option<SecretString>,
    /// Connections at most.
    pub pool: u32,
    /// Whether statements are prepared once per connection; not behind a pooler by transaction that does not know them.
    pub prepared_statements: bool,
    /// What the operator says of the database's replication.
    pub durability: Durability,
}

/// Why a database is not served from.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No URL of a `PostgreSQL` database. The URL is not shown.
    #[error("`{0}` is not a URL of the form postgres://user@host:port/database")]
    Url(&'static str),
    /// It can be reached, and must not be used like this.
    #[error(transparent)]
    Unfit(#[from] Unfit),
}

impl Postgres {
    /// Opens the database. One that cannot be reached now, or is a standby, is no error: connections are made when they
    /// are needed, holders of tokens in memory are served meanwhile, and nothing is spent. Every connection is examined
    /// before its first use, so what is refused here is refused later too.
    pub async fn open(settings: &Settings, clock: Clock) -> Result<Self, OpenError> {
        let options = options(&settings.url, "database.url")?;
        let direct = settings.direct_url.as_ref().map(|url| self::options(url, "database.direct_url"));
        let direct = direct.transpose()?.unwrap_or_else(|| options.clone());
        let reached = examine(&options, settings.durability).await?;
        let pool = Pool::new(options, settings);
        let direct =
            PgPoolOptions::new().max_connections(1).acquire_timeout(ACQUIRE).connect_lazy_with(direct);
        let inner = Arc::new_cyclic(|inner| {
            let together = Together::start(inner);
            Inner { pool, direct, skew: Skew::default(), clock, patience: PATIENCE, together }
        });
        if reached && let Err(error) = inner.measure_skew().await {
            tracing::warn!(%error, "the database's clock was not read");
        }
        skew::watch(&inner);
        pool::tend(&inner);
        Ok(Self(inner))
    }
}

/// The attack this stops: an error that quotes the URL, with the password in it.
pub(super) fn options(url: &SecretString, key: &'static str) -> Result<PgConnectOptions, OpenError> {
    let url = url.expose_secret().trim();
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(OpenError::Url(key));
    }
    let options = PgConnectOptions::from_str(url).map_err(|_| OpenError::Url(key))?;
    // Startup parameters are what a pooler refuses.
    Ok(options.extra_float_digits(None).application_name("token-broker"))
}

/// Looks once, for an error that names itself. `false`: it could not be reached, or a standby was.
async fn examine(options: &PgConnectOptions, durability: Durability) -> Result<bool, OpenError> {
    let unreached = |error: &dyn std::error::Error| {
        tracing::warn!(%error, "the database cannot be used yet: serving from memory, spending nothing");
    };
    let mut connection = match tokio::time::timeout(ACQUIRE, options.connect()).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            unreached(&error);
            return Ok(false);
        }
        Err(silence) => {
            unreached(&silence);
            return Ok(false);
        }
    };
    let fitness = fitness::examine(&mut connection, durability).await;
    let _ = connection.close().await;
    match fitness {
        Ok(()) => Ok(true),
        Err(sqlx::Error::Configuration(unfit)) => match unfit.downcast::<Unfit>() {
            Ok(unfit) if *unfit == Unfit::Standby => {
                unreached(&Unfit::Standby);
                Ok(false)
            }
            Ok(unfit) => Err(OpenError::Unfit(*unfit)),
            Err(error) => {
                unreached(&*error);
                Ok(false)
            }
        },
        Err(error) => {
            unreached(&error);
            Ok(false)
        }
    }
}
