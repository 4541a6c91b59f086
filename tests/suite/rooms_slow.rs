//! Members that read too slowly, under each policy of `--slow`.

use crate::{
    raw::{BINARY, CLOSE, Frame, PING, PONG, RawPeer, close_payload, from_client},
    rooms::{measured, metric, rooms, until_metric, until_metric_is_above},
    support::{LIMIT, Serving, wait_for},
};
use std::{
    io::Write,
    net::{Shutdown, TcpStream},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

const BIG: usize = 1 << 20;
/// The longest message of these rooms: as long as [`BIG`].
const MOST: &str = "1m";

/// A member's binary message whose first four bytes are a number. Changing that costs less than masking the whole again.
pub struct Numbered(Vec<u8>);

impl Numbered {
    fn new(length: usize) -> Self {
        Self::of(&vec![0; length])
    }

    pub fn of(payload: &[u8]) -> Self {
        assert!(payload.len() > 0xffff, "the length takes eight bytes");
        Self(from_client(BINARY, payload))
    }

    pub fn with(&mut self, number: u32) -> &[u8] {
        for (at, byte) in number.to_be_bytes().into_iter().enumerate() {
            self.0[14 + at] = byte ^ self.0[10 + at];
        }
        &self.0
    }
}

/// A member that never reads.
fn stuck(port: u16, target: &str) -> RawPeer {
    RawPeer::connect(port, target)
}

/// Sends numbered messages of a MiB until the metric is at least this; gives how many it sent.
#[track_caller]
fn talk_until(sender: &mut RawPeer, others: &mut [RawPeer], metrics: u16, name: &str, least: u64) -> u32 {
    let end = Instant::now() + LIMIT;
    let mut said = 0_u32;
    let mut message = Numbered::new(BIG);
    while metric(metrics, name) < least {
        assert!(Instant::now() < end, "{name} stays below {least}");
        sender.send_bytes(message.with(said));
        for member in std::iter::once(&mut *sender).chain(&mut *others) {
            let heard = member.receive();
            assert_eq!(
                (heard.payload.len(), &heard.payload[..4]),
                (BIG, &said.to_be_bytes()[..]),
                "others lose nothing"
            );
        }
        said += 1;
    }
    said
}

pub fn number(payload: &[u8]) -> u32 {
    payload.first_chunk().map(|number| u32::from_be_bytes(*number)).expect("a number")
}

#[test]
fn a_slow_member_is_closed_with_1013_after_what_it_can_still_read() {
    let (mut server, metrics) = measured(&["--backlog", "1m", "--max-ws-message-length", MOST]);
    let mut slow = stuck(server.port, "/");
    let mut others = [RawPeer::connect(server.port, "/"), RawPeer::connect(server.port, "/")];
    let mut sender = RawPeer::connect(server.port, "/");
    talk_until(&mut sender, &mut others, metrics, "slow_disconnects_total", 1);
    let (mut expected, mut last) = (0, None);
    while let Some(frame) = slow.frame() {
        match frame.first {
            BINARY => {
                assert_eq!((number(&frame.payload), frame.payload.len()), (expected, BIG), "whole and in order");
                expected += 1;
            }
            _ => last = Some(frame),
        }
    }
    assert_eq!(last.map(|frame| frame.close()), Some((1013, "too slow".into())));
    assert!(server.running.error_line("too slow").contains("messages dropped"));
    assert!(metric(metrics, "messages_dropped_total") >= 1);
    until_metric(metrics, "connections", 3);
    until_metric(metrics, "backlog_bytes", 0);
}

#[test]
fn a_member_that_never_reads_is_soon_removed() {
    let (server, metrics) = measured(&["--backlog", "100k", "--max-ws-message-length", MOST]);
    let _slow = stuck(server.port, "/");
    let mut sender = RawPeer::connect(server.port, "/");
    talk_until(&mut sender, &mut [], metrics, "slow_disconnects_total", 1);
    until_metric(metrics, "connections", 1);
}

#[test]
fn with_drop_oldest_the_oldest_messages_of_a_slow_member_are_dropped() {
    let (mut server, metrics) =
        measured(&["--slow", "drop-oldest", "--backlog", "3m", "--max-ws-message-length", MOST]);
    let mut slow = stuck(server.port, "/");
    let mut sender = RawPeer::connect(server.port, "/");
    let said = talk_until(&mut sender, &mut [], metrics, "messages_dropped_total", 5);
    let mut heard = vec![number(&slow.receive().payload)];
    while heard.last().is_some_and(|last| last + 1 < said) {
        heard.push(number(&slow.receive().payload));
    }
    assert!(heard.is_sorted() && heard[0] == 0, "{heard:?}");
    let dropped = metric(metrics, "messages_dropped_total");
    assert_eq!(heard.len() as u64 + dropped, u64::from(said), "what was not heard is counted");
    assert!(server.running.error_line("too slow").contains("messages dropped"));
    sender.send(BINARY, said.to_be_bytes());
    assert_eq!(number(&slow.receive().payload), said, "it has caught up");
}

#[test]
fn with_drop_newest_the_newest_messages_of_a_slow_member_are_dropped() {
    let (server, metrics) = measured(&["--slow", "drop-newest", "--backlog", "3m", "--max-ws-message-length", MOST]);
    let mut slow = stuck(server.port, "/");
    let mut sender = RawPeer::connect(server.port, "/");
    let said = talk_until(&mut sender, &mut [], metrics, "messages_dropped_total", 5);
    let dropped = metric(metrics, "messages_dropped_total");
    for expected in 0..said - u32::try_from(dropped).expect("a small number") {
        assert_eq!(number(&slow.receive().payload), expected, "the beginning is whole");
    }
    until_metric(metrics, "backlog_bytes", 0);
    sender.send(BINARY, said.to_be_bytes());
    assert_eq!(number(&slow.receive().payload), said, "it has caught up");
}

#[test]
fn with_block_a_room_waits_for_its_slow_member_and_nothing_is_lost() {
    let (server, metrics) = measured(&["--slow", "block", "--backlog", "1m", "--max-ws-message-length", MOST]);
    let mut slow = stuck(server.port, "/");
    let mut other = RawPeer::connect(server.port, "/");
    let mut sender = RawPeer::connect(server.port, "/");
    let mut saying = sender.writer();
    let talking = thread::spawn(move || {
        let mut message = Numbered::new(BIG);
        for said in 0..60 {
            saying.write_all(message.with(said)).expect("say");
        }
    });
    let hearing = [
        thread::spawn(move || (0..60).for_each(|expected| assert_eq!(number(&other.receive().payload), expected))),
        thread::spawn(move || (0..60).for_each(|expected| assert_eq!(number(&sender.receive().payload), expected))),
    ];
    // The room is blocked when its backlog is over a MiB; other rooms are not.
    until_metric_is_above(metrics, "backlog_bytes", BIG as u64);
    let mut elsewhere = RawPeer::connect(server.port, "/elsewhere");
    elsewhere.send_text("hello");
    assert_eq!(elsewhere.receive_text(), "hello");
    assert!(metric(metrics, "messages_received_total") < 61, "the room is held up");
    (0..60).for_each(|expected| assert_eq!(number(&slow.receive().payload), expected));
    talking.join().expect("the sender");
    for thread in hearing {
        thread.join().expect("the others");
    }
    assert_eq!(metric(metrics, "messages_dropped_total"), 0);
}

#[test]
fn a_room_goes_on_each_time_a_member_that_blocked_it_leaves() {
    let server = rooms(&["--slow", "block", "--backlog", "64k", "--max-ws-message-length", "8m"]);
    let mut sender = RawPeer::connect(server.port, "/");
    let mut saying = sender.writer();
    let (heard, hearing) = mpsc::channel();
    thread::spawn(move || while heard.send(number(&sender.receive().payload)).is_ok() {});
    let mut message = Numbered::new(8 * BIG);
    for round in 0..20 {
        let mut slow = stuck(server.port, "/");
        thread::scope(|scope| {
            scope.spawn(|| (0..2).for_each(|_| saying.write_all(message.with(round)).expect("say")));
            // Half of them read everything, which unblocks the room too.
            if round % 2 == 0 {
                assert_eq!((number(&slow.receive().payload), number(&slow.receive().payload)), (round, round));
            } else {
                assert_eq!(hearing.recv_timeout(LIMIT), Ok(round), "the sender hears it while the other is stuck");
            }
            drop(slow);
        });
        for _ in 0..if round % 2 == 0 { 2 } else { 1 } {
            assert_eq!(hearing.recv_timeout(LIMIT), Ok(round));
        }
    }
}

#[test]
fn pings_go_on_while_a_room_is_blocked_and_only_the_stuck_member_is_removed() {
    let (server, metrics) = measured(&[
        "--slow",
        "block",
        "--backlog",
        "1m",
        "--ping-interval",
        "0.1",
        "--ping-timeout",
        "2",
        "--max-ws-message-length",
        MOST,
    ]);
    let members = [RawPeer::connect(server.port, "/"), RawPeer::connect(server.port, "/")];
    let _stuck = stuck(server.port, "/");
    // Enough messages to block the room until the stuck member is removed. Each member writes on a thread of its own, pongs
    // between messages.
    let threads = members.into_iter().enumerate().map(|(number, mut member)| {
        let mut writer = member.writer();
        let (pongs, pinged) = mpsc::channel::<Vec<u8>>();
        let writing = thread::spawn(move || {
            let message = Numbered::new(BIG);
            for _ in 0..if number == 0 { 30 } else { 0 } {
                writer.write_all(&message.0).expect("say");
                for payload in pinged.try_iter() {
                    writer.write_all(&from_client(PONG, &payload)).expect("answer");
                }
            }
            for payload in pinged {
                writer.write_all(&from_client(PONG, &payload)).expect("answer");
            }
        });
        thread::spawn(move || {
            let (end, mut heard) = (Instant::now() + LIMIT, 0);
            while heard < 30 {
                assert!(Instant::now() < end, "member {number} heard {heard} of 30");
                let frame = member.frame().expect("a frame");
                match frame.first {
                    PING => pongs.send(frame.payload).expect("the writer lives"),
                    opcode => {
                        assert_eq!((opcode, frame.payload.len()), (BINARY, BIG));
                        heard += 1;
                    }
                }
            }
            drop(pongs);
            writing.join().expect("the writer");
            member
        })
    });
    let threads: Vec<_> = threads.collect();
    let members: Vec<_> = threads.into_iter().map(|thread| thread.join().expect("a member that answers")).collect();
    assert_eq!(metric(metrics, "connections"), members.len() as u64);
}

/// A member that sends unsolicited pongs and never reads, until the server has removed it.
fn sends_without_reading(args: &[&str]) -> (Serving, u16) {
    let (server, metrics) = measured(args);
    let stuck = stuck(server.port, "/");
    let mut sender = RawPeer::connect(server.port, "/");
    let pong = from_client(PONG, b"");
    let mut has_backlog = false;
    wait_for("its end", || {
        // On a busy machine the member may be removed before its backlog is long.
        if !has_backlog {
            sender.send(BINARY, vec![7; BIG / 4]);
            sender.receive();
            has_backlog = metric(metrics, "backlog_bytes") >= BIG as u64;
        }
        let _ = stuck.writer().write_all(&pong);
        // It answers no pings while it does not read.
        sender.send(PONG, b"");
        (metric(metrics, "connections") == 1).then_some(())
    });
    sender.send_text("still here");
    assert_eq!(sender.receive_text(), "still here");
    (server, metrics)
}

#[test]
fn a_member_that_takes_nothing_is_slow_whatever_it_sends() {
    for policy in ["disconnect", "block"] {
        let args = ["--slow", policy, "--slow-timeout", "0.5", "--backlog", "64m"];
        let (mut server, metrics) = sends_without_reading(&args);
        assert_eq!(metric(metrics, "slow_disconnects_total"), 1, "{policy}");
        assert!(server.running.error_line("too slow").contains("messages dropped"));
    }
}

#[test]
fn where_messages_are_dropped_a_member_that_takes_nothing_is_given_up_like_one_that_answers_no_ping() {
    let pings = ["--ping-interval", "0.1", "--ping-timeout", "1"];
    for policy in ["drop-oldest", "drop-newest"] {
        let args = ["--slow", policy, "--slow-timeout", "0.1", "--backlog", "4m"];
        let (_server, metrics) = sends_without_reading(&[&args[..], &pings].concat());
        assert_eq!(metric(metrics, "slow_disconnects_total"), 0, "{policy}");
    }
}

#[test]
fn drops_are_logged_at_most_once_a_second_and_all_are_counted() {
    let (server, metrics) =
        measured(&["--slow", "drop-newest", "--backlog", "1k", "--grace", "1", "--max-ws-message-length", MOST]);
    let _slow = [stuck(server.port, "/"), stuck(server.port, "/")];
    let mut sender = RawPeer::connect(server.port, "/");
    let started = Instant::now();
    talk_until(&mut sender, &mut [], metrics, "messages_dropped_total", 100);
    let dropped = metric(metrics, "messages_dropped_total");
    server.running.signal("TERM");
    assert_eq!(sender.receive_close().0, 1001);
    let finished = server.running.finish();
    let lines: Vec<_> = finished.stderr.lines().filter(|line| line.contains("too slow")).collect();
    let told: u64 = lines
        .iter()
        .map(|line| line.split(' ').rev().nth(2).and_then(|count| count.parse::<u64>().ok()).expect("a count"))
        .sum();
    assert_eq!(told, dropped, "{lines:?}");
    assert!(lines.len() as u64 <= started.elapsed().as_secs() + 2, "{lines:?}");
}

#[test]
fn one_stuck_reader_among_many_changes_nothing_for_the_others() {
    let (server, metrics) = measured(&["--backlog", "256k"]);
    let _stuck = stuck(server.port, "/");
    let mut others: Vec<_> = (0..200).map(|_| RawPeer::connect(server.port, "/")).collect();
    let mut sender = RawPeer::connect(server.port, "/");
    let payload = vec![b'x'; 64 * 1024];
    let mut slowest = Duration::ZERO;
    for _ in 0..40 {
        let started = Instant::now();
        sender.send(BINARY, &payload);
        for member in others.iter_mut().chain([&mut sender]) {
            assert_eq!(member.receive().payload.len(), payload.len());
        }
        slowest = slowest.max(started.elapsed());
    }
    assert_eq!(metric(metrics, "messages_received_total"), 40);
    assert!(slowest < Duration::from_secs(10), "{slowest:?}");
}

/// A room that a stuck member blocks.
struct HeldUp {
    server: Serving,
    stuck: RawPeer,
    /// The writing side of a member that reads all the time, and the frames that it reads.
    other: TcpStream,
    heard: mpsc::Receiver<Frame>,
    talking: thread::JoinHandle<()>,
}

impl HeldUp {
    /// More messages than the sockets and the backlog of a stuck member hold.
    const SAID: u32 = 40;

    fn new() -> Self {
        let (server, metrics) =
            measured(&["--slow", "block", "--backlog", "1m", "--no-echo", "-v", "--max-ws-message-length", MOST]);
        let (stuck, mut other) = (stuck(server.port, "/"), RawPeer::connect(server.port, "/"));
        let mut sender = RawPeer::connect(server.port, "/");
        let (hearing, heard) = mpsc::channel();
        let writer = other.writer();
        thread::spawn(move || while other.frame().is_some_and(|frame| hearing.send(frame).is_ok()) {});
        let talking = thread::spawn(move || {
            let mut message = Numbered::new(BIG);
            for said in 0..Self::SAID {
                sender.send_bytes(message.with(said));
            }
            assert_eq!(sender.receive_text(), "last words");
        });
        // An empty backlog accepts any frame, so it takes more than one to be over the limit.
        until_metric_is_above(metrics, "backlog_bytes", BIG as u64 + 10);
        Self { server, stuck, other: writer, heard, talking }
    }

    /// The members that are left receive everything, and what the stuck member sent before it left.
    #[track_caller]
    fn goes_on(self) {
        let mut numbers = Vec::new();
        let mut has_heard_last_words = false;
        while numbers.len() < Self::SAID as usize || !has_heard_last_words {
            let frame = self.heard.recv_timeout(LIMIT).expect("the room goes on");
            if frame.first == BINARY { numbers.push(number(&frame.payload)) } else { has_heard_last_words = true }
        }
        assert!(numbers.into_iter().eq(0..Self::SAID));
        self.talking.join().expect("the sender");
    }
}

#[test]
fn a_room_goes_on_when_the_member_that_blocks_it_closes() {
    let mut room = HeldUp::new();
    room.stuck.send_text("last words");
    room.stuck.close(1000, "");
    room.goes_on();
}

#[test]
fn a_room_goes_on_when_the_member_that_blocks_it_ends_its_side() {
    let mut room = HeldUp::new();
    room.stuck.send_text("last words");
    room.stuck.stream().shutdown(Shutdown::Write).expect("shut down");
    room.goes_on();
}

#[test]
fn a_member_can_leave_a_blocked_room() {
    let mut room = HeldUp::new();
    room.other.write_all(&from_client(CLOSE, close_payload(4000, "bye"))).expect("close");
    let closed = room.heard.iter().find(|frame| frame.first == CLOSE).expect("its close is answered");
    assert_eq!(closed.close(), (4000, "bye".into()));
    assert!(room.server.running.error_line("leave").contains("4000"));
}
