//! Bodies that differ from the honest one.

use serde_json::Value;

use super::Cut;

/// How much of a body is sent.
pub(super) fn cut_at(body: &[u8], cut: &Cut) -> usize {
    let text = String::from_utf8_lossy(body);
    let value = |name: &str| {
        let key = format!("\"{name}\":\"");
        let start = text.find(&key)? + key.len();
        Some((start, start + text[start..].find('"')?))
    };
    let end = match cut {
        Cut::Bytes(bytes) => Some(*bytes),
        Cut::After(name) => value(name).map(|(_, end)| end + 1),
        Cut::Inside(name) => value(name).map(|(start, end)| usize::midpoint(start, end)),
        Cut::Before(name) => text.find(&format!("\"{name}\":")),
    };
    end.unwrap_or_default().min(body.len())
}

/// Fills a template with what the client would have got.
pub(super) fn fill(template: &str, body: &[u8]) -> String {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let member = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    template
        .replace("{{access_token}}", &member("access_token"))
        .replace("{{refresh_token}}", &member("refresh_token"))
        .replace("{{body}}", &String::from_utf8_lossy(body))
}

/// Wraps bytes as gzip (RFC 1952) without compressing them.
pub(super) fn gzip(body: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let mut blocks = body.chunks(usize::from(u16::MAX)).peekable();
    while let Some(block) = blocks.next() {
        out.push(u8::from(blocks.peek().is_none()));
        let length = u16::try_from(block.len()).expect("chunks are no longer than u16::MAX");
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(block);
    }
    out.extend_from_slice(&crc32(body).to_le_bytes());
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_le_bytes());
    out
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}
