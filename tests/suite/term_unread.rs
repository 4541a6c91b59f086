//! A terminal that nobody reads, such as that of an SSH connection that hangs.

use crate::{
    peer::websocket_server,
    raw::{TEXT, raw_peer_server},
    support::LIMIT,
    terminal::InTerminal,
};
use std::{
    sync::mpsc,
    time::{Duration, Instant},
};

/// More than the buffers of a terminal take.
const MANY: usize = 10_000;

#[test]
fn a_terminal_that_nobody_reads_does_not_hold_up_the_end_after_a_signal() {
    let (go, started) = mpsc::channel();
    let (sent, is_sent) = mpsc::channel();
    let (url, server) = websocket_server(move |mut peer| {
        started.recv_timeout(LIMIT).expect("the test");
        (0..MANY).for_each(|number| peer.send_text(&format!("message {number}")));
        sent.send(()).expect("the test waits");
        peer.receive_close()
    });
    let terminal = InTerminal::start(&["--grace", "1", &url]);
    terminal.prompts();
    let stalled = terminal.stops_reading();
    go.send(()).expect("the server waits");
    is_sent.recv_timeout(LIMIT).expect("the messages");
    let start = Instant::now();
    terminal.signal("TERM");
    assert_eq!(server.join().expect("the server").0, 1001);
    terminal.has_ended();
    let took = start.elapsed();
    assert!(took < Duration::from_secs(4), "{took:?}");
    assert!(terminal.is_cooked(), "it leaves the terminal as it was");
    drop(stalled);
    assert_eq!(terminal.ends().0, Some(143));
}

#[test]
fn a_second_signal_ends_a_run_whose_terminal_nobody_reads_at_once() {
    let (go, started) = mpsc::channel();
    let (sent, is_sent) = mpsc::channel();
    let (closing, is_closing) = mpsc::channel();
    let (url, server) = raw_peer_server(move |mut peer| {
        started.recv_timeout(LIMIT).expect("the test");
        (0..MANY).for_each(|_| peer.send(TEXT, [b'x'; 1000]));
        sent.send(()).expect("the test waits");
        closing.send(peer.receive().close().0).expect("the test waits");
        peer.ends();
    });
    let terminal = InTerminal::start(&["--grace", "1000", "--close-timeout", "1000", &url]);
    terminal.prompts();
    let stalled = terminal.stops_reading();
    go.send(()).expect("the server waits");
    is_sent.recv_timeout(LIMIT).expect("the messages");
    terminal.signal("TERM");
    assert_eq!(is_closing.recv_timeout(LIMIT).expect("a close frame"), 1001);
    let start = Instant::now();
    terminal.signal("TERM");
    terminal.has_ended();
    let took = start.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(terminal.is_cooked(), "it leaves the terminal as it was");
    drop(stalled);
    assert_eq!(terminal.ends().0, Some(143));
    server.join().expect("the server");
}
