//! `--history`: what was sent to a room before a member joined it, and resuming after a reconnect.

use crate::{
    deflate::{HEADER, OFFER},
    http::{Exchange, upgrade_request},
    peer::{Message, Peer},
    raw::{BINARY, Frame, PING, PONG, RawPeer, TEXT},
    resuming::{RESUME, Resuming},
    rooms::{measured, metric, rooms, until_metric, until_metric_is_above},
    rooms_deflate::inflated,
    support::run,
};
use std::{
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    thread,
};

/// Sends a text, and waits until the room has it.
#[track_caller]
fn tell(member: &mut RawPeer, text: &str) {
    member.send_text(text);
    until_delivered(member);
}

/// Waits until what was sent has been delivered.
#[track_caller]
fn until_delivered(member: &mut RawPeer) {
    member.send(PING, "delivered?");
    while member.frame().expect("a pong").first != PONG {}
}

#[track_caller]
fn receives(member: &mut RawPeer, texts: &[&str]) {
    for text in texts {
        assert_eq!(member.receive_text(), *text);
    }
}

// Who receives what.

#[test]
fn whoever_joins_receives_the_last_messages_and_then_what_is_newer() {
    let server = rooms(&["--history", "3"]);
    let mut first = RawPeer::connect(server.port, "/a");
    for text in ["1", "2", "3", "4"] {
        tell(&mut first, text);
    }
    let mut second = RawPeer::connect(server.port, "/a");
    second.send_text("5");
    receives(&mut second, &["2", "3", "4", "5"]);
    let mut third = RawPeer::connect(server.port, "/a");
    receives(&mut third, &["3", "4", "5"]);
    let mut elsewhere = RawPeer::connect(server.port, "/a?x");
    elsewhere.send_text("of another room");
    receives(&mut elsewhere, &["of another room"]);
}

#[test]
fn the_last_messages_keep_their_kind_their_emptiness_and_their_bytes() {
    let server = rooms(&["--history", "100"]);
    let messages = [
        Message::text("text"),
        Message::binary(&b"\0\xff"[..]),
        Message::text(""),
        Message::binary(vec![7; 70_000]),
        Message::binary(vec![7; 1_000_000]),
        Message::text("gr\u{fc}\u{df}e"),
        Message::binary(vec![8; 200]),
    ];
    let mut sender = Peer::connect(server.port, "/");
    for message in &messages {
        sender.send(message.clone());
        assert!(sender.receive() == *message);
    }
    for _ in 0..3 {
        let mut member = Peer::connect(server.port, "/");
        for message in &messages {
            assert!(member.receive() == *message);
        }
    }
}

#[test]
fn without_the_option_nobody_receives_what_was_before() {
    let server = rooms(&[]);
    let mut first = RawPeer::connect(server.port, "/");
    tell(&mut first, "before");
    let mut second = RawPeer::connect(server.port, "/");
    second.send_text("now");
    receives(&mut second, &["now"]);
}

#[test]
fn a_room_that_is_left_keeps_its_last_messages_until_their_time_is_over() {
    let (server, metrics) = measured(&["--history", "10", "--history-ttl", "2", "--max-rooms", "1"]);
    tell(&mut RawPeer::connect(server.port, "/left"), "before");
    until_metric(metrics, "rooms", 0);
    // It does not count as a room.
    let mut other = RawPeer::connect(server.port, "/other");
    tell(&mut other, "other");
    drop(other);
    until_metric(metrics, "rooms", 0);
    let mut member = RawPeer::connect(server.port, "/left");
    receives(&mut member, &["before"]);
    drop(member);
    assert!(metric(metrics, "history_bytes") > 0);
    until_metric(metrics, "history_bytes", 0);
    let mut member = RawPeer::connect(server.port, "/left");
    member.send_text("now");
    receives(&mut member, &["now"]);
    assert_eq!(metric(metrics, "messages_replayed_total"), 1);
}

#[test]
fn a_quarter_of_the_backlog_is_kept_of_a_room() {
    let (server, metrics) = measured(&["--history", "1000", "--backlog", "64k"]);
    let mut sender = RawPeer::connect(server.port, "/");
    for number in 0..200_u32 {
        sender.send(BINARY, [&number.to_be_bytes()[..], &[0; 996]].concat());
        assert_eq!(sender.receive().payload.len(), 1000);
    }
    let bytes = metric(metrics, "history_bytes");
    assert!((12_000..=16 << 10).contains(&bytes), "{bytes}");
    let mut member = RawPeer::connect(server.port, "/");
    let mut next = None;
    while next != Some(200) {
        let number = u32::from_be_bytes(*member.receive().payload.first_chunk().expect("a number"));
        assert!(next.is_none_or(|next| next == number) && number > 180, "{number}");
        next = Some(number + 1);
    }
    // One that is longer leaves nothing.
    sender.send(BINARY, vec![0; 16 << 10]);
    until_metric(metrics, "history_bytes", 0);
}

