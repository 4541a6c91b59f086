//! The interactive terminal and the connection behind it: `/headers`, `/reconnect`, and what `autoreconnect:` shows.

use crate::{
    peer::websocket_server,
    raw::{PING, PONG, RawPeer, raw_peer_server},
    support::{Folder, LIMIT, accept, wait_for, wsplice},
    terminal::InTerminal,
};
use std::{net::TcpListener, time::Instant};

fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
    let url = format!("ws://{}/", listener.local_addr().expect("an address"));
    (listener, url)
}

/// A listener that is closed, and its address.
fn closed() -> (std::net::SocketAddr, String) {
    let (listener, url) = listener();
    (listener.local_addr().expect("an address"), url)
}

/// A pause that no test waits for.
const NEVER: [&str; 4] = ["--autoreconnect-delay-millis", "3600000", "--autoreconnect-max-delay-millis", "3600000"];

#[test]
fn headers_shows_the_handshake_though_v_is_not_given() {
    let (url, server) = websocket_server(|mut peer| {
        assert_eq!(peer.receive_text(), "go");
        peer.close(1000, "");
        peer.ends();
    });
    let mut terminal = InTerminal::start(&["--color", "never", "-H", "Authorization: Bearer SECRET", &url]);
    terminal.prompts();
    assert!(!terminal.shows("* connected to ws://").contains("HTTP/1.1"), "it is not shown at once");
    terminal.press("/headers\r");
    let printed = terminal.shows("* handshake answered (");
    for expected in [
        "* connected to 127.0.0.1 (127.0.0.1:",
        "> GET / HTTP/1.1\n",
        "> Authorization: (hidden)\n",
        "< HTTP/1.1 101 Switching Protocols\n",
    ] {
        assert!(printed.contains(expected), "no {expected:?} in {printed:?}");
    }
    assert!(!printed.contains("SECRET"), "{printed:?}");
    terminal.press("go\r");
    server.join().expect("the server");
    assert_eq!(terminal.ends().0, Some(0));
}

#[test]
fn reconnect_closes_the_connection_and_opens_another_one() {
    let (listener, url) = listener();
    let mut terminal = InTerminal::start(&["--color", "never", "--close-status-code", "4000", &url]);
    let mut first = RawPeer::accept(accept(&listener));
    terminal.press("one\r");
    assert_eq!(first.receive_text(), "one");
    terminal.press("/reconnect\rtwo\rhalf");
    let mut second = RawPeer::accept(accept(&listener));
    assert_eq!(first.receive_close().0, 4000);
    assert!(first.ends());
    assert_eq!(second.receive_text(), "two");
    second.send_text("answer");
    terminal.shows("< answer\n");
    wait_for("the line below", || terminal.printed().ends_with("\n> half\r\x1b[6C").then_some(()));
    terminal.press("\x15/ping\r");
    let ping = second.frame().expect("a frame");
    assert_eq!(ping.first, PING, "no ping was sent before: {ping:?}");
    second.send(PONG, ping.payload);
    terminal.shows("* pong after ");
    // The end of this connection is the end of the session.
    second.close(4001, "enough");
    second.receive_close();
    let (code, printed) = terminal.ends();
    assert_eq!((code, printed.contains("4001 \"enough\"")), (Some(8), true), "{printed}");
}

#[test]
fn a_connection_that_cannot_be_opened_again_ends_the_run() {
    let (listener, url) = listener();
    let mut terminal = InTerminal::start(&["--color", "never", &url]);
    let mut peer = RawPeer::accept(accept(&listener));
    drop(listener);
    terminal.press("/reconnect\r");
    peer.receive_close();
    let (code, printed) = terminal.ends();
    assert_eq!((code, printed.contains("refused")), (Some(3), true), "{printed}");
}

