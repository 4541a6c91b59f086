//! Clients that leave while the other end is silent or stuck: their sessions end.

use crate::{
    http::Exchange,
    peer::{Message, Peer},
    raw::{BINARY, RawPeer, from_client},
    support::{LIMIT, Serving, wait_for},
};
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener},
    thread,
};

fn is_gone(pid: &str) {
    wait_for("the end of the program", || (!std::path::Path::new(&format!("/proc/{pid}")).exists()).then_some(()));
}

#[test]
fn foreachmsg_ends_a_silent_program_when_the_client_closes_or_is_cut_off() {
    let silent = "foreachmsg:sh-c:echo $$; exec sleep 1000";
    let server = Serving::start(["ws-l:127.0.0.1:0", silent, "--grace", "1", "--close-timeout", "1"]);
    // The program got the only message, or others wait behind it.
    for (messages, code) in [(1, 1000), (3, 1011)] {
        let mut client = Peer::connect(server.port, "/");
        (0..messages).for_each(|_| client.send_text("message"));
        let pid = client.receive_text();
        client.send(Message::Ping("ping".into()));
        client.close(1000, "");
        assert_eq!(client.receive_close().0, code, "{messages}");
        is_gone(pid.trim());
    }
    let mut client = RawPeer::connect(server.port, "/");
    client.send_text("message");
    let pid = client.receive_text();
    client.stream().shutdown(Shutdown::Both).expect("shut down");
    is_gone(pid.trim());
}

#[test]
fn foreachmsg_ends_a_silent_connection_when_the_client_closes() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = format!("foreachmsg:tcp:{}", listener.local_addr().expect("address"));
    let options = ["--foreachmsg-wait-read", "--close-timeout", "1"];
    let server = Serving::start([&["ws-l:127.0.0.1:0", &address], &options[..]].concat());
    let mut client = Peer::connect(server.port, "/");
    client.send_text("message");
    let (mut far, _) = listener.accept().expect("accept");
    far.set_read_timeout(Some(LIMIT)).expect("set a limit");
    let mut message = String::new();
    far.read_to_string(&mut message).expect("read");
    assert_eq!(message, "message");
    client.close(1000, "");
    assert_eq!(client.receive_close().0, 1000);
}

#[test]
fn foreachmsg_sends_all_messages_of_a_client_that_closes_at_once() {
    let server = Serving::start(["ws-l:127.0.0.1:0", "foreachmsg:sh-c:sleep 0.2; cat", "--close-timeout", "1"]);
    let mut client = Peer::connect(server.port, "/");
    let messages: Vec<String> = (0..10).map(|i| i.to_string()).collect();
    messages.iter().for_each(|message| client.send_text(message));
    client.close(1000, "");
    for message in messages {
        assert_eq!(client.receive_text(), message);
    }
    assert_eq!(client.receive_close().0, 1000);
}

#[test]
fn clients_that_leave_while_a_shared_connection_is_stuck_are_let_go() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let shared = format!("reuse:ws://{}/", listener.local_addr().expect("address"));
    let options = ["--slow-timeout", "1", "--close-timeout", "1", "--backlog", "64k"];
    let server = Serving::start([&["ws-l:127.0.0.1:0", &shared], &options[..]].concat());
    let descriptors = || {
        let all = std::fs::read_dir(format!("/proc/{}/fd", server.running.pid())).expect("the server's descriptors");
        all.count()
    };
    let before = descriptors();
    // It answers the handshake and reads nothing.
    let stuck = thread::spawn(move || Exchange::accept(listener.accept().expect("accept").0).switch(""));
    let fills = RawPeer::connect(server.port, "/");
    let _stuck = stuck.join().expect("the shared end");
    let mut writer = fills.writer();
    let filling = thread::spawn(move || while writer.write_all(&from_client(BINARY, vec![0; 60_000])).is_ok() {});
    for _ in 0..20 {
        let mut visitor = RawPeer::connect(server.port, "/");
        visitor.send_text("message");
        visitor.close(1000, "");
    }
    // One that is alone may wait.
    wait_for("the visitors to be gone", || (descriptors() <= before + 2).then_some(()));
    drop(server);
    filling.join().expect("the filler");
}
