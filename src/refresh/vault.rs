//! Tokens in and out of their sealed form. What is in the clear here leaves this module as a secret type.

use std::sync::Arc;

use rand::{CryptoRng, rand_core::UnwrapErr, rngs::SysRng};
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Life, Subject};
use crate::{
    cache::Entry,
    config,
    error::{Reason, Refusal},
    model::{
        AccessToken, Generation, OauthClient, OauthClientUid, RefreshToken, Sealed, State, Successor, Tokens,
    },
    provider::Issued,
    seal::{DataKeySet, Fingerprinter, Keyring, OpenError, Place},
    store::{KeyScope, Store},
};

/// The sealed form of an access token.
#[derive(serde::Serialize, serde::Deserialize, zeroize::ZeroizeOnDrop)]
struct Payload {
    access_token: String,
    token_type: String,
    scopes: Vec<String>,
}

/// Keys in memory: seals what comes back, and opens what is to be sent.
#[derive(Debug)]
pub struct Sealer {
    keys: Arc<DataKeySet>,
    fingerprinter: Fingerprinter,
}

/// Opens and seals what a grant holds.
#[derive(Clone)]
pub struct Vault {
    keyring: Arc<Keyring>,
    store: Arc<dyn Store>,
    settings: config::Refresh,
    /// Sealed, by client: the version that was last asked for.
    secrets: Arc<papaya::HashMap<OauthClientUid, (u32, Sealed)>>,
}

impl Vault {
    /// A vault over a keyring.
    #[must_use]
    pub fn new(keyring: Arc<Keyring>, store: Arc<dyn Store>, settings: config::Refresh) -> Self {
        Self { keyring, store, settings, secrets: Arc::default() }
    }

    /// The keys of a scope; a failure is about keys, never about the grant.
    pub async fn keys(&self, scope: &KeyScope) -> Result<Arc<DataKeySet>, Refusal> {
        self.keyring.keys(scope).await.map_err(|error| Refusal::because(Reason::KeyUnavailable, &error))
    }

    /// What must be at hand before a burn, so that nothing can fail between the answer and its commit.
    pub async fn sealer(&self, scope: &KeyScope) -> Result<Sealer, Refusal> {
        let keys = self.keys(scope).await?;
        let fingerprinter = self
            .keyring
            .fingerprinter()
            .await
            .map_err(|error| Refusal::because(Reason::KeyUnavailable, &error))?;
        Ok(Sealer { keys, fingerprinter })
    }

    /// The cache entry of a grant's access token.
    pub async fn open_access(
        &self,
        subject: Arc<Subject>,
        generation: Generation,
        state: State,
        access: &AccessToken,
    ) -> Result<Entry, Refusal> {
        let keys = self.keys(&subject.key_scope()).await?;
        let place = grant_place(&subject, "access_token", generation);
        self.entry(&keys, &place, subject, generation, state, access)
    }

    /// The cache entry of a connection that shares its client's lease.
    pub async fn open_lease(
        &self,
        subject: Arc<Subject>,
        lease: Generation,
        access: &AccessToken,
    ) -> Result<Entry, Refusal> {
        let keys = self.keys(&self.client_scope(&subject.client).await?).await?;
        let place = lease_place(&subject.client, lease);
        let generation = Generation(subject.connection.generation_floor.0 + lease.0);
        self.entry(&keys, &place, subject, generation, State::Idle, access)
    }

    /// Seals a client-credentials token.
    pub async fn seal_lease(
        &self,
        client: &OauthClient,
        lease: Generation,
        issued: &Issued,
    ) -> Result<Option<AccessToken>, Refusal> {
        let keys = self.keys(&self.client_scope(client).await?).await?;
        Ok(seal_access(&keys, &lease_place(client, lease), issued))
    }

    /// Seals a new client secret.
    pub async fn seal_secret(
        &self,
        client: &OauthClient,
        version: u32,
        secret: &SecretString,
    ) -> Result<Sealed, Refusal> {
        let keys = self.keys(&self.client_scope(client).await?).await?;
        Ok(keys.seal(&secret_place(client, version), secret.expose_secret().as_bytes(), &mut random()))
    }

    /// The secret of a subject's client. A version is written once: its sealed form is read once.
    pub async fn client_secret(&self, subject: &Subject) -> Result<SecretString, Refusal> {
        let client = &subject.client;
        let version = client.current_secret.ok_or(Refusal::new(Reason::OauthClientRejected))?;
        let known = self.secrets.pin().get(&client.uid).filter(|(known, _)| *known == version).cloned();
        let sealed = if let Some((_, sealed)) = known {
            sealed
        } else {
            let sealed = self.store.secret(client.uid, version).await?;
            let sealed = sealed.ok_or(Refusal::new(Reason::OauthClientRejected))?;
            self.secrets.pin().insert(client.uid, (version, sealed.clone()));
            sealed
        };
        let scope = match &client.name.tenant {
            Some(tenant) if *tenant == subject.connection.name.tenant => subject.key_scope(),
            _ => self.client_scope(client).await?,
        };
        let keys = self.keys(&scope).await?;
        let plain = keys
            .open(&secret_place(client, version), &sealed)
            .map_err(|error| Refusal::because(Reason::KeyUnavailable, &error))?;
        text(&plain).ok_or_else(|| Refusal::because(Reason::KeyUnavailable, &OpenError::Malformed))
    }

