//! The read buffer: how much is read at once, and when memory is given back.
//!
//! Frames are unmasked where they lie in it, and a message of one frame leaves as a part of it. A connection on which no
//! frame is incomplete holds no buffer. The connections of a thread share a small one: to allocate it anew took a sixth of the
//! instructions of an echo.

use bytes::BytesMut;
use std::cell::Cell;

/// Bytes that a read asks for: few while few come, so that a message that waits somewhere does not hold a large buffer, and up
/// to as many as the kernel hands over at once when many come.
pub const MIN_READ: usize = 8 * 1024;
pub const MAX_READ: usize = 256 * 1024;
/// A larger buffer is replaced when it holds only a fraction of its size.
const LARGE: usize = 64 * 1024;

thread_local! {
    /// The buffer of the connection that was last idle, of about [`MIN_READ`] bytes. Messages that are not written yet may be
    /// parts of it.
    static SPARE: Cell<Option<BytesMut>> = const { Cell::new(None) };
}

/// Bytes that were read from a connection and not decoded yet.
pub struct ReadBuffer {
    /// What was read: it begins with a frame's header or with the rest of a frame's payload.
    pub bytes: BytesMut,
    /// Bytes that the next read asks for.
    read_size: usize,
    /// Bytes received since there was last nothing to read.
    burst: usize,
}

impl ReadBuffer {
    /// A buffer that begins with what was read already.
    pub fn new(early: Vec<u8>) -> Self {
        Self { bytes: BytesMut::from_iter(early), read_size: MIN_READ, burst: 0 }
    }

    /// Makes room for a read. `expected`: bytes known to follow, the rest of the current frame.
    #[inline]
    pub fn reserve(&mut self, expected: usize) {
        if self.bytes.capacity() == 0
            && let Some(spare) = SPARE.take()
        {
            self.bytes = spare;
        }
        let room = self.bytes.capacity() - self.bytes.len();
        let has_room_for_the_rest = (1..=room).contains(&expected);
        if room < self.read_size / 2 && !has_room_for_the_rest {
            // The buffer grows with what has been received of a long frame, not with the length that its header announces.
            // Steps of this size copy little, and memory that is reserved but not written is not occupied.
            self.bytes.reserve(self.read_size.max(expected.min(4 * self.bytes.len())));
        }
    }

    /// A read has appended `length` bytes.
    #[inline]
    pub fn received(&mut self, length: usize) {
        self.burst += length;
        if self.bytes.len() == self.bytes.capacity() {
            self.read_size = MAX_READ.min(self.read_size * 4);
        }
    }

    /// There is nothing to read for now: gives back memory that is not needed meanwhile.
    #[inline]
    pub fn idle(&mut self) {
        let burst = std::mem::take(&mut self.burst);
        if burst < self.read_size / 4 {
            if self.read_size == MIN_READ && self.bytes.is_empty() && self.bytes.capacity() > 0 {
                SPARE.set(Some(std::mem::take(&mut self.bytes)));
                return;
            }
            self.read_size = MIN_READ.max(self.read_size / 2);
        }
        // The rest of a frame may never come, so its start must not hold many times its size. The buffer of a long frame has
        // grown with it, so it is not copied each time that the frame has to wait.
        let capacity = self.bytes.capacity();
        if self.bytes.is_empty() || capacity > LARGE && self.bytes.len() < capacity / 8 {
            self.bytes = BytesMut::from(&self.bytes[..]);
        }
    }

    /// Discards what was read and gives all memory back.
    pub fn clear(&mut self) {
        self.bytes = BytesMut::new();
    }

    /// Whether nothing was received since there was last nothing to read.
    #[cfg(test)]
    pub fn is_idle(&self) -> bool {
        self.burst == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A read that fills the room as far as `available` bytes do.
    fn read(buffer: &mut ReadBuffer, expected: usize, available: usize) -> usize {
        buffer.reserve(expected);
        let length = available.min(buffer.bytes.capacity() - buffer.bytes.len());
        assert!(length > 0, "there is room");
        buffer.bytes.resize(buffer.bytes.len() + length, 7);
        buffer.received(length);
        length
    }

    /// Reads and takes everything, as when messages are short and complete.
    fn receive(buffer: &mut ReadBuffer, mut available: usize) -> usize {
        let mut reads = 0;
        while available > 0 {
            available -= read(buffer, 0, available);
            drop(buffer.bytes.split());
            reads += 1;
        }
        buffer.idle();
        reads
    }

    #[test]
    fn an_idle_connection_holds_no_memory() {
        let mut buffer = ReadBuffer::new(b"early".to_vec());
        assert_eq!(&buffer.bytes[..], b"early");
        drop(buffer.bytes.split());
        receive(&mut buffer, 1000);
        assert_eq!(buffer.bytes.capacity(), 0);
        assert!(buffer.is_idle());
    }

    #[test]
    fn reads_grow_with_what_comes_and_shrink_again() {
        let mut buffer = ReadBuffer::new(Vec::new());
        receive(&mut buffer, 8 << 20);
        assert_eq!(buffer.read_size, MAX_READ);
        assert!(receive(&mut buffer, 8 << 20) <= 40, "reads of {MAX_READ} bytes");
        for _ in 0..10 {
            receive(&mut buffer, 100);
        }
        assert_eq!(buffer.read_size, MIN_READ);
    }

    #[test]
    fn a_long_frame_occupies_memory_as_it_arrives() {
        let mut buffer = ReadBuffer::new(Vec::new());
        let length = 16 << 20;
        while buffer.bytes.len() < length {
            let rest = length - buffer.bytes.len();
            read(&mut buffer, rest, rest.min(10_000));
            let (held, arrived) = (buffer.bytes.capacity(), buffer.bytes.len());
            assert!(held <= 8 * arrived + MAX_READ, "{held} bytes for {arrived}");
            buffer.idle();
        }
    }

    #[test]
    fn the_start_of_a_frame_does_not_hold_a_large_buffer() {
        let mut buffer = ReadBuffer::new(Vec::new());
        receive(&mut buffer, 8 << 20);
        read(&mut buffer, 0, 1000);
        assert!(buffer.bytes.capacity() > LARGE);
        buffer.idle();
        assert_eq!(buffer.bytes.len(), 1000);
        assert!(buffer.bytes.capacity() < 2000);
    }
}
