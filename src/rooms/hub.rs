//! All rooms, by request target.

use super::{
    broker::Broker,
    delivery::Delivery,
    history::Histories,
    member::Member,
    outbox::{Dismissal, Outbox},
    resume::Resume,
    room::Room,
};
use crate::{
    config::RoomOptions,
    error::Error,
    net::address_counts,
    ws::{CLOSE_READ_TIMEOUT, WebSocketOptions},
};
use std::{
    borrow::Borrow,
    collections::HashMap,
    convert::Infallible,
    future::{pending, poll_fn},
    hash::{BuildHasher, Hash, RandomState},
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::{
    task::{unconstrained, yield_now},
    time::{sleep, sleep_until},
};

/// Batches that a member's task flushes in a row. Then a new task flushes the rest, so that the member's task can read again.
const MAX_ROUNDS: usize = 16;

/// Between two looks at what has been kept for long.
const FORGETTING: Duration = Duration::from_secs(1);

/// Parts of a table, each with its lock: members that join and leave wait for few others.
const SHARDS: usize = 64;

/// A table in parts.
struct Sharded<K, V> {
    shards: [Mutex<HashMap<K, V>>; SHARDS],
    hasher: RandomState,
}

impl<K, V> Default for Sharded<K, V> {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()), hasher: RandomState::new() }
    }
}

impl<K, V> Sharded<K, V> {
    /// Locks the part of a key.
    #[allow(clippy::indexing_slicing, reason = "a remainder of SHARDS")]
    fn lock<Q: Hash + ?Sized>(&self, key: &Q) -> MutexGuard<'_, HashMap<K, V>>
    where
        K: Borrow<Q>,
    {
        let shard = self.hasher.hash_one(key) as usize % SHARDS;
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All values, one part after the other.
    fn values(&self) -> Vec<V>
    where
        V: Clone,
    {
        let lock = |shard: &Mutex<HashMap<K, V>>| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.values().cloned().collect::<Vec<_>>()
        };
        self.shards.iter().flat_map(lock).collect()
    }
}

/// Rooms by request target.
type Rooms = HashMap<Arc<str>, Arc<Room>>;

/// The state of the room server.
pub struct Hub {
    rooms: Sharded<Arc<str>, Arc<Room>>,
    room_count: AtomicUsize,
    /// Members by address, if that is limited.
    addresses: Sharded<IpAddr, u32>,
    options: RoomOptions,
    /// Limits, pings and compression of members' connections.
    pub websocket: WebSocketOptions,
    /// How rooms deliver.
    pub delivery: Delivery,
    /// Where their batches are published.
    pub broker: Broker,
    /// Connections that have ended, including those that never became members.
    pub ended: AtomicU64,
    next_id: AtomicU64,
    /// The longest time in which members may answer the close frame of a server that shuts down.
    pub grace: Duration,
}

impl Hub {
    /// A hub without rooms.
    pub fn new(options: RoomOptions, websocket: WebSocketOptions, broker: Broker) -> Self {
        Self {
            rooms: Sharded::default(),
            room_count: AtomicUsize::new(0),
            addresses: Sharded::default(),
            delivery: Delivery::new(&options, &websocket),
            broker,
            options,
            websocket,
            ended: AtomicU64::new(0),
            next_id: AtomicU64::new(0),
            grace: CLOSE_READ_TIMEOUT,
        }
    }

    /// The same with a time in which members may answer the close frame of a server that shuts down.
    pub fn with_grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    /// The metrics in Prometheus's text format.
    pub fn metrics(&self) -> String {
        let backlog = self.rooms.values().iter().map(|room| room.backlog()).sum();
        let history = self.delivery.histories.as_ref().map_or(0, |histories| histories.held());
        // Rooms that are left may be kept for their history.
        let mut page = self.delivery.metrics.render(self.room_count.load(Relaxed), backlog, history);
        if let Broker::Cluster(node) = &self.broker {
            node.render(&mut page);
        }
        page.0
    }

