//! The room server: its limits, who may join, its metrics and its log.

use crate::{
    http::{Exchange, http_server, upgrade_request},
    peer::{Message, Peer},
    raw::{BINARY, PING, RawPeer, from_client},
    rooms::{get, measured, metric, rooms, until_metric},
    support::{Folder, Serving, program, run, wait_for},
};
use std::{
    io::{Read, Write},
    net::TcpListener,
    thread,
};

/// Sends an opening handshake. Gives the status of the answer, and the answer.
fn ask(port: u16, target: &str, headers: &str) -> (u16, Exchange) {
    let answer = Exchange::connect(port, &upgrade_request(target, headers));
    (answer.head.status(), answer)
}

/// Asks until the answer is 101: the server notices a moment later that a member has left.
#[track_caller]
fn until_let_in(port: u16, target: &str) -> Peer {
    wait_for("a place in the room", || {
        let (status, answer) = ask(port, target, "");
        (status == 101).then(|| Peer::client(answer))
    })
}

// Numbers.

#[test]
fn rooms_are_limited_and_an_empty_one_makes_place_for_another() {
    let server = rooms(&["--max-rooms", "2"]);
    let (first, second) = (Peer::connect(server.port, "/1"), Peer::connect(server.port, "/2"));
    assert_eq!(ask(server.port, "/3", "").0, 503);
    assert_eq!(ask(server.port, "/2", "").0, 101, "an open room takes more members");
    drop((first, second));
    until_let_in(server.port, "/3");
}

#[test]
fn members_of_a_room_are_limited() {
    let mut server = rooms(&["--max-per-room", "2"]);
    let _members = [Peer::connect(server.port, "/full"), Peer::connect(server.port, "/full")];
    assert_eq!(ask(server.port, "/full", "").0, 503);
    let line = server.running.error_line("cannot join room /full");
    assert!(line.contains("2 members"), "{line}");
    assert_eq!(ask(server.port, "/other", "").0, 101);
}

#[test]
fn clients_that_join_at_the_same_time_do_not_exceed_a_limit() {
    let server = rooms(&["--max-per-room", "5", "--max-rooms", "1"]);
    let port = server.port;
    let threads: Vec<_> = (0..40).map(|_| thread::spawn(move || ask(port, "/", ""))).collect();
    let answers: Vec<_> = threads.into_iter().map(|thread| thread.join().expect("an answer")).collect();
    assert_eq!(answers.iter().filter(|(status, _)| *status == 101).count(), 5);
    assert_eq!(answers.iter().filter(|(status, _)| *status == 503).count(), 35);
}

#[test]
fn members_from_one_address_are_limited() {
    let server = rooms(&["--max-per-address", "2"]);
    let first = Peer::connect(server.port, "/1");
    let _second = Peer::connect(server.port, "/2");
    assert_eq!(ask(server.port, "/3", "").0, 503);
    drop(first);
    until_let_in(server.port, "/3");
}

#[test]
fn the_address_that_a_trusted_proxy_names_is_the_one_that_counts() {
    let server = rooms(&["--max-per-address", "1", "--trust-proxy", "127.0.0.0/8"]);
    let from = |client: &str| ask(server.port, "/", &format!("X-Forwarded-For: {client}\r\n"));
    let (_first, _second) = (from("192.0.2.1"), from("192.0.2.2"));
    assert_eq!((_first.0, _second.0), (101, 101));
    assert_eq!(from("192.0.2.1").0, 503);
    assert_eq!(from("192.0.2.9, 192.0.2.1").0, 503, "the last one is the proxy's own word");
    assert_eq!(from("192.0.2.1:4711").0, 503, "with the client's port");
    let _third = from("[2001:db8::2]:80");
    assert_eq!(from("2001:db8::2").0, 503, "however it is written");
    let server = rooms(&["--max-per-address", "1", "--trust-proxy", "10.0.0.0/8"]);
    let from = |client: &str| ask(server.port, "/", &format!("X-Forwarded-For: {client}\r\n"));
    let _first = from("192.0.2.1");
    assert_eq!(from("192.0.2.2").0, 503, "nobody believes this proxy");
}

