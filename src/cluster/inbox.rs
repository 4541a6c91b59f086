//! The queue between the connection to the engine and the node, bounded by the bytes that it holds.

use super::{Event, Publication};
use bytes::Bytes;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};
use tokio::sync::{Notify, mpsc};

/// Counted for each publication beside its room and its payload: the allocations around them.
const OVERHEAD: usize = 200;

/// Makes a queue that takes publications while less than `limit` bytes wait in it.
pub fn inbox(limit: usize) -> (Inbox, Events) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let held = Arc::new(Held { bytes: AtomicUsize::new(0), limit, shrunk: Notify::new() });
    (Inbox { sender, held: held.clone() }, Events { receiver, held })
}

struct Held {
    bytes: AtomicUsize,
    limit: usize,
    /// Told when less than half of the limit waits.
    shrunk: Notify,
}

impl Held {
    fn is_low(&self) -> bool {
        self.bytes.load(Relaxed) < self.limit / 2
    }
}

/// The end into which the connection puts events.
#[derive(Clone)]
pub struct Inbox {
    sender: mpsc::UnboundedSender<Event>,
    held: Arc<Held>,
}

/// The node is too slow: so much waits for it that a publication was dropped.
#[derive(Debug, PartialEq, Eq)]
pub struct Overflow;

impl Inbox {
    /// Appends a publication.
    ///
    /// # Errors
    /// The limit is reached. It is dropped then.
    pub fn publication(&self, room: Bytes, publication: Publication) -> Result<(), Overflow> {
        let event = Event::Publication { room, publication };
        let size = size(&event);
        if self.held.bytes.fetch_add(size, Relaxed) >= self.held.limit {
            self.held.bytes.fetch_sub(size, Relaxed);
            return Err(Overflow);
        }
        // Without a receiver the node has ended, and nobody misses it.
        let _ = self.sender.send(event);
        Ok(())
    }

    /// Tells that the connection is lost, and since when there was no answer.
    pub fn down(&self, reason: String, since: Instant) {
        let _ = self.sender.send(Event::Down { reason, since });
    }

    /// Tells that the engine has refused something, unless too much waits.
    pub fn refused(&self, reason: String) {
        self.offer(Event::Refused { reason });
    }

    /// Tells that something was published that is not of a node, unless too much waits.
    pub fn stranger(&self, room: Bytes) {
        self.offer(Event::Stranger { room });
    }

    fn offer(&self, event: Event) {
        let size = size(&event);
        if self.held.bytes.fetch_add(size, Relaxed) >= self.held.limit || self.sender.send(event).is_err() {
            self.held.bytes.fetch_sub(size, Relaxed);
        }
    }

    /// Tells that the connection and all subscriptions stand.
    pub fn up(&self) {
        let _ = self.sender.send(Event::Up);
    }

    /// Ready when less than half of the limit waits.
    pub async fn low(&self) {
        loop {
            let shrunk = self.held.shrunk.notified();
            if self.held.is_low() {
                return;
            }
            shrunk.await;
        }
    }

    /// Ready when the node has dropped its [`Events`].
    pub async fn closed(&self) {
        self.sender.closed().await;
    }
}

/// The end from which the node takes events.
pub struct Events {
    receiver: mpsc::UnboundedReceiver<Event>,
    held: Arc<Held>,
}

impl Events {
    /// The next event; `None` when the connection has ended for good, which it does when the last handle to the engine is dropped.
    /// Cancel-safe.
    pub async fn next(&mut self) -> Option<Event> {
        let event = self.receiver.recv().await?;
        let size = size(&event);
        if size > 0 {
            self.held.bytes.fetch_sub(size, Relaxed);
            if self.held.is_low() {
                self.held.shrunk.notify_one();
            }
        }
        Some(event)
    }
}

/// What is counted of an event. Few of the others wait at a time.
fn size(event: &Event) -> usize {
    match event {
        Event::Publication { room, publication } => OVERHEAD + room.len() + publication.payload.len(),
        Event::Stranger { room } => OVERHEAD + room.len(),
        Event::Refused { reason } => OVERHEAD + reason.len(),
        Event::Down { .. } | Event::Up => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Position;
    use std::time::Duration;

    fn publication(length: usize) -> Publication {
        let payload = Bytes::from(vec![0; length]);
        Publication { position: Position { epoch: 1, sequence: 1 }, previous: 0, payload }
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_inbox_drops_publications_until_half_of_it_is_taken() {
        let (inbox, mut events) = inbox(1000);
        assert_eq!(inbox.publication(Bytes::new(), publication(400)), Ok(()));
        assert_eq!(inbox.publication(Bytes::new(), publication(400)), Ok(()));
        assert_eq!(inbox.publication(Bytes::new(), publication(1)), Err(Overflow));
        inbox.down("too slow".into(), Instant::now());
        assert!(tokio::time::timeout(Duration::from_secs(1), inbox.low()).await.is_err());
        let (low, _) = tokio::join!(inbox.low(), async {
            assert!(matches!(events.next().await, Some(Event::Publication { .. })));
            assert!(matches!(events.next().await, Some(Event::Publication { .. })));
        });
        low
    }

    #[tokio::test]
    async fn events_stay_in_order_and_end_with_the_inbox() {
        let (inbox, mut events) = inbox(1000);
        let since = Instant::now();
        inbox.down("gone".into(), since);
        inbox.up();
        drop(inbox);
        assert_eq!(events.next().await, Some(Event::Down { reason: "gone".into(), since }));
        assert_eq!(events.next().await, Some(Event::Up));
        assert_eq!(events.next().await, None);
    }
}
