//! The byte stream below a WebSocket: what is read is counted and shown, and what is written gathers in one output.

use super::FrameLog;
use crate::{error::Error, flow::ByteEnd};
use bytes::BytesMut;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, ReadBuf};

/// What is read comes from the end; frames of ours wait in `out` until [`poll_drain`](Self::poll_drain).
pub struct Wire {
    /// The connection.
    pub end: ByteEnd,
    /// Whole frames that are not written yet.
    pub out: BytesMut,
    /// How much gathered there the last time.
    pub usual: usize,
    /// How many bytes were read.
    pub heard: u64,
    /// Logs what is read and sent.
    pub log: Option<Box<FrameLog>>,
}

impl Wire {
    /// The output, with room for about as much as has gathered before: growing it step by step would copy all of it again.
    pub fn output(&mut self) -> &mut BytesMut {
        if self.out.is_empty() {
            self.out.reserve(self.usual);
        }
        &mut self.out
    }

    /// Writes all that has gathered and flushes the layers below.
    pub fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if !self.out.is_empty() {
            self.usual = self.out.len();
        }
        ready!(self.end.poll_drain(cx, &mut self.out))?;
        self.end.poll_flush(cx)
    }

    /// Nothing comes for now: an output that is empty holds no memory meanwhile.
    pub fn rest(&mut self) {
        if self.out.is_empty() {
            self.out = BytesMut::new();
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.end.io).poll_read(cx, buf);
        self.heard += (buf.filled().len() - before) as u64;
        if let Some(log) = &mut self.log {
            log.received(&buf.filled()[before..]);
        }
        read
    }
}
