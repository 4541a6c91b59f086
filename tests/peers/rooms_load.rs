//! A thousand members: nothing is lost, nothing is out of order, and a stuck member affects nobody else.

use crate::{
    common::peer::websocket,
    http::{Exchange, upgrade_request},
    rooms_metrics::{metrics_port, scrape},
    support::{LIMIT, Serving, program},
};
use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use std::{
    collections::HashMap,
    fs,
    future::Future,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpSocket, TcpStream},
    sync::Semaphore,
    task::{self, JoinHandle},
    time::{interval, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Bytes, Message,
        protocol::{CloseFrame, Role, frame::coding::CloseCode},
    },
};

const ROOMS: usize = 50;
/// Members who stay from before the first message until after the last.
const RESIDENTS: usize = 900;
/// Members who come and go all the time; a thousand together with the residents.
const VISITORS: usize = 100;
const SENDERS: usize = 50;
const DURATION: Duration = Duration::from_secs(60);
/// Between two messages of a sender.
const PAUSE: Duration = Duration::from_millis(25);
/// The sender's number in the last message of a room.
const LAST: u32 = u32::MAX;
/// The number of a sender whose messages are long.
const LONG: u32 = u32::MAX - 1;

/// A message that says whose it is, which of theirs, and when it was sent, in nanoseconds of the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tagged {
    sender: u32,
    number: u32,
    sent: u64,
}

impl Tagged {
    /// The message as it is sent: text or binary, of different lengths.
    fn encode(self) -> Message {
        let filler = "x".repeat(if self.sender == LONG { 16 << 10 } else { self.number as usize * 37 % 600 });
        let text = format!("{} {} {} {filler}", self.sender, self.number, self.sent);
        if self.number.is_multiple_of(2) { Message::binary(text.into_bytes()) } else { Message::text(text) }
    }

    #[track_caller]
    fn decode(message: &Message) -> Self {
        let text = message.to_text().expect("what was sent");
        let mut words = text.split(' ').map(|word| word.parse::<u64>().unwrap_or_default());
        let mut next = || words.next().expect("what was sent");
        let tagged = Self { sender: next() as u32, number: next() as u32, sent: next() };
        assert!(*message == tagged.encode(), "{tagged:?} was altered");
        tagged
    }
}

/// The two directions of a member's WebSocket.
struct Client {
    incoming: Incoming,
    outgoing: Outgoing,
}

struct Incoming(SplitStream<WebSocketStream<TcpStream>>);

struct Outgoing(SplitSink<WebSocketStream<TcpStream>, Message>);

impl Client {
    async fn join(port: u16, target: &str) -> Self {
        Self::upgrade(TcpStream::connect(("127.0.0.1", port)).await.expect("connect"), target).await
    }

    async fn upgrade(stream: TcpStream, target: &str) -> Self {
        stream.set_nodelay(true).expect("set an option");
        let stream = stream.into_std().expect("a socket of std's");
        let exchange = task::block_in_place(|| {
            stream.set_nonblocking(false).expect("set an option");
            Exchange::request(stream, &upgrade_request(target, "")).switched()
        });
        let (stream, read) = exchange.into_parts();
        let (outgoing, incoming) = websocket(stream, read, Role::Client).await.split();
        Self { incoming: Incoming(incoming), outgoing: Outgoing(outgoing) }
    }
}

impl Incoming {
    /// The next message; `None` at the close frame. Pings are answered. It can be dropped without loss.
    async fn receive(&mut self) -> Option<Tagged> {
        loop {
            let message = self.0.next().await.expect("a close frame before the end");
            match message.expect("no error before the close frame") {
                Message::Close(_) => return None,
                Message::Ping(_) | Message::Pong(_) => {}
                message => return Some(Tagged::decode(&message)),
            }
        }
    }

    /// All messages up to this sender's of this number.
    async fn receive_until(&mut self, sender: u32, number: u32) -> Vec<Tagged> {
        let mut all = Vec::new();
        loop {
            let message = self.receive().await.expect("more messages before the close frame");
            all.push(message);
            if (message.sender, message.number) == (sender, number) {
                return all;
            }
        }
    }
}

