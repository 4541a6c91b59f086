//! Members that join and leave many rooms for a long time. `tests/soak.sh` says for how long and how many.

use crate::{
    rooms_metrics::{metrics_port, scrape},
    support::{Serving, wait_for},
};
use std::{
    env, fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
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
    task::JoinSet,
    time::{interval, sleep, timeout},
};

/// The longest time in which a member waits for a message that must come.
const LIMIT: Duration = Duration::from_secs(60);
/// Between two messages of a room, which one of its members sends.
const PAUSE: Duration = Duration::from_secs(1);
/// Opening handshakes at once: the listener's queue has so many places.
const HANDSHAKES: usize = 500;
/// Memory may grow by this much a minute: what a thread of the server or of the allocator takes once is spread over the run.
const KIB_A_MINUTE: f64 = 512.0;
const PAYLOAD: usize = 64;

/// A number from the environment.
fn setting(name: &str, default: usize) -> usize {
    env::var(name).map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name} is no number: {value}")))
}

/// A client that costs little: there are thousands.
struct Member {
    incoming: BufReader<OwnedReadHalf>,
    outgoing: OwnedWriteHalf,
}

impl Member {
    async fn join(server: SocketAddr, number: usize, target: &str) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        // Many addresses, for one has too few ports for those that came and left within a minute.
        let source = Ipv4Addr::from(0x7f00_0002 + (number % 50) as u32);
        socket.bind(SocketAddr::new(IpAddr::V4(source), 0)).expect("a port");
        let stream = socket.connect(server).await.expect("connect");
        stream.set_nodelay(true).expect("set an option");
        Self::upgrade(stream, target).await
    }

    async fn upgrade(stream: TcpStream, target: &str) -> Self {
        let (incoming, mut outgoing) = stream.into_split();
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        outgoing.write_all(request.as_bytes()).await.expect("ask");
        let mut incoming = BufReader::with_capacity(1024, incoming);
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(incoming.read_u8().await.expect("an answer"));
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", head.escape_ascii());
        Self { incoming, outgoing }
    }

    /// Sends a message, masked with zeros.
    async fn send(&mut self, id: u64) {
        let mut frame = [0; 6 + PAYLOAD];
        frame[0] = 0x82;
        frame[1] = 0x80 | PAYLOAD as u8;
        frame[6..14].copy_from_slice(&id.to_be_bytes());
        self.outgoing.write_all(&frame).await.expect("send");
    }

    /// The next frame. Pings are answered. It must not be dropped before it is ready.
    async fn receive(&mut self) -> Frame {
        let [first, length] = self.incoming.read_u16().await.expect("a frame before the end").to_be_bytes();
        let mut buffer = [0; 125];
        let payload = &mut buffer[..usize::from(length)];
        self.incoming.read_exact(payload).await.expect("the rest of a frame");
        match (first, payload.first_chunk()) {
            (0x82, Some(id)) if payload.len() == PAYLOAD => Frame::Message(u64::from_be_bytes(*id)),
            (0x88, _) => Frame::Close,
            (0x89, _) => {
                let pong = [&[0x8a, 0x80 | length, 0, 0, 0, 0], &*payload].concat();
                self.outgoing.write_all(&pong).await.expect("answer");
                Frame::Ping
            }
            _ => panic!("a frame that begins with {first:02x}"),
        }
    }

    /// The next frame, of which a part has come: a message, or a ping.
    async fn receive_rest(&mut self) -> Option<u64> {
        match timeout(LIMIT, self.receive()).await.expect("the rest of a frame") {
            Frame::Message(id) => Some(id),
            Frame::Ping => None,
            Frame::Close => panic!("the server closes"),
        }
    }

    /// Whether something has come.
    async fn is_readable(&mut self) -> bool {
        self.incoming.fill_buf().await.is_ok_and(|bytes| !bytes.is_empty())
    }

    /// Closes, and reads up to the answer and to the end.
    async fn close(mut self, log: &mut Vec<u64>) {
        self.outgoing.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]).await.expect("close");
        loop {
            match self.receive().await {
                Frame::Message(id) => log.push(id),
                Frame::Ping => {}
                Frame::Close => break,
            }
        }
        assert_eq!(self.incoming.read(&mut [0; 16]).await.unwrap_or(0), 0, "nothing comes after the close frame");
    }
}

enum Frame {
    Message(u64),
    Ping,
    Close,
}

