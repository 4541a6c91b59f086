//! What strangers send to a server, and what a server sends to us: text that reaches the log, logins, and request heads.

use crate::support::{Folder, LIMIT, Running, Serving, connect, program, run, wsplice};
use rcgen::{CertificateParams, KeyPair, SanType};
use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    time::Instant,
};

/// An opening handshake for this target. `headers` are all headers but those of WebSockets, each ended by CR LF.
fn handshake(target: &str, headers: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\n{headers}Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// Sends this request and reads the head of the answer. The connection stays open.
fn ask(port: u16, request: &str) -> (String, TcpStream) {
    let mut stream = connect(port);
    stream.write_all(request.as_bytes()).expect("write");
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
        head.push(byte[0]);
    }
    (String::from_utf8_lossy(&head).into_owned(), stream)
}

/// The status of the answer.
#[track_caller]
fn status(port: u16, request: &str) -> u16 {
    let (head, _) = ask(port, request);
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.unwrap_or_else(|| panic!("no status in {head:?}"))
}

fn rooms(args: &[&str]) -> Serving {
    Serving::start(["--broadcast", "ws-l:127.0.0.1:0"].iter().chain(args))
}

// Text in logs.

#[test]
fn an_access_token_stands_in_no_log() {
    let mut server = rooms(&["-v", "--max-per-room", "1"]);
    let request = handshake("/a?access_token=secret&b=1", "Host: x\r\n");
    let (head, member) = ask(server.port, &request);
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(status(server.port, &request), 503);
    let line = server.running.error_line("cannot join room");
    assert!(line.contains("cannot join room /a?access_token=(hidden)&b=1"), "{line}");
    drop(member);
    server.running.error_line("leave");
    server.running.signal("TERM");
    let log = server.running.finish().stderr;
    assert!(log.contains("join") && log.contains("leave"), "{log}");
    assert!(!log.contains("secret"), "{log}");
}

#[test]
fn an_access_token_stands_in_no_line_of_json() {
    let mut server = rooms(&["-v", "--log-format", "json", "--max-per-room", "1"]);
    let request = handshake("/?access_token=secret", "Host: x\r\n");
    let (_, _member) = ask(server.port, &request);
    assert_eq!(status(server.port, &request), 503);
    server.running.error_line("cannot join room");
    server.running.signal("TERM");
    let log = server.running.finish().stderr;
    assert!(!log.contains("secret"), "{log}");
}

#[test]
fn a_name_in_a_certificate_does_not_steer_the_terminal() {
    let folder = Folder::new("certificate-escape");
    let mut params = CertificateParams::new([]).expect("parameters");
    params.subject_alt_names.push(SanType::DnsName("\u{1b}[31mred.example".try_into().expect("ASCII")));
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    let [cert, private] = ["cert.pem", "key.pem"].map(|name| folder.path(name));
    let pem = |label: &str, der: &[u8]| {
        let base64 = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, der);
        let lines: Vec<_> = base64.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
    };
    fs::write(&cert, pem("CERTIFICATE", certificate.der())).expect("write");
    fs::write(&private, pem("PRIVATE KEY", key.serialized_der())).expect("write");
    let server = Serving::start(["wss-l:127.0.0.1:0", "mirror:", "--cert", &cert, "--key", &private]);
    let finished = run([format!("wss://localhost:{}/", server.port), "--cacert".into(), cert], "");
    finished.fails_with(4, "red.example");
    assert!(!finished.stderr.contains('\u{1b}'), "{:?}", finished.stderr);
}

#[test]
fn a_close_reason_does_not_steer_the_terminal() {
    // RIGHT-TO-LEFT OVERRIDE, and CONTROL SEQUENCE INTRODUCER in one byte of Latin-1.
    let reason = "exe.\u{202e}gpj\u{9b}2J\u{1b}[31m";
    let server =
        Serving::start(["ws-l:127.0.0.1:0", "literal:x", "--close-status-code", "4000", "--close-reason", reason]);
    for args in [&["-v"][..], &["-v", "--log-format", "json"]] {
        let finished = run([args, &[&*format!("log:{}", server.url())]].concat(), "");
        assert_eq!(finished.code, 8, "{finished:?}");
        assert!(finished.stderr.contains("gpj"), "{finished:?}");
        let steers = |letter: &char| ['\u{202e}', '\u{9b}', '\u{1b}'].contains(letter);
        assert_eq!(finished.stderr.chars().find(steers), None, "{finished:?}");
    }
}

