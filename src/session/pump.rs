//! Copies messages between two ends. One task polls both ends, so they need no split halves, no locks and no channel.

use super::{
    Shutdown, kernel_splice,
    timers::{SHUTDOWN_TIMEOUT, Timers},
};
use crate::{
    config::{Directions, SessionOptions},
    error::Error,
    flow::{ByteEnd, EndKind, Incoming, MessageEnd},
    framing::ChunkStream,
    message::Close,
};
use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, timeout};

/// Two ends of the same flow. The type rules out a mixed pair.
pub enum Session {
    /// Bytes to bytes.
    Bytes(ByteEnd, ByteEnd),
    /// Messages to messages.
    Messages(MessageEnd, MessageEnd),
}

/// The outcome of a session that ended well.
#[derive(Debug)]
pub struct Summary {
    /// Number of messages from left to right and from right to left.
    pub moved: [u64; 2],
    /// The close code of a WebSocket, and the end that closed first unless we did.
    pub close: Option<(Option<String>, Close)>,
}

impl Session {
    /// Copies in both directions until both have ended, or until a signal or the end of the lifetime asks to stop.
    ///
    /// # Errors
    ///
    /// The first failure of an end, a close code that reports a failure, or too few replies.
    pub async fn run(self, rules: &SessionOptions, stop: &Shutdown) -> Result<Summary, Error> {
        self.run_until(stop.clone().close_requested(), rules).await
    }

    /// The same until `stop` is ready, which gives the close frame for WebSockets.
    pub(super) async fn run_until(
        self,
        stop: impl Future<Output = Close>,
        rules: &SessionOptions,
    ) -> Result<Summary, Error> {
        let (mut left, mut right) = match self {
            // Bytes that the kernel copies are not counted.
            Self::Bytes(left, right) if rules.metrics.is_some() => ChunkStream::join(left, right),
            Self::Bytes(left, right) => kernel_splice::join(left, right),
            Self::Messages(left, right) => (left, right),
        };
        rules.metrics.iter().for_each(|metrics| metrics.opened());
        left.observer.take().into_iter().for_each(|observer| right.io.observe_control(observer));
        right.observer.take().into_iter().for_each(|observer| left.io.observe_control(observer));
        let mut pump = Pump::new(left, right, rules);
        let mut stopping = pin!(stop);
        let mut is_stopping = false;
        poll_fn(|cx| {
            if !is_stopping && let Poll::Ready(close) = stopping.as_mut().poll(cx) {
                is_stopping = true;
                pump.stop(close);
            }
            pump.poll(cx)
        })
        .await;
        pump.close_connections().await;
        let result = pump.into_result();
        rules.metrics.iter().for_each(|metrics| metrics.ended(result.is_err()));
        result
    }
}

/// Messages copied in one direction before the other direction gets a turn.
const BATCH: usize = 64;
/// Turns before the task yields to others.
const TURNS: usize = 32;
/// Bytes copied in one direction before the other direction gets a turn, and before the task yields to others: compressing them
/// may take milliseconds.
const BATCH_BYTES: usize = 256 * 1024;

/// One direction of a session: from one end, the source, to the other, the destination.
pub(super) struct Direction {
    pub stage: Stage,
    /// Number of messages read from the source so far.
    pub moved: u64,
    /// From this number of messages on, a limit applies.
    limit: u64,
    /// The source has ended: end of file, or a close frame.
    pub ended: bool,
    /// The source's close frame, if it sent one.
    pub close: Option<Close>,
    /// The destination does not accept data at the moment.
    pub is_blocked: bool,
    /// Messages were sent after the last flush.
    unflushed: bool,
    /// The source is not read before the destination has been flushed.
    owes_flush: bool,
    /// When a message was flushed for the first time.
    pub first_flush: Option<Instant>,
}

