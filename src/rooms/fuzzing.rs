//! The fuzz target of the rooms: members that join, send, stall, read and leave, over connections in memory.

use super::{
    broker::Broker,
    hub::{Hub, Membership},
    member::Member,
    member_task::MemberTask,
};
use crate::{
    config::{RoomOptions, SlowPolicy},
    flow::ByteEnd,
    message::{Close, Message},
    ws::{
        Event, Inflater, Role, Upgraded, WebSocketOptions, append_frame,
        testing::{agreed, events, limits, options},
    },
};
use bytes::{Buf, BytesMut};
use std::{
    collections::HashMap,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    runtime::{Builder, Runtime},
    task::yield_now,
    time::advance,
};
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

/// Clients, which come back after they have left.
const CLIENTS: usize = 6;
/// The most bytes that all clients send.
const MOST_SENT: usize = 4 << 20;
/// The longest message and frame that clients read.
const LONGEST: usize = 1 << 20;
/// Control frames in a backlog, beside its messages: pongs, a close frame and what one of them may exceed that by.
const CONTROL: usize = 4096 + 3 * 127;
/// A connection is quiet before its task was polled so often.
const MOST_POLLS: usize = 100_000;

/// A connection in memory.
#[derive(Default)]
struct Wire {
    to_server: BytesMut,
    /// The client has closed its direction.
    has_ended: bool,
    is_reset: bool,
    from_server: Vec<u8>,
    /// Bytes that the connection takes until the client reads.
    window: usize,
    is_shut_down: bool,
    reading: Option<Waker>,
    writing: Option<Waker>,
}

#[derive(Clone, Default)]
struct Connection(Arc<Mutex<Wire>>);

