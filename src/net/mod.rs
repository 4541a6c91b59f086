//! Host names, ports, WebSocket URLs, and connecting to the first address that answers.

mod happy_eyeballs;
mod host_port;
mod peer;
mod url;

pub use happy_eyeballs::connect;
pub use host_port::HostPort;
pub use peer::Peer;
pub use url::WebSocketUrl;

use std::{io, net::SocketAddr};

/// Whether a socket's error concerns one connection and not the listener: `accept` reports what happened to a
/// connection before it was taken (accept(2), "Error handling").
pub fn is_connection_error(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted
    )
}

/// The addresses of a name, or the reason why there are none.
pub async fn resolve(at: &HostPort) -> Result<Vec<SocketAddr>, crate::error::Error> {
    let failed = |reason: String| crate::error::Error::Resolve { host: at.host.clone(), reason };
    let found = tokio::net::lookup_host((at.host.as_str(), at.port)).await.map_err(|error| {
        // glibc's words come with a prefix of std's: "failed to lookup address information: …".
        let text = error.to_string();
        failed(text.rsplit(": ").next().unwrap_or(&text).to_owned())
    })?;
    let found: Vec<_> = found.collect();
    if found.is_empty() { Err(failed("the name has no address".into())) } else { Ok(found) }
}
