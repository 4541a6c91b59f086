//! One room as one node follows it at the engine. No I/O and no clock: what happens goes in by calls, what is to be done comes out as
//! [`Action`]s.
//!
//! One batch of the node is on its way at a time. It is delivered when it comes back from the engine, in the place that it has there; so all
//! nodes deliver the same in the same order. A batch that the engine has not confirmed is sent again under the same number, which the
//! engine stores once. Each publication tells its predecessor; if that is not the last one that was received, what is missing is fetched, and if
//! it cannot be, the members of the room are told that messages were lost.

use super::{
    engine::{BatchId, EngineError, Position, Publication},
    payload::{Body, Header},
};
use bytes::{Bytes, BytesMut};
use std::{collections::VecDeque, sync::Arc};

/// Publications that are fetched at once.
pub const FETCHED: usize = 64;
/// Publications that are kept while earlier ones are being fetched. Further ones are fetched as well.
const MAX_HELD: usize = 64;
/// The same in bytes.
const MAX_HELD_BYTES: usize = 1 << 20;
/// Nodes whose batches are being put together. That of a further node replaces the oldest, whose chunks are fetched if they are needed.
const MAX_PARTIAL: usize = 8;
/// Ticks after which a batch that is stored but has not come back is fetched.
const PATIENCE: u8 = 2;

/// What all channels of a node share.
#[derive(Clone, Copy, Debug)]
pub struct NodeLimits {
    /// See [`BatchId`].
    pub node: u64,
    /// The longest payload that the engine takes, in bytes.
    pub max_payload: usize,
    /// The longest batch of another node, in bytes.
    pub max_batch: usize,
    /// Publications that are fetched for those that join a room; 0: none.
    pub recent: usize,
}

/// The last batches of a room when it was opened.
#[derive(Debug, PartialEq, Eq)]
pub struct Recent {
    /// The place behind which everything is delivered.
    pub position: Position,
    /// All batches after this sequence and up to `position` are there.
    pub after: u64,
    /// The batches, with the number of messages and the place of each.
    pub batches: Vec<(Body, u64, Position)>,
}

/// What a channel asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Action<B> {
    /// Subscribe; [`Channel::subscribed`] gets the result.
    Subscribe,
    /// End the subscription; [`Channel::unsubscribed`] gets the result.
    Unsubscribe,
    /// Publish; [`Channel::stored`] gets the result.
    Publish(BatchId, Bytes),
    /// Fetch at most [`FETCHED`] publications after this place; [`Channel::fetched`] gets the result.
    Since(Position),
    /// Fetch at most so many of the last publications; [`Channel::recent`] gets the result.
    Last(usize),
    /// Members that join from now on receive everything that is published from now on, and if the limits ask for them the last batches
    /// before that.
    Opened(Option<Recent>),
    /// Deliver a batch of this node, of which the next may be published. Without a place the room has no members, or only those that
    /// receive it when the room is [opened](Self::Opened).
    DeliverOwn(B, Option<Position>),
    /// Deliver a batch of another node, with so many messages.
    Deliver(Body, u64, Position),
    /// Messages were lost: tell those that are members now. What this node was about to publish is dropped.
    Lost,
    /// So many publications that had not come were fetched.
    Repaired(usize),
    /// Something was published that is not of a node of this version.
    Stranger,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subscription {
    No,
    /// A request failed, which may have had its effect.
    Unknown,
    Stands,
}

/// A request that is on its way. There is one at a time besides publishing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Subscribe,
    Unsubscribe,
    /// For what follows the current place. So many were known to exist when it was sent.
    Since {
        seen: u64,
    },
    /// For the first chunks of a batch.
    Start,
    /// For the last publications.
    Last,
}

/// The batch of this node that is on its way.
struct Outgoing<B> {
    batch: B,
    body: Body,
    number: u64,
    count: u32,
    /// The number of chunks that the engine has confirmed.
    stored: u32,
    /// The sequence of the first chunk.
    first: u64,
    /// Ticks since all were confirmed.
    waited: u8,
}

