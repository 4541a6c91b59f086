//! Moves messages between two ends. One task polls both whole: no halves, no locks, no channel in between.

use super::{
    Stop,
    ending::{Clock, FAREWELL},
    spliced,
};
use crate::{
    config::Ending,
    error::Error,
    flow::{ByteEnd, Incoming, MessageEnd, Role},
    framing::ChunkStream,
    message::{Close, Kind},
};
use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, timeout};

/// Two ends of the same flow; a mixed pair cannot be written down.
pub enum Session {
    /// Bytes to bytes.
    Bytes(ByteEnd, ByteEnd),
    /// Messages to messages.
    Messages(MessageEnd, MessageEnd),
}

/// What a session that ended well was.
#[derive(Debug)]
pub struct Summary {
    /// Messages from left to right and from right to left.
    pub moved: [u64; 2],
    /// How it was closed, where a WebSocket was; and by whom, if not by us.
    pub close: Option<(Option<String>, Close)>,
}

impl Session {
    /// Copies both ways until both have ended.
    pub async fn run(self, rules: &Ending, stop: &Stop) -> Result<Summary, Error> {
        let (left, right) = match self {
            Self::Bytes(left, right) => spliced::join(left, right).unwrap_or_else(|(left, right)| {
                (ChunkStream::frame(left, Kind::Binary), ChunkStream::frame(right, Kind::Binary))
            }),
            Self::Messages(left, right) => (left, right),
        };
        let mut pump = Pump::new(left, right, rules);
        let mut stopping = pin!(stop.requested());
        let mut is_stopping = false;
        poll_fn(|cx| {
            if !is_stopping && stopping.as_mut().poll(cx).is_ready() {
                is_stopping = true;
                pump.stop();
            }
            pump.poll(cx)
        })
        .await;
        pump.say_farewell().await;
        pump.verdict()
    }
}

/// Messages moved in one direction before the other has its turn.
const BATCH: usize = 64;
/// Turns before other tasks have theirs.
const TURNS: usize = 32;

/// One direction: from an end to the other.
pub(super) struct Way {
    pub stage: Stage,
    /// Messages taken so far.
    pub moved: u64,
    /// The source has said that nothing more comes.
    pub ended: bool,
    /// With these words, where it is a WebSocket.
    pub close: Option<Close>,
    /// It waits for its destination to take data.
    pub is_blocked: bool,
    unflushed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Messages are copied.
    Moving,
    /// The source is read for its end; messages are thrown away.
    Discarding,
    /// The source is not read.
    Parked,
    /// The console's input has ended. The destination is asked whether it has seen everything, until the instant.
    Settling(Instant),
    /// It has; answers may still be on their way.
    Lingering,
    /// So many answers are waited for, however long they take.
    Awaiting,
    /// The destination is told that nothing more comes.
    Finishing,
    /// It was told.
    Done,
}

/// The two ends, index 0 left and 1 right; way `i` leads from end `i` to end `1 - i`.
pub(super) struct Pump<'a> {
    pub ends: [MessageEnd; 2],
    pub ways: [Way; 2],
    pub rules: &'a Ending,
    /// Ends that failed: nothing can be told them any more.
    pub broken: [bool; 2],
    /// The first failure. Another end that ends well does not mend it.
    pub fatal: Option<Error>,
    /// A failure to write, which counts unless the same end still closes with a close frame.
    pub unwritten: Option<Error>,
    /// What close frames say instead of the source's words.
    pub parting: Option<Close>,
    /// Which end's close frame began the end of the session.
    pub closed_by: Option<(usize, Close)>,
    /// Close frames are waited for so long after everything was said.
    pub farewell: Duration,
    pub clock: Clock,
}

