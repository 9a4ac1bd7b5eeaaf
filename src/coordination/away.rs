//! Why Redis did not help. Never a reason to fail a caller.

use std::{io, path::Path, sync::Arc};

use redis::{ErrorKind, RedisError};

use crate::model::Timestamp;

/// Redis did not say, and nobody knows whether it did what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Redis is away: {0}")]
pub struct Away(pub Why);

/// Why. The texts name no address, no user and no password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Why {
    /// No connection was made yet.
    #[error("not connected yet")]
    Connecting,
    /// A file that the settings name cannot be used.
    #[error("the file `{0}` {1}")]
    File(Arc<Path>, &'static str),
    /// The network, the name or TLS.
    #[error("it cannot be reached: {0}")]
    Unreachable(Arc<str>),
    /// The user or the password is wrong, or one is needed.
    #[error("the server refuses the user or the password")]
    Credentials,
    /// No sentinel knows a primary of this name.
    #[error("the sentinels know no such primary")]
    NoPrimary,
    /// An answer took longer than the response time-out.
    #[error("no answer in time")]
    Slow,
    /// The server answered, with an error of this code.
    #[error("the server answers {0}")]
    Refused(Arc<str>),
    /// Fewer replicas than wanted have acknowledged a write in time.
    #[error("too few replicas have acknowledged")]
    Replicas,
    /// The generation of a witness would be lowered: nothing was asked of Redis.
    #[error("the generation of a witness is never lowered")]
    Lowered,
    /// What is stored there was written by somebody else, or is damaged.
    #[error("a stored value cannot be read")]
    Unreadable,
}

/// Whether Redis is at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It answers.
    Connected,
    /// It does not.
    Away {
        /// Since when.
        since: Timestamp,
        /// Why.
        why: Why,
    },
}

impl Why {
    /// Of an error of the client library: its kind, and the words of the operating system or of TLS. A server's own
    /// words are left out.
    pub(super) fn of(error: &RedisError) -> Self {
        match error.kind() {
            ErrorKind::AuthenticationFailed => Self::Credentials,
            ErrorKind::MasterNameNotFoundBySentinel => Self::NoPrimary,
            _ if matches!(error.code(), Some("WRONGPASS" | "NOAUTH")) => Self::Credentials,
            _ if error.is_timeout() => Self::Slow,
            ErrorKind::Io => Self::Unreachable(error.to_string().into()),
            ErrorKind::Parse | ErrorKind::UnexpectedReturnType => Self::Unreadable,
            _ => match error.code() {
                Some(code) => Self::Refused(code.into()),
                None => Self::Unreachable(error.category().into()),
            },
        }
    }

    pub(super) fn file(path: &Path, error: &io::Error) -> Self {
        let what = match error.kind() {
            io::ErrorKind::NotFound => "is absent",
            io::ErrorKind::PermissionDenied => "may not be read",
            _ => "cannot be read",
        };
        Self::File(path.into(), what)
    }

    /// Whether another connection may do better: this one is broken, or leads to a server that is no primary (any
    /// more). The old primary of a failover answers READONLY.
    pub(super) fn ends_connection(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Credentials => true,
            Self::Refused(code) => matches!(&**code, "READONLY" | "MASTERDOWN" | "LOADING"),
            _ => false,
        }
    }
}
