//! When to ping a peer, and when to give it up.

use super::WebSocketOptions;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep_until};

/// The timer of pings to one peer.
pub struct Heartbeat {
    interval: Duration,
    /// The longest time that a ping may stay unanswered.
    timeout: Option<Duration>,
    timer: Pin<Box<Sleep>>,
    next: Instant,
    unanswered_since: Option<Instant>,
    /// How many more pings may be sent.
    remaining: u64,
}

/// What is to be done now.
#[derive(Debug, PartialEq, Eq)]
pub enum Beat {
    /// Send a ping.
    Ping,
    /// Give the peer up: no ping was answered for this long.
    Dead(Duration),
}

impl Heartbeat {
    /// The heartbeat that the options ask for, if any.
    pub fn of(options: &WebSocketOptions) -> Option<Self> {
        let heartbeat = Self::new(options.ping_interval?, options.ping_timeout);
        Some(Self { remaining: options.max_pings.unwrap_or(u64::MAX), ..heartbeat })
    }

    /// A ping in every interval. The peer is dead when none was answered within the timeout.
    pub fn new(interval: Duration, timeout: Option<Duration>) -> Self {
        let next = Instant::now() + interval;
        Self {
            interval,
            timeout,
            timer: Box::pin(sleep_until(next)),
            next,
            unanswered_since: None,
            remaining: u64::MAX,
        }
    }

    /// The peer has sent something: a pong, or anything else.
    pub fn sign_of_life(&mut self) {
        self.unanswered_since = None;
    }

    /// Ready when there is something to do. Without room in the output no ping is added to one that waits there.
    pub fn poll(&mut self, cx: &mut Context<'_>, has_room: bool) -> Poll<Beat> {
        while self.timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if let (Some(since), Some(timeout)) = (self.unanswered_since, self.timeout)
                && now >= since + timeout
            {
                return Poll::Ready(Beat::Dead(timeout));
            }
            let is_due = now >= self.next;
            let is_wanted = is_due && self.remaining > 0 && (has_room || self.unanswered_since.is_none());
            if is_due {
                self.next = now + self.interval;
            }
            if is_wanted {
                self.unanswered_since.get_or_insert(now);
                self.remaining -= 1;
            }
            let give_up = self.unanswered_since.zip(self.timeout).map(|(since, timeout)| since + timeout);
            self.timer.as_mut().reset(give_up.map_or(self.next, |give_up| give_up.min(self.next)));
            if is_wanted {
                return Poll::Ready(Beat::Ping);
            }
        }
        Poll::Pending
    }
}
