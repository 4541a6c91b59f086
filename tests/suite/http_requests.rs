//! HTTP requests as ends: what is written is the body of the request, what is read that of the response.

use crate::{
    http::http_server,
    peer::{Message, websocket_server},
    support::{Running, Serving, run, wsplice},
};
use std::io::{BufRead, Write};

/// Reads a chunked body.
fn chunked(reader: &mut impl BufRead) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("the length of a chunk");
        let length = usize::from_str_radix(line.trim(), 16).unwrap_or_else(|_| panic!("no length: {line:?}"));
        let mut chunk = vec![0; length + 2];
        reader.read_exact(&mut chunk).expect("a chunk");
        if length == 0 {
            return body;
        }
        body.extend_from_slice(&chunk[..length]);
    }
}

#[test]
fn the_body_of_a_response_is_read() {
    let (port, server) = http_server(|mut exchange| {
        let response = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\none\ntwo\n";
        exchange.reader.get_mut().write_all(response.as_bytes()).expect("write");
        exchange.head
    });
    let headers = ["--request-header", "X-One: 1", "--request-header", "Host: other.example"];
    let url = format!("http://127.0.0.1:{port}/path?q=1");
    let finished = run([&headers[..], &["-", &url]].concat(), "not sent\n");
    assert_eq!(finished.succeeds().out(), "one\ntwo\n");
    let head = server.join().expect("the server");
    assert_eq!(head.first(), "GET /path?q=1 HTTP/1.1");
    assert_eq!((head.get("X-One"), head.all("Host")), (Some("1"), vec!["other.example"]));
    assert_eq!((head.get("Transfer-Encoding"), head.get("Content-Length")), (None, None));
}

#[test]
fn what_is_written_is_the_body_of_a_request_that_has_one() {
    for method in ["POST", "PUT", "PATCH"] {
        let (port, server) = http_server(|mut exchange| {
            let body = chunked(&mut exchange.reader);
            let response = "HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\ndone\n";
            exchange.reader.get_mut().write_all(response.as_bytes()).expect("write");
            (exchange.head, body)
        });
        let body: Vec<u8> = (0..200_000_u32).map(|i| i as u8).collect();
        let finished = run(["-X", method, "-", &format!("http:127.0.0.1:{port}/x")], &body);
        assert_eq!(finished.succeeds().out(), "done\n");
        let (head, received) = server.join().expect("the server");
        assert_eq!(head.first(), format!("{method} /x HTTP/1.1"));
        assert!(received == body, "the body is another one");
    }
}

#[test]
fn a_response_may_flow_while_the_request_is_sent() {
    let (port, server) = http_server(|mut exchange| {
        let stream = exchange.reader.get_mut();
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nfirst\n\r\n").expect("write");
        let body = chunked(&mut exchange.reader);
        exchange.reader.get_mut().write_all(b"5\r\nlast\n\r\n0\r\n\r\n").expect("write");
        body
    });
    let mut running = Running::start(wsplice(["-X", "POST", "-", &format!("http://127.0.0.1:{port}")]));
    assert_eq!(running.line(), "first\n");
    running.write("question\n");
    running.close_input();
    assert_eq!(running.line(), "last\n");
    running.finish().succeeds();
    assert_eq!(server.join().expect("the server"), b"question\n");
}

#[test]
fn a_response_goes_to_a_websocket() {
    let (port, server) = http_server(|mut exchange| {
        exchange.reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\n\r\ndata: 1\n").expect("write");
    });
    let (url, peer) = websocket_server(|mut peer| (peer.receive(), peer.receive_close().0));
    run(["-u", "-t", &format!("http://127.0.0.1:{port}/"), &url], "").succeeds();
    server.join().expect("the server");
    assert_eq!(peer.join().expect("the peer"), (Message::text("data: 1"), 1000));
}

#[test]
fn a_request_goes_over_any_transport() {
    let (port, server) = http_server(|mut exchange| {
        exchange.reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").expect("write");
        exchange.head
    });
    let address = format!("http-request:tcp:127.0.0.1:{port}");
    let finished = run(["--request-uri", "http://example.com:81/a?b#c", "-", &address], "");
    assert_eq!(finished.succeeds().out(), "ok");
    let head = server.join().expect("the server");
    assert_eq!((head.first(), head.get("Host")), ("GET /a?b HTTP/1.1", Some("example.com:81")));
    let (port, server) = http_server(|mut exchange| {
        exchange.reader.get_mut().write_all(b"HTTP/1.1 204 No Content\r\n\r\n").expect("write");
        exchange.head
    });
    run(["-", &format!("http-request:127.0.0.1:{port}")], "").succeeds();
    let head = server.join().expect("the server");
    assert_eq!((head.first(), head.get("Host")), ("GET / HTTP/1.1", Some("127.0.0.1")));
}

#[test]
fn a_response_that_reports_a_failure_is_an_error() {
    for (response, reason, hint) in [
        ("404 Not Found\r\nContent-Length: 4\r\n\r\nnope", "expected 200, got 404 Not Found: nope", ""),
        ("301 Moved Permanently\r\nLocation: /new\r\nContent-Length: 0\r\n\r\n", "got 301", "redirected to /new"),
        ("426 Upgrade Required\r\nContent-Length: 0\r\n\r\n", "got 426", "ws://"),
    ] {
        let (port, server) = http_server(move |mut exchange| {
            let response = format!("HTTP/1.1 {response}");
            exchange.reader.get_mut().write_all(response.as_bytes()).expect("write");
        });
        let finished = run(["-", &format!("http://127.0.0.1:{port}/")], "");
        finished.fails_with(5, &format!("HTTP request to http://127.0.0.1:{port}/ failed: "));
        finished.fails_with(5, reason);
        assert!(finished.stderr.contains(hint), "{finished:?}");
        server.join().expect("the server");
    }
    let server = Serving::start(["ws-l:127.0.0.1:0", "mirror:"]);
    run(["-", &format!("http://127.0.0.1:{}/", server.port)], "").fails_with(5, "got 426");
}

#[test]
fn servers_that_break_the_protocol_are_errors() {
    for (response, code, reason) in [
        ("SSH-2.0-x\r\n", 5, "the response is not HTTP"),
        ("HTTP/1.1 200 OK\r\nX-Note: a\x01b\r\n\r\n", 5, "the response has an invalid header: X-Note"),
        ("", 7, "closed it before it sent a response"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", 7, "lost"),
    ] {
        let (port, server) = http_server(move |mut exchange| {
            exchange.reader.get_mut().write_all(response.as_bytes()).expect("write");
        });
        run(["-", &format!("http://127.0.0.1:{port}/")], "").fails_with(code, reason);
        server.join().expect("the server");
    }
}

#[test]
fn wrong_urls_methods_and_headers_are_errors() {
    run(["-", "http:"], "").fails_with(2, "needs //HOST");
    run(["-", "http://user:secret@localhost/"], "").fails_with(2, "--request-header");
    run(["-", "http://[::1/"], "").fails_with(2, "");
    run(["--request-uri", "ws://x/", "-", "http-request:127.0.0.1:1"], "").fails_with(2, "http or https");
    run(["-X", "A B", "-", "http://127.0.0.1:1/"], "").fails_with(2, "not a method");
    run(["-X", "CONNECT", "-", "http://127.0.0.1:1/"], "").fails_with(2, "--proxy");
    run(["--request-header", "x", "-", "http://127.0.0.1:1/"], "").fails_with(2, "--request-header");
}
