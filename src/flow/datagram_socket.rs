//! Sockets of datagrams. Linux tells how long a datagram is before it is received.

use rustix::{
    io::Errno,
    net::{RecvFlags, SendFlags, Shutdown, SocketAddrAny, recv, recvfrom, send, sendto, shutdown},
};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    task::{Context, Poll, ready},
};
use tokio::{
    io::Interest,
    net::{UdpSocket, UnixDatagram},
};

/// The address of a socket of datagrams.
pub type DatagramAddress = SocketAddrAny;

/// A socket of datagrams.
pub enum DatagramSocket {
    /// UDP.
    Udp(UdpSocket),
    /// A unix socket of datagrams, or of packets (`SOCK_SEQPACKET`).
    Unix(UnixDatagram),
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
    fn poll_ready(&self, cx: &mut Context<'_>, interest: Interest) -> Poll<io::Result<()>> {
        match (self, interest.is_readable()) {
            (Self::Udp(socket), true) => socket.poll_recv_ready(cx),
            (Self::Udp(socket), false) => socket.poll_send_ready(cx),
            (Self::Unix(socket), true) => socket.poll_recv_ready(cx),
            (Self::Unix(socket), false) => socket.poll_send_ready(cx),
        }
    }

    fn try_io<T>(&self, interest: Interest, mut call: impl FnMut(BorrowedFd<'_>) -> Result<T, Errno>) -> io::Result<T> {
        match self {
            Self::Udp(socket) => socket.try_io(interest, || Ok(call(socket.as_fd())?)),
            Self::Unix(socket) => socket.try_io(interest, || Ok(call(socket.as_fd())?)),
        }
    }

    /// Makes a system call as soon as the socket is ready for it.
    fn poll_io<T>(
        &self,
        cx: &mut Context<'_>,
        interest: Interest,
        mut call: impl FnMut(BorrowedFd<'_>) -> Result<T, Errno>,
    ) -> Poll<io::Result<T>> {
        loop {
            ready!(self.poll_ready(cx, interest))?;
            match self.try_io(interest, &mut call) {
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                done => return Poll::Ready(done),
            }
        }
    }

    /// Receives a datagram of up to `most` bytes, or drops a longer one.
    pub fn poll_receive(&self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<Datagram>> {
        // A datagram that does not fit into a buffer is cut, so its length is asked for first.
        let length = |socket: BorrowedFd<'_>| {
            Ok(recv(socket, &mut [0_u8; 0][..], RecvFlags::PEEK | RecvFlags::TRUNC | RecvFlags::DONTWAIT)?.1)
        };
        let length = ready!(self.poll_io(cx, Interest::READABLE, length))?;
        let mut bytes = vec![0; if length > most { 0 } else { length }];
        let receive = |socket: BorrowedFd<'_>| {
            let (_, received, from) = recvfrom(socket, &mut bytes[..], RecvFlags::TRUNC | RecvFlags::DONTWAIT)?;
            Ok((received, from))
        };
        let (received, from) = ready!(self.poll_io(cx, Interest::READABLE, receive))?;
        bytes.truncate(received);
        Poll::Ready(Ok(Datagram { length, bytes, from }))
    }

    /// Sends a datagram, to the peer if there is no address.
    pub fn poll_send(
        &self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        to: Option<&DatagramAddress>,
    ) -> Poll<io::Result<usize>> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        match to {
            None => self.poll_io(cx, Interest::WRITABLE, |socket| send(socket, bytes, flags)),
            Some(address) => self.poll_io(cx, Interest::WRITABLE, |socket| sendto(socket, bytes, flags, address)),
        }
    }

    /// Whether this error means that datagrams of this length cannot be sent.
    pub fn is_too_long(error: &io::Error, _: usize) -> bool {
        error.raw_os_error().map(Errno::from_raw_os_error) == Some(Errno::MSGSIZE)
    }

    /// An error that has arrived on its own.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        match self {
            Self::Udp(socket) => socket.take_error(),
            Self::Unix(socket) => socket.take_error(),
        }
    }

    /// Ends our direction of a connection.
    pub fn end_direction(&self) {
        if let Self::Unix(socket) = self {
            // It fails only if the peer has ended the connection already.
            let _ = shutdown(socket, Shutdown::Write);
        }
    }
}