#[test]
fn a_quarter_of_the_memory_is_kept_of_all_rooms_and_the_oldest_are_forgotten() {
    let (server, metrics) = measured(&["--history", "1000", "--max-memory", "8m"]);
    let mut keeper = RawPeer::connect(server.port, "/first");
    tell(&mut keeper, "first");
    for number in 0..100 {
        let mut member = RawPeer::connect(server.port, &format!("/{number}"));
        member.send(BINARY, vec![0; 100_000]);
        until_delivered(&mut member);
        let kept = metric(metrics, "history_bytes");
        assert!(kept <= 2 << 20, "{kept}");
    }
    // Those that are forgotten make place for others.
    let mut member = RawPeer::connect(server.port, "/new");
    crate::support::wait_for("a place for the newest", || {
        tell(&mut member, "new");
        let mut other = RawPeer::connect(server.port, "/new");
        other.send(PING, "");
        (other.frame().expect("a frame").first == TEXT).then_some(())
    });
    assert_eq!(metric(metrics, "memory_disconnects_total"), 0);
}

#[test]
fn the_options_have_ranges_and_need_rooms() {
    for (args, error) in [
        (&["--history", "0"][..], "0 is not in 1..=1000"),
        (&["--history", "1001"], "1001 is not in 1..=1000"),
        (&["--history", "5", "--history-ttl", "0"], "between 1 s and 24 h"),
        (&["--history", "5", "--history-ttl", "25h"], "between 1 s and 24 h"),
        (&["--history-ttl", "5"], "--history"),
    ] {
        run([&["--broadcast", "ws-l:127.0.0.1:0"], args].concat(), "").fails_with(2, error);
    }
    run(["--history", "5", "ws-l:127.0.0.1:0", "mirror:"], "").fails_with(2, "--broadcast");
}

// During heavy traffic.

/// A message of the heavy traffic: its number, and some more.
fn numbered(number: u64) -> Vec<u8> {
    [&number.to_be_bytes()[..], &[b'x'; 100]].concat()
}

fn number(frame: &Frame) -> u64 {
    let inflated = (frame.first & 0x40 != 0).then(|| inflated(&frame.payload, 15));
    let payload = inflated.as_ref().unwrap_or(&frame.payload);
    assert_eq!(payload.len(), 108);
    u64::from_be_bytes(*payload.first_chunk().expect("a number"))
}

/// The next message.
fn next(member: &mut RawPeer) -> Frame {
    let frame = member.frame().expect("a message");
    assert!([BINARY, BINARY | 0x40].contains(&frame.first), "{frame:?}");
    frame
}

const HISTORY: u64 = 50;
const LAST: u64 = 20_000;

/// A sender and members that join all the time, with these options and further headers.
fn joins_during_traffic(options: &[&str], headers: &str) {
    let server = rooms(&[&["--history", "50"], options].concat());
    let (sent, back) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        let mut witness = RawPeer::connect(server.port, "/");
        let (sent, back, port) = (&sent, &back, server.port);
        scope.spawn(move || {
            let mut sender = RawPeer::connect(port, "/");
            for start in (0..LAST).step_by(8) {
                for number in start..start + 8 {
                    sender.send(BINARY, numbered(number));
                }
                sent.store(start + 8, SeqCst);
                // No further than the members.
                while back.load(SeqCst) + 400 < start {
                    thread::yield_now();
                }
            }
            until_delivered(&mut sender);
        });
        scope.spawn(move || {
            for expected in 0..LAST {
                assert_eq!(number(&next(&mut witness)), expected);
                back.store(expected + 1, SeqCst);
            }
        });
        let joining = (0..4).map(|_| {
            scope.spawn(move || {
                let mut joined = 0;
                while sent.load(SeqCst) < LAST {
                    let before = back.load(SeqCst);
                    let request = upgrade_request("/", headers);
                    let mut member = RawPeer::client(Exchange::connect(port, &request).switched());
                    let first = number(&next(&mut member));
                    let after = sent.load(SeqCst);
                    assert!(
                        before.saturating_sub(HISTORY) <= first && first <= (after + 8).saturating_sub(HISTORY),
                        "{first}"
                    );
                    for expected in first + 1..(first + 300).min(LAST) {
                        assert_eq!(number(&next(&mut member)), expected);
                    }
                    joined += 1;
                }
                joined
            })
        });
        let joined: u32 = joining.collect::<Vec<_>>().into_iter().map(|thread| thread.join().expect("members")).sum();
        assert!(joined > 20, "{joined}");
    });
}