impl<B> Outgoing<B> {
    /// Whether the engine has all of it.
    fn is_stored(&self) -> bool {
        self.stored == self.count
    }
}

/// A batch of which chunks came before the subscription.
#[derive(Clone, Copy)]
struct Missing {
    node: u64,
    /// The sequence of its first chunk.
    first: u64,
    /// It is fetched behind this sequence.
    after: u64,
}

/// Chunks of another node's batch.
struct Partial {
    node: u64,
    number: u64,
    /// The chunk that follows.
    next: u32,
    joined: BytesMut,
}

/// One room at one node. `B` is a batch of the node, as it is given back.
pub struct Channel<B> {
    limits: NodeLimits,
    room: Arc<str>,
    /// Whether the room has members here.
    is_wanted: bool,
    subscription: Subscription,
    /// The room is opened when its last publications are known.
    awaits_recent: bool,
    request: Option<Request>,
    /// What is being published.
    publishing: Option<BatchId>,
    /// A request failed; the next follows at the next tick.
    rests: bool,
    /// The last publication that was handled.
    position: Position,
    /// The highest sequence that is known to exist in this epoch.
    seen: u64,
    /// Publications may be missing.
    doubts: bool,
    /// A batch whose chunks so far are missing.
    missing: Option<Missing>,
    /// The node and the first sequence of the last one of those, which has been fetched as far as the engine has it.
    fetched_start: Option<(u64, u64)>,
    /// A batch cannot be put together.
    is_lost: bool,
    /// The first one is on its way. Others follow only if the room was empty in between.
    outgoing: VecDeque<Outgoing<B>>,
    partial: Vec<Partial>,
    held: VecDeque<Publication>,
    held_bytes: usize,
}

impl<B> Channel<B> {
    /// A channel that follows nothing yet.
    pub fn new(limits: NodeLimits, room: Arc<str>) -> Self {
        Self {
            limits,
            room,
            is_wanted: false,
            subscription: Subscription::No,
            awaits_recent: false,
            request: None,
            publishing: None,
            rests: false,
            position: Position { epoch: 0, sequence: 0 },
            seen: 0,
            doubts: false,
            missing: None,
            fetched_start: None,
            is_lost: false,
            outgoing: VecDeque::new(),
            partial: Vec::new(),
            held: VecDeque::new(),
            held_bytes: 0,
        }
    }

    /// The room has its first member.
    pub fn open(&mut self, out: &mut Vec<Action<B>>) {
        self.is_wanted = true;
        if self.stands() && self.request != Some(Request::Unsubscribe) {
            self.begin_opening(out);
        }
        self.step(out);
    }

    /// The room has lost its last member. What it has published still goes out.
    pub fn close(&mut self, out: &mut Vec<Action<B>>) {
        (self.is_wanted, self.awaits_recent) = (false, false);
        self.finish_stored(out);
        self.step(out);
    }

    /// Whether nothing of it is left.
    pub fn is_gone(&self) -> bool {
        !self.is_wanted
            && self.subscription == Subscription::No
            && self.request.is_none()
            && self.outgoing.is_empty()
            && self.publishing.is_none()
    }

    /// Whether everything that is published comes here.
    pub fn stands(&self) -> bool {
        self.subscription == Subscription::Stands
    }

    /// Whether the room is opened.
    pub fn is_open(&self) -> bool {
        self.stands() && !self.awaits_recent
    }

    /// Everything that is published comes here: asks for what was before, if that is wanted.
    fn begin_opening(&mut self, out: &mut Vec<Action<B>>) {
        self.awaits_recent = self.limits.recent > 0;
        if !self.awaits_recent {
            out.push(Action::Opened(None));
        }
    }

    /// Whether [`tick`](Self::tick) has something to do.
    pub fn needs_tick(&self) -> bool {
        self.rests || !self.outgoing.is_empty()
    }

    /// Whether a batch is on its way to the engine.
    pub fn is_publishing(&self) -> bool {
        self.outgoing.iter().any(|outgoing| !outgoing.is_stored())
    }

