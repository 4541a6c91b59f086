//! A room for the benches, whose members take every message at once.

use super::{
    broker::Broker,
    hub::{Hub, Membership},
};
use crate::{
    config::RoomOptions,
    error::Error,
    flow::ByteEnd,
    message::{Kind, Message},
    ws::WebSocketOptions,
};
use bytes::Bytes;
use std::{
    sync::Arc,
    task::{Context, Waker},
};
use tokio::io::{empty, join, sink};

/// A room.
pub struct Fanout {
    members: Vec<Membership>,
    message: Message,
}

impl Fanout {
    /// A room of this many members, one of whom publishes messages of `size` bytes.
    ///
    /// # Errors
    ///
    /// A limit on members is reached, which does not happen here.
    pub fn new(members: usize, size: usize) -> Result<Self, Error> {
        let hub = Arc::new(Hub::new(RoomOptions::default(), WebSocketOptions::default(), Broker::Memory));
        let join = |_| {
            let membership = hub.join("/", "member", None)?;
            membership.member.connect(ByteEnd::peer(join(empty(), sink()), "member"), None);
            Ok(membership)
        };
        let members = (0..members).map(join).collect::<Result<_, Error>>()?;
        Ok(Self { members, message: Message { kind: Kind::Binary, payload: Bytes::from(vec![7; size]) } })
    }

    /// Publishes this many messages, which are then delivered in one batch.
    pub fn publish(&self, messages: usize) {
        let never = Context::from_waker(Waker::noop());
        if let Some(Membership { hub, room, member, .. }) = self.members.first() {
            for _ in 0..messages {
                while room.publish(member.id, &self.message, None, &hub.delivery, &never).is_pending() {
                    hub.flush(room);
                }
            }
            hub.flush(room);
        }
    }
}
