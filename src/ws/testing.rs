//! Helpers of tests and fuzz targets: bytes that arrive in pieces, the events read of them, and those that tungstenite reads.

use super::{
    Agreed, Event, Inflater, Offer, Offers, ReadError, Reader, Role, accept_deflate, append_frame,
    deflate::Deflater,
    encode_frame,
    read_buffer::{MAX_READ, MIN_READ},
};
use crate::{
    message::{Close, Kind, Message},
    ws::DeflateOptions,
};
use bytes::{Bytes, BytesMut};
use std::{
    io::{self, Cursor},
    pin::Pin,
    task::{Context, Poll, Waker},
};
use tokio::io::{AsyncRead, ReadBuf};
use tokio_tungstenite::tungstenite::{
    self, Message as Theirs, WebSocket,
    error::ProtocolError,
    protocol::{
        WebSocketConfig,
        frame::{
            FrameHeader,
            coding::{Control, Data, OpCode},
        },
    },
};

/// A connection that gives one piece a read, and is pending between them.
pub struct Pieces {
    pub pieces: Vec<Vec<u8>>,
    pub next: usize,
    pub is_waiting: bool,
}

impl Pieces {
    /// Bytes cut at these positions, modulo their number.
    pub fn cut(bytes: &[u8], cuts: &[usize]) -> Self {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        cuts.dedup();
        let pieces = cuts.windows(2).map(|ends| bytes[ends[0]..ends[1]].to_vec()).collect();
        Self { pieces, next: 0, is_waiting: false }
    }
}

impl AsyncRead for Pieces {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.is_waiting = !self.is_waiting;
        if self.is_waiting {
            return Poll::Pending;
        }
        let at = self.next;
        if let Some(piece) = self.pieces.get_mut(at) {
            let length = piece.len().min(buf.remaining());
            buf.put_slice(&piece[..length]);
            piece.drain(..length);
            self.next += usize::from(piece.is_empty());
        }
        Poll::Ready(Ok(()))
    }
}

/// The longest message and frame in bytes.
pub fn limits(message: usize, frame: usize) -> WebSocketConfig {
    WebSocketConfig::default().max_message_size(Some(message)).max_frame_size(Some(frame))
}

/// The events up to the end, and the close code if there was an error. Checks that the memory held stays within bounds.
pub fn events(
    role: Role,
    limits: &WebSocketConfig,
    inflater: Option<Inflater>,
    bytes: &[u8],
    cuts: &[usize],
) -> (Vec<Event>, Option<u16>) {
    let (max_message, max_frame) = (limits.max_message_size.unwrap_or(0), limits.max_frame_size.unwrap_or(0));
    let mut io = Pieces::cut(bytes, cuts);
    let mut reader = Reader::new(role, limits, Vec::new(), inflater);
    let mut cx = Context::from_waker(Waker::noop());
    let mut all = Vec::new();
    loop {
        match reader.poll_next(&mut io, &mut cx) {
            Poll::Pending => {}
            Poll::Ready(Ok(received)) => {
                let is_last = matches!(received, Event::Close(_));
                all.push(received);
                if is_last {
                    return (all, None);
                }
            }
            Poll::Ready(Err(ReadError::Frame(error))) => return (all, Some(error.close().code)),
            Poll::Ready(Err(_)) => return (all, None),
        }
        let (input, message) = reader.held_parts();
        assert!(input <= 2 * (max_frame.max(125) + MAX_READ), "{input} bytes of input are held");
        assert!(input <= 8 * (MIN_READ + bytes.len()), "{input} bytes of input for {}", bytes.len());
        assert!(message <= 2 * (max_message + MIN_READ), "{message} bytes of a message are held");
    }
}

/// The events that tungstenite reads.
pub fn tungstenite_events(role: Role, limits: &WebSocketConfig, bytes: &[u8]) -> (Vec<Event>, Option<u16>) {
    struct ReadOnly<'a>(Cursor<&'a [u8]>);
    impl io::Read for ReadOnly<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            io::Read::read(&mut self.0, buf)
        }
    }
    impl io::Write for ReadOnly<'_> {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            Ok(buf.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let config = limits.read_buffer_size(1024);
    let mut socket = WebSocket::from_raw_socket(ReadOnly(Cursor::new(bytes)), role, Some(config));
    let mut all = Vec::new();
    loop {
        all.push(match socket.read() {
            Ok(Theirs::Text(text)) => Event::Message(Message { kind: Kind::Text, payload: text.into() }),
            Ok(Theirs::Binary(payload)) => Event::Message(Message { kind: Kind::Binary, payload }),
            Ok(Theirs::Ping(payload)) => Event::Ping(payload),
            Ok(Theirs::Pong(payload)) => Event::Pong(payload),
            Ok(Theirs::Close(None)) => Event::Close(Close::new(Close::NO_STATUS, "")),
            Ok(Theirs::Close(Some(close))) => Event::Close(Close::new(close.code.into(), close.reason.as_str())),
            Ok(Theirs::Frame(_)) => unreachable!("it is never read"),
            Err(tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => return (all, None),
            Err(tungstenite::Error::Protocol(_)) => return (all, Some(1002)),
            Err(tungstenite::Error::Capacity(_)) => return (all, Some(1009)),
            Err(tungstenite::Error::Utf8(_)) => return (all, Some(1007)),
            Err(error) => unreachable!("{error}"),
        });
        if matches!(all.last(), Some(Event::Close(_))) {
            return (all, None);
        }
    }
}

