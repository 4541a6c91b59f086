//! One room: its members, and the pending batch of messages for them.

use super::{hub::Delivery, member::Member, outbox::Delivered};
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

/// Batches that a member's task flushes in a row. Then a new task flushes the rest, so that the member's task can read again.
const MAX_ROUNDS: usize = 16;

/// The largest batch whose buffer is kept for the next one: a room must not keep the size of its longest message for good.
const MAX_KEPT: usize = 64 * 1024;

/// A batch may leave this part of its memory unused, since shrinking it costs a copy.
const SPARE_PART: usize = 8;

/// A room with at least one member.
pub struct Room {
    /// The request target.
    pub target: Arc<str>,
    /// The number of members that take compressed messages.
    deflating: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Replaced as a whole when a member joins or leaves, so that a flush can iterate over it without the lock.
    members: Arc<Vec<Arc<Member>>>,
    /// The pending batch: frames that no flusher has taken yet.
    pending: BytesMut,
    /// Size of the previous batch, as a capacity hint.
    previous_size: usize,
    /// The pending batch for members that take compressed messages, once it differs.
    pending_deflated: Option<BytesMut>,
    /// The senders of the pending messages, in order. Kept only if senders do not receive their own messages (`--no-echo`).
    spans: Vec<Span>,
    /// The number of pending messages.
    messages: u64,
    /// When the first of them was published.
    since: Option<Instant>,
    is_flushing: bool,
    /// Messages published so far, and how many of them have been delivered to all members.
    published: u64,
    delivered: u64,
    /// Tasks that wait for more of them to be delivered.
    awaiting_delivery: Vec<Waker>,
    /// The number of members that hold the room up (`--slow block`). It is negative for the moment in which a member has caught
    /// up before the flusher that found it slow has counted it.
    slow: isize,
    /// Tasks that wait until no member holds the room up.
    held_up: Vec<Waker>,
}

/// The place of one message in a batch.
struct Span {
    sender: u64,
    /// The end of its frame.
    end: usize,
    /// The end of its frame in the batch for members that take compressed messages.
    deflated_end: usize,
}

