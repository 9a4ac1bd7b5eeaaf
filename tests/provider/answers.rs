//! From the first byte on: what a server may do, and what the client says became of the token.

use std::{sync::Arc, time::Duration};

use secrecy::{ExposeSecret as _, SecretString};
use token_broker::{
    clock::Clock,
    provider::{
        Answer, Classified, ClientAuth, Cut, NotSent, Profile, SendLimits, TokenInfo, TokenRequest,
        UnknownCause,
    },
};
use tokio::sync::Notify;

use crate::support::{
    IMPATIENT, NOW, PAIR, PATIENT, Server, client, connect, hang, meaning, ok, refresh, refresh_impatiently,
    request, within,
};

// === a good answer ===

#[tokio::test]
async fn the_token_travels_in_the_body_alone() {
    let server = Server::answering(ok(PAIR)).await;
    let answer = refresh(&server).await;
    let Classified::Rotated(issued) = meaning(&answer) else { panic!("{answer:?}") };
    assert_eq!(issued.refresh_token.unwrap().expose_secret(), "new-refresh");
    let (head, body) = server.head_and_body();
    let head = head.to_ascii_lowercase();
    assert!(head.starts_with("post /oauth/token http/1.1\r\n"), "{head}");
    for header in [
        &format!("host: {}", server.address),
        "accept-encoding: identity",
        "accept: application/json",
        "content-type: application/x-www-form-urlencoded",
        &format!("content-length: {}", body.len()),
    ] {
        assert!(head.contains(&format!("\r\n{header}")), "{header} in {head}");
    }
    assert!(
        !head.contains("canary") && !head.contains("transfer-encoding") && !head.contains("authorization")
    );
    assert_eq!(
        body,
        "grant_type=refresh_token&refresh_token=canary-refresh-token&client_id=client&client_secret=canary-client-secret"
    );
}

#[tokio::test]
async fn basic_authentication_moves_the_client_secret_and_nothing_else() {
    let server = Server::answering(ok(PAIR)).await;
    let profile = Profile { client_auth: ClientAuth::Basic, ..Profile::procore() };
    let mut client = client();
    client.secret = SecretString::from("p:ss wörd");
    let request = TokenRequest::refresh(&profile, &client, &SecretString::from("a&b=c d+é"));
    connect(&server).await.send(request, within(PATIENT)).await;
    let (head, body) = server.head_and_body();
    assert_eq!(body, "grant_type=refresh_token&refresh_token=a%26b%3Dc+d%2B%C3%A9");
    // client:p%3Ass+w%C3%B6rd
    assert!(head.contains("Basic Y2xpZW50OnAlM0Fzcyt3JUMzJUI2cmQ="), "{head}");
}

