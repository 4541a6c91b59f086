use super::{write::deflate_message, *};
use crate::{
    cli::DeflateOptions,
    ws::{Side, append_frame, frame::encode},
};
use bytes::{Buf, BytesMut};
use flate2::{Compress, Compression, FlushCompress};
use proptest::prelude::*;
use std::{
    collections::VecDeque,
    io::{self, Cursor},
    pin::Pin,
    task::{Context, Poll, Waker},
};
use tokio::io::{AsyncRead, ReadBuf};
use tokio_tungstenite::tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Control, Data, OpCode},
};

/// Bytes that arrive in pieces.
struct Arriving(VecDeque<Vec<u8>>);

impl Arriving {
    /// Cut into pieces of these lengths, over and over.
    fn cut(mut bytes: &[u8], lengths: &[usize]) -> Self {
        let mut pieces = VecDeque::new();
        for length in lengths.iter().cycle() {
            if bytes.is_empty() {
                break;
            }
            let (piece, rest) = bytes.split_at((*length).min(bytes.len()));
            pieces.push_back(piece.to_vec());
            bytes = rest;
        }
        Self(pieces)
    }
}

impl AsyncRead for Arriving {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(mut piece) = self.0.pop_front() {
            let rest = piece.split_off(piece.len().min(buf.remaining()));
            buf.put_slice(&piece);
            if !rest.is_empty() {
                self.0.push_front(rest);
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// A frame without its mask.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Plain {
    first: u8,
    payload: Vec<u8>,
}

/// Reads to the end through the layer with a buffer of this size. Gives the frames, and the error if there was one.
fn read(mut layer: Inflating<Arriving>, room: usize) -> (Vec<Plain>, Option<io::Error>) {
    let mut context = Context::from_waker(Waker::noop());
    let mut all = BytesMut::new();
    let mut buffer = vec![0; room];
    let error = loop {
        let mut buf = ReadBuf::new(&mut buffer);
        match Pin::new(&mut layer).poll_read(&mut context, &mut buf) {
            Poll::Ready(Ok(())) if buf.filled().is_empty() => break None,
            Poll::Ready(Ok(())) => all.extend_from_slice(buf.filled()),
            Poll::Ready(Err(error)) => break Some(error),
            Poll::Pending => panic!("everything is there"),
        }
    };
    let mut frames = Vec::new();
    while let Some((header, length)) = FrameHeader::parse(&mut Cursor::new(&all)).expect("frames") {
        let first = all[0];
        all.advance(header.len(length));
        let mut payload = all.split_to(usize::try_from(length).expect("short"));
        crate::ws::frame::apply_mask(&mut payload, header.mask.unwrap_or_default());
        frames.push(Plain { first, payload: payload.to_vec() });
    }
    assert!(all.is_empty(), "half a frame: {all:02x?}");
    (frames, error)
}

/// The messages and control frames that tungstenite would see: those that were cut are joined.
fn joined(frames: Vec<Plain>) -> Vec<Plain> {
    let mut messages: Vec<Plain> = Vec::new();
    let mut open: Option<Plain> = None;
    for frame in frames {
        match (frame.first & 0x7f, &mut open) {
            (0, Some(message)) => {
                message.payload.extend(frame.payload);
                message.first |= frame.first & 0x80;
            }
            (1 | 2, None) => open = Some(frame),
            _ => messages.push(frame),
        }
        messages.extend(open.take_if(|message| message.first & 0x80 != 0));
    }
    assert_eq!(open, None);
    messages
}

fn options(no_context: bool, window_bits: u8, level: u8) -> DeflateOptions {
    DeflateOptions { offers: true, accepts: true, level, window_bits, no_context, ..DeflateOptions::default() }
}

/// What is agreed on when the server keeps its context, or does not.
fn agreed(options: &DeflateOptions) -> Agreed {
    let (_, offer) = Offers::ours(options);
    accept([offer.expect("an offer").as_bytes()], options).expect("it is taken").0
}

/// What a client reads of these bytes from a server.
fn client_reads(bytes: &[u8]) -> (Vec<Plain>, Option<io::Error>) {
    let layer = |early: &[u8], rest: &[u8]| {
        let agreed = agreed(&options(false, 15, 6));
        Inflating::new(Arriving::cut(rest, &[1]), &agreed, Side::Client, early.to_vec(), 1 << 20)
    };
    let whole = read(layer(bytes, b""), 5000);
    let bytewise = read(layer(b"", bytes), 1);
    assert_eq!(whole.0, bytewise.0);
    assert_eq!(whole.1.as_ref().map(io::Error::to_string), bytewise.1.as_ref().map(io::Error::to_string));
    whole
}

fn text(payload: &[u8]) -> Plain {
    Plain { first: 0x81, payload: payload.to_vec() }
}

fn hello() -> Plain {
    text(b"Hello")
}

#[test]
fn the_examples_of_the_rfc_are_read() {
    // RFC 7692 section 7.2.3: one block, fragments, a shared window, no compression, a final block, two blocks.
    for example in [
        &[0xc1, 0x07, 0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..],
        &[0x41, 0x03, 0xf2, 0x48, 0xcd, 0x80, 0x04, 0xc9, 0xc9, 0x07, 0x00],
        &[0xc1, 0x0b, 0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
        &[0xc1, 0x08, 0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
        &[0xc1, 0x0d, 0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
    ] {
        let (frames, error) = client_reads(example);
        assert!(error.is_none(), "{example:02x?}: {error:?}");
        assert_eq!(joined(frames), [hello()], "{example:02x?}");
    }
    let shared = [0xc1, 0x07, 0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0xc1, 0x05, 0xf2, 0x00, 0x11, 0x00, 0x00];
    assert_eq!(client_reads(&shared).0, [hello(), hello()]);
}

#[test]
fn a_final_block_may_be_followed_by_more_or_by_nothing() {
    // After the final block a stream of its own begins, in the same message.
    let hellos = [[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]];
    let (frames, error) = client_reads(&[&[0xc1, 14][..], &hellos.concat()].concat());
    assert!(error.is_none(), "{error:?}");
    assert_eq!(joined(frames), [text(b"HelloHello")]);
    // Without the byte that the RFC puts behind it; and one that the tail completes.
    for end in [&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..], &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x04]] {
        let bytes = [&[0xc1, u8::try_from(end.len()).expect("short")][..], end].concat();
        let (frames, error) = client_reads(&bytes);
        assert!(error.is_none(), "{end:02x?}: {error:?}");
        assert_eq!(joined(frames), [hello()], "{end:02x?}");
    }
}

#[test]
fn empty_messages_are_read() {
    for empty in [&[0xc1, 0x01, 0x00][..], &[0xc1, 0x00], &[0x41, 0x00, 0x80, 0x01, 0x00], &[0xc1, 0x02, 0x03, 0x00]] {
        let (frames, error) = client_reads(&[empty, &[0x81, 0x02, b'o', b'k']].concat());
        assert!(error.is_none(), "{empty:02x?}: {error:?}");
        assert_eq!(joined(frames), [text(b""), text(b"ok")], "{empty:02x?}");
    }
}

#[test]
fn damaged_messages_are_told_after_what_came_before_them() {
    for (wrong, told) in [
        // A block of the reserved type.
        (&[0xc1, 0x01, 0x07][..], "damaged"),
        // Farther back than anything that was said.
        (&[0xc1, 0x05, 0xf2, 0x00, 0x11, 0x00, 0x00], "damaged"),
        // Without the last byte, and so in the middle of a block.
        (&[0xc1, 0x06, 0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07], ""),
        (&[0xc1, 0x03, 0xf2, 0x48, 0xcd], ""),
        // Data of 100 bytes, of which 1 is there; the tail and what is behind it must not be taken for data.
        (&[0xc1, 0x06, 0x00, 0x64, 0x00, 0x9b, 0xff, b'x'], "cut off"),
        // The same in a final block of exactly so many bytes that all of the end would be its data.
        (&[0xc1, 0x06, 0x01, 0x0a, 0x00, 0xf5, 0xff, b'x'], "cut off"),
        // A final block, and then no block.
        (&[0xc1, 0x08, 0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x07], "damaged"),
    ] {
        let (frames, error) = client_reads(&[&[0x81, 0x02, b'o', b'k'], wrong].concat());
        assert_eq!(frames.first(), Some(&text(b"ok")), "{wrong:02x?}");
        let error = error.unwrap_or_else(|| panic!("{wrong:02x?} was read as {frames:02x?}"));
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Uninflatable>()).expect("typed");
        assert!(inner.to_string().contains(told), "{wrong:02x?}: {inner}");
    }
}

#[test]
fn what_breaks_the_protocol_passes_as_it_is() {
    for wrong in [
        // Compressed control frames, other bits, a compressed continuation.
        &[0xc9, 0x01, b'x'][..],
        &[0xe1, 0x01, b'x'],
        &[0xd1, 0x01, b'x'],
        &[0xc0, 0x01, b'x'],
    ] {
        assert_eq!(client_reads(wrong).0, [Plain { first: wrong[0], payload: b"x".to_vec() }], "{wrong:02x?}");
    }
    // A new message within a compressed one: the start of the first stands before it, so that it is seen to be wrong.
    for second in [0x81, 0xc1] {
        let (frames, _) = client_reads(&[0x41, 0x03, 0xf2, 0x48, 0xcd, second, 0x01, b'x']);
        assert_eq!(frames.len(), 2);
        assert_eq!((frames[0].first, frames[1].first), (0x01, second));
    }
    // A frame that is too long is refused for its length alone.
    let agreed = agreed(&options(false, 15, 6));
    let bytes = [0xc1, 127, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3];
    let mut layer = Inflating::new(Arriving::cut(b"", &[1]), &agreed, Side::Client, bytes.to_vec(), 1000);
    let mut buffer = [0; 100];
    let mut buf = ReadBuf::new(&mut buffer);
    assert!(Pin::new(&mut layer).poll_read(&mut Context::from_waker(Waker::noop()), &mut buf).is_ready());
    assert_eq!(buf.filled(), bytes);
}

#[test]
fn no_frame_is_longer_than_the_limit() {
    let agreed = agreed(&options(false, 15, 6));
    let deflated = deflate_message(&[7; 1000], 6, 15).expect("shorter");
    let mut wire = BytesMut::new();
    let header = FrameHeader { rsv1: true, opcode: OpCode::Data(Data::Binary), ..FrameHeader::default() };
    encode(&mut wire, header, false, &deflated);
    let (frames, _) = read(Inflating::new(Arriving::cut(&wire, &[7]), &agreed, Side::Client, Vec::new(), 99), 50);
    assert!(frames.iter().all(|frame| frame.payload.len() <= 99));
    assert_eq!(joined(frames)[0].payload, [7; 1000]);
}

#[test]
fn what_does_not_get_shorter_leaves_plain() {
    assert_eq!(deflate_message(b"", 6, 15), None);
    assert_eq!(deflate_message(b"abc", 6, 15), None);
    let noise: Vec<u8> = (0..1000).map(|_| rand::random()).collect();
    assert_eq!(deflate_message(&noise, 6, 15), None);
    let options = options(false, 15, 6);
    let mut deflater = Deflater::new(&agreed(&options), Side::Server, &options).expect("a deflater");
    assert_eq!(deflater.begin(&noise, 1000), None);
    assert_eq!(deflater.begin(&noise, 2000), None, "the start decides");
    assert_eq!(deflater.go_on(&[0; 1000], true), None);
    let options = DeflateOptions { threshold: 100, ..options };
    let mut deflater = Deflater::new(&agreed(&options), Side::Server, &options).expect("a deflater");
    assert_eq!(deflater.begin(&[0; 99], 99), None, "below the threshold");
    assert!(deflater.begin(&[0; 100], 100).is_some());
}

/// Something that a peer says.
#[derive(Clone, Debug)]
enum Saying {
    Message(Data, Vec<u8>),
    Ping(Vec<u8>),
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        (any::<u8>(), 0..20_000usize).prop_map(|(byte, length)| vec![byte; length]),
        (prop::collection::vec(b'a'..b'f', 1..40), 1..400usize).prop_map(|(word, times)| word.repeat(times)),
    ]
}

fn saying() -> impl Strategy<Value = Saying> {
    prop_oneof![
        4 => (any::<bool>(), payload()).prop_map(|(is_text, payload)| {
            Saying::Message(if is_text { Data::Text } else { Data::Binary }, payload)
        }),
        1 => prop::collection::vec(any::<u8>(), 0..126).prop_map(Saying::Ping),
    ]
}

/// Frames of these messages from this side: compressed where that makes them shorter, cut into fragments, and with pings in
/// between.
fn said(side: Side, options: &DeflateOptions, sayings: &[Saying], fragment: usize) -> BytesMut {
    let masked = side == Side::Client;
    let mut wire = BytesMut::new();
    let mut deflater = Deflater::new(&agreed(options), side, options);
    for saying in sayings {
        match saying {
            Saying::Ping(payload) => append_frame(&mut wire, OpCode::Control(Control::Ping), true, masked, payload),
            Saying::Message(kind, payload) => {
                let length = payload.len();
                let mut rest = &payload[..];
                let mut opcode = *kind;
                loop {
                    let (piece, left) = rest.split_at(rest.len().min(fragment));
                    let is_first = rest.len() == length;
                    rest = left;
                    let is_final = rest.is_empty();
                    let deflated = match &mut deflater {
                        Some(deflater) if is_first => deflater.begin(piece, length),
                        Some(deflater) => deflater.go_on(piece, is_final),
                        None => None,
                    };
                    let rsv1 = is_first && deflated.is_some();
                    let header = FrameHeader { is_final, rsv1, opcode: OpCode::Data(opcode), ..FrameHeader::default() };
                    encode(&mut wire, header, masked, deflated.as_deref().unwrap_or(piece));
                    if is_final {
                        break;
                    }
                    append_frame(&mut wire, OpCode::Control(Control::Pong), true, masked, b"between");
                    opcode = Data::Continue;
                }
            }
        }
    }
    wire
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn messages_arrive_as_they_were_said_however_they_are_cut(
        sayings in prop::collection::vec(saying(), 1..8),
        side in prop::bool::ANY.prop_map(|server| if server { Side::Server } else { Side::Client }),
        no_context in any::<bool>(),
        window_bits in 9..=15u8,
        level in 1..=9u8,
        fragment in 1_000..30_000usize,
        early in 0..100usize,
        cuts in prop::collection::vec(1..3_000usize, 1..6),
        room in prop_oneof![1..20usize, 20..5_000usize],
    ) {
        let options = options(no_context, window_bits, level);
        let wire = said(side, &options, &sayings, fragment);
        let peer = if side == Side::Server { Side::Client } else { Side::Server };
        let (early, rest) = wire.split_at(early.min(wire.len()));
        let agreed = agreed(&options);
        let (frames, error) = read(Inflating::new(Arriving::cut(rest, &cuts), &agreed, peer, early.to_vec(), 1 << 20), room);
        prop_assert!(error.is_none(), "{:?}", error);
        let seen: Vec<Plain> = joined(frames).into_iter().filter(|frame| frame.payload != b"between").collect();
        let expected: Vec<Plain> = sayings.into_iter().map(|saying| match saying {
            Saying::Message(Data::Text, payload) => Plain { first: 0x81, payload },
            Saying::Message(_, payload) => Plain { first: 0x82, payload },
            Saying::Ping(payload) => Plain { first: 0x89, payload },
        }).collect();
        prop_assert_eq!(seen, expected);
    }

    #[test]
    fn any_bytes_are_read_to_their_end(
        bytes in prop::collection::vec(any::<u8>(), 0..200), cuts in prop::collection::vec(1..50usize, 1..4)
    ) {
        // As the payload of compressed messages, and as frames.
        let mut wire = BytesMut::new();
        let header = FrameHeader { rsv1: true, opcode: OpCode::Data(Data::Binary), ..FrameHeader::default() };
        encode(&mut wire, header, false, &bytes);
        wire.extend_from_slice(&bytes);
        let agreed = agreed(&options(false, 15, 6));
        let mut layer = Inflating::new(Arriving::cut(&wire, &cuts), &agreed, Side::Client, Vec::new(), 1 << 20);
        let mut buffer = [0; 100];
        loop {
            let mut buf = ReadBuf::new(&mut buffer);
            match Pin::new(&mut layer).poll_read(&mut Context::from_waker(Waker::noop()), &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {}
                Poll::Ready(_) => break,
                Poll::Pending => panic!("everything is there"),
            }
        }
    }

    #[test]
    fn what_others_compress_is_read(
        payloads in prop::collection::vec(payload(), 1..6), bits in 9..=15u8, level in 0..=9u32, keeps_context in any::<bool>()
    ) {
        let mut compress = Compress::new_with_window_bits(Compression::new(level), false, bits);
        let mut wire = BytesMut::new();
        for payload in &payloads {
            if !keeps_context {
                compress.reset();
            }
            let mut out = Vec::with_capacity(payload.len() + 1000);
            compress.compress_vec(payload, &mut out, FlushCompress::Sync).expect("compressed");
            // zlib flushes nothing twice.
            let deflated = if out.is_empty() { &[0] } else { out.strip_suffix(&TAIL).expect("flushed") };
            let header = FrameHeader { rsv1: true, opcode: OpCode::Data(Data::Binary), ..FrameHeader::default() };
            encode(&mut wire, header, false, deflated);
        }
        let (offers, _) = Offers::ours(&options(false, 15, 6));
        let answer = format!("permessage-deflate; server_max_window_bits={bits}");
        let agreed = offers.check([answer.as_bytes()]).expect("it fits").expect("agreed");
        let (frames, error) = read(Inflating::new(Arriving::cut(&wire, &[500]), &agreed, Side::Client, Vec::new(), 1 << 20), 4096);
        prop_assert!(error.is_none(), "{:?}", error);
        let seen: Vec<Vec<u8>> = joined(frames).into_iter().map(|frame| frame.payload).collect();
        prop_assert_eq!(seen, payloads);
    }
}
