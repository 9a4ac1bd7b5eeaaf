//! When a provider wants to be asked again.

use std::time::Duration;

/// The longest wait that a provider can ask for: a hostile header must not park a connection for ever.
pub const MAX_NOT_BEFORE: Duration = Duration::from_secs(15 * 60);
