//! permessage-deflate (RFC 7692).
//!
//! [`Inflater`] and [`Deflater`] work on messages, piece by piece, while others read and write their frames. An idle
//! connection holds neither of zlib's states: [`pool`] has both. A client whose server keeps its context holds the end of
//! what was said, 32 KiB at most, for the next message may refer to it.

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
pub use write::{Deflater, SharedDeflater};

#[cfg(test)]
mod tests;

/// What ends a flushed block, and is left out at the end of a message (RFC 7692 section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
