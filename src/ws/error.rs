//! Why nothing more can be read, with tungstenite's errors where they mean the same.

use crate::message::Close;
use std::{fmt, io, time::Duration};
use tokio_tungstenite::tungstenite::{
    error::{CapacityError, ProtocolError},
    protocol::frame::coding::CloseCode,
};

/// The longest reason of a close frame in bytes: the payload of 125 bytes begins with the code (RFC 6455 section 5.5).
const MAX_REASON: usize = 123;

/// Why nothing more can be read from a WebSocket.
#[derive(Debug)]
pub enum ReadError {
    /// The connection ended without a close frame.
    Ended,
    /// The connection failed.
    Io(io::Error),
    /// The peer sent something that is refused, and is told so.
    Frame(FrameError),
}

/// Why a frame or message is refused. `Display` is a text for users and for the reason of a close frame; it is ours, since
/// tungstenite's texts are not written for users.
#[derive(Debug, PartialEq, Eq)]
pub enum FrameError {
    /// A frame breaks RFC 6455.
    Protocol(ProtocolError),
    /// A close frame has a code that may not be sent (RFC 6455 section 7.4).
    CloseCode(u16),
    /// A message or a frame is longer than the limit.
    Capacity(CapacityError),
    /// A text message or the reason of a close frame is not valid UTF-8.
    Utf8,
    /// A compressed message cannot be inflated, for this reason.
    Inflate(String),
    /// A message has more fragments than this.
    Fragments(usize),
    /// A compressed message has more empty final blocks than this.
    EmptyBlocks(usize),
    /// A message was not complete in time.
    Slow(Duration),
}

impl FrameError {
    /// A message or a frame of `size` bytes is longer than the limit.
    pub fn too_long(size: u64, max_size: usize) -> Self {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        Self::Capacity(CapacityError::MessageTooLong { size, max_size })
    }

    /// The close frame that tells the peer.
    pub fn close(&self) -> Close {
        let code = match self {
            Self::Protocol(_) | Self::CloseCode(_) => CloseCode::Protocol,
            Self::Capacity(_) => CloseCode::Size,
            Self::Utf8 | Self::Inflate(_) => CloseCode::Invalid,
            Self::Fragments(_) | Self::EmptyBlocks(_) | Self::Slow(_) => CloseCode::Policy,
        };
        let mut reason = self.to_string();
        while reason.len() > MAX_REASON {
            reason.pop();
        }
        Close::new(code.into(), reason)
    }
}

impl From<ProtocolError> for FrameError {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

impl From<FrameError> for ReadError {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // TLS without close_notify: the same as TCP's end without a close frame.
            io::ErrorKind::UnexpectedEof => Self::Ended,
            _ => Self::Io(error),
        }
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(error) => protocol_error(error, f),
            Self::CloseCode(code) => write!(f, "the close code {code} may not be sent"),
            // What has come of it may be more than its announced part, or less than all.
            Self::Capacity(CapacityError::MessageTooLong { max_size, .. }) => {
                write!(f, "a message is too long: more than {max_size} bytes")
            }
            Self::Capacity(error) => error.fmt(f),
            Self::Utf8 => f.write_str("text is not valid UTF-8"),
            Self::Inflate(reason) => write!(f, "a compressed message is damaged: {reason}"),
            Self::Fragments(most) => write!(f, "a message has more than {most} fragments"),
            Self::EmptyBlocks(most) => write!(f, "a compressed message has more than {most} empty final blocks"),
            Self::Slow(limit) => write!(f, "a message was not complete after {} s", limit.as_secs_f64()),
        }
    }
}

fn protocol_error(error: &ProtocolError, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(match error {
        ProtocolError::InvalidOpcode(opcode) => return write!(f, "reserved opcode {opcode}"),
        ProtocolError::NonZeroReservedBits => "reserved bits are set",
        ProtocolError::UnmaskedFrameFromClient => "unmasked frame from a client",
        ProtocolError::MaskedFrameFromServer => "masked frame from a server",
        ProtocolError::FragmentedControlFrame => "fragmented control frame",
        ProtocolError::ControlFrameTooBig => "control frame with a payload of more than 125 bytes",
        ProtocolError::UnexpectedContinueFrame => "continuation frame without a message to continue",
        ProtocolError::ExpectedFragment(_) => "new message before the last fragment of the previous one",
        ProtocolError::InvalidCloseSequence => "close frame with a payload of one byte",
        // The others do not occur in frames.
        other => return write!(f, "{other}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_frame_tells_what_was_wrong() {
        for (error, code, reason) in [
            (ProtocolError::InvalidOpcode(3).into(), 1002, "reserved opcode 3"),
            (FrameError::CloseCode(1006), 1002, "close code 1006"),
            (FrameError::too_long(11, 10), 1009, "more than 10 bytes"),
            (FrameError::too_long(u64::MAX, 10), 1009, "too long"),
            (FrameError::Utf8, 1007, "UTF-8"),
            (FrameError::Inflate("it is cut off".into()), 1007, "cut off"),
            (FrameError::Fragments(16_384), 1008, "more than 16384 fragments"),
            (FrameError::Slow(Duration::from_secs(60)), 1008, "not complete after 60 s"),
            (FrameError::EmptyBlocks(16_384), 1008, "more than 16384 empty final blocks"),
        ] {
            let close = error.close();
            assert_eq!(close.code, code, "{close}");
            assert!(close.reason.contains(reason), "{close}");
        }
    }

    #[test]
    fn a_reason_fits_into_a_close_frame() {
        for text in ["ä".repeat(100), format!("x{}", "ä".repeat(100))] {
            let length = FrameError::Inflate(text).close().payload().len();
            assert!((124..=125).contains(&length), "{length}");
        }
    }
}
