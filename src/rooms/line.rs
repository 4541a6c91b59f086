//! The way to one member: its connection, and what it has not taken yet.

use crate::{
    config::SlowPolicy,
    error::Error,
    flow::ByteEnd,
    message::Close,
    ws::{ControlState, Heartbeat, ReadEnd, ReadError, append_frame},
};
use bytes::{Buf, Bytes, BytesMut};
use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, OpCode};

/// While no more bytes than this wait for a member, each of its pings is answered; beyond, only the last.
const PONGS: usize = 4096;

/// Messages are gathered into pieces of up to this size, so that a piece of its own costs little beside what is in it.
const GATHERED: usize = 4096;
/// The same as a part of what may wait: the oldest are dropped by pieces.
const GATHERED_PART: usize = 16;

/// A piece of the backlog: whole frames, of which the first piece may have been written in part.
struct Piece {
    bytes: Bytes,
    /// Messages in it; 0 for control frames, which no policy drops.
    messages: u64,
}

/// What became of a batch at one member.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Messages that were written, or wait.
    pub taken: u64,
    /// Their frames.
    pub taken_bytes: usize,
    /// Messages that were dropped, of this batch or of earlier ones.
    pub dropped: u64,
    /// The member was told to go.
    pub disconnected: bool,
    /// From now on the member holds its room up.
    pub is_holding_up: bool,
}

/// A member's connection. The room's flusher writes to it, its own task reads from it and writes its backlog.
pub struct Line {
    end: ByteEnd,
    backlog: VecDeque<Piece>,
    backlog_bytes: usize,
    /// The first piece of the backlog has been written in part, so it must be written to its end.
    is_cut: bool,
    needs_flush: bool,
    has_progressed: bool,
    /// More than its limit waits, and its room waits for it.
    is_holding_up: bool,
    /// Our close frame counts as sent when it is in the backlog.
    control: ControlState,
    has_heard: bool,
    /// The member is out of its room; what a flusher that has not noticed yet brings is not for it.
    has_left: bool,
    failed: Option<io::Error>,
    /// The member's task.
    owner: Option<Waker>,
}

impl Line {
    /// A line that gathers what is said until it is [connected](Self::connect).
    pub fn new(name: &str) -> Self {
        Self {
            end: ByteEnd::peer(NotYet, name),
            backlog: VecDeque::new(),
            backlog_bytes: 0,
            is_cut: false,
            needs_flush: false,
            has_progressed: false,
            is_holding_up: false,
            control: ControlState::default(),
            has_heard: false,
            has_left: false,
            failed: None,
            owner: None,
        }
    }

    /// The upgrade has been answered: from now on what is said is written.
    pub fn connect(&mut self, end: ByteEnd, heartbeat: Option<Heartbeat>) {
        self.end = ByteEnd { name: self.end.name.clone(), ..end };
        self.control.start_heartbeat(heartbeat);
    }

    /// The name of the peer.
    pub fn name(&self) -> &Arc<str> {
        &self.end.name
    }

    /// Bytes that wait.
    pub fn backlog_bytes(&self) -> usize {
        self.backlog_bytes
    }

