//! `--preamble`: messages that are sent first on each connection.

use crate::{
    endpoint::{ConnectContext, Transform},
    error::Error,
    flow::{BoxFuture, Incoming, MessageEnd, MessageLayer, MessageStream},
    message::{Close, Kind, Message},
};
use std::{
    collections::VecDeque,
    task::{Context, Poll, ready},
};

/// A layer that sends these texts first, each as a message of this kind.
pub fn preamble(texts: &[String], kind: Kind) -> Box<dyn Transform<MessageEnd, MessageEnd>> {
    let message = |text: &String| Message { kind, payload: text.clone().into() };
    Box::new(Preamble(texts.iter().map(message).collect()))
}

struct Preamble(VecDeque<Message>);

impl Transform<MessageEnd, MessageEnd> for Preamble {
    fn apply<'a>(&'a self, inner: MessageEnd, _: &'a mut ConnectContext) -> BoxFuture<'a, Result<MessageEnd, Error>> {
        let io = PreambleStream { io: inner.io, waiting: self.0.clone(), is_flushed: false };
        Box::pin(async move { Ok(MessageEnd { io: Box::new(io), ..inner }) })
    }
}

struct PreambleStream {
    io: Box<dyn MessageStream>,
    waiting: VecDeque<Message>,
    is_flushed: bool,
}

impl PreambleStream {
    /// Ready when the preamble has been written.
    fn poll_preamble(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while !self.waiting.is_empty() {
            ready!(self.io.poll_ready(cx))?;
            if let Some(message) = self.waiting.pop_front() {
                self.io.start_send(message)?;
            }
        }
        if !self.is_flushed {
            ready!(self.io.poll_flush(cx))?;
            self.is_flushed = true;
            // Both directions may have waited for that.
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }
}

impl MessageLayer for PreambleStream {
    fn inner(&self) -> &dyn MessageStream {
        &*self.io
    }

    fn inner_mut(&mut self) -> &mut dyn MessageStream {
        &mut *self.io
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Error>> {
        // The peer may wait for it before it says anything.
        if let Poll::Ready(Err(error)) = self.poll_preamble(cx) {
            return Poll::Ready(Err(error));
        }
        self.io.poll_next(cx)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(self.poll_preamble(cx))?;
        self.io.poll_ready(cx)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(self.poll_preamble(cx))?;
        self.io.poll_flush(cx)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>, close: Option<&Close>) -> Poll<Result<(), Error>> {
        ready!(self.poll_preamble(cx))?;
        self.io.poll_finish(cx, close)
    }

    fn poll_confirmed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(self.poll_preamble(cx))?;
        self.io.poll_confirmed(cx)
    }
}
