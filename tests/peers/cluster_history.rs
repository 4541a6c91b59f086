//! `--history` with two nodes and a real engine between them.

use crate::{
    cluster_faults::{Engine, Line, Server, node_with},
    raw::{CLOSE, RawPeer},
    resuming::Resuming,
    support::Serving,
};
use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};
use tokio::runtime::Runtime;

/// An engine with two nodes.
struct Cluster {
    lines: Vec<Line>,
    nodes: [Serving; 2],
    _server: Server,
    _runtime: Runtime,
}

impl Cluster {
    fn start(engine: Engine, name: &str, options: &[&str]) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let server = Server::start(engine, false, &format!("{name}-{engine:?}"));
        let mut lines = Vec::new();
        let nodes = [(); 2].map(|()| {
            lines.push(runtime.block_on(Line::new(&server, Duration::ZERO)));
            node_with(engine, lines.last().expect("a line").port, options)
        });
        Self { lines, nodes, _server: server, _runtime: runtime }
    }

    fn join(&self, node: usize, room: &str) -> RawPeer {
        RawPeer::connect(self.nodes[node].port, room)
    }
}

/// Sends texts and waits for them.
fn say(member: &mut RawPeer, texts: &[&str]) {
    for text in texts {
        member.send_text(text);
        assert_eq!(member.receive_text(), *text);
    }
}

fn the_last_of_all_nodes(engine: Engine) {
    let cluster = Cluster::start(engine, "history", &["--history", "3", "--backlog", "32m"]);
    say(&mut cluster.join(0, "/a"), &["1", "2"]);
    let mut second = cluster.join(1, "/a");
    assert_eq!([second.receive_text(), second.receive_text()], ["1", "2"], "of the other node, which is left");
    say(&mut second, &["3", "4"]);
    for node in [0, 1] {
        let mut member = cluster.join(node, "/a");
        assert_eq!([(); 3].map(|()| member.receive_text()), ["2", "3", "4"]);
    }
    // In chunks.
    let long: Vec<u8> = (0..3_000_000_u32).map(|n| (n.wrapping_mul(n) >> 7).to_le_bytes()[0]).collect();
    second.send(crate::raw::BINARY, &long);
    assert!(second.receive().payload == long);
    for node in [0, 1] {
        let mut member = cluster.join(node, "/a");
        assert_eq!([member.receive_text(), member.receive_text()], ["3", "4"]);
        assert!(member.receive().payload == long);
    }
    let mut empty = cluster.join(0, "/b");
    say(&mut empty, &["of another room"]);
}

#[test]
#[ignore = "needs redis-server"]
fn whoever_joins_receives_the_last_messages_of_all_nodes_over_redis() {
    the_last_of_all_nodes(Engine::Redis);
}

#[test]
#[ignore = "needs nats-server"]
fn whoever_joins_receives_the_last_messages_of_all_nodes_over_nats() {
    the_last_of_all_nodes(Engine::Nats);
}

const HISTORY: usize = 200;
const EACH: usize = 4000;

/// Whether `part` stands in `all` at this place, without a gap.
#[track_caller]
fn assert_part(part: &[String], all: &[String]) {
    let at = all.iter().position(|text| *text == part[0]).expect("its first message");
    assert!(all[at..].starts_with(part), "{:?} of {:?}", part, &all[at..(at + part.len()).min(all.len())]);
}

