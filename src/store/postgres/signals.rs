//! Wake-ups through the database, for fleets without Redis: hints, never facts.

use std::time::Duration;

use futures_util::{Stream, stream};
use sqlx::postgres::PgListener;

use super::{Postgres, Statement};
use crate::store::StoreError;

const CHANNEL: &str = "token_broker";
const PAUSE: Duration = Duration::from_secs(1);

/// What a listener hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Listening from now on. Whatever was said before was missed.
    Listening,
    /// What some replica said.
    Said(String),
    /// The connection is lost; the next is [`Signal::Listening`].
    Lost,
}

impl Postgres {
    /// Tells every listener; at most 8000 bytes.
    pub async fn notify(&self, payload: &str) -> Result<(), StoreError> {
        let statement =
            Statement::new("SELECT pg_notify($1, $2)::text").bind(CHANNEL).bind(payload.to_owned());
        self.write::<(String,)>(statement).await.map(drop)
    }

    /// Listens for ever, over a connection of its own (`Settings::direct_url`), made anew where it is lost.
    pub fn listen(&self) -> impl Stream<Item = Signal> + Send + use<> {
        let pool = self.0.direct.clone();
        stream::unfold(None::<PgListener>, move |listener| {
            let pool = pool.clone();
            async move {
                match listener {
                    None => Some((Signal::Listening, Some(connect(&pool).await?))),
                    Some(mut listener) => match listener.try_recv().await {
                        Ok(Some(said)) => Some((Signal::Said(said.payload().to_owned()), Some(listener))),
                        Ok(None) | Err(_) => Some((Signal::Lost, None)),
                    },
                }
            }
        })
    }
}

/// `None`: the store is closed.
async fn connect(pool: &sqlx::PgPool) -> Option<PgListener> {
    loop {
        if pool.is_closed() {
            return None;
        }
        let listening = async {
            let mut listener = PgListener::connect_with(pool).await?;
            listener.eager_reconnect(false);
            listener.listen(CHANNEL).await?;
            Ok::<_, sqlx::Error>(listener)
        };
        match listening.await {
            Ok(listener) => return Some(listener),
            Err(error) => tracing::debug!(%error, "not listening to the database"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
