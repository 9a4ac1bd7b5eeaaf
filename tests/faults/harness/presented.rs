//! A presentation as a provider would have logged it, to doctor.

use procore_simulator::{Environment, Outcome, Presentation};

/// Of the first token of grant `g`, which was exchanged for the next.
pub fn presented(at_ms: i64) -> Presentation {
    Presentation {
        seq: 1,
        at_ms,
        environment: Environment::Sandbox,
        client_id: None,
        grant_type: Some("refresh_token".to_owned()),
        token_fingerprint: None,
        token_id: None,
        grant_id: Some("g".to_owned()),
        generation: Some(0),
        known: true,
        first_presentation: true,
        outcome: Outcome::Rotated,
        issued_fingerprint: None,
        fault: None,
        remote: ([127, 0, 0, 1], 1).into(),
        continues: None,
    }
}
