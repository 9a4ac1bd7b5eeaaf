//! Callers of a whole fleet.

use std::time::Duration;

use futures_util::future::join_all;
use token_broker_proto::v1::GetAccessTokenResponse;
use tokio::task::JoinHandle;
use tonic::Status;

use super::{Caller, Fleet, Known, guarded, reason, until};

/// Why a caller should ask again.
const PASSING: [&str; 5] = [
    "STORE_UNAVAILABLE",
    "REFRESH_IN_PROGRESS",
    "PROVIDER_UNAVAILABLE",
    "PROVIDER_RATE_LIMITED",
    "OAUTH_CLIENT_REJECTED",
];

/// Callers that wait.
pub struct Calls(Vec<JoinHandle<Result<GetAccessTokenResponse, Status>>>);

impl Calls {
    /// How many there are.
    pub const fn count(&self) -> usize {
        self.0.len()
    }

    /// What each heard, once all have heard something.
    pub async fn answers(self) -> Vec<Result<GetAccessTokenResponse, Status>> {
        let answers = guarded("every caller is answered", join_all(self.0)).await;
        answers.into_iter().map(Result::unwrap).collect()
    }

    /// Everybody was given a token; how many.
    pub async fn all_served(self) -> usize {
        let answers = self.answers().await;
        let refused = answers.iter().find(|answer| answer.is_err());
        assert!(refused.is_none(), "{refused:?}");
        answers.len()
    }
}

impl Fleet {
    /// A caller of each replica that runs asks for each connection.
    pub async fn everybody_asks(&self, known: &[Known]) -> Calls {
        let callers = self.callers().await;
        self.ask(&callers, known)
    }

    /// Each caller asks for each connection.
    pub fn ask(&self, callers: &[Caller], known: &[Known]) -> Calls {
        let pairs = callers.iter().flat_map(|caller| known.iter().map(move |known| (caller, known)));
        let calls = pairs.map(|(caller, known)| {
            let (caller, heard, name) = (caller.clone(), self.heard(), known.name.clone());
            tokio::spawn(async move { heard.token(&caller, &name).await })
        });
        Calls(calls.collect())
    }

    /// The same, again and again until there is a token, or a reason that asking again will not change.
    pub fn insist(&self, callers: &[Caller], known: &[Known]) -> Calls {
        let pairs = callers.iter().flat_map(|caller| known.iter().map(move |known| (caller, known)));
        let calls = pairs.map(|(caller, known)| {
            let (caller, heard, name) = (caller.clone(), self.heard(), known.name.clone());
            tokio::spawn(async move {
                loop {
                    match heard.token(&caller, &name).await {
                        Err(status) if PASSING.contains(&reason(&status).as_str()) => {}
                        answer => return answer,
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            })
        });
        Calls(calls.collect())
    }

    /// How often the newest authorisations' first tokens were presented.
    pub fn presented(&self, known: &[Known]) -> usize {
        known.iter().map(|known| self.simulator.presentations_of(&known.refresh_token).len()).sum()
    }

    /// Waits until each of them was presented.
    pub async fn all_presented(&self, known: &[Known]) {
        until("the provider holds an answer for each", async || self.presented(known) >= known.len()).await;
    }
}
