//! The outbox of one member: its connection, and the backlog that it has not taken yet.

use super::{
    frame_queue::{Backlog, Block, Frames},
    history::Replayed,
};
use crate::{
    config::SlowPolicy,
    error::Error,
    flow::{ByteEnd, ByteStream},
    memory::Account,
    message::Close,
    session::{going_away, lifetime_reached},
    ws::{CLOSE_READ_TIMEOUT, ControlState, Heartbeat, ReadEnd, ReadError, append_frame},
};
use bytes::{Bytes, BytesMut};
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Control, OpCode};

/// Each ping is answered while the backlog has at most this many bytes; above that, only the last.
const PONGS: usize = 4096;

/// The outcome of a batch for one member.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Messages that were written or queued.
    pub taken: u64,
    /// Bytes of their frames.
    pub taken_bytes: usize,
    /// Messages that were dropped, of this batch or of earlier ones.
    pub dropped: u64,
    /// The member was closed for being too slow.
    pub disconnected: bool,
    /// From now on the member holds its room up.
    pub is_holding_up: bool,
    /// Some of it waits in the backlog.
    pub is_queued: bool,
}

/// A member's connection. The room's flusher writes to it; the member's task reads from it and writes the backlog.
///
/// The fields that the flusher reads come first, in few cache lines: in a quiet room none of them is cached.
#[repr(C)]
pub struct Outbox {
    io: ByteStream,
    failed: Option<io::Error>,
    /// The member has left its room; a flusher that has not noticed may still deliver.
    has_left: bool,
    needs_flush: bool,
    /// Some of the backlog was written since the last look at the heartbeat.
    has_progressed: bool,
    /// The backlog is long, and senders wait for that to change.
    is_holding_up: bool,
    /// Something was read since the last look at the heartbeat.
    has_received: bool,
    /// The member has what was sent before it joined, if that is kept.
    has_begun: bool,
    /// Why our close frame was sent, if the room has sent it.
    dismissal: Dismissal,
    /// Here a close frame counts as sent when it is in the backlog.
    control: ControlState,
    backlog: Backlog,
    /// Wakes the member's task.
    task: Option<Waker>,
    /// When messages began to wait, or when some of the backlog was written since.
    waits_since: Option<Instant>,
    /// The peer's name in logs and errors.
    name: Arc<str>,
    account: Account,
}

/// Senders wait while more bytes than this wait for a member: with [`SlowPolicy::Block`] as long as it takes, with
/// [`SlowPolicy::Disconnect`] a moment now and then.
fn held_up_above(limit: usize, policy: SlowPolicy) -> usize {
    match policy {
        SlowPolicy::Block => limit,
        SlowPolicy::Disconnect => limit / 2,
        SlowPolicy::DropOldest | SlowPolicy::DropNewest => usize::MAX,
    }
}

/// Why the room closes a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dismissal {
    /// It does not take messages fast enough.
    #[default]
    TooSlow,
    /// It misses messages of other nodes.
    Lost,
    /// The engine of the cluster is away.
    EngineAway,
    /// The engine is back after the node has served its members alone.
    EngineBack,
    /// The server shuts down.
    Stopping,
    /// It has been there for the maximum lifetime of a connection.
    Expired,
}

impl Dismissal {
    /// The close frame.
    pub fn close(self) -> Close {
        match self {
            Self::TooSlow => Close::new(CloseCode::Again.into(), "too slow"),
            Self::Lost => Close::new(CloseCode::Restart.into(), "messages were lost"),
            Self::EngineAway => Close::new(CloseCode::Again.into(), "the engine of the cluster is away"),
            Self::EngineBack => Close::new(CloseCode::Restart.into(), "the engine of the cluster is back"),
            Self::Stopping => going_away(),
            Self::Expired => lifetime_reached(),
        }
    }

    /// The longest time in which the member may answer it. `grace`: that of a server that shuts down.
    pub fn limit(self, grace: Duration) -> Duration {
        match self {
            Self::TooSlow | Self::Lost | Self::EngineAway | Self::EngineBack => CLOSE_READ_TIMEOUT,
            Self::Stopping | Self::Expired => grace,
        }
    }
}

impl Outbox {
    /// An outbox that queues everything until it is [connected](Self::connect). `room`: see [`Account::of_room`].
    pub fn new(name: Arc<str>, room: usize) -> Self {
        Self {
            io: ByteStream::other(Unconnected),
            name,
            backlog: Backlog::default(),
            needs_flush: false,
            has_progressed: false,
            is_holding_up: false,
            waits_since: None,
            control: ControlState::default(),
            has_received: false,
            has_begun: false,
            has_left: false,
            dismissal: Dismissal::default(),
            failed: None,
            task: None,
            account: Account::of_room(room),
        }
    }

