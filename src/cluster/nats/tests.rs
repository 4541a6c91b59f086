use super::*;
use crate::cluster::{
    Event,
    testing::{self, Folder, Node, Process, is_chain, options, stub, texts},
};
use std::{fs, path::PathBuf, process::Command};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A nats-server with JetStream. It keeps its port when it is restarted.
struct Server {
    folder: Folder,
    arguments: Vec<&'static str>,
    process: Option<Process>,
    port: u16,
}

impl Server {
    async fn start(arguments: &[&'static str]) -> Self {
        let mut server = Self::new(arguments);
        server.restart().await;
        server
    }

    fn new(arguments: &[&'static str]) -> Self {
        Self { folder: Folder::new(), arguments: arguments.to_vec(), process: None, port: 0 }
    }

    async fn restart(&mut self) {
        let port = if self.port == 0 { "-1".to_owned() } else { self.port.to_string() };
        let mut command = Command::new("nats-server");
        command.args(["-a", "127.0.0.1", "--ports_file_dir", ".", "-p", &port]).args(&self.arguments);
        self.process = Some(Process::start(command.current_dir(self.folder.path())));
        self.port = loop {
            if let Some(port) = fs::read_to_string(self.ports()).ok().and_then(|text| port_of(&text, "/nats/0")) {
                break port;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    fn kill(&mut self) {
        self.process.take().expect("a running server").kill();
    }

    fn process(&self) -> &Process {
        self.process.as_ref().expect("a running server")
    }

    /// What the server says of its subscriptions, on its port for monitoring.
    async fn subscriptions(&self) -> u64 {
        let ports = fs::read_to_string(self.ports()).expect("the ports");
        let port = port_of(&ports, "/monitoring/0").expect("the port of -m");
        let mut socket = TcpStream::connect(("127.0.0.1", port)).await.expect("a connection");
        socket.write_all(b"GET /subsz HTTP/1.0\r\n\r\n").await.expect("a request");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.expect("an answer");
        let body = answer.split("\r\n\r\n").nth(1).expect("a body");
        let body = serde_json::from_str::<serde_json::Value>(body).expect("JSON");
        body["num_subscriptions"].as_u64().expect("a number")
    }

    fn ports(&self) -> PathBuf {
        self.folder.path().join(format!("nats-server_{}.ports", self.process().id()))
    }

    fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    async fn node(&self) -> Node<Nats> {
        Node::new(Nats::connect(options(&self.url(), "test")).await.expect("a connection"))
    }
}

/// A port in `{"nats":["nats://127.0.0.1:4222"]}`.
fn port_of(text: &str, pointer: &str) -> Option<u16> {
    let ports = serde_json::from_str::<serde_json::Value>(text).ok()?;
    ports.pointer(pointer)?.as_str()?.rsplit_once(':')?.1.parse().ok()
}

const JETSTREAM: &[&str] = &["-js", "-sd", "store"];

async fn refused(options: ClusterOptions) -> Error {
    Nats::connect(options).await.err().expect("an error")
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn two_nodes_see_one_order_in_rooms_of_any_name() {
    let server = Server::start(JETSTREAM).await;
    testing::one_order(server.node().await, server.node().await).await;
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn a_batch_that_is_sent_again_is_stored_once() {
    let server = Server::start(JETSTREAM).await;
    testing::doubles_are_refused(server.node().await).await;
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn what_follows_a_place_is_given_if_the_place_is_known() {
    let server = Server::start(JETSTREAM).await;
    testing::places_are_known(server.node().await).await;
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn the_last_publications_of_a_room_are_given_in_order() {
    let server = Server::start(JETSTREAM).await;
    testing::the_last_are_given_in_order(server.node().await).await;
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn what_is_missed_while_the_connection_is_lost_can_be_fetched() {
    let server = Server::start(JETSTREAM).await;
    let mut node = server.node().await;
    let other = server.node().await;
    for number in 0..100 {
        node.subscribe(format!("/{number}").as_bytes()).await;
    }
    let place = other.publish(b"/7", "before").await;
    assert_eq!(node.publication().await.1.position, place);
    node.engine.0.client.force_reconnect().await.expect("a client");
    other.publish(b"/7", "missed").await;
    node.down().await;
    node.up().await;
    let after = other.publish(b"/7", "after").await;
    while node.publication().await.1.position != after {}
    let missed = node.since(b"/7", place).await.expect("nothing lost");
    assert_eq!(texts(&missed), ["missed", "after"]);
    assert!(is_chain(place, &missed));
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn a_server_that_is_stopped_for_4_s_is_noticed_and_loses_nothing() {
    let server = Server::start(JETSTREAM).await;
    testing::a_pause_loses_nothing(server.node().await, server.process()).await;
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn a_server_that_is_killed_and_restarted_loses_nothing() {
    let mut server = Server::start(JETSTREAM).await;
    let node = server.node().await;
    let restart = async |node: &mut Node<Nats>| {
        server.kill();
        assert_eq!(node.down().await, "the connection was closed");
        server.restart().await;
    };
    testing::a_restart_loses_nothing(node, restart).await;
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn a_server_without_its_data_begins_a_new_epoch() {
    let mut server = Server::start(JETSTREAM).await;
    let mut node = server.node().await;
    node.subscribe(b"/").await;
    let before = node.publish(b"/", "before").await;
    server.kill();
    fs::remove_dir_all(server.store()).expect("the store");
    server.restart().await;
    node.down().await;
    node.up().await;
    assert_eq!(node.since(b"/", before).await, None);
    let start = node.subscribe(b"/").await;
    assert_ne!(start.epoch, before.epoch);
    assert_eq!(start.sequence, 0);
    assert_eq!(node.publish(b"/", "after").await.epoch, start.epoch);
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn a_stream_that_is_deleted_is_noticed_and_made_again() {
    let server = Server::start(JETSTREAM).await;
    let mut node = server.node().await;
    node.subscribe(b"/").await;
    let before = node.publish(b"/", "before").await;
    let client = &node.engine.0.client;
    client.request("$JS.API.STREAM.DELETE.test", "".into()).await.expect("an answer");
    assert_eq!(node.down().await, "its data was deleted");
    node.up().await;
    assert_eq!(node.since(b"/", before).await, None);
    assert_ne!(node.publish(b"/", "after").await.epoch, before.epoch);
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn a_room_whose_messages_have_gone_from_the_stream_has_missed_nothing_unless_it_was_away() {
    let server = Server::start(JETSTREAM).await;
    let mut node = server.node().await;
    let other = server.node().await;
    node.subscribe(b"/").await;
    let first = other.publish(b"/", "first").await;
    assert_eq!(node.publication().await.1.position, first);
    let purge = async || {
        let client = &other.engine.0.client;
        client.request("$JS.API.STREAM.PURGE.test", "".into()).await.expect("an answer");
    };
    // So long that the keeper knows that it has been delivered.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    purge().await;
    let second = other.publish(b"/", "second").await;
    let (_, publication) = node.publication().await;
    assert_eq!((publication.position, publication.previous), (second, first.sequence));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    purge().await;
    // It was away, but what the stream has lost is older.
    node.engine.0.client.force_reconnect().await.expect("a client");
    node.up().await;
    assert_eq!(node.since(b"/", second).await, Some(vec![]));
    // And now it is not.
    node.engine.0.client.force_reconnect().await.expect("a client");
    node.down().await;
    other.publish(b"/", "third").await;
    purge().await;
    other.publish(b"/", "fourth").await;
    node.up().await;
    assert_eq!(node.since(b"/", second).await, None);
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn a_node_that_takes_nothing_is_down_until_it_has_caught_up() {
    let server = Server::start(JETSTREAM).await;
    let (inbox, events) = inbox(1024 * 1024);
    let engine = Nats::connect_with(options(&server.url(), "test"), inbox).await.expect("a connection");
    let mut node = Node::new((engine, events));
    let other = server.node().await;
    let start = node.subscribe(b"/").await;
    for _ in 0..6 {
        other.publish_as(b"/", other.next_id(), vec![b'x'; 500 * 1024].into()).await;
    }
    let reason = node.down().await;
    assert!(reason.contains("too slow"), "{reason}");
    node.up().await;
    assert_eq!(node.since(b"/", start).await.expect("nothing lost").len(), 6);
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn the_longest_payload_is_delivered_in_a_room_with_a_long_name() {
    let server = Server::start(JETSTREAM).await;
    let mut node = server.node().await;
    let room = vec![b'a'; 8000];
    node.subscribe(&room).await;
    let payload = Bytes::from(vec![b'x'; node.engine.max_payload()]);
    node.publish_as(&room, node.next_id(), payload.clone()).await;
    let (name, publication) = node.publication().await;
    assert_eq!(name, room);
    assert!(publication.payload == payload);
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn a_message_by_a_stranger_is_ignored() {
    let server = Server::start(JETSTREAM).await;
    let mut node = server.node().await;
    node.subscribe(b"/").await;
    let client = node.engine.0.client.clone();
    client.publish(node.engine.0.subjects.live(b"/"), "hello".into()).await.expect("a client");
    assert_eq!(node.event().await, Event::Stranger { room: "/".into() });
    node.publish(b"/", "ours").await;
    assert_eq!(node.publication().await.1.payload, "ours");
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn clusters_of_other_names_are_apart_and_a_stream_of_somebody_else_is_refused() {
    let server = Server::start(JETSTREAM).await;
    let mut node = server.node().await;
    let other = Node::new(Nats::connect(options(&server.url(), "other")).await.expect("a connection"));
    node.subscribe(b"/").await;
    other.publish(b"/", "other").await;
    node.publish(b"/", "ours").await;
    assert_eq!(node.publication().await.1.payload, "ours");
    let client = &node.engine.0.client;
    let config = r#"{"name":"theirs","subjects":["theirs.>"],"storage":"memory","retention":"limits"}"#;
    client.request("$JS.API.STREAM.CREATE.theirs", config.into()).await.expect("an answer");
    let error = refused(options(&server.url(), "theirs")).await;
    assert_eq!(error.exit_code(), 3);
    assert!(error.to_string().contains("--cluster-name"), "{error}");
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn rooms_that_are_left_leave_no_subscription() {
    let server = Server::start(&["-js", "-sd", "store", "-m", "-1"]).await;
    let node = server.node().await;
    let before = server.subscriptions().await;
    for number in 0..100 {
        node.subscribe(format!("/{number}").as_bytes()).await;
    }
    assert_eq!(server.subscriptions().await, before + 100);
    for number in 0..100 {
        node.engine.unsubscribe(format!("/{number}").as_bytes()).await.expect("no error");
    }
    while server.subscriptions().await > before {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn a_server_without_jetstream_and_a_wrong_login_are_errors() {
    let server = Server::start(&[]).await;
    let error = refused(options(&server.url(), "test")).await;
    assert_eq!(error.exit_code(), 3);
    assert!(error.to_string().ends_with("it has no JetStream"), "{error}");
    let server = Server::start(&["-js", "-sd", "store", "--user", "me", "--pass", "right"]).await;
    for url in [server.url(), server.url().replace("nats://", "nats://me:wrong@")] {
        let error = refused(options(&url, "test")).await;
        assert_eq!(error.exit_code(), 3);
        assert!(error.to_string().ends_with("it refused the login"), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("--cluster-auth")));
    }
    let url = server.url().replace("nats://", "nats://me:right@");
    let node = Node::new(Nats::connect(options(&url, "test")).await.expect("a connection"));
    node.publish(b"/", "text").await;
    let server = Server::start(&["-js", "-sd", "store", "--auth", "token"]).await;
    let url = server.url().replace("nats://", "nats://token@");
    let node = Node::new(Nats::connect(options(&url, "test")).await.expect("a connection"));
    node.publish(b"/", "text").await;
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn tls_has_the_authorities_of_the_option() {
    let mut server = Server::new(&["-js", "-sd", "store", "--tls", "--tlscert", "cert.pem", "--tlskey", "key.pem"]);
    testing::certificate(&server.folder);
    server.restart().await;
    let options = options(&server.url().replace("nats:", "tls:"), "test");
    testing::authorities_are_those_of_the_option(&server.folder, options, Nats::connect).await;
    // A server without TLS.
    let plain = Server::start(JETSTREAM).await;
    let error = refused(testing::options(&plain.url().replace("nats:", "tls:"), "test")).await;
    assert!([3, 4].contains(&error.exit_code()), "{error}");
}

#[tokio::test]
async fn a_server_older_than_2_9_is_refused() {
    const INFO: &str =
        "INFO {\"server_id\":\"x\",\"version\":\"2.8.4\",\"proto\":1,\"max_payload\":1048576,\"headers\":true}\r\n";
    let at = stub(INFO, "PONG\r\n").await;
    let error = refused(options(&format!("nats://{at}"), "test")).await;
    assert_eq!(error.exit_code(), 3);
    assert!(error.to_string().ends_with("it is too old: NATS 2.9 or newer is required"), "{error}");
}

#[tokio::test]
async fn something_that_is_not_nats_is_refused() {
    for greeting in ["HTTP/1.1 400 Bad Request\r\n\r\n", "INFO {\r\n", "\u{0}\r\n", "PING\r\n"] {
        let at = stub(greeting, "-ERR\r\n").await;
        let error = refused(options(&format!("nats://{at}"), "test")).await;
        assert_eq!(error.exit_code(), 3, "{greeting:?}: {error}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_exit_code_3() {
    assert_eq!(refused(options("nats://127.0.0.1:1", "test")).await.exit_code(), 3);
}
