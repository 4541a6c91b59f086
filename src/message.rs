//! What a WebSocket carries: messages and close codes.

use bytes::Bytes;
use std::fmt;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// The longest payload of a control frame, in bytes (RFC 6455 section 5.5).
pub const MAX_CONTROL_PAYLOAD: usize = 125;

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
    /// At most [`MAX_REASON`](Self::MAX_REASON) bytes.
    pub reason: String,
}

impl Close {
    /// The code that stands for a close frame without one; it is never sent.
    pub const NO_STATUS: u16 = 1005;

    /// The codes that may be sent, for users; see [`may_be_sent`](Self::may_be_sent).
    pub const CODES: &str = "1000 to 1003, 1007 to 1014 or 3000 to 4999";

    /// The length of the longest reason, in bytes: the code takes two of the payload.
    pub const MAX_REASON: usize = MAX_CONTROL_PAYLOAD - 2;

    /// Parses `CODE [REASON]`.
    ///
    /// # Errors
    /// The code may not be sent, or the reason is too long.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (code, reason) = text.split_once(' ').unwrap_or((text, ""));
        let parsed = Self::parse_code(code).ok_or_else(|| format!("{code} is not a close code: {}", Self::CODES))?;
        Self::parse_reason(reason.trim()).map(|reason| Self::new(parsed, reason))
    }

    /// A code that may be sent.
    pub fn parse_code(text: &str) -> Option<u16> {
        text.parse().ok().filter(|code| Self::new(*code, "").may_be_sent())
    }

    /// A reason that fits into a close frame.
    ///
    /// # Errors
    /// It is too long.
    pub fn parse_reason(text: &str) -> Result<String, String> {
        match text.len() {
            0..=Self::MAX_REASON => Ok(text.into()),
            length => Err(format!("the reason is {length} bytes long; the maximum is {}", Self::MAX_REASON)),
        }
    }

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