/// How far a direction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Messages are copied.
    Moving,
    /// The source is read to its end and its messages are dropped.
    Discarding,
    /// The source is not read.
    Parked,
    /// Standard input has ended. The destination is asked to confirm delivery; the wait ends at this instant.
    Confirming(Instant),
    /// Delivery is confirmed, or the wait for that is over. Replies may still arrive.
    Lingering,
    /// Waiting for `enough` replies.
    AwaitingReplies,
    /// The destination is being told that nothing more comes.
    Finishing,
    /// The destination has been told, or has failed.
    Done,
}

/// The state of a session. Index 0 is left and 1 is right; direction `i` leads from end `i` to end `1 - i`.
pub(super) struct Pump<'a> {
    pub ends: [MessageEnd; 2],
    pub directions: [Direction; 2],
    pub rules: &'a SessionOptions,
    /// Ends that can no longer be written.
    pub failed: [bool; 2],
    /// The first failure: the result of the session, however the other end ends.
    pub error: Option<Error>,
    /// A failure to write. It is the result unless a close frame from the same end explains it.
    pub write_error: Option<Error>,
    /// Sent in close frames instead of the source's close.
    pub close_override: Option<Close>,
    /// The end whose close frame started the end of the session, and that close.
    pub closed_by: Option<(usize, Close)>,
    /// Maximum wait for the close frames of the peers once both directions are done.
    pub close_wait: Duration,
    pub timers: Timers,
    /// The direction of the last message.
    pub last_moved: Option<usize>,
    /// Bytes copied since the task last yielded.
    bytes: usize,
}

