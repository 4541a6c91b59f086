//! `-vv`: frames in readable form, one line each.

use crate::report;
use bytes::{Buf, BytesMut};
use std::{fmt::Write, io::Cursor};
use tokio_tungstenite::tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Control, Data, OpCode},
};

/// How much of a payload is shown, in bytes.
const SHOWN: usize = 80;

/// Follows the frames in a stream of bytes that is read.
pub struct Tap {
    peer: String,
    /// The start of a header, or a header and the start of its payload.
    held: BytesMut,
    /// The header under way, and how much of its payload is still to come beyond what is held.
    under_way: Option<(FrameHeader, u64, u64)>,
    /// After a header that makes no sense nothing does.
    lost: bool,
}

impl Tap {
    /// For the connection to `peer`.
    pub fn new(peer: &str) -> Self {
        Self { peer: peer.to_owned(), held: BytesMut::new(), under_way: None, lost: false }
    }

    /// Looks at bytes that were read.
    pub fn see(&mut self, mut bytes: &[u8]) {
        while !self.lost && !bytes.is_empty() {
            let Some((header, length, seen)) = &mut self.under_way else {
                let before = self.held.len();
                self.held.extend_from_slice(bytes);
                let mut cursor = Cursor::new(&self.held);
                match FrameHeader::parse(&mut cursor) {
                    Ok(Some((header, length))) => {
                        let header_length = usize::try_from(cursor.position()).unwrap_or(usize::MAX);
                        bytes.advance(header_length - before);
                        self.held.clear();
                        self.under_way = Some((header, length, 0));
                        if length == 0 {
                            self.show();
                        }
                    }
                    Ok(None) => return,
                    Err(_) => self.lost = true,
                }
                continue;
            };
            let take = usize::try_from(*length - *seen).unwrap_or(usize::MAX).min(bytes.len());
            let kept = SHOWN.saturating_sub(self.held.len()).min(take);
            let offset = self.held.len();
            self.held.extend_from_slice(&bytes[..kept]);
            if let Some(mask) = header.mask {
                for (i, byte) in self.held.iter_mut().enumerate().skip(offset) {
                    *byte ^= mask[i % 4];
                }
            }
            bytes.advance(take);
            *seen += take as u64;
            if seen == length {
                self.show();
            }
        }
    }

    fn show(&mut self) {
        if let Some((header, length, _)) = self.under_way.take() {
            show('<', &self.peer, &header, length, &self.held);
        }
        self.held.clear();
    }
}

/// Prints a frame: `<` received, `>` sent. `start` is the beginning of its payload.
pub fn show(mark: char, peer: &str, header: &FrameHeader, length: u64, start: &[u8]) {
    let name = match header.opcode {
        OpCode::Data(Data::Text) => "text",
        OpCode::Data(Data::Binary) => "binary",
        OpCode::Data(Data::Continue) => "continuation",
        OpCode::Control(Control::Close) => "close",
        OpCode::Control(Control::Ping) => "ping",
        OpCode::Control(Control::Pong) => "pong",
        OpCode::Data(Data::Reserved(_)) | OpCode::Control(Control::Reserved(_)) => "reserved",
    };
    let more = if header.is_final { "" } else { " (more follows)" };
    let deflated = if header.rsv1 { " deflated" } else { "" };
    let shown = &start[..start.len().min(SHOWN)];
    let cut = if length > shown.len() as u64 { "…" } else { "" };
    let text = match (header.opcode, shown) {
        (OpCode::Control(Control::Close), [high, low, reason @ ..]) => {
            format!("{} {:?}", u16::from_be_bytes([*high, *low]), String::from_utf8_lossy(reason))
        }
        (OpCode::Data(Data::Text), _) if !header.rsv1 => format!("{:?}", String::from_utf8_lossy(shown)),
        _ => shown.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        }),
    };
    report::line(format_args!("{mark} {name} {length} B{deflated}{more} {text}{cut} [{peer}]"));
}
