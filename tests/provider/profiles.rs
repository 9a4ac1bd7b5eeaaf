//! Profiles as data.

use token_broker::provider::{AccountIds, ClientAuth, Profile, Replay, Rotation};
use url::Url;

#[test]
fn procore() {
    let procore = Profile::procore();
    assert_eq!(
        (procore.client_auth, procore.rotation, procore.replay),
        (ClientAuth::Body, Rotation::Rotating, Replay::Never)
    );
    let hosts: Vec<_> = procore
        .environments
        .iter()
        .map(|(name, environment)| {
            let host = |url: &Url| url.host_str().unwrap().to_owned();
            assert_eq!(environment.token_endpoint.scheme(), "https");
            assert_eq!(environment.token_endpoint.path(), "/oauth/token");
            assert_eq!(environment.token_info.as_ref().unwrap().path(), "/oauth/token/info");
            assert_eq!(host(environment.revoke.as_ref().unwrap()), host(&environment.token_endpoint));
            (name.as_str(), host(&environment.token_endpoint), host(&environment.api_base_uri))
        })
        .collect();
    let hosts: Vec<_> =
        hosts.iter().map(|(name, login, api)| (*name, login.as_str(), api.as_str())).collect();
    assert_eq!(
        hosts,
        [
            ("federal", "login.procoregov.com", "api.procoregov.com"),
            ("monthly", "login-sandbox-monthly.procore.com", "api-monthly.procore.com"),
            ("on_demand", "login.procore.com", "api.procore.com"),
            ("production", "login.procore.com", "api.procore.com"),
            ("sandbox", "login-sandbox.procore.com", "sandbox.procore.com"),
        ]
    );
}

#[test]
fn an_environment_allows_its_own_hosts_only() {
    let production = &Profile::procore().environments["production"];
    let allows = |url: &str| production.allows(&url.parse().unwrap());
    assert!(allows("https://login.procore.com/anything") && allows("https://api.procore.com/rest/v1.0/me"));
    for url in [
        "http://login.procore.com/",
        "https://login.procore.com:8443/",
        "https://login.procore.com.evil.test/",
        "https://evil.test/login.procore.com",
        "https://login-sandbox.procore.com/",
        "https://login.procore.com@evil.test/",
    ] {
        assert!(!allows(url), "{url}");
    }
}

#[test]
fn request_headers_cannot_be_smuggled_into() {
    let procore = Profile::procore();
    assert_eq!(
        procore.request_headers("18446744073709551615").unwrap(),
        [("Procore-Company-Id".to_owned(), "18446744073709551615".to_owned())]
    );
    for id in ["", "0", "01", "+1", "-1", "1\r\nX: y", "1 ", "１", "18446744073709551616", "acme", "1/../2"]
    {
        assert!(procore.request_headers(id).is_err(), "{id:?}");
    }
    let text = Profile { account_ids: AccountIds::Text, ..procore };
    assert!(text.request_headers("acme-{account_id}").is_ok());
    for id in ["", "a b", "a\r\nb", "a\tb", "é", "a\0", &"a".repeat(129)] {
        assert!(text.request_headers(id).is_err(), "{id:?}");
    }
}

const CONFIGURED: &str = r#"
name = "example"
client_auth = "basic"
rotation = "rotating"
replay = { timed = { window_s = 600, longest_processing_s = 30 } }
default_expires_in_s = 3600
refusals = { errors = ["invalid_client"] }
[environments.production]
token_endpoint = "https://auth.example.com/token"
api_base_uri = "https://api.example.com"
"#;

#[test]
fn a_configured_profile_is_the_same_type() {
    let profile: Profile = toml::from_str(CONFIGURED).unwrap();
    assert_eq!(profile.replay, Replay::Timed { window_s: 600, longest_processing_s: 30 });
    assert_eq!(profile.refusals.errors.len(), 1);
    assert!(profile.refusals.too_many_requests && !profile.client_credentials);
    assert!(profile.request_headers("x").unwrap().is_empty());
    let again: Profile = toml::from_str(&toml::to_string(&profile).unwrap()).unwrap();
    assert_eq!(again, profile);
}

#[test]
fn what_a_profile_may_not_say() {
    for (from, to) in [
        ("name =", "nmae ="),
        ("basic", "none"),
        ("window_s", "window"),
        ("errors =", "error ="),
        ("https://auth.example.com/token", "ftp://auth.example.com/token"),
        ("https://auth.example.com/token", "https://user:pass@auth.example.com/token"),
        ("https://auth.example.com/token", "https://auth.example.com/token?tenant=${x}"),
        ("https://auth.example.com/token", "https://auth.example.com/token#x"),
        ("https://auth.example.com/token", "not a URL"),
        ("refusals", "request_headers = { \"a b\" = \"x\" }\nrefusals"),
        ("refusals", "request_headers = { a = \"x\\r\\ny\" }\nrefusals"),
        ("api_base_uri", "jwks = \"https://x.test\"\napi_base_uri"),
    ] {
        assert!(CONFIGURED.contains(from));
        let text = CONFIGURED.replacen(from, to, 1);
        let error = toml::from_str::<Profile>(&text).unwrap_err();
        assert!(!error.message().contains("pass"), "{error}");
    }
}
