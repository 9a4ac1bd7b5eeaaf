//! What is known after a statement failed: that nothing happened, or nothing at all.

use sqlx::postgres::{PgDatabaseError, PgSeverity};

/// What became of a statement that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It was rolled back.
    Nothing,
    /// It was rolled back because of another transaction: it may do now.
    Clash,
    /// It was sent, and how it ended was not heard.
    Unknown,
}

/// An error with what it means.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: sqlx::Error,
    pub(super) fate: Fate,
}

impl Failure {
    /// Of a statement that commits by itself.
    pub(super) fn of_statement(error: sqlx::Error) -> Self {
        let fate = match &error {
            sqlx::Error::Database(answer) => match answer.try_downcast_ref::<PgDatabaseError>() {
                Some(answer) => fate_of(answer.severity(), answer.code()),
                None => Fate::Unknown,
            },
            sqlx::Error::Encode(_) => Fate::Nothing,
            _ => Fate::Unknown,
        };
        Self { error, fate }
    }

    /// Of a statement in a transaction whose COMMIT was not sent.
    pub(super) fn before_commit(error: sqlx::Error) -> Self {
        let Self { error, fate } = Self::of_statement(error);
        Self { error, fate: if fate == Fate::Clash { Fate::Clash } else { Fate::Nothing } }
    }

    /// Whether the connection is of no use any more.
    pub(super) fn is_lost(&self) -> bool {
        self.fate == Fate::Unknown || !matches!(self.error, sqlx::Error::Database(_))
    }

    /// Of a COMMIT.
    pub(super) fn of_commit(error: sqlx::Error) -> Self {
        Self { error, fate: Fate::Unknown }
    }
}

/// An error that the server answers means that it rolled back; but one that ends the session (57P01 while it waits for
/// a standby, a pooler's 08P01) may come after the commit.
fn fate_of(severity: PgSeverity, code: &str) -> Fate {
    let session_ends = matches!(severity, PgSeverity::Fatal | PgSeverity::Panic);
    match code {
        _ if session_ends => Fate::Unknown,
        "40003" => Fate::Unknown,
        _ if code.starts_with("08") || code.starts_with("57P") => Fate::Unknown,
        "40001" | "40P01" | "23503" | "23505" | "23514" => Fate::Clash,
        _ => Fate::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_the_session_is_ambiguous() {
        for (severity, code) in [
            (PgSeverity::Fatal, "57P01"),
            (PgSeverity::Panic, "XX000"),
            (PgSeverity::Error, "08P01"),
            (PgSeverity::Error, "57P03"),
            (PgSeverity::Error, "40003"),
        ] {
            assert_eq!(fate_of(severity, code), Fate::Unknown, "{code}");
        }
        for code in ["25006", "42501", "57014", "XX000", "53100"] {
            assert_eq!(fate_of(PgSeverity::Error, code), Fate::Nothing, "{code}");
        }
        for code in ["23505", "40001", "40P01"] {
            assert_eq!(fate_of(PgSeverity::Error, code), Fate::Clash, "{code}");
        }
        assert_eq!(Failure::of_statement(sqlx::Error::WorkerCrashed).fate, Fate::Unknown);
        assert_eq!(Failure::before_commit(sqlx::Error::WorkerCrashed).fate, Fate::Nothing);
        assert_eq!(Failure::of_commit(sqlx::Error::WorkerCrashed).fate, Fate::Unknown);
    }
}
