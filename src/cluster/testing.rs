//! What the tests of the engines share: real servers, and the promises of [`Engine`].

use super::{BatchId, ClusterOptions, Engine, EngineUrl, Event, Events, Position, Publication, WhenDown};
use crate::{error::Error, net::HostPort};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::timeout,
};

/// For anything that has to happen in a test.
const PATIENCE: Duration = Duration::from_secs(20);

/// A folder that is removed at the end of the test.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("wsplice-engine-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("a folder");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A server's process, which is killed at the end of the test.
pub struct Process(Child);

impl Process {
    pub fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Self(child.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}")))
    }

    #[cfg(feature = "nats")]
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Sends SIGSTOP.
    pub fn stop(&self) {
        self.signal(libc::SIGSTOP);
    }

    /// Sends SIGCONT.
    pub fn resume(&self) {
        self.signal(libc::SIGCONT);
    }

    /// Sends SIGKILL, and waits for the end.
    pub fn kill(mut self) {
        self.0.kill().expect("a process to kill");
        self.0.wait().expect("its end");
    }

    fn signal(&self, signal: i32) {
        let process = rustix::process::Pid::from_child(&self.0);
        let signal = rustix::process::Signal::from_named_raw(signal).expect("a signal");
        rustix::process::kill_process(process, signal).expect("a running process");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A certificate for 127.0.0.1 that is its own authority, as `cert.pem` and `key.pem` in a folder.
pub fn certificate(folder: &Folder) -> rcgen::CertifiedKey<rcgen::KeyPair> {
    let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    fs::write(folder.path().join("cert.pem"), pem("CERTIFICATE", certified.cert.der())).expect("a file");
    fs::write(folder.path().join("key.pem"), pem("PRIVATE KEY", &certified.signing_key.serialize_der()))
        .expect("a file");
    certified
}

fn pem(label: &str, der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let lines = encoded.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line) + "\n").collect::<String>();
    format!("-----BEGIN {label}-----\n{lines}-----END {label}-----\n")
}

/// Options of a node in the cluster `name`.
pub fn options(url: &str, name: &str) -> ClusterOptions {
    ClusterOptions {
        engine: EngineUrl::parse(url).expect("a URL"),
        name: name.to_owned(),
        ca: None,
        wait: Duration::from_secs(5),
        when_down: WhenDown::Close,
        kept: Duration::from_secs(600),
    }
}

/// A server that listens on a free port, says `greeting` and answers whatever comes with `answer`.
pub async fn stub(greeting: &'static str, answer: &'static str) -> HostPort {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("an address").into();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                let _ = client.write_all(greeting.as_bytes()).await;
                while client.read(&mut buffer).await.is_ok_and(|length| length > 0) {
                    let _ = client.write_all(answer.as_bytes()).await;
                }
            });
        }
    });
    at
}

/// A node: a handle to the engine with its events, and the number of its next batch.
pub struct Node<E> {
    pub engine: E,
    pub events: Events,
    pub id: u64,
    pub number: AtomicU64,
}

impl<E: Engine> Node<E> {
    pub fn new((engine, events): (E, Events)) -> Self {
        Self { engine, events, id: rand::random(), number: AtomicU64::new(1) }
    }

    pub fn next_id(&self) -> BatchId {
        BatchId { node: self.id, number: self.number.fetch_add(1, Relaxed) }
    }

    pub async fn subscribe(&self, room: &[u8]) -> Position {
        timeout(PATIENCE, self.engine.subscribe(room)).await.expect("an answer").expect("a subscription")
    }

    pub async fn publish(&self, room: &[u8], text: &str) -> Position {
        self.publish_as(room, self.next_id(), text.to_owned().into()).await
    }

