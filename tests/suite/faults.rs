//! A disk that is full, processes that are stopped, and a server that is restarted.

use crate::{
    raw::{BINARY, RawPeer, from_client},
    rooms::{measured, until_metric},
    support::{Finished, Folder, LIMIT, Running, Serving, run, wait_for, wsplice},
};
use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

/// Runs the binary with its standard output, or its standard error, on a disk that is full.
fn start_full(redirection: &str, args: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("exec \"$0\" \"$@\" {redirection}/dev/full")]);
    command.arg(wsplice(args).get_program()).args(args).env_remove("RUST_BACKTRACE");
    command
}

#[test]
fn a_full_disk_is_named_in_the_error() {
    run(["-u", "-", "writefile:/dev/full"], "hello\n").fails_with(1, "/dev/full: No space left on device");
    let mut running = Running::start(start_full(">", &["-u", "literal:hello", "-"]));
    running.close_input();
    let finished: Finished = running.finish();
    finished.fails_with(1, "standard output: No space left on device");
}

#[test]
fn a_full_disk_ends_the_session_that_writes_to_it_and_no_other() {
    let mut server = Serving::start(["ws-l:127.0.0.1:0", "appendfile:/dev/full"]);
    let mut waiting = RawPeer::connect(server.port, "/");
    for _ in 0..3 {
        let mut client = RawPeer::connect(server.port, "/");
        client.send_text("hello");
        assert_eq!(client.receive_close().0, 1011);
        server.running.error_line("No space left on device");
    }
    waiting.send_text("hello");
    assert_eq!(waiting.receive_close().0, 1011);
}

#[test]
fn a_full_disk_under_the_log_holds_up_no_room() {
    let args = ["--broadcast", "-vv", "ws-l:127.0.0.1:0", "--stdout-announce-listening-ports"];
    let server = Serving::from_command(start_full("2>", &args));
    let mut members = [RawPeer::connect(server.port, "/"), RawPeer::connect(server.port, "/")];
    for round in 0..1000 {
        members[round % 2].send_text("hello");
        for member in &mut members {
            assert_eq!(member.receive_text(), "hello");
        }
    }
}

/// Stops a process and waits until it is stopped.
fn stop(process: &Running) {
    process.signal("STOP");
    let stat = format!("/proc/{}/stat", process.pid());
    wait_for("the stop", || fs::read_to_string(&stat).ok()?.contains(") T ").then_some(()));
}

#[test]
fn a_client_that_was_suspended_goes_on_where_it_was() {
    let server = Serving::start(["--broadcast", "ws-l:127.0.0.1:0"]);
    let mut client = Running::start(wsplice([server.url()]));
    let mut other = RawPeer::connect(server.port, "/");
    client.write("before\n");
    assert_eq!(client.line(), "before\n");
    assert_eq!(other.receive_text(), "before");
    stop(&client);
    client.write("typed meanwhile\n");
    for number in 0..100 {
        other.send_text(&format!("sent meanwhile {number}"));
        assert_eq!(other.receive_text(), format!("sent meanwhile {number}"));
    }
    client.signal("CONT");
    assert_eq!(other.receive_text(), "typed meanwhile");
    for number in 0..100 {
        assert_eq!(client.line(), format!("sent meanwhile {number}\n"));
    }
    assert_eq!(client.line(), "typed meanwhile\n");
}

#[test]
fn a_program_that_its_terminal_has_suspended_goes_on_where_it_was() {
    let mut server = Serving::start(["--broadcast", "-v", "ws-l:127.0.0.1:0"]);
    // script(1) makes the terminal, and an interactive bash the job that its user suspends.
    let mut script = Command::new("script");
    script.args(["-q", "-c", "bash --norc --noprofile -i", "/dev/null"]).env("TERM", "dumb");
    let mut terminal = Running::start(script);
    terminal.write(format!("{} {}\n", wsplice([""; 0]).get_program().display(), server.url()));
    server.running.error_line("join");
    let mut other = RawPeer::connect(server.port, "/");
    let until = |terminal: &mut Running, text: &str| while !terminal.line().contains(text) {};
    terminal.write("typed before\n");
    assert_eq!(other.receive_text(), "typed before");
    terminal.write("\x1a");
    until(&mut terminal, "Stopped");
    other.send_text("sent meanwhile");
    assert_eq!(other.receive_text(), "sent meanwhile");
    terminal.write("fg\n");
    until(&mut terminal, "sent meanwhile");
    terminal.write("typed after\n");
    assert_eq!(other.receive_text(), "typed after");
}

