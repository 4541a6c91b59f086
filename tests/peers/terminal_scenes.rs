//! Terminals, browsers and other peers in one session or room, and terminals under load.

use crate::{
    common::{peer::websocket_server, terminal::InTerminal},
    peer::{Peer, node, python, script},
    support::{LIMIT, Serving, wait_for},
    tmux::{SIZES, Tmux},
};
use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn two_terminals_and_a_page_in_a_room_read_as_a_conversation() {
    let page = format!("/page.html:text/html:{}", script("scene.html"));
    let server = Serving::start(["-F", &page, "--broadcast", "--no-echo", "ws-l:127.0.0.1:0"]);
    let [red, blue] = SIZES.map(|(columns, rows)| {
        let tmux = Tmux::start("scene", columns, rows);
        tmux.connect(&format!("{}room", server.url()));
        tmux
    });
    let url = format!("http://127.0.0.1:{}/page.html", server.port);
    let mut page = Peer::client(node("scene.js", [&*url, "room"]));
    page.says("joined");
    blue.types("half");
    page.running.write("hello from the page \u{1f44b}\n");
    red.shows("< hello from the page \u{1f44b}");
    blue.shows("< hello from the page \u{1f44b}");
    red.types("hello page");
    red.keys(&["Enter"]);
    page.says("heard hello page");
    blue.shows("< hello page");
    blue.ends_with("> half", 6);
    blue.types(" a reply");
    blue.keys(&["Enter"]);
    page.says("heard half a reply");
    let [of_page, of_red, of_blue] = ["hello from the page \u{1f44b}", "hello page", "half a reply"];
    let reads = |tmux: &Tmux, lines: [String; 4]| tmux.until("the conversation", |screen| screen.ends_with(&lines));
    reads(&red, [format!("< {of_page}"), format!("> {of_red}"), format!("< {of_blue}"), ">".into()]);
    reads(&blue, [format!("< {of_page}"), format!("< {of_red}"), format!("> {of_blue}"), ">".into()]);
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn commands_work_with_python_too() {
    let mut peer = Peer::start(python("ws_server.py", ["echo"]), "port ");
    let tmux = Tmux::start("python", 80, 24);
    tmux.connect(&format!("--ts rel --protocol chat {}", peer.url()));
    peer.says(r#"protocol "chat""#);
    tmux.types(r#"{"a":1}"#);
    tmux.keys(&["Enter"]);
    peer.says(r#"text "{\"a\":1}""#);
    tmux.shows(r#" < {"a": 1}"#);
    tmux.types("/ping");
    tmux.keys(&["Enter"]);
    tmux.shows("* pong after ");
    tmux.types("/headers");
    tmux.keys(&["Enter"]);
    tmux.shows("< Sec-WebSocket-Protocol: chat");
    tmux.types("/cl");
    tmux.keys(&["Tab"]);
    tmux.types("4001 so");
    tmux.keys(&["Enter"]);
    peer.says(r#"closed 4001 "so""#);
    tmux.ends_with("$", 2);
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_terminal_that_is_closed_ends_the_run() {
    let mut peer = Peer::start(node("ws_server.js", ["echo"]), "port ");
    let tmux = Tmux::start("closed", 80, 24);
    tmux.connect(&peer.url());
    tmux.types("half");
    tmux.ends_with("> half", 6);
    // The pseudo-terminal goes away, too.
    drop(tmux);
    let line = peer.running.line();
    assert!(line.starts_with("closed 1001 "), "{line}");
}

/// Sends a hundred messages each hundredth of a second until it is told to end. Gives their number and the longest time of one such
/// hundred.
fn flood(mut peer: crate::common::peer::Peer, is_over: &AtomicBool) -> (usize, Duration) {
    let (started, mut sent, mut longest) = (Instant::now(), 0, Duration::ZERO);
    while !is_over.load(Relaxed) {
        let begun = Instant::now();
        for _ in 0..100 {
            peer.send_text(&format!("{{\"number\":{sent}}}"));
            sent += 1;
        }
        longest = longest.max(begun.elapsed());
        thread::sleep((started + Duration::from_micros(100 * sent as u64)).saturating_duration_since(Instant::now()));
    }
    peer.close(1000, "");
    peer.ends();
    (sent, longest)
}

#[test]
#[ignore = "measures time: tests/with-peers.sh"]
fn under_ten_thousand_messages_a_second_a_key_shows_within_50_ms() {
    const KEYS: usize = 40;
    let is_over = Arc::new(AtomicBool::new(false));
    let is_told = is_over.clone();
    let (url, server) = websocket_server(move |peer| flood(peer, &is_told));
    let mut terminal = InTerminal::start(&["-q", "--color", "never", &url]);
    terminal.shows("< {\"number\": 1000}");
    let mut line = String::new();
    let mut times: Vec<_> = (0..KEYS)
        .map(|_| {
            line.push('x');
            let pressed = Instant::now();
            terminal.press("x");
            terminal.shows(&format!("\n> {line}\r"));
            pressed.elapsed()
        })
        .collect();
    is_over.store(true, Relaxed);
    let (sent, longest) = server.join().expect("the server");
    let (code, printed) = terminal.ends();
    assert_eq!(code, Some(0));
    assert!(printed.contains(&format!("< {{\"number\": {}}}", sent - 1)), "all are shown");
    times.sort_unstable();
    assert!(times[KEYS / 2] < Duration::from_millis(50), "{times:?}");
    // The machine may be busy for a moment.
    assert!(times[KEYS - 3] < Duration::from_millis(150), "{times:?}");
    assert!(longest < Duration::from_secs(1), "the socket waited for {longest:?}");
}

#[test]
#[ignore = "moves much: tests/with-peers.sh"]
fn a_terminal_that_takes_nothing_does_not_hold_up_the_socket() {
    let (sent, is_sent) = mpsc::channel();
    let (url, server) = websocket_server(move |mut peer| {
        assert_eq!(peer.receive_text(), "go");
        for number in 0..300_000 {
            peer.send_text(&format!("number {number}"));
        }
        sent.send(()).expect("the test waits");
        assert_eq!(peer.receive_text(), "stop");
        peer.close(1000, "");
        peer.ends();
    });
    let mut terminal = InTerminal::start(&["-q", "--color", "never", &url]);
    terminal.prompts();
    let mut keys = terminal.keys();
    let stall = terminal.stops_reading();
    keys.write_all(b"go\r").expect("the terminal takes keys");
    is_sent.recv_timeout(LIMIT).expect("all is sent though nothing is shown");
    drop(stall);
    terminal.shows("messages are not shown: the terminal is too slow");
    wait_for("the last one", || terminal.printed().contains("< number 299999\n").then_some(()));
    terminal.press("stop\r");
    server.join().expect("the server");
    assert_eq!(terminal.ends().0, Some(0));
}
