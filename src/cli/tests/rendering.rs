//! Tables and JSON, from messages to text.

use std::collections::HashMap;

use prost_types::{Duration, Timestamp};
use serde_json::{Value, json};
use token_broker_proto::v1::{
    Advice, Attempt, ClientSecretVersion, Connection, Event, GetAccessTokenResponse,
    InspectConnectionResponse, KeptAnswer, OAuthClient, Standing, Tenant, WitnessEntry, advice, connection,
    standing,
};

use crate::cli::{Format, Printer, Show};

fn at(minute: u8) -> Timestamp {
    format!("2026-01-31T12:{minute:02}:00Z").parse().unwrap()
}

fn tenant(id: &str) -> Tenant {
    Tenant {
        name: format!("tenants/{id}"),
        uid: "u".to_owned(),
        display_name: "Acme Inc.".to_owned(),
        etag: "1".to_owned(),
        create_time: Some(at(0)),
        update_time: None,
    }
}

fn connection() -> Connection {
    Connection {
        name: "tenants/acme/connections/main".to_owned(),
        oauth_client: "oauthClients/procore".to_owned(),
        grant_type: connection::GrantType::AuthorizationCode.into(),
        account_id: "42".to_owned(),
        max_min_ttl: Some(Duration { seconds: 600, nanos: 0 }),
        state: connection::State::InDoubt.into(),
        generation: 7,
        expire_time: Some(at(30)),
        ..Connection::default()
    }
}

fn one<T: Show>(format: Format, item: &T) -> String {
    shown(|out| Printer::new(format, out).one(item).unwrap())
}

fn many<T: Show>(format: Format, items: &[T]) -> String {
    shown(|out| Printer::new(format, out).many("items", items).unwrap())
}

fn shown(print: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    print(&mut out);
    String::from_utf8(out).unwrap()
}

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_list_is_a_table_without_borders() {
    assert_eq!(
        many(Format::Table, &[tenant("acme"), Tenant { display_name: String::new(), ..tenant("b") }]),
        "NAME          DISPLAY NAME  CREATED\n\
         tenants/acme  Acme Inc.     2026-01-31T12:00:00Z\n\
         tenants/b     -             2026-01-31T12:00:00Z\n"
    );
    assert_eq!(many::<Tenant>(Format::Table, &[]), "none\n");
}

