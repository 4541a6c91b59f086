//! Frames that are to be written. Short payloads are copied behind their headers; long ones are referred to, so that they are not copied.

use super::encoder::MAX_HEADER;
use bytes::{Buf, Bytes, BytesMut};
use std::{cell::Cell, collections::VecDeque, io::IoSlice, mem};

/// Payloads of at least this many bytes are worth a part of their own in a write.
pub const LONG: usize = 4096;

/// A larger buffer is not kept for the next connection, in bytes.
const MAX_SPARE: usize = 8 * 1024;

thread_local! {
    /// The buffer of the connection that was last idle, empty. The connections of a thread share it, as they do that for reading.
    static SPARE: Cell<Option<BytesMut>> = const { Cell::new(None) };
}

/// What a connection has not taken yet. The first frame may have been written in part.
#[derive(Default)]
pub struct Output {
    /// Short frames, and the headers of long ones.
    copied: BytesMut,
    /// Payloads, each with the number of bytes of `copied` between the payload before and itself.
    long: VecDeque<(usize, Bytes)>,
    /// The bytes of `copied` before the last payload.
    before_last: usize,
    /// The length of all payloads in `long`.
    long_length: usize,
    /// What was copied for the previous output, in bytes.
    previous_size: usize,
}

impl Output {
    /// Where short frames and headers are appended. It has room for as much as the previous output: growing step by step would copy it
    /// each time. Encoding asks for room for the longest header, whatever its length.
    pub fn copied(&mut self) -> &mut BytesMut {
        if self.copied.is_empty() {
            if self.copied.capacity() == 0
                && let Some(spare) = SPARE.take()
            {
                self.copied = spare;
            }
            self.copied.reserve(self.previous_size + MAX_HEADER);
        }
        &mut self.copied
    }

    /// Appends a payload, which is not empty.
    pub fn push(&mut self, payload: Bytes) {
        self.long_length += payload.len();
        self.long.push_back((self.copied.len() - self.before_last, payload));
        self.before_last = self.copied.len();
    }

    /// All of it is about to be written.
    pub fn note_size(&mut self) {
        if !self.copied.is_empty() {
            self.previous_size = self.copied.len();
        }
    }

    /// There is nothing to write for now: gives back the memory of an empty output.
    pub fn idle(&mut self) {
        if self.has_remaining() {
            return;
        }
        let copied = mem::take(&mut self.copied);
        if (1..=MAX_SPARE).contains(&copied.capacity()) {
            SPARE.set(Some(copied));
        }
        if self.long.capacity() > 0 {
            self.long = VecDeque::new();
        }
    }

    /// Bytes of memory that it holds.
    pub fn held(&self) -> usize {
        self.copied.capacity() + self.long_length
    }
}

impl Buf for Output {
    #[inline]
    fn remaining(&self) -> usize {
        self.copied.len() + self.long_length
    }

    #[inline]
    fn chunk(&self) -> &[u8] {
        match self.long.front() {
            None => &self.copied,
            Some((0, payload)) => payload,
            Some((before, _)) => self.copied.get(..*before).unwrap_or_default(),
        }
    }

    fn chunks_vectored<'a>(&'a self, parts: &mut [IoSlice<'a>]) -> usize {
        let (mut count, mut rest) = (0, &self.copied[..]);
        let mut add = |part: &'a [u8]| {
            if let Some(place) = parts.get_mut(count).filter(|_| !part.is_empty()) {
                *place = IoSlice::new(part);
                count += 1;
            }
        };
        for (before, payload) in &self.long {
            let copied;
            (copied, rest) = rest.split_at_checked(*before).unwrap_or((rest, &[]));
            add(copied);
            add(payload);
        }
        add(rest);
        count
    }

    #[inline]
    fn advance(&mut self, mut count: usize) {
        while let Some((before, payload)) = self.long.front_mut() {
            let copied = count.min(*before);
            self.copied.advance(copied);
            *before -= copied;
            self.before_last -= copied;
            count -= copied;
            if *before > 0 {
                return;
            }
            let taken = count.min(payload.len());
            payload.advance(taken);
            self.long_length -= taken;
            count -= taken;
            if !payload.is_empty() {
                return;
            }
            self.long.pop_front();
        }
        self.copied.advance(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What is appended: bytes that are copied, or a payload.
    fn pieces() -> impl Strategy<Value = Vec<(bool, Vec<u8>)>> {
        prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 1..20)), 0..12)
    }

    proptest! {
        #[test]
        fn what_was_appended_comes_out_in_order_however_little_a_write_takes(
            pieces in pieces(),
            takes in prop::collection::vec(1..40usize, 1..20),
            parts in 1..6usize,
        ) {
            let mut output = Output::default();
            let mut takes = takes.into_iter().cycle();
            let (mut expected, mut written) = (Vec::new(), Vec::new());
            for (index, (is_long, piece)) in pieces.iter().enumerate() {
                expected.extend_from_slice(piece);
                if *is_long {
                    output.push(piece.clone().into());
                } else {
                    output.copied().extend_from_slice(piece);
                }
                // A write between two pieces now and then.
                if index % 3 == 2 {
                    write(&mut output, parts, takes.next().unwrap_or(1), &mut written);
                }
            }
            while output.has_remaining() {
                prop_assert_eq!(output.remaining(), expected.len() - written.len());
                prop_assert!(!output.chunk().is_empty() && expected[written.len()..].starts_with(output.chunk()));
                write(&mut output, parts, takes.next().unwrap_or(1), &mut written);
            }
            prop_assert_eq!(written, expected);
            prop_assert_eq!((output.before_last, output.long_length), (0, 0));
            output.idle();
            prop_assert_eq!(output.held(), 0);
        }
    }

    /// A write of up to `parts` slices that takes at most `most` bytes.
    fn write(output: &mut Output, parts: usize, most: usize, written: &mut Vec<u8>) {
        let mut slices = vec![IoSlice::new(&[]); parts];
        let count = output.chunks_vectored(&mut slices);
        let all: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
        let taken = all.len().min(most);
        written.extend_from_slice(&all[..taken]);
        output.advance(taken);
    }
}