    /// The opening handshake has been answered: from now on messages are written to `end`.
    pub fn connect(&mut self, end: ByteEnd, heartbeat: Option<Heartbeat>) {
        self.io = end.io;
        self.control.start_heartbeat(heartbeat);
    }

    /// Queues what was sent before the member joined: `earlier` gives it the first time. Returns the number of messages and bytes.
    pub fn begin(&mut self, earlier: impl FnOnce() -> Vec<Replayed>) -> (u64, usize) {
        if std::mem::replace(&mut self.has_begun, true) || self.close_sent() || self.has_left {
            return (0, 0);
        }
        let (mut all, before) = (0, self.backlog.bytes());
        for Replayed { frames, messages, held } in earlier() {
            all += messages;
            self.backlog.push_earlier(frames, messages, held);
        }
        if !self.backlog.is_empty() {
            self.waits_since.get_or_insert_with(Instant::now);
            self.account.set_shared(self.backlog.bytes());
        }
        (all, self.backlog.bytes() - before)
    }

    /// The peer's name in logs and errors.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Bytes in the backlog.
    pub fn backlog_bytes(&self) -> usize {
        self.backlog.bytes()
    }

    /// Whether our close frame was sent or queued.
    pub fn close_sent(&self) -> bool {
        self.control.close_sent()
    }

    /// The member's close frame has been read.
    pub fn close_received(&mut self, close: Close) {
        self.control.close_received(close);
    }

    /// Whether the member's close frame has been read.
    pub fn is_close_received(&self) -> bool {
        self.control.received_close().is_some()
    }

    /// What an error of reading means.
    pub fn read_failed(&self, error: ReadError) -> ReadEnd {
        self.control.read_failed(error, &self.name)
    }

    /// Writes as much of a batch to the socket as it takes at once. The rest is queued, up to `limit` bytes in the backlog; above
    /// that `policy` decides. `block`: earlier batches that the backlog may share with other members.
    pub fn deliver(&mut self, batch: &Frames, block: Option<&Block>, limit: usize, policy: SlowPolicy) -> Delivered {
        if self.close_sent() || self.has_left || self.failed.is_some() {
            return Delivered::default();
        }
        let bytes = &batch.bytes;
        let mut written = 0;
        if self.backlog.is_empty() {
            written = match self.io.write_now(bytes).unwrap_or_else(|| self.write_through(bytes)) {
                Ok(all) if all == bytes.len() => {
                    return Delivered { taken: batch.messages, taken_bytes: all, ..Delivered::default() };
                }
                Ok(written) => written,
                Err(error) => {
                    self.failed = Some(error);
                    self.wake();
                    return Delivered::default();
                }
            };
        } else if let Some(block) = block {
            self.backlog.compact(block);
        }
        let delivered = self.queue(batch, written, limit, policy);
        self.wake();
        delivered
    }

