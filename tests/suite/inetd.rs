//! Connections that a super-server passes as standard input and output.

use crate::{
    http::{Exchange, upgrade_request},
    peer::{Message, Peer},
    support::{LIMIT, run, wsplice},
};
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
};

/// Starts the binary for one connection as inetd does: the connection is standard input, output and error.
fn pass(args: &[&str]) -> (TcpStream, Child) {
    pass_to(wsplice(args))
}

fn pass_to(mut command: Command) -> (TcpStream, Child) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let client = TcpStream::connect(listener.local_addr().expect("an address")).expect("connect");
    client.set_read_timeout(Some(LIMIT)).expect("set a limit");
    let (connection, _) = listener.accept().expect("accept");
    let stdio = || Stdio::from(OwnedFd::from(connection.try_clone().expect("a duplicate")));
    let child = command.stdin(stdio()).stdout(stdio()).stderr(stdio()).spawn().expect("the binary starts");
    (client, child)
}

fn read(client: &mut TcpStream) -> String {
    let mut text = String::new();
    client.read_to_string(&mut text).expect("read");
    text
}

#[test]
fn a_connection_is_read_and_written() {
    let (mut client, mut child) = pass(&["inetd:", "sh-c:sort"]);
    client.write_all(b"b\na\n").expect("write");
    client.shutdown(Shutdown::Write).expect("shut down");
    assert_eq!(read(&mut client), "a\nb\n");
    assert_eq!(child.wait().expect("wait").code(), Some(0));
}

#[test]
fn a_websocket_is_served_and_its_program_knows_the_client() {
    let (client, mut child) = pass(&["inetd-ws:", "sh-c:echo $REMOTE_ADDR $REMOTE_PORT $QUERY_STRING; cat"]);
    let port = client.local_addr().expect("an address").port();
    let mut peer = Peer::client(Exchange::request(client, &upgrade_request("/?x", "")).switched());
    assert_eq!(peer.receive_text(), format!("127.0.0.1 {port} x"));
    peer.send_text("hello");
    assert_eq!(peer.receive(), Message::text("hello"));
    peer.close(1000, "");
    peer.receive_close();
    assert_eq!(child.wait().expect("wait").code(), Some(0));
}

#[test]
fn the_client_gets_no_log_lines_and_nothing_that_a_program_says_on_standard_error() {
    let (mut client, mut child) = pass(&["-vv", "inetd:", "sh-c:echo problem >&2; exit 3"]);
    assert_eq!(read(&mut client), "");
    assert_eq!(child.wait().expect("wait").code(), Some(10));
    let (mut client, mut child) = pass(&["ws-inetd:", "sh-c:cat"]);
    client.write_all(b"not HTTP\r\n\r\n").expect("write");
    assert!(read(&mut client).starts_with("HTTP/1.1 400 "));
    assert_eq!(child.wait().expect("wait").code(), Some(5));
}

#[test]
fn a_client_of_a_unix_socket_is_served() {
    let (client, connection) = std::os::unix::net::UnixStream::pair().expect("a pair");
    client.set_read_timeout(Some(LIMIT)).expect("set a limit");
    let mut command = wsplice(["inetd:", "sh-c:cat"]);
    command.stdin(Stdio::from(OwnedFd::from(connection))).stdout(Stdio::null());
    let mut child = command.spawn().expect("the binary starts");
    drop(command);
    let mut client = client;
    client.write_all(b"hello").expect("write");
    client.shutdown(Shutdown::Write).expect("shut down");
    let mut text = String::new();
    client.read_to_string(&mut text).expect("read");
    assert_eq!(text, "hello");
    assert_eq!(child.wait().expect("wait").code(), Some(0));
}

#[test]
fn without_a_socket_it_is_standard_input_and_output() {
    assert_eq!(run(["inetd:", "sh-c:cat"], "hello\n").succeeds().out(), "hello\n");
}
