//! Reads an answer's JSON object, also one that was torn or is malformed: a pair that came must not be lost.
//! What is read is exact or absent, never a part.

use serde_json::{Map, Value};

/// The members of an answer.
pub(super) struct Members {
    pub(super) map: Map<String, Value>,
    /// Whether the whole body is one valid object.
    pub(super) whole: bool,
}

/// The body's members; `None` where it is not, and does not begin as, an object. Of members with the same name
/// the last counts.
pub(super) fn members(body: &[u8]) -> Option<Members> {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body).trim_ascii_start();
    match serde_json::from_slice(body) {
        Ok(map) => Some(Members { map: token_holder(map), whole: true }),
        Err(_) => Some(Members { map: salvage(body.strip_prefix(b"{")?), whole: false }),
    }
}

/// The object that holds the tokens: the answer itself, or else the only object inside it that has an access
/// token (`{"data": {...}}`). An error answer is taken as it is: what is inside it may echo our own request.
fn token_holder(map: Map<String, Value>) -> Map<String, Value> {
    if ["access_token", "refresh_token", "error"].iter().any(|name| map.contains_key(*name)) {
        return map;
    }
    let mut inside = Vec::new();
    collect(&map, &mut inside);
    match inside[..] {
        [only] => only.clone(),
        _ => map,
    }
}

fn collect<'a>(map: &'a Map<String, Value>, into: &mut Vec<&'a Map<String, Value>>) {
    for inner in map.values().filter_map(Value::as_object) {
        if inner.get("access_token").is_some_and(Value::is_string) {
            into.push(inner);
        }
        collect(inner, into);
    }
}

/// The scalar members of the outermost object up to where the text ends or stops being JSON. Only the
/// outermost: of a nested token nobody can say whose it is before the rest has been seen.
fn salvage(mut rest: &[u8]) -> Map<String, Value> {
    let mut map = Map::new();
    while let Some((name, value)) = member(&mut rest) {
        let name = serde_json::from_slice::<String>(name);
        let value = value.and_then(|text| serde_json::from_slice::<Value>(text).ok());
        if let (Ok(name), Some(value)) = (name, value) {
            map.insert(name, value);
        }
    }
    map
}

/// Takes one member off the front: its name's text, and its value's unless that is an object or array.
fn member<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], Option<&'a [u8]>)> {
    skip(rest, b",");
    let name = string(rest)?;
    skip(rest, b"");
    *rest = rest.strip_prefix(b":")?;
    skip(rest, b"");
    match rest.first()? {
        b'"' => Some((name, Some(string(rest)?))),
        b'{' | b'[' => nested(rest).map(|()| (name, None)),
        _ => Some((name, Some(scalar(rest)?))),
    }
}

fn skip(rest: &mut &[u8], also: &[u8]) {
    let end = rest.iter().position(|byte| !byte.is_ascii_whitespace() && !also.contains(byte));
    *rest = &rest[end.unwrap_or(rest.len())..];
}

/// A string with its quotes; `None` where its end has not come.
fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    rest.strip_prefix(b"\"")?;
    let mut escaped = false;
    let end = rest.iter().skip(1).position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    })?;
    let (string, after) = rest.split_at(end + 2);
    *rest = after;
    Some(string)
}

/// A number or literal; `None` where what ends it has not come: of `5400` a `54` may have arrived.
fn scalar<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = rest.iter().position(|byte| byte.is_ascii_whitespace() || b",}]".contains(byte))?;
    let (scalar, after) = rest.split_at(end);
    *rest = after;
    (!scalar.is_empty()).then_some(scalar)
}

/// Passes over an object or array, without recursion: depth is the sender's choice.
fn nested(rest: &mut &[u8]) -> Option<()> {
    let mut depth = 0_usize;
    loop {
        match rest.first()? {
            b'"' => {
                string(rest)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        *rest = &rest[1..];
        if depth == 0 {
            return Some(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Value {
        members(body.as_bytes()).map_or(Value::Null, |members| Value::Object(members.map))
    }

    #[test]
    fn a_cut_object_keeps_its_complete_members() {
        assert_eq!(
            read(r#"{"access_token":"a\"b\u00e9","expires_in":5400,"refresh_token":"cut"#),
            serde_json::json!({"access_token": "a\"bé", "expires_in": 5400})
        );
        assert_eq!(read(r#"{"expires_in":54"#), serde_json::json!({}));
        assert_eq!(read(r#"{"refresh_token":"ends in a backslash\"#), serde_json::json!({}));
    }

    #[test]
    fn names_inside_strings_and_nested_objects_are_not_members() {
        let body = r#"{"note":"\"refresh_token\":\"evil\"","inner":{"refresh_token":"evil"},"refresh_token":"good","#;
        assert_eq!(read(body)["refresh_token"], "good");
        assert_eq!(read(&body[..body.len() - 24]).get("refresh_token"), None);
    }

    #[test]
    fn a_byte_order_mark_and_repeated_names_are_tolerated() {
        assert_eq!(read("\u{feff} {\"a\":1,\"a\":2}")["a"], 2);
        assert_eq!(read("\u{feff} {\"a\":1,\"a\":2,")["a"], 2);
    }

    #[test]
    fn a_wrapped_pair_is_found_where_it_is_the_only_one() {
        assert_eq!(read(r#"{"data":{"access_token":"a","refresh_token":"r"}}"#)["refresh_token"], "r");
        let two = r#"{"bot":{"access_token":"a"},"user":{"access_token":"b"}}"#;
        assert_eq!(read(two).get("access_token"), None);
        let echo = r#"{"error":"invalid_grant","request":{"access_token":"a"}}"#;
        assert_eq!(read(echo).get("access_token"), None);
    }

    #[test]
    fn what_does_not_begin_as_an_object_is_nothing() {
        for body in ["", "[]", "null", "<html>{\"refresh_token\":\"r\"}</html>", "}", "\"x\""] {
            assert_eq!(read(body), Value::Null, "{body}");
        }
        let deep = format!("{{\"a\":{},\"refresh_token\":\"r\",", "[".repeat(100_000) + &"]".repeat(100_000));
        assert_eq!(read(&deep)["refresh_token"], "r");
        assert_eq!(read(r#"{"a":],"refresh_token":"r"}"#), serde_json::json!({}));
    }
}
