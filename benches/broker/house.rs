//! A broker with a simulated provider and one connection, set up through the public API.

use std::path::Path;

use anyhow::Context as _;
use procore_simulator::{ClientRegistration, Environment, Simulator};
use token_broker::{config::Config, provider::Profile, seal::KeyEncryptionKeys};

use crate::{
    caller,
    child::Server,
    furnish::{self, COMPANY},
};

/// A running broker and what it depends on.
pub(crate) struct House {
    pub(crate) simulator: Simulator,
    pub(crate) broker: Server,
}

impl House {
    /// Starts a broker, under another program where there is one, with a connection whose tokens live so long.
    pub(crate) async fn open(under: &[&str], token_life: u64, place: &Path) -> anyhow::Result<Self> {
        let place = place.join("broker");
        let _ = std::fs::remove_dir_all(&place);
        std::fs::create_dir(&place)?;
        let simulator = Simulator::start(procore_simulator::Config::default()).await?;
        simulator.knobs(|knobs| knobs.access_ttl = token_life);
        let registered = simulator.register_client(Environment::Sandbox, ClientRegistration::default());
        simulator.install(Environment::Sandbox, &registered.client_id, COMPANY);

        let (file, addresses) = (place.join("config.toml"), place.join("addresses.json"));
        std::fs::write(&file, config(&simulator, &place)?.summary()?)?;
        let words = [file.to_str(), addresses.to_str()].map(|path| path.context("a path that is text"));
        let [file, address_file] = words;
        let program = [env!("CARGO_BIN_EXE_token-broker"), "serve", "--config", file?, "--address-file"];
        let program = [&program[..], &[address_file?]].concat();
        let broker = Server::start(under, &program, &addresses).await?;

        let pair = simulator.grant(Environment::Sandbox, &registered.client_id, 7, COMPANY);
        let client = (registered.client_id.as_str(), registered.client_secret.as_str());
        let furnished = async {
            let channel = caller::connect(broker.address).await?;
            furnish::client(&channel, client).await?;
            furnish::connection(&channel, "main", &pair.refresh_token).await
        };
        furnished.await.with_context(|| broker.said())?;
        Ok(Self { simulator, broker })
    }

    /// Stops everything, and returns what the broker said on its standard error.
    pub(crate) async fn close(self) -> anyhow::Result<String> {
        let said = self.broker.stop().await?;
        self.simulator.stop().await;
        Ok(said)
    }
}

fn config(simulator: &Simulator, place: &Path) -> anyhow::Result<Config> {
    let keys = place.join("keys");
    KeyEncryptionKeys::generate().save_new(&keys)?;
    let mut config = Config::default();
    config.listen.grpc.set_port(0);
    config.listen.probes.set_port(0);
    config.database.path = place.join("broker.db");
    config.keys.file = keys;
    config.egress.allow_private = vec!["127.0.0.0/8".parse()?];
    config.identity = furnish::identity(place)?;

    let mut profile = Profile::procore();
    let base = simulator.oauth_base(Environment::Sandbox);
    for environment in profile.environments.values_mut() {
        environment.token_endpoint = format!("{base}/oauth/token").parse()?;
        environment.token_info = Some(format!("{base}/oauth/token/info").parse()?);
        environment.revoke = Some(format!("{base}/oauth/revoke").parse()?);
    }
    config.profiles = vec![toml::Table::try_from(profile)?];
    Ok(config)
}
