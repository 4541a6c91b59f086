//! How long a run waits for replies after its input has ended, and how long `-1` and `--replies` wait.

use crate::{
    peer::websocket_server,
    raw::{CLOSE, PING, PONG, RawPeer, raw_peer_server},
    support::{Running, Serving, run, wsplice},
};
use std::{thread, time::Duration};

/// The time that a slow server takes to reply. No test waits for an event with this.
fn take_time(millis: u64) {
    thread::sleep(Duration::from_millis(millis));
}

/// A server that reads to the end, answers pings and the close frame, and sends nothing else. Gives the close code.
fn mute(mut peer: RawPeer) -> u16 {
    loop {
        let frame = peer.receive();
        if frame.first == CLOSE {
            peer.send(CLOSE, &frame.payload);
            return frame.close().0;
        }
    }
}

#[test]
fn a_reply_that_takes_a_second_is_printed() {
    let (url, server) = raw_peer_server(|mut peer| {
        assert_eq!(peer.receive_text(), "question");
        let ping = peer.frame().expect("a ping");
        assert_eq!(ping.first, PING, "{ping:?}");
        peer.send(PONG, ping.payload);
        take_time(1000);
        peer.send_text("answer");
        peer.receive_close()
    });
    let finished = run([&url], "question\n");
    assert_eq!(finished.succeeds().out(), "answer\n");
    assert_eq!(finished.stderr, "");
    assert_eq!(server.join().expect("the server"), (1000, String::new()));
}

#[test]
fn the_user_is_told_when_the_time_for_a_reply_has_run_out() {
    let (url, server) = raw_peer_server(mute);
    let finished = run([&url, "--reply-wait", "0.6"], "question\n");
    assert_eq!(finished.succeeds().out(), "");
    assert!(finished.took >= Duration::from_millis(600), "{finished:?}");
    assert!(finished.stderr.contains("no reply for 0.6 s after the last message"), "{finished:?}");
    assert!(finished.stderr.contains("--reply-wait") && finished.stderr.contains("-u"), "{finished:?}");
    server.join().expect("the server");
}

#[test]
fn a_push_that_wants_no_reply_ends_at_once_with_u_or_a_wait_of_0() {
    for args in [&["-u"][..], &["--reply-wait", "0"]] {
        let (url, server) = raw_peer_server(mute);
        let finished = run([&[url.as_str()], args].concat(), "data\n");
        assert_eq!(finished.succeeds().stderr, "", "{args:?}");
        assert!(finished.took < Duration::from_secs(4), "{finished:?}");
        server.join().expect("the server");
    }
}

#[test]
fn a_server_that_sent_nothing_while_the_input_lasted_is_not_waited_for() {
    let (url, server) = raw_peer_server(mute);
    let mut running = Running::start(wsplice([&url, "--reply-wait", "0.5", "--log-format", "json"]));
    running.write("first\n");
    take_time(700);
    running.write("last\n");
    running.close_input();
    assert_eq!(running.finish().succeeds().stderr, "");
    server.join().expect("the server");
}

#[test]
fn a_silent_server_is_exit_9_for_1_and_replies_after_within() {
    for args in [&["-1"][..], &["--replies", "2"]] {
        let (url, server) = raw_peer_server(mute);
        let finished = run([args, &[&url, "--within", "0.5"]].concat(), "x\n");
        finished.fails_with(9, "nothing arrived for 0.5 s after 0 of ").hints("--within");
        assert_eq!(server.join().expect("the server"), 1000, "the connection is closed in good order");
        let (url, server) = raw_peer_server(mute);
        run([args, &["--within", "0.5", "-t", "literal:X", &url]].concat(), "").fails_with(9, "nothing arrived");
        server.join().expect("the server");
    }
}

#[test]
fn within_counts_from_the_last_reply_and_what_came_is_printed() {
    let (url, server) = websocket_server(|mut peer| {
        assert_eq!(peer.receive_text(), "go");
        for reply in ["1", "2", "3"] {
            take_time(400);
            peer.send_text(reply);
        }
        peer.receive_close().0
    });
    let finished = run([&url, "--replies", "4", "--within", "1"], "go\n");
    finished.fails_with(9, "after 3 of 4 replies");
    assert_eq!(finished.out(), "1\n2\n3\n");
    assert_eq!(server.join().expect("the server"), 1000);
}

#[test]
fn a_silent_tcp_server_is_exit_9_too() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = format!("tcp:{}", silent.local_addr().expect("an address"));
    run(["-1", "--within", "0.5", "-", &address], "x\n").fails_with(9, "nothing arrived");
}

#[test]
fn with_a_within_of_0_a_reply_may_take_any_time() {
    let (url, server) = websocket_server(|mut peer| {
        assert_eq!(peer.receive_text(), "x");
        take_time(700);
        peer.send_text("answer");
        peer.receive_close().0
    });
    assert_eq!(run(["-1", &url, "--within", "0"], "x\n").succeeds().out(), "answer\n");
    server.join().expect("the server");
}

#[test]
fn within_needs_1_or_replies() {
    run(["--within", "1", "mirror:"], "").fails_with(2, "--within").hints("--max-time");
}

#[test]
fn a_signal_ends_the_wait_for_replies_with_its_own_exit_code() {
    let server = Serving::start(["-u", "ws-l:0", "writefile:/dev/null"]);
    let mut running = Running::start(wsplice([&server.url(), "--replies", "2", "-v"]));
    running.error_line("* connected to ws:");
    running.signal("TERM");
    assert_eq!(running.finish().code, 143);
}

#[test]
fn replies_to_what_was_before_bad_input_are_printed() {
    for (args, input, reason) in [
        (&["--json-in"][..], &b"{\"a\":1}\n{\"b\" 2}\n"[..], "line 2, column 6 from standard input is not JSON"),
        (&[], b"{\"a\":1}\n\xff\n", "line 2 from standard input is not valid UTF-8"),
        // It keeps the connection open after the end of the input, but not after bad input.
        (&["-n"], b"{\"a\":1}\n\xff\n", "line 2 from standard input is not valid UTF-8"),
        (&["--expect", "answer", "--json-in"], b"{\"a\":1} x", "is not JSON"),
    ] {
        let (url, server) = raw_peer_server(|mut peer| {
            assert_eq!(peer.receive_text(), "{\"a\":1}");
            take_time(500);
            peer.send_text("answer");
            peer.receive_close()
        });
        // Standard input stays open.
        let mut running = Running::start(wsplice([args, &[&*url]].concat()));
        running.write(input);
        let finished = running.finish();
        finished.fails_with(1, reason);
        assert_eq!(finished.out(), "answer\n", "{args:?}");
        // What is expected ends the session in good order.
        let code = if args.contains(&"--expect") { 1000 } else { 1011 };
        assert_eq!(server.join().expect("the server"), (code, String::new()));
    }
}

#[test]
fn bad_input_ends_the_run_at_once_if_no_reply_is_due() {
    for (args, input) in [(&["--json-in"][..], &b"x"[..]), (&[], b"\xff\n"), (&["-u", "-"], b"one\n\xff\n")] {
        let (url, server) = raw_peer_server(mute);
        let finished = run([args, &[&*url]].concat(), input);
        finished.fails_with(1, "from standard input is not");
        assert!(finished.took < Duration::from_secs(4), "{finished:?}");
        assert_eq!(server.join().expect("the server"), 1011);
    }
}