impl Outgoing {
    async fn send(&mut self, message: Tagged) {
        self.0.send(message.encode()).await.expect("send");
    }

    /// Sends it with a close frame right behind it, in the same write.
    async fn send_and_close(&mut self, message: Tagged) {
        self.0.feed(message.encode()).await.expect("send");
        let close = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        self.0.send(Message::Close(Some(close))).await.expect("close");
    }

    /// Answers a ping, whether there was one or not.
    async fn send_pong(&mut self) {
        self.0.send(Message::Pong(Bytes::new())).await.expect("answer");
    }
}

/// What one visitor received between its join and its leave.
struct Visit {
    room: usize,
    joined: u64,
    /// Its own number as a sender.
    me: u32,
    log: Vec<Tagged>,
}

#[derive(Clone)]
struct Scene {
    port: u16,
    started: Instant,
    next_sender: Arc<AtomicU32>,
}

impl Scene {
    fn new(port: u16) -> Self {
        Self { port, started: Instant::now(), next_sender: Arc::default() }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).expect("a short test")
    }

    fn message(&self, sender: u32, number: u32) -> Tagged {
        Tagged { sender, number, sent: self.now() }
    }

    fn new_sender(&self) -> u32 {
        self.next_sender.fetch_add(1, Relaxed)
    }

    async fn join(&self, room: usize) -> Client {
        Client::join(self.port, &format!("/room/{room}?load")).await
    }

    /// Sends regularly until the time is over; gives how many messages that were.
    async fn send_until(self, mut outgoing: Outgoing, sender: u32, until: Instant) -> (Outgoing, u32, u32) {
        let mut ticks = interval(PAUSE);
        let mut number = 0;
        while Instant::now() < until {
            ticks.tick().await;
            number += 1;
            outgoing.send(self.message(sender, number)).await;
        }
        (outgoing, sender, number)
    }

    /// Joins one room after the other, sends a message at the start and at the end of each visit.
    async fn visit(self, visitor: usize, until: Instant) -> Vec<Visit> {
        let mut visits = Vec::new();
        for round in 0.. {
            if Instant::now() >= until {
                break;
            }
            let room = (visitor + round * 7) % ROOMS;
            let Client { mut incoming, mut outgoing } = self.join(room).await;
            let (joined, me) = (self.now(), self.new_sender());
            outgoing.send(self.message(me, 1)).await;
            let mut log = incoming.receive_until(me, 1).await;
            // Some stay for a moment, some for a while.
            let stay = Duration::from_millis((visitor as u64 * 31 + round as u64 * 173) % 1500);
            let leaves_at = tokio::time::Instant::now() + stay;
            let mut is_staying = true;
            while is_staying {
                match tokio::time::timeout_at(leaves_at, incoming.receive()).await {
                    Ok(message) => log.push(message.expect("no close frame")),
                    Err(_) => is_staying = false,
                }
                is_staying &= tokio::time::Instant::now() < leaves_at;
            }
            let closes = round % 3 != 0;
            if closes {
                outgoing.send_and_close(self.message(me, 2)).await;
            } else {
                outgoing.send(self.message(me, 2)).await;
            }
            log.extend(incoming.receive_until(me, 2).await);
            if closes {
                while let Some(message) = incoming.receive().await {
                    log.push(message);
                }
            }
            // Others vanish without a close frame.
            visits.push(Visit { room, joined, me, log });
        }
        visits
    }
}

fn run<T>(limit: Duration, test: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async { timeout(limit, test).await.expect("within the limit") })
}

async fn joined<T>(tasks: Vec<JoinHandle<T>>) -> Vec<T> {
    let mut all = Vec::new();
    for task in tasks {
        all.push(task.await.expect("a task that is content"));
    }
    all
}

pub fn metric(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("wsplice_{name} ")));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
}

/// A line of `/proc/PID/status` in KiB.
pub fn memory(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process's status");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line of that name");
    line.split_whitespace().find_map(|word| word.parse().ok()).expect("a number")
}

