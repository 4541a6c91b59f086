//! The timers of a session, which `ending` sets.

use std::{pin::Pin, time::Duration};
use tokio::time::{Instant, Sleep};

/// Maximum wait for a connection to shut down, and for close frames after a failure.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// The timers of a session. None runs while both directions are copied.
pub struct Timers {
    /// When a message or a part of one last moved; updated only while silence is measured.
    pub last_activity: Instant,
    /// The progress of both ends and what they had not sent, at the last look.
    pub progress: [(u64, u64); 2],
    /// The messages of both ends that filters had left out at the last look.
    pub left_out: [u64; 2],
    /// After the end of standard input: the longest silence while no message has come since the last one was sent.
    pub first_reply: Duration,
    /// The process whose client has closed, and how many messages it had sent by then.
    pub closed_process: Option<(usize, u64)>,
    /// The output of that process ends at this instant.
    pub output_ends: Option<Instant>,
    /// The session ends at this instant even if data is still in transit.
    pub deadline: Option<Instant>,
    pub sleep: Option<Pin<Box<Sleep>>>,
}

impl Timers {
    pub fn new() -> Self {
        let (last_activity, first_reply) = (Instant::now(), Duration::ZERO);
        Self {
            last_activity,
            progress: [(0, 0); 2],
            left_out: [0; 2],
            first_reply,
            closed_process: None,
            output_ends: None,
            deadline: None,
            sleep: None,
        }
    }
}
