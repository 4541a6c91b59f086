//! Host names, ports, WebSocket URLs, proxies, connecting with Happy Eyeballs, and connections by address.

pub mod address_counts;
mod descriptors;
mod happy_eyeballs;
mod host_port;
mod peer;
mod proxy;
mod udp;
mod url;

pub use descriptors::{original_descriptor_limit, raise_descriptor_limit};
pub use happy_eyeballs::connect;
pub use host_port::HostPort;
pub use peer::{Peer, counted_address};
pub use proxy::{ProxyChoice, ProxyLogin, ProxyOptions, ProxyScheme, ProxyUrl};
pub use udp::UdpOptions;
pub use url::WebSocketUrl;

use std::{io, net::SocketAddr};

/// Whether an error of `accept` concerns one connection and not the listener: `accept` also returns errors of the new connection
/// (accept(2), "Error handling").
pub fn is_connection_error(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted
    )
}

/// Looks up the addresses of a host.
///
/// # Errors
/// [`Error::Resolve`](crate::error::Error::Resolve) if the lookup fails or finds no address.
pub async fn resolve(at: &HostPort) -> Result<Vec<SocketAddr>, crate::error::Error> {
    let failed = |reason: String| crate::error::Error::Resolve { host: at.host.clone(), reason };
    let found = tokio::net::lookup_host((at.host.as_str(), at.port)).await.map_err(|error| {
        // std puts "failed to lookup address information: " in front of the error of the resolver.
        let text = error.to_string();
        failed(text.rsplit(": ").next().unwrap_or(&text).to_owned())
    })?;
    let found: Vec<_> = found.collect();
    if found.is_empty() { Err(failed("the name has no address".into())) } else { Ok(found) }
}