#[test]
fn who_joins_during_heavy_traffic_sees_no_gap_and_nothing_twice() {
    joins_during_traffic(&[], "");
}

#[test]
fn who_joins_during_heavy_traffic_sees_no_gap_and_nothing_twice_without_echo() {
    joins_during_traffic(&["--no-echo"], "");
}

#[test]
fn who_joins_during_heavy_traffic_sees_no_gap_and_nothing_twice_with_compression() {
    let options = ["--deflate", "on", "--deflate-threshold", "1"];
    joins_during_traffic(&options, &format!("{HEADER}: {OFFER}\r\n"));
}

/// Members that lose their connection all the time and resume.
fn resumes_during_traffic(options: &[&str], headers: &str) {
    let server = rooms(&[&["--history", "1000"], options].concat());
    let seen = [0; 4].map(AtomicU64::new);
    thread::scope(|scope| {
        let port = server.port;
        let resuming = (500..).step_by(37).zip(&seen).map(|(every, seen)| {
            let mut resuming = Resuming::connect_with(port, "/", None, headers);
            scope.spawn(move || {
                let (mut expected, mut resumed) = (0, 0);
                while expected < LAST {
                    for _ in 0..(LAST - expected).min(every) {
                        assert_eq!(number(&resuming.receive()), expected);
                        expected += 1;
                        seen.store(expected, SeqCst);
                    }
                    // Some of what it was sent is lost with the connection.
                    let place = resuming.place.take();
                    drop(resuming);
                    resuming = Resuming::connect_with(port, "/", place, headers);
                    assert!(resuming.is_resumed, "after {expected}");
                    resumed += 1;
                }
                assert!(resumed > 20);
            })
        });
        let resuming: Vec<_> = resuming.collect();
        let mut witness = RawPeer::connect(port, "/");
        let mut sender = RawPeer::connect(port, "/");
        for start in (0..LAST).step_by(10) {
            for number in start..start + 10 {
                sender.send(BINARY, numbered(number));
            }
            for expected in start..start + 10 {
                assert_eq!(number(&next(&mut witness)), expected);
            }
            // No further than what is kept.
            while seen.iter().any(|seen| seen.load(SeqCst) + 600 < start) {
                thread::yield_now();
            }
        }
        resuming.into_iter().for_each(|thread| thread.join().expect("a member"));
    });
}

#[test]
fn who_resumes_during_heavy_traffic_misses_nothing_and_sees_nothing_twice() {
    resumes_during_traffic(&[], "");
}

#[test]
fn who_resumes_during_heavy_traffic_misses_nothing_without_echo_and_with_compression() {
    let options = ["--no-echo", "--deflate", "on", "--deflate-threshold", "1"];
    resumes_during_traffic(&options, &format!("{HEADER}: {OFFER}\r\n"));
}

#[test]
fn a_slow_reader_receives_the_last_messages_before_what_waits_for_it() {
    let (server, metrics) = measured(&["--history", "4", "--slow", "drop-newest", "--backlog", "16m"]);
    let mut sender = Peer::connect(server.port, "/");
    let big = |number: u8| Message::binary(vec![number; 900_000]);
    let mut send = |number| {
        sender.send(big(number));
        assert!(sender.receive() == big(number));
    };
    (0..5).for_each(&mut send);
    // It reads only when more waits for it than its socket takes.
    let mut slow = Peer::connect(server.port, "/");
    (5..12).for_each(&mut send);
    until_metric_is_above(metrics, "backlog_bytes", 1 << 20);
    for number in 1..12 {
        assert!(slow.receive() == big(number), "{number}");
    }
    assert_eq!(metric(metrics, "messages_dropped_total"), 0);
}

// Resuming.

#[test]
fn who_resumes_receives_what_it_has_missed_and_nothing_else() {
    let server = rooms(&["--history", "5"]);
    let mut sender = RawPeer::connect(server.port, "/");
    let mut member = Resuming::connect(server.port, "/", None);
    for text in ["1", "2"] {
        sender.send_text(text);
        assert_eq!(member.receive_text(), text);
    }
    let place = member.place.clone();
    drop(member);
    let mut member = Resuming::connect(server.port, "/", place.clone());
    assert!(member.is_resumed);
    for text in ["3", "4"] {
        tell(&mut sender, text);
    }
    for text in ["3", "4"] {
        assert_eq!(member.receive_text(), text);
    }
    // The connection is lost without the server knowing it, and two of what it has sent with it.
    let mut member = Resuming::connect(server.port, "/", place);
    assert!(member.is_resumed);
    for text in ["3", "4"] {
        assert_eq!(member.receive_text(), text);
    }
    member.peer.send_text("5");
    assert_eq!(member.receive_text(), "5");
    // All others see nothing new.
    receives(&mut sender, &["5"]);
    let mut plain = RawPeer::connect(server.port, "/");
    receives(&mut plain, &["1", "2", "3", "4", "5"]);
    assert!(plain.head.get("Sec-WebSocket-Protocol").is_none());
}

