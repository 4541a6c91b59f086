use super::*;
use crate::cluster::{
    Event,
    redis::forwarder::Forwarder,
    testing::{self, Folder, Node, Process, is_chain, options, texts},
};
use std::{path::PathBuf, process::Command};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{self, pki_types::PrivateKeyDer},
};

/// A redis-server on a Unix socket, behind a forwarder.
struct Server {
    folder: Folder,
    arguments: Vec<&'static str>,
    process: Option<Process>,
    forwarder: Forwarder,
}

impl Server {
    async fn start(arguments: &[&'static str]) -> Self {
        let folder = Folder::new();
        let forwarder = Forwarder::start(folder.path().join("socket")).await;
        let mut server = Self { folder, arguments: arguments.to_vec(), process: None, forwarder };
        server.restart().await;
        server
    }

    async fn restart(&mut self) {
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--unixsocket", "socket"]).args(&self.arguments);
        self.process = Some(Process::start(command.current_dir(self.folder.path())));
        while !self.cli(&["PING"]).contains("PONG") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn kill(&mut self) {
        self.process.take().expect("a running server").kill();
    }

    fn process(&self) -> &Process {
        self.process.as_ref().expect("a running server")
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    fn cli(&self, arguments: &[&str]) -> String {
        let password = self.arguments.iter().skip_while(|argument| **argument != "--requirepass").nth(1);
        let mut command = Command::new("redis-cli");
        command.env("REDISCLI_AUTH", password.unwrap_or(&"")).arg("-s").arg(self.socket()).args(arguments);
        let output = command.output().expect("redis-cli");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.forwarder.port)
    }

    async fn node(&self) -> Node<Redis> {
        Node::new(Redis::connect(options(&self.url(), "test")).await.expect("a connection"))
    }
}

async fn refused(options: ClusterOptions) -> Error {
    Redis::connect(options).await.err().expect("an error")
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn two_nodes_see_one_order_in_rooms_of_any_name() {
    let server = Server::start(&[]).await;
    testing::one_order(server.node().await, server.node().await).await;
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_batch_that_is_sent_again_is_stored_once() {
    let server = Server::start(&[]).await;
    testing::doubles_are_refused(server.node().await).await;
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn what_follows_a_place_is_given_if_the_place_is_known() {
    let server = Server::start(&[]).await;
    testing::places_are_known(server.node().await).await;
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn the_last_publications_of_a_room_are_given_in_order() {
    let server = Server::start(&[]).await;
    testing::the_last_are_given_in_order(server.node().await).await;
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn an_older_batch_that_comes_late_is_not_stored() {
    let server = Server::start(&[]).await;
    let node = server.node().await;
    let start = node.subscribe(b"/").await;
    let old = node.next_id();
    node.publish_as(b"/", old, "old".into()).await;
    let last = node.publish(b"/", "new").await;
    assert_eq!(node.publish_as(b"/", old, "old".into()).await, last);
    assert_eq!(texts(&node.since(b"/", start).await.expect("nothing lost")), ["old", "new"]);
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn what_is_missed_while_the_connection_is_lost_can_be_fetched_and_the_rooms_are_subscribed_to_again() {
    let server = Server::start(&[]).await;
    let mut node = server.node().await;
    let other = server.node().await;
    for number in 0..1000 {
        node.subscribe(format!("/{number}").as_bytes()).await;
    }
    let place = other.publish(b"/7", "before").await;
    assert_eq!(node.publication().await.1.position, place);
    assert_eq!(server.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]).trim(), "1");
    other.publish(b"/7", "missed").await;
    let reason = node.down().await;
    // A probe may be sent just then.
    assert!(["the connection was closed", "broken pipe"].contains(&reason.as_str()), "{reason}");
    node.up().await;
    other.publish(b"/7", "after").await;
    let (room, after) = node.publication().await;
    assert_eq!((&room[..], &after.payload[..]), (&b"/7"[..], &b"after"[..]));
    assert_ne!(after.previous, place.sequence);
    let missed = node.since(b"/7", place).await.expect("nothing lost");
    assert_eq!(texts(&missed), ["missed", "after"]);
    assert!(is_chain(place, &missed));
    assert_eq!(server.cli(&["PUBSUB", "CHANNELS"]).lines().count(), 1000);
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn rooms_that_are_left_leave_no_subscription_even_if_the_connection_is_lost_meanwhile() {
    let server = Server::start(&[]).await;
    let mut node = server.node().await;
    for number in 0..100 {
        node.subscribe(format!("/{number}").as_bytes()).await;
    }
    for number in 0..50 {
        node.engine.unsubscribe(format!("/{number}").as_bytes()).await.expect("no error");
    }
    assert_eq!(server.cli(&["PUBSUB", "CHANNELS"]).lines().count(), 50);
    server.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    for number in 50..100 {
        let _ = node.engine.unsubscribe(format!("/{number}").as_bytes()).await;
    }
    node.down().await;
    node.up().await;
    assert_eq!(server.cli(&["PUBSUB", "CHANNELS"]).trim(), "");
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_server_that_is_stopped_for_4_s_is_noticed_and_loses_nothing() {
    let server = Server::start(&[]).await;
    testing::a_pause_loses_nothing(server.node().await, server.process()).await;
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_persistent_server_that_is_killed_and_restarted_loses_nothing() {
    let mut server = Server::start(&["--appendonly", "yes"]).await;
    let node = server.node().await;
    let restart = async |node: &mut Node<Redis>| {
        server.kill();
        let reason = node.down().await;
        assert_eq!(reason, "the connection was closed");
        let reason = node.down().await;
        assert_eq!(reason, "it closes the connection");
        server.restart().await;
    };
    testing::a_restart_loses_nothing(node, restart).await;
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_server_that_restarts_from_an_older_snapshot_is_known_to_have_lost_publications() {
    let mut server = Server::start(&[]).await;
    let mut node = server.node().await;
    node.subscribe(b"/").await;
    let kept = node.publish(b"/", "kept").await;
    server.cli(&["SAVE"]);
    let lost = node.publish(b"/", "lost").await;
    server.kill();
    node.down().await;
    server.restart().await;
    // Somebody who knows nothing of it comes first.
    let other = server.node().await;
    assert_eq!(other.subscribe(b"/").await, kept);
    let mut next = kept;
    for number in 0..5 {
        next = other.publish(b"/", &number.to_string()).await;
    }
    node.up().await;
    assert_eq!(next.epoch, lost.epoch);
    assert_eq!(node.since(b"/", lost).await, None);
    assert_eq!(texts(&node.since(b"/", kept).await.expect("nothing lost")), ["0", "1", "2", "3", "4"]);
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_server_without_its_data_begins_a_new_epoch() {
    let server = Server::start(&[]).await;
    let mut node = server.node().await;
    node.subscribe(b"/").await;
    let before = node.publish(b"/", "before").await;
    server.cli(&["FLUSHALL"]);
    assert_eq!(node.down().await, "its data was deleted");
    node.up().await;
    assert_eq!(node.since(b"/", before).await, None);
    let start = node.subscribe(b"/").await;
    assert_ne!(start.epoch, before.epoch);
    assert_eq!(start.sequence, 0);
    let after = node.publish(b"/", "after").await;
    assert_eq!((after.epoch, after.sequence), (start.epoch, 1));
    assert_eq!(node.since(b"/", before).await, None);
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_subscriber_that_redis_cuts_off_comes_back() {
    let server = Server::start(&["--client-output-buffer-limit", "pubsub 3mb 0 0"]).await;
    let mut node = server.node().await;
    let start = node.subscribe(b"/").await;
    let past = Forwarder::start(server.socket()).await;
    let url = format!("redis://127.0.0.1:{}", past.port);
    let other = Node::new(Redis::connect(options(&url, "test")).await.expect("a connection"));
    server.forwarder.hold();
    for _ in 0..6 {
        other.publish_as(b"/", other.next_id(), vec![b'x'; MAX_PAYLOAD].into()).await;
    }
    assert_eq!(server.cli(&["PUBSUB", "NUMSUB", "test:0:channel:/"]), "test:0:channel:/\n0\n");
    server.forwarder.release();
    node.down().await;
    node.up().await;
    // One at a time, since the limit also holds for the answers.
    let mut place = start;
    let mut missed = Vec::new();
    while let Some(next) = node.engine.since(b"/", place, 1).await.expect("no error").expect("nothing lost").pop() {
        place = next.position;
        missed.push(next);
    }
    assert_eq!(missed.len(), 6);
    assert!(is_chain(start, &missed));
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_node_that_takes_nothing_loses_the_connection_and_no_memory_grows() {
    let server = Server::start(&[]).await;
    let (inbox, events) = inbox(3 * MAX_PAYLOAD);
    let engine = Redis::connect_with(options(&server.url(), "test"), inbox).await.expect("a connection");
    let mut node = Node::new((engine, events));
    let other = server.node().await;
    let start = node.subscribe(b"/").await;
    for _ in 0..6 {
        other.publish_as(b"/", other.next_id(), vec![b'x'; MAX_PAYLOAD].into()).await;
    }
    let mut seen = 0;
    let reason = loop {
        match node.event().await {
            Event::Publication { .. } => seen += 1,
            Event::Down { reason, .. } => break reason,
            event @ (Event::Up | Event::Refused { .. } | Event::Stranger { .. }) => panic!("{event:?} before down"),
        }
    };
    assert!(reason.contains("too slow"), "{reason}");
    assert_eq!(seen, 3);
    node.up().await;
    assert_eq!(node.since(b"/", start).await.expect("nothing lost").len(), 6);
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn what_is_kept_of_a_room_is_bounded_in_number_and_bytes() {
    let server = Server::start(&[]).await;
    let node = server.node().await;
    let start = node.subscribe(b"/large").await;
    for _ in 0..40 {
        node.publish_as(b"/large", node.next_id(), vec![b'x'; KEPT_STEP].into()).await;
    }
    assert_eq!(node.since(b"/large", start).await, None);
    let last = node.engine.last(b"/large", 1000).await.expect("no error");
    assert!((14..=20).contains(&last.len()), "{}", last.len());
    let start = node.subscribe(b"/many").await;
    for number in 0..KEPT + 500 {
        node.publish(b"/many", &number.to_string()).await;
    }
    assert_eq!(node.since(b"/many", start).await, None);
    let last = node.engine.last(b"/many", 3).await.expect("no error");
    assert_eq!(texts(&last), ["1497", "1498", "1499"]);
    let all = node.engine.last(b"/many", 10_000).await.expect("no error").len();
    assert!((KEPT..KEPT + 200).contains(&all), "{all}");
    assert!(server.cli(&["TTL", "test:stream:/many"]).trim().parse::<i32>().is_ok_and(|seconds| seconds > 0));
    assert!(server.cli(&["TTL", "test:state:/many"]).trim().parse::<i32>().is_ok_and(|seconds| seconds > 0));
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_message_by_a_stranger_is_ignored_and_flushed_scripts_are_loaded_again() {
    let server = Server::start(&[]).await;
    let mut node = server.node().await;
    node.subscribe(b"/").await;
    assert_eq!(server.cli(&["PUBLISH", "test:0:channel:/", "hello"]).trim(), "1");
    assert_eq!(node.event().await, Event::Stranger { room: "/".into() });
    server.cli(&["SCRIPT", "FLUSH"]);
    node.publish(b"/", "ours").await;
    assert_eq!(node.publication().await.1.payload, "ours");
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn clusters_of_other_names_and_databases_are_apart() {
    let server = Server::start(&[]).await;
    let mut node = server.node().await;
    let other = Node::new(Redis::connect(options(&server.url(), "other")).await.expect("a connection"));
    let numbered = format!("{}/1", server.url());
    let numbered = Node::new(Redis::connect(options(&numbered, "test")).await.expect("a connection"));
    node.subscribe(b"/").await;
    other.publish(b"/", "other").await;
    numbered.publish(b"/", "numbered").await;
    node.publish(b"/", "ours").await;
    let (_, publication) = node.publication().await;
    assert_eq!((&publication.payload[..], publication.previous), (&b"ours"[..], 0));
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_wrong_password_is_a_usage_error_that_names_the_option() {
    let server = Server::start(&["--requirepass", "right"]).await;
    for url in [server.url(), server.url().replace("redis://", "redis://:wrong@")] {
        let error = refused(options(&url, "test")).await;
        assert_eq!(error.exit_code(), 3);
        assert!(error.to_string().contains(": it refused the login: "), "{error}");
        assert!(!error.to_string().contains("wrong"), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("--cluster-auth")));
    }
    let url = server.url().replace("redis://", "redis://default:right@");
    let node = Node::new(Redis::connect(options(&url, "test")).await.expect("a connection"));
    node.publish(b"/", "text").await;
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_redis_cluster_and_a_replica_are_refused() {
    let cluster = Server::start(&["--cluster-enabled", "yes"]).await;
    let error = refused(options(&cluster.url(), "test")).await;
    assert_eq!(error.exit_code(), 3);
    assert!(error.to_string().contains("it is a Redis Cluster"), "{error}");
    let replica = Server::start(&["--replicaof", "127.0.0.1 1"]).await;
    let error = refused(options(&replica.url(), "test")).await;
    assert_eq!(error.exit_code(), 3);
    assert!(error.to_string().contains("is a replica"), "{error}");
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_server_that_becomes_a_replica_is_left() {
    let server = Server::start(&[]).await;
    let mut node = server.node().await;
    server.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    assert!(node.engine.publish(b"/", node.next_id(), "text".into()).await.is_err());
    assert!(node.down().await.starts_with("READONLY"));
    assert!(node.down().await.contains("is a replica"));
    server.cli(&["REPLICAOF", "NO", "ONE"]);
    node.up().await;
    node.publish(b"/", "text").await;
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn rediss_is_tls_with_the_authorities_of_the_option() {
    let server = Server::start(&[]).await;
    let certified = testing::certificate(&server.folder);
    let key = PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(vec![certified.cert.der().clone()], key))
        .expect("a configuration");
    let forwarder = Forwarder::with_tls(server.socket(), Some(TlsAcceptor::from(Arc::new(config)))).await;
    let options = options(&format!("rediss://127.0.0.1:{}", forwarder.port), "test");
    testing::authorities_are_those_of_the_option(&server.folder, options, Redis::connect).await;
    // A server without TLS.
    let error = refused(testing::options(&server.url().replace("redis:", "rediss:"), "test")).await;
    assert!([3, 4].contains(&error.exit_code()), "{error}");
}

#[tokio::test]
async fn a_server_older_than_6_is_refused() {
    let at = testing::stub("", "-ERR unknown command `HELLO`, with args beginning with: `3`, \r\n-ERR x\r\n-ERR x\r\n")
        .await;
    let error = refused(options(&format!("redis://{at}"), "test")).await;
    assert_eq!(error.exit_code(), 3);
    assert!(error.to_string().ends_with("it is too old: Redis 6.0 or newer is required"), "{error}");
}

#[tokio::test]
async fn something_that_is_not_redis_is_refused() {
    for answer in ["HTTP/1.1 400 Bad Request\r\n\r\n", "*99999999\r\n", "$-5\r\n%7\r\n", "\u{0}\u{0}", ">3\r\n+x\r\n"] {
        let at = testing::stub("", answer).await;
        let error = refused(options(&format!("redis://{at}"), "test")).await;
        assert_eq!(error.exit_code(), 3, "{answer:?}: {error}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_exit_code_3() {
    let error = refused(options("redis://127.0.0.1:1", "test")).await;
    assert_eq!(error.exit_code(), 3);
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn dropping_the_last_handle_ends_the_connection() {
    let server = Server::start(&[]).await;
    let Node { engine, mut events, .. } = server.node().await;
    drop(engine);
    while events.next().await.is_some() {}
    let clients = || server.cli(&["CLIENT", "LIST"]).lines().filter(|line| line.contains("wsplice")).count();
    while clients() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