    /// Publishes a batch. The one before has come back, or was lost. `last_number`: the last that this node has used in any room.
    pub fn publish(&mut self, batch: B, body: Body, last_number: &mut u64, out: &mut Vec<Action<B>>) {
        let count = body.size().div_ceil(self.chunk_size()).max(1);
        let outgoing = Outgoing {
            batch,
            body,
            number: *last_number + 1,
            count: u32::try_from(count).unwrap_or(u32::MAX),
            stored: 0,
            first: 0,
            waited: 0,
        };
        *last_number += count as u64;
        self.outgoing.push_back(outgoing);
        self.step(out);
    }

    /// Gives up what is on its way and what is known, since the engine is away. Returns the batches that were on their way.
    pub fn abandon(&mut self) -> impl Iterator<Item = B> + use<B> {
        self.forget().into_iter().map(|outgoing| outgoing.batch)
    }

    /// The result of [`Action::Publish`].
    pub fn stored(&mut self, id: BatchId, result: Result<Position, EngineError>, out: &mut Vec<Action<B>>) {
        if self.publishing != Some(id) {
            return;
        }
        self.publishing = None;
        let position = match result {
            Ok(position) => position,
            Err(_) => {
                self.rests = true;
                return;
            }
        };
        if let Some(outgoing) = self.outgoing.front_mut()
            && outgoing.number + u64::from(outgoing.stored) == id.number
        {
            if outgoing.stored == 0 {
                outgoing.first = position.sequence;
            }
            outgoing.stored += 1;
            if !self.is_wanted {
                self.finish_stored(out);
            }
            if self.stands() {
                self.see(position);
            }
        }
        self.step(out);
    }

    /// The result of [`Action::Subscribe`].
    pub fn subscribed(&mut self, result: Result<Position, EngineError>, out: &mut Vec<Action<B>>) {
        self.request = None;
        match result {
            Ok(position) => {
                self.subscription = Subscription::Stands;
                (self.position, self.seen) = (position, position.sequence);
                // Chunks may have passed since these came.
                self.partial.clear();
                (self.missing, self.fetched_start) = (None, None);
                if self.is_wanted {
                    self.begin_opening(out);
                }
                if !self.awaits_recent {
                    self.follow_held(out);
                }
                self.step(out);
            }
            Err(_) => {
                self.subscription = Subscription::Unknown;
                self.rests = true;
            }
        }
    }

    /// The result of [`Action::Unsubscribe`].
    pub fn unsubscribed(&mut self, result: Result<(), EngineError>, out: &mut Vec<Action<B>>) {
        self.request = None;
        self.clear_held();
        match result {
            Ok(()) => {
                self.subscription = Subscription::No;
                self.step(out);
            }
            Err(_) => {
                self.subscription = Subscription::Unknown;
                self.rests = true;
            }
        }
    }

    /// The result of [`Action::Last`].
    pub fn recent(&mut self, result: Result<Vec<Publication>, EngineError>, out: &mut Vec<Action<B>>) {
        self.request = None;
        match result {
            // It was abandoned meanwhile, or has no members any more.
            _ if !self.stands() || !self.awaits_recent => {}
            Err(_) => {
                self.rests = true;
                return;
            }
            Ok(publications) => {
                self.awaits_recent = false;
                out.push(Action::Opened(Some(self.batches(publications))));
                if !self.doubts {
                    self.follow_held(out);
                }
            }
        }
        self.step(out);
    }

    /// The whole batches among publications up to the current place, without a gap.
    fn batches(&self, publications: Vec<Publication>) -> Recent {
        let mut recent = Recent { position: self.position, after: self.position.sequence, batches: Vec::new() };
        let is_before = |publication: &Publication| {
            publication.position.epoch == self.position.epoch && publication.position.sequence <= self.position.sequence
        };
        let mut publications = publications.into_iter().filter(is_before).peekable();
        if let Some(first) = publications.peek() {
            let unknown = first.position.sequence.saturating_sub(1);
            recent.after = if first.previous == 0 { unknown } else { first.previous };
        }
        let mut scratch = Self::new(self.limits, self.room.clone());
        for Publication { position, payload, .. } in publications {
            let Some((header, chunk)) = Header::decode(payload, self.room.as_bytes()) else { continue };
            let whole = if header.count == 1 {
                Some(chunk)
            } else if header.total <= self.limits.max_batch as u64 && scratch.join(&header, &chunk) {
                scratch.take_joined(&header)
            } else {
                // Its first chunks are gone.
                recent.batches.clear();
                recent.after = position.sequence;
                None
            };
            let parsed = whole.and_then(|whole| Body::parse(whole, header.plain_length()));
            recent.batches.extend(parsed.map(|(body, messages)| (body, messages, position)));
        }
        recent
    }