#[test]
#[ignore = "takes a minute: tests/with-peers.sh"]
fn a_thousand_members_in_fifty_rooms_miss_nothing_and_agree_on_the_order() {
    let mut rooms = Serving::start(["--broadcast", "ws-l:127.0.0.1:0", "--metrics", "127.0.0.1:0"]);
    let metrics = metrics_port(&mut rooms);
    let scene = Scene::new(rooms.port);
    let pid = rooms.running.pid();
    let (logs, sent, visits, early_memory) = run(DURATION + 4 * LIMIT, async {
        let mut listening: Vec<JoinHandle<Vec<Tagged>>> = Vec::new();
        let mut senders: Vec<Option<Outgoing>> = Vec::new();
        for resident in 0..RESIDENTS {
            let Client { mut incoming, outgoing } = scene.join(resident % ROOMS).await;
            listening.push(tokio::spawn(async move { incoming.receive_until(LAST, 1).await }));
            senders.push(Some(outgoing));
        }
        let until = Instant::now() + DURATION;
        // Three of the senders share each of ten rooms, twenty have a room of their own, and in the other twenty rooms
        // only visitors send.
        let sending: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let resident = if sender < 30 { sender % 10 + sender / 10 * ROOMS } else { sender - 20 };
                let outgoing = senders[resident].take().expect("one sender a resident");
                tokio::spawn(scene.clone().send_until(outgoing, scene.new_sender(), until))
            })
            .collect();
        let visiting: Vec<_> = (0..VISITORS).map(|visitor| tokio::spawn(scene.clone().visit(visitor, until))).collect();
        tokio::time::sleep_until((until - DURATION * 2 / 3).into()).await;
        let early_memory = memory(pid, "VmRSS:");
        let sent = joined(sending).await;
        let visits: Vec<Visit> = joined(visiting).await.into_iter().flatten().collect();
        // The last residents, one in each room, have sent nothing so far.
        for room in 0..ROOMS {
            let outgoing = senders[RESIDENTS - ROOMS + room].as_mut().expect("no sender");
            outgoing.send(scene.message(LAST, 1)).await;
        }
        (joined(listening).await, sent, visits, early_memory)
    });

    // All residents of a room have received the same, in the same order.
    for (resident, log) in logs.iter().enumerate() {
        assert!(
            *log == logs[resident % ROOMS],
            "resident {resident} has received something else than {}",
            resident % ROOMS
        );
    }
    // Everything that was sent is in it, in the sender's order.
    let mut numbers: HashMap<u32, u32> = HashMap::new();
    for message in logs[..ROOMS].iter().flatten().filter(|message| message.sender != LAST) {
        let last = numbers.entry(message.sender).or_default();
        assert_eq!(message.number, *last + 1, "of sender {}", message.sender);
        *last = message.number;
    }
    for (_, sender, count) in &sent {
        assert_eq!(numbers.get(sender), Some(count), "of sender {sender}");
    }
    // A visitor has received an unbroken piece of it, from its join at the latest up to its own last message at least.
    let places: Vec<HashMap<(u32, u32), usize>> = logs[..ROOMS]
        .iter()
        .map(|log| log.iter().enumerate().map(|(at, message)| ((message.sender, message.number), at)).collect())
        .collect();
    for Visit { room, joined, me, log } in &visits {
        assert_eq!(numbers.get(me), Some(&2));
        let start = places[*room][&(log[0].sender, log[0].number)];
        let piece = logs[*room].get(start..start + log.len());
        assert!(piece == Some(&log[..]), "visitor {me} has missed something in room {room}: {log:?}");
        let missed = logs[*room][..start].iter().find(|message| message.sent > *joined);
        assert!(missed.is_none(), "visitor {me} joined room {room} at {joined} and missed {missed:?}");
    }

    let text = scrape(metrics);
    let received = logs[..ROOMS].iter().map(Vec::len).sum::<usize>() as u64;
    assert_eq!(metric(&text, "messages_received_total"), received);
    assert_eq!((metric(&text, "messages_dropped_total"), metric(&text, "slow_disconnects_total")), (0, 0));
    let (late_memory, peak) = (memory(pid, "VmRSS:"), memory(pid, "VmHWM:"));
    println!(
        "{} visits, {received} messages, {} deliveries; memory {early_memory} KiB after a third, {late_memory} at the end, \
         {peak} at most",
        visits.len(),
        metric(&text, "messages_sent_total"),
    );
    // Memory that grew with every message or visit would be far above this after the other two thirds.
    assert!(late_memory < early_memory * 5 / 4 + 2048, "{early_memory} KiB became {late_memory}");
    assert!(peak < 64 * 1024, "{peak} KiB");
}