#[test]
fn connections_beyond_the_cap_wait_until_one_ends() {
    let server = rooms(&["--conncap", "2"]);
    let first = Peer::connect(server.port, "/");
    let mut second = Peer::connect(server.port, "/");
    let mut waiting = server.connect();
    waiting.write_all(upgrade_request("/", "").as_bytes()).expect("ask");
    second.send_text("one");
    assert_eq!(second.receive_text(), "one");
    drop(first);
    let mut third = Peer::client(Exchange::request(waiting, "").switched());
    second.send_text("two");
    assert_eq!(third.receive_text(), "two", "it came after the first message");
}

#[test]
fn long_messages_in_a_row_close_no_member_that_reads() {
    let (server, metrics) = measured(&["--backlog", "4m"]);
    let mut sender = RawPeer::connect(server.port, "/");
    sender.send(BINARY, vec![7; (1 << 20) + 1]);
    assert_eq!(sender.receive_close().0, 1009, "a quarter of the backlog is allowed");
    let members: Vec<_> = (0..10).map(|_| RawPeer::connect(server.port, "/")).collect();
    let message = from_client(BINARY, vec![7; 1 << 20]);
    thread::scope(|scope| {
        for mut member in members {
            let (mut writer, message) = (member.writer(), &message);
            scope.spawn(move || writer.write_all(message).expect("send"));
            scope.spawn(move || (0..10).for_each(|_| assert_eq!(member.receive().payload.len(), 1 << 20)));
        }
    });
    assert_eq!(metric(metrics, "slow_disconnects_total"), 0);
}

#[test]
fn a_message_that_is_too_long_closes_its_sender_with_1009_and_nobody_receives_it() {
    let server = rooms(&["--max-ws-message-length", "1000"]);
    let (mut sender, mut other) = (Peer::connect(server.port, "/"), Peer::connect(server.port, "/"));
    sender.send_text(&"x".repeat(1000));
    assert_eq!(other.receive_text().len(), 1000, "as long as allowed");
    sender.receive_text();
    sender.send_text(&"x".repeat(1001));
    assert_eq!(sender.receive_close().0, 1009);
    other.send_text("alone");
    assert_eq!(other.receive_text(), "alone");
}

#[test]
fn a_soft_limit_on_open_files_does_not_limit_the_members() {
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -Sn 64; exec \"$0\" \"$@\"", &program()]);
    command.args(["--broadcast", "ws-l:127.0.0.1:0", "--stdout-announce-listening-ports"]);
    let server = Serving::from_command(command);
    let mut members: Vec<_> = (0..150).map(|_| Peer::connect(server.port, "/")).collect();
    members[0].send_text("hello");
    for member in &mut members {
        assert_eq!(member.receive_text(), "hello");
    }
}

#[test]
fn limits_of_zero_are_errors() {
    for option in ["--max-rooms", "--max-per-room", "--max-per-address", "--conncap", "--backlog"] {
        run(["--broadcast", "ws-l:127.0.0.1:0", option, "0"], "").fails_with(2, option);
    }
}

#[test]
fn the_health_check_on_the_metrics_port_works_at_the_connection_limit() {
    let (server, metrics) = measured(&["--conncap", "1"]);
    let _member = Peer::connect(server.port, "/");
    let mut waiting = server.connect();
    waiting.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("ask");
    assert_eq!(get(metrics, "/healthz").1, "ok\n");
    run(["--healthcheck", &format!("http://127.0.0.1:{metrics}/healthz")], "").succeeds();
}

// Paths, origins and credentials.

