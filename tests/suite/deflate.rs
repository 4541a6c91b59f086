//! permessage-deflate (RFC 7692), on the wire.

use crate::{
    http::{Head, UPGRADE_REQUEST, switching_protocols, upgrade_request},
    raw::{
        BINARY, CLOSE, CONTINUATION, FIN, Frame, PING, PONG, TEXT, close_payload, from_client, from_server, read_close,
        read_frame, unfinished,
    },
    support::{Finished, Running, Serving, connect, one_connection, run, wsplice},
};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use std::{io::Write, net::TcpStream, thread::JoinHandle};

/// First bytes of frames: FIN, RSV1 and the opcode.
pub const DEFLATED_TEXT: u8 = TEXT | 0x40;
pub const DEFLATED_BINARY: u8 = BINARY | 0x40;

/// "Hello", compressed (RFC 7692 section 7.2.3.1).
pub const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
/// The same with the first as its context (section 7.2.3.2).
pub const HELLO_AGAIN: [u8; 5] = [0xf2, 0x00, 0x11, 0x00, 0x00];
pub const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
pub const HEADER: &str = "Sec-WebSocket-Extensions";
pub const OFFER: &str = "permessage-deflate; client_max_window_bits";

/// The compressor and the decompressor of the other side.
pub struct Zlib {
    compress: Compress,
    decompress: Decompress,
}

impl Zlib {
    pub fn new() -> Self {
        Self { compress: Compress::new(Compression::new(6), false), decompress: Decompress::new(false) }
    }

    pub fn deflate(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(plain.len() + plain.len() / 100 + 100);
        self.compress.compress_vec(plain, &mut out, FlushCompress::Sync).expect("compressed");
        out.strip_suffix(&TAIL).expect("flushed").to_vec()
    }

    pub fn inflate(&mut self, deflated: &[u8]) -> Vec<u8> {
        let input = [deflated, &TAIL].concat();
        let mut out = Vec::with_capacity(1 << 20);
        self.decompress.decompress_vec(&input, &mut out, FlushDecompress::Sync).expect("inflated");
        out
    }
}

/// 3000 bytes that compress well, though not to almost nothing.
pub fn prose() -> Vec<u8> {
    (0..)
        .flat_map(|n: u32| format!("{} and then {}. ", n * 7919 % 1000, n * 104_729 % 997).into_bytes())
        .take(3000)
        .collect()
}

/// An opening handshake that offers this.
pub fn offering(offer: &str) -> String {
    upgrade_request("/", &format!("{HEADER}: {offer}\r\n"))
}

/// The answer to a request that agrees to this.
fn agreeing(request: &Head, extension: &str) -> String {
    switching_protocols(request, &format!("{HEADER}: {extension}\r\n"))
}

/// A server that agrees to this extension; its URL.
fn server<T: Send + 'static>(
    extension: &'static str,
    serve: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (String, JoinHandle<T>) {
    let (port, thread) = one_connection(move |mut stream| {
        let answer = agreeing(&Head::read(&mut stream), extension);
        stream.write_all(answer.as_bytes()).expect("write the answer");
        serve(stream)
    });
    (format!("ws://127.0.0.1:{port}/"), thread)
}

/// A client that offers this, and the extension in the answer.
#[track_caller]
pub fn client(port: u16, offer: &str) -> (TcpStream, Option<String>) {
    let mut stream = connect(port);
    stream.write_all(offering(offer).as_bytes()).expect("write the request");
    let answer = Head::read(&mut stream);
    assert_eq!(answer.status(), 101, "{answer:?}");
    (stream, answer.get(HEADER).map(str::to_owned))
}

pub fn say(stream: &mut TcpStream, bytes: impl AsRef<[u8]>) {
    stream.write_all(bytes.as_ref()).expect("write");
}

/// The next message, its fragments joined, or the close frame; the first byte is the first frame's. Pings are answered as a
/// server does.
fn hear(stream: &mut TcpStream) -> Frame {
    let mut message: Option<Frame> = None;
    loop {
        let frame = read_frame(stream).expect("a frame");
        match frame.first {
            PING => {
                say(stream, from_server(PONG, frame.payload));
                continue;
            }
            CLOSE => return frame,
            _ => {}
        }
        let is_final = frame.first & FIN != 0;
        match &mut message {
            None => message = Some(frame),
            Some(message) => {
                assert_eq!(frame.first & 0x7f, 0, "only the first frame is marked");
                message.payload.extend(frame.payload);
            }
        }
        if let Some(message) = message.take_if(|_| is_final) {
            return message;
        }
    }
}