    /// Writes as much as layers such as TLS take at once. This wakes nobody: the rest is written by the member's task, which then waits
    /// for the socket.
    fn write_through(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut never = Context::from_waker(Waker::noop());
        let mut written = 0;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            match Pin::new(&mut self.io).poll_write(&mut never, rest)? {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(more) => written += more,
                Poll::Pending => return Ok(written),
            }
        }
        // They may hold the last bytes.
        if !matches!(Pin::new(&mut self.io).poll_flush(&mut never), Poll::Ready(Ok(()))) {
            self.needs_flush = true;
            self.wake();
        }
        Ok(written)
    }

    /// Queues what is not written of a batch.
    fn queue(&mut self, batch: &Frames, written: usize, limit: usize, policy: SlowPolicy) -> Delivered {
        let mut delivered = Delivered { is_queued: true, ..Delivered::default() };
        let (mut missed, mut missed_bytes) = (0, 0);
        let rest = batch.bytes.len() - written;
        if self.backlog.bytes() + rest <= limit || self.backlog.is_exempt(batch, written) {
            self.backlog.push_rest(batch, written);
        } else {
            match policy {
                SlowPolicy::Block => {
                    delivered.is_holding_up = !self.is_holding_up;
                    self.is_holding_up = true;
                    self.backlog.push_rest(batch, written);
                }
                SlowPolicy::DropNewest => {
                    (missed, missed_bytes) = self.backlog.push_oldest(batch, written, limit);
                }
                SlowPolicy::DropOldest => {
                    delivered.dropped = self.backlog.drop_oldest(limit.saturating_sub(rest));
                    (missed, missed_bytes) = self.backlog.push_newest(batch, written, limit);
                }
                SlowPolicy::Disconnect => {
                    (missed, missed_bytes) = match written {
                        0 => (batch.messages, rest),
                        // A frame that has been started is completed.
                        _ => self.backlog.push_oldest(batch, written, 0),
                    };
                    delivered.dropped = self.give_up();
                    delivered.disconnected = true;
                }
            }
        }
        if policy == SlowPolicy::Disconnect && self.backlog.bytes() > held_up_above(limit, policy) && !self.close_sent()
        {
            delivered.is_holding_up = !self.is_holding_up;
            self.is_holding_up = true;
        }
        self.waits_since.get_or_insert_with(Instant::now);
        self.account.set_shared(self.backlog.bytes());
        delivered.dropped += missed;
        delivered.taken = batch.messages - missed;
        delivered.taken_bytes = batch.bytes.len() - missed_bytes;
        delivered
    }

    /// Queues a control frame, which no policy drops.
    fn queue_control(&mut self, opcode: Control, payload: &[u8]) {
        let mut frame = BytesMut::new();
        append_frame(&mut frame, OpCode::Control(opcode), true, false, payload);
        self.backlog.push_control(frame.freeze());
        self.wake();
    }

    /// Queues a close frame, the last frame for this member.
    pub fn close(&mut self, close: &Close) {
        if self.control.start_close() {
            self.queue_control(Control::Close, &close.payload());
        }
    }

    /// Whether the room waits for this member.
    pub fn is_holding_up(&self) -> bool {
        self.is_holding_up
    }

    /// Whether the member held its room up until now and no longer does.
    pub fn has_caught_up(&mut self, limit: usize, policy: SlowPolicy) -> bool {
        self.backlog.bytes() <= held_up_above(limit, policy) && self.release()
    }

    /// When the member last took something, if there is something to take.
    pub fn waits_since(&self) -> Option<Instant> {
        self.waits_since
    }

    /// Writes whether or not the socket was reported as writable: the kernel does that when a third of its buffer is free,
    /// which takes a member with a slow connection a while. Returns whether something was written.
    pub fn write_now(&mut self) -> bool {
        let Some(front) = self.backlog.front() else { return false };
        match self.io.write_now(front) {
            // What failed, the next write of the member's task tells.
            None | Some(Ok(0) | Err(_)) => false,
            Some(Ok(written)) => {
                self.has_written(written);
                true
            }
        }
    }

    fn has_written(&mut self, written: usize) {
        self.has_progressed |= self.backlog.advance(written);
        self.waits_since = (!self.backlog.is_empty()).then(Instant::now);
        self.account.set_shared(self.backlog.bytes());
    }

    /// Closes the member for being too slow. Returns the number of messages that it misses.
    pub fn give_up(&mut self) -> u64 {
        self.give_up_with(&Dismissal::TooSlow.close())
    }

    /// Closes the member behind what waits for it.
    pub fn dismiss(&mut self, dismissal: Dismissal) {
        if !self.close_sent() {
            self.dismissal = dismissal;
            self.close(&dismissal.close());
        }
    }

    /// Why the room has closed the member.
    pub fn dismissal(&self) -> Dismissal {
        self.dismissal
    }

    /// Drops what waits for the member and closes it. Returns the number of messages that it misses.
    pub fn give_up_with(&mut self, close: &Close) -> u64 {
        let dropped = self.backlog.drop_oldest(0);
        self.close(close);
        self.account.set_shared(self.backlog.bytes());
        dropped
    }

    /// The member's task holds so many bytes.
    pub fn set_read(&mut self, bytes: usize) {
        self.account.set_own(bytes);
    }

    /// Whether the member must be closed to free memory; if so, how many bytes are held for it. `read`: how many of them its task holds.
    /// Otherwise its task is woken when that changes, and if it `pauses`, when it may read again.
    pub fn poll_memory(&mut self, cx: &Context<'_>, read: usize, pauses: bool) -> Option<usize> {
        self.set_read(read);
        self.account.poll_must_close(cx, pauses).then(|| self.account.held())
    }

    /// Takes no more messages of the room. Returns whether the member held it up.
    pub fn leave(&mut self) -> bool {
        self.has_left = true;
        self.release()
    }

    fn release(&mut self) -> bool {
        std::mem::take(&mut self.is_holding_up)
    }

    fn wake(&mut self) {
        self.task.take().into_iter().for_each(Waker::wake);
    }

    /// Writes the backlog, for the member's task. Ready when it is empty.
    ///
    /// # Errors
    ///
    /// Writing failed, here or in the room's flusher.
    pub fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.task = Some(cx.waker().clone());
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Err(error));
        }
        loop {
            if let Some(payload) = self.control.take_pong(self.backlog.is_empty()) {
                self.queue_control(Control::Pong, &payload);
            }
            let Some(front) = self.backlog.front() else { break };
            match Pin::new(&mut self.io).poll_write(cx, front)? {
                Poll::Pending => {
                    self.backlog.trim();
                    return Poll::Pending;
                }
                Poll::Ready(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(written) => {
                    self.has_written(written);
                    self.needs_flush = true;
                }
            }
        }
        if self.needs_flush {
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            self.needs_flush = false;
        }
        self.backlog.trim();
        Poll::Ready(Ok(()))
    }

    /// Reads, for the member's task.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        self.has_received |= read.is_ready();
        read
    }

    /// Queues a ping when it is due. `reads`: the connection is being read; otherwise a pong may have arrived unnoticed. A member
    /// with a backlog must drain it; its own traffic does not count.
    ///
    /// # Errors
    ///
    /// The member has shown no sign of life for too long.
    pub fn poll_heartbeat(&mut self, cx: &mut Context<'_>, reads: bool) -> Poll<Result<(), Error>> {
        let (has_progressed, has_received) =
            (std::mem::take(&mut self.has_progressed), std::mem::take(&mut self.has_received));
        // Draining the backlog counts as a sign of life, since the ping may be far behind in it.
        let has_room = self.backlog.is_empty();
        let is_alive = has_progressed || ((has_received || !reads) && has_room);
        let due = ready!(self.control.poll_heartbeat(cx, &self.name, is_alive, has_room));
        if due.is_ok() {
            self.queue_control(Control::Ping, b"");
        }
        Poll::Ready(due)
    }

    /// Answers a ping: at once if the backlog is short, else when it has been written, and then only the last ping.
    pub fn pong(&mut self, payload: Bytes) {
        self.control.ping_received(payload);
        if let Some(payload) = self.control.take_pong(self.backlog.bytes() <= PONGS) {
            self.queue_control(Control::Pong, &payload);
        }
    }

    /// Shuts our direction of the connection down.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// The connection of a member whose opening handshake is being answered.
