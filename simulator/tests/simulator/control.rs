//! The control API.

use serde_json::{Value, json};

use crate::fixture::{Fixture, Response, raw};

async fn control(fixture: &Fixture, method: &str, path: &str, body: &Value) -> Response {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    raw(&fixture.simulator.control_base(), &request).await.response()
}

#[tokio::test]
async fn a_whole_session_by_http() {
    let fixture = Fixture::new().await;
    let seed = json!({"environment": "production", "client": {"name": "Acme", "client_id": "acme"}});
    let client = control(&fixture, "POST", "/clients", &seed).await;
    assert_eq!((client.status, client.member("client_id")), (201, "acme".to_owned()));

    let grant = json!({"environment": "production", "client_id": "acme", "user": 1, "company": 2});
    let pair = control(&fixture, "POST", "/grants", &grant).await;
    let grant_id = pair.member("grant_id");
    let form = format!(
        "grant_type=refresh_token&refresh_token={}&client_id=acme&client_secret={}",
        pair.member("refresh_token"),
        client.member("client_secret")
    );

    let fault = json!({"phase": "before_processing", "kind": {"status": {"code": 503}}, "target": {"grant_id": grant_id}});
    assert_eq!(control(&fixture, "POST", "/faults", &fault).await.status, 201);
    assert_eq!(fixture.token(&form).await.status, 503);
    assert_eq!(fixture.token(&form).await.status, 200);

    let log = control(&fixture, "GET", "/log?since=1", &Value::Null).await.json();
    assert_eq!(log.as_array().unwrap().len(), 1);
    assert_eq!(log[0]["outcome"], "rotated");
    let table = control(&fixture, "GET", "/log?format=table", &Value::Null).await.body;
    assert!(table.contains("not_processed") && table.contains("PRESENTED BEFORE"), "{table}");

    let state = control(&fixture, "GET", &format!("/grants/{grant_id}"), &Value::Null).await.json();
    assert_eq!((&state["generation"], &state["ended"]), (&json!(1), &Value::Null));
    let all = control(&fixture, "GET", "/state", &Value::Null).await;
    assert_eq!(all.json()["grants"].as_array().unwrap().len(), 2);
    assert!(!all.body.contains(&pair.member("refresh_token")));
}

#[tokio::test]
async fn knobs_are_patched_member_by_member() {
    let fixture = Fixture::new().await;
    let patch = json!({"access_ttl": 900, "consume_on_failed_refresh": ["invalid_client"]});
    let knobs = control(&fixture, "PATCH", "/knobs", &patch).await.json();
    assert_eq!((&knobs["access_ttl"], &knobs["code_ttl"]), (&json!(900), &json!(600)));
    assert_eq!(fixture.simulator.knobs(|knobs| knobs.consume_on_failed_refresh.len()), 1);
    assert_eq!(control(&fixture, "GET", "/knobs", &Value::Null).await.json(), knobs);
}

#[tokio::test]
async fn every_administrative_call_exists() {
    let fixture = Fixture::new().await;
    let id = &fixture.client.client_id;
    let client = json!({"environment": "production", "client_id": id});
    let user = json!({"environment": "production", "client_id": id, "user": 7});
    let projects = json!({"environment": "production", "client_id": id, "projects": [421]});
    for (method, path, body) in [
        ("POST", "/companies/42/uninstall", &client),
        ("POST", "/companies/42/install", &client),
        ("POST", "/companies/42/projects", &projects),
        ("POST", "/clients/suspend", &client),
        ("POST", "/secrets/reset", &client),
        ("POST", "/users/revoke", &user),
        ("POST", "/environments/wipe", &json!({"environment": "monthly"})),
        ("POST", "/hold", &json!({"hold": "off"})),
        ("GET", "/faults", &Value::Null),
        ("DELETE", "/faults", &Value::Null),
    ] {
        assert_eq!(control(&fixture, method, path, body).await.status, 200, "{method} {path}");
    }
}

#[tokio::test]
async fn mistakes_are_explained() {
    let fixture = Fixture::new().await;
    for (method, path, body, status, text) in [
        ("PATCH", "/knobs", json!({"acess_ttl": 1}), 400, "acess_ttl"),
        ("PATCH", "/knobs", json!([1]), 400, "invalid"),
        ("POST", "/faults", json!({"kind": "explode"}), 400, "explode"),
        ("POST", "/grants", json!({"environment": "moon"}), 400, "moon"),
        (
            "POST",
            "/secrets/reset",
            json!({"environment": "sandbox", "client_id": "x"}),
            404,
            "no such client",
        ),
        ("GET", "/log?format=xml", Value::Null, 400, "json or table"),
        ("GET", "/nowhere", Value::Null, 404, "/nowhere"),
    ] {
        let response = control(&fixture, method, path, &body).await;
        assert_eq!(response.status, status, "{method} {path}");
        assert!(response.member("error").contains(text), "{response:?}");
    }
}
