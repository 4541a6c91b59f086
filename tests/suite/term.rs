//! The interactive terminal. tests/peers/tmux.rs looks at what a terminal shows of it.

use crate::{
    peer::{Message, Peer, websocket_server},
    raw::{PING, PONG, raw_peer_server},
    support::{Folder, LIMIT, Serving, run, wait_for, wsplice},
    terminal::InTerminal,
};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::Command,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// A run against a server that does this.
fn with_server<T: Send + 'static>(
    args: &[&str],
    serve: impl FnOnce(Peer) -> T + Send + 'static,
) -> (InTerminal, thread::JoinHandle<T>) {
    let (connected, is_connected) = mpsc::channel();
    let (url, server) = websocket_server(move |peer| {
        connected.send(()).expect("the test waits");
        serve(peer)
    });
    let terminal = InTerminal::start(&[args, &[url.as_str()]].concat());
    terminal.prompts();
    is_connected.recv_timeout(LIMIT).expect("a connection");
    (terminal, server)
}

/// The server closes and waits for the end of the connection.
fn close(mut peer: Peer) {
    peer.close(1000, "");
    peer.ends();
}

/// What was written, without what moves the cursor, clears or colours.
fn plain(printed: &str) -> String {
    let mut plain = String::new();
    let mut rest = printed;
    while let Some((before, sequence)) = rest.split_once("\x1b[") {
        plain.push_str(before);
        let end =
            sequence.find(|letter: char| ('\u{40}'..'\u{7f}').contains(&letter)).map_or(sequence.len(), |at| at + 1);
        rest = &sequence[end..];
    }
    plain + rest
}

#[test]
fn lines_are_messages_and_what_arrives_appears_above_the_line_that_is_typed() {
    let (mut terminal, server) = with_server(&["-q", "--color", "never"], |mut peer| {
        assert_eq!(peer.receive_text(), "hello");
        peer.send_text("world");
        assert_eq!(peer.receive_text(), "half and half");
        close(peer);
    });
    terminal.press("hello\rhalf");
    // The line is cleared, and drawn again below the message.
    let shown = terminal.shows("< world\n");
    assert!(shown.contains("> hello\n"), "{shown:?}");
    wait_for("the line below", || terminal.printed().ends_with("\n> half\r\x1b[6C").then_some(()));
    terminal.press(" and half\r");
    server.join().expect("the server");
    assert_eq!(terminal.ends().0, Some(0));
}

#[test]
fn the_line_is_edited_as_in_a_shell() {
    let (mut terminal, server) = with_server(&[], |mut peer| {
        let lines: [String; 4] = std::array::from_fn(|_| peer.receive_text());
        close(peer);
        lines
    });
    // Left twice and a character; a word deleted; Alt-Enter; from the history.
    terminal.press("abd\x1b[D\x1bOCc\x1b[D\x1b[Dx\r");
    terminal.press("one two\x17three\r");
    terminal.press("first\x1b\rsecond\r");
    terminal.press("\x1b[A\x1b[A\x01> \r");
    assert_eq!(server.join().expect("the server"), ["abxdc", "one three", "first\nsecond", "> one three"]);
    terminal.ends();
}

#[test]
fn a_paste_of_any_length_is_one_message() {
    let (mut terminal, server) = with_server(&[], |mut peer| {
        let text = peer.receive_text();
        close(peer);
        text
    });
    let json = format!("{{\n\t\"numbers\": [{}]\r\n}}", "12345, ".repeat(15_000));
    for part in ["\x1b[200~", &json, "\x1b[201~", "\r"] {
        terminal.press(part);
    }
    assert!(server.join().expect("the server") == json.replace("\r\n", "\n"));
    let (code, printed) = terminal.ends();
    assert_eq!(code, Some(0));
    assert!(printed.contains("; /last shows all"), "it is folded");
}

