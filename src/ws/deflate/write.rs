//! Compressing messages that are sent.

use super::{
    Agreed, TAIL,
    pool::{Compressor, Kind, Owner},
};
use crate::{
    message::{Kind as MessageKind, Message},
    ws::{DeflateOptions, Role},
};
use bytes::Bytes;
use flate2::{Compress, CompressError, FlushCompress};

/// After a failed attempt to compress, at most this multiple of its size is sent uncompressed without another attempt. Data
/// that is encrypted or compressed is mostly followed by more of the same, and an attempt costs 20 times as much as sending.
const MAX_FACTOR: usize = 126;
/// Bytes of a message to many connections that are compressed in one step, which takes about a millisecond.
const STEP: usize = 64 * 1024;

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
        if self.attempts(kind, length) { self.attempt(kind, piece, length) } else { None }
    }

    /// Whether to try to compress a message of `length` bytes.
    fn attempts(&mut self, kind: MessageKind, length: usize) -> bool {
        self.compressor = None;
        length >= self.threshold.max(1) && !self.backoff(kind).skips(length)
    }

    /// Compresses the first piece of a message, unless that does not make it shorter.
    fn attempt(&mut self, kind: MessageKind, piece: &[u8], length: usize) -> Option<Vec<u8>> {
        let mut compressor = Compressor::take(self.kind, self.owner.as_ref())?;
        let is_last = piece.len() == length;
        let deflated = flush(compressor.state(), piece, is_last).ok()?;
        if deflated.len() >= piece.len() {
            self.backoff(kind).failed(piece.len());
            // The compressor is dropped with its context, which the peer will not have.
            return None;
        }
        *self.backoff(kind) = DeflateBackoff::default();
        self.put(compressor, is_last);
        Some(deflated)
    }

    fn backoff(&mut self, kind: MessageKind) -> &mut DeflateBackoff {
        match kind {
            MessageKind::Text => &mut self.text_backoff,
            MessageKind::Binary => &mut self.binary_backoff,
        }
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

/// How messages are compressed once for many connections.
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

    /// Compresses the messages of one sender.
    pub fn for_sender(&self) -> SenderDeflater {
        let deflater = Deflater {
            kind: self.kind,
            owner: None,
            threshold: self.threshold,
            compressor: None,
            text_backoff: DeflateBackoff::default(),
            binary_backoff: DeflateBackoff::default(),
        };
        SenderDeflater { deflater, done: 0, deflated: Vec::new() }
    }

    /// A message's compressed form, in one step. `None` if it is to be sent uncompressed.
    pub fn deflate(&self, payload: Bytes) -> Option<Bytes> {
        let message = Message { kind: MessageKind::Binary, payload };
        let mut sender = self.for_sender();
        while sender.step(&message) > 0 {}
        sender.deflated(&message).map(Bytes::copy_from_slice)
    }
}

/// Compresses the messages of one sender for many connections: each whole, without reference to others, and in steps.
pub struct SenderDeflater {
    deflater: Deflater,
    /// Bytes of the current message that need no more work.
    done: usize,
    /// What they were compressed to; nothing if the message is to be sent uncompressed.
    deflated: Vec<u8>,
}

impl SenderDeflater {
    /// Compresses the next [`STEP`] bytes of the current message. Returns how many bytes it has worked on: 0 when there is
    /// nothing left to do.
    pub fn step(&mut self, message: &Message) -> usize {
        let Message { kind, payload } = message;
        let rest = payload.get(self.done..).unwrap_or_default();
        let piece = rest.get(..STEP).unwrap_or(rest);
        let is_last = piece.len() == rest.len();
        if piece.is_empty() || (self.done == 0 && !self.deflater.attempts(*kind, payload.len())) {
            self.done = payload.len();
            return 0;
        }
        let deflated = match self.done {
            0 => self.deflater.attempt(*kind, piece, payload.len()),
            _ => self.deflater.go_on(piece, is_last).ok().flatten(),
        };
        match deflated {
            Some(deflated) if self.done == 0 => self.deflated = deflated,
            Some(deflated) => self.deflated.extend_from_slice(&deflated),
            None => self.deflated = Vec::new(),
        }
        self.done = if self.deflated.is_empty() { payload.len() } else { self.done + piece.len() };
        piece.len()
    }

    /// The current message in its compressed form, when no [`step`](Self::step) is left. `None` if it is to be sent
    /// uncompressed: it is shorter than the threshold, compression would not make it shorter or did not for recent messages of
    /// this sender and kind, or all compressors are in use.
    pub fn deflated(&self, message: &Message) -> Option<&[u8]> {
        let length = message.payload.len();
        (self.done == length && (1..length).contains(&self.deflated.len())).then_some(&self.deflated)
    }

    /// Bytes of memory that its output occupies. Compressors are few, and belong to nobody.
    pub fn held(&self) -> usize {
        self.deflated.capacity()
    }

    /// The next message becomes the current one.
    pub fn next(&mut self) {
        (self.done, self.deflated) = (0, Vec::new());
        self.deflater.compressor = None;
    }
}

/// Compresses a piece so that the peer can inflate all of it. The last piece of a message loses its tail.
fn flush(compress: &mut Compress, mut piece: &[u8], is_last: bool) -> Result<Vec<u8>, CompressError> {
    // Incompressible data grows by a few bytes in each block.
    let mut deflated = Vec::with_capacity(piece.len() + piece.len() / 256 + 64);
    loop {
        let before = compress.total_in();
        compress.compress_vec(piece, &mut deflated, FlushCompress::Sync)?;
        let used = usize::try_from(compress.total_in() - before).unwrap_or(usize::MAX);
        piece = piece.get(used..).unwrap_or_default();
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