    /// The result of [`Action::Since`].
    pub fn fetched(&mut self, result: Result<Option<Vec<Publication>>, EngineError>, out: &mut Vec<Action<B>>) {
        let request = self.request.take();
        if !self.stands() {
            // It was abandoned meanwhile.
            return self.step(out);
        }
        match (result, request) {
            (Err(_), _) => (self.doubts, self.rests) = (true, true),
            (Ok(None), _) => self.lose(out),
            (Ok(Some(publications)), Some(Request::Start)) => {
                self.join_start(publications);
                self.doubts = true;
                self.step(out);
            }
            (Ok(Some(publications)), Some(Request::Since { seen })) => self.repair(publications, seen, out),
            // Not asked for.
            (Ok(Some(_)), _) => {}
        }
    }

    /// The engine sends a publication.
    pub fn received(&mut self, publication: Publication, out: &mut Vec<Action<B>>) {
        if self.is_open() && self.request.is_none() && !self.doubts {
            self.follow(publication, out);
        } else {
            self.hold(publication);
        }
        self.step(out);
    }

    /// The connection to the engine stands again: something may be missing.
    pub fn engine_up(&mut self, out: &mut Vec<Action<B>>) {
        self.doubts |= self.stands();
        self.rests = false;
        self.step(out);
    }

    /// Some time has passed.
    pub fn tick(&mut self, out: &mut Vec<Action<B>>) {
        self.rests = false;
        if let Some(outgoing) = self.outgoing.front_mut().filter(|outgoing| outgoing.is_stored()) {
            outgoing.waited += 1;
            if outgoing.waited >= PATIENCE {
                outgoing.waited = 0;
                self.doubts |= self.subscription == Subscription::Stands;
            }
        }
        self.step(out);
    }

    /// There are no members for the first batch, so it need not come back.
    fn finish_stored(&mut self, out: &mut Vec<Action<B>>) {
        if self.outgoing.front().is_some_and(Outgoing::is_stored)
            && let Some(outgoing) = self.outgoing.pop_front()
        {
            out.push(Action::DeliverOwn(outgoing.batch, None));
        }
    }

    fn chunk_size(&self) -> usize {
        Header::chunk_size(self.limits.max_payload, self.room.as_bytes())
    }

    /// Asks for what is due.
    fn step(&mut self, out: &mut Vec<Action<B>>) {
        if self.is_lost {
            return self.lose(out);
        }
        if self.rests {
            return;
        }
        if self.publishing.is_none()
            && (self.stands() || !self.is_wanted)
            && let Some(outgoing) = self.outgoing.front().filter(|outgoing| !outgoing.is_stored())
        {
            let header = Header {
                node: self.limits.node,
                number: outgoing.number,
                index: outgoing.stored,
                count: outgoing.count,
                first: outgoing.first,
                plain: outgoing.body.plain.len() as u64,
                total: outgoing.body.size() as u64,
            };
            let id = BatchId { node: header.node, number: header.number + u64::from(header.index) };
            let payload = header.encode(self.room.as_bytes(), &outgoing.body, self.chunk_size());
            self.publishing = Some(id);
            out.push(Action::Publish(id, payload));
        }
        if self.request.is_some() {
            return;
        }
        let (request, action) = match (self.is_wanted, self.subscription) {
            (false, Subscription::No) => return,
            (false, _) if !self.outgoing.is_empty() => return,
            (false, _) => (Request::Unsubscribe, Action::Unsubscribe),
            (true, Subscription::No | Subscription::Unknown) => (Request::Subscribe, Action::Subscribe),
            (true, Subscription::Stands) if self.awaits_recent => (Request::Last, Action::Last(self.limits.recent)),
            (true, Subscription::Stands) if !self.doubts => return,
            (true, Subscription::Stands) => match self.missing {
                None => (Request::Since { seen: self.seen }, Action::Since(self.position)),
                Some(Missing { after, .. }) => {
                    (Request::Start, Action::Since(Position { sequence: after, ..self.position }))
                }
            },
        };
        if matches!(request, Request::Since { .. } | Request::Start) {
            // What raises doubts from now on may not be in the answer.
            self.doubts = false;
        }
        self.request = Some(request);
        out.push(action);
    }

