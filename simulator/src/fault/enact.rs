//! From a fault and an honest answer to what goes over the wire.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};

use super::bodies::{cut_at, fill, gzip};
use super::script::{Ending, Script, Step};
use super::{FaultKind, RetryHint, TornEnd};
use crate::reply::Reply;

/// Plays a fault on an answer; `now` is the simulator's clock in Unix seconds.
pub(crate) fn enact(kind: &FaultKind, reply: Option<Reply>, now: i64) -> Script {
    let reply = reply.unwrap_or_else(|| Reply::json(StatusCode::OK, &serde_json::json!({})));
    match kind {
        FaultKind::Hang(None) => Script { steps: Vec::new(), ending: Ending::Hang },
        FaultKind::Hang(Some(ms)) => {
            script(vec![Step::Pause(Duration::from_millis(*ms)), Step::Write(reply.to_wire().into())])
        }
        FaultKind::Reset => Script { steps: Vec::new(), ending: Ending::Reset },
        FaultKind::Close => script(Vec::new()),
        FaultKind::TornBody { cut, end } => {
            let sent = cut_at(&reply.body, cut);
            let mut wire = reply.to_wire();
            wire.truncate(wire.len() - reply.body.len() + sent);
            let ending = match end {
                TornEnd::Close => Ending::Close,
                TornEnd::Reset => Ending::Reset,
                TornEnd::Hang => Ending::Hang,
            };
            Script { steps: vec![Step::Write(wire.into())], ending }
        }
        FaultKind::Status { code, headers, body, retry } => {
            whole(&hinted(other_status(*code, headers, body), *retry, now))
        }
        FaultKind::Redirect { code, location } => {
            let headers = [(header::LOCATION.to_string(), location.clone())];
            whole(&other_status(*code, &headers, "<p>You are being redirected.</p>"))
        }
        FaultKind::Slow { delay_ms, drop_bytes, pause_ms } => {
            slow(reply.to_wire(), *delay_ms, *drop_bytes, Duration::from_millis(*pause_ms))
        }
        FaultKind::Garbage => {
            script(vec![Step::Write(Bytes::from_static(b"\x16\x03not http at all\x00\r\n"))])
        }
        FaultKind::Huge(bytes) => {
            let padding = bytes.saturating_sub(reply.body.len() as u64);
            let mut wire = reply.head(&format!("content-length: {}", padding + reply.body.len() as u64));
            wire.extend_from_slice(&reply.body);
            script(vec![Step::Write(wire.into()), Step::Pad(padding)])
        }
        FaultKind::Body { template, code, content_type } => {
            let body = fill(template, &reply.body);
            let status = code.map_or(reply.status, status);
            whole(&retyped(Reply { status, body: body.into(), ..reply }, content_type.as_deref()))
        }
        FaultKind::Gzip { declared } => {
            let reply = Reply { body: gzip(&reply.body).into(), ..reply };
            whole(&if *declared { reply.with(header::CONTENT_ENCODING, "gzip") } else { reply })
        }
        FaultKind::ChunkedGarbage => {
            let mut wire = reply.head("transfer-encoding: chunked");
            wire.extend_from_slice(format!("{:x}\r\n", reply.body.len()).as_bytes());
            wire.extend_from_slice(&reply.body);
            wire.extend_from_slice(b"\r\nno such size\r\n");
            script(vec![Step::Write(wire.into())])
        }
    }
}

fn script(steps: Vec<Step>) -> Script {
    Script { steps, ending: Ending::Close }
}

fn whole(reply: &Reply) -> Script {
    script(vec![Step::Write(reply.to_wire().into())])
}

fn other_status(code: u16, headers: &[(String, String)], body: &str) -> Reply {
    let html = body.starts_with('<');
    let content_type = if html { "text/html; charset=utf-8" } else { "application/json; charset=utf-8" };
    let reply = Reply::new(status(code), content_type, body.to_owned());
    headers.iter().fold(reply, |reply, (name, value)| match HeaderName::try_from(name.as_str()) {
        Ok(name) => reply.with(name, value),
        Err(_) => reply,
    })
}

fn hinted(reply: Reply, hint: Option<RetryHint>, now: i64) -> Reply {
    match hint {
        None => reply,
        Some(RetryHint::Seconds(seconds)) => reply.with(header::RETRY_AFTER, &seconds.to_string()),
        Some(RetryHint::Date(seconds)) => {
            let now = Duration::from_secs(u64::try_from(now).unwrap_or_default());
            let date = SystemTime::UNIX_EPOCH + now + Duration::from_secs(seconds);
            reply.with(header::RETRY_AFTER, &httpdate::fmt_http_date(date))
        }
        Some(RetryHint::RateLimitReset(seconds)) => {
            let reset = now.saturating_add_unsigned(seconds).to_string();
            reply.with(HeaderName::from_static("x-rate-limit-reset"), &reset)
        }
    }
}

fn retyped(mut reply: Reply, content_type: Option<&str>) -> Reply {
    if let Some(value) = content_type.and_then(|value| HeaderValue::from_str(value).ok()) {
        reply.headers.retain(|(name, _)| *name != header::CONTENT_TYPE);
        reply.headers.push((header::CONTENT_TYPE, value));
    }
    reply
}

fn slow(wire: Vec<u8>, delay_ms: u64, drop_bytes: usize, pause: Duration) -> Script {
    let wire = Bytes::from(wire);
    let mut steps = vec![Step::Pause(Duration::from_millis(delay_ms))];
    if drop_bytes == 0 {
        steps.push(Step::Write(wire));
        return script(steps);
    }
    for start in (0..wire.len()).step_by(drop_bytes) {
        steps.push(Step::Write(wire.slice(start..wire.len().min(start + drop_bytes))));
        steps.push(Step::Pause(pause));
    }
    script(steps)
}

/// A status code from a test's hands.
fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
