//! The room server: who receives what, in which order; and how it starts and ends.

use crate::{
    http::{Exchange, Head, upgrade_request},
    peer::{Message, Peer},
    raw::{CLOSE, CONTINUATION, Frame, PING, PONG, RawPeer, TEXT, close_payload, from_client, read_frame, unfinished},
    support::{Folder, LIMIT, Running, Serving, connect, run, wait_for, wsplice},
};
use std::{
    io::{Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    sync::{Arc, Barrier},
    thread,
    time::Duration,
};

/// A room server on a free port. Without further options it sends no pings, since each would restart a peer's time limit.
#[track_caller]
pub fn rooms(args: &[&str]) -> Serving {
    let pings = if args.contains(&"--ping-interval") { &[][..] } else { &["--ping-interval", "0"] };
    Serving::start([&["--broadcast", "ws-l:127.0.0.1:0"], pings, args].concat())
}

/// A room server and the port of its metrics.
#[track_caller]
pub fn measured(args: &[&str]) -> (Serving, u16) {
    let mut server = rooms(&[&["--metrics", "127.0.0.1:0"], args].concat());
    let line = server.running.error_line("metrics: http://127.0.0.1:");
    let port =
        line.trim().strip_suffix("/metrics").and_then(|url| url.rsplit_once(':')).and_then(|at| at.1.parse().ok());
    (server, port.unwrap_or_else(|| panic!("no port in {line:?}")))
}

/// The head and the body of the answer to a plain GET.
pub fn get(port: u16, path: &str) -> (String, String) {
    let mut stream = connect(port);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("ask");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in {answer:?}"));
    (head.to_owned(), body.to_owned())
}

/// The current value of a metric.
#[track_caller]
pub fn metric(port: u16, name: &str) -> u64 {
    let (_, text) = get(port, "/metrics");
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("wsplice_{name} ")));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
}

/// Asks until a metric has this value: no client sees what happens after a connection has ended.
#[track_caller]
pub fn until_metric(port: u16, name: &str, value: u64) {
    wait_for(&format!("{name} {value}"), || (metric(port, name) == value).then_some(()));
}

/// Asks until a metric is above this value.
#[track_caller]
pub fn until_metric_is_above(port: u16, name: &str, value: u64) {
    wait_for(&format!("{name} above {value}"), || (metric(port, name) > value).then_some(()));
}

#[track_caller]
fn all_receive(members: &mut [Peer], message: &Message) {
    for (number, member) in members.iter_mut().enumerate() {
        assert_eq!(member.receive(), *message, "member {number}");
    }
}

// Who receives what.

#[test]
fn all_members_of_a_room_receive_a_message_the_sender_too() {
    let server = rooms(&[]);
    let mut members: Vec<_> = (0..4).map(|_| Peer::connect(server.port, "/room")).collect();
    for sender in 0..4 {
        let text = format!("from {sender}");
        members[sender].send_text(&text);
        all_receive(&mut members, &Message::text(&text));
    }
}

#[test]
fn a_message_keeps_its_kind_its_emptiness_and_its_bytes() {
    let server = rooms(&[]);
    let mut members: Vec<_> = (0..2).map(|_| Peer::connect(server.port, "/")).collect();
    let long: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    for message in [
        Message::text("text"),
        Message::binary(&b"binary"[..]),
        Message::text(""),
        Message::binary(&b""[..]),
        Message::text("gr\u{fc}\u{df}e \u{1f600}"),
        Message::text("two\nlines\r\n\0"),
        Message::binary(&[0xff, 0xfe, 0, 0x80][..]),
        Message::binary(long[..126].to_vec()),
        Message::binary(long),
    ] {
        members[0].send(message.clone());
        all_receive(&mut members, &message);
    }
}

#[test]
fn a_fragmented_message_arrives_as_one_with_a_ping_answered_in_between() {
    let server = rooms(&[]);
    let (mut sender, mut other) = (RawPeer::connect(server.port, "/"), RawPeer::connect(server.port, "/"));
    sender.send(unfinished(TEXT), "gr\u{fc}".as_bytes().split_last().expect("bytes").1);
    sender.send(PING, "between");
    assert_eq!(sender.frame().map(|frame| (frame.first, frame.text())), Some((PONG, "between".into())));
    sender.send(unfinished(CONTINUATION), "\u{fc}".as_bytes().split_first().expect("bytes").1);
    sender.send(unfinished(CONTINUATION), b"");
    sender.send(CONTINUATION, b"n");
    for member in [&mut sender, &mut other] {
        let whole = Frame { first: TEXT, masked: false, payload: "gr\u{fc}n".into() };
        assert_eq!(member.frame(), Some(whole));
    }
}

