//! Host names, ports, WebSocket URLs, proxies, connecting with Happy Eyeballs, and connections by address.

pub mod address_counts;
#[cfg_attr(windows, path = "descriptors_windows.rs")]
mod descriptors;
mod happy_eyeballs;
mod host_port;
mod http_url;
#[cfg(unix)]
mod inherited;
mod peer;
mod proxy;
mod resolver;
mod udp;
#[cfg_attr(windows, path = "unix_windows.rs")]
mod unix;
mod url;
mod url_path;

#[cfg(unix)]
pub use descriptors::original_descriptor_limit;
pub use descriptors::raise_descriptor_limit;
pub use happy_eyeballs::connect;
pub use host_port::HostPort;
pub use http_url::HttpUrl;
#[cfg(unix)]
pub use inherited::{inherited, is_listening};
pub use peer::{Peer, counted_address};
pub use proxy::{ProxyChoice, ProxyLogin, ProxyOptions, ProxyScheme, ProxyUrl};
pub use resolver::{IpVersion, KnownHost, ResolveOptions, resolve, set_resolve_options};
pub use udp::UdpOptions;
pub use unix::{UnixStream, unix_path};
pub use url::WebSocketUrl;
pub use url_path::path_segments;

use std::io;

/// Whether an error of `accept` concerns one connection and not the listener: `accept` also returns errors of the new connection
/// (accept(2), "Error handling").
pub fn is_connection_error(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted
    )
}
