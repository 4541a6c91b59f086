//! permessage-deflate in rooms: who is sent what; and that it does not affect members that have not agreed to it.

use crate::{
    deflate::{
        DEFLATED_BINARY, DEFLATED_TEXT, HEADER, HELLO, OFFER, TAIL, Zlib, bomb, client, offering, peak, prose, say,
    },
    http::{Head, UPGRADE_REQUEST},
    raw::{
        BINARY, CLOSE, CONTINUATION, Frame, PING, PONG, TEXT, close_payload, from_client, raw_client, read_frame,
        unfinished,
    },
    rooms::{measured, metric, rooms, until_metric},
    rooms_slow::{Numbered, number},
    support::{LIMIT, Running, Serving, connect, run, wsplice},
};
use flate2::{Decompress, FlushDecompress};
use std::{
    io::{BufReader, Write},
    net::TcpStream,
    sync::{Arc, Barrier},
    thread,
    time::Instant,
};

/// The answer to the offer that browsers send.
const ANSWER: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

#[track_caller]
fn deflating(args: &[&str]) -> Serving {
    rooms(&[&["--deflate", "on"], args].concat())
}

/// A whole message, inflated without those before it, with a window of this many bits.
#[track_caller]
pub fn inflated(deflated: &[u8], bits: u8) -> Vec<u8> {
    let (input, mut out) = ([deflated, &TAIL].concat(), Vec::new());
    let mut decompress = Decompress::new_with_window_bits(false, bits);
    while out.len() == out.capacity() {
        out.reserve(4 * deflated.len() + 1024);
        let used = usize::try_from(decompress.total_in()).expect("a length");
        let inflated = decompress.decompress_vec(&input[used..], &mut out, FlushDecompress::None);
        inflated.expect("it refers to nothing before it");
    }
    assert_eq!(decompress.total_in(), input.len() as u64, "all of it is read");
    out
}

/// A member, and the bits of the window that it agreed on.
struct Member {
    reader: BufReader<TcpStream>,
    bits: Option<u8>,
}

impl Member {
    fn plain(server: &Serving) -> Self {
        Self { reader: BufReader::new(raw_client(server.connect())), bits: None }
    }

    #[track_caller]
    fn deflating(server: &Serving) -> Self {
        let (stream, answer) = client(server.port, OFFER);
        assert_eq!(answer.as_deref(), Some(ANSWER));
        Self { reader: BufReader::new(stream), bits: Some(15) }.settled()
    }

    /// A member with a window of this many bits.
    #[track_caller]
    fn limited(server: &Serving, bits: u8) -> Self {
        let (stream, answer) = client(server.port, &format!("permessage-deflate; server_max_window_bits={bits}"));
        assert_eq!(answer, Some(format!("{ANSWER}; server_max_window_bits={bits}")));
        Self { reader: BufReader::new(stream), bits: Some(bits) }.settled()
    }

    /// Waits until its task runs: messages between the answer to its handshake and that come uncompressed.
    #[track_caller]
    fn settled(mut self) -> Self {
        self.say(PING, "");
        assert_eq!(self.frame().first, PONG);
        self
    }

    fn stream(&mut self) -> &mut TcpStream {
        self.reader.get_mut()
    }

    fn say(&mut self, first: u8, payload: impl AsRef<[u8]>) {
        say(self.stream(), from_client(first, payload));
    }

    #[track_caller]
    fn frame(&mut self) -> Frame {
        read_frame(&mut self.reader).expect("a frame")
    }

    /// The next message as it was sent, which rooms do in one frame, and its payload inflated.
    #[track_caller]
    fn hear(&mut self) -> (Frame, Vec<u8>) {
        let frame = self.frame();
        let plain = match (frame.first, self.bits) {
            (TEXT | BINARY, _) => frame.payload.clone(),
            (DEFLATED_TEXT | DEFLATED_BINARY, Some(bits)) => inflated(&frame.payload, bits),
            _ => panic!("not agreed on: {:#x} with {} bytes", frame.first, frame.payload.len()),
        };
        (frame, plain)
    }

