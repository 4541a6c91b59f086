//! How much a server may send before its response.

use hyper::header::{HeaderName, HeaderValue};
use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is read until the head of the response is whole, in bytes. hyper has a limit for one head, of about 400 KiB, but reads any number
/// of heads with a status of 1xx in front of it, without a pause in which other clients get their turn.
const MOST: usize = 512 << 10;
/// What is kept of the head to find what is wrong with it, in bytes.
const MAX_KEPT: usize = 16 << 10;

/// A connection on which a response is awaited. Reading fails if the server sends too much before it.
pub struct ResponseHead<T> {
    io: T,
    /// In bytes, before the response.
    read: usize,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    has_arrived: AtomicBool,
    /// The start of what was read, which hyper does not give if it is not valid.
    start: Mutex<Vec<u8>>,
}

impl Seen {
    fn start(&self) -> MutexGuard<'_, Vec<u8>> {
        self.start.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reports that the head of the response has arrived, so that what follows has no limit. Otherwise it knows what was wrong with it.
pub struct Arrived(Arc<Seen>);

impl Arrived {
    /// Lifts the limit.
    pub fn report(&self) {
        self.0.has_arrived.store(true, Relaxed);
        *self.0.start() = Vec::new();
    }

    /// Names the first header that is not valid (RFC 9110 section 5), if that is the reason for the error.
    pub fn invalid_header(&self, error: &hyper::Error) -> Option<String> {
        self.has_invalid_header().filter(|_| error.is_parse())
    }

    /// Names the first header that is not valid.
    pub fn has_invalid_header(&self) -> Option<String> {
        let name = invalid_header(&self.0.start())?;
        Some(format!("the response has an invalid header: {name}"))
    }
}

fn invalid_header(start: &[u8]) -> Option<String> {
    // What follows the last newline may not be whole.
    let start = start.get(..memchr::memrchr(b'\n', start)?).unwrap_or_default();
    let mut lines = start.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.next().filter(|status| status.starts_with(b"HTTP/1."))?;
    lines.take_while(|line| !line.is_empty()).find_map(|line| {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (name, value) = (parts.next().unwrap_or_default(), parts.next());
        let is_valid =
            HeaderName::from_bytes(name).is_ok() && value.is_some_and(|value| HeaderValue::from_bytes(value).is_ok());
        (!is_valid).then(|| name.escape_ascii().to_string())
    })
}

impl<T> ResponseHead<T> {
    /// Wraps a connection before a request is sent on it.
    pub fn new(io: T) -> (Self, Arrived) {
        let seen = Arc::new(Seen::default());
        (Self { io, read: 0, seen: seen.clone() }, Arrived(seen))
    }

    /// The connection itself.
    pub fn into_inner(self) -> T {
        self.io
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for ResponseHead<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.seen.has_arrived.load(Relaxed) {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        // The last read may contain much that follows the head, so only a further one is refused.
        if self.read > MOST {
            let reason = format!("the server sent more than {} KiB without a final response", MOST >> 10);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, reason)));
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        let new = buf.filled().get(before..).unwrap_or_default();
        {
            let mut start = self.seen.start();
            let kept = new.len().min(MAX_KEPT - start.len());
            start.extend_from_slice(new.get(..kept).unwrap_or_default());
        }
        self.read += new.len();
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
