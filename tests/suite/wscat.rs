//! The options of wscat.

use crate::{
    peer::{Message, Peer, websocket_server},
    support::{Running, Serving, one_connection, run, wsplice},
};
use std::time::Duration;

#[test]
fn connect_and_listen_are_addresses() {
    let server = Running::announced(&["-l", "0", "-t"]);
    drop(server);
    let server = Serving::start(["--listen", "127.0.0.1:0", "mirror:"]);
    assert_eq!(run(["-c", &server.url()], "hello\n").succeeds().out(), "hello\n");
    assert_eq!(run(["--connect", &server.url()], "hello\n").succeeds().out(), "hello\n");
    assert_eq!(run(["-", "-c", &server.url()], "hello\n").succeeds().out(), "hello\n");
    run(["a:", "b:", "-c", "ws://127.0.0.1:9/"], "").fails_with(2, "cannot be used with");
    run(["-c", "ftp://127.0.0.1/"], "").fails_with(2, "invalid address");
}

#[test]
fn execute_sends_messages_in_place_of_standard_input() {
    let server = Serving::start(["ws-l:127.0.0.1:0", "mirror:"]);
    let args = ["-c", &server.url(), "-x", "one", "-x", "-two"];
    assert_eq!(run(args, "not read\n").succeeds().out(), "one\n-two\n");
    let args = ["-c", &server.url(), "-x", "one", "-w", "0"];
    run(args, "").succeeds();
    run(["-c", &server.url(), "-w", "1"], "").fails_with(2, "--execute");
    run(["-c", &server.url(), "-x", "a", "-w", "x"], "").fails_with(2, "--wait");
}

#[test]
fn wait_is_how_long_replies_are_received_whatever_comes() {
    let (url, server) = websocket_server(|mut peer: Peer| {
        assert_eq!(peer.receive_text(), "subscribe");
        peer.send_text("first");
        // Nothing for longer than --linger.
        std::thread::sleep(Duration::from_millis(500));
        peer.send_text("second");
        peer.receive_close()
    });
    let finished = run(["-c", &url, "-x", "subscribe", "-w", "1.5"], "");
    assert_eq!(finished.succeeds().out(), "first\nsecond\n");
    assert!(finished.took >= Duration::from_millis(1500), "{finished:?}");
    assert_eq!(server.join().expect("the server").0, 1000);
    // A server that never answers takes no longer.
    let (url, server) = websocket_server(|mut peer: Peer| (peer.receive_text(), peer.receive_close()));
    let finished = run(["-c", &url, "-x", "hello", "-w", "0.1"], "");
    assert!(finished.succeeds().took < Duration::from_secs(4), "{finished:?}");
    server.join().expect("the server");
}

#[test]
fn wait_minus_one_goes_on_with_standard_input() {
    let server = Serving::start(["ws-l:127.0.0.1:0", "mirror:"]);
    for wait in [&["-w", "-1"][..], &["--wait=-1"]] {
        let mut running = Running::start(wsplice([&["-c", &*server.url(), "-x", "first"], wait].concat()));
        assert_eq!(running.line(), "first\n");
        running.write("second\n");
        assert_eq!(running.line(), "second\n");
        running.close_input();
        running.finish().succeeds();
    }
}

#[test]
fn control_frames_are_shown() {
    let (url, server) = websocket_server(|mut peer: Peer| {
        peer.send(Message::Ping("abc".into()));
        assert_eq!(peer.receive_text(), "hello");
        peer.send_text("reply");
        peer.receive_close()
    });
    let mut running = Running::start(wsplice(["-c", &url, "--show-ping-pong"]));
    assert!(running.error_line("/ ping 3 B 616263").starts_with("< "));
    assert!(running.error_line("/ pong 3 B 616263").starts_with("> "));
    running.write("hello\n");
    assert_eq!(running.line(), "reply\n");
    running.close_input();
    running.error_line("/ close 2 B 1000");
    let finished = running.finish();
    assert!(!finished.succeeds().stderr.contains("text"), "{finished:?}");
    server.join().expect("the server");
}

#[test]
fn slash_commands_are_control_frames() {
    let (port, server) = one_connection(|stream| {
        let mut peer = Peer::accept(stream);
        assert_eq!(peer.receive_text(), "/other");
        let close = peer.receive_close();
        (close, peer.ends())
    });
    let url = format!("ws://127.0.0.1:{port}/");
    let mut running = Running::start(wsplice(["-c", &url, "--slash", "--show-ping-pong"]));
    running.write("/ping abc\n");
    running.error_line("/ ping 3 B 616263");
    running.error_line("/ pong 3 B 616263");
    running.write("/pong\n");
    running.error_line("/ pong 0 B");
    // Nothing follows the close frame.
    running.write("/other\n/close 4000 bye\nlate\n");
    let ((code, reason), ended) = server.join().expect("the server");
    assert_eq!((code, &*reason, ended), (4000, "bye", true));
    running.close_input();
    running.finish();
    // Without the option they are text.
    let server = Serving::start(["ws-l:127.0.0.1:0", "mirror:"]);
    assert_eq!(run(["-c", &server.url()], "/close\n/ping\n").succeeds().out(), "/close\n/ping\n");
}
