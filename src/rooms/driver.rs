//! The driver of a node: takes the batches of rooms to the engine of the cluster, and what comes back to the rooms.
//!
//! One task does this for all rooms. Members' tasks and the locks of rooms never wait for it: they send it commands, of which a room has few at
//! a time, since its next batch follows when the last one has come back.

use super::{
    hub::Hub,
    node::{Command, Commands, Status},
    outbox::Dismissal,
    room::{Batch, Room, Subscription},
};
use crate::{
    cluster::{
        Action, Change, Channel, ClusterOptions, Engine, EngineError, Event, Events, NodeLimits, Outage, Part,
        Position, Publication, WhenDown,
    },
    config::HistoryOptions,
    readiness::Readiness,
    report::{self, Drops},
};
use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use std::{
    collections::{HashMap, HashSet},
    future::Future,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};
use tokio::{
    sync::oneshot,
    task::{unconstrained, yield_now},
    time::{MissedTickBehavior, interval, timeout},
};

/// Maximum wait for the engine's answer to a request, after which it is sent again.
const ANSWER: Duration = Duration::from_secs(2);
/// Between two looks at what has failed or has not come back.
const TICK: Duration = Duration::from_millis(250);
/// Steps before other tasks run.
const STEPS: usize = 64;

/// A batch of this node that has not come back.
struct Own {
    room: Arc<Room>,
    batch: Batch,
    sent: Instant,
    _counted: InFlight,
}

/// Bytes that are in flight until this is dropped.
struct InFlight(Arc<Status>, usize);

impl InFlight {
    fn new(status: &Arc<Status>, bytes: usize) -> Self {
        status.in_flight.fetch_add(bytes, Relaxed);
        Self(status.clone(), bytes)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(self.1, Relaxed);
    }
}

/// A room at this node. It stays until nothing of it is left at the engine.
struct Entry {
    /// `None` when its last member has left.
    room: Option<Arc<Room>>,
    channel: Channel<Own>,
    /// Since when its requests fail, by [`Part`].
    failing: [Option<Instant>; 3],
}

/// The outcome of a request to the engine.
struct Done {
    target: Arc<str>,
    began: Instant,
    outcome: Outcome,
}

enum Outcome {
    Subscribed(Result<Position, EngineError>),
    Unsubscribed(Result<(), EngineError>),
    Stored(crate::cluster::BatchId, Result<Position, EngineError>),
    Fetched(Result<Option<Vec<Publication>>, EngineError>),
    Recent(Result<Vec<Publication>, EngineError>),
}

impl Outcome {
    /// The part of the engine that it tells of, and why that failed.
    fn verdict(&self) -> (Part, Option<&EngineError>) {
        match self {
            Self::Stored(_, result) => (Part::Publishing, result.as_ref().err()),
            Self::Subscribed(result) => (Part::Requests, result.as_ref().err()),
            Self::Unsubscribed(result) => (Part::Requests, result.as_ref().err()),
            Self::Fetched(result) => (Part::Requests, result.as_ref().err()),
            Self::Recent(result) => (Part::Requests, result.as_ref().err()),
        }
    }
}

/// What went wrong in rooms.
#[derive(Default)]
struct Troubles {
    repaired: usize,
    repaired_rooms: HashSet<Arc<str>>,
    lost: HashSet<Arc<str>>,
    /// Requests that were refused or not answered, and why the last of them.
    refused: usize,
    refusal: String,
    /// Rooms whose requests have failed for too long.
    failed: HashSet<Arc<str>>,
}

impl Troubles {
    fn refuse(&mut self, reason: &str) {
        self.refused += 1;
        reason.clone_into(&mut self.refusal);
    }
}

fn report_troubles(troubles: Troubles) {
    let Troubles { repaired, repaired_rooms, lost, refused, refusal, failed } = troubles;
    let rooms = |rooms: &HashSet<Arc<str>>| match (rooms.len(), rooms.iter().next()) {
        (1, Some(room)) => format!("room {room}"),
        (count, _) => format!("{count} rooms"),
    };
    if repaired > 0 {
        report::notice(format_args!(
            "cluster: fetched {repaired} batches of {} that were missing",
            rooms(&repaired_rooms)
        ));
    }
    if refused > 0 {
        let requests = if refused == 1 { "a request".to_owned() } else { format!("{refused} requests") };
        report::warn(format_args!("cluster: the engine has refused {requests} or not answered: {refusal}"));
    }
    if !failed.is_empty() {
        report::warn(format_args!(
            "cluster: requests of {} have failed for too long; its members are closed",
            rooms(&failed)
        ));
    }
    if !lost.is_empty() {
        report::warn(format_args!("cluster: messages of {} were lost; its members are closed", rooms(&lost)));
    }
}

