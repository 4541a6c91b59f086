//! What a run writes to standard error, by level.

use crate::{
    peer::{Peer, websocket_server},
    raw::{CLOSE, PING, PONG, RawPeer, raw_peer_server},
    support::{Finished, LIMIT, Running, Serving, run, wsplice},
};
use std::{net::TcpListener, thread};

/// A run that sends `hello` to a server that answers `world` and closes.
fn greet(args: &[&str]) -> Finished {
    let (url, server) = websocket_server(|mut peer| {
        assert_eq!(peer.receive_text(), "hello");
        peer.send_text("world");
        peer.close(1000, "bye");
        peer.ends();
    });
    let finished = run(args.iter().map(|arg| arg.replace("URL", &url)), "hello\n");
    server.join().expect("the server");
    assert_eq!(finished.succeeds().out(), "world\n");
    let mut finished = finished;
    finished.stderr = finished.stderr.replace(&url, "URL");
    finished
}

/// The text has lines that start with these, in this order; there may be others between them.
#[track_caller]
fn has_lines(text: &str, lines: &[&str]) {
    let mut rest = text.lines();
    for line in lines {
        assert!(rest.any(|found| found.starts_with(line)), "no line {line:?} in its place in\n{text}");
    }
}

#[test]
fn a_run_without_errors_prints_nothing_to_standard_error() {
    assert_eq!(greet(&["URL"]).stderr, "");
}

#[test]
fn with_v_the_handshake_and_the_end_are_shown() {
    let finished = greet(&["-v", "URL"]);
    has_lines(
        &finished.stderr,
        &[
            "* connected to 127.0.0.1 (127.0.0.1:",
            "> GET / HTTP/1.1",
            "> Upgrade: websocket",
            "< HTTP/1.1 101 Switching Protocols",
            "< Upgrade: websocket",
            "* closed by URL: 1000 (normal closure) \"bye\" (1 sent, 1 received)",
        ],
    );
    assert!(!finished.stderr.contains("hello"), "frames take -vv: {finished:?}");
}

#[test]
fn with_vv_every_frame_is_shown() {
    let finished = greet(&["-vv", "URL"]);
    has_lines(
        &finished.stderr,
        &[
            "< HTTP/1.1 101 Switching Protocols",
            "> text 5 B \"hello\" [URL]",
            "< text 5 B \"world\" [URL]",
            "< close 5 B 1000 \"bye\" [URL]",
            "> close 5 B 1000 \"bye\" [URL]",
        ],
    );
}

#[test]
fn a_server_shows_the_same_of_its_clients() {
    let server = Serving::start(["-vv", "ws-l:0", "mirror:"]);
    let mut client = Peer::connect(server.port, "/room");
    client.send_text("hello");
    assert_eq!(client.receive_text(), "hello");
    client.close(4001, "enough");
    client.receive_close();
    assert!(client.ends());
    server.running.signal("TERM");
    let finished = server.running.finish();
    has_lines(
        &finished.stderr,
        &[
            "* listening: ws-listen:127.0.0.1:",
            "< GET /room HTTP/1.1",
            "> HTTP/1.1 101 Switching Protocols",
            "< text 5 B \"hello\" [127.0.0.1:",
            "> text 5 B \"hello\" [127.0.0.1:",
            "< close 8 B 4001 \"enough\" [127.0.0.1:",
            "wsplice: closed by 127.0.0.1:",
        ],
    );
}

#[test]
fn the_errors_of_single_clients_are_reported_unless_quiet() {
    for (args, is_told) in [(&[][..], true), (&["-q"], false)] {
        let server = Serving::start([args, &["ws-l:0", "mirror:"]].concat());
        let mut client = Peer::connect(server.port, "/");
        client.close(4001, "enough");
        client.receive_close();
        assert!(client.ends());
        server.running.signal("TERM");
        let finished = server.running.finish();
        assert_eq!(finished.stderr.contains("4001 \"enough\""), is_told, "{finished:?}");
        assert!(is_told || finished.stderr.is_empty(), "{finished:?}");
    }
}

#[test]
fn the_error_that_ends_the_run_is_reported_even_when_quiet() {
    let (url, server) = websocket_server(|mut peer| {
        peer.close(4001, "enough");
        peer.ends();
    });
    run(["-q", &url], "").fails_with(8, "4001 \"enough\"");
    server.join().expect("the server");
}