impl<'a> Pump<'a> {
    fn new(left: MessageEnd, right: MessageEnd, rules: &'a SessionOptions) -> Self {
        let direction = |from: &MessageEnd, is_wanted: bool, limits: [Option<u64>; 2]| {
            let stage = match from.kind {
                _ if rules.directions == Directions::Neither => Stage::Finishing,
                EndKind::Sink => Stage::Parked,
                // Still read to the end: a WebSocket for its pings and its close frame, a process for its exit status,
                // a socket because closing it with unread data resets the connection, which can lose what was sent. For datagrams
                // its datagrams are the only evidence that a client is still there.
                EndKind::WebSocket | EndKind::Process { .. } | EndKind::Peer | EndKind::Datagrams { .. }
                    if !is_wanted =>
                {
                    Stage::Discarding
                }
                _ if !is_wanted => Stage::Parked,
                _ => Stage::Moving,
            };
            Direction {
                stage,
                moved: 0,
                limit: limits.into_iter().flatten().min().unwrap_or(u64::MAX),
                ended: false,
                close: None,
                is_blocked: false,
                unflushed: false,
                owes_flush: false,
                first_flush: None,
            }
        };
        let [forward, back] = rules.directions.copied();
        let [most_forward, most_back] = rules.max_messages;
        let directions = [
            direction(&left, forward, [rules.max_sent, most_forward]),
            direction(&right, back, [rules.replies.enough(), most_back]),
        ];
        Self {
            timers: Timers::new(),
            last_moved: None,
            bytes: 0,
            ends: [left, right],
            directions,
            rules,
            failed: [false; 2],
            error: None,
            write_error: None,
            close_override: None,
            closed_by: None,
            close_wait: rules.linger,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.bytes = 0;
        self.limit_output();
        let mut due = [true; 2];
        for _ in 0..TURNS {
            let mut progress = false;
            for i in 0..2 {
                if std::mem::take(&mut due[i]) {
                    let step = self.step(i, cx);
                    progress |= step.has_changed;
                    due[i] = step.has_more;
                    due[1 - i] |= step.has_changed && self.may_answer(1 - i);
                }
            }
            if self.is_over() {
                return Poll::Ready(());
            }
            if progress {
                self.reset_silence();
            }
            if due == [false; 2] {
                if !self.poll_timers(cx) {
                    return Poll::Pending;
                }
                due = [true; 2];
            }
            if self.bytes >= BATCH_BYTES {
                break;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether direction `i` may have more to do after something has changed in the other one.
    fn may_answer(&self, i: usize) -> bool {
        let direction = &self.directions[i];
        direction.stage != Stage::Moving || direction.is_blocked || self.ends[i].io.may_answer_at_once()
    }

    /// Advances direction `i`.
    fn step(&mut self, i: usize, cx: &mut Context<'_>) -> Step {
        let before = (self.directions[i].stage, self.directions[i].moved);
        let result = match self.directions[i].stage {
            Stage::Moving if !self.failed[1 - i] => self.copy(i, cx),
            Stage::Moving | Stage::Discarding => self.discard(i, cx),
            Stage::Confirming(_) => self.confirm(i, cx).map(|()| Wait::ForEnd),
            Stage::Parked | Stage::Lingering | Stage::AwaitingReplies => self.flush(i, cx).map(|()| Wait::ForEnd),
            Stage::Finishing => self.finish(i, cx).map(|()| Wait::ForEnd),
            Stage::Done => Ok(Wait::ForEnd),
        };
        let waits = match result {
            Ok(waits) => waits,
            Err(error) => {
                match error {
                    // The destination does not send such a message: it is the source that is at fault.
                    CopyError::Read(error) | CopyError::Write(error @ Error::Input { .. }) => {
                        self.read_failed(i, error);
                    }
                    CopyError::Write(error) => self.write_failed(i, error),
                }
                return Step { has_changed: true, has_more: true };
            }
        };
        let Direction { stage, moved, .. } = self.directions[i];
        Step { has_changed: (stage, moved) != before, has_more: waits == Wait::ForTurn || stage != before.0 }
    }

    fn split(&mut self, i: usize) -> (&mut MessageEnd, &mut MessageEnd, &mut Direction) {
        let [left, right] = &mut self.ends;
        let (from, to) = if i == 0 { (left, right) } else { (right, left) };
        (from, to, &mut self.directions[i])
    }

    fn copy(&mut self, i: usize, cx: &mut Context<'_>) -> Result<Wait, CopyError> {
        let enough = self.bytes + BATCH_BYTES;
        for _ in 0..BATCH {
            if self.bytes >= enough {
                break;
            }
            let (from, to, direction) = self.split(i);
            // Errors are taken out where they are: `map_err` would move each message, too.
            match to.io.poll_ready(cx) {
                Poll::Ready(Ok(())) => direction.is_blocked = false,
                Poll::Ready(Err(error)) => return Err(CopyError::Write(error)),
                Poll::Pending => {
                    direction.is_blocked = true;
                    return Ok(Wait::ForEnd);
                }
            }
            if direction.owes_flush {
                self.flush(i, cx)?;
                let direction = &mut self.directions[i];
                direction.owes_flush = direction.is_blocked;
                if direction.is_blocked {
                    return Ok(Wait::ForEnd);
                }
                continue;
            }
            match from.io.poll_next(cx) {
                Poll::Ready(Ok(Incoming::FlushRequest)) => direction.owes_flush = true,
                Poll::Ready(Ok(Incoming::ControlRequest(frame))) => {
                    to.io.send_control(frame);
                    direction.unflushed = true;
                }
                Poll::Ready(Ok(Incoming::Message(message))) => {
                    let length = message.payload.len();
                    to.io.start_send(message).map_err(CopyError::Write)?;
                    direction.moved += 1;
                    direction.unflushed = true;
                    let is_limited = direction.moved >= direction.limit;
                    self.last_moved = Some(i);
                    self.bytes += length;
                    if let Some(metrics) = &self.rules.metrics {
                        metrics.copied(i, length);
                    }
                    if is_limited && self.apply_limits(i) {
                        break;
                    }
                }
                Poll::Ready(Ok(Incoming::End(close))) => {
                    self.source_ended(i, close);
                    break;
                }
                Poll::Ready(Err(error)) => return Err(CopyError::Read(error)),
                // Flush only when the source is idle, so that a burst needs few writes.
                Poll::Pending => return self.flush(i, cx).map(|()| Wait::ForEnd),
            }
        }
        Ok(Wait::ForTurn)
    }

    fn discard(&mut self, i: usize, cx: &mut Context<'_>) -> Result<Wait, CopyError> {
        if !self.failed[1 - i] {
            self.flush(i, cx)?;
        }
        for _ in 0..BATCH {
            let (from, _, _) = self.split(i);
            match from.io.poll_next(cx).map_err(CopyError::Read)? {
                Poll::Ready(Incoming::Message(_) | Incoming::FlushRequest | Incoming::ControlRequest(_)) => {}
                Poll::Ready(Incoming::End(close)) => {
                    self.source_ended(i, close);
                    break;
                }
                Poll::Pending => return Ok(Wait::ForEnd),
            }
        }
        Ok(Wait::ForTurn)
    }

    fn flush(&mut self, i: usize, cx: &mut Context<'_>) -> Result<(), CopyError> {
        let (_, to, direction) = self.split(i);
        if direction.unflushed {
            direction.is_blocked = to.io.poll_flush(cx).map_err(CopyError::Write)?.is_pending();
            direction.unflushed = direction.is_blocked;
            direction.first_flush.get_or_insert_with(Instant::now);
        }
        Ok(())
    }

    fn confirm(&mut self, i: usize, cx: &mut Context<'_>) -> Result<(), CopyError> {
        self.flush(i, cx)?;
        let (_, to, direction) = self.split(i);
        if !direction.is_blocked && to.io.poll_confirmed(cx).map_err(CopyError::Write)?.is_ready() {
            direction.stage = Stage::Lingering;
        }
        Ok(())
    }

    fn finish(&mut self, i: usize, cx: &mut Context<'_>) -> Result<(), CopyError> {
        if !self.failed[1 - i] {
            let close_override = self.close_override.clone();
            let (_, to, direction) = self.split(i);
            let close = close_override.as_ref().or(direction.close.as_ref());
            direction.is_blocked = to.io.poll_finish(cx, close).map_err(CopyError::Write)?.is_pending();
            if direction.is_blocked {
                return Ok(());
            }
        }
        self.directions[i].stage = Stage::Done;
        self.direction_done(i);
        Ok(())
    }

    /// Waits for the close frames that have not arrived yet, then ends both connections.
    async fn close_connections(&mut self) {
        let limit = self.close_wait;
        let mut owed: [bool; 2] = std::array::from_fn(|i| {
            self.ends[i].kind == EndKind::WebSocket && !self.directions[i].ended && !self.failed[i]
        });
        let ends = &mut self.ends;
        let waiting = poll_fn(|cx| {
            let mut left = BATCH;
            for (end, owes) in ends.iter_mut().zip(&mut owed) {
                while *owes {
                    match end.io.poll_next(cx) {
                        Poll::Ready(Ok(
                            Incoming::Message(_) | Incoming::FlushRequest | Incoming::ControlRequest(_),
                        )) if left > 0 => left -= 1,
                        Poll::Ready(Ok(
                            Incoming::Message(_) | Incoming::FlushRequest | Incoming::ControlRequest(_),
                        )) => {
                            cx.waker().wake_by_ref();
                            return Poll::Pending;
                        }
                        Poll::Ready(_) => *owes = false,
                        Poll::Pending => break,
                    }
                }
            }
            if owed.contains(&true) { Poll::Pending } else { Poll::Ready(()) }
        });
        // With a limit of zero this still polls once. A timeout is not an error: everything has been sent.
        let _ = timeout(limit, waiting).await;
        let letting_go = poll_fn(|cx| {
            let [left, right] = ends.each_mut().map(|end| end.io.poll_shutdown(cx));
            if left.is_ready() && right.is_ready() { Poll::Ready(()) } else { Poll::Pending }
        });
        let _ = timeout(SHUTDOWN_TIMEOUT, letting_go).await;
    }
}

/// What a direction waits for.
#[derive(PartialEq, Eq)]
enum Wait {
    /// For one of its ends, which wakes the task.
    ForEnd,
    /// For its next turn: there may be more to do at once.
    ForTurn,
}

/// What a step of a direction has done.
struct Step {
    /// Messages have moved, or its stage has changed.
    has_changed: bool,
    /// There may be more to do at once.
    has_more: bool,
}

/// Which end of a direction failed.
enum CopyError {
    Read(Error),
    Write(Error),
}
