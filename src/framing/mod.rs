//! Byte streams as message streams: where a message begins and ends in them.

mod chunks;
mod length_prefixed;
mod lines;
mod options;

pub use chunks::ChunkStream;
pub use length_prefixed::{LengthPrefix, LengthPrefixedStream};
pub use lines::LineStream;
pub use options::{FramingOptions, Separator};

#[cfg(test)]
mod tests;
