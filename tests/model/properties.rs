//! The invariants, judged by what the provider has logged and what was ever committed.

use stateright::Property;
use token_broker::model::{Attempt, Outcome, State};

use crate::history::Presentation;
use crate::protocol::Protocol;
use crate::replica::Replica;
use crate::world::{Reply, TokenId, World, attempt_number};

pub const I1: &str = "I1: one presentation, one more per attempt that freed the slot, none of a not_sent";
pub const I2: &str = "I2: every presentation has its committed attempt";
pub const I3: &str = "I3: the generation never decreases";
pub const I4: &str = "I4: only the row's current, open attempt settles";
pub const I5: &str = "I5: no live pair is lost without a crash or loss that explains it";
pub const I6: &str = "I6: an idle grant's token was never presented, or only in attempts that freed it";
pub const I10: &str = "I10: nothing older changes a revoked or re-authorised grant";
pub const KILLED: &str = "the live grant is not killed";
pub const REVOKED: &str = "no attempt burnt after a revocation is sent";
pub const ORPHAN: &str = "what is the grant's is not called an orphan";
pub const KEPT: &str = "a pair that descends from the grant's token gets in, once nobody holds it";
pub const STRANDED: &str = "no dispatched row without a holder";
pub const FALSE_VETO: &str = "no veto while the database forgets nothing";

// What a configuration is there for must also be reached: a model in which nothing happens violates nothing.
pub const DOUBT: &str = "a grant is in doubt";
pub const PERSON: &str = "a grant needs a person";
pub const QUARANTINE: &str = "a grant is quarantined";
pub const ROTATION: &str = "a grant rotates twice";
pub const KEPT_ORPHAN: &str = "an orphan is kept";
pub const TOMBSTONE: &str = "a burn that never was leaves a tombstone";
pub const REPLAYED: &str = "a replay settles";

pub fn all() -> Vec<Property<Protocol>> {
    vec![
        Property::always(I1, |_, world: &World| presented_once(world)),
        Property::always(I2, |_, world: &World| {
            world.history.presentations.iter().all(|seen| world.history.recorded.contains(seen.attempt))
        }),
        Property::always(I3, |_, world: &World| !world.history.generation_decreased),
        Property::always(I4, |_, world: &World| !world.history.settled_unduly),
        Property::always(I5, |_, world: &World| {
            world.provider.live().all(|token| accounted_for(world, token))
        }),
        Property::always(I6, |_, world: &World| idle_is_unspent(world)),
        Property::always(I10, |_, world: &World| !world.history.changed_by_older),
        Property::always(KILLED, |_, world: &World| !world.provider.killed),
        Property::always(REVOKED, |_, world: &World| !world.history.presented_after_revocation),
        Property::always(ORPHAN, |_, world: &World| !world.history.orphaned_falsely),
        Property::always(KEPT, |_, world: &World| !world.history.kept_in_vain),
        Property::always(STRANDED, |_, world: &World| has_holder(world)),
        Property::always(FALSE_VETO, |_, world: &World| !world.history.vetoed_falsely),
        Property::sometimes(DOUBT, |_, world| matches!(state(world), State::InDoubt { .. })),
        Property::sometimes(PERSON, |_, world| matches!(state(world), State::ReauthRequired { .. })),
        Property::sometimes(QUARANTINE, |_, world| matches!(state(world), State::Quarantined { .. })),
        Property::sometimes(ROTATION, |_, world| settled(world).count() > 1),
        Property::sometimes(KEPT_ORPHAN, |_, world: &World| !world.orphans.is_empty()),
        Property::sometimes(TOMBSTONE, |_, world: &World| {
            world.database.ledger.attempts.iter().any(|row| row.fingerprint.is_none())
        }),
        Property::sometimes(REPLAYED, |_, world| settled(world).any(|row| replayed(world, row))),
    ]
}

fn state(world: &World) -> State {
    world.database.ledger.grant.state
}

fn settled(world: &World) -> impl Iterator<Item = &Attempt> {
    world.database.ledger.attempts.iter().filter(|row| row.outcome() == Some(Outcome::Settled))
}

fn replayed(world: &World, row: &Attempt) -> bool {
    let earlier = |other: &Attempt| {
        other.outcome() == Some(Outcome::ReplayPermitted) && other.burn.generation == row.burn.generation
    };
    world.database.ledger.attempts.iter().any(earlier)
}

/// An attempt frees the slot for one more presentation, however often it was itself presented.
fn presented_once(world: &World) -> bool {
    let history = &world.history;
    let log = &history.presentations;
    log.iter().all(|token| {
        let same: Vec<&Presentation> = log.iter().filter(|seen| seen.same_token(token)).collect();
        let freed = same.chunk_by(|one, other| one.attempt == other.attempt);
        let freed = freed.filter(|of_attempt| history.freed.contains(of_attempt[0].attempt)).count();
        same.len() <= 1 + freed && !history.not_sent.contains(token.attempt)
    })
}

/// Neither presented, nor on its way, nor in the hands of anyone who could send it. After a failover the witness
/// carries I1 instead.
fn idle_is_unspent(world: &World) -> bool {
    let grant = &world.database.ledger.grant;
    let Some(token) = world.database.stored() else { return true };
    let spends = |seen: Presentation| {
        (seen.token, seen.generation) == (token, grant.generation.0)
            && !world.history.freed.contains(seen.attempt)
    };
    let sent = world.history.presentations.iter().copied();
    let sendable = world.replicas.iter().filter_map(Replica::sendable);
    let in_flight = world.requests.iter().map(|request| request.held);
    world.history.failed_over
        || grant.state != State::Idle
        || !sent.chain(sendable.chain(in_flight).map(Presentation::from)).any(spends)
}

fn accounted_for(world: &World, token: TokenId) -> bool {
    let held = |replica: &Replica| match replica {
        Replica::Received(record) | Replica::Settled(record) => record.successor == Some(token),
        _ => false,
    };
    world.database.stored() == Some(token)
        || world.history.excused.contains(token)
        || world.orphans.contains(token)
        || world.journal.iter().any(|record| record.successor == Some(token))
        || world.answers.iter().any(|answer| answer.reply == Reply::Tokens(Some(token)))
        || world.candidates.iter().any(|candidate| candidate.token() == token)
        || world.replicas.iter().any(held)
}

fn has_holder(world: &World) -> bool {
    let State::Dispatched { attempt, .. } = world.database.ledger.grant.state else { return true };
    let number = attempt_number(attempt);
    let holds = |replica: &Replica| replica.attempt().is_some_and(|intent| intent.attempt == number);
    world.history.failed_over
        || world.history.abandoned.contains(number)
        || world.journal.iter().any(|record| record.held.intent.attempt == number)
        || world.replicas.iter().any(holds)
}