#[test]
fn a_thing_is_its_facts() {
    let text = one(Format::Table, &connection());
    for line in ["state            in doubt", "grant type       authorization code", "largest min_ttl  10m"] {
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn json_has_the_field_names_of_the_proto() {
    assert_eq!(
        value(&one(Format::Json, &connection())),
        json!({
            "name": "tenants/acme/connections/main",
            "uid": "",
            "display_name": "",
            "oauth_client": "oauthClients/procore",
            "grant_type": "GRANT_TYPE_AUTHORIZATION_CODE",
            "account_id": "42",
            "max_min_ttl": "600s",
            "state": "STATE_IN_DOUBT",
            "generation": 7,
            "expire_time": "2026-01-31T12:30:00Z",
            "etag": "",
            "create_time": null,
            "update_time": null,
        })
    );
    assert_eq!(value(&many(Format::Json, &[tenant("acme")]))["items"][0]["name"], "tenants/acme");
    assert_eq!(value(&many::<Tenant>(Format::Json, &[])), json!({ "items": [] }));
}

/// A field added to the contract must not be forgotten here: the JSON of each message has the fields of its
/// descriptor, but for secrets.
#[test]
fn json_is_complete() {
    use prost::Message as _;
    let set = prost_types::FileDescriptorSet::decode(token_broker_proto::DESCRIPTORS).unwrap();
    let fields = |message: &str, secret: &[&str]| {
        let message =
            set.file.iter().flat_map(|file| &file.message_type).find(|m| m.name() == message).unwrap();
        let names = message.field.iter().map(|field| field.name().to_owned());
        let mut names: Vec<_> = names.filter(|name| !secret.contains(&name.as_str())).collect();
        names.sort();
        names
    };
    let keys = |value: Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(Tenant::default().json()), fields("Tenant", &[]));
    assert_eq!(keys(OAuthClient::default().json()), fields("OAuthClient", &[]));
    assert_eq!(keys(Connection::default().json()), fields("Connection", &[]));
    assert_eq!(keys(Attempt::default().json()), fields("Attempt", &[]));
    assert_eq!(keys(Event::default().json()), fields("Event", &[]));
    assert_eq!(
        keys(GetAccessTokenResponse::default().json()),
        fields("GetAccessTokenResponse", &["access_token"])
    );
    let token = GetAccessTokenResponse { advice: Some(Advice::default()), ..Default::default() };
    assert_eq!(keys(token.json()["advice"].clone()), fields("Advice", &[]));
    let client = OAuthClient {
        standing: Some(Standing::default()),
        secret_versions: vec![ClientSecretVersion::default()],
        ..Default::default()
    };
    assert_eq!(keys(client.json()["standing"].clone()), fields("Standing", &[]));
    assert_eq!(keys(client.json()["secret_versions"][0].clone()), fields("ClientSecretVersion", &[]));
}

#[test]
fn a_token_is_shown_without_the_token() {
    let token = GetAccessTokenResponse {
        access_token: "canary".to_owned(),
        token_type: "Bearer".to_owned(),
        expire_time: Some(at(30)),
        renew_time: Some(at(20)),
        generation: 7,
        scopes: vec!["read".to_owned(), "write".to_owned()],
        api_base_uri: "https://api.example".to_owned(),
        request_headers: HashMap::from([("Procore-Company-Id".to_owned(), "42".to_owned())]),
        advice: Some(Advice {
            cause: advice::Cause::RenewalUnavailable.into(),
            short_lived: true,
            hint: "the provider is down".to_owned(),
            retry_after: Some(Duration { seconds: 5, nanos: 0 }),
        }),
    };
    let (text, json) = (one(Format::Table, &token), one(Format::Json, &token));
    assert!(!text.contains("canary") && !json.contains("canary"));
    for part in [
        "ask again by     2026-01-31T12:20:00Z",
        "Procore-Company-Id: 42",
        "renewal unavailable, short-lived: the provider is down; try again in 5s",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(value(&json)["advice"]["cause"], "CAUSE_RENEWAL_UNAVAILABLE");
}

#[test]
fn a_standing_says_why_and_until_when() {
    let client = OAuthClient {
        secret_versions: vec![
            ClientSecretVersion { version: 1, current: false, create_time: None },
            ClientSecretVersion { version: 2, current: true, create_time: None },
        ],
        standing: Some(Standing {
            breaker: standing::Breaker::Open.into(),
            cause: "invalid_client".to_owned(),
            retry_time: Some(at(5)),
        }),
        ..OAuthClient::default()
    };
    let text = one(Format::Table, &client);
    assert!(text.contains("v1, v2 (current)"), "{text}");
    assert!(text.contains("open: invalid_client, next trial 2026-01-31T12:05:00Z"), "{text}");
}

#[test]
fn an_inspection_shows_attempts_and_events() {
    let inspection = InspectConnectionResponse {
        connection: Some(connection()),
        grant_state: "in_doubt".to_owned(),
        attempts: vec![Attempt {
            attempt_id: "a-1".to_owned(),
            generation: 7,
            replica: "broker-0".to_owned(),
            cause: "expired".to_owned(),
            dispatch_time: Some(at(1)),
            ..Attempt::default()
        }],
        events: vec![Event { kind: "in_doubt".to_owned(), generation: 7, create_time: Some(at(2)) }],
        witness: Some(WitnessEntry { generation: 8, attempt_id: "a-2".to_owned(), revoked: false }),
        kept_answers: vec![KeptAnswer {
            medium: "escrow".to_owned(),
            attempt_id: "a-2".to_owned(),
            generation: 8,
            receive_time: Some(at(3)),
        }],
        unavailable: Vec::new(),
    };
    let print = |format| shown(|out| Printer::new(format, out).inspection(&inspection).unwrap());
    let text = print(Format::Table);
    assert!(text.contains("2026-01-31T12:01:00Z  7           open     expired  broker-0  a-1"), "{text}");
    assert!(text.contains("2026-01-31T12:02:00Z  7           in doubt"), "{text}");
    assert!(text.contains("generation 8 by a-2"), "{text}");
    assert!(text.contains("2026-01-31T12:03:00Z  8           escrow  a-2"), "{text}");
    let json = value(&print(Format::Json));
    assert_eq!((&json["grant_state"], &json["attempts"][0]["outcome"]), (&json!("in_doubt"), &json!("")));
}

#[test]
fn no_escape_sequence_reaches_the_terminal() {
    let text =
        one(Format::Table, &Tenant { display_name: "\u{1b}[2J\u{9b}evil\n".to_owned(), ..tenant("a") });
    assert!(!text.contains('\u{1b}') && !text.contains('\u{9b}'));
    assert_eq!(text.lines().count(), 6);
}

#[test]
fn unknown_enum_values_are_tolerated() {
    let text = one(Format::Table, &Connection { state: 99, ..connection() });
    assert!(text.contains("unspecified"), "{text}");
}
