//! Rooms over several machines (`--cluster`): what passes between a node and the engine, Redis or NATS with JetStream.

mod engine;
mod options;

pub use engine::{BatchId, Engine, EngineError, Event, Position, Publication};
pub use options::{ClusterOptions, Credentials, EngineKind, EngineUrl, WhenDown};
