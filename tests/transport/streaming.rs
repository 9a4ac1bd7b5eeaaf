//! Streams with long pauses between their messages.

use tonic_health::{
    ServingStatus,
    pb::{HealthCheckRequest, health_client::HealthClient},
};

use crate::{server::Server, soon};

const SERVING: i32 = 1;
const NOT_SERVING: i32 = 2;

#[tokio::test]
async fn each_message_arrives_without_the_next() {
    let server = Server::start();
    server.health.set_service_status("watched", ServingStatus::NotServing).await;
    let mut client = HealthClient::new(server.channel().await);
    let request = HealthCheckRequest { service: "watched".to_owned() };
    let mut watch = soon(client.watch(request)).await.expect("a stream").into_inner();
    let mut heard = async || soon(watch.message()).await.expect("no error").expect("a message").status;
    assert_eq!(heard().await, NOT_SERVING);
    for round in 0..50 {
        let status = if round % 2 == 0 { ServingStatus::Serving } else { ServingStatus::NotServing };
        server.health.set_service_status("watched", status).await;
        assert_eq!(heard().await, if round % 2 == 0 { SERVING } else { NOT_SERVING });
    }
}

#[tokio::test]
async fn many_streams_on_one_connection_each_hear_everything() {
    let server = Server::start();
    server.health.set_service_status("watched", ServingStatus::NotServing).await;
    let channel = server.channel().await;
    let mut watches = Vec::new();
    for _ in 0..20 {
        let request = HealthCheckRequest { service: "watched".to_owned() };
        let mut client = HealthClient::new(channel.clone());
        watches.push(soon(client.watch(request)).await.expect("a stream").into_inner());
    }
    for expected in [NOT_SERVING, SERVING] {
        for watch in &mut watches {
            let message = soon(watch.message()).await.expect("no error").expect("a message");
            assert_eq!(message.status, expected);
        }
        server.health.set_service_status("watched", ServingStatus::Serving).await;
    }
}
