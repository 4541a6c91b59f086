//! The memory of the room server: it has a bound, whatever members send and however slowly they read.

use crate::{
    raw::{BINARY, RawPeer, from_client},
    rooms::{measured, metric, until_metric},
    support::{Serving, wait_for},
};
use std::thread;

const MIB: u64 = 1 << 20;

/// A line of the server's `/proc/PID/status`, in bytes: `VmRSS`, or `VmHWM` for the most so far.
pub fn memory(server: &Serving, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.running.pid())).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
    let number = line.trim_start_matches(':').trim().trim_end_matches(" kB");
    number.parse::<u64>().expect("a number") * 1024
}

#[test]
fn fast_senders_fill_no_more_than_the_backlogs_of_slow_readers() {
    let (server, metrics) = measured(&["--slow", "drop-newest", "--backlog", "64k", "--no-echo"]);
    let _slow: Vec<_> = (0..100).map(|_| RawPeer::connect(server.port, "/")).collect();
    let senders = [RawPeer::connect(server.port, "/"), RawPeer::connect(server.port, "/")];
    let before = memory(&server, "VmRSS");
    let messages = from_client(BINARY, [7; 4096]).repeat(64);
    let threads = senders.map(|mut sender| {
        let messages = messages.clone();
        thread::spawn(move || {
            for _ in 0..300 {
                sender.send_bytes(&messages);
            }
            sender
        })
    });
    let _senders = threads.map(|thread| thread.join().expect("a sender"));
    until_metric(metrics, "messages_received_total", 2 * 300 * 64);
    let most = memory(&server, "VmHWM") - before;
    assert!(most < 32 * MIB, "{} MiB for 102 backlogs of 64 KiB", most / MIB);
}

#[test]
fn stuck_members_share_the_memory_of_small_messages() {
    const STUCK: u64 = 30;
    let (server, metrics) = measured(&["--backlog", "64m"]);
    let _stuck: Vec<_> = (0..STUCK).map(|_| RawPeer::connect(server.port, "/")).collect();
    let mut sender = RawPeer::connect(server.port, "/");
    let before = memory(&server, "VmRSS");
    wait_for("long backlogs", || {
        for _ in 0..200 {
            sender.send(BINARY, [7; 1000]);
            sender.receive();
        }
        (metric(metrics, "backlog_bytes") >= STUCK * 3 * MIB).then_some(())
    });
    let held = memory(&server, "VmRSS") - before;
    assert!(held < 20 * MIB, "{} MiB for 3 MiB that {STUCK} members have not read", held / MIB);
}

#[test]
fn a_long_message_leaves_no_buffer_behind_in_a_small_room() {
    let (server, _) = measured(&[]);
    let mut members: Vec<_> = (0..200).map(|room| RawPeer::connect(server.port, &format!("/{room}"))).collect();
    let before = memory(&server, "VmRSS");
    for member in &mut members {
        member.send(BINARY, [7; 65_000]);
        assert_eq!(member.receive().payload.len(), 65_000);
    }
    let held = memory(&server, "VmRSS").saturating_sub(before);
    assert!(held < 4 * MIB, "{} KiB a room", held / 1024 / 200);
}
