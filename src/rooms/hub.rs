//! All rooms, by request target.

use super::{drop_log::DropLog, member::Member, metrics::Metrics, room::Room};
use crate::{
    config::{RoomOptions, SlowPolicy},
    error::Error,
    ws::{SharedDeflater, WebSocketOptions},
};
use std::{
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// The largest pending batch of a room, unless one message is longer: much more is not written with one write.
const MAX_PENDING: usize = 1 << 20;
/// And this part of a backlog, so that a backlog that is empty takes a batch.
const PENDING_PART: usize = 2;

/// How rooms deliver messages to their members, and what is counted of that.
pub struct Delivery {
    /// Whether a sender receives its own messages.
    pub echo: bool,
    /// The most bytes in the backlog of one member.
    pub backlog: usize,
    /// No message is added to a room's pending batch of at least this many bytes until the batch is taken.
    pub pending: usize,
    /// What happens to messages above the backlog.
    pub slow: SlowPolicy,
    /// The longest time in which a member with a backlog may take nothing. Where messages are dropped it is not closed for that.
    pub slow_timeout: Option<Duration>,
    /// Compresses for the members that negotiated it.
    pub deflater: Option<SharedDeflater>,
    /// The counters.
    pub metrics: Metrics,
    /// Logs the messages that slow members miss.
    pub drops: Arc<DropLog>,
}

/// The state of the room server.
pub struct Hub {
    rooms: Mutex<HashMap<Arc<str>, Arc<Room>>>,
    /// Members by address, if that is limited.
    addresses: Mutex<HashMap<IpAddr, u32>>,
    options: RoomOptions,
    /// Limits, pings and compression of members' connections.
    pub websocket: WebSocketOptions,
    /// How rooms deliver.
    pub delivery: Arc<Delivery>,
    /// Connections that have ended, including those that never became members.
    pub ended: AtomicU64,
    next_id: AtomicU64,
}

impl Hub {
    pub fn new(options: RoomOptions, websocket: WebSocketOptions) -> Self {
        let delivery = Delivery {
            echo: options.echo,
            backlog: options.backlog,
            pending: MAX_PENDING.min(options.backlog / PENDING_PART),
            slow: options.slow,
            slow_timeout: options.slow_timeout.filter(|_| {
                // Where messages are dropped, a backlog is bounded, and nobody waits for a member that sleeps for a while.
                matches!(options.slow, SlowPolicy::Disconnect | SlowPolicy::Block)
            }),
            deflater: SharedDeflater::new(&websocket.deflate),
            metrics: Metrics::default(),
            drops: Arc::default(),
        };
        Self {
            rooms: Mutex::default(),
            addresses: Mutex::default(),
            options,
            websocket,
            delivery: Arc::new(delivery),
            ended: AtomicU64::new(0),
            next_id: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Room>>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn addresses(&self) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The metrics in Prometheus's text format.
    pub fn metrics(&self) -> String {
        let rooms: Vec<_> = self.lock().values().cloned().collect();
        self.delivery.metrics.render(rooms.len(), rooms.iter().map(|room| room.backlog()).sum())
    }

    /// Adds a member to the room of this target, and creates the room for the first. The limits are checked under the locks
    /// that the changes are made under, so that concurrent clients cannot exceed them together.
    ///
    /// # Errors
    ///
    /// [`Error::Full`] if a limit on rooms, members or connections is reached.
    pub fn join(self: &Arc<Self>, target: &str, name: &str, client: Option<IpAddr>) -> Result<Membership, Error> {
        let full = |reason: String| Error::Full { target: target.to_owned(), reason };
        let mut rooms = self.lock();
        let room = rooms.get(target);
        if let Some((room, most)) = room.zip(self.options.max_per_room)
            && room.len() >= most as usize
        {
            return Err(full(format!("it has {most} members, the maximum (--max-per-room)")));
        }
        if let Some(most) = self.options.max_rooms.filter(|most| room.is_none() && rooms.len() >= *most as usize) {
            return Err(full(format!("there are {most} rooms, the maximum (--max-rooms)")));
        }
        if let Some((client, most)) = client.zip(self.options.max_per_address) {
            let mut addresses = self.addresses();
            if addresses.get(&client).is_some_and(|count| *count >= most) {
                return Err(full(format!("{client} has {most} connections, the maximum (--max-per-address)")));
            }
            *addresses.entry(client).or_default() += 1;
        }
        let room = match room {
            Some(room) => room.clone(),
            None => {
                let target: Arc<str> = target.into();
                let room = Arc::new(Room::new(target.clone()));
                rooms.insert(target, room.clone());
                room
            }
        };
        let member = Arc::new(Member::new(self.next_id.fetch_add(1, Relaxed), name, client));
        // Under the lock on all rooms: the room must not be freed between its look-up and this.
        room.enter(member.clone());
        self.delivery.metrics.joined.fetch_add(1, Relaxed);
        Ok(Membership { hub: self.clone(), room, member, is_current: true })
    }

    fn leave(&self, room: &Room, member: &Member) {
        self.delivery.metrics.left.fetch_add(1, Relaxed);
        let mut rooms = self.lock();
        if let Some(client) = member.client.filter(|_| self.options.max_per_address.is_some()) {
            let mut addresses = self.addresses();
            match addresses.get_mut(&client) {
                Some(count) if *count > 1 => *count -= 1,
                _ => _ = addresses.remove(&client),
            }
            shrink(&mut addresses);
        }
        if room.leave(member) == 0 {
            rooms.remove(&room.target);
            shrink(&mut rooms);
        }
    }
}

/// Gives back the memory of a table that was large.
fn shrink<K: Eq + Hash, V>(table: &mut HashMap<K, V>) {
    if table.capacity() > 64 && table.len() < table.capacity() / 4 {
        table.shrink_to_fit();
    }
}

/// A member in its room, until this is dropped.
///
/// It begins before the opening handshake is answered, so that a client that has read the answer receives every message that
/// is published from then on. It ends also if the answer cannot be written.
pub struct Membership {
    /// The server.
    pub hub: Arc<Hub>,
    /// The room.
    pub room: Arc<Room>,
    /// The member.
    pub member: Arc<Member>,
    is_current: bool,
}

impl Membership {
    /// Leaves the room, which is freed if it is empty now.
    pub fn leave(&mut self) {
        if std::mem::take(&mut self.is_current) {
            self.hub.leave(&self.room, &self.member);
            if self.member.leave() {
                self.room.caught_up();
            }
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.leave();
    }
}
