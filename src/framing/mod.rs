//! Byte streams as message streams: where a message begins and ends in them.

mod chunks;
mod framed;
mod length_prefixed;
mod lines;
mod options;

pub use chunks::ChunkStream;
use framed::{Codec, Framed, Unfit};
pub use length_prefixed::{LengthPrefix, LengthPrefixCodec};
pub use lines::LineCodec;
pub use options::{FramingOptions, Separator};

#[cfg(test)]
mod tests;