    /// Expects a message with this first byte and this payload, inflated.
    #[track_caller]
    fn hears(&mut self, first: u8, message: impl AsRef<[u8]>) -> Frame {
        let (frame, plain) = self.hear();
        assert!((frame.first, &plain[..]) == (first, message.as_ref()), "{:#x}, {} bytes", frame.first, plain.len());
        frame
    }

    /// Expects a close frame with this code, and answers it.
    #[track_caller]
    fn is_closed(&mut self, code: u16) {
        let frame = self.frame();
        assert_eq!((frame.first, frame.payload.first_chunk()), (CLOSE, Some(&code.to_be_bytes())), "{frame:?}");
        self.say(CLOSE, close_payload(code, ""));
        assert_eq!(read_frame(&mut self.reader), None);
    }
}

/// Two members of a room, one of whom takes compressed messages, who go on sending while a third breaks the rules.
struct Others([Member; 2]);

impl Others {
    fn enter(server: &Serving) -> Self {
        Self([Member::deflating(server), Member::plain(server)])
    }

    #[track_caller]
    fn notice_nothing(&mut self) {
        for sender in 0..2 {
            self.0[sender].say(TEXT, prose());
            self.0[0].hears(DEFLATED_TEXT, prose());
            self.0[1].hears(TEXT, prose());
        }
    }
}

#[test]
fn rooms_agree_to_compression_only_with_deflate_on() {
    for args in [&[][..], &["--deflate", "auto"], &["--deflate", "off"]] {
        let server = rooms(args);
        assert_eq!(client(server.port, OFFER).1, None, "{args:?}");
    }
    let server = deflating(&[]);
    assert_eq!(client(server.port, OFFER).1.as_deref(), Some(ANSWER));
    let mut stream = server.connect();
    say(&mut stream, UPGRADE_REQUEST);
    assert_eq!(Head::read(&mut stream).get(HEADER), None, "nobody asked for it");
    let server = deflating(&["--deflate-window-bits", "10"]);
    let limited = format!("{ANSWER}; server_max_window_bits=10; client_max_window_bits=10");
    assert_eq!(client(server.port, OFFER).1, Some(limited));
}

#[test]
fn all_members_receive_everything_compressed_only_if_they_agreed_to_it() {
    let server = deflating(&[]);
    let mut plain = [Member::plain(&server), Member::plain(&server)];
    let mut deflating = [Member::deflating(&server), Member::deflating(&server), Member::deflating(&server)];
    let noise: Vec<u8> = (0..3000).map(|_| rand::random()).collect();
    let long = prose().repeat(100);
    let mut bodies = Vec::new();
    // The kind and payload of a message, and its first byte for members that take compressed ones.
    let messages = [
        (TEXT, prose(), DEFLATED_TEXT),
        (BINARY, prose(), DEFLATED_BINARY),
        (TEXT, Vec::new(), TEXT),
        (BINARY, Vec::new(), BINARY),
        (TEXT, b"short".to_vec(), TEXT),
        (TEXT, vec![b'x'; 1023], TEXT),
        (TEXT, vec![b'x'; 1024], DEFLATED_TEXT),
        (BINARY, noise, BINARY),
        (BINARY, long, DEFLATED_BINARY),
        (TEXT, prose(), DEFLATED_TEXT),
    ];
    for (first, message, deflated_first) in &messages {
        // Sent compressed, sent uncompressed by a member that may compress, and sent by one that may not.
        deflating[0].say(first | 0x40, Zlib::new().deflate(message));
        deflating[1].say(*first, message);
        plain[0].say(*first, message);
        for _ in 0..3 {
            plain.iter_mut().for_each(|member| _ = member.hears(*first, message));
            let frames: Vec<_> = deflating.iter_mut().map(|member| member.hears(*deflated_first, message)).collect();
            assert!(frames.iter().all(|frame| *frame == frames[0]), "one form for all");
            bodies.push(frames[0].payload.clone());
        }
    }
    assert!(bodies[0].len() < 2000, "{} of 3000 bytes", bodies[0].len());
    assert_eq!(bodies[0], bodies[bodies.len() - 1], "nothing before it makes it shorter");
}

