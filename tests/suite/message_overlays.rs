//! Overlays that convert messages, or decide where and when they go.

use crate::{
    peer::{Message, Peer, websocket_server},
    raw::{PING, PONG, RawPeer, raw_peer_server, raw_server},
    support::{Folder, LIMIT, Running, Serving, one_connection, run, wsplice},
};
use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, TcpListener},
    time::{Duration, SystemTime},
};

#[test]
fn base64_carries_binary_messages_over_text() {
    let (url, server) = websocket_server(|mut peer| {
        peer.send(Message::binary(&b"\0\xff"[..]));
        let message = peer.receive();
        peer.close(1000, "");
        peer.ends();
        message
    });
    let finished = run(["-", &format!("base64:{url}")], "/wA=\n");
    assert_eq!(finished.succeeds().out(), "AP8=\n");
    assert_eq!(server.join().expect("the server"), Message::binary(&b"\xff\0"[..]));
    run(["-", "base64:mirror:"], "not base64\n").fails_with(1, "is not base64");
}

#[test]
fn words_become_json_rpc_requests() {
    let requests = |args: &[&str], input: &str| run(args, input).succeeds().out();
    let input = "add 1,2\n\nping\n  sub {\"a\": [1]}  \nsay hello world\nlist [1, 2]\nquote\"d \"x\"\nlist [1\n";
    let expected = [
        r#"{"jsonrpc":"2.0","id":1, "method":"add", "params":[1,2]}"#,
        r#"{"jsonrpc":"2.0","id":2, "method":"ping", "params":[]}"#,
        r#"{"jsonrpc":"2.0","id":3, "method":"sub", "params":{"a": [1]}}"#,
        r#"{"jsonrpc":"2.0","id":4, "method":"say", "params":["hello world"]}"#,
        r#"{"jsonrpc":"2.0","id":5, "method":"list", "params":[1, 2]}"#,
        r#"{"jsonrpc":"2.0","id":6, "method":"quote\"d", "params":["x"]}"#,
        r#"{"jsonrpc":"2.0","id":7, "method":"list", "params":["[1"]}"#,
    ];
    assert_eq!(requests(&["--jsonrpc", "mirror:"], input).lines().collect::<Vec<_>>(), expected);
    assert_eq!(requests(&["jsonrpc:-", "mirror:"], input).lines().collect::<Vec<_>>(), expected);
    let without = requests(&["--jsonrpc", "--jsonrpc-omit-jsonrpc", "mirror:"], "add 1,2\n");
    assert_eq!(without, "{\"id\":1, \"method\":\"add\", \"params\":[1,2]}\n");
    // Bytes that are no text, and a method that is not closed.
    run(["-b", "--jsonrpc", "mirror:"], b"\xff \xfe").succeeds();
}

#[test]
fn words_of_more_than_64_kib_are_no_json_rpc_request() {
    let longest = format!("say {}", "\"".repeat(65_532));
    run(["--jsonrpc", "mirror:"], &longest).succeeds();
    run(["--jsonrpc", "mirror:"], longest + "\"").fails_with(1, "is longer than 65536 bytes").hints("without jsonrpc:");
    let mut server = Serving::start(["jsonrpc:ws-l:127.0.0.1:0", "mirror:"]);
    let mut client = Peer::connect(server.port, "/");
    client.send_text(&"\"".repeat(1 << 20));
    server.running.error_line("is longer than 65536 bytes");
}

#[test]
fn a_timestamp_stands_in_front_of_each_message_that_is_read() {
    let stamp = |args: &[&str]| {
        let out = run(args, "one\n").succeeds().out();
        let (time, text) = out.split_once(' ').expect("a time");
        assert_eq!(text, "one\n", "once, not on the way back");
        time.parse::<f64>().expect("a number")
    };
    let now = SystemTime::UNIX_EPOCH.elapsed().expect("a clock").as_secs_f64();
    let time = stamp(&["timestamp:-", "mirror:"]);
    assert!((now - 1.0..now + LIMIT.as_secs_f64()).contains(&time), "{time} {now}");
    let time = stamp(&["timestamp:-", "mirror:", "--timestamp-monotonic"]);
    assert!((0.0..LIMIT.as_secs_f64()).contains(&time), "{time}");
}