    /// There is a publication at this place.
    fn see(&mut self, position: Position) {
        if position.epoch == self.position.epoch {
            self.seen = self.seen.max(position.sequence);
        } else {
            // Either it is of the time before, or the engine has lost its data. It tells which when it is asked.
            self.doubts = true;
        }
    }

    /// Keeps a publication until those before it have come.
    fn hold(&mut self, publication: Publication) {
        if self.stands() {
            self.see(publication.position);
        }
        self.held_bytes += publication.payload.len();
        if self.held.len() < MAX_HELD && self.held_bytes <= MAX_HELD_BYTES {
            self.held.push_back(publication);
        } else {
            // Those that are held are in front of it; it and what follows are fetched.
            self.held_bytes = MAX_HELD_BYTES;
            self.doubts = true;
        }
    }

    fn clear_held(&mut self) {
        self.held = VecDeque::new();
        self.held_bytes = 0;
    }

    fn follow_held(&mut self, out: &mut Vec<Action<B>>) {
        self.held_bytes = 0;
        for publication in std::mem::take(&mut self.held) {
            if self.stands() && !self.doubts {
                self.follow(publication, out);
            } else {
                self.see(publication.position);
            }
        }
    }

    /// Handles a publication that comes in its turn, or not.
    fn follow(&mut self, publication: Publication, out: &mut Vec<Action<B>>) {
        let position = publication.position;
        self.see(position);
        if position.epoch != self.position.epoch || position.sequence <= self.position.sequence {
            return;
        }
        if publication.previous > self.position.sequence {
            self.doubts = true;
            self.hold(publication);
        } else {
            self.accept(publication, out);
        }
    }

    /// What was missing has been fetched.
    fn repair(&mut self, publications: Vec<Publication>, seen: u64, out: &mut Vec<Action<B>>) {
        let (is_full, mut repaired) = (publications.len() >= FETCHED, 0);
        if publications.is_empty() && seen > self.position.sequence {
            return self.lose(out);
        }
        for publication in publications {
            if publication.position.epoch != self.position.epoch {
                return self.lose(out);
            }
            if publication.position.sequence > self.position.sequence {
                if !self.accept(publication, out) {
                    break;
                }
                repaired += 1;
            }
        }
        if repaired > 0 {
            out.push(Action::Repaired(repaired));
        }
        self.doubts |= is_full;
        self.follow_held(out);
        self.doubts |= self.seen > self.position.sequence;
        self.step(out);
    }

