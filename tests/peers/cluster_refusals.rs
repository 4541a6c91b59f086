//! Engines that are connected and refuse: they are full, or do not allow something.

use crate::{
    clock::libfaketime,
    cluster_faults::{Engine, Line, Server, node_with, url},
    http::{Exchange, upgrade_request},
    raw::RawPeer,
    rooms_metrics::{metrics_port, scrape},
    support::{Serving, run, wait_for, wsplice},
};
use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};
use tokio::runtime::Runtime;

/// An engine and one node, which waits for 2 s.
struct Single {
    node: Serving,
    metrics: u16,
    server: Server,
    line: Line,
    _runtime: Runtime,
}

impl Single {
    fn start(engine: Engine, name: &str, config: &str) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let server = Server::start_with(engine, false, &format!("{name}-{engine:?}"), config);
        let line = runtime.block_on(Line::new(&server, Duration::ZERO));
        let mut node = node_with(engine, line.port, &["--cluster-wait", "2", "--metrics", "127.0.0.1:0"]);
        let metrics = metrics_port(&mut node);
        Self { node, metrics, server, line, _runtime: runtime }
    }

    /// The status and the body of the health check.
    fn health(&self) -> (u16, String) {
        let mut answer = Exchange::connect(self.metrics, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
        (answer.head.status(), answer.body())
    }

    /// A member says something, which is refused: that is logged, counted, and told by the health check, and the member is closed.
    fn refuses(&mut self, room: &str, reason: &str) {
        let mut member = RawPeer::connect(self.node.port, room);
        let start = Instant::now();
        member.send_text("hello");
        let line = self.node.running.error_line("has refused");
        assert!(line.contains(reason), "{line}");
        assert_eq!(member.receive_close(), (1013, "the engine of the cluster is away".into()));
        assert!(!line.contains(" script: "), "{line}");
        let took = start.elapsed();
        assert!((Duration::from_secs(2)..Duration::from_secs(5)).contains(&took), "{took:?}");
        let line = self.node.running.error_line("has been away for 2 s");
        assert!(line.contains(reason), "{line}");
        let (status, body) = self.health();
        assert!(status == 503 && body.contains(reason), "{status} {body}");
        let page = scrape(self.metrics);
        let errors =
            page.lines().find_map(|line| line.strip_prefix("wsplice_cluster_errors_total ")).expect("a metric");
        assert!(errors.parse::<u64>().expect("a number") > 0);
        assert!(page.contains("wsplice_cluster_up 1"), "{page}");
    }
}

#[test]
#[ignore = "needs redis-server"]
fn a_redis_that_is_full_is_told_and_members_are_let_in_when_it_is_not() {
    let mut cluster = Single::start(Engine::Redis, "full", "");
    cluster.server.redis(&["CONFIG", "SET", "maxmemory", "1"]);
    cluster.refuses("/", "OOM");
    cluster.server.redis(&["CONFIG", "SET", "maxmemory", "0"]);
    wait_for("the engine", || (cluster.health().0 == 200).then_some(()));
    let mut member = RawPeer::connect(cluster.node.port, "/");
    member.send_text("hello");
    assert_eq!(member.receive_text(), "hello");
}

#[test]
#[ignore = "needs redis-server"]
fn a_redis_that_forbids_to_publish_is_told() {
    let mut cluster = Single::start(Engine::Redis, "forbids", "");
    cluster.server.redis(&["ACL", "SETUSER", "default", "-publish"]);
    cluster.refuses("/", "can't run this command");
}