/// Whether the bytes end within a frame: tungstenite finds errors only in complete frames.
fn is_cut_off(mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        let mut cursor = Cursor::new(bytes);
        let Ok(Some((_, length))) = FrameHeader::parse(&mut cursor) else { return true };
        let header = usize::try_from(cursor.position()).unwrap_or(usize::MAX);
        match usize::try_from(length).ok().and_then(|length| bytes.get(header..)?.get(length..)) {
            Some(rest) => bytes = rest,
            None => return true,
        }
    }
    false
}

/// Checks that tungstenite reads the same events. The limit for frames must be at least 125, since tungstenite applies it to
/// control frames too.
pub fn compare(role: Role, limits: &WebSocketConfig, bytes: &[u8]) {
    let (mut ours, our_error) = events(role, limits, None, bytes, &[]);
    let (mut theirs, their_error) = tungstenite_events(role, limits, bytes);
    // tungstenite replaces codes that may not be sent, and 1014, which it does not know.
    let replaced = Event::Close(Close::new(1002, "Protocol violation"));
    if theirs.last() == Some(&replaced) && ours.last() != Some(&replaced) {
        theirs.pop();
        if matches!(ours.last(), Some(Event::Close(Close { code: 1014, .. }))) {
            ours.pop();
        } else {
            assert_eq!(our_error, Some(1002));
        }
        assert_eq!(ours, theirs);
        return;
    }
    assert_eq!(ours[..], theirs[..ours.len().min(theirs.len())]);
    match (our_error, their_error) {
        // tungstenite does not limit the number of fragments.
        (Some(1008), _) => {}
        (Some(_), None) => assert!(is_cut_off(bytes), "{our_error:?} is not an error in tungstenite"),
        // If a frame has several errors, tungstenite may find another first.
        _ => assert_eq!((our_error.is_some(), ours.len()), (their_error.is_some(), theirs.len())),
    }
}

/// Options that compress every message.
pub fn options(no_context: bool, window_bits: u8, level: u8) -> DeflateOptions {
    DeflateOptions {
        offer: Offer::Optional,
        accepts: true,
        level,
        window_bits,
        no_context,
        ..DeflateOptions::default()
    }
}

/// The parameters that these options negotiate on both sides.
pub fn agreed(options: &DeflateOptions) -> Agreed {
    let (_, offer) = Offers::ours(options);
    let agreed = accept_deflate(offer.iter().map(String::as_bytes), options);
    agreed.unwrap_or_else(|| unreachable!("it is taken")).0
}

/// A message or ping to be sent.
#[derive(Clone, Debug)]
pub enum Sent {
    Message(Kind, Vec<u8>),
    Ping(Vec<u8>),
}

impl From<Sent> for Event {
    fn from(each: Sent) -> Self {
        match each {
            Sent::Message(kind, payload) => Self::Message(Message { kind, payload: payload.into() }),
            Sent::Ping(payload) => Self::Ping(payload.into()),
        }
    }
}

/// The frames of these messages from this role: compressed if that makes them shorter, in fragments, with pongs between them.
pub fn encode_all(role: Role, options: &DeflateOptions, sent: &[Sent], fragment: usize) -> Bytes {
    let masked = role == Role::Client;
    let mut wire = BytesMut::new();
    let mut deflater = Deflater::new(&agreed(options), role, options);
    for each in sent {
        match each {
            Sent::Ping(payload) => append_frame(&mut wire, OpCode::Control(Control::Ping), true, masked, payload),
            Sent::Message(kind, payload) => {
                let length = payload.len();
                let mut rest = &payload[..];
                let mut opcode = Data::from(*kind);
                loop {
                    let (piece, left) = rest.split_at(rest.len().min(fragment));
                    let is_first = rest.len() == length;
                    rest = left;
                    let is_final = rest.is_empty();
                    let deflated = match &mut deflater {
                        Some(deflater) if is_first => deflater.begin(*kind, piece, length),
                        Some(deflater) => {
                            deflater.go_on(piece, is_final).unwrap_or_else(|error| unreachable!("{error}"))
                        }
                        None => None,
                    };
                    let rsv1 = is_first && deflated.is_some();
                    let header = FrameHeader { is_final, rsv1, opcode: OpCode::Data(opcode), ..FrameHeader::default() };
                    encode_frame(&mut wire, &header, masked, deflated.as_deref().unwrap_or(piece));
                    if is_final {
                        break;
                    }
                    append_frame(&mut wire, OpCode::Control(Control::Pong), true, masked, b"between");
                    opcode = Data::Continue;
                }
            }
        }
    }
    wire.freeze()
}
