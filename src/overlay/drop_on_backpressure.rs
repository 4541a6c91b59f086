//! `drop_on_backpressure:`: an end that never makes the other one wait.

use crate::{
    endpoint::{Build, ConnectContext, Entry, Layer, Overlay, OverlayRow, Transform},
    error::Error,
    flow::{BoxFuture, MessageEnd, MessageLayer, MessageStream},
    message::Message,
    report::{self, Drops},
};
use std::{
    sync::Arc,
    task::{Context, Poll},
};
use tracing::Span;

pub(super) static DROP_ON_BACKPRESSURE: Entry = Entry {
    names: &["drop_on_backpressure", "drop-on-backpressure"],
    arg: None,
    summary: "Drop messages that the peer does not take at once",
    details: "The other end of the session is never slowed down: while the address behind the overlay takes nothing, \
              or autoreconnect: has no connection, messages for it are dropped. Their number is reported, at most \
              once a second.",
    example: "-u - drop_on_backpressure:autoreconnect:ws://127.0.0.1:8080/",
    flags: &[],
    build: Build::Overlay(OverlayRow::new(|_, _| Ok(Overlay::Around(Layer::OnMessages(Box::new(DropOnBackpressure)))))),
};

struct DropOnBackpressure;

impl Transform<MessageEnd, MessageEnd> for DropOnBackpressure {
    fn apply<'a>(&'a self, inner: MessageEnd, _: &'a mut ConnectContext) -> BoxFuture<'a, Result<MessageEnd, Error>> {
        let name = inner.name.clone();
        let connection = Span::current();
        let drops = Drops::new(move |count: u64| {
            connection.in_scope(|| report::warn(format_args!("messages dropped: {count}; {name} does not take them")));
        });
        let io = Dropping { io: inner.io, is_blocked: false, drops };
        Box::pin(async move { Ok(MessageEnd { io: Box::new(io), ..inner }) })
    }
}

struct Dropping {
    io: Box<dyn MessageStream>,
    /// The stream below takes no message now.
    is_blocked: bool,
    drops: Arc<Drops<u64>>,
}

impl MessageLayer for Dropping {
    fn inner(&self) -> &dyn MessageStream {
        &*self.io
    }

    fn inner_mut(&mut self) -> &mut dyn MessageStream {
        &mut *self.io
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let ready = self.io.poll_ready(cx);
        self.is_blocked = ready.is_pending();
        if self.is_blocked { Poll::Ready(Ok(())) } else { ready }
    }

    fn start_send(&mut self, message: Message) -> Result<(), Error> {
        if !self.is_blocked {
            return self.io.start_send(message);
        }
        self.drops.add(|count| *count += 1);
        Ok(())
    }
}
