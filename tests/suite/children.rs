//! Child processes end with their session and with us, however we end.

use crate::{
    peer::Peer,
    support::{LIMIT, Running, Serving, program, wsplice},
};
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::TcpStream,
    process::Command,
    thread,
    time::Instant,
};

/// A child that says its process ID, and waits for longer than any test takes.
const CHILD: &str = "sh-c:echo $$; exec sleep 600";
/// One that does not want to end.
const STUBBORN: &str = "sh-c:trap '' HUP INT TERM; echo $$; exec sleep 600";

/// The state of a process, such as S for sleeping or Z for a zombie; `None` when it is gone.
fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next())
}

/// Waits until a process has ended. Where we are dead its new parent may leave it a zombie.
#[track_caller]
fn ends(pid: u32) {
    let end = Instant::now() + LIMIT;
    while !matches!(state(pid), None | Some('Z' | 'X')) {
        assert!(Instant::now() < end, "process {pid} still runs");
        thread::yield_now();
    }
}

/// Serves this child, and connects. Gives the child's process ID, too.
#[track_caller]
fn serve(child: &str, args: &[&str]) -> (Serving, BufReader<TcpStream>, u32) {
    let server = Serving::start(["tcp-l:127.0.0.1:0", child].iter().chain(args));
    let mut client = BufReader::new(server.connect());
    let pid = read_pid(&mut client);
    (server, client, pid)
}

#[track_caller]
fn read_pid(client: &mut BufReader<TcpStream>) -> u32 {
    let mut line = String::new();
    client.read_line(&mut line).expect("a line");
    line.trim().parse().unwrap_or_else(|_| panic!("no process ID in {line:?}"))
}

#[test]
fn a_child_ends_with_us_whatever_signal_ends_us() {
    for (signal, code) in [("INT", 130), ("TERM", 143), ("KILL", -9), ("USR1", -10)] {
        for child in [CHILD, STUBBORN] {
            let (server, _client, pid) = serve(child, &["--grace", "0.2"]);
            server.running.signal(signal);
            assert_eq!(server.running.finish().code, code, "{signal}");
            ends(pid);
        }
    }
}

#[test]
fn a_child_ends_with_us_when_a_second_signal_comes() {
    for signal in ["INT", "TERM"] {
        let (mut server, _client, pid) = serve(STUBBORN, &["--grace", "60", "-v"]);
        server.running.signal(signal);
        // The listener is closed first, so the signal has arrived.
        let end = Instant::now() + LIMIT;
        while TcpStream::connect(("127.0.0.1", server.port)).is_ok() {
            assert!(Instant::now() < end, "it still listens");
        }
        assert!(server.running.is_running());
        server.running.signal(signal);
        server.running.finish();
        ends(pid);
    }
}

#[test]
fn a_child_ends_with_its_session_and_is_killed_after_the_grace() {
    for child in [CHILD, STUBBORN] {
        let (server, client, pid) = serve(child, &["--grace", "0.2"]);
        let mut others = BufReader::new(server.connect());
        let other = read_pid(&mut others);
        // The end of its input does not end this session: the child may still reply. A reset does.
        rustix::net::sockopt::set_socket_linger(client.get_ref(), Some(std::time::Duration::ZERO)).expect("an option");
        drop(client);
        ends(pid);
        assert!(!matches!(state(other), None | Some('Z' | 'X')), "the child of another session");
    }
}

#[test]
fn a_child_of_a_single_session_ends_with_us_on_sighup() {
    for child in [CHILD, STUBBORN] {
        let mut running = Running::start(wsplice(["-", child, "--grace", "0.2"]));
        let pid = running.line().trim().parse().expect("a process ID");
        running.signal("HUP");
        assert_eq!(running.finish().code, 129);
        ends(pid);
    }
}

#[test]
fn a_child_of_a_single_session_is_ended_before_we_exit() {
    for (child, args) in [(CHILD, &["-m", "0.3"][..]), (STUBBORN, &["-m", "0.3", "--grace", "0.2"])] {
        let mut running = Running::start(wsplice([&["-", child][..], args].concat()));
        let pid = running.line().trim().parse().expect("a process ID");
        assert_eq!(running.finish().code, 124);
        assert_eq!(state(pid), None, "it has ended and was reaped");
    }
}

#[test]
fn what_a_shell_has_started_ends_with_it() {
    let (server, _client, pid) = serve("sh-c:sleep 600 & echo $!; wait", &["--grace", "0.2"]);
    server.running.signal("TERM");
    server.running.finish();
    ends(pid);
}

#[test]
fn a_child_that_has_ended_is_reaped_while_its_session_goes_on() {
    // Standard output stays open in the background.
    let (_server, _client, pid) = serve("sh-c:sleep 5 & echo $$", &[]);
    let end = Instant::now() + LIMIT;
    while state(pid).is_some() {
        assert!(Instant::now() < end, "process {pid} is {:?}", state(pid));
        thread::yield_now();
    }
}

#[test]
fn the_close_of_a_client_is_answered_while_a_program_goes_on_printing() {
    for program in ["while echo more; do sleep 0.01; done", "exec yes", "trap '' HUP TERM; exec yes"] {
        let child = format!("sh-c:echo $$; {program}");
        let server = Serving::start(["ws-l:127.0.0.1:0", &child, "--close-timeout", "0.5", "--grace", "0.5"]);
        let mut client = Peer::connect(server.port, "/");
        let pid = client.receive_text().parse().expect("a process ID");
        client.close(1000, "enough");
        assert!(client.ends(), "{program}");
        ends(pid);
    }
}

#[test]
fn a_run_that_was_started_with_sighup_ignored_goes_on() {
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP; exec \"$0\" \"$@\"", &program()]);
    command.args(["tcp-l:127.0.0.1:0", CHILD, "--stdout-announce-listening-ports"]);
    let server = Serving::from_command(command);
    server.running.signal("HUP");
    let mut client = BufReader::new(server.connect());
    read_pid(&mut client);
}

#[test]
fn max_time_ends_sessions_before_their_children_have_ended() {
    let (server, mut client, pid) = serve(STUBBORN, &["--max-time", "5", "--grace", "10"]);
    // The connection may be reset.
    let _ = client.read_to_end(&mut Vec::new());
    assert!(!matches!(state(pid), None | Some('Z' | 'X')), "the session went on until its child was killed");
    server.running.signal("KILL");
    ends(pid);
}
