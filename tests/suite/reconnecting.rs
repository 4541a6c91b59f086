//! What `autoreconnect:` says about messages that a connection took with it, and how often it tries.

use crate::{
    raw::{BINARY, CLOSE, PING, PONG, RawPeer, TEXT, from_client},
    support::{Running, Serving, accept, run, wsplice},
};
use std::{
    io::{self, Read},
    net::TcpListener,
    thread,
    time::Duration,
};

fn start(listener: &TcpListener, args: &[&str]) -> Running {
    let url = format!("autoreconnect:ws://{}/", listener.local_addr().expect("address"));
    let delay = if args.is_empty() { &["--autoreconnect-delay-millis", "0"][..] } else { args };
    Running::start(wsplice([&["-", &*url], delay].concat()))
}

/// The number in a line that says how many messages may be lost; 0 where it says nothing of that.
pub fn lost(line: &str) -> usize {
    let Some((_, rest)) = line.split_once("messages sent that may be lost: ") else { return 0 };
    rest.split(';').next().and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no number in {line:?}"))
}

#[test]
fn messages_are_neither_sent_twice_nor_lost_without_a_count() {
    const MESSAGES: usize = 50_000;
    for closes in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let mut client = start(&listener, &[]);
        let server = thread::spawn(move || {
            let mut received = Vec::new();
            let mut peer = RawPeer::accept(accept(&listener));
            while received.len() < 400 {
                let frame = peer.frame().expect("a frame");
                match frame.first {
                    PING => peer.send(PONG, frame.payload),
                    _ => received.push(frame.text().parse::<usize>().expect("a number")),
                }
            }
            if closes {
                peer.close(1012, "restarting");
            }
            drop(peer);
            let mut peer = RawPeer::accept(accept(&listener));
            while let Some(frame) = peer.frame() {
                match frame.first {
                    PING => peer.send(PONG, frame.payload),
                    TEXT => received.push(frame.text().parse().expect("a number")),
                    CLOSE => {
                        peer.close(1000, "");
                        break;
                    }
                    other => panic!("first byte {other}"),
                }
            }
            received
        });
        client.write((0..MESSAGES).map(|number| format!("{number}\n")).collect::<String>());
        client.close_input();
        let finished = client.finish();
        let received = server.join().expect("the server");
        assert!(received.is_sorted_by(|a, b| a < b), "each message comes once, and in order");
        let lost: usize = finished.stderr.lines().map(lost).sum();
        assert!(received.len() + lost >= MESSAGES, "{} of {MESSAGES} and {lost}: {}", received.len(), finished.stderr);
        assert!(lost <= MESSAGES - 400 + 1024, "what was confirmed is not reported: {}", finished.stderr);
    }
}

#[test]
fn messages_that_the_peer_has_confirmed_are_not_reported_as_lost() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let mut client = start(&listener, &[]);
    let mut peer = RawPeer::accept(accept(&listener));
    client.write("one\n");
    let message = peer.frame().expect("a message");
    assert_eq!(message.text(), "one");
    let ping = peer.frame().expect("a ping");
    assert_eq!(ping.first, PING);
    peer.send(PONG, ping.payload);
    drop(peer);
    let line = client.error_line("connecting again");
    assert_eq!(lost(&line), 0, "{line}");
    let mut peer = RawPeer::accept(accept(&listener));
    client.write("two\n");
    assert_eq!(peer.frame().expect("a message").text(), "two");
    drop(peer);
    let line = client.error_line("connecting again");
    assert_eq!(lost(&line), 1, "{line}");
}

#[test]
fn a_pong_says_that_what_came_before_the_ping_has_been_written_on() {
    const SIZE: usize = 32 * 1024;
    /// Far beyond the time of a pong, and far below [`LIMIT`].
    const SILENCE: Duration = Duration::from_secs(1);
    let far = TcpListener::bind("127.0.0.1:0").expect("bind");
    let to = format!("ws://{}/", far.local_addr().expect("address"));
    let server = Serving::start(["ws-l:127.0.0.1:0", &to]);
    let port = server.port;
    let client = thread::spawn(move || RawPeer::connect(port, "/"));
    let mut far = RawPeer::accept(accept(&far));
    let mut client = client.join().expect("the client");
    client.stream().set_read_timeout(Some(SILENCE)).expect("set a limit");
    // The far end does not read, so after a while what comes stays in the server.
    let mut confirmed = 0;
    let mut pong = [0; 2];
    loop {
        client.send_bytes([from_client(BINARY, [0; SIZE]), from_client(PING, "")].concat());
        if client.stream().read_exact(&mut pong).is_err() {
            break;
        }
        assert_eq!(pong, [PONG, 0]);
        confirmed += SIZE;
    }
    server.running.signal("KILL");
    let arrived = io::copy(far.stream(), &mut io::sink()).expect("read to the end");
    assert!(arrived >= confirmed as u64, "{arrived} bytes arrived, {confirmed} were confirmed");
}

#[test]
fn the_delay_doubles_up_to_its_maximum() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let delays = ["--autoreconnect-delay-millis", "100", "--autoreconnect-max-delay-millis", "200"];
    let mut running = start(&listener, &delays);
    drop(listener);
    for _ in 0..6 {
        let line = running.error_line("connecting again in ");
        let delay = line.trim().rsplit(' ').nth(1).and_then(|seconds| seconds.parse::<f64>().ok()).expect("a delay");
        assert!((0.05..0.35).contains(&delay), "{line}");
    }
}

#[test]
fn a_delay_of_zero_does_not_spin() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let mut client = start(&listener, &[]);
    thread::spawn(move || listener.incoming().for_each(drop));
    // It doubles each time, so the tenth is well above a second where the first was not zero.
    let lines: Vec<_> = (0..8).map(|_| client.error_line("connecting again")).collect();
    assert!(lines.iter().any(|line| !line.contains("again in 0.0 s")), "{lines:?}");
}

#[test]
fn after_the_given_number_of_retries_the_last_error_ends_the_run() {
    let unused = TcpListener::bind("127.0.0.1:0").expect("bind").local_addr().expect("address");
    let url = format!("autoreconnect:ws://{unused}/");
    let finished = run(["-", &*url, "--retry", "2", "--autoreconnect-delay-millis", "10"], "lost\n");
    finished.fails_with(3, "refused");
    assert_eq!(finished.stderr.matches("connecting again").count(), 2, "{finished:?}");
}

#[test]
fn a_connection_that_stands_begins_the_count_of_retries_anew() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let mut client = start(&listener, &["--retry", "1", "--autoreconnect-delay-millis", "10"]);
    for _ in 0..4 {
        drop(RawPeer::accept(accept(&listener)));
        client.error_line("connecting again");
    }
    client.close_input();
    drop(RawPeer::accept(accept(&listener)));
}