#[tokio::test]
async fn client_credentials_carry_no_refresh_token() {
    let server = Server::answering(ok(r#"{"access_token":"a","expires_in":5400}"#)).await;
    let request = TokenRequest::client_credentials(&Profile::procore(), &client());
    let answer = connect(&server).await.send(request, within(PATIENT)).await;
    assert!(matches!(meaning(&answer), Classified::AccessOnly(_)), "{answer:?}");
    assert!(server.heard().contains("grant_type=client_credentials&client_id=client&client_secret="));
}

#[tokio::test]
async fn slow_answer_settles() {
    let server = Server::new(|mut peer| async move {
        peer.request().await;
        tokio::time::sleep(IMPATIENT).await;
        for byte in ok(PAIR) {
            peer.write(&[byte]).await;
        }
        peer.end().await;
    })
    .await;
    let Classified::Rotated(issued) = meaning(&refresh(&server).await) else { panic!() };
    assert!(issued.issued_at < NOW, "the token is older than its answer");
}

#[tokio::test]
async fn malformed_or_many_headers_do_not_cost_the_pair() {
    let many = "X-Noise: x\r\n".repeat(900);
    let head = format!("HTTP/1.1 200 OK\r\nbad header line\r\n{many}Content-Length : {}\r\n\r\n", PAIR.len());
    let server = Server::answering(head + PAIR).await;
    let answer = refresh(&server).await;
    assert!(matches!(meaning(&answer), Classified::Rotated(_)), "{answer:?}");
}

// === no byte left ===

#[tokio::test]
async fn reset_right_after_accept() {
    let server = Server::new(|peer| async move { peer.reset() }).await;
    let connected = connect(&server).await;
    while !connected.is_closed() {
        tokio::task::yield_now().await;
    }
    let answer = connected.send(request(), within(PATIENT)).await;
    assert!(matches!(answer, Answer::NotSent { why: NotSent::Closed }), "{answer:?}");
}

#[tokio::test]
async fn body_refuses_after_its_deadline() {
    let server = Server::new(|mut peer| async move { peer.drain().await }).await;
    let limits = SendLimits { body_deadline: Clock::System.since_boot(), total: PATIENT };
    let answer = connect(&server).await.send(request(), limits).await;
    assert!(matches!(answer, Answer::NotSent { why: NotSent::Deadline }), "{answer:?}");
    assert_eq!(server.heard(), "", "not even the head");
}

#[tokio::test]
async fn too_many_requests_before_the_request() {
    let server = Server::new(|mut peer| async move {
        peer.write(b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n").await;
        peer.end().await;
    })
    .await;
    let answer = refresh(&server).await;
    let class = meaning(&answer);
    assert!(
        matches!(class, Classified::NotSent { .. } | Classified::Refused { .. })
            || server.presentations() == 1
    );
    if matches!(class, Classified::NotSent { .. }) {
        assert_eq!(server.presentations(), 0);
    }
}

#[tokio::test]
async fn too_many_requests_before_the_body_is_read() {
    let server = Server::new(|mut peer| async move {
        peer.stream.readable().await.unwrap();
        peer.write(b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n").await;
        peer.end().await;
    })
    .await;
    let answer = refresh(&server).await;
    let Classified::Refused { error: None, not_before } = meaning(&answer) else { panic!("{answer:?}") };
    assert_eq!(not_before, Some(NOW.plus(Duration::from_secs(7))));
}

// === the token left, and silence ===

#[tokio::test]
async fn peer_closed_and_the_write_raced() {
    let server = Server::new(|mut peer| async move {
        use tokio::io::AsyncWriteExt as _;
        peer.stream.shutdown().await.unwrap();
        peer.drain().await;
    })
    .await;
    // Whichever wins the race: what is called not sent was not seen.
    for _ in 0..20 {
        let before = server.presentations();
        match refresh(&server).await {
            Answer::NotSent { .. } => assert_eq!(server.presentations(), before),
            Answer::Silent { why: Cut::Closed } => {}
            answer => panic!("{answer:?}"),
        }
    }
}

#[tokio::test]
async fn read_all_then_fin() {
    let server = Server::answering("").await;
    let answer = refresh(&server).await;
    assert!(matches!(answer, Answer::Silent { why: Cut::Closed }), "{answer:?}");
    assert_eq!(server.presentations(), 1);
}

#[tokio::test]
async fn read_all_then_reset() {
    let server = Server::new(|mut peer| async move {
        peer.request().await;
        peer.reset();
    })
    .await;
    let answer = refresh(&server).await;
    assert!(matches!(answer, Answer::Silent { why: Cut::Closed }), "{answer:?}");
    assert_eq!((server.presentations(), server.connections()), (1, 1));
}

#[tokio::test]
async fn read_all_then_hang() {
    let server = Server::new(|mut peer| async move {
        peer.request().await;
        hang(peer).await;
    })
    .await;
    let answer = refresh_impatiently(&server).await;
    assert!(matches!(answer, Answer::Silent { why: Cut::TimedOut }), "{answer:?}");
    assert_eq!((server.presentations(), server.connections()), (1, 1));
}

#[tokio::test]
async fn garbage_instead_of_http() {
    let server = Server::answering("\x16\x03\x01 no HTTP at all\r\n\r\n").await;
    let answer = refresh(&server).await;
    assert!(matches!(answer, Answer::Silent { why: Cut::Malformed }), "{answer:?}");
    assert_eq!(server.presentations(), 1);
}

#[tokio::test]
async fn dropped_future_has_presented_the_token() {
    let read = Arc::new(Notify::new());
    let notify = Arc::clone(&read);
    let server = Server::new(move |mut peer| {
        let notify = Arc::clone(&notify);
        async move {
            peer.request().await;
            notify.notify_one();
            hang(peer).await;
        }
    })
    .await;
    let connected = connect(&server).await;
    let sending = tokio::spawn(async move { connected.send(request(), within(PATIENT)).await });
    read.notified().await;
    sending.abort();
    assert!(sending.await.unwrap_err().is_cancelled());
    assert_eq!(server.presentations(), 1);
}

// === redirects ===

#[tokio::test]
async fn redirects_are_never_followed() {
    let other = Server::answering(ok(PAIR)).await;
    for status in [301, 302, 303, 307, 308] {
        for location in [other.url().to_string(), "/oauth/token".to_owned()] {
            let server = Server::answering(format!(
                "HTTP/1.1 {status} Elsewhere\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
            ))
            .await;
            let answer = refresh(&server).await;
            let class = meaning(&answer);
            assert!(matches!(class, Classified::Unknown { why: UnknownCause::Redirect(_) }), "{class:?}");
            assert_eq!((server.presentations(), server.connections()), (1, 1), "{status} {location}");
        }
    }
    assert_eq!(other.connections(), 0);
}

/// What is kept for later may be lost just when it is used, and a client that keeps it is tempted to send again.
#[tokio::test]
async fn every_request_has_a_connection_of_its_own() {
    let server = Server::new(|mut peer| async move {
        while peer.request().await {
            peer.write(&ok(PAIR)).await;
        }
    })
    .await;
    for sent in 1..=3 {
        let answer = refresh(&server).await;
        assert!(matches!(answer, Answer::Complete { .. }), "{answer:?}");
        assert_eq!((server.presentations(), server.connections()), (sent, sent));
    }
}

// === token info ===

#[tokio::test]
async fn token_info_believes_plain_words_only() {
    for (answer, expected) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", TokenInfo::Alive),
        ("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}", TokenInfo::Dead),
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n{}", TokenInfo::Unknown),
        ("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", TokenInfo::Unknown),
        ("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}", TokenInfo::Unknown),
        ("", TokenInfo::Unknown),
    ] {
        let server = Server::answering(answer).await;
        let token = SecretString::from("an-access-token");
        assert_eq!(connect(&server).await.token_info(&token, PATIENT).await, expected, "{answer}");
        assert!(server.heard().starts_with("GET /oauth/token HTTP/1.1\r\n"));
        assert!(server.heard().contains("Bearer an-access-token"));
    }
}
