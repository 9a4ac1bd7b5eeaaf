//! The protocol's steps: each a function of the gate.

use async_trait::async_trait;

use super::{
    Inner, Postgres, Statement, only,
    together::{BurnOf, SettleOf, TakeOf, Taken},
};
use crate::{
    model::{
        AccessToken, Attempt, AttemptId, Burn, BurnFate, Closing, ConnectionUid, Epoch, Fingerprint,
        Generation, GrantFacts, Nonce, REFUSALS_PER_GENERATION, Reauthorise, Sealed, Settlement, Successor,
        SweepPolicy, TenantUid, Timestamp, Tokens,
    },
    store::{
        Event, Grants, Reauthorised, StoreError,
        bind::silent_since,
        rows::{AttemptRow, EventRow, Place},
    },
};

/// How often `take` asks for a burn that is not flushed yet. Each time it waits for a moment itself.
const TAKES: u32 = 200;

#[async_trait]
impl Grants for Postgres {
    async fn grant(
        &self,
        tenant: TenantUid,
        connection: ConnectionUid,
    ) -> Result<Option<GrantFacts>, StoreError> {
        let facts = self.0.together.facts.ask((tenant, connection)).await??;
        Ok(facts.map(|facts| self.0.skew.facts(facts)))
    }

    async fn burn(
        &self,
        tenant: TenantUid,
        connection: ConnectionUid,
        burn: Burn,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let now = self.0.skew.there(now);
        let together = BurnOf { tenant, connection, burn: burn.clone(), now };
        if let Some(burnt) = self.0.together.burns.ask(together).await? {
            return Ok(burnt);
        }
        let statement = Statement::new("SELECT token_broker.burn($1, $2, $3, $4, $5, $6, $7, $8)");
        self.yes(statement.bind(tenant).bind(connection).burn(burn, now)).await
    }

    async fn take(
        &self,
        tenant: TenantUid,
        attempt: AttemptId,
        nonce: Nonce,
    ) -> Result<Option<Sealed>, StoreError> {
        let together = &self.0.together;
        for _ in 0..TAKES {
            match together.takes.ask(TakeOf { tenant, attempt, nonce }).await? {
                Taken::Sealed(sealed) => return Ok(Some(Sealed(sealed))),
                Taken::NotYet => {}
                Taken::Alone => {
                    let statement =
                        Statement::new("SELECT sealed, durable FROM token_broker.take($1, $2, $3)");
                    let statement = statement.bind(tenant).bind(attempt).bind(nonce.0.to_vec());
                    let (sealed, durable): (Option<Vec<u8>>, bool) = only(self.read(statement).await?)?;
                    if durable {
                        return Ok(sealed.map(Sealed));
                    }
                }
            }
            together.flushes.ask(()).await?;
        }
        Err(StoreError::Unavailable("the burn does not become durable".into()))
    }

    async fn resolve_burn(
        &self,
        tenant: TenantUid,
        connection: ConnectionUid,
        burn: Burn,
        now: Timestamp,
    ) -> Result<BurnFate, StoreError> {
        let statement = Statement::new("SELECT token_broker.resolve_burn($1, $2, $3, $4, $5, $6, $7, $8)");
        let statement = statement.bind(tenant).bind(connection).burn(burn, self.0.skew.there(now));
        let (fate,) = self.step::<(String,)>(statement).await?;
        Ok(match fate.as_str() {
            "proceed" => BurnFate::Proceed,
            "release" => BurnFate::Release,
            _ => BurnFate::Stop,
        })
    }