    /// Publishes, again and again while the engine is away.
    pub async fn publish_as(&self, room: &[u8], id: BatchId, payload: Bytes) -> Position {
        let attempts = async {
            loop {
                match self.engine.publish(room, id, payload.clone()).await {
                    Ok(position) => return position,
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        };
        timeout(PATIENCE, attempts).await.expect("a stored batch")
    }

    /// What is kept after a place.
    pub async fn since(&self, room: &[u8], after: Position) -> Option<Vec<Publication>> {
        timeout(PATIENCE, self.engine.since(room, after, 1000)).await.expect("an answer").expect("no error")
    }

    pub async fn event(&mut self) -> Event {
        timeout(PATIENCE, self.events.next()).await.expect("an event").expect("a connection")
    }

    /// The next publication; there must be no other event before it.
    pub async fn publication(&mut self) -> (Bytes, Publication) {
        match self.event().await {
            Event::Publication { room, publication } => (room, publication),
            other => panic!("{other:?}"),
        }
    }

    /// The reason of the next loss of the connection; what comes before is dropped.
    pub async fn down(&mut self) -> String {
        loop {
            if let Event::Down { reason, .. } = self.event().await {
                return reason;
            }
        }
    }

    /// Waits until the connection is restored; what comes before is dropped.
    pub async fn up(&mut self) {
        while self.event().await != Event::Up {}
    }
}

/// Texts of publications, for comparisons.
pub fn texts(publications: &[Publication]) -> Vec<String> {
    publications.iter().map(|publication| String::from_utf8_lossy(&publication.payload).into_owned()).collect()
}

/// Whether each publication names the one before it, and the first one `after`.
pub fn is_chain(after: Position, publications: &[Publication]) -> bool {
    let mut last = after.sequence;
    publications.iter().all(|publication| {
        let is_next = publication.previous == last && publication.position.epoch == after.epoch;
        last = publication.position.sequence;
        is_next
    })
}

/// Names of rooms with everything that a name may have.
pub const ROOMS: [&[u8]; 6] = [
    b"/",
    b"/a b*>.?x=1",
    b"/\0\r\n\xff",
    b"/\xc3\xa4\xe2\x82\xac",
    b"",
    b"/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
];

/// Two nodes that publish at the same time in several rooms see one order in each, which is that of the positions.
pub async fn one_order<E: Engine>(mut first: Node<E>, mut second: Node<E>) {
    const EACH: usize = 50;
    let mut starts = Vec::new();
    for room in ROOMS {
        starts.push(first.subscribe(room).await);
        second.subscribe(room).await;
    }
    let publish = async |node: &Node<E>, name: &str| {
        let rooms = ROOMS.map(async |room| {
            for number in 0..EACH {
                node.publish(room, &format!("{name} {number}")).await;
            }
        });
        futures_util::future::join_all(rooms).await;
    };
    tokio::join!(publish(&first, "first"), publish(&second, "second"));
    let mut seen = Vec::new();
    for node in [&mut first, &mut second] {
        let mut of_rooms = ROOMS.map(|_| Vec::new());
        for _ in 0..ROOMS.len() * EACH * 2 {
            let (room, publication) = node.publication().await;
            let room = ROOMS.iter().position(|name| *name == room).expect("one of the rooms");
            of_rooms[room].push(publication);
        }
        seen.push(of_rooms);
    }
    assert_eq!(seen[0], seen[1]);
    for (start, room) in starts.iter().zip(&seen[0]) {
        assert_eq!(room.len(), 2 * EACH);
        assert!(is_chain(*start, room), "{room:?}");
        let of_first = texts(room).into_iter().filter(|text| text.starts_with("first")).collect::<Vec<_>>();
        assert_eq!(of_first, (0..EACH).map(|number| format!("first {number}")).collect::<Vec<_>>());
    }
}

/// A batch that is sent twice is stored and delivered once.
pub async fn doubles_are_refused<E: Engine>(mut node: Node<E>) {
    let start = node.subscribe(b"/").await;
    let id = node.next_id();
    let first = node.publish_as(b"/", id, "once".into()).await;
    assert_eq!(node.publish_as(b"/", id, "once".into()).await, first);
    // In another room the number is free.
    node.subscribe(b"/other").await;
    node.publish_as(b"/other", id, "other".into()).await;
    node.publish(b"/", "next").await;
    let mut seen: Vec<Publication> = Vec::new();
    while seen.len() < 2 {
        let (room, publication) = node.publication().await;
        // It may come twice.
        if room == "/" && !seen.contains(&publication) {
            seen.push(publication);
        }
    }
    assert_eq!(texts(&seen), ["once", "next"]);
    assert!(is_chain(start, &seen));
    assert_eq!(seen[0].position, first);
    assert_eq!(node.since(b"/", start).await, Some(seen));
}

/// `since` gives what is after a place, at most so many, and nothing for a place that the engine does not know.
pub async fn places_are_known<E: Engine>(node: Node<E>) {
    let start = node.subscribe(b"/").await;
    assert_eq!(node.since(b"/", start).await, Some(vec![]));
    let mut places = vec![start];
    for number in 0..5 {
        places.push(node.publish(b"/", &number.to_string()).await);
        node.publish(b"/other", "other").await;
    }
    let all = node.since(b"/", start).await.expect("nothing lost");
    assert_eq!(texts(&all), ["0", "1", "2", "3", "4"]);
    assert!(is_chain(start, &all));
    assert_eq!(all.iter().map(|publication| publication.position).collect::<Vec<_>>(), places[1..]);
    assert_eq!(node.since(b"/", places[3]).await, Some(all[3..].to_vec()));
    assert_eq!(node.since(b"/", places[5]).await, Some(vec![]));
    let two = node.engine.since(b"/", start, 2).await.expect("no error");
    assert_eq!(two.as_deref(), Some(&all[..2]));
    assert_eq!(node.subscribe(b"/").await, places[5]);
    let other_epoch = Position { epoch: places[5].epoch ^ 1, ..places[5] };
    assert_eq!(node.since(b"/", other_epoch).await, None);
    let future = Position { sequence: places[5].sequence + 1000, ..places[5] };
    assert_eq!(node.since(b"/", future).await, None);
}

/// `last` gives the newest publications, of which each names the one before it.
pub async fn the_last_are_given_in_order<E: Engine>(node: Node<E>) {
    let last = async |room: &[u8], limit| {
        let answer = timeout(PATIENCE, node.engine.last(room, limit)).await;
        answer.expect("an answer").expect("no error")
    };
    let start = node.subscribe(b"/").await;
    assert_eq!(last(b"/", 5).await, []);
    let mut places = vec![start];
    for number in 0..30 {
        places.push(node.publish(b"/", &number.to_string()).await);
        node.publish(b"/other", "other").await;
    }
    for limit in [1, 2, 29, 30, 1000] {
        let last = last(b"/", limit).await;
        let count = limit.min(30);
        assert_eq!(texts(&last), (30 - count..30).map(|number| number.to_string()).collect::<Vec<_>>());
        assert_eq!(last.iter().map(|publication| publication.position).collect::<Vec<_>>(), places[31 - count..]);
        let first = last[0].previous;
        assert!(first == 0 && count == 30 || first == places[30 - count].sequence, "{first}");
        assert!(is_chain(Position { sequence: first, ..start }, &last));
    }
}

/// A server that does not answer for 4 s is noticed, and has what was published meanwhile.
pub async fn a_pause_loses_nothing<E: Engine>(mut node: Node<E>, server: &Process) {
    let start = node.subscribe(b"/").await;
    server.stop();
    let id = node.next_id();
    let publish = node.publish_as(b"/", id, "during".into());
    let resume = async {
        tokio::time::sleep(Duration::from_secs(4)).await;
        server.resume();
    };
    tokio::join!(publish, resume);
    assert_eq!(node.down().await, "no answer for 1.5 s");
    node.up().await;
    assert_eq!(texts(&node.since(b"/", start).await.expect("nothing lost")), ["during"]);
}

/// A server that keeps its data is the same after `restart`, which kills it and starts it again.
pub async fn a_restart_loses_nothing<E: Engine>(mut node: Node<E>, restart: impl AsyncFnOnce(&mut Node<E>)) {
    let start = node.subscribe(b"/").await;
    let id = node.next_id();
    let before = node.publish_as(b"/", id, "before".into()).await;
    restart(&mut node).await;
    node.up().await;
    assert_eq!(node.publish_as(b"/", id, "before".into()).await, before);
    let after = node.publish(b"/", "after").await;
    assert_eq!(after.epoch, before.epoch);
    let all = node.since(b"/", start).await.expect("nothing lost");
    assert_eq!(texts(&all), ["before", "after"]);
    assert!(is_chain(start, &all));
}

/// A server whose certificate is [that of `folder`](certificate) is trusted with `--cluster-ca` only.
pub async fn authorities_are_those_of_the_option<E: Engine>(
    folder: &Folder,
    mut options: ClusterOptions,
    connect: impl AsyncFn(ClusterOptions) -> Result<(E, Events), Error>,
) {
    let refused = async |options| connect(options).await.err().expect("an error");
    let error = refused(options.clone()).await;
    assert_eq!(error.exit_code(), 4, "{error}");
    assert!(error.hint().is_some_and(|hint| hint.starts_with("--cluster-ca")), "{:?}", error.hint());
    options.ca = Some(folder.path().join("cert.pem"));
    let mut node = Node::new(connect(options.clone()).await.expect("a connection"));
    node.subscribe(b"/").await;
    node.publish(b"/", "text").await;
    assert_eq!(node.publication().await.1.payload, "text");
    options.ca = Some(folder.path().join("missing.pem"));
    assert_eq!(refused(options).await.exit_code(), 2);
}
