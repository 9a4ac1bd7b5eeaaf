//! The steps that every refresh takes.

use super::{Kind, Statement, column};
use crate::model::{AttemptId, Burn, ConnectionUid, Nonce, Successor, TenantUid, Tokens};

/// `burn`; times are the database's. `None`: burn alone.
#[derive(Debug)]
pub(in super::super) struct Burns;

#[derive(Debug)]
pub(in super::super) struct BurnOf {
    pub(in super::super) tenant: TenantUid,
    pub(in super::super) connection: ConnectionUid,
    pub(in super::super) burn: Burn,
    pub(in super::super) now: i64,
}

impl Kind for Burns {
    type Request = BurnOf;
    type Row = (Vec<Option<bool>>,);
    type Answer = Option<bool>;
    const READS: bool = false;

    fn statement(requests: &[BurnOf]) -> Statement {
        Statement::new("SELECT token_broker.burn_all($1, $2, $3, $4, $5, $6, $7, $8, false)")
            .bind(column(requests, |request| request.tenant))
            .bind(column(requests, |request| request.connection))
            .bind(column(requests, |request| request.burn.generation))
            .bind(column(requests, |request| request.burn.attempt))
            .bind(column(requests, |request| request.burn.nonce))
            .bind(column(requests, |request| request.burn.replica.clone()))
            .bind(column(requests, |request| request.burn.cause.clone()))
            .bind(column(requests, |request| request.now))
    }

    fn answers(_: &[BurnOf], rows: Vec<Self::Row>) -> Option<Vec<Option<bool>>> {
        Some(rows.into_iter().next()?.0)
    }

    fn refused() -> Option<Option<bool>> {
        Some(None)
    }
}

/// `take`.
#[derive(Debug)]
pub(in super::super) struct Takes;

pub(in super::super) struct TakeOf {
    pub(in super::super) tenant: TenantUid,
    pub(in super::super) attempt: AttemptId,
    pub(in super::super) nonce: Nonce,
}

pub(in super::super) enum Taken {
    /// The sealed refresh token.
    Sealed(Vec<u8>),
    /// The burns are not durable yet.
    NotYet,
    /// Nothing, or the whole statement was refused: take alone.
    Alone,
}

impl Kind for Takes {
    type Request = TakeOf;
    type Row = (Option<Vec<Option<Vec<u8>>>>,);
    type Answer = Taken;
    const READS: bool = true;

    fn statement(requests: &[TakeOf]) -> Statement {
        Statement::new("SELECT sealed FROM token_broker.take_all($1, $2, $3)")
            .bind(column(requests, |request| request.tenant))
            .bind(column(requests, |request| request.attempt))
            .bind(column(requests, |request| request.nonce.0.to_vec()))
    }

    fn answers(requests: &[TakeOf], rows: Vec<Self::Row>) -> Option<Vec<Taken>> {
        let Some(sealed) = rows.into_iter().next()?.0 else {
            return Some(requests.iter().map(|_| Taken::NotYet).collect());
        };
        Some(sealed.into_iter().map(|sealed| sealed.map_or(Taken::Alone, Taken::Sealed)).collect())
    }

    fn refused() -> Option<Taken> {
        Some(Taken::Alone)
    }
}

/// A commit of nothing. What else is in the log goes to the disk with it: what was written and not committed, on a quiet
/// database, nobody would flush before long.
#[derive(Debug)]
pub(in super::super) struct Flushes;

impl Kind for Flushes {
    type Request = ();
    type Row = (i64,);
    type Answer = ();
    const READS: bool = true; // as often as one likes

    fn statement(_: &[()]) -> Statement {
        Statement::new("SELECT (pg_logical_emit_message(true, 'token_broker', ''::text) - '0/0')::bigint")
    }

    fn answers(requests: &[()], _: Vec<Self::Row>) -> Option<Vec<()>> {
        Some(requests.to_vec())
    }
}

/// `settle`; times are the database's. The next generation; `None`: settle alone.
#[derive(Debug)]
pub(in super::super) struct Settles;

#[derive(Debug)]
pub(in super::super) struct SettleOf {
    pub(in super::super) tenant: TenantUid,
    pub(in super::super) attempt: AttemptId,
    pub(in super::super) tokens: Tokens,
    /// When the access token was issued and when it ends.
    pub(in super::super) access: Option<(i64, i64)>,
    pub(in super::super) now: i64,
}

impl Kind for Settles {
    type Request = SettleOf;
    type Row = (Vec<Option<i64>>,);
    type Answer = Option<i64>;
    const READS: bool = false;

    fn statement(requests: &[SettleOf]) -> Statement {
        let successor = |request: &SettleOf| request.tokens.refresh.name().to_owned();
        let refresh = |request: &SettleOf| match &request.tokens.refresh {
            Successor::Rotated(token) => Some(token.clone()),
            Successor::Unchanged | Successor::Missing => None,
        };
        Statement::new("SELECT token_broker.settle_all($1, $2, $3, $4, $5, $6, $7, $8, $9)")
            .bind(column(requests, |request| request.tenant))
            .bind(column(requests, |request| request.attempt))
            .bind(column(requests, successor))
            .bind(column(requests, |request| {
                request.tokens.access.as_ref().map(|access| access.sealed.clone())
            }))
            .bind(column(requests, |request| request.access.map(|(issued_at, _)| issued_at)))
            .bind(column(requests, |request| request.access.map(|(_, expires_at)| expires_at)))
            .bind(column(requests, |request| refresh(request).map(|token| token.sealed)))
            .bind(column(requests, |request| refresh(request).map(|token| token.fingerprint)))
            .bind(column(requests, |request| request.now))
    }

    fn answers(_: &[SettleOf], rows: Vec<Self::Row>) -> Option<Vec<Option<i64>>> {
        Some(rows.into_iter().next()?.0)
    }

    fn refused() -> Option<Option<i64>> {
        Some(None)
    }
}
