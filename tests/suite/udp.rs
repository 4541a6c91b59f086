//! UDP: each datagram is a message.

use crate::{
    peer::{Message, websocket_server},
    support::{LIMIT, Running, Serving, run, wait_for, wsplice},
};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, UdpSocket},
    thread,
};

fn socket() -> (UdpSocket, u16) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(LIMIT)).expect("set a limit");
    let port = socket.local_addr().expect("an address").port();
    (socket, port)
}

/// A socket for datagrams to this port.
fn to(port: u16) -> UdpSocket {
    let (socket, _) = socket();
    socket.connect(("127.0.0.1", port)).expect("connect");
    socket
}

#[track_caller]
fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = vec![0; 70_000];
    let (length, from) = socket.recv_from(&mut buffer).expect("a datagram");
    buffer.truncate(length);
    (buffer, from)
}

#[test]
fn each_line_is_a_datagram_and_replies_are_awaited() {
    let (server, port) = socket();
    let replies = thread::spawn(move || {
        for _ in 0..2 {
            let (datagram, from) = receive(&server);
            server.send_to(&[b"re: ", &datagram[..]].concat(), from).expect("send");
        }
    });
    let finished = run(["-", &format!("udp:127.0.0.1:{port}")], "one\ntwo\n");
    replies.join().expect("the server");
    assert_eq!(finished.succeeds().out(), "re: one\nre: two\n");
}

#[test]
fn the_longest_datagram_and_an_empty_one_pass_unchanged() {
    let (server, port) = socket();
    let longest: Vec<u8> = (0..65_507_u32).map(|i| i as u8).collect();
    let sent = longest.clone();
    let (url, peer) = websocket_server(move |mut peer| {
        for payload in [sent.as_slice(), b"", b"x"] {
            peer.send(Message::binary(payload.to_vec()));
        }
        let received: Vec<_> = (0..3).map(|_| peer.receive()).collect();
        peer.close(1000, "");
        received
    });
    let echo = thread::spawn(move || {
        for _ in 0..3 {
            let (datagram, from) = receive(&server);
            server.send_to(&datagram, from).expect("send");
        }
    });
    run([url, format!("udp-c:127.0.0.1:{port}")], "").succeeds();
    echo.join().expect("the echo");
    let received = peer.join().expect("the peer");
    assert_eq!(received, [Message::binary(longest), Message::binary(vec![]), Message::binary(b"x".to_vec())]);
}

#[test]
fn datagrams_are_text_on_demand_unless_they_are_not_utf_8() {
    let (server, port) = socket();
    let (url, peer) = websocket_server(move |mut peer| {
        peer.send_text("hello");
        let received = [peer.receive(), peer.receive()];
        peer.close(1000, "");
        received
    });
    let replies = thread::spawn(move || {
        let (_, from) = receive(&server);
        for reply in [&b"text"[..], b"\xff"] {
            server.send_to(reply, from).expect("send");
        }
    });
    run(["-t".into(), url, format!("udp:127.0.0.1:{port}")], "").succeeds();
    replies.join().expect("the server");
    assert_eq!(peer.join().expect("the peer"), [Message::text("text"), Message::binary(b"\xff".to_vec())]);
}

#[test]
fn a_message_that_is_longer_than_a_datagram_is_an_error() {
    let (_server, port) = socket();
    let (url, peer) = websocket_server(|mut peer| {
        peer.send(Message::binary(vec![0; 65_508]));
        peer.receive_close()
    });
    let finished = run([url, format!("udp:127.0.0.1:{port}")], "");
    finished.fails_with(1, "cannot send a message of 65508 bytes to udp:127.0.0.1");
    assert_eq!(peer.join().expect("the peer").0, 1011);
}

#[test]
fn a_listener_that_cannot_send_a_reply_ends() {
    let mut server = Serving::start(["udp-l:127.0.0.1:0", "-"]);
    let client = to(server.port);
    client.send(b"hello").expect("send");
    server.running.line();
    server.running.write("x".repeat(65_508) + "\n");
    server.running.finish().fails_with(1, "cannot send a message of 65508 bytes");
}

#[test]
fn a_port_where_nobody_receives_is_an_error() {
    let (unused, port) = socket();
    drop(unused);
    run(["-", &format!("udp:127.0.0.1:{port}")], "one\n").fails_with(7, "Connection refused");
}

#[test]
fn a_listener_replies_to_the_last_sender_and_replies_wait_for_one() {
    let mut server = Serving::start(["-t", "udp-l:127.0.0.1:0", "-"]);
    server.running.write("early\n");
    let (first, second) = (to(server.port), to(server.port));
    first.send(b"hello").expect("send");
    assert_eq!(server.running.line(), "hello\n");
    assert_eq!(receive(&first).0, b"early");
    second.send(b"hi").expect("send");
    assert_eq!(server.running.line(), "hi\n");
    server.running.write("late\n");
    assert_eq!(receive(&second).0, b"late");
    server.running.signal("TERM");
    assert_eq!(server.running.finish().code, 143);
}