fn close_cleanly(stream: &mut TcpStream) {
    say(stream, from_server(CLOSE, close_payload(1000, "")));
    assert_eq!(read_close(stream), Some(1000));
}

#[test]
fn a_listener_answers_the_first_offer_that_it_can_take() {
    let mirror = Serving::start(["ws-l:0", "mirror:"]);
    for (offer, answer) in [
        (OFFER, Some("permessage-deflate; client_no_context_takeover")),
        (
            "x-other; a=\"1\", permessage-deflate; unknown, permessage-deflate;server_max_window_bits=\"1\\0\"",
            Some("permessage-deflate; client_no_context_takeover; server_max_window_bits=10"),
        ),
        (
            "permessage-deflate; server_no_context_takeover=1\r\nSec-WebSocket-Extensions: permessage-deflate; \
             server_no_context_takeover",
            Some("permessage-deflate; server_no_context_takeover; client_no_context_takeover"),
        ),
        ("permessage-deflate; client_max_window_bits; client_max_window_bits", None),
        ("permessage-deflate; server_max_window_bits=16", None),
        ("permessage-deflate; =", None),
        ("x-webkit-deflate-frame", None),
    ] {
        let (mut stream, answered) = client(mirror.port, offer);
        assert_eq!(answered.as_deref(), answer, "{offer}");
        say(&mut stream, from_client(TEXT, "plain messages pass"));
        assert_eq!(hear(&mut stream).payload, b"plain messages pass");
    }
}

#[test]
fn options_limit_what_a_listener_agrees_to() {
    let limited = Serving::start([
        "ws-l:0",
        "mirror:",
        "--deflate-window-bits",
        "10",
        "--deflate-no-context-takeover",
        "--deflate",
        "on",
    ]);
    let expected = "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                    server_max_window_bits=10; client_max_window_bits=10";
    assert_eq!(client(limited.port, OFFER).1.as_deref(), Some(expected));
    let off = Serving::start(["ws-l:0", "mirror:", "--deflate", "off"]);
    let (mut stream, answered) = client(off.port, OFFER);
    assert_eq!(answered, None);
    say(&mut stream, from_client(DEFLATED_TEXT, HELLO));
    assert_eq!(read_close(&mut stream), Some(1002));
}

#[test]
fn a_listener_reads_and_writes_compressed_messages() {
    let mirror = Serving::start(["ws-l:0", "mirror:"]);
    let (mut stream, _) = client(mirror.port, OFFER);
    let mut zlib = Zlib::new();
    let mut lengths = Vec::new();
    for first in [DEFLATED_TEXT, DEFLATED_BINARY] {
        // The listener asked for messages without context.
        zlib.compress.reset();
        say(&mut stream, from_client(first, zlib.deflate(&prose())));
        let answer = hear(&mut stream);
        assert_eq!(answer.first, first);
        lengths.push(answer.payload.len());
        assert_eq!(zlib.inflate(&answer.payload), prose());
    }
    assert!(lengths[0] < 2000 && lengths[1] < 100, "the second refers to the first: {lengths:?}");
}

#[test]
fn a_listener_forgets_its_context_when_it_is_asked_to() {
    let mirror = Serving::start(["ws-l:0", "mirror:"]);
    let (mut stream, _) = client(mirror.port, "permessage-deflate; server_no_context_takeover");
    let answers: Vec<_> = (0..2)
        .map(|_| {
            say(&mut stream, from_client(TEXT, prose()));
            let answer = hear(&mut stream);
            assert_eq!(answer.first, DEFLATED_TEXT);
            assert_eq!(Zlib::new().inflate(&answer.payload), prose());
            answer.payload
        })
        .collect();
    assert_eq!(answers[0], answers[1]);
}

