//! Lines as messages.

use super::{Codec, Framed, FramingOptions, Unfit};
use crate::{
    flow::{ByteEnd, MessageEnd},
    message::{Kind, Message},
};
use bytes::{Buf, BufMut, BytesMut};

const TOO_LONG: &str =
    "--max-ws-message-length BYTES allows longer ones, -b sends what is read without looking for lines";

/// Each line is a message.
pub struct LineCodec {
    pub(super) framing: FramingOptions,
    /// Bytes that have been searched and have no separator. A long line that arrives in pieces is searched only once.
    pub(super) searched: usize,
    /// What errors call a line.
    noun: &'static str,
    /// The number of the last line read, for errors.
    number: u64,
}

impl LineCodec {
    /// Turns a byte end into a message end.
    pub fn frame(inner: ByteEnd, framing: FramingOptions) -> MessageEnd {
        Framed::frame(Self::new(framing, "line"), inner)
    }

    pub(super) fn new(framing: FramingOptions, noun: &'static str) -> Self {
        Self { framing, searched: 0, noun, number: 0 }
    }

    fn name(&self) -> String {
        format!("{} {}", self.noun, self.number)
    }

    fn too_long(&self) -> Unfit {
        let reason = format!("is longer than {} bytes", self.framing.max_length);
        Unfit { what: self.name(), reason, hint: TOO_LONG }
    }

    /// # Errors
    /// The line that is not complete is too long already.
    pub(super) fn check_unfinished(&mut self, read: &[u8]) -> Result<(), Unfit> {
        if read.len() > self.framing.max_length {
            self.number += 1;
            return Err(self.too_long());
        }
        Ok(())
    }

    /// A line is complete.
    pub(super) fn message(&mut self, payload: BytesMut) -> Result<Message, Unfit> {
        self.searched = 0;
        self.number += 1;
        // `decode` checks incomplete lines only; one read can bring a whole line.
        if payload.len() > self.framing.max_length {
            return Err(self.too_long());
        }
        let kind = self.framing.kind.unwrap_or(Kind::Text);
        if kind == Kind::Text && std::str::from_utf8(&payload).is_err() {
            return Err(Unfit::not_text(self.name()));
        }
        Ok(Message { kind, payload: payload.freeze() })
    }
}

impl Codec for LineCodec {
    fn decode(&mut self, read: &mut BytesMut, ended: bool) -> Result<Option<Message>, Unfit> {
        let separator = self.framing.separator;
        if let Some(at) = separator.find(read.get(self.searched..).unwrap_or_default()) {
            let line = read.split_to(self.searched + at);
            read.advance(separator.length());
            return self.message(line).map(Some);
        }
        if ended {
            return if read.is_empty() { Ok(None) } else { self.message(read.split()).map(Some) };
        }
        // The last bytes may be the start of a separator.
        self.searched = (read.len() + 1).saturating_sub(separator.length());
        self.check_unfinished(read)?;
        Ok(None)
    }

    fn encode(&mut self, message: &Message, out: &mut BytesMut) -> Result<(), Unfit> {
        let start = out.len();
        let separator = self.framing.separator;
        out.reserve(message.payload.len() + separator.length());
        out.extend_from_slice(&message.payload);
        if self.framing.one_line {
            separator.blank(out.get_mut(start..).unwrap_or_default());
        }
        out.put_bytes(separator.byte, separator.length());
        Ok(())
    }
}