    /// A client's secrets are sealed by its tenant's keys, a shared client's by the platform's.
    async fn client_scope(&self, client: &OauthClient) -> Result<KeyScope, Refusal> {
        let Some(tenant) = &client.name.tenant else { return Ok(KeyScope::Platform) };
        let tenant = self.store.tenant(tenant).await?.ok_or(Refusal::new(Reason::NotFound))?;
        Ok(KeyScope::Tenant(tenant.uid))
    }

    fn entry(
        &self,
        keys: &DataKeySet,
        place: &Place,
        subject: Arc<Subject>,
        generation: Generation,
        state: State,
        access: &AccessToken,
    ) -> Result<Entry, Refusal> {
        let plain = keys.open(place, &access.sealed).map_err(|error| {
            tracing::error!(connection = %subject.connection.name, %generation, "access_token.unsealable");
            Refusal::because(Reason::KeyUnavailable, &error)
        })?;
        let mut payload: Payload = serde_json::from_slice(&plain)
            .map_err(|_| Refusal::because(Reason::KeyUnavailable, &OpenError::Malformed))?;
        let life = Life::new(access.issued_at, access.expires_at, &self.settings);
        let token = SecretString::from(std::mem::take(&mut payload.access_token));
        let token_type = std::mem::take(&mut payload.token_type);
        let scopes = std::mem::take(&mut payload.scopes);
        Ok(Entry::new(subject, generation, life, state, (token, token_type, scopes)))
    }
}

// === impl Sealer ===

impl Sealer {
    /// Seals what came back, for the generation it will be.
    #[must_use]
    pub fn seal(&self, subject: &Subject, generation: Generation, issued: &Issued) -> Tokens {
        let refresh = match &issued.refresh_token {
            Some(token) => Successor::Rotated(self.seal_refresh(subject, generation, token)),
            None if subject.rotates() => Successor::Missing,
            None => Successor::Unchanged,
        };
        let place = grant_place(subject, "access_token", generation);
        Tokens { access: seal_access(&self.keys, &place, issued), refresh }
    }

    /// Seals a refresh token and takes its fingerprint.
    #[must_use]
    pub fn seal_refresh(
        &self,
        subject: &Subject,
        generation: Generation,
        token: &SecretString,
    ) -> RefreshToken {
        let token = token.expose_secret().as_bytes();
        let place = grant_place(subject, "refresh_token", generation);
        RefreshToken {
            sealed: self.keys.seal(&place, token, &mut random()),
            fingerprint: self.fingerprinter.fingerprint(token),
        }
    }

    /// Seals the body of an answer that nobody could read.
    #[must_use]
    pub fn seal_raw(&self, subject: &Subject, generation: Generation, body: &[u8]) -> Sealed {
        self.keys.seal(&grant_place(subject, "raw_answer", generation), body, &mut random())
    }

    /// Opens the refresh token of a generation. A bad tag is not a missing key: the one is evidence against the
    /// row, the other this replica's trouble.
    pub fn open_refresh(
        &self,
        subject: &Subject,
        generation: Generation,
        sealed: &Sealed,
    ) -> Result<SecretString, OpenError> {
        let plain = self.keys.open(&grant_place(subject, "refresh_token", generation), sealed)?;
        text(&plain).ok_or(OpenError::Malformed)
    }
}

/// `None`: nothing to seal, the answer brought no access token.
fn seal_access(keys: &DataKeySet, place: &Place, issued: &Issued) -> Option<AccessToken> {
    let payload = Payload {
        access_token: issued.access_token.as_ref()?.expose_secret().to_owned(),
        token_type: issued.token_type.clone(),
        scopes: issued.scopes.clone(),
    };
    let plain = Zeroizing::new(serde_json::to_vec(&payload).expect("strings serialize"));
    Some(AccessToken {
        sealed: keys.seal(place, &plain, &mut random()),
        issued_at: issued.issued_at,
        expires_at: issued.expires_at,
    })
}

const fn grant_place(subject: &Subject, column: &'static str, generation: Generation) -> Place {
    Place { uid: subject.connection.uid.0, table: "grants", column, generation: generation.0 }
}

const fn lease_place(client: &OauthClient, lease: Generation) -> Place {
    Place { uid: client.uid.0, table: "leases", column: "access_token", generation: lease.0 }
}

const fn secret_place(client: &OauthClient, version: u32) -> Place {
    Place { uid: client.uid.0, table: "client_secrets", column: "secret", generation: version as u64 }
}

fn text(plain: &[u8]) -> Option<SecretString> {
    std::str::from_utf8(plain).ok().map(SecretString::from)
}

/// The operating system's randomness.
pub(super) fn random() -> impl CryptoRng {
    UnwrapErr(SysRng)
}

/// A new identity.
pub(super) fn new_uid() -> Uuid {
    Uuid::now_v7()
}
