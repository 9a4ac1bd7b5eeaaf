//! When a provider wants to be asked again.

use std::time::Duration;

use http::{HeaderMap, HeaderName, header::RETRY_AFTER};
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

use crate::model::Timestamp;

/// The longest wait that a provider can ask for: a hostile header must not park a connection for ever.
pub const MAX_NOT_BEFORE: Duration = Duration::from_mins(15);

static RATE_LIMIT_RESET: HeaderName = HeaderName::from_static("x-rate-limit-reset");

/// The latest of what the answer asks for; `None` where that is nothing, unreadable, or over. Procore documents
/// both headers, on different pages.
pub(super) fn not_before(headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    let texts = |name| headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    let retry_after = texts(&RETRY_AFTER).filter_map(|text| seconds_from(text, now).or_else(|| date(text)));
    let reset = texts(&RATE_LIMIT_RESET).filter_map(|text| seconds_from(text, Timestamp::default()));
    let latest = retry_after.chain(reset).max()?;
    (latest > now).then_some(latest.min(now.plus(MAX_NOT_BEFORE)))
}

fn seconds_from(text: &str, start: Timestamp) -> Option<Timestamp> {
    let text = text.trim();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // More digits than fit say "very long".
    digits.then(|| start.plus(Duration::from_secs(text.parse().unwrap_or(u64::MAX))))
}

/// An HTTP-date in the form that RFC 9110 has servers send.
fn date(text: &str) -> Option<Timestamp> {
    let date = OffsetDateTime::parse(text.trim(), &Rfc2822).ok()?;
    Some(Timestamp::from_micros(date.unix_timestamp().checked_mul(1_000_000)?))
}
