//! Options of a WebSocket in both roles: limits, pings, closing and compression.

use crate::message::Close;
use std::time::Duration;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// Options of a WebSocket in both roles.
#[derive(Clone, Debug)]
pub struct WebSocketOptions {
    /// The time between two pings; none is sent without it.
    pub ping_interval: Option<Duration>,
    /// The longest time that a ping may stay unanswered.
    pub ping_timeout: Option<Duration>,
    /// The most pings that are sent at intervals.
    pub max_pings: Option<u64>,
    /// The most pings that are answered.
    pub max_pongs: Option<u64>,
    /// Log the time between each ping and its pong.
    pub logs_round_trips: bool,
    /// The code and reason of our close frames, unless the other end of the session gives others.
    pub close: Close,
    /// The longest message and frame that are taken; its other fields are for tungstenite's reader and writer, not for ours.
    pub limits: WebSocketConfig,
    /// The longest time that a message may take to arrive; there is no limit without it.
    pub message_timeout: Option<Duration>,
    /// permessage-deflate.
    pub deflate: DeflateOptions,
    /// Text messages such as `/ping` are control frames.
    pub slash: bool,
    /// Log control frames.
    pub shows_control: bool,
}

impl Default for WebSocketOptions {
    /// No pings, close code 1000, messages and frames of up to 64 MiB that arrive in a minute, no compression.
    fn default() -> Self {
        let limits = WebSocketConfig::default().max_message_size(Some(64 << 20)).max_frame_size(Some(64 << 20));
        Self {
            ping_interval: None,
            ping_timeout: None,
            max_pings: None,
            max_pongs: None,
            logs_round_trips: false,
            close: Close::new(1000, ""),
            limits,
            message_timeout: Some(Duration::from_secs(60)),
            deflate: DeflateOptions::default(),
            slash: false,
            shows_control: false,
        }
    }
}

/// Whether a client offers permessage-deflate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Offer {
    /// It does not.
    #[default]
    Never,
    /// It does; the server may decline.
    Optional,
    /// It does, and fails if the server declines.
    Required,
}

/// Negotiation and use of permessage-deflate (RFC 7692).
#[derive(Clone, Debug, Default)]
pub struct DeflateOptions {
    /// What we do as a client.
    pub offer: Offer,
    /// As a server, accept offers.
    pub accepts: bool,
    /// The compression level, 0 to 9; at 0 nothing is compressed.
    pub level: u8,
    /// The largest window in either direction, 9 to 15: 2^N bytes.
    pub window_bits: u8,
    /// Compress each message without reference to earlier ones.
    pub no_context: bool,
    /// Shorter messages, in bytes, are not compressed.
    pub threshold: usize,
}
