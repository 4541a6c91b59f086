//! Where the batches of rooms go. What the broker gives back is what members receive.

use super::{
    delivery::Delivery,
    node::Node,
    room::{Batch, Locked, Room, Subscription},
};
use std::sync::Arc;

/// Passes batches on. It is an enum, so that each call is a comparison.
pub enum Broker {
    /// There is one node: a batch is delivered at once.
    Memory,
    /// A batch goes to the engine, and is delivered when it comes back.
    #[cfg_attr(not(any(feature = "nats", feature = "redis")), allow(dead_code, reason = "there is no engine"))]
    Cluster(Node),
}

impl Broker {
    /// Publishes a batch of a room.
    pub fn publish(&self, room: Locked<'_>, batch: Batch, delivery: &Delivery) {
        match self {
            Self::Memory => room.deliver(batch, true, delivery),
            Self::Cluster(node) => node.publish(room.unlock(), batch),
        }
    }

    /// A room was created. Called under the lock of the rooms, as is [`unsubscribe`](Self::unsubscribe): so the order of the calls for one
    /// target is that of its rooms.
    pub fn subscribe(&self, room: &Arc<Room>) {
        if let Self::Cluster(node) = self {
            room.set_subscription(Subscription::Pending);
            node.open(room.clone());
        }
    }

    /// A room has lost its last member.
    pub fn unsubscribe(&self, room: &Room) {
        if let Self::Cluster(node) = self {
            node.close(room.target.clone());
        }
    }

    /// Whether rooms that are left are kept with their history. The engine of a cluster keeps it itself.
    pub fn keeps_rooms(&self) -> bool {
        matches!(self, Self::Memory)
    }

    /// Whether new members are refused.
    pub fn refuses(&self) -> bool {
        matches!(self, Self::Cluster(node) if node.refuses())
    }
}
