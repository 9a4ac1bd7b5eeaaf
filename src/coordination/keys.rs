//! The names of things at Redis. One key per call: a cluster may keep each on another server.

use uuid::Uuid;

/// Makes the keys of one environment.
#[derive(Clone, Debug)]
pub(super) struct Keys(String);

impl Keys {
    /// Neither may have braces: a cluster would put everything on one server.
    pub(super) fn new(prefix: &str, environment: &str) -> Self {
        Self(format!("{prefix}:{environment}"))
    }

    /// Who works on a connection or an OAuth client.
    pub(super) fn lease(&self, subject: Uuid) -> String {
        self.of("lease", subject)
    }

    /// Who tries whether a client secret works.
    pub(super) fn trial(&self, client: Uuid, version: u32) -> String {
        self.of("trial", format_args!("{client}:{version}"))
    }

    /// Refreshes in flight of an OAuth client.
    pub(super) fn slots(&self, client: Uuid) -> String {
        self.of("slots", client)
    }

    /// The witness of a connection.
    pub(super) fn witness(&self, connection: Uuid) -> String {
        self.of("witness", connection)
    }

    /// An answer in escrow.
    pub(super) fn escrow(&self, attempt: Uuid) -> String {
        self.of("escrow", attempt)
    }

    /// The answers that came in one hour.
    pub(super) fn escrow_hour(&self, hour: i64) -> String {
        self.of("escrow-hour", hour)
    }

    /// The answers that are not settled, as far as was told.
    pub(super) fn escrow_pending(&self) -> String {
        format!("{}:escrow-pending", self.0)
    }

    /// Where signals go.
    pub(super) fn signals(&self) -> String {
        format!("{}:signals", self.0)
    }

    fn of(&self, kind: &str, id: impl std::fmt::Display) -> String {
        format!("{}:{kind}:{id}", self.0)
    }
}
