//! Each read as a message. Two byte ends are joined this way too.

use super::Unfit;
use crate::{
    error::Error,
    flow::{ByteEnd, Incoming, MessageEnd, MessageStream},
    message::{Close, Kind, Message},
};
use bytes::{Bytes, BytesMut};
use std::task::{Context, Poll, ready};

/// Maximum length of a chunk in bytes.
const CHUNK_SIZE: usize = 64 * 1024;

/// A byte stream as a stream of messages: each read becomes a message.
pub struct ChunkStream {
    end: ByteEnd,
    kind: Kind,
    read: BytesMut,
    ended: bool,
    out: Bytes,
}

impl ChunkStream {
    /// Turns a byte end into a message end.
    pub fn frame(inner: ByteEnd, kind: Kind) -> MessageEnd {
        let (end_kind, name) = (inner.kind, inner.name.clone());
        let stream = Self { end: inner, kind, read: BytesMut::new(), ended: false, out: Bytes::new() };
        MessageEnd::new(stream, end_kind, name)
    }

    /// Two byte ends as message ends, whose bytes pass through this process.
    pub fn join(left: ByteEnd, right: ByteEnd) -> (MessageEnd, MessageEnd) {
        (Self::frame(left, Kind::Binary), Self::frame(right, Kind::Binary))
    }

    /// Takes the next message out of `read`. Text is cut between characters: the start of an incomplete one stays.
    fn take(&mut self) -> Result<Option<Message>, Error> {
        let whole = match self.kind {
            Kind::Binary => self.read.len(),
            Kind::Text => match std::str::from_utf8(&self.read) {
                Ok(text) => text.len(),
                Err(error) if error.error_len().is_none() && !self.ended => error.valid_up_to(),
                Err(_) => {
                    return Err(Unfit::not_text("data".into()).from(self.end.input_name().to_owned()));
                }
            },
        };
        let payload = self.read.split_to(whole).freeze();
        Ok((!payload.is_empty()).then_some(Message { kind: self.kind, payload }))
    }
}

impl MessageStream for ChunkStream {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Error>> {
        while !self.ended {
            self.read.reserve(CHUNK_SIZE);
            self.ended = ready!(self.end.poll_fill(cx, &mut self.read))? == 0;
            if let Some(message) = self.take()? {
                return Poll::Ready(Ok(Incoming::Message(message)));
            }
        }
        Poll::Ready(Ok(Incoming::End(None)))
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(self.end.poll_drain(cx, &mut self.out))?;
        // An empty `Bytes` keeps its parent alive.
        self.out = Bytes::new();
        Poll::Ready(Ok(()))
    }

    fn start_send(&mut self, message: Message) -> Result<(), Error> {
        if self.end.takes_as_signal(&message) {
            return Ok(());
        }
        self.out = message.payload;
        Ok(())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(self.poll_ready(cx))?;
        self.end.poll_flush(cx)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>, _: Option<&Close>) -> Poll<Result<(), Error>> {
        ready!(self.poll_flush(cx))?;
        self.end.poll_shutdown(cx)
    }

    fn unsent(&self) -> u64 {
        self.out.len() as u64
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.end.poll_shutdown(cx).map(|_| ())
    }
}
