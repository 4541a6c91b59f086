//! How long a message may take to arrive: what has come of it occupies memory until it is complete.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep_until};

/// For so many bytes that have come, a message has a second more: a long one over a slow connection is not given up.
const BYTES_A_SECOND: usize = 16 * 1024;
/// The time is measured in so many parts of the limit.
const PARTS: u32 = 8;

/// Measures the time of one message.
pub struct MessageTimer {
    limit: Duration,
    /// The time that the connection was read for since the message began.
    spent: Duration,
    last_poll: Instant,
    timer: Pin<Box<Sleep>>,
}

impl MessageTimer {
    /// A message has begun.
    pub fn new(limit: Duration) -> Self {
        let now = Instant::now();
        Self { limit, spent: Duration::ZERO, last_poll: now, timer: Box::pin(sleep_until(now + limit / PARTS)) }
    }

    /// Ready when the message has taken too long. `received`: how many bytes of it have come.
    pub fn poll(&mut self, cx: &mut Context<'_>, received: usize) -> Poll<()> {
        let part = self.limit / PARTS;
        let limit = self.limit + Duration::from_secs((received / BYTES_A_SECOND) as u64);
        loop {
            let now = Instant::now();
            // The timer wakes a task that reads the connection after each part. One that does not, since the other end of its
            // session takes nothing, keeps the peer from going on: that is no fault of the peer's.
            self.spent += (now - self.last_poll).min(part);
            self.last_poll = now;
            let Some(left) = limit.checked_sub(self.spent).filter(|left| !left.is_zero()) else {
                return Poll::Ready(());
            };
            if self.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.timer.as_mut().reset(now + left.min(part));
        }
    }
}
