//! Addresses for sockets that a service manager passes, without one. `tests/peers` has the tests with one.

use crate::support::{Finished, Folder, Running, run, wsplice};
use std::{
    io::{Read, Write},
    os::{
        fd::OwnedFd,
        unix::net::{UnixListener, UnixStream},
    },
};

/// Runs with these variables in place of those of the environment.
fn with(variables: &[(&str, &str)], address: &str) -> Finished {
    let mut command = wsplice([address, "mirror:"]);
    command.env_remove("LISTEN_FDS").env_remove("LISTEN_PID").env_remove("LISTEN_FDNAMES");
    command.envs(variables.iter().copied());
    Running::start(command).finish()
}

#[test]
fn without_a_service_manager_the_error_says_how_to_start_it() {
    for address in ["ws-u:tcp-listen-fd:3", "unix-listen-fd:3", "tcp-listen-fd:rooms"] {
        let finished = with(&[], address);
        finished.fails_with(3, "the service manager passed no socket").hints("systemd-socket-activate");
    }
    with(&[("LISTEN_FDS", "0"), ("LISTEN_PID", "1")], "tcp-listen-fd:3")
        .fails_with(3, "the service manager passed no socket");
    with(&[("LISTEN_FDS", "many")], "tcp-listen-fd:3").fails_with(3, "the service manager passed no socket");
}

#[test]
fn sockets_of_another_process_are_not_used() {
    for variables in [&[("LISTEN_FDS", "1"), ("LISTEN_PID", "1")][..], &[("LISTEN_FDS", "1")]] {
        let finished = with(variables, "ws-u:tcp-listen-fd:3");
        finished.fails_with(3, "cannot listen on tcp-listen-fd:3: the sockets are for another process").hints("exec");
    }
}

#[test]
fn descriptors_that_are_never_passed_are_refused_at_once() {
    for number in ["0", "1", "2"] {
        let finished = run([format!("tcp-listen-fd:{number}"), "mirror:".into()], "");
        finished.fails_with(2, "start at 3").hints("stdio:");
    }
    run(["unix-listen-fd:", "mirror:"], "").fails_with(2, "needs FD");
}

#[test]
fn websocat_s_option_takes_any_descriptor_that_listens() {
    for address in ["unix-l:3", "l-ws-unix:3", "ws-u:unix-l:name", "unix-l:0"] {
        run(["--accept-from-fd", address, "mirror:"], "")
            .fails_with(3, "cannot listen on descriptor")
            .hints("unix-l:3");
    }
    let folder = Folder::new("accept-from-fd");
    let path = folder.path("socket");
    let listener = UnixListener::bind(&path).expect("a listener");
    let listening = std::process::Stdio::from(OwnedFd::from(listener));
    let mut command = wsplice(["--accept-from-fd", "unix-l:2", "mirror:"]);
    command.stderr(listening).stdin(std::process::Stdio::null());
    let mut server = command.spawn().expect("the binary starts");
    let mut client = UnixStream::connect(&path).expect("connect");
    client.write_all(b"hello").expect("write");
    let mut reply = [0; 5];
    client.read_exact(&mut reply).expect("read");
    assert_eq!(&reply, b"hello");
    let _ = (server.kill(), server.wait());
}
