//! Callers: one that looks at every byte, and h2load, which does not.

use std::{net::SocketAddr, path::Path};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use prost::Message as _;
use token_broker_proto::v1::GetAccessTokenRequest;
use tokio::process::Command;
use tonic::{Request, Status, client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel};

use crate::{
    codec::Encoded,
    furnish::{CONNECTION, CONSUMER},
};

pub(crate) const GET_ACCESS_TOKEN: &str = "/tokenbroker.v1.TokenService/GetAccessToken";

/// Connections, and calls in flight on each.
const CONNECTIONS: usize = 8;
const IN_FLIGHT: usize = 16;

pub(crate) async fn connect(server: SocketAddr) -> anyhow::Result<Channel> {
    Ok(Channel::from_shared(format!("http://{server}"))?.connect().await?)
}

/// One reply, as it came.
pub(crate) async fn reply(channel: Channel) -> Result<Bytes, Status> {
    ask(channel, CONNECTION).await
}

/// One reply about some connection.
pub(crate) async fn ask(channel: Channel, connection: &str) -> Result<Bytes, Status> {
    let mut request = Request::new(Bytes::from(message(connection)));
    request.metadata_mut().insert("authorization", bearer().parse().expect("ASCII"));
    let mut client = Grpc::new(channel);
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let replied = client.unary(request, PathAndQuery::from_static(GET_ACCESS_TOKEN), Encoded).await?;
    Ok(replied.into_inner())
}

/// How much load.
pub(crate) enum Amount {
    Calls(usize),
    Milliseconds(u32),
}

/// Puts load on a server, and returns its calls per second.
pub(crate) async fn load(server: SocketAddr, amount: &Amount, place: &Path) -> anyhow::Result<f64> {
    let message = message(CONNECTION);
    let length = u32::try_from(message.len())?.to_be_bytes();
    let body = place.join("body");
    std::fs::write(&body, [&[0], &length[..], &message].concat())?;
    let amount = match amount {
        Amount::Calls(calls) => vec!["-n".to_owned(), calls.to_string()],
        Amount::Milliseconds(time) => vec![format!("--duration={time}ms"), "--warm-up-time=500ms".to_owned()],
    };
    let output = Command::new("h2load")
        .args(amount)
        .args(["-c", &CONNECTIONS.to_string(), "-m", &IN_FLIGHT.to_string(), "-d"])
        .arg(body)
        .args(["-H", "content-type: application/grpc", "-H", "te: trailers"])
        .args(["-H", &format!("authorization: {}", bearer())])
        .arg(format!("http://{server}{GET_ACCESS_TOKEN}"))
        .output()
        .await
        .context("h2load")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success() && said.contains(" 0 failed, 0 errored"), "h2load: {said}");
    let rate = said.lines().find_map(|line| line.strip_prefix("finished in ")?.split(", ").nth(1));
    Ok(rate.and_then(|rate| rate.strip_suffix(" req/s")).context("no rate")?.parse()?)
}

fn message(connection: &str) -> Vec<u8> {
    GetAccessTokenRequest { name: connection.to_owned(), ..Default::default() }.encode_to_vec()
}

fn bearer() -> String {
    format!("Bearer {CONSUMER}")
}