#[test]
fn noise_is_not_compressed_in_vain() {
    let server = deflating(&[]);
    let mut members = [Member::deflating(&server), Member::deflating(&server)];
    let noise: Vec<u8> = (0..100_000).map(|_| rand::random()).collect();
    let mut say = |sender: usize, first, message: &[u8], expected| {
        members[sender].say(first, message);
        members.iter_mut().for_each(|member| _ = member.hears(expected, message));
    };
    // Its first 64 KiB tell. After that, twice as much is sent without an attempt, and more each time.
    say(0, BINARY, &noise, BINARY);
    say(0, BINARY, &prose(), BINARY);
    // It holds for this sender and for messages of this kind.
    say(0, TEXT, &prose(), DEFLATED_TEXT);
    say(1, BINARY, &prose(), DEFLATED_BINARY);
    say(0, BINARY, &prose().repeat(100), DEFLATED_BINARY);
    say(0, BINARY, &prose(), DEFLATED_BINARY);
}

#[test]
fn compression_options_apply_to_rooms() {
    let server = deflating(&["--deflate-threshold", "0", "--deflate-level", "9"]);
    let mut member = Member::deflating(&server);
    member.say(TEXT, [b'x'; 16]);
    member.hears(DEFLATED_TEXT, [b'x'; 16]);
    member.say(TEXT, "");
    member.hears(TEXT, "");
    let server = deflating(&["--deflate-level", "0"]);
    let mut member = Member::deflating(&server);
    member.say(DEFLATED_TEXT, Zlib::new().deflate(&prose()));
    member.hears(TEXT, prose());
}

#[test]
fn fragments_of_a_compressed_message_become_one_with_a_ping_answered_in_between() {
    let server = deflating(&[]);
    let mut others = Others::enter(&server);
    let mut sender = Member::deflating(&server);
    let deflated = Zlib::new().deflate(&prose());
    let (start, end) = deflated.split_at(deflated.len() / 2);
    sender.say(unfinished(DEFLATED_TEXT), start);
    sender.say(PING, "between");
    assert_eq!(sender.frame(), Frame { first: PONG, masked: false, payload: "between".into() });
    sender.say(0, "");
    sender.say(CONTINUATION, end);
    sender.hears(DEFLATED_TEXT, prose());
    others.0[0].hears(DEFLATED_TEXT, prose());
    others.0[1].hears(TEXT, prose());
}

#[test]
fn a_compressed_message_sent_with_the_request_is_published() {
    let server = deflating(&[]);
    let mut listener = Member::plain(&server);
    let mut stream = connect(server.port);
    let request = offering(OFFER);
    say(&mut stream, [request.as_bytes(), &from_client(DEFLATED_TEXT, HELLO)].concat());
    listener.hears(TEXT, "Hello");
    assert_eq!(Head::read(&mut stream).get(HEADER), Some(ANSWER));
    assert_eq!(read_frame(&mut stream), Some(Frame { first: TEXT, masked: false, payload: "Hello".into() }));
}

/// Members with and without compression each send this many messages, long ones and short ones, all at the same time. Gives
/// what each has received.
fn chatter(server: &Serving, members: usize, messages: usize, echo: bool) -> Vec<Vec<String>> {
    let start = Arc::new(Barrier::new(members));
    let threads = (0..members).map(|sender| {
        let mut member = if sender % 2 == 0 { Member::deflating(server) } else { Member::plain(server) };
        let start = start.clone();
        let expected = messages * if echo { members } else { members - 1 };
        thread::spawn(move || {
            let said: Vec<u8> = (0..messages)
                .flat_map(|message| {
                    let filler = "all work and no play ".repeat(message % 3 * 60);
                    from_client(TEXT, format!("{sender} {message} {filler}"))
                })
                .collect();
            start.wait();
            say(member.stream(), said);
            (0..expected)
                .map(|_| {
                    let (frame, plain) = member.hear();
                    let is_long = plain.len() >= 1024;
                    assert_eq!(frame.first == DEFLATED_TEXT, member.bits.is_some() && is_long, "{} bytes", plain.len());
                    String::from_utf8(plain).expect("text")
                })
                .collect()
        })
    });
    let threads: Vec<_> = threads.collect();
    threads.into_iter().map(|thread| thread.join().expect("a member")).collect()
}