impl<'a> Pump<'a> {
    fn new(left: MessageEnd, right: MessageEnd, rules: &'a Ending) -> Self {
        let way = |from: &MessageEnd, is_wanted: bool| {
            let stage = match from.role {
                Role::Sink => Stage::Parked,
                // Read to its end all the same: a WebSocket for its pings and its close frame, a process for its status, a
                // socket because closing it with unread data would reset it, and what it was sent could be lost.
                Role::WebSocket | Role::Process | Role::Peer if !is_wanted => Stage::Discarding,
                _ if !is_wanted => Stage::Parked,
                _ => Stage::Moving,
            };
            Way { stage, moved: 0, ended: false, close: None, is_blocked: false, unflushed: false }
        };
        let ways = [way(&left, rules.forward), way(&right, rules.back)];
        Self {
            clock: Clock::new(),
            ends: [left, right],
            ways,
            rules,
            broken: [false; 2],
            fatal: None,
            unwritten: None,
            parting: None,
            closed_by: None,
            farewell: rules.linger,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..TURNS {
            let progress = self.step(0, cx) | self.step(1, cx);
            if self.is_over() {
                return Poll::Ready(());
            }
            if progress {
                self.note_activity();
            } else if !self.poll_clock(cx) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Moves way `i` along; tells whether anything happened.
    fn step(&mut self, i: usize, cx: &mut Context<'_>) -> bool {
        let before = (self.ways[i].stage, self.ways[i].moved);
        let result = match self.ways[i].stage {
            Stage::Moving if !self.broken[1 - i] => self.copy(i, cx),
            Stage::Moving | Stage::Discarding => self.discard(i, cx),
            Stage::Settling(_) => self.settle(i, cx),
            Stage::Parked | Stage::Lingering | Stage::Awaiting => self.flush(i, cx),
            Stage::Finishing => self.finish(i, cx),
            Stage::Done => Ok(()),
        };
        if let Err(error) = result {
            match error {
                Failed::Reading(error) => self.reading_failed(i, error),
                Failed::Writing(error) => self.writing_failed(i, error),
            }
            return true;
        }
        (self.ways[i].stage, self.ways[i].moved) != before
    }

    fn split(&mut self, i: usize) -> (&mut MessageEnd, &mut MessageEnd, &mut Way) {
        let [left, right] = &mut self.ends;
        let (from, to) = if i == 0 { (left, right) } else { (right, left) };
        (from, to, &mut self.ways[i])
    }

    fn copy(&mut self, i: usize, cx: &mut Context<'_>) -> Result<(), Failed> {
        for _ in 0..BATCH {
            let (from, to, way) = self.split(i);
            way.is_blocked = to.io.poll_ready(cx).map_err(Failed::Writing)?.is_pending();
            if way.is_blocked {
                return Ok(());
            }
            match from.io.poll_next(cx).map_err(Failed::Reading)? {
                Poll::Ready(Incoming::Message(message)) => {
                    to.io.start_send(message).map_err(Failed::Writing)?;
                    way.moved += 1;
                    way.unflushed = true;
                    if self.count(i) {
                        return Ok(());
                    }
                }
                Poll::Ready(Incoming::End(close)) => {
                    self.source_ended(i, close);
                    return Ok(());
                }
                // Only now, so that a burst leaves with few writes.
                Poll::Pending => return self.flush(i, cx),
            }
        }
        Ok(())
    }

    fn discard(&mut self, i: usize, cx: &mut Context<'_>) -> Result<(), Failed> {
        if !self.broken[1 - i] {
            self.flush(i, cx)?;
        }
        for _ in 0..BATCH {
            let (from, _, _) = self.split(i);
            match from.io.poll_next(cx).map_err(Failed::Reading)? {
                Poll::Ready(Incoming::Message(_)) => {}
                Poll::Ready(Incoming::End(close)) => {
                    self.source_ended(i, close);
                    return Ok(());
                }
                Poll::Pending => return Ok(()),
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
    }

    fn flush(&mut self, i: usize, cx: &mut Context<'_>) -> Result<(), Failed> {
        let (_, to, way) = self.split(i);
        if way.unflushed {
            way.is_blocked = to.io.poll_flush(cx).map_err(Failed::Writing)?.is_pending();
            way.unflushed = way.is_blocked;
        }
        Ok(())
    }

    fn settle(&mut self, i: usize, cx: &mut Context<'_>) -> Result<(), Failed> {
        self.flush(i, cx)?;
        let (_, to, way) = self.split(i);
        if !way.is_blocked && to.io.poll_confirmed(cx).map_err(Failed::Writing)?.is_ready() {
            way.stage = Stage::Lingering;
        }
        Ok(())
    }

    fn finish(&mut self, i: usize, cx: &mut Context<'_>) -> Result<(), Failed> {
        if !self.broken[1 - i] {
            let parting = self.parting.clone();
            let (_, to, way) = self.split(i);
            let close = parting.as_ref().or(way.close.as_ref());
            way.is_blocked = to.io.poll_finish(cx, close).map_err(Failed::Writing)?.is_pending();
            if way.is_blocked {
                return Ok(());
            }
        }
        self.ways[i].stage = Stage::Done;
        self.destination_told(i);
        Ok(())
    }

    /// Reads on, for a moment, until the close frames have come that are still owed; then lets go of both connections.
    async fn say_farewell(&mut self) {
        let limit = self.farewell;
        let mut owed: [bool; 2] =
            std::array::from_fn(|i| self.ends[i].role == Role::WebSocket && !self.ways[i].ended && !self.broken[i]);
        let ends = &mut self.ends;
        let waiting = poll_fn(|cx| {
            for (end, owes) in ends.iter_mut().zip(&mut owed) {
                while *owes {
                    match end.io.poll_next(cx) {
                        Poll::Ready(Ok(Incoming::Message(_))) => {}
                        Poll::Ready(_) => *owes = false,
                        Poll::Pending => break,
                    }
                }
            }
            if owed.contains(&true) { Poll::Pending } else { Poll::Ready(()) }
        });
        // Polled once even when the limit is zero; running out is no error, everything was said.
        let _ = timeout(limit, waiting).await;
        let letting_go = poll_fn(|cx| {
            let [left, right] = ends.each_mut().map(|end| end.io.poll_shutdown(cx));
            if left.is_ready() && right.is_ready() { Poll::Ready(()) } else { Poll::Pending }
        });
        let _ = timeout(FAREWELL, letting_go).await;
    }
}

enum Failed {
    Reading(Error),
    Writing(Error),
}
