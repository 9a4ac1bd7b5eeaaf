//! From "the grant is due" to the answer: everything ready, the burn, and the one presentation.

use std::time::Duration;

use rand::Rng as _;
use secrecy::SecretString;

use super::{
    Refresher, Subject, Why,
    standing::Pass,
    vault::{self, Sealer},
};
use crate::{
    coordination::LeaseOutcome,
    error::{Reason, Refusal},
    model::{
        AttemptId, Burn, BurnFate, Closing, ConnectionUid, Fingerprint, Generation, GrantFacts, Nonce,
        RawAnswer, Receipt, Sealed, State, TenantUid, Timestamp, Tokens,
    },
    provider::{Answer, Connected, SendLimits, TokenRequest},
    seal::OpenError,
    store::{StoreError, postgres::Incarnation},
};

/// Everything that a presentation needs, at hand before the burn: afterwards nothing is acquired, only used.
pub(super) struct Ready {
    generation: Generation,
    parent: Fingerprint,
    sealer: Sealer,
    secret: SecretString,
    connected: Connected,
}

/// What there is to do for a grant.
pub(super) enum Look {
    /// It may be refreshed now.
    Due(GrantFacts),
    /// Its generation is another already.
    MovedOn,
    /// Somebody holds its refresh token.
    UnderWay,
}

/// A burnt token on its way out.
pub(super) struct Spend {
    held: Holding,
    /// The database that was known before the burn.
    pub(super) database: Option<Incarnation>,
    request: TokenRequest,
    connected: Connected,
    limits: SendLimits,
}

/// The attempt that this process holds, and what settles it.
pub(super) struct Holding {
    tenant: TenantUid,
    connection: ConnectionUid,
    burn: Burn,
    /// Of the token that is presented.
    parent: Fingerprint,
    pub(super) sealer: Sealer,
}

impl Holding {
    pub(super) const fn attempt(&self) -> AttemptId {
        self.burn.attempt
    }

    /// The generation that is presented.
    pub(super) const fn generation(&self) -> Generation {
        self.burn.generation
    }

    /// An answer that nobody could read.
    pub(super) fn raw(&self, sealed: Sealed, received_at: Timestamp) -> RawAnswer {
        let Self { tenant, connection, ref burn, .. } = *self;
        RawAnswer { tenant, connection, burn: burn.clone(), received_at, sealed }
    }

    /// The answer as every medium keeps it.
    pub(super) fn receipt(&self, tokens: Tokens, received_at: Timestamp) -> Receipt {
        let Self { tenant, connection, ref burn, parent, .. } = *self;
        Receipt { tenant, connection, burn: burn.clone(), parent, received_at, tokens }
    }
}

impl Spend {
    /// Presents the token, once.
    pub(super) async fn send(self) -> (Holding, Answer) {
        let answer = self.connected.send(self.request, self.limits).await;
        (self.held, answer)
    }

    pub(super) const fn attempt(&self) -> AttemptId {
        self.held.attempt()
    }

    pub(super) const fn generation(&self) -> Generation {
        self.held.generation()
    }
}

impl Refresher {
    /// The secret is proven, or it is ours to prove: by a call that burns nothing where the profile has one, else
    /// by this refresh.
    pub(super) async fn admit(&self, subject: &Subject) -> Result<Pass, Refusal> {
        let secret = subject.client.current_secret.ok_or(Refusal::new(Reason::OauthClientRejected))?;
        loop {
            let listening = self.wakes.listen(subject.client.uid.0);
            let mut pass = self.standings.admit(subject.client.uid, secret).await?;
            if pass.is_trial() && subject.profile.client_credentials {
                self.prove(subject, &mut pass).await?;
            }
            let Some(redis) = self.fleet.redis.as_ref().filter(|_| pass.is_trial()) else { return Ok(pass) };
            match redis.trial(subject.client.uid, secret).await {
                LeaseOutcome::Held(canary) => pass.hold(canary), // one canary for the whole fleet
                LeaseOutcome::Away(_) => {}
                LeaseOutcome::Elsewhere => {
                    drop(pass);
                    let waited = tokio::time::timeout(self.settings.look_again, listening.told());
                    let _ = self.draining.run_until_cancelled(waited).await;
                    self.refuse_while_draining()?;
                    continue;
                }
            }
            return Ok(pass);
        }
    }