#[test]
fn the_room_is_the_request_target_byte_for_byte() {
    let server = rooms(&[]);
    let targets = [
        "/",
        "/a",
        "/A",
        "/a/",
        "//a",
        "/a?",
        "/a?x",
        "/a?x=1&y=2",
        "/a?y=2&x=1",
        "/%61",
        "/a%2Fb",
        "/a%2fb",
        "/a/b",
        "/a/../a",
        "/./a",
        "/?",
        "/?x",
        "/a?x?y",
        "/a+b",
        "/a%20b",
        "/a;b",
        "/~a!$'()*,:@",
    ];
    let mut members: Vec<_> = targets.iter().map(|target| Peer::connect(server.port, target)).collect();
    let mut partners: Vec<_> = targets.iter().map(|target| Peer::connect(server.port, target)).collect();
    for (member, target) in members.iter_mut().zip(targets) {
        member.send_text(target);
    }
    // A message of another room would come before the second one of its own.
    for (member, target) in members.iter_mut().zip(targets) {
        assert_eq!(member.receive_text(), target);
        member.send_text("done");
    }
    for (partner, target) in partners.iter_mut().zip(targets) {
        assert_eq!(
            (partner.receive_text(), partner.receive_text()),
            (target.to_owned(), "done".to_owned()),
            "{target}"
        );
    }
}

#[test]
fn no_echo_leaves_the_sender_out() {
    let server = rooms(&["--no-echo"]);
    let mut members: Vec<_> = (0..3).map(|_| Peer::connect(server.port, "/")).collect();
    members[0].send_text("one");
    all_receive(&mut members[1..], &Message::text("one"));
    members[1].send_text("two");
    assert_eq!(members[0].receive_text(), "two", "and not its own word");
    assert_eq!(members[2].receive_text(), "two");
}

/// All members send this many messages at the same time. Gives what each has received; `own` tells whether its own are part
/// of that.
fn chatter(server: &Serving, members: usize, messages: usize, own: bool) -> Vec<Vec<String>> {
    let start = Arc::new(Barrier::new(members));
    let threads: Vec<_> = (0..members)
        .map(|number| {
            let mut member = RawPeer::connect(server.port, "/chatter");
            let start = start.clone();
            let expected = messages * if own { members } else { members - 1 };
            thread::spawn(move || {
                start.wait();
                let mut said = Vec::new();
                for message in 0..messages {
                    said.extend(from_client(TEXT, format!("{number} {message}").as_bytes()));
                }
                member.send_bytes(&said);
                (0..expected).map(|_| member.receive_text()).collect()
            })
        })
        .collect();
    threads.into_iter().map(|thread| thread.join().expect("a member")).collect()
}

#[test]
fn all_members_receive_one_order_and_each_sender_keeps_its_own() {
    let server = rooms(&[]);
    let heard = chatter(&server, 8, 1000, true);
    for (member, other) in heard.iter().enumerate() {
        assert!(*other == heard[0], "member {member} heard another order than member 0");
    }
    for sender in 0..8 {
        let own = heard[0].iter().filter_map(|text| text.strip_prefix(&format!("{sender} ")));
        assert!(own.eq((0..1000).map(|message| message.to_string())), "the order of sender {sender}");
    }
}

#[test]
fn no_echo_leaves_each_sender_out_of_shared_batches() {
    let server = rooms(&["--no-echo"]);
    let heard = chatter(&server, 6, 1000, false);
    for (member, texts) in heard.iter().enumerate() {
        assert!(!texts.iter().any(|text| text.starts_with(&format!("{member} "))), "member {member} heard itself");
        for (other, heard_by_other) in heard.iter().enumerate() {
            // Without the messages of both, any two members received the same.
            let of_both = |texts: &[String]| -> Vec<String> {
                let is_own = |text: &String, of: usize| text.starts_with(&format!("{of} "));
                texts.iter().filter(|text| !is_own(text, member) && !is_own(text, other)).cloned().collect()
            };
            assert!(of_both(texts) == of_both(heard_by_other), "members {member} and {other} heard different orders");
        }
    }
}

#[test]
fn a_member_misses_nothing_that_is_sent_after_its_upgrade() {
    let server = rooms(&[]);
    let mut sender = Peer::connect(server.port, "/");
    for number in 0..300 {
        let mut fresh = Peer::connect(server.port, "/");
        sender.send_text(&number.to_string());
        assert_eq!(fresh.receive_text(), number.to_string());
        assert_eq!(sender.receive_text(), number.to_string());
        fresh.close(1000, "");
    }
}

