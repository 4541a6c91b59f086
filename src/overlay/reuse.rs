//! `reuse:`: one end that many sessions share. What each of them says goes in, in the order it came; what comes out goes
//! to all of them. Nothing is lost: while one of the sessions does not take what it is sent, the shared end is not read.

use crate::{
    error::Error,
    flow::{Close, Duplex, Flow, Incoming, Message, MessageEnd, MessageStream, Role, Task},
    plan::{Setup, Stack},
    registry::{Build, Dial, Entry, Overlay, Redial},
};
use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

pub(super) static REUSE: Entry = Entry {
    names: &["reuse", "broadcast", "reuse-broadcast", "broadcast-reuse"],
    arg: None,
    summary: "Share one connection between all sessions",
    details: "Opened when the first session needs it, and again when it has ended and another session comes. What the \
              sessions say is merged; what it says goes to all of them. A session that takes nothing holds it up, so \
              that nothing is lost.",
    example: "ws-l:127.0.0.1:8080 reuse:tcp:127.0.0.1:7",
    flags: &[],
    build: Build::Overlay(|_, _| Ok(reuse().1)),
};

/// The overlay and its name.
pub fn reuse() -> (&'static str, Overlay) {
    ("reuse", Overlay::OnDial(Box::new(Reuse)))
}

struct Reuse;

impl Redial for Reuse {
    fn wants(&self) -> Option<Flow> {
        Some(Flow::Messages)
    }

    fn role(&self, _: Role) -> Role {
        Role::Shared
    }

    fn wrap(self: Box<Self>, inner: Stack) -> Box<dyn Dial> {
        Box::new(SharedDial { inner, current: tokio::sync::Mutex::new(None) })
    }
}

struct SharedDial {
    inner: Stack,
    current: tokio::sync::Mutex<Option<Arc<Hub>>>,
}

impl Dial for SharedDial {
    fn dial<'a>(&'a self, setup: &'a mut Setup<'_>) -> Task<'a, Result<Duplex, Error>> {
        Box::pin(async move {
            let mut current = self.current.lock().await;
            let hub = match &*current {
                Some(hub) if !hub.lock().is_over() => hub.clone(),
                _ => {
                    let Duplex::Messages(end) = self.inner.dial(setup).await? else {
                        unreachable!("the plan frames what is shared")
                    };
                    let hub = Hub::start(end);
                    *current = Some(hub.clone());
                    hub
                }
            };
            Ok(Duplex::Messages(Hub::join(&hub)))
        })
    }
}

/// Messages that may wait for one member, or for the shared end, before the other side is no longer read.
const MOST_WAITING: usize = 1024;
/// The same in bytes; a single longer message is taken all the same.
const MOST_WAITING_BYTES: usize = 1024 * 1024;

/// A bounded queue between a member and the shared end.
#[derive(Default)]
struct Queue {
    messages: VecDeque<Message>,
    bytes: usize,
}

impl Queue {
    fn is_full(&self) -> bool {
        self.messages.len() >= MOST_WAITING || self.bytes >= MOST_WAITING_BYTES
    }

    fn push(&mut self, message: Message) {
        self.bytes += message.payload.len();
        self.messages.push_back(message);
    }

    fn pop(&mut self) -> Option<Message> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.payload.len();
        Some(message)
    }
}

/// What members and the task of the shared end have in common.
struct Hub {
    state: Mutex<State>,
    name: Arc<str>,
}

#[derive(Default)]
struct State {
    members: Vec<Member>,
    next_id: u64,
    /// From all members to the shared end.
    inbound: Queue,
    inbound_writers: Vec<Waker>,
    /// Messages that members have said so far, and how many of them are known to be written.
    said: u64,
    written: u64,
    /// The task that owns the shared end.
    owner: Option<Waker>,
    /// The shared end will say nothing more, with these words.
    ended: Option<Option<Close>>,
    /// It cannot be written any more.
    failed: Option<String>,
}

struct Member {
    id: u64,
    outbound: Queue,
    reader: Option<Waker>,
}

impl State {
    fn is_over(&self) -> bool {
        self.ended.is_some() || self.failed.is_some()
    }

    fn wake_owner(&mut self) {
        self.owner.take().into_iter().for_each(Waker::wake);
    }

    fn wake_members(&mut self) {
        self.inbound_writers.drain(..).for_each(Waker::wake);
        self.members.iter_mut().filter_map(|member| member.reader.take()).for_each(Waker::wake);
    }
}

