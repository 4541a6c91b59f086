//! Files of the interactive terminal that are none: its history and its recordings.

use crate::{
    peer::{Peer, websocket_server},
    support::{Folder, wsplice},
    terminal::InTerminal,
};
use serde_json::Value;
use std::{fs, process::Command, thread::JoinHandle};

fn echo_until_end() -> (String, JoinHandle<()>) {
    websocket_server(|mut peer: Peer| {
        loop {
            let text = peer.receive_text();
            if text == "end" {
                break;
            }
            peer.send_text(&text);
        }
        peer.close(1000, "");
        peer.ends();
    })
}

#[test]
fn a_history_that_is_a_fifo_or_a_device_is_told_and_holds_up_nothing() {
    for (kind, make) in [("fifo", &["mkfifo"][..]), ("device", &["ln", "-s", "/dev/zero"])] {
        let folder = Folder::new(&format!("term_history_{kind}"));
        fs::create_dir_all(folder.path("wsplice")).expect("a folder");
        let path = folder.path("wsplice/history");
        assert!(Command::new(make[0]).args(&make[1..]).arg(&path).status().expect("it runs").success());
        let (url, server) = echo_until_end();
        let mut terminal =
            InTerminal::from_command(wsplice(["--color", "never", &url]).env("XDG_STATE_HOME", folder.path("")));
        terminal.shows(&format!("* the history is not kept: {path}: it is not a regular file\n"));
        terminal.press("hello\r");
        terminal.shows("< hello\n");
        terminal.press("end\r");
        server.join().expect("the server");
        assert_eq!(terminal.ends().0, Some(0));
    }
}

#[test]
fn a_history_below_a_file_is_told_as_such() {
    let folder = Folder::new("term_history_below");
    fs::write(folder.path("wsplice"), "a file").expect("write");
    let (url, server) = echo_until_end();
    let mut terminal =
        InTerminal::from_command(wsplice(["--color", "never", &url]).env("XDG_STATE_HOME", folder.path("")));
    terminal.prompts();
    terminal.press("hello\r");
    terminal.shows(&format!("* the history is not kept: {}: not a directory\n", folder.path("wsplice/history")));
    terminal.press("end\r");
    server.join().expect("the server");
    assert_eq!(terminal.ends().0, Some(0));
}

#[test]
fn a_recording_has_the_messages_that_were_typed_before_it_was_ended() {
    let folder = Folder::new("term_record_order");
    let (first, second) = (folder.path("first"), folder.path("second"));
    let (url, server) = echo_until_end();
    let mut terminal = InTerminal::start(&["-q", "--color", "never", &url]);
    terminal.prompts();
    terminal.press(format!(
        "before\r/record {first}\rone\rtwo\r/record\rbetween\r/record {second}\rthree\r/record\rbehind\r"
    ));
    terminal.shows("< behind\n");
    terminal.press("/record\rend\r");
    server.join().expect("the server");
    let (code, printed) = terminal.ends();
    assert_eq!((code, printed.matches("* the recording ends\n").count()), (Some(0), 2), "{printed}");
    assert_eq!(printed.matches("* nothing is recorded\n").count(), 1, "{printed}");
    let sent = |path: &str| {
        let text = fs::read_to_string(path).expect("read");
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let sent = lines.filter(|line| line["dir"] == "sent");
        sent.map(|line| line["data"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((sent(&first), sent(&second)), (vec!["one".into(), "two".into()], vec!["three".into()]));
}

#[test]
fn a_terminal_is_not_connected_to_itself() {
    for args in [&["term:", "term:"][..], &["term:"], &["term:", "-"], &["--no-tui", "-", "term:"]] {
        let terminal = InTerminal::start(args);
        let (code, printed) = terminal.ends();
        assert!(code == Some(2) && printed.contains("`term:` cannot be connected to"), "{args:?}: {printed}");
    }
}

#[test]
fn a_paste_of_one_line_is_counted_as_one() {
    let (url, server) = echo_until_end();
    let mut terminal = InTerminal::start(&["-q", "--color", "never", &url]);
    terminal.prompts();
    terminal.press(format!("\x1b[200~{}\x1b[201~", "x".repeat(5000)));
    terminal.shows("  [5,000 bytes, 1 line]");
    terminal.press("\r");
    terminal.shows("more; /last shows all\n");
    terminal.press("end\r");
    server.join().expect("the server");
    assert_eq!(terminal.ends().0, Some(0));
}

#[test]
fn a_text_message_of_50_mb_does_not_hold_up_the_keys() {
    let (url, server) = websocket_server(|mut peer: Peer| {
        assert_eq!(peer.receive_text(), "go");
        peer.send_text(&"x".repeat(50_000_000));
        peer.send_text(&"\u{e9}\n".repeat(17_000_000));
        assert_eq!(peer.receive_text(), "end");
        peer.close(1000, "");
        peer.ends();
    });
    let mut terminal = InTerminal::start(&["-q", "--color", "never", "--max-ws-message-length", "60000000", &url]);
    terminal.prompts();
    terminal.press("go\r");
    terminal.shows(" \u{2026} 49,998,400 bytes more; /last shows all\n");
    terminal.shows(" \u{2026} 16,999,980 lines more; /last shows all\n");
    terminal.press("end\r");
    server.join().expect("the server");
    assert_eq!(terminal.ends().0, Some(0));
}
