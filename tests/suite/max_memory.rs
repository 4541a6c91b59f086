//! `--max-memory`: what is held for all clients together has a limit, and those for whom little is held go on.

use crate::{
    deflate::{DEFLATED_BINARY, OFFER, Zlib, offering},
    http::{Exchange, Head},
    peer::Peer,
    raw::{BINARY, RawPeer, from_client, raw_client, read_close, unfinished},
    rooms::{measured, metric, rooms},
    rooms_memory::memory,
    support::{Serving, connect, wait_for},
};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    sync::{
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

const MIB: u64 = 1 << 20;
/// The limit in these tests, as an option.
const LIMIT: [&str; 2] = ["--max-memory", "64m"];
/// What is held beyond it at most (docs/operations.md): 40 MiB, and 160 KiB for each of 64 clients.
const SLACK: u64 = 50 * MIB;

/// Fails if the server has ever had more memory than the limit and the slack.
#[track_caller]
fn stayed_within_the_limit(server: &Serving) {
    // The pages of the executable, which are many in a debug build, are not held for clients.
    let most = memory(server, "VmHWM").saturating_sub(memory(server, "RssFile"));
    assert!(most < 64 * MIB + SLACK, "{} MiB", most / MIB);
}

/// The beginning of a compressed message: 16 MiB in 16 KB.
fn bomb() -> Vec<u8> {
    from_client(unfinished(DEFLATED_BINARY), Zlib::new().deflate(&vec![0; 16 << 20]))
}

/// A client that may compress; `None` if it is refused with 503.
#[track_caller]
fn try_client(port: u16) -> Option<TcpStream> {
    let mut stream = connect(port);
    stream.write_all(offering(OFFER).as_bytes()).expect("ask");
    match Head::read(&mut stream).status() {
        101 => Some(stream),
        503 => None,
        other => panic!("{other}"),
    }
}

/// Clients send the beginnings of long compressed messages. Another client is answered meanwhile.
#[track_caller]
fn bombs_stay_within_the_limit(server: &Serving) {
    let mut other = Peer::connect(server.port, "/other");
    let bomb = bomb();
    let mut attackers: Vec<TcpStream> = Vec::new();
    let mut worst = Duration::ZERO;
    for number in 0..60 {
        // While more is held than may be, new clients are refused.
        let mut attacker = wait_for("a client that is let in", || try_client(server.port));
        attacker.write_all(&bomb).expect("send");
        attackers.push(attacker);
        let start = Instant::now();
        other.send_text(&number.to_string());
        assert_eq!(other.receive_text(), number.to_string());
        worst = worst.max(start.elapsed());
    }
    assert!(worst < Duration::from_secs(1), "{worst:?}");
    assert_eq!(read_close(&mut attackers[0]), Some(1013), "who holds the most is closed");
    stayed_within_the_limit(server);
}

#[test]
fn unfinished_compressed_messages_stay_within_max_memory() {
    bombs_stay_within_the_limit(&Serving::start(["ws-l:127.0.0.1:0", "mirror:", LIMIT[0], LIMIT[1]]));
}

#[test]
fn unfinished_compressed_messages_to_rooms_stay_within_max_memory() {
    let options = ["--deflate", "on", "--max-ws-message-length", "64m"];
    bombs_stay_within_the_limit(&rooms(&[&options[..], &LIMIT].concat()));
}

#[test]
fn what_waits_for_many_stuck_members_stays_within_max_memory() {
    let options = ["--backlog", "1g", "--max-ws-message-length", "1m", "--slow-timeout", "0"];
    let (mut server, metrics) = measured(&[&options[..], &LIMIT].concat());
    let mut other = Peer::connect(server.port, "/other");
    // Two rooms with ten stuck members each, and a sender that reads.
    let room = |room: u8| {
        let target = format!("/{room}");
        let stuck: Vec<_> = (0..10).map(|_| RawPeer::connect(server.port, &target)).collect();
        (stuck, RawPeer::connect(server.port, &target))
    };
    let (stuck, mut senders): (Vec<_>, Vec<_>) = [0, 1].map(room).into_iter().unzip();
    for number in 0..160 {
        for sender in &mut senders {
            sender.send(BINARY, [7; 500_000]);
            assert_eq!(sender.receive().payload.len(), 500_000, "who reads goes on");
        }
        other.send_text(&number.to_string());
        assert_eq!(other.receive_text(), number.to_string());
    }
    stayed_within_the_limit(&server);
    assert!(metric(metrics, "memory_disconnects_total") >= 10);
    assert!(metric(metrics, "memory_bytes") <= 64 * MIB);
    assert_eq!(metric(metrics, "slow_disconnects_total"), 0);
    server.running.error_line("to stay within --max-memory");
    drop(stuck);
}

#[test]
fn a_client_that_takes_nothing_of_what_it_gets_back_is_closed_for_max_memory() {
    let server = Serving::start(["ws-l:127.0.0.1:0", "mirror:", LIMIT[0], LIMIT[1]]);
    let mut other = Peer::connect(server.port, "/other");
    let (done, is_done) = mpsc::channel();
    for _ in 0..8 {
        let mut stuck = RawPeer::connect(server.port, "/");
        let done = done.clone();
        thread::spawn(move || {
            // It is never read, so its answers wait, and then so does what it sends.
            let message = from_client(BINARY, vec![7; 16 << 20]);
            while stuck.stream().write_all(&message).is_ok() {}
            let _ = done.send(());
            stuck
        });
    }
    is_done.recv().expect("one of them is closed");
    other.send_text("still here");
    assert_eq!(other.receive_text(), "still here");
    stayed_within_the_limit(&server);
}

#[test]
fn unfinished_lines_stay_within_max_memory() {
    let server = Serving::start(["lines:tcp-l:127.0.0.1:0", "mirror:", LIMIT[0], LIMIT[1]]);
    let (done, is_done) = mpsc::channel();
    for _ in 0..8 {
        let mut attacker = server.connect();
        let done = done.clone();
        thread::spawn(move || {
            let mut sent = 0;
            while sent < 48 << 20 && attacker.write_all(&[b'x'; 65_536]).is_ok() {
                sent += 65_536;
            }
            let _ = done.send(sent);
            attacker
        });
    }
    let sent = [(); 8].map(|()| is_done.recv().expect("how much it sent"));
    assert!(sent.iter().any(|sent| *sent < 48 << 20), "some are closed");
    let mut other = server.connect();
    other.write_all(b"still here\n").expect("send");
    let mut answer = String::new();
    BufReader::new(other).read_line(&mut answer).expect("an answer");
    assert_eq!(answer, "still here\n");
    stayed_within_the_limit(&server);
}

#[test]
fn unfinished_bodies_of_post_requests_stay_within_max_memory() {
    let mut server = Serving::start(["http-post-sse:tcp-l:127.0.0.1:0", "mirror:", LIMIT[0], LIMIT[1]]);
    let (done, is_done) = mpsc::channel();
    for _ in 0..6 {
        let mut attacker = server.connect();
        let done = done.clone();
        thread::spawn(move || {
            let _ = attacker.write_all(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000000\r\n\r\n");
            let mut sent = 0;
            while sent < 48 << 20 && attacker.write_all(&[b'x'; 65_536]).is_ok() {
                sent += 65_536;
            }
            let _ = done.send(sent);
            attacker
        });
    }
    let sent = [(); 6].map(|()| is_done.recv().expect("how much it sent"));
    assert!(sent.iter().any(|sent| *sent < 48 << 20), "some are refused");
    server.running.error_line("to stay within --max-memory");
    stayed_within_the_limit(&server);
}

#[test]
fn events_for_clients_that_read_nothing_stay_within_max_memory() {
    let lines = "sh-c:while head -c 16777216 /dev/zero | tr '\\0' x && echo; do :; done";
    let address = ["http-post-sse:tcp-l:127.0.0.1:0", lines, "--grace", "0.2"];
    let mut server = Serving::start([&address[..], &LIMIT].concat());
    let request = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    // Whoever comes while others are being closed is refused.
    let admitted = || Some(Exchange::connect(server.port, request)).filter(|exchange| exchange.head.status() == 200);
    let _stuck: Vec<_> = (0..6).map(|_| wait_for("a client that is let in", admitted)).collect();
    for _ in 0..2 {
        server.running.error_line("to stay within --max-memory");
    }
    stayed_within_the_limit(&server);
}

#[test]
fn an_event_that_waits_for_its_client_is_counted_once() {
    let line = "sh-c:head -c 16777216 /dev/zero | tr '\\0' x && echo";
    let server = Serving::start(["http-post-sse:tcp-l:127.0.0.1:0", line, LIMIT[0], LIMIT[1]]);
    let request = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut clients: Vec<_> = (0..3).map(|_| Exchange::connect(server.port, request)).collect();
    for client in &mut clients {
        client.reader.fill_buf().expect("an event begins");
    }
    for mut client in clients {
        assert!(client.ends());
    }
    server.running.signal("TERM");
    assert_eq!(server.running.finish().stderr, "");
}

#[test]
fn new_clients_get_503_while_more_is_held_than_may_be() {
    let server = Serving::start(["ws-l:127.0.0.1:0", "mirror:", LIMIT[0], LIMIT[1], "--conncap", "64"]);
    let (port, bomb, is_refused) = (server.port, bomb(), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !is_refused.load(Relaxed) {
                    // Together they are beyond the limit again and again.
                    let mut attackers: Vec<_> = (0..10).filter_map(|_| try_client(port)).collect();
                    for attacker in &mut attackers {
                        let _ = attacker.write_all(&bomb);
                    }
                }
            });
        }
        wait_for("503", || try_client(port).is_none().then_some(()));
        is_refused.store(true, Relaxed);
    });
    stayed_within_the_limit(&server);
}

#[test]
fn sessions_that_wait_hold_nothing_of_what_they_have_sent() {
    let server = Serving::start(["--threads", "1", "ws-l:127.0.0.1:0", "mirror:"]);
    let before = memory(&server, "VmRSS");
    let messages = from_client(BINARY, [7; 1000]).repeat(200);
    let clients: Vec<_> = (0..100)
        .map(|_| {
            let mut client = raw_client(connect(server.port));
            client.write_all(&messages).expect("send");
            client.read_exact(&mut vec![0; messages.len() - 200 * 4]).expect("the echo");
            client
        })
        .collect();
    let each = memory(&server, "VmRSS").saturating_sub(before) / 100;
    assert!(each < 64 << 10, "{} KiB for each of {} clients", each >> 10, clients.len());
}
