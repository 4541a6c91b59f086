//! `reuse:`: one end that many sessions share. Each session is a member of the shared end: the messages of all members
//! go to it in the order in which they arrive, and its messages go to all members. Nothing is lost: while the queue of
//! one member is full, the shared end is not read.

use crate::{
    config::{Config, ReuseOptions},
    endpoint::{Build, ConnectContext, Dial, Dialled, Entry, MessageEndpoint, Overlay, OverlayRow, Redial},
    error::Error,
    flow::{BoxFuture, ControlFrame, ControlObserver, ControlObservers, EndKind, Incoming, MessageEnd, MessageStream},
    message::{Close, Kind, Message},
};
use bytes::Bytes;
use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

pub(super) static REUSE: Entry = Entry {
    names: &["reuse", "broadcast", "reuse-broadcast", "broadcast-reuse"],
    arg: None,
    summary: "Share one connection between all sessions",
    details: "Opened for the first session, and opened again for a new session after it has ended. Messages of all \
              sessions are sent over it; each message from it goes to all sessions. A session that does not read \
              delays the others when --backlog bytes wait for it (1 MiB; a message counts as at least 1 KiB), so that \
              no message is lost, but not for longer than --slow-timeout (10 s): if it takes nothing for so long while \
              others wait, it is closed, a WebSocket with code 1013. So is one that has waited for so long for the \
              shared connection, which takes nothing.",
    example: "ws-l:127.0.0.1:8080 reuse:tcp:127.0.0.1:7",
    flags: &[&["backlog", "slow-timeout"]],
    build: Build::Overlay(OverlayRow::new(|_, config| Ok(Overlay::OnDial(reuse(config).1)))),
};

pub(super) static REUSE_RAW: Entry = Entry {
    names: &["reuse-raw", "raw-reuse"],
    arg: None,
    summary: "Share one connection, each reply to one session",
    details: "As reuse:, but each message from the shared connection goes to only one session, to each in turn, but to \
              none for which --backlog bytes wait. What waits for a session that ends is lost. Better used with -u. \
              --reuser-send-zero-msg-on-disconnect sends an empty message to the shared connection when a session \
              ends.",
    example: "-u ws-l:127.0.0.1:8080 reuse-raw:tcp:127.0.0.1:7",
    flags: &[&["backlog", "slow-timeout", "reuser-send-zero-msg-on-disconnect"]],
    build: Build::Overlay(OverlayRow::new(|_, config| {
        let delivery = Delivery::ToOne { reports_leaving: config.messages.reports_leaving };
        Ok(Overlay::OnDial(Box::new(Reuse { delivery, ..Reuse::new(config) })))
    })),
};

/// The name of the overlay, and the overlay.
pub fn reuse(config: &Config) -> (&'static str, Box<dyn Redial>) {
    (REUSE.name(), Box::new(Reuse::new(config)))
}

struct Reuse {
    delivery: Delivery,
    options: ReuseOptions,
    close_timeout: Duration,
}

impl Reuse {
    fn new(config: &Config) -> Self {
        let close_timeout = config.session.close_timeout;
        Self { delivery: Delivery::ToAll, options: config.reuse, close_timeout }
    }
}

/// Who gets a message from the shared end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delivery {
    /// All members.
    ToAll,
    /// One member.
    ToOne {
        /// The shared end gets an empty message when a member leaves.
        reports_leaving: bool,
    },
}

impl Redial for Reuse {
    fn kind(&self, inner: EndKind) -> EndKind {
        shared(inner)
    }

    fn connects_lazily(&self) -> bool {
        false
    }

    fn wrap(self: Box<Self>, inner: MessageEndpoint<Dialled>) -> Box<dyn Dial<MessageEnd>> {
        let Self { delivery, options, close_timeout } = *self;
        Box::new(SharedDial { inner, delivery, options, close_timeout, current: tokio::sync::Mutex::new(None) })
    }
}

/// The kind that a shared end has for its members.
fn shared(inner: EndKind) -> EndKind {
    EndKind::Shared { outlives_input: matches!(inner, EndKind::Console { .. } | EndKind::Source | EndKind::Sink) }
}

struct SharedDial {
    inner: MessageEndpoint<Dialled>,
    delivery: Delivery,
    options: ReuseOptions,
    close_timeout: Duration,
    current: tokio::sync::Mutex<Option<Arc<Hub>>>,
}

impl Dial<MessageEnd> for SharedDial {
    fn dial<'a>(&'a self, context: &'a mut ConnectContext) -> BoxFuture<'a, Result<MessageEnd, Error>> {
        Box::pin(async move {
            let mut current = self.current.lock().await;
            let hub = match &*current {
                Some(hub) if hub.lock().over.is_none() => hub.clone(),
                _ => {
                    let end = self.inner.open(context).await?;
                    let hub = Hub::start(end, self.delivery, self.options, self.close_timeout);
                    *current = Some(hub.clone());
                    hub
                }
            };
            Ok(Hub::join(&hub))
        })
    }

