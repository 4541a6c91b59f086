//! How the rooms of a server deliver.

use super::{broker::Broker, drop_log::Missed, history::Histories, metrics::Metrics};
use crate::{config::SlowPolicy, report::Drops, ws::SharedDeflater};
use std::{sync::Arc, time::Duration};

/// The largest pending batch of a room, unless one message is longer: much more is not written with one write.
pub const MAX_PENDING: usize = 1 << 20;
/// And this part of a backlog, so that a backlog that is empty takes a batch.
pub const PENDING_PART: usize = 2;

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
    /// Where batches are published.
    pub broker: Broker,
    /// What is kept for members that join; `None`: nothing.
    pub histories: Option<Arc<Histories>>,
    /// The counters.
    pub metrics: Metrics,
    /// Logs the messages that slow members miss.
    pub drops: Arc<Drops<Missed>>,
}
