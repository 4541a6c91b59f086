//! A log of frames in readable form, one line each.

use bytes::{Buf, BytesMut};
use std::{
    fmt::{self, Write},
    io::Cursor,
    sync::Arc,
};
use tokio_tungstenite::tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Control, Data, OpCode},
};

/// Bytes of a payload that a line shows.
const SHOWN: usize = 80;

/// What takes a line: `<` for a frame that was received or `>` for one that was sent, the peer, and the frame.
pub type Sink = fn(char, &str, fmt::Arguments<'_>);

/// Logs the frames of one connection: those received, which it finds in the bytes that were read, and those sent.
pub struct FrameLog {
    peer: Arc<str>,
    sink: Sink,
    /// The start of a header, or the start of the payload of `current`.
    held: BytesMut,
    current: Option<Received>,
    /// A header was invalid, so the next frame's position is unknown.
    is_lost: bool,
    /// Only control frames are logged.
    only_control: bool,
}

/// A frame whose payload is being received.
struct Received {
    header: FrameHeader,
    /// Bytes of payload.
    length: u64,
    /// How many of them have been read.
    seen: u64,
}

impl FrameLog {
    /// A log for the connection to `peer`. Each frame goes to `sink`.
    pub fn new(peer: Arc<str>, sink: Sink) -> Self {
        Self { peer, sink, held: BytesMut::new(), current: None, is_lost: false, only_control: false }
    }

    /// A log of control frames only.
    pub fn of_control(peer: Arc<str>, sink: Sink) -> Self {
        Self { only_control: true, ..Self::new(peer, sink) }
    }

    /// Logs a frame that is sent, with its unmasked payload.
    pub fn sent(&self, header: &FrameHeader, payload: &[u8]) {
        self.log('>', header, payload.len() as u64, payload);
    }

    /// Logs the frames that are complete with these bytes, which were read.
    pub fn received(&mut self, mut bytes: &[u8]) {
        while !self.is_lost && !bytes.is_empty() {
            let Some(Received { header, length, seen }) = &mut self.current else {
                let before = self.held.len();
                self.held.extend_from_slice(bytes);
                let mut cursor = Cursor::new(&self.held);
                match FrameHeader::parse(&mut cursor) {
                    Ok(Some((header, length))) => {
                        let header_length = usize::try_from(cursor.position()).unwrap_or(usize::MAX);
                        bytes.advance(header_length - before);
                        self.held.clear();
                        self.current = Some(Received { header, length, seen: 0 });
                        if length == 0 {
                            self.log_received();
                        }
                    }
                    Ok(None) => return,
                    Err(_) => self.is_lost = true,
                }
                continue;
            };
            let take = usize::try_from(*length - *seen).unwrap_or(usize::MAX).min(bytes.len());
            let kept = SHOWN.saturating_sub(self.held.len()).min(take);
            let mask = header.mask.unwrap_or_default().into_iter().cycle().skip(self.held.len() % 4);
            self.held.extend(bytes.iter().take(kept).zip(mask).map(|(byte, key)| byte ^ key));
            bytes.advance(take);
            *seen += take as u64;
            if seen == length {
                self.log_received();
            }
        }
    }

    fn log_received(&mut self) {
        if let Some(Received { header, length, .. }) = self.current.take() {
            self.log('<', &header, length, &self.held);
        }
        self.held.clear();
    }

    /// `start` is the beginning of the payload of `length` bytes.
    fn log(&self, mark: char, header: &FrameHeader, length: u64, start: &[u8]) {
        if self.only_control && !matches!(header.opcode, OpCode::Control(_)) {
            return;
        }
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
        let shown = start.get(..SHOWN).unwrap_or(start);
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
        (self.sink)(mark, &self.peer, format_args!("{name} {length} B{deflated}{more} {text}{cut}"));
    }
}
