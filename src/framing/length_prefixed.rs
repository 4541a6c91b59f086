//! Messages with their length in front of them.

use super::{Codec, Framed, FramingOptions, Unfit};
use crate::{
    flow::{ByteEnd, MessageEnd},
    message::{Kind, Message},
};
use bytes::{Buf, BytesMut};

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

/// Messages with their length in front of them.
pub struct LengthPrefixCodec {
    prefix: LengthPrefix,
    kind: Option<Kind>,
    max_length: usize,
    /// The number of the last message read, for errors.
    number: u64,
}

impl LengthPrefixCodec {
    /// Turns a byte end into a message end.
    pub fn frame(inner: ByteEnd, framing: FramingOptions) -> MessageEnd {
        let FramingOptions { length_prefix: prefix, kind, max_length, .. } = framing;
        Framed::frame(Self { prefix, kind, max_length, number: 0 }, inner)
    }

    /// The bytes in front of the payload, its length, and whether it is marked as text; `None` while they are not all there.
    fn head(&self, read: &[u8]) -> Result<Option<(usize, usize, bool)>, Unfit> {
        if self.prefix.skip_read {
            return Ok(Some((0, read.len(), false)).filter(|_| !read.is_empty()));
        }
        let Some((length, is_text)) = self.prefix.decode(read) else { return Ok(None) };
        match usize::try_from(length).ok().filter(|length| *length <= self.max_length) {
            Some(length) => Ok(Some((self.prefix.length(), length, is_text))),
            None => Err(Unfit {
                what: format!("message {}", self.number + 1),
                reason: format!("is {length} bytes long, more than {}", self.max_length),
                hint: TOO_LONG,
            }),
        }
    }
}

impl Codec for LengthPrefixCodec {
    fn decode(&mut self, read: &mut BytesMut, ended: bool) -> Result<Option<Message>, Unfit> {
        let head = self.head(read)?;
        let Some((start, length, is_text)) = head.filter(|(start, length, _)| read.len() >= start + length) else {
            if ended && !read.is_empty() {
                let held = read.len();
                read.clear();
                return Err(Unfit {
                    what: format!("message {}", self.number + 1),
                    reason: format!("is cut off: the data ends after {held} bytes of it and its length"),
                    hint: "the options --lengthprefixed-* say how lengths are written",
                });
            }
            return Ok(None);
        };
        read.advance(start);
        let payload = read.split_to(length).freeze();
        self.number += 1;
        let kind = match self.kind {
            _ if self.prefix.tag_text && !self.prefix.skip_read && is_text => Kind::Text,
            _ if self.prefix.tag_text && !self.prefix.skip_read => Kind::Binary,
            given => given.unwrap_or(Kind::Binary),
        };
        if kind == Kind::Text && std::str::from_utf8(&payload).is_err() {
            return Err(Unfit::not_text(format!("message {}", self.number)));
        }
        Ok(Some(Message { kind, payload }))
    }

    fn encode(&mut self, message: &Message, out: &mut BytesMut) -> Result<(), Unfit> {
        if !self.prefix.skip_write {
            let Some((bytes, used)) = self.prefix.encode(message) else {
                return Err(Unfit {
                    what: format!("a message of {} bytes", message.payload.len()),
                    reason: format!("is longer than {} bytes, the most that its length can say", self.prefix.max()),
                    hint: "--lengthprefixed-nbytes N sets the number of bytes of a length",
                });
            };
            out.extend_from_slice(bytes.get(..used).unwrap_or_default());
        }
        out.extend_from_slice(&message.payload);
        Ok(())
    }
}
