//! tokio has no unix sockets on Windows: their type has no values here.

use std::{
    convert::Infallible,
    io,
    os::windows::io::{AsSocket, BorrowedSocket},
    path::PathBuf,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection of a unix socket.
pub enum UnixStream {}

impl UnixStream {
    /// # Errors
    /// Always.
    pub async fn connect(_: PathBuf) -> io::Result<Self> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "wsplice has no unix sockets on Windows"))
    }

    /// # Errors
    /// Never.
    pub fn into_std(self) -> io::Result<Infallible> {
        match self {}
    }

    /// # Errors
    /// Never.
    pub fn from_std(never: Infallible) -> io::Result<Self> {
        match never {}
    }
}

impl AsSocket for UnixStream {
    fn as_socket(&self) -> BorrowedSocket<'_> {
        match *self {}
    }
}

impl AsyncRead for UnixStream {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match *self {}
    }
}

impl AsyncWrite for UnixStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        match *self {}
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match *self {}
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match *self {}
    }
}

/// The path for the system calls.
pub fn unix_path(path: &str) -> PathBuf {
    path.into()
}
