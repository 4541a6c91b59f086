//! What a peer sends, as its frames mean it.

use crate::message::{Close, Message};
use bytes::Bytes;

/// A message or a control frame from the peer.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A complete message.
    Message(Message),
    /// A ping, to be answered with the same payload.
    Ping(Bytes),
    /// A pong.
    Pong(Bytes),
    /// A close frame, the last event of a connection; [`Close::NO_STATUS`] stands for one without a code.
    Close(Close),
}
