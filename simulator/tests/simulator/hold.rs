//! Holding requests, and what the log promises.

use std::sync::Arc;

use procore_simulator::{Config, Hold, Outcome};
use tokio::net::TcpStream;

use crate::fixture::{ENVIRONMENT, Fixture, post};

async fn held(hold: Hold) -> (Arc<Fixture>, tokio::task::JoinHandle<u16>) {
    let fixture = Arc::new(Fixture::new().await);
    fixture.simulator.hold_token_requests(hold);
    let waiting = Arc::clone(&fixture);
    let request = tokio::spawn(async move { waiting.refresh(&waiting.pair.refresh_token).await.status });
    fixture.simulator.wait_for_presentations(1).await;
    (fixture, request)
}

#[tokio::test]
async fn held_before_processing_the_token_is_still_good() {
    let (fixture, request) = held(Hold::BeforeProcessing).await;
    assert_eq!(fixture.simulator.live_pair(&fixture.pair.grant_id).as_ref(), Some(&fixture.pair));
    assert_eq!(fixture.simulator.log()[0].outcome, Outcome::Held);
    assert!(!request.is_finished());
    fixture.simulator.release();
    assert_eq!(request.await.unwrap(), 200);
    assert_eq!(fixture.simulator.log()[1].outcome, Outcome::Rotated);
}

#[tokio::test]
async fn held_after_processing_the_token_is_spent() {
    let (fixture, request) = held(Hold::AfterProcessing).await;
    assert_ne!(fixture.simulator.live_pair(&fixture.pair.grant_id).as_ref(), Some(&fixture.pair));
    assert_eq!(fixture.simulator.log()[0].outcome, Outcome::Rotated);
    assert!(!request.is_finished());
    fixture.simulator.release();
    assert_eq!(request.await.unwrap(), 200);
    assert_eq!(fixture.simulator.log().len(), 1);
}

#[tokio::test]
async fn a_client_that_leaves_does_not_stop_the_processing() {
    let (fixture, request) = held(Hold::BeforeProcessing).await;
    request.abort();
    assert!(request.await.is_err());
    fixture.simulator.release();
    fixture.simulator.wait_for_log(|log| log.iter().any(|entry| entry.outcome == Outcome::Rotated)).await;
}

#[tokio::test]
async fn the_log_file_has_each_line_before_its_answer() {
    let path = std::env::temp_dir().join(format!("procore-simulator-log-{}.jsonl", std::process::id()));
    let fixture = Fixture::with(Config { log_file: Some(path.clone()), ..Config::default() }).await;
    let mut token = fixture.pair.refresh_token.clone();
    for answered in 1..=5 {
        token = fixture.refresh(&token).await.member("refresh_token");
        let lines = std::fs::read_to_string(&path).unwrap();
        assert_eq!(lines.lines().count(), answered);
    }
    let file: Vec<serde_json::Value> = std::fs::read_to_string(&path)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(serde_json::to_value(fixture.simulator.log()).unwrap(), serde_json::Value::Array(file));
}

#[tokio::test]
async fn entries_are_numbered_in_order_under_concurrency() {
    let fixture = Fixture::new().await;
    let base = fixture.simulator.oauth_base(ENVIRONMENT);
    let form = format!("grant_type=client_credentials&{}", fixture.credentials());
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (base, form) = (base.clone(), form.clone());
        requests.spawn(async move { post(&base, "/oauth/token", &form).await.response().status });
    }
    assert!(requests.join_all().await.iter().all(|status| *status == 200));
    let log = fixture.simulator.log();
    assert!(log.iter().map(|entry| entry.seq).eq(1..=20));
    assert!(log.is_sorted_by_key(|entry| entry.at_ms));
}

#[tokio::test]
async fn stopping_frees_the_ports() {
    let fixture = Fixture::new().await;
    let base = fixture.simulator.oauth_base(ENVIRONMENT);
    fixture.simulator.stop().await;
    assert!(TcpStream::connect(base.strip_prefix("http://").unwrap()).await.is_err());
}
