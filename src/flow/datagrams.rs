//! Sockets of datagrams: each datagram is a message.

use super::{Incoming, MessageStream};
use crate::{
    error::{Error, io_message},
    message::{Close, Kind, Message},
};
use bytes::Bytes;
use rustix::{
    io::Errno,
    net::{RecvFlags, SendFlags, Shutdown, SocketAddrAny, recv, recvfrom, send, sendto, shutdown},
};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};
use tokio::{
    io::Interest,
    net::{UdpSocket, UnixDatagram},
};

/// A socket of datagrams.
pub enum DatagramSocket {
    /// UDP.
    Udp(UdpSocket),
    /// A unix socket of datagrams, or of packets (`SOCK_SEQPACKET`).
    Unix(UnixDatagram),
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
}

/// Where datagrams are sent.
#[derive(Debug)]
pub enum Destination {
    /// The socket is connected.
    Connected,
    /// This address, whoever replies.
    Fixed(SocketAddrAny),
    /// Whoever sent the last datagram. Until there is one, messages wait.
    LastSender {
        /// Its address.
        address: Option<SocketAddrAny>,
        /// Send it one datagram only, and wait for the next sender.
        once: bool,
    },
}

/// The end of the datagrams of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatagramEnd {
    /// There is none.
    Never,
    /// Either side can end its direction, as with a stream.
    HalfClose,
}

/// What datagrams are as messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatagramFraming {
    /// Text, if the datagram is UTF-8; otherwise all are binary.
    pub text: bool,
    /// Longer ones are an error, in bytes.
    pub max_length: usize,
}

impl DatagramFraming {
    /// The message of a datagram.
    pub fn message(self, payload: Bytes) -> Message {
        let is_text = self.text && std::str::from_utf8(&payload).is_ok();
        Message { kind: if is_text { Kind::Text } else { Kind::Binary }, payload }
    }
}

/// The datagrams of a socket as messages.
pub struct DatagramStream {
    socket: DatagramSocket,
    destination: Destination,
    end: DatagramEnd,
    framing: DatagramFraming,
    name: Arc<str>,
    out: Option<Bytes>,
    /// Waits for a sender to reply to.
    writer: Option<Waker>,
}

impl DatagramStream {
    /// The datagrams of `socket`, whose peer is called `name` in errors.
    pub fn new(
        socket: DatagramSocket,
        destination: Destination,
        end: DatagramEnd,
        framing: DatagramFraming,
        name: impl Into<Arc<str>>,
    ) -> Self {
        Self { socket, destination, end, framing, name: name.into(), out: None, writer: None }
    }

    /// Receives one datagram; `None` at the end.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        let failed = |error| io_error("read", &self.name, error);
        // A datagram that does not fit into a buffer is cut, so its length is asked for first.
        let length = |socket: BorrowedFd<'_>| {
            Ok(recv(socket, &mut [0_u8; 0][..], RecvFlags::PEEK | RecvFlags::TRUNC | RecvFlags::DONTWAIT)?.1)
        };
        let length = ready!(self.socket.poll_io(cx, Interest::READABLE, length)).map_err(failed)?;
        if length == 0 && self.end == DatagramEnd::HalfClose {
            return Poll::Ready(Ok(None));
        }
        let is_too_long = length > self.framing.max_length;
        let mut buffer = vec![0; if is_too_long { 0 } else { length }];
        let receive = |socket: BorrowedFd<'_>| {
            let (_, length, from) = recvfrom(socket, &mut buffer[..], RecvFlags::TRUNC | RecvFlags::DONTWAIT)?;
            Ok((length, from))
        };
        let (length, from) = ready!(self.socket.poll_io(cx, Interest::READABLE, receive)).map_err(failed)?;
        if is_too_long {
            let limit = self.framing.max_length;
            return Poll::Ready(Err(Error::TooLong { with: self.name.to_string(), limit }));
        }
        buffer.truncate(length);
        if let Destination::LastSender { address, .. } = &mut self.destination {
            *address = from;
            self.writer.take().into_iter().for_each(Waker::wake);
        }
        Poll::Ready(Ok(Some(buffer.into())))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let Some(out) = &self.out else { return Poll::Ready(Ok(())) };
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let sent = match &self.destination {
            Destination::Connected => self.socket.poll_io(cx, Interest::WRITABLE, |socket| send(socket, out, flags)),
            Destination::Fixed(address) | Destination::LastSender { address: Some(address), .. } => {
                self.socket.poll_io(cx, Interest::WRITABLE, |socket| sendto(socket, out, flags, address))
            }
            Destination::LastSender { address: None, .. } => {
                self.writer = Some(cx.waker().clone());
                return Poll::Pending;
            }
        };
        let length = out.len();
        if let Err(error) = ready!(sent) {
            let doing = match error.raw_os_error().map(Errno::from_raw_os_error) {
                Some(Errno::MSGSIZE) => format!("send a message of {length} bytes to"),
                _ => "write".into(),
            };
            return Poll::Ready(Err(io_error(&doing, &self.name, error)));
        }
        self.out = None;
        if let Destination::LastSender { address, once: true } = &mut self.destination {
            *address = None;
        }
        Poll::Ready(Ok(()))
    }

    /// ICMP errors arrive later, and do not make the socket readable.
    fn take_error(&self) -> Result<(), Error> {
        let failed = match &self.socket {
            DatagramSocket::Udp(socket) => socket.take_error(),
            DatagramSocket::Unix(socket) => socket.take_error(),
        };
        match failed {
            Ok(None) => Ok(()),
            Ok(Some(error)) | Err(error) => Err(io_error("write", &self.name, error)),
        }
    }
}

/// The error of a system call. An ICMP error means that no socket receives at the peer.
fn io_error(doing: &str, name: &str, error: io::Error) -> Error {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, NotFound};
    match error.kind() {
        ConnectionRefused | ConnectionReset | NotFound => {
            Error::Lost { with: name.to_owned(), reason: io_message(&error) }
        }
        _ => Error::io(format_args!("cannot {doing} {name}"), error),
    }
}

impl MessageStream for DatagramStream {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Error>> {
        let received = ready!(self.poll_receive(cx))?;
        Poll::Ready(Ok(match received {
            Some(payload) => Incoming::Message(self.framing.message(payload)),
            None => Incoming::End(None),
        }))
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_send(cx)
    }

    fn start_send(&mut self, message: Message) -> Result<(), Error> {
        self.out = Some(message.payload);
        Ok(())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_send(cx)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>, _: Option<&Close>) -> Poll<Result<(), Error>> {
        ready!(self.poll_send(cx))?;
        self.take_error()?;
        if let (DatagramEnd::HalfClose, DatagramSocket::Unix(socket)) = (self.end, &self.socket) {
            // It fails only if the peer has ended the connection already.
            let _ = shutdown(socket, Shutdown::Write);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_confirmed(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(self.take_error())
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}
