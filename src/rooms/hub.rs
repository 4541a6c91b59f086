//! All rooms, by target.

use super::{member::Member, metrics::Metrics, room::Room};
use crate::{
    config::{RoomOptions, SlowPolicy},
    error::Error,
    report::Report,
    ws::{SharedDeflater, WebSocketOptions},
};
use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::sleep;

/// What a room needs to know to deliver.
pub struct Rules {
    /// Whether a sender hears itself.
    pub echo: bool,
    /// Bytes that may wait for one member.
    pub backlog: usize,
    /// What happens beyond.
    pub slow: SlowPolicy,
    /// For members that take compressed messages.
    pub deflater: Option<SharedDeflater>,
    /// What is counted.
    pub metrics: Metrics,
    untold: Mutex<Untold>,
    report: Report,
}

/// Drops that have not been told yet.
#[derive(Default)]
struct Untold {
    messages: u64,
    members: HashSet<Arc<str>>,
    /// The second after the last line is not over; what is dropped meanwhile is told at its end.
    is_pausing: bool,
}

/// Drops are told at most this often.
const DROPS_PAUSE: Duration = Duration::from_secs(1);

impl Rules {
    /// A member has missed messages.
    pub fn count_drops(self: &Arc<Self>, member: &Arc<str>, messages: u64) {
        self.metrics.dropped.fetch_add(messages, Relaxed);
        let mut untold = self.untold();
        untold.messages += messages;
        if !untold.members.contains(member) {
            untold.members.insert(member.clone());
        }
        if !std::mem::replace(&mut untold.is_pausing, true) {
            drop(untold);
            let rules = self.clone();
            tokio::spawn(async move {
                while rules.tell_drops() {
                    sleep(DROPS_PAUSE).await;
                }
            });
        }
    }

    /// Tells what was dropped since the last time; whether there was anything.
    pub fn tell_drops(&self) -> bool {
        let mut untold = self.untold();
        let members = std::mem::take(&mut untold.members);
        let messages = std::mem::take(&mut untold.messages);
        untold.is_pausing = messages > 0;
        drop(untold);
        let first = members.iter().next();
        match (members.len(), first) {
            (1, Some(member)) => {
                self.report.warn(format_args!("{member} is too slow: {messages} messages dropped"));
            }
            (count, Some(_)) => {
                self.report.warn(format_args!("{count} members are too slow: {messages} messages dropped"));
            }
            (_, None) => {}
        }
        messages > 0
    }

    fn untold(&self) -> MutexGuard<'_, Untold> {
        self.untold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The room server's state.
pub struct Hub {
    rooms: Mutex<HashMap<Arc<str>, Arc<Room>>>,
    /// Members by address, where that is limited.
    addresses: Mutex<HashMap<IpAddr, u32>>,
    options: RoomOptions,
    /// Limits and pings of members' connections.
    pub websocket: WebSocketOptions,
    /// How rooms deliver.
    pub rules: Arc<Rules>,
    /// Where joins and leaves are told.
    pub report: Report,
    /// Connections that are over, also those that never became members.
    pub ended: AtomicU64,
    next_id: AtomicU64,
}

impl Hub {
    pub fn new(options: RoomOptions, websocket: WebSocketOptions, report: Report) -> Self {
        let rules = Rules {
            echo: options.echo,
            backlog: options.backlog,
            slow: options.slow,
            deflater: SharedDeflater::new(&websocket.deflate),
            metrics: Metrics::default(),
            untold: Mutex::default(),
            report,
        };
        Self {
            rooms: Mutex::default(),
            addresses: Mutex::default(),
            options,
            websocket,
            rules: Arc::new(rules),
            report,
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

    /// The metrics as text.
    pub fn metrics(&self) -> String {
        let rooms: Vec<_> = self.lock().values().cloned().collect();
        self.rules.metrics.render(rooms.len(), rooms.iter().map(|room| room.backlog()).sum())
    }

    /// Lets a member into the room of this target, which is opened for it if it is the first. The limits are checked
    /// under the same locks, so that clients who come at once cannot exceed them together.
    pub fn join(self: &Arc<Self>, target: &str, name: &str, client: Option<IpAddr>) -> Result<Place, Error> {
        let full = |reason: String| Error::Full { target: target.to_owned(), reason };
        let mut rooms = self.lock();
        let room = rooms.get(target);
        if let Some((room, most)) = room.zip(self.options.max_per_room)
            && room.len() >= most as usize
        {
            return Err(full(format!("the room has its {most} members")));
        }
        if let Some(most) = self.options.max_rooms.filter(|most| room.is_none() && rooms.len() >= *most as usize) {
            return Err(full(format!("there are {most} rooms already")));
        }
        if let Some((client, most)) = client.zip(self.options.max_per_address) {
            let mut addresses = self.addresses();
            if addresses.get(&client).is_some_and(|count| *count >= most) {
                return Err(full(format!("{client} has its {most} connections")));
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
        // Under the lock of all rooms: a room must not be freed between its look-up and this.
        room.enter(member.clone());
        self.rules.metrics.joined.fetch_add(1, Relaxed);
        Ok(Place { hub: self.clone(), room, member, is_taken: true })
    }

    fn leave(&self, room: &Room, member: &Member) {
        self.rules.metrics.left.fetch_add(1, Relaxed);
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

/// A table that was big gives its memory back.
fn shrink<K: Eq + Hash, V>(table: &mut HashMap<K, V>) {
    if table.capacity() > 64 && table.len() < table.capacity() / 4 {
        table.shrink_to_fit();
    }
}

/// A member's place in its room. It is taken before the upgrade is answered, so that whoever has read the answer hears
/// all that is said from then on, and given up when it is dropped, even if the answer could not be written.
pub struct Place {
    /// Where the room is.
    pub hub: Arc<Hub>,
    /// The room.
    pub room: Arc<Room>,
    /// Who has the place.
    pub member: Arc<Member>,
    is_taken: bool,
}

impl Place {
    /// Leaves the room, which is freed if it is empty now.
    pub fn give_up(&mut self) {
        if std::mem::take(&mut self.is_taken) {
            self.hub.leave(&self.room, &self.member);
            if self.member.leave() {
                self.room.caught_up();
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.give_up();
    }
}
