//! Unix sockets: names in the abstract namespace, packets, datagrams, and permissions.

use crate::{
    peer::{Message, websocket_server},
    support::{Folder, LIMIT, Running, run, wait_for, wsplice},
};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept, bind, connect, listen, recv,
    send, socket_with,
};
use std::{
    fs,
    os::{
        fd::OwnedFd,
        linux::net::SocketAddrExt,
        unix::{
            fs::PermissionsExt,
            net::{SocketAddr, UnixDatagram, UnixStream},
        },
    },
    process, thread,
};

/// A socket of packets whose reads and writes have a limit.
fn packets() -> OwnedFd {
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
    let socket = socket.expect("a socket");
    limit(&socket);
    socket
}

fn limit(socket: &OwnedFd) {
    use rustix::net::sockopt::{Timeout, set_socket_timeout};
    set_socket_timeout(socket, Timeout::Recv, Some(LIMIT)).expect("set a limit");
    set_socket_timeout(socket, Timeout::Send, Some(LIMIT)).expect("set a limit");
}

#[track_caller]
fn packet(socket: &OwnedFd) -> Vec<u8> {
    let mut buffer = vec![0; 200_000];
    let length = recv(socket, &mut buffer[..], RecvFlags::empty()).expect("a packet").1;
    buffer.truncate(length);
    buffer
}

/// A name of this process alone.
fn name(test: &str) -> String {
    format!("wsplice-{test}-{}", process::id())
}

#[test]
fn a_name_in_the_abstract_namespace_has_addresses_of_its_own() {
    let name = name("abstract");
    let mut server = Running::announced(&[&format!("abstract-l:{name}"), "mirror:"]);
    for client in [format!("abstract:{name}"), format!("abstract-connect:{name}"), format!("unix:@{name}")] {
        assert_eq!(run(["-", &client], "hello\n").succeeds().out(), "hello\n", "{client}");
    }
    assert!(server.is_running());
    let missing = run(["-", "abstract-c:wsplice-nobody"], "");
    missing.fails_with(3, "cannot connect to @wsplice-nobody: Connection refused");
    let taken = run([format!("listen-abstract:{name}"), "mirror:".into()], "");
    taken.fails_with(3, " in use").hints("another program listens there");
}

#[test]
fn a_websocket_listener_has_an_abstract_name() {
    let name = name("ws");
    let _server = Running::announced(&[&format!("l-ws-abstract:{name}"), "mirror:"]);
    let client = format!("ws-c:abstract:{name}");
    assert_eq!(run(["-", &client], "hello\n").succeeds().out(), "hello\n");
}

#[test]
fn each_packet_is_a_message_in_both_directions() {
    let folder = Folder::new("seqpacket");
    let path = folder.path("socket");
    let server = Running::announced(&[&format!("seqpacket-l:{path}"), "mirror:"]);
    let long = vec![7; 100_000];
    let sent = long.clone();
    let (url, peer) = websocket_server(move |mut peer| {
        for payload in [&sent[..], b"ab", b"c"] {
            peer.send(Message::binary(payload.to_vec()));
        }
        let received: Vec<_> = (0..3).map(|_| peer.receive().into_data()).collect();
        peer.close(1000, "");
        received
    });
    run([url, format!("seqpacket:{path}")], "").succeeds();
    assert_eq!(peer.join().expect("the peer"), [&long[..], b"ab", b"c"]);
    server.signal("TERM");
    assert_eq!(server.finish().code, 143);
    assert!(!fs::exists(&path).expect("a look"), "the socket was removed");
}

#[test]
fn the_end_of_packets_is_passed_on_and_replies_still_arrive() {
    let name = name("packets");
    let _server = Running::announced(&[&format!("seqpacket-l:@{name}"), "sh-c:sort"]);
    let client = packets();
    connect(&client, &SocketAddrUnix::new_abstract_name(name.as_bytes()).expect("a name")).expect("connect");
    for line in ["b", "a"] {
        send(&client, line.as_bytes(), SendFlags::empty()).expect("send");
    }
    rustix::net::shutdown(&client, rustix::net::Shutdown::Write).expect("shut down");
    assert_eq!([packet(&client), packet(&client), packet(&client)], [&b"a"[..], b"b", b""]);
}