#[test]
fn with_oneshot_each_sender_gets_one_reply() {
    let mut server = Serving::start(["udp-l:127.0.0.1:0", "-", "--udp-oneshot"]);
    let (first, second) = (to(server.port), to(server.port));
    first.send(b"a").expect("send");
    assert_eq!(server.running.line(), "a\n");
    server.running.write("1\n2\n");
    assert_eq!(receive(&first).0, b"1");
    second.send(b"b").expect("send");
    assert_eq!(server.running.line(), "b\n");
    assert_eq!(receive(&second).0, b"2");
}

#[test]
fn an_end_of_input_does_not_end_a_listener() {
    let mut server = Serving::start(["udp-l:127.0.0.1:0", "-", "--linger", "0", "--close-timeout", "0"]);
    server.running.close_input();
    let client = to(server.port);
    for text in ["one", "two"] {
        client.send(text.as_bytes()).expect("send");
        assert_eq!(server.running.line().trim_end(), text);
    }
}

#[test]
fn a_server_has_a_session_for_each_client() {
    let server = Serving::start(["udp-server:127.0.0.1:0", "sh-c:read line; echo $$ $REMOTE_PORT $line; cat"]);
    let clients: Vec<_> = (0..3).map(|_| to(server.port)).collect();
    let mut processes: Vec<String> = Vec::new();
    for client in &clients {
        client.send(b"hello").expect("send");
        let text = String::from_utf8(receive(client).0).expect("text");
        let port = client.local_addr().expect("an address").port();
        let process = text.strip_suffix(&format!(" {port} hello")).unwrap_or_else(|| panic!("{text}"));
        processes.push(process.to_owned());
    }
    processes.sort_unstable();
    processes.dedup();
    assert_eq!(processes.len(), 3);
    for client in &clients {
        client.send(b"again").expect("send");
        assert_eq!(receive(client).0, b"again");
    }
}

#[test]
fn a_client_that_is_silent_is_forgotten_and_may_come_back() {
    let args = ["--udp-server-timeout", "200ms", "--close-timeout", "100ms", "--udp-server-max-clients", "1"];
    let server = Serving::start([&["udp-server:127.0.0.1:0", "sh-c:echo $$; cat"], &args[..]].concat());
    let client = to(server.port);
    client.send(b"1").expect("send");
    let first = receive(&client).0;
    assert_eq!(receive(&client).0, b"1");
    // The only place is free as soon as the first session is over.
    let other = to(server.port);
    other.set_nonblocking(true).expect("an option");
    let second = wait_for("a second session", || {
        other.send(b"2").expect("send");
        let mut buffer = [0; 100];
        other.recv(&mut buffer).ok().map(|length| buffer[..length].to_vec())
    });
    assert_ne!(first, second);
}

#[test]
fn datagrams_of_clients_beyond_the_maximum_are_dropped() {
    let mut server = Serving::start(["udp-server:127.0.0.1:0", "mirror:", "--udp-server-max-clients", "2"]);
    let clients: Vec<_> = (0..3).map(|_| to(server.port)).collect();
    for client in &clients {
        client.send(b"x").expect("send");
    }
    server.running.error_line("datagrams dropped");
    for client in &clients[..2] {
        assert_eq!(receive(client).0, b"x");
    }
}

#[test]
fn all_datagrams_of_a_burst_that_are_dropped_are_reported() {
    let mut server = Serving::start(["udp-server:127.0.0.1:0", "mirror:", "--udp-server-max-clients", "1"]);
    let (first, other) = (to(server.port), to(server.port));
    first.send(b"x").expect("send");
    assert_eq!(receive(&first).0, b"x");
    let mut reported = 0;
    for sent in [1, 20] {
        (0..sent).for_each(|_| _ = other.send(b"y").expect("send"));
        while reported < sent {
            let line = server.running.error_line("datagrams dropped");
            let count = line.split(" datagrams").next().and_then(|start| start.rsplit(' ').next());
            reported += count.and_then(|count| count.parse::<u32>().ok()).expect("a number");
        }
        assert_eq!(std::mem::take(&mut reported), sent);
    }
}

