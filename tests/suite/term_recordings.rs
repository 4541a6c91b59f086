//! `/filter` and `/record` of the interactive terminal.

use crate::{
    peer::{Peer, websocket_server},
    support::Folder,
    terminal::InTerminal,
};
use serde_json::Value;
use std::{fs, thread::JoinHandle};

/// A run against a server that sends everything back, until it gets `end`.
fn echo() -> (InTerminal, JoinHandle<()>) {
    let (url, server) = websocket_server(|mut peer: Peer| {
        loop {
            let text = peer.receive_text();
            if text == "end" {
                break;
            }
            peer.send_text(&text);
        }
        peer.close(4000, "enough");
        peer.ends();
    });
    let terminal = InTerminal::start(&["-q", "--color", "never", &url]);
    terminal.prompts();
    (terminal, server)
}

#[test]
fn filter_shows_what_a_program_makes_of_the_messages_and_counts_the_others() {
    let (mut terminal, server) = echo();
    terminal.press("/filter .a | values\r");
    terminal.shows("* messages are shown as .a | values makes them; ");
    terminal.press("{\"a\":[1,2]}\r{\"b\":\"other\"}\rnot JSON\r{\"a\":3}\r");
    let printed = terminal.shows("< 3\n");
    assert!(printed.contains("< [1, 2]\n") && !printed.contains("< {\"b\"") && !printed.contains("< not"), "{printed}");
    // What was hidden can be found, where it was sent and where it was received.
    terminal.press("/find other\r");
    terminal.shows("< {\"b\": \"other\"}\n");
    terminal.press("/filter\r");
    terminal.shows("* messages that were not shown: 2; /find finds them\n");
    terminal.press("{\"b\":4}\r");
    terminal.shows("< {\"b\": 4}\n");
    terminal.press("/filter\r");
    terminal.shows("* there is no filter\n");
    terminal.press("/filter .\r/filter\r");
    terminal.shows("* messages are shown as they are again\n");
    terminal.press("end\r");
    server.join().expect("the server");
    assert_eq!(terminal.ends().0, Some(8));
}

#[test]
fn a_filter_that_is_none_is_told_with_a_caret_and_one_without_an_end_is_given_up() {
    let (mut terminal, server) = echo();
    terminal.press("/filter .a | nothing_such\r");
    terminal.shows("\n  .a | nothing_such\n       ^^^^^^^^^^^^\n");
    terminal.press("/filter last(range(1e15))\r{\"a\":1}\r");
    terminal.shows("< {\"a\": 1}\n");
    terminal.shows("* there is no filter any more: ");
    terminal.press("end\r");
    server.join().expect("the server");
    assert_eq!(terminal.ends().0, Some(8));
}

#[test]
fn record_writes_what_passes_until_it_is_ended() {
    let folder = Folder::new("term_record");
    let path = folder.path("recording");
    let (mut terminal, server) = echo();
    terminal.press("before\r");
    terminal.shows("< before\n");
    terminal.press(format!("/record {path}\r"));
    terminal.shows("what passes is written to ");
    terminal.press("one\r/ping x\r");
    terminal.shows("* pong after ");
    terminal.shows("< one\n");
    terminal.press(format!("/record\r/record\r/record {path}\r/record /nonexistent/file\r"));
    terminal.shows("* the recording ends\n");
    terminal.shows("* nothing is recorded\n");
    terminal.shows(&format!("* {path} exists already\n"));
    terminal.shows("* cannot open /nonexistent/file: No such file or directory\n");
    let second = folder.path("second");
    terminal.press(format!("/record {second}\rend\r"));
    server.join().expect("the server");
    assert_eq!(terminal.ends().0, Some(8));
    let frames = |path: &str| {
        let text = fs::read_to_string(path).expect("read");
        let shown = |line: &str| {
            let frame: Value = serde_json::from_str(line).expect("JSON");
            ["dir", "kind", "data"].map(|name| frame[name].as_str().unwrap_or_default().to_owned()).join(" ")
        };
        text.lines().map(shown).collect::<Vec<_>>()
    };
    let mut first = frames(&path);
    // The server may answer the ping before it sends the message back.
    first.sort();
    assert_eq!(first, ["received pong x", "received text one", "sent ping x", "sent text one"]);
    assert_eq!(frames(&second), ["sent text end", "received close ", "sent close "]);
}
