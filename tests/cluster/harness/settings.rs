//! How the brokers of a fleet are configured: everything fast enough to be waited for.

use std::{path::Path, time::Duration};

use procore_simulator::{Environment, Simulator};
use token_broker::{
    config::{self, Config, Identity, LogFormat, Role, StaticIdentity},
    provider::{self, Profile},
};

/// The profile that leads to the simulator.
pub const PROFILE: &str = "procore";
/// Its environment.
pub const SANDBOX: &str = "sandbox";
/// What every caller says.
pub const CREDENTIAL: &str = "an-operator-of-the-fault-tests";
/// The brokers' environment, which names their keys at Redis.
pub const ENVIRONMENT: &str = "cluster";

/// The configuration of a replica in its own folder, inside the fleet's.
pub fn config(fleet: &Path, name: &str, database: &str, redis: Option<String>) -> Config {
    let mut config =
        Config { environment: ENVIRONMENT.to_owned(), replica: name.to_owned(), ..Config::default() };
    config.listen.grpc.set_port(0);
    config.listen.probes.set_port(0);
    config.database.url = Some(database.to_owned());
    config.database.pool = 6;
    config.journal.path = fleet.join(name).join("journal");
    config.journal.segment_bytes = 8 << 20;
    config.journal.reserve_bytes = 8 << 20;
    config.redis = redis.map(|url| config::Redis {
        url: Some(url),
        lease_ttl: Duration::from_secs(1),
        ..config::Redis::default()
    });
    config.keys.file = fleet.join("kek.toml");
    config.egress.allow_private = vec!["127.0.0.1/32".parse().unwrap()];
    config.log.format = LogFormat::Text;
    config.refresh = refresh();
    config.breaker.open_for = Duration::from_millis(300);
    config.shutdown.grace = Duration::from_mins(1);
    config.identity = Identity {
        allow_static_on_loopback: true,
        r#static: vec![StaticIdentity {
            principal: "operator".parse().unwrap(),
            token_file: Some(fleet.join("operator.token")),
            token_sha256: None,
            roles: vec![Role::Operator],
        }],
    };
    config
}

/// What an operator would write: nothing that is so anyway, which another build need not know.
pub fn written(config: &Config) -> String {
    let table = |config: &Config| toml::Table::try_from(config).unwrap();
    let plain =
        Config { redis: config.redis.as_ref().map(|_| config::Redis::default()), ..Config::default() };
    let mut settings = table(config);
    take_away(&mut settings, &table(&plain));
    settings.to_string()
}

fn take_away(settings: &mut toml::Table, plain: &toml::Table) {
    for (key, plain) in plain {
        match (settings.get_mut(key), plain) {
            (Some(toml::Value::Table(inner)), toml::Value::Table(plain)) => take_away(inner, plain),
            (Some(value), plain) if value == plain => drop(settings.remove(key)),
            _ => {}
        }
    }
}

/// A holder is lost after five seconds, and its doubt lasts two.
fn refresh() -> config::Refresh {
    config::Refresh {
        body_deadline: Duration::from_secs(1),
        connect_timeout: Duration::from_secs(2),
        total_timeout: Duration::from_secs(3),
        holder_lost_after: Duration::from_secs(5),
        doubt_grace: Duration::from_secs(2),
        caller_wait: super::GUARD,
        in_flight: 8,
        in_flight_per_client: 8,
        in_flight_per_client_fleet: 64,
        sweep_interval: Duration::from_millis(200),
        ramp: Duration::ZERO,
        look_again: Duration::from_millis(200),
        look_again_told: Duration::from_secs(1),
        drain_interval: Duration::from_millis(300),
        refusal_pause: Duration::from_millis(50),
        ..config::Refresh::default()
    }
}

/// A profile with the simulator as its sandbox.
pub fn profile(simulator: &Simulator) -> toml::Table {
    let oauth = simulator.oauth_base(Environment::Sandbox);
    let at = |path: &str| format!("{oauth}{path}").parse().unwrap();
    let sandbox = provider::Environment {
        token_endpoint: at("/oauth/token"),
        api_base_uri: simulator.api_base(Environment::Sandbox).parse().unwrap(),
        token_info: Some(at("/oauth/token/info")),
        revoke: Some(at("/oauth/revoke")),
    };
    let profile = Profile { environments: [(SANDBOX.to_owned(), sandbox)].into(), ..Profile::procore() };
    toml::Table::try_from(profile).unwrap()
}
