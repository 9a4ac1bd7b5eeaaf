//! Everything a simulator knows, behind one lock.

use std::time::SystemTime;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::api::limiter::Limiter;
use crate::choices::{RefreshMode, TokenStyle};
use crate::config::Environment;
use crate::directory::{Client, ClientCredentials, ClientRegistration, Directory};
use crate::fault::FaultPlan;
use crate::knobs::Knobs;
use crate::ledger::{AccessToken, Code, EndReason, Grant, Ledger, Life, RefreshToken, TokenPair};
use crate::mint::{self, fingerprint};
use crate::presentation::Log;

pub(crate) struct State {
    pub(crate) knobs: Knobs,
    pub(crate) directory: Directory,
    pub(crate) ledger: Ledger,
    pub(crate) log: Log,
    pub(crate) faults: FaultPlan,
    pub(crate) limiter: Limiter,
    rng: StdRng,
}

impl State {
    pub(crate) fn new(seed: u64, knobs: Knobs, log: Log) -> Self {
        Self {
            knobs,
            directory: Directory::default(),
            ledger: Ledger::default(),
            log,
            faults: FaultPlan::default(),
            limiter: Limiter::default(),
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// The simulator's one clock, in Unix milliseconds.
    pub(crate) fn now_ms(&self) -> i64 {
        let real = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_millis());
        i64::try_from(real).unwrap_or(i64::MAX).saturating_add(self.knobs.clock_skew.saturating_mul(1000))
    }

    pub(crate) fn now(&self) -> i64 {
        self.now_ms().div_euclid(1000)
    }

    pub(crate) fn mint(&mut self, style: TokenStyle) -> String {
        mint::token(&mut self.rng, style, self.knobs.jwt_bytes)
    }

    pub(crate) fn register(
        &mut self,
        environment: Environment,
        registration: ClientRegistration,
    ) -> ClientCredentials {
        let client_id = registration.client_id.unwrap_or_else(|| self.mint(TokenStyle::Base64Url43));
        let client_secret = registration.client_secret.unwrap_or_else(|| self.mint(TokenStyle::Base64Url43));
        let client = Client {
            name: registration.name,
            redirect_uris: registration.redirect_uris,
            service_account: registration.client_credentials,
            secret: client_secret.clone(),
            suspended: false,
        };
        self.directory.clients.insert((environment.credential_store(), client_id.clone()), client);
        ClientCredentials { client_id, client_secret }
    }

    /// Opens a grant, as if the user had just authorized the client for use in the company.
    pub(crate) fn open_grant(
        &mut self,
        environment: Environment,
        client_id: &str,
        user: u64,
        company: u64,
    ) -> TokenPair {
        self.directory.enrol(environment, client_id, user, company);
        let grant_id = format!("grant-{}", 1 + self.ledger.grants.len());
        let grant = Grant {
            environment,
            client_id: client_id.to_owned(),
            user,
            generation: 0,
            live: Vec::new(),
            ended: None,
        };
        self.ledger.grants.insert(grant_id.clone(), grant);
        self.issue_pair(&grant_id, None)
    }

    /// Issues the pair that follows `predecessor`, or a grant's first one.
    fn issue_pair(&mut self, grant_id: &str, predecessor: Option<&RefreshToken>) -> TokenPair {
        let access_token = self.mint(self.knobs.access_token_style);
        let refresh_token = self.mint(self.knobs.refresh_token_style);
        let (created_at, expires_in) = (self.now(), self.knobs.access_ttl);
        let grant = self.ledger.grants.get(grant_id).expect("tokens name a grant that exists");
        let generation = predecessor.map_or(0, |token| token.pair.generation + 1);
        let pair = TokenPair {
            environment: grant.environment,
            client_id: grant.client_id.clone(),
            grant_id: grant_id.to_owned(),
            generation,
            refresh_fingerprint: fingerprint(&refresh_token),
            access_token,
            refresh_token,
            expires_in,
            created_at,
        };
        let supersedes = predecessor.filter(|_| self.knobs.refresh_mode != RefreshMode::SingleUse);
        let access = AccessToken {
            environment: pair.environment,
            client_id: pair.client_id.clone(),
            user: Some(grant.user),
            grant_id: Some(grant_id.to_owned()),
            refresh_token: Some(pair.refresh_token.clone()),
            supersedes: supersedes.map(|token| token.pair.refresh_token.clone()),
            created_at,
            ttl: expires_in,
            revoked: false,
        };
        let id = format!("refresh-{}", 1 + self.ledger.refresh.len());
        self.ledger.access.insert(pair.access_token.clone(), access);
        self.ledger.add_refresh_token(RefreshToken { id, life: Life::Live, pair: pair.clone() });
        pair
    }

    /// Exchanges a live refresh token for the next pair.
    pub(crate) fn rotate(&mut self, presented: &RefreshToken) -> TokenPair {
        if self.knobs.refresh_mode == RefreshMode::SingleUse {
            self.retire(presented);
        }
        self.issue_pair(&presented.pair.grant_id, Some(presented))
    }

    fn retire(&mut self, token: &RefreshToken) {
        self.ledger.retire(&token.pair.refresh_token, Life::Spent);
        if self.knobs.old_access_dies {
            self.ledger.revoke_access(&token.pair.access_token);
        }
    }

    /// In mode B, the first use of an access token retires the refresh token that it was obtained with.
    pub(crate) fn note_use(&mut self, access_token: &str) {
        let superseded = self.ledger.access.get_mut(access_token).and_then(|token| token.supersedes.take());
        if let Some(token) = superseded.and_then(|token| self.ledger.refresh.get(&token).cloned())
            && token.life == Life::Live
        {
            self.retire(&token);
        }
    }

    pub(crate) fn issue_client_token(
        &mut self,
        environment: Environment,
        client_id: &str,
    ) -> (String, AccessToken) {
        if self.knobs.client_credentials_revokes_previous {
            let earlier = |token: &&mut AccessToken| {
                token.user.is_none() && token.environment == environment && token.client_id == client_id
            };
            self.ledger.access.values_mut().filter(earlier).for_each(|token| token.revoked = true);
        }
        let token = self.mint(self.knobs.access_token_style);
        let record = AccessToken {
            environment,
            client_id: client_id.to_owned(),
            user: None,
            grant_id: None,
            refresh_token: None,
            supersedes: None,
            created_at: self.now(),
            ttl: self.knobs.access_ttl,
            revoked: false,
        };
        self.ledger.access.insert(token.clone(), record.clone());
        (token, record)
    }

    pub(crate) fn issue_code(
        &mut self,
        environment: Environment,
        client_id: &str,
        redirect_uri: &str,
        (user, company): (u64, u64),
    ) -> String {
        let code = self.mint(TokenStyle::Base64Url43);
        let expires_at = self.now().saturating_add_unsigned(self.knobs.code_ttl);
        let record = Code {
            environment,
            client_id: client_id.to_owned(),
            redirect_uri: redirect_uri.to_owned(),
            user,
            company,
            expires_at,
            used: false,
            grant_id: None,
        };
        self.ledger.codes.insert(code.clone(), record);
        code
    }

    /// Sets a new secret without overlap. Every access token of the pair dies, in each of its environments.
    pub(crate) fn reset_secret(
        &mut self,
        environment: Environment,
        client_id: &str,
    ) -> Option<ClientCredentials> {
        let client_secret = self.mint(TokenStyle::Base64Url43);
        self.directory.client_mut(environment, client_id)?.secret.clone_from(&client_secret);
        let store = environment.credential_store();
        for token in self.ledger.access.values_mut() {
            token.revoked |= token.client_id == client_id && token.environment.credential_store() == store;
        }
        if self.knobs.secret_reset_kills_refresh_tokens {
            for environment in Environment::ALL.into_iter().filter(|e| e.credential_store() == store) {
                for grant_id in self.ledger.grants_of(environment, client_id, None) {
                    self.ledger.end_grant(&grant_id, EndReason::SecretReset);
                }
            }
        }
        Some(ClientCredentials { client_id: client_id.to_owned(), client_secret })
    }

    /// Ends what a user granted a client, as "My Connected Apps" does. Returns how many grants that were.
    pub(crate) fn revoke_user(&mut self, environment: Environment, client_id: &str, user: u64) -> usize {
        let grants = self.ledger.grants_of(environment, client_id, Some(user));
        for grant_id in &grants {
            self.ledger.end_grant(grant_id, EndReason::RevokedByUser);
        }
        grants.len()
    }

    /// Overwrites an environment from production: its tokens and codes die, companies are copied.
    pub(crate) fn wipe(&mut self, environment: Environment) {
        let grants = self.ledger.grants.iter().filter(|(_, grant)| grant.environment == environment);
        let grants: Vec<_> = grants.map(|(id, _)| id.clone()).collect();
        for grant_id in grants {
            self.ledger.end_grant(&grant_id, EndReason::Wiped);
        }
        for token in self.ledger.access.values_mut().filter(|t| t.environment == environment) {
            token.revoked = true;
        }
        self.ledger.codes.retain(|_, code| code.environment != environment);
        if environment != Environment::Production {
            self.directory.copy_environment(Environment::Production, environment);
        }
    }
}