#[test]
fn datagrams_cross_a_websocket() {
    let (target, port) = socket();
    let far = Serving::start(["ws-l:127.0.0.1:0".to_owned(), format!("udp:127.0.0.1:{port}")]);
    let near = Serving::start(["udp-server:127.0.0.1:0".to_owned(), far.url()]);
    let clients = [to(near.port), to(near.port)];
    for (client, text) in clients.iter().zip(["one", "two"]) {
        client.send(text.as_bytes()).expect("send");
        let (datagram, from) = receive(&target);
        assert_eq!(datagram, text.as_bytes());
        target.send_to(&datagram, from).expect("send");
        assert_eq!(receive(client).0, text.as_bytes());
    }
}

#[test]
fn a_tcp_client_that_has_ended_its_direction_gets_the_replies() {
    let (target, port) = socket();
    let udp = format!("udp:127.0.0.1:{port}");
    let server = Serving::start(["tcp-l:127.0.0.1:0", &udp, "--close-timeout", "300ms"]);
    let mut client = server.connect();
    client.write_all(b"question").expect("write");
    client.shutdown(std::net::Shutdown::Write).expect("shut down");
    let (datagram, from) = receive(&target);
    assert_eq!(datagram, b"question");
    target.send_to(b"answer", from).expect("send");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("read");
    assert_eq!(answer, "answer");
}

#[test]
fn a_server_to_tcp_ends_the_connection_of_a_silent_client() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let tcp = format!("tcp:{}", listener.local_addr().expect("an address"));
    let server = Serving::start(["udp-server:127.0.0.1:0", &tcp, "--udp-server-timeout", "50ms"]);
    to(server.port).send(b"data").expect("send");
    let (mut connection, _) = listener.accept().expect("accept");
    let mut text = String::new();
    connection.read_to_string(&mut text).expect("read");
    assert_eq!(text, "data");
}

#[test]
fn a_group_receives_what_is_sent_to_it() {
    let group = ["--udp-multicast", "239.255.77.1", "--udp-multicast-iface-v4", "127.0.0.1", "--udp-reuseaddr"];
    let mut servers: Vec<_> = Vec::new();
    let first = Serving::start([&["udp-l:0.0.0.0:0", "-"], &group[..]].concat());
    let port = first.port;
    servers.push(first.running);
    let second = format!("udp-l:0.0.0.0:{port}");
    servers.push(Running::announced(&[&[second.as_str(), "-"], &group[..]].concat()));
    let udp = format!("udp:239.255.77.1:{port}");
    let options = ["--udp-multicast-iface-v4", "127.0.0.1", "--udp-multicast-loop", "--udp-ttl", "1"];
    let mut sender = Running::start(wsplice([&["-n", "-", &udp], &options[..]].concat()));
    sender.write("to all\n");
    for server in &mut servers {
        assert_eq!(server.line(), "to all\n");
        server.write("reply\n");
    }
    assert_eq!([sender.line(), sender.line()], ["reply\n", "reply\n"]);
}

#[test]
fn broadcasts_need_their_option() {
    run(["-", "udp:127.255.255.255:9"], "x\n").fails_with(3, "cannot connect to 127.255.255.255:9: Permission denied");
    let receiver = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    receiver.set_read_timeout(Some(LIMIT)).expect("set a limit");
    let address = format!("udp:127.255.255.255:{}", receiver.local_addr().expect("an address").port());
    run(["-u", "--udp-broadcast", "-", &address], "x\n").succeeds();
    assert_eq!(receive(&receiver).0, b"x");
}

#[test]
fn wrong_options_and_addresses_are_errors() {
    run(["--udp-multicast", "10.0.0.1", "udp-l:0", "-"], "").fails_with(2, "not a multicast address");
    run(["--udp-ttl", "0", "udp-l:0", "-"], "").fails_with(2, "--udp-ttl");
    run(["--udp-server-max-clients", "0", "udp-server:0", "-"], "").fails_with(2, "--udp-server-max-clients");
    let two = ["--udp-multicast", "239.1.1.1", "--udp-multicast-iface-v4", "127.0.0.1"];
    let three = [&two[..], &["--udp-multicast-iface-v4", "127.0.0.1", "udp-l:0", "-"]].concat();
    run(three, "").fails_with(2, "2 --udp-multicast-iface-v4 for 1 groups").hints("once for each");
    let unknown = ["--udp-multicast", "239.1.1.1", "--udp-multicast-iface-v4", "192.0.2.1", "udp-l:0", "-"];
    run(unknown, "").fails_with(3, "cannot listen on");
    run(["udp:127.0.0.1", "-"], "").fails_with(2, "port");
    run(["udp-l:x:y", "-"], "").fails_with(2, "port");
    let (_taken, port) = socket();
    run([&format!("udp-l:127.0.0.1:{port}"), "-"], "").fails_with(3, " in use").hints("--udp-reuseaddr");
    run([&format!("udp-server:127.0.0.1:{port}"), "-"], "").fails_with(3, " in use");
}
