//! One member of a room.

use super::{
    delivery::Delivery,
    frame_queue::{Block, Frames},
    history::History,
    outbox::{Delivered, Dismissal, Outbox},
    resume::Resume,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};
use crate::{flow::ByteEnd, message::Close, ws::Heartbeat};
use std::{net::IpAddr, sync::PoisonError};

/// One connection in one room.
#[repr(C)]
pub struct Member {
    /// First, as what a delivery looks at.
    outbox: Mutex<Outbox>,
    /// Unique in this process.
    pub id: u64,
    /// Its address, or the one that a trusted proxy names; none over a unix socket.
    pub client: Option<IpAddr>,
    /// It wants the place of each message.
    pub resume: Option<Box<Resume>>,
    takes_deflated: AtomicBool,
    /// Its place among the members of its room, which changes under the room's lock.
    place: AtomicUsize,
}

impl Member {
    /// A member whose opening handshake is not answered yet.
    pub fn new(id: u64, client: Option<IpAddr>, resume: Option<Resume>, outbox: Outbox) -> Self {
        let takes_deflated = AtomicBool::new(false);
        let (resume, outbox) = (resume.map(Box::new), Mutex::new(outbox));
        Self { id, client, resume, takes_deflated, place: AtomicUsize::new(0), outbox }
    }

    /// Queues what was sent before it joined, unless that has been done.
    pub fn begin(&self, history: &mut History, delivery: &Delivery) {
        let (messages, bytes) = self.outbox().begin(|| history.replay(self.resume.as_deref()));
        delivery.metrics.replayed.fetch_add(messages, Relaxed);
        delivery.metrics.sent.fetch_add(messages, Relaxed);
        delivery.metrics.sent_bytes.fetch_add(bytes as u64, Relaxed);
    }

    /// The opening handshake has been answered: messages published since the member joined are written to `end`.
    pub fn connect(&self, end: ByteEnd, heartbeat: Option<Heartbeat>) {
        self.outbox().connect(end, heartbeat);
    }

    /// Takes no more messages of its room. Returns whether the member held the room up.
    pub fn leave(&self) -> bool {
        self.outbox().leave()
    }

    /// Whether messages go to it in the form that was compressed for all.
    pub fn takes_deflated(&self) -> bool {
        self.takes_deflated.load(Relaxed)
    }

    /// It has negotiated compression.
    pub fn take_deflated(&self) {
        self.takes_deflated.store(true, Relaxed);
    }

    /// Its place among the members of its room.
    pub fn place(&self) -> usize {
        self.place.load(Relaxed)
    }

    /// It has this place now.
    pub fn set_place(&self, place: usize) {
        self.place.store(place, Relaxed);
    }

    /// Its connection and its backlog, locked.
    pub fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes in its backlog.
    pub fn backlog(&self) -> usize {
        self.outbox().backlog_bytes()
    }

    /// Closes the member behind what waits for it.
    pub fn dismiss(&self, dismissal: Dismissal) {
        self.outbox().dismiss(dismissal);
    }

    /// Closes the member, and counts the messages that it misses.
    pub fn give_up(&self, close: &Close, delivery: &Delivery) {
        let mut outbox = self.outbox();
        let dropped = outbox.give_up_with(close);
        let name = outbox.name().clone();
        drop(outbox);
        if dropped > 0 {
            delivery.metrics.dropped.fetch_add(dropped, Relaxed);
            delivery.drops.add(|missed| missed.add(&name, dropped));
        }
    }

    /// Writes or queues a batch, for the room's flusher.
    pub fn deliver(&self, batch: &Frames, block: Option<&Block>, delivery: &Delivery) -> Delivered {
        let mut outbox = self.outbox();
        let delivered = outbox.deliver(batch, block, delivery.backlog, delivery.slow);
        if delivered.disconnected {
            delivery.metrics.slow.fetch_add(1, Relaxed);
        }
        if delivered.dropped > 0 {
            let name = outbox.name().clone();
            drop(outbox);
            delivery.metrics.dropped.fetch_add(delivered.dropped, Relaxed);
            delivery.drops.add(|missed| missed.add(&name, delivered.dropped));
        }
        delivered
    }
}
