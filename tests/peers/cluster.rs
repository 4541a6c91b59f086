//! Rooms over several room servers, with Redis between them (`--cluster`).

use crate::{
    common::peer::{Message, Peer},
    http::Exchange,
    raw::{PING, PONG, RawPeer},
    support::{Folder, LIMIT, Running, Serving, connect, run, wait_for},
};
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// A port that was free a moment ago: Redis takes none that the system chooses.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port()
}

/// A Redis of our own.
struct Redis {
    running: Running,
    port: u16,
    folder: Folder,
    options: &'static [&'static str],
}

impl Redis {
    fn start(name: &str, options: &'static [&'static str]) -> Self {
        let (port, folder) = (free_port(), Folder::new(&format!("redis-{name}")));
        let running = Self::run(port, &folder, options);
        Self { running, port, folder, options }
    }

    fn run(port: u16, folder: &Folder, options: &[&str]) -> Running {
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--dir", &folder.path("."), "--port", &port.to_string()]);
        command.args(options);
        let mut running = Running::start(command);
        while !running.line().contains("Ready to accept connections") {}
        running
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Kills it with SIGKILL, and starts it again on the same port.
    fn restart(&mut self) {
        self.running.signal("KILL");
        wait_for("the end of Redis", || (!self.running.is_running()).then_some(()));
        self.running = Self::run(self.port, &self.folder, self.options);
    }

    /// The first line of the reply to a command.
    fn ask(&self, command: &str) -> String {
        let stream = connect(self.port);
        (&stream).write_all(format!("{command}\r\n").as_bytes()).expect("ask");
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).expect("a reply");
        line.trim_end().to_owned()
    }
}

/// A room server of the cluster.
struct Node {
    serving: Serving,
    metrics: u16,
}

impl Node {
    fn start(redis: &Redis, options: &[&str]) -> Self {
        let url = redis.url();
        let all =
            ["--broadcast", "ws-l:127.0.0.1:0", "--ping-interval", "0", "--metrics", "127.0.0.1:0", "--cluster", &url];
        let mut serving = Serving::start([&all[..], options].concat());
        let metrics = crate::rooms_metrics::metrics_port(&mut serving);
        Self { serving, metrics }
    }

    fn join(&self, room: &str) -> Peer {
        Peer::connect(self.serving.port, room)
    }

    fn metric(&self, name: &str) -> u64 {
        let text = crate::rooms_metrics::scrape(self.metrics);
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("wsplice_{name} ")));
        line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
    }

    /// The status and the body of the health check.
    fn health(&self) -> (u16, String) {
        let mut answer = Exchange::connect(self.metrics, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
        (answer.head.status(), answer.body())
    }
}

/// Messages of each sender in the tests of the order. `CLUSTER_MESSAGES=111112 tests/with-peers.sh cluster` sends a million in the largest.
fn messages(default: usize) -> usize {
    std::env::var("CLUSTER_MESSAGES").map_or(default, |number| number.parse().expect("CLUSTER_MESSAGES is a number"))
}

