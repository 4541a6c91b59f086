//! UDP sockets.

use super::{HostPort, resolve};
use crate::error::Error;
use socket2::{Domain, Socket, Type};
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
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

    fn open(&self, address: SocketAddr, purpose: Use) -> io::Result<Socket> {
        let is_v4 = address.is_ipv4();
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
        socket.set_nonblocking(true)?;
        if self.reuse_address {
            socket.set_reuse_address(true)?;
        }
        socket.set_broadcast(self.broadcast)?;
        if is_v4 {
            self.set_v4(&socket)?;
        } else {
            self.set_v6(&socket)?;
        }
        match purpose {
            Use::Bind => socket.bind(&address.into())?,
            Use::Connect => socket.connect(&address.into())?,
            // As sending does; Windows receives nothing before.
            Use::Send if is_v4 => socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into())?,
            Use::Send => socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)).into())?,
        }
        Ok(socket)
    }

    fn set_v4(&self, socket: &Socket) -> io::Result<()> {
        if let Some(ttl) = self.ttl {
            socket.set_ttl_v4(ttl.into())?;
            socket.set_multicast_ttl_v4(ttl.into())?;
        }
        if let Some(interface) = &self.interface_v4 {
            socket.set_multicast_if_v4(interface)?;
        }
        if self.multicast_loop {
            socket.set_multicast_loop_v4(true)?;
        }
        for (group, interface) in &self.groups_v4 {
            socket.join_multicast_v4(group, interface)?;
        }
        Ok(())
    }

    fn set_v6(&self, socket: &Socket) -> io::Result<()> {
        if let Some(ttl) = self.ttl {
            socket.set_unicast_hops_v6(ttl.into())?;
            socket.set_multicast_hops_v6(ttl.into())?;
        }
        if let Some(interface) = self.interface_v6 {
            socket.set_multicast_if_v6(interface)?;
        }
        if self.multicast_loop {
            socket.set_multicast_loop_v6(true)?;
        }
        for (group, interface) in &self.groups_v6 {
            socket.join_multicast_v6(group, *interface)?;
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

fn registered(socket: Socket) -> io::Result<UdpSocket> {
    UdpSocket::from_std(socket.into())
}
