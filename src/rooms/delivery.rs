//! How the rooms of a server deliver.

use super::{
    drop_log::{self, Missed},
    history::Histories,
    metrics::Metrics,
};
use crate::{
    config::{RoomOptions, SlowPolicy},
    report::Drops,
    ws::{SharedDeflater, WebSocketOptions},
};
use std::{sync::Arc, time::Duration};

/// The largest pending batch of a room, unless one message is longer: much more is not written with one write.
pub const MAX_PENDING: usize = 1 << 20;
/// And this part of a backlog, so that a backlog that is empty takes a batch.
const PENDING_PART: usize = 2;

/// How rooms deliver messages to their members, and what is counted of that.
pub struct Delivery {
    /// Whether a sender receives its own messages.
    pub echo: bool,
    /// The most bytes in the backlog of one member.
    pub backlog: usize,
    /// No message is added to a room's pending batch of at least this many bytes until the batch is taken.
    pub pending: usize,
    /// What happens to messages above the backlog.
    pub slow: SlowPolicy,
    /// The longest time in which a member with a backlog may take nothing. Where messages are dropped it is not closed for that.
    pub slow_timeout: Option<Duration>,
    /// Compresses for the members that negotiated it.
    pub deflater: Option<SharedDeflater>,
    /// What is kept for members that join; `None`: nothing.
    pub histories: Option<Arc<Histories>>,
    /// The counters.
    pub metrics: Metrics,
    /// Logs the messages that slow members miss.
    pub drops: Arc<Drops<Missed>>,
}

impl Delivery {
    /// As these options say.
    pub fn new(options: &RoomOptions, websocket: &WebSocketOptions) -> Self {
        Self {
            echo: options.echo,
            backlog: options.backlog,
            pending: MAX_PENDING.min(options.backlog / PENDING_PART),
            slow: options.slow,
            slow_timeout: options.slow_timeout.filter(|_| {
                // Where messages are dropped, a backlog is bounded, and nobody waits for a member that sleeps for a while.
                matches!(options.slow, SlowPolicy::Disconnect | SlowPolicy::Block)
            }),
            deflater: SharedDeflater::new(&websocket.deflate),
            histories: options.history.map(Histories::new),
            metrics: Metrics::default(),
            drops: drop_log::log(),
        }
    }
}
