use super::*;
use crate::{
    message::{Kind, Message},
    ws::{
        DeflateOptions, Event, FrameError, ReadError, Reader, Role,
        budget::Budget,
        encoder::encode,
        testing::{Sent, agreed, encode_all, events, limits, options},
    },
};
use bytes::{Bytes, BytesMut};
use flate2::{Compress, Compression, FlushCompress};
use proptest::prelude::*;
use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
};
use tokio::io::{AsyncRead, ReadBuf};
use tokio_tungstenite::tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Data, OpCode},
};

/// The longest message and frame.
const LIMIT: usize = 200_000;

/// Bytes that arrive in pieces.
struct Arriving(VecDeque<Vec<u8>>);

impl Arriving {
    /// Bytes cut into pieces of these lengths, repeatedly.
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

/// The events up to the end, and the error if there was one.
fn read(mut io: Arriving, early: &[u8], agreed: &Agreed, role: Role) -> (Vec<Event>, Option<ReadError>) {
    let limits = limits(LIMIT, LIMIT);
    let mut reader = Reader::new(role, &limits, early.to_vec(), Some(Inflater::new(agreed, role)));
    let mut context = Context::from_waker(Waker::noop());
    let mut all = Vec::new();
    loop {
        match reader.poll_next(&mut io, &mut context) {
            Poll::Ready(Ok(received)) => all.push(received),
            Poll::Ready(Err(ReadError::Ended)) => return (all, None),
            Poll::Ready(Err(error)) => return (all, Some(error)),
            Poll::Pending => panic!("everything is there"),
        }
    }
}

/// A message compressed without reference to others.
fn deflate_message(payload: &[u8]) -> Option<Bytes> {
    SharedDeflater::new(&options(false, 15, 6)).expect("a deflater").deflate(Bytes::copy_from_slice(payload))
}

/// The events that a client reads, and the close code and reason if there was an error.
fn client_reads(bytes: &[u8]) -> (Vec<Event>, Option<(u16, String)>) {
    let agreed = agreed(&options(false, 15, 6));
    let read = |early: &[u8], rest: &[u8]| {
        let (received, error) = read(Arriving::cut(rest, &[1]), early, &agreed, Role::Client);
        let error = error.map(|error| match error {
            ReadError::Frame(error) => (error.close().code, error.close().reason),
            other => panic!("{other:?}"),
        });
        (received, error)
    };
    let whole = read(bytes, b"");
    assert_eq!(whole, read(b"", bytes));
    whole
}

fn message(kind: Kind, payload: Vec<u8>) -> Event {
    Event::Message(Message { kind, payload: payload.into() })
}

fn text(payload: &[u8]) -> Event {
    message(Kind::Text, payload.to_vec())
}

fn hello() -> Event {
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
        assert_eq!(client_reads(example), (vec![hello()], None), "{example:02x?}");
    }
    let shared = [0xc1, 0x07, 0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0xc1, 0x05, 0xf2, 0x00, 0x11, 0x00, 0x00];
    assert_eq!(client_reads(&shared), (vec![hello(), hello()], None));
}

#[test]
fn a_final_block_may_be_followed_by_more_or_by_nothing() {
    // After the final block a new stream begins, in the same message.
    let hellos = [[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]];
    let bytes = [&[0xc1, 14][..], &hellos.concat()].concat();
    assert_eq!(client_reads(&bytes), (vec![text(b"HelloHello")], None));
    // Without the byte that the RFC appends to it; and one that the tail completes.
    for end in [&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..], &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x04]] {
        let bytes = [&[0xc1, u8::try_from(end.len()).expect("short")][..], end].concat();
        assert_eq!(client_reads(&bytes), (vec![hello()], None), "{end:02x?}");
    }
}

#[test]
fn empty_messages_are_read() {
    for empty in [&[0xc1, 0x01, 0x00][..], &[0xc1, 0x00], &[0x41, 0x00, 0x80, 0x01, 0x00], &[0xc1, 0x02, 0x03, 0x00]] {
        let bytes = [empty, &[0x81, 0x02, b'o', b'k']].concat();
        assert_eq!(client_reads(&bytes), (vec![text(b""), text(b"ok")], None), "{empty:02x?}");
    }
}

