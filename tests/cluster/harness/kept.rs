//! What journals and escrow still have to give.

use std::path::Path;

use redis::cmd;
use token_broker::{clock::Clock, config::Config, journal::Journal};

use super::settings::ENVIRONMENT;
use crate::servers::redis::Redis;

/// A receipt that no database has taken, or a record that nobody can read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Where it is.
    pub place: String,
    /// Whose answer it is; absent where it cannot be read.
    pub attempt: Option<String>,
}

/// Of a replica that has ended.
pub async fn in_journal(config: &Config) -> Vec<Kept> {
    let path: &Path = &config.journal.path;
    if !path.exists() {
        return Vec::new();
    }
    let place = format!("journal of {}", config.replica);
    let (journal, aside) = Journal::open(&config.journal, "checker", Clock::System).await.unwrap();
    let pending = journal.pending();
    journal.close().await.unwrap();
    let unreadable = aside.iter().map(|_| Kept { place: place.clone(), attempt: None });
    let pending = pending
        .iter()
        .map(|receipt| Kept { place: place.clone(), attempt: Some(receipt.attempt().to_string()) });
    unreadable.chain(pending).collect()
}

/// Receipts that nobody has marked as settled.
pub async fn in_escrow(redis: &Redis) -> Vec<Kept> {
    let index = format!("token-broker:{ENVIRONMENT}:escrow-pending");
    let attempts: Vec<String> = redis.run(cmd("ZRANGE").arg(index).arg(0).arg(-1)).await;
    let kept = |attempt| Kept { place: "escrow".to_owned(), attempt: Some(attempt) };
    attempts.into_iter().map(kept).collect()
}
