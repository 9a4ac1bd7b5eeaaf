//! An answer that tears: before the new refresh token it is a doubt, behind it the pair.

use secrecy::ExposeSecret as _;
use token_broker::provider::{Answer, Classified, Cut, MAX_ANSWER, UnknownCause};

use crate::support::{IMPATIENT, PAIR, Server, hang, meaning, ok, refresh, refresh_impatiently};

#[derive(Clone, Copy)]
enum Ending {
    Fin,
    Reset,
    Hang,
}

/// Announces the whole pair, sends it up to `end`, and ends.
async fn torn(end: &str, ending: Ending) -> (Classified, Cut) {
    let whole = ok(PAIR);
    let from_body = PAIR.find(end).unwrap() + end.len();
    let part = whole[..whole.len() - PAIR.len() + from_body].to_vec();
    let server = Server::new(move |mut peer| {
        let part = part.clone();
        async move {
            peer.request().await;
            peer.write(&part).await;
            match ending {
                Ending::Fin => peer.end().await,
                Ending::Hang => hang(peer).await,
                Ending::Reset => {
                    // What is not read before a reset is gone on arrival.
                    tokio::time::sleep(IMPATIENT).await;
                    peer.reset();
                }
            }
        }
    })
    .await;
    let answer = match ending {
        Ending::Hang => refresh_impatiently(&server).await,
        _ => refresh(&server).await,
    };
    assert_eq!((server.presentations(), server.connections()), (1, 1));
    let Answer::Torn { why, .. } = answer else { panic!("{answer:?}") };
    (meaning(&answer), why)
}

async fn torn_before(ending: Ending, expected: Cut) {
    let (class, why) = torn(r#""refresh_token":"new-ref"#, ending).await;
    assert_eq!(why, expected);
    assert!(
        matches!(class, Classified::Unknown { why: UnknownCause::Torn(cut) } if cut == expected),
        "{class:?}"
    );
}

async fn torn_after(ending: Ending, expected: Cut) {
    let (class, why) = torn(r#""refresh_token":"new-refresh""#, ending).await;
    assert_eq!(why, expected);
    let Classified::Rotated(issued) = class else { panic!("{class:?}") };
    assert_eq!(issued.access_token.unwrap().expose_secret(), "new-access");
    assert_eq!(issued.refresh_token.unwrap().expose_secret(), "new-refresh");
}

#[tokio::test]
async fn ok_then_fin_before_the_refresh_token() {
    torn_before(Ending::Fin, Cut::Closed).await;
}

#[tokio::test]
async fn ok_then_reset_before_the_refresh_token() {
    torn_before(Ending::Reset, Cut::Closed).await;
}

#[tokio::test]
async fn ok_then_hang_before_the_refresh_token() {
    torn_before(Ending::Hang, Cut::TimedOut).await;
}

#[tokio::test]
async fn ok_then_fin_after_the_refresh_token() {
    torn_after(Ending::Fin, Cut::Closed).await;
}

#[tokio::test]
async fn ok_then_reset_after_the_refresh_token() {
    torn_after(Ending::Reset, Cut::Closed).await;
}

#[tokio::test]
async fn ok_then_hang_after_the_refresh_token() {
    torn_after(Ending::Hang, Cut::TimedOut).await;
}

#[tokio::test]
async fn chunked_garbage_after_the_pair() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let server = Server::answering(format!("{head}{:x}\r\n{PAIR}\r\nnot a size\r\n", PAIR.len())).await;
    let answer = refresh(&server).await;
    assert!(matches!(answer, Answer::Torn { why: Cut::Malformed, .. }), "{answer:?}");
    assert!(matches!(meaning(&answer), Classified::Rotated(_)));
}

#[tokio::test]
async fn an_endless_body_is_read_to_the_limit() {
    let server = Server::new(|mut peer| async move {
        use tokio::io::AsyncWriteExt as _;
        peer.request().await;
        peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n{\"junk\":\"").await;
        while peer.stream.write_all(&[b'x'; 8192]).await.is_ok() {}
    })
    .await;
    let answer = refresh(&server).await;
    let Answer::Torn { response, why: Cut::TooLarge } = &answer else { panic!("{answer:?}") };
    assert_eq!(response.body.as_bytes().len(), MAX_ANSWER);
    assert!(matches!(meaning(&answer), Classified::Unknown { .. }));
}