#[test]
#[ignore = "needs redis-server"]
fn a_room_that_redis_refuses_does_not_hold_its_members_and_others_are_served() {
    let mut cluster = Single::start(Engine::Redis, "one-room", "");
    let (mut bad, mut good) =
        (RawPeer::connect(cluster.node.port, "/bad"), RawPeer::connect(cluster.node.port, "/good"));
    // Somebody has taken its key.
    cluster.server.redis(&["SET", "wsplice:stream:/bad", "x"]);
    bad.send_text("hello");
    let talks = std::thread::spawn(move || {
        for number in 0..60 {
            good.send_text(&number.to_string());
            assert_eq!(good.receive_text(), number.to_string());
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let line = cluster.node.running.error_line("has refused");
    assert!(line.contains("WRONGTYPE"), "{line}");
    assert_eq!(bad.receive_close(), (1013, "the engine of the cluster is away".into()));
    cluster.node.running.error_line("requests of room /bad have failed for too long");
    assert_eq!(cluster.health().0, 200);
    talks.join().expect("the other room goes on");
}

/// A user who may not do one thing.
fn forbidding(forbidden: &str) -> String {
    format!(
        "authorization {{ users: [{{ user: u, password: p, permissions: {{ {forbidden} }} }}] }}\nno_auth_user: u\n"
    )
}

#[test]
#[ignore = "needs nats-server"]
fn a_nats_that_forbids_to_publish_is_told() {
    let config = forbidding("publish: { deny: \"wsplice.stored.>\" }");
    Single::start(Engine::Nats, "publish", &config).refuses("/", "Permissions Violation");
}

#[test]
#[ignore = "needs nats-server"]
fn a_nats_that_forbids_to_subscribe_lets_nobody_in() {
    let config = forbidding("subscribe: { deny: \"wsplice.live.>\" }");
    let mut cluster = Single::start(Engine::Nats, "subscribe", &config);
    let port = cluster.node.port;
    let handshake = std::thread::spawn(move || Exchange::connect(port, &upgrade_request("/", "")).head.status());
    let line = cluster.node.running.error_line("has refused");
    assert!(line.contains("Permissions Violation"), "{line}");
    assert_eq!(handshake.join().expect("an answer"), 503);
    let (status, body) = cluster.health();
    assert!(status == 503 && body.contains("Permissions Violation"), "{status} {body}");
}

#[test]
#[ignore = "needs nats-server"]
fn a_nats_that_forbids_the_stream_is_exit_code_3() {
    let config = forbidding("publish: { deny: \"$JS.API.>\" }");
    let runtime = Runtime::new().expect("a runtime");
    let server = Server::start_with(Engine::Nats, false, "stream-Nats", &config);
    let line = runtime.block_on(Line::new(&server, Duration::ZERO));
    let url = format!("nats://127.0.0.1:{}", line.port);
    run(["--broadcast", "--cluster", &url, "ws-l:127.0.0.1:0"], "").fails_with(3, "Permissions Violation");
}

#[test]
#[ignore = "needs redis-server and nats-server"]
fn the_wait_for_a_silent_engine_begins_with_its_silence() {
    for engine in [Engine::Redis, Engine::Nats] {
        let runtime = Runtime::new().expect("a runtime");
        let server = Server::start(engine, false, &format!("silent-{engine:?}"));
        let line = runtime.block_on(Line::new(&server, Duration::ZERO));
        let node = node_with(engine, line.port, &["--cluster-wait", "3"]);
        let mut member = RawPeer::connect(node.port, "/");
        // Nobody says anything.
        let start = Instant::now();
        server.signal("STOP");
        assert_eq!(member.receive_close().0, 1013);
        let took = start.elapsed();
        assert!((Duration::from_secs(3)..Duration::from_millis(4200)).contains(&took), "{engine:?}: {took:?}");
        server.signal("CONT");
    }
}

/// What a node says that cannot start with this engine.
fn start_with(server: &Server, engine: Engine) -> crate::support::Finished {
    let runtime = Runtime::new().expect("a runtime");
    let line = runtime.block_on(Line::new(server, Duration::ZERO));
    run(["--broadcast", "--cluster", &url(engine, "127.0.0.1", line.port), "ws-l:127.0.0.1:0"], "")
}

#[test]
#[ignore = "needs redis-server"]
fn a_redis_that_is_full_at_the_start_is_exit_code_3_and_says_what_to_do() {
    let server = Server::start(Engine::Redis, false, "full-start");
    server.redis(&["CONFIG", "SET", "maxmemory", "1"]);
    start_with(&server, Engine::Redis).fails_with(3, "OOM").hints("raise its maxmemory");
}

#[test]
#[ignore = "needs redis-server"]
fn a_redis_that_may_delete_what_it_has_is_told_at_the_start() {
    let runtime = Runtime::new().expect("a runtime");
    let server = Server::start(Engine::Redis, false, "evicts");
    server.redis(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let line = runtime.block_on(Line::new(&server, Duration::ZERO));
    // Without a limit nothing is deleted.
    let node = node_with(Engine::Redis, line.port, &[]);
    node.running.signal("TERM");
    assert!(!node.running.finish().stderr.contains("maxmemory"));
    server.redis(&["CONFIG", "SET", "maxmemory", "100mb"]);
    let mut node = node_with(Engine::Redis, line.port, &[]);
    node.running.error_line("deletes data when it is full (maxmemory-policy allkeys-lru)");
}

#[test]
#[ignore = "needs redis-server"]
fn members_are_let_in_when_a_redis_that_became_a_replica_is_a_primary_again() {
    let mut cluster = Single::start(Engine::Redis, "failover", "");
    let mut member = RawPeer::connect(cluster.node.port, "/");
    cluster.server.redis(&["REPLICAOF", "127.0.0.1", "1"]);
    member.send_text("hello");
    let line = cluster.node.running.error_line("is not connected: READONLY");
    assert!(!line.contains(" script: "), "{line}");
    cluster.node.running.error_line("is not connected: it is a replica, which takes no writes");
    assert_eq!(member.receive_close(), (1013, "the engine of the cluster is away".into()));
    cluster.server.redis(&["REPLICAOF", "NO", "ONE"]);
    let mut member = wait_for("a place in the room", || {
        let exchange = Exchange::connect(cluster.node.port, &upgrade_request("/", ""));
        (exchange.head.status() == 101).then(|| RawPeer::client(exchange.switched()))
    });
    // It is not closed for what had failed before.
    std::thread::sleep(Duration::from_secs(1));
    member.send_text("hello");
    assert_eq!(member.receive_text(), "hello");
}

#[test]
#[ignore = "needs nats-server"]
fn a_nats_that_lacks_space_or_jetstream_for_the_user_is_exit_code_3_and_says_what_to_do() {
    let small = Server::start_with(Engine::Nats, false, "small", "jetstream { max_file_store: 100MB }\n");
    start_with(&small, Engine::Nats).fails_with(3, "insufficient storage").hints("max_file_store");
    let accounts = "accounts { A: { users: [{ user: u, password: p }] } }\nno_auth_user: u\n";
    let accounts = Server::start_with(Engine::Nats, false, "accounts", accounts);
    start_with(&accounts, Engine::Nats).fails_with(3, "JetStream not enabled for account").hints("enable JetStream");
}

#[test]
#[ignore = "needs redis-server and nats-server"]
fn what_strangers_send_to_members_past_the_order_is_counted_and_told_once() {
    for engine in [Engine::Redis, Engine::Nats] {
        let cluster = Single::start(engine, "past", "");
        let mut member = RawPeer::connect(cluster.node.port, "/");
        for number in 1..4 {
            match engine {
                Engine::Redis => _ = cluster.server.redis(&["PUBLISH", "wsplice:0:channel:/", "hi"]),
                Engine::Nats => {
                    let mut client = TcpStream::connect(("127.0.0.1", cluster.line.port)).expect("connect");
                    client
                        .write_all(b"CONNECT {\"verbose\":false}\r\nPUB wsplice.live.rLw 2\r\nhi\r\nPING\r\n")
                        .expect("send");
                    let mut received = Vec::new();
                    while !received.ends_with(b"PONG\r\n") {
                        let mut byte = [0];
                        client.read_exact(&mut byte).expect("an answer");
                        received.extend(byte);
                    }
                }
            }
            let counted = format!("wsplice_cluster_ignored_total {number}\n");
            wait_for("the count", || scrape(cluster.metrics).contains(&counted).then_some(()));
        }
        member.send_text("hello");
        assert_eq!(member.receive_text(), "hello");
        cluster.node.running.signal("TERM");
        let told = cluster.node.running.finish().stderr;
        assert_eq!(told.matches("ignored what was published in room /:").count(), 1, "{told}");
    }
}

#[test]
#[ignore = "needs redis-server, nats-server and libfaketime"]
fn nodes_whose_clocks_differ_by_days_share_their_rooms_and_histories() {
    for engine in [Engine::Redis, Engine::Nats] {
        let runtime = Runtime::new().expect("a runtime");
        let server = Server::start(engine, false, &format!("clocks-{engine:?}"));
        let line = runtime.block_on(Line::new(&server, Duration::ZERO));
        let nodes = ["+0", "+3d", "-3d"].map(|offset| {
            let mut command = wsplice(["--broadcast", "--cluster", &url(engine, "127.0.0.1", line.port)]);
            command.args(["--history", "10", "ws-l:127.0.0.1:0", "--stdout-announce-listening-ports"]);
            command.env("LD_PRELOAD", libfaketime()).env("FAKETIME", offset);
            command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("DONT_FAKE_MONOTONIC", "1");
            Serving::from_command(command)
        });
        let mut members = Vec::new();
        for (at, node) in nodes.iter().enumerate() {
            let mut member = RawPeer::connect(node.port, "/");
            for earlier in 0..at {
                assert_eq!(member.receive_text(), earlier.to_string());
            }
            member.send_text(&at.to_string());
            members.push(member);
            for member in &mut members {
                assert_eq!(member.receive_text(), at.to_string());
            }
        }
    }
}

#[test]
#[ignore = "needs redis-server and nats-server"]
fn the_health_check_says_why_the_connection_cannot_be_restored() {
    for (engine, reason) in [(Engine::Redis, "it closes the connection"), (Engine::Nats, "it cannot be reached")] {
        let mut cluster = Single::start(engine, "gone", "");
        let mut member = RawPeer::connect(cluster.node.port, "/");
        // The line takes connections, and closes them.
        cluster.server.kill();
        assert_eq!(member.receive_close(), (1013, "the engine of the cluster is away".into()));
        wait_for("the reason", || {
            let (status, body) = cluster.health();
            (status == 503 && body.contains(reason)).then_some(())
        });
    }
}
