//! Compressing what is sent.

use super::{
    Agreed, TAIL,
    pool::{Compressor, Kind, Owner},
};
use crate::{cli::DeflateOptions, ws::Side};
use bytes::Bytes;
use flate2::{Compress, FlushCompress};

/// Compresses the messages of one connection.
pub struct Deflater {
    kind: Kind,
    /// Where messages may refer to those before them.
    owner: Option<Owner>,
    threshold: usize,
    /// Of the message under way.
    compressor: Option<Compressor>,
}

impl Deflater {
    /// `None` where everything leaves plain: with level 0, and with a window of 8 bits, which zlib does not have.
    pub fn new(agreed: &Agreed, side: Side, options: &DeflateOptions) -> Option<Self> {
        let way = agreed.sending(side);
        let kind = Kind { level: options.level, bits: way.bits.min(options.window_bits) };
        (kind.level > 0 && kind.bits > 8).then(|| Self {
            kind,
            owner: way.keeps_context.then(Owner::new),
            threshold: options.threshold,
            compressor: None,
        })
    }

    /// Begins a message of `length` bytes with its first piece, which is all of it or at least 1 byte. Gives what the first
    /// frame carries, or `None` if the message is to leave plain: it is short, it would not get shorter, or all compressors
    /// are at work.
    pub fn begin(&mut self, piece: &[u8], length: usize) -> Option<Vec<u8>> {
        self.compressor = None;
        if length < self.threshold.max(1) {
            return None;
        }
        let mut compressor = Compressor::take(self.kind, self.owner.as_ref())?;
        let is_last = piece.len() == length;
        let deflated = flush(compressor.state(), piece, is_last);
        // Otherwise the compressor goes back without its context, of which the peer will not hear.
        if deflated.len() >= piece.len() {
            return None;
        }
        self.put(compressor, is_last);
        Some(deflated)
    }

    /// The next piece of a message that was begun compressed; `None` if it was not.
    pub fn go_on(&mut self, piece: &[u8], is_last: bool) -> Option<Vec<u8>> {
        let mut compressor = self.compressor.take()?;
        let deflated = flush(compressor.state(), piece, is_last);
        self.put(compressor, is_last);
        Some(deflated)
    }

    fn put(&mut self, compressor: Compressor, is_last: bool) {
        match &self.owner {
            _ if !is_last => self.compressor = Some(compressor),
            Some(owner) => compressor.keep_for(owner),
            None => {}
        }
    }
}

/// Compresses a message on its own, whole, for any number of peers whose window for it is 2^`bits` bytes. `None` if it would
/// not get shorter, if all compressors are at work, or where [`Deflater::new`] gives none.
#[cfg_attr(not(test), expect(dead_code, reason = "rooms do not compress yet"))]
pub fn deflate_message(payload: &[u8], level: u8, bits: u8) -> Option<Bytes> {
    if payload.is_empty() || level == 0 || bits < 9 {
        return None;
    }
    let deflated = flush(Compressor::take(Kind { level, bits }, None)?.state(), payload, true);
    (deflated.len() < payload.len()).then(|| deflated.into())
}

/// Compresses a piece so that the peer can read all of it, less the tail where it is a message's last.
fn flush(compress: &mut Compress, mut piece: &[u8], is_last: bool) -> Vec<u8> {
    // What cannot be compressed grows by a few bytes in each block.
    let mut deflated = Vec::with_capacity(piece.len() + piece.len() / 256 + 64);
    loop {
        let before = compress.total_in();
        if compress.compress_vec(piece, &mut deflated, FlushCompress::Sync).is_err() {
            unreachable!("zlib takes everything");
        }
        piece = &piece[usize::try_from(compress.total_in() - before).unwrap_or(usize::MAX)..];
        if piece.is_empty() && deflated.len() < deflated.capacity() {
            break;
        }
        deflated.reserve(64);
    }
    if is_last && deflated.ends_with(&TAIL) {
        deflated.truncate(deflated.len() - TAIL.len());
    }
    deflated
}
