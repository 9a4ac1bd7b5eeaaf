//! Resource names as in AIP-122: `tenants/{tenant}/connections/{connection}`.

use std::{fmt, str::FromStr};

/// An id chosen by the caller: `[a-z][a-z0-9-]{0,62}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId(String);

/// A name or an id out of form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// The id.
    #[error("an id is a lower-case letter followed by at most 62 lower-case letters, digits or hyphens")]
    Id,
    /// The collection names around the ids.
    #[error("expected a name of the form {0}")]
    Form(&'static str),
}

impl ResourceId {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ResourceId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = text.bytes();
        let first = bytes.next().is_some_and(|b| b.is_ascii_lowercase());
        let rest = bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if first && rest && text.len() <= 63 { Ok(Self(text.to_owned())) } else { Err(InvalidName::Id) }
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `tenants/{tenant}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantName {
    /// The tenant's id.
    pub tenant: ResourceId,
}

/// `tenants/{tenant}/connections/{connection}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionName {
    /// Whose it is.
    pub tenant: TenantName,
    /// The connection's id.
    pub connection: ResourceId,
}

/// `oauthClients/{client}`, shared by tenants, or `tenants/{tenant}/oauthClients/{client}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OauthClientName {
    /// Whose it is; absent where it is shared.
    pub tenant: Option<TenantName>,
    /// The client's id.
    pub client: ResourceId,
}

impl FromStr for TenantName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match segments(text)[..] {
            ["tenants", tenant] => Ok(Self { tenant: tenant.parse()? }),
            _ => Err(InvalidName::Form("tenants/{tenant}")),
        }
    }
}

impl FromStr for ConnectionName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match segments(text)[..] {
            ["tenants", tenant, "connections", connection] => {
                Ok(Self { tenant: TenantName { tenant: tenant.parse()? }, connection: connection.parse()? })
            }
            _ => Err(InvalidName::Form("tenants/{tenant}/connections/{connection}")),
        }
    }
}

impl FromStr for OauthClientName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match segments(text)[..] {
            ["oauthClients", client] => Ok(Self { tenant: None, client: client.parse()? }),
            ["tenants", tenant, "oauthClients", client] => {
                Ok(Self { tenant: Some(TenantName { tenant: tenant.parse()? }), client: client.parse()? })
            }
            _ => Err(InvalidName::Form("oauthClients/{client} or tenants/{tenant}/oauthClients/{client}")),
        }
    }
}

/// At most five, so that a long text costs no more than a short one.
fn segments(text: &str) -> Vec<&str> {
    text.splitn(5, '/').collect()
}

impl fmt::Display for TenantName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tenants/{}", self.tenant)
    }
}

impl fmt::Display for ConnectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/connections/{}", self.tenant, self.connection)
    }
}

impl fmt::Display for OauthClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tenant {
            Some(tenant) => write!(f, "{tenant}/oauthClients/{}", self.client),
            None => write!(f, "oauthClients/{}", self.client),
        }
    }
}

macro_rules! as_text {
    ($($name:ident),*) => {$(
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

as_text!(ResourceId, TenantName, ConnectionName, OauthClientName);