#[test]
fn only_targets_below_the_prefix_are_rooms() {
    let server = rooms(&["--room-prefix", "/broadcast"]);
    for (target, status) in [
        ("/broadcast", 101),
        ("/broadcast/", 101),
        ("/broadcast/a?x", 101),
        ("/broadcast?x", 101),
        ("/", 404),
        ("/other", 404),
        ("/broadcasting", 404),
        ("/?/broadcast/", 404),
    ] {
        assert_eq!(ask(server.port, target, "").0, status, "{target}");
    }
    run(["--broadcast", "--room-prefix", "a"], "").fails_with(2, "must start with a slash: /a");
}

#[test]
fn allow_origin_and_same_origin_check_origins() {
    let server = rooms(&["--allow-origin", "https://a.example", "--allow-origin", "https://b.example"]);
    let from = |server: &Serving, origin: &str| ask(server.port, "/", &format!("Origin: {origin}\r\n")).0;
    assert_eq!(from(&server, "https://a.example"), 101);
    assert_eq!(from(&server, "https://b.example"), 101);
    assert_eq!(from(&server, "https://c.example"), 403);
    assert_eq!(from(&server, "http://a.example"), 403);
    assert_eq!(ask(server.port, "/", "").0, 101, "no browser");
    let server = rooms(&["--same-origin"]);
    assert_eq!(from(&server, "http://localhost"), 101, "the request's Host is localhost");
    assert_eq!(from(&server, "https://elsewhere.example"), 403);
    assert_eq!(from(&server, "null"), 403);
}

#[test]
fn an_origin_that_no_browser_would_send_is_an_error() {
    for (origin, meant) in [
        ("https://a.example/", "https://a.example"),
        ("a.example:8080", "https://a.example:8080"),
        ("*", "omit this option"),
        ("//", "https://HOST"),
    ] {
        run(["--broadcast", "ws-l:127.0.0.1:0", "--allow-origin", origin], "").fails_with(2, meant);
    }
    let server = rooms(&["--allow-origin", "null"]);
    assert_eq!(ask(server.port, "/", "Origin: null\r\n").0, 101, "a page from a file");
}

#[test]
fn two_origins_and_a_body_are_refused() {
    let server = rooms(&["--allow-origin", "https://a.example"]);
    let two = "Origin: https://a.example\r\nOrigin: https://b.example\r\n";
    for more in [two, "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"] {
        assert_eq!(ask(server.port, "/", more).0, 400, "{more}");
    }
    assert_eq!(ask(server.port, "/", "Content-Length: 0\r\n").0, 101);
}

#[test]
fn a_token_is_hidden_in_every_logged_header() {
    let folder = Folder::new("room-shown-token");
    let file = folder.path("tokens");
    std::fs::write(&file, "s3cret\n").expect("write");
    let mut server = rooms(&["-v", "--require-token", &file]);
    let more = "Referer: https://a.example/?x&access_token=s3cret\r\n";
    assert_eq!(ask(server.port, "/?access_token=s3cret", more).0, 101);
    let line = server.running.error_line("Referer");
    assert!(line.contains("https://a.example/?x&access_token=(hidden)"), "{line}");
    server.running.signal("TERM");
    let finished = server.running.finish();
    assert!(!finished.stderr.contains("s3cret"), "{finished:?}");
}

fn www_authenticate(answer: &Exchange) -> String {
    answer.head.get("WWW-Authenticate").unwrap_or_else(|| panic!("none in {:?}", answer.head)).to_owned()
}

#[test]
fn require_basic_auth_demands_a_password() {
    let folder = Folder::new("room-passwords");
    let file = folder.path("users");
    std::fs::write(&file, "# who may enter: nobody\n\nme:secret\nyou:pass:word\n").expect("write");
    let server = rooms(&["--require-basic-auth", &file]);
    let (status, answer) = ask(server.port, "/", "");
    assert_eq!(status, 401);
    assert!(www_authenticate(&answer).starts_with("Basic realm="), "{:?}", answer.head);
    for (user, code) in
        [("me:secret", 0), ("you:pass:word", 0), ("me:wrong", 5), ("you:pass", 5), ("# who may enter: nobody", 5)]
    {
        assert_eq!(run(["--basic-auth", user, &server.url()], "hello\n").code, code, "{user}");
    }
}

