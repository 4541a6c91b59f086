//! The WebSocket protocol (RFC 6455) with permessage-deflate (RFC 7692), on the types of tungstenite.
//!
//! [`Reader`] reads into a buffer, decodes frames and assembles messages. [`ControlState`] says what pings, pongs, close frames and
//! read errors mean. Frames that are sent, control frames included, are encoded into one output, so they leave in one order. Messages
//! can therefore follow a close frame that was received and not answered yet, and long messages can leave as fragments.
//!
//! tungstenite's own reader is not used. It keeps a buffer for each connection (4 of the 7.3 KiB that an idle member of a room took)
//! and fills it with zeros before each read (half of all instructions of a client that sends lines). While messages of a burst are
//! in use, it falls back to one read a message, which made a pipelined echo of 16 bytes cost 19 × the floor.
//! [`crate::message`] stands in for its `Message` and `CloseFrame`, since files, processes and sockets have messages too.

mod assembler;
mod budget;
mod control;
mod decoder;
mod deflate;
mod encoder;
mod error;
mod event;
mod frame_log;
#[cfg(fuzzing)]
pub mod fuzzing;
mod heartbeat;
mod key;
mod message_timer;
mod options;
mod output;
mod read_buffer;
mod reader;
pub mod slash;
mod stream;
#[cfg(any(test, fuzzing))]
pub mod testing;
mod transport;

pub use budget::Budget;
pub use control::{CLOSE_READ_TIMEOUT, ControlState, ReadEnd, out_of_memory};
pub use deflate::{Agreed, Inflater, Offers, SenderDeflater, SharedDeflater, accept as accept_deflate, is_token};
pub use encoder::{append as append_frame, encode as encode_frame};
pub use error::{FrameError, ReadError};
pub use event::Event;
pub use frame_log::FrameLog;
pub use heartbeat::Heartbeat;
pub use key::{derive_accept_key, generate_key, is_request_key};
pub use options::{DeflateOptions, Offer, WebSocketOptions};
pub use reader::Reader;
pub use stream::WebSocket;
/// Our role decides who masks (RFC 6455 section 5.1) and who closes the TCP connection first (section 7.1.1).
pub use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::flow::ByteEnd;

/// A connection whose opening handshake is done.
pub struct Upgraded {
    /// The connection.
    pub end: ByteEnd,
    /// Bytes of frames that were read together with the handshake.
    pub early: Vec<u8>,
    /// The parameters of permessage-deflate, if it was negotiated.
    pub deflate: Option<Agreed>,
}