    /// Adds a member to the room of this target, and creates the room for the first. The limits are checked under the locks
    /// that the changes are made under, so that concurrent clients cannot exceed them together.
    ///
    /// # Errors
    ///
    /// [`Error::Full`] if a limit on rooms, members or connections is reached, [`Error::EngineAway`] if the engine of the cluster is away.
    pub fn join(self: &Arc<Self>, target: &str, name: &str, client: Option<IpAddr>) -> Result<Membership, Error> {
        self.join_as(target, name, client, None)
    }

    /// The same for a member that may want the place of each message.
    ///
    /// # Errors
    ///
    /// As [`join`](Self::join).
    pub fn join_as(
        self: &Arc<Self>,
        target: &str,
        name: impl Into<Arc<str>>,
        client: Option<IpAddr>,
        resume: Option<Resume>,
    ) -> Result<Membership, Error> {
        if self.broker.refuses() {
            return Err(Error::EngineAway { target: target.to_owned() });
        }
        let full = |reason: String| Error::Full { target: target.to_owned(), reason };
        let mut rooms = self.rooms.lock(target);
        let room = rooms.get(target).cloned();
        if let Some((room, most)) = room.as_ref().zip(self.options.max_per_room)
            && room.len() >= most as usize
        {
            return Err(full(format!("it has {most} members, the maximum (--max-per-room)")));
        }
        // With a history there may be one that was left.
        let is_new = match (&room, &self.delivery.histories) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(room), Some(_)) => room.len() == 0,
        };
        if is_new && let Err(most) = self.count_room() {
            return Err(full(format!("there are {most} rooms, the maximum (--max-rooms)")));
        }
        if let Some((client, most)) = client.zip(self.options.max_per_address)
            && !address_counts::enter(&mut self.addresses.lock(&client), client, most)
        {
            if is_new {
                self.room_count.fetch_sub(1, Relaxed);
            }
            return Err(full(format!("{client} has {most} connections, the maximum (--max-per-address)")));
        }
        let room = match room {
            Some(room) => room,
            None => {
                let target: Arc<str> = target.into();
                let room = Arc::new(Room::new(target.clone(), self.delivery.histories.as_ref()));
                rooms.insert(target, room.clone());
                self.broker.subscribe(&room);
                room
            }
        };
        let outbox = Outbox::new(name.into(), Arc::as_ptr(&room).addr());
        let member = Arc::new(Member::new(self.next_id.fetch_add(1, Relaxed), client, resume, outbox));
        // Under the lock on this part of the rooms: the room must not be freed between its look-up and this.
        room.enter(member.clone(), &self.delivery);
        self.delivery.metrics.joined.fetch_add(1, Relaxed);
        Ok(Membership { hub: self.clone(), room, member, is_current: true })
    }

    /// Counts a new room.
    ///
    /// # Errors
    ///
    /// There are as many as there may be.
    fn count_room(&self) -> Result<(), u32> {
        let most = self.options.max_rooms.unwrap_or(u32::MAX);
        let add = |count| (count < most as usize).then_some(count + 1);
        self.room_count.fetch_update(Relaxed, Relaxed, add).map(drop).map_err(|_| most)
    }

    fn leave(&self, room: &Room, member: &Member) {
        self.delivery.metrics.left.fetch_add(1, Relaxed);
        if let Some(client) = member.client.filter(|_| self.options.max_per_address.is_some()) {
            address_counts::leave(&mut self.addresses.lock(&client), client);
        }
        let mut rooms = self.rooms.lock(&*room.target);
        if room.leave(member) == 0 {
            self.room_count.fetch_sub(1, Relaxed);
            self.broker.unsubscribe(room);
            if self.broker.keeps_rooms() && room.history_used().is_some() {
                return;
            }
            rooms.remove(&room.target);
            address_counts::shrink(&mut rooms);
        }
    }

    /// Publishes the pending batch of a room, and in memory further ones that are added meanwhile. Does nothing while a batch of the room is
    /// on its way.
    pub fn flush(self: &Arc<Self>, room: &Arc<Room>) {
        for _ in 0..MAX_ROUNDS {
            let Some((batch, room)) = room.take_batch() else { return };
            self.broker.publish(room, batch, &self.delivery);
        }
        let (hub, room) = (self.clone(), room.clone());
        tokio::spawn(unconstrained(async move { hub.flush(&room) }));
    }

    /// Closes all members, one after the other within a time, so that their clients do not come back together.
    pub async fn close_members(&self, spread: Duration) {
        let mut members: Vec<_> = self.rooms.values().iter().flat_map(|room| room.members()).collect();
        members.sort_by_cached_key(|_| rand::random::<u64>());
        let pause = spread / u32::try_from(members.len()).unwrap_or(u32::MAX).max(1);
        let mut at = tokio::time::Instant::now();
        for member in members {
            sleep_until(at).await;
            member.dismiss(Dismissal::Stopping);
            at += pause;
        }
    }

    /// Forgets what is too old or too much of what is kept for members that join, from time to time. It never ends.
    pub async fn forget_history(&self) -> Infallible {
        let Some(histories) = &self.delivery.histories else { return pending().await };
        loop {
            sleep(FORGETTING).await;
            let mut used = Vec::new();
            for shard in &self.rooms.shards {
                forget_old(shard, histories, &mut used);
                yield_now().await;
            }
            used.sort_unstable_by_key(|(last, _)| *last);
            for (_, room) in used {
                if histories.excess() == 0 {
                    break;
                }
                room.forget_history();
            }
        }
    }
}

