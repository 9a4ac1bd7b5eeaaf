//! Which database, and where its URL stands.

use std::{fs, path::Path};

use secrecy::SecretString;

use super::{Database, Problem};

impl Database {
    /// Whether it is `PostgreSQL`.
    #[must_use]
    pub const fn is_postgres(&self) -> bool {
        self.url.is_some() || self.url_file.is_some()
    }

    /// The URL of `PostgreSQL`, read from its file where it stands in one. `None`: the embedded database.
    pub fn postgres_url(&self) -> Result<Option<SecretString>, Problem> {
        secret(self.url.as_deref(), self.url_file.as_deref(), "database.url_file")
    }

    /// The URL past a pooler.
    pub fn postgres_direct_url(&self) -> Result<Option<SecretString>, Problem> {
        secret(self.direct_url.as_deref(), self.direct_url_file.as_deref(), "database.direct_url_file")
    }
}

fn secret(plain: Option<&str>, file: Option<&Path>, key: &str) -> Result<Option<SecretString>, Problem> {
    let Some(file) = file else { return Ok(plain.map(SecretString::from)) };
    let text =
        fs::read_to_string(file).map_err(|error| Problem::new(key, format!("cannot be read: {error}")))?;
    let text = zeroize::Zeroizing::new(text);
    Ok(Some(SecretString::from(text.trim())))
}
