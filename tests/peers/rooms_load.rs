//! A thousand members at once: nothing is lost, nothing is out of order, and a member that is stuck hinders nobody.

use crate::{
    rooms_metrics::{metrics_port, scrape},
    support::{LIMIT, Serving},
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
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        TcpSocket, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Semaphore,
    task::JoinHandle,
    time::{interval, timeout},
};

const ROOMS: usize = 50;
/// Who stay from before the first message until after the last.
const RESIDENTS: usize = 900;
/// Who come and go all the time; with the residents a thousand.
const VISITORS: usize = 100;
const SENDERS: usize = 50;
const DURATION: Duration = Duration::from_secs(60);
/// How often each sender speaks.
const PAUSE: Duration = Duration::from_millis(25);
/// The sender's number in the last message of a room.
const LAST: u32 = u32::MAX;
/// The number of a sender whose messages are long.
const LONG: u32 = u32::MAX - 1;

/// A message that somebody heard: whose it is, which of theirs, and when it was sent, in nanoseconds of the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Heard {
    sender: u32,
    number: u32,
    sent: u64,
}

impl Heard {
    /// The message as it is sent: text or binary, of different lengths.
    fn encode(self) -> (u8, Vec<u8>) {
        let filler = "x".repeat(if self.sender == LONG { 16 << 10 } else { self.number as usize * 37 % 600 });
        let text = format!("{} {} {} {filler}", self.sender, self.number, self.sent);
        (self.opcode(), text.into_bytes())
    }

    fn opcode(self) -> u8 {
        if self.number.is_multiple_of(2) { BINARY } else { TEXT }
    }

    #[track_caller]
    fn decode(opcode: u8, payload: &[u8]) -> Self {
        let text = std::str::from_utf8(payload).expect("what was sent");
        let mut words = text.split(' ').map(|word| word.parse::<u64>().unwrap_or_default());
        let mut next = || words.next().expect("what was sent");
        let heard = Self { sender: next() as u32, number: next() as u32, sent: next() };
        assert!((opcode, payload) == (heard.opcode(), &heard.encode().1[..]), "{heard:?} was altered");
        heard
    }
}

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// A client's two halves.
struct Client {
    hears: Ears,
    says: Mouth,
}

struct Ears(BufReader<OwnedReadHalf>);

struct Mouth(OwnedWriteHalf);

impl Client {
    async fn join(port: u16, target: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("connect");
        Self::upgrade(stream, target).await
    }

    async fn upgrade(stream: TcpStream, target: &str) -> Self {
        stream.set_nodelay(true).expect("set an option");
        let (reader, mut writer) = stream.into_split();
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        writer.write_all(request.as_bytes()).await.expect("ask");
        let mut reader = BufReader::new(reader);
        let mut line = String::new();
        reader.read_line(&mut line).await.expect("an answer");
        assert!(line.starts_with("HTTP/1.1 101 "), "{line:?}");
        while line != "\r\n" {
            line.clear();
            assert!(reader.read_line(&mut line).await.expect("an answer") > 0);
        }
        Self { hears: Ears(reader), says: Mouth(writer) }
    }
}

impl Ears {
    /// The next frame, which the server neither masks nor cuts; `None` at the end of the connection.
    async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let first = self.0.read_u8().await.ok()?;
        assert_eq!(first & 0xf0, 0x80, "a whole frame without reserved bits");
        let length = match self.0.read_u8().await.ok()? {
            126 => self.0.read_u16().await.ok()?.into(),
            127 => self.0.read_u64().await.ok()? as usize,
            short => short.into(),
        };
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).await.ok()?;
        Some((first & 0x0f, payload))
    }

    /// The next message; `None` at the close frame.
    async fn message(&mut self) -> Option<Heard> {
        loop {
            match self.frame().await.expect("a close frame before the end") {
                (CLOSE, _) => return None,
                (PING, _) => {}
                (opcode, payload) => return Some(Heard::decode(opcode, &payload)),
            }
        }
    }

    /// All that is heard up to this sender's message of this number.
    async fn until(&mut self, sender: u32, number: u32) -> Vec<Heard> {
        let mut all = Vec::new();
        loop {
            let heard = self.message().await.expect("more messages before the close frame");
            all.push(heard);
            if (heard.sender, heard.number) == (sender, number) {
                return all;
            }
        }
    }
}

impl Mouth {
    async fn say(&mut self, message: Heard) {
        self.say_and_close(message, false).await;
    }

    /// Says it, with a close frame right behind it if that is wanted.
    async fn say_and_close(&mut self, message: Heard, closes: bool) {
        let (opcode, payload) = message.encode();
        let mut frames = masked(opcode, &payload);
        if closes {
            frames.extend(masked(CLOSE, &1000_u16.to_be_bytes()));
        }
        self.0.write_all(&frames).await.expect("say");
    }
}

fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(length).expect("no longer messages").to_be_bytes());
        }
    }
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// What one visitor heard between its join and its leave.
struct Visit {
    room: usize,
    joined: u64,
    /// Its own number as a sender.
    me: u32,
    log: Vec<Heard>,
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

    fn message(&self, sender: u32, number: u32) -> Heard {
        Heard { sender, number, sent: self.now() }
    }

    fn new_sender(&self) -> u32 {
        self.next_sender.fetch_add(1, Relaxed)
    }

    async fn join(&self, room: usize) -> Client {
        Client::join(self.port, &format!("/room/{room}?load")).await
    }

    /// Speaks regularly until the time is over; tells how often.
    async fn speak(self, mut says: Mouth, sender: u32, until: Instant) -> (Mouth, u32, u32) {
        let mut ticks = interval(PAUSE);
        let mut number = 0;
        while Instant::now() < until {
            ticks.tick().await;
            number += 1;
            says.say(self.message(sender, number)).await;
        }
        (says, sender, number)
    }

    /// Joins one room after the other, says a word at the start and at the end of each visit.
    async fn visit(self, visitor: usize, until: Instant) -> Vec<Visit> {
        let mut visits = Vec::new();
        for round in 0.. {
            if Instant::now() >= until {
                break;
            }
            let room = (visitor + round * 7) % ROOMS;
            let Client { mut hears, mut says } = self.join(room).await;
            let (joined, me) = (self.now(), self.new_sender());
            says.say(self.message(me, 1)).await;
            let mut log = hears.until(me, 1).await;
            // Some stay for a moment, some for a while.
            let stay = Duration::from_millis((visitor as u64 * 31 + round as u64 * 173) % 1500);
            let leaves_at = tokio::time::Instant::now() + stay;
            let mut is_staying = true;
            while is_staying {
                // A frame that is being read must not be cut, so only its beginning is waited for.
                match tokio::time::timeout_at(leaves_at, hears.0.fill_buf()).await {
                    Ok(_) => log.push(hears.message().await.expect("no close frame")),
                    Err(_) => is_staying = false,
                }
                is_staying &= tokio::time::Instant::now() < leaves_at;
            }
            let closes = round % 3 != 0;
            says.say_and_close(self.message(me, 2), closes).await;
            log.extend(hears.until(me, 2).await);
            if closes {
                while let Some(heard) = hears.message().await {
                    log.push(heard);
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
    let (logs, spoken, visits, early_memory) = run(DURATION + 4 * LIMIT, async {
        let mut listening: Vec<JoinHandle<Vec<Heard>>> = Vec::new();
        let mut mouths: Vec<Option<Mouth>> = Vec::new();
        for resident in 0..RESIDENTS {
            let Client { mut hears, says } = scene.join(resident % ROOMS).await;
            listening.push(tokio::spawn(async move { hears.until(LAST, 1).await }));
            mouths.push(Some(says));
        }
        let until = Instant::now() + DURATION;
        // Three of the senders share each of ten rooms, twenty have a room of their own, and in the other twenty rooms
        // only visitors speak.
        let speaking: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let resident = if sender < 30 { sender % 10 + sender / 10 * ROOMS } else { sender - 20 };
                let says = mouths[resident].take().expect("one sender a resident");
                tokio::spawn(scene.clone().speak(says, scene.new_sender(), until))
            })
            .collect();
        let visiting: Vec<_> = (0..VISITORS).map(|visitor| tokio::spawn(scene.clone().visit(visitor, until))).collect();
        tokio::time::sleep_until((until - DURATION * 2 / 3).into()).await;
        let early_memory = memory(pid, "VmRSS:");
        let spoken = joined(speaking).await;
        let visits: Vec<Visit> = joined(visiting).await.into_iter().flatten().collect();
        // The residents from here on were no senders, one for each room.
        for room in 0..ROOMS {
            let says = mouths[RESIDENTS - ROOMS + room].as_mut().expect("no sender");
            says.say(scene.message(LAST, 1)).await;
        }
        (joined(listening).await, spoken, visits, early_memory)
    });

    // All residents of a room have heard the same, in the same order.
    for (resident, log) in logs.iter().enumerate() {
        assert!(
            *log == logs[resident % ROOMS],
            "resident {resident} has heard something else than {}",
            resident % ROOMS
        );
    }
    // Everything that was sent is in it, in the sender's order.
    let mut numbers: HashMap<u32, u32> = HashMap::new();
    for heard in logs[..ROOMS].iter().flatten().filter(|heard| heard.sender != LAST) {
        let last = numbers.entry(heard.sender).or_default();
        assert_eq!(heard.number, *last + 1, "of sender {}", heard.sender);
        *last = heard.number;
    }
    for (_, sender, count) in &spoken {
        assert_eq!(numbers.get(sender), Some(count), "of sender {sender}");
    }
    // A visitor has heard an unbroken piece of it, from its join at the latest up to its last word at least.
    let places: Vec<HashMap<(u32, u32), usize>> = logs[..ROOMS]
        .iter()
        .map(|log| log.iter().enumerate().map(|(at, heard)| ((heard.sender, heard.number), at)).collect())
        .collect();
    for Visit { room, joined, me, log } in &visits {
        assert_eq!(numbers.get(me), Some(&2));
        let start = places[*room][&(log[0].sender, log[0].number)];
        let piece = logs[*room].get(start..start + log.len());
        assert!(piece == Some(&log[..]), "visitor {me} has missed something in room {room}: {log:?}");
        let missed = logs[*room][..start].iter().find(|heard| heard.sent > *joined);
        assert!(missed.is_none(), "visitor {me} joined room {room} at {joined} and missed {missed:?}");
    }

    let text = scrape(metrics);
    let said = logs[..ROOMS].iter().map(Vec::len).sum::<usize>() as u64;
    assert_eq!(metric(&text, "messages_received_total"), said);
    assert_eq!((metric(&text, "messages_dropped_total"), metric(&text, "slow_disconnects_total")), (0, 0));
    let (late_memory, peak) = (memory(pid, "VmRSS:"), memory(pid, "VmHWM:"));
    println!(
        "{} visits, {said} messages, {} deliveries; memory {early_memory} KiB after a third, {late_memory} at the end, \
         {peak} at most",
        visits.len(),
        metric(&text, "messages_sent_total"),
    );
    // What grew with every message or visit would be far beyond this after the other two thirds.
    assert!(late_memory < early_memory * 5 / 4 + 2048, "{early_memory} KiB became {late_memory}");
    assert!(peak < 64 * 1024, "{peak} KiB");
}

/// A thousand in one room, one of whom never reads; with this policy this metric tells when it was too much.
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
        let Client { mut hears, mut says } = scene.join(0).await;
        let (mut listening, mut mouths, heard) = (Vec::new(), Vec::new(), Arc::new(Semaphore::new(0)));
        for _ in 2..MEMBERS {
            let Client { mut hears, says } = scene.join(0).await;
            mouths.push(says);
            let heard = heard.clone();
            listening.push(tokio::spawn(async move {
                let mut log = Vec::new();
                loop {
                    let message = hears.message().await.expect("more messages before the close frame");
                    log.push(message);
                    if message.sender == LAST {
                        return log;
                    }
                    heard.add_permits(usize::from(message.number.is_multiple_of(ROUND)));
                }
            }));
        }
        // All wait for all in each round, so that nobody else is far behind. After the event comes one more.
        let (mut log, mut number, mut is_over) = (Vec::new(), 0, false);
        while !is_over {
            assert!(number < 200 * ROUND, "so much was sent and {event} is still 0");
            is_over = metric(&tokio::task::block_in_place(|| scrape(metrics)), event) > 0;
            for _ in 0..ROUND {
                number += 1;
                says.say(scene.message(LONG, number)).await;
            }
            log.extend(hears.until(LONG, number).await);
            heard.acquire_many(MEMBERS as u32 - 2).await.expect("nobody closes it").forget();
        }
        says.say(scene.message(LAST, 1)).await;
        log.extend(hears.until(LAST, 1).await);
        assert!(log.iter().map(|heard| heard.number).eq((1..=number).chain([1])), "in order");
        for (member, others) in joined(listening).await.into_iter().enumerate() {
            assert!(others == log, "member {member} has heard something else");
        }
        println!("{policy}: {number} messages until one was too slow");
        drop((stuck, mouths));
    });
    let text = scrape(metrics);
    assert!(metric(&text, "slow_disconnects_total") <= 1, "{text}");
}

