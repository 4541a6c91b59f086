//! The byte stream below a WebSocket: it counts and logs what is read, and collects frames that are to be written.

use super::{FrameLog, encoder::MAX_HEADER};
use crate::{error::Error, flow::ByteEnd};
use bytes::BytesMut;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, ReadBuf};

/// Reads from the connection. Frames to be written are collected in `out` until [`poll_drain`](Self::poll_drain).
pub struct Wire {
    /// The connection.
    pub end: ByteEnd,
    /// Frames that are not written yet; the first may have been written in part.
    pub out: BytesMut,
    /// Size of the previous output, as a capacity hint.
    pub previous_size: usize,
    /// Bytes received.
    pub received: u64,
    /// Logs what is read and sent.
    pub log: Option<Box<FrameLog>>,
}

impl Wire {
    /// The output, with room for as much as the previous one: growing step by step would copy it each time. Encoding asks for room for the
    /// longest header, whatever its length.
    pub fn output(&mut self) -> &mut BytesMut {
        if self.out.is_empty() {
            self.out.reserve(self.previous_size + MAX_HEADER);
        }
        &mut self.out
    }

    /// Writes the output and flushes the layers below.
    ///
    /// # Errors
    ///
    /// The connection no longer takes data.
    pub fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if !self.out.is_empty() {
            self.previous_size = self.out.len();
        }
        ready!(self.end.poll_drain(cx, &mut self.out))?;
        self.end.poll_flush(cx)
    }

    /// There is nothing to read for now: gives back the memory of an empty output.
    pub fn idle(&mut self) {
        if self.out.is_empty() {
            self.out = BytesMut::new();
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.end.io).poll_read(cx, buf);
        self.received += (buf.filled().len() - before) as u64;
        if let Some(log) = &mut self.log {
            log.received(buf.filled().get(before..).unwrap_or_default());
        }
        read
    }
}
