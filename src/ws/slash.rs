//! Lines that stand for control frames (`--slash`), as in wscat.

use crate::message::Close;
use bytes::Bytes;

/// The longest payload of a control frame (RFC 6455 section 5.5).
const MAX_PAYLOAD: usize = 125;

/// A control frame that a line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// `/ping [TEXT]`.
    Ping(Bytes),
    /// `/pong [TEXT]`.
    Pong(Bytes),
    /// `/close [CODE [REASON]]`; `None` without a code.
    Close(Option<Close>),
}

impl Command {
    /// `None` if the message is not such a line.
    pub fn parse(message: &Bytes) -> Option<Self> {
        let text = std::str::from_utf8(message).ok()?.strip_prefix('/')?.trim_end();
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let fits = rest.len() <= MAX_PAYLOAD;
        match word {
            "ping" if fits => Some(Self::Ping(Bytes::copy_from_slice(rest.as_bytes()))),
            "pong" if fits => Some(Self::Pong(Bytes::copy_from_slice(rest.as_bytes()))),
            "close" if rest.is_empty() => Some(Self::Close(None)),
            "close" => {
                let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
                let close = Close::new(code.parse().ok()?, reason);
                (close.may_be_sent() && reason.len() <= MAX_PAYLOAD - 2).then_some(Self::Close(Some(close)))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_complete_commands_are_control_frames() {
        let parse = |text: &str| Command::parse(&Bytes::copy_from_slice(text.as_bytes()));
        assert_eq!(parse("/ping"), Some(Command::Ping(Bytes::new())));
        assert_eq!(parse("/pong a b"), Some(Command::Pong(Bytes::from_static(b"a b"))));
        assert_eq!(parse("/close"), Some(Command::Close(None)));
        assert_eq!(parse("/close 4000 good bye"), Some(Command::Close(Some(Close::new(4000, "good bye")))));
        let long = "x".repeat(126);
        for text in
            ["ping", "/", "/pingx", "//ping", "/close x", "/close 1005", "/close 99999", &format!("/ping {long}")]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
