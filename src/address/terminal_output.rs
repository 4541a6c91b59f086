//! Standard output that is a terminal: control characters are shown as escapes, and a line of progress is cleared before anything is
//! written.

use crate::visible::TerminalText;
use bytes::{Buf, Bytes};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::AsyncWrite;

/// The most bytes that are taken before they are written on.
const MAX_TAKEN: usize = 64 * 1024;

/// Escapes what steers a terminal, and writes the rest on.
pub struct TerminalOutput<W> {
    inner: W,
    text: TerminalText,
    /// What is not written yet.
    shown: Bytes,
}

impl<W: AsyncWrite + Unpin> TerminalOutput<W> {
    pub fn new(inner: W) -> Self {
        Self { inner, text: TerminalText::default(), shown: Bytes::new() }
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.shown.has_remaining() {
            match ready!(Pin::new(&mut self.inner).poll_write(cx, &self.shown))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.shown.advance(written),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for TerminalOutput<W> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_drain(cx))?;
        let taken = buf.get(..MAX_TAKEN).unwrap_or(buf);
        let mut shown = String::with_capacity(taken.len());
        #[cfg(feature = "term")]
        if crate::term::shows_progress() {
            shown.push_str("\r\x1b[K");
        }
        self.text.push(taken, &mut shown);
        self.shown = shown.into();
        // The caller flushes what is not written now.
        if let Poll::Ready(Err(error)) = self.poll_drain(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(taken.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        let mut rest = String::new();
        self.text.finish(&mut rest);
        self.shown = rest.into();
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
