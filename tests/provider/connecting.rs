//! Before anything secret leaves: names, addresses, TCP, TLS. Whatever fails here costs nothing.

use std::{
    net::Ipv4Addr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use rustls::ServerConfig;
use token_broker::provider::{
    Answer, ConnectError, Egress, EgressSettings, InvalidEgress, Resolver, Signal, TripCause,
};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::support::{
    self, IMPATIENT, PATIENT, Server, at, blackhole, certified, connect_to, ok, request, resolver, settings,
    within,
};

fn impatient() -> EgressSettings {
    EgressSettings { connect_timeout: IMPATIENT, ..settings() }
}

#[tokio::test]
async fn dns_failure() {
    let resolve = |_: &str, _: u16| -> futures_util::future::BoxFuture<'static, _> {
        Box::pin(async { Err(std::io::Error::other("NXDOMAIN")) })
    };
    let settings = EgressSettings { resolver: Resolver::Custom(Arc::new(resolve)), ..settings() };
    let error = connect_to(settings, "https://login.procore.com/").await.unwrap_err();
    assert!(matches!(error, ConnectError::Dns(_)), "{error:?}");
    let (resolver, _) = resolver(vec![vec![]]);
    let error =
        connect_to(EgressSettings { resolver, ..impatient() }, "https://nowhere.test/").await.unwrap_err();
    assert!(matches!(error, ConnectError::Dns(_)), "{error:?}");
}

#[tokio::test]
async fn the_systems_resolver_knows_no_invalid_name() {
    let error = connect_to(settings(), "https://name.invalid/").await.unwrap_err();
    assert!(matches!(error, ConnectError::Dns(_) | ConnectError::Timeout), "{error:?}");
}

#[tokio::test]
async fn dns_hang() {
    let resolve =
        |_: &str, _: u16| -> futures_util::future::BoxFuture<'static, _> { Box::pin(std::future::pending()) };
    let settings = EgressSettings { resolver: Resolver::Custom(Arc::new(resolve)), ..impatient() };
    let error = connect_to(settings, "https://login.procore.com/").await.unwrap_err();
    assert!(matches!(error, ConnectError::Timeout), "{error:?}");
}

#[tokio::test]
async fn connection_refused() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    drop(listener);
    let error = connect_to(settings(), &url).await.unwrap_err();
    assert!(matches!(error, ConnectError::Refused(_)), "{error:?}");
    assert_eq!(error.breaker(), Signal::None);
}

#[tokio::test]
async fn syn_dropped() {
    let (_socket, address, _queued) = blackhole().await;
    let error = connect_to(impatient(), &format!("https://{address}/")).await.unwrap_err();
    assert!(matches!(error, ConnectError::Timeout), "{error:?}");
}

#[tokio::test]
async fn syn_dropped_at_the_first_address_leaves_time_for_the_second() {
    let (_socket, hole, _queued) = blackhole().await;
    let server = Server::answering(ok("{}")).await;
    let (resolver, _) = resolver(vec![vec![hole, server.address]]);
    let settings = EgressSettings { resolver, connect_timeout: 4 * IMPATIENT, ..settings() };
    let connected = connect_to(settings, "http://provider.test/").await.unwrap();
    assert!(matches!(connected.send(request(), within(PATIENT)).await, Answer::Complete { .. }));
}

// === TLS ===

async fn tls_error(server: &Server, settings: EgressSettings) -> ConnectError {
    let error = connect_to(settings, &format!("https://{}/", server.address)).await.unwrap_err();
    assert_eq!(server.presentations(), 0);
    error
}

#[tokio::test]
async fn tls_bad_record() {
    let server = Server::new(|mut peer| async move {
        peer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        peer.end().await;
    })
    .await;
    let error = tls_error(&server, settings()).await;
    assert!(matches!(error, ConnectError::Tls { name_failure: false, .. }), "{error:?}");
}

#[tokio::test]
async fn tls_reset() {
    let server = Server::new(|peer| async move {
        peer.stream.readable().await.unwrap();
        peer.reset();
    })
    .await;
    let error = tls_error(&server, settings()).await;
    assert!(matches!(error, ConnectError::Tls { name_failure: false, .. }), "{error:?}");
}