#[test]
fn require_token_demands_a_token_which_is_not_part_of_the_room() {
    let folder = Folder::new("room-tokens");
    let file = folder.path("tokens");
    std::fs::write(&file, "first+token\nsecond\n").expect("write");
    let server = rooms(&["--require-token", &file]);
    let (status, answer) = ask(server.port, "/room", "");
    assert_eq!((status, www_authenticate(&answer).as_str()), (401, "Bearer"));
    assert_eq!(ask(server.port, "/room?access_token=wrong", "").0, 401);
    assert_eq!(ask(server.port, "/room", "Authorization: Bearer wrong\r\n").0, 401);
    let mut members = [
        ask(server.port, "/room", "Authorization: Bearer second\r\n").1,
        ask(server.port, "/room?access_token=first%2Btoken", "").1,
        ask(server.port, "/room?access_token=second", "").1,
    ]
    .map(|answer| Peer::client(answer.switched()));
    members[0].send_text("hello");
    for member in &mut members {
        assert_eq!(member.receive_text(), "hello");
    }
}

#[test]
fn a_file_of_secrets_that_cannot_be_read_is_an_error_at_startup() {
    run(["--broadcast", "ws-l:127.0.0.1:0", "--require-token", "/nonexistent/file"], "")
        .fails_with(2, "cannot read /nonexistent/file");
    run(["--broadcast", "ws-l:127.0.0.1:0", "--require-basic-auth", "/dev/null"], "").fails_with(2, "has no entries");
}

// Health and metrics.

#[test]
fn healthz_and_the_health_check_agree() {
    let server = rooms(&["--require-token", "/proc/self/cmdline", "--room-prefix", "/rooms"]);
    let (head, body) = get(server.port, "/healthz");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(body, "ok\n");
    let url = format!("http://127.0.0.1:{}/healthz", server.port);
    run(["--healthcheck", &url], "").succeeds();
    let refused = run(["--healthcheck", &format!("http://127.0.0.1:{}/other", server.port)], "");
    refused.fails_with(5, "426");
    let free = TcpListener::bind("127.0.0.1:0").expect("bind").local_addr().expect("address").port();
    run(["--healthcheck", &format!("http://127.0.0.1:{free}/healthz")], "").fails_with(3, "cannot connect");
    for (response, reason) in [
        ("SSH-2.0-x\r\n", "the response is not HTTP"),
        ("HTTP/1.1 200 OK\r\nX-Note: a\x01b\r\n\r\n", "the response has an invalid header: X-Note"),
    ] {
        let (port, server) = http_server(move |mut exchange| {
            exchange.reader.get_mut().write_all(response.as_bytes()).expect("write");
        });
        run(["--healthcheck", &format!("http://127.0.0.1:{port}/healthz")], "").fails_with(5, reason);
        server.join().expect("the server");
    }
}

#[test]
fn the_metrics_count_connections_messages_and_bytes() {
    let (server, metrics) = measured(&[]);
    let mut members: Vec<_> = (0..3).map(|_| Peer::connect(server.port, "/a")).collect();
    let mut other = Peer::connect(server.port, "/b");
    for text in ["one", "three"] {
        members[0].send_text(text);
        members.iter_mut().for_each(|member| assert_eq!(member.receive_text(), text));
    }
    other.send(Message::binary(vec![0; 200]));
    assert_eq!(other.receive().len(), 200);
    until_metric(metrics, "messages_sent_total", 7);
    for (name, value) in [
        ("connections", 4),
        ("connections_total", 4),
        ("rooms", 2),
        ("messages_received_total", 3),
        ("received_bytes_total", 208),
        ("sent_bytes_total", 3 * (5 + 7) + 204),
        ("messages_dropped_total", 0),
        ("slow_disconnects_total", 0),
        ("backlog_bytes", 0),
        ("delivery_duration_seconds_count", 7),
        ("delivery_duration_seconds_bucket{le=\"+Inf\"}", 7),
    ] {
        assert_eq!(metric(metrics, name), value, "{name}");
    }
    drop((members, other));
    until_metric(metrics, "connections", 0);
    until_metric(metrics, "rooms", 0);
    assert_eq!(metric(metrics, "connections_total"), 4);
}

