//! Messages for clients that speak only HTTP: server-sent events and POST requests.

use crate::{
    http::Exchange,
    peer::{Message, websocket_server},
    support::{Folder, Serving},
};
use std::io::{BufRead, Read, Write};

/// Sends a POST request, and gives the status of the response.
#[track_caller]
fn post(server: &Serving, body: &[u8]) -> Exchange {
    let mut stream = server.connect();
    let head = format!("POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body].concat()).expect("write");
    Exchange::accept(stream)
}

/// Sends a GET request.
#[track_caller]
fn get(server: &Serving) -> Exchange {
    let exchange = Exchange::connect(server.port, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!((exchange.head.status(), exchange.head.get("Content-Type")), (200, Some("text/event-stream")));
    exchange
}

/// The lines of the next event, without the lengths of chunks.
#[track_caller]
fn event(exchange: &mut Exchange) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        assert!(exchange.reader.read_line(&mut line).expect("a line") > 0, "it ended after {lines:?}");
        match line.trim_end() {
            "" if !lines.is_empty() => return lines,
            text if text.starts_with("data:") => lines.push(text.to_owned()),
            _ => {}
        }
    }
}

/// All events up to the end, put together from their chunks.
#[track_caller]
fn all_events(exchange: &mut Exchange) -> String {
    let mut all = Vec::new();
    loop {
        let mut length = String::new();
        exchange.reader.read_line(&mut length).expect("the length of a chunk");
        let length = usize::from_str_radix(length.trim_end(), 16).expect("a length");
        let mut chunk = vec![0; length + 2];
        exchange.reader.read_exact(&mut chunk).expect("a chunk");
        if length == 0 {
            return String::from_utf8(all).expect("text");
        }
        all.extend_from_slice(&chunk[..length]);
    }
}

#[test]
fn get_receives_and_post_sends_over_one_shared_connection() {
    let (url, peer) = websocket_server(|mut peer| {
        let first = peer.receive();
        peer.send_text("one\r\ntwo\n");
        peer.send(Message::binary(b"b\xff".to_vec()));
        let second = peer.receive();
        peer.close(1000, "");
        (first, second)
    });
    let server = Serving::start(["http-post-sse:tcp-l:127.0.0.1:0".to_owned(), format!("reuse:{url}")]);
    let mut events = get(&server);
    assert_eq!(post(&server, b"hello\nyou").head.status(), 204);
    assert_eq!(event(&mut events), ["data: one", "data: two", "data:"]);
    assert_eq!(event(&mut events), ["data: b\u{fffd}"]);
    assert_eq!(post(&server, b"\xff").head.status(), 204);
    assert_eq!(peer.join().expect("the peer"), (Message::text("hello\nyou"), Message::binary(b"\xff".to_vec())));
    assert!(events.ends(), "the end of the connection is the end of the events");
}

#[test]
fn each_post_is_a_session_of_its_own() {
    let server = Serving::start(["http-post-sse:tcp-l:127.0.0.1:0", "sh-c:cat >&2"]);
    let mut server = server;
    for text in ["first", "second"] {
        assert_eq!(post(&server, text.as_bytes()).head.status(), 204);
        server.running.error_line(text);
    }
}

#[test]
fn a_post_fails_if_the_other_end_cannot_be_reached() {
    let server = Serving::start(["http-post-sse:tcp-l:127.0.0.1:0", "exec:/wsplice/missing"]);
    assert_eq!(post(&server, b"x").head.status(), 502);
}

#[test]
fn a_client_of_events_that_leaves_ends_its_session_without_an_error() {
    let server = Serving::start([
        "http-post-sse:tcp-l:127.0.0.1:0",
        "sh-c:while :; do echo x; sleep 0.01; done",
        "--grace",
        "0.2",
    ]);
    let mut events = get(&server);
    assert_eq!(event(&mut events), ["data: x"]);
    drop(events);
    let mut again = get(&server);
    assert_eq!(event(&mut again), ["data: x"]);
    server.running.signal("TERM");
    let finished = server.running.finish();
    assert_eq!((finished.code, finished.stderr.as_str()), (143, ""));
}

