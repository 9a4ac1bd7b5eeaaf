//! Every way in which this protocol was known to go wrong, as a switch: what it does, where it is caught, and
//! what it violates. One that is no longer caught fails.

use token_broker::model::{AttemptId, Ledger, State};

use crate::configurations::{self as configuration, Configuration, violated};
use crate::properties::{FALSE_VETO, I1, I5, I6, I10, KEPT, KILLED, STRANDED};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// The sweeper returns `dispatched` to `idle`.
    SweeperReturnsToIdle,
    /// The HTTP client sends again when a connection breaks.
    ClientRetries,
    /// `release(not_sent)` by a holder that has sent.
    NotSentWithoutProof,
    /// A replica of an older version reads the token and sends it.
    OldReplicaDoesNotBurn,
    /// Settle without the check that the attempt is the row's.
    SettleWithoutAttemptCheck,
    /// Settle that checks that the attempt is the grant's newest, and not that it is open.
    SettleWithoutOpenCheck,
    /// Re-authorisation leaves the old attempt open, and the row's.
    ReauthorisationKeepsAttempt,
    /// A late answer settles from `revoked`.
    RevokeLetsLateSettleThrough,
    /// Re-authorisation does not compare epochs.
    ReauthorisationWithoutEpoch,
    /// An absent ambiguous burn means stop, and leaves no tombstone.
    BurnWithoutTombstone,
    /// Sends consult no witness though the database forgets.
    FailoverWithoutWitness,
    /// The witness is set without comparing.
    WitnessSetBlindly,
    /// The witness is one set-if-absent key per generation.
    WitnessOneKeyPerGeneration,
    /// A journalled pair that the database does not know is dropped where the grant is idle.
    LateAnswerMeetingIdleIgnored,
    /// A pair that the database has forgotten ends no doubt.
    DoubtAdoptsNothing,
    /// An attempt in doubt counts as not sent, once another's pair is adopted.
    DoubtedCountsAsNotSent,
    /// A replay is permitted though the provider has no window.
    ReplayAtStrictProvider,
    /// A replay is permitted while the holder may still send.
    ReplayBeforeHolderGone,
    /// A gateway's 503 counts as the endpoint's own refusal.
    GatewayErrorCountedAsRefused,
}

impl Mutation {
    /// Where it must be caught, and the property that it violates.
    fn caught(self) -> (Configuration, &'static str) {
        match self {
            Self::SweeperReturnsToIdle => (configuration::core(), I6),
            Self::ClientRetries | Self::NotSentWithoutProof | Self::OldReplicaDoesNotBurn => {
                (configuration::core(), I1)
            }
            Self::SettleWithoutAttemptCheck
            | Self::SettleWithoutOpenCheck
            | Self::ReauthorisationKeepsAttempt
            | Self::RevokeLetsLateSettleThrough => (configuration::core(), I10),
            Self::GatewayErrorCountedAsRefused | Self::ReplayAtStrictProvider => {
                (configuration::core(), KILLED)
            }
            Self::ReauthorisationWithoutEpoch => (configuration::reauthorisation(), I10),
            Self::BurnWithoutTombstone => (configuration::ambiguous(), STRANDED),
            Self::FailoverWithoutWitness | Self::DoubtedCountsAsNotSent => (configuration::failover(), I1),
            Self::WitnessSetBlindly => (configuration::failover_with_three_replicas(), I1),
            Self::WitnessOneKeyPerGeneration => (configuration::witness(), FALSE_VETO),
            Self::LateAnswerMeetingIdleIgnored => (configuration::failover(), I5),
            Self::DoubtAdoptsNothing => (configuration::failover(), KEPT),
            Self::ReplayBeforeHolderGone => (configuration::until_successor_used(), KILLED),
        }
    }

    /// Whether a settle by this attempt goes through unchecked.
    pub fn settles_unduly(self, ledger: &Ledger, attempt: AttemptId) -> bool {
        match self {
            Self::SettleWithoutAttemptCheck => true,
            Self::SettleWithoutOpenCheck => {
                ledger.attempts.last().is_some_and(|row| row.burn.attempt == attempt)
            }
            Self::RevokeLetsLateSettleThrough => ledger.grant.state == State::Revoked,
            _ => false,
        }
    }
}

macro_rules! caught {
    ($($name:ident: $mutation:ident;)*) => {$(
        #[test]
        fn $name() {
            let (configuration, property) = Mutation::$mutation.caught();
            violated(configuration, Mutation::$mutation, property);
        }
    )*};
}

caught! {
    sweeper_returns_to_idle: SweeperReturnsToIdle;
    client_retries: ClientRetries;
    not_sent_without_proof: NotSentWithoutProof;
    old_replica_does_not_burn: OldReplicaDoesNotBurn;
    settle_without_attempt_check: SettleWithoutAttemptCheck;
    settle_without_open_check: SettleWithoutOpenCheck;
    reauthorisation_keeps_attempt: ReauthorisationKeepsAttempt;
    revoke_lets_late_settle_through: RevokeLetsLateSettleThrough;
    reauthorisation_without_epoch: ReauthorisationWithoutEpoch;
    burn_without_tombstone: BurnWithoutTombstone;
    failover_without_witness: FailoverWithoutWitness;
    witness_set_blindly: WitnessSetBlindly;
    witness_one_key_per_generation: WitnessOneKeyPerGeneration;
    late_answer_meeting_idle_ignored: LateAnswerMeetingIdleIgnored;
    doubt_adopts_nothing: DoubtAdoptsNothing;
    doubted_counts_as_not_sent: DoubtedCountsAsNotSent;
    replay_at_strict_provider: ReplayAtStrictProvider;
    replay_before_holder_gone: ReplayBeforeHolderGone;
    gateway_error_counted_as_refused: GatewayErrorCountedAsRefused;
}
