//! Inflating what is read.

use super::{
    Agreed, TAIL,
    pool::{give_back, take_decompressor},
};
use crate::ws::{FrameError, Role};
use flate2::{Decompress, FlushDecompress, Status};

/// An empty final block. Behind a message and its tail it fits only if the message did not end in the middle of a block.
const FINAL: [u8; 5] = [1, 0, 0, 0xff, 0xff];
/// How far back anything may refer, in bytes, whatever was agreed on.
const LARGEST_WINDOW: usize = 1 << 15;
/// The first step in which a message grows, in bytes; then it doubles.
const STEP: usize = 4096;

/// Inflates the messages of one connection.
pub struct Inflater {
    /// Of the message under way.
    decompress: Option<Decompress>,
    /// Nothing of the message was inflated since its start or its last final block.
    is_fresh: bool,
    /// Where the peer keeps its context: the end of what it said, and the size of its window.
    window: Option<(Vec<u8>, usize)>,
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
        Self { decompress: None, is_fresh: true, window }
    }

    /// Inflates a piece of a message behind what `message` holds of it, at most `limit` bytes in all.
    pub fn push(&mut self, mut piece: &[u8], message: &mut Vec<u8>, limit: usize) -> Result<(), FrameError> {
        while !piece.is_empty() {
            let (used, is_final) = self.inflate(piece, message, limit)?;
            self.is_fresh = is_final;
            piece = &piece[used..];
            // RFC 7692 section 7.2.3.4: what follows a final block is a stream of its own.
            if is_final {
                self.decompress.take().into_iter().for_each(give_back);
            }
        }
        Ok(())
    }

    /// The message's last byte was given: checks that a block ends there.
    pub fn end(&mut self, message: &mut Vec<u8>, limit: usize) -> Result<(), FrameError> {
        // Nothing was begun in an empty message, or behind a final block at its very end.
        if !self.is_fresh {
            let length = message.len();
            let mut ends_with = |end: &[u8]| self.inflate(end, message, limit).unwrap_or_default();
            let is_whole = match ends_with(&TAIL) {
                (used, true) => used == TAIL.len(),
                (_, false) => ends_with(&FINAL) == (FINAL.len(), true),
            };
            if !is_whole || message.len() != length {
                // As far as they were taken for data.
                message.truncate(length);
                return Err(FrameError::Inflate("it is cut off".into()));
            }
        }
        self.is_fresh = true;
        self.decompress.take().into_iter().for_each(give_back);
        if let Some((window, size)) = &mut self.window {
            let new = &message[message.len().saturating_sub(*size)..];
            let excess = (window.len() + new.len()).saturating_sub(*size);
            window.drain(..excess);
            window.reserve_exact(new.len());
            window.extend_from_slice(new);
        }
        Ok(())
    }

    /// Inflates up to the end of a final block. Tells how much of the input was used, and whether such a block has ended.
    fn inflate(&mut self, input: &[u8], message: &mut Vec<u8>, limit: usize) -> Result<(usize, bool), FrameError> {
        let decompress = match &mut self.decompress {
            Some(decompress) => decompress,
            none => {
                let decompress = none.insert(take_decompressor());
                // No more of the message than can be referred to: a final block takes 2 bytes, and there may be many.
                let recent = &message[message.len().saturating_sub(LARGEST_WINDOW)..];
                let said = self.window.as_ref().map_or(&[][..], |(window, _)| window);
                let excess = (said.len() + recent.len()).saturating_sub(LARGEST_WINDOW);
                let dictionary = [&said[excess.min(said.len())..], recent].concat();
                if !dictionary.is_empty() {
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
            let inflated = decompress.decompress_vec(&input[used..], message, FlushDecompress::None);
            used += usize::try_from(decompress.total_in() - before.0).unwrap_or(usize::MAX);
            // Also where damage comes behind it, for that may not have come yet.
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
