//! What may be written, and what it means.

use std::time::Duration;

use clap::CommandFactory as _;
use secrecy::ExposeSecret as _;

use super::{parse, tool};
use crate::cli::{
    Cli, Command, ConnectionCommand, Format, OauthClientCommand, TokenCommand, Tool, client::check_server,
    names, secret,
};

#[test]
fn the_arguments_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_parses() {
    for line in [
        "serve --config broker.toml",
        "check-config --config broker.toml",
        "keys generate --out keys",
        "keys list --file keys",
        "tenant create acme --display-name Acme",
        "tenant get tenants/acme",
        "tenant list --output json",
        "tenant update acme --display-name A --etag 1",
        "tenant delete acme",
        "oauth-client create procore --provider procore --environment production --client-id x \
         --client-credentials-tenant acme --client-credentials-tenant tenants/b",
        "oauth-client get acme/procore",
        "oauth-client list",
        "oauth-client list acme",
        "oauth-client update procore --no-client-credentials-tenants",
        "oauth-client delete procore",
        "oauth-client add-secret procore --secret-file secret",
        "oauth-client promote-secret procore 2",
        "connection create acme/main --oauth-client procore --account-id 42 --max-min-ttl 10m",
        "connection get acme/main",
        "connection list acme",
        "connection update acme/main --max-min-ttl 10m",
        "connection delete acme/main",
        "connection import acme/main --refresh-token-file token",
        "connection refresh acme/main",
        "connection inspect acme/main",
        "token get acme/main --min-ttl 5m --rejected-generation 7 --reveal --server http://127.0.0.1:1",
    ] {
        parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    for line in [
        "",
        "tenant create Acme",
        "tenant get acme/main",
        "connection get acme",
        "connection get tenants/acme",
        "connection update acme/main",
        "connection import acme/main --access-token-file f",
        "connection create acme/main --account-id 1",
        "oauth-client update procore --client-credentials-tenant a --no-client-credentials-tenants",
        "oauth-client update procore",
        "oauth-client add-secret procore the-secret-itself",
        "token get acme/main --min-ttl soon",
        "token get acme/main --token the-token-itself",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
}

#[test]
fn a_token_is_asked_for_as_written() {
    let (tool, client) = tool("token get acme/main --min-ttl 5m --rejected-generation 7 --output json");
    let Tool::Token(TokenCommand::Get { name, min_ttl, rejected_generation, reveal }) = tool else {
        panic!()
    };
    assert_eq!(name.to_string(), "tenants/acme/connections/main");
    assert_eq!((min_ttl, rejected_generation, reveal), (Some(Duration::from_mins(5)), Some(7), false));
    assert_eq!(client.output, Format::Json);
}

#[test]
fn serving_is_left_to_main() {
    let Command::Serve(args) = parse("serve --config a.toml").unwrap().command else { panic!() };
    assert_eq!(args.config.unwrap().to_str(), Some("a.toml"));
}

#[cfg(feature = "dev")]
#[test]
fn dev_has_ports_and_a_directory() {
    let Command::Dev(args) = parse("dev --exit-after-demo --grpc-port 0").unwrap().command else { panic!() };
    assert!(args.exit_after_demo);
    assert_eq!((args.grpc_port, args.probes_port, args.provider_port), (0, 7172, 7173));
    assert_eq!(args.dir.to_str(), Some(".token-broker"));
}

#[test]
fn short_names_stand_for_full_ones() {
    for (short, full) in [("acme", "tenants/acme"), ("tenants/acme", "tenants/acme")] {
        assert_eq!(names::tenant(short).unwrap().to_string(), full);
    }
    for short in ["acme/main", "tenants/acme/connections/main"] {
        assert_eq!(names::connection(short).unwrap().to_string(), "tenants/acme/connections/main");
    }
    for (short, full) in [
        ("procore", "oauthClients/procore"),
        ("oauthClients/procore", "oauthClients/procore"),
        ("acme/procore", "tenants/acme/oauthClients/procore"),
        ("tenants/acme/oauthClients/procore", "tenants/acme/oauthClients/procore"),
    ] {
        assert_eq!(names::oauth_client(short).unwrap().to_string(), full);
    }
    for wrong in ["", "/", "acme/", "/main", "a/b/c", "Acme/main", "tenants/acme"] {
        assert!(names::connection(wrong).is_err(), "{wrong}");
    }
    for wrong in ["", "/", "a/b/c", "tenants/acme", "oauthClients/"] {
        assert!(names::oauth_client(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn secrets_are_read_whole_and_checked() {
    let read = |text: &str| secret::read_from(text.as_bytes(), "client secret");
    for text in ["canary", "canary\n", "canary\r\n"] {
        assert_eq!(read(text).unwrap().expose_secret(), "canary");
    }
    for wrong in ["", "\n", "canary\nline two", &"x".repeat(16 * 1024 + 1)] {
        let failure = format!("{:?}", read(wrong).unwrap_err());
        assert!(failure.contains("the client secret") && !failure.contains("canary"), "{failure}");
    }
    assert!(!format!("{:?}", read("canary").unwrap()).contains("canary"));
}

#[test]
fn no_secret_is_an_argument() {
    let (tool, _) = tool("oauth-client add-secret procore");
    let Tool::OauthClient(OauthClientCommand::AddSecret { secret_file: None, .. }) = tool else { panic!() };
    let (tool, _) = super::tool("connection import acme/main");
    let Tool::Connection(ConnectionCommand::Import { refresh_token_file: None, .. }) = tool else { panic!() };
}

#[test]
fn a_bearer_token_stays_on_this_machine() {
    for server in ["http://127.0.0.1:7171", "http://localhost:1", "http://[::1]:7171"] {
        check_server(server, true).unwrap();
    }
    assert!(check_server("http://broker.internal:7171", true).is_err());
    check_server("http://broker.internal:7171", false).unwrap();
    for wrong in ["https://127.0.0.1:1", "127.0.0.1:7171", "", "http://user:canary@127.0.0.1"] {
        let failure = format!("{:?}", check_server(wrong, false).unwrap_err());
        assert!(!failure.contains("canary"));
    }
}
