//! Resources that platform teams manage.

use std::time::Duration;

use super::{
    ConnectionName, ConnectionUid, Generation, OauthClientName, OauthClientUid, TenantName, TenantUid,
    Timestamp,
};

/// What every resource has beside its own fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Grows with every update; the etag.
    pub revision: u64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last updated.
    pub updated_at: Timestamp,
}

/// A customer of the platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Its name.
    pub name: TenantName,
    /// Its immutable identity.
    pub uid: TenantUid,
    /// For people.
    pub display_name: String,
    /// Revision and times.
    pub meta: Meta,
}

/// An app registered at a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OauthClient {
    /// Its name; a tenant's own, or shared.
    pub name: OauthClientName,
    /// Its immutable identity.
    pub uid: OauthClientUid,
    /// For people.
    pub display_name: String,
    /// The provider profile.
    pub provider: String,
    /// The provider's environment.
    pub environment: String,
    /// The public client id at the provider.
    pub client_id: String,
    /// The tenants that may share its client-credentials token.
    pub client_credentials_tenants: Vec<TenantName>,
    /// The secret version in use; absent before the first.
    pub current_secret: Option<u32>,
    /// Revision and times.
    pub meta: Meta,
}

/// A client secret without the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretVersion {
    /// 1 for the first.
    pub version: u32,
    /// When it was added.
    pub created_at: Timestamp,
}

/// How a connection gets its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantType {
    /// RFC 6749 section 4.1, kept alive by section 6.
    AuthorizationCode,
    /// RFC 6749 section 4.4: a lease, no burn.
    ClientCredentials,
}

/// One authorised account of one tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Its name.
    pub name: ConnectionName,
    /// Its immutable identity.
    pub uid: ConnectionUid,
    /// The owner's immutable identity.
    pub tenant_uid: TenantUid,
    /// For people.
    pub display_name: String,
    /// The OAuth client it goes through.
    pub oauth_client: OauthClientName,
    /// How it gets its tokens.
    pub grant_type: GrantType,
    /// The provider's account id, e.g. Procore's company id.
    pub account_id: String,
    /// The largest `min_ttl` that consumers may ask for; absent: a third of the token's life.
    pub max_min_ttl: Option<Duration>,
    /// Where the generations of an earlier connection of this name ended.
    pub generation_floor: Generation,
    /// Revision and times.
    pub meta: Meta,
}
