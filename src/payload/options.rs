//! What is done to payloads, and the steps that take no time.

use super::{Compression, decode_base64, encode_base64, unfit};
use crate::{
    error::Error,
    message::{Kind, Message},
};
use bytes::Bytes;

/// What is done to the payloads of a WebSocket's messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PayloadOptions {
    /// Put in front of each text message that is received. A message to be sent that starts with it is text, without it.
    pub text_prefix: Option<String>,
    /// The same for binary messages.
    pub binary_prefix: Option<String>,
    /// Binary messages that are received are encoded in base64, and those to be sent decoded.
    pub base64: bool,
    /// The same for text messages.
    pub base64_text: bool,
    /// How the payloads of binary messages are compressed before they are sent.
    pub compress: Option<Compression>,
    /// How the payloads of binary messages that are received are compressed.
    pub uncompress: Option<Compression>,
    /// Drop empty messages that are received.
    pub ignore_empty: bool,
    /// The longest message after it was uncompressed, in bytes.
    pub max_length: usize,
}

impl PayloadOptions {
    /// Whether nothing is done.
    pub fn is_plain(&self) -> bool {
        let Self { text_prefix, binary_prefix, base64, base64_text, compress, uncompress, ignore_empty, max_length: _ } =
            self;
        let encodes = *base64 || *base64_text || compress.is_some() || uncompress.is_some();
        !encodes && text_prefix.is_none() && binary_prefix.is_none() && !*ignore_empty
    }

    fn uses_base64(&self, kind: Kind) -> bool {
        match kind {
            Kind::Text => self.base64_text,
            Kind::Binary => self.base64,
        }
    }

    /// What becomes of a message that was received, and uncompressed if it was compressed.
    pub(super) fn received(&self, message: Message) -> Message {
        let Message { kind, mut payload } = message;
        if self.uses_base64(kind) {
            payload = encode_base64(&payload);
        }
        let prefix = match kind {
            Kind::Text => &self.text_prefix,
            Kind::Binary => &self.binary_prefix,
        };
        if let Some(prefix) = prefix {
            payload = [prefix.as_bytes(), &payload].concat().into();
        }
        Message { kind, payload }
    }

    /// What becomes of a message to be sent, before it is compressed.
    ///
    /// # Errors
    /// [`Error::Input`] if it is not base64, or is marked as text and is not UTF-8.
    pub(super) fn to_send(&self, message: Message, peer: &str) -> Result<Message, Error> {
        let Message { mut kind, mut payload } = message;
        for (prefix, marked) in [(&self.text_prefix, Kind::Text), (&self.binary_prefix, Kind::Binary)] {
            if let Some(prefix) = prefix
                && payload.starts_with(prefix.as_bytes())
            {
                (kind, payload) = (marked, payload.slice(prefix.len()..));
                break;
            }
        }
        let mut message = Message { kind, payload };
        if self.uses_base64(kind) {
            message.payload = decode_base64(&message, peer)?;
        }
        let was_checked =
            kind == Kind::Binary || (message.kind == Kind::Text && self.text_prefix.is_none() && !self.base64_text);
        if !was_checked && !is_text(&message.payload) {
            return Err(unfit(
                peer,
                "is not valid UTF-8, which a text message must be".into(),
                "-b sends binary messages",
            ));
        }
        Ok(message)
    }
}

fn is_text(payload: &Bytes) -> bool {
    std::str::from_utf8(payload).is_ok()
}
