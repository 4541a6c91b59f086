//! NATS with JetStream as the engine.
//!
//! A stream stores the publications of all rooms, and the server repeats each of them, once it is stored, on the room's live subject. Nodes
//! subscribe to that: a subscription costs the server no more than one without JetStream, where a consumer for each room would. The server
//! adds the sequence in the stream and that of the room's message before it, so a node sees when it has missed something, and reads it
//! from the stream. What two publishers send at the same time may be repeated in the wrong order; the forwarder of a room corrects that.
//!
//! Messages leave the stream when they are too old, too many in their room, or too many bytes in all. So that a message before is gone does
//! not mean that one was missed. A connection is therefore counted (`generation`): a room that has received everything until now and whose
//! connection is still the same has missed nothing, and after a new one what was stored meanwhile can be missing only if the stream has
//! dropped what is newer than the end of the old one (`floor`).

mod api;
mod forwarder;
mod keeper;
mod subjects;
#[cfg(test)]
mod tests;

use super::{
    BatchId, ClusterOptions, Engine, EngineError, Events, Inbox, Position, Publication, backoff, inbox, task::Task,
    transport,
};
use crate::error::Error;
use api::{ApiError, Limits, Listed, Stored};
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event as ClientEvent};
use bytes::Bytes;
use forwarder::Forwarder;
use futures_util::FutureExt;
use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};
use subjects::Subjects;
use tokio::{
    sync::{Notify, watch},
    task::yield_now,
};
use tokio_rustls::rustls;

/// For connecting, with all handshakes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Of the client's own pings; the keeper's probes are more often.
const PING_INTERVAL: Duration = Duration::from_secs(10);

/// For the headers of a message.
const HEADERS: usize = 2 * 1024;

/// What may wait for the node.
const INBOX: usize = 64 * 1024 * 1024;

/// Publications among which the last ones of a room are looked for.
const LISTED: usize = 10_000;

/// Bytes of the last publications of a room that are read, as many as Redis keeps.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// Publications of a room that are kept.
const PER_ROOM: u64 = 1000;

/// Bytes of all rooms that are kept.
const ALL_BYTES: u64 = 1024 * 1024 * 1024;

/// For this long a batch that is sent again is known to be stored. It is longer than a batch is tried.
const DUPLICATES: Duration = Duration::from_secs(120);

/// A connection to NATS.
#[derive(Clone)]
pub struct Nats(Arc<Shared>);

struct Shared {
    client: Client,
    subjects: Subjects,
    limits: Limits,
    inbox: Inbox,
    rooms: Mutex<HashMap<Bytes, Room>>,
    state: watch::Sender<State>,
    /// The ends of earlier connections: what they had delivered.
    floors: Mutex<HashMap<u64, u64>>,
    signals: Arc<Signals>,
    keeper: OnceLock<Task>,
}

/// The connection as the handles see it.
#[derive(Clone, Copy)]
struct State {
    is_up: bool,
    /// Counts connections.
    generation: u64,
    epoch: u64,
    /// What the stream had at least half a second ago: it has been delivered.
    floor: u64,
}

/// What wakes the keeper.
#[derive(Default)]
struct Signals {
    disconnected: Notify,
    overflow: Notify,
    /// Why the last attempt to connect failed, or what the server has refused last.
    problem: Mutex<Option<String>>,
}

impl Signals {
    /// Forgets what the keeper has not been woken by.
    fn clear(&self) {
        self.disconnected.notified().now_or_never();
        self.overflow.notified().now_or_never();
    }
}

struct Room {
    place: Arc<Mutex<Option<Place>>>,
    _forwarder: Task,
}