/// A thousand members of a room, one of whom never reads. With this policy, this metric shows when its backlog was full.
fn one_is_stuck(policy: &str, event: &str) {
    const MEMBERS: usize = 1000;
    const ROUND: u32 = 10;
    let arguments =
        ["--broadcast", "ws-l:127.0.0.1:0", "--metrics", "127.0.0.1:0", "--slow", policy, "--backlog", "512k"];
    let mut rooms = Serving::start(arguments);
    let metrics = metrics_port(&mut rooms);
    let scene = Scene::new(rooms.port);
    run(4 * LIMIT, async {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("set an option");
        let address = ([127, 0, 0, 1], rooms.port).into();
        let stuck = Client::upgrade(socket.connect(address).await.expect("connect"), "/room/0?load").await;
        let Client { mut incoming, mut outgoing } = scene.join(0).await;
        let (mut listening, mut senders, received) = (Vec::new(), Vec::new(), Arc::new(Semaphore::new(0)));
        for _ in 2..MEMBERS {
            let Client { mut incoming, outgoing } = scene.join(0).await;
            senders.push(outgoing);
            let received = received.clone();
            listening.push(tokio::spawn(async move {
                let mut log = Vec::new();
                loop {
                    let message = incoming.receive().await.expect("more messages before the close frame");
                    log.push(message);
                    if message.sender == LAST {
                        return log;
                    }
                    received.add_permits(usize::from(message.number.is_multiple_of(ROUND)));
                }
            }));
        }
        // All wait for all in each round, so that nobody else is far behind. After the event comes one more.
        let (mut log, mut number, mut is_over) = (Vec::new(), 0, false);
        while !is_over {
            assert!(number < 200 * ROUND, "so much was sent and {event} is still 0");
            is_over = metric(&task::block_in_place(|| scrape(metrics)), event) > 0;
            for _ in 0..ROUND {
                number += 1;
                outgoing.send(scene.message(LONG, number)).await;
            }
            log.extend(incoming.receive_until(LONG, number).await);
            received.acquire_many(MEMBERS as u32 - 2).await.expect("nobody closes it").forget();
        }
        outgoing.send(scene.message(LAST, 1)).await;
        log.extend(incoming.receive_until(LAST, 1).await);
        assert!(log.iter().map(|message| message.number).eq((1..=number).chain([1])), "in order");
        for (member, others) in joined(listening).await.into_iter().enumerate() {
            assert!(others == log, "member {member} has received something else");
        }
        println!("{policy}: {number} messages until one was too slow");
        drop((stuck, senders));
    });
    let text = scrape(metrics);
    assert!(metric(&text, "slow_disconnects_total") <= 1, "{text}");
}

#[test]
#[ignore = "needs many descriptors: tests/with-peers.sh"]
fn one_of_a_thousand_that_never_reads_is_closed_and_the_others_miss_nothing() {
    one_is_stuck("disconnect", "slow_disconnects_total");
}

#[test]
#[ignore = "needs many descriptors: tests/with-peers.sh"]
fn one_of_a_thousand_that_never_reads_misses_messages_and_the_others_none() {
    one_is_stuck("drop-oldest", "messages_dropped_total");
    one_is_stuck("drop-newest", "messages_dropped_total");
}

