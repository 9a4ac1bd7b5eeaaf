//! The simulated provider of `dev`, with one app registered.

use procore_simulator::{ClientCredentials, ClientRegistration, Config, Environment, Simulator};

/// The company that installed the app.
pub(super) const COMPANY: u64 = 4_242;
const USER: u64 = 7;

/// A running simulator and the app's credentials.
pub(super) struct Provider {
    pub(super) simulator: Simulator,
    pub(super) client: ClientCredentials,
}

/// Starts it; `port` 0: wherever there is room.
pub(super) async fn start(port: u16, token_life: u64) -> anyhow::Result<Provider> {
    let simulator = Simulator::start(Config { port_base: port, ..Config::default() }).await?;
    simulator.knobs(|knobs| knobs.access_ttl = token_life);
    let registration = ClientRegistration {
        name: "demo".to_owned(),
        client_credentials: true,
        // The same in every run: the broker's folder outlives this process.
        client_id: Some("demo-client-id".to_owned()),
        client_secret: Some("demo-client-secret-of-the-simulator".to_owned()),
        ..ClientRegistration::default()
    };
    let client = simulator.register_client(Environment::Sandbox, registration);
    simulator.install(Environment::Sandbox, &client.client_id, COMPANY);
    Ok(Provider { simulator, client })
}

impl Provider {
    /// A refresh token, as if a user had authorised the app.
    pub(super) fn authorise(&self) -> procore_simulator::TokenPair {
        self.simulator.grant(Environment::Sandbox, &self.client.client_id, USER, COMPANY)
    }

    /// The built-in profile's name, with the simulator's hosts.
    pub(super) fn profile(&self) -> toml::Table {
        let (oauth, api) =
            (self.simulator.oauth_base(Environment::Sandbox), self.simulator.api_base(Environment::Sandbox));
        let mut profile = crate::provider::Profile::procore();
        let at = |path: &str| format!("{oauth}{path}").parse().expect("the simulator's own address");
        let sandbox = crate::provider::Environment {
            token_endpoint: at("/oauth/token"),
            api_base_uri: api.parse().expect("the simulator's own address"),
            token_info: Some(at("/oauth/token/info")),
            revoke: Some(at("/oauth/revoke")),
        };
        profile.environments = [("sandbox".to_owned(), sandbox)].into();
        toml::Table::try_from(profile).expect("a profile is a table")
    }
}