    fn kind(&self) -> EndKind {
        shared(self.inner.about.kind)
    }
}

/// Messages that are read from the shared end, or written to it, before other tasks have their turn.
const BATCH: usize = 1024;

/// A short message counts as this many bytes: it occupies more than its payload, and may keep a part of a read buffer alive.
const LEAST: usize = 1024;

/// Control frames that wait for the shared end; further ones are not sent.
const MAX_CONTROL: usize = 64;

/// A bounded queue between a member and the shared end. Reading pauses while it is full.
struct Queue {
    messages: VecDeque<Message>,
    bytes: usize,
    /// It is full with this many bytes; a single message may be longer.
    limit: usize,
}

impl Queue {
    fn new(limit: usize) -> Self {
        Self { messages: VecDeque::new(), bytes: 0, limit }
    }

    fn is_full(&self) -> bool {
        self.bytes >= self.limit
    }

    fn push(&mut self, message: Message) {
        self.bytes += message.payload.len().max(LEAST);
        self.messages.push_back(message);
    }

    fn pop(&mut self) -> Option<Message> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.payload.len().max(LEAST);
        Some(message)
    }
}

/// State shared by the members and the task that owns the shared end.
struct Hub {
    state: Mutex<State>,
    delivery: Delivery,
    options: ReuseOptions,
    /// A copy of the shared end's progress, for members.
    progress: AtomicU64,
    name: Arc<str>,
    kind: EndKind,
    subprotocol: Option<String>,
    /// Of the shared end: for the control frames of all clients.
    observer: Option<ControlObserver>,
}

struct State {
    members: Vec<Member>,
    next_id: u64,
    /// From all members to the shared end.
    inbound: Queue,
    /// Pings and pongs that members ask for.
    control: VecDeque<ControlFrame>,
    /// Total number of messages that members have put into `inbound`.
    pushed: u64,
    /// Total number of these that the shared end has written and flushed.
    flushed: u64,
    /// When the shared end last took a message, or when the first that waits came.
    taken_at: Instant,
    /// A member waits for a confirmation that has not been started.
    confirmation_wanted: bool,
    /// A member observes control frames.
    observer_wanted: bool,
    /// Wakes the task that owns the shared end.
    owner: Option<Waker>,
    /// How the shared end ended. Nothing more is read from it.
    over: Option<Over>,
    /// The shared end has nothing more to read, but can still be written.
    input_has_ended: bool,
    /// Nothing more is written to the shared end.
    gone: bool,
}

/// What the wait of a member for the shared end depends on.
struct SharedWait {
    taken_at: Instant,
    /// There is no other member.
    is_alone: bool,
}

/// How the shared end ended.
enum Over {
    /// It ended, with this close frame if it is a WebSocket.
    Ended(Option<Close>),
    /// It failed for this reason.
    Failed(String),
}

struct Member {
    id: u64,
    outbound: Queue,
    /// Since when its queue has been full and nothing was taken from it, while others wait.
    stalled_since: Option<Instant>,
    /// It has stalled the others for too long and gets nothing more.
    is_evicted: bool,
    /// A ping or pong for its client. A newer one takes its place.
    control: Option<ControlFrame>,
    /// It is to be closed so after what it has been sent.
    close: Option<Close>,
    /// Wakes the task of its session.
    session: Option<Waker>,
    reader: Option<Waker>,
    writer: Option<Waker>,
    confirmation: Confirmation,
    observers: ControlObservers,
}

/// How far the confirmation is that the peer has received what a member sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Confirmation {
    /// The member has not asked.
    None,
    /// The member has asked. The ping is sent once the message with this number is flushed.
    Wanted(u64),
    /// The ping is sent.
    Pending,
    /// The pong has arrived.
    Done,
}

impl Member {
    /// It still gets messages.
    fn is_open(&self) -> bool {
        !self.is_evicted && self.close.is_none()
    }

    /// It gets a message of those that go to one member.
    fn takes_one(&self) -> bool {
        self.is_open() && !self.outbound.is_full()
    }
}

impl State {
    fn wake_owner(&mut self) {
        self.owner.take().into_iter().for_each(Waker::wake);
    }

    fn wake_readers(&mut self) {
        self.members.iter_mut().filter_map(|member| member.reader.take()).for_each(Waker::wake);
    }

    fn wake_writers(&mut self) {
        self.members.iter_mut().filter_map(|member| member.writer.take()).for_each(Waker::wake);
    }