impl Connection {
    fn lock(&self) -> MutexGuard<'_, Wire> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something that both directions may wait for.
    fn change(&self, change: impl FnOnce(&mut Wire)) {
        let mut wire = self.lock();
        change(&mut wire);
        let wakers = [wire.reading.take(), wire.writing.take()];
        drop(wire);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut wire = self.lock();
        let length = wire.to_server.len().min(buf.remaining());
        buf.put_slice(&wire.to_server.split_to(length));
        match length {
            0 if wire.is_reset => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            0 if !wire.has_ended => {
                wire.reading = Some(cx.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut wire = self.lock();
        assert!(!wire.is_shut_down, "something is written after the end");
        if wire.is_reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let (taken, _) = bytes.split_at(bytes.len().min(wire.window));
        if taken.is_empty() {
            wire.writing = Some(cx.waker().clone());
            return Poll::Pending;
        }
        wire.window -= taken.len();
        wire.from_server.extend_from_slice(taken);
        Poll::Ready(Ok(taken.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lock().is_shut_down = true;
        Poll::Ready(Ok(()))
    }
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Relaxed);
    }
}

/// A message is known by its sender's visit and by its place among those of that sender.
type Id = (u32, u32);

/// One visit of a client.
struct Visit {
    number: u32,
    room: usize,
    /// Messages of the room before it joined.
    joined_at: usize,
    is_deflating: bool,
    connection: Connection,
    member: Arc<Member>,
    /// Before the opening handshake is answered.
    membership: Option<Membership>,
    task: Option<MemberTask>,
    woken: Arc<Woken>,
    sent: u32,
    /// The client has sent a close frame, has closed its direction or has reset the connection.
    has_left: bool,
    is_over: bool,
}

/// A client that reads everything at once, and so sees the order of its room.
struct Witness {
    membership: Membership,
    connection: Connection,
    order: Vec<Id>,
}

struct Test {
    hub: Arc<Hub>,
    runtime: Runtime,
    policy: SlowPolicy,
    echo: bool,
    backlog: usize,
    websocket: WebSocketOptions,
    witnesses: [Witness; 2],
    clients: [Option<Visit>; CLIENTS],
    past: Vec<Visit>,
    visits: u32,
    sent_bytes: usize,
    longest: usize,
}

/// Three bytes of settings, then steps of two bytes: what happens to whom, and how much.
pub fn rooms(data: &[u8]) {
    let [policy, backlog, deflate, steps @ ..] = data else { return };
    let mut test = Test::new(*policy, *backlog, *deflate);
    for step in steps.chunks_exact(2).take(500) {
        let [what, how_much] = step else { continue };
        test.step(usize::from(what >> 3) % CLIENTS, what & 7, *how_much);
        test.check_step();
    }
    test.finish();
}

impl Test {
    fn new(policy: u8, backlog: u8, deflate: u8) -> Self {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.unwrap_or_else(|error| unreachable!("{error}"));
        let slow = [SlowPolicy::Disconnect, SlowPolicy::DropOldest, SlowPolicy::DropNewest, SlowPolicy::Block];
        let rooms = RoomOptions {
            echo: policy & 4 == 0,
            slow: slow[usize::from(policy % 4)],
            backlog: [100, 1000, 20_000, 1_000_000][usize::from(backlog % 4)],
            ..RoomOptions::default()
        };
        let deflate = options(true, 9 + deflate % 7, deflate >> 3 & 7);
        let websocket = WebSocketOptions { limits: limits(LONGEST, LONGEST), deflate, ..WebSocketOptions::default() };
        let (policy, echo, backlog) = (rooms.slow, rooms.echo, rooms.backlog);
        let hub = Arc::new(Hub::new(rooms, websocket.clone(), Broker::Memory));
        let witnesses = ["/0", "/1"].map(|room| {
            let connection = Connection::default();
            connection.lock().window = usize::MAX;
            let Ok(membership) = hub.join(room, "witness", None) else { unreachable!("there is no limit") };
            membership.member.connect(ByteEnd::peer(connection.clone(), "witness"), None);
            Witness { membership, connection, order: Vec::new() }
        });
        Self {
            hub,
            runtime,
            policy,
            echo,
            backlog,
            websocket,
            witnesses,
            clients: Default::default(),
            past: Vec::new(),
            visits: 0,
            sent_bytes: 0,
            longest: 0,
        }
    }

    fn step(&mut self, client: usize, what: u8, how_much: u8) {
        let amount = usize::from(how_much);
        match (what, self.clients[client].is_some()) {
            (0, false) => self.join(client, how_much),
            (0, true) => self.open(client),
            (1, _) => self.send(client, 1, amount),
            (2, _) => self.send(client, 1, amount * 256),
            (3, _) => self.send(client, amount, 20),
            (4, _) => self.with(client, |visit| {
                visit.connection.change(|wire| wire.window = wire.window.saturating_add(1 << (amount % 24)));
            }),
            (5, _) if amount % 2 == 0 => {
                self.poll(client);
            }
            (5, _) => {
                (0..CLIENTS).for_each(|offset| _ = self.poll((client + offset) % CLIENTS));
            }
            (6, _) => self.with(client, |visit| visit.control(how_much)),
            _ => self.runtime.block_on(advance(Duration::from_millis(amount as u64))),
        }
    }

    /// Does something to a client that is there and has not left.
    fn with(&mut self, client: usize, change: impl FnOnce(&mut Visit)) {
        if let Some(visit) = self.clients[client].as_mut().filter(|visit| visit.task.is_some() && !visit.has_left) {
            change(visit);
        }
    }

    fn join(&mut self, client: usize, how: u8) {
        let room = usize::from(how & 1);
        self.witnesses[room].look();
        let Ok(membership) = self.hub.join(["/0", "/1"][room], "client", None) else {
            unreachable!("there is no limit")
        };
        let connection = Connection::default();
        connection.lock().window = [0, 100, 5000, usize::MAX][usize::from(how >> 1 & 3)];
        self.clients[client] = Some(Visit {
            number: self.visits,
            room,
            joined_at: self.witnesses[room].order.len(),
            is_deflating: how & 8 > 0,
            connection,
            member: membership.member.clone(),
            membership: Some(membership),
            task: None,
            woken: Arc::new(Woken(AtomicBool::new(true))),
            sent: 0,
            has_left: false,
            is_over: false,
        });
        self.visits += 1;
    }

    /// The opening handshake is answered.
    fn open(&mut self, client: usize) {
        let _guard = self.runtime.enter();
        if let Some(visit) = &mut self.clients[client]
            && let Some(membership) = visit.membership.take()
        {
            let deflate = visit.is_deflating.then(|| agreed(&self.websocket.deflate));
            let end = ByteEnd::peer(visit.connection.clone(), "client");
            visit.task = Some(MemberTask::new(membership, Upgraded { end, early: Vec::new(), deflate }));
        }
    }

    fn send(&mut self, client: usize, count: usize, length: usize) {
        let total = count * (length + 8);
        if self.sent_bytes + total > MOST_SENT {
            return;
        }
        self.sent_bytes += total;
        self.longest = self.longest.max(length + 8 + 14);
        self.with(client, |visit| {
            let mut frames = BytesMut::new();
            for _ in 0..count {
                let mut payload = [visit.number.to_be_bytes(), visit.sent.to_be_bytes()].concat();
                // Some messages can be compressed.
                let step = if visit.sent % 2 == 0 { 0 } else { 0x9e37_79b9 };
                let noise = |index: u32| (index.wrapping_mul(step) >> 16) as u8;
                payload.extend((0..).map(noise).take(length));
                append_frame(&mut frames, OpCode::Data(Data::Binary), true, true, &payload);
                visit.sent += 1;
            }
            visit.connection.change(|wire| wire.to_server.extend_from_slice(&frames));
        });
    }

    /// Polls the task of a client if it was woken. Returns whether it was.
    fn poll(&mut self, client: usize) -> bool {
        let _guard = self.runtime.enter();
        let Some(visit) = &mut self.clients[client] else { return false };
        let Some(task) = visit.task.as_mut().filter(|_| visit.woken.0.swap(false, Relaxed)) else { return false };
        let waker = visit.woken.clone().into();
        if let Poll::Ready(result) = task.poll_end(&mut Context::from_waker(&waker)) {
            task.leave(&result);
            visit.task = None;
            visit.is_over = true;
            self.past.extend(self.clients[client].take());
        }
        true
    }

    /// Polls the tasks that were woken until there are none.
    fn settle(&mut self) {
        let mut polls = 0;
        while (0..CLIENTS).any(|client| self.poll(client)) {
            self.runtime.block_on(yield_now());
            polls += 1;
            assert!(polls < MOST_POLLS, "a task is woken for ever");
        }
    }

    /// What holds at any time.
    fn check_step(&mut self) {
        self.runtime.block_on(yield_now());
        let delivered: usize = self.witnesses.iter_mut().map(Witness::look).sum();
        let metrics = &self.hub.delivery.metrics;
        assert_eq!(delivered as u64, metrics.received.load(Relaxed), "a message is neither delivered nor pending");
        let batch = if self.policy == SlowPolicy::Block { self.hub.delivery.pending + self.longest } else { 0 };
        let most = self.backlog + self.longest + batch + CONTROL;
        for visit in self.clients.iter().flatten() {
            let backlog = visit.member.backlog();
            assert!(backlog <= most, "{backlog} bytes wait for a member, more than {most}");
        }
    }

    /// Every client reads all that there is, and then leaves.
    fn finish(mut self) {
        for client in 0..CLIENTS {
            if self.clients[client].is_some() {
                self.open(client);
            }
        }
        for visit in self.clients.iter().flatten() {
            visit.connection.change(|wire| wire.window = usize::MAX);
        }
        self.settle();
        // A sender that pauses for slow members.
        self.runtime.block_on(advance(Duration::from_secs(1)));
        self.settle();
        self.check_step();
        let mut missing = 0;
        for visit in self.clients.iter().flatten().chain(&self.past) {
            missing += self.check_visit(visit);
        }
        self.check_senders();
        let metrics = &self.hub.delivery.metrics;
        let dropped = metrics.dropped.load(Relaxed);
        assert!(missing <= dropped, "{missing} messages are missing, {dropped} were counted");
        let is_complete = self.past.is_empty() && self.clients.iter().flatten().all(|visit| !visit.has_left);
        if is_complete && metrics.slow.load(Relaxed) == 0 {
            assert_eq!(missing, dropped, "messages were counted as dropped that arrived");
        }
        for client in 0..CLIENTS {
            self.with(client, |visit| visit.close());
        }
        self.settle();
        // Those that closed only their direction, or answered no close frame.
        self.runtime.block_on(advance(Duration::from_secs(60)));
        self.settle();
        assert!(self.clients.iter().all(Option::is_none), "a member stays");
        let Self { hub, witnesses, runtime, .. } = self;
        let rooms = |count| hub.metrics().contains(&format!("\nwsplice_rooms {count}\n"));
        assert!(rooms(2) && hub.metrics().contains("\nwsplice_connections 2\n"));
        drop(witnesses);
        assert!(rooms(0), "an empty room stays");
        drop(runtime);
    }

    /// What a client has received is in the room's order, and complete unless it was closed or messages were dropped. Returns
    /// the number of messages that it misses, if it is still there.
    fn check_visit(&self, visit: &Visit) -> u64 {
        let inflater = visit.is_deflating.then(|| Inflater::new(&agreed(&self.websocket.deflate), Role::Client));
        let wire = visit.connection.lock();
        let (received, error) = events(Role::Client, &limits(LONGEST, LONGEST), inflater, &wire.from_server, &[]);
        assert_eq!(error, None, "what a member receives is no stream of frames");
        let order = &self.witnesses[visit.room].order[visit.joined_at..];
        let mut expected = order.iter().filter(|(sender, _)| self.echo || *sender != visit.number);
        let (mut own, mut skipped) = (0, 0);
        let (mut is_closed, mut is_overtaken) = (false, false);
        let drops = matches!(self.policy, SlowPolicy::DropOldest | SlowPolicy::DropNewest);
        for event in received {
            assert!(!is_closed, "something comes after a close frame");
            match event {
                Event::Message(message) => {
                    let id = id(&message);
                    let before = expected.by_ref().position(|expected| *expected == id);
                    let Some(before) = before else { unreachable!("{id:?} comes twice or out of order") };
                    skipped += before as u64;
                    own += u32::from(id.0 == visit.number);
                    assert!(drops || before == 0, "messages before {id:?} are missing");
                }
                Event::Pong(sent) => {
                    let sent = u32::from_be_bytes(*sent.first_chunk().unwrap_or_else(|| unreachable!("it is ours")));
                    // Of one that is too slow, control frames are all that is kept.
                    is_overtaken |= self.echo && !drops && own < sent;
                }
                Event::Close(close) => {
                    is_closed = true;
                    let is_slow = close.code == u16::from(CloseCode::Again);
                    assert!(visit.has_left || (is_slow && !drops), "a member is closed with {}", close.code);
                }
                Event::Ping(_) => unreachable!("there are no pings"),
            }
        }
        let is_here = !is_closed && !visit.has_left && !visit.is_over;
        // One that is too slow may not read the close frame either.
        assert!(is_here || is_closed || visit.has_left || !drops, "a connection ends without a close frame");
        if !is_here {
            return 0;
        }
        assert!(!is_overtaken, "a pong overtakes messages");
        let missing = skipped + expected.count() as u64;
        assert!(drops || missing == 0, "{missing} messages are missing at the end");
        missing
    }

    /// All messages of a sender are passed on, in its order, unless it was closed or reset.
    fn check_senders(&self) {
        let mut counts = HashMap::new();
        for (sender, sequence) in self.witnesses.iter().flat_map(|witness| &witness.order) {
            let count = counts.entry(*sender).or_insert(0);
            assert_eq!(sequence, count, "the order of a sender changes");
            *count += 1;
        }
        for visit in self.clients.iter().flatten().chain(&self.past) {
            let count = counts.get(&visit.number).copied().unwrap_or(0);
            let wire = visit.connection.lock();
            let is_open = !visit.is_over && !visit.has_left;
            assert!(!is_open || wire.is_shut_down || count == visit.sent, "{count} of {} are passed on", visit.sent);
        }
    }
}

impl Visit {
    fn close(&mut self) {
        self.has_left = true;
        let mut frame = BytesMut::new();
        append_frame(&mut frame, OpCode::Control(Control::Close), true, true, &Close::new(1000, "").payload());
        self.connection.change(|wire| wire.to_server.extend_from_slice(&frame));
    }

    /// A ping, a close frame, the end of a direction, or of the connection.
    fn control(&mut self, which: u8) {
        match which % 8 {
            0..4 => {
                let mut frame = BytesMut::new();
                append_frame(&mut frame, OpCode::Control(Control::Ping), true, true, &self.sent.to_be_bytes());
                self.connection.change(|wire| wire.to_server.extend_from_slice(&frame));
            }
            4 | 5 => self.close(),
            6 => {
                self.has_left = true;
                self.connection.change(|wire| wire.has_ended = true);
            }
            _ => {
                self.has_left = true;
                self.connection.change(|wire| wire.is_reset = true);
            }
        }
    }
}

impl Witness {
    /// Reads what has come. Returns how many messages there were so far.
    fn look(&mut self) -> usize {
        let mut wire = self.connection.lock();
        let mut bytes = &wire.from_server[..];
        while let [_, length, rest @ ..] = bytes {
            let mut rest = rest;
            let length = match length {
                126 => usize::from(rest.get_u16()),
                127 => rest.get_u64() as usize,
                length => usize::from(*length),
            };
            self.order.push(id_of(rest));
            bytes = &rest[length..];
        }
        wire.from_server.clear();
        assert_eq!(self.membership.member.backlog(), 0);
        self.order.len()
    }
}

fn id(message: &Message) -> Id {
    id_of(&message.payload)
}

fn id_of(mut payload: &[u8]) -> Id {
    (payload.get_u32(), payload.get_u32())
}