#[test]
fn a_small_window_is_respected() {
    let mirror = Serving::start(["ws-l:0", "mirror:"]);
    for bits in 8..=15 {
        let (mut stream, _) = client(mirror.port, &format!("permessage-deflate; server_max_window_bits={bits}"));
        let noise: Vec<u8> = (0..600).map(|_| rand::random()).collect();
        let message = [&noise[..], &[0; 600], &noise].concat();
        say(&mut stream, from_client(BINARY, &message));
        let answer = hear(&mut stream);
        // zlib has no window of 8 bits, so messages are not compressed.
        assert_eq!(answer.first, if bits == 8 { BINARY } else { DEFLATED_BINARY });
        if bits > 8 {
            let mut decompress = Decompress::new_with_window_bits(false, bits);
            let mut out = Vec::with_capacity(4000);
            let input = [&answer.payload[..], &TAIL].concat();
            decompress.decompress_vec(&input, &mut out, FlushDecompress::Sync).expect("no reference is too far back");
            assert_eq!(out, message);
        }
    }
}

#[test]
fn a_client_offers_it_and_uses_what_was_agreed() {
    let (url, peer) = server("permessage-deflate", |mut stream| {
        let mut zlib = Zlib::new();
        let mut lengths = Vec::new();
        for _ in 0..2 {
            let message = hear(&mut stream);
            assert_eq!((message.first, message.masked), (DEFLATED_TEXT, true));
            lengths.push(message.payload.len());
            let answer = zlib.inflate(&message.payload);
            say(&mut stream, from_server(DEFLATED_TEXT, zlib.deflate(&answer)));
        }
        assert!(lengths[1] < 100, "the second refers to the first: {lengths:?}");
        assert_eq!(hear(&mut stream).close().0, 1000);
        say(&mut stream, from_server(CLOSE, close_payload(1000, "")));
    });
    let lines = [&prose()[..], b"\n", &prose(), b"\n"].concat();
    let finished = run([&url], &lines);
    finished.succeeds();
    assert_eq!((finished.stdout, finished.stderr.as_str()), (lines, ""));
    peer.join().expect("served");
}

#[test]
fn a_client_sends_no_context_where_the_server_wants_none() {
    let (url, peer) =
        server("permessage-deflate; client_no_context_takeover; client_max_window_bits=9", |mut stream| {
            let messages = [hear(&mut stream), hear(&mut stream)];
            assert_eq!(messages[0].payload, messages[1].payload);
            close_cleanly(&mut stream);
        });
    run([&url], [&prose()[..], b"\n", &prose(), b"\n"].concat()).succeeds();
    peer.join().expect("served");
}

#[test]
fn the_context_of_a_server_is_kept_for_its_next_message() {
    let (url, peer) = server("permessage-deflate", |mut stream| {
        let frames = [
            from_server(DEFLATED_TEXT, HELLO),
            from_server(PING, "between"),
            from_server(TEXT, "plain"),
            from_server(DEFLATED_TEXT, HELLO_AGAIN),
            // In two fragments, with a pong between them.
            from_server(unfinished(DEFLATED_TEXT), &HELLO[..3]),
            from_server(PONG, ""),
            from_server(CONTINUATION, &HELLO[3..]),
            from_server(DEFLATED_TEXT, [0x00]),
        ];
        // Byte by byte, each in a segment of its own.
        stream.set_nodelay(true).expect("set");
        frames.concat().chunks(1).for_each(|byte| say(&mut stream, byte));
        assert_eq!(read_frame(&mut stream).expect("a pong").payload, b"between");
        close_cleanly(&mut stream);
    });
    let finished = Running::start(wsplice([&url])).finish();
    finished.succeeds();
    assert_eq!(finished.out(), "Hello\nplain\nHello\nHello\n\n");
    peer.join().expect("served");
}

#[test]
fn compressed_frames_that_come_with_the_handshake_are_read() {
    let (port, peer) = one_connection(|mut stream| {
        let answer = agreeing(&Head::read(&mut stream), "permessage-deflate");
        say(&mut stream, [answer.as_bytes(), &from_server(DEFLATED_TEXT, HELLO)].concat());
        close_cleanly(&mut stream);
    });
    let finished = Running::start(wsplice([format!("ws://127.0.0.1:{port}/")])).finish();
    assert_eq!(finished.succeeds().out(), "Hello\n");
    peer.join().expect("served");

    let mirror = Serving::start(["ws-l:0", "mirror:"]);
    let mut stream = connect(mirror.port);
    let request = offering(OFFER);
    say(&mut stream, [request.as_bytes(), &from_client(DEFLATED_TEXT, HELLO)].concat());
    assert!(Head::read(&mut stream).get(HEADER).is_some());
    assert_eq!(hear(&mut stream).payload, b"Hello");
}