/// Forgets what is too old of some rooms, and those that were kept for it. Adds when the others were used, if something must be forgotten.
fn forget_old(rooms: &Mutex<Rooms>, histories: &Histories, used: &mut Vec<(Instant, Arc<Room>)>) {
    let mut rooms = rooms.lock().unwrap_or_else(PoisonError::into_inner);
    rooms.retain(|_, room| {
        let last = room.history_used();
        used.extend(last.filter(|_| histories.excess() > 0).map(|last| (last, room.clone())));
        last.is_some() || room.len() > 0
    });
    address_counts::shrink(&mut rooms);
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
    /// Waits until the member receives what is published on other nodes.
    ///
    /// # Errors
    /// [`Error::EngineAway`].
    pub async fn subscribed(&self) -> Result<(), Error> {
        match self.hub.broker {
            Broker::Memory => Ok(()),
            Broker::Cluster(_) => poll_fn(|cx| self.room.poll_subscribed(cx)).await,
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn limits_are_exact_when_many_join_and_leave_at_once() {
        let options = RoomOptions {
            max_rooms: Some(3),
            max_per_room: Some(2),
            max_per_address: Some(4),
            ..RoomOptions::default()
        };
        let hub = Arc::new(Hub::new(options, WebSocketOptions::default(), Broker::Memory));
        let [rooms, first, address] = std::array::from_fn(|_| AtomicUsize::new(0));
        thread::scope(|scope| {
            for number in 0..8_u8 {
                let (hub, rooms, first, address) = (&hub, &rooms, &first, &address);
                scope.spawn(move || {
                    for round in 0..2000_u32 {
                        let room = (u32::from(number) + round) % 8;
                        let client = IpAddr::from([127, 0, 0, number % 2]);
                        let Ok(membership) = hub.join(&format!("/{room}"), "member", Some(client)) else { continue };
                        // Counted after it is let in and until it leaves, so never more than there are.
                        let counters = [(room == 0, first, 2), (number % 2 == 0, address, 4), (true, rooms, 6)];
                        for (is_counted, counter, most) in counters {
                            let before = counter.fetch_add(usize::from(is_counted), Relaxed);
                            assert!(before + usize::from(is_counted) <= most, "{most} may be in");
                        }
                        assert!(hub.room_count.load(Relaxed) <= 3);
                        for (is_counted, counter, _) in counters {
                            counter.fetch_sub(usize::from(is_counted), Relaxed);
                        }
                        drop(membership);
                    }
                });
            }
        });
        assert_eq!((hub.room_count.load(Relaxed), hub.rooms.values().len()), (0, 0));
        assert!(hub.addresses.values().is_empty());
        let _members: Vec<_> =
            (0..3).map(|room| hub.join(&format!("/{room}"), "member", None).expect("a room of three")).collect();
        assert!(hub.join("/3", "member", None).is_err());
    }
}