/// What happens when the engine has been away for too long.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// It is not.
    Together,
    /// Members are closed and refused.
    Refusing,
    /// Members are served without the engine.
    Alone,
}

struct Driver<E> {
    engine: E,
    options: ClusterOptions,
    hub: Arc<Hub>,
    readiness: Option<Arc<Readiness>>,
    status: Arc<Status>,
    limits: NodeLimits,
    last_number: u64,
    rooms: HashMap<Arc<str>, Entry>,
    requests: FuturesUnordered<BoxFuture<'static, Done>>,
    outage: Outage,
    mode: Mode,
    ticks: bool,
    troubles: Arc<Drops<Troubles>>,
    told_of_strangers: bool,
    /// What the engine has refused last, and when.
    refusal: Option<(Instant, String)>,
}

/// Serves the rooms of `hub` until the process ends. `max_batch`: see [`NodeLimits`].
pub fn run<E: Engine>(
    engine: E,
    mut events: Events,
    commands: Commands,
    options: ClusterOptions,
    max_batch: usize,
    hub: Arc<Hub>,
    readiness: Option<Arc<Readiness>>,
) -> impl Future<Output = ()> + Send {
    let Commands { receiver: mut commands, status } = commands;
    status.is_up.store(true, Relaxed);
    let max_payload = engine.max_payload();
    let recent = hub.delivery.histories.as_ref().map_or(0, |histories| publications(&histories.limits, max_payload));
    let limits = NodeLimits { node: rand::random(), max_payload, max_batch, recent };
    let mut driver = Driver {
        engine,
        outage: Outage::new(options.wait),
        options,
        hub,
        readiness,
        status,
        limits,
        last_number: 0,
        rooms: HashMap::new(),
        requests: FuturesUnordered::new(),
        mode: Mode::Together,
        ticks: false,
        troubles: Drops::new(report_troubles),
        told_of_strangers: false,
        refusal: None,
    };
    // Deliveries write to many sockets, more than tokio allows a task in one turn.
    unconstrained(async move {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut flushes: Vec<oneshot::Sender<()>> = Vec::new();
        let mut steps = 0;
        loop {
            tokio::select! {
                Some(command) = commands.recv() => match command {
                    Command::Flush(done) => flushes.push(done),
                    command => driver.command(command),
                },
                event = events.next() => match event {
                    Some(event) => driver.event(event),
                    // The engine's client has ended, which is a bug: nothing works without it.
                    None => return driver.client_ended(),
                },
                Some(done) = driver.requests.next(), if !driver.requests.is_empty() => driver.done(done),
                _ = ticks.tick(), if driver.ticks || driver.outage.is_failing() => driver.tick(),
            }
            driver.follow_outage();
            if !flushes.is_empty()
                && commands.is_empty()
                && !driver.rooms.values().any(|entry| entry.channel.is_publishing())
            {
                flushes.drain(..).for_each(|done| _ = done.send(()));
            }
            steps += 1;
            if steps >= STEPS {
                steps = 0;
                yield_now().await;
            }
        }
    })
}

/// So many of the last publications of a room have its history, if each takes at most `max_payload` bytes.
fn publications(limits: &HistoryOptions, max_payload: usize) -> usize {
    let messages = usize::try_from(limits.messages).unwrap_or(usize::MAX);
    messages.saturating_add(limits.bytes.div_ceil(max_payload.max(1)))
}

impl<E: Engine> Driver<E> {
    fn command(&mut self, command: Command) {
        match command {
            Command::Open(room) => {
                let target = room.target.clone();
                match self.mode {
                    Mode::Together => {}
                    Mode::Refusing => room.set_subscription(Subscription::Refused),
                    Mode::Alone => room.open(None, &self.hub.delivery),
                }
                self.entry(&target).room = Some(room);
                self.call(&target, |channel, out| channel.open(out));
            }
            Command::Close(target) => {
                if let Some(entry) = self.rooms.get_mut(&target) {
                    entry.room = None;
                }
                self.call(&target, |channel, out| channel.close(out));
            }
            Command::Publish(room, batch) => self.publish(room, batch),
            Command::Flush(done) => _ = done.send(()),
        }
    }

