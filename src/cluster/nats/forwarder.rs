//! Gives what is published in a room to the node, in the order of the stream.

use super::{Place, Shared, api, lock};
use crate::cluster::{Position, Publication};
use async_nats::{Message, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, Weak},
    time::Duration,
};
use tokio::time::{Instant, sleep_until};

/// A publication waits this long for the one before it. Longer would not help: the server sends it within a millisecond or never.
const REORDER: Duration = Duration::from_millis(100);

/// Publications that wait for the one before them. With more, something is missing.
const HELD: usize = 64;

/// The forwarder of one room.
pub struct Forwarder {
    room: Bytes,
    place: Arc<Mutex<Option<Place>>>,
    shared: Weak<Shared>,
    /// By the sequence of the one before.
    held: BTreeMap<u64, Publication>,
    /// How long they may wait.
    until: Instant,
}

impl Forwarder {
    pub fn new(room: Bytes, place: Arc<Mutex<Option<Place>>>, shared: Weak<Shared>) -> Self {
        Self { room, place, shared, held: BTreeMap::new(), until: Instant::now() }
    }

    /// Runs until the subscription ends.
    pub async fn run(mut self, mut subscriber: Subscriber) {
        loop {
            let message = tokio::select! {
                message = subscriber.next() => match message {
                    Some(message) => Some(message),
                    None => return,
                },
                () = sleep_until(self.until), if !self.held.is_empty() => None,
            };
            let Some(shared) = self.shared.upgrade() else { return };
            match message {
                Some(message) => self.take(&shared, message),
                None => self.give_up(&shared),
            }
        }
    }

    fn known(&self) -> Option<Place> {
        *lock(&self.place)
    }

    fn take(&mut self, shared: &Shared, message: Message) {
        let numbers = (api::number(&message, "Nats-Sequence"), api::number(&message, "Nats-Last-Sequence"));
        let (Some(sequence), Some(mut previous)) = numbers else {
            return shared.inbox.stranger(self.room.clone());
        };
        let state = shared.state();
        let known = self.known();
        // The stream no longer has the message before this one, but it was received.
        if let Some(place) = known
            && previous == 0
            && state.is_up
            && place.generation == state.generation
        {
            previous = place.sequence;
        }
        let position = Position { epoch: state.epoch, sequence };
        let publication = Publication { position, previous, payload: message.payload };
        match known {
            Some(place) if previous > place.sequence => {
                if self.held.is_empty() {
                    self.until = Instant::now() + REORDER;
                }
                self.held.insert(previous, publication);
                self.release(shared);
                if self.held.len() > HELD {
                    self.give_up(shared);
                }
            }
            _ => {
                self.pass(shared, publication);
                self.release(shared);
            }
        }
    }

    /// Passes on what has waited for what is there now.
    fn release(&mut self, shared: &Shared) {
        while let Some(next) = self.known().and_then(|place| self.held.remove(&place.sequence)) {
            self.pass(shared, next);
        }
    }

    /// Something is missing: the node sees it, and asks for it.
    fn give_up(&mut self, shared: &Shared) {
        self.release(shared);
        while let Some((_, publication)) = self.held.pop_first() {
            self.pass(shared, publication);
        }
    }

    fn pass(&self, shared: &Shared, publication: Publication) {
        if let Some(place) = &mut *lock(&self.place)
            && place.sequence == publication.previous
        {
            place.sequence = publication.position.sequence;
        }
        if shared.inbox.publication(self.room.clone(), publication).is_err() {
            shared.signals.overflow.notify_one();
        }
    }
}
