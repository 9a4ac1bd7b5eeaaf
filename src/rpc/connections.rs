//! `tokenbroker.v1.ConnectionService`.

use secrecy::SecretString;
use token_broker_proto::v1::{
    Connection as Wire, CreateConnectionRequest, DeleteConnectionRequest, GetConnectionRequest,
    ImportConnectionRequest, InspectConnectionRequest, InspectConnectionResponse, ListConnectionsRequest,
    ListConnectionsResponse, RefreshConnectionRequest, ResolveConnectionRequest, UpdateConnectionRequest,
    connection_service_server::ConnectionService,
};
use tonic::{Request, Response, Status};

use super::{
    admin::Admin,
    connection_view::{
        access_of, grant_type, wire_attempt, wire_connection, wire_event, wire_kept, wire_witness,
    },
    request::{applied, duration, expect_revision, masked, next_page, page, parse, revision, time},
    tenants::display_name,
};
use crate::{
    error::{Reason, Refusal},
    model::{Connection, ConnectionName, ConnectionUid, Generation, GrantType, OauthClient, TenantName},
    refresh::Import,
};

/// Bytes of a token in an import.
const MAX_TOKEN: usize = 16 * 1024;
/// Attempts and events shown.
const SHOWN: u32 = 50;

#[tonic::async_trait]
impl ConnectionService for Admin {
    async fn create_connection(
        &self,
        request: Request<CreateConnectionRequest>,
    ) -> Result<Response<Wire>, Status> {
        let resource = |request: &CreateConnectionRequest| {
            format!("{}/connections/{}", request.parent, request.connection_id)
        };
        self.audited(request, "ConnectionService.CreateConnection", resource, |this, request| async move {
            let wanted = request.connection.unwrap_or_default();
            let tenant = this.tenant_named(&parse("parent", &request.parent)?).await?;
            let name = ConnectionName {
                tenant: tenant.name.clone(),
                connection: parse("connection_id", &request.connection_id)?,
            };
            let client = this.client_named(&parse("connection.oauth_client", &wanted.oauth_client)?).await?;
            let grant_type = grant_type(wanted.grant_type())?;
            this.check_client(&client, &tenant.name, grant_type, &wanted.account_id)?;
            let connection = Connection {
                generation_floor: this.store.generation_floor(&name).await?,
                name,
                uid: ConnectionUid(uuid::Uuid::now_v7()),
                tenant_uid: tenant.uid,
                display_name: display_name(&wanted.display_name)?,
                oauth_client: client.name,
                grant_type,
                account_id: wanted.account_id,
                max_min_ttl: duration("connection.max_min_ttl", wanted.max_min_ttl)?,
                meta: this.born(),
            };
            applied(this.store.create_connection(&connection).await?)?;
            this.view(&connection).await
        })
        .await
    }

    async fn get_connection(&self, request: Request<GetConnectionRequest>) -> Result<Response<Wire>, Status> {
        let connection = self.connection_named(&parse("name", &request.into_inner().name)?).await?;
        Ok(Response::new(self.view(&connection).await?))
    }

    async fn list_connections(
        &self,
        request: Request<ListConnectionsRequest>,
    ) -> Result<Response<ListConnectionsResponse>, Status> {
        let request = request.into_inner();
        let tenant: TenantName = parse("parent", &request.parent)?;
        let asked = page(request.page_size, &request.page_token)?;
        let found = self
            .store
            .connections(&tenant, asked.after.as_deref(), asked.limit)
            .await
            .map_err(Refusal::from)?;
        let last = found.items.last().map(|connection| connection.name.connection.to_string());
        let mut connections = Vec::with_capacity(found.items.len());
        for connection in &found.items {
            connections.push(self.view(connection).await?);
        }
        Ok(Response::new(ListConnectionsResponse {
            connections,
            next_page_token: next_page(found.more, last),
        }))
    }

    async fn update_connection(
        &self,
        request: Request<UpdateConnectionRequest>,
    ) -> Result<Response<Wire>, Status> {
        let resource =
            |request: &UpdateConnectionRequest| request.connection.clone().unwrap_or_default().name;
        self.audited(request, "ConnectionService.UpdateConnection", resource, |this, request| async move {
            let wanted = request.connection.unwrap_or_default();
            let mut connection = this.connection_named(&parse("connection.name", &wanted.name)?).await?;
            expect_revision(&wanted.etag, connection.meta.revision)?;
            for field in masked(request.update_mask.as_ref(), &["display_name", "max_min_ttl"])? {
                match field {
                    "display_name" => connection.display_name = display_name(&wanted.display_name)?,
                    _ => connection.max_min_ttl = duration("connection.max_min_ttl", wanted.max_min_ttl)?,
                }
            }
            connection.meta = this.touched(&connection.meta);
            applied(this.store.update_connection(&connection).await?)?;
            this.cache.remove(&connection.name.to_string());
            this.view(&connection).await
        })
        .await
    }

    async fn delete_connection(
        &self,
        request: Request<DeleteConnectionRequest>,
    ) -> Result<Response<()>, Status> {
        let resource = |request: &DeleteConnectionRequest| request.name.clone();
        self.audited(request, "ConnectionService.DeleteConnection", resource, |this, request| async move {
            let name: ConnectionName = parse("name", &request.name)?;
            let subject = this.refresher.directory().subject(&name).await?;
            let generation = match this.refresher.current_generation(&subject).await {
                Err(refusal) if refusal.reason == Reason::AuthorizationPending => {
                    subject.connection.generation_floor
                }
                generation => generation?,
            };
            this.refresher.witness_revoked(subject.connection.uid, generation).await?;
            let deleted = this
                .store
                .delete_connection(&name, revision(&request.etag)?, generation, this.clock.now())
                .await?;
            this.cache.remove(&name.to_string());
            this.refresher.announce(subject.connection.uid.0, Generation(u64::MAX));
            applied(deleted)
        })
        .await
    }