/// Up to where a room has received everything.
#[derive(Clone, Copy)]
struct Place {
    sequence: u64,
    generation: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Nats {
    /// Connects, and creates the stream if there is none.
    ///
    /// # Errors
    /// [`Error::Resolve`], [`Error::Connect`] or [`Error::Tls`] if there is no connection, [`Error::Setup`] if `--cluster-ca` cannot be used,
    /// and [`Error::Engine`] if the server cannot be used: it is too old, has no JetStream, or refuses the login.
    pub async fn connect(options: ClusterOptions) -> Result<(Self, Events), Error> {
        let (inbox, events) = inbox(INBOX);
        Ok((Self::connect_with(options, inbox).await?, events))
    }

    async fn connect_with(options: ClusterOptions, inbox: Inbox) -> Result<Self, Error> {
        let signals = Arc::new(Signals::default());
        let client = connect(&options, signals.clone(), inbox.clone()).await?;
        let engine = options.engine.to_string();
        let unusable = |reason: String, hint: Option<&str>| Error::Engine {
            engine: engine.clone(),
            reason,
            hint: hint.map(str::to_owned),
        };
        if is_too_old(&client.server_info().version) {
            return Err(unusable("it is too old: NATS 2.9 or newer is required".into(), None));
        }
        let subjects = Subjects::new(&options.name);
        // Of a stream that this creates. An operator may create it with others.
        let limits = Limits { per_room: PER_ROOM, bytes: ALL_BYTES, age: options.kept, duplicates: DUPLICATES };
        let stream = match tokio::time::timeout(CONNECT_TIMEOUT, keeper::open(&client, &subjects, &limits)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(ApiError::NoResponders)) => {
                return Err(unusable("it has no JetStream".into(), Some("start nats-server with -js")));
            }
            Ok(Err(error)) => {
                let hint = match error {
                    ApiError::Refused(api::NO_JETSTREAM, _) => Some("enable JetStream for the account of this user"),
                    ApiError::Refused(api::NO_SPACE, _) => {
                        Some("raise max_file_store, or create the stream with another max_bytes (docs/cluster.md)")
                    }
                    _ => None,
                };
                return Err(unusable(EngineError::from(error).reason, hint));
            }
            Err(_) => {
                let refused = lock(&signals.problem).clone();
                return Err(unusable(refused.unwrap_or_else(|| "JetStream does not answer".into()), None));
            }
        };
        let state = State { is_up: true, generation: 1, epoch: stream.epoch, floor: stream.last };
        let shared = Arc::new(Shared {
            client,
            subjects,
            limits,
            inbox,
            rooms: Mutex::default(),
            state: watch::Sender::new(state),
            floors: Mutex::default(),
            signals,
            keeper: OnceLock::new(),
        });
        shared.keeper.get_or_init(|| Task::spawn(keeper::keep(Arc::downgrade(&shared), stream.last)));
        Ok(Self(shared))
    }
}

/// Connects the client.
async fn connect(options: &ClusterOptions, signals: Arc<Signals>, inbox: Inbox) -> Result<Client, Error> {
    let engine = &options.engine;
    let mut connect = ConnectOptions::new()
        .name("wsplice")
        .ping_interval(PING_INTERVAL)
        .connection_timeout(CONNECT_TIMEOUT)
        .request_timeout(None)
        .require_tls(engine.tls)
        .tls_client_config(transport::tls_config(options)?)
        .reconnect_delay_callback(backoff::after)
        .event_callback(move |event| {
            match event {
                ClientEvent::Disconnected => signals.disconnected.notify_one(),
                ClientEvent::ClientError(error) => *lock(&signals.problem) = Some(words(&error)),
                // Such as a subject that this user may not use.
                ClientEvent::ServerError(error) => {
                    *lock(&signals.problem) = Some(words(&error));
                    inbox.refused(words(&error));
                }
                ClientEvent::Connected => *lock(&signals.problem) = None,
                _ => {}
            }
            std::future::ready(())
        });
    if let Some(credentials) = &engine.credentials {
        connect = match &credentials.user {
            Some(user) => connect.user_and_password(user.clone(), credentials.password.clone()),
            None => connect.token(credentials.password.clone()),
        };
    }
    connect.connect(engine.to_string()).await.map_err(|error| {
        let name = engine.to_string();
        let cause = std::error::Error::source(&error);
        if let Some(cause) = cause.and_then(|cause| cause.downcast_ref::<io::Error>())
            && cause.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())
        {
            return transport::handshake_error(&name, cause);
        }
        let reason = cause.map_or_else(|| error.to_string(), ToString::to_string);
        match error.kind() {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => Error::Engine {
                engine: name,
                reason: "it refused the login".into(),
                hint: Some("--cluster-auth FILE gives a file with USER:PASSWORD, or with a token".into()),
            },
            ConnectErrorKind::Tls => Error::Tls { with: name, reason, hint: None },
            ConnectErrorKind::Dns => {
                let reason = reason.rsplit("address information: ").next().unwrap_or_default().to_owned();
                Error::Resolve { host: engine.at.host.clone(), reason }
            }
            // It does not tell whether it was connected by then.
            ConnectErrorKind::TimedOut => Error::Engine {
                engine: name,
                reason: "there was no answer".into(),
                hint: Some(format!("can it be reached from here, and {}", transport::what_it_must_be(engine))),
            },
            _ => match cause.and_then(|cause| cause.downcast_ref::<io::Error>()).and_then(io::Error::raw_os_error) {
                Some(code) => Error::Connect { to: name, source: io::Error::from_raw_os_error(code) },
                None => Error::Engine { engine: name, reason, hint: Some(transport::what_it_must_be(engine)) },
            },
        }
    })
}