    /// Whether a close frame of ours is out.
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
        self.control.read_failed(error, &self.end.name)
    }

    /// Writes a batch straight to the socket as far as that takes it; the rest waits, or is dealt with by the policy.
    pub fn deliver(&mut self, batch: &Bytes, messages: u64, limit: usize, policy: SlowPolicy) -> Delivery {
        if self.close_sent() || self.has_left || self.failed.is_some() {
            return Delivery::default();
        }
        let whole = Delivery { taken: messages, taken_bytes: batch.len(), ..Delivery::default() };
        let mut rest = batch.clone();
        if self.backlog.is_empty() {
            // Nobody is woken by this write; what is left over is written by the member's task, which then waits.
            let mut never = Context::from_waker(Waker::noop());
            while !rest.is_empty() {
                match Pin::new(&mut self.end.io).poll_write(&mut never, &rest) {
                    Poll::Ready(Ok(0)) => self.failed = Some(io::ErrorKind::WriteZero.into()),
                    Poll::Ready(Ok(written)) => {
                        rest.advance(written);
                        continue;
                    }
                    Poll::Ready(Err(error)) => self.failed = Some(error),
                    Poll::Pending => break,
                }
                self.wake();
                return Delivery::default();
            }
            if rest.is_empty() {
                // A layer such as TLS may hold the last bytes.
                if !matches!(Pin::new(&mut self.end.io).poll_flush(&mut never), Poll::Ready(Ok(()))) {
                    self.needs_flush = true;
                    self.wake();
                }
                return whole;
            }
            self.is_cut = rest.len() < batch.len();
            if rest.len() < batch.len() / 2 {
                // The rest of a batch would keep all of it in memory.
                rest = Bytes::copy_from_slice(&rest);
            }
        }
        let mut delivery = self.queue(rest, messages, limit, policy);
        if delivery.taken > 0 {
            delivery.taken_bytes = batch.len();
        }
        self.wake();
        delivery
    }

    fn queue(&mut self, bytes: Bytes, messages: u64, limit: usize, policy: SlowPolicy) -> Delivery {
        let mut delivery = Delivery::default();
        // One for whom nothing waits is not slow, however long the message is.
        let must_go = self.backlog.is_empty();
        if self.backlog_bytes + bytes.len() > limit && !must_go {
            match policy {
                SlowPolicy::Block => {
                    delivery.is_holding_up = !self.is_holding_up;
                    self.is_holding_up = true;
                }
                SlowPolicy::DropNewest => return Delivery { dropped: messages, ..delivery },
                SlowPolicy::DropOldest => {
                    delivery.dropped = self.make_room(limit.saturating_sub(bytes.len()));
                    if self.backlog_bytes + bytes.len() > limit {
                        delivery.dropped += messages;
                        return delivery;
                    }
                }
                SlowPolicy::Disconnect => {
                    delivery.dropped = messages + self.make_room(0);
                    delivery.disconnected = true;
                    self.close(&Close::new(1013, "too slow"));
                    return delivery;
                }
            }
        }
        delivery.taken = messages;
        self.backlog_bytes += bytes.len();
        let most = GATHERED.min(limit / GATHERED_PART);
        match self.backlog.back_mut() {
            Some(last) if last.messages > 0 && last.bytes.len() + bytes.len() <= most => {
                // Other members may hold the same piece.
                let own = std::mem::take(&mut last.bytes).try_into_mut();
                let mut own = own.unwrap_or_else(|shared| BytesMut::from(&shared[..]));
                own.extend_from_slice(&bytes);
                last.bytes = own.freeze();
                last.messages += messages;
            }
            _ => self.backlog.push_back(Piece { bytes, messages }),
        }
        delivery
    }

    /// Drops the oldest messages until no more than `limit` bytes wait; counts them.
    fn make_room(&mut self, limit: usize) -> u64 {
        let mut dropped = 0;
        let mut at = usize::from(self.is_cut);
        while self.backlog_bytes > limit && at < self.backlog.len() {
            if self.backlog[at].messages == 0 {
                at += 1;
            } else if let Some(piece) = self.backlog.remove(at) {
                self.backlog_bytes -= piece.bytes.len();
                dropped += piece.messages;
            }
        }
        dropped
    }

    /// Queues a control frame, which no policy drops.
    fn queue_control(&mut self, opcode: Control, payload: &[u8]) {
        let mut frame = BytesMut::new();
        append_frame(&mut frame, OpCode::Control(opcode), true, false, payload);
        self.backlog_bytes += frame.len();
        self.backlog.push_back(Piece { bytes: frame.freeze(), messages: 0 });
        self.wake();
    }

    /// Queues a close frame, the last that this member is sent.
    pub fn close(&mut self, close: &Close) {
        if self.control.start_close() {
            self.queue_control(Control::Close, &close.payload());
        }
    }

    /// Whether its room waits for it.
    pub fn is_holding_up(&self) -> bool {
        self.is_holding_up
    }

    /// Whether it held its room up until now and no longer does.
    pub fn has_caught_up(&mut self, limit: usize) -> bool {
        self.backlog_bytes <= limit && self.let_go()
    }

    /// Takes nothing from its room any more; tells whether it held that up.
    pub fn leave(&mut self) -> bool {
        self.has_left = true;
        self.let_go()
    }

    fn let_go(&mut self) -> bool {
        std::mem::take(&mut self.is_holding_up)
    }

    fn wake(&mut self) {
        self.owner.take().into_iter().for_each(Waker::wake);
    }

    /// For the member's task: writes the backlog. Ready when nothing waits, or with the connection's failure.
    pub fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.owner = Some(cx.waker().clone());
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Err(error));
        }
        loop {
            if let Some(payload) = self.control.take_pong(self.backlog.is_empty()) {
                self.queue_control(Control::Pong, &payload);
            }
            let Some(piece) = self.backlog.front_mut() else { break };
            match ready!(Pin::new(&mut self.end.io).poll_write(cx, &piece.bytes))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => {
                    piece.bytes.advance(written);
                    self.backlog_bytes -= written;
                    self.has_progressed |= piece.messages > 0;
                    self.is_cut = !piece.bytes.is_empty();
                    if !self.is_cut {
                        self.backlog.pop_front();
                    }
                    self.needs_flush = true;
                }
            }
        }
        if self.needs_flush {
            ready!(Pin::new(&mut self.end.io).poll_flush(cx))?;
            self.needs_flush = false;
        }
        // A backlog that was long gives its memory back.
        if self.backlog.capacity() > 64 {
            self.backlog = VecDeque::new();
        }
        Poll::Ready(Ok(()))
    }

    /// Reads for the member's task.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.end.io).poll_read(cx, buf);
        self.has_heard |= read.is_ready();
        read
    }

    /// Queues a ping when it is time. Anything that arrives is a sign of life, and where nothing is read (`reads`) a pong may
    /// have come; but a member that holds its room up must take what waits, whatever it says.
    ///
    /// # Errors
    ///
    /// No sign of life for too long.
    pub fn poll_heartbeat(&mut self, cx: &mut Context<'_>, reads: bool) -> Poll<Result<(), Error>> {
        let (has_progressed, has_heard) =
            (std::mem::take(&mut self.has_progressed), std::mem::take(&mut self.has_heard));
        // Who takes what waits is alive, though the ping may be far behind it.
        let is_alive = has_progressed || ((has_heard || !reads) && !self.is_holding_up);
        let has_room = self.backlog.is_empty();
        let due = ready!(self.control.poll_heartbeat(cx, &self.end.name, is_alive, has_room));
        if due.is_ok() {
            self.queue_control(Control::Ping, b"");
        }
        Poll::Ready(due)
    }

    /// Answers a ping: at once, or the last of them when the backlog has been written (RFC 6455 section 5.5.3), so that
    /// a member that pings and never reads costs little.
    pub fn pong(&mut self, payload: Bytes) {
        self.control.ping_received(payload);
        if let Some(payload) = self.control.take_pong(self.backlog_bytes <= PONGS) {
            self.queue_control(Control::Pong, &payload);
        }
    }

    /// Ends our direction of the connection.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.end.io).poll_shutdown(cx)
    }
}