#[test]
fn all_members_receive_one_order_whether_compressed_or_not() {
    let heard = chatter(&deflating(&[]), 6, 300, true);
    for (member, texts) in heard.iter().enumerate() {
        assert!(*texts == heard[0], "member {member} heard another order than member 0");
    }
    for sender in 0..6 {
        let own = heard[0].iter().filter_map(|text| text.strip_prefix(&format!("{sender} ")));
        let numbers = own.map(|rest| rest.split_once(' ').expect("a number").0.to_owned());
        assert!(numbers.eq((0..300).map(|message| message.to_string())), "the order of sender {sender}");
    }
}

#[test]
fn no_echo_leaves_each_sender_out_whether_compressed_or_not() {
    let heard = chatter(&deflating(&["--no-echo"]), 6, 300, false);
    let is_of = |text: &str, member: usize| text.starts_with(&format!("{member} "));
    for (member, texts) in heard.iter().enumerate() {
        assert!(!texts.iter().any(|text| is_of(text, member)), "member {member} heard itself");
        for (other, by_other) in heard.iter().enumerate() {
            let of_both = |texts: &'_ [String]| -> Vec<String> {
                texts.iter().filter(|text| !is_of(text, member) && !is_of(text, other)).cloned().collect()
            };
            assert!(of_both(texts) == of_both(by_other), "members {member} and {other} heard different orders");
        }
    }
}

#[test]
fn a_member_with_a_smaller_window_is_sent_what_it_can_read() {
    let noise: Vec<u8> = (0..600).map(|_| rand::random()).collect();
    // Compressed with a large window it refers back further than a small one reaches.
    let message = [&noise[..], &[0; 600], &noise].concat();
    let server = deflating(&[]);
    let mut sender = Member::deflating(&server);
    let mut limited: Vec<_> = (8..15).map(|bits| Member::limited(&server, bits)).collect();
    sender.say(BINARY, &message);
    sender.hears(DEFLATED_BINARY, &message);
    for member in &mut limited {
        member.hears(BINARY, &message);
        member.say(DEFLATED_TEXT, HELLO);
        sender.hears(TEXT, "Hello");
    }
    // Where no window is larger, all members are sent the same.
    let server = deflating(&["--deflate-window-bits", "9"]);
    let mut members = [8, 9].map(|bits| Member::limited(&server, bits));
    members[1].say(BINARY, &message);
    members[0].hears(BINARY, &message);
    members[1].hears(DEFLATED_BINARY, &message);
}

#[test]
fn a_decompression_bomb_closes_its_sender_with_1009_and_the_others_notice_nothing() {
    let server = deflating(&["--max-ws-message-length", "1m"]);
    let mut others = Others::enter(&server);
    others.notice_nothing();
    let before = peak(&server.running);
    let bomb = from_client(DEFLATED_BINARY, bomb());
    for _ in 0..3 {
        let mut sender = Member::deflating(&server);
        thread::scope(|scope| {
            let mut stream = sender.stream().try_clone().expect("clone");
            let bomb = &bomb;
            // The connection may end before everything was read.
            scope.spawn(move || stream.write_all(bomb));
            others.notice_nothing();
            let close = std::iter::from_fn(|| read_frame(&mut sender.reader)).find(|frame| frame.first == CLOSE);
            let code = close.and_then(|frame| frame.payload.first_chunk().copied());
            assert_eq!(code.map(u16::from_be_bytes), Some(1009));
            drop(sender);
        });
        others.notice_nothing();
    }
    let grown = peak(&server.running) - before;
    assert!(grown < 12, "{grown} MB for messages of at most 1");
}