    fn entry(&mut self, target: &Arc<str>) -> &mut Entry {
        let limits = self.limits;
        let entry = self.rooms.entry(target.clone());
        entry.or_insert_with(|| {
            let channel = Channel::new(limits, target.clone());
            Entry { room: None, channel, failing: [None; 3] }
        })
    }

    fn publish(&mut self, room: Arc<Room>, batch: Batch) {
        if !room.is_current(&batch) {
            return;
        }
        match self.mode {
            Mode::Together => {}
            Mode::Refusing => return room.dismiss(Dismissal::EngineAway),
            Mode::Alone => {
                room.deliver(batch, true, &self.hub.delivery);
                return self.hub.flush(&room);
            }
        }
        let body = batch.body();
        let counted = InFlight::new(&self.status, body.size());
        let target = room.target.clone();
        let own = Own { room, batch, sent: Instant::now(), _counted: counted };
        let mut last_number = self.last_number;
        // The last member may have left in the meantime.
        self.entry(&target);
        self.call(&target, |channel, out| channel.publish(own, body, &mut last_number, out));
        self.last_number = last_number;
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Publication { room, publication } => {
                // Those that come while the engine counts as away are fetched when it is back.
                if self.mode == Mode::Together
                    && let Ok(room) = std::str::from_utf8(&room)
                    && let Some((target, _)) = self.rooms.get_key_value(room)
                {
                    let target = target.clone();
                    self.call(&target, |channel, out| channel.received(publication, out));
                }
            }
            Event::Down { reason, since } => {
                self.status.is_up.store(false, Relaxed);
                report::warn(format_args!("cluster: {} is not connected: {reason}", self.options.engine));
                self.outage.failed(Part::Connection, since, Instant::now(), &reason);
                if self.mode == Mode::Refusing {
                    self.set_unready(&reason);
                }
            }
            Event::Stranger { room } => self.stranger(&String::from_utf8_lossy(&room)),
            Event::Refused { reason } => {
                self.status.errors.fetch_add(1, Relaxed);
                self.troubles.add(|troubles| troubles.refuse(&reason));
                self.refusal = Some((Instant::now(), reason));
            }
            Event::Up => {
                self.status.is_up.store(true, Relaxed);
                self.status.reconnects.fetch_add(1, Relaxed);
                report::notice(format_args!("cluster: {} is connected again", self.options.engine));
                self.outage.works(Part::Connection);
                if self.mode == Mode::Together {
                    self.resume();
                }
            }
        }
    }

    /// Looks for what may have been missed.
    fn resume(&mut self) {
        for target in self.targets() {
            self.call(&target, |channel, out| channel.engine_up(out));
        }
    }

    fn targets(&self) -> Vec<Arc<str>> {
        self.rooms.keys().cloned().collect()
    }

    fn done(&mut self, Done { target, began, outcome }: Done) {
        match outcome.verdict() {
            (part, None) => {
                self.outage.works(part);
                self.set_failing(&target, part, None);
            }
            (part, Some(error)) => {
                // The engine may have told why it does not answer.
                let told = self.refusal.as_ref().filter(|(at, _)| *at >= began).map(|(_, reason)| reason.clone());
                let reason = told.unwrap_or_else(|| error.reason.clone());
                if !error.is_lost {
                    self.status.errors.fetch_add(1, Relaxed);
                    self.troubles.add(|troubles| troubles.refuse(&reason));
                }
                self.outage.failed(part, began, Instant::now(), &reason);
                self.set_failing(&target, part, Some(began));
            }
        }
        self.call(&target, |channel, out| match outcome {
            Outcome::Subscribed(result) => channel.subscribed(result, out),
            Outcome::Unsubscribed(result) => channel.unsubscribed(result, out),
            Outcome::Stored(id, result) => channel.stored(id, result, out),
            Outcome::Fetched(result) => channel.fetched(result, out),
            Outcome::Recent(result) => channel.recent(result, out),
        });
    }

    fn set_failing(&mut self, target: &Arc<str>, part: Part, since: Option<Instant>) {
        let failing = self.rooms.get_mut(target).and_then(|entry| entry.failing.get_mut(part as usize));
        if let Some(failing) = failing {
            *failing = since.map(|since| failing.unwrap_or(since));
        }
    }

    /// Closes the members of a room of which nothing can be published or received, although the engine serves others.
    fn give_up(&mut self, target: &Arc<str>) {
        let Some(entry) = self.rooms.get_mut(target) else { return };
        entry.failing = [None; 3];
        if entry.channel.stands() {
            self.status.rooms.fetch_sub(1, Relaxed);
        }
        drop(entry.channel.abandon());
        if let Some(room) = &entry.room {
            room.set_subscription(Subscription::Refused);
            room.dismiss(Dismissal::EngineAway);
        }
        self.troubles.add(|troubles| _ = troubles.failed.insert(target.clone()));
    }

    fn tick(&mut self) {
        self.ticks = false;
        // Without a connection every request would fail.
        let is_connected = !self.outage.is_disconnected();
        for target in self.targets() {
            let Some(entry) = self.rooms.get(&target) else { continue };
            let since = entry.failing.iter().flatten().min();
            if !self.outage.is_failing()
                && self.mode == Mode::Together
                && since.is_some_and(|since| since.elapsed() >= self.options.wait)
            {
                self.give_up(&target);
            }
            let Some(entry) = self.rooms.get(&target) else { continue };
            if entry.channel.needs_tick() {
                self.ticks = true;
                if is_connected && self.mode == Mode::Together {
                    self.call(&target, |channel, out| channel.tick(out));
                }
            }
        }
    }

    fn follow_outage(&mut self) {
        match self.outage.poll(Instant::now()) {
            None => {}
            Some(Change::Away(reason)) => self.away(&reason),
            Some(Change::Back) => self.back(),
        }
    }

    /// The engine has been away for too long.
    fn away(&mut self, reason: &str) {
        let engine = &self.options.engine;
        let what = match self.options.when_down {
            WhenDown::Close => {
                self.mode = Mode::Refusing;
                self.status.refuses.store(true, Relaxed);
                self.set_unready(reason);
                "members are closed and refused"
            }
            WhenDown::Local => {
                self.mode = Mode::Alone;
                "members are served alone"
            }
        };
        let wait = self.options.wait.as_secs_f64();
        report::warn(format_args!("cluster: {engine} has been away for {wait} s ({reason}): {what}"));
        for target in self.targets() {
            let Some(entry) = self.rooms.get_mut(&target) else { continue };
            if entry.channel.stands() {
                self.status.rooms.fetch_sub(1, Relaxed);
            }
            let outgoing = entry.channel.abandon();
            match (&entry.room, self.mode) {
                (Some(room), Mode::Alone) => {
                    room.open(None, &self.hub.delivery);
                    for Own { room: from, batch, .. } in outgoing {
                        if Arc::ptr_eq(room, &from) {
                            room.deliver(batch, true, &self.hub.delivery);
                        } else {
                            room.deliver(batch.of_others(), false, &self.hub.delivery);
                        }
                    }
                    self.hub.flush(room);
                }
                (Some(room), _) => {
                    room.set_subscription(Subscription::Refused);
                    room.dismiss(Dismissal::EngineAway);
                }
                (None, _) => {}
            }
        }
        self.ticks = true;
    }

    /// The health check fails, and says why.
    fn set_unready(&self, reason: &str) {
        let problem = format!("{} is away: {reason}", self.options.engine);
        self.readiness.iter().for_each(|readiness| readiness.set(Some(&problem)));
    }

    /// The engine is back after it was away for too long.
    fn back(&mut self) {
        let was_alone = self.mode == Mode::Alone;
        self.mode = Mode::Together;
        self.status.refuses.store(false, Relaxed);
        self.readiness.iter().for_each(|readiness| readiness.set(None));
        let what = if was_alone { "members are closed, so that they come back together" } else { "members are let in" };
        report::notice(format_args!("cluster: {} is back: {what}", self.options.engine));
        for entry in self.rooms.values_mut() {
            // What has failed until now was that of the engine, not of this room.
            entry.failing = [None; 3];
            if let Some(room) = &entry.room {
                if !entry.channel.is_open() {
                    room.set_subscription(Subscription::Pending);
                } else if !was_alone {
                    room.open(None, &self.hub.delivery);
                }
                if was_alone {
                    room.dismiss(Dismissal::EngineBack);
                }
            }
        }
        self.resume();
    }

    fn client_ended(&mut self) {
        report::warn("cluster: the client of the engine has ended, which is a bug");
        self.status.is_up.store(false, Relaxed);
        self.options.when_down = WhenDown::Close;
        self.away("its client has ended");
    }

    /// Calls the channel of a room, and does what it asks for.
    fn call(&mut self, target: &Arc<str>, call: impl FnOnce(&mut Channel<Own>, &mut Vec<Action<Own>>)) {
        let Some(entry) = self.rooms.get_mut(target) else { return };
        let mut actions = Vec::new();
        let stood = entry.channel.stands();
        call(&mut entry.channel, &mut actions);
        match (stood, entry.channel.stands()) {
            (false, true) => _ = self.status.rooms.fetch_add(1, Relaxed),
            (true, false) => _ = self.status.rooms.fetch_sub(1, Relaxed),
            _ => {}
        }
        self.ticks |= entry.channel.needs_tick();
        let room = entry.room.clone();
        if entry.channel.is_gone() {
            self.rooms.remove(target);
        }
        for action in actions {
            self.act(target, room.as_ref(), action);
        }
    }

    fn act(&mut self, target: &Arc<str>, room: Option<&Arc<Room>>, action: Action<Own>) {
        let engine = self.engine.clone();
        let name = target.clone();
        match action {
            Action::Subscribe => self
                .request(target, async move { Outcome::Subscribed(answer(engine.subscribe(name.as_bytes())).await) }),
            Action::Unsubscribe => {
                self.request(
                    target,
                    async move { Outcome::Unsubscribed(answer(engine.unsubscribe(name.as_bytes())).await) },
                )
            }
            Action::Publish(id, payload) => self.request(target, async move {
                Outcome::Stored(id, answer(engine.publish(name.as_bytes(), id, payload)).await)
            }),
            Action::Since(after) => self.request(target, async move {
                Outcome::Fetched(answer(engine.since(name.as_bytes(), after, crate::cluster::FETCHED)).await)
            }),
            Action::Last(limit) => {
                self.request(target, async move { Outcome::Recent(answer(engine.last(name.as_bytes(), limit)).await) })
            }
            Action::Opened(recent) => {
                if let Some(room) = room {
                    room.open(recent, &self.hub.delivery);
                }
            }
            Action::DeliverOwn(Own { room: from, batch, sent, _counted }, position) => {
                self.status.published.fetch_add(1, Relaxed);
                self.status.round_trips.observe(1, sent.elapsed());
                let batch = match position {
                    Some(position) => batch.at(position),
                    None => batch,
                };
                if let Some(room) = room.filter(|room| position.is_some() && !Arc::ptr_eq(room, &from)) {
                    room.deliver(batch.of_others(), false, &self.hub.delivery);
                }
                from.deliver(batch, true, &self.hub.delivery);
                self.hub.flush(&from);
            }
            Action::Deliver(body, messages, position) => {
                self.status.received.fetch_add(1, Relaxed);
                if let Some(room) = room {
                    room.deliver(Batch::received(body, messages, position), false, &self.hub.delivery);
                }
            }
            Action::Lost => {
                self.status.lost.fetch_add(1, Relaxed);
                self.troubles.add(|troubles| _ = troubles.lost.insert(name));
                if let Some(room) = room {
                    room.set_subscription(Subscription::Pending);
                    room.dismiss(Dismissal::Lost);
                }
            }
            Action::Repaired(count) => {
                self.status.repaired.fetch_add(count as u64, Relaxed);
                self.troubles.add(|troubles| {
                    troubles.repaired += count;
                    troubles.repaired_rooms.insert(name);
                });
            }
            Action::Stranger => self.stranger(target),
        }
    }

    /// Something was published in a room that is not of a node of this version.
    fn stranger(&mut self, room: &str) {
        self.status.ignored.fetch_add(1, Relaxed);
        if !std::mem::replace(&mut self.told_of_strangers, true) {
            report::warn(format_args!(
                "cluster: ignored what was published in room {room}: it is not of a node of this version. \
                 Further ones are only counted"
            ));
        }
    }

    fn request(&self, target: &Arc<str>, request: impl Future<Output = Outcome> + Send + 'static) {
        let (target, began) = (target.clone(), Instant::now());
        self.requests.push(Box::pin(async move { Done { target, began, outcome: request.await } }));
    }
}

/// The answer to a request, or an error if there is none in time.
async fn answer<T>(request: impl Future<Output = Result<T, EngineError>>) -> Result<T, EngineError> {
    let late = || EngineError::new(format!("no answer within {} s", ANSWER.as_secs()));
    timeout(ANSWER, request).await.unwrap_or_else(|_| Err(late()))
}
