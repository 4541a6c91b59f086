//! Inflating received messages.

use super::{
    Agreed, TAIL,
    pool::{give_back, take_decompressor},
};
use crate::{
    memory,
    ws::{
        FrameError, Role,
        budget::{Budget, FRAME_COST},
    },
};
use flate2::{Decompress, FlushDecompress, Status};
use std::borrow::Cow;

/// An empty final block. It is valid after a message and its tail only if the message ended at the end of a block.
const FINAL: [u8; 5] = [1, 0, 0, 0xff, 0xff];
/// The largest window in bytes, whatever was negotiated.
const LARGEST_WINDOW: usize = 1 << 15;
/// Bytes inflated in one step, after which the budget is looked at. They give 528 KB at most.
const SLICE: usize = 512;
/// The same while more memory is held than may be. They give 66 KB at most.
const SMALL_SLICE: usize = 64;
/// Bytes of memory of a decompressor.
const STATE: usize = 48 * 1024;
/// The most final blocks of a message that are empty. Whoever ends each fragment with one stays below the limit for fragments.
const MAX_EMPTY_BLOCKS: usize = 16_384;
/// A message first grows by this many bytes; then it doubles.
const STEP: usize = 4096;

/// Inflates the messages of one connection.
pub struct Inflater {
    /// For the message being received.
    decompress: Option<Decompress>,
    /// Nothing was inflated since the start of the message or its last final block.
    is_fresh: bool,
    /// The length of the message when this stream of blocks began.
    stream_start: usize,
    /// Final blocks of this message that gave no output.
    empty_blocks: usize,
    /// Present if the peer keeps its context: the end of what it sent, and the size of its window.
    window: Option<(Vec<u8>, usize)>,
}

/// The last bytes, so many at most.
fn last(bytes: &[u8], most: usize) -> &[u8] {
    bytes.get(bytes.len().saturating_sub(most)..).unwrap_or(bytes)
}

impl Drop for Inflater {
    fn drop(&mut self) {
        self.decompress.take().into_iter().for_each(give_back);
    }
}

impl Inflater {
    /// Inflates what the peer of this role compresses.
    pub fn new(agreed: &Agreed, role: Role) -> Self {
        let peer = agreed.receiving(role);
        let window = peer.keeps_context.then(|| (Vec::new(), 1 << peer.bits));
        Self { decompress: None, is_fresh: true, stream_start: 0, empty_blocks: 0, window }
    }

    /// Inflates a piece of a message and appends it to `message`, up to `limit` bytes in all. Returns how much of the piece was
    /// used: not all of it when the budget was spent before.
    ///
    /// # Errors
    ///
    /// The data cannot be inflated, or the message is longer than the limit, or has too many empty final blocks.
    pub fn push(
        &mut self,
        piece: &[u8],
        message: &mut Vec<u8>,
        limit: usize,
        budget: &mut Budget,
    ) -> Result<usize, FrameError> {
        let mut used = 0;
        while let Some(rest) = piece.get(used..).filter(|rest| !rest.is_empty())
            && !budget.is_spent()
        {
            if let Some(length) = self.empty_stream(rest) {
                used += length;
                self.count_empty_block(budget)?;
                continue;
            }
            let before = message.len();
            let mut slice = SLICE;
            if memory::is_over() {
                slice = SMALL_SLICE;
                if before >= memory::LARGE {
                    budget.end();
                    break;
                }
            }
            let (length, is_final) = self.inflate(rest.get(..slice).unwrap_or(rest), message, limit, Some(budget))?;
            budget.spend(message.len() - before);
            used += length;
            self.is_fresh = is_final;
            // RFC 7692 section 7.2.3.4: after a final block a new stream begins.
            if is_final {
                self.decompress.take().into_iter().for_each(give_back);
                if message.len() == self.stream_start {
                    self.count_empty_block(budget)?;
                }
            }
        }
        Ok(used)
    }

    /// The length of an empty final block at the start of a stream, as zlib ends a stream without data: with fixed codes or
    /// stored (RFC 1951 section 3.2). It needs no state of zlib, whose window would be filled with the message so far.
    fn empty_stream(&self, input: &[u8]) -> Option<usize> {
        match input {
            _ if self.decompress.is_some() => None,
            [0x03, end, ..] if end & 0x03 == 0 => Some(2),
            [start, 0, 0, 0xff, 0xff, ..] if start & 0x07 == 1 => Some(5),
            _ => None,
        }
    }

