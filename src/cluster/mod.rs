//! Rooms over several machines (`--cluster`): what passes between a node and the engine, Redis or NATS with JetStream.

#[cfg(any(feature = "nats", feature = "redis"))]
mod backoff;
mod channel;
mod engine;
mod inbox;
#[cfg(any(feature = "nats", feature = "redis"))]
mod loss;
#[cfg(test)]
mod model;
#[cfg(feature = "nats")]
mod nats;
mod options;
mod outage;
mod payload;
#[cfg(feature = "redis")]
mod redis;
#[cfg(any(feature = "nats", feature = "redis"))]
mod task;
#[cfg(all(test, any(feature = "nats", feature = "redis")))]
mod testing;
#[cfg(any(feature = "nats", feature = "redis"))]
mod transport;

pub use channel::{Action, Channel, FETCHED, NodeLimits, Recent};
pub use engine::{BatchId, Engine, EngineError, Event, Position, Publication};
pub use inbox::{Events, Inbox, inbox};
#[cfg(feature = "nats")]
pub use nats::Nats;
pub use options::{ClusterOptions, Credentials, EngineKind, EngineUrl, WhenDown};
pub use outage::{Change, Outage, Part};
pub use payload::Body;
#[cfg(feature = "redis")]
pub use redis::Redis;