    fn member(&mut self, id: u64) -> Option<&mut Member> {
        self.members.iter_mut().find(|member| member.id == id)
    }

    fn shared_wait(&self) -> SharedWait {
        SharedWait { taken_at: self.taken_at, is_alone: self.members.len() < 2 }
    }

    fn deliver_to_all(&mut self, message: &Message) {
        self.tell_all(|member| member.outbound.push(message.clone()));
    }

    /// Does this to each member that still gets messages, and wakes it.
    fn tell_all(&mut self, tell: impl Fn(&mut Member)) {
        for member in self.members.iter_mut().filter(|member| member.is_open()) {
            tell(member);
            member.reader.take().into_iter().for_each(Waker::wake);
        }
    }

    /// Gives the message to the next member that takes one, or back.
    fn deliver_to_one(&mut self, message: Message) -> Option<Message> {
        let Some(next) = self.members.iter().position(Member::takes_one) else { return Some(message) };
        if let Some(member) = self.members.get_mut(next) {
            member.outbound.push(message);
            member.reader.take().into_iter().for_each(Waker::wake);
        }
        self.members.rotate_left(next + 1);
        None
    }

    /// Closes the members that have stalled the others for longer than `limit`. Gives the instant at which the next one will have.
    fn evict_stalled(&mut self, limit: Duration) -> Option<Instant> {
        let (now, others_wait) = (Instant::now(), self.members.len() > 1);
        let mut next = None;
        for member in self.members.iter_mut().filter(|member| member.outbound.is_full()) {
            if !others_wait {
                member.stalled_since = None;
                continue;
            }
            let until = *member.stalled_since.get_or_insert(now) + limit;
            if until > now {
                next = Some(next.map_or(until, |next: Instant| next.min(until)));
                continue;
            }
            member.is_evicted = true;
            member.outbound = Queue::new(member.outbound.limit);
            let wakers = [member.session.take(), member.reader.take(), member.writer.take()];
            wakers.into_iter().flatten().for_each(Waker::wake);
        }
        next
    }

    /// Sets the confirmation of all members for which it is due to `next`; returns whether there are any.
    fn advance(&mut self, is_due: impl Fn(Confirmation) -> bool, next: Confirmation) -> bool {
        let mut any = false;
        for member in self.members.iter_mut().filter(|member| is_due(member.confirmation)) {
            member.confirmation = next;
            member.writer.take().into_iter().for_each(Waker::wake);
            any = true;
        }
        any
    }

    /// Marks the confirmation of all members that want one and whose messages are flushed; returns whether there are
    /// any.
    fn start_confirmation(&mut self) -> bool {
        let flushed = self.flushed;
        let any = self.advance(
            |confirmation| matches!(confirmation, Confirmation::Wanted(last) if last <= flushed),
            Confirmation::Pending,
        );
        self.confirmation_wanted =
            self.members.iter().any(|member| matches!(member.confirmation, Confirmation::Wanted(_)));
        any
    }
}