fn joins_and_resumes_during_traffic(engine: Engine, options: &[&str]) {
    let options = [&["--history", "200", "--cluster-wait", "20"], options].concat();
    let cluster = Cluster::start(engine, "joins", &options);
    let ports = cluster.nodes.each_ref().map(|node| node.port);
    let join = |node: usize| RawPeer::connect(ports[node], "/room");
    let mut witness = join(0);
    let (seen, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let behind = [0, 0].map(AtomicUsize::new);
    let parts = Mutex::new(Vec::new());
    let all = thread::scope(|scope| {
        let (lines, join, seen, is_over, behind, parts) = (&cluster.lines, &join, &seen, &is_over, &behind, &parts);
        let witness = scope.spawn(move || {
            let mut all = Vec::new();
            while all.len() < 2 * EACH {
                all.push(witness.receive_text());
                seen.store(all.len(), SeqCst);
            }
            is_over.store(true, SeqCst);
            all
        });
        for node in [0, 1] {
            scope.spawn(move || {
                let mut sender = join(node);
                let mut writer = sender.writer();
                scope.spawn(move || {
                    // What comes back is read and not looked at.
                    let _ = std::io::copy(sender.stream(), &mut std::io::sink());
                });
                for number in 0..EACH {
                    use std::io::Write;
                    let frame = crate::raw::from_client(crate::raw::TEXT, format!("{node} {number}"));
                    writer.write_all(&frame).expect("send");
                    while behind.iter().any(|behind| behind.load(SeqCst) + 80 < number)
                        || seen.load(SeqCst) + 100 < number
                    {
                        thread::sleep(Duration::from_millis(1));
                    }
                }
                while !is_over.load(SeqCst) {
                    thread::sleep(Duration::from_millis(5));
                }
                let _ = writer.shutdown(std::net::Shutdown::Both);
            });
            // Joins all the time.
            scope.spawn(move || {
                while !is_over.load(SeqCst) {
                    let before = seen.load(SeqCst);
                    let mut member = join(node);
                    let (last, mut part) = ((EACH - 1).to_string(), Vec::<String>::new());
                    while part.len() < HISTORY + 50 && !part.last().is_some_and(|text| text.ends_with(&last)) {
                        part.push(member.receive_text());
                    }
                    // The other node may be a little behind the witness.
                    let before = if node == 0 { before } else { 0 };
                    parts.lock().expect("a lock").push((before, part));
                }
            });
            // Resumes all the time, at the one node and the other. Counts the messages of the slower sender that it may be behind.
            scope.spawn(move || {
                let mut member = Resuming::connect(ports[node], "/room", None);
                let (mut part, mut next) = (Vec::new(), node);
                while part.len() < 2 * EACH {
                    for _ in 0..70 {
                        if part.len() == 2 * EACH {
                            break;
                        }
                        let frame = member.receive();
                        assert_ne!(frame.first, CLOSE, "{frame:?}");
                        part.push(frame.text());
                        behind[node].store(part.len() / 2, SeqCst);
                    }
                    next = 1 - next;
                    member = Resuming::connect(ports[next], "/room", member.place.take());
                    assert!(member.is_resumed, "after {}", part.len());
                }
                parts.lock().expect("a lock").push((usize::MAX, part));
            });
        }
        // The connections of nodes to the engine break.
        scope.spawn(move || {
            for line in lines.iter().cycle() {
                thread::sleep(Duration::from_millis(700));
                if is_over.load(SeqCst) {
                    return;
                }
                line.cut();
            }
        });
        witness.join().expect("the witness")
    });
    let parts = parts.into_inner().expect("a lock");
    let (mut joined, mut resumed) = (0, 0);
    for (before, part) in parts.iter().filter(|(_, part)| !part.is_empty()) {
        assert_part(part, &all);
        if *before == usize::MAX {
            assert_eq!(part.len(), 2 * EACH);
            resumed += 1;
        } else {
            let first = all.iter().position(|text| *text == part[0]).expect("its first message");
            assert!(first + HISTORY >= *before, "{first} {before}");
            joined += 1;
        }
    }
    assert!(joined > 5 && resumed == 2, "{joined} {resumed}");
    for node in [0, 1] {
        let own: Vec<_> = all.iter().filter_map(|text| text.strip_prefix(&format!("{node} "))).collect();
        assert_eq!(own, (0..EACH).map(|number| number.to_string()).collect::<Vec<_>>());
    }
}

#[test]
#[ignore = "needs redis-server"]
fn who_joins_or_resumes_at_any_node_misses_nothing_and_sees_nothing_twice_over_redis() {
    joins_and_resumes_during_traffic(Engine::Redis, &[]);
    joins_and_resumes_during_traffic(Engine::Redis, &["--no-echo", "--deflate", "on"]);
}

#[test]
#[ignore = "needs nats-server"]
fn who_joins_or_resumes_at_any_node_misses_nothing_and_sees_nothing_twice_over_nats() {
    joins_and_resumes_during_traffic(Engine::Nats, &[]);
    joins_and_resumes_during_traffic(Engine::Nats, &["--no-echo", "--deflate", "on"]);
}
