//! Header names of the opening handshake as RFC 6455 writes them, such as `Sec-WebSocket-Key`. hyper keeps names in lower case and
//! capitalises only the first letter of each word. Case has no meaning there (RFC 9110 section 5.1), but people compare what they
//! read with the RFC, and some clients and servers compare names byte for byte.

use memchr::memmem;
use std::{
    borrow::Cow,
    io::{self, IoSlice},
    pin::Pin,
    sync::LazyLock,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The end of a line and the start of a name as hyper writes it.
const CAPITALISED: &[u8] = b"\r\nSec-Websocket-";
/// As RFC 6455 writes it.
const AS_WRITTEN: &[u8] = b"\r\nSec-WebSocket-";
/// Finds it.
static NAMES: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(CAPITALISED));
/// The starts of heads that may contain it. What is written in between, such as a file, is not searched.
const HEADS: [&[u8]; 3] = [b"GET ", b"HTTP/1.1 101 ", b"HTTP/1.1 426 "];

/// Capitalises the words of a header name, as they are sent.
pub fn capitalised(name: &str) -> String {
    let mut start = true;
    let capitalise = |letter: char| {
        let shown = if start { letter.to_ascii_uppercase() } else { letter };
        start = letter == '-';
        shown
    };
    let capitalised: String = name.chars().map(capitalise).collect();
    match capitalised.strip_prefix("Sec-Websocket-") {
        Some(rest) => format!("Sec-WebSocket-{rest}"),
        None => capitalised,
    }
}

/// A connection that hyper writes to during the opening handshake. It corrects the names in heads.
pub struct HeaderNames<T>(pub T);

/// The head at the start of `buf` with corrected names.
fn correct(buf: &[u8]) -> Cow<'_, [u8]> {
    let mut head = Cow::Borrowed(buf);
    if HEADS.iter().any(|start| buf.starts_with(start)) {
        for at in NAMES.find_iter(buf) {
            if let Some(name) = head.to_mut().get_mut(at..at + AS_WRITTEN.len()) {
                name.copy_from_slice(AS_WRITTEN);
            }
        }
    }
    head
}

impl<T: AsyncRead + Unpin> AsyncRead for HeaderNames<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for HeaderNames<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, &correct(buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match bufs.first().map(|head| correct(head)) {
            Some(Cow::Owned(head)) => Pin::new(&mut self.0).poll_write(cx, &head),
            _ => Pin::new(&mut self.0).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
