//! A started simulator with one client and one grant, and a client that shows every byte.

use std::io;

use procore_simulator::{ClientCredentials, ClientRegistration, Config, Environment, Simulator, TokenPair};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub(crate) const ENVIRONMENT: Environment = Environment::Production;
pub(crate) const USER: u64 = 7;
pub(crate) const COMPANY: u64 = 42;
pub(crate) const CALLBACK: &str = "https://broker.example/callback";

pub(crate) struct Fixture {
    pub(crate) simulator: Simulator,
    pub(crate) client: ClientCredentials,
    pub(crate) pair: TokenPair,
}

/// What came back before the connection ended, and how it ended.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) bytes: Vec<u8>,
    pub(crate) end: io::Result<()>,
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::with(Config { seed: 1, ..Config::default() }).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        let simulator = Simulator::start(config).await.unwrap();
        let redirect_uris = vec![CALLBACK.to_owned(), procore_simulator::OUT_OF_BAND.to_owned()];
        let registration = ClientRegistration { redirect_uris, ..ClientRegistration::default() };
        let client = simulator.register_client(ENVIRONMENT, registration);
        let pair = simulator.grant(ENVIRONMENT, &client.client_id, USER, COMPANY);
        Self { simulator, client, pair }
    }

    pub(crate) fn refresh_form(&self, refresh_token: &str) -> String {
        format!("grant_type=refresh_token&refresh_token={refresh_token}&{}", self.credentials())
    }

    pub(crate) fn credentials(&self) -> String {
        format!("client_id={}&client_secret={}", self.client.client_id, self.client.client_secret)
    }

    pub(crate) async fn token(&self, form: &str) -> Response {
        self.token_raw(form).await.response()
    }

    pub(crate) async fn token_raw(&self, form: &str) -> Raw {
        post(&self.simulator.oauth_base(ENVIRONMENT), "/oauth/token", form).await
    }

    pub(crate) async fn refresh(&self, refresh_token: &str) -> Response {
        self.token(&self.refresh_form(refresh_token)).await
    }

    pub(crate) async fn get_api(&self, path: &str, access_token: &str, company: Option<u64>) -> Response {
        let company = company.map(|company| format!("procore-company-id: {company}\r\n")).unwrap_or_default();
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {access_token}\r\n{company}connection: close\r\n\r\n"
        );
        raw(&self.simulator.api_base(ENVIRONMENT), &request).await.response()
    }

    pub(crate) async fn info(&self, access_token: &str) -> Response {
        let request = format!(
            "GET /oauth/token/info HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {access_token}\r\nconnection: close\r\n\r\n"
        );
        raw(&self.simulator.oauth_base(ENVIRONMENT), &request).await.response()
    }
}

impl Raw {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    pub(crate) fn is_reset(&self) -> bool {
        self.end.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset)
    }

    pub(crate) fn response(&self) -> Response {
        let text = self.text();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP answer: {self:?}"));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
        Response { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }
}

impl Response {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn member(&self, name: &str) -> String {
        self.json()[name].as_str().unwrap_or_else(|| panic!("no {name}: {self:?}")).to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")))
    }

    pub(crate) fn error(&self) -> (u16, String) {
        (self.status, self.member("error"))
    }
}

/// Sends a request and reads until the connection ends.
pub(crate) async fn raw(base: &str, request: &str) -> Raw {
    let mut stream = TcpStream::connect(base.strip_prefix("http://").unwrap()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    read(&mut stream).await
}

pub(crate) async fn read(stream: &mut TcpStream) -> Raw {
    let mut bytes = Vec::new();
    let end = stream.read_to_end(&mut bytes).await.map(drop);
    Raw { bytes, end }
}

pub(crate) async fn post(base: &str, path: &str, form: &str) -> Raw {
    raw(base, &post_text(path, "application/x-www-form-urlencoded", form)).await
}

pub(crate) fn post_text(path: &str, content_type: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}