#[test]
fn a_response_that_does_not_match_the_offer_fails_the_handshake() {
    for (answer, reason) in [
        ("permessage-deflate; x=1", "extension `permessage-deflate; x=1`: there is no parameter `x`"),
        ("permessage-deflate; client_max_window_bits=16", "value of `client_max_window_bits`"),
        ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", "twice"),
        ("permessage-deflate, permessage-deflate", "more extensions"),
        ("x-other", "extension `x-other`, which was not offered"),
        ("permessage-deflate; \"", "cannot be read"),
    ] {
        let (url, _) = server(answer, |_| ());
        run([&url], "").fails_with(5, reason);
    }
    let (url, _) = server("permessage-deflate", |_| ());
    run(["--deflate", "off", &url], "").fails_with(5, "was not offered");
    let (url, _) = server("permessage-deflate; server_max_window_bits=12", |_| ());
    run(["--deflate-window-bits", "10", &url], "").fails_with(5, "at most 10 was asked for");
}

/// The extension that a client offers, and how it ends when the server does not agree to it.
fn asked(args: &[&str]) -> (Option<String>, Finished) {
    let (port, peer) = one_connection(|mut stream| {
        let request = Head::read(&mut stream);
        say(&mut stream, switching_protocols(&request, ""));
        request.get(HEADER).map(str::to_owned)
    });
    let url = format!("ws://127.0.0.1:{port}/");
    let finished = run(args.iter().copied().chain([url.as_str()]), "");
    (peer.join().expect("served"), finished)
}

#[test]
fn options_decide_what_a_client_offers() {
    assert_eq!(asked(&[]).0.as_deref(), Some(OFFER));
    assert_eq!(asked(&["--deflate", "off"]).0, None);
    let limited = "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                   server_max_window_bits=11; client_max_window_bits=11";
    let (offer, _) = asked(&["--deflate-window-bits", "11", "--deflate-no-context-takeover"]);
    assert_eq!(offer.as_deref(), Some(limited));
    let (offer, finished) = asked(&["--deflate", "on"]);
    assert_eq!(offer.as_deref(), Some(OFFER));
    finished.fails_with(5, "the server does not support compression").hints("--deflate auto");
}

#[test]
fn an_offer_in_a_header_option_is_sent_unchanged_and_counts() {
    let header = "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=9";
    let offer = asked(&["-H", header, "--deflate", "off"]).0;
    assert_eq!(offer.as_deref(), Some("permessage-deflate; server_max_window_bits=9"));
    let (url, peer) = server("permessage-deflate; server_max_window_bits=9", |mut stream| {
        say(&mut stream, from_server(DEFLATED_TEXT, HELLO));
        close_cleanly(&mut stream);
    });
    let finished = Running::start(wsplice(["-H", header, &url])).finish();
    assert_eq!(finished.succeeds().out(), "Hello\n");
    peer.join().expect("served");
    let (url, _) = server("x-mine", |_| ());
    run(["-H", "Sec-WebSocket-Extensions: x-mine", &url], "").fails_with(5, "extension `x-mine`");
}

/// The message as which a client sends this line when it may compress.
fn sent(args: &[&str], line: &[u8]) -> Frame {
    let (url, peer) = server("permessage-deflate", |mut stream| {
        let message = hear(&mut stream);
        close_cleanly(&mut stream);
        message
    });
    run(args.iter().copied().chain([url.as_str()]), [line, b"\n"].concat()).succeeds();
    peer.join().expect("served")
}