#[test]
fn damaged_data_closes_its_sender_with_1007_and_the_others_notice_nothing() {
    let server = deflating(&[]);
    let mut others = Others::enter(&server);
    for wrong in [
        from_client(DEFLATED_BINARY, [0x07]),
        from_client(DEFLATED_BINARY, &HELLO[..4]),
        from_client(DEFLATED_BINARY, [0x00, 0x64, 0x00, 0x9b, 0xff, b'x']),
        from_client(DEFLATED_TEXT, Zlib::new().deflate(b"\xff\xfe")),
    ] {
        let mut sender = Member::deflating(&server);
        say(sender.stream(), &wrong);
        sender.is_closed(1007);
        others.notice_nothing();
    }
}

#[test]
fn reserved_bits_that_were_not_agreed_on_close_their_sender_with_1002_and_the_others_notice_nothing() {
    let server = deflating(&[]);
    let mut others = Others::enter(&server);
    let mut sender = Member::plain(&server);
    sender.say(DEFLATED_TEXT, HELLO);
    sender.is_closed(1002);
    others.notice_nothing();
    for wrong in [
        from_client(DEFLATED_TEXT | 0x20, HELLO),
        from_client(PING | 0x40, ""),
        [from_client(unfinished(DEFLATED_TEXT), &HELLO[..3]), from_client(CONTINUATION | 0x40, &HELLO[3..])].concat(),
    ] {
        let mut sender = Member::deflating(&server);
        say(sender.stream(), &wrong);
        sender.is_closed(1002);
        others.notice_nothing();
    }
    // An offer that was not accepted does not count.
    let server = rooms(&[]);
    let mut sender = Member { reader: BufReader::new(client(server.port, OFFER).0), bits: None };
    sender.say(DEFLATED_TEXT, HELLO);
    sender.is_closed(1002);
}

/// A message of 256 KiB that compresses to half of that. Its start decides whether it is compressed.
fn half_noise() -> Vec<u8> {
    let mut message = vec![0; 256 << 10];
    for chunk in message[128 << 10..].chunks_exact_mut(8) {
        chunk.copy_from_slice(&rand::random::<u64>().to_ne_bytes());
    }
    message
}

/// A room in which a member that takes compressed messages reads nothing.
struct Stuck {
    server: Serving,
    metrics: u16,
    slow: Member,
    sender: Member,
    message: Vec<u8>,
}

impl Stuck {
    #[track_caller]
    fn new(policy: &str) -> Self {
        let (server, metrics) = measured(&["--deflate", "on", "--slow", policy, "--backlog", "1m"]);
        let slow = Member::deflating(&server);
        let sender = Member::deflating(&server);
        Self { server, metrics, slow, sender, message: half_noise() }
    }

    /// Checks a message of the sender and gives its number.
    #[track_caller]
    fn checked(&self, plain: &[u8]) -> u32 {
        assert!(plain[4..] == self.message[4..], "{} bytes", plain.len());
        number(plain)
    }

    /// Sends messages until the metric is at least this; gives how many it sent.
    #[track_caller]
    fn talk_until(&mut self, name: &str, least: u64) -> u32 {
        let (end, mut frame) = (Instant::now() + LIMIT, Numbered::of(&self.message));
        for said in 0.. {
            if metric(self.metrics, name) >= least {
                return said;
            }
            assert!(Instant::now() < end, "{name} stays below {least}");
            say(self.sender.stream(), frame.with(said));
            let (_, plain) = self.sender.hear();
            assert_eq!(self.checked(&plain), said, "others lose nothing");
        }
        0
    }

    /// The number of the next message that the slow member receives.
    #[track_caller]
    fn late(&mut self) -> u32 {
        let (frame, plain) = self.slow.hear();
        assert!(frame.first == DEFLATED_BINARY && frame.payload.len() < 140 << 10, "it is compressed");
        self.checked(&plain)
    }

    /// Sends one more message, which must be the next that the slow member receives.
    #[track_caller]
    fn has_caught_up(mut self) {
        let mut frame = Numbered::of(&self.message);
        say(self.sender.stream(), frame.with(u32::MAX));
        assert_eq!(self.late(), u32::MAX);
        until_metric(self.metrics, "backlog_bytes", 0);
        let [bytes, messages] = ["sent_bytes_total", "messages_sent_total"].map(|name| metric(self.metrics, name));
        assert!(bytes < messages * (140 << 10), "{bytes} in {messages} messages: what is on the wire counts");
    }
}

