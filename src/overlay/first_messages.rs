//! `--send`: messages that are sent before those of the input.

use crate::{
    endpoint::{ConnectContext, Transform},
    error::Error,
    flow::{BoxFuture, Incoming, MessageEnd, MessageLayer, MessageStream},
    message::Message,
};
use std::{
    collections::VecDeque,
    task::{Context, Poll},
};

/// A layer whose end gives these messages first.
pub fn first_messages(messages: &[Message]) -> Box<dyn Transform<MessageEnd, MessageEnd>> {
    Box::new(FirstMessages(messages.iter().cloned().collect()))
}

struct FirstMessages(VecDeque<Message>);

impl Transform<MessageEnd, MessageEnd> for FirstMessages {
    fn apply<'a>(&'a self, inner: MessageEnd, _: &'a mut ConnectContext) -> BoxFuture<'a, Result<MessageEnd, Error>> {
        let io = FirstStream { io: inner.io, waiting: self.0.clone() };
        Box::pin(async move { Ok(MessageEnd { io: Box::new(io), ..inner }) })
    }
}

struct FirstStream {
    io: Box<dyn MessageStream>,
    waiting: VecDeque<Message>,
}

impl MessageLayer for FirstStream {
    fn inner(&self) -> &dyn MessageStream {
        &*self.io
    }

    fn inner_mut(&mut self) -> &mut dyn MessageStream {
        &mut *self.io
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Error>> {
        match self.waiting.pop_front() {
            Some(message) => Poll::Ready(Ok(Incoming::Message(message))),
            None => self.io.poll_next(cx),
        }
    }
}
