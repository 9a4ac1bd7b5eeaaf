//! Signals.

use redis::cmd;
use token_broker::{
    config,
    coordination::{LeaseOutcome, Signal},
    model::Generation,
};
use uuid::Uuid;

use crate::{
    proxy::Proxy,
    support::{
        Redis, connected, fleet, guarded, hasty, hearing, lapsed, lease, next, patient, replica, until,
    },
};

#[tokio::test]
async fn the_others_hear_it_and_the_sender_does_not() {
    let server = Redis::start().await;
    let replicas = fleet::<3>(&server).await;
    let mut receivers = hearing(&replicas).await;
    let subject = Uuid::new_v4();
    let said = [
        Signal::Moved { subject, generation: Generation(8) },
        Signal::Released { subject },
        Signal::Standing { client: subject, secret_version: 2, proven: true },
        Signal::Standing { client: subject, secret_version: 3, proven: false },
    ];
    for signal in said {
        replicas[0].announce(signal);
    }
    for receiver in &mut receivers[1..] {
        for signal in said {
            assert_eq!(next(receiver).await, signal);
        }
    }
    let last = Signal::Released { subject: Uuid::new_v4() };
    replicas[1].announce(last);
    assert_eq!(next(&mut receivers[0]).await, last, "and nothing of its own before");
}

#[tokio::test]
async fn another_environment_is_another_channel() {
    let server = Redis::start().await;
    let elsewhere = connected(&server, config::Redis { prefix: "other".to_owned(), ..patient() }).await;
    let replicas = fleet::<2>(&server).await;
    let mut receivers = hearing(&replicas).await;
    let subject = Uuid::new_v4();
    let _held = lease(&elsewhere, subject).await.unwrap();
    assert!(lease(&replicas[0], subject).await.is_some());
    elsewhere.announce(Signal::Released { subject });
    // Its message is on the server before the next one.
    until("it was sent", async || {
        let stats: String = server.run(cmd("INFO").arg("commandstats")).await;
        stats.contains("cmdstat_publish")
    })
    .await;
    let last = Signal::Moved { subject, generation: Generation(1) };
    replicas[0].announce(last);
    while next(&mut receivers[1]).await != last {}
}

#[tokio::test]
async fn whoever_may_have_missed_something_is_told() {
    let server = Redis::start().await;
    let replicas = fleet::<2>(&server).await;
    let mut receivers = hearing(&replicas).await;
    let killed: u32 = server.run(cmd("CLIENT").arg("KILL").arg("TYPE").arg("pubsub")).await;
    assert_eq!(killed, 2);
    for receiver in &mut receivers {
        lapsed(receiver).await;
    }
    hearing(&replicas).await;
}

#[tokio::test]
async fn a_signal_that_could_not_be_sent_becomes_a_lapse() {
    let server = Redis::start().await;
    let quiet = connected(&server, hasty()).await;
    let [listener] = fleet::<1>(&server).await;
    let replicas = [listener, quiet];
    let [mut signals, _] = hearing(&replicas).await;
    let quiet = &replicas[1];
    // The listener's own subscription goes on: nothing else tells it.
    server.pause_writes().await;
    quiet.announce(Signal::Released { subject: Uuid::new_v4() });
    // Its queue has one place, in time: once this is answered, or is not, so is that.
    for _ in 0..4 {
        assert!(matches!(quiet.lease(Uuid::new_v4()).await, LeaseOutcome::Away(_)));
    }
    server.resume_writes().await;
    lapsed(&mut signals).await;
}

#[tokio::test]
async fn more_than_the_queue_holds_becomes_a_lapse() {
    let server = Redis::start().await;
    let replicas = fleet::<2>(&server).await;
    let mut receivers = hearing(&replicas).await;
    // On one thread nothing is sent meanwhile.
    for _ in 0..3000 {
        replicas[0].announce(Signal::Released { subject: Uuid::new_v4() });
    }
    guarded("the signals lapse", async {
        loop {
            match receivers[1].recv().await {
                Ok(Signal::Lapsed) => return,
                Ok(_) => {}
                Err(error) => panic!("the receiver keeps up: {error}"),
            }
        }
    })
    .await;
}

#[tokio::test]
async fn what_nobody_understands_is_ignored() {
    let server = Redis::start().await;
    let replicas = fleet::<2>(&server).await;
    let mut receivers = hearing(&replicas).await;
    let sender = Uuid::new_v4();
    for text in [
        "nonsense".to_owned(),
        format!("2 {sender} lapsed"),
        format!("1 {sender} exploded"),
        format!("1 {sender} moved"),
        "\x00\x7f".to_owned(),
    ] {
        let heard: u32 = server.run(cmd("PUBLISH").arg("token-broker:test:signals").arg(text)).await;
        assert_eq!(heard, 2);
    }
    let last = Signal::Released { subject: Uuid::new_v4() };
    replicas[0].announce(last);
    assert_eq!(guarded("it comes", receivers[1].recv()).await.unwrap(), last, "nothing before it");
}

#[tokio::test]
async fn a_subscription_that_has_gone_silent_is_made_again() {
    let server = Redis::start().await;
    let proxy = Proxy::before(server.port()).await;
    let through = config::Redis { url: Some(proxy.url()), ..patient() };
    let deaf = token_broker::coordination::Coordination::new(
        &through,
        crate::support::ENVIRONMENT,
        token_broker::clock::Clock::System,
    );
    guarded("Redis is there", deaf.connected()).await;
    let speaker = replica(&server, patient());
    let replicas = [deaf, speaker];
    let mut receivers = hearing(&replicas).await;
    assert_eq!(proxy.subscriptions(), 1);
    proxy.silence_subscriptions();
    lapsed(&mut receivers[0]).await;
    assert!(proxy.subscriptions() > 1);
    hearing(&replicas).await;
}
