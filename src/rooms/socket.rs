//! A member's connection as tungstenite reads it.

use super::member::Member;
use futures_util::FutureExt;
use std::{
    io::{self, Cursor},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::protocol::{
        Role, WebSocketConfig,
        frame::{
            FrameHeader,
            coding::{Data, OpCode},
        },
    },
};

/// Buffers that were needed for longer frames than this, in bytes, are given back.
const LONG: u64 = 16 * 1024;

/// The longest header of a frame (RFC 6455 section 5.2), in bytes.
const MAX_HEADER: usize = 14;

/// A member's messages. `early` is what was read of them already.
pub fn open(member: &Arc<Member>, early: Vec<u8>, limits: WebSocketConfig) -> WebSocketStream<Socket> {
    let mut socket = Socket { member: member.clone(), bounds: Bounds::default() };
    socket.bounds.pass(&early);
    let opening = async {
        let mut stream = WebSocketStream::from_partially_read(socket, early, Role::Server, Some(limits)).await;
        // It believes that it has closed, so it answers nothing: neither pings, of which a member that never reads could
        // send any number, nor close frames, whose codes it would replace.
        let _ = stream.close(None).await;
        stream
    };
    let Some(stream) = opening.now_or_never() else { unreachable!("its writes are swallowed") };
    stream
}

/// Reads come from the connection, writes are swallowed, since we write ourselves.
pub struct Socket {
    member: Arc<Member>,
    bounds: Bounds,
}

impl Socket {
    /// Whether a reader that waits for more keeps the buffer of a long frame, and nothing that was read is in it: tungstenite
    /// would use that buffer for good, and so every member would keep the size of its longest message.
    pub fn has_idle_buffer(&self) -> bool {
        self.bounds.longest > LONG && self.bounds.is_between_messages()
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = self.member.poll_read(cx, buf);
        self.bounds.pass(&buf.filled()[before..]);
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Where the frames lie in what was read.
#[derive(Default)]
struct Bounds {
    /// A header of which the rest has not come.
    header: Vec<u8>,
    /// Bytes of the frame that have not come.
    payload: u64,
    /// More fragments of the message follow.
    is_fragmented: bool,
    /// The longest frame so far.
    longest: u64,
    /// Nobody knows what follows a wrong header.
    is_lost: bool,
}

impl Bounds {
    fn is_between_messages(&self) -> bool {
        self.header.is_empty() && self.payload == 0 && !self.is_fragmented && !self.is_lost
    }

    fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.is_lost {
            let rest = usize::try_from(self.payload).unwrap_or(usize::MAX).min(bytes.len());
            self.payload -= rest as u64;
            bytes = &bytes[rest..];
            if bytes.is_empty() {
                return;
            }
            let known = self.header.len();
            let taken = bytes.len().min(MAX_HEADER - known);
            let parsed = if known == 0 {
                parse(bytes)
            } else {
                self.header.extend_from_slice(&bytes[..taken]);
                parse(&self.header)
            };
            match parsed {
                Ok(Some((header, length, end))) => {
                    bytes = &bytes[end - known..];
                    self.header = Vec::new();
                    self.payload = length;
                    self.longest = self.longest.max(length);
                    if matches!(header.opcode, OpCode::Data(Data::Text | Data::Binary | Data::Continue)) {
                        self.is_fragmented = !header.is_final;
                    }
                }
                Ok(None) => {
                    if known == 0 {
                        self.header.extend_from_slice(bytes);
                    }
                    return;
                }
                Err(()) => self.is_lost = true,
            }
        }
    }
}

/// A header, the length of the payload, and where it begins.
fn parse(bytes: &[u8]) -> Result<Option<(FrameHeader, u64, usize)>, ()> {
    let mut cursor = Cursor::new(bytes);
    let parsed = FrameHeader::parse(&mut cursor).map_err(drop)?;
    let at = usize::try_from(cursor.position()).map_err(drop)?;
    Ok(parsed.map(|(header, length)| (header, length, at)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ws::append_frame;
    use bytes::BytesMut;

    #[test]
    fn messages_end_where_they_end_however_they_are_cut() {
        let mut all = BytesMut::new();
        let mut ends = vec![0];
        for (opcode, is_final, length) in [
            (OpCode::Data(Data::Text), true, 0),
            (OpCode::Data(Data::Binary), true, 70_000),
            (OpCode::Data(Data::Text), false, 300),
            (OpCode::Data(Data::Continue), true, 5),
        ] {
            append_frame(&mut all, opcode, is_final, true, &vec![b'x'; length]);
            if is_final {
                ends.push(all.len());
            }
        }
        for step in [1, 2, 7, 100, 4096, all.len()] {
            let mut bounds = Bounds::default();
            for (number, piece) in all.chunks(step).enumerate() {
                bounds.pass(piece);
                let at = number * step + piece.len();
                assert_eq!(bounds.is_between_messages(), ends.contains(&at), "at {at} by {step}");
            }
            assert_eq!(bounds.longest, 70_000);
        }
    }
}