#[test]
fn messages_sent_with_the_request_and_before_the_close_are_published() {
    let server = rooms(&[]);
    let mut listener = RawPeer::connect(server.port, "/early");
    let mut stream = server.connect();
    let mut bytes = upgrade_request("/early", "").into_bytes();
    bytes.extend(from_client(TEXT, b"early"));
    bytes.extend(from_client(TEXT, b"last"));
    bytes.extend(from_client(CLOSE, close_payload(4000, "bye")));
    stream.write_all(&bytes).expect("write");
    assert_eq!((listener.receive_text(), listener.receive_text()), ("early".to_owned(), "last".to_owned()));
    let mut sender = RawPeer::client(Exchange::request(stream, "").switched());
    assert_eq!((sender.receive_text(), sender.receive_text()), ("early".to_owned(), "last".to_owned()));
    assert_eq!(sender.receive().close(), (4000, "bye".into()), "its own words come back");
    assert!(sender.ends());
}

#[test]
fn two_of_our_own_clients_talk_to_each_other() {
    let server = rooms(&[]);
    let url = format!("{}room", server.url());
    let mut listener = Running::start(wsplice([&url, "-v"]));
    listener.error_line("HTTP/1.1 101");
    assert_eq!(run([&url], "hello\nworld\n").succeeds().out(), "hello\nworld\n");
    assert_eq!((listener.line(), listener.line()), ("hello\n".to_owned(), "world\n".to_owned()));
    listener.write("back\n");
    assert_eq!(listener.line(), "back\n");
}

// The handshake.

#[test]
fn any_origin_and_subprotocol_is_accepted_and_the_first_offer_chosen() {
    let server = rooms(&[]);
    let more = "Origin: https://elsewhere.example\r\nSec-WebSocket-Protocol: chat.v2, chat\r\n";
    let member = Peer::connect_with(server.port, "/any/path?at=all", more);
    assert_eq!(member.head.all("Sec-WebSocket-Protocol"), ["chat.v2"]);
    assert_eq!(Peer::connect(server.port, "/").head.get("Sec-WebSocket-Protocol"), None);
    let deflate = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
    let member = Peer::connect_with(server.port, "/", deflate);
    assert_eq!(member.head.get("Sec-WebSocket-Extensions"), None, "none is agreed");
}

#[test]
fn a_plain_get_gets_426() {
    let server = rooms(&[]);
    let (head, _) = get(server.port, "/room");
    assert!(head.starts_with("HTTP/1.1 426 "), "{head}");
    assert!(head.to_ascii_lowercase().contains("upgrade: websocket"), "{head}");
}

#[test]
fn pings_are_answered_with_their_payload() {
    let server = rooms(&[]);
    let mut member = RawPeer::connect(server.port, "/");
    for payload in ["", "x", &"y".repeat(125)] {
        member.send(PING, payload);
        assert_eq!(member.frame().map(|frame| (frame.first, frame.text())), Some((PONG, payload.to_owned())));
    }
}

// Listeners.

#[test]
fn the_address_is_logged_without_v_but_not_with_q() {
    let server = rooms(&[]);
    let port = server.port;
    server.running.signal("TERM");
    let finished = server.running.finish();
    assert_eq!(finished.stderr, format!("* listening: ws-listen:127.0.0.1:{port}\n"));
    let server = rooms(&["-q"]);
    server.running.signal("TERM");
    assert_eq!(server.running.finish().stderr, "");
    let server = rooms(&["--log-format", "json"]);
    server.running.signal("TERM");
    let finished = server.running.finish();
    let line: serde_json::Value = serde_json::from_str(&finished.stderr).expect("one line of JSON");
    assert_eq!((line["level"].as_str(), finished.stderr.lines().count()), (Some("info"), 1), "{finished:?}");
}

#[test]
fn rooms_are_served_over_tls() {
    let server = Serving::start(["--broadcast", "wss-l:127.0.0.1:0", "--self-signed"]);
    let url = format!("wss://127.0.0.1:{}/room", server.port);
    let mut listener = Running::start(wsplice(["-k", "-v", &url]));
    listener.error_line("HTTP/1.1 101");
    let text = format!("{}\n", "long ".repeat(100_000));
    assert_eq!(run(["-k", &url], &text).succeeds().out(), text);
    assert_eq!(listener.line(), text);
    server.running.signal("TERM");
    assert_eq!(listener.finish().succeeds().out(), text, "1001 is a clean end");
    assert_eq!(server.running.finish().code, 143);
}

