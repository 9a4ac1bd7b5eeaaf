//! The connections to `PostgreSQL`.

use futures_util::future::join_all;
use token_broker::{
    clock::Clock,
    store::postgres::{Postgres, Settings},
};

use crate::{fixtures::settings, servers::postgres::shared};

/// One connection, and many who want it: whoever has it does not keep it at hand for those who come later.
#[tokio::test]
async fn whoever_waits_for_a_connection_gets_the_next_one() {
    let database = shared().database().await;
    let store = Postgres::open(&Settings { pool: 1, ..settings(&database) }, Clock::System).await.unwrap();
    store.ping().await.unwrap();
    let answers = join_all((0..64).map(|_| store.ping())).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
}
