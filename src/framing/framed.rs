//! A byte stream as a stream of messages, as a codec cuts and writes them.

use crate::{
    error::Error,
    flow::{ByteEnd, Incoming, MessageEnd, MessageStream},
    memory::{self, Account},
    message::{Close, Message},
};
use bytes::BytesMut;
use std::{
    mem,
    task::{Context, Poll, ready},
};

/// Bytes asked for by one read.
const READ_SIZE: usize = 64 * 1024;
/// Output is buffered up to this size before it is written.
const GATHER: usize = 64 * 1024;
/// A buffer that has held a message above this size is freed, not reused.
const LONG: usize = 4 * 64 * 1024;

/// Cuts bytes into messages, and writes messages as bytes. It does no I/O.
pub trait Codec: Send {
    /// Takes the next message out of the start of `read`; `None` while it is not whole. With `ended` no more bytes follow: then `None`
    /// means that `read` is used up.
    ///
    /// # Errors
    /// What comes next can never be a message.
    fn decode(&mut self, read: &mut BytesMut, ended: bool) -> Result<Option<Message>, Unfit>;

    /// Appends a message to `out`.
    ///
    /// # Errors
    /// It cannot be written in this way.
    fn encode(&mut self, message: &Message, out: &mut BytesMut) -> Result<(), Unfit>;
}

/// Why data cannot be a message, or a message cannot be written. See [`Error::Input`].
pub struct Unfit {
    /// The part of the data, such as `line 5`.
    pub what: String,
    /// What is wrong with it.
    pub reason: String,
    /// What to do about it.
    pub hint: &'static str,
}

impl Unfit {
    /// It should be a text message, but is not UTF-8.
    pub fn not_text(what: String) -> Self {
        let reason = "is not valid UTF-8, which a text message must be".into();
        Self { what, reason, hint: "-b sends binary messages" }
    }

    /// The error, with the name of the address that the data came from.
    pub fn from(self, name: String) -> Error {
        Error::Input { what: self.what, from: name, reason: self.reason, hint: self.hint }
    }
}

/// A byte stream as a stream of messages.
pub struct Framed<C> {
    codec: C,
    end: ByteEnd,
    read: BytesMut,
    ended: bool,
    out: BytesMut,
    /// `out` has held a long message.
    out_is_long: bool,
    account: Account,
}

impl<C: Codec + 'static> Framed<C> {
    /// Turns a byte end into a message end.
    pub fn frame(codec: C, end: ByteEnd) -> MessageEnd {
        let (kind, name) = (end.kind, end.name.clone());
        let stream = Self {
            codec,
            end,
            read: BytesMut::new(),
            ended: false,
            out: BytesMut::new(),
            out_is_long: false,
            account: Account::default(),
        };
        MessageEnd::new(stream, kind, name)
    }

    /// Accounts for the memory that it holds, before it waits or holds more.
    ///
    /// # Errors
    /// The connection must close to free it.
    fn account(&mut self, cx: &Context<'_>, pauses: bool) -> Result<(), Error> {
        self.account.set_own(self.read.len() + self.out.len());
        if self.account.poll_must_close(cx, pauses) {
            return Err(Error::OutOfMemory { with: self.end.name.to_string(), held: self.account.held() });
        }
        Ok(())
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let drained = self.end.poll_drain(cx, &mut self.out);
        if drained.is_pending() {
            self.account(cx, false)?;
        }
        ready!(drained)?;
        if mem::take(&mut self.out_is_long) {
            self.out = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<C: Codec + 'static> MessageStream for Framed<C> {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Error>> {
        loop {
            match self.codec.decode(&mut self.read, self.ended) {
                Ok(Some(message)) => {
                    if message.payload.len() > LONG && self.read.len() <= READ_SIZE {
                        self.read = BytesMut::from(&self.read[..]);
                        // The message has left this end, which may not be read again until the other end has taken it.
                        self.account.set_own(self.read.len() + self.out.len());
                    }
                    return Poll::Ready(Ok(Incoming::Message(message)));
                }
                Ok(None) if self.ended => return Poll::Ready(Ok(Incoming::End(None))),
                Ok(None) => {}
                Err(unfit) => return Poll::Ready(Err(unfit.from(self.end.input_name().to_owned()))),
            }
            self.read.reserve(READ_SIZE);
            let pauses = memory::pauses(self.read.len());
            self.account(cx, pauses)?;
            if pauses {
                return Poll::Pending;
            }
            self.ended = ready!(self.end.poll_fill(cx, &mut self.read))? == 0;
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.out.len() < GATHER { Poll::Ready(Ok(())) } else { self.poll_drain(cx) }
    }

    fn start_send(&mut self, message: Message) -> Result<(), Error> {
        if self.end.takes_as_signal(&message) {
            return Ok(());
        }
        if let Err(unfit) = self.codec.encode(&message, &mut self.out) {
            return Err(unfit.from(format!("the other end of {}", self.end.name)));
        }
        self.out_is_long |= self.out.len() > LONG;
        Ok(())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(self.poll_drain(cx))?;
        self.end.poll_flush(cx)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>, _: Option<&Close>) -> Poll<Result<(), Error>> {
        ready!(self.poll_flush(cx))?;
        self.end.poll_shutdown(cx)
    }

    fn progress(&self) -> u64 {
        // The length of an incomplete message.
        self.read.len() as u64
    }

    fn unsent(&self) -> u64 {
        self.out.len() as u64
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.end.poll_shutdown(cx).map(|_| ())
    }
}
