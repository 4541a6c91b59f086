//! Why nothing more can be read.

use std::io;
use tokio_tungstenite::tungstenite::error::ProtocolError;

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

impl From<ProtocolError> for Fault {
    fn from(error: ProtocolError) -> Self {
        let text = error.to_string();
        let mut letters = text.chars();
        let mut reason: String =
            letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default();
        // What fits into a close frame (RFC 6455 section 5.5).
        while reason.len() > 123 {
            reason.pop();
        }
        Self::Violation { code: 1002, reason, hint: None }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // TLS without close_notify: the same as TCP's end without a close frame.
            io::ErrorKind::UnexpectedEof => Self::Ended,
            _ => Self::Io(error),
        }
    }
}

impl Fault {
    /// A frame or message of so many bytes, which is beyond the limit.
    pub fn too_long(length: u64, limit: usize) -> Self {
        let hint = format!("--max-ws-message-length and --max-ws-frame-length set the limits, here {limit}");
        Self::Violation { code: 1009, reason: format!("a message of {length} bytes is too long"), hint: Some(hint) }
    }

    /// A compressed message that cannot be inflated.
    pub fn damaged(reason: &str) -> Self {
        Self::Violation { code: 1007, reason: format!("a compressed message is damaged: {reason}"), hint: None }
    }

    /// Text that is none.
    pub fn not_utf8() -> Self {
        Self::Violation { code: 1007, reason: "a text message is not valid UTF-8".into(), hint: None }
    }
}
