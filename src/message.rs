//! What a WebSocket carries: messages and close codes.

use bytes::Bytes;
use std::fmt;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// The kind of a message (RFC 6455 section 5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Valid UTF-8.
    Text,
    /// Anything.
    Binary,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Binary => "binary",
        })
    }
}

/// One message, whole, however it was fragmented on its way. It may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Text or binary.
    pub kind: Kind,
    /// The payload, unmasked.
    pub payload: Bytes,
}

/// A close code and its reason (RFC 6455 section 7.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// 1000 to 4999. 1005 stands for a close frame without a code.
    pub code: u16,
    /// At most 123 bytes.
    pub reason: String,
}

impl Close {
    /// The code that stands for a close frame without one; it is never sent.
    pub const NO_STATUS: u16 = 1005;

    /// A close with a code and a reason.
    pub fn new(code: u16, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }

    /// What a close frame carries (RFC 6455 section 5.5.1): the code and the reason, or nothing without a code.
    pub fn payload(&self) -> Vec<u8> {
        match self.code {
            Self::NO_STATUS => Vec::new(),
            code => [&code.to_be_bytes(), self.reason.as_bytes()].concat(),
        }
    }

    /// Whether a close frame may have this code (RFC 6455 section 7.4 and the IANA registry): the others are reserved, or
    /// stand for what happened without a code or without a close frame.
    pub fn may_be_sent(&self) -> bool {
        // tungstenite does not know 1014 (bad gateway), which was registered after the RFC.
        self.code == 1014 || CloseCode::from(self.code).is_allowed()
    }

    /// Whether the code says that all went well.
    pub fn is_clean(&self) -> bool {
        matches!(self.code, 1000 | 1001 | Self::NO_STATUS)
    }
}

impl fmt::Display for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The names are those of the IANA registry of close codes.
        let name = match self.code {
            1000 => " (normal closure)",
            1001 => " (going away)",
            1002 => " (protocol error)",
            1003 => " (unsupported data)",
            1005 => " (no status)",
            1007 => " (invalid payload)",
            1008 => " (policy violation)",
            1009 => " (message too big)",
            1010 => " (mandatory extension)",
            1011 => " (internal error)",
            1012 => " (service restart)",
            1013 => " (try again later)",
            1014 => " (bad gateway)",
            _ => "",
        };
        write!(f, "{}{name}", self.code)?;
        if self.reason.is_empty() { Ok(()) } else { write!(f, " {:?}", self.reason) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_codes_are_those_of_the_registry() {
        for code in 0..=u16::MAX {
            let is_registered = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
            assert_eq!(Close::new(code, "").may_be_sent(), is_registered, "{code}");
        }
    }
}