#[test]
fn log_shows_the_messages_that_pass_it() {
    let finished = greet(&["-", "log:URL"]);
    has_lines(
        &finished.stderr,
        &[
            "> URL text 5 B \"hello\"",
            "< URL text 5 B \"world\"",
            "< URL close 1000 (normal closure) \"bye\"",
            "> URL end",
        ],
    );
}

#[test]
fn log_shows_the_bytes_that_pass_it() {
    let finished = greet(&["log:-", "URL"]);
    has_lines(&finished.stderr, &["< stdio bytes 6 B \"hello\\n\"", "> stdio bytes 6 B \"world\\n\""]);
    has_lines(&finished.stderr, &["< stdio bytes 6 B", "< stdio end"]);
}

/// A server's part: pings and expects the pong, then answers pings and the close frame until the connection ends.
fn ping_first(mut peer: RawPeer, text: &str) {
    peer.send(PING, text);
    while let Some(frame) = peer.frame() {
        match frame.first {
            PING => peer.send(PONG, frame.payload),
            CLOSE => return peer.send(CLOSE, frame.payload),
            _ => assert_eq!(frame.text(), text),
        }
    }
}

#[test]
fn log_shows_pings_and_pongs_also_through_other_overlays() {
    for overlays in ["log:", "log:reuse:", "log:autoreconnect:", "reuse:log:", "log:log:"] {
        let (url, server) = raw_peer_server(|peer| ping_first(peer, "are you there?"));
        let mut running = Running::start(wsplice(["-", &format!("{overlays}{url}")]));
        running.error_line("pong 14 B");
        running.close_input();
        let finished = running.finish();
        server.join().expect("the server");
        has_lines(
            &finished.succeeds().stderr,
            &[
                &format!("< {url} ping 14 B \"are you there?\""),
                &format!("> {url} pong 14 B \"are you there?\""),
                &format!("> {url} ping 8 B"),
                &format!("< {url} pong 8 B"),
            ],
        );
        let shown = finished.stderr.lines().filter(|line| line.starts_with('<') && line.contains(" ping ")).count();
        assert_eq!(shown, overlays.matches("log:").count(), "{overlays} {finished:?}");
    }
}

#[test]
fn log_shows_the_pings_of_every_connection_of_autoreconnect() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let url = format!("ws://127.0.0.1:{}/", listener.local_addr().expect("address").port());
    let server = std::thread::spawn(move || {
        for text in ["first", "second"] {
            let (stream, _) = listener.accept().expect("accept");
            stream.set_read_timeout(Some(LIMIT)).expect("set a limit");
            let mut peer = RawPeer::accept(stream);
            peer.send(PING, text);
            assert_eq!(peer.frame().map(|frame| (frame.first, frame.text())), Some((PONG, text.into())));
        }
    });
    let address = format!("log:autoreconnect:{url}");
    let mut running = Running::start(wsplice(["-", &address, "--autoreconnect-delay-millis", "1"]));
    for text in ["first", "second"] {
        running.error_line(&format!("< {url} ping {} B {text:?}", text.len()));
        running.error_line(&format!("> {url} pong {} B {text:?}", text.len()));
    }
    server.join().expect("the server");
}

#[test]
fn log_does_not_change_the_wait_for_replies() {
    let server = Serving::start(["ws-l:0", "sh-c:sort"]);
    assert_eq!(run(["-", &format!("log:{}", server.url())], "b\na\n").succeeds().out(), "a\nb\n");
}

#[test]
fn a_token_in_the_query_is_hidden_from_the_log() {
    let server = Serving::start(["-v", "ws-l:0", "mirror:"]);
    let url = format!("{}room?a=b&access_token=secret", server.url());
    run([url], "hello\n").succeeds();
    server.running.signal("TERM");
    let log = server.running.finish().stderr;
    assert!(log.contains("< GET /room?a=b&access_token=(hidden) HTTP/1.1"), "{log}");
    assert!(!log.contains("secret"), "{log}");
}

