//! The peer of a connection.

use std::net::{IpAddr, SocketAddr};

/// The peer of a connection that a listener accepted.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its name in logs and errors.
    pub name: String,
    /// Its address; `None` over a unix socket. IPv4-mapped IPv6 addresses are converted to IPv4.
    pub ip: Option<IpAddr>,
}

impl Peer {
    /// A peer without an IP address.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ip: None }
    }
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        Self { name: address.to_string(), ip: Some(address.ip().to_canonical()) }
    }
}