struct Unconnected;

impl AsyncRead for Unconnected {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Unconnected {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Context;

    /// Frames of ten bytes.
    fn frames(messages: u64) -> Frames {
        let frame = [0x82, 8, 0, 0, 0, 0, 0, 0, 0, 0];
        Frames::new(frame.repeat(messages as usize).into(), messages, None)
    }

    /// An outbox in which five bytes of a frame wait.
    fn stuck() -> Outbox {
        // A pipe that holds five bytes and is never read.
        let (near, far) = tokio::io::duplex(5);
        std::mem::forget(far);
        let mut outbox = Outbox::new("stuck".into(), 0);
        outbox.connect(ByteEnd::peer(near, "stuck"), None);
        let delivered = outbox.deliver(&frames(1), None, 100, SlowPolicy::Disconnect);
        let whole = Delivered { taken: 1, taken_bytes: 10, is_queued: true, ..Delivered::default() };
        assert_eq!((delivered, outbox.backlog_bytes()), (whole, 5));
        outbox
    }

    fn fill(outbox: &mut Outbox, policy: SlowPolicy, times: u64) -> u64 {
        (0..times).map(|_| outbox.deliver(&frames(2), None, 35, policy).dropped).sum()
    }

    #[test]
    fn the_newest_are_dropped_beyond_the_backlog() {
        let mut outbox = stuck();
        assert_eq!(fill(&mut outbox, SlowPolicy::DropNewest, 5), 7);
        assert_eq!(outbox.backlog_bytes(), 35);
    }

    #[test]
    fn the_oldest_are_dropped_but_never_half_a_frame() {
        let mut outbox = stuck();
        assert_eq!(fill(&mut outbox, SlowPolicy::DropOldest, 5), 7);
        assert_eq!(outbox.backlog_bytes(), 35);
        assert_eq!(outbox.backlog.front().map(<[u8]>::len), Some(5), "the frame that was cut stays");
    }

    #[test]
    fn a_slow_member_is_closed_with_1013_behind_the_frame_that_was_cut() {
        let mut outbox = stuck();
        assert_eq!(fill(&mut outbox, SlowPolicy::Disconnect, 1), 0);
        let delivered = outbox.deliver(&frames(2), None, 35, SlowPolicy::Disconnect);
        let dropped = Delivered { dropped: 4, disconnected: true, is_queued: true, ..Delivered::default() };
        assert_eq!(delivered, dropped);
        assert_eq!(outbox.backlog_bytes(), 5 + 12);
        outbox.backlog.advance(5);
        assert_eq!(outbox.backlog.front().map(|close| &close[..4]), Some(&[0x88, 10, 0x03, 0xf5][..]));
        assert!(outbox.close_sent());
        let mut never = Context::from_waker(Waker::noop());
        assert!(outbox.poll_drain(&mut never).is_pending());
    }
}
