//! Pings of our own, and the notice that nobody answers them.

use super::WebSocketOptions;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep_until};

/// When to ping a peer, and when to give it up.
pub struct Heartbeat {
    every: Duration,
    limit: Option<Duration>,
    timer: Pin<Box<Sleep>>,
    next: Instant,
    unanswered_since: Option<Instant>,
}

/// What a heartbeat asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Beat {
    /// Send a ping.
    Ping,
    /// No ping was answered for so long.
    Dead(Duration),
}

impl Heartbeat {
    /// The heartbeat that the options ask for, if any.
    pub fn of(options: &WebSocketOptions) -> Option<Self> {
        options.ping_interval.map(|every| Self::new(every, options.ping_timeout))
    }

    /// A ping every so often; the peer is dead when none was answered within the limit.
    pub fn new(every: Duration, limit: Option<Duration>) -> Self {
        let next = Instant::now() + every;
        Self { every, limit, timer: Box::pin(sleep_until(next)), next, unanswered_since: None }
    }

    /// Something came from the peer, a pong or anything else.
    pub fn heard(&mut self) {
        self.unanswered_since = None;
    }

    /// Ready when there is something to do. Without room in the output no ping is stacked on one that waits there.
    pub fn poll(&mut self, cx: &mut Context<'_>, has_room: bool) -> Poll<Beat> {
        while self.timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if let (Some(since), Some(limit)) = (self.unanswered_since, self.limit)
                && now >= since + limit
            {
                return Poll::Ready(Beat::Dead(limit));
            }
            let is_due = now >= self.next;
            let is_wanted = is_due && (has_room || self.unanswered_since.is_none());
            if is_due {
                self.next = now + self.every;
            }
            if is_wanted {
                self.unanswered_since.get_or_insert(now);
            }
            let give_up = self.unanswered_since.zip(self.limit).map(|(since, limit)| since + limit);
            self.timer.as_mut().reset(give_up.map_or(self.next, |give_up| give_up.min(self.next)));
            if is_wanted {
                return Poll::Ready(Beat::Ping);
            }
        }
        Poll::Pending
    }
}