#[test]
fn what_a_peer_sends_does_not_steer_the_terminal_and_is_laid_out() {
    let (terminal, server) = with_server(&["-q", "--color", "never", "--ts", "rel"], |mut peer| {
        peer.send_text("\x1b]0;owned\x07\x1b[2J");
        peer.send_text("{\"a\": broken \x1b[2J");
        peer.send_text(r#"{"b":1,"a":"\u001b"}"#);
        peer.send(Message::binary(&b"\0\x1b[2Jx"[..]));
        peer.send_text(&"line\n".repeat(100));
        close(peer);
    });
    server.join().expect("the server");
    let (_, printed) = terminal.ends();
    assert!(!printed.contains("owned\x07") && !printed.contains("\x1b[2J"), "{printed:?}");
    for expected in [
        "< \\u{1b}]0;owned\\u{7}\\u{1b}[2J\n",
        "< {\"a\": broken \\u{1b}[2J\n",
        "< {\"b\": 1, \"a\": \"\\u001b\"}\n",
        "00000000  00 1b 5b 32 4a 78                                 ..[2Jx\n",
        "80 lines more; /last shows all\n",
    ] {
        assert!(plain(&printed).contains(expected), "no {expected:?} in {printed:?}");
    }
    assert!(printed.contains("\n> \r"), "the prompt has no time: {printed:?}");
    assert!(plain(&printed).contains("+0."), "{printed:?}");
}

#[test]
fn colours_follow_the_option_and_no_color() {
    for (args, variable, is_colored) in [
        (&[][..], "", true),
        (&[], "1", false),
        (&["--color", "always"], "1", true),
        (&["--color", "never"], "", false),
        (&["--no-color"], "", false),
    ] {
        let (url, server) = websocket_server(|mut peer| {
            peer.send_text("{\"a\":1}");
            close(peer);
        });
        let mut command = wsplice(args);
        let terminal = InTerminal::from_command(command.args(["--no-history", &url]).env("NO_COLOR", variable));
        server.join().expect("the server");
        let (_, printed) = terminal.ends();
        assert_eq!(printed.contains("\x1b[36m1\x1b[0m"), is_colored, "{args:?} {printed:?}");
    }
}

#[test]
fn commands_are_not_sent_and_what_is_none_is_told() {
    let folder = Folder::new("term_commands");
    let file = folder.path("bytes");
    fs::write(&file, [0, 159, 146, 150]).expect("write");
    let (mut terminal, server) = with_server(&["--color", "never"], |mut peer| {
        let messages: [Message; 4] = std::array::from_fn(|_| peer.receive());
        peer.send_text("to be found");
        (messages, peer.receive_close())
    });
    terminal.press("/pign\r//path\r/bin 00ff\r");
    terminal.press(format!("/send @{file}\r/text @{file}\r/send @/nonexistent\r"));
    terminal.press("/ping\r");
    terminal.shows("* pong after ");
    terminal.press("/help\r/cl\t");
    terminal.shows("> /close ");
    terminal.press("\x15last\r");
    terminal.shows("< to be found\n");
    terminal.press("/find be f\r/stats\r");
    let printed = terminal.shows("1 ping: ");
    for expected in [
        "* /pign is not a command and was not sent; /help lists them, //pign sends it\n",
        "is not UTF-8",
        "* cannot read /nonexistent: No such file or directory\n",
        "> /close ",
        "/close [CODE [REASON]]",
        " of 5 messages\n",
        "* sent 4 messages, 15 bytes",
    ] {
        assert!(plain(&printed).contains(expected), "no {expected:?} in {printed:?}");
    }
    terminal.press("/close 4000 enough of it\r");
    let (messages, close) = server.join().expect("the server");
    let bytes = |bytes: &[u8]| Message::binary(bytes.to_vec());
    assert_eq!(messages, [Message::text("/path"), bytes(&[0, 255]), bytes(&[0, 159, 146, 150]), Message::text("last")]);
    assert_eq!(close, (4000, "enough of it".into()));
    assert_eq!(terminal.ends().0, Some(0), "the user has closed");
}

#[test]
fn pings_and_pongs_of_the_prompt_have_a_text_as_with_slash() {
    for options in [&[][..], &["--slash"]] {
        let (url, server) = raw_peer_server(|mut peer| {
            let frames: [_; 3] = std::array::from_fn(|_| peer.frame().expect("a frame"));
            peer.send(PONG, "a b");
            (frames.map(|frame| (frame.first, frame.payload)), peer.receive_close())
        });
        let mut terminal = InTerminal::start(&[options, &["--color", "never", "--no-history", &*url]].concat());
        terminal.shows("* connected");
        terminal.press(format!("/ping {0}\r/pong {0}\r", "x".repeat(126)));
        terminal.shows("the maximum is 125");
        terminal.press("/pong x\r/pong\r/ping a b\r");
        terminal.shows("* pong after ");
        terminal.press("/close 1002 as I said\r");
        let (frames, close) = server.join().expect("the server");
        assert_eq!(frames, [(PONG, b"x".to_vec()), (PONG, Vec::new()), (PING, b"a b".to_vec())]);
        assert_eq!(close, (1002, "as I said".into()));
        assert_eq!(terminal.ends().0, Some(0));
    }
}

#[test]
fn ctrl_d_waits_for_a_reply_and_quit_does_not() {
    let (mut terminal, server) = with_server(&["--color", "never"], |mut peer| {
        assert_eq!(peer.receive_text(), "question");
        peer.send_text("answer");
        peer.receive_close()
    });
    terminal.press("question\r");
    terminal.shows("< answer");
    terminal.press("\x04");
    assert_eq!(server.join().expect("the server").0, 1000);
    assert_eq!(terminal.ends().0, Some(0));
    let (mut terminal, server) = with_server(&["--close-status-code", "4001"], |mut peer| peer.receive_close());
    terminal.press("/quit\r");
    assert_eq!(server.join().expect("the server").0, 4001);
    assert_eq!(terminal.ends().0, Some(0));
}

#[test]
fn the_terminal_is_restored_however_the_run_ends() {
    for (end, code) in
        [("server", 0), ("lost", 7), ("\x03", 130), ("half\x03\x03", 130), ("TERM", 143), ("INT", 130), ("HUP", 129)]
    {
        let (mut terminal, server) = with_server(&["--grace", "1"], move |mut peer| match end {
            "server" => close(peer),
            "lost" => {
                assert_eq!(peer.receive_text(), "go");
            }
            _ => _ = peer.receive_close(),
        });
        match end {
            "server" => {}
            "lost" => terminal.press("go\r"),
            "TERM" | "INT" | "HUP" => terminal.signal(end),
            keys => terminal.press(keys),
        }
        server.join().expect("the server");
        // `ends` looks at the mode of the terminal.
        let (found, printed) = terminal.ends();
        assert_eq!(found, Some(code), "{end:?} {printed:?}");
        assert!(printed.contains("\x1b[?2004l"), "pastes are not marked any more: {printed:?}");
    }
}

#[test]
fn a_second_interrupt_restores_the_terminal_too() {
    let (closing, is_closing) = mpsc::channel();
    let (url, server) = raw_peer_server(move |mut peer| {
        closing.send(peer.receive().close().0).expect("the test waits");
        // It does not answer.
        peer.ends();
    });
    let mut terminal = InTerminal::start(&["--grace", "1000", "--close-timeout", "1000", &url]);
    terminal.shows("* connected");
    terminal.press("\x03");
    assert_eq!(is_closing.recv_timeout(LIMIT).expect("a close frame"), 1001);
    terminal.press("\x03");
    assert_eq!(terminal.ends().0, Some(130));
    server.join().expect("the server");
}

#[test]
fn a_terminal_that_goes_away_ends_the_run() {
    let (terminal, server) = with_server(&[], |mut peer| peer.receive_close());
    assert_eq!(terminal.hangs_up(), Some(129));
    server.join().expect("the server");
}

#[test]
fn a_line_that_was_not_sent_is_shown_at_the_end() {
    let (mut terminal, server) = with_server(&["--color", "never"], |mut peer| {
        assert_eq!(peer.receive_text(), "go");
        close(peer);
    });
    terminal.press("go\rhalf a line");
    server.join().expect("the server");
    assert!(terminal.ends().1.contains("* not sent: half a line\n"));
}

#[test]
fn the_history_is_kept_across_runs_for_the_user_only() {
    let folder = Folder::new("term_history");
    let start = |serve: fn(Peer) -> String| {
        let (url, server) = websocket_server(serve);
        let terminal = InTerminal::from_command(wsplice([&url]).env("XDG_STATE_HOME", folder.path("")));
        terminal.prompts();
        (terminal, server)
    };
    let one_line = |mut peer: Peer| {
        let text = peer.receive_text();
        close(peer);
        text
    };
    let (mut terminal, server) = start(one_line);
    terminal.press("two\x1b\rlines\\n\r");
    assert_eq!(server.join().expect("the server"), "two\nlines\\n");
    terminal.ends();
    let file = folder.path("wsplice/history");
    assert_eq!(fs::read_to_string(&file).expect("read"), "two\\nlines\\\\n\n");
    let mode = || fs::metadata(&file).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(), 0o600);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("change the mode");
    // Ctrl-R finds it in the next run; a line that begins with a space is not kept.
    let (mut terminal, server) = start(one_line);
    terminal.press("\x12lines\r");
    assert_eq!(server.join().expect("the server"), "two\nlines\\n");
    terminal.ends();
    assert_eq!(mode(), 0o600);
    let (mut terminal, server) = start(one_line);
    terminal.press(" secret\r");
    assert_eq!(server.join().expect("the server"), " secret");
    terminal.ends();
    assert!(!fs::read_to_string(&file).expect("read").contains("secret"));
}

