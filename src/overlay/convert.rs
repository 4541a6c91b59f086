//! Overlays that make one message of another.

use crate::{
    endpoint::{ConnectContext, Transform},
    error::Error,
    flow::{BoxFuture, Incoming, MessageEnd, MessageLayer, MessageStream},
    message::Message,
};
use std::{
    sync::Arc,
    task::{Context, Poll, ready},
};

/// What an overlay makes of the messages of one end.
pub trait Convert: Send {
    /// Converts a message that was read from the address behind the overlay; `None` drops it.
    ///
    /// # Errors
    /// If it cannot be converted.
    fn received(&mut self, message: Message) -> Result<Option<Message>, Error> {
        Ok(Some(message))
    }

    /// Converts a message for the address behind the overlay.
    ///
    /// # Errors
    /// If it cannot be converted.
    fn sent(&mut self, message: Message) -> Result<Message, Error> {
        Ok(message)
    }
}

/// A layer that converts the messages of each end with what `new` makes for it, of its name.
pub fn converting<C: Convert + 'static>(
    new: impl Fn(&Arc<str>) -> C + Send + Sync + 'static,
) -> Box<dyn Transform<MessageEnd, MessageEnd>> {
    Box::new(Converting(new))
}

struct Converting<F>(F);

impl<C: Convert + 'static, F: Fn(&Arc<str>) -> C + Send + Sync> Transform<MessageEnd, MessageEnd> for Converting<F> {
    fn apply<'a>(&'a self, inner: MessageEnd, _: &'a mut ConnectContext) -> BoxFuture<'a, Result<MessageEnd, Error>> {
        let convert = (self.0)(&inner.name);
        Box::pin(async move { Ok(MessageEnd { io: Box::new(Converted { io: inner.io, convert }), ..inner }) })
    }
}

struct Converted<C> {
    io: Box<dyn MessageStream>,
    convert: C,
}

/// Messages that are dropped before other tasks have their turn.
const BATCH: usize = 64;

impl<C: Convert> MessageLayer for Converted<C> {
    fn inner(&self) -> &dyn MessageStream {
        &*self.io
    }

    fn inner_mut(&mut self) -> &mut dyn MessageStream {
        &mut *self.io
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Error>> {
        for _ in 0..BATCH {
            match ready!(self.io.poll_next(cx))? {
                Incoming::Message(message) => {
                    if let Some(message) = self.convert.received(message)? {
                        return Poll::Ready(Ok(Incoming::Message(message)));
                    }
                }
                other @ (Incoming::End(_) | Incoming::FlushRequest | Incoming::ControlRequest(_)) => {
                    return Poll::Ready(Ok(other));
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn start_send(&mut self, message: Message) -> Result<(), Error> {
        let message = self.convert.sent(message)?;
        self.io.start_send(message)
    }
}