#[tokio::test]
async fn tls_hang() {
    let server = Server::new(|peer| async move {
        let _peer = peer;
        std::future::pending::<()>().await;
    })
    .await;
    let error = tls_error(&server, impatient()).await;
    assert!(matches!(error, ConnectError::Timeout), "{error:?}");
}

/// Connects by name to a server whose certificate is for `names`; then asks for a token.
async fn over_tls(names: &[&str], last_year: i32, trusted: bool) -> Result<Answer, ConnectError> {
    let (root, acceptor) = certified(names, last_year);
    let server = Server::new(move |peer| {
        let acceptor = acceptor.clone();
        async move {
            if let Some(mut peer) = peer.tls(&acceptor).await
                && peer.request().await
            {
                peer.write(&ok("{}")).await;
                peer.end().await;
            }
        }
    })
    .await;
    let (resolver, _) = resolver(vec![vec![server.address]]);
    let extra_roots = if trusted { vec![root] } else { vec![] };
    let settings = EgressSettings { resolver, extra_roots, ..settings() };
    let connected = connect_to(settings, "https://provider.test/oauth/token").await?;
    let answer = connected.send(request(), within(PATIENT)).await;
    assert_eq!(server.presentations(), 1);
    Ok(answer)
}

#[tokio::test]
async fn tls_works_with_a_private_root() {
    let answer = over_tls(&["provider.test"], 2100, true).await.unwrap();
    assert!(matches!(answer, Answer::Complete { .. }), "{answer:?}");
}

#[tokio::test]
async fn a_server_that_prefers_http_2_is_spoken_to_in_http_1() {
    let (root, acceptor) = certified(&["provider.test"], 2100);
    let mut config = ServerConfig::clone(acceptor.config());
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (tell, mut agreed) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::new(move |peer| {
        let (acceptor, tell) = (acceptor.clone(), tell.clone());
        async move {
            let peer = peer.tls(&acceptor).await.unwrap();
            tell.send(peer.stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec)).unwrap();
        }
    })
    .await;
    let (resolver, _) = resolver(vec![vec![server.address]]);
    let settings = EgressSettings { resolver, extra_roots: vec![root], ..settings() };
    let _connected = connect_to(settings, "https://provider.test/oauth/token").await.unwrap();
    assert_eq!(agreed.recv().await.unwrap().unwrap(), b"http/1.1");
}

#[tokio::test]
async fn tls_wrong_host_opens_the_breaker() {
    let error = over_tls(&["somebody.else.test"], 2100, true).await.unwrap_err();
    assert!(matches!(error, ConnectError::Tls { name_failure: true, .. }), "{error:?}");
    assert_eq!(error.breaker(), Signal::Trip(TripCause::TlsName));
}

#[tokio::test]
async fn tls_expired() {
    let error = over_tls(&["provider.test"], 2002, true).await.unwrap_err();
    assert!(matches!(error, ConnectError::Tls { name_failure: false, .. }), "{error:?}");
}

#[tokio::test]
async fn tls_unknown_issuer() {
    let error = over_tls(&["provider.test"], 2100, false).await.unwrap_err();
    assert!(matches!(error, ConnectError::Tls { name_failure: false, .. }), "{error:?}");
}

#[test]
fn what_is_no_root_is_refused() {
    let settings = EgressSettings { extra_roots: vec![vec![0; 16].into()], ..settings() };
    assert!(matches!(Egress::new(settings), Err(InvalidEgress::Root(_))));
}

// === addresses: security test C1 ===

#[tokio::test]
async fn private_addresses_are_refused_in_every_spelling() {
    for host in [
        "169.254.169.254",
        "10.0.0.1",
        "127.1",
        "0x7f000001",
        "2130706433",
        "0177.0.0.1",
        "100.64.0.1",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:10.0.0.1]",
        "[::ffff:a9fe:a9fe]",
        "[::10.0.0.1]",
        "[64:ff9b::10.0.0.1]",
        "[64:ff9b:1::8.8.8.8]",
        "[2002:a00:1::]",
        "[fd00::1]",
        "[fe80::1]",
        "[ff02::1]",
    ] {
        let error = connect_to(EgressSettings::default(), &format!("https://{host}/")).await.unwrap_err();
        assert!(matches!(error, ConnectError::PrivateAddress(_)), "{host}: {error:?}");
    }
}

