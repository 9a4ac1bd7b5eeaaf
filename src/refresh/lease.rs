//! Client credentials (RFC 6749 section 4.4): a lease, no burn. An unknown outcome means asking again with
//! backoff. The token belongs to the OAuth client and is shared by the connections that are allowed to; asking
//! for one is also the call by which a client secret proves itself without burning anything.

use std::future::pending;

use super::{Landing, Refresher, Subject, Why, permits::Permitted, standing::Pass};
use crate::{
    error::{Reason, Refusal},
    model::{ConnectionName, Generation, OauthClientUid},
    provider::{Classified, Issued, SendLimits, TokenRequest, classify},
    store::Lease,
};

impl Refresher {
    /// A flight to the next token of a connection's OAuth client.
    pub(super) async fn renew_lease(&self, name: ConnectionName, why: Why) -> Result<Landing, Refusal> {
        let subject = self.directory.subject(&name).await?;
        if !subject.may_share_lease() {
            return Err(Refusal::new(Reason::PermissionDenied));
        }
        let secret = subject.client.current_secret.ok_or(Refusal::new(Reason::OauthClientRejected))?;
        // In the order of a refresh: who is on trial never waits for a permit of those who wait for the trial.
        let Permitted::Yes(_permit) = self.permit(&subject, why.urgency(), pending()).await? else {
            return Ok(Landing::Skipped);
        };
        let mut pass = self.standings.admit(subject.client.uid, secret).await?;
        let held =
            self.store.lease(subject.client.uid).await?.map_or(Generation(0), |lease| lease.generation);
        if subject.connection.generation_floor.0 + held.0 > why.generation.0 {
            self.forget_lease(subject.client.uid); // whoever brought it may have ended before it told
            return Ok(Landing::Done);
        }
        self.refuse_while_draining()?;
        match self.ask_for_lease(&subject, &mut pass).await? {
            Classified::Rotated(issued) | Classified::AccessOnly(issued) => {
                self.keep_lease(&subject, &issued).await?;
                Ok(Landing::Done)
            }
            other => Err(self.lease_refusal(&other)),
        }
    }

    /// Lets an unproven secret prove itself by a call that burns nothing. Where the provider does not offer that
    /// call to this app, nothing is proven and nothing is wrong: the refresh itself is the canary.
    pub(super) async fn prove(&self, subject: &Subject, pass: &mut Pass) -> Result<(), Refusal> {
        match self.ask_for_lease(subject, pass).await? {
            // Some providers end earlier tokens of this kind: whoever shares the lease gets this one.
            Classified::Rotated(issued) | Classified::AccessOnly(issued) => {
                self.keep_lease(subject, &issued).await
            }
            Classified::Refused { error: Some(error), .. } if not_offered(&error) => Ok(()),
            other => Err(self.lease_refusal(&other)),
        }
    }

    async fn ask_for_lease(&self, subject: &Subject, pass: &mut Pass) -> Result<Classified, Refusal> {
        let secret = self.vault.client_secret(subject).await?;
        let connected = self.connect(subject, pass).await?;
        let request = TokenRequest::client_credentials(&subject.profile, &subject.credentials(secret));
        let body_deadline = self.clock.since_boot() + self.settings.body_deadline;
        let limits = SendLimits { body_deadline, total: self.settings.total_timeout };
        let answer = connected.send(request, limits).await;
        let outcome = classify(&subject.profile, &answer, self.clock.now());
        match &outcome {
            // The secret was read and accepted; the grant type is not for this app. Still to be proven.
            Classified::Refused { error: Some(error), .. } if not_offered(error) => {}
            outcome => self.learn(subject, pass, outcome.breaker()),
        }
        Ok(outcome)
    }

    /// Stores a lease; a race with another holder ends with either's token, both good.
    async fn keep_lease(&self, subject: &Subject, issued: &Issued) -> Result<(), Refusal> {
        let client = &subject.client;
        let held = self.store.lease(client.uid).await?.map_or(Generation(0), |lease| lease.generation);
        let generation = held.next();
        let Some(access) = self.vault.seal_lease(client, generation, issued).await? else {
            return Err(Refusal::retry(Reason::ProviderUnavailable, self.settings.refusal_pause));
        };
        if self.store.put_lease(client.uid, &Lease { generation, access }).await? {
            self.forget_lease(client.uid);
            self.announce(client.uid.0, generation);
            tracing::info!(oauth_client = %client.name, %generation, "lease.renewed");
        }
        Ok(())
    }

    fn forget_lease(&self, client: OauthClientUid) {
        self.cache.remove_where(|cached| cached.is_lease_of(client));
    }

    fn lease_refusal(&self, outcome: &Classified) -> Refusal {
        let (reason, not_before) = match outcome {
            Classified::Refused { error: Some(error), not_before } if outcome_of_client(error) => {
                (Reason::OauthClientRejected, *not_before)
            }
            Classified::Refused { not_before, .. } => (Reason::ProviderRateLimited, *not_before),
            _ => (Reason::ProviderUnavailable, None),
        };
        let now = self.clock.now();
        Refusal::retry(reason, not_before.map_or(self.settings.refusal_pause, |at| at.since(now)))
    }
}

/// Refusals that speak of the grant type, not of the secret: the client was authenticated first.
fn not_offered(error: &str) -> bool {
    matches!(error, "unauthorized_client" | "unsupported_grant_type" | "invalid_scope" | "invalid_request")
}

fn outcome_of_client(error: &str) -> bool {
    error == "invalid_client" || not_offered(error)
}
