//! Where the batches of rooms go. What the broker gives back is what members receive.

use super::{
    hub::Delivery,
    room::{Batch, Locked, Room},
};
use std::sync::Arc;

/// Passes batches on. It is an enum, so that each call is a comparison.
pub enum Broker {
    /// There is one node: a batch is delivered at once.
    Memory,
}

impl Broker {
    /// Publishes a batch of a room.
    pub fn publish(&self, room: Locked<'_>, batch: Batch, delivery: &Arc<Delivery>) {
        match self {
            Self::Memory => room.deliver(batch, true, delivery),
        }
    }

    /// A room was created. Called under the lock of the rooms, as is [`unsubscribe`](Self::unsubscribe): so the order of the calls for one
    /// target is that of its rooms.
    pub fn subscribe(&self, _room: &Arc<Room>) {
        match self {
            Self::Memory => {}
        }
    }

    /// A room has lost its last member.
    pub fn unsubscribe(&self, _room: &Room) {
        match self {
            Self::Memory => {}
        }
    }
}