#[test]
fn short_messages_and_incompressible_ones_are_sent_uncompressed() {
    assert_eq!(sent(&[], &[b'x'; 1023]).first, TEXT);
    assert_eq!(sent(&[], &[b'x'; 1024]).first, DEFLATED_TEXT);
    assert_eq!(sent(&["--deflate-threshold", "0"], b"xxxxxxxxxxxxxxxx").first, DEFLATED_TEXT);
    assert_eq!(sent(&["--deflate-threshold", "0"], b"").first, TEXT);
    assert_eq!(sent(&["--deflate-threshold", "0"], b"abc").first, TEXT);
    assert_eq!(sent(&["--deflate-level", "0"], &[b'x'; 5000]).first, TEXT);
    let noise: Vec<u8> = (0..3000).map(|_| rand::random()).collect();
    assert_eq!(sent(&["-b"], &noise).first, BINARY);
    assert_eq!(Zlib::new().inflate(&sent(&["--deflate-level", "9"], &prose()).payload), prose());
}

#[test]
fn messages_that_alternate_with_noise_are_compressed() {
    let mirror = Serving::start(["ws-l:0", "mirror:"]);
    let noise: Vec<u8> = (0..3000).map(|_| rand::random()).collect();
    let compressed_of_50 = |first: u8| {
        let (mut stream, _) = client(mirror.port, OFFER);
        let mut answer = |first: u8, message: &[u8]| {
            say(&mut stream, from_client(first, message));
            hear(&mut stream).first
        };
        (0..50).filter(|_| [answer(BINARY, &noise), answer(first, &prose())] == [BINARY, first | 0x40]).count()
    };
    assert_eq!(compressed_of_50(TEXT), 50, "texts are something else than binary messages");
    assert!(compressed_of_50(BINARY) >= 20);
}

#[test]
fn a_long_message_is_sent_in_compressed_fragments() {
    let line: Vec<u8> = prose().into_iter().cycle().take(200_000).collect();
    let (url, peer) = server("permessage-deflate", |mut stream| {
        let frames: Vec<_> = (0..4).map(|_| read_frame(&mut stream).expect("a frame")).collect();
        close_cleanly(&mut stream);
        frames
    });
    run([&url], [&line[..], b"\n"].concat()).succeeds();
    let frames = peer.join().expect("served");
    let firsts: Vec<u8> = frames.iter().map(|frame| frame.first).collect();
    assert_eq!(firsts, [unfinished(DEFLATED_TEXT), 0, 0, CONTINUATION]);
    let payload: Vec<u8> = frames.into_iter().flat_map(|frame| frame.payload).collect();
    assert!(payload.len() < 10_000);
    assert_eq!(Zlib::new().inflate(&payload), line);
}

#[test]
fn damaged_data_is_refused_with_1007() {
    let mirror = Serving::start(["ws-l:0", "mirror:"]);
    for wrong in [&[0x07][..], &HELLO[..4], &HELLO_AGAIN, &[0x00, 0x64, 0x00, 0x9b, 0xff, b'x']] {
        let (mut stream, _) = client(mirror.port, OFFER);
        say(&mut stream, from_client(TEXT, "before"));
        say(&mut stream, from_client(DEFLATED_TEXT, wrong));
        assert_eq!(hear(&mut stream).payload, b"before");
        assert_eq!(read_close(&mut stream), Some(1007), "{wrong:02x?}");
        let (url, peer) = server("permessage-deflate", move |mut stream| {
            say(&mut stream, from_server(TEXT, "before"));
            say(&mut stream, from_server(DEFLATED_TEXT, wrong));
            read_close(&mut stream)
        });
        let finished = run([&url], "");
        finished.fails_with(6, "a compressed message is ");
        assert_eq!(finished.out(), "before\n");
        assert_eq!(peer.join().expect("served"), Some(1007));
    }
}

#[test]
fn final_blocks_after_a_long_message_cost_no_more_than_after_a_short_one() {
    let mut compress = Compress::new(Compression::new(6), false);
    let mut bytes = Vec::with_capacity(1 << 20);
    compress.compress_vec(&vec![0; 60 << 20], &mut bytes, FlushCompress::Finish).expect("compressed");
    // Empty final blocks, two bytes each.
    bytes.extend([3, 0].repeat(10_000));
    let mirror = Serving::start(["ws-l:0", "mirror:"]);
    let (mut stream, _) = client(mirror.port, OFFER);
    say(&mut stream, from_client(DEFLATED_BINARY, bytes));
    assert_eq!(read_frame(&mut stream).expect("the answer's first fragment").first & 0x4f, 0x42);
}