#[test]
fn rooms_are_served_on_a_unix_socket() {
    let folder = Folder::new("room-socket");
    let path = folder.path("socket");
    let mut server =
        Running::start(wsplice(["--broadcast", &format!("ws-u:unix-l:{path}"), "--stdout-announce-listening-ports"]));
    server.line();
    let mut members: Vec<_> = (0..2)
        .map(|_| {
            let mut stream = UnixStream::connect(&path).expect("connect");
            stream.set_read_timeout(Some(LIMIT)).expect("set a limit");
            stream.write_all(upgrade_request("/room", "").as_bytes()).expect("ask");
            assert_eq!(Head::read(&mut stream).status(), 101);
            stream
        })
        .collect();
    members[0].write_all(&from_client(TEXT, b"hello")).expect("say");
    for member in &mut members {
        assert_eq!(read_frame(member).map(|frame| (frame.first, frame.text())), Some((TEXT, "hello".into())));
    }
}

#[test]
fn an_overlay_in_front_of_the_listener_is_named_in_the_error() {
    run(["--broadcast", "log:ws-l:127.0.0.1:0"], "")
        .fails_with(2, "does not support `log:`")
        .hints("wsplice log:ws://");
    run(["--broadcast", "tcp-l:127.0.0.1:0"], "").fails_with(2, "`tcp-listen:127.0.0.1:0` is not").hints("ws-l:");
}

#[test]
fn broadcast_alone_listens_on_port_8080_of_this_machine() {
    let finished = run(["--broadcast", "--explain"], "");
    assert!(finished.succeeds().out().contains("127.0.0.1:8080"), "{finished:?}");
}

// The end.

#[test]
fn sigterm_closes_all_members_with_1001_and_ends_with_143() {
    let server = rooms(&["--grace", "20"]);
    let mut members: Vec<_> = (0..10).map(|room| Peer::connect(server.port, &format!("/{}", room % 3))).collect();
    let port = server.port;
    server.running.signal("TERM");
    for member in &mut members {
        assert_eq!(member.receive_close().0, 1001);
        assert!(member.ends());
    }
    let finished = server.running.finish();
    assert_eq!(finished.code, 143, "{finished:?}");
    assert!(finished.took < Duration::from_secs(15), "nobody was left to wait for: {finished:?}");
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "nobody new is let in");
}

/// Waits until nothing listens: the tasks of the members and of the listener notice a signal in any order.
#[track_caller]
fn until_refused(port: u16) {
    wait_for("the end of the listener", || TcpStream::connect(("127.0.0.1", port)).err());
}

#[test]
fn while_it_drains_no_one_can_join_and_the_grace_ends_it() {
    let server = rooms(&["--grace", "1"]);
    let mut silent = RawPeer::connect(server.port, "/");
    let port = server.port;
    server.running.signal("TERM");
    assert_eq!(silent.receive().close().0, 1001);
    until_refused(port);
    // It does not answer the close; the grace runs out.
    let finished = server.running.finish();
    assert_eq!(finished.code, 143, "{finished:?}");
}

#[test]
fn messages_sent_before_the_signal_arrive_before_the_close() {
    let server = rooms(&[]);
    let (mut sender, mut other) = (Peer::connect(server.port, "/"), Peer::connect(server.port, "/"));
    let payload = vec![b'x'; 4 << 20];
    sender.send(Message::binary(payload.clone()));
    assert_eq!(sender.receive().len(), payload.len());
    server.running.signal("TERM");
    assert_eq!(other.receive().len(), payload.len());
    assert_eq!(other.receive_close().0, 1001);
    assert_eq!(sender.receive_close().0, 1001);
    assert_eq!(server.running.finish().code, 143);
}

#[test]
fn our_own_client_ends_cleanly_when_the_server_shuts_down() {
    let server = rooms(&[]);
    let mut client = Running::start(wsplice([&server.url(), "-v"]));
    client.error_line("HTTP/1.1 101");
    server.running.signal("INT");
    client.finish().succeeds();
    assert_eq!(server.running.finish().code, 130);
}

#[test]
fn a_message_longer_than_the_backlog_reaches_all_of_a_large_room() {
    // More members than tokio's cooperative budget lets a task write to in one poll.
    let server = rooms(&["--backlog", "64k", "--max-ws-message-length", "100k"]);
    let mut members: Vec<_> = (0..200).map(|_| Peer::connect(server.port, "/large")).collect();
    let message = "x".repeat(100_000);
    members[0].send_text(&message);
    for member in &mut members {
        assert!(member.receive_text() == message);
    }
}
