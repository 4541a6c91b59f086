//! UDP sockets.

use super::{HostPort, resolve};
use crate::error::Error;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, connect, socket_with,
    sockopt::{
        set_ip_add_membership, set_ip_multicast_if, set_ip_multicast_loop, set_ip_multicast_ttl, set_ip_ttl,
        set_ipv6_add_membership, set_ipv6_multicast_hops, set_ipv6_multicast_if, set_ipv6_multicast_loop,
        set_ipv6_unicast_hops, set_socket_broadcast, set_socket_reuseaddr,
    },
};
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::OwnedFd,
    time::Duration,
};
use tokio::net::UdpSocket;

/// How UDP sockets are opened.
#[derive(Clone, Debug, Default)]
pub struct UdpOptions {
    /// Send to broadcast addresses.
    pub broadcast: bool,
    /// Groups to join, each with the address of an interface.
    pub groups_v4: Vec<(Ipv4Addr, Ipv4Addr)>,
    /// Groups to join, each with the index of an interface.
    pub groups_v6: Vec<(Ipv6Addr, u32)>,
    /// The interface that multicasts are sent through.
    pub interface_v4: Option<Ipv4Addr>,
    /// The index of the interface that multicasts are sent through.
    pub interface_v6: Option<u32>,
    /// Receive what this machine sends to a group.
    pub multicast_loop: bool,
    /// Send only one datagram to each sender.
    pub oneshot: bool,
    /// Other sockets may be bound to the same address.
    pub reuse_address: bool,
    /// Time to live of what is sent.
    pub ttl: Option<u8>,
    /// Maximum number of clients of `udp-server:` at a time.
    pub max_clients: usize,
    /// Maximum silence of a client of `udp-server:`.
    pub timeout: Duration,
}

impl UdpOptions {
    /// A socket that is bound to the first address of `at` on which that is possible.
    ///
    /// # Errors
    /// [`Error::Resolve`] or [`Error::Listen`].
    pub async fn bind(&self, at: &HostPort) -> Result<UdpSocket, Error> {
        let mut last = io::ErrorKind::NotFound.into();
        for address in resolve(at).await? {
            match self.open(address, Use::Bind).and_then(registered) {
                Ok(socket) => return Ok(socket),
                Err(error) => last = error,
            }
        }
        let hint = match last.kind() {
            io::ErrorKind::AddrInUse => {
                Some("another socket is bound there; choose another port, or share it with --udp-reuseaddr".into())
            }
            io::ErrorKind::AddrNotAvailable => Some("this machine does not have that address".into()),
            _ => None,
        };
        Err(Error::Listen { on: at.to_string(), source: last, hint })
    }

    /// A socket for datagrams to the first address of `at` to which there is a route, and that address. It is connected, unless
    /// replies come from other addresses than that: those of members of a group, or of machines in a network.
    ///
    /// # Errors
    /// [`Error::Resolve`] or [`Error::Connect`].
    pub async fn connect(&self, at: &HostPort) -> Result<(UdpSocket, SocketAddr), Error> {
        let mut last = io::ErrorKind::NotFound.into();
        for address in resolve(at).await? {
            let purpose = if self.is_for_many(address) { Use::Send } else { Use::Connect };
            match self.open(address, purpose).and_then(registered) {
                Ok(socket) => return Ok((socket, address)),
                Err(error) => last = error,
            }
        }
        Err(Error::Connect { to: at.to_string(), source: last })
    }

    /// Whether datagrams to this address are received by more than one socket.
    pub fn is_for_many(&self, address: SocketAddr) -> bool {
        address.ip().is_multicast() || self.broadcast
    }

    fn open(&self, address: SocketAddr, purpose: Use) -> io::Result<OwnedFd> {
        let is_v4 = address.is_ipv4();
        let family = if is_v4 { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
        if self.reuse_address {
            set_socket_reuseaddr(&socket, true)?;
        }
        set_socket_broadcast(&socket, self.broadcast)?;
        if is_v4 {
            self.set_v4(&socket)?;
        } else {
            self.set_v6(&socket)?;
        }
        match purpose {
            Use::Bind => bind(&socket, &address)?,
            Use::Connect => connect(&socket, &address)?,
            Use::Send => {}
        }
        Ok(socket)
    }

    fn set_v4(&self, socket: &OwnedFd) -> io::Result<()> {
        if let Some(ttl) = self.ttl {
            set_ip_ttl(socket, ttl.into())?;
            set_ip_multicast_ttl(socket, ttl.into())?;
        }
        if let Some(interface) = &self.interface_v4 {
            set_ip_multicast_if(socket, interface)?;
        }
        if self.multicast_loop {
            set_ip_multicast_loop(socket, true)?;
        }
        for (group, interface) in &self.groups_v4 {
            set_ip_add_membership(socket, group, interface)?;
        }
        Ok(())
    }

    fn set_v6(&self, socket: &OwnedFd) -> io::Result<()> {
        if let Some(ttl) = self.ttl {
            set_ipv6_unicast_hops(socket, Some(ttl))?;
            set_ipv6_multicast_hops(socket, ttl.into())?;
        }
        if let Some(interface) = self.interface_v6 {
            set_ipv6_multicast_if(socket, interface)?;
        }
        if self.multicast_loop {
            set_ipv6_multicast_loop(socket, true)?;
        }
        for (group, interface) in &self.groups_v6 {
            set_ipv6_add_membership(socket, group, *interface)?;
        }
        Ok(())
    }
}

/// What a socket is for.
#[derive(Clone, Copy)]
enum Use {
    Bind,
    Connect,
    Send,
}

fn registered(socket: OwnedFd) -> io::Result<UdpSocket> {
    UdpSocket::from_std(socket.into())
}