/// What the client tells of an error, of which it keeps the source for itself.
fn words(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    match text.strip_prefix("nats: ").unwrap_or(&text) {
        "IO error" => "it cannot be reached".to_owned(),
        "authorization violation" => "it refused the login".to_owned(),
        other => other.to_owned(),
    }
}

/// Before 2.9 there are neither direct reads nor the sequence of the message before.
fn is_too_old(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().ok());
    match (parts.next().flatten(), parts.next().flatten()) {
        (Some(major), Some(minor)) => (major, minor) < (2, 9),
        _ => false,
    }
}

impl Shared {
    fn state(&self) -> State {
        *self.state.borrow()
    }

    /// Sends a request on the present connection, and gives its answer with the state of the connection.
    async fn request<T>(&self, request: impl Future<Output = Result<T, ApiError>>) -> Result<(T, State), EngineError> {
        let state = self.state();
        if !state.is_up {
            return Err(EngineError::lost("there is no connection"));
        }
        let mut watch = self.state.subscribe();
        tokio::select! {
            biased;
            answer = request => Ok((answer?, state)),
            _ = watch.wait_for(|now| now.generation != state.generation) => {
                Err(EngineError::lost("the connection was lost"))
            }
        }
    }

    /// What had been delivered at the end of a connection, or has been by now if it is the present one.
    fn floor(&self, generation: u64) -> Option<u64> {
        let state = self.state();
        if state.generation == generation { Some(state.floor) } else { lock(&self.floors).get(&generation).copied() }
    }

    fn place(&self, room: &[u8]) -> Option<Place> {
        lock(&self.rooms).get(room).and_then(|room| *lock(&room.place))
    }

    fn set_place(&self, room: &[u8], place: Place) {
        if let Some(room) = lock(&self.rooms).get(room) {
            let mut known = lock(&room.place);
            let sequence = known.map_or(0, |known| known.sequence).max(place.sequence);
            *known = Some(Place { sequence, ..place });
        }
    }

    /// Whether nothing is missing between `after` and what the stream has of the room.
    async fn is_whole(&self, room: &[u8], after: Position, found: usize) -> Result<bool, EngineError> {
        let (stream, _) = self.request(api::info(&self.client, &self.subjects)).await?;
        if stream.epoch != after.epoch || stream.last < after.sequence {
            return Ok(false);
        }
        if u64::try_from(found).unwrap_or(u64::MAX) >= PER_ROOM {
            return Ok(false);
        }
        // What is dropped is the oldest, so if the last one that is known is there, so is all that followed.
        if stream.first <= after.sequence.saturating_add(1) {
            return Ok(true);
        }
        let place = self.place(room).filter(|place| place.sequence <= after.sequence);
        let floor = place.and_then(|place| self.floor(place.generation));
        Ok(floor.is_some_and(|floor| stream.first <= floor.saturating_add(1)))
    }
}

impl Engine for Nats {
    fn max_payload(&self) -> usize {
        self.0.client.server_info().max_payload.saturating_sub(HEADERS)
    }

    async fn publish(&self, room: &[u8], id: BatchId, payload: Bytes) -> Result<Position, EngineError> {
        let shared = &self.0;
        let id = format!("{:x}.{}.{}", id.node, id.number, Subjects::token(room));
        let publish = api::publish(&shared.client, &shared.subjects, room, &id, payload);
        let (sequence, state) = shared.request(publish).await?;
        Ok(Position { epoch: state.epoch, sequence })
    }

