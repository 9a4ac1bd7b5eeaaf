//! The API host (A22 to A29, A33).

use std::collections::BTreeSet;

use procore_simulator::Environment;

use crate::fixture::{COMPANY, ENVIRONMENT, Fixture, raw};

const ME: &str = "/rest/v1.0/me";
const COMPANIES: &str = "/rest/v1.0/companies";
const PROJECTS: &str = "/rest/v1.1/projects";

async fn service_token(fixture: &Fixture) -> String {
    let form = format!("grant_type=client_credentials&{}", fixture.credentials());
    fixture.token(&form).await.member("access_token")
}

#[tokio::test]
async fn the_company_header_is_required_with_two_exceptions() {
    let fixture = Fixture::new().await;
    let access = &fixture.pair.access_token;
    let missing = fixture.get_api(PROJECTS, access, None).await;
    assert_eq!(missing.status, 400);
    assert!(missing.body.starts_with("Missing Procore-Company-Id header!"));
    assert_eq!(fixture.get_api(ME, access, None).await.json()["id"], 7);
    assert_eq!(fixture.get_api(COMPANIES, access, None).await.json()[0]["id"], COMPANY);
    assert_eq!(fixture.get_api("/rest/v1.0/me?company_id=42", access, None).await.status, 400);
    let service = service_token(&fixture).await;
    assert_eq!(fixture.get_api(ME, &service, None).await.status, 400);
    assert_eq!(fixture.get_api(COMPANIES, &service, Some(COMPANY)).await.json()[0]["id"], COMPANY);

    fixture.simulator.knobs(|knobs| knobs.company_header_status = None);
    assert_eq!(fixture.get_api("/rest/v1.1/projects?company_id=42", access, None).await.status, 200);
}

#[tokio::test]
async fn an_uninstalled_app_is_not_connected_there_and_only_there() {
    let fixture = Fixture::new().await;
    let (client, access) = (&fixture.client.client_id, &fixture.pair.access_token);
    fixture.simulator.grant(ENVIRONMENT, client, 7, 43);
    fixture.simulator.uninstall(ENVIRONMENT, client, COMPANY);
    let refused = fixture.get_api(PROJECTS, access, Some(COMPANY)).await;
    assert_eq!(refused.status, 403);
    assert_eq!(refused.body, r#"{"errors":["App is not connected to this company."]}"#);
    assert_eq!(fixture.get_api(PROJECTS, access, Some(43)).await.status, 200);
    assert_eq!(fixture.get_api(ME, access, None).await.status, 200);
    let service = service_token(&fixture).await;
    let seen = fixture.get_api(COMPANIES, &service, Some(43)).await.json();
    assert_eq!(seen.as_array().unwrap().len(), 1);
    assert_eq!(fixture.refresh(&fixture.pair.refresh_token).await.status, 200);
}

#[tokio::test]
async fn installing_again_empties_the_permitted_projects() {
    let fixture = Fixture::new().await;
    let client = &fixture.client.client_id;
    let service = service_token(&fixture).await;
    assert_eq!(fixture.get_api("/rest/v1.1/projects/421", &service, Some(COMPANY)).await.status, 200);
    fixture.simulator.uninstall(ENVIRONMENT, client, COMPANY);
    fixture.simulator.install(ENVIRONMENT, client, COMPANY);
    assert_eq!(fixture.get_api("/rest/v1.1/projects/421", &service, Some(COMPANY)).await.status, 404);
    assert!(fixture.simulator.permit_projects(ENVIRONMENT, client, COMPANY, BTreeSet::from([421])));
    assert_eq!(fixture.get_api("/rest/v1.1/projects/421", &service, Some(COMPANY)).await.status, 200);
}

#[tokio::test]
async fn installations_are_listed_and_changed() {
    let fixture = Fixture::new().await;
    let access = &fixture.pair.access_token;
    let list = fixture.get_api("/rest/v1.0/app_installations?company_id=42", access, Some(COMPANY)).await;
    let id = list.json()[0]["id"].as_u64().unwrap();
    let body = r#"{"app_installation":{"status":"uninstalled"}}"#;
    let request = format!(
        "PATCH /rest/v1.0/app_installations/{id} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {access}\r\nprocore-company-id: 42\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let changed = raw(&fixture.simulator.api_base(ENVIRONMENT), &request).await.response();
    assert_eq!(changed.member("status"), "uninstalled");
    assert_eq!(fixture.get_api(PROJECTS, access, Some(COMPANY)).await.status, 403);
}

#[tokio::test]
async fn dead_and_foreign_tokens_are_told_apart_by_text() {
    let fixture = Fixture::new().await;
    let unknown = fixture.get_api(ME, "stranger", None).await;
    assert_eq!((unknown.status, unknown.body.contains("The access token is invalid")), (401, true));
    let monthly = fixture.simulator.grant(Environment::Monthly, &fixture.client.client_id, 7, COMPANY);
    assert_eq!(fixture.get_api(ME, &monthly.access_token, None).await.status, 401);
    fixture.simulator.knobs(|knobs| knobs.clock_skew = 5401);
    let expired = fixture.get_api(ME, &fixture.pair.access_token, None).await;
    assert_eq!((expired.status, expired.body.contains("has expired")), (401, true));
}

#[tokio::test]
async fn both_rate_limits_hold_and_the_tighter_one_shows() {
    let fixture = Fixture::new().await;
    fixture.simulator.knobs(|knobs| {
        knobs.spike_limit = 2;
        knobs.hourly_limit = 3;
    });
    let access = &fixture.pair.access_token;
    let first = fixture.get_api(ME, access, None).await;
    assert_eq!(first.header("x-rate-limit-limit"), Some("2"));
    assert_eq!(first.header("x-rate-limit-remaining"), Some("1"));
    // Failures count too.
    assert_eq!(fixture.get_api(PROJECTS, access, None).await.status, 400);
    let refused = fixture.get_api(ME, access, None).await;
    assert_eq!(refused.status, 429);
    assert!(refused.header("retry-after").is_some() && refused.header("x-rate-limit-reset").is_some());

    fixture.simulator.knobs(|knobs| {
        knobs.clock_skew = 11;
        knobs.retry_after_on_429 = false;
    });
    let refused = fixture.get_api(ME, access, None).await;
    assert_eq!((refused.status, refused.header("x-rate-limit-limit")), (429, Some("3")));
    assert_eq!(refused.header("retry-after"), None);
    fixture.simulator.knobs(|knobs| knobs.rate_limiter = false);
    assert_eq!(fixture.get_api(ME, access, None).await.status, 200);
}
