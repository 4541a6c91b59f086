//! Clients that leave while the other end of their session is being opened.

use crate::{
    http::{Exchange, upgrade_request},
    peer::Peer,
    raw::{TEXT, from_client},
    support::{LIMIT, Running, Serving, connect, wsplice},
};
use std::{
    io::{BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
};

/// A server that accepts connections and answers nothing.
fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let url = format!("ws://{}/", listener.local_addr().expect("address"));
    (listener, url)
}

/// Accepts the connection of a proxy, and reads its request.
#[track_caller]
fn accept(listener: &TcpListener) -> BufReader<TcpStream> {
    let (stream, _) = listener.accept().expect("accept");
    stream.set_read_timeout(Some(LIMIT)).expect("set a limit");
    Exchange::accept(stream).reader
}

/// Sends an opening handshake that is not answered yet.
fn ask(port: u16) -> TcpStream {
    let mut client = connect(port);
    client.write_all(upgrade_request("/", "").as_bytes()).expect("write");
    client
}

#[test]
fn the_dial_is_given_up_when_the_client_leaves() {
    let (listener, url) = silent();
    let proxy = Serving::start(["ws-l:127.0.0.1:0", &url, "--connect-timeout", "600"]);
    for leave in [drop, |client: TcpStream| client.shutdown(Shutdown::Write).expect("shut down")] {
        let client = ask(proxy.port);
        let mut far = accept(&listener);
        leave(client);
        assert_eq!(far.read(&mut [0]).expect("the end of the connection"), 0);
    }
}

#[test]
fn the_dial_is_given_up_when_a_client_of_a_tls_listener_leaves() {
    let (listener, url) = silent();
    let proxy = Serving::start(["wss-l:127.0.0.1:0", &url, "--self-signed", "--connect-timeout", "600"]);
    let client = Running::start(wsplice(["-k", &format!("wss://127.0.0.1:{}/", proxy.port)]));
    let mut far = accept(&listener);
    drop(client);
    assert_eq!(far.read(&mut [0]).expect("the end of the connection"), 0);
}

#[test]
fn a_client_that_has_left_takes_no_connection_of_the_other_listener() {
    let mut server = Serving::start(["ws-l:127.0.0.1:0", "tcp-l:127.0.0.1:0", "-v", "--connect-timeout", "600"]);
    let gone = ask(server.port);
    let line = server.running.line();
    let port = line.trim().rsplit_once("port=").and_then(|(_, port)| port.parse().ok()).expect("a port");
    drop(gone);
    server.running.error_line("disconnected before the opening handshake was answered");
    let next = ask(server.port);
    let mut other = connect(port);
    other.write_all(b"hello").expect("write");
    let mut client = Peer::client(Exchange::request(next, "").switched());
    assert_eq!(client.receive().into_data(), "hello");
}

#[test]
fn a_client_that_has_left_is_not_the_only_session() {
    let (listener, url) = silent();
    let proxy = Serving::start(["--oneshot", "ws-l:127.0.0.1:0", &url]);
    let client = ask(proxy.port);
    let mut far = accept(&listener);
    drop(client);
    assert_eq!(far.read(&mut [0]).expect("the end of the connection"), 0);
    let client = ask(proxy.port);
    let (stream, _) = listener.accept().expect("accept");
    let mut far = Peer::accept(stream);
    let mut client = Peer::client(Exchange::request(client, "").switched());
    client.send_text("hello");
    assert_eq!(far.receive_text(), "hello");
}

#[test]
fn what_a_client_sends_before_the_answer_arrives() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let url = format!("ws://{}/", listener.local_addr().expect("address"));
    let proxy = Serving::start(["ws-l:127.0.0.1:0", &url, "--connect-timeout", "600"]);
    for length in [5, 100_000] {
        let client = ask(proxy.port);
        let (stream, _) = listener.accept().expect("accept");
        let far = Exchange::accept(stream);
        let text = "x".repeat(length);
        let mut writer = client.try_clone().expect("clone");
        let frame = from_client(TEXT, text.as_bytes());
        let writing = std::thread::spawn(move || writer.write_all(&frame));
        let mut far = Peer::server(far.switch(""));
        assert_eq!(far.receive_text(), text);
        writing.join().expect("the writer").expect("write");
        drop(client);
    }
}