/// One room: all that its resident has received, in order.
#[derive(Default)]
struct Room {
    order: Mutex<Vec<u64>>,
}

struct Soak {
    server: SocketAddr,
    rooms: Vec<Room>,
    handshakes: Semaphore,
    next_id: AtomicU64,
    joined: AtomicUsize,
    is_over: AtomicBool,
    delivered: AtomicU64,
}

impl Soak {
    async fn join(&self, room: usize) -> Member {
        let _place = self.handshakes.acquire().await.expect("it is open");
        let number = self.joined.fetch_add(1, Relaxed);
        let target = format!("/room/{room}");
        timeout(LIMIT, Member::join(self.server, number, &target)).await.expect("an answer in time")
    }

    fn new_id(&self) -> u64 {
        self.next_id.fetch_add(1, Relaxed)
    }

    /// Stays to the end, sends regularly, and has the order of its room.
    async fn reside(self: Arc<Self>, room: usize, mut member: Member) {
        let mut ticks = interval(PAUSE);
        sleep(PAUSE * (room % 100) as u32 / 100).await;
        // Until everybody else has left, which is when the last of them has found its messages here.
        while !self.is_over.load(Relaxed) {
            tokio::select! {
                _ = ticks.tick() => member.send(self.new_id()).await,
                true = member.is_readable() => {
                    if let Some(id) = member.receive_rest().await {
                        self.rooms[room].order.lock().expect("the order").push(id);
                        self.delivered.fetch_add(1, Relaxed);
                    }
                }
            }
        }
        member.close(&mut Vec::new()).await;
    }

    /// Joins one room after the other.
    async fn visit(self: Arc<Self>, visitor: usize, until: Instant) -> usize {
        let mut visits = 0;
        for round in 0.. {
            let room = (visitor + round * 7) % self.rooms.len();
            let mut member = self.join(room).await;
            let (first, last) = (self.new_id(), self.new_id());
            let mut log = Vec::new();
            member.send(first).await;
            let stay = Duration::from_millis(5_000 + (visitor as u64 * 7919 + round as u64 * 104_729) % 50_000);
            let leaves_at = tokio::time::Instant::from_std((Instant::now() + stay).min(until));
            while timeout_at(leaves_at, &mut member).await {
                log.extend(member.receive_rest().await);
            }
            member.send(last).await;
            member.close(&mut log).await;
            self.delivered.fetch_add(log.len() as u64, Relaxed);
            self.check(room, &log, first, last).await;
            visits += 1;
            if Instant::now() >= until {
                break;
            }
        }
        visits
    }

