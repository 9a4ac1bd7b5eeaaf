//! F18 to F23: everything that a network and a provider do instead of answering properly. The provider counts.

use futures_util::future::join_all;

use crate::harness::{Caller, reason};

mod answers;
mod bodies;
mod hosts;
mod network;

/// What a row came to.
#[derive(Debug)]
struct Row {
    group: &'static str,
    name: String,
    /// Of the row's refresh token.
    presentations: usize,
    /// What the first callers heard.
    heard: String,
    /// What the broker thinks of the grant in the end.
    state: String,
}

const HEADER: [&str; 5] = ["row", "fault", "presented", "the first callers heard", "state after"];

impl Row {
    fn cells(&self) -> [String; 5] {
        let Self { group, name, presentations, heard, state } = self;
        [(*group).to_owned(), name.clone(), presentations.to_string(), heard.clone(), state.clone()]
    }
}

/// What three callers at once hear, in a word: all of them the same.
async fn ask(caller: &Caller, name: &str) -> String {
    let heard = join_all((0..3).map(|_| async {
        match caller.token(name).await {
            Ok(token) if token.advice.is_some() => "a token, with advice".to_owned(),
            Ok(_) => "a token".to_owned(),
            Err(status) => reason(&status),
        }
    }))
    .await;
    assert!(heard.iter().all(|word| *word == heard[0]), "{name}: {heard:?}");
    heard.into_iter().next().unwrap()
}
