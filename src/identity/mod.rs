//! Who is calling, and what they may do. Deny by default: a call without a known identity, or to a method that
//! the policy does not list, is refused.

mod policy;
mod principal;

pub use policy::{Access, access_to};
pub use principal::{Authenticator, Principal, Role, StaticIdentity};