    /// A visitor has received a part of the room's order without a gap, from before its first message to its last. With a history that begins
    /// before it came.
    async fn check(&self, room: usize, log: &[u64], first: u64, last: u64) {
        assert!(log.contains(&first), "its first message comes back");
        let to = log.iter().rposition(|id| *id == last).expect("its last message comes back");
        let seen = &log[..=to];
        let began = Instant::now();
        loop {
            {
                let order = self.rooms[room].order.lock().expect("the order");
                if let Some(end) = order.iter().rposition(|id| *id == last) {
                    let start = (end + 1).checked_sub(seen.len()).expect("the resident has as much");
                    assert!(order[start..=end] == *seen, "a visitor of room {room} sees another order");
                    return;
                }
            }
            assert!(began.elapsed() < LIMIT, "the resident of room {room} does not receive what a visitor has");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Waits for something to read; false at that time.
async fn timeout_at(end: tokio::time::Instant, member: &mut Member) -> bool {
    tokio::time::timeout_at(end, member.is_readable()).await.unwrap_or(false)
}

/// KiB of memory that a process has of its own.
fn memory(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("its memory");
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors").count()
}

fn threads(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/task")).expect("its threads").count()
}

fn children(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default()
}

/// The least squares slope of memory in KiB a minute.
fn slope(samples: &[(f64, f64)]) -> f64 {
    let count = samples.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| samples.iter().map(of).sum::<f64>() / count;
    let (time, size) = (mean(|sample| sample.0), mean(|sample| sample.1));
    let covariance: f64 = samples.iter().map(|(at, kib)| (at - time) * (kib - size)).sum();
    let variance: f64 = samples.iter().map(|(at, _)| (at - time).powi(2)).sum();
    60.0 * covariance / variance
}

#[test]
#[ignore = "takes long: tests/soak.sh"]
fn rooms_whose_members_come_and_go_lose_nothing_and_do_not_grow() {
    soak(&[]);
}

#[test]
#[ignore = "takes long: tests/soak.sh"]
fn rooms_with_a_history_whose_members_come_and_go_lose_nothing_and_do_not_grow() {
    soak(&["--history", "20"]);
}

fn soak(options: &[&str]) {
    let seconds = setting("SOAK_SECONDS", 20);
    let (members, rooms) = (setting("SOAK_MEMBERS", 1500), setting("SOAK_ROOMS", 100));
    // On a busy machine a client may be slow to ask.
    let args = ["--broadcast", "ws-l:127.0.0.1:0", "--metrics", "127.0.0.1:0", "--connect-timeout", "60"];
    let mut server = Serving::start([&args[..], options].concat());
    let (pid, metrics) = (server.running.pid(), metrics_port(&mut server));
    let get = |name: &str| -> u64 {
        let text = scrape(metrics);
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("wsplice_{name} ")));
        line.and_then(|value| value.parse().ok()).expect("a metric")
    };
    get("connections");
    let before = (descriptors(pid), threads(pid));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let (visits, samples, connected) = runtime.expect("a runtime").block_on(async {
        let soak = Arc::new(Soak {
            server: SocketAddr::from(([127, 0, 0, 1], server.port)),
            rooms: (0..rooms).map(|_| Room::default()).collect(),
            handshakes: Semaphore::new(HANDSHAKES),
            next_id: AtomicU64::new(0),
            joined: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
            delivered: AtomicU64::new(0),
        });
        let began = Instant::now();
        let until = began + Duration::from_secs(seconds as u64);
        let mut residents = JoinSet::new();
        // Before the visitors, so that they have the whole order.
        for room in 0..rooms {
            let member = soak.join(room).await;
            residents.spawn(soak.clone().reside(room, member));
        }
        let mut visitors: JoinSet<_> = (rooms..members).map(|visitor| soak.clone().visit(visitor, until)).collect();
        let (mut samples, mut connected) = (Vec::new(), Vec::new());
        let mut visits = 0;
        let mut ticks = interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                biased;
                _ = ticks.tick() => {
                    samples.push((began.elapsed().as_secs_f64(), memory(pid)));
                    connected.push(descriptors(pid));
                }
                Some(ended) = visitors.join_next() => visits += ended.expect("a visitor"),
                else => {}
            }
            if visitors.is_empty() {
                break;
            }
        }
        samples.retain(|(at, _)| *at < seconds as f64);
        connected.truncate(samples.len());
        soak.is_over.store(true, Relaxed);
        while let Some(ended) = residents.join_next().await {
            ended.expect("a resident");
        }
        println!("{} deliveries were checked", soak.delivered.load(Relaxed));
        (visits, samples, connected)
    });
    wait_for("an empty server", || (get("connections") == 0 && get("rooms") == 0).then_some(()));
    assert_eq!((get("messages_dropped_total"), get("slow_disconnects_total"), get("backlog_bytes")), (0, 0, 0));
    assert_eq!(get("connections_total"), (visits + rooms) as u64);
    wait_for("the descriptors", || (descriptors(pid) <= before.0).then_some(()));
    // Threads that read a file or return memory end when they were idle for ten seconds.
    wait_for("the threads", || (threads(pid) <= before.1).then_some(()));
    assert_eq!(children(pid), "");
    // The first minute, or the first half of a short run, is that in which the server grows to its size.
    let settling = samples.len().min(60).min(samples.len() / 2);
    let (settled, connected) = (&samples[settling..], &connected[settling..]);
    let (fewest, most) = (connected.iter().min().unwrap_or(&0), connected.iter().max().unwrap_or(&0));
    let growth = slope(settled);
    // It takes some minutes until the allocator has found a place for every mix of sizes.
    let late = slope(&settled[settled.len() / 2..]);
    let largest = samples.iter().map(|(_, kib)| *kib).fold(0.0, f64::max);
    let after = memory(pid);
    println!(
        "{members} members in {rooms} rooms for {seconds} s: {visits} visits, {:.1} MiB at most, {growth:+.0} KiB a minute \
         ({late:+.0} in the second half) with {fewest} to {most} descriptors, {:.1} MiB afterwards",
        largest / 1024.0,
        after / 1024.0
    );
    if settled.len() >= 60 {
        assert!(*fewest * 10 > *most * 9, "the clients are too slow for so many members: memory follows their number");
        assert!(growth < KIB_A_MINUTE, "memory grows: {settled:?}");
    }
}
