//! One room: its members, and the pending batch of messages for them.

use super::{
    delivery::Delivery,
    frame_queue::{Block, Frames, split},
    history::{Histories, History},
    member::Member,
    members::Members,
    outbox::{Delivered, Dismissal},
    resume::{Resume, number},
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};
use crate::{
    cluster::{Body, Position, Recent},
    error::Error,
    memory,
    message::{Kind, Message},
    ws::encode_frame,
};
use bytes::{Bytes, BytesMut};
use std::{
    sync::{Arc, PoisonError},
    task::{Context, Poll, Waker},
    time::Instant,
};
use tokio_tungstenite::tungstenite::protocol::frame::{FrameHeader, coding::OpCode};

/// The largest batch whose buffer is kept for the next one: there may be many rooms, each with few members.
const MAX_KEPT: usize = 4096;

/// Shorter batches are joined into blocks of at least this size, if members that are behind share them. A member may keep a
/// block for half of it.
const BLOCK: usize = 16 * 1024;
/// Or of this many batches: each of them costs a member that is behind a few words.
const BLOCK_BATCHES: usize = 32;
/// Marks places in the stream of frames for members that take compressed messages.
const DEFLATED: u64 = 1 << 63;

/// A batch may leave this part of its memory unused, since shrinking it costs a copy.
const SPARE_PART: usize = 8;

/// A room with at least one member.
pub struct Room {
    /// The request target.
    pub target: Arc<str>,
    /// The number of members that take compressed messages.
    deflating: AtomicUsize,
    /// Whether a member holds the room up.
    is_held_up: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// A flush iterates over a clone without the lock.
    members: Members,
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
    /// A batch is being published or delivered.
    is_flushing: bool,
    /// Messages published so far, and how many of them have been delivered to all members.
    published: u64,
    delivered: u64,
    /// Tasks that wait for more of them to be delivered, or for a change of the subscription.
    awaiting_delivery: Vec<Waker>,
    /// Whether what is published comes here.
    subscription: Subscription,
    /// Grows when the members are dismissed: what was on its way then is dropped.
    generation: u32,
    /// The number of members that hold senders up (`--slow block` and `disconnect`). It is negative for the moment in which a member has caught
    /// up before the flusher that found it slow has counted it.
    slow: isize,
    /// Tasks that wait until no member holds the room up, or until the pending batch is taken.
    held_up: Vec<Waker>,
    /// Bytes of frames sent so far, plain and for members that take compressed messages.
    sent: [u64; 2],
    /// The last batches in both forms, while members are behind. The flusher has them while it writes.
    tails: Option<Box<[Tail; 2]>>,
    /// What members receive that join, if anything is kept.
    history: Option<Box<History>>,
    /// The number of members that want the place of each message. There are none without a history.
    resuming: usize,
}

/// Whether a room receives what is published on other nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Subscription {
    /// It does, or there are none.
    #[default]
    Stands,
    /// It will.
    Pending,
    /// The engine of the cluster is away.
    Refused,
}

/// The last batches of a room, which are to be joined into a block.
#[derive(Default)]
struct Tail {
    joined: Vec<u8>,
    batches: usize,
    /// What was joined before the current batch.
    block: Option<Block>,
}

impl Tail {
    /// A batch is going to be delivered: if it is time to, makes a block of those before it.
    fn begin(&mut self, batch: &Frames) {
        let is_long = batch.bytes.len() >= BLOCK / 2;
        if self.joined.len() >= BLOCK || self.batches >= BLOCK_BATCHES || (is_long && self.batches > 1) {
            let bytes = memory::counted(Bytes::from(std::mem::take(&mut self.joined)));
            self.block = batch.at.map(|at| Block { at: at - bytes.len() as u64, bytes });
            self.batches = 0;
        }
    }

    /// A batch has been delivered, and some of it is queued.
    fn end(&mut self, batch: &Frames) {
        self.block = None;
        if batch.bytes.len() < BLOCK / 2 {
            self.joined.extend_from_slice(&batch.bytes);
            self.batches += 1;
        } else {
            *self = Self::default();
        }
    }
}

/// The place of one message in a batch.
struct Span {
    sender: u64,
    /// The end of its frame.
    end: usize,
    /// The end of its frame in the batch for members that take compressed messages.
    deflated_end: usize,
}