/// A server for two clients whose handshakes overlap: the far end answers neither before both are there. Gives what was
/// logged, and the names of the clients, that of `/-a` first.
fn two_clients(args: &[&str]) -> (Finished, [String; 2]) {
    let far = TcpListener::bind("127.0.0.1:0").expect("listen");
    let url = format!("log:ws://{}", far.local_addr().expect("an address"));
    let far = thread::spawn(move || {
        let streams = [(); 2].map(|()| far.accept().expect("a connection").0);
        for mut peer in streams.map(Peer::accept) {
            let path = peer.head.first().split(' ').nth(1).expect("a path").to_owned();
            assert_eq!(peer.receive_text(), format!("to {path}"));
            peer.send_text(&format!("from {path}"));
            peer.close(4001, &format!("at {path}"));
            peer.ends();
        }
    });
    let server = Serving::start(args.iter().copied().chain(["ws-l:127.0.0.1:0", &url]));
    let port = server.port;
    // Not within any base64, such as the key of an opening handshake.
    let clients = ["/-a", "/-b"].map(|path| {
        thread::spawn(move || {
            let mut client = Peer::connect(port, path);
            client.send_text(&format!("to {path}"));
            assert_eq!(client.receive_text(), format!("from {path}"));
            client.receive_close();
            client.local_addr().to_string()
        })
    });
    let names = clients.map(|client| client.join().expect("a client"));
    far.join().expect("the far end");
    server.running.signal("TERM");
    (server.running.finish(), names)
}

#[test]
fn each_line_of_a_server_names_its_client_in_json() {
    let (finished, names) = two_clients(&["-vv", "--log-format", "json"]);
    let (mut of_clients, mut kinds) = ([0, 0], [0; 4]);
    for line in finished.stderr.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert!(line["ts"].is_f64() && line["level"].is_string(), "{line}");
        let text = line["msg"].as_str().expect("a text");
        if text.starts_with("listening: ") {
            assert!(line["peer"].is_null(), "{line}");
            continue;
        }
        let client = names.iter().position(|name| line["peer"] == **name);
        let client = client.unwrap_or_else(|| panic!("{line} is not of {names:?}"));
        of_clients[client] += 1;
        // What passes, and the request targets, tell whose line it is.
        assert!(!text.contains(["/-b", "/-a"][client]), "{line}");
        for (kind, level) in ["error", "info", "debug", "trace"].iter().enumerate() {
            kinds[kind] += usize::from(line["level"] == *level);
        }
        if text.starts_with("GET ") {
            assert!(["received", "sent"].iter().any(|direction| line["direction"] == *direction), "{line}");
        }
        if line["level"] == "error" {
            assert!(text.starts_with("closed by ws://") && line["end"].is_string(), "{line}");
        }
    }
    assert_eq!(of_clients[0], of_clients[1], "{}", finished.stderr);
    assert!(kinds[0] == 2 && kinds.iter().all(|count| *count > 0), "{kinds:?}: {}", finished.stderr);
}

#[test]
fn each_line_of_a_server_names_its_client_in_text() {
    let (finished, names) = two_clients(&["-vv"]);
    let (error, rest) = finished.stderr.lines().partition::<Vec<_>, _>(|line| line.starts_with("wsplice: "));
    for (name, path) in names.iter().zip(["/-a", "/-b"]) {
        assert!(error.iter().any(|line| line.starts_with(&format!("wsplice: {name}: closed by ws://"))), "{error:?}");
        let has = |start: &str, end: &str| rest.iter().any(|line| line.starts_with(start) && line.ends_with(end));
        for (start, end) in [
            (format!("< GET {path} HTTP/1.1"), format!(" [{name}]")),
            (format!("> GET {path} HTTP/1.1 [{name} ws://"), "/]".into()),
            (format!("< text 6 B \"to {path}\""), format!(" [{name}]")),
            (format!("< text 8 B \"from {path}\" [{name} ws://"), "/]".into()),
            (format!("* {name}: connected to 127.0.0.1"), ")".into()),
        ] {
            assert!(has(&start, &end), "no {start:?} with {end:?} in\n{}", finished.stderr);
        }
        let logged = |line: &&str| line.starts_with("> ws://") && line.ends_with(&format!(" \"to {path}\" [{name}]"));
        assert!(rest.iter().any(logged), "{}", finished.stderr);
    }
    let unnamed = rest.iter().filter(|line| !names.iter().any(|name| line.contains(name.as_str())));
    assert_eq!(unnamed.map(|line| &line[..12]).collect::<Vec<_>>(), ["* listening:"]);
}