#[test]
fn foreachmsg_writes_only_the_last_message_to_a_file() {
    let folder = Folder::new("foreachmsg");
    let file = folder.path("status");
    let (url, server) = websocket_server(|mut peer| {
        peer.send_text("a long first message");
        peer.send_text("last");
        peer.close(1000, "");
        peer.ends()
    });
    run(["-u", &url, &format!("foreachmsg:writefile:{file}")], "").succeeds();
    server.join().expect("the server");
    assert_eq!(fs::read_to_string(&file).expect("it is there"), "last\n");
}

#[test]
fn foreachmsg_runs_a_program_for_each_message_and_passes_on_what_it_prints() {
    let server = Serving::start(["ws-l:0", "foreachmsg:sh-c:cat; echo done"]);
    let mut client = Peer::connect(server.port, "/");
    for text in ["one", "two"] {
        client.send_text(text);
    }
    let replies: Vec<_> = (0..4).map(|_| client.receive_text()).collect();
    assert_eq!(replies, ["one", "done", "two", "done"]);
    client.close(1000, "");
    assert_eq!(client.receive_close().0, 1000);
}

#[test]
fn foreachmsg_ends_with_an_error_when_a_program_fails_or_nothing_listens() {
    run(["-", "foreachmsg:sh-c:exit 3"], "one\ntwo\n").fails_with(10, "exited with status 3");
    // One that does not read its message, however long that is, has not failed.
    let long = format!("{}\n", "x".repeat(1 << 20));
    assert_eq!(run(["-", "foreachmsg:sh-c:echo tick"], &long).succeeds().out(), "tick\n");
    run(["-", "foreachmsg:tcp:127.0.0.1:1"], "one\n").fails_with(3, "cannot connect to 127.0.0.1:1");
}

#[test]
fn foreachmsg_waits_for_replies_to_the_end_on_demand() {
    // A server that answers late, and never ends a connection of its own accord.
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = listener.local_addr().expect("address").port();
    let server = std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().expect("accept");
            stream.set_read_timeout(Some(LIMIT)).expect("set a limit");
            let mut request = String::new();
            stream.read_to_string(&mut request).expect("read");
            stream.write_all(format!("reply to {request}").as_bytes()).expect("write");
            stream.shutdown(Shutdown::Write).expect("shut down");
        }
    });
    let args = ["-", &format!("foreachmsg:tcp:127.0.0.1:{port}"), "--foreachmsg-wait-read", "--linger", "0"];
    assert_eq!(run(args, "a\nb\n").succeeds().out(), "reply to a\nreply to b\n");
    server.join().expect("the server");
    // Without the option a silent peer does not stop the messages behind.
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = format!("foreachmsg:tcp:{}", listener.local_addr().expect("address"));
    let client = Running::start(wsplice(["-u", "literal:x", &address]));
    let (silent, _) = listener.accept().expect("accept");
    client.finish().succeeds();
    drop(silent);
}

#[test]
fn waitfordata_connects_when_there_is_data() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = listener.local_addr().expect("address").port();
    let mut client = Running::start(wsplice(["-v", "-", &format!("waitfordata:ws://127.0.0.1:{port}/")]));
    listener.set_nonblocking(true).expect("set an option");
    assert!(listener.accept().is_err(), "it has not connected");
    client.write("first\n");
    listener.set_nonblocking(false).expect("set an option");
    let (stream, _) = listener.accept().expect("accept");
    stream.set_nonblocking(false).expect("set an option");
    stream.set_read_timeout(Some(LIMIT)).expect("set a limit");
    let mut peer = Peer::accept(stream);
    assert_eq!(peer.receive_text(), "first");
    client.write("second\n");
    assert_eq!(peer.receive_text(), "second");
    peer.send_text("reply");
    assert_eq!(client.line(), "reply\n");
    client.close_input();
    assert_eq!(peer.receive_close().0, 1000);
    client.finish().succeeds();
}

