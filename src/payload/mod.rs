//! What is done to the payloads of a WebSocket's messages between the connection and the other end: compression, base64 and prefixes.

mod compression;
mod options;
mod stream;

pub use compression::Compression;
pub use options::PayloadOptions;
pub use stream::PayloadStream;

use crate::{error::Error, message::Message};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;

/// Encodes a payload in base64, in one line.
pub fn encode_base64(payload: &[u8]) -> Bytes {
    BASE64_STANDARD.encode(payload).into()
}

/// Decodes a payload from base64. A newline at its end is ignored. `peer` is the end that it is sent to.
///
/// # Errors
/// [`Error::Input`] if it is not base64.
pub fn decode_base64(message: &Message, peer: &str) -> Result<Bytes, Error> {
    match BASE64_STANDARD.decode(message.payload.trim_ascii_end()) {
        Ok(payload) => Ok(payload.into()),
        Err(error) => Err(unfit(peer, format!("is not base64: {}", error.to_string().to_lowercase()), HINT)),
    }
}

const HINT: &str = "each message, or line, must be base64 with its padding";

/// The error for a message to an end that cannot be sent.
fn unfit(peer: &str, reason: String, hint: &'static str) -> Error {
    Error::Input { what: "a message".into(), from: format!("the other end of {peer}"), reason, hint }
}
