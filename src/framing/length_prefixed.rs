//! Messages with their length in front of them.

use crate::{
    error::Error,
    flow::{ByteEnd, ControlFrame, ControlObserver, Incoming, MessageEnd, MessageStream},
    framing::FramingOptions,
    memory::{self, Account},
    message::{Close, Kind, Message},
};
use bytes::{Buf, BytesMut};
use std::task::{Context, Poll, ready};

/// Bytes asked for by one read.
const READ_SIZE: usize = 64 * 1024;
/// Output is buffered up to this size before it is written.
const GATHER: usize = 64 * 1024;
/// A buffer that has held a message above this size is freed, not reused.
const LONG: usize = 4 * 64 * 1024;
/// The bytes of the longest length.
const MAX_PREFIX: usize = 8;

const TOO_LONG: &str = "--max-ws-message-length BYTES allows longer ones";

/// How lengths are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LengthPrefix {
    /// The number of bytes of a length, 1 to 8.
    pub bytes: u8,
    /// The least significant byte comes first.
    pub little_endian: bool,
    /// The most significant bit of a length marks text messages.
    pub tag_text: bool,
    /// What is read has no lengths: each read is a message.
    pub skip_read: bool,
    /// What is written gets no lengths.
    pub skip_write: bool,
}

impl LengthPrefix {
    /// Four bytes, the most significant one first.
    pub const DEFAULT: Self =
        Self { bytes: 4, little_endian: false, tag_text: false, skip_read: false, skip_write: false };

    fn length(self) -> usize {
        usize::from(self.bytes).min(MAX_PREFIX)
    }

    /// The bit that marks text messages; 0 if none does.
    fn text_bit(self) -> u64 {
        if self.tag_text { 1 << (8 * self.length() - 1) } else { 0 }
    }

    /// The most that a length can say.
    fn max(self) -> u64 {
        (u64::MAX >> (64 - 8 * self.length())) & !self.text_bit()
    }

    /// Encodes the length of a message; `None` if it has too many bits.
    pub(super) fn encode(self, message: &Message) -> Option<([u8; MAX_PREFIX], usize)> {
        let length = u64::try_from(message.payload.len()).ok().filter(|length| *length <= self.max())?;
        let tag = if message.kind == Kind::Text { self.text_bit() } else { 0 };
        let mut bytes = (length | tag).to_le_bytes();
        let used = self.length();
        if !self.little_endian {
            bytes.get_mut(..used)?.reverse();
        }
        Some((bytes, used))
    }

    /// Decodes a length, and whether it is that of a text message; `None` if `start` is shorter than it.
    fn decode(self, start: &[u8]) -> Option<(u64, bool)> {
        let mut bytes = [0; MAX_PREFIX];
        let used = bytes.get_mut(..self.length())?;
        used.copy_from_slice(start.get(..self.length())?);
        if !self.little_endian {
            used.reverse();
        }
        let value = u64::from_le_bytes(bytes);
        Some((value & !self.text_bit(), value & self.text_bit() != 0))
    }
}

/// A byte stream as a stream of messages with their lengths in front of them.
pub struct LengthPrefixedStream {
    end: ByteEnd,
    read: BytesMut,
    /// The number of the last message read, for errors.
    number: u64,
    ended: bool,
    out: BytesMut,
    /// `out` has held a long message.
    out_is_long: bool,
    prefix: LengthPrefix,
    kind: Option<Kind>,
    max_length: usize,
    account: Account,
}

impl LengthPrefixedStream {
    /// Turns a byte end into a message end.
    pub fn frame(inner: ByteEnd, framing: FramingOptions) -> MessageEnd {
        let (end_kind, name) = (inner.kind, inner.name.clone());
        let stream = Self {
            end: inner,
            read: BytesMut::new(),
            number: 0,
            ended: false,
            out: BytesMut::new(),
            out_is_long: false,
            prefix: framing.length_prefix,
            kind: framing.kind,
            max_length: framing.max_length,
            account: Account::default(),
        };
        MessageEnd::new(stream, end_kind, name)
    }

    fn unfit(&self, reason: String, hint: &'static str) -> Error {
        Error::Input { what: format!("message {}", self.number), from: self.end.input_name().to_owned(), reason, hint }
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

    /// Takes the next message out of `read`; `None` while it is not whole.
    fn take(&mut self) -> Result<Option<Message>, Error> {
        let (start, length, is_text) = if self.prefix.skip_read {
            if self.read.is_empty() {
                return Ok(None);
            }
            (0, self.read.len(), false)
        } else {
            let Some((length, is_text)) = self.prefix.decode(&self.read) else { return Ok(None) };
            let Some(length) = usize::try_from(length).ok().filter(|length| *length <= self.max_length) else {
                self.number += 1;
                let reason = format!("is {length} bytes long, more than {}", self.max_length);
                return Err(self.unfit(reason, TOO_LONG));
            };
            (self.prefix.length(), length, is_text)
        };
        if self.read.len() < start + length {
            return Ok(None);
        }
        self.read.advance(start);
        let payload = self.read.split_to(length).freeze();
        if length > LONG && self.read.len() <= READ_SIZE {
            self.read = BytesMut::from(&self.read[..]);
        }
        self.number += 1;
        let kind = match self.kind {
            _ if self.prefix.tag_text && !self.prefix.skip_read => {
                if is_text {
                    Kind::Text
                } else {
                    Kind::Binary
                }
            }
            given => given.unwrap_or(Kind::Binary),
        };
        if kind == Kind::Text && std::str::from_utf8(&payload).is_err() {
            return Err(
                self.unfit("is not valid UTF-8, which a text message must be".into(), "-b sends binary messages")
            );
        }
        Ok(Some(Message { kind, payload }))
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
}

impl MessageStream for LengthPrefixedStream {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Error>> {
        loop {
            if let Some(message) = self.take()? {
                return Poll::Ready(Ok(Incoming::Message(message)));
            }
            if self.ended && !self.read.is_empty() {
                let held = self.read.len();
                self.read.clear();
                self.number += 1;
                let reason = format!("is cut off: the data ends after {held} bytes of it and its length");
                return Poll::Ready(Err(
                    self.unfit(reason, "the options --lengthprefixed-* say how lengths are written")
                ));
            }
            if self.ended {
                return Poll::Ready(Ok(Incoming::End(None)));
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
        if !self.prefix.skip_write {
            let Some((bytes, used)) = self.prefix.encode(&message) else {
                return Err(Error::Input {
                    what: format!("a message of {} bytes", message.payload.len()),
                    from: format!("the other end of {}", self.end.name),
                    reason: format!("is longer than {} bytes, the most that its length can say", self.prefix.max()),
                    hint: "--lengthprefixed-nbytes N sets the number of bytes of a length",
                });
            };
            self.out.extend_from_slice(bytes.get(..used).unwrap_or_default());
        }
        self.out.extend_from_slice(&message.payload);
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
        // The length of an incomplete message.
        self.read.len() as u64
    }

    fn observe_control(&mut self, _: ControlObserver) {}

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.end.poll_shutdown(cx).map(|_| ())
    }
}