#[test]
fn with_no_echo_the_sender_is_not_counted_as_a_receiver() {
    let (server, metrics) = measured(&["--no-echo"]);
    let mut members: Vec<_> = (0..3).map(|_| Peer::connect(server.port, "/")).collect();
    members[0].send_text("hello");
    assert_eq!((members[1].receive_text(), members[2].receive_text()), ("hello".to_owned(), "hello".to_owned()));
    until_metric(metrics, "messages_sent_total", 2);
    assert_eq!(metric(metrics, "sent_bytes_total"), 14);
}

#[test]
fn the_metrics_are_well_formed() {
    let (server, metrics) = measured(&[]);
    let mut member = Peer::connect(server.port, "/");
    member.send_text("hello");
    member.receive_text();
    let (head, text) = get(metrics, "/metrics");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    let mut declared = Vec::new();
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(name), Some(help)) => {
                assert!(help.ends_with('.'), "{line}");
                declared.push(name.to_owned());
            }
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                assert_eq!(declared.last().map(String::as_str), Some(name), "each type follows its help");
                assert!(matches!(kind, "counter" | "gauge" | "histogram"), "{line}");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            }
            (Some(name), Some(value), None, None) => {
                assert!(declared.last().is_some_and(|family| name.starts_with(family.as_str())), "{line}");
                assert!(value.parse::<f64>().is_ok(), "{line}");
            }
            _ => panic!("{line:?}"),
        }
    }
    declared.sort();
    let families = declared.len();
    declared.dedup();
    assert_eq!(declared.len(), families, "no family twice");
    assert!(get(metrics, "/other").0.starts_with("HTTP/1.1 404 "));
}

#[test]
fn a_metrics_port_in_use_is_an_error_at_startup() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = taken.local_addr().expect("address").port().to_string();
    run(["--broadcast", "ws-l:127.0.0.1:0", "--metrics", &port], "").fails_with(3, "cannot listen");
}

// Log lines.

#[test]
fn joins_and_leaves_are_logged_with_v() {
    let mut server = rooms(&["-v"]);
    let mut member = Peer::connect(server.port, "/room?x");
    let peer = member.local_addr();
    assert_eq!(server.running.error_line("join"), format!("* join peer={peer} room=/room?x\n"));
    member.close(4001, "tired");
    member.receive_close();
    let line = server.running.error_line("leave");
    assert_eq!(line, format!("* leave peer={peer} room=/room?x reason=4001 \"tired\"\n"));
    drop(Peer::connect(server.port, "/lost"));
    assert!(server.running.error_line("leave").contains("room=/lost reason=connection to "));
}

#[test]
fn a_client_cannot_send_control_sequences_to_the_terminal_with_the_log() {
    let mut server = rooms(&["-v"]);
    // U+009B begins a terminal's commands, as ESC [ does.
    let member = Peer::connect_with(server.port, "/\u{9b}31m", "Referer: a\tb\u{9b}2J\r\n");
    let peer = member.local_addr();
    assert_eq!(server.running.error_line("Referer"), format!("< Referer: a\\tb\\u{{9b}}2J [{peer}]\n"));
    assert!(server.running.error_line("join").ends_with(" room=/\\u{9b}31m\n"));
}