    /// What there is to do for a grant; a refusal where nothing is to be had.
    pub(super) async fn look(&self, subject: &Subject, why: Why) -> Result<Look, Refusal> {
        let grant = self.store.grant(subject.connection.tenant_uid, subject.connection.uid).await?;
        let grant = grant.ok_or(Refusal::new(Reason::AuthorizationPending))?;
        if grant.generation != why.generation {
            return Ok(Look::MovedOn);
        }
        if matches!(grant.state, State::Dispatched { .. }) {
            return Ok(Look::UnderWay);
        }
        if let Some(refusal) = refusal_of(grant.state, self.settings.refusal_pause) {
            return Err(refusal);
        }
        let now = self.clock.now();
        match grant.not_before {
            Some(at) if at > now => Err(Refusal::retry(Reason::ProviderRateLimited, at.since(now))),
            _ if grant.endpoint != subject.endpoint => Err(Refusal::new(Reason::EndpointChanged)),
            _ => Ok(Look::Due(grant)),
        }
    }

    /// Keys in memory, the client secret, room for the answer, a connection with TLS: a failure here costs nothing.
    pub(super) async fn ready(
        &self,
        subject: &Subject,
        due: &GrantFacts,
        pass: &mut Pass,
    ) -> Result<Ready, Refusal> {
        let sealer = self.vault.sealer(&subject.key_scope()).await?;
        let secret = self.vault.client_secret(subject).await?;
        self.copies_ready().await?;
        self.reach("ready").await;
        let connected = self.connect(subject, pass).await?;
        let parent = due.fingerprint.ok_or(Refusal::new(Reason::ReauthorizationRequired))?;
        Ok(Ready { generation: due.generation, parent, sealer, secret, connected })
    }

    /// Connects to the token endpoint. A certificate for another name is a misrouted host, for the whole fleet.
    pub(super) async fn connect(&self, subject: &Subject, pass: &mut Pass) -> Result<Connected, Refusal> {
        self.egress.connect(&subject.endpoints.token_endpoint).await.map_err(|error| {
            self.learn(subject, pass, error.breaker());
            Refusal {
                retry_after: Some(self.settings.refusal_pause),
                ..Refusal::because(Reason::ProviderUnavailable, &error)
            }
        })
    }

