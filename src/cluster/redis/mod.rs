//! Redis as the engine.
//!
//! A script counts a publication, appends it to the stream of its room and publishes it, all in one step. So the channel of a room has the
//! order of its sequence, and what a subscriber misses is in the stream. One connection (RESP3) carries the requests and what is published.
//!
//! A server that restarts may come from an older snapshot. Its process has a new id, and the first publication in each room then skips
//! 2^32 numbers; so no number ever names two publications, and `previous` tells which one the server had last.

#[cfg(test)]
mod forwarder;
mod keeper;
mod keys;
mod link;
mod reply;
mod scripts;
mod stream;
#[cfg(test)]
mod tests;

use super::{BatchId, ClusterOptions, Engine, EngineError, Events, Inbox, Position, Publication, inbox, task::Task};
use crate::error::Error;
use bytes::Bytes;
use keys::Keys;
use link::Link;
use redis::{Cmd, cmd};
use scripts::Script;
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};
use tokio::sync::watch;

/// Longest payload. Redis would take 512 MiB, and nobody else would be served meanwhile.
const MAX_PAYLOAD: usize = 1024 * 1024;

/// What may wait for the node.
const INBOX: usize = 64 * 1024 * 1024;

/// Bytes of a room that are kept: 16 steps.
const KEPT_STEP: usize = 512 * 1024;

/// Publications of a room that are kept, at least, while they fit into the limit of bytes.
const KEPT: usize = 1000;

/// The epoch and the sequence of a room are kept for this long after the last publication. Nodes keep those of their rooms alive.
const STATE_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// For this long a batch that is sent again is known to be stored.
const BATCH_LIFETIME: Duration = Duration::from_secs(3600);

/// A connection to Redis.
#[derive(Clone)]
pub struct Redis(Arc<Shared>);

struct Shared {
    options: ClusterOptions,
    keys: Arc<Keys>,
    /// Those that are subscribed to, or will be when the connection is restored.
    rooms: Mutex<HashSet<Bytes>>,
    /// The connection, while there is one.
    link: watch::Sender<Option<Arc<Link>>>,
    keeper: OnceLock<Task>,
}

impl Shared {
    fn rooms(&self) -> MutexGuard<'_, HashSet<Bytes>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_link(&self, link: Option<Arc<Link>>) {
        self.link.send_replace(link);
    }
}

impl Redis {
    /// Connects.
    ///
    /// # Errors
    /// [`Error::Resolve`], [`Error::Connect`] or [`Error::Tls`] if there is no connection, [`Error::Setup`] if `--cluster-ca` cannot be used,
    /// and [`Error::Engine`] if the server cannot be used: it is too old, a replica or a Redis Cluster, or refuses the login.
    pub async fn connect(options: ClusterOptions) -> Result<(Self, Events), Error> {
        let (inbox, events) = inbox(INBOX);
        let redis = Self::connect_with(options, inbox).await?;
        Ok((redis, events))
    }

    async fn connect_with(options: ClusterOptions, inbox: Inbox) -> Result<Self, Error> {
        let keys = Arc::new(Keys::new(&options.name, options.engine.database.unwrap_or(0)));
        let link = Arc::new(Link::open(&options, &keys, &inbox).await?);
        let shared = Arc::new(Shared {
            options,
            keys,
            rooms: Mutex::default(),
            link: watch::Sender::new(Some(link.clone())),
            keeper: OnceLock::new(),
        });
        shared.keeper.get_or_init(|| Task::spawn(keeper::keep(Arc::downgrade(&shared), link, inbox)));
        Ok(Self(shared))
    }

    fn link(&self) -> Result<Arc<Link>, EngineError> {
        self.0.link.borrow().clone().ok_or_else(|| EngineError::lost("there is no connection"))
    }

    async fn position(&self, link: &Link, room: &[u8]) -> Result<Position, EngineError> {
        let keys = &self.0.keys;
        let epoch = rand::random::<u64>();
        let run = |command: &mut Cmd| {
            command.arg(2).arg(keys.state(room)).arg(keys.stream(room));
            command.arg(&link.run).arg(epoch).arg(STATE_LIFETIME.as_secs());
        };
        let reply = link.run(Script::Position, run).await?;
        reply::position(&reply).ok_or_else(unexpected)
    }

    async fn read(&self, room: &[u8], first: &str, limit: usize) -> Result<Option<reply::Read>, EngineError> {
        let keys = &self.0.keys;
        let run = |command: &mut Cmd| {
            command.arg(2).arg(keys.state(room)).arg(keys.stream(room)).arg(first).arg(limit);
        };
        let reply = self.link()?.run(Script::Read, run).await?;
        reply::read(reply).ok_or_else(unexpected)
    }
}

impl Engine for Redis {
    fn max_payload(&self) -> usize {
        MAX_PAYLOAD
    }

    async fn publish(&self, room: &[u8], id: BatchId, payload: Bytes) -> Result<Position, EngineError> {
        let (link, keys) = (self.link()?, &self.0.keys);
        let epoch = rand::random::<u64>();
        let run = |command: &mut Cmd| {
            command.arg(3).arg(keys.state(room)).arg(keys.stream(room)).arg(keys.last_batch(id.node, room));
            command.arg(format!("{:020}", id.number)).arg(&payload[..]).arg(keys.channel(room));
            command.arg(&link.run).arg(epoch).arg(KEPT).arg(KEPT_STEP);
            command.arg(self.0.options.kept.as_secs()).arg(STATE_LIFETIME.as_secs()).arg(BATCH_LIFETIME.as_secs());
        };
        let reply = link.run(Script::Publish, run).await?;
        reply::position(&reply).ok_or_else(unexpected)
    }

    async fn subscribe(&self, room: &[u8]) -> Result<Position, EngineError> {
        // First, so that a connection that is restored meanwhile has it.
        self.0.rooms().insert(Bytes::copy_from_slice(room));
        let link = self.link()?;
        link.call(cmd("SUBSCRIBE").arg(self.0.keys.channel(room))).await?;
        self.position(&link, room).await
    }

    async fn unsubscribe(&self, room: &[u8]) -> Result<(), EngineError> {
        self.0.rooms().remove(room);
        // Without a connection there is no subscription, and a new one will not have it.
        let Ok(link) = self.link() else { return Ok(()) };
        link.call(cmd("UNSUBSCRIBE").arg(self.0.keys.channel(room))).await.map(|_| ())
    }

    async fn last(&self, room: &[u8], limit: usize) -> Result<Vec<Publication>, EngineError> {
        let read = self.read(room, "-", limit).await?;
        let mut entries = read.map(|read| read.entries).unwrap_or_default();
        entries.reverse();
        Ok(entries)
    }

    async fn since(&self, room: &[u8], after: Position, limit: usize) -> Result<Option<Vec<Publication>>, EngineError> {
        let first = after.sequence.saturating_add(1).to_string();
        let Some(read) = self.read(room, &first, limit).await? else { return Ok(None) };
        let is_known = read.position.epoch == after.epoch && read.position.sequence >= after.sequence;
        let mut last = after.sequence;
        let is_whole =
            read.entries.iter().all(|entry| std::mem::replace(&mut last, entry.position.sequence) == entry.previous);
        let is_complete = !read.entries.is_empty() || read.position.sequence == after.sequence;
        Ok((is_known && is_whole && is_complete).then_some(read.entries))
    }
}

fn unexpected() -> EngineError {
    EngineError::new("an unexpected reply")
}