    /// Bytes of memory of its decompressor. What a peer that keeps its context has sent does not count.
    #[inline]
    pub fn held(&self) -> usize {
        if self.decompress.is_some() { STATE } else { 0 }
    }

    fn count_empty_block(&mut self, budget: &mut Budget) -> Result<(), FrameError> {
        budget.spend(FRAME_COST);
        self.empty_blocks += 1;
        if self.empty_blocks > MAX_EMPTY_BLOCKS { Err(FrameError::EmptyBlocks(MAX_EMPTY_BLOCKS)) } else { Ok(()) }
    }

    /// Ends a message whose last byte was given.
    ///
    /// # Errors
    ///
    /// No block ends there.
    pub fn end(&mut self, message: &mut Vec<u8>, limit: usize) -> Result<(), FrameError> {
        // Nothing was begun in an empty message, or after a final block at its end.
        if !self.is_fresh {
            let length = message.len();
            let mut ends_with = |end: &[u8]| self.inflate(end, message, limit, None).unwrap_or_default();
            let is_whole = match ends_with(&TAIL) {
                (used, true) => used == TAIL.len(),
                (_, false) => ends_with(&FINAL) == (FINAL.len(), true),
            };
            if !is_whole || message.len() != length {
                // The tail may have been taken for data.
                message.truncate(length);
                return Err(FrameError::Inflate("it is cut off".into()));
            }
        }
        self.is_fresh = true;
        self.empty_blocks = 0;
        self.decompress.take().into_iter().for_each(give_back);
        if let Some((window, size)) = &mut self.window {
            let new = last(message, *size);
            let excess = (window.len() + new.len()).saturating_sub(*size);
            window.drain(..excess);
            window.reserve_exact(new.len());
            window.extend_from_slice(new);
        }
        Ok(())
    }

    /// Inflates up to the end of a final block. Returns how much of the input was used, and whether such a block ended.
    fn inflate(
        &mut self,
        input: &[u8],
        message: &mut Vec<u8>,
        limit: usize,
        budget: Option<&mut Budget>,
    ) -> Result<(usize, bool), FrameError> {
        let decompress = match &mut self.decompress {
            Some(decompress) => decompress,
            none => {
                let decompress = none.insert(take_decompressor());
                self.stream_start = message.len();
                // Only the part that can be referred to: a final block takes 2 bytes, so there may be many of them.
                let recent = last(message, LARGEST_WINDOW);
                let earlier = self.window.as_ref().map_or(&[][..], |(window, _)| window);
                let earlier = last(earlier, LARGEST_WINDOW - recent.len());
                let dictionary =
                    if earlier.is_empty() { Cow::Borrowed(recent) } else { Cow::Owned([earlier, recent].concat()) };
                if !dictionary.is_empty() {
                    // It takes as long as inflating that much.
                    if let Some(budget) = budget {
                        budget.spend(dictionary.len());
                    }
                    decompress.set_dictionary(&dictionary).map_err(|error| FrameError::Inflate(error.to_string()))?;
                }
                decompress
            }
        };
        let mut used = 0;
        loop {
            if message.len() == message.capacity() {
                let left = limit.saturating_add(1).saturating_sub(message.len());
                message.reserve_exact(message.len().max(STEP).min(left.max(1)));
            }
            let before = (decompress.total_in(), message.len());
            let inflated =
                decompress.decompress_vec(input.get(used..).unwrap_or_default(), message, FlushDecompress::None);
            used += usize::try_from(decompress.total_in() - before.0).unwrap_or(usize::MAX);
            // This error comes first even if the data is damaged after it, since that may not have arrived yet.
            if message.len() > limit {
                return Err(FrameError::too_long(message.len() as u64, limit));
            }
            match inflated {
                Ok(Status::StreamEnd) => return Ok((used, true)),
                Ok(_) => {}
                Err(error) => {
                    return Err(FrameError::Inflate(error.message().unwrap_or("it is not a deflate stream").into()));
                }
            }
            if message.len() < message.capacity() {
                if used == input.len() {
                    return Ok((used, false));
                }
                if (decompress.total_in(), message.len()) == before {
                    return Err(FrameError::Inflate("it cannot be inflated".into()));
                }
            }
        }
    }
}
