//! Members that break the rules: the room server goes on, other members notice nothing, and memory is freed.

use crate::{
    http::upgrade_request,
    peer::Peer,
    raw::{BINARY, CLOSE, CONTINUATION, FIN, PING, RawPeer, TEXT, from_client, from_server, unfinished},
    rooms::{measured, metric, rooms, until_metric},
    support::{Folder, Running, Serving, wait_for},
};
use std::{
    io::{Read, Write},
    net::Shutdown,
    thread,
};

/// The resident memory of a run, in KiB.
pub fn memory(running: &Running) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.pid())).expect("a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Waits until the memory is at most a tenth, or 2 MiB, above what it was.
#[track_caller]
pub fn until_memory_is_back(running: &Running, before: u64) {
    let limit = before + (before / 10).max(2048);
    wait_for(&format!("a memory of {limit} KiB or less"), || (memory(running) <= limit).then_some(()));
}

/// Two members of a room who go on sending while a third breaks the rules.
struct Others(Vec<Peer>);

impl Others {
    fn enter(server: &Serving) -> Self {
        Self((0..2).map(|_| Peer::connect(server.port, "/room")).collect())
    }

    #[track_caller]
    fn notice_nothing(&mut self) {
        self.0[0].send_text("still here");
        for member in &mut self.0 {
            assert_eq!(member.receive_text(), "still here");
        }
    }
}

/// A third member sends these bytes and is closed with this code; the others notice nothing.
#[track_caller]
fn is_closed(bytes: &[u8], code: u16) {
    let server = rooms(&[]);
    let mut others = Others::enter(&server);
    let mut wrong = RawPeer::connect(server.port, "/room");
    wrong.send_bytes(bytes);
    assert_eq!(wrong.receive_close().0, code);
    assert!(wrong.ends());
    others.notice_nothing();
}

#[test]
fn an_unmasked_frame_is_answered_with_1002() {
    is_closed(&from_server(TEXT, b"hello"), 1002);
}

#[test]
fn reserved_bits_and_opcodes_are_answered_with_1002() {
    let mut bits = from_client(TEXT, b"hello");
    bits[0] |= 0x40;
    is_closed(&bits, 1002);
    is_closed(&from_client(FIN | 3, b"hello"), 1002);
    is_closed(&from_client(FIN | 11, b""), 1002);
}

#[test]
fn broken_fragments_and_control_frames_are_answered_with_1002() {
    is_closed(&from_client(CONTINUATION, b"of nothing"), 1002);
    is_closed(&[from_client(unfinished(TEXT), b"a"), from_client(TEXT, b"b")].concat(), 1002);
    is_closed(&from_client(unfinished(PING), b""), 1002);
    is_closed(&from_client(PING, [0; 126]), 1002);
    is_closed(&from_client(CLOSE, [3]), 1002);
    is_closed(&from_client(CLOSE, 1005_u16.to_be_bytes()), 1002);
}

#[test]
fn text_that_is_not_utf_8_is_answered_with_1007_and_nobody_receives_it() {
    is_closed(&from_client(TEXT, b"\xff\xfe"), 1007);
    is_closed(&from_client(TEXT, b"\xed\xa0\x80"), 1007);
}

#[test]
fn a_frame_of_a_gigabyte_is_refused_at_its_header() {
    let header = [0x82, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0, 1, 2, 3, 4];
    is_closed(&header, 1009);
    let endless = [0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4];
    is_closed(&endless, 1009);
}

#[test]
fn a_gigabyte_in_a_frame_is_refused_and_takes_no_memory() {
    let server = rooms(&[]);
    let mut others = Others::enter(&server);
    let before = memory(&server.running);
    let mut wrong = RawPeer::connect(server.port, "/room");
    let mut stream = wrong.writer();
    let sending = thread::spawn(move || {
        let chunk = vec![0; 1 << 20];
        let header = [0x82, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0, 1, 2, 3, 4];
        stream.write_all(&header).is_ok_and(|()| (0..1024).all(|_| stream.write_all(&chunk).is_ok()))
    });
    assert_eq!(wrong.receive().close().0, 1009);
    let _ = sending.join();
    others.notice_nothing();
    until_memory_is_back(&server.running, before);
}

#[test]
fn long_messages_take_the_memory_of_a_few_which_is_freed() {
    long_messages_are_given_back(8);
}

#[test]
#[ignore = "moves a gigabyte: tests/with-peers.sh"]
fn a_gigabyte_in_long_messages_takes_the_memory_of_a_few_which_is_freed() {
    long_messages_are_given_back(64);
}

/// A member sends this many messages of 16 MiB to itself.
#[track_caller]
fn long_messages_are_given_back(count: usize) {
    let (server, metrics) = measured(&["--backlog", "2g"]);
    let mut others = Others::enter(&server);
    others.notice_nothing();
    let before = memory(&server.running);
    let mut sender = RawPeer::connect(server.port, "/elsewhere");
    let mut stream = sender.writer();
    let sending = thread::spawn(move || {
        let message = from_client(BINARY, vec![b'x'; 16 << 20]);
        (0..count).for_each(|_| stream.write_all(&message).expect("send"));
    });
    for _ in 0..count {
        assert_eq!(sender.receive().payload.len(), 16 << 20);
    }
    sending.join().expect("the sender");
    others.notice_nothing();
    assert_eq!(metric(metrics, "connections"), 3);
    let now = memory(&server.running);
    assert!(now < before + 5 * (16 << 10), "{before} KiB before, {now} KiB now");
    until_memory_is_back(&server.running, before);
}

#[test]
fn members_that_are_stuck_take_no_more_memory_than_their_backlog_and_it_is_freed() {
    let (server, metrics) = measured(&["--slow", "drop-newest", "--backlog", "1m", "--no-echo"]);
    let mut others = Others::enter(&server);
    others.0[0].send_text("still here");
    assert_eq!(others.0[1].receive_text(), "still here");
    let before = memory(&server.running);
    let stuck: Vec<_> = (0..3).map(|_| RawPeer::connect(server.port, "/busy")).collect();
    let members: Vec<_> = (0..13).map(|_| RawPeer::connect(server.port, "/busy")).collect();
    let streams: Vec<_> = members.into_iter().map(|member| member.writer()).collect();
    // All but the stuck members read all the time, and three of them send.
    let readers = streams.iter().map(|stream| {
        let mut stream = stream.try_clone().expect("clone");
        thread::spawn(move || std::io::copy(&mut stream, &mut std::io::sink()))
    });
    let readers: Vec<_> = readers.collect();
    thread::scope(|scope| {
        for mut stream in &streams[..3] {
            let messages = [from_client(BINARY, [b'x'; 4096]), from_client(TEXT, b"little")].concat();
            scope.spawn(move || (0..4000).for_each(|_| stream.write_all(&messages).expect("say")));
        }
    });
    until_metric(metrics, "messages_received_total", 1 + 3 * 8000);
    assert!(metric(metrics, "messages_dropped_total") > 0, "nobody is stuck");
    // An empty backlog accepts any batch, and batches are long where the machine is busy; but the metric counts them.
    until_memory_is_back(&server.running, before + metric(metrics, "backlog_bytes") / 1024);
    for stream in streams {
        stream.shutdown(Shutdown::Both).expect("shut down");
    }
    readers.into_iter().for_each(|reader| drop(reader.join()));
    drop(stuck);
    until_metric(metrics, "connections", 2);
    until_memory_is_back(&server.running, before);
}

#[test]
fn announced_messages_that_never_come_take_no_memory() {
    let server = rooms(&[]);
    let mut others = Others::enter(&server);
    others.notice_nothing();
    let before = memory(&server.running);
    let mut members: Vec<_> = (0..20).map(|_| RawPeer::connect(server.port, "/room")).collect();
    for member in &mut members {
        // A message of 3 MiB: rooms take 4 by default.
        member.send_bytes([0x82, 0xff, 0, 0, 0, 0, 0, 0x30, 0, 0, 1, 2, 3, 4, 5]);
    }
    others.notice_nothing();
    for member in &mut members {
        assert_eq!(member.receive_text(), "still here");
    }
    let now = memory(&server.running);
    assert!(now < before + 4096, "{before} KiB before, {now} KiB now");
}

#[test]
fn a_member_that_ends_in_the_middle_of_a_frame_is_lost() {
    let (mut server, metrics) = measured(&["-v"]);
    let mut others = Others::enter(&server);
    let bytes = from_client(TEXT, b"never finished");
    for end in [1, 2, 5, 6, bytes.len() - 1] {
        let mut half = RawPeer::connect(server.port, "/room");
        half.send_bytes(&bytes[..end]);
        drop(half);
        let line = server.running.error_line("leave");
        assert!(line.contains("lost"), "{line}");
    }
    let mut closed = RawPeer::connect(server.port, "/room");
    closed.send_bytes(&bytes[..5]);
    closed.stream().shutdown(Shutdown::Write).expect("shut down");
    assert!(closed.ends());
    others.notice_nothing();
    until_metric(metrics, "connections", 2);
    assert_eq!(metric(metrics, "messages_received_total"), 1);
}

#[test]
fn members_that_die_without_a_close_are_removed() {
    let (server, metrics) = measured(&[]);
    let mut others = Others::enter(&server);
    for round in 0..50 {
        let mut dying = Peer::connect(server.port, "/room");
        dying.send_text("last words");
        for member in &mut others.0 {
            assert_eq!(member.receive_text(), "last words");
        }
        if round % 2 == 0 {
            dying.receive_text();
        }
        // With its own message unread this resets the connection.
        drop(dying);
    }
    others.notice_nothing();
    until_metric(metrics, "connections", 2);
}

#[test]
fn a_request_line_of_a_megabyte_is_refused() {
    let server = rooms(&[]);
    let mut others = Others::enter(&server);
    let mut stream = server.connect();
    // The server may answer and close before it has read everything.
    let _ = stream.write_all(upgrade_request(&format!("/{}", "a".repeat(1 << 20)), "").as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let status = String::from_utf8_lossy(&answer[..answer.len().min(12)]).into_owned();
    assert!(matches!(&status[..], "" | "HTTP/1.1 414" | "HTTP/1.1 431"), "{status}");
    others.notice_nothing();
    let long = format!("/{}", "a".repeat(8000));
    let mut member = Peer::connect(server.port, &long);
    member.send_text("a long name is no crime");
    assert_eq!(member.receive_text(), "a long name is no crime");
}

#[test]
fn a_thousand_silent_connections_keep_nobody_out_and_are_closed() {
    let server = rooms(&["--connect-timeout", "2"]);
    let mut others = Others::enter(&server);
    others.notice_nothing();
    let before = memory(&server.running);
    let mut silent: Vec<_> = (0..1000).map(|_| server.connect()).collect();
    let _late = Peer::connect(server.port, "/");
    others.notice_nothing();
    for stream in &mut silent {
        let _ = stream.read_to_end(&mut Vec::new());
    }
    others.notice_nothing();
    until_memory_is_back(&server.running, before);
}

#[test]
fn a_client_that_does_not_read_its_response_is_closed() {
    let folder = Folder::new("room-long-file");
    let path = folder.path("long");
    std::fs::File::create(&path).and_then(|file| file.set_len(1 << 30)).expect("a file");
    let file = format!("/long:application/octet-stream:{path}");
    let mut server = rooms(&["--connect-timeout", "1", "--conncap", "1", "-v", "-F", &file]);
    let mut stream = server.connect();
    stream.write_all(b"GET /long HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("ask");
    server.running.error_line("disconnected before the opening handshake");
    Peer::connect(server.port, "/");
}

#[test]
fn a_member_that_pings_for_ever_and_never_reads_gets_a_few_pongs() {
    let (server, metrics) = measured(&[]);
    let mut others = Others::enter(&server);
    others.notice_nothing();
    let mut pinging = RawPeer::connect(server.port, "/elsewhere");
    let before = memory(&server.running);
    let pings = from_client(PING, [b'x'; 125]).repeat(1000);
    for _ in 0..400 {
        pinging.send_bytes(&pings);
    }
    others.notice_nothing();
    // Pings are answered while the backlog is at most 4 KiB; after that only the last one is.
    assert!(metric(metrics, "backlog_bytes") <= 4096 + 2 * 127, "{}", metric(metrics, "backlog_bytes"));
    let now = memory(&server.running);
    assert!(now < before + 4096, "{before} KiB before, {now} KiB now");
    drop(pinging);
    until_metric(metrics, "connections", 2);
}

#[test]
fn the_memory_of_a_thousand_rooms_is_freed() {
    rooms_leave_nothing_behind(1000);
}

#[test]
#[ignore = "needs many descriptors: tests/with-peers.sh"]
fn the_memory_of_ten_thousand_rooms_is_freed() {
    rooms_leave_nothing_behind(10_000);
}

/// This many members join a room each, and leave it.
#[track_caller]
fn rooms_leave_nothing_behind(count: usize) {
    let (server, metrics) = measured(&[]);
    let mut others = Others::enter(&server);
    others.notice_nothing();
    let port = server.port;
    let before = memory(&server.running);
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            thread::spawn(move || {
                let open = |room| {
                    let mut member = Peer::connect(port, &format!("/rooms/{thread}/{room}"));
                    member.send_text("anybody?");
                    assert_eq!(member.receive_text(), "anybody?");
                    member
                };
                (0..count / 4).map(open).collect::<Vec<_>>()
            })
        })
        .collect();
    let members: Vec<_> = threads.into_iter().map(|thread| thread.join().expect("its rooms")).collect();
    assert_eq!(metric(metrics, "rooms"), count as u64 + 1);
    let full = memory(&server.running);
    assert!(full < before + count as u64 * 24, "{} KiB for {count} members in as many rooms", full - before);
    drop(members);
    until_metric(metrics, "rooms", 1);
    until_metric(metrics, "connections", 2);
    others.notice_nothing();
    until_memory_is_back(&server.running, before);
}