impl Hub {
    fn start(end: MessageEnd, delivery: Delivery, options: ReuseOptions, close_timeout: Duration) -> Arc<Self> {
        let hub = Arc::new(Self {
            state: Mutex::new(State {
                members: Vec::new(),
                next_id: 0,
                inbound: Queue::new(options.backlog),
                control: VecDeque::new(),
                pushed: 0,
                flushed: 0,
                taken_at: Instant::now(),
                confirmation_wanted: false,
                observer_wanted: false,
                owner: None,
                over: None,
                input_has_ended: false,
                gone: false,
            }),
            delivery,
            options,
            progress: AtomicU64::new(end.io.progress()),
            name: end.name.clone(),
            kind: shared(end.kind),
            observer: end.observer.clone(),
            subprotocol: end.subprotocol.clone(),
        });
        let mut owner = Owner {
            hub: hub.clone(),
            taken: 0,
            held: None,
            confirmation_wanted: false,
            observer_wanted: false,
            is_observing: false,
            is_confirming: false,
            stall_timer: None,
            end,
        };
        tokio::spawn(async move {
            if let Err(error) = poll_fn(|cx| owner.poll(cx)).await {
                owner.fail(error);
            }
            let _ = timeout(close_timeout, owner.let_go()).await;
            let mut state = owner.hub.lock();
            state.gone = true;
            state.wake_writers();
        });
        hub
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(hub: &Arc<Self>) -> MessageEnd {
        let mut state = hub.lock();
        let id = state.next_id;
        state.next_id += 1;
        state.members.push(Member {
            id,
            outbound: Queue::new(hub.options.backlog),
            stalled_since: None,
            is_evicted: false,
            control: None,
            close: None,
            session: None,
            reader: None,
            writer: None,
            confirmation: Confirmation::None,
            observers: ControlObservers::default(),
        });
        state.wake_owner();
        drop(state);
        let name = hub.name.clone();
        let subprotocol = hub.subprotocol.clone();
        MessageEnd {
            subprotocol,
            observer: hub.observer.clone(),
            ..MessageEnd::new(Membership { hub: hub.clone(), id, last: 0, timer: None }, hub.kind, name)
        }
    }
}

/// The task that owns the shared end.
struct Owner {
    hub: Arc<Hub>,
    end: MessageEnd,
    /// Total number of messages handed to the shared end.
    taken: u64,
    /// A message that was read and has not been put into the queues of the members.
    held: Option<Message>,
    /// Copies of the flags in [`State`], which save a lock.
    confirmation_wanted: bool,
    observer_wanted: bool,
    /// The control frames of the shared end are passed on to members.
    is_observing: bool,
    /// Waiting for a confirmation of the shared end.
    is_confirming: bool,
    /// Runs while a member stalls the others.
    stall_timer: Option<Pin<Box<Sleep>>>,
}

impl Owner {
    /// Ready when the shared end is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let _ = self.poll_inbound(cx)?;
        if self.observer_wanted && !self.is_observing {
            self.observe();
        }
        let _ = self.poll_confirmations(cx)?;
        let over = self.poll_outbound(cx)?;
        if over.is_ready() && !self.hub.lock().input_has_ended { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Writes the messages of the members. Ready when all of them are written and flushed.
    fn poll_inbound(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut has_more = true;
        for _ in 0..BATCH {
            ready!(self.end.io.poll_ready(cx))?;
            let mut state = self.hub.lock();
            self.confirmation_wanted = state.confirmation_wanted;
            self.observer_wanted = state.observer_wanted;
            if let Some(frame) = state.control.pop_front() {
                drop(state);
                self.end.io.send_control(frame);
                continue;
            }
            let Some(message) = state.inbound.pop() else {
                state.owner = Some(cx.waker().clone());
                has_more = false;
                break;
            };
            state.taken_at = Instant::now();
            if !state.inbound.is_full() {
                state.wake_writers();
            }
            drop(state);
            self.end.io.start_send(message)?;
            self.taken += 1;
        }
        ready!(self.end.io.poll_flush(cx))?;
        let mut state = self.hub.lock();
        if state.flushed < self.taken {
            state.flushed = self.taken;
            state.taken_at = Instant::now();
            state.wake_writers();
        }
        if has_more {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    /// Passes each control frame of the shared end on to the observers of its present members.
    fn observe(&mut self) {
        self.is_observing = true;
        let hub = self.hub.clone();
        self.end.io.observe_control(Arc::new(move |transfer, frame| {
            for member in &hub.lock().members {
                member.observers.notify(transfer, || frame.clone());
            }
        }));
    }

    /// Waits for the shared end's confirmation on behalf of members, one at a time: members that ask while one is
    /// pending share the next. Ready when no member waits.
    fn poll_confirmations(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while self.is_confirming || self.confirmation_wanted {
            if !self.is_confirming {
                let mut state = self.hub.lock();
                self.is_confirming = state.start_confirmation();
                self.confirmation_wanted = state.confirmation_wanted;
                if !self.is_confirming {
                    // Not before the messages of the members that wait are flushed.
                    return Poll::Pending;
                }
            }
            ready!(self.end.io.poll_confirmed(cx))?;
            self.is_confirming = false;
            self.hub.lock().advance(|confirmation| confirmation == Confirmation::Pending, Confirmation::Done);
        }
        Poll::Ready(Ok(()))
    }

    /// Reads messages into the queues of the members while no queue is full. Without members it reads until it holds
    /// one message, so that an idle WebSocket still answers pings. Ready when the shared end has ended.
    fn poll_outbound(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        for _ in 0..BATCH {
            let mut state = self.hub.lock();
            if state.input_has_ended {
                return Poll::Pending;
            }
            if !state.members.is_empty()
                && let Some(message) = self.held.take()
            {
                match self.hub.delivery {
                    Delivery::ToAll => state.deliver_to_all(&message),
                    Delivery::ToOne { .. } => self.held = state.deliver_to_one(message),
                }
            }
            let (is_full, stalled_until) = match self.hub.delivery {
                Delivery::ToAll => {
                    let until = self.hub.options.slow_timeout.and_then(|limit| state.evict_stalled(limit));
                    (state.members.iter().any(|member| member.outbound.is_full()), until)
                }
                // A message that no member takes is held.
                Delivery::ToOne { .. } => (false, None),
            };
            if self.held.is_some() || is_full {
                state.owner = Some(cx.waker().clone());
                drop(state);
                if let Some(until) = stalled_until {
                    let timer = self.stall_timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
                    if timer.deadline() != until {
                        timer.as_mut().reset(until);
                    }
                    if timer.as_mut().poll(cx).is_ready() {
                        continue;
                    }
                }
                return Poll::Pending;
            }
            drop(state);
            let Poll::Ready(next) = self.end.io.poll_next(cx)? else {
                // A part of a message may have arrived.
                self.hub.progress.store(self.end.io.progress(), Ordering::Relaxed);
                return Poll::Pending;
            };
            match next {
                Incoming::Message(message) => self.held = Some(message),
                Incoming::FlushRequest => {}
                Incoming::ControlRequest(frame) => {
                    self.hub.lock().tell_all(|member| member.control = Some(frame.clone()));
                }
                Incoming::End(close) => {
                    let mut state = self.hub.lock();
                    match (self.hub.kind, close) {
                        // The terminal asks for this, and goes on.
                        (EndKind::Shared { outlives_input: true }, Some(close)) => {
                            state.tell_all(|member| member.close = Some(close.clone()));
                            continue;
                        }
                        (EndKind::Shared { outlives_input: true }, None) => state.input_has_ended = true,
                        (_, close) => state.over = Some(Over::Ended(close)),
                    }
                    state.wake_readers();
                    state.wake_writers();
                    return Poll::Ready(Ok(()));
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn fail(&mut self, error: Error) {
        let reason = match error {
            Error::Lost { reason, .. } => reason,
            other => other.to_string(),
        };
        let mut state = self.hub.lock();
        state.over = Some(Over::Failed(reason));
        state.gone = true;
        state.wake_readers();
        state.wake_writers();
    }

    /// Sends what members have queued, answers the close frame and ends the connection in good order.
    async fn let_go(&mut self) {
        let close = match &self.hub.lock().over {
            Some(Over::Ended(close)) => close.clone(),
            Some(Over::Failed(_)) | None => return,
        };
        if poll_fn(|cx| self.poll_inbound(cx)).await.is_ok() {
            let _ = poll_fn(|cx| self.end.io.poll_finish(cx, close.as_ref())).await;
        }
        poll_fn(|cx| self.end.io.poll_shutdown(cx)).await;
    }
}

/// A session's membership: the end that the session works with.
struct Membership {
    hub: Arc<Hub>,
    id: u64,
    /// The number of our last message in the count of [`State::pushed`].
    last: u64,
    /// Runs while it waits for the shared end.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Membership {
    /// Ready with an error when the shared end has taken nothing for too long. That a client leaves is not noticed while it waits,
    /// so without a limit those that come and go would fill memory; one alone does not. Local output may be paused for longer.
    fn poll_stuck(&mut self, cx: &mut Context<'_>, wait: SharedWait) -> Poll<Result<(), Error>> {
        let limit = self.hub.options.slow_timeout.filter(|_| self.hub.kind != EndKind::Shared { outlives_input: true });
        let Some(limit) = limit else { return Poll::Pending };
        let mut until = wait.taken_at + limit;
        if wait.is_alone {
            until = until.max(Instant::now() + limit);
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if timer.deadline() != until {
            timer.as_mut().reset(until);
        }
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(Error::StuckShared { shared: self.hub.name.to_string(), limit }))
    }

    fn too_slow(&self) -> Error {
        Error::TooSlow { shared: self.hub.name.to_string(), limit: self.hub.options.slow_timeout.unwrap_or_default() }
    }

    fn failed(&self, reason: &str) -> Error {
        Error::Lost { with: self.hub.name.to_string(), reason: reason.to_owned() }
    }
}

impl MessageStream for Membership {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Error>> {
        let mut state = self.hub.lock();
        let state = &mut *state;
        let Some(member) = state.members.iter_mut().find(|member| member.id == self.id) else {
            return Poll::Ready(Ok(Incoming::End(None)));
        };
        if member.is_evicted {
            return Poll::Ready(Err(self.too_slow()));
        }
        if member.session.as_ref().is_none_or(|session| !session.will_wake(cx.waker())) {
            member.session = Some(cx.waker().clone());
        }
        let was_full = member.outbound.is_full();
        if let Some(message) = member.outbound.pop() {
            member.stalled_since = None;
            if was_full && !member.outbound.is_full() {
                state.wake_owner();
            }
            return Poll::Ready(Ok(Incoming::Message(message)));
        }
        if let Some(frame) = member.control.take() {
            return Poll::Ready(Ok(Incoming::ControlRequest(frame)));
        }
        if let Some(close) = &member.close {
            return Poll::Ready(Ok(Incoming::End(Some(close.clone()))));
        }
        match &state.over {
            Some(Over::Ended(close)) => return Poll::Ready(Ok(Incoming::End(close.clone()))),
            Some(Over::Failed(reason)) => return Poll::Ready(Err(self.failed(reason))),
            None if state.input_has_ended => return Poll::Ready(Ok(Incoming::End(None))),
            None => {}
        }
        member.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut state = self.hub.lock();
        if let Some(Over::Failed(reason)) = &state.over {
            return Poll::Ready(Err(self.failed(reason)));
        }
        let must_wait = state.inbound.is_full() && !state.gone;
        if let Some(member) = state.member(self.id) {
            if member.is_evicted {
                return Poll::Ready(Err(self.too_slow()));
            }
            if must_wait {
                member.writer = Some(cx.waker().clone());
            }
        }
        let wait = state.shared_wait();
        drop(state);
        if must_wait { self.poll_stuck(cx, wait) } else { Poll::Ready(Ok(())) }
    }

    fn start_send(&mut self, message: Message) -> Result<(), Error> {
        let mut state = self.hub.lock();
        // As without `reuse:`, messages to a WebSocket that has closed are dropped.
        if !state.gone {
            if state.flushed == state.pushed {
                state.taken_at = Instant::now();
            }
            state.inbound.push(message);
            state.pushed += 1;
            self.last = state.pushed;
            state.wake_owner();
        }
        Ok(())
    }

    fn send_control(&mut self, frame: ControlFrame) {
        let mut state = self.hub.lock();
        if state.control.len() < MAX_CONTROL {
            state.control.push_back(frame);
            state.wake_owner();
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        // Wait until the messages are written, not only queued: the process may exit as soon as its sessions have
        // ended.
        ready!(self.poll_ready(cx))?;
        let mut state = self.hub.lock();
        if state.flushed >= self.last || state.gone {
            return Poll::Ready(Ok(()));
        }
        if let Some(member) = state.member(self.id) {
            member.writer = Some(cx.waker().clone());
        }
        let wait = state.shared_wait();
        drop(state);
        self.poll_stuck(cx, wait)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>, _: Option<&Close>) -> Poll<Result<(), Error>> {
        self.poll_flush(cx)
    }

    fn poll_confirmed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let last = self.last;
        let mut state = self.hub.lock();
        let state = &mut *state;
        let is_over = state.over.is_some() || state.gone;
        let Some(member) = state.members.iter_mut().find(|member| member.id == self.id) else {
            return Poll::Ready(Ok(()));
        };
        // An end that is over confirms nothing; `poll_next` reports how it ended.
        if is_over || member.confirmation == Confirmation::Done {
            member.confirmation = Confirmation::None;
            return Poll::Ready(Ok(()));
        }
        member.writer = Some(cx.waker().clone());
        if member.confirmation == Confirmation::None {
            member.confirmation = Confirmation::Wanted(last);
            state.confirmation_wanted = true;
            state.wake_owner();
        }
        Poll::Pending
    }

    fn progress(&self) -> u64 {
        self.hub.progress.load(Ordering::Relaxed)
    }

    fn observe_control(&mut self, observer: ControlObserver) {
        let mut state = self.hub.lock();
        if let Some(member) = state.member(self.id) {
            member.observers.add(observer);
            state.observer_wanted = true;
            state.wake_owner();
        }
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<()> {
        // The shared end stays open.
        Poll::Ready(())
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut state = self.hub.lock();
        state.members.retain(|member| member.id != self.id);
        // Without a bound, those that come and go would fill memory while the shared end is stuck.
        let reports = self.hub.delivery == (Delivery::ToOne { reports_leaving: true });
        if reports && !state.gone && !state.inbound.is_full() {
            state.inbound.push(Message { kind: Kind::Binary, payload: Bytes::new() });
            state.pushed += 1;
        }
        state.wake_owner();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{
        MessageLayer,
        testing::{Log, Script, rounded},
    };
    use std::sync::OnceLock;
    use tokio::time::sleep;

    /// The messages that fill a queue.
    const MOST_WAITING: usize = 1024;

    /// Starts to share an end with the default limits.
    fn start(end: MessageEnd) -> Arc<Hub> {
        start_with(end, Some(Duration::from_secs(10)))
    }

    fn start_with(end: MessageEnd, slow_timeout: Option<Duration>) -> Arc<Hub> {
        let options = ReuseOptions { backlog: MOST_WAITING * LEAST, slow_timeout };
        Hub::start(end, Delivery::ToAll, options, Duration::from_secs(5))
    }

    /// A shared WebSocket whose pong takes a second.
    fn shared() -> (Arc<Hub>, Log) {
        let (end, log) = Script::new(EndKind::WebSocket).pongs_after(1000).start();
        (start(end), log)
    }

    /// Sends a message if there is one and waits for the confirmation. Gives the milliseconds since the start.
    async fn confirmed(member: &mut MessageEnd, text: Option<&'static str>, started: Instant) -> u128 {
        if let Some(text) = text {
            poll_fn(|cx| member.io.poll_ready(cx)).await.expect("room");
            let message = Message { kind: crate::message::Kind::Text, payload: text.into() };
            member.io.start_send(message).expect("taken");
        }
        poll_fn(|cx| member.io.poll_flush(cx)).await.expect("written");
        poll_fn(|cx| member.io.poll_confirmed(cx)).await.expect("confirmed");
        rounded(started.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn pings_of_members_reach_the_shared_end_and_too_many_are_not_kept() {
        let (hub, log) = shared();
        let mut member = Hub::join(&hub);
        for _ in 0..=MAX_CONTROL {
            member.io.send_control(ControlFrame::Ping(Bytes::from_static(b"x")));
        }
        sleep(Duration::from_secs(1)).await;
        assert_eq!(log.lines(), vec!["0 Ping(b\"x\")"; MAX_CONTROL]);
    }

    #[tokio::test(start_paused = true)]
    async fn members_that_ask_at_the_same_time_share_a_ping() {
        let (hub, log) = shared();
        let (mut a, mut b) = (Hub::join(&hub), Hub::join(&hub));
        let started = Instant::now();
        let both = tokio::join!(confirmed(&mut a, Some("a"), started), confirmed(&mut b, Some("b"), started));
        assert_eq!(both, (1000, 1000));
        assert_eq!(log.lines(), ["0 message a", "0 message b", "0 ping"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_member_that_asks_while_a_ping_is_under_way_waits_for_the_next() {
        let (hub, log) = shared();
        let (mut a, mut b) = (Hub::join(&hub), Hub::join(&hub));
        let started = Instant::now();
        let late = async {
            sleep(Duration::from_millis(500)).await;
            confirmed(&mut b, Some("b"), started).await
        };
        assert_eq!(tokio::join!(confirmed(&mut a, Some("a"), started), late), (1000, 2000));
        assert_eq!(log.lines(), ["0 message a", "0 ping", "500 message b", "1000 ping"]);
    }

    /// A shared end that sends this many messages and then stays open.
    fn talking(messages: usize) -> Arc<Hub> {
        let mut script = Script::new(EndKind::WebSocket);
        for _ in 0..messages {
            script = script.says("message");
        }
        start(script.start().0)
    }

    async fn count(member: &mut MessageEnd, messages: usize) {
        for _ in 0..messages {
            let next = poll_fn(|cx| member.io.poll_next(cx)).await;
            assert!(matches!(next, Ok(Incoming::Message(_))), "{next:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_member_that_takes_nothing_while_others_wait_is_closed_after_ten_seconds() {
        let hub = talking(3 * MOST_WAITING);
        let (mut reads, mut stuck) = (Hub::join(&hub), Hub::join(&hub));
        let started = Instant::now();
        count(&mut reads, MOST_WAITING).await;
        assert_eq!(rounded(started.elapsed()), 0);
        count(&mut reads, 2 * MOST_WAITING).await;
        assert_eq!(rounded(started.elapsed()), 10_000);
        let error = poll_fn(|cx| stuck.io.poll_ready(cx)).await.expect_err("it is closed");
        assert!(matches!(error, Error::TooSlow { .. }), "{error}");
        let next = poll_fn(|cx| stuck.io.poll_next(cx)).await;
        assert!(matches!(next, Err(Error::TooSlow { .. })), "{next:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_the_others_wait_for_as_long_as_a_member_takes_nothing() {
        let mut script = Script::new(EndKind::WebSocket);
        for _ in 0..MOST_WAITING + 1 {
            script = script.says("message");
        }
        let hub = start_with(script.start().0, None);
        let (mut reads, mut slow) = (Hub::join(&hub), Hub::join(&hub));
        count(&mut reads, MOST_WAITING).await;
        let further = async {
            count(&mut reads, 1).await;
            Instant::now()
        };
        let later = async {
            sleep(Duration::from_secs(3600)).await;
            count(&mut slow, 1).await;
        };
        let started = Instant::now();
        assert_eq!(rounded(tokio::join!(further, later).0 - started), 3_600_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_member_that_takes_something_or_is_alone_is_not_closed() {
        let hub = talking(MOST_WAITING + 20);
        let (mut reads, mut slow) = (Hub::join(&hub), Hub::join(&hub));
        count(&mut reads, MOST_WAITING).await;
        for _ in 0..10 {
            sleep(Duration::from_secs(9)).await;
            count(&mut slow, 1).await;
            count(&mut reads, 1).await;
        }
        drop(reads);
        sleep(Duration::from_secs(60)).await;
        count(&mut slow, MOST_WAITING + 10).await;
    }

    #[tokio::test(start_paused = true)]
    async fn members_that_wait_for_a_shared_end_that_takes_nothing_are_closed_after_ten_seconds() {
        let hub = start(Script::new(EndKind::WebSocket).takes(2).start().0);
        let started = Instant::now();
        let (mut fills, mut waits) = (Hub::join(&hub), Hub::join(&hub));
        let message = || Message { kind: Kind::Text, payload: "message".into() };
        poll_fn(|cx| fills.io.poll_ready(cx)).await.expect("room");
        fills.io.start_send(message()).expect("taken");
        poll_fn(|cx| fills.io.poll_flush(cx)).await.expect("written");
        // The time begins with what waits.
        sleep(Duration::from_secs(20)).await;
        let error = loop {
            if let Err(error) = poll_fn(|cx| fills.io.poll_ready(cx)).await {
                break error;
            }
            fills.io.start_send(message()).expect("taken");
        };
        assert!(matches!(error, Error::StuckShared { .. }), "{error}");
        assert_eq!(rounded(started.elapsed()), 30_000);
        let error = poll_fn(|cx| waits.io.poll_ready(cx)).await.expect_err("it is closed");
        assert!(matches!(error, Error::StuckShared { .. }), "{error}");
        assert_eq!(rounded(started.elapsed()), 30_000);
    }

    /// With each of the first messages that it takes, a member on another thread sends one more.
    struct Flooded {
        io: Box<dyn MessageStream>,
        hub: Arc<OnceLock<Arc<Hub>>>,
        taken: Arc<AtomicU64>,
    }

    impl MessageLayer for Flooded {
        fn inner(&self) -> &dyn MessageStream {
            &*self.io
        }

        fn inner_mut(&mut self) -> &mut dyn MessageStream {
            &mut *self.io
        }

        fn start_send(&mut self, message: Message) -> Result<(), Error> {
            let hub = self.hub.get().expect("it is shared");
            if self.taken.fetch_add(1, Ordering::Relaxed) < 10 * BATCH as u64 {
                let mut state = hub.lock();
                state.inbound.push(message);
                state.pushed += 1;
            }
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn members_that_always_have_something_to_send_leave_their_turn_to_others() {
        let (shared, taken) = (Arc::<OnceLock<_>>::default(), Arc::<AtomicU64>::default());
        let (end, _) = Script::new(EndKind::WebSocket).start();
        let flooded = Flooded { io: end.io, hub: shared.clone(), taken: taken.clone() };
        let hub = start(MessageEnd::new(flooded, end.kind, end.name));
        assert!(shared.set(hub.clone()).is_ok());
        let mut member = Hub::join(&hub);
        member.io.start_send(Message { kind: Kind::Text, payload: "first".into() }).expect("taken");
        let at_next_turn = taken.clone();
        let other = tokio::spawn(async move { at_next_turn.load(Ordering::Relaxed) });
        assert_eq!(other.await.expect("it has its turn"), BATCH as u64);
        poll_fn(|cx| member.io.poll_flush(cx)).await.expect("written");
    }

    #[tokio::test(start_paused = true)]
    async fn a_member_can_ask_again() {
        let (hub, log) = shared();
        let mut member = Hub::join(&hub);
        let started = Instant::now();
        assert_eq!(confirmed(&mut member, None, started).await, 1000);
        assert_eq!(confirmed(&mut member, Some("again"), started).await, 2000);
        assert_eq!(log.lines(), ["0 ping", "1000 message again", "1000 ping"]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_the_shared_end_ends_the_wait_for_a_confirmation() {
        let (end, _) = Script::new(EndKind::WebSocket).never_pongs().after(300).closes(1000, "").start();
        let hub = start(end);
        assert_eq!(confirmed(&mut Hub::join(&hub), None, Instant::now()).await, 300);
    }

    #[tokio::test(start_paused = true)]
    async fn control_frames_are_shown_to_the_members_that_are_there() {
        let (hub, _) = shared();
        let counts = [(); 2].map(|()| Arc::new(AtomicU64::new(0)));
        let observed = |count: &Arc<AtomicU64>| {
            let (mut member, count) = (Hub::join(&hub), count.clone());
            member.io.observe_control(Arc::new(move |_, _| {
                count.fetch_add(1, Ordering::Relaxed);
            }));
            member
        };
        let (mut stays, leaves) = (observed(&counts[0]), observed(&counts[1]));
        confirmed(&mut stays, None, Instant::now()).await;
        drop(leaves);
        confirmed(&mut stays, None, Instant::now()).await;
        // A ping and a pong each.
        assert_eq!(counts.map(|count| count.load(Ordering::Relaxed)), [4, 2]);
    }
}