#[test]
fn a_request_target_does_not_steer_the_terminal() {
    let mut server = rooms(&["--max-per-room", "1"]);
    let request = handshake("/exe.\u{202e}gpj", "Host: x\r\n");
    let (head, _member) = ask(server.port, &request);
    if head.starts_with("HTTP/1.1 101 ") {
        assert_eq!(status(server.port, &request), 503);
        let line = server.running.error_line("cannot join room");
        assert!(!line.contains('\u{202e}'), "{line:?}");
    }
}

// Logins.

#[test]
fn static_files_need_the_login_that_websockets_need() {
    let folder = Folder::new("static-login");
    let paths = ["page.html", "users", "tokens"].map(|name| folder.path(name));
    let [page, users, tokens] = &paths;
    fs::write(page, "secret page").expect("write");
    fs::write(users, "me:word\n").expect("write");
    fs::write(tokens, "t0ken\n").expect("write");
    let file = format!("/page:text/html:{page}");
    let serve = |args: &[&str]| Serving::start([&["ws-l:127.0.0.1:0", "mirror:", "-F", &file], args].concat());
    let get = |target: &str, headers: &str| format!("GET {target} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");

    let basic = serve(&["--require-basic-auth", users]);
    let (head, _) = ask(basic.port, &get("/page", ""));
    assert!(head.starts_with("HTTP/1.1 401 ") && head.contains("Www-Authenticate: Basic"), "{head}");
    assert_eq!(status(basic.port, &get("/page", "Authorization: Basic bWU6d29yZA==\r\n")), 200);
    assert_eq!(status(basic.port, &get("/page", "Authorization: Basic bWU6d3Jvbmc=\r\n")), 401);

    let token = serve(&["--require-token", tokens]);
    assert_eq!(status(token.port, &get("/page", "")), 401);
    assert_eq!(status(token.port, &get("/page?access_token=t0ken", "")), 200);
    assert_eq!(status(token.port, &get("/page", "Authorization: Bearer t0ken\r\n")), 200);

    let origin = serve(&["--allow-origin", "https://good.example"]);
    assert_eq!(status(origin.port, &get("/page", "Origin: https://bad.example\r\n")), 403);
    assert_eq!(status(origin.port, &get("/page", "Origin: https://good.example\r\n")), 200);
    assert_eq!(status(origin.port, &get("/page", "")), 200, "a page that is typed in has no origin");
}

// Request heads.

#[test]
fn a_request_needs_exactly_one_host_header() {
    let server = Serving::start(["ws-l:127.0.0.1:0", "mirror:"]);
    for headers in ["", "Host: a\r\nHost: b\r\n", "Host: a\r\nHost: a\r\n"] {
        assert_eq!(status(server.port, &handshake("/", headers)), 400, "{headers:?}");
        assert_eq!(status(server.port, &format!("GET / HTTP/1.1\r\n{headers}\r\n")), 400, "{headers:?}");
    }
    assert_eq!(status(server.port, &handshake("/", "Host: a\r\n")), 101);
    // HTTP/1.0 has none.
    assert_eq!(status(server.port, "GET / HTTP/1.0\r\n\r\n"), 426);
}

