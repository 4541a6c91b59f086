//! Programs of `--filter-json` and `--expect-json` that take long, and connections that take long to send.

use crate::{
    http::{Exchange, http_server},
    peer::Peer,
    raw::{CLOSE, RawPeer, TEXT, close_payload, from_server, raw_server, read_frame, unfinished},
    support::{Folder, Serving, run},
    terminal::InTerminal,
};
use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    thread::{self, JoinHandle},
    time::Duration,
};

/// Messages that take the program a second.
const STRANGERS: usize = 40;

#[test]
fn slow_messages_of_strangers_do_not_hold_up_quick_ones() {
    let program = ". as $n | [limit($n; repeat(1))] | length";
    let server = Serving::start(["--filter-json", program, "ws-l:127.0.0.1:0", "mirror:"]);
    let mut strangers: Vec<_> = (0..STRANGERS).map(|_| RawPeer::connect(server.port, "/")).collect();
    strangers.iter_mut().for_each(|stranger| stranger.send_text("100000000"));
    let mut client = Peer::connect(server.port, "/");
    client.send_text("5");
    assert_eq!(client.receive_text(), "5");
    // What is too much for the program closes a connection.
    let waits = |stranger: &mut RawPeer| {
        let stream = stranger.stream();
        stream.set_nonblocking(true).expect("a socket");
        matches!(stream.peek(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
    };
    let waiting = strangers.iter_mut().filter_map(|stranger| waits(stranger).then_some(())).count();
    assert!(waiting > STRANGERS / 2, "{waiting} of {STRANGERS} strangers wait");
}

#[test]
fn a_message_that_takes_half_a_second_has_its_results_all_the_same() {
    let program = "first(range(.; infinite) | select(. >= 20000))";
    assert_eq!(run(["--filter-json", program, "mirror:"], "1\n19999\n2\n").succeeds().out(), "20000\n".repeat(3));
}

#[test]
fn a_message_that_came_in_time_is_judged_before_it_is_said_to_be_missing() {
    let (url, server) = raw_server(|mut stream| {
        stream.write_all(&from_server(TEXT, "1")).expect("write");
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let program = "[range(100000)] | length == 100000";
    let finished = run(["--expect-json", program, "--within", "0.01", &url], "");
    server.join().expect("the server");
    // It may also have come too late.
    assert!(finished.out() == "1\n" || finished.stderr.contains("nothing was received"), "{finished:?}");
}

const LENGTH: usize = 48 << 20;

/// A server that takes a message of [`LENGTH`] slowly, and then answers.
fn slow_server() -> (String, JoinHandle<()>) {
    raw_server(|mut stream| {
        let mut piece = vec![0; 1 << 20];
        for _ in 0..LENGTH >> 20 {
            stream.read_exact(&mut piece).expect("read");
            thread::sleep(Duration::from_millis(50));
        }
        let close = from_server(CLOSE, close_payload(1000, ""));
        stream.write_all(&[from_server(TEXT, "hello"), close].concat()).expect("write");
        let _ = stream.read_to_end(&mut Vec::new());
    })
}

#[test]
fn within_counts_from_the_end_of_a_message_that_is_sent_slowly() {
    let folder = Folder::new("sent-slowly");
    let path = folder.path("message");
    fs::write(&path, vec![b'x'; LENGTH]).expect("write");
    let send = format!("@{path}");
    for expected in [&["--expect", "hello"][..], &["--replies", "1"]] {
        let (url, server) = slow_server();
        let finished = run([expected, &["--send", &send, "--within", "1.2", &url]].concat(), "");
        server.join().expect("the server");
        assert_eq!(finished.succeeds().out(), "hello\n");
    }
    // Nor is a connection given up that takes the last data.
    let (url, server) = slow_server();
    run(["-u", "--send", &send, "--close-timeout", "1.2", &url], "").succeeds();
    server.join().expect("the server");
}

#[test]
fn stats_count_what_the_connection_has_taken() {
    let folder = Folder::new("not-taken");
    let path = folder.path("message");
    fs::write(&path, vec![b'x'; LENGTH]).expect("write");
    let (url, server) = raw_server(|mut stream: TcpStream| {
        let first = read_frame(&mut stream).expect("a frame").payload.len();
        // No more is read before the client has given up.
        stream.write_all(&from_server(TEXT, "hello")).expect("write");
        (first, stream)
    });
    let args =
        ["--send", "short", "--send", &format!("@{path}"), "--stats", "--expect", "never", "--within", "0.5", &url];
    let finished = run(args, "");
    let (first, _stream) = server.join().expect("the server");
    assert!(finished.code == 9 && finished.stderr.contains(" within 0.5 s\n"), "{finished:?}");
    let sent = finished.stderr.lines().find_map(|line| line.strip_prefix("* sent 1 message, ")).expect("totals");
    let bytes: usize = sent.split(' ').next().and_then(|bytes| bytes.parse().ok()).expect("a number");
    assert!((first..LENGTH).contains(&bytes), "{finished:?}");
}

#[test]
fn what_came_before_the_connection_was_lost_is_shown() {
    let (url, server) = raw_server(|mut stream| {
        stream.write_all(&from_server(TEXT, "hello")).expect("write");
        stream.write_all(&from_server(unfinished(TEXT), "half of")).expect("write");
    });
    let finished = run(["--expect", "pong", &url], "");
    server.join().expect("the server");
    finished
        .fails_with(7, "matches --expect \"pong\" before the connection was lost: ")
        .hints("received instead:\n    text 5 B \"hello\"");
}

#[test]
fn the_process_of_a_program_is_nothing_for_users() {
    run(["--jq-process"], "").fails_with(2, "--jq-process is for processes that wsplice starts");
    run(["--jq-process"], "hello\n").fails_with(2, "--jq-process is for processes that wsplice starts");
}

#[test]
fn an_empty_program_is_the_identity_as_in_jq() {
    for program in ["", " "] {
        assert_eq!(run(["--filter-json", program, "mirror:"], "{\"a\":1}\n").succeeds().out(), "{\"a\":1}\n");
    }
}

#[test]
fn a_file_that_a_program_imports_is_refused_at_the_start() {
    let program = "import \"/etc/passwd\" as $x; $x";
    run(["--filter-json", program, "mirror:"], "1\n")
        .fails_with(2, "files cannot be imported")
        .hints("import \"/etc/passwd\" as $x; $x");
}

#[test]
fn a_byte_order_mark_before_json_values_is_skipped() {
    assert_eq!(run(["--json-in", "mirror:"], "\u{feff}{\"a\":1}\n2").succeeds().out(), "{\"a\":1}\n2\n");
    assert_eq!(run(["--json-in", "mirror:"], "\u{feff}").succeeds().out(), "");
    run(["--json-in", "mirror:"], b"1\xef\xbb\xbf2").fails_with(1, "is not JSON");
    run(["--json-in", "mirror:"], b"\xef\xbb").fails_with(1, "is not JSON");
}

#[test]
fn a_line_of_a_recording_that_is_not_json_has_one_position() {
    let folder = Folder::new("position");
    let path = folder.path("recording");
    fs::write(&path, "{\"t\":1,\"dir\":\"sent\",\"kind\":\"text\",\"data\":\"a\"}\n{\"t\":2,\n").expect("write");
    let finished = run([&format!("replay:{path}"), "mirror:"], "");
    finished.fails_with(1, "line 2");
    assert!(finished.stderr.contains("is not JSON") && finished.stderr.contains(", at column 7"), "{finished:?}");
    assert_eq!(finished.stderr.matches(" line ").count(), 1, "{finished:?}");
}

/// A server that refuses the opening handshake, with a header that is not valid.
fn refusing(header: &'static str) -> (String, JoinHandle<()>) {
    let (port, server) = http_server(move |mut exchange: Exchange| {
        let response = format!("HTTP/1.1 403 Forbidden\r\nX-Why: blocked\r\n{header}\r\nContent-Length: 2\r\n\r\nno");
        exchange.reader.get_mut().write_all(response.as_bytes()).expect("write");
        exchange.ends();
    });
    (format!("ws://127.0.0.1:{port}/"), server)
}

#[test]
fn a_refusal_with_an_invalid_header_is_shown_with_a_remark() {
    for (header, name) in [("X-\u{1}: a", "X-\\x01"), ("X-Bad: y\u{1b}[2J", "X-Bad"), ("no colon", "no colon")] {
        let (url, server) = refusing(header);
        let finished = run(["-v", &url], "");
        server.join().expect("the server");
        assert_eq!(finished.code, 5);
        let error = " failed: expected 101, got 403 Forbidden\n";
        let remark = format!("* the response has an invalid header: {name}\n");
        for line in ["< HTTP/1.1 403 Forbidden\n", "< X-Why: blocked\n", &remark, "< no\n", error] {
            assert_eq!(finished.stderr.matches(line).count(), 1, "{line} in {finished:?}");
        }
        let (url, server) = refusing(header);
        let (code, printed) = InTerminal::start(&["--no-tui", &url]).ends();
        server.join().expect("the server");
        assert_eq!(code, Some(5));
        for line in ["< HTTP/1.1 403 Forbidden", "< X-Why: blocked", "< (the response has an invalid header: ", "< no"]
        {
            assert!(printed.contains(line), "{line} in {printed}");
        }
        let (url, server) = refusing(header);
        run([&url], "").fails_with(5, "expected 101, got 403 Forbidden: no");
        server.join().expect("the server");
    }
}

#[test]
fn options_of_the_prompt_are_refused_without_one() {
    for (option, hint) in [(&["--ts", "iso"][..], "--jsonl and timestamp:"), (&["--pretty"], "jq .")] {
        let finished = run([option, &["mirror:"]].concat(), "a\n");
        finished.fails_with(2, "does not apply to these addresses: it is an option of term:").hints(hint);
        let (code, printed) = InTerminal::start(&[option, &["--no-tui", "ws://127.0.0.1:1/"]].concat()).ends();
        assert!(code == Some(2) && printed.contains("does not apply"), "{printed}");
        let (code, printed) = InTerminal::start(&[option, &["--explain", "ws://127.0.0.1:1/"]].concat()).ends();
        assert_eq!(code, Some(0), "{printed}");
    }
    // Those promise nothing there.
    for option in [&["--color", "always"][..], &["--raw"], &["--no-history"]] {
        assert_eq!(run([option, &["mirror:"]].concat(), "a\n").succeeds().out(), "a\n");
    }
}
