//! Who may what (P3): every RPC of the contract, asked by everybody.

use std::fmt::Write as _;

use prost::Message as _;
use token_broker::config::Identity;
use token_broker_proto::v1::{GetAccessTokenRequest, connection::GrantType};
use tonic::{Code, Request, Status, client::Grpc, codegen::http::uri::PathAndQuery};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_prost::ProstCodec;

use crate::{
    caller::Caller,
    refusal::{reason, refusal},
    world::{CONSUMER, MAIN, OPERATOR, World},
};

const GET_ACCESS_TOKEN: &str = "/tokenbroker.v1.TokenService/GetAccessToken";
const FOREIGN: &str = "tenants/globex/connections/main";

#[tokio::test]
async fn every_rpc_by_everybody() {
    let world = World::new().await;
    let methods = methods();
    assert!(methods.len() >= 21, "{methods:?}");
    let (nobody, wrong) = (Caller::of(world.address(), None), Caller::of(world.address(), Some("wrong")));
    for method in &methods {
        for stranger in [&nobody, &wrong] {
            assert_eq!(reason(call(stranger, method).await), "UNAUTHENTICATED", "{method}");
        }
        // An empty message names no resource: whoever may call is told so.
        let expected = if method == GET_ACCESS_TOKEN { "INVALID_ARGUMENT" } else { "PERMISSION_DENIED" };
        assert_eq!(reason(call(&world.consumer, method).await), expected, "{method}");
        match call(&world.operator, method).await {
            Ok(()) => assert!(method.contains("/List"), "{method}"),
            Err(refused) => assert_eq!(refused.code(), Code::InvalidArgument, "{method}"),
        }
    }
}

#[tokio::test]
async fn what_is_no_credential() {
    let world = World::new().await;
    let long = "x".repeat(4096);
    for credential in ["", " ", &CONSUMER[1..], &CONSUMER.to_uppercase(), &format!("{OPERATOR} "), &long] {
        let caller = Caller::of(world.address(), Some(credential));
        assert_eq!(reason(call(&caller, GET_ACCESS_TOKEN).await), "UNAUTHENTICATED", "{credential:?}");
    }
}

#[tokio::test]
async fn what_is_not_listed_is_nobodys() {
    let world = World::new().await;
    for method in [
        "/tokenbroker.v1.TokenService/GetRefreshToken",
        "/tokenbroker.v1.TenantService/",
        "/tokenbroker.v2.TokenService/GetAccessToken",
        "/tokenbroker.v1.tokenservice/getaccesstoken",
        "/",
    ] {
        for caller in [&world.operator, &world.consumer, &Caller::of(world.address(), None)] {
            assert_eq!(reason(call(caller, method).await), "PERMISSION_DENIED", "{method}");
        }
    }
}

#[tokio::test]
async fn present_and_absent_look_alike_to_a_stranger() {
    let world = World::new().await;
    world.tenant("globex").await;
    world.oauth_client("tenants/globex/oauthClients/app", "procore", &[]).await;
    world.create(FOREIGN, "tenants/globex/oauthClients/app", GrantType::AuthorizationCode).await.unwrap();
    world.import_alive(FOREIGN, 3600).await;
    // In memory, too.
    let request = GetAccessTokenRequest { name: FOREIGN.to_owned(), ..Default::default() };
    world.operator.tokens().get_access_token(request.clone()).await.unwrap();
    let hour = Some(prost_types::Duration { seconds: 3600, nanos: 0 });
    for demand in [
        request.clone(),
        GetAccessTokenRequest { min_ttl: hour, ..request.clone() },
        GetAccessTokenRequest { rejected_generation: Some(1), ..request.clone() },
        GetAccessTokenRequest { rejected_generation: Some(99), ..request },
    ] {
        let present = world.ask(demand.clone()).await.unwrap_err();
        assert_eq!(refusal(Err::<(), _>(present.clone())).reason, "PERMISSION_DENIED");
        for absent in ["tenants/globex/connections/absent", "tenants/absent/connections/main"] {
            let absent = GetAccessTokenRequest { name: absent.to_owned(), ..demand.clone() };
            assert_eq!(bytes(&world.ask(absent).await.unwrap_err()), bytes(&present));
        }
    }
    assert_eq!(world.refreshes(), 0);
}

#[tokio::test]
async fn health_and_reflection_are_public_and_tell_nothing() {
    let world = World::new().await;
    world.import(MAIN, &world.authorise().refresh_token).await.unwrap();
    let nobody = Caller::of(world.address(), None);
    let mut health = HealthClient::new(nobody.line());
    for service in ["", "tokenbroker.v1.TokenService"] {
        let answer = health.check(HealthCheckRequest { service: service.to_owned() }).await.unwrap();
        assert_eq!(answer.into_inner().status(), ServingStatus::Serving, "{service}");
    }
    for service in ["tenants/acme", MAIN] {
        let refused = health.check(HealthCheckRequest { service: service.to_owned() }).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound);
    }
    let seen = reflected(&nobody).await;
    assert!(seen.contains("tokenbroker.v1.ConnectionService"), "{seen}");
    assert!(!seen.contains("acme") && !seen.contains(&world.app.client_id), "{seen}");
}

#[tokio::test]
async fn without_identities_nobody_gets_anything() {
    let world = World::bare(|config| config.identity = Identity::default()).await;
    for credential in [None, Some(OPERATOR), Some(CONSUMER)] {
        for method in methods() {
            let refused = call(&Caller::of(world.address(), credential), &method).await;
            assert_eq!(reason(refused), "UNAUTHENTICATED", "{method}");
        }
    }
}

/// The paths of all RPCs of the contract.
fn methods() -> Vec<String> {
    let files = prost_types::FileDescriptorSet::decode(token_broker_proto::DESCRIPTORS).unwrap().file;
    let services =
        files.iter().filter(|file| file.package() == "tokenbroker.v1").flat_map(|file| &file.service);
    let path = |service: &prost_types::ServiceDescriptorProto| {
        let name = service.name().to_owned();
        let path = move |method: &prost_types::MethodDescriptorProto| {
            format!("/tokenbroker.v1.{name}/{}", method.name())
        };
        service.method.iter().map(path).collect::<Vec<_>>()
    };
    services.flat_map(path).collect()
}

/// Calls with an empty message.
async fn call(caller: &Caller, method: &str) -> Result<(), Status> {
    let mut line = Grpc::new(caller.line());
    line.ready().await.unwrap();
    let path = PathAndQuery::try_from(method).unwrap();
    line.unary(Request::new(()), path, ProstCodec::<(), ()>::default()).await.map(|_| ())
}

/// All that a refused caller gets, but for the time of day.
fn bytes(status: &Status) -> (Code, String, Vec<u8>, Vec<String>) {
    let mut metadata = status.metadata().clone().into_headers();
    metadata.remove("date");
    let metadata = metadata.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
    (status.code(), status.message().to_owned(), status.details().to_vec(), metadata)
}

/// What reflection lists, and what it says of each service.
async fn reflected(caller: &Caller) -> String {
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest,
    };
    let ask = |request| ServerReflectionRequest { host: String::new(), message_request: Some(request) };
    let requests = [
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol("tokenbroker.v1.ConnectionService".to_owned())),
    ];
    let mut client = ServerReflectionClient::new(caller.line());
    let mut answers =
        client.server_reflection_info(futures_util::stream::iter(requests)).await.unwrap().into_inner();
    let mut seen = String::new();
    while let Some(answer) = answers.message().await.unwrap() {
        let _ = write!(seen, "{answer:?}");
    }
    seen
}
