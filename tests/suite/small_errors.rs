//! What single wrong values and limits are answered with.

use crate::{
    raw::{BINARY, RawPeer, raw_peer_server},
    support::{Folder, Serving, program, run},
};

#[test]
fn credentials_without_a_colon_are_refused() {
    run(["--basic-auth", "user", "ws://127.0.0.1:1/"], "").fails_with(2, "expected USER:PASSWORD");
    run(["--explain", "--basic-auth", "user:", "ws://127.0.0.1:1/"], "").succeeds();
}

#[test]
fn a_file_that_an_address_names_and_that_cannot_be_opened_is_exit_2() {
    let folder = Folder::new("no-file");
    let missing = folder.path("none");
    for address in [format!("readfile:{missing}"), format!("writefile:{missing}/x"), format!("appendfile:{missing}/x")]
    {
        run([&address, "mirror:"], "").fails_with(2, &format!("cannot open {missing}"));
    }
    run([&format!("readfile:{}", folder.path("")), "mirror:"], "").fails_with(2, "directory");
}

#[test]
fn a_listener_without_an_address_listens_on_127_0_0_1() {
    for listener in [&["-s", ":8098"][..], &["-s", "8098"], &["ws-l::8098"], &["tcp-l:8098"]] {
        let plan = run([&["--explain"], listener].concat(), "");
        assert!(plan.succeeds().out().contains("127.0.0.1:8098"), "{plan:?}");
    }
}

#[test]
fn a_port_that_is_not_valid_is_not_called_missing() {
    for (address, reason) in [
        ("tcp-l:80x", "`80x` is not a port number"),
        ("ws-l:-1", "`-1` is not a port number"),
        ("tcp-l::99999", "`99999` is not a port number"),
        ("tcp-l:localhost", "the port is missing"),
    ] {
        run([address], "").fails_with(2, reason);
    }
    run(["-s", "80x"], "").fails_with(2, "`80x` is not a port number");
}

#[test]
fn a_message_over_the_limit_is_compared_with_the_limit() {
    let (url, server) = raw_peer_server(|mut peer: RawPeer| {
        peer.send(BINARY, vec![7; 3_000_000]);
        peer.ends();
    });
    let finished = run([&url, "--max-ws-message-length", "1m"], "");
    finished.fails_with(6, "is too long: more than 1048576 bytes").hints("--max-ws-message-length");
    assert!(!finished.stderr.contains("1048577"), "{finished:?}");
    server.join().expect("the server");
}

#[test]
fn the_health_check_of_another_websocket_listener_says_that_it_has_none() {
    let server = Serving::start(["ws-l:127.0.0.1:0", "mirror:"]);
    let finished = run(["--healthcheck", &format!("http://127.0.0.1:{}/healthz", server.port)], "");
    finished.fails_with(5, "expected 200, got 426").hints("only a room server (--broadcast) has /healthz");
    assert!(!finished.stderr.contains("handshake") && !finished.stderr.contains("ws://"), "{finished:?}");
}

#[test]
fn the_line_that_a_connection_is_open_precedes_its_first_message() {
    let server = Serving::start(["ws-l:127.0.0.1:0", "literal:welcome"]);
    let mut shell = std::process::Command::new("sh");
    // Both streams are one pipe.
    shell.args(["-c", "\"$0\" -v \"$1\" 2>&1", &program(), &server.url()]);
    let output = shell.stdin(std::process::Stdio::null()).output().expect("run");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (connected, message) = (text.find("* connected to ws://"), text.find("\nwelcome\n"));
    assert!(connected.is_some() && connected < message, "{text}");
}
