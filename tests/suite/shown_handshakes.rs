//! What `-v` and a terminal show of the opening handshake.

use crate::{
    certificates::Authority,
    http::http_server,
    support::{Serving, run},
    terminal::InTerminal,
};
use rcgen::{CertificateParams, DistinguishedName, DnType};
use std::{
    io::Write,
    thread::JoinHandle,
    time::{Duration, SystemTime},
};

const DAY: Duration = Duration::from_secs(86_400);

/// The text has lines that start with the first and end with the second of these, in this order; there may be others between them.
#[track_caller]
fn has_lines(text: &str, lines: &[(&str, &str)]) {
    let mut rest = text.lines();
    for (start, end) in lines {
        let fits = |found: &str| found.starts_with(start) && found.ends_with(end);
        assert!(rest.any(fits), "no line {start:?}…{end:?} in its place in\n{text}");
    }
}

#[test]
fn with_v_each_step_has_its_time() {
    let server = Serving::start(["ws-l:127.0.0.1:0", "mirror:"]);
    let known = format!("name.example:{}:127.0.0.1", server.port);
    let url = format!("ws://name.example:{}/", server.port);
    let finished = run(["-v", "--resolve", &known, &url], "hello\n");
    assert_eq!(finished.succeeds().out(), "hello\n");
    let connected = format!("* connected to name.example (127.0.0.1:{}, ", server.port);
    has_lines(
        &finished.stderr,
        &[
            ("* resolved name.example: 127.0.0.1 (", " ms)"),
            (&connected, " ms)"),
            ("> GET / HTTP/1.1", ""),
            ("< HTTP/1.1 101 Switching Protocols", ""),
            ("* handshake answered (", " ms)"),
        ],
    );
    let finished = run(["-v", &server.url()], "hello\n");
    assert!(!finished.succeeds().stderr.contains("resolved"), "an address is not looked up: {finished:?}");
}

/// What `-v` says of a server with such a certificate.
fn of_certificate(change: impl FnOnce(&mut CertificateParams)) -> String {
    let authority = Authority::new("shown_handshakes");
    let server = authority.serves(change);
    let finished = run(["-v", "-k", &format!("wss://127.0.0.1:{}/", server.port)], "hello\n");
    assert_eq!(finished.succeeds().out(), "hello\n");
    finished.stderr
}

#[test]
fn with_v_the_tls_version_the_cipher_and_the_certificate_are_shown() {
    let shown = of_certificate(|params| {
        params.distinguished_name.push(DnType::CommonName, "the\x1b[2J server");
        params.not_after = (SystemTime::now() + 10 * DAY + DAY / 2).into();
    });
    let tls = [("* TLS 1.3, TLS13_", " ms)"), ("* certificate CN=the\\u{1b}[2J server, expires in 10 days", "")];
    has_lines(&shown, &[&tls[..], &[("> GET / HTTP/1.1", "")]].concat());
    let shown = of_certificate(|params| params.not_after = (SystemTime::now() - 3 * DAY - DAY / 2).into());
    assert!(shown.contains(", expired 3 days ago\n"), "{shown}");
    let shown = of_certificate(|params| params.distinguished_name = DistinguishedName::new());
    has_lines(&shown, &[("* certificate ", "")]);
    assert!(shown.contains("localhost"), "it is named by what it is valid for: {shown}");
}

/// A server that refuses one client, with a long body. Gives its URL.
fn refusing() -> (String, JoinHandle<()>) {
    let (port, server) = http_server(|mut exchange| {
        let body = format!("no\x1b[2J such token\naccess_token=SECRET\n{}\nlast", "x".repeat(100_000));
        let response =
            format!("HTTP/1.1 403 Forbidden\r\nX-Why: blocked\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        // The client does not wait for the end of it.
        let _ = exchange.reader.get_mut().write_all(response.as_bytes());
        exchange.ends();
    });
    (format!("ws://user:SECRET@127.0.0.1:{port}/"), server)
}

const RESPONSE: [(&str, &str); 7] = [
    ("< HTTP/1.1 403 Forbidden", ""),
    ("< X-Why: blocked", ""),
    ("< ", ""),
    ("< no\\u{1b}[2J such token", ""),
    ("< access_token=(hidden)", ""),
    ("< xxx", "xxx"),
    ("wsplice: WebSocket handshake with ws://user:…@127.0.0.1:", ""),
];

#[test]
fn a_refused_handshake_shows_the_response_with_the_start_of_its_body() {
    let (url, server) = refusing();
    let finished = run(["-v", &url], "");
    server.join().expect("the server");
    assert_eq!(finished.code, 5);
    has_lines(&finished.stderr, &[&[("> Authorization: (hidden)", "")][..], &RESPONSE].concat());
    assert_eq!(finished.stderr.matches("X-Why").count(), 1, "{finished:?}");
    let body: usize = finished.stderr.lines().filter(|line| line.starts_with("< xxx")).map(|line| line.len() - 2).sum();
    assert!((4000..=4096).contains(&body), "{body} of it are shown");
    assert!(finished.stderr.contains("< \u{2026} only the first 4 KiB are shown\n"), "{finished:?}");
    assert!(!finished.stderr.contains("SECRET"), "{finished:?}");
    // The error does not repeat it.
    assert!(finished.stderr.contains(" failed: expected 101, got 403 Forbidden\n"), "{finished:?}");
}

#[test]
fn on_a_terminal_the_response_is_shown_without_v_and_a_pipe_gets_one_line() {
    for args in [&[][..], &["--no-tui"]] {
        let (url, server) = refusing();
        let (code, printed) = InTerminal::start(&[args, &[&*url]].concat()).ends();
        server.join().expect("the server");
        assert_eq!(code, Some(5));
        // The prompt is cleared in front of it.
        has_lines(&printed.replace("\x1b[J", "\n"), &RESPONSE);
        assert!(printed.contains(" failed: expected 101, got 403 Forbidden\n"), "{printed}");
    }
    let (url, server) = refusing();
    let (_, printed) = InTerminal::start(&["-q", &url]).ends();
    server.join().expect("the server");
    assert!(!printed.contains("X-Why"), "{printed}");
    let (url, server) = refusing();
    run([&*url], "").fails_with(5, "expected 101, got 403 Forbidden: no");
    server.join().expect("the server");
}
