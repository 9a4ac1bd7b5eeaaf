//! A strict, hostile Procore: an OAuth provider whose refresh tokens work once, which logs everything it is
//! shown, and which can be told to fail in every way that a network and a provider have.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use procore_simulator::{ClientRegistration, Config, Environment, Simulator};
//!
//! let simulator = Simulator::start(Config::default()).await?;
//! let client = simulator.register_client(Environment::Production, ClientRegistration::default());
//! let pair = simulator.grant(Environment::Production, &client.client_id, 7, 42);
//! println!("POST {}/oauth/token", simulator.oauth_base(Environment::Production));
//! assert!(simulator.presentations_of(&pair.refresh_token).is_empty());
//! # Ok(())
//! # }
//! ```

mod api;
mod call;
mod choices;
mod config;
mod control;
mod directory;
mod exchange;
mod fault;
mod knobs;
mod ledger;
mod mint;
mod oauth;
mod presentation;
mod reply;
mod seeding;
mod server;
mod shared;
mod simulator;
mod state;

pub use call::Endpoint;
pub use choices::{
    ExpiresIn, FamilyRevocation, InfoShape, OauthStatus, RateKey, RefreshMode, RefusalKind, RevokeReach,
    ScopeHandling, TokenStyle, TokenTypeCase, WrongClientRevoke,
};
pub use config::{ClientSeed, Config, Environment};
pub use directory::{ClientCredentials, ClientRegistration, OUT_OF_BAND};
pub use fault::{Cut, Fault, FaultId, FaultKind, Phase, RetryHint, Target, TornEnd};
pub use knobs::Knobs;
pub use ledger::{EndReason, GrantState, TokenPair};
pub use mint::fingerprint;
pub use presentation::{Outcome, Presentation};
pub use shared::Hold;
pub use simulator::Simulator;
