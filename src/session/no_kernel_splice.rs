//! Systems without splice(2): the bytes of two sockets pass through this process, as those of all other ends do.

use crate::{
    flow::{ByteEnd, MessageEnd},
    framing::ChunkStream,
};

/// Joins two ends.
pub fn join(left: ByteEnd, right: ByteEnd) -> (MessageEnd, MessageEnd) {
    ChunkStream::join(left, right)
}
