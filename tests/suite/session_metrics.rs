//! `--metrics` without rooms: what sessions count.

use crate::{
    http::Exchange,
    peer::Peer,
    rooms::{metric, until_metric},
    support::{Running, Serving, connect, one_connection, run, wsplice},
};
use std::io::{Read, Write};

/// A listener with these addresses, and the port of its metrics.
fn measured(addresses: &[&str]) -> (Serving, u16) {
    let mut server = Serving::start([&["--metrics", "127.0.0.1:0"], addresses].concat());
    let port = port_of(&mut server.running);
    (server, port)
}

fn port_of(running: &mut Running) -> u16 {
    let line = running.error_line("metrics: http://127.0.0.1:");
    let url = line.trim().strip_suffix("/metrics").expect("a URL");
    url.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port")
}

#[test]
fn sessions_of_a_listener_and_their_messages_are_counted() {
    let (server, metrics) = measured(&["ws-l:127.0.0.1:0", "mirror:"]);
    assert_eq!(metric(metrics, "sessions_total"), 0);
    let mut clients = [(); 2].map(|()| Peer::connect(server.port, "/"));
    for client in &mut clients {
        client.send_text("hello");
        assert_eq!(client.receive_text(), "hello");
    }
    until_metric(metrics, "sessions", 2);
    for name in ["messages_sent_total", "messages_received_total", "sessions_total"] {
        assert_eq!(metric(metrics, name), 2, "{name}");
    }
    assert_eq!(metric(metrics, "sent_bytes_total"), 10);
    let [mut first, second] = clients;
    first.close(1000, "");
    first.receive_close();
    // It is lost without a close frame.
    drop(second);
    until_metric(metrics, "sessions", 0);
    assert_eq!((metric(metrics, "sessions_total"), metric(metrics, "session_errors_total")), (2, 1));
}

#[test]
fn bytes_between_two_sockets_are_counted() {
    let (port, echo) = one_connection(|mut stream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("read");
        stream.write_all(&all).expect("write");
        all.len()
    });
    let (server, metrics) = measured(&["tcp-l:127.0.0.1:0", &format!("tcp:127.0.0.1:{port}")]);
    let mut client = connect(server.port);
    client.write_all(&[7; 100_000]).expect("write");
    client.shutdown(std::net::Shutdown::Write).expect("shut down");
    let mut back = Vec::new();
    client.read_to_end(&mut back).expect("read");
    assert_eq!((back.len(), echo.join().expect("the echo")), (100_000, 100_000));
    until_metric(metrics, "sessions", 0);
    assert_eq!(metric(metrics, "sent_bytes_total"), 100_000);
    assert_eq!(metric(metrics, "received_bytes_total"), 100_000);
}

#[test]
fn a_single_session_has_metrics_and_a_health_check() {
    let mut client = Running::start(wsplice(["--metrics", "127.0.0.1:0", "-", "mirror:"]));
    let metrics = port_of(&mut client);
    client.write("one\n");
    assert_eq!(client.line(), "one\n");
    assert_eq!(metric(metrics, "messages_sent_total"), 1);
    let health = Exchange::connect(metrics, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(health.head.status(), 200);
    client.close_input();
    client.finish().succeeds();
}

#[test]
fn metrics_that_cannot_be_served_are_an_error_and_their_overlay_names_the_option() {
    let taken = Serving::start(["ws-l:127.0.0.1:0", "mirror:"]);
    run(["--metrics", &format!("127.0.0.1:{}", taken.port), "ws-l:127.0.0.1:0", "mirror:"], "")
        .fails_with(3, "cannot listen on 127.0.0.1:");
    run(["metrics:ws-l:127.0.0.1:0", "mirror:"], "").fails_with(2, "").hints("--metrics ADDR");
}