#[test]
fn damaged_messages_are_reported_after_those_before_them() {
    for (wrong, told) in [
        // A block of the reserved type.
        (&[0xc1, 0x01, 0x07][..], "damaged"),
        // A distance beyond the start of the window.
        (&[0xc1, 0x05, 0xf2, 0x00, 0x11, 0x00, 0x00], "damaged"),
        // Without the last byte, and so in the middle of a block.
        (&[0xc1, 0x06, 0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07], ""),
        (&[0xc1, 0x03, 0xf2, 0x48, 0xcd], ""),
        // A block of 100 bytes, of which 1 is there; the tail and the final block must not be taken for data.
        (&[0xc1, 0x06, 0x00, 0x64, 0x00, 0x9b, 0xff, b'x'], "cut off"),
        // The same in a final block of such a length that the whole end would be its data.
        (&[0xc1, 0x06, 0x01, 0x0a, 0x00, 0xf5, 0xff, b'x'], "cut off"),
        // A final block, followed by something that is not a block.
        (&[0xc1, 0x08, 0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x07], "damaged"),
    ] {
        let (received, error) = client_reads(&[&[0x81, 0x02, b'o', b'k'], wrong].concat());
        assert_eq!(received, [text(b"ok")], "{wrong:02x?}");
        let (code, reason) = error.unwrap_or_else(|| panic!("{wrong:02x?} was read"));
        assert!(code == 1007 && reason.contains(told), "{wrong:02x?}: {code} {reason}");
    }
}

#[test]
fn reserved_bits_without_a_meaning_are_refused() {
    for wrong in [
        // Compressed control frames, other bits, a compressed continuation.
        &[0xc9, 0x01, b'x'][..],
        &[0xe1, 0x01, b'x'],
        &[0xd1, 0x01, b'x'],
        &[0xc0, 0x01, b'x'],
        &[0x41, 0x03, 0xf2, 0x48, 0xcd, 0xc0, 0x04, 0xc9, 0xc9, 0x07, 0x00],
        // A new message within a compressed one.
        &[0x41, 0x03, 0xf2, 0x48, 0xcd, 0x81, 0x01, b'x'],
        &[0x41, 0x03, 0xf2, 0x48, 0xcd, 0xc1, 0x01, b'x'],
    ] {
        let (received, error) = client_reads(wrong);
        assert!(
            received.is_empty() && error.as_ref().is_some_and(|(code, _)| *code == 1002),
            "{wrong:02x?}: {error:?}"
        );
    }
}

#[test]
fn a_message_is_refused_when_it_grows_beyond_the_limit() {
    let bomb = deflate_message(&vec![7; LIMIT + 1]).expect("shorter");
    let mut wire = BytesMut::new();
    let header = FrameHeader { rsv1: true, opcode: OpCode::Data(Data::Binary), ..FrameHeader::default() };
    encode(&mut wire, &header, false, &bomb);
    let (received, error) = client_reads(&wire);
    assert!(received.is_empty() && error.as_ref().is_some_and(|(code, _)| *code == 1009), "{error:?}");
}

#[test]
fn a_message_as_long_as_the_limit_is_read_though_it_was_longer_compressed() {
    let payload: Vec<u8> = (0..LIMIT).map(|_| rand::random()).collect();
    let mut deflated = Vec::with_capacity(2 * LIMIT);
    Compress::new(Compression::none(), false)
        .compress_vec(&payload, &mut deflated, FlushCompress::Sync)
        .expect("compressed");
    deflated.truncate(deflated.len() - TAIL.len());
    assert!(deflated.len() > LIMIT);
    let fragments = deflated.chunks(LIMIT - 1).chain([&[][..]]);
    let mut wire = BytesMut::new();
    for (at, fragment) in fragments.enumerate() {
        let opcode = OpCode::Data(if at == 0 { Data::Binary } else { Data::Continue });
        let header = FrameHeader { is_final: fragment.is_empty(), rsv1: at == 0, opcode, ..FrameHeader::default() };
        encode(&mut wire, &header, false, fragment);
    }
    let agreed = agreed(&options(false, 15, 6));
    let (received, error) = read(Arriving::cut(&wire, &[5000]), b"", &agreed, Role::Client);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(received, [message(Kind::Binary, payload)]);
}

#[test]
fn invalid_text_is_reported_before_the_limit_that_comes_after_it() {
    let text = [b"\xff".repeat(100), vec![b' '; LIMIT]].concat();
    let wrong = deflate_message(&text).expect("shorter");
    let mut wire = BytesMut::new();
    let header = FrameHeader { rsv1: true, opcode: OpCode::Data(Data::Text), ..FrameHeader::default() };
    encode(&mut wire, &header, false, &wrong);
    let (received, error) = client_reads(&wire);
    assert!(received.is_empty() && error.as_ref().is_some_and(|(code, _)| *code == 1007), "{error:?}");
}

