//! `--max-lifetime`: connections of a listener end when they have lasted for this long.

use crate::{
    http::Exchange,
    peer::Peer,
    rooms::rooms,
    support::{LIMIT, Serving, one_connection},
};
use std::{io::Read, time::Instant};

const CLOSED: (u16, &str) = (1001, "maximum lifetime reached");

/// Waits for the close frame of a lifetime of half a second.
#[track_caller]
fn is_closed(client: &mut Peer, connected: Instant) {
    let (code, reason) = client.receive_close();
    assert_eq!((code, &*reason), CLOSED);
    assert!(connected.elapsed().as_millis() >= 450, "closed after {:?}", connected.elapsed());
}

#[test]
fn a_websocket_is_closed_with_1001_when_it_has_lasted_for_its_lifetime() {
    let server = Serving::start(["ws-l:127.0.0.1:0", "mirror:", "--max-lifetime", "0.5"]);
    for _ in 0..2 {
        let connected = Instant::now();
        let mut client = Peer::connect(server.port, "/");
        client.send_text("hello");
        assert_eq!(client.receive_text(), "hello");
        is_closed(&mut client, connected);
    }
}

#[test]
fn a_member_is_closed_with_1001_when_it_has_lasted_for_its_lifetime_and_the_room_stays() {
    let server = rooms(&["--max-lifetime", "0.5"]);
    let connected = Instant::now();
    let mut first = Peer::connect(server.port, "/");
    is_closed(&mut first, connected);
    let connected = Instant::now();
    let mut second = Peer::connect(server.port, "/");
    second.send_text("hello");
    assert_eq!(second.receive_text(), "hello");
    is_closed(&mut second, connected);
}

#[test]
fn the_server_of_a_proxied_websocket_gets_the_same_close_frame() {
    let (port, far) = one_connection(|stream| Peer::accept(stream).receive_close());
    let proxy = Serving::start(["ws-l:127.0.0.1:0", &format!("ws://127.0.0.1:{port}/"), "--max-lifetime", "0.5"]);
    let connected = Instant::now();
    is_closed(&mut Peer::connect(proxy.port, "/"), connected);
    let (code, reason) = far.join().expect("the server");
    assert_eq!((code, &*reason), CLOSED);
}

#[test]
fn a_connection_without_frames_is_ended() {
    let server =
        Serving::start(["tcp-l:127.0.0.1:0", "sh-c:exec sleep 600", "--max-lifetime", "0.5", "--grace", "0.2"]);
    let connected = Instant::now();
    assert_eq!(server.connect().read(&mut [0]).expect("the end"), 0);
    assert!(connected.elapsed().as_millis() >= 450, "ended after {:?}", connected.elapsed());
}

#[test]
fn a_single_session_of_a_listener_ends_well_with_its_lifetime() {
    let server = Serving::start(["--oneshot", "ws-l:127.0.0.1:0", "mirror:", "--max-lifetime", "0.5"]);
    let connected = Instant::now();
    is_closed(&mut Peer::connect(server.port, "/"), connected);
    server.running.finish().succeeds();
}

#[test]
fn a_connection_of_plain_requests_ends_with_the_first_answer_after_its_lifetime() {
    let server = rooms(&["--max-lifetime", "0.5"]);
    for path in ["/healthz", "/"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        let connected = Instant::now();
        let mut exchange = Exchange::connect(server.port, &request);
        while !exchange.head.all("Connection").iter().any(|value| value.ends_with("close")) {
            assert!(connected.elapsed() < LIMIT, "{:?}", exchange.head);
            exchange.body();
            exchange = exchange.again(&request);
        }
        assert!(connected.elapsed().as_millis() >= 450, "ended after {:?}", connected.elapsed());
        exchange.body();
        assert!(exchange.ends());
    }
}
