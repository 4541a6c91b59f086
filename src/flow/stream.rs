//! Byte streams.

use crate::net::UnixStream;
use socket2::SockRef;
use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// Anything that bytes flow through both ways.
pub trait ByteIo: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteIo for T {}

/// A byte stream. Plain sockets are told apart, since the kernel itself can join two of them (splice(2)).
pub enum ByteStream {
    /// A TCP connection.
    Tcp(TcpStream),
    /// A connection of a unix socket.
    Unix(UnixStream),
    /// Anything else, such as a process, or a socket with TLS around it.
    Other(Box<dyn ByteIo>),
}

impl ByteStream {
    /// A stream that is not a plain socket.
    pub fn other(io: impl ByteIo + 'static) -> Self {
        Self::Other(Box::new(io))
    }

    /// Writes as much as a plain socket takes at once, whether or not it was reported as writable. This wakes nobody when it takes more.
    /// `None`: it is not a plain socket.
    pub fn write_now(&self, bytes: &[u8]) -> Option<io::Result<usize>> {
        let written = match self {
            Self::Tcp(socket) => SockRef::from(socket).send(bytes),
            Self::Unix(socket) => SockRef::from(socket).send(bytes),
            Self::Other(_) => return None,
        };
        Some(match written {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(0),
            written => written,
        })
    }
}

impl From<TcpStream> for ByteStream {
    fn from(socket: TcpStream) -> Self {
        Self::Tcp(socket)
    }
}

impl From<UnixStream> for ByteStream {
    fn from(socket: UnixStream) -> Self {
        Self::Unix(socket)
    }
}

/// What a listener accepts, so that a thread other than the one that accepted it can serve it.
pub trait Reregister: Send + Sized {
    /// Registers the socket with the runtime of this thread, which then reports when it is ready.
    ///
    /// # Errors
    /// The system has no memory for it.
    fn reregister(self) -> io::Result<Self>;
}

impl Reregister for ByteStream {
    fn reregister(self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(socket) => Self::Tcp(TcpStream::from_std(socket.into_std()?)?),
            Self::Unix(socket) => Self::Unix(UnixStream::from_std(socket.into_std()?)?),
            // It goes on with the runtime that it knows.
            Self::Other(io) => Self::Other(io),
        })
    }
}

/// Calls a method of the stream that it is.
macro_rules! each {
    ($stream:expr, $method:ident($($arg:expr),*)) => {
        match $stream.get_mut() {
            Self::Tcp(io) => Pin::new(io).$method($($arg),*),
            Self::Unix(io) => Pin::new(io).$method($($arg),*),
            Self::Other(io) => Pin::new(io).$method($($arg),*),
        }
    };
}

impl AsyncRead for ByteStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self, poll_read(cx, buf))
    }
}

impl AsyncWrite for ByteStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(io) => io.is_write_vectored(),
            Self::Unix(io) => io.is_write_vectored(),
            Self::Other(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, poll_shutdown(cx))
    }
}