    async fn import_connection(
        &self,
        request: Request<ImportConnectionRequest>,
    ) -> Result<Response<Wire>, Status> {
        let resource = |request: &ImportConnectionRequest| request.name.clone();
        self.audited(request, "ConnectionService.ImportConnection", resource, |this, request| async move {
            let ImportConnectionRequest { name, refresh_token, access_token, access_token_expire_time } =
                request;
            let name: ConnectionName = parse("name", &name)?;
            let refresh_token = token("refresh_token", refresh_token)?
                .ok_or_else(|| Refusal::field("refresh_token", "must not be empty"))?;
            let expires_at = time("access_token_expire_time", access_token_expire_time)?;
            let access = match (token("access_token", access_token)?, expires_at) {
                (Some(token), Some(expires_at)) => Some((token, expires_at)),
                (Some(_), None) => {
                    return Err(Refusal::field(
                        "access_token_expire_time",
                        "is required with an access token",
                    ));
                }
                (None, _) => None,
            };
            this.refresher.import(&name, Import { refresh_token, access }).await?;
            this.view(&this.connection_named(&name).await?).await
        })
        .await
    }

    async fn refresh_connection(
        &self,
        request: Request<RefreshConnectionRequest>,
    ) -> Result<Response<Wire>, Status> {
        let resource = |request: &RefreshConnectionRequest| request.name.clone();
        self.audited(request, "ConnectionService.RefreshConnection", resource, |this, request| async move {
            let name = parse("name", &request.name)?;
            this.refresher.refresh_now(&name).await?;
            this.view(&this.connection_named(&name).await?).await
        })
        .await
    }

    async fn resolve_connection(
        &self,
        request: Request<ResolveConnectionRequest>,
    ) -> Result<Response<Wire>, Status> {
        let resource = |request: &ResolveConnectionRequest| request.name.clone();
        self.audited(request, "ConnectionService.ResolveConnection", resource, |this, request| async move {
            let name = parse("name", &request.name)?;
            this.refresher.resolve(&name).await?;
            this.view(&this.connection_named(&name).await?).await
        })
        .await
    }

    async fn inspect_connection(
        &self,
        request: Request<InspectConnectionRequest>,
    ) -> Result<Response<InspectConnectionResponse>, Status> {
        let connection = self.connection_named(&parse("name", &request.into_inner().name)?).await?;
        let grant = self.store.grant(connection.tenant_uid, connection.uid).await.map_err(Refusal::from)?;
        let attempts =
            self.store.attempts(connection.tenant_uid, connection.uid, SHOWN).await.map_err(Refusal::from)?;
        let events =
            self.store.events(connection.tenant_uid, connection.uid, SHOWN).await.map_err(Refusal::from)?;
        let evidence = self.refresher.evidence(connection.uid).await;
        Ok(Response::new(InspectConnectionResponse {
            grant_state: grant.map(|grant| grant.state.as_str().to_owned()).unwrap_or_default(),
            connection: Some(self.view(&connection).await?),
            attempts: attempts.iter().map(wire_attempt).collect(),
            events: events.iter().map(wire_event).collect(),
            witness: evidence.witness.as_ref().map(wire_witness),
            kept_answers: evidence.kept.iter().map(wire_kept).collect(),
            unavailable: evidence.silent.iter().map(ToString::to_string).collect(),
        }))
    }
}

impl Admin {
    async fn view(&self, connection: &Connection) -> Result<Wire, Refusal> {
        let access = match connection.grant_type {
            GrantType::AuthorizationCode => access_of(
                connection,
                self.store.grant(connection.tenant_uid, connection.uid).await?.as_ref(),
                None,
            ),
            GrantType::ClientCredentials => {
                let client = self.client_named(&connection.oauth_client).await?;
                access_of(connection, None, self.store.lease(client.uid).await?.as_ref())
            }
        };
        Ok(wire_connection(connection, access))
    }

    /// Whether a tenant's connection may go through this client, with this account.
    fn check_client(
        &self,
        client: &OauthClient,
        tenant: &TenantName,
        grant_type: GrantType,
        account_id: &str,
    ) -> Result<(), Refusal> {
        if client.name.tenant.as_ref().is_some_and(|owner| owner != tenant) {
            return Err(Refusal::field("connection.oauth_client", "belongs to another tenant"));
        }
        let shared = client.name.tenant.is_none();
        if grant_type == GrantType::ClientCredentials
            && shared
            && !client.client_credentials_tenants.contains(tenant)
        {
            let problem = "its client_credentials_tenants does not name this tenant";
            return Err(Refusal::field("connection.oauth_client", problem));
        }
        let (profile, _) = self
            .refresher
            .directory()
            .provider(&client.provider, &client.environment)
            .ok_or(Refusal::new(Reason::EndpointChanged))?;
        profile
            .account_ids
            .check(account_id)
            .map_err(|error| Refusal::field("connection.account_id", error.to_string()))
    }
}

/// A token of acceptable size; the text moves into a secret type at once.
fn token(field: &'static str, token: String) -> Result<Option<SecretString>, Refusal> {
    let token = SecretString::from(token);
    let length = secrecy::ExposeSecret::expose_secret(&token).len();
    match length {
        0 => Ok(None),
        1..=MAX_TOKEN => Ok(Some(token)),
        _ => Err(Refusal::field(field, format!("at most {MAX_TOKEN} bytes"))),
    }
}
