//! What a node asks of the engine, which is Redis or NATS with JetStream.

use bytes::Bytes;
use std::{future::Future, time::Instant};

/// The place of a publication in the order of its room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Changes when the engine has lost its data.
    pub epoch: u64,
    /// Grows within an epoch; 0 is before the first publication.
    pub sequence: u64,
}

/// Unique for each payload. The numbers that a node uses in a room grow, and the next one follows when the engine has stored the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BatchId {
    /// Chosen at random when the node starts.
    pub node: u64,
    /// At least 1.
    pub number: u64,
}

/// What the engine has stored for a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// Its place.
    pub position: Position,
    /// The sequence of the one before it in this room; 0 for the first. Something is missing if it is not the last that was received.
    pub previous: u64,
    /// What was published.
    pub payload: Bytes,
}

/// What happens at the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A publication in a room that is subscribed to. They come in the engine's order for this room, possibly with gaps and twice.
    Publication {
        /// The request target.
        room: Bytes,
        /// What was published.
        publication: Publication,
    },
    /// The connection is lost. What is published meanwhile may never come as an event.
    Down {
        /// Why.
        reason: String,
        /// Since when the engine has not answered.
        since: Instant,
    },
    /// Something was published in a room that is subscribed to, but not by a node.
    Stranger {
        /// The request target.
        room: Bytes,
    },
    /// The engine has refused something. A request may get no answer for that.
    Refused {
        /// Its words.
        reason: String,
    },
    /// The connection stands again, and so do all subscriptions.
    Up,
}

/// A request to the engine failed. Whether it was carried out is not known, unless the engine refused it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct EngineError {
    /// The engine's words, or why there are none, such as a lost connection.
    pub reason: String,
    /// There is no connection, which [`Event::Down`] tells, too.
    pub is_lost: bool,
}

impl EngineError {
    /// The engine refuses, or does not answer.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), is_lost: false }
    }

    /// There is no connection.
    pub fn lost(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), is_lost: true }
    }
}

/// A connection to an engine. Its clones share it. Connecting gives one, together with a bounded queue of [`Event`]s: while that is
/// full, nothing is read from the engine.
///
/// After a loss the connection is restored on its own, with pauses that grow up to a second and are random in part. An idle connection
/// is probed, so that a loss is noticed within about two seconds. Requests fail while there is no connection; they need no time limit of
/// their own, since the caller has one: a future that is dropped may or may not have had its effect.
pub trait Engine: Clone + Send + Sync + 'static {
    /// The longest payload that it takes, in bytes.
    fn max_payload(&self) -> usize;

    /// Stores a payload for the subscribers of a room and gives its place. One with an `id` that is stored already is not stored
    /// again, and gets the place of the first.
    ///
    /// # Errors
    /// It is not known to be stored.
    fn publish(
        &self,
        room: &[u8],
        id: BatchId,
        payload: Bytes,
    ) -> impl Future<Output = Result<Position, EngineError>> + Send;

    /// Subscribes to a room. Everything after the place that it gives comes as an event, some of it perhaps before this is ready.
    /// A second subscription has no effect.
    ///
    /// # Errors
    /// The subscription may or may not stand.
    fn subscribe(&self, room: &[u8]) -> impl Future<Output = Result<Position, EngineError>> + Send;

    /// Ends a subscription.
    ///
    /// # Errors
    /// The subscription may still stand.
    fn unsubscribe(&self, room: &[u8]) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// The newest publications of a room, at most `limit` of them, in order and without a gap. The first one tells its predecessor only if
    /// the engine knows it; 0 otherwise.
    ///
    /// # Errors
    /// The engine does not answer.
    fn last(&self, room: &[u8], limit: usize) -> impl Future<Output = Result<Vec<Publication>, EngineError>> + Send;

    /// The oldest publications after a place, at most `limit` of them, in order and without a gap. `None` if some of them are lost: they
    /// are too old, or the engine is in another epoch.
    ///
    /// # Errors
    /// The engine does not answer.
    fn since(
        &self,
        room: &[u8],
        after: Position,
        limit: usize,
    ) -> impl Future<Output = Result<Option<Vec<Publication>>, EngineError>> + Send;
}
