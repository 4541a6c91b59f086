//! Sockets of datagrams on systems that do not tell how long a datagram is before it is received. There are only those of UDP.

use std::{
    io,
    net::SocketAddr,
    task::{Context, Poll, ready},
};
use tokio::{io::ReadBuf, net::UdpSocket};

/// The address of a socket of datagrams.
pub type DatagramAddress = SocketAddr;

/// The longest datagram of UDP, with its headers.
const LONGEST: usize = 65_535;
/// The longest that can be sent.
const LONGEST_SENT: usize = 65_507;

/// A socket of datagrams.
pub enum DatagramSocket {
    /// UDP.
    Udp(UdpSocket),
}

/// A datagram that was received.
pub struct Datagram {
    /// Its length.
    pub length: usize,
    /// Its bytes; none if it is longer than the limit.
    pub bytes: Vec<u8>,
    /// Its sender.
    pub from: Option<DatagramAddress>,
}

impl DatagramSocket {
    /// Receives a datagram of up to `most` bytes, or drops a longer one.
    pub fn poll_receive(&self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<Datagram>> {
        let Self::Udp(socket) = self;
        // Before the buffer is allocated.
        ready!(socket.poll_recv_ready(cx))?;
        let mut buffer = vec![0; LONGEST];
        let mut buffer = ReadBuf::new(&mut buffer);
        let from = ready!(socket.poll_recv_from(cx, &mut buffer))?;
        let received = buffer.filled();
        let bytes = if received.len() > most { Vec::new() } else { received.to_vec() };
        Poll::Ready(Ok(Datagram { length: received.len(), bytes, from: Some(from) }))
    }

    /// Sends a datagram, to the peer if there is no address.
    pub fn poll_send(
        &self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        to: Option<&DatagramAddress>,
    ) -> Poll<io::Result<usize>> {
        let Self::Udp(socket) = self;
        match to {
            None => socket.poll_send(cx, bytes),
            Some(address) => socket.poll_send_to(cx, bytes, *address),
        }
    }

    /// Whether this error means that datagrams of this length cannot be sent.
    pub fn is_too_long(_: &io::Error, length: usize) -> bool {
        length > LONGEST_SENT
    }

    /// An error that has arrived on its own.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        let Self::Udp(socket) = self;
        socket.take_error()
    }

    /// UDP has no connections.
    pub fn end_direction(&self) {}
}