impl Hub {
    fn start(end: MessageEnd) -> Arc<Self> {
        let hub = Arc::new(Self { state: Mutex::default(), name: end.name.clone() });
        let owned = hub.clone();
        tokio::spawn(async move {
            let mut owner = Owner { hub: owned, end, stays_when_ended: false };
            // Standard input that has ended leaves standard output, which goes on taking what members say.
            owner.stays_when_ended = matches!(owner.end.role, Role::Console { .. } | Role::Source | Role::Sink);
            let result = poll_fn(|cx| owner.poll(cx)).await;
            let mut state = owner.hub.lock();
            if let Err(error) = result {
                state.failed = Some(error.to_string());
            }
            state.ended.get_or_insert(None);
            state.wake_members();
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
        state.members.push(Member { id, outbound: Queue::default(), reader: None });
        state.wake_owner();
        drop(state);
        let name = hub.name.clone();
        MessageEnd { io: Box::new(Membership { hub: hub.clone(), id, said: 0 }), role: Role::Shared, name }
    }
}

/// The task that owns the shared end.
struct Owner {
    hub: Arc<Hub>,
    end: MessageEnd,
    stays_when_ended: bool,
}

impl Owner {
    /// Ready when the shared end is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_inbound(cx)?;
        let over = self.poll_outbound(cx)?;
        if over.is_ready() && !self.stays_when_ended { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Writes what members said.
    fn poll_inbound(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        let taken = loop {
            if self.end.io.poll_ready(cx)?.is_pending() {
                return Ok(());
            }
            let mut state = self.hub.lock();
            let Some(message) = state.inbound.pop() else {
                state.owner = Some(cx.waker().clone());
                break state.said;
            };
            if !state.inbound.is_full() {
                state.inbound_writers.drain(..).for_each(Waker::wake);
            }
            drop(state);
            self.end.io.start_send(message)?;
        };
        if self.end.io.poll_flush(cx)?.is_ready() {
            let mut state = self.hub.lock();
            if state.written < taken {
                state.written = taken;
                state.inbound_writers.drain(..).for_each(Waker::wake);
            }
        }
        Ok(())
    }

    /// Reads for the members, while there are some and all of them take it. Ready when the shared end has ended.
    fn poll_outbound(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Error> {
        for _ in 0..MOST_WAITING {
            let mut state = self.hub.lock();
            if state.ended.is_some() {
                return Ok(Poll::Ready(()));
            }
            if state.members.is_empty() || state.members.iter().any(|member| member.outbound.is_full()) {
                state.owner = Some(cx.waker().clone());
                return Ok(Poll::Pending);
            }
            drop(state);
            match self.end.io.poll_next(cx)? {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Incoming::Message(message)) => {
                    let mut state = self.hub.lock();
                    for member in &mut state.members {
                        member.outbound.push(message.clone());
                        member.reader.take().into_iter().for_each(Waker::wake);
                    }
                }
                Poll::Ready(Incoming::End(close)) => {
                    if self.stays_when_ended {
                        return Ok(Poll::Ready(()));
                    }
                    let mut state = self.hub.lock();
                    state.ended = Some(close);
                    state.wake_members();
                }
            }
        }
        cx.waker().wake_by_ref();
        Ok(Poll::Pending)
    }
}

/// A session's hold on the shared end.
struct Membership {
    hub: Arc<Hub>,
    id: u64,
    /// The number of its last message among those of all members.
    said: u64,
}

impl Membership {
    fn failure(&self, reason: &str) -> Error {
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
        let was_full = member.outbound.is_full();
        if let Some(message) = member.outbound.pop() {
            if was_full && !member.outbound.is_full() {
                state.wake_owner();
            }
            return Poll::Ready(Ok(Incoming::Message(message)));
        }
        if let Some(close) = &state.ended {
            return Poll::Ready(Ok(Incoming::End(close.clone())));
        }
        member.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut state = self.hub.lock();
        if let Some(reason) = &state.failed {
            return Poll::Ready(Err(self.failure(reason)));
        }
        if state.inbound.is_full() {
            state.inbound_writers.push(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn start_send(&mut self, message: Message) -> Result<(), Error> {
        let mut state = self.hub.lock();
        state.inbound.push(message);
        state.said += 1;
        self.said = state.said;
        state.wake_owner();
        Ok(())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        // The queue is not enough: the process may end with this session.
        let mut state = self.hub.lock();
        if let Some(reason) = &state.failed {
            return Poll::Ready(Err(self.failure(reason)));
        }
        if state.written < self.said {
            state.inbound_writers.push(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>, _: Option<&Close>) -> Poll<Result<(), Error>> {
        self.poll_flush(cx)
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut state = self.hub.lock();
        state.members.retain(|member| member.id != self.id);
        state.wake_owner();
    }
}
