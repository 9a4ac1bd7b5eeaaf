//! Ways for tokens to die (A17 to A21, A32).

use procore_simulator::{EndReason, Environment, InfoShape, RevokeReach, WrongClientRevoke};

use crate::fixture::{COMPANY, ENVIRONMENT, Fixture, Response, USER, post};

async fn revoke(fixture: &Fixture, token: &str) -> Response {
    let form = format!("token={token}&{}", fixture.credentials());
    post(&fixture.simulator.oauth_base(ENVIRONMENT), "/oauth/revoke", &form).await.response()
}

fn ended(fixture: &Fixture) -> Option<EndReason> {
    fixture.simulator.grant_state(&fixture.pair.grant_id).unwrap().ended
}

#[tokio::test]
async fn info_has_the_shape_asked_for() {
    let fixture = Fixture::new().await;
    let info = fixture.info(&fixture.pair.access_token).await.json();
    assert_eq!(info["resource_owner_id"], USER);
    assert_eq!(info["application"]["uid"], fixture.client.client_id.as_str());
    assert!(info["expires_in_seconds"].as_i64().unwrap() <= 5400);
    assert_eq!(fixture.info("stranger").await.error(), (401, "invalid_request".to_owned()));

    fixture.simulator.knobs(|knobs| knobs.info_shape = InfoShape::New);
    let info = fixture.info(&fixture.pair.access_token).await.json();
    assert!(info["expires_in"].is_i64() && info["scope"].is_array());
    assert_eq!(fixture.info("stranger").await.error(), (401, "invalid_token".to_owned()));
}

#[tokio::test]
async fn revoking_kills_the_pair_or_just_the_refresh_token() {
    for (reach, status) in [(RevokeReach::Pair, 401), (RevokeReach::RefreshOnly, 200)] {
        let fixture = Fixture::new().await;
        fixture.simulator.knobs(|knobs| knobs.revoke_reach = reach);
        let response = revoke(&fixture, &fixture.pair.access_token).await;
        assert_eq!((response.status, response.body.as_str()), (200, "{}"));
        assert_eq!(fixture.info(&fixture.pair.access_token).await.status, status);
        assert_eq!(ended(&fixture), Some(EndReason::Revoked));
        assert_eq!(fixture.refresh(&fixture.pair.refresh_token).await.error().1, "invalid_grant");
    }
}

#[tokio::test]
async fn revoking_answers_200_when_nothing_was_revoked() {
    let fixture = Fixture::new().await;
    assert_eq!(revoke(&fixture, "stranger").await.status, 200);
    fixture.simulator.knobs(|knobs| knobs.clock_skew = 6000);
    assert_eq!(revoke(&fixture, &fixture.pair.access_token).await.status, 200);
    assert_eq!(ended(&fixture), None);
    assert_eq!(revoke(&fixture, &fixture.pair.refresh_token).await.status, 200);
    assert_eq!(ended(&fixture), Some(EndReason::Revoked));
}

#[tokio::test]
async fn the_access_token_of_a_spent_pair_revokes_nothing_newer() {
    let fixture = Fixture::new().await;
    let next = fixture.refresh(&fixture.pair.refresh_token).await.member("refresh_token");
    assert_eq!(revoke(&fixture, &fixture.pair.access_token).await.status, 200);
    assert_eq!(fixture.info(&fixture.pair.access_token).await.status, 401);
    assert_eq!(fixture.refresh(&next).await.status, 200);
}

#[tokio::test]
async fn another_client_may_not_revoke() {
    let mut fixture = Fixture::new().await;
    fixture.client =
        fixture.simulator.register_client(ENVIRONMENT, procore_simulator::ClientRegistration::default());
    let refused = revoke(&fixture, &fixture.pair.access_token).await;
    assert_eq!(refused.error(), (403, "unauthorized_client".to_owned()));
    fixture.simulator.knobs(|knobs| knobs.revoke_wrong_client = WrongClientRevoke::Ignored);
    assert_eq!(revoke(&fixture, &fixture.pair.access_token).await.status, 200);
    assert_eq!(ended(&fixture), None);
}

#[tokio::test]
async fn a_user_ends_only_their_own_grants() {
    let fixture = Fixture::new().await;
    let other = fixture.simulator.grant(ENVIRONMENT, &fixture.client.client_id, 8, COMPANY);
    assert_eq!(fixture.simulator.revoke_user(ENVIRONMENT, &fixture.client.client_id, USER), 1);
    assert_eq!(ended(&fixture), Some(EndReason::RevokedByUser));
    assert_eq!(fixture.refresh(&other.refresh_token).await.status, 200);
}

#[tokio::test]
async fn a_secret_reset_has_no_overlap() {
    for kills in [true, false] {
        let mut fixture = Fixture::new().await;
        fixture.simulator.knobs(|knobs| {
            knobs.secret_reset_kills_refresh_tokens = kills;
            knobs.consume_on_failed_refresh.clear();
        });
        let fresh = fixture.simulator.reset_secret(ENVIRONMENT, &fixture.client.client_id).unwrap();
        let expected = if kills { "invalid_grant" } else { "invalid_client" };
        assert_eq!(fixture.refresh(&fixture.pair.refresh_token).await.error().1, expected);
        assert_eq!(fixture.info(&fixture.pair.access_token).await.status, 401);
        assert_eq!(fresh.client_id, fixture.client.client_id);
        fixture.client = fresh;
        assert_eq!(fixture.refresh(&fixture.pair.refresh_token).await.status == 200, !kills);
    }
}

#[tokio::test]
async fn a_suspended_client_is_unknown_everywhere() {
    let fixture = Fixture::new().await;
    let (client, access) = (&fixture.client.client_id, &fixture.pair.access_token);
    fixture.simulator.knobs(|knobs| knobs.consume_on_failed_refresh.clear());
    assert!(fixture.simulator.suspend_client(ENVIRONMENT, client, true));
    assert_eq!(
        fixture.refresh(&fixture.pair.refresh_token).await.error(),
        (401, "invalid_client".to_owned())
    );
    assert_eq!(fixture.get_api("/rest/v1.0/me", access, None).await.status, 401);
    fixture.simulator.suspend_client(ENVIRONMENT, client, false);
    assert_eq!(fixture.refresh(&fixture.pair.refresh_token).await.status, 200);
}

#[tokio::test]
async fn wiping_the_monthly_sandbox_leaves_production_alone() {
    let fixture = Fixture::new().await;
    let monthly = Environment::Monthly;
    let pair = fixture.simulator.grant(monthly, &fixture.client.client_id, USER, COMPANY);
    fixture.simulator.wipe_environment(monthly);
    let form = fixture.refresh_form(&pair.refresh_token);
    let refused = post(&fixture.simulator.oauth_base(monthly), "/oauth/token", &form).await.response();
    assert_eq!(refused.error().1, "invalid_grant");
    assert_eq!(fixture.simulator.grant_state(&pair.grant_id).unwrap().ended, Some(EndReason::Wiped));
    assert_eq!(fixture.refresh(&fixture.pair.refresh_token).await.status, 200);
}
