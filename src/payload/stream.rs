//! A WebSocket whose payloads are converted.

use super::{
    PayloadOptions,
    compression::{Conversion, Failed},
    unfit,
};
use crate::{
    error::Error,
    flow::{Incoming, MessageEnd, MessageLayer, MessageStream},
    memory::Account,
    message::{Close, Kind, Message},
};
use std::{
    sync::Arc,
    task::{Context, Poll, ready},
};

/// A message stream whose payloads are converted.
pub struct PayloadStream {
    io: Box<dyn MessageStream>,
    name: Arc<str>,
    options: PayloadOptions,
    /// A message that was received and is being uncompressed.
    received: Option<Conversion>,
    /// A message to be sent that is being compressed.
    sending: Option<Conversion>,
    account: Account,
}

impl PayloadStream {
    /// Converts the payloads of an end, if the options ask for it.
    pub fn wrap(end: MessageEnd, options: &PayloadOptions) -> MessageEnd {
        if options.is_plain() {
            return end;
        }
        let stream = Self {
            io: end.io,
            name: end.name.clone(),
            options: options.clone(),
            received: None,
            sending: None,
            account: Account::default(),
        };
        MessageEnd { io: Box::new(stream), ..end }
    }

    /// Takes a step of the message that is being uncompressed. Pending while there are more to take.
    fn poll_received(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Message>, Error>> {
        let Some(conversion) = &mut self.received else { return Poll::Ready(Ok(None)) };
        match conversion.step() {
            Ok(Some(payload)) => {
                self.received = None;
                self.account.set_own(0);
                Poll::Ready(Ok(Some(Message { kind: Kind::Binary, payload })))
            }
            Ok(None) => {
                self.account.set_own(conversion.held());
                if self.account.poll_must_close(cx, false) {
                    let held = self.account.held();
                    return Poll::Ready(Err(Error::OutOfMemory { with: self.name.to_string(), held }));
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Err(failed) => {
                let (reason, hint) = match (failed, self.options.uncompress) {
                    (Failed::TooLong, _) => (
                        format!("is longer than {} bytes after it was uncompressed", self.options.max_length),
                        "--max-ws-message-length BYTES allows longer ones",
                    ),
                    (Failed::Invalid, Some(format)) => {
                        (format!("is not valid {format} data"), "the peer must compress each binary message for itself")
                    }
                    (Failed::Invalid, None) => ("is not valid".into(), ""),
                };
                let from = self.name.to_string();
                Poll::Ready(Err(Error::Input { what: "a message".into(), from, reason, hint }))
            }
        }
    }

    /// Ready when the message that is being compressed has been passed on.
    fn poll_sending(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let Some(conversion) = &mut self.sending else { return Poll::Ready(Ok(())) };
        ready!(self.io.poll_ready(cx))?;
        match conversion.step() {
            Ok(Some(payload)) => {
                self.sending = None;
                self.io.start_send(Message { kind: Kind::Binary, payload })?;
                Poll::Ready(Ok(()))
            }
            Ok(None) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Err(_) => Poll::Ready(Err(unfit(&self.name, "cannot be compressed".into(), ""))),
        }
    }
}

/// Empty messages that are dropped before other tasks have their turn.
const BATCH: usize = 64;

impl MessageLayer for PayloadStream {
    fn inner(&self) -> &dyn MessageStream {
        &*self.io
    }

    fn inner_mut(&mut self) -> &mut dyn MessageStream {
        &mut *self.io
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Error>> {
        for _ in 0..BATCH {
            if let Some(message) = ready!(self.poll_received(cx))? {
                return Poll::Ready(Ok(Incoming::Message(self.options.received(message))));
            }
            let message = match ready!(self.io.poll_next(cx))? {
                Incoming::Message(message) => message,
                other @ (Incoming::End(_) | Incoming::FlushRequest | Incoming::ControlRequest(_)) => {
                    return Poll::Ready(Ok(other));
                }
            };
            match self.options.uncompress {
                _ if message.payload.is_empty() && self.options.ignore_empty => {}
                Some(format) if message.kind == Kind::Binary && !message.payload.is_empty() => {
                    self.received = Some(Conversion::uncompress(format, message.payload, self.options.max_length));
                }
                _ => return Poll::Ready(Ok(Incoming::Message(self.options.received(message)))),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(self.poll_sending(cx))?;
        self.io.poll_ready(cx)
    }

    fn start_send(&mut self, message: Message) -> Result<(), Error> {
        let message = self.options.to_send(message, &self.name)?;
        match self.options.compress {
            Some(format) if message.kind == Kind::Binary => {
                self.sending = Some(Conversion::compress(format, message.payload));
                Ok(())
            }
            _ => self.io.start_send(message),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(self.poll_sending(cx))?;
        self.io.poll_flush(cx)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>, close: Option<&Close>) -> Poll<Result<(), Error>> {
        ready!(self.poll_sending(cx))?;
        self.io.poll_finish(cx, close)
    }

    fn poll_confirmed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(self.poll_sending(cx))?;
        self.io.poll_confirmed(cx)
    }

    fn progress(&self) -> u64 {
        // A message that is being uncompressed may grow for a while.
        let held = self.received.as_ref().map_or(0, Conversion::held);
        self.io.progress().wrapping_add(held as u64)
    }
}
