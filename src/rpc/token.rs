//! `tokenbroker.v1.TokenService`. A fresh token is answered on the spot with bytes that were encoded when it
//! arrived: no store, no network, no lock, no decryption. Everything else takes the long way.

use std::{
    future::{Ready, ready},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use bytes::{BufMut as _, Bytes};
use futures_util::future::Either;
use prost::Message as _;
use token_broker_proto::v1::{GetAccessTokenRequest, GetAccessTokenResponse};
use tonic::{
    Request, Response, Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    server::UnaryService,
};

use super::request::{duration, parse};
use crate::{
    cache::Cache,
    error::{Reason, Refusal},
    identity::Principal,
    model::ConnectionName,
    refresh::{Demand, Refresher},
};

/// The path that most calls take.
pub(super) const GET_ACCESS_TOKEN: &str = "/tokenbroker.v1.TokenService/GetAccessToken";

/// What consumers call.
#[derive(Clone)]
pub(super) struct Tokens {
    cache: Arc<Cache>,
    refresher: Arc<Refresher>,
}

/// One caller's call.
pub(super) struct GetAccessToken {
    tokens: Tokens,
    principal: Arc<Principal>,
}

/// A reply: encoded long ago, or made for this caller.
pub(super) enum Reply {
    /// An encoded `GetAccessTokenResponse`.
    Encoded(Bytes),
    /// With advice.
    Message(Box<GetAccessTokenResponse>),
}

type Replied = Result<Response<Reply>, Status>;

impl Tokens {
    /// Over these parts.
    #[must_use]
    pub(super) const fn new(cache: Arc<Cache>, refresher: Arc<Refresher>) -> Self {
        Self { cache, refresher }
    }

    /// The call of one principal.
    #[must_use]
    pub(super) fn call_of(&self, principal: Arc<Principal>) -> GetAccessToken {
        GetAccessToken { tokens: self.clone(), principal }
    }
}

impl UnaryService<GetAccessTokenRequest> for GetAccessToken {
    type Response = Reply;
    type Future = Either<Ready<Replied>, Pin<Box<dyn Future<Output = Replied> + Send>>>;

    fn call(&mut self, request: Request<GetAccessTokenRequest>) -> Self::Future {
        let request = request.into_inner();
        let demand = match demand(&request) {
            Ok(demand) => demand,
            Err(refusal) => return Either::Left(ready(Err(refusal.into()))),
        };
        if let Some(entry) = self.tokens.cache.get(&request.name) {
            if !self.principal.may_consume(entry.subject.tenant_id()) {
                return Either::Left(ready(Err(Refusal::new(Reason::PermissionDenied).into())));
            }
            if self.tokens.refresher.fresh(&entry, &demand) {
                self.tokens.refresher.note_issued(&entry, &self.principal);
                return Either::Left(ready(Ok(Response::new(Reply::Encoded(entry.reply.clone())))));
            }
        }
        let (refresher, principal) = (self.tokens.refresher.clone(), self.principal.clone());
        Either::Right(Box::pin(async move {
            Ok(Response::new(long_way(&refresher, &principal, &request.name, &demand).await?))
        }))
    }
}

/// Whoever has no binding on the tenant cannot tell a forbidden connection from an absent one.
async fn long_way(
    refresher: &Arc<Refresher>,
    principal: &Principal,
    name: &str,
    demand: &Demand,
) -> Result<Reply, Refusal> {
    let name: ConnectionName = parse("name", name)?;
    if !principal.may_consume(&name.tenant.tenant.to_string()) {
        return Err(Refusal::new(Reason::PermissionDenied));
    }
    let vended = refresher.access_token(&name, demand).await?;
    refresher.note_issued(&vended.entry, principal);
    Ok(match &vended.advice {
        None => Reply::Encoded(vended.entry.reply.clone()),
        Some(advice) => Reply::Message(Box::new(vended.entry.response(Some(advice)))),
    })
}

fn demand(request: &GetAccessTokenRequest) -> Result<Demand, Refusal> {
    Ok(Demand {
        min_ttl: duration("min_ttl", request.min_ttl)?.unwrap_or(Duration::ZERO),
        rejected_generation: request.rejected_generation,
    })
}

/// Protobuf in, bytes or protobuf out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ReplyCodec;

impl Codec for ReplyCodec {
    type Encode = Reply;
    type Decode = GetAccessTokenRequest;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for ReplyCodec {
    type Item = Reply;
    type Error = Status;

    fn encode(&mut self, reply: Reply, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        match reply {
            Reply::Encoded(bytes) => buffer.put_slice(&bytes),
            Reply::Message(message) => {
                message.encode(buffer).map_err(|_| Status::from(Refusal::new(Reason::Internal)))?;
            }
        }
        Ok(())
    }
}

impl Decoder for ReplyCodec {
    type Item = GetAccessTokenRequest;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
        let request = GetAccessTokenRequest::decode(buffer);
        request.map(Some).map_err(|_| Refusal::new(Reason::InvalidArgument).into())
    }
}
