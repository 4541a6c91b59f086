//! Long messages over slow connections: bytes that arrive reset the silence timers.

use crate::{
    raw::{CLOSE, CONTINUATION, PING, PONG, TEXT, raw_peer_server, unfinished},
    support::{Running, one_connection, run, wsplice},
};
use std::{
    io::{Read, Write},
    net::Shutdown,
    thread,
    time::Duration,
};

/// The time between two pieces of a message.
const PACE: Duration = Duration::from_millis(100);
/// Limits that are longer than that and shorter than the whole message takes.
const PATIENCE: [&str; 4] = ["--linger", "0.4", "--close-timeout", "0.4"];

#[test]
fn an_answer_in_slow_fragments_is_waited_for() {
    let (url, server) = raw_peer_server(|mut peer| {
        peer.frame();
        let ping = peer.frame().expect("a ping");
        peer.send(PONG, ping.payload);
        peer.send(unfinished(TEXT), b"0");
        for i in 1..10 {
            thread::sleep(PACE);
            peer.send(if i == 9 { CONTINUATION } else { unfinished(CONTINUATION) }, i.to_string());
        }
        peer.receive_close()
    });
    let finished = run([&[url.as_str()][..], &PATIENCE].concat(), "question\n");
    finished.succeeds();
    assert_eq!(finished.out(), "0123456789\n");
    assert_eq!(server.join().expect("the server"), (1000, String::new()));
}

#[test]
fn an_answer_in_slow_fragments_is_waited_for_over_a_shared_end() {
    let (url, server) = raw_peer_server(|mut peer| {
        peer.frame();
        let ping = peer.frame().expect("a ping");
        peer.send(PONG, ping.payload);
        peer.send(unfinished(TEXT), b"0");
        for i in 1..10 {
            thread::sleep(PACE);
            peer.send(if i == 9 { CONTINUATION } else { unfinished(CONTINUATION) }, i.to_string());
        }
        peer.ends();
    });
    let shared = format!("reuse:{url}");
    let finished = run([&["-", shared.as_str()][..], &PATIENCE].concat(), "question\n");
    finished.succeeds();
    assert_eq!(finished.out(), "0123456789\n");
    server.join().expect("the server");
}

#[test]
fn a_last_message_in_one_slow_frame_is_waited_for_after_the_close_frame() {
    let (url, server) = raw_peer_server(|mut peer| {
        assert_eq!(peer.frame().map(|frame| frame.text()), Some("question".into()));
        let close = peer.frame().expect("a close frame");
        // The header announces ten bytes.
        peer.send_bytes([TEXT, 10]);
        for _ in 0..10 {
            thread::sleep(PACE);
            peer.send_bytes(b"x");
        }
        peer.send(CLOSE, close.payload);
    });
    // For any end other than standard input the close frame follows the last byte at once.
    let (port, asker) = one_connection(|mut stream| {
        stream.write_all(b"question").expect("ask");
        stream.shutdown(Shutdown::Write).expect("end");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    });
    let asking = format!("tcp:127.0.0.1:{port}");
    let arguments = [&[asking.as_str(), url.as_str()][..], &PATIENCE].concat();
    Running::start(wsplice(arguments)).finish().succeeds();
    assert_eq!(asker.join().expect("the asker"), "xxxxxxxxxx");
    server.join().expect("the server");
}

#[test]
fn pings_of_a_peer_that_never_answers_the_close_frame_do_not_extend_the_close_timeout() {
    let (url, server) = raw_peer_server(|mut peer| {
        let mut pings = 0;
        // Until the connection has ended; far more often than the run has time for.
        while pings < 200 && peer.stream().write_all(&[PING, 0]).is_ok() {
            thread::sleep(PACE);
            pings += 1;
        }
        pings
    });
    let running = Running::start(wsplice([&["-u", "literal:question", url.as_str()][..], &PATIENCE].concat()));
    running.finish().fails_with(124, "to answer the close frame");
    assert!(server.join().expect("the server") < 200);
}
