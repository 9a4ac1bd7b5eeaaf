//! What requests have in common: names, etags, pages, masks. Errors name the field.

use std::{str::FromStr, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use prost_types::FieldMask;

use crate::{
    error::{Reason, Refusal},
    model::{InvalidName, Timestamp},
    store::Written,
};

/// Pages are at most this long (AIP-158).
const MAX_PAGE: u32 = 1000;
const DEFAULT_PAGE: u32 = 100;

/// Reads a name or an id.
pub(super) fn parse<T: FromStr<Err = InvalidName>>(field: &'static str, text: &str) -> Result<T, Refusal> {
    text.parse().map_err(|error: InvalidName| Refusal::field(field, error.to_string()))
}

/// Text of at most `max` bytes.
pub(super) fn text(field: &'static str, text: &str, max: usize) -> Result<String, Refusal> {
    if text.len() > max {
        return Err(Refusal::field(field, format!("at most {max} bytes")));
    }
    Ok(text.to_owned())
}

/// An etag is the revision; empty: whichever.
pub(super) fn revision(etag: &str) -> Result<Option<u64>, Refusal> {
    if etag.is_empty() {
        return Ok(None);
    }
    etag.parse().map(Some).map_err(|_| Refusal::new(Reason::EtagMismatch))
}

/// The revision to build on: the one that the caller read, or the present one.
pub(super) fn expect_revision(etag: &str, present: u64) -> Result<(), Refusal> {
    match revision(etag)? {
        Some(expected) if expected != present => Err(Refusal::new(Reason::EtagMismatch)),
        _ => Ok(()),
    }
}

/// Where a page begins and how long it is.
pub(super) struct PageRequest {
    /// Exclusive.
    pub(super) after: Option<String>,
    pub(super) limit: u32,
}

pub(super) fn page(page_size: i32, page_token: &str) -> Result<PageRequest, Refusal> {
    let limit = match u32::try_from(page_size) {
        Err(_) => return Err(Refusal::field("page_size", "must not be negative")),
        Ok(0) => DEFAULT_PAGE,
        Ok(size) => size.min(MAX_PAGE),
    };
    let after = match page_token {
        "" => None,
        token => {
            let id = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            Some(id.ok_or_else(|| Refusal::field("page_token", "not a token of this service"))?)
        }
    };
    Ok(PageRequest { after, limit })
}

/// The token of the page after `last`, where there is one.
pub(super) fn next_page(more: bool, last: Option<String>) -> String {
    last.filter(|_| more).map(|id| URL_SAFE_NO_PAD.encode(id)).unwrap_or_default()
}

/// Which fields to update: all that can be, where there is no mask.
pub(super) fn masked(
    mask: Option<&FieldMask>,
    allowed: &'static [&'static str],
) -> Result<Vec<&'static str>, Refusal> {
    let paths = mask.map(|mask| mask.paths.as_slice()).unwrap_or_default();
    if paths.is_empty() || paths == ["*"] {
        return Ok(allowed.to_vec());
    }
    let known = |path: &String| {
        let found = allowed.iter().find(|name| *name == path).copied();
        found.ok_or_else(|| {
            Refusal::field("update_mask", format!("only {} can be updated", allowed.join(", ")))
        })
    };
    paths.iter().map(known).collect()
}

/// A duration that is not negative.
pub(super) fn duration(
    field: &'static str,
    wire: Option<prost_types::Duration>,
) -> Result<Option<Duration>, Refusal> {
    wire.map(|wire| Duration::try_from(wire).map_err(|_| Refusal::field(field, "must not be negative")))
        .transpose()
}

/// A time.
pub(super) fn time(
    field: &'static str,
    wire: Option<prost_types::Timestamp>,
) -> Result<Option<Timestamp>, Refusal> {
    let micros = |wire: prost_types::Timestamp| {
        let nanos = i64::from(wire.nanos);
        let micros = wire.seconds.checked_mul(1_000_000)?.checked_add(nanos / 1000)?;
        (0..1_000_000_000).contains(&nanos).then(|| Timestamp::from_micros(micros))
    };
    wire.map(|wire| micros(wire).ok_or_else(|| Refusal::field(field, "not a time"))).transpose()
}

/// A write that did not apply, as a refusal.
pub(super) fn applied(written: Written) -> Result<(), Refusal> {
    match written {
        Written::Done => Ok(()),
        Written::Exists => Err(Refusal::new(Reason::AlreadyExists)),
        Written::Absent => Err(Refusal::new(Reason::NotFound)),
        Written::Stale => Err(Refusal::new(Reason::EtagMismatch)),
        Written::InUse => Err(Refusal::new(Reason::ResourceInUse)),
    }
}
