//! The explicit proxy.

use std::{net::SocketAddr, sync::atomic::Ordering};

use secrecy::SecretString;
use token_broker::provider::{Answer, ConnectError, Egress, EgressSettings, InvalidEgress, Proxy};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::support::{PATIENT, Server, certified, connect_to, ok, request, resolver, settings, within};

/// A provider behind TLS.
async fn provider(acceptor: TlsAcceptor) -> Server {
    Server::new(move |peer| {
        let acceptor = acceptor.clone();
        async move {
            if let Some(mut peer) = peer.tls(&acceptor).await {
                peer.request().await;
                peer.write(&ok("{}")).await;
                peer.end().await;
            }
        }
    })
    .await
}

/// A proxy that connects everything to `target`, itself behind TLS if it is given an acceptor.
async fn proxy(target: SocketAddr, acceptor: Option<TlsAcceptor>) -> Server {
    Server::new(move |mut peer| {
        let acceptor = acceptor.clone();
        async move {
            let mut target = TcpStream::connect(target).await.unwrap();
            let established = b"HTTP/1.1 200 Connection established\r\n\r\n";
            if let Some(acceptor) = acceptor {
                let mut peer = peer.tls(&acceptor).await.unwrap();
                peer.request().await;
                peer.write(established).await;
                let _ = tokio::io::copy_bidirectional(&mut peer.stream, &mut target).await;
            } else {
                peer.request().await;
                peer.write(established).await;
                let _ = tokio::io::copy_bidirectional(&mut peer.stream, &mut target).await;
            }
        }
    })
    .await
}

fn through(url: &str) -> Proxy {
    Proxy { url: url.parse().unwrap(), credentials: None, ca: vec![] }
}

#[tokio::test]
async fn the_proxy_resolves_the_name_and_sees_no_secret() {
    let (root, acceptor) = certified(&["provider.test"], 2100);
    let provider = provider(acceptor).await;
    let proxy = proxy(provider.address, None).await;
    let (resolver, asked) = resolver(vec![vec![]]);
    let mut settings = EgressSettings {
        proxy: Some(through(&proxy.base())),
        extra_roots: vec![root],
        resolver,
        allow_private: vec![],
        ..settings()
    };
    settings.proxy.as_mut().unwrap().credentials = Some(SecretString::from("user:password"));
    let connected = connect_to(settings, "https://provider.test/oauth/token").await.unwrap();
    let answer = connected.send(request(), within(PATIENT)).await;
    assert!(matches!(answer, Answer::Complete { .. }), "{answer:?}");
    assert_eq!((provider.presentations(), proxy.presentations(), asked.load(Ordering::SeqCst)), (1, 0, 0));
    let heard = proxy.heard();
    assert!(heard.starts_with("CONNECT provider.test:443 HTTP/1.1\r\n"), "{heard}");
    assert!(heard.contains("Basic dXNlcjpwYXNzd29yZA=="), "{heard}");
}

#[tokio::test]
async fn a_proxy_behind_tls_has_its_own_roots() {
    let (root, acceptor) = certified(&["provider.test"], 2100);
    let provider = provider(acceptor).await;
    let (proxy_root, acceptor) = certified(&["proxy.test"], 2100);
    let proxy = proxy(provider.address, Some(acceptor)).await;
    let (resolver, _) = resolver(vec![vec![proxy.address]]);
    let mut settings = EgressSettings {
        proxy: Some(through("https://proxy.test")),
        extra_roots: vec![root],
        resolver,
        ..settings()
    };
    let error = connect_to(settings.clone(), "https://provider.test/").await.unwrap_err();
    assert!(matches!(error, ConnectError::Proxy(_)), "{error:?}");
    settings.proxy.as_mut().unwrap().ca = vec![proxy_root];
    let connected = connect_to(settings, "https://provider.test/").await.unwrap();
    connected.send(request(), within(PATIENT)).await;
    assert_eq!(provider.presentations(), 1);
}

#[tokio::test]
async fn a_proxy_that_refuses_is_the_proxys_failure() {
    let answers =
        ["HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", "", "garbage\r\n\r\n"];
    for answer in answers {
        let proxy = Server::answering(answer).await;
        let settings = EgressSettings { proxy: Some(through(&proxy.base())), ..settings() };
        let error = connect_to(settings, "https://provider.test/").await.unwrap_err();
        assert!(matches!(error, ConnectError::Proxy(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_proxy_is_no_way_to_a_private_address_or_to_plain_http() {
    let proxy = Server::answering("").await;
    let settings = EgressSettings { proxy: Some(through(&proxy.base())), ..settings() };
    let error = connect_to(settings.clone(), "https://169.254.169.254/").await.unwrap_err();
    assert!(matches!(error, ConnectError::PrivateAddress(_)), "{error:?}");
    let error = connect_to(settings, "http://provider.test/").await.unwrap_err();
    assert!(matches!(error, ConnectError::Plaintext), "{error:?}");
    assert_eq!(proxy.connections(), 0);
}

#[test]
fn a_proxys_url_holds_no_credentials() {
    for url in ["http://user:password@proxy.test", "socks5://proxy.test:1080"] {
        let settings = EgressSettings { proxy: Some(through(url)), ..settings() };
        assert!(matches!(Egress::new(settings), Err(InvalidEgress::Proxy)), "{url}");
    }
}