#[test]
fn the_limit_is_reported_before_the_damage_after_it() {
    // Two letters, and then an invalid distance.
    let wrong = [0x41, 0x07, 0x2a, 0xf3, 0xc1, 0xff, 0xff, 0x64, 0x05];
    let limits = limits(1, 100);
    let inflater = || Some(Inflater::new(&agreed(&options(false, 15, 6)), Role::Client));
    for cuts in [&[][..], &[0, 1, 2, 3, 4, 5, 6, 7, 8]] {
        assert_eq!(events(Role::Client, &limits, inflater(), &wrong, cuts), (Vec::new(), Some(1009)), "{cuts:?}");
    }
}

#[test]
fn invalid_text_in_a_compressed_message_is_refused() {
    let wrong = deflate_message(&[0xff; 100]).expect("shorter");
    let mut wire = BytesMut::new();
    let header = FrameHeader { rsv1: true, opcode: OpCode::Data(Data::Text), ..FrameHeader::default() };
    encode(&mut wire, &header, false, &wrong);
    let (received, error) = client_reads(&wire);
    assert!(received.is_empty() && error.as_ref().is_some_and(|(code, _)| *code == 1007), "{error:?}");
}

#[test]
fn a_message_that_does_not_get_shorter_is_not_compressed() {
    assert_eq!(deflate_message(b""), None);
    assert_eq!(deflate_message(b"abc"), None);
    let noise: Vec<u8> = (0..1000).map(|_| rand::random()).collect();
    assert_eq!(deflate_message(&noise), None);
    let options = options(false, 15, 6);
    let mut deflater = Deflater::new(&agreed(&options), Role::Server, &options).expect("a deflater");
    assert_eq!(deflater.begin(Kind::Binary, &noise, 2000), None, "the start decides");
    assert_eq!(deflater.go_on(&[0; 1000], true).expect("zlib works"), None);
    let options = DeflateOptions { threshold: 100, ..options };
    let mut deflater = Deflater::new(&agreed(&options), Role::Server, &options).expect("a deflater");
    assert_eq!(deflater.begin(Kind::Binary, &[0; 99], 99), None, "below the threshold");
    assert!(deflater.begin(Kind::Binary, &[0; 100], 100).is_some());
}

#[test]
fn after_incompressible_messages_attempts_become_rare_until_one_succeeds() {
    let noise: Vec<u8> = (0..1000).map(|_| rand::random()).collect();
    let options = options(false, 15, 6);
    let mut deflater = Deflater::new(&agreed(&options), Role::Server, &options).expect("a deflater");
    let mut plain_after_noise = || {
        assert_eq!(deflater.begin(Kind::Binary, &noise, noise.len()), None);
        (0..).take_while(|_| deflater.begin(Kind::Binary, &[7; 1000], 1000).is_none()).count()
    };
    assert_eq!([plain_after_noise(), plain_after_noise()], [2, 2], "each success makes up for what was before");
    let mut deflater = Deflater::new(&agreed(&options), Role::Server, &options).expect("a deflater");
    for _ in 0..100_000 {
        assert_eq!(deflater.begin(Kind::Binary, &noise, noise.len()), None);
    }
    let still_plain = (0..).take_while(|_| deflater.begin(Kind::Binary, &[7; 1000], 1000).is_none()).count();
    assert!(still_plain <= 126, "{still_plain}");
    assert_eq!(deflater.begin(Kind::Binary, &noise, noise.len()), None);
    assert!(deflater.begin(Kind::Binary, &[7; 3000], 3000).is_some(), "what is much longer is tried");
}

/// A message of 32 KiB that does not get shorter, then what follows, repeated. Returns how much of all was used in each poll,
/// and the length of the message then.
fn polls(end: &[u8], times: usize) -> Result<Vec<(usize, usize)>, FrameError> {
    let mut inflater = Inflater::new(&agreed(&options(false, 15, 6)), Role::Server);
    let mut stored = vec![0x00, 0xff, 0x7f, 0x00, 0x80];
    stored.extend((0..0x7fff).map(|_| rand::random::<u8>()));
    let bytes = [stored, end.repeat(times)].concat();
    let (mut used, mut message, mut polls) = (0, Vec::new(), Vec::new());
    while used < bytes.len() {
        used += inflater.push(&bytes[used..], &mut message, 1 << 30, &mut Budget::new())?;
        polls.push((used, message.len()));
    }
    Ok(polls)
}

#[test]
fn final_blocks_give_other_tasks_their_turn() {
    // The letter a. Its stream begins with the 32 KiB before it.
    let polls = polls(&[0x4b, 0x04, 0x00], 20_000).expect("valid blocks");
    let most = polls.windows(2).map(|polls| (polls[1].0 - polls[0].0) / 3).max();
    assert!(most.is_some_and(|blocks| blocks <= 20), "{most:?} blocks in one poll");
}

