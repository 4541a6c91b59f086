//! Clients that keep the server busy with frames that cost them nothing: others are answered meanwhile.

use crate::{
    deflate::{OFFER, Zlib, client},
    peer::Peer,
    raw::{
        BINARY, CONTINUATION, PING, TEXT, from_client, from_server, raw_client, raw_server, read_close, read_frame,
        unfinished,
    },
    rooms::rooms,
    support::{Serving, connect, run},
};
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

/// The bit of a frame's first byte that marks a compressed message (RFC 7692 section 6).
const COMPRESSED: u8 = 0x40;

fn mirror() -> Serving {
    Serving::start(["ws-l:127.0.0.1:0", "mirror:"])
}

/// Sends `start` and then `bytes` again and again. Meanwhile another client, and one that connects only now, are answered.
#[track_caller]
fn others_are_answered(server: &Serving, mut attacker: TcpStream, start: &[u8], bytes: Vec<u8>) {
    let mut other = Peer::connect(server.port, "/other");
    attacker.write_all(start).expect("send");
    let mut reader = attacker.try_clone().expect("a second handle");
    thread::spawn(move || while matches!(reader.read(&mut [0; 65_536]), Ok(1..)) {});
    let done = Arc::new(AtomicBool::new(false));
    let (sent, is_busy) = mpsc::channel();
    let sending = thread::spawn({
        let done = done.clone();
        move || {
            let mut times = 0;
            while !done.load(Relaxed) {
                attacker.write_all(&bytes).expect("the connection is not closed");
                times += 1;
                let _ = sent.send(times);
            }
        }
    });
    let until_more_was_sent = || is_busy.recv().expect("it sends");
    while until_more_was_sent() * 100_000 < 4 << 20 {}
    for i in 0..20 {
        until_more_was_sent();
        other.send_text(&i.to_string());
        assert_eq!(other.receive_text(), i.to_string());
    }
    let mut late = Peer::connect(server.port, "/late");
    late.send_text("late");
    assert_eq!(late.receive_text(), "late");
    until_more_was_sent();
    done.store(true, Relaxed);
    sending.join().expect("the attacker");
}

/// Messages of as many fragments as are allowed, over and over; about 100 kB.
fn fragments(payload: &[u8]) -> Vec<u8> {
    let between = from_client(unfinished(CONTINUATION), payload).repeat(14_000);
    [from_client(unfinished(TEXT), payload), between, from_client(CONTINUATION, payload)].concat()
}

#[test]
fn fragments_of_one_byte_or_none_do_not_hold_up_others() {
    for payload in [&b""[..], b"x"] {
        for server in [mirror(), rooms(&[])] {
            let attacker = raw_client(connect(server.port));
            others_are_answered(&server, attacker, b"", fragments(payload));
        }
    }
}

#[test]
fn pings_do_not_hold_up_others() {
    for server in [mirror(), rooms(&[])] {
        let attacker = raw_client(connect(server.port));
        others_are_answered(&server, attacker, b"", from_client(PING, b"").repeat(16_000));
    }
}

#[test]
fn final_blocks_do_not_hold_up_others() {
    // After 32 KiB that do not get shorter, streams of one letter, each with all of these as its window.
    let stored: Vec<u8> = (0..0x7fff).map(|_| rand::random()).collect();
    let start = [&[0x00, 0xff, 0x7f, 0x00, 0x80][..], &stored].concat();
    let letters = [0x4b, 0x04, 0x00].repeat(33_000);
    for server in [mirror(), rooms(&["--deflate", "on"])] {
        let (attacker, _) = client(server.port, OFFER);
        let start = from_client(COMPRESSED | unfinished(BINARY), &start);
        others_are_answered(&server, attacker, &start, from_client(unfinished(CONTINUATION), &letters));
    }
}

#[test]
fn messages_that_grow_do_not_hold_up_others() {
    let bomb = from_client(COMPRESSED | BINARY, Zlib::new().deflate(&vec![0; 1 << 20]));
    let server = mirror();
    let (attacker, _) = client(server.port, OFFER);
    let times = 100_000 / bomb.len();
    others_are_answered(&server, attacker, b"", bomb.repeat(times));
}

