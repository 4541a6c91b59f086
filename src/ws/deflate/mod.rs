//! permessage-deflate (RFC 7692).
//!
//! [`Inflater`] and [`Deflater`] work on the payloads of messages, piece by piece; frames are decoded and encoded elsewhere. An idle
//! connection holds no state of zlib: [`pool`] has them. A client whose server keeps its context holds the last 32 KiB that it
//! received, at most, since the next message may refer to them.

#[cfg(fuzzing)]
pub mod fuzzing;
mod header;
mod inflate;
mod negotiate;
mod pool;
mod write;

pub use header::is_token;
pub use inflate::Inflater;
pub use negotiate::{Agreed, Offers, accept};
pub use write::{Deflater, SenderDeflater, SharedDeflater};

#[cfg(test)]
mod tests;

/// The end of a flushed block, which is removed at the end of a message (RFC 7692 section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