#[test]
fn what_grows_gives_other_tasks_their_turn() {
    let zeros = deflate_message(&vec![0; 64 << 20]).expect("shorter");
    let polls = polls(&zeros, 1).expect("valid blocks");
    let most = polls.windows(2).map(|polls| polls[1].1 - polls[0].1).max();
    assert!(most.is_some_and(|bytes| bytes < 5 << 20), "{most:?} bytes in one poll");
}

#[test]
fn empty_final_blocks_are_few_and_take_little() {
    // With fixed codes, with fixed codes and bits that are ignored, and stored.
    for empty in [&[0x03, 0x00][..], &[0x03, 0xfc], &[0x01, 0x00, 0x00, 0xff, 0xff]] {
        // The first ends the stream of the 32 KiB.
        let polls = polls(empty, 1 + 16_384).expect("not too many");
        assert!(polls.len() <= 10, "{} polls", polls.len());
        assert_eq!(self::polls(empty, 1 + 16_385), Err(FrameError::EmptyBlocks(16_384)));
    }
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[ -~\u{e4}\u{20ac}]{0,200}".prop_map(String::into_bytes),
        (0..128u8, 0..20_000usize).prop_map(|(byte, length)| vec![byte; length]),
        (prop::collection::vec(b'a'..b'f', 1..40), 1..400usize).prop_map(|(word, times)| word.repeat(times)),
    ]
}

fn each() -> impl Strategy<Value = Sent> {
    prop_oneof![
        4 => (any::<bool>(), payload()).prop_map(|(is_text, payload)| {
            Sent::Message(if is_text { Kind::Text } else { Kind::Binary }, payload)
        }),
        1 => prop::collection::vec(any::<u8>(), 0..126).prop_map(Sent::Ping),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn messages_arrive_as_they_were_sent_however_they_are_cut(
        sent in prop::collection::vec(each(), 1..8),
        role in prop::bool::ANY.prop_map(|server| if server { Role::Server } else { Role::Client }),
        no_context in any::<bool>(),
        window_bits in 9..=15u8,
        level in 1..=9u8,
        fragment in 1_000..30_000usize,
        early in 0..100usize,
        cuts in prop::collection::vec(1..3_000usize, 1..6),
    ) {
        let options = options(no_context, window_bits, level);
        let wire = encode_all(role, &options, &sent, fragment);
        let peer = if role == Role::Server { Role::Client } else { Role::Server };
        let (early, rest) = wire.split_at(early.min(wire.len()));
        let agreed = agreed(&options);
        let (received, error) = read(Arriving::cut(rest, &cuts), early, &agreed, peer);
        prop_assert!(error.is_none(), "{:?}", error);
        let received: Vec<Event> = received.into_iter().filter(|received| !matches!(received, Event::Pong(_))).collect();
        let expected: Vec<Event> = sent.into_iter().map(Event::from).collect();
        prop_assert_eq!(received, expected);
    }

    #[test]
    fn any_bytes_are_read_to_their_end(
        bytes in prop::collection::vec(any::<u8>(), 0..200), cuts in prop::collection::vec(1..50usize, 1..4)
    ) {
        // As the payload of compressed messages, and as frames.
        let mut wire = BytesMut::new();
        let header = FrameHeader { rsv1: true, opcode: OpCode::Data(Data::Binary), ..FrameHeader::default() };
        encode(&mut wire, &header, false, &bytes);
        wire.extend_from_slice(&bytes);
        let agreed = agreed(&options(false, 15, 6));
        let whole = read(Arriving::cut(&wire, &[wire.len()]), b"", &agreed, Role::Client);
        let cut = read(Arriving::cut(&wire, &cuts), b"", &agreed, Role::Client);
        prop_assert_eq!(whole.0, cut.0);
        prop_assert_eq!(whole.1.is_some(), cut.1.is_some());
    }

    #[test]
    fn messages_that_others_compress_are_read(
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
            // zlib does not flush twice in a row.
            let deflated = if out.is_empty() { &[0] } else { out.strip_suffix(&TAIL).expect("flushed") };
            let header = FrameHeader { rsv1: true, opcode: OpCode::Data(Data::Binary), ..FrameHeader::default() };
            encode(&mut wire, &header, false, deflated);
        }
        let (offers, _) = Offers::ours(&options(false, 15, 6));
        let answer = format!("permessage-deflate; server_max_window_bits={bits}");
        let agreed = offers.check([answer.as_bytes()]).expect("it fits").expect("agreed");
        let (received, error) = read(Arriving::cut(&wire, &[500]), b"", &agreed, Role::Client);
        prop_assert!(error.is_none(), "{:?}", error);
        let expected: Vec<Event> = payloads.into_iter().map(|payload| message(Kind::Binary, payload)).collect();
        prop_assert_eq!(received, expected);
    }
}