#[test]
fn a_history_that_cannot_be_read_is_told_and_the_run_goes_on() {
    let folder = Folder::new("term_no_history");
    fs::create_dir_all(folder.path("wsplice/history")).expect("a folder in its place");
    let (url, server) = websocket_server(|mut peer| {
        assert_eq!(peer.receive_text(), "hello");
        close(peer);
    });
    let mut terminal = InTerminal::from_command(wsplice([&url]).env("XDG_STATE_HOME", folder.path("")));
    terminal.shows("the history is not kept: ");
    terminal.press("hello\r");
    server.join().expect("the server");
    assert_eq!(terminal.ends().0, Some(0));
}

#[test]
fn lines_of_the_log_appear_above_the_line_that_is_typed() {
    let (mut terminal, server) = with_server(&["-vv"], |mut peer| {
        assert_eq!(peer.receive_text(), "go");
        peer.send_text("x");
        close(peer);
    });
    terminal.shows("< HTTP/1.1 101 Switching Protocols");
    terminal.press("go\r");
    server.join().expect("the server");
    let (_, printed) = terminal.ends();
    assert!(printed.contains("\x1b[J< text 1 B \"x\"") || printed.contains("\n< text 1 B \"x\""), "{printed:?}");
}

#[test]
fn under_ten_thousand_messages_a_second_keys_are_shown_and_the_server_is_not_held_up() {
    const MESSAGES: usize = 30_000;
    let (mut terminal, server) = with_server(&["-q", "--color", "never"], |mut peer| {
        assert_eq!(peer.receive_text(), "go");
        let started = Instant::now();
        for number in 0..MESSAGES {
            peer.send_text(&format!("{{\"number\":{number}}}"));
        }
        let took = started.elapsed();
        assert_eq!(peer.receive_text(), "stop");
        close(peer);
        took
    });
    terminal.press("go\r");
    terminal.shows("{\"number\": 0}");
    terminal.press("half");
    let typed = Instant::now();
    terminal.shows("> half\r");
    // 50 ms on a machine that is not busy; here tests run in parallel.
    assert!(typed.elapsed() < Duration::from_secs(5), "it took {:?}", typed.elapsed());
    terminal.shows(&format!("{{\"number\": {}}}\n", MESSAGES - 1));
    wait_for("the line below", || terminal.printed().ends_with("\n> half\r\x1b[6C").then_some(()));
    terminal.press("\x15stop\r");
    assert!(server.join().expect("the server") < LIMIT);
    assert_eq!(terminal.ends().0, Some(0));
}