    async fn settle(
        &self,
        tenant: TenantUid,
        attempt: AttemptId,
        tokens: Tokens,
        now: Timestamp,
    ) -> Result<Settlement, StoreError> {
        let skew = &self.0.skew;
        let times = |access: &AccessToken| (skew.there(access.issued_at), skew.there(access.expires_at));
        let (access, now) = (tokens.access.as_ref().map(times), skew.there(now));
        let together = SettleOf { tenant, attempt, tokens: tokens.clone(), access, now };
        if let Some(generation) = self.0.together.settles.ask(together).await? {
            return read_generation(generation).map(Settlement::Settled);
        }
        let statement = Statement::new(
            "SELECT answer, generation FROM token_broker.settle($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        );
        let statement = statement.bind(tenant).bind(attempt).tokens(tokens, &self.0);
        let (answer, generation) = self.step::<(String, Option<i64>)>(statement.bind(now)).await?;
        Ok(match (answer.as_str(), generation) {
            ("settled", Some(generation)) => Settlement::Settled(read_generation(generation)?),
            ("ignored", _) => Settlement::Ignored,
            ("waits", _) => Settlement::Waits,
            ("kept", _) => Settlement::Kept,
            ("unknown", _) => Settlement::Unknown,
            _ => Settlement::Orphan,
        })
    }

    async fn conclude(
        &self,
        tenant: TenantUid,
        attempt: AttemptId,
        closing: Closing,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let (closing, not_before) = match closing {
            Closing::NotSent => ("not_sent", None),
            Closing::Refused { not_before } => ("refused", Some(self.0.skew.there(not_before))),
            Closing::Rejected => ("rejected", None),
            Closing::Unknown => ("unknown", None),
        };
        let statement = Statement::new("SELECT token_broker.conclude($1, $2, $3, $4, $5, $6)")
            .bind(tenant)
            .bind(attempt)
            .bind(closing)
            .bind(not_before)
            .bind(i32::try_from(REFUSALS_PER_GENERATION).expect("a handful"))
            .bind(self.0.skew.there(now));
        self.yes(statement).await
    }

    async fn permit_replay(
        &self,
        tenant: TenantUid,
        attempt: AttemptId,
        spend_before: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let statement = Statement::new("SELECT token_broker.permit_replay($1, $2, $3, $4)")
            .bind(tenant)
            .bind(attempt)
            .bind(self.0.skew.there(spend_before))
            .bind(self.0.skew.there(now));
        self.yes(statement).await
    }

    async fn reauthorise(
        &self,
        tenant: TenantUid,
        connection: ConnectionUid,
        new: Reauthorise,
        now: Timestamp,
    ) -> Result<Reauthorised, StoreError> {
        let generation = new.generation;
        let access = new.access.as_ref();
        let statement = Statement::new(
            "SELECT token_broker.reauthorise($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        )
        .bind(tenant)
        .bind(connection)
        .bind(generation)
        .bind(new.epoch)
        .bind(access.map(|access| access.sealed.clone()))
        .bind(access.map(|access| self.0.skew.there(access.issued_at)))
        .bind(access.map(|access| self.0.skew.there(access.expires_at)))
        .bind(new.refresh.sealed)
        .bind(new.refresh.fingerprint)
        .bind(new.endpoint.to_vec())
        .bind(self.0.skew.there(silent_since(now, new.holder_lost_after)))
        .bind(self.0.skew.there(now));
        let (answer,) = self.step::<(String,)>(statement).await?;
        Ok(match answer.as_str() {
            "done" => Reauthorised::Done(generation),
            "token_known" => Reauthorised::TokenKnown,
            "gone" => Reauthorised::Gone,
            _ => Reauthorised::Refused,
        })
    }

    async fn revoke(
        &self,
        tenant: TenantUid,
        connection: ConnectionUid,
        now: Timestamp,
    ) -> Result<Option<Epoch>, StoreError> {
        let statement =
            Statement::new("SELECT token_broker.revoke($1, $2, $3)").bind(tenant).bind(connection);
        let (epoch,) = self.step::<(Option<i64>,)>(statement.bind(self.0.skew.there(now))).await?;
        let row = connection.to_string();
        epoch.map(|epoch| Place::new("grants", &row).count("revoke_epoch", epoch).map(Epoch)).transpose()
    }

    async fn quarantine(
        &self,
        tenant: TenantUid,
        connection: ConnectionUid,
        attempt: Option<AttemptId>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let statement = Statement::new("SELECT token_broker.quarantine($1, $2, $3, $4)").bind(tenant);
        let statement = statement.bind(connection).bind(attempt).bind(self.0.skew.there(now));
        self.yes(statement).await
    }

    async fn resolve(
        &self,
        tenant: TenantUid,
        connection: ConnectionUid,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let statement = Statement::new("SELECT token_broker.resolve($1, $2, $3)").bind(tenant);
        self.yes(statement.bind(connection).bind(self.0.skew.there(now))).await
    }

    async fn adopt(
        &self,
        tenant: TenantUid,
        connection: ConnectionUid,
        burn: Burn,
        parent: Fingerprint,
        tokens: Tokens,
        now: Timestamp,
    ) -> Result<Settlement, StoreError> {
        let statement = Statement::new(
            "SELECT token_broker.adopt($1, $2, $3, $4, $5, $6, $7, $9, $10, $11, $12, $13, $14, $15, $8)",
        );
        let statement = statement.bind(tenant).bind(connection).burn(burn, self.0.skew.there(now));
        let (generation,) =
            self.step::<(Option<i64>,)>(statement.bind(parent).tokens(tokens, &self.0)).await?;
        generation
            .map_or(Ok(Settlement::Kept), |generation| read_generation(generation).map(Settlement::Settled))
    }

    async fn sweep(&self, policy: SweepPolicy, now: Timestamp) -> Result<Vec<ConnectionUid>, StoreError> {
        let statement = Statement::new("SELECT connection FROM token_broker.sweep($1, $2, $3)")
            .bind(self.0.skew.there(silent_since(now, policy.holder_lost_after)))
            .bind(self.0.skew.there(silent_since(now, policy.doubt_grace)))
            .bind(self.0.skew.there(now));
        let moved = self.write::<(uuid::Uuid,)>(statement).await?;
        Ok(moved.into_iter().map(|(uid,)| ConnectionUid(uid)).collect())
    }

    async fn attempts(
        &self,
        tenant: TenantUid,
        connection: ConnectionUid,
        limit: u32,
    ) -> Result<Vec<Attempt>, StoreError> {
        let statement = Statement::new(
            "SELECT encode(uuid_send(attempt_id), 'hex') AS row, uuid_send(attempt_id) AS attempt_id, generation,
                nonce_hash, replica, cause, fingerprint, dispatched_at, outcome, closed_at
            FROM token_broker.attempts_of($1, $2, $3)",
        );
        let statement = statement.bind(tenant).bind(connection).bind(i64::from(limit));
        let rows = self.read::<AttemptRow>(statement).await?;
        rows.into_iter().map(|row| row.try_into().map(|attempt| self.0.skew.attempt(attempt))).collect()
    }

    async fn events(
        &self,
        tenant: TenantUid,
        connection: ConnectionUid,
        limit: u32,
    ) -> Result<Vec<Event>, StoreError> {
        let statement = Statement::new(
            "SELECT encode(uuid_send(connection_uid), 'hex') AS row, uuid_send(connection_uid) AS connection_uid,
                generation, kind, at
            FROM token_broker.events_of($1, $2, $3)",
        );
        let statement = statement.bind(tenant).bind(connection).bind(i64::from(limit));
        let rows = self.read::<EventRow>(statement).await?;
        rows.into_iter().map(|row| row.try_into().map(|event| self.0.skew.event(&event))).collect()
    }
}

impl Postgres {
    /// A transition that says whether it applied.
    async fn yes(&self, statement: Statement) -> Result<bool, StoreError> {
        self.step::<(bool,)>(statement).await.map(|(applied,)| applied)
    }
}

impl Statement {
    /// Generation, attempt, nonce hash, replica, cause, now.
    fn burn(self, burn: Burn, now: i64) -> Self {
        self.bind(burn.generation)
            .bind(burn.attempt)
            .bind(burn.nonce)
            .bind(burn.replica)
            .bind(burn.cause)
            .bind(now)
    }

    /// Successor, access token, when it was issued and expires, refresh token, fingerprint.
    fn tokens(self, tokens: Tokens, inner: &Inner) -> Self {
        let successor = tokens.refresh.name();
        let refresh = match tokens.refresh {
            Successor::Rotated(token) => Some(token),
            Successor::Unchanged | Successor::Missing => None,
        };
        let access = tokens.access.as_ref();
        self.bind(successor)
            .bind(access.map(|access| access.sealed.clone()))
            .bind(access.map(|access| inner.skew.there(access.issued_at)))
            .bind(access.map(|access| inner.skew.there(access.expires_at)))
            .bind(refresh.as_ref().map(|token| token.sealed.clone()))
            .bind(refresh.map(|token| token.fingerprint))
    }
}

fn read_generation(value: i64) -> Result<Generation, StoreError> {
    Place::new("grants", "settled").generation("generation", value)
}