#[test]
fn with_log_format_json_every_line_is_json() {
    for verbose in ["-v", "-vv"] {
        let server = Serving::start([
            "--broadcast",
            "wss-l:127.0.0.1:0",
            "--self-signed",
            "--log-format",
            "json",
            "--metrics",
            "127.0.0.1:0",
            verbose,
        ]);
        let url = format!("wss://127.0.0.1:{}/a%22b?\"c", server.port);
        run(["-k", &url], "hello\n").succeeds();
        let mut stream = server.connect();
        stream.write_all(b"no TLS \"at all\"\r\n\r\n").expect("write");
        let _ = stream.read_to_end(&mut Vec::new());
        server.running.signal("TERM");
        let finished = server.running.finish();
        let lines: Vec<serde_json::Value> = finished
            .stderr
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
            .collect();
        for line in &lines {
            assert!(line["ts"].is_f64() && line["level"].is_string() && line["msg"].is_string(), "{line}");
            let start = ["listening: ", "metrics: ", "self-signed "];
            let is_of_server =
                line["msg"].as_str().is_some_and(|text| start.iter().any(|start| text.starts_with(start)));
            assert_eq!(line["peer"].is_null(), is_of_server, "{line}");
        }
        let of = |event: &str| lines.iter().find(|line| line["msg"] == event).unwrap_or_else(|| panic!("{lines:?}"));
        assert_eq!(of("join")["room"], of("leave")["room"]);
        assert!(of("leave")["reason"].as_str().is_some_and(|reason| reason.starts_with("1000")), "{lines:?}");
        assert!(lines.iter().any(|line| line["level"] == "error"), "the client without TLS: {lines:?}");
    }
}

#[test]
fn the_error_of_a_client_behind_a_trusted_proxy_names_the_client() {
    for verbose in [&[][..], &["-v"]] {
        let limits = ["--max-per-room", "1", "--trust-proxy", "127.0.0.1/32", "--log-format", "json"];
        let mut server = rooms(&[&limits, verbose].concat());
        let _member = Peer::connect(server.port, "/full");
        assert_eq!(ask(server.port, "/full", "X-Forwarded-For: 192.0.2.7\r\n").0, 503);
        let line = server.running.error_line("cannot join room /full");
        let line: serde_json::Value = serde_json::from_str(&line).expect("a line of JSON");
        assert!(line["peer"].as_str().is_some_and(|peer| peer.starts_with("192.0.2.7 (through 127.0.0.1:")), "{line}");
    }
}

// Pings.

#[test]
fn a_member_that_answers_no_ping_is_dropped_and_one_that_does_stays() {
    let (mut server, metrics) = {
        let mut server = rooms(&["--ping-interval", "0.1", "--ping-timeout", "1", "-v", "--metrics", "127.0.0.1:0"]);
        let line = server.running.error_line("metrics: ");
        let port = line.trim().trim_end_matches("/metrics").rsplit_once(':').and_then(|at| at.1.parse().ok());
        (server, port.expect("a port"))
    };
    let mut dead = RawPeer::connect(server.port, "/dead");
    let mut alive = Peer::connect(server.port, "/alive");
    let alive = thread::spawn(move || assert_eq!(alive.receive_text(), "still there"));
    let line = server.running.error_line("leave");
    assert!(line.contains("room=/dead") && line.contains("no answer to a ping for 1 s"), "{line}");
    assert_eq!(dead.frame().map(|frame| frame.first), Some(PING));
    until_metric(metrics, "rooms", 1);
    Peer::connect(server.port, "/alive").send_text("still there");
    alive.join().expect("the member that answers");
}

#[test]
fn the_ping_timeout_can_be_set_alone_in_rooms() {
    let server = rooms(&["--ping-timeout", "10"]);
    Peer::connect(server.port, "/");
    run(["--ping-timeout", "10", "ws://127.0.0.1:1/"], "").fails_with(2, "--ping-interval");
}