#[test]
fn a_long_request_target_is_414() {
    let server = rooms(&[]);
    let target = |length: usize| format!("/{}", "a".repeat(length - 1));
    assert_eq!(status(server.port, &handshake(&target(8 << 10), "Host: x\r\n")), 101);
    assert_eq!(status(server.port, &handshake(&target((8 << 10) + 1), "Host: x\r\n")), 414);
    assert_eq!(status(server.port, &format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", target(60_000))), 414);
    let server = rooms(&["--max-url-length", "100"]);
    assert_eq!(status(server.port, &handshake(&target(100), "Host: x\r\n")), 101);
    assert_eq!(status(server.port, &handshake(&target(101), "Host: x\r\n")), 414);
}

#[test]
fn a_long_request_head_is_431() {
    let request = |length: usize| handshake("/", &format!("Host: x\r\nX-Long: {}\r\n", "a".repeat(length)));
    let mut server = rooms(&["--max-header-length", "16k"]);
    assert_eq!(status(server.port, &request(15_000)), 101);
    assert_eq!(status(server.port, &request(20_000)), 431);
    server.running.error_line("the request head is longer than 16384 bytes");
    server.running.error_line("--max-header-length");
    let server = rooms(&[]);
    assert_eq!(status(server.port, &request(60_000)), 101);
    run(["--max-header-length", "1k", "ws-l:0", "mirror:"], "").fails_with(2, "at least 8k");
}

// Addresses.

#[test]
fn the_ipv6_addresses_of_one_network_count_as_one() {
    let server = rooms(&["--max-per-address", "1", "--trust-proxy", "127.0.0.0/8"]);
    let from = |client: &str| ask(server.port, &handshake("/", &format!("Host: x\r\nX-Forwarded-For: {client}\r\n")));
    let (head, _first) = from("2001:db8::1");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let (head, _) = from("2001:db8::ffff:2");
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    let (head, _second) = from("2001:db8:0:1::1");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let (head, _third) = from("192.0.2.1");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let (head, _fourth) = from("192.0.2.2");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
}

#[test]
fn every_listener_limits_the_connections_of_an_address() {
    for address in ["ws-l:127.0.0.1:0", "tcp-l:127.0.0.1:0"] {
        let mut server = Serving::start([address, "mirror:", "--max-per-address", "2"]);
        let first = server.connect();
        let second = server.connect();
        let mut third = server.connect();
        assert_eq!(third.read(&mut [0]).expect("it is closed in good order"), 0);
        server.running.error_line("--max-per-address");
        drop((first, second));
        // A place is free a moment later.
        let end = Instant::now() + LIMIT;
        loop {
            let mut next = server.connect();
            let _ = next.write_all(handshake("/", "Host: x\r\n").as_bytes());
            if matches!(next.read(&mut [0]), Ok(1)) {
                break;
            }
            assert!(Instant::now() < end, "no place becomes free");
        }
    }
    let server =
        Serving::start(["tcp-l:127.0.0.1:0", "mirror:", "--max-per-address", "1", "--trust-proxy", "127.0.0.1/32"]);
    for mut proxied in [server.connect(), server.connect()] {
        proxied.write_all(b"x").expect("write");
        assert_eq!(proxied.read(&mut [0]).expect("the echo"), 1);
    }
}

// What a listener takes from the system.

/// The soft limit on open descriptors of a process.
fn descriptor_limits(pid: u32) -> (u64, u64) {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("limits");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("a line");
    let mut numbers = line.split_whitespace().filter_map(|number| number.parse().ok());
    (numbers.next().expect("soft"), numbers.next().expect("hard"))
}

#[test]
fn every_listener_raises_its_soft_limit_on_descriptors() {
    let limited = |arguments: &[&str]| {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "ulimit -Sn 256; exec \"$0\" \"$@\"", &program()]).args(arguments);
        command
    };
    for address in ["ws-l:127.0.0.1:0", "tcp-l:127.0.0.1:0"] {
        let server = Serving::from_command(limited(&[address, "mirror:", "--stdout-announce-listening-ports"]));
        let (soft, hard) = descriptor_limits(server.running.pid());
        assert_eq!(soft, hard, "{address}");
        assert!(hard > 256, "the test needs a hard limit above 256");
    }
    // A program that uses select(2) relies on the limit that it was started with.
    let server = Serving::from_command(limited(&[
        "tcp-l:127.0.0.1:0",
        "sh-c:ulimit -Sn; cat",
        "--stdout-announce-listening-ports",
    ]));
    let mut told = [0; 4];
    server.connect().read_exact(&mut told).expect("read");
    assert_eq!(&told, b"256\n");
}

/// Runs the binary where it may have so many threads. The limit does not bind root, so it runs as a user who has no other processes;
/// tests that run at the same time need different ones.
fn with_threads(most: u32, user: u32, args: &[&str]) -> Running {
    let mut command = std::process::Command::new("prlimit");
    command.arg(format!("--nproc={most}:{most}"));
    if rustix::process::geteuid().is_root() {
        command.args(["setpriv", "--clear-groups"]);
        command.args([format!("--reuid={user}"), format!("--regid={user}")]);
    }
    command.arg(wsplice([""]).get_program()).args(args);
    Running::start(command)
}

#[test]
fn without_threads_a_run_ends_with_an_error() {
    for args in [
        &["ws-l:127.0.0.1:0", "mirror:"][..],
        &["--broadcast", "ws-l:127.0.0.1:0"],
        &["-", "tcp:localhost:9"],
        &["nonsense:"],
    ] {
        let mut running = with_threads(1, 65534, args);
        running.close_input();
        let finished = running.finish();
        assert!(!finished.stderr.contains("panicked"), "{args:?}: {finished:?}");
        match args {
            ["nonsense:"] => finished.fails_with(2, "nonsense"),
            _ => finished.fails_with(1, "cannot start a thread"),
        };
    }
}

#[test]
fn a_listener_that_cannot_start_all_its_threads_ends_with_an_error() {
    for most in 2..=5 {
        for args in
            [&["--threads", "3", "ws-l:127.0.0.1:0", "mirror:"][..], &["--threads", "3", "--broadcast", "ws-l:0"]]
        {
            let finished = with_threads(most, 65533, args).finish();
            assert!(!finished.stderr.contains("panicked"), "{most}: {finished:?}");
            finished.fails_with(1, "cannot start a thread");
        }
    }
}
