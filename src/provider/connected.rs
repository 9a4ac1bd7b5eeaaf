//! One connection, one request, one answer.

use std::time::Duration;

use secrecy::SecretString;

use super::{Answer, TokenInfo, TokenRequest};

/// How much of an answer is read.
pub const MAX_ANSWER: usize = 1024 * 1024;

/// A connection that is ready to send. It carries one request.
#[derive(Debug)]
pub struct Connected {}

/// How long a request may take.
#[derive(Clone, Copy, Debug)]
pub struct SendLimits {
    /// When the body refuses to leave, by [`Clock::since_boot`](crate::clock::Clock::since_boot).
    pub body_deadline: Duration,
    /// How long an answer is waited for and read: long, since giving up turns a slow success into a lost token.
    pub total: Duration,
}

impl Connected {
    /// Sends `request` at most once. Dropping the future after the token was handed over loses the answer: run
    /// it where nobody can cancel it.
    pub async fn send(self, request: TokenRequest, limits: SendLimits) -> Answer {
        let _ = (request, limits);
        todo!()
    }

    /// Asks whether `access_token` is alive, on a connection to a token-info endpoint.
    pub async fn token_info(self, access_token: &SecretString, total: Duration) -> TokenInfo {
        let _ = (access_token, total);
        todo!()
    }
}
