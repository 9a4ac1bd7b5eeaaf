//! Pairs from outside the rotation, and what operators ask for.

use std::{sync::Arc, time::Duration};

use secrecy::SecretString;

use super::{Cause, Destination, Refresher, Subject, Why};
use crate::{
    error::{Reason, Refusal},
    model::{
        ConnectionName, Epoch, Generation, GrantType, OauthClientUid, Reauthorise, Successor, Timestamp,
    },
    provider::Issued,
    store::Reauthorised,
};

/// A refresh token that was obtained elsewhere; whoever held it must not present it again.
#[derive(Debug)]
pub struct Import {
    /// The token.
    pub refresh_token: SecretString,
    /// The access token that came with it, and its end.
    pub access: Option<(SecretString, Timestamp)>,
}

impl Refresher {
    /// Makes an imported pair the connection's next generation.
    pub async fn import(&self, name: &ConnectionName, import: Import) -> Result<Generation, Refusal> {
        let subject = self.directory.subject(name).await?;
        if subject.connection.grant_type != GrantType::AuthorizationCode {
            return Err(Refusal::field("name", "a client-credentials connection has no refresh token"));
        }
        let sealer = self.vault.sealer(&subject.key_scope()).await?;
        let now = self.clock.now();
        let grant = self.store.grant(subject.connection.tenant_uid, subject.connection.uid).await?;
        let below = grant.as_ref().map_or(subject.connection.generation_floor, |grant| grant.generation);
        let epoch = grant.map_or(Epoch(0), |grant| grant.revoke_epoch);
        let uid = subject.connection.uid;
        let generation = self.generation_above(uid, below).await?;
        let issued = issued(import, now);
        let tokens = sealer.seal(&subject, generation, &issued);
        let Successor::Rotated(refresh) = tokens.refresh else { return Err(Refusal::new(Reason::Internal)) };
        let new = Reauthorise {
            generation,
            epoch,
            access: tokens.access,
            refresh,
            endpoint: subject.endpoint,
            holder_lost_after: self.settings.holder_lost_after,
        };
        self.witness_reauthorised(uid, generation, false).await?;
        let answer =
            self.store.reauthorise(subject.connection.tenant_uid, subject.connection.uid, new, now).await?;
        if matches!(answer, Reauthorised::Done(_)) {
            // Committed: without it the next presentation raises the witness itself.
            let _ = self.witness_reauthorised(uid, generation, true).await;
        }
        self.changed(&subject, generation);
        self.setbacks.clear(&Destination::Grant(subject.connection.uid));
        match answer {
            Reauthorised::Done(generation) => Ok(generation),
            // A refresh in flight is awaited: its answer may still come.
            Reauthorised::Refused => Err(Refusal::retry(Reason::RefreshInProgress, Duration::from_secs(5))),
            Reauthorised::TokenKnown => Err(Refusal::new(Reason::TokenAlreadyKnown)),
            Reauthorised::Gone => Err(Refusal::new(Reason::NotFound)),
        }
    }

    /// Refreshes now, whatever is left of the current token.
    pub async fn refresh_now(self: &Arc<Self>, name: &ConnectionName) -> Result<Generation, Refusal> {
        let subject = Arc::new(self.directory.subject(name).await?);
        let generation = self.current_generation(&subject).await?;
        self.setbacks.clear(&Destination::of(&subject));
        let entry = self.next(&subject, Why { cause: Cause::Operator, generation }).await?;
        Ok(entry.generation)
    }

    /// Something about a client has changed: what failed because of it may be tried at once.
    pub fn forget_setbacks(&self, client: OauthClientUid) {
        self.setbacks.clear(&Destination::Lease(client));
    }

    /// The generation that consumers see.
    pub async fn current_generation(&self, subject: &Subject) -> Result<Generation, Refusal> {
        let connection = &subject.connection;
        match connection.grant_type {
            GrantType::AuthorizationCode => {
                let grant = self.store.grant(connection.tenant_uid, connection.uid).await?;
                grant.map(|grant| grant.generation).ok_or(Refusal::new(Reason::AuthorizationPending))
            }
            GrantType::ClientCredentials => {
                let lease = self.store.lease(subject.client.uid).await?.map_or(0, |lease| lease.generation.0);
                Ok(Generation(connection.generation_floor.0 + lease))
            }
        }
    }
}

fn issued(import: Import, now: Timestamp) -> Issued {
    let (access_token, expires_at) = import.access.unzip();
    Issued {
        access_token,
        refresh_token: Some(import.refresh_token),
        token_type: "Bearer".to_owned(),
        expires_at: expires_at.unwrap_or(now),
        issued_at: now,
        scopes: Vec::new(),
    }
}
