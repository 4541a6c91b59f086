//! Single steps for the benches in `benches/load`; no part of the interface.

use crate::{
    cli::Framing,
    flow::{ByteEnd, Incoming},
    overlay::LineStream,
    ws::append_frame,
};
use bytes::BytesMut;
use std::task::{Context, Poll, Waker};
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

/// Appends a binary message as a frame: masked as a client sends it, or as it goes to all members of a room.
pub fn encode(out: &mut BytesMut, masked: bool, payload: &[u8]) {
    append_frame(out, OpCode::Data(Data::Binary), true, masked, payload);
}

/// Counts the lines that an end which is always ready gives.
pub fn count_lines(end: ByteEnd) -> usize {
    let framing = Framing { kind: None, separator: b'\n', one_line: false, max_length: usize::MAX };
    let mut lines = LineStream::frame(end, framing);
    let mut cx = Context::from_waker(Waker::noop());
    let mut count = 0;
    while let Poll::Ready(Ok(Incoming::Message(_))) = lines.io.poll_next(&mut cx) {
        count += 1;
    }
    count
}