#[test]
#[ignore = "moves much: tests/with-peers.sh"]
fn a_room_goes_on_each_time_the_member_that_blocks_it_catches_up() {
    const MEMBERS: usize = 100;
    const SENDERS: usize = 2;
    const MESSAGES: u32 = 5000;
    let arguments = ["--broadcast", "ws-l:127.0.0.1:0", "--slow", "block", "--backlog", "4k"];
    let rooms = Serving::start(arguments);
    let scene = Scene::new(rooms.port);
    run(2 * LIMIT, async {
        let (mut sending, mut listening) = (Vec::new(), Vec::new());
        for member in 0..MEMBERS {
            let socket = TcpSocket::new_v4().expect("a socket");
            // The buffers of some connections are so small that their members block the room again and again.
            if member % 10 == 0 {
                socket.set_recv_buffer_size(4096).expect("set an option");
            }
            let stream = socket.connect(([127, 0, 0, 1], rooms.port).into()).await.expect("connect");
            let Client { mut incoming, mut outgoing } = Client::upgrade(stream, "/room/0?load").await;
            listening.push(tokio::spawn(async move {
                let mut log = Vec::new();
                for _ in 0..SENDERS as u32 * MESSAGES {
                    log.push(incoming.receive().await.expect("no close frame"));
                }
                log
            }));
            let (scene, messages) = (scene.clone(), if member < SENDERS { MESSAGES } else { 0 });
            sending.push(async move {
                for number in 1..=messages {
                    outgoing.send(scene.message(member as u32, number)).await;
                }
                // It stays though it sends nothing more.
                outgoing
            });
        }
        // All are there before the first message.
        let _open = joined(sending.into_iter().map(tokio::spawn).collect()).await;
        let logs = joined(listening).await;
        assert!(logs.iter().all(|log| *log == logs[0]), "one order");
    });
}

#[test]
#[ignore = "is about time: tests/with-peers.sh"]
fn members_of_a_blocked_room_are_not_taken_for_dead() {
    const MEMBERS: usize = 20;
    let arguments = ["--broadcast", "ws-l:127.0.0.1:0", "--slow", "block", "--backlog", "4k"];
    let lengths = ["--max-ws-message-length", "1m"];
    let pings = ["--ping-interval", "0.2", "--ping-timeout", "1"];
    let rooms = Serving::start([&arguments[..], &lengths, &pings].concat());
    let scene = Scene::new(rooms.port);
    run(LIMIT, async {
        let mut listening = Vec::new();
        let Client { mut incoming, mut outgoing } = scene.join(0).await;
        for _ in 0..MEMBERS {
            let Client { mut incoming, outgoing } = scene.join(0).await;
            listening.push(tokio::spawn(async move {
                incoming.receive_until(LAST, 1).await;
                outgoing
            }));
        }
        let stuck = scene.join(0).await;
        // It neither reads nor answers pings, so it is removed some time after the room has begun to wait for it. All others
        // receive what was sent until then and what is sent at the end.
        let sending = tokio::spawn(async move {
            for number in 1..=1000 {
                outgoing.send_pong().await;
                outgoing.send(scene.message(LONG, number)).await;
            }
            outgoing.send(scene.message(LAST, 1)).await;
            outgoing
        });
        incoming.receive_until(LAST, 1).await;
        let _open = (sending.await, joined(listening).await, stuck);
    });
}

#[test]
#[ignore = "needs many descriptors: tests/with-peers.sh"]
fn a_soft_limit_on_open_files_does_not_limit_the_members() {
    let mut command = Command::new("sh");
    command.args(["-c", r#"ulimit -Sn 64 && exec "$@""#, "sh", &program(), "--broadcast"]);
    command.args(["ws-l:127.0.0.1:0", "--stdout-announce-listening-ports"]);
    let rooms = Serving::from_command(command);
    let scene = Scene::new(rooms.port);
    run(LIMIT, async {
        let mut members = Vec::new();
        for _ in 0..200 {
            members.push(scene.join(0).await);
        }
        members[0].outgoing.send(scene.message(0, 1)).await;
        for member in &mut members {
            assert_eq!(member.incoming.receive_until(0, 1).await.len(), 1);
        }
    });
}