#[test]
fn other_methods_and_bodies_beyond_the_limits_are_refused() {
    let args = ["--max-ws-message-length", "5", "--message-timeout", "200ms"];
    let mut server = Serving::start([&["http-post-sse:tcp-l:127.0.0.1:0", "mirror:"], &args[..]].concat());
    let put = Exchange::connect(server.port, "PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
    assert_eq!((put.head.status(), put.head.get("Allow")), (405, Some("GET, POST")));
    server.running.error_line("neither GET nor POST");
    assert_eq!(post(&server, b"123456").head.status(), 413);
    server.running.error_line("the body is longer than 5 bytes");
    assert_eq!(post(&server, b"12345").head.status(), 204);
    assert_eq!(post(&server, b"").head.status(), 204);
    let slow = Exchange::connect(server.port, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n12");
    assert_eq!(slow.head.status(), 408);
    server.running.error_line("the body did not arrive in time");
    let garbage = Exchange::connect(server.port, "\x16\x03\x01 hello\r\n\r\n");
    assert_eq!(garbage.head.status(), 400);
    server.running.error_line("the data is not HTTP");
}

#[test]
fn a_client_that_leaves_in_the_middle_of_its_post_is_logged_as_such_and_one_without_a_request_is_not() {
    let mut server = Serving::start(["http-post-sse:tcp-l:127.0.0.1:0", "mirror:"]);
    drop(server.connect());
    let mut client = server.connect();
    client.write_all(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n12").expect("write");
    drop(client);
    let line = server.running.error_line("invalid request");
    assert!(line.contains("the client left in the middle of the body"), "{line}");
}

#[test]
fn a_long_event_has_all_lines_and_characters_of_its_message() {
    // Characters of two and three bytes are wherever a part of the message ends.
    let lines: Vec<_> = (0..200).map(|number| "\u{e4}\u{20ac}x".repeat(number * 3)).collect();
    let message = lines.join("\r\n");
    let (url, peer) = websocket_server(move |mut peer| {
        let _ = peer.receive();
        peer.send_text(&message);
        peer.send_text("");
        peer.close(1000, "");
    });
    let server = Serving::start(["http-post-sse:tcp-l:127.0.0.1:0".to_owned(), format!("reuse:{url}")]);
    let mut events = get(&server);
    assert_eq!(post(&server, b"go").head.status(), 204);
    let body = all_events(&mut events);
    let expected: String = lines.iter().map(|line| format!("data: {line}\n")).collect();
    assert!(body == format!("{expected}\ndata: \n\n"), "{} bytes", body.len());
    peer.join().expect("the peer");
}

#[test]
fn a_client_that_leaves_ends_its_session() {
    let program = "sh-c:trap 'echo ended >&2; exit' HUP; echo started >&2; sleep 1000 & wait";
    let mut server =
        Serving::start(["http-post-sse:tcp-l:127.0.0.1:0", program, "--close-timeout", "0.2", "--conncap", "1"]);
    for _ in 0..2 {
        let events = get(&server);
        server.running.error_line("started");
        drop(events);
        server.running.error_line("ended");
    }
}

#[test]
fn clients_need_the_origin_and_the_token_that_are_required() {
    let folder = Folder::new("sse-token");
    let file = folder.path("tokens");
    std::fs::write(&file, "secret\n").expect("write");
    let options = ["http-post-sse:tcp-l:127.0.0.1:0", "mirror:", "--same-origin", "--require-token", &file];
    let server = Serving::start(options);
    let status = |method: &str, target: &str, headers: &str| {
        let request = format!("{method} {target} HTTP/1.1\r\n{headers}\r\n");
        Exchange::connect(server.port, &request).head.status()
    };
    for method in ["GET", "POST"] {
        assert_eq!(status(method, "/", "Host: localhost\r\n"), 401);
        let origin = "Host: localhost\r\nOrigin: http://evil.example\r\n";
        assert_eq!(status(method, "/?access_token=secret", origin), 403);
        assert_eq!(status(method, "/?access_token=secret", ""), 400, "without a Host header");
    }
    assert_eq!(status("GET", "/?access_token=secret", "Host: localhost\r\n"), 200);
    assert_eq!(status("POST", "/?access_token=secret", "Host: localhost\r\nContent-Length: 0\r\n"), 204);
}
