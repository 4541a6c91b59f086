//! Rooms over several machines (`--cluster`): what passes between a node and the engine, Redis or NATS with JetStream.

mod channel;
mod engine;
#[cfg(test)]
mod model;
mod options;
mod outage;
mod payload;

pub use channel::{Action, Channel, FETCHED, NodeLimits};
pub use engine::{BatchId, Engine, EngineError, Event, Position, Publication};
pub use options::{ClusterOptions, Credentials, EngineKind, EngineUrl, WhenDown};
pub use outage::{Change, Outage, Part};
pub use payload::Body;
