//! The other side of a connection.

use std::net::{IpAddr, SocketAddr};

/// The other side of a connection that a listener accepted.
#[derive(Clone, Debug)]
pub struct Peer {
    /// What logs and errors call it.
    pub name: String,
    /// Its address; `None` over a unix socket. An IPv4 address is never written as an IPv6 one.
    pub ip: Option<IpAddr>,
}

impl Peer {
    /// One that is known by a name only.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ip: None }
    }
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        Self { name: address.to_string(), ip: Some(address.ip().to_canonical()) }
    }
}
