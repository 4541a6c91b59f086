//! What arrives while standard output is a terminal, without the prompt.

use crate::{
    peer::{Message, websocket_server},
    support::{one_connection, run},
    terminal::InTerminal,
};
use std::io::Write;

/// Retitles the window, clears the screen, and more.
const ATTACK: &[u8] = b"\x1b]0;owned\x07 \x1b[2J \xc2\x9b31m \x9b1m \r\x08 over \xe2\x80\xae";
const SHOWN: &str = r"\u{1b}]0;owned\u{7} \u{1b}[2J \u{9b}31m \x9b1m \r\u{8} over \u{202e}";

#[test]
fn control_characters_that_arrive_are_shown_on_a_terminal_and_not_obeyed() {
    let (url, server) = websocket_server(|mut peer| {
        peer.send(Message::binary(ATTACK));
        peer.send_text("caf\u{e9} \u{4f60}\u{597d}\ttab");
        peer.close(1000, "");
        peer.ends();
    });
    let (code, printed) = InTerminal::start(&["--no-tui", "-q", &url]).ends();
    server.join().expect("the server");
    assert_eq!((code, printed), (Some(0), format!("{SHOWN}\ncaf\u{e9} \u{4f60}\u{597d}\ttab\n")));
}

#[test]
fn bytes_of_a_socket_are_shown_in_the_same_way_and_keep_their_lines() {
    let (port, server) = one_connection(|mut stream| stream.write_all(&[b"a\r\n", ATTACK].concat()).expect("write"));
    let (code, printed) = InTerminal::start(&["-q", "-E", "-", &format!("tcp:127.0.0.1:{port}")]).ends();
    server.join().expect("the server");
    assert_eq!((code, printed), (Some(0), format!("a\r\n{SHOWN}")));
}

#[test]
fn with_raw_they_are_obeyed_and_a_pipe_gets_them_anyway() {
    let serve = || {
        websocket_server(|mut peer| {
            peer.send(Message::binary(ATTACK));
            peer.close(1000, "");
            peer.ends();
        })
    };
    let (url, server) = serve();
    let (code, printed) = InTerminal::start(&["--no-tui", "--raw", "-q", &url]).ends();
    assert_eq!((code, printed.contains("\x1b]0;owned\x07")), (Some(0), true));
    server.join().expect("the server");
    let (url, server) = serve();
    assert_eq!(run([&url], "").succeeds().stdout, [ATTACK, b"\n"].concat());
    server.join().expect("the server");
}
