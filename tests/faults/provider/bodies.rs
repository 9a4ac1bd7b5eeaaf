//! F21: a success whose body is torn or odd. A pair that came is kept, and an empty token never replaces a good one.

use procore_simulator::{Cut, Fault, FaultKind, TornEnd};

use super::answers::Case;

/// What becomes of a pair.
#[derive(Clone, Copy)]
enum Fate {
    Kept,
    AccessOnly,
    Lost,
}

use Fate::{AccessOnly, Kept, Lost};

/// The rows of F21.
pub(super) fn cases() -> Vec<Case> {
    let [after, before, inside] =
        [Cut::After, Cut::Before, Cut::Inside].map(|cut| cut("refresh_token".to_owned()));
    let torn = |cut: &Cut, end| FaultKind::TornBody { cut: cut.clone(), end };
    let body =
        |template: &str| FaultKind::Body { template: template.to_owned(), code: None, content_type: None };
    let members = |members: &str| body(&format!(r#"{{"access_token":"{{{{access_token}}}}",{members}}}"#));
    let lives =
        |life: &str| members(&format!(r#""refresh_token":"{{{{refresh_token}}}}","expires_in":{life}"#));
    let decoy = r#""refresh_token":"decoy","refresh_token":"{{refresh_token}}","expires_in":3600"#;
    [
        ("torn behind the refresh token, FIN", Kept, torn(&after, TornEnd::Close)),
        ("torn behind the refresh token, RST", Kept, torn(&after, TornEnd::Reset)),
        ("torn before the refresh token, FIN", Lost, torn(&before, TornEnd::Close)),
        ("torn before the refresh token, RST", Lost, torn(&before, TornEnd::Reset)),
        ("torn inside the refresh token, FIN", Lost, torn(&inside, TornEnd::Close)),
        ("torn inside the refresh token, RST", Lost, torn(&inside, TornEnd::Reset)),
        ("chunks that end in garbage", Kept, FaultKind::ChunkedGarbage),
        ("100 MB", Kept, FaultKind::Huge(100 << 20)),
        ("gzip that was not asked for", Lost, FaultKind::Gzip { declared: true }),
        ("gzip that is not declared", Lost, FaultKind::Gzip { declared: false }),
        ("a byte order mark", Kept, body("\u{feff}{{body}}")),
        ("a name twice", Kept, members(decoy)),
        ("expires_in as text", Kept, lives(r#""5400""#)),
        ("expires_in negative", Kept, lives("-5")),
        ("expires_in huge", Kept, lives("1e300")),
        ("no refresh token", AccessOnly, members(r#""expires_in":3600"#)),
        ("an empty refresh token", AccessOnly, members(r#""refresh_token":"","expires_in":3600"#)),
        ("HTML", Lost, body("<html><p>Maintenance</p></html>")),
        ("an empty object", Lost, body("{}")),
    ]
    .into_iter()
    .map(|(name, fate, kind)| {
        let (heard, state) = match fate {
            Kept => ("a token", "idle"),
            AccessOnly => ("a token, with advice", "reauth_required"),
            Lost => ("REFRESH_IN_DOUBT", "reauth_required"),
        };
        Case { group: "F21", name, fault: Fault::new(kind), heard, state, presentations: 1 }
    })
    .collect()
}
