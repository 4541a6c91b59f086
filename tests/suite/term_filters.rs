//! `/filter` of the interactive terminal with a program that is slow: what is typed, the connection and the end of the run do not wait for it.

use crate::{
    peer::{Peer, websocket_server},
    support::wait_for,
    terminal::InTerminal,
};
use std::{sync::mpsc, time::Instant};

/// Takes about a tenth of a second for a message, in a binary that is not optimized.
const SLOW: &str = "/filter last(range(300000)) as $x | .\r";

/// A run with a filter whose peer sends the numbers below `most` when it gets `go`, then sends back what it gets until that is `end`.
fn filtered(program: &str, most: usize) -> (InTerminal, std::thread::JoinHandle<()>) {
    let (url, server) = websocket_server(move |mut peer: Peer| {
        loop {
            match &*peer.receive_text() {
                "go" => (0..most).for_each(|number| peer.send_text(&number.to_string())),
                "end" => break,
                text => peer.send_text(text),
            }
        }
        peer.close(1000, "");
        peer.ends();
    });
    let mut terminal = InTerminal::start(&["-q", "--color", "never", &url]);
    terminal.prompts();
    terminal.press(program);
    terminal.shows("/filter ends that");
    (terminal, server)
}

/// The numbers that were shown, in their order.
fn numbers(printed: &str) -> Vec<usize> {
    printed.lines().filter_map(|line| line.rsplit_once("< ")?.1.parse().ok()).collect()
}

#[test]
fn keys_are_shown_and_messages_sent_while_a_slow_filter_works() {
    let (mut terminal, server) = filtered(SLOW, 40);
    terminal.press("go\r");
    terminal.shows("< 0\n");
    let mut slowest = None;
    for count in 1..=10 {
        let pressed = Instant::now();
        terminal.press("x");
        let line = format!("> {}\r", "x".repeat(count));
        let printed = wait_for("the key", || Some(terminal.printed()).filter(|printed| printed.contains(&line)));
        slowest = slowest.max(Some(pressed.elapsed()));
        assert!(!printed.contains("< 39\n"), "key {count} waits for the filter");
    }
    assert!(slowest.is_some_and(|time| time.as_millis() < 1000), "{slowest:?}");
    // It comes back behind the messages that wait.
    terminal.press("\x15100\r");
    let shown = numbers(&terminal.shows("< 100\n"));
    assert_eq!(shown, (0..40).chain([100]).collect::<Vec<_>>());
    terminal.press("end\r");
    server.join().expect("the server");
    assert_eq!(terminal.ends().0, Some(0));
}

#[test]
fn ending_a_slow_filter_shows_what_waits_as_it_is() {
    let (mut terminal, server) = filtered(SLOW, 100);
    terminal.press("go\r");
    terminal.shows("< 3\n");
    terminal.press("/filter\r");
    let printed = terminal.shows("< 99\n");
    assert!(printed.contains("* messages are shown as they are again\n"), "{printed}");
    assert_eq!(numbers(&printed), (0..100).collect::<Vec<_>>());
    // Another program looks at those that wait, too.
    terminal.press(format!("{SLOW}go\r"));
    wait_for("a message", || (numbers(&terminal.printed()).len() > 100).then_some(()));
    terminal.press("/filter . + 1000\r");
    let shown = numbers(&terminal.shows("< 1099\n"));
    let first = shown[100..].iter().position(|number| *number >= 1000).expect("a number of the other program");
    let expected: Vec<_> = (0..first).chain(1000 + first..1100).collect();
    assert_eq!(shown[100..], expected);
    terminal.press("end\r");
    server.join().expect("the server");
    assert_eq!(terminal.ends().0, Some(0));
}

#[test]
fn the_end_of_a_run_does_not_wait_for_a_slow_filter() {
    for by_key in [true, false] {
        let (mut terminal, server) = filtered(SLOW, 1000);
        terminal.press("go\r");
        terminal.shows("< 1\n");
        match by_key {
            true => terminal.press("\x03"),
            false => terminal.signal("TERM"),
        }
        let (code, printed) = terminal.ends();
        assert_eq!(code, Some(if by_key { 130 } else { 143 }), "{printed}");
        let shown = numbers(&printed);
        assert!(shown.len() < 500, "{printed}");
        let rest = format!("* {} messages are not shown: the program of /filter is too slow\n", 1000 - shown.len());
        assert!(printed.replace("1,000", "1000").contains(&rest), "no {rest:?} in {printed}");
        drop(server);
    }
}

#[test]
fn a_message_with_many_results_does_not_hold_up_the_keys() {
    let (mut terminal, server) = filtered("/filter range(10000)\r", 3);
    terminal.press("go\r");
    let printed = terminal.shows("< 9999\n");
    assert!(numbers(&printed).starts_with(&[0, 1, 2]), "{printed}");
    terminal.press("half");
    terminal.shows("> half\r");
    wait_for("all results", || (numbers(&terminal.printed()).len() == 30_000).then_some(()));
    terminal.press("\x15end\r");
    server.join().expect("the server");
    assert_eq!(terminal.ends().0, Some(0));
}

#[test]
fn the_connection_does_not_wait_for_a_slow_filter_and_what_waits_is_bounded() {
    let (sent, is_sent) = mpsc::channel();
    let (url, server) = websocket_server(move |mut peer: Peer| {
        peer.receive_text();
        (0..30_000).for_each(|number| peer.send_text(&number.to_string()));
        peer.send_text("last");
        assert_eq!(peer.receive_text(), "answer");
        sent.send(()).expect("the test waits");
        peer.receive_close();
    });
    let mut terminal = InTerminal::start(&["-q", "--color", "never", &url]);
    terminal.prompts();
    terminal.press(SLOW);
    terminal.shows("/filter ends that");
    terminal.press("go\r");
    terminal.shows("< 0\n");
    terminal.press("answer\r");
    is_sent.recv_timeout(crate::support::LIMIT).expect("an answer");
    wait_for("all messages", || {
        terminal.press("/stats\r");
        terminal.printed().contains("30,001 messages").then_some(())
    });
    terminal.press("/filter\r");
    let printed = terminal.shows("< last\n");
    assert!(printed.contains(" messages are not shown: the program of /filter is too slow\n"), "{}", printed.len());
    terminal.press("/quit\r");
    server.join().expect("the server");
    assert_eq!(terminal.ends().0, Some(0));
}