#[test]
fn a_narrower_terminal_gets_the_line_again() {
    let (mut terminal, server) = with_server(&["--color", "never"], |mut peer| {
        assert_eq!(peer.receive_text(), "0123456789 0123456789 0123456789 0123456789");
        close(peer);
    });
    terminal.press("0123456789 0123456789 0123456789 0123456789");
    terminal.shows("> 0123456789 0123456789 0123456789 0123456789");
    terminal.resize(20, 10);
    // The rows end with a carriage return of their own.
    terminal.shows("> 0123456789 012345\r\n");
    terminal.press("\r");
    server.join().expect("the server");
    assert_eq!(terminal.ends().0, Some(0));
}

#[test]
fn the_prompt_is_there_only_between_a_terminal_and_messages() {
    let explain = |args: &[&str]| {
        let terminal = InTerminal::start(&[args, &["--explain"]].concat());
        terminal.ends().1
    };
    assert!(explain(&["ws://127.0.0.1:1/"]).contains("connect term:"));
    assert!(explain(&["-", "udp:127.0.0.1:1"]).contains("connect term:"));
    assert!(explain(&["-s", "0"]).contains("open term:"));
    for args in [
        &["--no-tui", "ws://127.0.0.1:1/"][..],
        &["-U", "ws://127.0.0.1:1/"],
        &["tcp:127.0.0.1:1"],
        &["-x", "hello", "ws://127.0.0.1:1/"],
    ] {
        assert!(explain(args).contains("connect stdio:"), "{args:?}");
    }
    let mut dumb = wsplice(["--explain", "ws://127.0.0.1:1/"]);
    let (_, printed) = InTerminal::from_command(dumb.env("TERM", "dumb")).ends();
    assert!(printed.contains("connect stdio:"), "{printed}");
    run(["--explain", "ws://127.0.0.1:1/"], "")
        .succeeds()
        .out()
        .contains("connect stdio:")
        .then_some(())
        .expect("a pipe");
    run(["term:", "ws://127.0.0.1:1/"], "").fails_with(2, "`term:` needs a terminal").hints("stdio:");
}

