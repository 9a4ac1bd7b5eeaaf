//! Sentinel and Cluster.

use futures_util::future::join_all;
use token_broker::{
    clock::Clock,
    config,
    coordination::{Coordination, State},
    model::Generation,
};
use uuid::Uuid;

use crate::support::{
    Cluster, ENVIRONMENT, Sentinel, Tls, all_work, attempt, connection, entry, every_call, guarded, hasty,
    hearing, lapsed, lease, patient, until,
};

async fn fleet<const N: usize>(settings: &config::Redis) -> [Coordination; N] {
    let replicas = [(); N].map(|()| Coordination::new(settings, ENVIRONMENT, Clock::System));
    for replica in &replicas {
        guarded("Redis is there", replica.connected()).await;
    }
    replicas
}

#[tokio::test]
async fn sentinel_leads_to_the_next_primary() {
    let mut sentinel = Sentinel::start(None).await;
    // The first sentinel does not exist: the other must be asked.
    let urls = vec!["redis://127.0.0.1:1".to_owned(), sentinel.url()];
    let known =
        config::Sentinel { master: Sentinel::MASTER.to_owned(), urls, user: None, password_file: None };
    let settings = config::Redis { sentinel: Some(known), ..patient() };
    let replicas = fleet::<2>(&settings).await;
    let mut receivers = hearing(&replicas).await;
    let [one, other] = &replicas;
    all_work(one).await;
    let connection = connection();
    let kept = attempt();
    assert_eq!(one.raise(connection, None, entry(4, 1)).await, Ok(true));
    one.escrow(kept, connection, Generation(4), b"sealed").await.unwrap();
    let subject = Uuid::new_v4();
    let held = lease(one, subject).await.unwrap();
    until("the replica has it all", async || {
        sentinel
            .replica
            .run::<u32>(redis::cmd("EXISTS").arg(format!("token-broker:test:lease:{subject}")))
            .await
            == 1
    })
    .await;

    sentinel.fail_over().await;
    until("the next primary is found", async || {
        every_call(other).await.iter().all(|(_, away)| away.is_none())
    })
    .await;
    assert_eq!(other.witness(connection).await, Ok(Some(entry(4, 1))));
    assert!(other.escrow_pending().await.unwrap().iter().any(|each| each.attempt == kept));
    assert_eq!(other.raise(connection, Some(entry(4, 1)), entry(5, 2)).await, Ok(true));
    assert!(lease(other, subject).await.is_none(), "and the lease is still held");
    held.release().await;
    for receiver in &mut receivers {
        lapsed(receiver).await;
    }
    hearing(&replicas).await;
}

#[tokio::test]
async fn a_name_that_no_sentinel_knows_is_told() {
    let sentinel = Sentinel::start(None).await;
    let known = config::Sentinel {
        master: "other".to_owned(),
        urls: vec![sentinel.url()],
        user: None,
        password_file: None,
    };
    let settings = config::Redis { sentinel: Some(known), ..patient() };
    let replica = Coordination::new(&settings, ENVIRONMENT, Clock::System);
    until("it is known why", async || match replica.state() {
        State::Away { why, .. } => why.to_string().contains("no such primary"),
        State::Connected => panic!("to whom?"),
    })
    .await;
}

#[tokio::test]
async fn a_cluster_does_all_of_it() {
    let cluster = Cluster::start(None).await;
    let settings = config::Redis { cluster: cluster.urls(), ..patient() };
    let replicas = fleet::<3>(&settings).await;
    hearing(&replicas).await;
    // Enough for every server to have some.
    join_all((0..20).map(|_| all_work(&replicas[0]))).await;
    let subject = Uuid::new_v4();
    let asked = replicas.iter().cycle().take(12).map(|replica| lease(replica, subject));
    assert_eq!(join_all(asked).await.into_iter().flatten().count(), 1);
    assert_eq!(replicas[1].escrow_pending().await.unwrap().len(), 20);
    let (page, _) = replicas[2].escrowed(replicas[2].escrow_start()).await.unwrap();
    assert_eq!(page.len(), 20);
    assert_eq!(replicas[0].health().evicts, None);
    assert_eq!(replicas[0].health().persistent, Some(false));
}

#[tokio::test]
async fn a_cluster_that_loses_a_server_still_has_the_others() {
    let Cluster(mut nodes) = Cluster::start(None).await;
    for node in &nodes {
        let _: String =
            node.run(redis::cmd("CONFIG").arg("SET").arg("cluster-require-full-coverage").arg("no")).await;
    }
    let urls = nodes.iter().map(crate::support::Redis::url).collect();
    let [replica] = fleet::<1>(&config::Redis { cluster: urls, ..hasty() }).await;
    nodes[2].kill().await;
    let connections: Vec<_> = (0..30).map(|_| connection()).collect();
    until("some work, some do not", async || {
        let answers = join_all(connections.iter().map(|connection| replica.witness(*connection))).await;
        let working = answers.iter().filter(|answer| answer.is_ok()).count();
        (10..30).contains(&working)
    })
    .await;
    nodes[2].restart().await;
    until("all work again", async || {
        join_all(connections.iter().map(|connection| replica.witness(*connection)))
            .await
            .iter()
            .all(Result::is_ok)
    })
    .await;
}

/// Nobody there talks to anybody without TLS; the servers that sentinel or cluster name are trusted like those configured.
#[tokio::test]
async fn tls_reaches_the_servers_that_are_found() {
    let tls = Tls::new();
    let mut sentinel = Sentinel::start(Some(&tls)).await;
    let known = config::Sentinel {
        master: Sentinel::MASTER.to_owned(),
        urls: vec![sentinel.url()],
        user: None,
        password_file: None,
    };
    let authority = config::Redis { ca_file: Some(tls.path("ca.pem")), ..patient() };
    let settings = config::Redis { sentinel: Some(known), ..authority.clone() };
    let [one, other] = &fleet::<2>(&settings).await;
    all_work(one).await;
    sentinel.fail_over().await;
    until("the next primary is found", async || {
        every_call(other).await.iter().all(|(_, away)| away.is_none())
    })
    .await;

    let cluster = Cluster::start(Some(&tls)).await;
    let settings = config::Redis { cluster: cluster.urls(), ..authority };
    let replicas = fleet::<2>(&settings).await;
    hearing(&replicas).await;
    join_all((0..20).map(|_| all_work(&replicas[0]))).await; // enough for every server to have some

    let strangers = Tls::new();
    let settings = config::Redis { ca_file: Some(strangers.path("ca.pem")), ..settings };
    let replica = Coordination::new(&settings, ENVIRONMENT, Clock::System);
    until("it is known why", async || match replica.state() {
        State::Away { why, .. } => why.to_string().contains("certificate"),
        State::Connected => panic!("to whom?"),
    })
    .await;
}
