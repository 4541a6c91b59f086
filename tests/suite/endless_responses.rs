//! Servers that never send the response that was asked for.

use crate::{
    http::{Exchange, Head},
    support::{Serving, connect, run},
};
use std::{
    io::Write,
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

/// A server that sends responses 100 to each client, without an end.
fn endless_continue() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for client in listener.incoming() {
            let Ok(mut client) = client else { return };
            thread::spawn(move || {
                Head::read(&mut client);
                let responses = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(2_000);
                while client.write_all(&responses).is_ok() {}
            });
        }
    });
    port
}

#[test]
fn responses_100_without_an_end_are_an_error() {
    let port = endless_continue();
    let at = format!("127.0.0.1:{port}");
    let reason = "more than 512 KiB without a final response";
    run([&*format!("ws://{at}/")], "").fails_with(7, reason);
    for method in ["GET", "POST"] {
        run(["-X", method, "-", &*format!("http://{at}/")], "").fails_with(7, reason);
    }
    run(["--proxy", &*format!("http://{at}"), "ws://example.test/"], "").fails_with(5, reason);
}

#[test]
fn responses_100_without_an_end_hold_up_no_other_client() {
    let url = format!("ws://127.0.0.1:{}/", endless_continue());
    let server = Serving::start(["ws-l:127.0.0.1:0", &url, "--threads", "1"]);
    let waiting: Vec<TcpStream> = (0..3)
        .map(|_| {
            let mut client = connect(server.port);
            client.write_all(crate::http::upgrade_request("/", "").as_bytes()).expect("write");
            client
        })
        .collect();
    let started = Instant::now();
    let plain = Exchange::connect(server.port, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(plain.head.status(), 426);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    for mut client in waiting {
        assert_eq!(Head::read(&mut client).status(), 502);
    }
}

#[test]
fn a_response_to_an_http_request_must_come_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let url = format!("http://127.0.0.1:{}/", listener.local_addr().expect("an address").port());
    for method in ["GET", "POST"] {
        let finished = run(["-X", method, "--connect-timeout", "0.3", "-", &*url], "");
        finished.fails_with(124, "waiting for the response of").hints("--connect-timeout");
    }
}
