//! Which databases are served from: by whom, with which schema, and whether they do what is promised.

use sqlx::Executor as _;
use token_broker::{
    clock::Clock,
    config::Durability,
    store::postgres::{OpenError, Postgres, Settings, Unfit},
};

use crate::{
    fixtures::{serving, settings},
    servers::postgres::shared,
};

async fn refused(settings: &Settings) -> Unfit {
    match Postgres::open(settings, Clock::System).await {
        Err(OpenError::Unfit(unfit)) => unfit,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn whoever_could_pass_the_gate_does_not_serve() {
    let database = shared().database().await;
    for user in ["owner", "postgres"] {
        let settings = Settings { url: database.url(user), ..settings(&database) };
        assert_eq!(refused(&settings).await, Unfit::TooPowerful(user.to_owned()));
    }
    let mut admin = shared().admin(&database.name).await;
    for (user, attribute) in [("bypasses", "BYPASSRLS"), ("member", "IN ROLE token_broker_gate")] {
        let create = format!("CREATE ROLE {user} LOGIN {attribute}");
        admin.execute(sqlx::AssertSqlSafe(create)).await.unwrap();
        let settings = Settings { url: database.url(user), ..settings(&database) };
        assert_eq!(refused(&settings).await, Unfit::TooPowerful(user.to_owned()));
    }
    admin.execute("CREATE ROLE nobody LOGIN").await.unwrap();
    let settings = Settings { url: database.url("nobody"), ..settings(&database) };
    let unfit = refused(&settings).await;
    assert_eq!(unfit, Unfit::NotServing("nobody".to_owned()));
    assert!(unfit.to_string().contains("migrate --serving-user nobody"), "{unfit}");
}

#[tokio::test]
async fn schemas_that_do_not_fit_are_refused() {
    let database = shared().empty_database().await;
    assert_eq!(refused(&settings(&database)).await, Unfit::TooOld { found: 0 });

    let database = shared().database().await;
    let mut owner = database.connect("owner").await;
    owner.execute("UPDATE token_broker.schema_version SET version = 7, oldest_program = 6").await.unwrap();
    assert_eq!(refused(&settings(&database)).await, Unfit::TooOld { found: 7 });
    // The next version's schema admits this program, the one after does not.
    owner.execute("UPDATE token_broker.schema_version SET version = 10, oldest_program = 9").await.unwrap();
    serving(&database).await.ping().await.unwrap();
    owner.execute("UPDATE token_broker.schema_version SET version = 11, oldest_program = 10").await.unwrap();
    assert_eq!(refused(&settings(&database)).await, Unfit::TooNew { found: 11, needs: 10 });
}

#[tokio::test]
async fn what_is_promised_must_be_so() {
    let database = shared().database().await;
    let settings = Settings { durability: Durability::Synchronous, ..settings(&database) };
    assert_eq!(refused(&settings).await, Unfit::NotSynchronous);
}

#[tokio::test]
async fn a_url_is_not_quoted() {
    let database = shared().database().await;
    for url in ["mysql://u:canary@h/d", "postgres://u:canary@h:port/d", "canary"] {
        let settings = Settings { url: url.into(), ..settings(&database) };
        let error = Postgres::open(&settings, Clock::System).await.unwrap_err();
        assert!(matches!(error, OpenError::Url("database.url")), "{error}");
        assert!(!format!("{error} {error:?} {settings:?}").contains("canary"), "{error:?}");
    }
}
