//! `[redis]`: where Redis is, and how long it is waited for.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use url::Url;

use super::{Problem, duration};

/// `[redis]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Redis {
    /// One server: `redis://host:port/database`, or `rediss` for TLS. No user, no password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// A file with such a URL, which may have a user and a password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_file: Option<PathBuf>,
    /// Who knows which server is the primary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sentinel: Option<Sentinel>,
    /// Some servers of a cluster.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cluster: Vec<String>,
    /// The ACL user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// A file with its password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Roots of trust instead of the system's: PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// This client's certificate chain: PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_cert_file: Option<PathBuf>,
    /// Its key: PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_key_file: Option<PathBuf>,
    /// What every key and channel begins with.
    pub prefix: String,
    /// For name, connection, TLS and authentication together; nobody waits for it.
    #[serde(with = "duration")]
    pub connect_timeout: Duration,
    /// All that a slow server costs a call.
    #[serde(with = "duration")]
    pub response_timeout: Duration,
    /// How long a lease outlives a holder that ends without a word.
    #[serde(with = "duration")]
    pub lease_ttl: Duration,
    /// How long an answer is kept in escrow.
    #[serde(with = "duration")]
    pub escrow_for: Duration,
    /// Witness and escrow count once so many replicas have them.
    pub wait_for_replicas: u32,
}

/// `redis.sentinel`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Sentinel {
    /// What the sentinels call the primary.
    pub master: String,
    /// The sentinels.
    pub urls: Vec<String>,
    /// The ACL user at the sentinels themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// A file with its password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
}

impl Default for Redis {
    /// Nowhere yet.
    fn default() -> Self {
        Self {
            url: None,
            url_file: None,
            sentinel: None,
            cluster: Vec::new(),
            user: None,
            password_file: None,
            ca_file: None,
            client_cert_file: None,
            client_key_file: None,
            prefix: "token-broker".to_owned(),
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_millis(250),
            lease_ttl: Duration::from_secs(10),
            escrow_for: Duration::from_hours(24),
            wait_for_replicas: 0,
        }
    }
}

const SERVER: &str =
    "expected `redis://host:port` or `rediss://host:port`, without user, password, query or fragment";

impl Redis {
    /// Everything that is wrong, without looking at any file.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut check = |holds: bool, key: &str, what: &str| {
            if !holds {
                problems.push(Problem::new(key, what));
            }
        };
        let places =
            [self.url.is_some(), self.url_file.is_some(), self.sentinel.is_some(), !self.cluster.is_empty()];
        check(
            places.into_iter().filter(|given| *given).count() == 1,
            "redis",
            "expected exactly one of `url`, `url_file`, `sentinel` and `cluster`",
        );
        check(self.url.as_deref().is_none_or(|url| is_server(url, true)), "redis.url", SERVER);
        for (index, url) in self.cluster.iter().enumerate() {
            check(is_server(url, false), &format!("redis.cluster[{index}]"), SERVER);
        }
        let cluster_tls = self.cluster.iter().filter(|url| url.starts_with("rediss:")).count();
        check(
            cluster_tls == 0 || cluster_tls == self.cluster.len(),
            "redis.cluster",
            "expected `redis` or `rediss` for all servers",
        );
        if let Some(Sentinel { master, urls, user: _, password_file: _ }) = &self.sentinel {
            check(!master.is_empty(), "redis.sentinel.master", "expected a name");
            check(!urls.is_empty(), "redis.sentinel.urls", "expected at least one sentinel");
            for (index, url) in urls.iter().enumerate() {
                check(is_server(url, false), &format!("redis.sentinel.urls[{index}]"), SERVER);
            }
        }
        check(
            self.client_cert_file.is_some() == self.client_key_file.is_some(),
            "redis.client_cert_file",
            "expected both `client_cert_file` and `client_key_file`, or neither",
        );
        // Braces would put every key of a cluster on one server.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        check(
            !self.prefix.is_empty() && self.prefix.len() <= 64 && self.prefix.bytes().all(plain),
            "redis.prefix",
            "expected 1 to 64 letters, digits, hyphens, underscores, points or colons",
        );
        for (key, value) in [
            ("redis.connect_timeout", self.connect_timeout),
            ("redis.response_timeout", self.response_timeout),
            ("redis.escrow_for", self.escrow_for),
        ] {
            check(!value.is_zero(), key, "expected more than zero");
        }
        // A renewal every third of it, and time for one that is lost.
        check(
            self.lease_ttl >= self.response_timeout.saturating_mul(3) && !self.lease_ttl.is_zero(),
            "redis.lease_ttl",
            "expected at least three times `redis.response_timeout`",
        );
        problems
    }
}

/// The fragment `#insecure` would switch the verification of certificates off.
fn is_server(text: &str, database: bool) -> bool {
    Url::parse(text).is_ok_and(|url| {
        let path = url.path().trim_start_matches('/');
        matches!(url.scheme(), "redis" | "rediss")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && (path.is_empty() || (database && path.parse::<u8>().is_ok()))
            && url.query().is_none()
            && url.fragment().is_none()
    })
}
