//! What the broker says to providers: profiles as data, the one-shot token endpoint client, and what an answer
//! means. Nothing here retries, pools, follows a redirect, or reads the environment's proxy variables.
//!
//! [`Egress::connect`] (nothing secret has left) -> [`Connected::send`] (the token leaves at most once) ->
//! [`Answer`] -> [`classify`] (pure) -> [`Classified`].

mod address;
mod answer;
mod classify;
mod connected;
mod egress;
mod extract;
mod issued;
mod not_before;
mod one_shot;
mod profile;
mod proxy;
mod request;
mod stream;

pub use address::{InvalidNetwork, Network, is_public};
pub use answer::{Answer, Body, Cut, NotSent, Response, TokenInfo};
pub use classify::{Classified, Signal, TripCause, UnknownCause, classify};
pub use connected::{Connected, MAX_ANSWER, SendLimits};
pub use egress::{ConnectError, Egress, EgressSettings, InvalidEgress, Lookup, Resolver};
pub use issued::{Issued, MAX_LIFETIME};
pub use not_before::MAX_NOT_BEFORE;
pub use one_shot::{Latch, OneShot, Refusal};
pub use profile::{
    AccountIds, ClientAuth, Environment, HeaderTemplates, InvalidAccountId, Profile, Refusals, Replay,
    Rotation,
};
pub use proxy::Proxy;
pub use request::{ClientCredentials, TokenRequest};
