//! One connection, one request, one answer.

use std::{error::Error as _, io, pin::pin, time::Duration};

use http::{HeaderValue, Method, Request, header, request};
use http_body_util::BodyExt as _;
use hyper::{
    body::Incoming,
    client::conn::http1::{Builder, SendRequest},
};
use hyper_util::rt::TokioIo;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;
use url::{Position, Url};
use zeroize::Zeroizing;

use super::{Answer, Body, Cut, Latch, NotSent, OneShot, Response, TokenInfo, TokenRequest, stream::Stream};
use crate::clock::Clock;

/// How much of an answer is read.
pub const MAX_ANSWER: usize = 1024 * 1024;
/// For what came in time and was not read in time.
const LAST_LOOK: Duration = Duration::from_millis(250);

/// A connection that is ready to send. It carries one request.
#[derive(Debug)]
pub struct Connected {
    endpoint: Url,
    clock: Clock,
    sender: SendRequest<OneShot>,
    _connection: AbortOnDropHandle<()>,
}

/// How long a request may take.
#[derive(Clone, Copy, Debug)]
pub struct SendLimits {
    /// When the body refuses to leave, by [`Clock::since_boot`](crate::clock::Clock::since_boot).
    pub body_deadline: Duration,
    /// How long an answer is waited for and read: long, since giving up turns a slow success into a lost token.
    pub total: Duration,
}

impl Connected {
    /// Speaks HTTP/1.1 over `stream`; nothing is sent yet.
    pub(super) async fn new(stream: Stream, endpoint: Url, clock: Clock) -> hyper::Result<Self> {
        // Headers that are malformed, or many, must not cost the pair in the body beside them.
        let (sender, connection) = Builder::new()
            .max_headers(1000)
            .ignore_invalid_headers_in_responses(true)
            .allow_spaces_after_header_name_in_responses(true)
            .allow_obsolete_multiline_headers_in_responses(true)
            .handshake(TokioIo::new(stream))
            .await?;
        let connection = async {
            if let Err(error) = connection.await {
                tracing::debug!(error = &error as &dyn std::error::Error, "provider connection ended");
            }
        };
        let connection = AbortOnDropHandle::new(tokio::spawn(connection));
        Ok(Self { endpoint, clock, sender, _connection: connection })
    }

    /// Whether the peer has ended the connection already: then there is nothing to spend on it.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends `request` at most once. Dropping the future after the token was handed over loses the answer: run
    /// it where nobody can cancel it.
    pub async fn send(self, request: TokenRequest, limits: SendLimits) -> Answer {
        let TokenRequest { body, authorization } = request;
        let mut head = self
            .head(Method::POST)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::CONTENT_LENGTH, body.len());
        if let Some(authorization) = authorization {
            head = head.header(header::AUTHORIZATION, authorization);
        }
        let body = OneShot::new(body, limits.body_deadline, self.clock.clone());
        self.exchange(head, body, limits.total).await
    }

    /// Asks whether `access_token` is alive, on a connection to a token-info endpoint. Only a plain yes or no
    /// counts: anything else may be a gateway's word.
    pub async fn token_info(self, access_token: &SecretString, total: Duration) -> TokenInfo {
        let bearer = Zeroizing::new(format!("Bearer {}", access_token.expose_secret()));
        let Ok(mut bearer) = HeaderValue::from_str(&bearer) else { return TokenInfo::Unknown };
        bearer.set_sensitive(true);
        let head = self.head(Method::GET).header(header::AUTHORIZATION, bearer);
        match self.exchange(head, OneShot::empty(), total).await {
            Answer::Complete { response } if response.status == 200 => TokenInfo::Alive,
            Answer::Complete { response } if response.status == 401 => TokenInfo::Dead,
            _ => TokenInfo::Unknown,
        }
    }

    fn head(&self, method: Method) -> request::Builder {
        let host = &self.endpoint[Position::BeforeHost..Position::AfterPort];
        // No content coding: of a torn one not even the beginning could be read.
        Request::builder()
            .method(method)
            .uri(&self.endpoint[Position::BeforePath..Position::AfterQuery])
            .header(header::HOST, host)
            .header(header::USER_AGENT, concat!("token-broker/", env!("CARGO_PKG_VERSION")))
            .header(header::ACCEPT, "application/json")
            .header(header::ACCEPT_ENCODING, "identity")
            .header(header::CONNECTION, "close")
    }

    async fn exchange(mut self, head: request::Builder, body: OneShot, total: Duration) -> Answer {
        let latch = body.latch();
        let request = head.body(body).expect("its parts are a parsed URL and header values");
        let started = Instant::now();
        let head = match within(total, self.sender.send_request(request)).await {
            Some(Ok(head)) => head,
            Some(Err(error)) => return no_answer(&latch, cut(&error)),
            None => return no_answer(&latch, Cut::TimedOut),
        };
        let (parts, incoming) = head.into_parts();
        let mut body = Body::default();
        let left = total.saturating_sub(started.elapsed());
        let end = within(left, read(incoming, &mut body)).await.unwrap_or(Err(Cut::TimedOut));
        let handed = !latch.seal();
        let took = started.elapsed();
        let response = Response { status: parts.status, headers: parts.headers, body, handed, took };
        match end {
            Ok(()) => Answer::Complete { response },
            Err(why) => Answer::Torn { response, why },
        }
    }
}

/// A process that was stopped wakes up with its time over and the answer in the kernel's buffers: one more look.
async fn within<T>(total: Duration, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    match timeout(total, &mut future).await {
        Ok(done) => Some(done),
        Err(_) => timeout(LAST_LOOK, future).await.ok(),
    }
}

/// Sealing decides: a body that has not left by now never will, though the connection's task may still live.
fn no_answer(latch: &Latch, why: Cut) -> Answer {
    if !latch.seal() {
        return Answer::Silent { why };
    }
    let why = match why {
        _ if latch.late() => NotSent::Deadline,
        Cut::TimedOut => NotSent::TimedOut,
        _ => NotSent::Closed,
    };
    Answer::NotSent { why }
}

/// Reads by chunks: whatever came before the end is kept.
async fn read(mut incoming: Incoming, body: &mut Body) -> Result<(), Cut> {
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| cut(&error))?;
        let Ok(data) = frame.into_data() else { continue };
        let room = MAX_ANSWER - body.as_bytes().len();
        body.extend(&data[..data.len().min(room)]);
        if data.len() > room {
            return Err(Cut::TooLarge);
        }
    }
    Ok(())
}

fn cut(error: &hyper::Error) -> Cut {
    tracing::debug!(error = error as &dyn std::error::Error, "provider answer cut short");
    let io = error.source().and_then(|source| source.downcast_ref::<io::Error>()).map(io::Error::kind);
    match io {
        _ if error.is_parse() => Cut::Malformed,
        Some(io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => Cut::Malformed,
        _ => Cut::Closed,
    }
}
