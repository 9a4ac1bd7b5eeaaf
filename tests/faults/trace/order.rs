//! What must come before what in the trace of a refresh.

use super::calls::Call;

/// What is what in a trace.
pub struct Sides {
    /// The provider's address.
    pub provider: String,
    /// The broker's.
    pub grpc: String,
    /// How the descriptor of the database's log ends.
    pub log: String,
    /// The refresh token that is presented.
    pub presented: String,
    /// The access token that the caller gets.
    pub vended: String,
}

/// The milestones with their lines, or what is out of order.
pub fn check(calls: &[Call], sides: &Sides) -> Result<Vec<(&'static str, usize)>, String> {
    let to_provider = |call: &&Call| call.on.contains(&format!("->{}]", sides.provider));
    let presented = calls
        .iter()
        .filter(to_provider)
        .find(|call| call.sends(&sides.presented))
        .ok_or("the token was never presented")?;
    // The first byte on that socket: the head may have gone before the token.
    let spoken = calls.iter().filter(|call| call.on == presented.on && call.name != "connect");
    let spoken =
        spoken.filter(|call| call.sends("")).min_by_key(|call| call.began).ok_or("nothing was sent")?;
    // Everything else of this broker is older than this connection, so the one write in between is the burn.
    // The descriptor of a call to `connect` has no peer yet.
    let port = sides.provider.rsplit_once(':').map_or("", |(_, port)| port);
    let port = format!("htons({port})");
    let connected = calls
        .iter()
        .filter(|call| call.name == "connect" && call.arguments.contains(&port))
        .map(|call| call.ended)
        .filter(|line| *line < spoken.began)
        .max()
        .ok_or("there was no connection to the provider")?;
    let burnt =
        durable(calls, sides, connected, spoken.began).map_err(|error| format!("the burn {error}"))?;

    let vended = calls
        .iter()
        .find(|call| call.on.contains(&format!("[{}->", sides.grpc)) && call.sends(&sides.vended))
        .ok_or("the caller was never answered")?;
    let answered = calls
        .iter()
        .filter(|call| call.on == presented.on && call.receives() && call.ended < vended.began)
        .map(|call| call.ended)
        .max()
        .ok_or("the provider never answered")?;
    let settled =
        durable(calls, sides, answered, vended.began).map_err(|error| format!("the settle {error}"))?;
    Ok(vec![
        ("connected to the provider", connected),
        ("the burn is on the disk", burnt),
        ("first byte to the provider", spoken.began),
        ("the provider's answer", answered),
        ("the answer is on the disk", settled),
        ("first byte to the caller", vended.began),
    ])
}

/// Something was written to the log after `from`, and nothing written before `until` still waits for its sync.
fn durable(calls: &[Call], sides: &Sides, from: usize, until: usize) -> Result<usize, String> {
    let on_log = || calls.iter().filter(|call| call.on.ends_with(&sides.log));
    let written = on_log()
        .filter(|call| call.name == "pwrite64" && call.began > from && call.began < until)
        .map(|call| call.ended)
        .max()
        .ok_or("was not written in time")?;
    on_log()
        .filter(|call| call.syncs() && call.began > written && call.ended < until)
        .map(|call| call.ended)
        .min()
        .ok_or_else(|| "was not on the disk in time".to_owned())
}
