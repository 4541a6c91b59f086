//! The threads of a listener.

use crate::{
    peer::Peer,
    support::{Serving, run, wait_for},
};
use std::{collections::BTreeSet, fs, num::NonZeroUsize, thread::available_parallelism};

/// The descriptors that each runtime of a process waits for, by their numbers, as proc(5) tells.
fn waited_for(pid: u32) -> BTreeSet<Vec<String>> {
    let infos = fs::read_dir(format!("/proc/{pid}/fdinfo")).expect("the process runs");
    let texts = infos.filter_map(|info| fs::read_to_string(info.ok()?.path()).ok());
    let descriptors = |text: String| -> Vec<String> {
        text.lines().filter_map(|line| line.strip_prefix("tfd:")?.split_whitespace().next().map(String::from)).collect()
    };
    // The descriptor of an epoll instance is there twice.
    texts.map(descriptors).filter(|descriptors| !descriptors.is_empty()).collect()
}

fn sizes(sets: &BTreeSet<Vec<String>>) -> Vec<usize> {
    let mut sizes: Vec<usize> = sets.iter().map(Vec::len).collect();
    sizes.sort_unstable();
    sizes
}

#[test]
fn every_thread_serves_its_share_of_the_connections() {
    for args in [&["--threads", "3", "ws-l:0", "mirror:"][..], &["--threads", "3", "--broadcast", "ws-l:0"]] {
        let server = Serving::start(args);
        let pid = server.running.pid();
        let before = wait_for("three threads", || Some(sizes(&waited_for(pid))).filter(|sizes| sizes.len() == 3));
        let mut clients: Vec<Peer> = (0..6).map(|_| Peer::connect(server.port, "/")).collect();
        let after: Vec<usize> = before.iter().map(|count| count + 2).collect();
        wait_for("two connections each", || (sizes(&waited_for(pid)) == after).then_some(()));
        for client in &mut clients {
            client.send_text("hello");
            assert_eq!(client.receive_text(), "hello");
        }
    }
}

#[test]
fn members_on_different_threads_receive_all_messages_in_one_order() {
    let server = Serving::start(["--threads", "4", "--broadcast", "ws-l:0"]);
    let mut members: Vec<Peer> = (0..8).map(|_| Peer::connect(server.port, "/")).collect();
    for round in 0..50 {
        for (number, member) in members.iter_mut().enumerate() {
            member.send_text(&format!("{round} {number}"));
        }
    }
    let mut orders = members.iter_mut().map(|member| (0..400).map(|_| member.receive_text()).collect::<Vec<_>>());
    let first = orders.next().expect("a member");
    assert!(orders.all(|order| order == first));
}

#[test]
fn a_listener_has_a_thread_for_each_core_unless_told_otherwise() {
    let cores = available_parallelism().map_or(1, NonZeroUsize::get);
    for (options, threads) in [(&[][..], cores), (&["--threads", "1"], 1), (&["--threads", "5"], 5)] {
        let server = Serving::start([options, &["ws-l:0", "mirror:"]].concat());
        let pid = server.running.pid();
        wait_for("its threads", || (waited_for(pid).len() == threads).then_some(()));
    }
    for wrong in ["0", "1025", "two"] {
        run(["--threads", wrong, "ws-l:0", "mirror:"], "").fails_with(2, "must be a number from 1 to 1024");
    }
}