    /// Burns the token, then reads it: in this order, or it could be sent twice. `None`: somebody was faster.
    pub(super) async fn burn(
        &self,
        subject: &Subject,
        ready: Ready,
        why: Why,
    ) -> Result<Option<Spend>, Refusal> {
        let Ready { generation, parent, sealer, secret, connected } = ready;
        if connected.is_closed() {
            return Err(Refusal::retry(Reason::ProviderUnavailable, self.settings.refusal_pause));
        }
        let (tenant, connection) = (subject.connection.tenant_uid, subject.connection.uid);
        let attempt = AttemptId(vault::new_uid());
        let mut nonce = Nonce([0; 32]);
        vault::random().fill_bytes(&mut nonce.0);
        let burn = Burn {
            attempt,
            generation,
            nonce: nonce.hash(),
            replica: self.replica.clone(),
            cause: why.cause.as_str().to_owned(),
        };
        let body_deadline = self.clock.since_boot() + self.settings.body_deadline;
        self.reach("before_burn").await;
        if connected.is_closed() {
            return Err(Refusal::retry(Reason::ProviderUnavailable, self.settings.refusal_pause));
        }
        let database = self.fleet.lineage.as_ref().and_then(|lineage| lineage.known());
        if !self.burn_committed(subject, burn.clone()).await? {
            return Ok(None);
        }
        self.reach("burnt").await;
        let sealed = match self.store.take(tenant, attempt, nonce).await {
            Ok(Some(sealed)) => sealed,
            Ok(None) => return self.give_back(tenant, attempt, Reason::RefreshInProgress).await,
            Err(error) => {
                tracing::warn!(%error, %attempt, "take.failed");
                return self.give_back(tenant, attempt, Reason::StoreUnavailable).await;
            }
        };
        let token = match sealer.open_refresh(subject, generation, &sealed) {
            Ok(token) => token,
            Err(OpenError::UnknownKey(key)) => {
                tracing::error!(%key, connection = %subject.connection.name, "refresh_token.unknown_key");
                return self.give_back(tenant, attempt, Reason::KeyUnavailable).await;
            }
            Err(error @ (OpenError::BadTag | OpenError::Malformed)) => {
                tracing::error!(%error, connection = %subject.connection.name, "grant.quarantined");
                self.persist("quarantine", || {
                    self.store.quarantine(tenant, connection, Some(attempt), self.clock.now())
                })
                .await;
                self.changed(subject, generation);
                return Err(Refusal::new(Reason::Quarantined));
            }
        };
        self.reach("taken").await;
        Ok(Some(Spend {
            request: TokenRequest::refresh(&subject.profile, &subject.credentials(secret), &token),
            limits: SendLimits { body_deadline, total: self.settings.total_timeout },
            held: Holding { tenant, connection, burn, parent, sealer },
            database,
            connected,
        }))
    }

    /// Whether the burn is committed and ours. An unacknowledged commit is settled before anything is sent.
    async fn burn_committed(&self, subject: &Subject, burn: Burn) -> Result<bool, Refusal> {
        let (tenant, connection) = (subject.connection.tenant_uid, subject.connection.uid);
        match self.store.burn(tenant, connection, burn.clone(), self.clock.now()).await {
            Ok(applied) => return Ok(applied),
            Err(StoreError::Ambiguous(error)) => {
                tracing::warn!(%error, attempt = %burn.attempt, "burn.ambiguous");
            }
            Err(error) => return Err(error.into()),
        }
        let resolve = || self.store.resolve_burn(tenant, connection, burn.clone(), self.clock.now());
        match self.persist("resolve_burn", resolve).await {
            BurnFate::Proceed => Ok(true),
            BurnFate::Stop => Ok(false),
            BurnFate::Release => self.give_back(tenant, burn.attempt, Reason::RefreshInProgress).await,
        }
    }

    /// Releases a burnt token that provably was not sent.
    async fn give_back<T>(
        &self,
        tenant: TenantUid,
        attempt: AttemptId,
        reason: Reason,
    ) -> Result<T, Refusal> {
        self.persist("release", || self.store.conclude(tenant, attempt, Closing::NotSent, self.clock.now()))
            .await;
        Err(Refusal::retry(reason, self.settings.refusal_pause))
    }

    /// Repeats a step of the store until it is known to have happened: what it writes is nowhere else.
    pub(super) async fn persist<T, F>(&self, step: &'static str, attempt: impl Fn() -> F) -> T
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut pause = Duration::from_millis(20);
        loop {
            match attempt().await {
                Ok(done) => return done,
                Err(error) => tracing::error!(step, error = %crate::error::Chain(&error), "store.retry"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }
}

/// Why a grant in this state cannot be refreshed.
pub(super) fn refusal_of(state: State, pause: Duration) -> Option<Refusal> {
    match state {
        State::Idle => None,
        State::Dispatched { .. } => Some(Refusal::retry(Reason::RefreshInProgress, pause)),
        State::InDoubt { .. } => Some(Refusal::new(Reason::RefreshInDoubt)),
        State::ReauthRequired { .. } => Some(Refusal::new(Reason::ReauthorizationRequired)),
        State::Quarantined { .. } => Some(Refusal::new(Reason::Quarantined)),
        State::Revoked => Some(Refusal::new(Reason::ConnectionRevoked)),
    }
}