    /// Handles the next publication. Returns false if it is not handled, since the start of its batch is missing.
    fn accept(&mut self, publication: Publication, out: &mut Vec<Action<B>>) -> bool {
        let Publication { position, payload, .. } = publication;
        let Some((header, chunk)) = Header::decode(payload, self.room.as_bytes()) else {
            self.position = position;
            out.push(Action::Stranger);
            return true;
        };
        let is_last = header.index + 1 == header.count;
        if header.node == self.limits.node
            && self.outgoing.front().is_some_and(|outgoing| outgoing.number == header.number)
        {
            self.position = position;
            if is_last && let Some(outgoing) = self.outgoing.pop_front() {
                self.publishing = None;
                out.push(Action::DeliverOwn(outgoing.batch, Some(position).filter(|_| !self.awaits_recent)));
            }
            return true;
        }
        if header.count == 1 {
            self.position = position;
            self.deliver(chunk, &header, position, out);
            return true;
        }
        if header.total > self.limits.max_batch as u64 {
            self.position = position;
            // The limits of the node that publishes may be higher.
            self.is_lost = is_last;
            return !is_last;
        }
        if !self.join(&header, &chunk) {
            if header.first > position.sequence {
                // The engine has lost its data in the middle of the batch, which the node that publishes it will notice.
                self.position = position;
                return true;
            }
            let Header { node, first, .. } = header;
            self.is_lost = self.fetched_start == Some((node, first));
            self.missing = Some(Missing { node, first, after: first.saturating_sub(1) });
            self.doubts = true;
            return false;
        }
        self.position = position;
        if let Some(whole) = self.take_joined(&header) {
            self.deliver(whole, &header, position, out);
        }
        true
    }

    fn deliver(&self, whole: Bytes, header: &Header, position: Position, out: &mut Vec<Action<B>>) {
        match Body::parse(whole, header.plain_length()) {
            // What is fetched when the room is opened includes it.
            Some(_) if self.awaits_recent => {}
            Some((body, messages)) => out.push(Action::Deliver(body, messages, position)),
            None => out.push(Action::Stranger),
        }
    }

    /// Takes a batch whose last chunk has just been joined.
    fn take_joined(&mut self, header: &Header) -> Option<Bytes> {
        let is_last = header.index + 1 == header.count;
        let at = self.partial.iter().position(|partial| is_last && partial.node == header.node)?;
        Some(self.partial.remove(at).joined.freeze())
    }

    /// Adds a chunk to those before it. Returns false if these are not there.
    fn join(&mut self, header: &Header, chunk: &Bytes) -> bool {
        let at = self.partial.iter().position(|partial| partial.node == header.node);
        if header.index == 0 {
            at.map(|at| self.partial.remove(at));
            if self.partial.len() >= MAX_PARTIAL {
                self.partial.remove(0);
            }
            let joined = BytesMut::from(&chunk[..]);
            self.partial.push(Partial { node: header.node, number: header.number, next: 1, joined });
            return true;
        }
        let partial = at.and_then(|at| self.partial.get_mut(at)).filter(|partial| {
            partial.number == header.number
                && partial.next == header.index
                && partial.joined.len() + chunk.len() <= self.limits.max_batch
        });
        let Some(partial) = partial else { return false };
        partial.joined.extend_from_slice(chunk);
        partial.next += 1;
        true
    }

    /// First chunks of a batch have been fetched, which are before the current place.
    fn join_start(&mut self, publications: Vec<Publication>) {
        let Some(Missing { node, first, .. }) = self.missing.take() else { return };
        let is_full = publications.len() >= FETCHED;
        let mut after = self.position.sequence;
        for Publication { position, payload, .. } in publications {
            after = position.sequence;
            if position.sequence <= self.position.sequence
                && let Some((header, chunk)) = Header::decode(payload, self.room.as_bytes())
                && header.node == node
                && header.count > 1
                && header.total <= self.limits.max_batch as u64
            {
                self.join(&header, &chunk);
            }
        }
        if is_full && after < self.position.sequence {
            self.missing = Some(Missing { node, first, after });
        } else {
            self.fetched_start = Some((node, first));
        }
    }

    /// What is missing is lost.
    fn lose(&mut self, out: &mut Vec<Action<B>>) {
        self.forget();
        self.rests = false;
        out.push(Action::Lost);
        self.step(out);
    }

    fn forget(&mut self) -> VecDeque<Outgoing<B>> {
        self.partial = Vec::new();
        self.clear_held();
        (self.publishing, self.missing, self.fetched_start) = (None, None, None);
        (self.doubts, self.is_lost, self.awaits_recent, self.seen) = (false, false, false, 0);
        if self.subscription != Subscription::No {
            self.subscription = Subscription::Unknown;
        }
        self.rests = true;
        std::mem::take(&mut self.outgoing)
    }
}
