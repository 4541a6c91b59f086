//! OpenBSD's nc.

use crate::{
    peer::{Peer, merged},
    support::{Running, Serving, run, wsplice},
};
use std::process::Command;

/// `-N` passes the end of its input on.
fn client(port: u16) -> Running {
    let mut command = Command::new("nc");
    command.args(["-N", "127.0.0.1", &port.to_string()]);
    Running::start(command)
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn the_half_close_of_nc_reaches_a_filter_through_a_tunnel() {
    let far = Serving::start(["-b", "ws-l:0", "sh-c:sort"]);
    let near = Serving::start(["tcp-l:0", &far.url()]);
    let mut nc = client(near.port);
    nc.write("b\na\n");
    nc.close_input();
    assert_eq!(nc.finish().out(), "a\nb\n");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn nc_talks_with_a_mirror_line_by_line() {
    let mirror = Serving::start(["tcp-l:0", "mirror:"]);
    let mut nc = client(mirror.port);
    for line in ["one\n", "two\n"] {
        nc.write(line);
        assert_eq!(nc.line(), line);
    }
    nc.close_input();
    assert_eq!(nc.finish().code, 0);
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_listening_nc_hears_a_websocket_client_and_is_heard() {
    let mut nc = Peer::start(merged("nc", ["-l", "-v", "-N", "127.0.0.1", "0"]), "Listening on ");
    let server = Serving::start(["ws-l:0", &format!("tcp:127.0.0.1:{}", nc.port)]);
    let mut client = Running::start(wsplice([&server.url()]));
    client.write("hello\n");
    // One line tells of the connection. The chunk has no newline: what reads lines must see the one of the next.
    assert!(nc.running.line().starts_with("Connection received"));
    nc.running.write("welcome\n");
    assert_eq!(client.line(), "welcome\n");
    client.close_input();
    client.finish().succeeds();
    nc.running.close_input();
    assert_eq!(nc.running.finish().out().lines().last(), Some("hello"));
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn what_a_listening_nc_says_arrives_when_it_ends_the_connection() {
    let mut nc = Peer::start(merged("nc", ["-l", "-v", "-N", "127.0.0.1", "0"]), "Listening on ");
    nc.running.write("first\nlast");
    nc.running.close_input();
    let finished = run([&format!("tcp:127.0.0.1:{}", nc.port)], "");
    finished.succeeds();
    assert_eq!(finished.out(), "first\nlast");
}
