//! What `--metrics` serves, read by Prometheus's own tool.

use crate::{
    peer::installed,
    support::{Running, Serving, connect, run},
};
use std::{
    io::{Read, Write},
    process::Command,
};

/// The port of `--metrics`, as the server tells it.
pub fn metrics_port(rooms: &mut Serving) -> u16 {
    let line = rooms.running.error_line("metrics: ");
    let port = line.trim_end().strip_suffix("/metrics").and_then(|url| url.rsplit_once(':')?.1.parse().ok());
    port.unwrap_or_else(|| panic!("no port in {line:?}"))
}

/// The metrics as text.
pub fn scrape(port: u16) -> String {
    let mut stream = connect(port);
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("ask");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, text) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    text.to_owned()
}

#[track_caller]
fn check(text: &str) {
    let mut command = Command::new(installed("prometheus/usr/bin/promtool"));
    command.args(["check", "metrics"]);
    let mut promtool = Running::start(command);
    promtool.write(text);
    promtool.close_input();
    let finished = promtool.finish();
    // It prints what it finds fault with, and succeeds nevertheless where that is style.
    assert_eq!((finished.code, finished.out().as_str(), finished.stderr.as_str()), (0, "", ""), "{text}");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn promtool_finds_no_fault_with_the_metrics() {
    let mut rooms = Serving::start(["--broadcast", "ws-l:127.0.0.1:0", "--metrics", "127.0.0.1:0"]);
    let port = metrics_port(&mut rooms);
    // Of a server that has just started, and of one that has worked.
    check(&scrape(port));
    run([rooms.url()], "one\ntwo\nthree\n").succeeds();
    let text = scrape(port);
    for line in ["wsplice_messages_received_total 3", "wsplice_messages_sent_total 3", "wsplice_connections_total 1"] {
        assert!(text.lines().any(|given| given == line), "no {line} in {text}");
    }
    check(&text);
}
