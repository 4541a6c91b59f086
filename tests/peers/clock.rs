//! The system's clock jumps.

use crate::{
    http::Exchange,
    raw::RawPeer,
    support::{Folder, Serving, wait_for, wsplice},
};
use std::{fs, process::Command, time::Duration};

/// Where Debian's libfaketime is.
pub fn libfaketime() -> String {
    let found = Command::new("sh").args(["-c", "ls /usr/lib/*/faketime/libfaketime.so.1"]).output().expect("sh runs");
    let path = String::from_utf8_lossy(&found.stdout).lines().next().map(str::to_owned);
    path.expect("libfaketime is installed by tests/with-peers.sh")
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_clock_that_jumps_closes_nobody_and_delays_nothing() {
    let folder = Folder::new("clock");
    let offset = folder.path("offset");
    let jump = |by: &str| fs::write(&offset, by).expect("write the offset");
    jump("+0");
    let mut command = wsplice(["--broadcast", "ws-l:127.0.0.1:0", "--ping-interval", "1", "--ping-timeout", "2"]);
    command.args(["--slow-timeout", "2", "--stdout-announce-listening-ports"]);
    // Like that of the system: what measures time spans goes on as it is.
    command.env("LD_PRELOAD", libfaketime()).env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("DONT_FAKE_MONOTONIC", "1");
    command.env("FAKETIME_TIMESTAMP_FILE", &offset).env("FAKETIME_NO_CACHE", "1");
    let server = Serving::from_command(command);
    let year = || {
        let answer = Exchange::connect(server.port, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let date = answer.head.get("date").expect("a date").to_owned();
        date.split(' ').nth(3).and_then(|year| year.parse::<u32>().ok()).expect("a year")
    };
    let now = year();
    let mut members = [RawPeer::connect(server.port, "/"), RawPeer::connect(server.port, "/")];
    for (round, by) in ["+800d", "-800d", "+0"].into_iter().enumerate() {
        jump(by);
        wait_for("the jump", || (year() != now || by == "+0").then_some(()));
        let text = format!("after the jump by {by}");
        members[round % 2].send_text(&text);
        for member in &mut members {
            member.stream().set_read_timeout(Some(Duration::from_secs(5))).expect("set a limit");
            assert_eq!(member.receive_text(), text);
        }
        let mut late = RawPeer::connect(server.port, "/");
        late.send_text("late");
        for member in members.iter_mut().chain([&mut late]) {
            assert_eq!(member.receive_text(), "late");
        }
        late.close(1000, "");
        assert_eq!(late.receive_close().0, 1000);
    }
}