#[tokio::test]
async fn one_private_address_among_public_ones_spoils_the_name() {
    let server = Server::answering(ok("{}")).await;
    let (resolver, _) = resolver(vec![vec![server.address, at([10, 0, 0, 1])]]);
    let settings = EgressSettings { resolver, ..settings() };
    let error = connect_to(settings, "https://provider.test/").await.unwrap_err();
    assert!(
        matches!(error, ConnectError::PrivateAddress(ip) if ip == Ipv4Addr::new(10, 0, 0, 1)),
        "{error:?}"
    );
    assert_eq!(server.connections(), 0);
    let (resolver, _) = support::resolver(vec![vec![at([1, 1, 1, 1]), at([169, 254, 169, 254])]]);
    let error =
        connect_to(EgressSettings { resolver, ..impatient() }, "https://provider.test/").await.unwrap_err();
    assert!(matches!(error, ConnectError::PrivateAddress(_)), "{error:?}");
}

#[tokio::test]
async fn dns_rebinding_finds_no_second_look_up() {
    let server = Server::answering(ok("{}")).await;
    let (resolver, asked) = resolver(vec![vec![server.address], vec![at([169, 254, 169, 254])]]);
    let settings = EgressSettings { resolver, ..settings() };
    let connected = connect_to(settings.clone(), "http://provider.test/").await.unwrap();
    let answer = connected.send(request(), within(PATIENT)).await;
    assert!(matches!(answer, Answer::Complete { .. }), "{answer:?}");
    assert_eq!((asked.load(Ordering::SeqCst), server.connections()), (1, 1));
    let error = connect_to(settings, "http://provider.test/").await.unwrap_err();
    assert!(matches!(error, ConnectError::PrivateAddress(_)), "{error:?}");
}

#[tokio::test]
async fn a_mapped_address_is_connected_to_as_what_it_was_checked_as() {
    let server = Server::answering(ok("{}")).await;
    let mapped = (Ipv4Addr::LOCALHOST.to_ipv6_mapped(), server.address.port()).into();
    let (resolver, _) = resolver(vec![vec![mapped]]);
    let settings = EgressSettings { resolver, ..settings() };
    let connected = connect_to(settings, "http://provider.test/").await.unwrap();
    assert!(matches!(connected.send(request(), within(PATIENT)).await, Answer::Complete { .. }));
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn plain_http_is_spoken_to_listed_addresses_only() {
    let (resolver, _) = resolver(vec![vec![at([1, 1, 1, 1])]]);
    let error =
        connect_to(EgressSettings { resolver, ..settings() }, "http://provider.test/").await.unwrap_err();
    assert!(matches!(error, ConnectError::Plaintext), "{error:?}");
}

#[tokio::test]
async fn what_is_no_endpoint_is_not_connected_to() {
    for url in ["ftp://provider.test/", "https://user:password@provider.test/", "data:text/plain,x"] {
        let error = connect_to(settings(), url).await.unwrap_err();
        assert!(matches!(error, ConnectError::Endpoint), "{url}: {error:?}");
    }
}

/// Security test C25: the client that a child process runs reaches the server, though every variable names
/// a proxy that is not there.
#[tokio::test]
async fn ambient_proxy_variables_are_ignored() {
    let server = Server::answering(ok("{}")).await;
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
    child.args(["connecting::child_of_ambient_proxy_variables", "--exact", "--ignored"]);
    for name in ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        child.env(name, "http://127.0.0.1:1");
    }
    let status = child.env("PROVIDER_TEST_URL", server.url().as_str()).status().await.unwrap();
    assert!(status.success());
    assert_eq!((server.connections(), server.presentations()), (1, 1));
}

#[tokio::test]
#[ignore = "run by ambient_proxy_variables_are_ignored"]
async fn child_of_ambient_proxy_variables() {
    let url = std::env::var("PROVIDER_TEST_URL").unwrap();
    let connected = connect_to(settings(), &url).await.unwrap();
    let answer = connected.send(request(), within(Duration::from_secs(10))).await;
    assert!(matches!(answer, Answer::Complete { .. }), "{answer:?}");
}
