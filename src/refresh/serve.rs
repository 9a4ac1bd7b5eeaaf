//! What a caller gets: the token at hand, or the next one, or a refusal that says whose job it is.

use std::{sync::Arc, time::Duration};

use super::{
    Advice, AdviceCause, Cause, Course, Demand, Destination, Landing, Refresher, Subject, Why,
    spend::refusal_of,
};
use crate::{
    cache::Entry,
    error::{Reason, Refusal},
    model::{ConnectionName, Generation, GrantType, State},
};

/// A token for a caller.
#[derive(Clone, Debug)]
pub struct Vended {
    /// The token.
    pub entry: Arc<Entry>,
    /// What the caller should know about it.
    pub advice: Option<Advice>,
}

/// What there is for a connection before anything is asked of the provider.
enum Holding {
    /// A token, fresh or not.
    Token(Arc<Entry>),
    /// No token, and what the grant looks like.
    None(Arc<Subject>, Generation, Option<State>),
}

impl Refresher {
    /// A token from memory that needs nothing: no store, no network, no lock.
    #[must_use]
    pub fn fresh(&self, entry: &Arc<Entry>, demand: &Demand) -> bool {
        demand.rejected_generation.is_none()
            && demand.min_ttl <= entry.max_min_ttl()
            && Advice::of_state(entry.state).is_none()
            && entry.life.course(demand.min_ttl, self.clock.now()) == Course::Serve
    }

    /// Serves a caller. Safe to repeat, and to abandon: what it started goes on without it.
    pub async fn access_token(
        self: &Arc<Self>,
        name: &ConnectionName,
        demand: &Demand,
    ) -> Result<Vended, Refusal> {
        match self.hold(name).await? {
            Holding::None(subject, generation, state) => {
                self.first(&subject, generation, state, demand).await
            }
            Holding::Token(entry) => {
                within_limit(&entry, demand.min_ttl)?;
                match demand.rejected_generation {
                    Some(rejected) => self.recheck(entry, rejected, demand.min_ttl).await,
                    None => self.serve(entry, demand.min_ttl).await,
                }
            }
        }
    }

    /// Step 1 of the protocol: a still-valid token at once, in every state but `revoked`; else the next one.
    pub(super) async fn serve(
        self: &Arc<Self>,
        entry: Arc<Entry>,
        min_ttl: Duration,
    ) -> Result<Vended, Refusal> {
        let now = self.clock.now();
        let marked = Advice::of_state(entry.state);
        match entry.life.course(min_ttl, now) {
            Course::Serve => Ok(Vended { entry, advice: marked }),
            Course::ServeAndRenew => {
                if marked.is_none() && entry.claim_renewal(now, self.settings.refusal_pause) {
                    // Nobody waits for it: a setback is tried again by a later caller.
                    let _ =
                        self.renew(&entry.subject, Why { cause: Cause::Due, generation: entry.generation });
                }
                Ok(Vended { entry, advice: marked })
            }
            Course::Renew => {
                let why = Why { cause: Cause::Expired, generation: entry.generation };
                match self.next(&entry.subject, why).await {
                    Ok(next) => Ok(self.as_is(next, min_ttl, None)),
                    // By the clock as it is now: the token may have ended while its caller waited.
                    Err(refusal)
                        if entry.life.remaining(self.clock.now()) > Duration::ZERO
                            && self.may_still_serve(&refusal) =>
                    {
                        Ok(self.as_is(entry, min_ttl, Some(&refusal)))
                    }
                    Err(refusal) => Err(refusal),
                }
            }
        }
    }

    /// Waits for the generation after `why`'s: joins the flight that is on its way, or starts one.
    pub(super) async fn next(
        self: &Arc<Self>,
        subject: &Arc<Subject>,
        why: Why,
    ) -> Result<Arc<Entry>, Refusal> {
        let in_progress = || Refusal::retry(Reason::RefreshInProgress, self.settings.refusal_pause);
        let landed = async {
            loop {
                match self.renew(subject, why)?.result().await {
                    Some(Landing::Done) => return Ok(None),
                    Some(Landing::Brought(entry)) => return Ok(Some(entry)),
                    Some(Landing::Skipped) => {}
                    Some(Landing::Refused(refusal)) => return Err(refusal),
                    // The task panicked. Whatever it burnt is dispatched: the sweeper will raise doubt.
                    None => return Err(in_progress()),
                }
            }
        };
        let brought = tokio::time::timeout(self.settings.caller_wait, landed)
            .await
            .unwrap_or_else(|_| Err(in_progress()))?;
        self.reach("woken").await;
        match (self.after(subject, why.generation, in_progress).await, brought) {
            // Another medium has it, the database not yet, or it is away.
            (Err(early), Some(entry))
                if entry.generation > why.generation
                    && matches!(early.reason, Reason::RefreshInProgress | Reason::StoreUnavailable) =>
            {
                Ok(entry)
            }
            (after, _) => after,
        }
    }

    /// The token after this generation, where it has come; else why it has not, as far as the state tells.
    pub(super) async fn after(
        &self,
        subject: &Subject,
        generation: Generation,
        otherwise: impl FnOnce() -> Refusal,
    ) -> Result<Arc<Entry>, Refusal> {
        match self.hold(&subject.connection.name).await? {
            Holding::Token(entry) if entry.generation > generation => Ok(entry),
            Holding::Token(entry) => Err(state_refusal(entry.state).unwrap_or_else(otherwise)),
            Holding::None(_, _, state) => Err(state.and_then(state_refusal).unwrap_or_else(otherwise)),
        }
    }