#[test]
fn all_clients_of_a_listener_share_the_prompt() {
    let mut terminal = InTerminal::start(&["--color", "never", "-s", "0", "--stdout-announce-listening-ports"]);
    let printed = terminal.shows("port=");
    let port = wait_for("its port", || {
        let printed = terminal.printed();
        let (_, rest) = printed.split_once("port=")?;
        rest.split_once(['\r', '\n'])?.0.parse().ok()
    });
    let mut client = Peer::connect(port, "/");
    client.send_text("from the client");
    terminal.shows("< from the client");
    terminal.press("to the client\r");
    assert_eq!(client.receive_text(), "to the client", "{printed}");
    terminal.press("/ping are you there\r/close 4000 bye\r");
    assert_eq!(client.receive_close(), (4000, "bye".to_owned()));
    terminal.shows("pong after");
    // Those who come later are not closed.
    let mut next = Peer::connect(port, "/");
    next.send_text("from the next");
    terminal.shows("< from the next");
    terminal.press("to the next\r");
    assert_eq!(next.receive_text(), "to the next");
}

#[test]
fn a_pipe_starts_no_thread_and_reads_no_file_for_it() {
    let server = Serving::start(["ws-l:127.0.0.1:0", "mirror:"]);
    let folder = Folder::new("term_pipe");
    let mut command = wsplice([server.url()]);
    command.env("XDG_STATE_HOME", folder.path(""));
    let mut running = crate::support::Running::start(command);
    running.write("hello\n");
    assert_eq!(running.line(), "hello\n");
    let threads = Command::new("ls").arg(format!("/proc/{}/task", running.pid())).output().expect("ls");
    assert_eq!(String::from_utf8_lossy(&threads.stdout).lines().count(), 1);
    running.close_input();
    running.finish().succeeds();
    assert!(!fs::exists(folder.path("wsplice")).expect("a look"));
}