    async fn subscribe(&self, room: &[u8]) -> Result<Position, EngineError> {
        let shared = &self.0;
        let has_room = lock(&shared.rooms).contains_key(room);
        if !has_room {
            let subscriber = shared.client.subscribe(shared.subjects.live(room)).await;
            let subscriber = subscriber.map_err(|error| EngineError::new(error.to_string()))?;
            let (room, place) = (Bytes::copy_from_slice(room), Arc::default());
            let forwarder = Forwarder::new(room.clone(), Arc::clone(&place), Arc::downgrade(shared));
            lock(&shared.rooms).insert(room, Room { place, _forwarder: Task::spawn(forwarder.run(subscriber)) });
        }
        // Answered after the subscription, so what is published from now on is received.
        let (last, state) = shared.request(api::last(&shared.client, &shared.subjects, room)).await?;
        // The server has told before that answer if it refuses the subscription. The client tells it by another task.
        yield_now().await;
        let refused = lock(&shared.signals.problem).clone();
        if let Some(reason) = refused.filter(|reason| reason.contains(&shared.subjects.live(room))) {
            lock(&shared.signals.problem).take();
            lock(&shared.rooms).remove(room);
            return Err(EngineError::new(reason));
        }
        let sequence = last.map_or(0, |last| last.sequence);
        shared.set_place(room, Place { sequence, generation: state.generation });
        Ok(Position { epoch: state.epoch, sequence })
    }

    async fn unsubscribe(&self, room: &[u8]) -> Result<(), EngineError> {
        // Dropping the subscriber unsubscribes.
        lock(&self.0.rooms).remove(room);
        Ok(())
    }

    async fn last(&self, room: &[u8], limit: usize) -> Result<Vec<Publication>, EngineError> {
        let shared = &self.0;
        let (newest, _) = shared.request(api::last(&shared.client, &shared.subjects, room)).await?;
        let Some(newest) = newest else { return Ok(Vec::new()) };
        // A stream can be read forwards only, so the beginning of the last ones is looked for first.
        let mut from = 1;
        let listed = loop {
            let list = api::list(&shared.client, &shared.subjects, room, from, LISTED);
            let ((listed, is_all), _) = shared.request(list).await?;
            // With other limits than ours there may be more of them. Then those among the last ones of all rooms.
            let nearer = newest.sequence.saturating_sub(LISTED as u64) + 1;
            if is_all || from >= nearer {
                break listed;
            }
            from = nearer;
        };
        let mut bytes = 0_usize;
        let fits = |one: &&Listed| {
            bytes = bytes.saturating_add(one.bytes);
            bytes <= MOST_BYTES
        };
        let count = listed.iter().rev().take(limit).take_while(fits).count();
        let (before, last) = listed.split_at(listed.len() - count);
        let Some(first) = last.first() else { return Ok(Vec::new()) };
        let read = api::all_next(&shared.client, &shared.subjects, room, first.sequence, count);
        let ((stored, _), state) = shared.request(read).await?;
        let mut previous = before.last().map_or(0, |before| before.sequence);
        Ok(in_order(stored, &mut previous, state.epoch))
    }

    async fn since(&self, room: &[u8], after: Position, limit: usize) -> Result<Option<Vec<Publication>>, EngineError> {
        let shared = &self.0;
        let mut previous = after.sequence;
        let generation = shared.state().generation;
        let (next, state) = shared.request(api::next(&shared.client, &shared.subjects, room, previous + 1)).await?;
        let mut stored = Vec::from_iter(next);
        let mut is_all = stored.is_empty();
        // In most rooms nothing is missing. Otherwise the rest is read together.
        if let Some(first) = stored.first().filter(|_| limit > 1) {
            let from = first.sequence + 1;
            let read = api::all_next(&shared.client, &shared.subjects, room, from, limit - 1);
            let ((rest, is_rest), _) = shared.request(read).await?;
            stored.extend(rest);
            is_all = is_rest;
        }
        let found = in_order(stored, &mut previous, state.epoch);
        if !shared.is_whole(room, after, found.len()).await? {
            return Ok(None);
        }
        if is_all {
            shared.set_place(room, Place { sequence: previous, generation });
        }
        Ok(Some(found))
    }
}

/// Messages of a room as publications. `previous`: the sequence of the one before them, then that of the last.
fn in_order(stored: Vec<Stored>, previous: &mut u64, epoch: u64) -> Vec<Publication> {
    let publication = |Stored { sequence, payload }| {
        let previous = std::mem::replace(previous, sequence);
        Publication { position: Position { epoch, sequence }, previous, payload }
    };
    stored.into_iter().map(publication).collect()
}