#[test]
fn autoreconnect_shows_a_line_for_each_change_and_what_is_typed_meanwhile_is_sent() {
    let (address, url) = closed();
    let delay = ["--autoreconnect-delay-millis", "1", "--autoreconnect-max-delay-millis", "2"];
    let url = format!("autoreconnect:{url}");
    let mut terminal = InTerminal::start(&[&delay[..], &["--color", "never", &url]].concat());
    terminal.shows("refused");
    terminal.press("one\rtwo\rhalf");
    terminal.shows("> two\n");
    let listener = TcpListener::bind(address).expect("listen again");
    let mut peer = RawPeer::accept(accept(&listener));
    assert_eq!([peer.receive_text(), peer.receive_text()], ["one", "two"]);
    terminal.shows("* connected to ws://");
    let printed = terminal.printed();
    assert_eq!(printed.matches("refused").count(), 1, "many attempts have failed: {printed}");
    peer.close(1001, "restart");
    peer.ends();
    terminal.shows("1001 (going away) \"restart\"");
    let mut peer = RawPeer::accept(accept(&listener));
    terminal.press(" a line\r");
    assert_eq!(peer.receive_text(), "half a line");
    terminal.press("/quit\r");
    peer.receive_close();
    assert_eq!(terminal.ends().0, Some(0));
}

#[test]
fn reconnect_does_not_wait_for_the_next_attempt() {
    let (address, url) = closed();
    let url = format!("autoreconnect:{url}");
    let mut terminal = InTerminal::start(&[&NEVER[..], &["--color", "never", &url]].concat());
    terminal.shows("connecting again in ");
    let listener = TcpListener::bind(address).expect("listen again");
    terminal.press("/reconnect\r");
    let mut peer = RawPeer::accept(accept(&listener));
    terminal.shows("* connected to ws://");
    terminal.press("hello\r/quit\r");
    assert_eq!(peer.receive_text(), "hello");
    peer.receive_close();
    assert_eq!(terminal.ends().0, Some(0));
}

#[test]
fn quit_ends_a_run_that_is_not_connected() {
    let (_, url) = closed();
    let url = format!("autoreconnect:{url}");
    let mut terminal = InTerminal::start(&[&NEVER[..], &["--color", "never", &url]].concat());
    terminal.shows("connecting again in ");
    let pressed = Instant::now();
    terminal.press("a message\r/quit\r");
    let (code, printed) = terminal.ends();
    assert_eq!(code, Some(0));
    assert!(printed.contains("* 1 message was not sent\n"), "{printed}");
    assert!(pressed.elapsed() < LIMIT);
}

#[test]
fn keys_are_read_however_many_messages_wait() {
    let (_, url) = closed();
    let url = format!("autoreconnect:{url}");
    let mut terminal = InTerminal::start(&[&NEVER[..], &["--color", "never", &url]].concat());
    terminal.shows("connecting again in ");
    for number in 0..=1000 {
        terminal.press(format!("{number}\r"));
    }
    terminal.shows("* not sent: ");
    wait_for("the line", || terminal.printed().contains("\n> 1000\r\x1b[6C").then_some(()));
    terminal.press("\x03\x03");
    let (code, printed) = terminal.ends();
    assert_eq!((code, printed.contains("* 1,000 messages were not sent\n")), (Some(130), true), "{printed}");
}

#[test]
fn reconnect_is_told_where_there_is_nothing_to_open_again() {
    let mut terminal = InTerminal::start(&["--color", "never", "-s", "0", "--stdout-announce-listening-ports"]);
    terminal.shows("port=");
    let port = wait_for("its port", || {
        let printed = terminal.printed();
        let (_, rest) = printed.split_once("port=")?;
        rest.split_once(['\r', '\n'])?.0.parse().ok()
    });
    let mut client = RawPeer::connect(port, "/");
    client.send_text("hello");
    terminal.shows("< hello");
    terminal.press("/reconnect\r/headers\r");
    terminal.shows("can be opened again");
    terminal.shows("< GET / HTTP/1.1");
}