#[test]
fn waitfordata_does_not_connect_without_data_and_reports_what_it_cannot_reach() {
    run(["-", "waitfordata:tcp:127.0.0.1:1"], "").succeeds();
    run(["-", "waitfordata:tcp:127.0.0.1:1"], "x\n").fails_with(3, "cannot connect to 127.0.0.1:1");
    run(["-u", "-", "waitfordata:ws://127.0.0.1:1"], "x\n").fails_with(3, "cannot connect to 127.0.0.1:1");
}

#[test]
fn input_ends_at_a_specific_byte() {
    let out = |args: &[&str], input: &[u8]| run(args, input).succeeds().out();
    assert_eq!(out(&["-b", "exit_on_specific_byte:-", "mirror:"], b"before\x1cafter"), "before");
    assert_eq!(out(&["-b", "exit-on-specific-byte:-", "mirror:", "--byte-to-exit-on", "4"], b"a\x1cb\x04c"), "a\x1cb");
    assert_eq!(out(&["-b", "exit_on_specific_byte:-", "mirror:"], b"\x1cafter"), "");
    assert_eq!(out(&["-b", "exit_on_specific_byte:-", "mirror:"], b"nothing"), "nothing");
    assert_eq!(out(&["exit_on_specific_byte:lines:-", "mirror:"], b"a\nb\x1cc\nd\n"), "a\nb\n");
    run(["--byte-to-exit-on", "300", "mirror:"], "").fails_with(2, "--byte-to-exit-on");
}

#[test]
fn the_byte_ends_a_session_while_standard_input_stays_open() {
    let (port, server) = one_connection(|mut stream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("read");
        all
    });
    let mut client = Running::start(wsplice(["exit_on_specific_byte:-", &format!("tcp:127.0.0.1:{port}")]));
    client.write(b"typed\x1c");
    assert_eq!(server.join().expect("the server"), b"typed");
    client.finish().succeeds();
}

#[test]
fn messages_for_a_peer_that_takes_nothing_are_dropped_and_counted() {
    let (url, server) = raw_server(|stream| stream);
    let mut client = Running::start(wsplice(["-u", "-", &format!("drop_on_backpressure:{url}")]));
    let stream = server.join().expect("the server");
    // More than sockets hold.
    let line = format!("{}\n", "x".repeat(1 << 20));
    for _ in 0..40 {
        client.write(&line);
    }
    let report = client.error_line("messages dropped");
    assert!(report.contains(&url), "{report}");
    drop(stream);
}

#[test]
fn without_a_connection_messages_are_dropped_until_there_is_one() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let url = format!("ws://{}/", listener.local_addr().expect("address"));
    let mut client = Running::start(wsplice(["-u", "-", &format!("drop_on_backpressure:autoreconnect:{url}")]));
    client.write("dropped\n");
    client.error_line("messages dropped: 1;");
    let (stream, _) = listener.accept().expect("accept");
    stream.set_read_timeout(Some(LIMIT)).expect("set a limit");
    let mut peer = Peer::accept(stream);
    let received = loop {
        client.write("kept\n");
        peer.send(Message::Ping(b"".as_slice().into()));
        if let Some(text) = peer.receive_soon(Duration::from_millis(50)) {
            break text;
        }
    };
    assert_eq!(received, "kept");
}

