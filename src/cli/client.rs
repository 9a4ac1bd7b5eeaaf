//! The way to a running broker.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use secrecy::{ExposeSecret as _, SecretString};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};
use url::{Host, Url};

use super::{Failure, Format, secret};

const TOKEN_VARIABLE: &str = "TOKEN_BROKER_TOKEN";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Above the longest that a broker lets a caller wait by default.
const CALL_TIMEOUT: Duration = Duration::from_mins(1);

/// How to reach a broker, and how to show its answers.
#[derive(Clone, Debug, Args)]
pub struct ClientArgs {
    /// The broker's gRPC address.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "TOKEN_BROKER_SERVER",
        default_value = "http://127.0.0.1:7171"
    )]
    pub server: String,
    /// A file with your bearer token; else it is in the variable `TOKEN_BROKER_TOKEN`.
    #[arg(long, global = true, value_name = "FILE", env = "TOKEN_BROKER_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
    /// How answers look.
    #[arg(long, global = true, value_enum, default_value_t)]
    pub output: Format,
}

/// A channel to a broker that says who is calling.
pub type Broker = InterceptedService<Channel, Bearer>;

/// Adds the caller's credential to every call.
#[derive(Clone)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl ClientArgs {
    /// Connects to the broker.
    pub(super) async fn connect(&self) -> Result<Broker, Failure> {
        let token = match (&self.token_file, std::env::var(TOKEN_VARIABLE)) {
            (Some(path), _) => Some(secret::read(Some(path), "bearer token")?),
            (None, Ok(token)) if !token.is_empty() => Some(SecretString::from(token)),
            (None, _) => None,
        };
        let bearer = Bearer::new(token.as_ref())?;
        check_server(&self.server, bearer.0.is_some())?;
        let channel = Endpoint::from_shared(self.server.clone())
            .map_err(|_| Failure::usage(SERVER_FORM))?
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(CALL_TIMEOUT)
            .connect()
            .await
            .map_err(|_| Failure::Unreachable { server: self.server.clone() })?;
        Ok(InterceptedService::new(channel, bearer))
    }
}

const SERVER_FORM: &str = "`--server` is of the form http://127.0.0.1:7171";

/// A bearer token is not sent over the network in plain text: whoever sees it is the caller.
pub(super) fn check_server(server: &str, with_token: bool) -> Result<(), Failure> {
    let url = Url::parse(server).map_err(|_| Failure::usage(SERVER_FORM))?;
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let plain = url.username().is_empty() && url.password().is_none();
    match url.scheme() {
        "http" if !plain => Err(Failure::usage(SERVER_FORM)),
        "http" if loopback || !with_token => Ok(()),
        "http" => Err(Failure::usage(
            "a bearer token is sent to a loopback address only: forward the broker's port",
        )),
        _ => Err(Failure::usage(SERVER_FORM)),
    }
}

impl Bearer {
    fn new(token: Option<&SecretString>) -> Result<Self, Failure> {
        let Some(token) = token else {
            return Ok(Self(None));
        };
        let mut value: MetadataValue<Ascii> = format!("Bearer {}", token.expose_secret().trim())
            .parse()
            .map_err(|_| Failure::usage("the bearer token has characters that no bearer token has"))?;
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}