#[test]
#[ignore = "needs many descriptors: tests/with-peers.sh"]
fn one_of_a_thousand_who_never_reads_is_closed_and_the_others_miss_nothing() {
    one_is_stuck("disconnect", "slow_disconnects_total");
}

#[test]
#[ignore = "needs many descriptors: tests/with-peers.sh"]
fn one_of_a_thousand_who_never_reads_misses_messages_and_the_others_none() {
    one_is_stuck("drop-oldest", "messages_dropped_total");
    one_is_stuck("drop-newest", "messages_dropped_total");
}

#[test]
#[ignore = "moves much: tests/with-peers.sh"]
fn a_room_goes_on_each_time_that_the_member_it_waits_for_has_caught_up() {
    const MEMBERS: usize = 100;
    const SENDERS: usize = 2;
    const MESSAGES: u32 = 5000;
    let arguments = ["--broadcast", "ws-l:127.0.0.1:0", "--slow", "block", "--backlog", "4k"];
    let rooms = Serving::start(arguments);
    let scene = Scene::new(rooms.port);
    run(2 * LIMIT, async {
        let (mut speaking, mut listening) = (Vec::new(), Vec::new());
        for member in 0..MEMBERS {
            let socket = TcpSocket::new_v4().expect("a socket");
            // So little fits into some connections that their members hold the room up again and again.
            if member % 10 == 0 {
                socket.set_recv_buffer_size(4096).expect("set an option");
            }
            let stream = socket.connect(([127, 0, 0, 1], rooms.port).into()).await.expect("connect");
            let Client { mut hears, mut says } = Client::upgrade(stream, "/room/0?load").await;
            listening.push(tokio::spawn(async move {
                let mut log = Vec::new();
                for _ in 0..SENDERS as u32 * MESSAGES {
                    log.push(hears.message().await.expect("no close frame"));
                }
                log
            }));
            let (scene, messages) = (scene.clone(), if member < SENDERS { MESSAGES } else { 0 });
            speaking.push(async move {
                for number in 1..=messages {
                    says.say(scene.message(member as u32, number)).await;
                }
                // It stays though it says nothing more.
                says
            });
        }
        // All are there before the first message.
        let _mouths = joined(speaking.into_iter().map(tokio::spawn).collect()).await;
        let logs = joined(listening).await;
        assert!(logs.iter().all(|log| *log == logs[0]), "one order");
    });
}

