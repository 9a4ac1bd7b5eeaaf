//! What the services for platform teams share.

use std::sync::Arc;

use prost_types::Timestamp as WireTime;
use tokio_util::task::TaskTracker;
use tonic::{Request, Status};

use crate::{
    audit::Auditor,
    cache::{Cache, wire_time},
    clock::Clock,
    error::{Reason, Refusal},
    identity::Principal,
    model::{Connection, ConnectionName, Meta, OauthClient, OauthClientName, Tenant, TenantName},
    refresh::Refresher,
    store::Store,
};

/// The services for platform teams.
#[derive(Clone)]
pub(super) struct Admin {
    pub(super) store: Arc<dyn Store>,
    pub(super) refresher: Arc<Refresher>,
    pub(super) cache: Arc<Cache>,
    pub(super) clock: Clock,
    auditor: Auditor,
    tasks: TaskTracker,
}

impl Admin {
    /// Over these parts.
    #[must_use]
    pub(super) fn new(
        store: Arc<dyn Store>,
        refresher: Arc<Refresher>,
        cache: Arc<Cache>,
        clock: Clock,
    ) -> Self {
        let auditor = Auditor::new(store.clone(), clock.clone());
        Self { store, refresher, cache, clock, auditor, tasks: TaskTracker::new() }
    }

    /// Runs a change between its audit entries, on a task of its own: a client that goes away does not leave it
    /// half done.
    pub(super) async fn audited<T, R, F>(
        &self,
        request: Request<R>,
        action: &'static str,
        resource: impl FnOnce(&R) -> String,
        work: impl FnOnce(Self, R) -> F,
    ) -> Result<tonic::Response<T>, Status>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Refusal>> + Send + 'static,
    {
        let principal = principal(&request)?;
        let request = request.into_inner();
        let resource = resource(&request);
        let work = work(self.clone(), request);
        let auditor = self.auditor.clone();
        let task =
            self.tasks.spawn(async move { auditor.audited(&principal.name, action, &resource, work).await });
        let result = task.await.unwrap_or_else(|panic| Err(Refusal::because(Reason::Internal, &panic)));
        Ok(tonic::Response::new(result?))
    }

    pub(super) async fn tenant_named(&self, name: &TenantName) -> Result<Tenant, Refusal> {
        self.store.tenant(name).await?.ok_or(Refusal::new(Reason::NotFound))
    }

    pub(super) async fn client_named(&self, name: &OauthClientName) -> Result<OauthClient, Refusal> {
        self.store.oauth_client(name).await?.ok_or(Refusal::new(Reason::NotFound))
    }

    pub(super) async fn connection_named(&self, name: &ConnectionName) -> Result<Connection, Refusal> {
        self.store.connection(name).await?.ok_or(Refusal::new(Reason::NotFound))
    }

    /// The meta of something made now.
    pub(super) fn born(&self) -> Meta {
        let now = self.clock.now();
        Meta { revision: 1, created_at: now, updated_at: now }
    }

    /// The meta after an update now.
    pub(super) fn touched(&self, meta: &Meta) -> Meta {
        Meta { revision: meta.revision + 1, created_at: meta.created_at, updated_at: self.clock.now() }
    }
}

/// Put there by the dispatcher; its absence would be a hole, and is a refusal.
pub(super) fn principal<R>(request: &Request<R>) -> Result<Arc<Principal>, Refusal> {
    request.extensions().get::<Arc<Principal>>().cloned().ok_or(Refusal::new(Reason::Unauthenticated))
}

/// Etag, creation and update time.
pub(super) fn wire_meta(meta: &Meta) -> (String, Option<WireTime>, Option<WireTime>) {
    (meta.revision.to_string(), Some(wire_time(meta.created_at)), Some(wire_time(meta.updated_at)))
}
