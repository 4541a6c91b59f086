//! Sockets of datagrams: each datagram is a message.

use super::{
    Incoming, MessageStream,
    datagram_socket::{Datagram, DatagramAddress, DatagramSocket},
};
use crate::{
    error::{Error, io_message},
    message::{Close, Kind, Message},
};
use bytes::Bytes;
use std::{
    io,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

/// Where datagrams are sent.
#[derive(Debug)]
pub enum Destination {
    /// The socket is connected.
    Connected,
    /// This address, whoever replies.
    Fixed(DatagramAddress),
    /// Whoever sent the last datagram. Until there is one, messages wait.
    LastSender {
        /// Its address.
        address: Option<DatagramAddress>,
        /// Send it one datagram only, and wait for the next sender.
        once: bool,
    },
}

impl Destination {
    /// This address, whoever replies.
    pub fn fixed(address: impl Into<DatagramAddress>) -> Self {
        Self::Fixed(address.into())
    }
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
        let limit = self.framing.max_length;
        let received = ready!(self.socket.poll_receive(cx, limit));
        let Datagram { length, bytes, from } = received.map_err(|error| io_error("read", &self.name, error))?;
        if length == 0 && self.end == DatagramEnd::HalfClose {
            return Poll::Ready(Ok(None));
        }
        if length > limit {
            return Poll::Ready(Err(Error::TooLong { with: self.name.to_string(), limit }));
        }
        if let Destination::LastSender { address, .. } = &mut self.destination {
            *address = from;
            self.writer.take().into_iter().for_each(Waker::wake);
        }
        Poll::Ready(Ok(Some(bytes.into())))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let Some(out) = &self.out else { return Poll::Ready(Ok(())) };
        let to = match &self.destination {
            Destination::Connected => None,
            Destination::Fixed(address) | Destination::LastSender { address: Some(address), .. } => Some(address),
            Destination::LastSender { address: None, .. } => {
                self.writer = Some(cx.waker().clone());
                return Poll::Pending;
            }
        };
        let length = out.len();
        if let Err(error) = ready!(self.socket.poll_send(cx, out, to)) {
            let doing = match DatagramSocket::is_too_long(&error, length) {
                true => format!("send a message of {length} bytes to"),
                false => "write".into(),
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
        match self.socket.take_error() {
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
        if self.end == DatagramEnd::HalfClose {
            self.socket.end_direction();
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
