//! One room: its members, and the batch that is being gathered for them.

use super::{hub::Rules, member::Member};
use crate::{flow::Kind, ws::append_frame};
use bytes::{Bytes, BytesMut};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering::Relaxed},
    task::{Context, Poll, Waker},
    time::Instant,
};
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

/// Batches that a member's task flushes in a row before it hands the rest to a task of its own, so that it can read again.
const MOST_ROUNDS: usize = 16;

/// A room with at least one member.
pub struct Room {
    /// The request target.
    pub target: Arc<str>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Replaced as a whole when somebody joins or leaves, so that a flush needs no lock.
    members: Arc<Vec<Arc<Member>>>,
    pending: BytesMut,
    /// Who said what lies in `pending`: sender, end of the frame, in order. Only kept when the sender is left out.
    parts: Vec<(u64, usize)>,
    messages: u64,
    /// When the first of them came.
    since: Option<Instant>,
    is_flushing: bool,
    /// How many messages were said here, and how many of them have gone to all members; who waits for more of them.
    said: u64,
    delivered: u64,
    awaiting_delivery: Vec<Waker>,
    /// Members that hold the room up, and those that wait for it to go on (`--slow block`). A member may have caught up
    /// before the flusher has counted it among them, so this can be below 0 for a moment.
    slow: isize,
    held_up: Vec<Waker>,
}

impl Room {
    pub fn new(target: Arc<str>) -> Self {
        Self { target, state: Mutex::default() }
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
    pub fn leave(&self, id: u64) -> usize {
        let mut state = self.lock();
        let members = Arc::make_mut(&mut state.members);
        members.retain(|member| member.id != id);
        members.len()
    }

    /// Whether a slow member holds the room up; if so, the task is woken when that is over.
    pub fn is_held_up(&self, cx: &Context<'_>) -> bool {
        let mut state = self.lock();
        if state.slow > 0 {
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
    pub fn say(&self, sender: u64, kind: Kind, payload: &[u8], rules: &Rules) -> u64 {
        let opcode = match kind {
            Kind::Text => Data::Text,
            Kind::Binary => Data::Binary,
        };
        let mut state = self.lock();
        append_frame(&mut state.pending, OpCode::Data(opcode), true, false, payload);
        if state.messages == 0 {
            state.since = Some(Instant::now());
        }
        state.messages += 1;
        state.said += 1;
        rules.metrics.received.fetch_add(1, Relaxed);
        rules.metrics.received_bytes.fetch_add(payload.len() as u64, Relaxed);
        if !rules.echo {
            let end = state.pending.len();
            state.parts.push((sender, end));
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
            let batch = Batch {
                bytes: state.pending.split().freeze(),
                parts: std::mem::take(&mut state.parts),
                messages: std::mem::take(&mut state.messages),
                since: state.since.take().unwrap_or_else(Instant::now),
            };
            let members = state.members.clone();
            drop(state);
            let slow = members.iter().filter(|member| batch.deliver(member, rules)).count();
            let slow = isize::try_from(slow).unwrap_or(isize::MAX);
            let members = members.len() as u64;
            rules.metrics.sent.fetch_add(batch.messages * members, Relaxed);
            rules.metrics.sent_bytes.fetch_add(batch.bytes.len() as u64 * members, Relaxed);
            rules.metrics.observe(batch.messages * members, batch.since.elapsed());
            let mut state = self.lock();
            state.slow += slow;
            state.delivered += batch.messages;
            state.awaiting_delivery.drain(..).for_each(Waker::wake);
            state.is_flushing = false;
        }
        let (room, rules) = (self.clone(), rules.clone());
        tokio::spawn(async move { room.flush(&rules) });
    }
}

/// What is written to every member at once.
struct Batch {
    bytes: Bytes,
    parts: Vec<(u64, usize)>,
    messages: u64,
    since: Instant,
}

impl Batch {
    /// Tells whether the member holds its room up from now on.
    fn deliver(&self, member: &Member, rules: &Rules) -> bool {
        if self.parts.iter().all(|(sender, _)| *sender != member.id) {
            return member.deliver(&self.bytes, self.messages, rules);
        }
        // Without the member's own words; what lies between them still leaves in one piece.
        let mut others = BytesMut::new();
        let (mut start, mut messages) = (0, 0);
        for (sender, end) in &self.parts {
            if *sender != member.id {
                others.extend_from_slice(&self.bytes[start..*end]);
                messages += 1;
            }
            start = *end;
        }
        messages > 0 && member.deliver(&others.freeze(), messages, rules)
    }
}