#[test]
fn compressed_text_must_be_utf_8() {
    let mirror = Serving::start(["ws-l:0", "mirror:"]);
    let (mut stream, _) = client(mirror.port, OFFER);
    say(&mut stream, from_client(DEFLATED_BINARY, Zlib::new().deflate(b"\xff\xfe")));
    assert_eq!(hear(&mut stream).payload, b"\xff\xfe");
    say(&mut stream, from_client(DEFLATED_TEXT, Zlib::new().deflate(b"\xff\xfe")));
    assert_eq!(read_close(&mut stream), Some(1007));
}

#[test]
fn reserved_bits_in_the_wrong_place_are_refused_with_1002() {
    let mirror = Serving::start(["ws-l:0", "mirror:"]);
    for wrong in [
        from_client(0xa1, "x"),
        from_client(0x91, "x"),
        from_client(0xe1, HELLO),
        from_client(PING | 0x40, "x"),
        from_client(CLOSE | 0x40, close_payload(1000, "")),
        [from_client(unfinished(DEFLATED_TEXT), &HELLO[..3]), from_client(CONTINUATION | 0x40, &HELLO[3..])].concat(),
        [from_client(unfinished(TEXT), "x"), from_client(CONTINUATION | 0x40, HELLO)].concat(),
        [from_client(unfinished(DEFLATED_TEXT), &HELLO[..3]), from_client(TEXT, "x")].concat(),
        [from_client(unfinished(DEFLATED_TEXT), &HELLO[..3]), from_client(DEFLATED_TEXT, HELLO)].concat(),
        from_server(DEFLATED_TEXT, HELLO),
    ] {
        let (mut stream, _) = client(mirror.port, OFFER);
        say(&mut stream, &wrong);
        assert_eq!(read_close(&mut stream), Some(1002), "{wrong:02x?}");
    }
}

/// The most memory that the run has used, in MiB.
pub fn peak(running: &Running) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.pid())).expect("readable");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a size");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") >> 10
}

/// Ten gigabytes of zeros.
pub fn bomb() -> Vec<u8> {
    let mut compress = Compress::new(Compression::new(9), false);
    let mut out = Vec::with_capacity(1 << 20);
    compress.compress_vec(&vec![0; 64 << 20], &mut out, FlushCompress::Full).expect("compressed");
    // What follows a full flush refers to nothing before it.
    out.repeat(160)
}

#[test]
fn a_decompression_bomb_is_refused_with_1009_before_it_is_inflated() {
    let bomb = bomb();
    assert!(bomb.len() < 11 << 20);
    let mirror = Serving::start(["ws-l:0", "mirror:", "--max-ws-message-length", "1m"]);
    let before = peak(&mirror.running);
    for _ in 0..3 {
        let (mut stream, _) = client(mirror.port, OFFER);
        // The server stops reading before everything has been written.
        let _ = stream.write_all(&from_client(DEFLATED_BINARY, &bomb));
        assert_eq!(read_close(&mut stream), Some(1009));
    }
    let grown = peak(&mirror.running) - before;
    assert!(grown < 12, "{grown} MB for messages of at most 1");

    let (url, peer) = server("permessage-deflate", move |mut stream| {
        let _ = stream.write_all(&from_server(DEFLATED_BINARY, &bomb));
        read_close(&mut stream)
    });
    let finished = run(["-b", "--max-ws-message-length", "1m", &url], "");
    finished.fails_with(6, "is too long").hints("--max-ws-message-length");
    assert_eq!(peer.join().expect("served"), Some(1009));
}

#[test]
fn the_memory_of_a_decompression_bomb_is_freed_though_its_sender_stays() {
    let bomb = from_client(DEFLATED_BINARY, Zlib::new().deflate(&vec![0; 17 << 20]));
    for args in [&["ws-l:0", "mirror:"][..], &["ws-l:0", "--broadcast", "--deflate", "on"]] {
        let server = Serving::start(args.iter().copied().chain(["--max-ws-message-length", "16m"]));
        let before = peak(&server.running);
        let senders: Vec<_> = (0..12)
            .map(|_| {
                let (mut stream, _) = client(server.port, OFFER);
                say(&mut stream, &bomb);
                assert_eq!(read_close(&mut stream), Some(1009));
                stream
            })
            .collect();
        let grown = peak(&server.running) - before;
        assert!(grown < 64, "{grown} MB for {} bombs one after the other, of at most 16", senders.len());
    }
}

