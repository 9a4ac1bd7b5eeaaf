//! Durations as people write them: `250ms`, `60s`, `10m`, `1h30m`.

use std::{fmt::Write as _, time::Duration};

use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Not a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a duration such as `250ms`, `60s`, `10m` or `1h30m`")]
pub struct InvalidDuration;

/// Reads a duration.
pub fn parse(text: &str) -> Result<Duration, InvalidDuration> {
    let mut rest = text.trim();
    let mut millis: Option<u64> = None;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or(InvalidDuration)?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let (_, factor) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or(InvalidDuration)?;
        let part = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
        millis = Some(part.and_then(|part| part.checked_add(millis.unwrap_or(0))).ok_or(InvalidDuration)?);
        rest = tail.trim_start();
    }
    millis.map(Duration::from_millis).ok_or(InvalidDuration)
}

/// Writes a duration so that [`parse`] reads it, to the millisecond.
#[must_use]
pub fn format(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, factor) in UNITS {
        if rest >= factor {
            let _ = write!(text, "{}{unit}", rest / factor);
            rest %= factor;
        }
    }
    text
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).map_err(D::Error::custom)
}

pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*duration))
}
