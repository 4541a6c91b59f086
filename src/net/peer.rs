//! The peer of a connection.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

/// The peer of a connection that a listener accepted.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its name in logs and errors.
    pub name: Arc<str>,
    /// Its address; `None` over a unix socket. IPv4-mapped IPv6 addresses are converted to IPv4.
    pub ip: Option<IpAddr>,
    /// Its port; 0 without an address.
    pub port: u16,
    /// Our port, to which it has connected; 0 without an address.
    pub local_port: u16,
}

impl Peer {
    /// A peer without an IP address.
    pub fn named(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), ip: None, port: 0, local_port: 0 }
    }

    /// A peer that has connected from `address` to our port.
    pub fn at(address: SocketAddr, local_port: u16) -> Self {
        Self {
            name: address.to_string().into(),
            ip: Some(address.ip().to_canonical()),
            port: address.port(),
            local_port,
        }
    }
}

/// What counts as one address for limits: an IPv4 address, or the /64 network of an IPv6 address, since a host has all
/// addresses of its network to choose from.
pub fn counted_address(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        for (address, counted) in
            [("192.0.2.1", "192.0.2.1"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"), ("::1", "::"), ("::", "::")]
        {
            let [address, counted] = [address, counted].map(|text| text.parse::<IpAddr>().expect("an address"));
            assert_eq!(counted_address(address), counted);
        }
    }
}
