//! One room: its members, and the batch that is being gathered for them.

use super::{hub::Rules, line::Delivery, member::Member};
use crate::{
    message::{Kind, Message},
    ws::encode_frame,
};
use bytes::{Bytes, BytesMut};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    time::Instant,
};
use tokio::task::unconstrained;
use tokio_tungstenite::tungstenite::protocol::frame::{FrameHeader, coding::OpCode};

/// Batches that a member's task flushes in a row before it hands the rest to a task of its own, so that it can read again.
const MOST_ROUNDS: usize = 16;

/// A room whose buffer has grown beyond this gives it back, instead of keeping the size of its longest message for good.
const KEPT: usize = 64 * 1024;

/// A batch may take so much more memory than it is long, as a part of it: to make it smaller costs a copy.
const SPARE_PART: usize = 8;

/// A room with at least one member.
pub struct Room {
    /// The request target.
    pub target: Arc<str>,
    /// Members that take compressed messages.
    deflating: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Replaced as a whole when somebody joins or leaves, so that a flush needs no lock.
    members: Arc<Vec<Arc<Member>>>,
    pending: BytesMut,
    /// How much gathered there the last time.
    usual: usize,
    /// The same for members that take compressed messages, once it differs.
    pending_deflated: Option<BytesMut>,
    /// Who said what, in order. Only kept when the sender is left out.
    parts: Vec<Part>,
    messages: u64,
    /// When the first of them came.
    since: Option<Instant>,
    is_flushing: bool,
    /// How many messages were said here, and how many of them have gone to all members; who waits for more of them.
    said: u64,
    delivered: u64,
    awaiting_delivery: Vec<Waker>,
    /// Members that hold the room up, and those that wait for it to go on (`--slow block`).
    /// Below zero for the moment in which one has caught up before the flusher that found it slow could count it.
    slow: isize,
    held_up: Vec<Waker>,
}

/// Where one message lies in a batch.
struct Part {
    sender: u64,
    /// Where its frame ends.
    end: usize,
    /// Where it ends for members that take compressed messages.
    deflated_end: usize,
}

