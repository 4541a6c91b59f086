//! What tungstenite's errors mean.

use super::deflate::Uninflatable;
use std::io;
use tokio_tungstenite::tungstenite::{
    self,
    error::{CapacityError, ProtocolError},
};

/// Why nothing more can be read from a WebSocket.
#[derive(Debug)]
pub enum Fault {
    /// The connection ended without a close frame.
    Ended,
    /// The connection failed.
    Io(io::Error),
    /// The peer broke the protocol and is told so.
    Violation {
        /// The close code (RFC 6455 section 7.4.1).
        code: u16,
        /// Which rule; fits into a close frame.
        reason: String,
        /// For the user.
        hint: Option<String>,
    },
}

impl From<tungstenite::Error> for Fault {
    fn from(error: tungstenite::Error) -> Self {
        match error {
            tungstenite::Error::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<Uninflatable>()) => {
                Self::Violation { code: 1007, reason: error.to_string(), hint: None }
            }
            // An unexpected end is TLS without close_notify: the same as TCP's without a close frame.
            tungstenite::Error::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => Self::Io(error),
            tungstenite::Error::Io(_)
            | tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)
            | tungstenite::Error::ConnectionClosed
            | tungstenite::Error::AlreadyClosed => Self::Ended,
            tungstenite::Error::Capacity(CapacityError::MessageTooLong { size, max_size }) => Self::Violation {
                code: 1009,
                reason: format!("a message of {size} bytes is too long"),
                hint: Some(format!(
                    "--max-ws-message-length and --max-ws-frame-length set the limits, here {max_size}"
                )),
            },
            tungstenite::Error::Utf8(_) => {
                Self::Violation { code: 1007, reason: "a text message is not valid UTF-8".into(), hint: None }
            }
            tungstenite::Error::Protocol(error) => Self::violation(&error.to_string()),
            other => Self::violation(&other.to_string()),
        }
    }
}

impl Fault {
    fn violation(text: &str) -> Self {
        let mut letters = text.chars();
        let mut reason: String =
            letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default();
        while reason.len() > 123 {
            reason.pop();
        }
        Self::Violation { code: 1002, reason, hint: None }
    }
}