/// Each sender sends numbered messages while all members read; all must see the same.
fn one_order(members: Vec<Peer>, messages: usize) -> Vec<Peer> {
    let count = members.len();
    let threads: Vec<_> = members
        .into_iter()
        .enumerate()
        .map(|(number, mut member)| {
            thread::spawn(move || {
                let mut seen = Vec::new();
                for message in 0..messages {
                    member.send_text(&format!("{number} {message}"));
                    if message % 20 == 19 {
                        seen.push(member.receive_text());
                    }
                }
                while seen.len() < count * messages {
                    seen.push(member.receive_text());
                }
                (member, seen)
            })
        })
        .collect();
    let mut all: Vec<_> = threads.into_iter().map(|thread| thread.join().expect("a member")).collect();
    let first = all[0].1.clone();
    for (number, (_, seen)) in all.iter().enumerate() {
        assert!(*seen == first, "member {number} sees another order");
    }
    for number in 0..count {
        let own: Vec<_> = first.iter().filter_map(|text| text.strip_prefix(&format!("{number} "))).collect();
        assert!(own.iter().enumerate().all(|(at, text)| *text == at.to_string()), "lost or doubled: {own:?}");
        assert_eq!(own.len(), messages);
    }
    all.drain(..).map(|(member, _)| member).collect()
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn members_of_three_nodes_see_one_order_the_senders_too() {
    let redis = Redis::start("order", &[]);
    let nodes: Vec<_> = (0..3).map(|_| Node::start(&redis, &[])).collect();
    let members = (0..9).map(|number| nodes[number % 3].join("/room?x=1")).collect();
    let elsewhere = nodes[0].join("/room");
    let mut members = one_order(members, 400);
    members[0].send(Message::binary(&b"\0\xff"[..]));
    members.iter_mut().for_each(|member| assert_eq!(member.receive(), Message::binary(&b"\0\xff"[..])));
    let mut elsewhere = elsewhere;
    elsewhere.send_text("elsewhere");
    assert_eq!(elsewhere.receive_text(), "elsewhere");
    assert_eq!(nodes.iter().map(|node| node.metric("cluster_lost_total")).sum::<u64>(), 0);
    drop((members, elsewhere));
    for node in &nodes {
        wait_for("the end of the subscriptions", || (node.metric("cluster_rooms") == 0).then_some(()));
    }
    assert_eq!(redis.ask("PUBSUB CHANNELS"), "*0");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn sixty_members_hear_nine_senders_in_one_order() {
    let (redis, senders) = (Redis::start("sixty", &[]), 9);
    let nodes: Vec<_> = (0..3).map(|_| Node::start(&redis, &[])).collect();
    let count = messages(300);
    let members = (0..60).map(|number| nodes[number % 3].join("/")).collect::<Vec<_>>();
    let threads: Vec<_> = members
        .into_iter()
        .enumerate()
        .map(|(number, mut member)| {
            thread::spawn(move || {
                let (mut next, mut hash) = (vec![0; senders], DefaultHasher::new());
                let mut heard = 0;
                for message in 0..count {
                    if number < senders {
                        member.send_text(&format!("{number} {message}"));
                    }
                    // As many as are sent meanwhile, so that nobody falls behind.
                    for _ in 0..senders - usize::from(message == 0) {
                        hear(&mut member, &mut next, &mut hash);
                        heard += 1;
                    }
                }
                while heard < senders * count {
                    hear(&mut member, &mut next, &mut hash);
                    heard += 1;
                }
                assert_eq!(next, vec![count; senders]);
                hash.finish()
            })
        })
        .collect();
    let hashes: Vec<_> = threads.into_iter().map(|thread| thread.join().expect("a member")).collect();
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "the orders differ");
}

/// Receives a message, the next one of its sender.
fn hear(member: &mut Peer, next: &mut [usize], hash: &mut DefaultHasher) {
    let text = member.receive_text();
    let (sender, message) = text.split_once(' ').expect("a sender and a number");
    let expected = &mut next[sender.parse::<usize>().expect("a sender")];
    assert_eq!(message, expected.to_string(), "of sender {sender}");
    *expected += 1;
    text.hash(hash);
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_server_that_is_stopped_for_three_seconds_catches_up() {
    let redis = Redis::start("stopped", &[]);
    let nodes: Vec<_> = (0..2).map(|_| Node::start(&redis, &[])).collect();
    let members: Vec<_> = (0..4).map(|number| nodes[number % 2].join("/")).collect();
    let traffic = thread::spawn(move || one_order(members, 1000));
    nodes[0].serving.running.signal("STOP");
    thread::sleep(Duration::from_secs(3));
    nodes[0].serving.running.signal("CONT");
    traffic.join().expect("nothing is lost");
    assert_eq!(nodes.iter().map(|node| node.metric("cluster_lost_total")).sum::<u64>(), 0);
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn subscriptions_end_with_their_rooms() {
    let redis = Redis::start("rooms", &[]);
    let nodes: Vec<_> = (0..2).map(|_| Node::start(&redis, &[])).collect();
    thread::scope(|scope| {
        for number in 0..8 {
            let port = nodes[number % 2].serving.port;
            scope.spawn(move || {
                for round in 0..100 {
                    let mut members: Vec<_> = (0..3)
                        .map(|at| Peer::connect(port, &format!("/{}", (number + round * 7 + at * 31) % 250)))
                        .collect();
                    for member in &mut members {
                        member.send_text("hello");
                        assert_eq!(member.receive_text(), "hello");
                    }
                }
            });
        }
    });
    for node in &nodes {
        wait_for("the end of the subscriptions", || (node.metric("cluster_rooms") == 0).then_some(()));
        assert_eq!((node.metric("cluster_lost_total"), node.metric("cluster_in_flight_bytes")), (0, 0));
    }
    wait_for("the end at Redis", || (redis.ask("PUBSUB CHANNELS") == "*0").then_some(()));
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_message_longer_than_the_engine_takes_arrives_whole_also_with_compression_and_without_echo() {
    let redis = Redis::start("long", &[]);
    let options = ["--no-echo", "--deflate", "on", "--backlog", "64m"];
    let nodes: Vec<_> = (0..2).map(|_| Node::start(&redis, &options)).collect();
    let mut members: Vec<_> = (0..4).map(|number| nodes[number % 2].join("/")).collect();
    let long: Vec<u8> = (0..5_000_000_u32).map(|n| (n.wrapping_mul(n) >> 7).to_le_bytes()[0]).collect();
    members[0].send(Message::binary(long.clone()));
    members[0].send_text("short");
    members[1].send_text("other");
    for member in &mut members[2..] {
        let mut seen: Vec<_> = (0..3).map(|_| member.receive()).collect();
        seen.retain(|message| *message != Message::text("other"));
        assert!(seen == [Message::binary(long.clone()), Message::text("short")]);
    }
    assert_eq!(members[0].receive_text(), "other");
    assert!(members[1].receive() == Message::binary(long));
    assert_eq!(members[1].receive_text(), "short");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_pong_says_that_what_was_sent_before_the_ping_has_been_delivered() {
    let redis = Redis::start("pong", &[]);
    let nodes: Vec<_> = (0..2).map(|_| Node::start(&redis, &["--no-echo"])).collect();
    let mut reader = nodes[1].join("/");
    let mut sender = RawPeer::connect(nodes[0].serving.port, "/");
    redis.running.signal("STOP");
    sender.send(crate::raw::TEXT, "hello");
    sender.send(PING, "have you?");
    thread::sleep(Duration::from_millis(300));
    let before = Instant::now();
    redis.running.signal("CONT");
    assert_eq!(sender.frame().map(|frame| frame.first), Some(PONG));
    assert!(before.elapsed() < LIMIT);
    assert_eq!(nodes[0].metric("cluster_batches_published_total"), 1);
    assert_eq!(reader.receive_text(), "hello");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn an_outage_of_four_seconds_closes_nobody_and_loses_nothing() {
    let redis = Redis::start("outage", &[]);
    let nodes: Vec<_> = (0..2).map(|_| Node::start(&redis, &[])).collect();
    let members = (0..6).map(|number| nodes[number % 2].join("/")).collect();
    let outage = thread::spawn(move || {
        redis.running.signal("STOP");
        thread::sleep(Duration::from_secs(4));
        redis.running.signal("CONT");
        redis
    });
    one_order(members, 200);
    outage.join().expect("an outage");
    assert_eq!(nodes.iter().map(|node| node.metric("cluster_lost_total")).sum::<u64>(), 0);
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_redis_that_is_killed_and_keeps_its_data_loses_nothing() {
    let mut redis = Redis::start("killed", &["--appendonly", "yes", "--appendfsync", "always"]);
    let nodes: Vec<_> = (0..2).map(|_| Node::start(&redis, &[])).collect();
    let members: Vec<_> = (0..4).map(|number| nodes[number % 2].join("/")).collect();
    let traffic = thread::spawn(move || one_order(members, 2000));
    for _ in 0..3 {
        thread::sleep(Duration::from_millis(200));
        redis.restart();
    }
    traffic.join().expect("nothing is lost");
    assert_eq!(nodes.iter().map(|node| node.metric("cluster_lost_total")).sum::<u64>(), 0);
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn connections_that_are_cut_lose_nothing() {
    let redis = Redis::start("cut", &[]);
    let nodes: Vec<_> = (0..3).map(|_| Node::start(&redis, &[])).collect();
    let members: Vec<_> = (0..6).map(|number| nodes[number % 3].join("/")).collect();
    let traffic = thread::spawn(move || one_order(members, 2000));
    while !traffic.is_finished() {
        redis.ask("CLIENT KILL TYPE normal");
        redis.ask("CLIENT KILL TYPE pubsub");
        thread::sleep(Duration::from_millis(150));
    }
    traffic.join().expect("nothing is lost");
    assert_eq!(nodes.iter().map(|node| node.metric("cluster_lost_total")).sum::<u64>(), 0);
    assert!(nodes[0].metric("cluster_reconnects_total") > 0);
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn what_a_node_published_before_it_was_killed_all_others_see_without_a_gap() {
    let redis = Redis::start("node", &[]);
    let nodes: Vec<_> = (0..3).map(|_| Node::start(&redis, &[])).collect();
    let mut readers: Vec<_> = (0..4).map(|number| nodes[number % 2].join("/")).collect();
    let mut sender = nodes[2].join("/");
    let sending = thread::spawn(move || {
        for number in 0..100_000 {
            sender.send_text(&number.to_string());
            if number == 5000 {
                return sender;
            }
        }
        sender
    });
    assert_eq!(readers[0].receive_text(), "0");
    nodes[2].serving.running.signal("KILL");
    let _ = sending.join();
    readers[0].send_text("end");
    let mut seen: Vec<Vec<String>> = readers
        .iter_mut()
        .map(|reader| std::iter::from_fn(|| Some(reader.receive_text()).filter(|text| text != "end")).collect())
        .collect();
    seen[0].insert(0, "0".into());
    assert!(seen[0].iter().enumerate().all(|(at, text)| *text == at.to_string()), "{:?}", seen[0]);
    assert!(seen.iter().all(|other| *other == seen[0]));
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn members_are_told_when_redis_has_lost_its_data() {
    let redis = Redis::start("flushed", &[]);
    let nodes: Vec<_> = (0..2).map(|_| Node::start(&redis, &[])).collect();
    let mut members: Vec<_> = (0..4).map(|number| nodes[number % 2].join("/")).collect();
    members[0].send_text("before");
    members.iter_mut().for_each(|member| assert_eq!(member.receive_text(), "before"));
    let began = Instant::now();
    assert_eq!(redis.ask("FLUSHALL"), "+OK");
    for member in &mut members {
        assert_eq!(member.receive_close(), (1012, "messages were lost".into()));
    }
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    let mut members: Vec<_> = (0..4).map(|number| nodes[number % 2].join("/")).collect();
    members[1].send_text("after");
    members.iter_mut().for_each(|member| assert_eq!(member.receive_text(), "after"));
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn without_redis_members_are_closed_with_1013_after_the_wait_and_let_in_when_it_is_back() {
    let mut redis = Redis::start("away", &[]);
    let node = Node::start(&redis, &["--cluster-wait", "1"]);
    let mut member = node.join("/");
    assert_eq!(node.health(), (200, "ok\n".into()));
    redis.running.signal("STOP");
    assert_eq!(member.receive_close(), (1013, "the engine of the cluster is away".into()));
    let (status, why) = node.health();
    assert!(status == 503 && why.contains("is away: no answer"), "{status} {why}");
    let refused = Exchange::connect(node.serving.port, crate::http::UPGRADE_REQUEST);
    assert_eq!(refused.head.status(), 503);
    assert_eq!(node.metric("cluster_up"), 0);
    redis.restart();
    wait_for("the health check", || (node.health().0 == 200).then_some(()));
    let mut member = node.join("/");
    member.send_text("again");
    assert_eq!(member.receive_text(), "again");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn nodes_that_serve_alone_close_their_members_when_redis_is_back() {
    let mut redis = Redis::start("alone", &[]);
    let options = ["--cluster-wait", "0.5", "--cluster-down", "local"];
    let mut nodes: Vec<_> = (0..2).map(|_| Node::start(&redis, &options)).collect();
    let mut members: Vec<_> = (0..4).map(|number| nodes[number % 2].join("/")).collect();
    redis.running.signal("STOP");
    members[0].send_text("alone");
    for member in [0, 2] {
        assert_eq!(members[member].receive_text(), "alone");
    }
    let mut late = nodes[0].join("/");
    late.send_text("late");
    assert_eq!(members[2].receive_text(), "late");
    assert_eq!(nodes[0].health().0, 200);
    for node in &mut nodes {
        node.serving.running.error_line("members are served alone");
    }
    redis.restart();
    for member in [1, 2, 3] {
        assert_eq!(members[member].receive_close(), (1012, "the engine of the cluster is back".into()));
    }
    let mut together: Vec<_> = nodes.iter().map(|node| node.join("/")).collect();
    together[0].send_text("together");
    together.iter_mut().for_each(|member| assert_eq!(member.receive_text(), "together"));
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_node_that_ends_publishes_what_its_members_have_sent_and_closes_them_one_after_another() {
    let redis = Redis::start("term", &[]);
    let nodes: Vec<_> = (0..2).map(|_| Node::start(&redis, &["--grace", "3"])).collect();
    let mut reader = nodes[0].join("/");
    let mut leaving: Vec<_> = (0..20).map(|_| nodes[1].join("/")).collect();
    leaving[0].send_text("last words");
    nodes[1].serving.running.signal("TERM");
    assert_eq!(reader.receive_text(), "last words");
    wait_for("the health check", || (nodes[1].health().0 == 503).then_some(()));
    let began = Instant::now();
    let threads: Vec<_> = leaving
        .drain(..)
        .map(|mut member| {
            thread::spawn(move || {
                assert_eq!(member.receive_text(), "last words");
                assert_eq!(member.receive_close().0, 1001);
                began.elapsed()
            })
        })
        .collect();
    let mut ends: Vec<_> = threads.into_iter().map(|thread| thread.join().expect("a member")).collect();
    ends.sort();
    assert!(ends[19] - ends[0] > Duration::from_millis(500), "{ends:?}");
    assert!(ends[19] < Duration::from_secs(3), "{ends:?}");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_redis_that_cannot_be_used_is_an_error_before_the_listener_opens() {
    let redis = Redis::start("wrong", &["--requirepass", "secret"]);
    let folder = Folder::new("cluster-auth");
    let file = folder.path("password");
    let start =
        |url: &str, more: &[&str]| run([&["--broadcast", "ws-l:127.0.0.1:0", "--cluster", url], more].concat(), "");
    start("http://127.0.0.1", &[]).fails_with(2, "the scheme must be redis, rediss, nats or tls");
    start("redis://127.0.0.1/x", &[]).fails_with(2, "the path must be the number of a database");
    start(&format!("redis://127.0.0.1:{}", free_port()), &[]).fails_with(3, "cannot connect to ");
    start(&redis.url(), &[]).fails_with(3, "cannot use redis://127.0.0.1:").hints("--cluster-auth");
    start(&redis.url(), &["--cluster-auth", &file]).fails_with(2, "cannot read ");
    std::fs::write(&file, "wrong\n").expect("a file");
    let finished = start(&redis.url(), &["--cluster-auth", &file]);
    finished.fails_with(3, "WRONGPASS");
    assert!(!finished.stderr.contains("wrong\n"), "{finished:?}");
    std::fs::write(&file, "secret\n").expect("a file");
    let node = Node::start(&redis, &["--cluster-auth", &file]);
    let mut member = node.join("/");
    member.send_text("let in");
    assert_eq!(member.receive_text(), "let in");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn clusters_with_different_names_share_a_redis_but_no_rooms() {
    let redis = Redis::start("names", &[]);
    let nodes: Vec<_> = ["one", "two"].map(|name| Node::start(&redis, &["--cluster-name", name])).into();
    let mut members: Vec<_> = nodes.iter().map(|node| node.join("/")).collect();
    members[0].send_text("one");
    members[1].send_text("two");
    assert_eq!(members[0].receive_text(), "one");
    assert_eq!(members[1].receive_text(), "two");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn what_strangers_publish_is_ignored_and_told_once() {
    let redis = Redis::start("strangers", &[]);
    let mut node = Node::start(&redis, &[]);
    let mut member = node.join("/");
    for number in 1..4 {
        member.send_text("hello");
        assert_eq!(member.receive_text(), "hello");
        // As a node of another version would publish it, in its place in the order.
        let mut stream = TcpStream::connect(("127.0.0.1", redis.port)).expect("connect");
        let script = "local s = redis.call('HMGET', KEYS[1], 'e', 's'); local n = string.format('%.0f', s[2] + 1); \
            redis.call('HSET', KEYS[1], 's', n); redis.call('XADD', KEYS[2], n .. '-0', 'p', s[2], 'd', 'hi'); \
            return redis.call('PUBLISH', KEYS[3], s[1] .. ' ' .. n .. ' ' .. s[2] .. '\\n' .. 'hi')";
        let words = ["EVAL", script, "3", "wsplice:state:/", "wsplice:stream:/", "wsplice:0:channel:/"];
        let command = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect::<String>();
        stream.write_all(format!("*{}\r\n{command}", words.len()).as_bytes()).expect("publish");
        let mut reply = [0; 4];
        stream.read_exact(&mut reply).expect("a reply");
        assert_eq!(&reply, b":1\r\n", "one node has it");
        wait_for("the count", || (node.metric("cluster_ignored_total") == number).then_some(()));
    }
    node.serving.running.error_line("cluster: ignored what was published in room /");
    node.serving.running.signal("TERM");
    let finished = node.serving.running.finish();
    assert_eq!(finished.stderr.matches("ignored what was published").count(), 1, "{finished:?}");
}