impl Room {
    pub fn new(target: Arc<str>) -> Self {
        Self { target, deflating: AtomicUsize::new(0), state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many are in it.
    pub fn len(&self) -> usize {
        self.lock().members.len()
    }

    /// Bytes that wait for its members.
    pub fn backlog(&self) -> usize {
        let members = self.lock().members.clone();
        members.iter().map(|member| member.backlog()).sum()
    }

    /// Lets a member in. It hears what is said from now on.
    pub fn enter(&self, member: Arc<Member>) {
        Arc::make_mut(&mut self.lock().members).push(member);
    }

    /// Takes a member out; tells how many are left.
    pub fn leave(&self, leaving: &Member) -> usize {
        if leaving.takes_deflated() {
            self.deflating.fetch_sub(1, Relaxed);
        }
        let mut state = self.lock();
        let members = Arc::make_mut(&mut state.members);
        members.retain(|member| member.id != leaving.id);
        members.len()
    }

    /// From now on this member's messages are compressed; until now they came plain, which is allowed at any time.
    pub fn deflate_for(&self, member: &Member) {
        self.deflating.fetch_add(1, Relaxed);
        member.take_deflated();
    }

    /// Whether a slow member holds the room up; if so, the task is woken when that is over.
    pub fn is_held_up(&self, cx: &Context<'_>) -> bool {
        let mut state = self.lock();
        if state.slow > 0 && !state.held_up.iter().any(|waiting| waiting.will_wake(cx.waker())) {
            state.held_up.push(cx.waker().clone());
        }
        state.slow > 0
    }

    /// A member that held the room up has caught up or left.
    pub fn caught_up(&self) {
        let mut state = self.lock();
        state.slow -= 1;
        if state.slow <= 0 {
            state.held_up.drain(..).for_each(Waker::wake);
        }
    }

    /// Ready when the message with this number, and so all before it, have gone to all members; else the task is woken then.
    pub fn poll_delivered(&self, number: u64, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.delivered >= number {
            return Poll::Ready(());
        }
        state.awaiting_delivery.push(cx.waker().clone());
        Poll::Pending
    }

    /// Puts a message behind those that wait, and gives its number. [`flush`](Self::flush) must follow.
    pub fn say(&self, sender: u64, message: &Message, rules: &Rules) -> u64 {
        let Message { kind, payload } = message;
        // Once for all, and before others have to wait for it.
        let deflater = rules.deflater.as_ref().filter(|_| self.deflating.load(Relaxed) > 0);
        let deflated = deflater.and_then(|deflater| deflater.deflate(payload));
        let mut guard = self.lock();
        let state = &mut *guard;
        if deflated.is_some() && state.pending_deflated.is_none() {
            state.pending_deflated = Some(state.pending.clone());
        }
        if state.pending.is_empty() {
            // Growing it step by step would copy all of it again.
            state.pending.reserve(state.usual);
        }
        append(&mut state.pending, *kind, false, payload);
        if let Some(pending) = &mut state.pending_deflated {
            append(pending, *kind, deflated.is_some(), deflated.as_ref().unwrap_or(payload));
        }
        if state.messages == 0 {
            state.since = Some(Instant::now());
        }
        state.messages += 1;
        state.said += 1;
        rules.metrics.received.fetch_add(1, Relaxed);
        rules.metrics.received_bytes.fetch_add(payload.len() as u64, Relaxed);
        if !rules.echo {
            let end = state.pending.len();
            let deflated_end = state.pending_deflated.as_ref().map_or(end, BytesMut::len);
            state.parts.push(Part { sender, end, deflated_end });
        }
        state.said
    }

    /// Sends what waits to all members, unless somebody is doing that already.
    pub fn flush(self: &Arc<Self>, rules: &Arc<Rules>) {
        for _ in 0..MOST_ROUNDS {
            let mut state = self.lock();
            if state.is_flushing || state.messages == 0 {
                return;
            }
            state.is_flushing = true;
            state.usual = state.pending.len();
            let batch = Batch {
                bytes: take_exactly(&mut state.pending),
                deflated: state.pending_deflated.take().map(|mut pending| take_exactly(&mut pending)),
                parts: std::mem::take(&mut state.parts),
                messages: std::mem::take(&mut state.messages),
                since: state.since.take().unwrap_or_else(Instant::now),
            };
            let members = state.members.clone();
            drop(state);
            let mut flushing = Flushing { room: self, messages: batch.messages, slow: 0 };
            let mut messages = 0;
            let mut bytes = 0;
            for member in members.iter() {
                let delivery = batch.deliver(member, rules);
                flushing.slow += isize::from(delivery.is_holding_up);
                messages += delivery.taken;
                bytes += delivery.taken_bytes as u64;
            }
            rules.metrics.sent.fetch_add(messages, Relaxed);
            rules.metrics.sent_bytes.fetch_add(bytes, Relaxed);
            rules.metrics.observe(messages, batch.since.elapsed());
        }
        let (room, rules) = (self.clone(), rules.clone());
        tokio::spawn(unconstrained(async move { room.flush(&rules) }));
    }
}

/// Appends a message as one frame.
fn append(out: &mut BytesMut, kind: Kind, is_deflated: bool, payload: &[u8]) {
    // RFC 7692 section 6: the first reserved bit marks a compressed message.
    let header = FrameHeader { rsv1: is_deflated, opcode: OpCode::Data(kind.into()), ..FrameHeader::default() };
    encode_frame(out, header, false, payload);
}

/// The content of a buffer in memory of about its size: stuck members hold batches, and what they hold is counted by their
/// bytes.
fn take_exactly(buffer: &mut BytesMut) -> Bytes {
    if buffer.len() <= KEPT {
        let exact = Bytes::copy_from_slice(buffer);
        buffer.clear();
        // It was reserved for a batch as long as the last.
        if buffer.capacity() > 2 * KEPT {
            *buffer = BytesMut::new();
        }
        return exact;
    }
    let mut whole = Vec::from(std::mem::take(buffer));
    if whole.capacity() - whole.len() > whole.len() / SPARE_PART {
        whole.shrink_to_fit();
    }
    whole.into()
}

/// A batch on its way. However that ends, also by a panic, the room is not left waiting for it.
struct Flushing<'a> {
    room: &'a Room,
    messages: u64,
    slow: isize,
}

impl Drop for Flushing<'_> {
    fn drop(&mut self) {
        let mut state = self.room.lock();
        state.slow += self.slow;
        state.delivered += self.messages;
        state.awaiting_delivery.drain(..).for_each(Waker::wake);
        state.is_flushing = false;
    }
}

/// What is written to every member at once.
struct Batch {
    bytes: Bytes,
    /// The same for members that take compressed messages, where it differs.
    deflated: Option<Bytes>,
    parts: Vec<Part>,
    messages: u64,
    since: Instant,
}

impl Batch {
    fn deliver(&self, member: &Member, rules: &Arc<Rules>) -> Delivery {
        let deflated = self.deflated.as_ref().filter(|_| member.takes_deflated());
        let bytes = deflated.unwrap_or(&self.bytes);
        if self.parts.iter().all(|part| part.sender != member.id) {
            return member.deliver(bytes, self.messages, rules);
        }
        // Without the member's own words; what lies between them still leaves in one piece.
        let end = |part: &Part| if deflated.is_some() { part.deflated_end } else { part.end };
        let starts = std::iter::once(0).chain(self.parts.iter().map(end));
        let others: Vec<_> = starts
            .zip(&self.parts)
            .filter(|(_, part)| part.sender != member.id)
            .map(|(start, part)| &bytes[start..end(part)])
            .collect();
        match others.len() as u64 {
            0 => Delivery::default(),
            messages => member.deliver(&others.concat().into(), messages, rules),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_of_a_long_batch_is_not_kept_by_short_ones() {
        let mut buffer = BytesMut::with_capacity(1 << 20);
        buffer.extend_from_slice(b"short");
        assert_eq!(take_exactly(&mut buffer), "short");
        assert!(buffer.capacity() <= 2 * KEPT, "{} bytes are kept", buffer.capacity());
    }
}
