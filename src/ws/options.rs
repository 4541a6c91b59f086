//! What both sides of a WebSocket are told about limits, pings, closing and compression.

use crate::message::Close;
use std::time::Duration;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// Both sides of a WebSocket.
#[derive(Clone, Debug)]
pub struct WebSocketOptions {
    /// How often to ping.
    pub ping_interval: Option<Duration>,
    /// How long a ping may stay unanswered.
    pub ping_timeout: Option<Duration>,
    /// What our close frames say unless the other end of the session knows better.
    pub close: Close,
    /// The longest message and frame that are taken; its other fields are for tungstenite's reader and writer, not for ours.
    pub limits: WebSocketConfig,
    /// permessage-deflate.
    pub deflate: DeflateOptions,
}

/// What is offered and accepted of permessage-deflate (RFC 7692), and how we compress.
#[derive(Clone, Debug, Default)]
pub struct DeflateOptions {
    /// Clients offer it.
    pub offers: bool,
    /// A server that does not take the offer is an error.
    pub demands: bool,
    /// Listeners take offers.
    pub accepts: bool,
    /// 0 to 9; with 0 everything leaves plain.
    pub level: u8,
    /// The largest window that is asked for and used, 9 to 15: 2^N bytes.
    pub window_bits: u8,
    /// Messages do not refer back to those before them.
    pub no_context: bool,
    /// Messages of fewer bytes leave plain.
    pub threshold: usize,
}
