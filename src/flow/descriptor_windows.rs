//! Standard input and output on Windows, where a thread waits in each call. Those of a console are UTF-8 here and UTF-16 there.

use std::{
    io::{self, IsTerminal},
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Reads standard input.
pub struct DescriptorReader(tokio::io::Stdin);

impl DescriptorReader {
    /// # Errors
    /// Never: an input that cannot be used fails when it is read.
    pub fn new(_: io::Stdin) -> io::Result<Self> {
        Ok(Self(tokio::io::stdin()))
    }

    /// What is left to read of a regular file is not known.
    pub fn file_rest(&self) -> Option<u64> {
        None
    }
}

impl AsyncRead for DescriptorReader {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

/// Writes standard output.
pub struct DescriptorWriter {
    output: tokio::io::Stdout,
    is_terminal: bool,
}

impl DescriptorWriter {
    /// # Errors
    /// Never: an output that cannot be used fails when it is written.
    pub fn new(output: io::Stdout) -> io::Result<Self> {
        Ok(Self { is_terminal: output.is_terminal(), output: tokio::io::stdout() })
    }

    /// Whether it is a terminal.
    pub fn is_terminal(&self) -> bool {
        self.is_terminal
    }
}

impl AsyncWrite for DescriptorWriter {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.output).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.output).poll_flush(cx)
    }

    /// The file stays open, since it is not ours alone.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}
