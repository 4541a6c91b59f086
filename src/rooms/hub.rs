//! All rooms, by target.

use super::{member::Member, metrics::Metrics, room::Room};
use crate::{
    cli::{RoomOptions, SlowPolicy, WebSocketOptions},
    error::Error,
    plan::{Admission, Asked},
    report::Report,
};
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// What a room needs to know to deliver.
pub struct Rules {
    /// Whether a sender hears itself.
    pub echo: bool,
    /// Bytes that may wait for one member.
    pub backlog: usize,
    /// What happens beyond.
    pub slow: SlowPolicy,
    /// What is counted.
    pub metrics: Metrics,
    untold: Mutex<Untold>,
    report: Report,
}

/// Drops are told at most once a second.
#[derive(Default)]
struct Untold {
    messages: u64,
    told_at: Option<Instant>,
}

impl Rules {
    /// A member has missed messages.
    pub fn count_drops(&self, member: &str, messages: u64) {
        self.metrics.dropped.fetch_add(messages, Relaxed);
        let mut untold = self.untold.lock().unwrap_or_else(PoisonError::into_inner);
        untold.messages += messages;
        if untold.told_at.is_none_or(|at| at.elapsed() >= Duration::from_secs(1)) {
            untold.told_at = Some(Instant::now());
            let messages = std::mem::take(&mut untold.messages);
            self.report.warn(format_args!("{member} is too slow: {messages} messages dropped"));
        }
    }
}

/// The room server's state.
pub struct Hub {
    rooms: Mutex<HashMap<Arc<str>, Arc<Room>>>,
    /// Members by address, where that is limited.
    addresses: Mutex<HashMap<IpAddr, usize>>,
    options: RoomOptions,
    /// Limits and pings of members' connections.
    pub websocket: WebSocketOptions,
    /// How rooms deliver.
    pub rules: Arc<Rules>,
    /// Where joins and leaves are told.
    pub report: Report,
    next_id: AtomicU64,
}

impl Hub {
    pub fn new(options: RoomOptions, websocket: WebSocketOptions, report: Report) -> Self {
        let rules = Rules {
            echo: options.echo,
            backlog: options.backlog,
            slow: options.slow,
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
            next_id: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Room>>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that no other member has had.
    pub fn new_id(&self) -> u64 {
        self.next_id.fetch_add(1, Relaxed)
    }

    fn addresses(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The metrics as text.
    pub fn metrics(&self) -> String {
        let rooms: Vec<_> = self.lock().values().cloned().collect();
        self.rules.metrics.render(rooms.len(), rooms.iter().map(|room| room.backlog()).sum())
    }

    /// Lets a member into the room of this target, which is opened for it if it is the first.
    pub fn join(&self, target: &str, member: Arc<Member>) -> Arc<Room> {
        self.rules.metrics.joined.fetch_add(1, Relaxed);
        if let Some(client) = member.client.filter(|_| self.options.max_per_address.is_some()) {
            *self.addresses().entry(client).or_default() += 1;
        }
        let mut rooms = self.lock();
        let room = match rooms.get(target) {
            Some(room) => room.clone(),
            None => {
                let target: Arc<str> = target.into();
                let room = Arc::new(Room::new(target.clone()));
                rooms.insert(target, room.clone());
                room
            }
        };
        // Under the lock of all rooms: a room must not be freed between its look-up and this.
        room.enter(member);
        room
    }

    /// Takes a member out; an empty room is freed.
    pub fn leave(&self, room: &Room, member: &Member) {
        self.rules.metrics.left.fetch_add(1, Relaxed);
        if let Some(client) = member.client.filter(|_| self.options.max_per_address.is_some()) {
            let mut addresses = self.addresses();
            match addresses.get_mut(&client) {
                Some(count) if *count > 1 => *count -= 1,
                _ => _ = addresses.remove(&client),
            }
        }
        let mut rooms = self.lock();
        if room.leave(member.id) == 0 {
            rooms.remove(&room.target);
            if rooms.capacity() > 64 && rooms.len() < rooms.capacity() / 4 {
                rooms.shrink_to_fit();
            }
        }
    }

    fn place_for(&self, target: &str, client: Option<IpAddr>) -> Result<(), String> {
        if let (Some(most), Some(client)) = (self.options.max_per_address, client)
            && self.addresses().get(&client).is_some_and(|count| *count >= most)
        {
            return Err(format!("{client} has its {most} connections"));
        }
        let rooms = self.lock();
        match rooms.get(target) {
            Some(room) if self.options.max_per_room.is_some_and(|most| room.len() >= most) => {
                Err(format!("the room has its {} members", room.len()))
            }
            None if self.options.max_rooms.is_some_and(|most| rooms.len() >= most) => {
                Err(format!("there are {} rooms already", rooms.len()))
            }
            _ => Ok(()),
        }
    }
}

impl Admission for Hub {
    fn admit(&self, asked: &Asked, client: Option<IpAddr>) -> Result<(), Error> {
        self.place_for(&asked.target, client).map_err(|reason| Error::Full { target: asked.target.clone(), reason })
    }
}