#[test]
fn the_oldest_compressed_messages_of_a_slow_member_are_dropped_and_counted() {
    let mut room = Stuck::new("drop-oldest");
    let said = room.talk_until("messages_dropped_total", 5);
    let mut heard = vec![room.late()];
    while heard.last().is_some_and(|last| last + 1 < said) {
        heard.push(room.late());
    }
    assert!(heard.is_sorted() && heard[0] == 0, "{heard:?}");
    let dropped = metric(room.metrics, "messages_dropped_total");
    assert_eq!(heard.len() as u64 + dropped, u64::from(said), "what was not heard is counted");
    room.has_caught_up();
}

#[test]
fn the_newest_compressed_messages_of_a_slow_member_are_dropped_and_counted() {
    let mut room = Stuck::new("drop-newest");
    let said = room.talk_until("messages_dropped_total", 5);
    let dropped = metric(room.metrics, "messages_dropped_total");
    for expected in 0..said - u32::try_from(dropped).expect("a small number") {
        assert_eq!(room.late(), expected, "the beginning is whole");
    }
    room.has_caught_up();
}

#[test]
fn a_slow_member_is_closed_with_1013_after_whole_compressed_messages() {
    let mut room = Stuck::new("disconnect");
    room.talk_until("slow_disconnects_total", 1);
    let mut expected = 0;
    loop {
        let frame = room.slow.frame();
        if frame.first == CLOSE {
            assert_eq!(frame.payload, close_payload(1013, "too slow"));
            break;
        }
        assert_eq!(room.checked(&inflated(&frame.payload, 15)), expected, "whole and in order");
        expected += 1;
    }
    assert!(metric(room.metrics, "messages_dropped_total") >= 1);
    drop(room.slow);
    until_metric(room.metrics, "connections", 1);
    until_metric(room.metrics, "backlog_bytes", 0);
}

#[test]
fn a_room_waits_for_a_slow_member_that_takes_compressed_messages() {
    const SAID: u32 = 100;
    let mut room = Stuck::new("block");
    let mut saying = room.sender.stream().try_clone().expect("clone");
    let mut frame = Numbered::of(&room.message);
    let talking = thread::spawn(move || (0..SAID).for_each(|said| saying.write_all(frame.with(said)).expect("say")));
    let Stuck { mut sender, metrics, .. } = room;
    let hearing = thread::spawn(move || {
        (0..SAID).for_each(|expected| assert_eq!(number(&sender.hear().1), expected));
        sender
    });
    let end = Instant::now() + LIMIT;
    while metric(metrics, "backlog_bytes") <= 1 << 20 {
        assert!(Instant::now() < end, "nothing waits");
    }
    for expected in 0..SAID {
        let (frame, plain) = room.slow.hear();
        assert!(frame.payload.len() < 140 << 10, "it is compressed");
        assert_eq!(number(&plain), expected);
    }
    talking.join().expect("the sender");
    hearing.join().expect("the sender");
    assert_eq!(metric(metrics, "messages_dropped_total"), 0);
    drop(room.server);
}

#[test]
fn our_own_clients_talk_to_each_other_in_compressed_messages() {
    let server = deflating(&["--deflate-threshold", "0"]);
    let mut plain = Member::plain(&server);
    let mut listener = Running::start(wsplice([&server.url(), "-vv"]));
    listener.error_line("permessage-deflate");
    let line = "all work and no play ".repeat(10);
    let finished = run(["--deflate", "on", "--deflate-threshold", "0", &server.url()], format!("{line}\n"));
    assert_eq!(finished.succeeds().out(), format!("{line}\n"));
    assert_eq!(listener.line(), format!("{line}\n"));
    listener.error_line("deflated");
    plain.hears(TEXT, &line);
    plain.say(TEXT, &line);
    assert_eq!(listener.line(), format!("{line}\n"));

    let server = rooms(&[]);
    run([&server.url(), "--deflate", "on"], "").fails_with(5, "the server does not support compression");
}
