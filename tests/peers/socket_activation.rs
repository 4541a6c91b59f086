//! Sockets that a service manager opened, by systemd's own launcher for tests.

use crate::{
    peer::{Peer, merged},
    support::{Finished, Folder, Running, program, run, wsplice},
};
use std::{net::TcpListener, path::Path};

/// Starts `wsplice ARGS` when the first connection to `listen` comes, with that socket as descriptor 3.
fn activated(listen: &str, options: &[&str], args: &[&str]) -> Running {
    let binary: &str = &program();
    let words = [&["-l", listen], options, &[binary, "--stdout-announce-listening-ports"], args].concat();
    let mut launcher = Running::start(merged("systemd-socket-activate", words));
    while !launcher.line().starts_with("Listening on ") {}
    launcher
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("bind").port()
}

fn at(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

fn until_announced(launcher: &mut Running) -> String {
    loop {
        let line = launcher.line();
        if line.starts_with("LISTEN ") {
            return line.trim_end().to_owned();
        }
    }
}

/// Ends what was launched, which has the launcher's process id.
fn stop(launcher: Running) -> Finished {
    launcher.signal("TERM");
    let finished = launcher.finish();
    assert_eq!(finished.code, 143, "{finished:?}");
    finished
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_room_server_takes_over_a_tcp_socket_and_the_connection_that_waits_in_it() {
    let port = free_port();
    let mut launcher = activated(&at(port), &[], &["--broadcast", "ws-u:tcp-listen-fd:3"]);
    let url = format!("ws://{}/room", at(port));
    let mut first = Peer::client(wsplice([&url]));
    assert_eq!(until_announced(&mut launcher), format!("LISTEN proto=tcp,ip=127.0.0.1,port={port}"));
    first.running.write("hello\n");
    first.says("hello");
    assert_eq!(run(["-1", &url], "all\n").succeeds().out(), "all\n");
    first.says("all");
    run(["--healthcheck", &format!("http://{}/healthz", at(port))], "").succeeds();
    stop(launcher);
    first.running.finish().succeeds();
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_unix_socket_is_taken_over_and_its_path_is_left_in_place() {
    let folder = Folder::new("handed-over");
    let path = folder.path("socket");
    let mut launcher = activated(&path, &[], &["ws-u:unix-listen-fd:3", "mirror:"]);
    let finished = run([&format!("ws+unix:{path}")], "hello\n");
    assert_eq!(finished.succeeds().out(), "hello\n");
    assert_eq!(until_announced(&mut launcher), format!("LISTEN proto=unix,path={path}"));
    stop(launcher);
    assert!(Path::new(&path).exists(), "the next start needs it");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn sockets_are_found_by_name_and_by_number() {
    let (port, other) = (free_port(), free_port());
    let names = ["-l", &at(other), "--fdname=first:rooms"];
    let mut launcher = activated(&at(port), &names, &["ws-u:tcp-listen-fd:rooms", "mirror:"]);
    let finished = run([format!("ws://{}/", at(other))], "hello\n");
    assert_eq!(finished.succeeds().out(), "hello\n");
    assert_eq!(until_announced(&mut launcher), format!("LISTEN proto=tcp,ip=127.0.0.1,port={other}"));
    stop(launcher);
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_listener_on_the_right_and_a_program_get_what_is_theirs() {
    let port = free_port();
    // A program started for a client must not think that the sockets are for it.
    let mut launcher = activated(&at(port), &[], &["ws-u:tcp-listen-fd:3", "sh-c:echo ${LISTEN_FDS-none}"]);
    let finished = run([format!("ws://{}/", at(port))], "");
    assert_eq!(finished.succeeds().out(), "none\n");
    until_announced(&mut launcher);
    stop(launcher);
    let port = free_port();
    let mut launcher = activated(&at(port), &[], &["literal:hello", "tcp-listen-fd:3"]);
    assert_eq!(run(["-u", &format!("tcp:{}", at(port)), "-"], "").out(), "hello");
    until_announced(&mut launcher);
    assert_eq!(launcher.finish().code, 0);
}

/// Starts `wsplice ARGS` for a connection to a TCP socket, and waits for the error that says why it cannot.
#[track_caller]
fn is_refused(options: &[&str], args: &[&str], reason: &str) {
    let port = free_port();
    let mut launcher = activated(&at(port), options, args);
    let _connection = crate::support::connect(port);
    loop {
        let line = launcher.line();
        if let Some(error) = line.strip_prefix("wsplice: ") {
            assert_eq!(error.trim_end(), format!("cannot listen on {reason}"));
            return;
        }
    }
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn what_was_not_handed_over_is_named_with_what_was() {
    for (wanted, what) in [("4", "descriptor 4"), ("room", "socket named room")] {
        let reason = format!("tcp-listen-fd:{wanted}: there is no {what}; passed: 3 (rooms)");
        is_refused(&["--fdname=rooms"], &[&format!("ws-u:tcp-listen-fd:{wanted}"), "mirror:"], &reason);
    }
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_socket_of_another_kind_is_refused() {
    let reason = "unix-listen-fd:3: descriptor 3: not a socket of this type";
    is_refused(&[], &["ws-u:unix-listen-fd:3", "mirror:"], reason);
    let reason = "tcp-listen-fd:3: descriptor 3: not a listening socket";
    is_refused(&["--accept"], &["ws-u:tcp-listen-fd:3", "mirror:"], reason);
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_connection_that_systemd_accepted_is_served_with_inetd() {
    let port = free_port();
    let binary: &str = &program();
    let words = ["-l", &at(port), "--accept", "--inetd", binary, "inetd-ws:", "sh-c:echo $REMOTE_ADDR; cat"];
    let mut launcher = Running::start(merged("systemd-socket-activate", words));
    while !launcher.line().starts_with("Listening on ") {}
    for _ in 0..2 {
        let finished = run([format!("ws://{}/", at(port))], "hello\n");
        assert_eq!(finished.succeeds().out(), "127.0.0.1\nhello\n");
    }
}