#[test]
fn who_has_missed_more_than_is_kept_is_told_so_and_receives_that() {
    let server = rooms(&["--history", "2"]);
    let mut sender = RawPeer::connect(server.port, "/");
    let mut member = Resuming::connect(server.port, "/", None);
    sender.send_text("1");
    assert_eq!(member.receive_text(), "1");
    for text in ["2", "3", "4"] {
        tell(&mut sender, text);
    }
    let foreign = Resuming::connect(server.port, "/other", member.place.clone());
    assert!(!foreign.is_resumed, "a place of another room");
    for place in [member.place.as_deref().expect("a place"), "0.0.0", "1.2", "ffffffffffffffffffffffff.1.1", "x"] {
        let mut member = Resuming::connect(server.port, "/", Some(place.to_owned()));
        assert!(!member.is_resumed, "{place}");
        assert_eq!([member.receive_text(), member.receive_text()], ["3", "4"]);
        member.peer.send_text("more");
        assert_eq!(member.receive_text(), "more");
        tell(&mut sender, "3");
        tell(&mut sender, "4");
    }
}

#[test]
fn messages_keep_their_kind_behind_their_place() {
    let server = rooms(&["--history", "5"]);
    let mut member = Resuming::connect(server.port, "/", None);
    let messages: [(u8, &[u8]); 5] =
        [(TEXT, b""), (BINARY, b"\0\xff\n"), (TEXT, b"two\nlines"), (BINARY, b""), (BINARY, &[b'\n'; 100_000])];
    for (first, payload) in messages {
        member.peer.send(first, payload);
    }
    let mut places = Vec::new();
    for (first, payload) in messages {
        let frame = member.receive();
        assert!((frame.first, &frame.payload[..]) == (first, payload));
        places.push(member.place.clone());
    }
    for at in 0..5 {
        let mut member = Resuming::connect(server.port, "/", places[at].clone());
        assert!(member.is_resumed);
        for (first, payload) in &messages[at + 1..] {
            let frame = member.receive();
            assert!((frame.first, &frame.payload[..]) == (*first, *payload));
        }
    }
}

#[test]
fn without_echo_who_resumes_receives_its_own_messages_of_before_too() {
    let server = rooms(&["--history", "5", "--no-echo"]);
    let mut other = RawPeer::connect(server.port, "/");
    let mut member = Resuming::connect(server.port, "/", None);
    tell(&mut other, "1");
    assert_eq!(member.receive_text(), "1");
    member.peer.send_text("2");
    assert_eq!(other.receive_text(), "2");
    tell(&mut other, "3");
    assert_eq!(member.receive_text(), "3", "and not its own");
    tell(&mut other, "4");
    let mut member = Resuming::connect(server.port, "/", member.place.clone());
    assert_eq!(member.receive_text(), "4");
    let mut fresh = Resuming::connect(server.port, "/", None);
    assert_eq!([(); 4].map(|()| fresh.receive_text()), ["1", "2", "3", "4"]);
}

#[test]
fn a_server_without_history_does_not_select_the_subprotocol() {
    let offers = format!("Sec-WebSocket-Protocol: {RESUME}.a.1.0, {RESUME}, chat\r\n");
    let selected = |options: &[&str], offers: &str| {
        let server = rooms(options);
        let answer = Exchange::connect(server.port, &upgrade_request("/", offers)).switched();
        answer.head.get("Sec-WebSocket-Protocol").map(str::to_owned)
    };
    assert_eq!(selected(&[], &offers).as_deref(), Some("chat"));
    assert_eq!(selected(&[], &format!("Sec-WebSocket-Protocol: {RESUME}\r\n")), None);
    let history = ["--history", "1"];
    assert_eq!(selected(&history, &offers).as_deref(), Some(RESUME));
    // A client that does not offer the one without a place could not be told that it is not known.
    assert_eq!(selected(&history, &format!("Sec-WebSocket-Protocol: {RESUME}.a.1.0\r\n")), None);
    assert_eq!(selected(&history, "Sec-WebSocket-Protocol: chat\r\n").as_deref(), Some("chat"));
    let named = ["--history", "1", "--server-protocol", "chat"];
    assert_eq!(selected(&named, "Sec-WebSocket-Protocol: chat\r\n").as_deref(), Some("chat"));
    assert_eq!(selected(&named, &offers).as_deref(), Some(RESUME));
}
