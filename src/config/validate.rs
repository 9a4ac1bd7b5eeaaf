//! What no single setting can know: how they go together. Pure.

use std::time::Duration;

use url::{Host, Url};

use super::{
    Breaker, Config, Database, Identity, Journal, Listen, Problem, Proxy, Redis, Refresh, StaticIdentity,
    duration,
};
use crate::model::ResourceId;

impl Config {
    /// Everything that is wrong, without looking at any file.
    #[must_use]
    pub fn validate(&self) -> Vec<Problem> {
        let Self {
            environment,
            replica,
            listen,
            database,
            journal,
            redis,
            keys,
            refresh,
            breaker,
            egress,
            identity,
            retention,
            shutdown,
            log: _,
            profiles: _,
        } = self;
        let mut check = Check(Vec::new());
        check.that(environment.parse::<ResourceId>().is_ok(), "environment", ID);
        let nameable =
            !replica.is_empty() && replica.len() <= 253 && replica.bytes().all(|b| b.is_ascii_graphic());
        check.that(nameable, "replica", "expected 1 to 253 printable ASCII characters, without spaces");
        check.database(database);
        check.that(!keys.file.as_os_str().is_empty(), "keys.file", "expected a path");
        check.0.extend(redis.iter().flat_map(Redis::problems));
        let month = Duration::from_hours(30 * 24);
        check.that(
            retention.audit >= month,
            "retention.audit",
            "expected at least 30d, which the database enforces",
        );
        check.that(!retention.attempts.is_zero(), "retention.attempts", "expected more than zero");
        check.that(!retention.events.is_zero(), "retention.events", "expected more than zero");
        check.that(!shutdown.grace.is_zero(), "shutdown.grace", "expected more than zero");
        check.listen(listen);
        check.journal(journal, refresh.in_flight);
        check.refresh_durations(refresh);
        check.refresh_shares_and_caps(refresh);
        check.breaker(breaker);
        if let Some(proxy) = &egress.proxy {
            check.proxy(proxy);
        }
        check.identity(identity, listen);
        check.0
    }
}

const ID: &str = "expected a lower-case letter followed by at most 62 lower-case letters, digits or hyphens";

/// The longest answer that is read.
const ANSWER: u64 = 1 << 20;

struct Check(Vec<Problem>);

impl Check {
    fn that(&mut self, holds: bool, key: &str, what: impl Into<String>) {
        if !holds {
            self.0.push(Problem::new(key, what));
        }
    }

    /// Whatever a provider answers, it finds room.
    fn journal(&mut self, journal: &Journal, in_flight: u32) {
        let Journal { path, segment_bytes, reserve_bytes, horizon } = journal;
        self.that(!path.as_os_str().is_empty(), "journal.path", "expected a path");
        self.that(
            (8 * ANSWER..=1 << 30).contains(segment_bytes),
            "journal.segment_bytes",
            "expected 8 MiB to 1 GiB",
        );
        self.that(
            (ANSWER * u64::from(in_flight)..=1 << 40).contains(reserve_bytes),
            "journal.reserve_bytes",
            "expected at least 1 MiB (1048576) for each of `refresh.in_flight`",
        );
        self.that(!horizon.is_zero(), "journal.horizon", "expected more than zero");
    }

    fn listen(&mut self, listen: &Listen) {
        let Listen { grpc, probes } = listen;
        self.that(grpc != probes || grpc.port() == 0, "listen.probes", "is the address of `listen.grpc`");
    }

    fn database(&mut self, database: &Database) {
        let Database { path, url, url_file, direct_url, direct_url_file, pool, .. } = database;
        self.that(!path.as_os_str().is_empty(), "database.path", "expected a path");
        self.that(*pool > 0, "database.pool", "expected at least 1");
        for (key, url, file) in
            [("database.url", url, url_file), ("database.direct_url", direct_url, direct_url_file)]
        {
            self.that(url.is_none() || file.is_none(), key, format!("is set, and `{key}_file` too"));
            let plain = url.as_ref().is_none_or(|url| {
                Url::parse(url).is_ok_and(|url| {
                    matches!(url.scheme(), "postgres" | "postgresql")
                        && url.password().is_none()
                        && url.query_pairs().all(|(name, _)| name != "password")
                })
            });
            let what = "expected `postgres://user@host:port/database` without a password";
            self.that(plain, key, format!("{what}: one with a password stands in `{key}_file`"));
        }
        let direct = direct_url.is_some() || direct_url_file.is_some();
        let needs = "is for PostgreSQL: `database.url` or `database.url_file` is not set";
        self.that(!direct || database.is_postgres(), "database.direct_url", needs);
    }

