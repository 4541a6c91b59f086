//! The rooms' side of a node of a cluster: what they send to its [driver](super::driver), and what it counts.

use super::room::{Batch, Room};
use crate::metrics::{Histogram, Page};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
};
use tokio::sync::{mpsc, oneshot};

/// The rooms' side of a node.
pub struct Node {
    commands: mpsc::UnboundedSender<Command>,
    status: Arc<Status>,
}

/// What the rooms send.
pub enum Command {
    /// A room was created.
    Open(Arc<Room>),
    /// The room with this target is no more.
    Close(Arc<str>),
    /// Publish a batch of a room.
    Publish(Arc<Room>, Batch),
    /// Answer when everything that was published is stored.
    Flush(oneshot::Sender<()>),
}

/// The commands for a [node](Node) that does not run yet.
pub struct Commands {
    /// In their order.
    pub receiver: mpsc::UnboundedReceiver<Command>,
    /// What the driver counts.
    pub status: Arc<Status>,
}

impl Node {
    /// A node, and what its driver needs.
    pub fn new() -> (Self, Commands) {
        let (commands, receiver) = mpsc::unbounded_channel();
        let status = Arc::new(Status::default());
        (Self { commands, status: status.clone() }, Commands { receiver, status })
    }

    fn send(&self, command: Command) {
        // It fails only when the process ends.
        let _ = self.commands.send(command);
    }

    /// A room was created.
    pub fn open(&self, room: Arc<Room>) {
        self.send(Command::Open(room));
    }

    /// The room with this target is no more.
    pub fn close(&self, target: Arc<str>) {
        self.send(Command::Close(target));
    }

    /// Publishes a batch of a room. The next one follows when it has been delivered.
    pub fn publish(&self, room: Arc<Room>, batch: Batch) {
        self.send(Command::Publish(room, batch));
    }

    /// Whether new members are refused, since the engine is away.
    pub fn refuses(&self) -> bool {
        self.status.refuses.load(Relaxed)
    }

    /// Waits until the engine has everything that was published.
    pub async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        self.send(Command::Flush(done));
        let _ = flushed.await;
    }

    /// Adds its metrics to a page.
    pub fn render(&self, page: &mut Page) {
        self.status.render(page);
    }
}

/// What a node counts. [`render`](Self::render) says what each of them is.
#[derive(Default)]
pub struct Status {
    pub is_up: AtomicBool,
    /// Whether new members are refused.
    pub refuses: AtomicBool,
    pub reconnects: AtomicU64,
    pub errors: AtomicU64,
    pub published: AtomicU64,
    pub received: AtomicU64,
    pub in_flight: AtomicUsize,
    pub repaired: AtomicU64,
    pub lost: AtomicU64,
    pub ignored: AtomicU64,
    pub rooms: AtomicUsize,
    pub round_trips: Histogram,
}

impl Status {
    fn render(&self, page: &mut Page) {
        let get = |counter: &AtomicU64| counter.load(Relaxed);
        let mut add =
            |name: &str, kind: &str, help: &str, value: u64| page.add(&format!("cluster_{name}"), kind, help, value);
        add("up", "gauge", "Whether the engine is connected.", u64::from(self.is_up.load(Relaxed)));
        add("reconnects_total", "counter", "Connections to the engine that were restored.", get(&self.reconnects));
        add("errors_total", "counter", "Requests that the engine has refused or not answered.", get(&self.errors));
        add("rooms", "gauge", "Rooms that are subscribed to at the engine.", self.rooms.load(Relaxed) as u64);
        add("batches_published_total", "counter", "Batches of this node that came back.", get(&self.published));
        add("batches_received_total", "counter", "Batches of other nodes.", get(&self.received));
        let in_flight = self.in_flight.load(Relaxed) as u64;
        add("in_flight_bytes", "gauge", "Bytes of batches that have not come back yet.", in_flight);
        add(
            "repaired_total",
            "counter",
            "Batches that did not come by themselves and were fetched.",
            get(&self.repaired),
        );
        add("lost_total", "counter", "Rooms whose members were closed since messages were lost.", get(&self.lost));
        add("ignored_total", "counter", "Publications of no node, or of another version.", get(&self.ignored));
        self.round_trips.render(
            page,
            "cluster_round_trip_seconds",
            "Time from publishing a batch at the engine to receiving it.",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_names_every_metric() {
        let manual = include_str!("../../man/wsplice.1.in");
        let mut page = Page::default();
        Status::default().render(&mut page);
        for name in page.0.lines().filter_map(|line| line.strip_prefix("# TYPE wsplice_")) {
            let name = name.split(' ').next().unwrap_or_default();
            let is_named = manual.lines().any(|line| line.split_whitespace().nth(1) == Some(name));
            assert!(is_named, "the manual lacks {name}");
        }
    }
}