#[test]
fn each_reply_of_a_raw_shared_connection_goes_to_one_session() {
    let (url, server) = websocket_server(|mut peer| {
        for _ in 0..2 {
            peer.receive_text();
        }
        for number in 0..10 {
            peer.send_text(&number.to_string());
        }
        let left = peer.receive();
        peer.close(1000, "");
        (left, peer.ends())
    });
    let args = ["--reuser-send-zero-msg-on-disconnect", "ws-l:0", &format!("reuse-raw:{url}")];
    let serving = Serving::start(args);
    let mut clients = [(); 2].map(|()| Peer::connect(serving.port, "/"));
    clients.iter_mut().for_each(|client| client.send_text("hello"));
    let mut all: Vec<_> =
        clients.iter_mut().flat_map(|client| (0..5).map(|_| client.receive_text()).collect::<Vec<_>>()).collect();
    all.sort();
    assert_eq!(all, (0..10).map(|number| number.to_string()).collect::<Vec<_>>());
    let [mut first, _second] = clients;
    first.close(1000, "");
    first.receive_close();
    assert_eq!(server.join().expect("the server").0, Message::binary(&b""[..]));
}

#[test]
fn a_raw_shared_connection_answers_pings_while_there_is_no_session() {
    let (url, server) = raw_peer_server(|mut peer| {
        let left = [peer.frame(), peer.frame()].map(|frame| frame.map(|frame| frame.text()));
        assert_eq!(left, ["hello", ""].map(|text| Some(text.to_owned())));
        peer.send(PING, "there?");
        let pong = peer.frame().expect("a pong");
        peer.close(1000, "");
        (pong.first, pong.text())
    });
    let args = ["--reuser-send-zero-msg-on-disconnect", "ws-l:0", &format!("reuse-raw:{url}")];
    let serving = Serving::start(args);
    let mut client = Peer::connect(serving.port, "/");
    client.send_text("hello");
    client.close(1000, "");
    client.receive_close();
    assert_eq!(server.join().expect("the server"), (PONG, "there?".to_owned()));
}

#[test]
fn preambles_are_the_first_messages_in_each_direction() {
    let (url, server) = websocket_server(|mut peer| {
        let all = [peer.receive(), peer.receive(), peer.receive()];
        peer.close(1000, "");
        peer.ends();
        all
    });
    let args = ["-p", "one", "--preamble=two words", "-P", "hello", "--preamble-reverse=-x", "-", &url];
    let finished = run(args, "typed\n");
    assert_eq!(finished.succeeds().out(), "hello\n-x\n");
    assert_eq!(server.join().expect("the server"), ["one", "two words", "typed"].map(Message::text));
    // Between bytes nothing is added to the text.
    let (port, server) = one_connection(|mut stream| {
        let mut all = String::new();
        stream.read_to_string(&mut all).expect("read");
        all
    });
    run(["-p", "NICK me\r\n", "-", &format!("tcp:127.0.0.1:{port}")], "typed\n").succeeds();
    assert_eq!(server.join().expect("the server"), "NICK me\r\ntyped\n");
}

#[test]
fn a_preamble_is_sent_even_if_nothing_else_is() {
    let (url, server) = websocket_server(|mut peer| {
        let message = peer.receive();
        peer.send_text("reply");
        peer.receive_close();
        message
    });
    assert_eq!(run(["-b", "-p", "subscribe", &url], "").succeeds().out(), "reply");
    assert_eq!(server.join().expect("the server"), Message::binary("subscribe"));
    let server = Serving::start(["ws-l:0", "mirror:", "-P", "welcome"]);
    assert_eq!(run(["-U", "-1", &server.url()], "").out(), "welcome\n");
}

#[test]
fn a_preamble_is_sent_again_on_every_reconnect() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let url = format!("autoreconnect:ws://{}/", listener.local_addr().expect("address"));
    let mut client = Running::start(wsplice(["-p", "subscribe", &*url, "--autoreconnect-delay-millis", "10"]));
    for _ in 0..3 {
        let (stream, _) = listener.accept().expect("accept");
        stream.set_read_timeout(Some(LIMIT)).expect("set a limit");
        let mut peer = RawPeer::accept(stream);
        assert_eq!(peer.receive().text(), "subscribe");
        peer.send_text("event");
        assert_eq!(client.line(), "event\n");
    }
}