#[test]
fn the_limit_of_a_message_counts_uncompressed_bytes() {
    let mirror =
        Serving::start(["ws-l:0", "mirror:", "--max-ws-message-length", "3000", "--max-ws-frame-length", "2999"]);
    let (mut stream, _) = client(mirror.port, OFFER);
    say(&mut stream, from_client(DEFLATED_TEXT, Zlib::new().deflate(&prose())));
    assert_eq!(hear(&mut stream).first, DEFLATED_TEXT);
    say(&mut stream, from_client(DEFLATED_TEXT, Zlib::new().deflate(&[&prose()[..], b"x"].concat())));
    assert_eq!(read_close(&mut stream), Some(1009));
}

#[test]
fn fifty_megabytes_pass_between_a_client_and_a_listener_of_ours() {
    let mirror = Serving::start(["ws-l:0", "mirror:"]);
    let line: Vec<u8> = prose().into_iter().cycle().take(50 << 20).chain([b'\n']).collect();
    let finished = run(["--deflate", "on", &mirror.url()], &line);
    finished.succeeds();
    assert!(finished.stdout == line, "{} bytes came back", finished.stdout.len());
    // Each side holds the uncompressed message once.
    let peak = peak(&mirror.running);
    assert!(peak < 200, "{peak} MB");
}

#[test]
fn each_side_of_a_proxy_agrees_on_its_own() {
    let (far, peer) = server("permessage-deflate; server_no_context_takeover", |mut stream| {
        let message = hear(&mut stream);
        assert_eq!(message.first, DEFLATED_TEXT);
        let plain = Zlib::new().inflate(&message.payload);
        say(&mut stream, from_server(TEXT, plain));
        close_cleanly(&mut stream);
    });
    let proxy = Serving::start(["ws-l:0", &far]);
    let mut stream = connect(proxy.port);
    say(&mut stream, UPGRADE_REQUEST);
    assert_eq!(Head::read(&mut stream).get(HEADER), None);
    say(&mut stream, from_client(TEXT, prose()));
    let answer = hear(&mut stream);
    assert_eq!((answer.first, answer.payload), (TEXT, prose()));
    assert_eq!(read_close(&mut stream), Some(1000));
    say(&mut stream, from_client(CLOSE, close_payload(1000, "")));
    peer.join().expect("served");
}

#[test]
fn frames_are_shown_as_they_are_on_the_wire() {
    let (url, peer) = server("permessage-deflate", |mut stream| {
        say(&mut stream, from_server(DEFLATED_TEXT, HELLO));
        close_cleanly(&mut stream);
    });
    let finished = Running::start(wsplice(["-vv", &url])).finish();
    assert!(finished.stderr.contains("< text 7 B deflated f248cdc9c90700 ["), "{}", finished.stderr);
    peer.join().expect("served");
}

/// The memory in KiB while 500 clients are idle, each of which has sent a message.
fn idle_memory(deflate: &str) -> usize {
    let mirror = Serving::start(["ws-l:0", "mirror:", "--deflate", deflate]);
    let clients: Vec<_> = (0..500)
        .map(|_| {
            let (mut stream, _) = client(mirror.port, OFFER);
            say(&mut stream, from_client(TEXT, prose()));
            let is_deflated = hear(&mut stream).first == DEFLATED_TEXT;
            assert_eq!(is_deflated, deflate == "on");
            stream
        })
        .collect();
    let status = std::fs::read_to_string(format!("/proc/{}/status", mirror.running.pid())).expect("readable");
    drop(clients);
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn idle_connections_hold_no_compressors() {
    let [plain, deflating] = ["off", "on"].map(idle_memory);
    // 32 compressors for all of them; one each would be 150 MB.
    assert!(deflating < plain + (14 << 10), "{plain} KB without it, {deflating} KB with it");
}
