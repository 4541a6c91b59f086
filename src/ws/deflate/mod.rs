//! permessage-deflate (RFC 7692).
//!
//! Reading: [`Inflating`] lies between tungstenite, which knows no extensions, and the connection. Compressed messages come
//! out of it as the plain frames that they could have been. Writing: [`Deflater`] compresses, piece by piece, what others put
//! into frames.
//!
//! An idle connection holds neither of zlib's states: [`pool`] has both. A client whose server keeps its context holds the
//! end of what was said, 32 KiB at most, for the next message refers to it.

mod header;
mod inflate;
mod negotiate;
mod pool;
mod read;
mod write;

pub use header::is_token;
pub use negotiate::{Agreed, Offers, accept};
pub use read::{Inflating, Uninflatable};
pub use write::Deflater;

#[cfg(test)]
mod tests;

/// What ends a flushed block, and is left out at the end of a message (RFC 7692 section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