#[test]
fn long_messages_that_are_sent_compressed_do_not_hold_up_others() {
    // Two letters in no order take the longest to compress.
    let letters: Vec<u8> = (0..4 << 20).map(|_| b'a' + rand::random::<u8>() % 2).collect();
    let deflate = ["--deflate", "on"];
    let mirror = Serving::start(["ws-l:127.0.0.1:0", "mirror:", deflate[0], deflate[1]]);
    // When each was compressed in one step, others waited for 4 s.
    for (server, message) in [(rooms(&deflate), &letters[..]), (mirror, &letters.repeat(4))] {
        let message = from_client(BINARY, message);
        let mut other = Peer::connect(server.port, "/other");
        let (done, is_busy) = (AtomicBool::new(false), Barrier::new(3));
        let worst = thread::scope(|scope| {
            for _ in 0..2 {
                let (mut attacker, _) = client(server.port, OFFER);
                let mut reader = attacker.try_clone().expect("a second handle");
                scope.spawn(move || while matches!(reader.read(&mut [0; 65_536]), Ok(1..)) {});
                let (done, is_busy, message) = (&done, &is_busy, &message);
                scope.spawn(move || {
                    attacker.write_all(message).expect("send");
                    is_busy.wait();
                    while !done.load(Relaxed) {
                        attacker.write_all(message).expect("send");
                    }
                    attacker.shutdown(Shutdown::Both).expect("leave");
                });
            }
            is_busy.wait();
            let echo = |number: i32| {
                let start = Instant::now();
                other.send_text(&number.to_string());
                assert_eq!(other.receive_text(), number.to_string());
                start.elapsed()
            };
            let worst = (0..20).map(echo).max();
            done.store(true, Relaxed);
            worst
        });
        assert!(worst < Some(Duration::from_secs(1)), "{worst:?}");
    }
}

/// Sends these bytes until the connection is closed with 1008; another client is answered.
#[track_caller]
fn is_closed(server: &Serving, mut attacker: TcpStream, start: &[u8], bytes: &[u8]) {
    let mut other = Peer::connect(server.port, "/other");
    attacker.write_all(start).expect("send");
    let mut writer = attacker.try_clone().expect("a second handle");
    let bytes = bytes.to_vec();
    let sending = thread::spawn(move || while writer.write_all(&bytes).is_ok() {});
    assert_eq!(read_close(&mut attacker), Some(1008));
    other.send_text("still here");
    assert_eq!(other.receive_text(), "still here");
    sending.join().expect("the attacker");
}

#[test]
fn endless_fragments_are_answered_with_1008() {
    for server in [mirror(), rooms(&[])] {
        let attacker = raw_client(connect(server.port));
        let start = from_client(unfinished(TEXT), b"");
        is_closed(&server, attacker, &start, &from_client(unfinished(CONTINUATION), b"").repeat(1000));
    }
}

#[test]
fn endless_final_blocks_without_output_are_answered_with_1008() {
    for server in [mirror(), rooms(&["--deflate", "on"])] {
        let (attacker, _) = client(server.port, OFFER);
        let start = from_client(COMPRESSED | unfinished(BINARY), [0x4b, 0x04, 0x00]);
        is_closed(&server, attacker, &start, &from_client(unfinished(CONTINUATION), [0x03, 0x00].repeat(1000)));
    }
}

#[test]
fn a_message_that_is_not_complete_in_time_is_answered_with_1008() {
    let limit = ["--message-timeout", "0.2"];
    for server in [
        Serving::start(["ws-l:127.0.0.1:0", "mirror:", limit[0], limit[1]]),
        rooms(&limit),
        rooms(&["--message-timeout", "1"]),
    ] {
        for start in [from_client(unfinished(TEXT), b"start"), vec![0x82, 0xff, 0, 0, 0, 0, 0, 16, 0, 0, 1, 2, 3, 4, 5]]
        {
            let mut stream = raw_client(connect(server.port));
            stream.write_all(&start).expect("send");
            assert_eq!(read_close(&mut stream), Some(1008));
        }
    }
    let (url, peer) = raw_server(|mut stream| {
        stream.write_all(&from_server(unfinished(TEXT), b"start")).expect("send");
        read_close(&mut stream)
    });
    run(["-U", "-", &url, limit[0], limit[1]], "").fails_with(6, "a message was not complete after 0.2 s");
    assert_eq!(peer.join().expect("the server"), Some(1008));
}

#[test]
fn a_message_may_take_as_long_as_it_likes_without_a_limit() {
    let server = Serving::start(["ws-l:127.0.0.1:0", "mirror:", "--message-timeout", "0"]);
    let mut stream = raw_client(connect(server.port));
    stream.write_all(&from_client(unfinished(TEXT), b"start")).expect("send");
    // Another client's message does run out of time meanwhile.
    let hasty = Serving::start(["ws-l:127.0.0.1:0", "mirror:", "--message-timeout", "0.2"]);
    let mut other = raw_client(connect(hasty.port));
    other.write_all(&from_client(unfinished(TEXT), b"start")).expect("send");
    assert_eq!(read_close(&mut other), Some(1008));
    stream.write_all(&from_client(CONTINUATION, b" and end")).expect("send");
    assert_eq!(read_frame(&mut stream).expect("a message").text(), "start and end");
}