    fn refresh_durations(&mut self, refresh: &Refresh) {
        for (key, value) in [
            ("refresh.margin", refresh.margin),
            ("refresh.body_deadline", refresh.body_deadline),
            ("refresh.connect_timeout", refresh.connect_timeout),
            ("refresh.total_timeout", refresh.total_timeout),
            ("refresh.holder_lost_after", refresh.holder_lost_after),
            ("refresh.doubt_grace", refresh.doubt_grace),
            ("refresh.caller_wait", refresh.caller_wait),
            ("refresh.sweep_interval", refresh.sweep_interval),
            ("refresh.look_again", refresh.look_again),
            ("refresh.look_again_told", refresh.look_again_told),
            ("refresh.drain_interval", refresh.drain_interval),
            ("refresh.recheck_interval", refresh.recheck_interval),
            ("refresh.refusal_pause", refresh.refusal_pause),
        ] {
            self.that(!value.is_zero(), key, "expected more than zero");
        }
        // A holder that may still send or read must not be called lost: its answer would be doubted for nothing.
        let busy = refresh.body_deadline.saturating_add(refresh.total_timeout);
        self.that(
            busy < refresh.holder_lost_after,
            "refresh.holder_lost_after",
            format!(
                "expected more than `refresh.body_deadline` and `refresh.total_timeout` together ({})",
                duration::format(busy)
            ),
        );
    }

    fn refresh_shares_and_caps(&mut self, refresh: &Refresh) {
        for (key, share) in [
            ("refresh.margin_share", refresh.margin_share),
            ("refresh.renew_after_share", refresh.renew_after_share),
        ] {
            self.that(share > 0.0 && share < 1.0, key, "expected a share between 0 and 1, both excluded");
        }
        self.that(
            refresh.renew_after_share + refresh.margin_share <= 1.0,
            "refresh.renew_after_share",
            "expected a renewal to begin before the margin: at most 1 less `refresh.margin_share`",
        );
        self.that(refresh.in_flight > 0, "refresh.in_flight", "expected at least 1");
        let caps = refresh.in_flight_per_client > 0 && refresh.in_flight_per_client <= refresh.in_flight;
        self.that(
            caps,
            "refresh.in_flight_per_client",
            "expected at least 1 and at most `refresh.in_flight`",
        );
    }

    fn breaker(&mut self, breaker: &Breaker) {
        let Breaker { open_for, unknowns } = breaker;
        self.that(*open_for > Duration::ZERO, "breaker.open_for", "expected more than zero");
        self.that(*unknowns > 0, "breaker.unknowns", "expected at least 1");
    }

    fn proxy(&mut self, proxy: &Proxy) {
        let plain = Url::parse(&proxy.url).is_ok_and(|url| {
            matches!(url.scheme(), "http" | "https")
                && matches!(url.host(), Some(Host::Domain(_) | Host::Ipv4(_) | Host::Ipv6(_)))
                && url.username().is_empty()
                && url.password().is_none()
                && matches!(url.path(), "" | "/")
                && url.query().is_none()
                && url.fragment().is_none()
        });
        self.that(
            plain,
            "egress.proxy.url",
            "expected `http://host:port` or `https://host:port`, without user, password or path",
        );
    }

    /// A static token over the network is a password in plain text: loopback only, and only on request.
    fn identity(&mut self, identity: &Identity, listen: &Listen) {
        let Identity { allow_static_on_loopback, r#static } = identity;
        if r#static.is_empty() {
            return;
        }
        self.that(
            *allow_static_on_loopback,
            "identity.static",
            "static identities need `identity.allow_static_on_loopback = true`",
        );
        self.that(
            listen.grpc.ip().is_loopback(),
            "listen.grpc",
            "expected a loopback address: `identity.static` would send tokens over the network in plain text",
        );
        for (index, StaticIdentity { principal, token_file, token_sha256, roles }) in
            r#static.iter().enumerate()
        {
            let key = |name: &str| format!("identity.static[{index}]{name}");
            self.that(
                token_file.is_some() != token_sha256.is_some(),
                &key(""),
                "expected exactly one of `token_file` and `token_sha256`",
            );
            self.that(!roles.is_empty(), &key(".roles"), "expected at least one role");
            let taken = r#static[..index].iter().any(|other| other.principal == *principal);
            self.that(!taken, &key(".principal"), "is another identity's too");
        }
    }
}
