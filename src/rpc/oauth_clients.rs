//! `tokenbroker.v1.OAuthClientService`. A secret is write-only: nothing here returns one.

use secrecy::SecretString;
use token_broker_proto::v1::{
    AddClientSecretRequest, ClientSecretVersion, CreateOAuthClientRequest, DeleteOAuthClientRequest,
    GetOAuthClientRequest, ListOAuthClientsRequest, ListOAuthClientsResponse, OAuthClient as Wire,
    PromoteClientSecretRequest, Standing as WireStanding, UpdateOAuthClientRequest,
    o_auth_client_service_server::OAuthClientService, standing::Breaker,
};
use tonic::{Request, Response, Status};

use super::{
    admin::{Admin, wire_meta},
    request::{applied, expect_revision, masked, next_page, page, parse, revision, text},
    tenants::display_name,
};
use crate::{
    cache::wire_time,
    error::Refusal,
    model::{OauthClient, OauthClientName, OauthClientUid, SecretVersion, TenantName},
    refresh::Standing,
};

/// Bytes of a client id, and of a secret.
const MAX_CREDENTIAL: usize = 4096;

#[tonic::async_trait]
impl OAuthClientService for Admin {
    async fn create_o_auth_client(
        &self,
        request: Request<CreateOAuthClientRequest>,
    ) -> Result<Response<Wire>, Status> {
        let resource = |request: &CreateOAuthClientRequest| {
            // A shared client has no parent, and no slash before its name.
            let name = format!("{}/oauthClients/{}", request.parent, request.oauth_client_id);
            name.trim_start_matches('/').to_owned()
        };
        self.audited(request, "OAuthClientService.CreateOAuthClient", resource, |this, request| async move {
            let wanted = request.oauth_client.unwrap_or_default();
            if this.refresher.directory().provider(&wanted.provider, &wanted.environment).is_none() {
                let problem = "no such provider profile, or it has no such environment";
                return Err(Refusal::field("oauth_client.provider", problem));
            }
            let client_id = text("oauth_client.client_id", &wanted.client_id, MAX_CREDENTIAL)?;
            if client_id.is_empty() || !client_id.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(Refusal::field("oauth_client.client_id", "must be visible ASCII, and not empty"));
            }
            let client = OauthClient {
                name: OauthClientName {
                    tenant: parent(&request.parent)?,
                    client: parse("oauth_client_id", &request.oauth_client_id)?,
                },
                uid: OauthClientUid(uuid::Uuid::now_v7()),
                display_name: display_name(&wanted.display_name)?,
                provider: wanted.provider,
                environment: wanted.environment,
                client_id,
                client_credentials_tenants: tenants(&wanted.client_credentials_tenants)?,
                current_secret: None,
                meta: this.born(),
            };
            applied(this.store.create_oauth_client(&client).await?)?;
            this.wire(&client).await
        })
        .await
    }

    async fn get_o_auth_client(
        &self,
        request: Request<GetOAuthClientRequest>,
    ) -> Result<Response<Wire>, Status> {
        let client = self.client_named(&parse("name", &request.into_inner().name)?).await?;
        Ok(Response::new(self.wire(&client).await?))
    }

    async fn list_o_auth_clients(
        &self,
        request: Request<ListOAuthClientsRequest>,
    ) -> Result<Response<ListOAuthClientsResponse>, Status> {
        let request = request.into_inner();
        let asked = page(request.page_size, &request.page_token)?;
        let tenant = parent(&request.parent)?;
        let found = self
            .store
            .oauth_clients(tenant.as_ref(), asked.after.as_deref(), asked.limit)
            .await
            .map_err(Refusal::from)?;
        let last = found.items.last().map(|client| client.name.client.to_string());
        let mut oauth_clients = Vec::with_capacity(found.items.len());
        for client in &found.items {
            oauth_clients.push(self.wire(client).await?);
        }
        Ok(Response::new(ListOAuthClientsResponse {
            oauth_clients,
            next_page_token: next_page(found.more, last),
        }))
    }

    async fn update_o_auth_client(
        &self,
        request: Request<UpdateOAuthClientRequest>,
    ) -> Result<Response<Wire>, Status> {
        let resource =
            |request: &UpdateOAuthClientRequest| request.oauth_client.clone().unwrap_or_default().name;
        self.audited(request, "OAuthClientService.UpdateOAuthClient", resource, |this, request| async move {
            let wanted = request.oauth_client.unwrap_or_default();
            let mut client = this.client_named(&parse("oauth_client.name", &wanted.name)?).await?;
            expect_revision(&wanted.etag, client.meta.revision)?;
            let allowed = &["display_name", "client_credentials_tenants"];
            for field in masked(request.update_mask.as_ref(), allowed)? {
                match field {
                    "display_name" => client.display_name = display_name(&wanted.display_name)?,
                    _ => client.client_credentials_tenants = tenants(&wanted.client_credentials_tenants)?,
                }
            }
            this.rewrite(&mut client).await?;
            this.wire(&client).await
        })
        .await
    }

    async fn delete_o_auth_client(
        &self,
        request: Request<DeleteOAuthClientRequest>,
    ) -> Result<Response<()>, Status> {
        let resource = |request: &DeleteOAuthClientRequest| request.name.clone();
        self.audited(request, "OAuthClientService.DeleteOAuthClient", resource, |this, request| async move {
            let name = parse("name", &request.name)?;
            applied(this.store.delete_oauth_client(&name, revision(&request.etag)?).await?)
        })
        .await
    }

    async fn add_client_secret(
        &self,
        request: Request<AddClientSecretRequest>,
    ) -> Result<Response<Wire>, Status> {
        let resource = |request: &AddClientSecretRequest| request.name.clone();
        self.audited(request, "OAuthClientService.AddClientSecret", resource, |this, request| async move {
            let AddClientSecretRequest { name, client_secret } = request;
            let secret = SecretString::from(client_secret);
            let mut client = this.client_named(&parse("name", &name)?).await?;
            check_secret(&secret)?;
            let newest = this.store.secrets(client.uid).await?.last().map_or(0, |secret| secret.version);
            let version = SecretVersion { version: newest + 1, created_at: this.clock.now() };
            let sealed = this.refresher.vault().seal_secret(&client, version.version, &secret).await?;
            applied(this.store.add_secret(client.uid, &version, &sealed).await?)?;
            if client.current_secret.is_none() {
                client.current_secret = Some(version.version);
                this.rewrite(&mut client).await?;
            }
            this.wire(&client).await
        })
        .await
    }

    async fn promote_client_secret(
        &self,
        request: Request<PromoteClientSecretRequest>,
    ) -> Result<Response<Wire>, Status> {
        let resource = |request: &PromoteClientSecretRequest| request.name.clone();
        self.audited(
            request,
            "OAuthClientService.PromoteClientSecret",
            resource,
            |this, request| async move {
                let mut client = this.client_named(&parse("name", &request.name)?).await?;
                let versions = this.store.secrets(client.uid).await?;
                if !versions.iter().any(|known| known.version == request.version) {
                    return Err(Refusal::field("version", "no such secret version"));
                }
                client.current_secret = Some(request.version);
                this.rewrite(&mut client).await?;
                this.wire(&client).await
            },
        )
        .await
    }
}

