//! Compressing what is sent.

use super::{
    Agreed, TAIL,
    pool::{Compressor, Kind, Owner},
};
use crate::{
    message::Kind as MessageKind,
    ws::{DeflateOptions, Role},
};
use bytes::Bytes;
use flate2::{Compress, FlushCompress};

/// What was tried in vain lets so many times its size leave plain untried, at most. What is encrypted or compressed already is
/// mostly followed by more of it, and trying takes 20 times the time of sending.
const MOST_SKIPPED: usize = 126;

/// What is known of messages of one kind: often those of the other are something else, such as pictures and what is said of
/// them.
#[derive(Default)]
struct Vain {
    /// How many times its size the last attempt lets pass, if it was in vain. Always even: where noise takes turns with
    /// something else, it is not always the noise that is tried again.
    times: usize,
    /// How many bytes of that are left.
    bytes: usize,
}

impl Vain {
    fn skips(&mut self, length: usize) -> bool {
        let left = self.bytes.checked_sub(length);
        self.bytes = left.unwrap_or_default();
        left.is_some()
    }

    fn tried(&mut self, length: usize) {
        self.times = (2 * self.times + 2).min(MOST_SKIPPED);
        self.bytes = length.saturating_mul(self.times);
    }
}

/// Compresses the messages of one connection.
pub struct Deflater {
    kind: Kind,
    /// Where messages may refer to those before them.
    owner: Option<Owner>,
    threshold: usize,
    /// Of the message under way.
    compressor: Option<Compressor>,
    vain_texts: Vain,
    vain_binaries: Vain,
}

impl Deflater {
    /// `None` where everything leaves plain: with level 0, and with a window of 8 bits, which zlib does not have.
    pub fn new(agreed: &Agreed, role: Role, options: &DeflateOptions) -> Option<Self> {
        let way = agreed.sending(role);
        let kind = Kind { level: options.level, bits: way.bits.min(options.window_bits) };
        (kind.level > 0 && kind.bits > 8).then(|| Self {
            kind,
            owner: way.keeps_context.then(Owner::new),
            threshold: options.threshold,
            compressor: None,
            vain_texts: Vain::default(),
            vain_binaries: Vain::default(),
        })
    }

    /// Begins a message of `length` bytes with its first piece, which is all of it or at least 1 byte. Gives what the first
    /// frame carries, or `None` if the message is to leave plain: it is short, it would not get shorter or those of its kind
    /// before it did not, or all compressors are at work.
    pub fn begin(&mut self, kind: MessageKind, piece: &[u8], length: usize) -> Option<Vec<u8>> {
        self.compressor = None;
        if length < self.threshold.max(1) {
            return None;
        }
        let vain = match kind {
            MessageKind::Text => &mut self.vain_texts,
            MessageKind::Binary => &mut self.vain_binaries,
        };
        if vain.skips(length) {
            return None;
        }
        let mut compressor = Compressor::take(self.kind, self.owner.as_ref())?;
        let is_last = piece.len() == length;
        let deflated = flush(compressor.state(), piece, is_last);
        // Otherwise the compressor goes back without its context, of which the peer will not hear.
        if deflated.len() >= piece.len() {
            vain.tried(piece.len());
            return None;
        }
        *vain = Vain::default();
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

/// Compresses messages once for many connections: each on its own, whole.
pub struct SharedDeflater {
    kind: Kind,
    threshold: usize,
}

impl SharedDeflater {
    /// `None` where everything leaves plain.
    pub fn new(options: &DeflateOptions) -> Option<Self> {
        let kind = Kind { level: options.level, bits: options.window_bits };
        (options.accepts && kind.level > 0).then_some(Self { kind, threshold: options.threshold })
    }

    /// Whether a client that agreed on this can read what comes out: its window may be smaller.
    pub fn fits(&self, agreed: &Agreed) -> bool {
        agreed.sending(Role::Server).bits >= self.kind.bits
    }

    /// A message's compressed form. `None` if it is to leave plain: it is short, it would not get shorter, or all compressors
    /// are at work.
    pub fn deflate(&self, payload: &[u8]) -> Option<Bytes> {
        if payload.len() < self.threshold.max(1) {
            return None;
        }
        let deflated = flush(Compressor::take(self.kind, None)?.state(), payload, true);
        (deflated.len() < payload.len()).then(|| deflated.into())
    }
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