#[test]
fn names_of_files_and_commands_are_completed() {
    let folder = Folder::new("term_complete");
    std::fs::write(folder.path("message.json"), "{}").expect("write");
    let (url, server) = websocket_server(|mut peer| {
        assert_eq!(peer.receive_text(), "{}");
        peer.receive_close()
    });
    let mut terminal = InTerminal::start(&["--color", "never", &url]);
    terminal.prompts();
    terminal.press(format!("/se\t@{}\t\r", folder.path("mes")));
    terminal.shows("> {}\n");
    terminal.press("/q\t\r");
    server.join().expect("the server");
    assert_eq!(terminal.ends().0, Some(0));
}

#[test]
fn two_runs_write_one_history_and_each_entry_stays_whole() {
    const ENTRIES: usize = 100;
    let folder = Folder::new("term_two_histories");
    let runs = ["a", "b"].map(|name| {
        let (url, server) = websocket_server(|mut peer| {
            for _ in 0..ENTRIES {
                peer.receive_text();
            }
            peer.close(1000, "");
            peer.ends();
        });
        let terminal = InTerminal::from_command(wsplice([&url]).env("XDG_STATE_HOME", folder.path("")));
        terminal.prompts();
        (name, terminal, server)
    });
    let runs = runs.map(|(name, mut terminal, server)| {
        std::thread::spawn(move || {
            for number in 0..ENTRIES {
                terminal.press(format!("{}\r", entry(name, number)));
            }
            server.join().expect("the server");
            assert_eq!(terminal.ends().0, Some(0));
        })
    });
    runs.into_iter().for_each(|run| run.join().expect("a run"));
    let history = std::fs::read_to_string(folder.path("wsplice/history")).expect("read");
    for name in ["a", "b"] {
        let lines: Vec<_> = history.lines().filter(|line| line.starts_with(name)).collect();
        assert_eq!(lines, (0..ENTRIES).map(|number| entry(name, number)).collect::<Vec<_>>());
    }
    // Empty lines are no entries.
    assert_eq!(history.lines().filter(|line| !line.is_empty()).count(), 2 * ENTRIES);
}

/// A line of a kilobyte.
fn entry(name: &str, number: usize) -> String {
    format!("{name}{number} {}", name.repeat(1000))
}

#[test]
fn broken_json_is_shown_as_it_is_with_pretty() {
    let (url, server) = websocket_server(|mut peer| {
        for text in ["{\"a\":", "[1,]", "{\"a\":1}}", &"[".repeat(5000), "{\"fine\":[1]}"] {
            peer.send_text(text);
        }
        peer.close(1000, "");
        peer.ends();
    });
    let terminal = InTerminal::start(&["--pretty", "--color", "never", &url]);
    server.join().expect("the server");
    let (code, printed) = terminal.ends();
    assert_eq!(code, Some(0));
    for expected in
        ["< {\"a\":\n", "< [1,]\n", "< {\"a\":1}}\n", "< [[[[", "  {\n    \"fine\": [\n      1\n    ]\n  }\n"]
    {
        assert!(printed.contains(expected), "no {expected:?} in {printed:?}");
    }
}

#[test]
fn a_flood_while_the_connection_is_replaced_is_no_harm() {
    let (url, server) = raw_peer_server(|mut peer| {
        assert_eq!(peer.receive_text(), "go");
        let mut sent = 0;
        // The client closes, and reads what is still on its way.
        while std::io::Write::write_all(peer.stream(), b"\x81\x05hello").is_ok() && sent < 10_000_000 {
            sent += 1;
        }
    });
    let mut terminal = InTerminal::start(&["--color", "never", &url]);
    terminal.shows("* connected");
    terminal.press("go\r");
    terminal.shows("< hello");
    // Nobody accepts another one.
    terminal.press("/reconnect\r");
    let (code, printed) = terminal.ends();
    assert!(matches!(code, Some(3 | 7)), "{code:?} {printed:?}");
    server.join().expect("the server");
}
