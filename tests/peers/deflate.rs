//! permessage-deflate with Node's `ws` and Python's `websockets`, in every role.

use crate::{
    peer::{Peer, node, python},
    support::{Running, Serving},
};
use std::process::Command;

const SAME: &str = "90 of 90 the same\nclosed 1000\n";

/// Options of Node's.
const NODE: [&str; 6] = [
    "true",
    r#"{"threshold":0}"#,
    r#"{"threshold":0,"serverNoContextTakeover":true}"#,
    r#"{"threshold":0,"clientNoContextTakeover":true,"serverNoContextTakeover":true}"#,
    r#"{"threshold":0,"serverMaxWindowBits":9,"clientMaxWindowBits":9}"#,
    r#"{"threshold":0,"serverMaxWindowBits":10,"clientMaxWindowBits":11,"zlibDeflateOptions":{"level":9}}"#,
];

/// Options of Python's.
const PYTHON: [&str; 4] = [
    "{}",
    r#"{"server_no_context_takeover":true,"client_no_context_takeover":true}"#,
    r#"{"server_max_window_bits":9,"client_max_window_bits":9}"#,
    r#"{"server_max_window_bits":13,"client_no_context_takeover":true}"#,
];

/// Options of ours.
const OURS: [&[&str]; 3] = [
    &[],
    &["--deflate-threshold", "0", "--deflate-level", "9"],
    &["--deflate-threshold", "0", "--deflate-no-context-takeover", "--deflate-window-bits", "11"],
];

/// Runs a client, which must have compressed and must have heard all it said.
#[track_caller]
fn hears_itself(client: Command, what: &str) {
    let finished = Running::start(client).finish();
    let out = finished.out();
    let (agreed, rest) = out.split_once('\n').unwrap_or_default();
    assert!(agreed.to_lowercase().contains("deflate"), "{what}: {finished:?}");
    assert_eq!(rest, SAME, "{what}: {finished:?}");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn deflate_with_clients_of_node_s() {
    for ours in OURS {
        let mirror = Serving::start([&["ws-l:0", "mirror:"], ours].concat());
        for options in NODE {
            hears_itself(node("deflate.js", ["client", options, &mirror.url()]), options);
        }
    }
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn deflate_with_clients_of_python_s() {
    for ours in OURS {
        let mirror = Serving::start([&["ws-l:0", "mirror:"], ours].concat());
        for options in PYTHON {
            hears_itself(python("deflate.py", ["client", options, &mirror.url()]), options);
        }
    }
}

/// A client behind a relay of ours, which compresses on both sides.
#[track_caller]
fn through_a_relay(server: Command, client: impl Fn(&str) -> Command, ours: &[&str], what: &str) {
    let mut peer = Peer::start(server, "port ");
    let relay = Serving::start([&["ws-l:0", &peer.url()], ours].concat());
    hears_itself(client(&relay.url()), what);
    let agreed = peer.running.line().to_lowercase();
    assert!(agreed.contains("agreed") && agreed.contains("deflate"), "{what}: {agreed}");
    peer.says("closed 1000");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn deflate_with_servers_of_node_s() {
    for (i, options) in NODE.into_iter().enumerate() {
        let client = |url: &str| python("deflate.py", ["client", PYTHON[i % PYTHON.len()], url]);
        through_a_relay(node("deflate.js", ["server", options]), client, OURS[i % OURS.len()], options);
    }
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn deflate_with_servers_of_python_s() {
    for (i, options) in PYTHON.into_iter().enumerate() {
        let client = |url: &str| node("deflate.js", ["client", NODE[i], url]);
        through_a_relay(python("deflate.py", ["server", options]), client, OURS[i % OURS.len()], options);
    }
}