impl Room {
    /// An empty room.
    pub fn new(target: Arc<str>) -> Self {
        Self { target, deflating: AtomicUsize::new(0), state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of its members.
    pub fn len(&self) -> usize {
        self.lock().members.len()
    }

    /// Bytes in the backlogs of its members.
    pub fn backlog(&self) -> usize {
        let members = self.lock().members.clone();
        members.iter().map(|member| member.backlog()).sum()
    }

    /// Adds a member. It receives the messages that are published from now on.
    pub fn enter(&self, member: Arc<Member>) {
        Arc::make_mut(&mut self.lock().members).push(member);
    }

    /// Removes a member. Returns how many are left.
    pub fn leave(&self, leaving: &Member) -> usize {
        if leaving.takes_deflated() {
            self.deflating.fetch_sub(1, Relaxed);
        }
        let mut state = self.lock();
        let members = Arc::make_mut(&mut state.members);
        members.retain(|member| member.id != leaving.id);
        members.len()
    }

    /// From now on this member receives compressed messages. Those before were not compressed, which is always allowed.
    pub fn deflate_for(&self, member: &Member) {
        self.deflating.fetch_add(1, Relaxed);
        member.take_deflated();
    }

    /// Whether a slow member holds the room up; if so, the task is woken when none does.
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

    /// Ready when the message with this number and all before it have been delivered to all members. Otherwise the task is
    /// woken after the next batch.
    pub fn poll_delivered(&self, number: u64, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.delivered >= number {
            return Poll::Ready(());
        }
        state.awaiting_delivery.push(cx.waker().clone());
        Poll::Pending
    }

    /// Appends a message to the pending batch and returns its number. [`flush`](Self::flush) must follow.
    pub fn publish(&self, sender: u64, message: &Message, delivery: &Delivery) -> u64 {
        let Message { kind, payload } = message;
        // Compress once for all members, and before taking the lock.
        let deflater = delivery.deflater.as_ref().filter(|_| self.deflating.load(Relaxed) > 0);
        let deflated = deflater.and_then(|deflater| deflater.deflate(payload));
        let mut guard = self.lock();
        let state = &mut *guard;
        if deflated.is_some() && state.pending_deflated.is_none() {
            state.pending_deflated = Some(state.pending.clone());
        }
        if state.pending.is_empty() {
            // Growing step by step would copy the batch each time.
            state.pending.reserve(state.previous_size);
        }
        append(&mut state.pending, *kind, false, payload);
        if let Some(pending) = &mut state.pending_deflated {
            append(pending, *kind, deflated.is_some(), deflated.as_ref().unwrap_or(payload));
        }
        if state.messages == 0 {
            state.since = Some(Instant::now());
        }
        state.messages += 1;
        state.published += 1;
        delivery.metrics.received.fetch_add(1, Relaxed);
        delivery.metrics.received_bytes.fetch_add(payload.len() as u64, Relaxed);
        if !delivery.echo {
            let end = state.pending.len();
            let deflated_end = state.pending_deflated.as_ref().map_or(end, BytesMut::len);
            state.spans.push(Span { sender, end, deflated_end });
        }
        state.published
    }

    /// Delivers the pending batch to all members, and further ones that are published meanwhile. Does nothing if another task is
    /// flushing.
    pub fn flush(self: &Arc<Self>, delivery: &Arc<Delivery>) {
        for _ in 0..MAX_ROUNDS {
            let mut state = self.lock();
            if state.is_flushing || state.messages == 0 {
                return;
            }
            state.is_flushing = true;
            state.previous_size = state.pending.len();
            let batch = Batch {
                bytes: take_exactly(&mut state.pending),
                deflated: state.pending_deflated.take().map(|mut pending| take_exactly(&mut pending)),
                spans: std::mem::take(&mut state.spans),
                messages: std::mem::take(&mut state.messages),
                since: state.since.take().unwrap_or_else(Instant::now),
            };
            let members = state.members.clone();
            drop(state);
            let mut flushing = Flushing { room: self, messages: batch.messages, slow: 0 };
            let mut messages = 0;
            let mut bytes = 0;
            for member in members.iter() {
                let delivery = batch.deliver(member, delivery);
                flushing.slow += isize::from(delivery.is_holding_up);
                messages += delivery.taken;
                bytes += delivery.taken_bytes as u64;
            }
            delivery.metrics.sent.fetch_add(messages, Relaxed);
            delivery.metrics.sent_bytes.fetch_add(bytes, Relaxed);
            delivery.metrics.observe(messages, batch.since.elapsed());
        }
        let (room, delivery) = (self.clone(), delivery.clone());
        tokio::spawn(unconstrained(async move { room.flush(&delivery) }));
    }
}

/// Appends a message as one frame.
fn append(out: &mut BytesMut, kind: Kind, is_deflated: bool, payload: &[u8]) {
    // RFC 7692 section 6: the first reserved bit marks a compressed message.
    let header = FrameHeader { rsv1: is_deflated, opcode: OpCode::Data(kind.into()), ..FrameHeader::default() };
    encode_frame(out, header, false, payload);
}

/// Takes the content of a buffer into memory of about its length: stuck members hold batches, and backlogs count length.
fn take_exactly(buffer: &mut BytesMut) -> Bytes {
    if buffer.len() <= MAX_KEPT {
        let exact = Bytes::copy_from_slice(buffer);
        buffer.clear();
        // It was reserved for a batch of the previous size.
        if buffer.capacity() > 2 * MAX_KEPT {
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

/// A batch being delivered. However that ends, even by a panic, the room does not wait for it any longer.
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

/// Messages that are written to each member with one write.
struct Batch {
    bytes: Bytes,
    /// The batch for members that take compressed messages, if it differs.
    deflated: Option<Bytes>,
    spans: Vec<Span>,
    messages: u64,
    since: Instant,
}

impl Batch {
    fn deliver(&self, member: &Member, delivery: &Arc<Delivery>) -> Delivered {
        let deflated = self.deflated.as_ref().filter(|_| member.takes_deflated());
        let bytes = deflated.unwrap_or(&self.bytes);
        if self.spans.iter().all(|span| span.sender != member.id) {
            return member.deliver(bytes, self.messages, delivery);
        }
        // Without the member's own messages; the others still leave in one piece.
        let end = |span: &Span| if deflated.is_some() { span.deflated_end } else { span.end };
        let starts = std::iter::once(0).chain(self.spans.iter().map(end));
        let others: Vec<_> = starts
            .zip(&self.spans)
            .filter(|(_, span)| span.sender != member.id)
            .map(|(start, span)| &bytes[start..end(span)])
            .collect();
        match others.len() as u64 {
            0 => Delivered::default(),
            messages => member.deliver(&others.concat().into(), messages, delivery),
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
        assert!(buffer.capacity() <= 2 * MAX_KEPT, "{} bytes are kept", buffer.capacity());
    }
}
