//! How much one poll of a connection does before other tasks have their turn.
//!
//! Whatever a peer sends, a poll ends after a bounded amount of work: bytes read, bytes inflated, frames that complete no message,
//! and bytes compressed. Without that, a peer that sends faster than its frames are handled occupies its thread for as long as it likes.

/// The work of one poll in bytes. It takes less than a millisecond, so that also with many such peers the others wait for
/// tens of milliseconds at most.
const POLL: usize = 512 * 1024;
/// A fragment or a control frame takes as long as this many bytes.
pub const FRAME_COST: usize = 256;

/// What is left of the work of one poll.
pub struct Budget {
    left: usize,
}

impl Budget {
    /// The work of one poll.
    pub fn new() -> Self {
        Self { left: POLL }
    }

    /// So many bytes have been handled.
    #[inline]
    pub fn spend(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
    }

    /// The poll is to end.
    pub fn end(&mut self) {
        self.left = 0;
    }

    /// Whether the poll is to end.
    #[inline]
    pub fn is_spent(&self) -> bool {
        self.left == 0
    }

    /// Another poll begins.
    #[inline]
    pub fn renew(&mut self) {
        self.left = POLL;
    }
}
