//! Compressing messages that are sent.

use super::{
    Agreed, TAIL,
    pool::{Compressor, Kind, Owner},
};
use crate::{
    message::Kind as MessageKind,
    ws::{DeflateOptions, Role},
};
use bytes::Bytes;
use flate2::{Compress, CompressError, FlushCompress};

/// After a failed attempt to compress, at most this multiple of its size is sent uncompressed without another attempt. Data
/// that is encrypted or compressed is mostly followed by more of the same, and an attempt costs 20 times as much as sending.
const MAX_FACTOR: usize = 126;

/// Skips messages after one that compression did not make shorter. There is one for texts and one for binary messages, since
/// they often differ in nature, such as pictures and their captions.
#[derive(Default)]
struct DeflateBackoff {
    /// Skip this multiple of the size of the last attempt, if that failed. Always even, so that for input of alternating
    /// compressibility the next attempt is not always made on the incompressible part.
    factor: usize,
    /// Bytes that are still skipped.
    remaining: usize,
}

impl DeflateBackoff {
    fn skips(&mut self, length: usize) -> bool {
        let left = self.remaining.checked_sub(length);
        self.remaining = left.unwrap_or_default();
        left.is_some()
    }

    fn failed(&mut self, length: usize) {
        self.factor = (2 * self.factor + 2).min(MAX_FACTOR);
        self.remaining = length.saturating_mul(self.factor);
    }
}

/// Compresses the messages of one connection.
pub struct Deflater {
    kind: Kind,
    /// Present if messages may refer to earlier ones.
    owner: Option<Owner>,
    threshold: usize,
    /// For the message being sent.
    compressor: Option<Compressor>,
    text_backoff: DeflateBackoff,
    binary_backoff: DeflateBackoff,
}

impl Deflater {
    /// `None` if nothing is compressed: with level 0, and with a window of 8 bits, which zlib does not support.
    pub fn new(agreed: &Agreed, role: Role, options: &DeflateOptions) -> Option<Self> {
        let window = agreed.sending(role);
        let kind = Kind { level: options.level, bits: window.bits.min(options.window_bits) };
        (kind.level > 0 && kind.bits > 8).then(|| Self {
            kind,
            owner: window.keeps_context.then(Owner::new),
            threshold: options.threshold,
            compressor: None,
            text_backoff: DeflateBackoff::default(),
            binary_backoff: DeflateBackoff::default(),
        })
    }

    /// Begins a message of `length` bytes with its first piece, which is all of it or at least 1 byte. Returns the payload of
    /// the first frame, or `None` if the message is to be sent uncompressed: it is shorter than the threshold, compression would
    /// not make it shorter or did not for recent messages of its kind, or all compressors are in use.
    pub fn begin(&mut self, kind: MessageKind, piece: &[u8], length: usize) -> Option<Vec<u8>> {
        self.compressor = None;
        if length < self.threshold.max(1) {
            return None;
        }
        let backoff = match kind {
            MessageKind::Text => &mut self.text_backoff,
            MessageKind::Binary => &mut self.binary_backoff,
        };
        if backoff.skips(length) {
            return None;
        }
        let mut compressor = Compressor::take(self.kind, self.owner.as_ref())?;
        let is_last = piece.len() == length;
        let deflated = flush(compressor.state(), piece, is_last).ok()?;
        if deflated.len() >= piece.len() {
            backoff.failed(piece.len());
            // The compressor is dropped with its context, which the peer will not have.
            return None;
        }
        *backoff = DeflateBackoff::default();
        self.put(compressor, is_last);
        Some(deflated)
    }

    /// The next piece of a message that was begun compressed; `None` if it was not.
    ///
    /// # Errors
    ///
    /// zlib's state is damaged, which does not happen. The message cannot be completed then.
    pub fn go_on(&mut self, piece: &[u8], is_last: bool) -> Result<Option<Vec<u8>>, CompressError> {
        let Some(mut compressor) = self.compressor.take() else { return Ok(None) };
        let deflated = flush(compressor.state(), piece, is_last)?;
        self.put(compressor, is_last);
        Ok(Some(deflated))
    }

    fn put(&mut self, compressor: Compressor, is_last: bool) {
        match &self.owner {
            _ if !is_last => self.compressor = Some(compressor),
            Some(owner) => compressor.keep_for(owner),
            None => {}
        }
    }
}

/// Compresses messages once for many connections: each whole, and without reference to others.
pub struct SharedDeflater {
    kind: Kind,
    threshold: usize,
}

impl SharedDeflater {
    /// `None` if nothing is compressed.
    pub fn new(options: &DeflateOptions) -> Option<Self> {
        let kind = Kind { level: options.level, bits: options.window_bits };
        (options.accepts && kind.level > 0).then_some(Self { kind, threshold: options.threshold })
    }

    /// Whether a client with these parameters can inflate the output: its window may be smaller.
    pub fn fits(&self, agreed: &Agreed) -> bool {
        agreed.sending(Role::Server).bits >= self.kind.bits
    }

    /// A message's compressed form. `None` if it is to be sent uncompressed: it is shorter than the threshold, compression would
    /// not make it shorter, or all compressors are in use.
    pub fn deflate(&self, payload: &[u8]) -> Option<Bytes> {
        if payload.len() < self.threshold.max(1) {
            return None;
        }
        let deflated = flush(Compressor::take(self.kind, None)?.state(), payload, true).ok()?;
        (deflated.len() < payload.len()).then(|| deflated.into())
    }
}

/// Compresses a piece so that the peer can inflate all of it. The last piece of a message loses its tail.
fn flush(compress: &mut Compress, mut piece: &[u8], is_last: bool) -> Result<Vec<u8>, CompressError> {
    // Incompressible data grows by a few bytes in each block.
    let mut deflated = Vec::with_capacity(piece.len() + piece.len() / 256 + 64);
    loop {
        let before = compress.total_in();
        compress.compress_vec(piece, &mut deflated, FlushCompress::Sync)?;
        piece = &piece[usize::try_from(compress.total_in() - before).unwrap_or(usize::MAX)..];
        if piece.is_empty() && deflated.len() < deflated.capacity() {
            break;
        }
        deflated.reserve(64);
    }
    if is_last && deflated.ends_with(&TAIL) {
        deflated.truncate(deflated.len() - TAIL.len());
    }
    Ok(deflated)
}
