//! Byte streams as message streams: where a message begins and ends in them.

mod chunks;
mod framed;
mod json_values;
mod length_prefixed;
mod lines;
mod options;

pub use chunks::ChunkStream;
use framed::{Codec, Framed, Unfit};
pub use json_values::JsonValueCodec;
pub use length_prefixed::{LengthPrefix, LengthPrefixCodec};
pub use lines::LineCodec;
pub use options::{FramingOptions, Separator};

#[cfg(test)]
mod tests;