#[test]
fn a_client_of_packets_sends_lines_and_prints_packets() {
    let folder = Folder::new("seqpacket-client");
    let path = folder.path("socket");
    let listener = packets();
    bind(&listener, &SocketAddrUnix::new(path.as_str()).expect("a path")).expect("bind");
    listen(&listener, 1).expect("listen");
    let server = thread::spawn(move || {
        let connection = accept(&listener).expect("accept");
        limit(&connection);
        let received = [packet(&connection), packet(&connection), packet(&connection)];
        send(&connection, b"reply", SendFlags::empty()).expect("send");
        received
    });
    let finished = run(["-", &format!("c-seqpacket:{path}")], "one\ntwo\n");
    assert_eq!(finished.succeeds().out(), "reply\n");
    assert_eq!(server.join().expect("the server"), [&b"one"[..], b"two", b""]);
}

#[test]
fn datagrams_are_received_at_one_path_and_sent_to_another() {
    let folder = Folder::new("datagrams");
    let (ours, theirs) = (folder.path("ours"), folder.path("theirs"));
    let other = UnixDatagram::bind(&theirs).expect("bind");
    other.set_read_timeout(Some(LIMIT)).expect("set a limit");
    let mut running = Running::start(wsplice(["-", &format!("unix-dgram:{ours}:{theirs}"), "--chmod", "600"]));
    running.write("hello\n");
    let mut buffer = vec![0; 200_000];
    let (length, from) = other.recv_from(&mut buffer).expect("a datagram");
    assert_eq!(&buffer[..length], b"hello");
    assert_eq!(from.as_pathname().expect("a path").to_string_lossy(), ours);
    assert_eq!(fs::metadata(&ours).expect("a socket").permissions().mode() & 0o777, 0o600);
    let long = [&[b'x'; 100_000][..], b"\n"].concat();
    other.send_to(&long[..100_000], &ours).expect("send");
    assert_eq!(running.line().as_bytes(), long);
    drop(other);
    running.write("lost\n");
    running.finish().fails_with(7, "lost: Connection refused");
    assert!(!fs::exists(&ours).expect("a look"), "the socket was removed");
}

#[test]
fn datagrams_have_abstract_names_too() {
    let (ours, theirs) = (name("ours"), name("theirs"));
    let other = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&theirs).expect("a name")).expect("bind");
    other.set_read_timeout(Some(LIMIT)).expect("set a limit");
    let mut running = Running::start(wsplice(["-", &format!("abstract-dgram:{ours}:{theirs}")]));
    running.write("hello\n");
    let mut buffer = [0; 10];
    assert_eq!(other.recv(&mut buffer).expect("a datagram"), 5);
    let to = SocketAddr::from_abstract_name(&ours).expect("a name");
    other.send_to_addr(b"reply", &to).expect("send");
    assert_eq!(running.line(), "reply\n");
}

#[test]
fn a_packet_that_is_longer_than_a_message_may_be_is_an_error() {
    let name = name("long");
    let _server = Running::announced(&[&format!("seqpacket-l:@{name}"), "literal:abcdef"]);
    let client = format!("seqpacket:@{name}");
    run(["--max-ws-message-length", "5", "-", &client], "").fails_with(6, "too long: more than 5 bytes");
}

#[test]
fn wrong_unix_addresses_are_errors() {
    run(["-", "unix-dgram:/tmp/x"], "").fails_with(2, "two sockets are needed").hints("unix-dgram:");
    run(["-", "abstract-dgram::x"], "").fails_with(2, "two sockets are needed");
    run(["-", "seqpacket:/wsplice/missing"], "").fails_with(3, "cannot connect to /wsplice/missing: No such file");
    let long = "x".repeat(200);
    run(["-", &format!("seqpacket:/{long}")], "").fails_with(3, "cannot connect to");
    run([&format!("seqpacket-l:/{long}"), "-"], "").fails_with(3, "cannot listen on");
    run(["--chmod", "888", "unix-l:/tmp/x", "-"], "").fails_with(2, "permissions in octal");
    run(["--chmod", "7777", "unix-l:/tmp/x", "-"], "").fails_with(2, "permissions in octal");
}

#[test]
fn a_socket_gets_its_permissions_before_it_listens() {
    let folder = Folder::new("chmod");
    for (listener, mode) in [("unix-l", 0o600), ("l-ws-unix", 0o666), ("seqpacket-l", 0o660)] {
        let path = folder.path(listener);
        let address = format!("{listener}:{path}");
        let _server = Running::announced(&[&address, "mirror:", "--chmod", &format!("{mode:o}")]);
        assert_eq!(fs::metadata(&path).expect("a socket").permissions().mode() & 0o777, mode, "{listener}");
    }
    let path = folder.path("l-ws-unix");
    wait_for("the end", || UnixStream::connect(&path).err());
    let _server = Running::announced(&[&format!("l-ws-unix:{path}"), "mirror:", "--unlink", "--chmod", "600"]);
    let url = format!("ws+unix:{path}:/");
    assert_eq!(run([url], "hello\n").succeeds().out(), "hello\n");
}