    /// Joins or starts the flight to a connection's next token.
    pub(super) fn renew(
        self: &Arc<Self>,
        subject: &Arc<Subject>,
        why: Why,
    ) -> Result<super::flights::Seat<Landing>, Refusal> {
        let destination = Destination::of(subject);
        if let Some(setback) = self.setbacks.current(&destination, self.clock.now()) {
            return Err(setback);
        }
        self.refuse_while_draining()?;
        Ok(self.flights.join(&destination, &self.tasks, || {
            let (this, name, target) = (self.clone(), subject.connection.name.clone(), destination.clone());
            let grant_type = subject.connection.grant_type;
            async move {
                let landing = match grant_type {
                    GrantType::AuthorizationCode => this.refresh(name.clone(), why).await,
                    GrantType::ClientCredentials => this.renew_lease(name.clone(), why).await,
                };
                let landing = landing.unwrap_or_else(|refusal| {
                    this.setbacks.note(target, &refusal, this.clock.now());
                    Landing::Refused(refusal)
                });
                let news = matches!(landing, Landing::Done);
                let unload = async move {
                    if news {
                        // Into memory: read and opened once, not by each of thousands who waited.
                        let _ = this.draining.run_until_cancelled(this.hold(&name)).await;
                    }
                };
                (landing, unload)
            }
        }))
    }

    /// A connection that has no token at all: never authorised, or its first lease, or an imported refresh
    /// token without an access token.
    async fn first(
        self: &Arc<Self>,
        subject: &Arc<Subject>,
        generation: Generation,
        state: Option<State>,
        demand: &Demand,
    ) -> Result<Vended, Refusal> {
        match (subject.connection.grant_type, state) {
            (GrantType::AuthorizationCode, None) => return Err(Refusal::new(Reason::AuthorizationPending)),
            (GrantType::AuthorizationCode, Some(state)) => {
                // A refresh in flight is waited for, whoever holds it.
                if let Some(refusal) = state_refusal(state) {
                    return Err(refusal);
                }
            }
            (GrantType::ClientCredentials, _) => {}
        }
        if demand.rejected_generation.is_some_and(|rejected| rejected > generation.0) {
            return Err(never_issued());
        }
        let entry = self.next(subject, Why { cause: Cause::Expired, generation }).await?;
        within_limit(&entry, demand.min_ttl)?;
        Ok(Vended { advice: Advice::of_state(entry.state), entry })
    }

    /// From memory, else from the store.
    async fn hold(&self, name: &ConnectionName) -> Result<Holding, Refusal> {
        if let Some(entry) = self.cache.get(&name.to_string()) {
            return Ok(Holding::Token(entry));
        }
        let ticket = self.cache.ticket(&name.to_string());
        let subject = Arc::new(self.directory.subject(name).await?);
        let ticket = self.cache.ticket_for(ticket, subject.connection.uid.0);
        let entry = match subject.connection.grant_type {
            GrantType::AuthorizationCode => {
                let Some(grant) =
                    self.store.grant(subject.connection.tenant_uid, subject.connection.uid).await?
                else {
                    return Ok(Holding::None(subject, Generation(0), None));
                };
                if grant.state == State::Revoked {
                    return Err(Refusal::new(Reason::ConnectionRevoked));
                }
                let Some(access) = &grant.access else {
                    return Ok(Holding::None(subject, grant.generation, Some(grant.state)));
                };
                self.vault.open_access(subject, grant.generation, grant.state, access).await?
            }
            GrantType::ClientCredentials => {
                if !subject.may_share_lease() {
                    return Err(Refusal::new(Reason::PermissionDenied));
                }
                let Some(lease) = self.store.lease(subject.client.uid).await? else {
                    return Ok(Holding::None(subject.clone(), subject.connection.generation_floor, None));
                };
                self.vault.open_lease(subject, lease.generation, &lease.access).await?
            }
        };
        let entry = Arc::new(entry);
        self.cache.put(ticket, &entry);
        Ok(Holding::Token(entry))
    }

    /// A token with what must be said about it.
    fn as_is(&self, entry: Arc<Entry>, min_ttl: Duration, refusal: Option<&Refusal>) -> Vended {
        let short_lived = entry.life.remaining(self.clock.now()) < min_ttl;
        let retry_after = refusal.and_then(|refusal| refusal.retry_after);
        let advice = Advice::of_state(entry.state)
            .or_else(|| {
                let cause = refusal.map_or(AdviceCause::RenewalUnavailable, AdviceCause::of);
                (short_lived || refusal.is_some()).then(|| Advice::new(cause))
            })
            .map(|advice| Advice { short_lived, retry_after, ..advice });
        Vended { entry, advice }
    }

    /// A revoked connection's token is not handed out, valid as it may be.
    #[expect(clippy::unused_self, reason = "reads as a decision of the refresher")]
    fn may_still_serve(&self, refusal: &Refusal) -> bool {
        !matches!(refusal.reason, Reason::ConnectionRevoked | Reason::NotFound | Reason::PermissionDenied)
    }
}

/// More than the connection allows cannot be had, however often it is asked for.
fn within_limit(entry: &Entry, min_ttl: Duration) -> Result<(), Refusal> {
    if min_ttl > entry.max_min_ttl() {
        return Err(Refusal::field("min_ttl", format!("at most {:?} here", entry.max_min_ttl())));
    }
    Ok(())
}

pub(super) fn never_issued() -> Refusal {
    Refusal::field("rejected_generation", "this generation was never issued")
}

/// Why there will be no token in this state; a refresh under way is none.
fn state_refusal(state: State) -> Option<Refusal> {
    match state {
        State::Dispatched { .. } => None,
        state => refusal_of(state, Duration::from_secs(1)),
    }
}
