//! The first thing that sees a call: who is it, may they, and is it the call that most calls are.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tonic::{Status, body::Body, server::Grpc};
use tower::{Layer, Service};

use super::token::{GET_ACCESS_TOKEN, ReplyCodec, Tokens};
use crate::{
    error::{Reason, Refusal},
    identity::{Access, Authenticator, Principal, access_to},
};

/// Puts a [`Dispatch`] before the router.
#[derive(Clone)]
pub(super) struct DispatchLayer {
    shared: Arc<Shared>,
}

struct Shared {
    authenticator: Authenticator,
    tokens: Tokens,
}

/// Authenticates, consults the policy, and answers `GetAccessToken` itself: the router would cost as much as
/// the lookup.
#[derive(Clone)]
pub(super) struct Dispatch<S> {
    shared: Arc<Shared>,
    inner: S,
}

impl DispatchLayer {
    /// For these callers.
    #[must_use]
    pub(super) fn new(authenticator: Authenticator, tokens: Tokens) -> Self {
        Self { shared: Arc::new(Shared { authenticator, tokens }) }
    }
}

impl<S> Layer<S> for DispatchLayer {
    type Service = Dispatch<S>;

    fn layer(&self, inner: S) -> Dispatch<S> {
        Dispatch { shared: self.shared.clone(), inner }
    }
}

impl Shared {
    /// Deny by default: an unlisted method and an unknown caller are refused alike.
    fn admit(&self, request: &Request<Body>) -> Result<Option<Arc<Principal>>, Refusal> {
        let access = access_to(request.uri().path()).ok_or(Refusal::new(Reason::PermissionDenied))?;
        if access == Access::Public {
            return Ok(None);
        }
        let principal = self.authenticator.authenticate(request.headers());
        let principal = principal.ok_or(Refusal::new(Reason::Unauthenticated))?;
        if !principal.may(access) {
            return Err(Refusal::new(Reason::PermissionDenied));
        }
        Ok(Some(principal.clone()))
    }
}

impl<S> Service<Request<Body>> for Dispatch<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        match self.shared.admit(&request) {
            Err(refusal) => {
                let response = Status::from(refusal).into_http();
                Box::pin(async move { Ok(response) })
            }
            Ok(Some(principal)) if request.uri().path() == GET_ACCESS_TOKEN => {
                let call = self.shared.tokens.call_of(principal);
                Box::pin(async move { Ok(Grpc::new(ReplyCodec).unary(call, request).await) })
            }
            Ok(principal) => {
                if let Some(principal) = principal {
                    request.extensions_mut().insert(principal);
                }
                Box::pin(self.inner.call(request))
            }
        }
    }
}