impl Admin {
    /// Writes a client back; what was served from memory on its old terms is forgotten.
    async fn rewrite(&self, client: &mut OauthClient) -> Result<(), Refusal> {
        client.meta = self.touched(&client.meta);
        applied(self.store.update_oauth_client(client).await?)?;
        let uid = client.uid;
        self.cache.remove_where(|subject| subject.client.uid == uid);
        self.refresher.forget_setbacks(uid);
        Ok(())
    }

    async fn wire(&self, client: &OauthClient) -> Result<Wire, Refusal> {
        let versions = self.store.secrets(client.uid).await?;
        let standing =
            client.current_secret.map(|secret| self.refresher.standings().view(client.uid, secret));
        let (etag, create_time, update_time) = wire_meta(&client.meta);
        Ok(Wire {
            name: client.name.to_string(),
            uid: client.uid.to_string(),
            display_name: client.display_name.clone(),
            provider: client.provider.clone(),
            environment: client.environment.clone(),
            client_id: client.client_id.clone(),
            client_credentials_tenants: client
                .client_credentials_tenants
                .iter()
                .map(ToString::to_string)
                .collect(),
            secret_versions: versions
                .iter()
                .map(|version| wire_version(version, client.current_secret))
                .collect(),
            standing: standing.map(wire_standing),
            etag,
            create_time,
            update_time,
        })
    }
}

fn check_secret(secret: &SecretString) -> Result<(), Refusal> {
    use secrecy::ExposeSecret as _;
    let length = secret.expose_secret().len();
    if length == 0 || length > MAX_CREDENTIAL {
        return Err(Refusal::field("client_secret", format!("must have 1 to {MAX_CREDENTIAL} bytes")));
    }
    Ok(())
}

fn parent(parent: &str) -> Result<Option<TenantName>, Refusal> {
    if parent.is_empty() { Ok(None) } else { parse("parent", parent).map(Some) }
}

fn tenants(names: &[String]) -> Result<Vec<TenantName>, Refusal> {
    names.iter().map(|name| parse("oauth_client.client_credentials_tenants", name)).collect()
}

fn wire_version(version: &SecretVersion, current: Option<u32>) -> ClientSecretVersion {
    ClientSecretVersion {
        version: version.version,
        current: current == Some(version.version),
        create_time: Some(wire_time(version.created_at)),
    }
}

fn wire_standing(standing: Standing) -> WireStanding {
    let (breaker, cause, retry_time) = match standing {
        Standing::Unproven => (Breaker::Unproven, "", None),
        Standing::OnTrial => (Breaker::HalfOpen, "", None),
        Standing::Closed { .. } => (Breaker::Closed, "", None),
        Standing::Open { cause, until } => (Breaker::Open, cause, Some(wire_time(until))),
    };
    WireStanding { breaker: breaker.into(), cause: cause.to_owned(), retry_time }
}