#[test]
#[ignore = "is about time: tests/with-peers.sh"]
fn members_whose_room_waits_for_another_are_not_taken_for_dead() {
    const MEMBERS: usize = 20;
    let arguments = ["--broadcast", "ws-l:127.0.0.1:0", "--slow", "block", "--backlog", "4k"];
    let pings = ["--ping-interval", "0.2", "--ping-timeout", "1"];
    let rooms = Serving::start([&arguments[..], &pings].concat());
    let scene = Scene::new(rooms.port);
    run(LIMIT, async {
        let mut listening = Vec::new();
        let Client { mut hears, mut says } = scene.join(0).await;
        for _ in 0..MEMBERS {
            let Client { mut hears, mut says } = scene.join(0).await;
            listening.push(tokio::spawn(async move {
                loop {
                    match hears.frame().await.expect("no end of the connection before the last message") {
                        (PING, _) => says.0.write_all(&masked(PONG, b"")).await.expect("answer"),
                        (opcode, payload) if Heard::decode(opcode, &payload).sender == LAST => return says,
                        _ => {}
                    }
                }
            }));
        }
        let stuck = scene.join(0).await;
        // It neither reads nor answers pings, so it is given up some time after the room has begun to wait for it, and
        // what was said until then and is said at the end goes to all others.
        let speaking = tokio::spawn(async move {
            for number in 1..=1000 {
                // Whether it was pinged or not.
                says.0.write_all(&masked(PONG, b"")).await.expect("answer");
                says.say(scene.message(LONG, number)).await;
            }
            says.say(scene.message(LAST, 1)).await;
            says
        });
        loop {
            match hears.frame().await.expect("no end of the connection before the last message") {
                (PING, _) => {}
                (opcode, payload) if Heard::decode(opcode, &payload).sender == LAST => break,
                _ => {}
            }
        }
        let _mouths = (speaking.await, joined(listening).await, stuck);
    });
}

#[test]
#[ignore = "needs many descriptors: tests/with-peers.sh"]
fn a_soft_limit_on_open_files_does_not_limit_the_members() {
    let mut command = Command::new("sh");
    command.args(["-c", r#"ulimit -Sn 64 && exec "$@""#, "sh", env!("CARGO_BIN_EXE_wsplice"), "--broadcast"]);
    command.args(["ws-l:127.0.0.1:0", "--stdout-announce-listening-ports"]);
    let rooms = Serving::from_command(command);
    let scene = Scene::new(rooms.port);
    run(LIMIT, async {
        let mut members = Vec::new();
        for _ in 0..200 {
            members.push(scene.join(0).await);
        }
        members[0].says.say(scene.message(0, 1)).await;
        for member in &mut members {
            assert_eq!(member.hears.until(0, 1).await.len(), 1);
        }
    });
}
