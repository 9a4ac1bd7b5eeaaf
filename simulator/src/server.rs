//! Listening, and handing a connection from HTTP to a fault's script.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::control;
use crate::exchange::{Answer, Place, connected, exchange};
use crate::fault::Script;
use crate::shared::Shared;

/// What a listener serves.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Service {
    Control,
    Provider(Place),
}

/// Accepts connections until dropped, which ends them all.
pub(crate) async fn listen(listener: TcpListener, service: Service, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, remote)) = accepted {
                    connections.spawn(connection(stream, remote, service, Arc::clone(&shared)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, remote: SocketAddr, service: Service, shared: Arc<Shared>) {
    if let Service::Provider(place) = service
        && let Some(script) = connected(&shared, place)
    {
        return script.run(stream).await;
    }
    let (takeover, mut taken) = mpsc::channel::<Script>(1);
    let answer = service_fn(move |request: Request<Incoming>| {
        let (shared, takeover) = (Arc::clone(&shared), takeover.clone());
        async move {
            let reply = match service {
                Service::Control => control::answer(&shared, request).await,
                Service::Provider(place) => match exchange(&shared, place, remote, request).await {
                    Answer::Reply(reply) => reply,
                    Answer::Script(script) => {
                        let _ = takeover.send(script).await;
                        std::future::pending().await
                    }
                },
            };
            Ok::<_, Infallible>(reply.into_response())
        }
    });
    // Without half-close, a client that hangs up would cancel the processing of its request.
    let mut http = http1::Builder::new().half_close(true).serve_connection(TokioIo::new(stream), answer);
    let script = tokio::select! {
        Some(script) = taken.recv() => script,
        _ = pin!(&mut http) => return,
    };
    let stream = http.into_parts().io.into_inner();
    script.run(stream).await;
}
