//! Grants and the tokens issued for them.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::config::Environment;

/// Why a grant has no live refresh token any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// A refusal consumed the refresh token.
    ConsumedByRefusal,
    /// A fault consumed it without issuing another.
    ConsumedByFault,
    /// `/oauth/revoke`.
    Revoked,
    /// The user removed the app under "My Connected Apps".
    RevokedByUser,
    /// The client's secret was reset.
    SecretReset,
    /// A spent refresh token or code was presented again.
    Replayed,
    /// The environment was overwritten.
    Wiped,
}

/// An access and refresh token issued together; its strings are as the client got them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenPair {
    /// Where it is valid.
    pub environment: Environment,
    /// Whose it is.
    pub client_id: String,
    /// The authorization it descends from.
    pub grant_id: String,
    /// Rotations since the authorization; 0 for the first pair.
    pub generation: u64,
    /// The access token.
    pub access_token: String,
    /// The refresh token.
    pub refresh_token: String,
    /// Lower-case hexadecimal SHA-256 of the refresh token.
    pub refresh_fingerprint: String,
    /// Life of the access token at issue, in seconds.
    pub expires_in: u64,
    /// Issue time by the simulator's clock, Unix seconds.
    pub created_at: i64,
}

/// Where a grant stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GrantState {
    /// Its id.
    pub grant_id: String,
    /// Where it is valid.
    pub environment: Environment,
    /// Whose it is.
    pub client_id: String,
    /// Who authorized it.
    pub user: u64,
    /// Generation of the newest pair.
    pub generation: u64,
    /// SHA-256 of each refresh token that would be accepted now; more than one only in mode B.
    pub live_refresh_fingerprints: Vec<String>,
    /// Why it ended; none while a refresh token is live.
    pub ended: Option<EndReason>,
}

#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) environment: Environment,
    pub(crate) client_id: String,
    pub(crate) user: u64,
    pub(crate) generation: u64,
    /// Its live refresh tokens, oldest first.
    pub(crate) live: Vec<String>,
    pub(crate) ended: Option<EndReason>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Live,
    Spent,
    Revoked,
}

#[derive(Clone, Debug)]
pub(crate) struct RefreshToken {
    pub(crate) id: String,
    pub(crate) life: Life,
    pub(crate) pair: TokenPair,
}

#[derive(Clone, Debug)]
pub(crate) struct AccessToken {
    pub(crate) environment: Environment,
    pub(crate) client_id: String,
    /// The user it acts for; none for client credentials.
    pub(crate) user: Option<u64>,
    pub(crate) grant_id: Option<String>,
    pub(crate) refresh_token: Option<String>,
    /// In mode B, the refresh token that dies when this access token is first used.
    pub(crate) supersedes: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) ttl: u64,
    pub(crate) revoked: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Code {
    pub(crate) environment: Environment,
    pub(crate) client_id: String,
    pub(crate) redirect_uri: String,
    pub(crate) user: u64,
    pub(crate) company: u64,
    pub(crate) expires_at: i64,
    pub(crate) used: bool,
    pub(crate) grant_id: Option<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) grants: BTreeMap<String, Grant>,
    pub(crate) refresh: HashMap<String, RefreshToken>,
    pub(crate) access: HashMap<String, AccessToken>,
    pub(crate) codes: HashMap<String, Code>,
}

impl Life {
    pub(crate) fn is_live(self) -> bool {
        self == Self::Live
    }
}

impl AccessToken {
    pub(crate) fn expires_at(&self) -> i64 {
        self.created_at.saturating_add_unsigned(self.ttl)
    }
}

impl Ledger {
    pub(crate) fn refresh_token(&self, environment: Environment, token: &str) -> Option<&RefreshToken> {
        self.refresh.get(token).filter(|record| record.pair.environment == environment)
    }

    pub(crate) fn access_token(&self, environment: Environment, token: &str) -> Option<&AccessToken> {
        self.access.get(token).filter(|record| record.environment == environment)
    }

    pub(crate) fn code(&self, environment: Environment, code: &str) -> Option<&Code> {
        self.codes.get(code).filter(|record| record.environment == environment)
    }

    pub(crate) fn add_refresh_token(&mut self, token: RefreshToken) {
        let text = token.pair.refresh_token.clone();
        let grant = self.grants.get_mut(&token.pair.grant_id).expect("tokens name a grant that exists");
        grant.generation = grant.generation.max(token.pair.generation);
        grant.live.push(text.clone());
        self.refresh.insert(text, token);
    }

    /// Takes a refresh token out of use, without saying that its grant is over.
    pub(crate) fn retire(&mut self, token: &str, life: Life) {
        let Some(record) = self.refresh.get_mut(token) else { return };
        record.life = life;
        if let Some(grant) = self.grants.get_mut(&record.pair.grant_id) {
            grant.live.retain(|live| live != token);
        }
    }

    pub(crate) fn revoke_access(&mut self, token: &str) {
        if let Some(record) = self.access.get_mut(token) {
            record.revoked = true;
        }
    }

    /// Kills every token of a grant.
    pub(crate) fn end_grant(&mut self, grant_id: &str, reason: EndReason) {
        for pair in self.live_pairs(grant_id) {
            self.kill(&pair.refresh_token, Life::Revoked, reason);
        }
        for token in self.access.values_mut().filter(|token| token.grant_id.as_deref() == Some(grant_id)) {
            token.revoked = true;
        }
    }

    /// Takes a live refresh token out of use without a successor, which may end its grant.
    pub(crate) fn kill(&mut self, token: &str, life: Life, reason: EndReason) {
        let Some(record) = self.refresh.get(token).filter(|record| record.life.is_live()) else { return };
        let grant_id = record.pair.grant_id.clone();
        self.retire(token, life);
        if let Some(grant) = self.grants.get_mut(&grant_id).filter(|grant| grant.live.is_empty()) {
            grant.ended.get_or_insert(reason);
        }
    }

    /// Ids of the grants of a client, or of just one user of it.
    pub(crate) fn grants_of(&self, environment: Environment, client: &str, user: Option<u64>) -> Vec<String> {
        let wanted = |grant: &Grant| {
            grant.environment == environment
                && grant.client_id == client
                && user.is_none_or(|user| grant.user == user)
        };
        self.grants.iter().filter(|(_, grant)| wanted(grant)).map(|(id, _)| id.clone()).collect()
    }

    /// The pairs whose refresh token is live, newest first.
    pub(crate) fn live_pairs(&self, grant_id: &str) -> Vec<TokenPair> {
        let live = self.grants.get(grant_id).into_iter().flat_map(|grant| grant.live.iter().rev());
        live.map(|token| self.refresh[token].pair.clone()).collect()
    }

    pub(crate) fn grant_state(&self, grant_id: &str) -> Option<GrantState> {
        let grant = self.grants.get(grant_id)?;
        let live = self.live_pairs(grant_id);
        Some(GrantState {
            grant_id: grant_id.to_owned(),
            environment: grant.environment,
            client_id: grant.client_id.clone(),
            user: grant.user,
            generation: grant.generation,
            live_refresh_fingerprints: live.into_iter().map(|pair| pair.refresh_fingerprint).collect(),
            ended: grant.ended,
        })
    }
}
