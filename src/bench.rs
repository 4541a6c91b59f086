//! Functions for the benchmarks in `benches/load`. Not part of the public interface.

pub use crate::rooms::bench::Fanout;
use crate::{
    flow::{ByteEnd, Incoming},
    framing::{FramingOptions, LengthPrefix, LineCodec, Separator},
    ws::{
        Budget, DeflateOptions, Inflater, Reader, Role, SharedDeflater, WebSocketConfig, accept_deflate, append_frame,
    },
};
use bytes::{Bytes, BytesMut};
use std::task::{Context, Poll, Waker};
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

/// Appends a binary message as one frame: masked, as clients send it, or unmasked, as servers do.
pub fn encode(out: &mut BytesMut, masked: bool, payload: &[u8]) {
    append_frame(out, OpCode::Data(Data::Binary), true, masked, payload);
}

/// Counts the lines of `end`, which must always be ready to read.
pub fn count_lines(end: ByteEnd) -> usize {
    let framing = FramingOptions {
        kind: None,
        separator: Separator::NEWLINE,
        json: false,
        by_lines: false,
        length_prefix: LengthPrefix::DEFAULT,
        one_line: false,
        max_length: usize::MAX,
    };
    let mut lines = LineCodec::frame(end, framing);
    let mut cx = Context::from_waker(Waker::noop());
    let mut count = 0;
    while let Poll::Ready(Ok(Incoming::Message(_))) = lines.io.poll_next(&mut cx) {
        count += 1;
    }
    count
}

/// Counts the messages in `frames`, which are masked.
pub fn count_messages(mut frames: &[u8]) -> usize {
    let limits = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
    let mut reader = Reader::new(Role::Server, &limits, Vec::new(), None);
    let mut cx = Context::from_waker(Waker::noop());
    let mut count = 0;
    loop {
        match reader.poll_next(&mut frames, &mut cx) {
            Poll::Ready(Ok(_)) => count += 1,
            Poll::Ready(Err(_)) => return count,
            // Its budget is spent.
            Poll::Pending => {}
        }
    }
}

/// Compresses and inflates messages.
pub struct Deflate {
    deflater: SharedDeflater,
    inflater: Inflater,
}

impl Deflate {
    /// Compresses as rooms do, at `level` 1 to 9.
    pub fn new(level: u8) -> Self {
        let options = DeflateOptions { accepts: true, level, window_bits: 15, no_context: true, ..Default::default() };
        let agreed = accept_deflate([&b"permessage-deflate"[..]], &options).map(|(agreed, _)| agreed);
        let inflater = agreed.map(|agreed| Inflater::new(&agreed, Role::Server));
        let Some((deflater, inflater)) = SharedDeflater::new(&options).zip(inflater) else {
            unreachable!("it is accepted")
        };
        Self { deflater, inflater }
    }

    /// Compresses a message. `None` if that does not make it shorter.
    pub fn deflate(&self, payload: &[u8]) -> Option<Bytes> {
        self.deflater.deflate(Bytes::copy_from_slice(payload))
    }

    /// Inflates a compressed message. Empty if that fails.
    pub fn inflate(&mut self, mut deflated: &[u8]) -> Vec<u8> {
        let mut message = Vec::new();
        let limit = usize::MAX >> 1;
        let mut inflated = Ok(());
        while !deflated.is_empty() && inflated.is_ok() {
            let pushed = self.inflater.push(deflated, &mut message, limit, &mut Budget::new());
            inflated = pushed.map(|used| deflated = deflated.get(used..).unwrap_or_default());
        }
        let inflated = inflated.and_then(|()| self.inflater.end(&mut message, limit));
        if inflated.is_ok() { message } else { Vec::new() }
    }
}
