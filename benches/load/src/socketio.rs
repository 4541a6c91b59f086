//! The parts of Socket.IO 4 over WebSocket that the loads need.

use crate::{
    stream::Stream,
    ws::{self, Frames},
};
use std::io::{self, Read, Write};

/// What surrounds the text of an event with the name `m`.
const EVENT: [&[u8]; 2] = [b"42[\"m\",\"", b"\"]"];

/// Opens the session of a connection: waits for the packet of the server, connects to the default namespace, and waits for its answer.
pub fn open(stream: &mut Stream) -> io::Result<()> {
    let mut frames = Frames::default();
    expect(stream, &mut frames, b"0{")?;
    let mut request = Vec::new();
    ws::frame(&mut request, ws::TEXT, ws::MASK, b"40");
    stream.write_all(&request)?;
    expect(stream, &mut frames, b"40{")
}

/// Waits for a packet that starts like this.
fn expect(stream: &mut Stream, frames: &mut Frames, start: &[u8]) -> io::Result<()> {
    let mut buffer = [0; 4096];
    let mut is_there = false;
    while !is_there {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        frames.take(&mut buffer[..read], |_, packet| is_there |= packet.starts_with(start));
    }
    Ok(())
}

/// The packet of an event, as long as `text`.
pub fn event(mut text: Vec<u8>) -> Vec<u8> {
    let [before, after] = EVENT;
    text.truncate(text.len().saturating_sub(before.len() + after.len()));
    // As many bytes on the wire as with the other servers.
    text.iter_mut().filter(|byte| **byte == b'"').for_each(|quote| *quote = b'\'');
    [before, &text, after].concat()
}
