//! permessage-deflate (RFC 7692) without context takeover.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use std::io;

/// What clients request and servers accept.
pub const EXTENSION: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// The end of each compressed message, which is not sent.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// Compresses messages.
pub struct Deflate(Compress);

impl Deflate {
    /// `level`: 1 to 9.
    pub fn new(level: u32) -> Self {
        Self(Compress::new(Compression::new(level), false))
    }

    /// Replaces `out` with the compressed message.
    pub fn deflate(&mut self, message: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        self.0.reset();
        out.clear();
        // Room for incompressible data, so that one call does it.
        out.reserve(message.len() + message.len() / 8 + 64);
        self.0.compress_vec(message, out, FlushCompress::Sync).map_err(io::Error::other)?;
        out.truncate(out.len().saturating_sub(TAIL.len()));
        Ok(())
    }
}

/// Decompresses messages.
pub struct Inflate(Decompress);

impl Inflate {
    pub fn new() -> Self {
        Self(Decompress::new(false))
    }

    /// Replaces `out` with the message. `limit`: its maximum length.
    pub fn inflate(&mut self, compressed: &[u8], limit: usize, out: &mut Vec<u8>) -> io::Result<()> {
        self.0.reset(false);
        out.clear();
        out.reserve(limit);
        for part in [compressed, &TAIL] {
            self.0.decompress_vec(part, out, FlushDecompress::Sync).map_err(io::Error::other)?;
        }
        Ok(())
    }
}