/// The connection of a member whose upgrade is being answered.
struct NotYet;

impl AsyncRead for NotYet {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for NotYet {
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

    fn stuck() -> Line {
        // A pipe that holds ten bytes and is never read.
        let (near, far) = tokio::io::duplex(10);
        std::mem::forget(far);
        let mut line = Line::new("stuck");
        line.connect(ByteEnd::peer(near, "stuck"), None);
        let delivery = line.deliver(&Bytes::from_static(&[0; 15]), 1, 100, SlowPolicy::Disconnect);
        let whole = Delivery { taken: 1, taken_bytes: 15, ..Delivery::default() };
        assert_eq!((delivery, line.backlog_bytes()), (whole, 5));
        line
    }

    fn fill(line: &mut Line, policy: SlowPolicy, times: u64) -> u64 {
        (0..times).map(|_| line.deliver(&Bytes::from_static(&[1; 10]), 2, 35, policy).dropped).sum()
    }

    #[test]
    fn the_newest_are_dropped_beyond_the_backlog() {
        let mut line = stuck();
        assert_eq!(fill(&mut line, SlowPolicy::DropNewest, 5), 4);
        assert_eq!(line.backlog_bytes(), 35);
    }

    #[test]
    fn the_oldest_are_dropped_but_never_half_a_frame() {
        let mut line = stuck();
        assert_eq!(fill(&mut line, SlowPolicy::DropOldest, 5), 4);
        assert_eq!(line.backlog_bytes(), 35);
        assert_eq!(line.backlog[0].bytes.len(), 5, "the piece that was cut stays");
    }

    #[test]
    fn a_slow_member_is_closed_with_1013_behind_the_frame_that_was_cut() {
        let mut line = stuck();
        assert_eq!(fill(&mut line, SlowPolicy::Disconnect, 3), 0);
        let delivery = line.deliver(&Bytes::from_static(&[1; 10]), 2, 35, SlowPolicy::Disconnect);
        assert_eq!(delivery, Delivery { dropped: 8, disconnected: true, ..Delivery::default() });
        assert_eq!(line.backlog[1].bytes[..4], [0x88, 10, 0x03, 0xf5]);
        assert!(line.close_sent());
        let mut never = Context::from_waker(Waker::noop());
        assert!(line.poll_drain(&mut never).is_pending());
    }

    #[test]
    fn what_waits_is_gathered_and_keeps_no_more_in_memory_than_is_counted() {
        let mut line = stuck();
        line.make_room(0);
        let (message, limit) = (Bytes::from_static(&[1; 100]), 1 << 20);
        for _ in 0..1000 {
            line.deliver(&message, 1, limit, SlowPolicy::DropNewest);
        }
        assert_eq!(line.backlog_bytes(), 5 + 100_000);
        assert!(line.backlog.len() < 30, "{} pieces", line.backlog.len());
        assert_eq!(line.backlog.iter().map(|piece| piece.messages).sum::<u64>(), 1001);
        // The rest of a batch that was nearly written does not keep all of it.
        let mut line = Line::new("slow");
        let (near, far) = tokio::io::duplex(90);
        line.connect(ByteEnd::peer(near, "slow"), None);
        let batch = Bytes::from(vec![1; 100]);
        line.deliver(&batch, 1, limit, SlowPolicy::DropNewest);
        assert!((line.backlog_bytes(), batch.is_unique()) == (10, true));
        drop(far);
    }
}
