//! How much a server may send before its response.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is read until the head of the response is whole, in bytes. hyper has a limit for one head, of about 400 KiB, but reads any number
/// of heads with a status of 1xx in front of it, without a pause in which other clients get their turn.
const MOST: usize = 512 << 10;

/// A connection on which a response is awaited. Reading fails if the server sends too much before it.
pub struct ResponseHead<T> {
    io: T,
    /// In bytes, before the response.
    read: usize,
    arrived: Arc<AtomicBool>,
}

/// Reports that the head of the response has arrived, so that what follows has no limit.
pub struct Arrived(Arc<AtomicBool>);

impl Arrived {
    /// Lifts the limit.
    pub fn report(&self) {
        self.0.store(true, Relaxed);
    }
}

impl<T> ResponseHead<T> {
    /// Wraps a connection before a request is sent on it.
    pub fn new(io: T) -> (Self, Arrived) {
        let arrived = Arc::new(AtomicBool::new(false));
        (Self { io, read: 0, arrived: arrived.clone() }, Arrived(arrived))
    }

    /// The connection itself.
    pub fn into_inner(self) -> T {
        self.io
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for ResponseHead<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.arrived.load(Relaxed) {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        // The last read may contain much that follows the head, so only a further one is refused.
        if self.read > MOST {
            let reason = format!("the server sent more than {} KiB without a final response", MOST >> 10);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, reason)));
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        self.read += buf.filled().len().saturating_sub(before);
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for ResponseHead<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
