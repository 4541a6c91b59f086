//! Lines as messages.

use crate::{
    error::Error,
    flow::{ByteEnd, ControlFrame, ControlObserver, Incoming, MessageEnd, MessageStream},
    framing::FramingOptions,
    memory::{self, Account},
    message::{Close, Kind, Message},
};
use bytes::{Buf, BufMut, BytesMut};
use std::task::{Context, Poll, ready};

/// Bytes asked for by one read.
const READ_SIZE: usize = 64 * 1024;
/// Output is buffered up to this size before it is written.
const GATHER: usize = 64 * 1024;
/// A buffer that has held a line above this size is freed, not reused.
const LONG: usize = 4 * 64 * 1024;

const NOT_TEXT: &str = "-b sends binary messages";
const TOO_LONG: &str =
    "--max-ws-message-length BYTES allows longer ones, -b sends what is read without looking for lines";

/// A byte stream as a stream of messages: each line is a message.
pub struct LineStream {
    end: ByteEnd,
    read: BytesMut,
    /// Length of the start of `read` that holds no separator, so that a long line that arrives in pieces is searched
    /// only once.
    searched: usize,
    /// The number of the last line read, for errors.
    line: u64,
    ended: bool,
    out: BytesMut,
    /// `out` has held a long message.
    out_is_long: bool,
    framing: FramingOptions,
    account: Account,
}

impl LineStream {
    /// Turns a byte end into a message end.
    pub fn frame(inner: ByteEnd, framing: FramingOptions) -> MessageEnd {
        let (end_kind, name) = (inner.kind, inner.name.clone());
        let stream = Self {
            end: inner,
            read: BytesMut::new(),
            searched: 0,
            line: 0,
            ended: false,
            out: BytesMut::new(),
            out_is_long: false,
            framing,
            account: Account::default(),
        };
        MessageEnd::new(stream, end_kind, name)
    }

    fn unfit(&self, reason: String, hint: &'static str) -> Error {
        Error::Input { what: format!("line {}", self.line), from: self.end.input_name().to_owned(), reason, hint }
    }

    /// Accounts for the memory that it holds, before it waits or holds more.
    ///
    /// # Errors
    ///
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
        if std::mem::take(&mut self.out_is_long) {
            self.out = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }

    fn too_long(&self) -> Error {
        self.unfit(format!("is longer than {} bytes", self.framing.max_length), TOO_LONG)
    }

    fn message(&mut self, payload: BytesMut) -> Result<Message, Error> {
        self.line += 1;
        // `poll_next` checks incomplete lines only; one read can bring a whole line.
        if payload.len() > self.framing.max_length {
            return Err(self.too_long());
        }
        let kind = self.framing.kind.unwrap_or(Kind::Text);
        if kind == Kind::Text && std::str::from_utf8(&payload).is_err() {
            return Err(self.unfit("is not valid UTF-8, which a text message must be".into(), NOT_TEXT));
        }
        Ok(Message { kind, payload: payload.freeze() })
    }
}

impl MessageStream for LineStream {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Error>> {
        loop {
            let separator = self.framing.separator;
            if let Some(at) = separator.find(self.read.get(self.searched..).unwrap_or_default()) {
                let line = self.read.split_to(self.searched + at);
                self.read.advance(separator.length());
                self.searched = 0;
                if line.len() > LONG && self.read.len() <= READ_SIZE {
                    self.read = BytesMut::from(&self.read[..]);
                }
                return Poll::Ready(self.message(line).map(Incoming::Message));
            }
            // The last bytes may be the start of a separator.
            self.searched = (self.read.len() + 1).saturating_sub(separator.length());
            if self.ended {
                self.searched = 0;
                let rest = self.read.split();
                let end = if rest.is_empty() { Incoming::End(None) } else { Incoming::Message(self.message(rest)?) };
                return Poll::Ready(Ok(end));
            }
            if self.read.len() > self.framing.max_length {
                self.line += 1;
                return Poll::Ready(Err(self.too_long()));
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
        let start = self.out.len();
        let separator = self.framing.separator;
        self.out.reserve(message.payload.len() + separator.length());
        self.out.extend_from_slice(&message.payload);
        if self.framing.one_line {
            separator.blank(self.out.get_mut(start..).unwrap_or_default());
        }
        self.out.put_bytes(separator.byte, separator.length());
        self.out_is_long |= self.out.len() > LONG;
        Ok(())
    }

    fn send_control(&mut self, _: ControlFrame) {}

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(self.poll_drain(cx))?;
        self.end.poll_flush(cx)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>, _: Option<&Close>) -> Poll<Result<(), Error>> {
        ready!(self.poll_flush(cx))?;
        self.end.poll_shutdown(cx)
    }

    fn poll_confirmed(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn progress(&self) -> u64 {
        // The length of an incomplete line.
        self.read.len() as u64
    }

    fn observe_control(&mut self, _: ControlObserver) {}

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.end.poll_shutdown(cx).map(|_| ())
    }
}
