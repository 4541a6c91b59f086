//! Terminals for programs, and when programs get SIGHUP.

use crate::{
    peer::{Message, Peer},
    support::{Folder, LIMIT, Running, Serving, run, wait_for, wsplice},
};
use std::{
    fs,
    io::{Read, Write},
    net::Shutdown,
};

/// Says that it is ready, and hup for each SIGHUP; it ends on TERM.
const HUNG_UP: &str = "sh-c:trap 'echo hup' HUP; trap exit TERM; echo ready $$; while :; do sleep 0.01; done";

/// Reads messages until their text contains `wanted`.
#[track_caller]
fn read_until(peer: &mut Peer, wanted: &str) -> String {
    let mut text = String::new();
    while !text.contains(wanted) {
        text.push_str(&String::from_utf8_lossy(&peer.receive().into_data()));
    }
    text
}

fn has_ended(pid: &str) -> Option<()> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok();
    let state = stat.and_then(|stat| stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()));
    matches!(state, None | Some('Z' | 'X')).then_some(())
}

#[test]
fn a_program_can_have_a_terminal() {
    let server = Serving::start([
        "ws-l:127.0.0.1:0",
        "--pty",
        "sh-c:tty; stty size; tty <&2; printf 'name? '; read name; echo \"<$name>\"",
    ]);
    let mut peer = Peer::connect(server.port, "/");
    // A prompt is no whole line.
    let text = read_until(&mut peer, "name? ");
    let lines: Vec<_> = text.split("\r\n").collect();
    assert!(lines[0].starts_with("/dev/pts/") && lines[1] == "24 80" && lines[2] == lines[0], "{text:?}");
    peer.send(Message::binary(b"x\n".to_vec()));
    assert!(read_until(&mut peer, "<x>\r\n").starts_with("x\r\n"), "the terminal echoes");
    assert_eq!(peer.receive_close().0, 1000);
}

#[test]
fn the_end_of_input_reaches_a_program_on_a_terminal() {
    for input in ["a\nb\n", "a\nb", ""] {
        let finished = run(["-", "sh-c:stty -echo; cat; echo end", "--pty"], input);
        assert!(finished.succeeds().out().ends_with("end\r\n"), "{input:?}: {finished:?}");
    }
    let failed = run(["-", "sh-c:exit 3", "--pty"], "");
    failed.fails_with(10, "exited with status 3");
}

#[test]
fn a_terminal_is_hung_up_when_its_session_ends() {
    let server = Serving::start(["tcp-l:127.0.0.1:0", "--pty", "--grace", "0.2", "sh-c:echo $$; exec sleep 600"]);
    let mut client = server.connect();
    let mut text = [0; 64];
    let length = client.read(&mut text).expect("read");
    let pid = String::from_utf8_lossy(&text[..length]).trim().to_owned();
    rustix::net::sockopt::set_socket_linger(&client, Some(std::time::Duration::ZERO)).expect("an option");
    drop(client);
    wait_for("the end of the program", || has_ended(&pid));
}

#[test]
fn a_program_can_end_with_the_direction_of_its_client() {
    let program = "sh-c:echo $$; cat; exec sleep 600";
    let server = Serving::start(["tcp-l:127.0.0.1:0", program, "--exec-exit-on-disconnect", "--grace", "0.2"]);
    let mut client = server.connect();
    client.write_all(b"hello\n").expect("write");
    let mut text = Vec::new();
    while text.iter().filter(|byte| **byte == b'\n').count() < 2 {
        let mut byte = [0];
        client.read_exact(&mut byte).expect("read");
        text.extend(byte);
    }
    client.shutdown(Shutdown::Write).expect("shut down");
    client.set_read_timeout(Some(LIMIT)).expect("set a limit");
    client.read_to_end(&mut text).expect("the end");
    let text = String::from_utf8_lossy(&text).into_owned();
    let (pid, rest) = text.split_once('\n').expect("a process ID");
    assert_eq!(rest, "hello\n");
    wait_for("the end of the program", || has_ended(pid));
}

#[test]
fn a_program_gets_sighup_at_the_end_of_its_input_on_demand() {
    let mut running = Running::start(wsplice(["-", HUNG_UP, "--exec-sighup-on-stdin-close", "--grace", "0.2"]));
    assert!(running.line().starts_with("ready"));
    running.close_input();
    assert_eq!(running.line(), "hup\n");
    running.signal("TERM");
    assert_eq!(running.finish().code, 143);
}

#[test]
fn an_empty_message_is_sighup_on_demand() {
    let server = Serving::start(["ws-l:127.0.0.1:0", HUNG_UP, "--exec-sighup-on-zero-msg", "--grace", "0.2"]);
    let mut peer = Peer::connect(server.port, "/");
    let ready = peer.receive_text();
    for _ in 0..2 {
        peer.send_text("");
        assert_eq!(peer.receive_text(), "hup");
    }
    drop(peer);
    let pid = ready.strip_prefix("ready ").expect("a process ID").to_owned();
    wait_for("the end of the program", || has_ended(&pid));
    let server = Serving::start(["ws-l:127.0.0.1:0", "sh-c:cat", "--exec-sighup-on-zero-msg"]);
    let mut peer = Peer::connect(server.port, "/");
    peer.send_text("hello");
    assert_eq!(peer.receive_text(), "hello");
}

#[test]
fn sighup_for_empty_messages_changes_no_bytes() {
    let folder = Folder::new("sighup-bytes");
    let file = folder.path("f");
    let write = format!("sh-c:cat >{file}; echo done");
    let server = Serving::start(["tcp-l:127.0.0.1:0", &write, "--exec-sighup-on-zero-msg"]);
    let mut client = server.connect();
    client.write_all(b"ab").expect("write");
    wait_for("the first bytes", || (fs::read(&file).ok()? == b"ab").then_some(()));
    client.write_all(b"cd").expect("write");
    client.shutdown(Shutdown::Write).expect("shut down");
    let mut text = String::new();
    client.read_to_string(&mut text).expect("the end");
    assert_eq!((text.as_str(), fs::read(&file).expect("the file").as_slice()), ("done\n", &b"abcd"[..]));
}

#[test]
fn an_empty_message_is_sighup_with_each_framing() {
    for (framing, sent) in [("lines:", "a\n"), ("chunks:", "a"), ("lengthprefixed:", "\0\0\0\u{1}a")] {
        // The program says what it has read when it gets the signal.
        let size = sent.len();
        let program = format!(
            "{framing}sh-c:trap 'exit 0' HUP; head -c {size} >&2; echo ' is read' >&2; while :; do sleep 0.01; done"
        );
        let mut server = Serving::start(["ws-l:127.0.0.1:0", &program, "--exec-sighup-on-zero-msg"]);
        let mut peer = Peer::connect(server.port, "/");
        peer.send_text("a");
        server.running.error_line("is read");
        peer.send_text("");
        peer.receive_close();
    }
    let explained = run(["--explain", "ws-l:127.0.0.1:0", "sh-c:cat", "--exec-sighup-on-zero-msg"], "");
    assert!(explained.succeeds().out().contains("lines"), "{explained:?}");
}