/// Members of one room, of whom some are stopped.
const ROOM: usize = 20;
const STOPPED: usize = 5;
/// Other members, in rooms of so many.
const OTHERS: usize = 975;

#[test]
#[ignore = "opens two thousand connections: tests/with-peers.sh"]
fn stopped_readers_among_a_thousand_members_are_closed_and_nobody_else_notices() {
    let options = ["--backlog", "1m", "--max-ws-message-length", "1m", "--slow-timeout", "1"];
    let (server, metrics) = measured(&options);
    let join = |room: &str| RawPeer::connect(server.port, room);
    let mut others: Vec<_> = (0..OTHERS).map(|number| join(&format!("/other/{}", number % 39))).collect();
    let mut room: Vec<_> = (0..ROOM).map(|_| join("/")).collect();
    let stopped: Vec<_> = (0..STOPPED).map(|_| Running::start(wsplice(["-u", &server.url(), "-"]))).collect();
    until_metric(metrics, "connections", (OTHERS + ROOM + STOPPED) as u64);
    stopped.iter().for_each(stop);
    let message = from_client(BINARY, vec![7; 100_000]);
    let mut slowest = Duration::ZERO;
    let end = Instant::now() + LIMIT;
    // Those who are stopped have megabytes in the buffers of the system first.
    for round in 0.. {
        assert!(Instant::now() < end, "they stay after {round} messages");
        room[round % ROOM].send_bytes(&message);
        for member in &mut room {
            assert_eq!(member.receive().payload.len(), 100_000);
        }
        let began = Instant::now();
        let (first, rest) = others.split_at_mut(39);
        let asked = round % 39;
        first[asked].send_text("hello");
        assert_eq!(first[asked].receive_text(), "hello");
        slowest = slowest.max(began.elapsed());
        for member in rest.iter_mut().skip(asked).step_by(39) {
            assert_eq!(member.receive_text(), "hello");
        }
        if crate::rooms::metric(metrics, "slow_disconnects_total") == STOPPED as u64 {
            break;
        }
    }
    assert!(slowest < Duration::from_secs(1), "an echo in another room took {slowest:?}");
    until_metric(metrics, "connections", (OTHERS + ROOM) as u64);
    for process in stopped {
        process.signal("CONT");
        assert_ne!(process.finish().code, 0, "it learns that it was closed");
    }
}

#[test]
fn a_server_that_is_restarted_gets_each_message_once_or_the_client_counts_it_as_lost() {
    const MESSAGES: usize = 30_000;
    let folder = Folder::new("restart");
    let file = folder.path("messages");
    for signal in ["TERM", "KILL"] {
        let _ = fs::remove_file(&file);
        let sink = format!("appendfile:{file}");
        let server = Serving::start(["-u", "ws-l:127.0.0.1:0", &sink]);
        let port = server.port;
        let url = format!("autoreconnect:ws://127.0.0.1:{port}/");
        let mut client = Running::start(wsplice(["-u", "-", &url, "--autoreconnect-delay-millis", "10"]));
        let lines: Vec<_> = (0..MESSAGES).map(|number| format!("{number}\n")).collect();
        let (before, after) = lines.split_at(MESSAGES / 2);
        client.write(before.concat());
        wait_for("the first messages", || fs::read(&file).is_ok_and(|text| text.len() > 1000).then_some(()));
        server.running.signal(signal);
        server.running.finish();
        client.error_line("connecting again");
        let again = Serving::start(["-u", &format!("ws-l:127.0.0.1:{port}"), &sink]);
        client.write(after.concat());
        client.close_input();
        let finished = client.finish();
        again.running.signal("TERM");
        again.running.finish();
        let text = fs::read_to_string(&file).expect("what the servers wrote");
        let received: Vec<usize> = text.lines().map(|line| line.parse().expect("a number")).collect();
        assert!(received.is_sorted_by(|a, b| a < b), "a message comes twice or out of order");
        assert_eq!(received.last(), Some(&(MESSAGES - 1)), "the last message comes: {}", finished.stderr);
        if signal == "KILL" {
            // A client learns what the server has received, not what the server had written when it was killed.
            continue;
        }
        let lost: usize = finished.stderr.lines().map(crate::reconnecting::lost).sum();
        let missing = MESSAGES - received.len();
        assert!(missing <= lost, "after SIG{signal} {missing} are missing, {lost} were counted: {}", finished.stderr);
    }
}
