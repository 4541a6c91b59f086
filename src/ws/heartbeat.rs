//! Pings of our own, and the notice that nobody answers them.

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
    /// A ping every so often; the peer is dead when none was answered within the limit.
    pub fn new(every: Duration, limit: Option<Duration>) -> Self {
        let next = Instant::now() + every;
        Self { every, limit, timer: Box::pin(sleep_until(next)), next, unanswered_since: None }
    }

    /// A pong came.
    pub fn answered(&mut self) {
        self.unanswered_since = None;
    }

    /// Ready when there is something to do.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Beat> {
        while self.timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if let (Some(since), Some(limit)) = (self.unanswered_since, self.limit)
                && now >= since + limit
            {
                return Poll::Ready(Beat::Dead(limit));
            }
            let is_due = now >= self.next;
            if is_due {
                self.next = now + self.every;
                self.unanswered_since.get_or_insert(now);
            }
            let give_up = self.unanswered_since.zip(self.limit).map(|(since, limit)| since + limit);
            self.timer.as_mut().reset(give_up.map_or(self.next, |give_up| give_up.min(self.next)));
            if is_due {
                return Poll::Ready(Beat::Ping);
            }
        }
        Poll::Pending
    }
}