#[test]
fn at_most_a_number_of_messages_is_copied_in_each_direction() {
    let (url, server) = websocket_server(|mut peer| {
        let mut all = Vec::new();
        loop {
            match peer.receive() {
                Message::Close(_) => return all,
                message => {
                    peer.send(message.clone());
                    all.push(message);
                }
            }
        }
    });
    let mut client = Running::start(wsplice(["--max-messages", "2", "-", &*url]));
    client.write("a\nb\nc\nd\n");
    // Its input stays open: the limit ends it.
    assert_eq!([client.line(), client.line()], ["a\n", "b\n"]);
    assert_eq!(server.join().expect("the server"), ["a", "b"].map(Message::text));
    client.finish().succeeds();

    let server = Serving::start(["ws-l:0", "mirror:"]);
    let limited = run(["--max-messages-rev", "1", "-", &server.url()], "a\nb\n");
    assert_eq!(limited.succeeds().out(), "a\n");
    // With one direction only, the limit ends the session.
    let server = Serving::start(["ws-l:0", "mirror:", "-P", "one", "-P", "two"]);
    let mut client = Running::start(wsplice(["-U", "--max-messages-rev", "1", "-", &server.url()]));
    assert_eq!(client.line(), "one\n");
    assert_eq!(client.finish().succeeds().out(), "one\n");
    run(["--max-messages", "0", "mirror:"], "").fails_with(2, "--max-messages");
}

#[test]
fn a_listener_copies_at_most_a_number_of_messages_and_notices_the_end_of_its_client() {
    let server = Serving::start(["ws-l:0", "mirror:", "--max-messages", "2"]);
    let mut client = Peer::connect(server.port, "/");
    for text in ["a", "b", "c"] {
        client.send_text(text);
    }
    assert_eq!([client.receive_text(), client.receive_text()], ["a", "b"]);
    client.close(1000, "");
    assert_eq!(client.receive_close().0, 1000);
}

#[test]
fn log_shows_bytes_so_that_they_can_be_read_back() {
    let logged = |input: &[u8]| run(["-b", "-", "log:mirror:"], input).stderr;
    let lines = logged(b"caf\xc3\xa9 \"a\\b\"\n\x01");
    assert!(lines.contains("> mirror binary 13 B \"café \\\"a\\\\b\\\"\\n\\u{1}\"\n"), "{lines}");
    let lines = logged(b"\xff\x00a\\\"\n");
    assert!(lines.contains("> mirror binary 6 B \"\\xff\\x00a\\\\\\\"\\n\"\n"), "{lines}");
    // The cut after 200 bytes is within the last character.
    let lines = logged(format!("{}é{}", "x".repeat(199), "y".repeat(10)).as_bytes());
    assert!(lines.contains(&format!("211 B \"{}\"…\n", "x".repeat(199))), "{lines}");
}

#[test]
fn a_listener_as_second_address_can_be_accepted_from_again() {
    // The log of a program to whoever attaches, as websocat's manual shows it.
    let args = ["-b", "-u", "-", "drop_on_backpressure:autoreconnect:ws-l:127.0.0.1:0"];
    let options = ["--stdout-announce-listening-ports", "--autoreconnect-delay-millis", "10"];
    let mut serving = Serving::start([&args[..], &options].concat());
    for _ in 0..2 {
        let mut client = Peer::connect(serving.port, "/");
        let received = loop {
            serving.running.write("line\n");
            if let Some(received) = client.receive_soon(Duration::from_millis(50)) {
                break received;
            }
        };
        assert!(received.contains("line"), "{received}");
        client.close(1000, "");
        client.ends();
    }
    run(["autoreconnect:ws-l:127.0.0.1:0", "-"], "").fails_with(2, "is a listener");
}
