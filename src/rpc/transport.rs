//! placeholder until merged
use std::{io, net::SocketAddr};
/// Incoming.
pub type Incoming = tonic::transport::server::TcpIncoming;
/// Listens.
pub fn listen(address: SocketAddr) -> io::Result<(SocketAddr, Incoming)> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((address, Incoming::from(tokio::net::TcpListener::from_std(listener)?).with_nodelay(Some(true))))
}
