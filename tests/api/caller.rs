//! Callers of a broker.

use std::net::SocketAddr;

use token_broker_proto::v1::{
    connection_service_client::ConnectionServiceClient,
    o_auth_client_service_client::OAuthClientServiceClient, tenant_service_client::TenantServiceClient,
    token_service_client::TokenServiceClient,
};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

/// Somebody with a credential, or without.
#[derive(Clone)]
pub(crate) struct Caller {
    channel: Channel,
    bearer: Bearer,
}

/// What is sent as `authorization`.
#[derive(Clone)]
pub(crate) struct Bearer(Option<MetadataValue<Ascii>>);

/// A channel that says who is calling.
pub(crate) type Line = InterceptedService<Channel, Bearer>;

impl Caller {
    pub(crate) fn of(broker: SocketAddr, credential: Option<&str>) -> Self {
        let channel = Endpoint::from_shared(format!("http://{broker}")).unwrap().connect_lazy();
        let bearer = credential.map(|credential| format!("Bearer {credential}").parse().unwrap());
        Self { channel, bearer: Bearer(bearer) }
    }

    pub(crate) fn line(&self) -> Line {
        InterceptedService::new(self.channel.clone(), self.bearer.clone())
    }

    pub(crate) fn tokens(&self) -> TokenServiceClient<Line> {
        TokenServiceClient::new(self.line())
    }

    pub(crate) fn tenants(&self) -> TenantServiceClient<Line> {
        TenantServiceClient::new(self.line())
    }

    pub(crate) fn clients(&self) -> OAuthClientServiceClient<Line> {
        OAuthClientServiceClient::new(self.line())
    }

    pub(crate) fn connections(&self) -> ConnectionServiceClient<Line> {
        ConnectionServiceClient::new(self.line())
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(bearer) = &self.0 {
            request.metadata_mut().insert("authorization", bearer.clone());
        }
        Ok(request)
    }
}
