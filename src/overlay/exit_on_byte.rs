//! `exit_on_specific_byte:`: a key that ends the input of a terminal in raw mode.

use crate::{
    endpoint::{Build, ConnectContext, Entry, Layer, Overlay, OverlayRow, Transform},
    error::Error,
    flow::{BoxFuture, ByteEnd, ByteStream, Flow, Incoming, MessageEnd, MessageLayer, MessageStream},
    message::Message,
};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub(super) static EXIT_ON_BYTE: Entry = Entry {
    names: &["exit_on_specific_byte", "exit-on-specific-byte"],
    arg: None,
    summary: "End the input at a certain byte",
    details: "What is read from the address behind the overlay ends in front of the byte --byte-to-exit-on, by default \
              28, which a terminal in raw mode sends for Ctrl and backslash. What is written is not affected.",
    example: "exit_on_specific_byte:- tcp:127.0.0.1:23",
    flags: &[&["byte-to-exit-on"]],
    build: Build::Overlay(OverlayRow::new(|inner, config| {
        let layer = ExitOnByte(config.messages.exit_byte);
        Ok(Overlay::Around(match inner.flow {
            Flow::Bytes => Layer::OnBytes(Box::new(layer)),
            Flow::Messages => Layer::OnMessages(Box::new(layer)),
        }))
    })),
};

#[derive(Clone, Copy)]
struct ExitOnByte(u8);

impl Transform<ByteEnd, ByteEnd> for ExitOnByte {
    fn apply<'a>(&'a self, inner: ByteEnd, _: &'a mut ConnectContext) -> BoxFuture<'a, Result<ByteEnd, Error>> {
        let io = Ending { io: inner.io, byte: self.0, has_ended: false };
        Box::pin(async move { Ok(ByteEnd { io: ByteStream::other(io), ..inner }) })
    }
}

impl Transform<MessageEnd, MessageEnd> for ExitOnByte {
    fn apply<'a>(&'a self, inner: MessageEnd, _: &'a mut ConnectContext) -> BoxFuture<'a, Result<MessageEnd, Error>> {
        let io = Ending { io: inner.io, byte: self.0, has_ended: false };
        Box::pin(async move { Ok(MessageEnd { io: Box::new(io), ..inner }) })
    }
}

struct Ending<S> {
    io: S,
    byte: u8,
    has_ended: bool,
}

impl AsyncRead for Ending<ByteStream> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.has_ended {
            return Poll::Ready(Ok(()));
        }
        let start = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        if let Some(at) = memchr::memchr(self.byte, buf.filled().get(start..).unwrap_or_default()) {
            buf.set_filled(start + at);
            self.has_ended = true;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Ending<ByteStream> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl MessageLayer for Ending<Box<dyn MessageStream>> {
    fn inner(&self) -> &dyn MessageStream {
        &*self.io
    }

    fn inner_mut(&mut self) -> &mut dyn MessageStream {
        &mut *self.io
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Error>> {
        if self.has_ended {
            return Poll::Ready(Ok(Incoming::End(None)));
        }
        let next = ready!(self.io.poll_next(cx))?;
        let Incoming::Message(Message { kind, payload }) = next else { return Poll::Ready(Ok(next)) };
        let Some(at) = memchr::memchr(self.byte, &payload) else {
            return Poll::Ready(Ok(Incoming::Message(Message { kind, payload })));
        };
        self.has_ended = true;
        Poll::Ready(Ok(match at {
            0 => Incoming::End(None),
            at => Incoming::Message(Message { kind, payload: payload.slice(..at) }),
        }))
    }
}