impl State {
    /// Keeps a batch for members that join. Returns its frames for members that want the place of each message, if there are any.
    #[cold]
    fn record(&mut self, batch: &Batch) -> Option<Box<Numbered>> {
        let position = self.history.as_mut()?.record(batch.plain.clone(), batch.messages, batch.position);
        (self.resuming > 0).then(|| {
            let frames = Frames::new(number(&batch.plain, position, 0), batch.messages, None);
            Box::new(Numbered { frames, position })
        })
    }

    /// Wakes the task when no member holds the room up, or when the pending batch is taken.
    fn wait(&mut self, cx: &Context<'_>) {
        if !self.held_up.iter().any(|waiting| waiting.will_wake(cx.waker())) {
            self.held_up.push(cx.waker().clone());
        }
    }
}

impl Room {
    /// An empty room.
    pub fn new(target: Arc<str>, histories: Option<&Arc<Histories>>) -> Self {
        let history = histories.map(|histories| Box::new(History::new(histories)));
        let state = Mutex::new(State { history, ..State::default() });
        Self { target, deflating: AtomicUsize::new(0), is_held_up: AtomicBool::new(false), state }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of its members.
    pub fn len(&self) -> usize {
        self.lock().members.len()
    }

    /// Its members at present.
    pub fn members(&self) -> Vec<Arc<Member>> {
        let members = self.lock().members.clone();
        members.iter().cloned().collect()
    }

    /// Bytes in the backlogs of its members.
    pub fn backlog(&self) -> usize {
        let members = self.lock().members.clone();
        members.iter().map(|member| member.backlog()).sum()
    }

    /// Adds a member. It receives what is kept, and the messages that are published from now on.
    pub fn enter(&self, member: Arc<Member>, delivery: &Delivery) {
        let mut guard = self.lock();
        let state = &mut *guard;
        if let Some(history) = &mut state.history {
            state.resuming += usize::from(member.resume.is_some());
            if state.subscription == Subscription::Stands {
                member.begin(history, delivery);
            }
        }
        state.members.push(member);
    }

    /// When something was published last, if that is kept. What is too old is forgotten.
    pub fn history_used(&self) -> Option<Instant> {
        let mut state = self.lock();
        let history = state.history.as_mut()?;
        (!history.forget_old()).then(|| history.used())
    }

    /// Forgets what was kept for members that join.
    pub fn forget_history(&self) {
        self.lock().history.iter_mut().for_each(|history| history.forget());
    }

    /// Removes a member. Returns how many are left.
    pub fn leave(&self, leaving: &Member) -> usize {
        if leaving.takes_deflated() {
            self.deflating.fetch_sub(1, Relaxed);
        }
        let mut state = self.lock();
        state.members.remove(leaving);
        state.resuming -= usize::from(leaving.resume.is_some());
        state.members.len()
    }

    /// From now on this member receives compressed messages. Those before were not compressed, which is always allowed.
    pub fn deflate_for(&self, member: &Member) {
        self.deflating.fetch_add(1, Relaxed);
        member.take_deflated();
    }

    /// Whether a slow member holds the room up; if so, the task is woken when none does.
    pub fn is_held_up(&self, cx: &Context<'_>) -> bool {
        if !self.is_held_up.load(Relaxed) {
            return false;
        }
        let mut state = self.lock();
        if state.slow > 0 {
            state.wait(cx);
        }
        state.slow > 0
    }

    /// A member that held the room up has caught up or left.
    pub fn caught_up(&self) {
        let mut state = self.lock();
        state.slow -= 1;
        self.is_held_up.store(state.slow > 0, Relaxed);
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

    /// Ready when the room receives what is published on other nodes.
    ///
    /// # Errors
    /// The engine of the cluster is away.
    pub fn poll_subscribed(&self, cx: &Context<'_>) -> Poll<Result<(), Error>> {
        let mut state = self.lock();
        match state.subscription {
            Subscription::Stands => Poll::Ready(Ok(())),
            Subscription::Refused => Poll::Ready(Err(Error::EngineAway { target: self.target.to_string() })),
            Subscription::Pending => {
                state.awaiting_delivery.push(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// What is published comes here from now on. Members that have waited for that receive what is kept, which is `recent` if the engine
    /// of the cluster has told it.
    pub fn open(&self, recent: Option<Recent>, delivery: &Delivery) {
        let mut guard = self.lock();
        let state = &mut *guard;
        if let Some(history) = &mut state.history {
            recent.into_iter().for_each(|recent| history.begin(recent));
            state.members.iter().for_each(|member| member.begin(history, delivery));
        }
        state.subscription = Subscription::Stands;
        state.awaiting_delivery.drain(..).for_each(Waker::wake);
    }

    /// What is published does not come here any more.
    pub fn set_subscription(&self, subscription: Subscription) {
        let mut state = self.lock();
        state.subscription = subscription;
        state.awaiting_delivery.drain(..).for_each(Waker::wake);
    }

    /// Closes all members behind what waits for them, and drops what they have published and did not come back.
    pub fn dismiss(&self, why: Dismissal) {
        let mut state = self.lock();
        let members = state.members.clone();
        state.generation = state.generation.wrapping_add(1);
        drop(Batch::take(&mut state));
        state.is_flushing = false;
        state.delivered = state.published;
        state.awaiting_delivery.drain(..).for_each(Waker::wake);
        state.held_up.drain(..).for_each(Waker::wake);
        drop(state);
        members.iter().for_each(|member| member.dismiss(why));
    }

    /// Whether a batch of this room may still be delivered: its members have not been dismissed since it was taken.
    pub fn is_current(&self, batch: &Batch) -> bool {
        self.lock().generation == batch.generation
    }

    /// Writes a batch to all members.
    pub fn deliver(self: &Arc<Self>, batch: Batch, is_own: bool, delivery: &Delivery) {
        Locked { room: self, state: self.lock() }.deliver(batch, is_own, delivery);
    }

    /// Whether there are members that take compressed messages.
    pub fn takes_deflated(&self) -> bool {
        self.deflating.load(Relaxed) > 0
    }

    /// Appends a message to the pending batch and returns its number. If the batch is full, the task is woken when it has been
    /// taken. A [flush](super::hub::Hub::flush) must follow. `deflated`: its form for members that take compressed messages.
    pub fn publish(
        &self,
        sender: u64,
        message: &Message,
        deflated: Option<&[u8]>,
        delivery: &Delivery,
        cx: &Context<'_>,
    ) -> Poll<u64> {
        let Message { kind, payload } = message;
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.pending.len() >= delivery.pending && state.messages > 0 {
            state.wait(cx);
            return Poll::Pending;
        }
        if deflated.is_some() && state.pending_deflated.is_none() {
            state.pending_deflated = Some(state.pending.clone());
        }
        if state.pending.is_empty() {
            // Growing step by step would copy the batch each time.
            state.pending.reserve(state.previous_size);
        }
        append(&mut state.pending, *kind, false, payload);
        if let Some(pending) = &mut state.pending_deflated {
            append(pending, *kind, deflated.is_some(), deflated.unwrap_or(payload));
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
        Poll::Ready(state.published)
    }

    /// Takes the pending batch to publish it, unless a batch of this room is on its way already. [`Locked::deliver`] must follow, or
    /// [`deliver`](Self::deliver) when it comes back.
    pub fn take_batch(self: &Arc<Self>) -> Option<(Batch, Locked<'_>)> {
        let mut state = self.lock();
        if state.is_flushing || state.messages == 0 {
            return None;
        }
        state.is_flushing = true;
        let batch = Batch::take(&mut state);
        // Some of them may wait for this. The others will wait again.
        state.held_up.drain(..).for_each(Waker::wake);
        Some((batch, Locked { room: self, state }))
    }
}

/// A room whose lock is held.
pub struct Locked<'a> {
    room: &'a Arc<Room>,
    state: MutexGuard<'a, State>,
}

impl Locked<'_> {
    /// The room, whose lock is released.
    pub fn unlock(self) -> Arc<Room> {
        self.room.clone()
    }

    /// Writes a batch to all members. Batches of one room are delivered one after the other. `is_own`: it was taken from the pending
    /// batch of this room, of which the next may be published afterwards.
    pub fn deliver(self, batch: Batch, is_own: bool, delivery: &Delivery) {
        let Self { room, mut state } = self;
        let own_messages = if is_own { batch.messages } else { 0 };
        let numbered = if state.history.is_some() { state.record(&batch) } else { None };
        let batch = batch.place(&mut state.sent, room.takes_deflated(), numbered);
        let mut delivering = Delivering { room, is_own, own_messages, slow: 0, tails: state.tails.take() };
        let members = state.members.clone();
        drop(state);
        batch.begin(&mut delivering.tails);
        let mut messages = 0;
        let mut bytes = 0;
        let mut is_queued = false;
        for member in members.iter() {
            let delivered = batch.deliver(member, delivering.tails.as_deref(), delivery);
            delivering.slow += isize::from(delivered.is_holding_up);
            is_queued |= delivered.is_queued;
            messages += delivered.taken;
            bytes += delivered.taken_bytes as u64;
        }
        batch.end(&mut delivering.tails, is_queued);
        delivery.metrics.sent.fetch_add(messages, Relaxed);
        delivery.metrics.sent_bytes.fetch_add(bytes, Relaxed);
        delivery.metrics.deliveries.observe(messages, batch.since.elapsed());
    }
}

/// Appends a message as one frame.
fn append(out: &mut BytesMut, kind: Kind, is_deflated: bool, payload: &[u8]) {
    // RFC 7692 section 6: the first reserved bit marks a compressed message.
    let header = FrameHeader { rsv1: is_deflated, opcode: OpCode::Data(kind.into()), ..FrameHeader::default() };
    encode_frame(out, &header, false, payload);
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
struct Delivering<'a> {
    room: &'a Room,
    is_own: bool,
    /// The messages in it that members of this room have published here.
    own_messages: u64,
    slow: isize,
    tails: Option<Box<[Tail; 2]>>,
}

impl Drop for Delivering<'_> {
    fn drop(&mut self) {
        let mut state = self.room.lock();
        state.slow += self.slow;
        self.room.is_held_up.store(state.slow > 0, Relaxed);
        state.delivered += self.own_messages;
        state.tails = self.tails.take();
        state.awaiting_delivery.drain(..).for_each(Waker::wake);
        state.is_flushing &= !self.is_own;
        if std::thread::panicking() {
            // Nobody else takes the pending batch for those that wait for that.
            state.held_up.drain(..).for_each(Waker::wake);
        }
    }
}

/// Messages that are published together.
pub struct Batch {
    /// Their frames.
    plain: Bytes,
    /// Their frames for members that take compressed messages, if they differ.
    deflated: Option<Bytes>,
    /// The number of messages.
    messages: u64,
    spans: Vec<Span>,
    /// When the first of them was published, or when they were received.
    since: Instant,
    generation: u32,
    /// Its position at the engine of the cluster.
    position: Option<Position>,
}

impl Batch {
    /// Messages of another node.
    pub fn received(body: Body, messages: u64, position: Position) -> Self {
        let (Body { plain, deflated }, position) = (body, Some(position));
        Self { plain, deflated, messages, spans: Vec::new(), since: Instant::now(), generation: 0, position }
    }

    /// The same for a room whose members have not published any of it.
    pub fn of_others(&self) -> Self {
        let Body { plain, deflated } = self.body();
        let (since, position) = (Instant::now(), self.position);
        Self { plain, deflated, messages: self.messages, spans: Vec::new(), since, generation: 0, position }
    }

    /// The same with its position at the engine of the cluster.
    pub fn at(self, position: Position) -> Self {
        Self { position: Some(position), ..self }
    }

    /// Its frames, for other nodes.
    pub fn body(&self) -> Body {
        Body { plain: self.plain.clone(), deflated: self.deflated.clone() }
    }

    /// Takes the pending batch of a room.
    fn take(state: &mut State) -> Self {
        state.previous_size = state.pending.len();
        Self {
            plain: take_exactly(&mut state.pending),
            deflated: state.pending_deflated.take().map(|mut pending| take_exactly(&mut pending)),
            messages: std::mem::take(&mut state.messages),
            spans: std::mem::take(&mut state.spans),
            since: state.since.take().unwrap_or_else(Instant::now),
            generation: state.generation,
            position: None,
        }
    }

    /// Gives it its place in the room's streams of frames.
    fn place(self, sent: &mut [u64; 2], is_deflating: bool, numbered: Option<Box<Numbered>>) -> PlacedBatch {
        let Self { plain, deflated, messages, spans, since, .. } = self;
        let deflated = deflated.or_else(|| is_deflating.then(|| plain.clone()));
        let [plain_sent, deflated_sent] = sent;
        let at = |sent: &mut u64, bytes: Bytes, form| {
            let at = *sent | form;
            *sent += bytes.len() as u64;
            Frames::new(bytes, messages, Some(at))
        };
        let plain = at(plain_sent, plain, 0);
        let mut forms =
            deflated.map(|bytes| Forms { deflated: Some(at(deflated_sent, bytes, DEFLATED)), numbered: None });
        if numbered.is_some() {
            forms.get_or_insert_default().numbered = numbered;
        }
        PlacedBatch { plain, forms, spans, since }
    }
}

/// Messages that are written to each member with one write.
struct PlacedBatch {
    plain: Frames,
    /// The batch as some members take it, if there are any.
    forms: Option<Forms>,
    spans: Vec<Span>,
    since: Instant,
}

/// A batch for members that do not take plain frames.
#[derive(Default)]
struct Forms {
    /// For members that take compressed messages.
    deflated: Option<Frames>,
    /// For members that want the place of each message.
    numbered: Option<Box<Numbered>>,
}

/// A batch in which each message tells its place.
struct Numbered {
    frames: Frames,
    position: Position,
}

impl PlacedBatch {
    fn deflated(&self) -> Option<&Frames> {
        self.forms.as_ref().and_then(|forms| forms.deflated.as_ref())
    }

    /// Before its delivery.
    fn begin(&self, tails: &mut Option<Box<[Tail; 2]>>) {
        if let Some([plain, deflated]) = tails.as_deref_mut() {
            plain.begin(&self.plain);
            self.deflated().into_iter().for_each(|batch| deflated.begin(batch));
        }
    }

    /// After its delivery. `is_queued`: a member is behind.
    fn end(&self, tails: &mut Option<Box<[Tail; 2]>>, is_queued: bool) {
        if is_queued {
            let [plain, deflated] = &mut **tails.get_or_insert_default();
            plain.end(&self.plain);
            match self.deflated() {
                Some(batch) => deflated.end(batch),
                None => *deflated = Tail::default(),
            }
        } else {
            *tails = None;
        }
    }

    fn deliver(&self, member: &Member, tails: Option<&[Tail; 2]>, delivery: &Delivery) -> Delivered {
        if let Some(forms) = &self.forms
            && let Some(numbered) = &forms.numbered
            && let Some(resume) = &member.resume
        {
            return self.deliver_numbered(numbered, resume, member, delivery);
        }
        let deflated = self.deflated().filter(|_| member.takes_deflated());
        let frames = deflated.unwrap_or(&self.plain);
        let tail = tails.map(|[plain, compressed]| if deflated.is_some() { compressed } else { plain });
        let block = tail.and_then(|tail| tail.block.as_ref());
        if self.spans.iter().all(|span| span.sender != member.id) {
            return member.deliver(frames, block, delivery);
        }
        // Without the member's own messages; the others still leave in one piece.
        let end = |span: &Span| if deflated.is_some() { span.deflated_end } else { span.end };
        let starts = std::iter::once(0).chain(self.spans.iter().map(end));
        let others: Vec<_> = starts
            .zip(&self.spans)
            .filter(|(_, span)| span.sender != member.id)
            .filter_map(|(start, span)| frames.bytes.get(start..end(span)))
            .collect();
        deliver_parts(&others, member, block, delivery)
    }

    fn deliver_numbered(
        &self,
        Numbered { frames, position }: &Numbered,
        resume: &Resume,
        member: &Member,
        delivery: &Delivery,
    ) -> Delivered {
        let skipped = resume.skipped(*position);
        if skipped == 0 && self.spans.iter().all(|span| span.sender != member.id) {
            return member.deliver(frames, None, delivery);
        }
        let senders = self.spans.iter().map(|span| Some(span.sender)).chain(std::iter::repeat(None));
        let others = split(&frames.bytes).zip(senders).skip(usize::try_from(skipped).unwrap_or(usize::MAX));
        let others = others.filter(|(_, sender)| *sender != Some(member.id)).map(|(frame, _)| frame);
        deliver_parts(&others.collect::<Vec<_>>(), member, None, delivery)
    }
}

/// Delivers some frames of a batch, each a message.
fn deliver_parts(frames: &[&[u8]], member: &Member, block: Option<&Block>, delivery: &Delivery) -> Delivered {
    match frames.len() as u64 {
        0 => Delivered::default(),
        messages => member.deliver(&Frames::new(frames.concat().into(), messages, None), block, delivery),
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
