//! Two ends that carry bytes: the bytes pass unchanged, also through overlays that need messages.

use crate::support::{Serving, one_connection, run};
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
};

/// Overlays that need messages.
const OVERLAYS: [&str; 4] = ["autoreconnect:", "reuse:", "log:", "log:autoreconnect:log:"];

/// Bytes that are neither lines nor text, longer than one read.
fn bytes() -> Vec<u8> {
    let mut bytes = b"l1\nl2\r\n\n\0\xff\xfe no newline at the end: ".to_vec();
    bytes.extend((0..200_000_u32).flat_map(u32::to_le_bytes));
    bytes
}

fn read_all(mut stream: TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("read");
    all
}

/// A TCP server for one client that gives what it has read, and sends it back if it is asked to.
fn server(echoes: bool) -> (String, std::thread::JoinHandle<Vec<u8>>) {
    let (port, thread) = one_connection(move |mut stream| {
        let all = read_all(stream.try_clone().expect("a second handle"));
        if echoes {
            stream.write_all(&all).expect("write");
        }
        all
    });
    (format!("tcp:127.0.0.1:{port}"), thread)
}

#[test]
fn standard_input_reaches_a_socket_behind_an_overlay_as_it_is() {
    for input in [b"l1\nl2\n".to_vec(), bytes(), Vec::new()] {
        for overlay in OVERLAYS {
            let (address, received) = server(false);
            // The shared connection of `reuse:` ends with the run.
            run(["-u", "-q", "-", &format!("{overlay}{address}")], &input).succeeds();
            assert!(received.join().expect("the server") == input, "{overlay} changed {} bytes", input.len());
        }
    }
}

#[test]
fn what_a_socket_behind_an_overlay_sends_is_printed_as_it_is() {
    for overlay in ["log:", "autoreconnect:"] {
        let (port, _server) = one_connection(move |mut stream| {
            stream.write_all(&bytes()).expect("write");
            read_all(stream)
        });
        let finished = run(["-q", &format!("{overlay}tcp:127.0.0.1:{port}")], "");
        assert!(finished.succeeds().stdout == bytes(), "{overlay} changed it: {} bytes", finished.stdout.len());
    }
}

#[test]
fn an_overlay_around_standard_input_and_output_changes_nothing_either() {
    let (address, received) = server(true);
    let finished = run(["-q", "log:-", &address], bytes());
    assert!(finished.succeeds().stdout == bytes());
    assert!(received.join().expect("the server") == bytes());
}

#[test]
fn clients_of_a_tcp_listener_share_a_socket_without_a_change() {
    let (address, received) = server(false);
    let tunnel = Serving::start(["-u", "tcp-l:127.0.0.1:0", &format!("reuse:{address}"), "--oneshot"]);
    let mut client = tunnel.connect();
    client.write_all(&bytes()).expect("write");
    client.shutdown(Shutdown::Write).expect("half-close");
    read_all(client);
    assert!(received.join().expect("the server") == bytes());
}

#[test]
fn explain_says_why_chunks_are_inserted() {
    let plan = run(["--explain", "-", "autoreconnect:tcp:127.0.0.1:1"], "");
    assert_eq!(plan.succeeds().out().matches("bytes on both sides stay as they are").count(), 2, "{plan:?}");
    assert!(!plan.out().contains("lines:"), "{plan:?}");
}

#[test]
fn with_t_both_ends_are_lines() {
    let (address, received) = server(false);
    run(["-t", "-u", "-", &format!("autoreconnect:{address}")], "l1\nl2").succeeds();
    assert_eq!(received.join().expect("the server"), b"l1\nl2\n");
}

#[test]
fn with_v_the_kind_of_messages_of_a_socket_is_logged_where_it_was_not_given() {
    const LINE: &str = "tcp-listen:127.0.0.1:0: each read is a binary message; -t sends text";
    for (args, is_logged) in [(&["-v"][..], true), (&["-v", "-b"], false), (&["-v", "-t"], false), (&[], false)] {
        let finished = run([args, &["--explain", "tcp-l:127.0.0.1:0", "mirror:"]].concat(), "");
        assert_eq!(finished.succeeds().stderr.contains(LINE), is_logged, "{args:?}: {finished:?}");
    }
    let bytes = run(["-v", "--explain", "tcp-l:127.0.0.1:0", "tcp:127.0.0.1:1"], "");
    assert_eq!(bytes.succeeds().stderr, "");
}
