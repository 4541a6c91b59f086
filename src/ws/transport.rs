//! The byte stream below a WebSocket: it counts and logs what is read, and collects frames that are to be written.

use super::{FrameLog, output::Output};
use crate::{error::Error, flow::ByteEnd};
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
    /// Frames that are not written yet.
    pub out: Output,
    /// Bytes received.
    pub received: u64,
    /// Logs what is read and sent.
    pub log: Option<Box<FrameLog>>,
}

impl Wire {
    /// Writes the output and flushes the layers below.
    ///
    /// # Errors
    ///
    /// The connection no longer takes data.
    pub fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.out.note_size();
        ready!(self.end.poll_drain(cx, &mut self.out))?;
        self.end.poll_flush(cx)
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
