//! `--cluster`, as far as no Redis is needed. `tests/peers/cluster.rs` has one.

use crate::support::{Folder, accept, one_connection, run};
use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
};

#[test]
fn options_of_a_cluster_need_rooms_and_an_address() {
    run(["--cluster", "redis://127.0.0.1", "ws-l:127.0.0.1:0"], "")
        .fails_with(2, "--broadcast is required with --cluster");
    run(["--broadcast", "--cluster-name", "chat"], "").fails_with(2, "--cluster");
    let folder = Folder::new("cluster-options");
    let empty = folder.path("empty");
    fs::write(&empty, "\n").expect("a file");
    for (args, error) in [
        (&["--cluster", "127.0.0.1:6379"][..], "expected a URL"),
        (&["--cluster", "http://127.0.0.1"], "the scheme must be"),
        (&["--cluster", "redis://"], "the host is missing"),
        (&["--cluster", "redis://127.0.0.1/name"], "the number of a database"),
        (&["--cluster", "redis://127.0.0.1", "--cluster-name", "a:b"], "letters, digits, - or _"),
        (&["--cluster", "redis://127.0.0.1", "--cluster-ca", "ca.pem"], "--cluster-ca needs TLS"),
        (&["--cluster", "redis://127.0.0.1", "--cluster-auth", &empty], "no password in its first line"),
        (&["--cluster", "redis://:secret@127.0.0.1", "--cluster-auth", &empty], "has a password already"),
    ] {
        let finished = run([&["--broadcast", "ws-l:127.0.0.1:0"], args].concat(), "");
        finished.fails_with(2, error);
        assert!(!finished.stderr.contains("secret"), "{finished:?}");
    }
}

#[cfg(not(feature = "nats"))]
#[test]
fn a_build_without_an_engine_says_how_to_get_one() {
    let finished = run(["--broadcast", "ws-l:127.0.0.1:0", "--cluster", "nats://127.0.0.1"], "");
    finished.fails_with(2, "this build has no client for nats://127.0.0.1");
    assert!(finished.stderr.contains("--features nats"), "{finished:?}");
}

#[test]
fn an_engine_that_cannot_be_used_is_an_error_before_the_listener_opens() {
    let args = |port: u16| {
        let url = format!("redis://127.0.0.1:{port}");
        ["--broadcast", "ws-l:127.0.0.1:0", "--stdout-announce-listening-ports", "--cluster", &url].map(str::to_owned)
    };
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    let finished = run(args(closed), "");
    finished.fails_with(3, "cannot connect to 127.0.0.1:").hints("nothing listens there");
    assert!(finished.stdout.is_empty(), "{finished:?}");
    // It answers everything with an error, as a Redis does that is older than HELLO.
    let (port, old) = one_connection(|mut stream| {
        let mut bytes = [0; 1000];
        while let Ok(length @ 1..) = stream.read(&mut bytes) {
            let commands = bytes[..length].iter().filter(|byte| **byte == b'*').count();
            let _ = stream.write_all(&b"-ERR unknown command\r\n".repeat(commands));
        }
    });
    run(args(port), "").fails_with(3, "cannot use redis://127.0.0.1:");
    old.join().expect("a server");
}

#[test]
fn an_http_server_is_no_engine() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("redis://127.0.0.1:{}", listener.local_addr().expect("an address").port());
    let server = std::thread::spawn(move || {
        let mut stream = accept(&listener);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let finished = run(["--broadcast", "ws-l:127.0.0.1:0", "--cluster", &url], "");
    finished.fails_with(3, "it does not speak Redis's protocol").hints("is it Redis");
    server.join().expect("a server");
}

#[test]
fn an_engine_that_closes_the_connection_is_told_with_what_it_must_be() {
    for (scheme, code, reason, hint) in [
        ("redis", 3, "it closes the connection", "rediss:// connects with TLS"),
        ("rediss", 4, "the connection ended during the handshake", ""),
    ] {
        let (port, server) = one_connection(|mut stream| _ = stream.read(&mut [0; 4096]));
        let url = format!("{scheme}://127.0.0.1:{port}");
        run(["--broadcast", "ws-l:127.0.0.1:0", "--cluster", &url], "").fails_with(code, reason).hints(hint);
        server.join().expect("a server");
    }
}

#[test]
fn an_engine_that_takes_the_connection_and_is_silent_is_told_with_what_it_must_be() {
    let runs = ["redis", "rediss"].map(|scheme| {
        std::thread::spawn(move || {
            let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
            let url = format!("{scheme}://127.0.0.1:{}", listener.local_addr().expect("an address").port());
            // The system takes the connection.
            run(["--broadcast", "ws-l:127.0.0.1:0", "--cluster", &url], "")
        })
    });
    let [plain, tls] = runs.map(|run| run.join().expect("a run"));
    plain.fails_with(3, "it does not answer").hints("is it Redis without TLS? rediss:// connects with TLS");
    tls.fails_with(3, "it does not answer").hints("is it Redis with TLS? redis:// connects without");
}
