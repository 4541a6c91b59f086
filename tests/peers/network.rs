//! Rooms over a network that loses, delays and reorders packets, and whose link goes down: that of their members, and that of a cluster.
//!
//! A test runs itself again in a network namespace of its own. There a TUN device, which socat opens, leads to the test: a packet to
//! [`FAR`] comes back as one from there, so both ends of a connection to that address are in the namespace.

use crate::{
    cluster_faults::{self, Engine, Server, node_at},
    http::{Exchange, upgrade_request},
    raw::{RawPeer, TEXT, from_client},
    support::{LIMIT, Running, Serving, wait_for},
};
use std::{
    collections::BTreeMap,
    env,
    io::Write,
    net::{SocketAddr, TcpStream, UdpSocket},
    process::Command,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};
use tokio::runtime::Runtime;

/// Set for the test that runs in the namespace.
const INSIDE: &str = "WSPLICE_TEST_IN_NAMESPACE";
const NEAR: &str = "10.9.0.1";
const FAR: &str = "10.9.0.2";
const DEVICE: &str = "line0";

/// Whether this is the namespace. Otherwise the test has been run in one.
fn in_namespace(test: &str) -> bool {
    if env::var_os(INSIDE).is_some() {
        return true;
    }
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.arg("--net").arg(env::current_exe().expect("the test binary"));
    command.args(["--ignored", "--exact", &format!("network::{test}")]).env(INSIDE, "1");
    assert!(command.status().expect("unshare runs").success(), "see above");
    false
}

fn ip(args: &str) {
    let status = Command::new("ip").args(args.split(' ')).status();
    assert!(status.expect("ip runs").success(), "ip {args}");
}

/// What happens to packets.
#[derive(Clone, Copy, Default)]
struct Weather {
    /// Of a hundred packets so many are lost.
    lost: u64,
    delay: Duration,
    /// At most so much more, by chance: packets overtake each other.
    jitter: Duration,
}

/// The line from [`NEAR`] to [`FAR`].
struct Line {
    weather: Arc<Mutex<Weather>>,
    _socat: Running,
}

impl Line {
    fn new() -> Self {
        ip("link set lo up");
        let socket = UdpSocket::bind("127.0.0.1:0").expect("bind");
        let port = socket.local_addr().expect("address").port();
        let mut socat = Command::new("socat");
        socat.arg(format!("TUN:{NEAR}/24,tun-name={DEVICE},iff-no-pi,iff-up")).arg(format!("UDP4:127.0.0.1:{port}"));
        let socat = Running::start(socat);
        wait_for("the device", || {
            let shown = Command::new("ip").args(["addr", "show", "dev", DEVICE, "up"]).output().expect("ip runs");
            String::from_utf8_lossy(&shown.stdout).contains(NEAR).then_some(())
        });
        let weather = Arc::new(Mutex::new(Weather::default()));
        let current = weather.clone();
        thread::spawn(move || carry(&socket, &current));
        Self { weather, _socat: socat }
    }

    fn set(&self, weather: Weather) {
        *self.weather.lock().expect("the weather") = weather;
    }
}

/// Carries packets for ever.
fn carry(socket: &UdpSocket, weather: &Mutex<Weather>) {
    let mut chance = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next_chance = |most: u64| {
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        chance % most
    };
    let mut waiting: BTreeMap<(Instant, u64), Vec<u8>> = BTreeMap::new();
    let mut socat: Option<SocketAddr> = None;
    let mut packet = [0; 1 << 16];
    for number in 0.. {
        let due = waiting.first_key_value().map(|((due, _), _)| *due);
        let wait = due.map_or(LIMIT, |due| due.saturating_duration_since(Instant::now()));
        socket.set_read_timeout(Some(wait.max(Duration::from_micros(100)))).expect("set a limit");
        if let Ok((length, from)) = socket.recv_from(&mut packet) {
            socat = Some(from);
            let Weather { lost, delay, jitter } = *weather.lock().expect("the weather");
            let more = Duration::from_micros(next_chance(jitter.as_micros() as u64 + 1));
            if next_chance(100) >= lost {
                // From the other end: source and destination are swapped, which leaves the checksums as they are.
                let mut turned = packet[..length].to_vec();
                if length >= 20 && turned[0] >> 4 == 4 {
                    turned[12..20].rotate_left(4);
                    waiting.insert((Instant::now() + delay + more, number), turned);
                }
            }
        }
        while let Some(entry) = waiting.first_entry().filter(|entry| entry.key().0 <= Instant::now()) {
            let turned = entry.remove();
            if let Some(socat) = socat.filter(|_| weather.lock().expect("the weather").lost < 100) {
                let _ = socket.send_to(&turned, socat);
            }
        }
    }
}

/// A member at this address.
fn member(address: &str, port: u16) -> RawPeer {
    let stream = TcpStream::connect((address, port)).expect("connect");
    stream.set_read_timeout(Some(LIMIT)).expect("set a limit");
    stream.set_write_timeout(Some(LIMIT)).expect("set a limit");
    stream.set_nodelay(true).expect("set an option");
    RawPeer::client(Exchange::request(stream, &upgrade_request("/", "")).switched())
}

/// Sends this many messages of a member, which name it.
fn send(mut writer: TcpStream, name: usize, messages: usize) {
    for number in 0..messages {
        let text = format!("{name} {number} {}", "x".repeat(number * 37 % 500));
        writer.write_all(&from_client(TEXT, text)).expect("send");
    }
}

/// All members have received the same, which is all messages of everybody in the order of their sender.
#[track_caller]
fn check(logs: &[Vec<String>], senders: usize, messages: usize) {
    for log in logs {
        assert!(*log == logs[0], "two members see two orders");
    }
    for sender in 0..senders {
        let own = logs[0].iter().filter_map(|text| text.strip_prefix(&format!("{sender} ")));
        let numbers: Vec<usize> =
            own.map(|text| text.split(' ').next().expect("a number").parse().expect("a number")).collect();
        assert!(numbers.iter().copied().eq(0..messages), "the messages of {sender} are {numbers:?}");
    }
}

fn log(member: &mut RawPeer, messages: usize) -> Vec<String> {
    (0..messages).map(|_| member.receive_text()).collect()
}

/// All members send at once; each must receive everything, in one order.
fn exchange(mut members: Vec<RawPeer>) {
    const MESSAGES: usize = 40;
    let all = members.len();
    let logs: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = members
            .iter_mut()
            .enumerate()
            .map(|(name, member)| {
                let writer = member.writer();
                scope.spawn(move || send(writer, name, MESSAGES));
                scope.spawn(move || log(member, all * MESSAGES))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a member")).collect()
    });
    check(&logs, all, MESSAGES);
}

#[test]
#[ignore = "needs a network namespace: tests/with-peers.sh"]
fn lost_late_and_overtaking_packets_change_no_order_and_lose_no_message() {
    if !in_namespace("lost_late_and_overtaking_packets_change_no_order_and_lose_no_message") {
        return;
    }
    let line = Line::new();
    let server = Serving::start(["--broadcast", "ws-l:0.0.0.0:0"]);
    let ms = Duration::from_millis;
    for weather in [
        Weather { lost: 10, ..Weather::default() },
        Weather { delay: ms(200), ..Weather::default() },
        Weather { delay: ms(1), jitter: ms(40), ..Weather::default() },
    ] {
        line.set(weather);
        exchange([FAR, FAR, FAR, "127.0.0.1"].map(|address| member(address, server.port)).into());
    }
}

#[test]
#[ignore = "needs a network namespace: tests/with-peers.sh"]
fn a_link_that_goes_down_and_comes_up_again_loses_no_message_and_holds_up_nobody() {
    if !in_namespace("a_link_that_goes_down_and_comes_up_again_loses_no_message_and_holds_up_nobody") {
        return;
    }
    const MESSAGES: usize = 50;
    let line = Line::new();
    let server = Serving::start(["--broadcast", "ws-l:0.0.0.0:0"]);
    let mut far = [member(FAR, server.port), member(FAR, server.port)];
    let mut near = [member("127.0.0.1", server.port), member("127.0.0.1", server.port)];
    // socat ends when it writes to a device that is down.
    line.set(Weather { lost: 100, ..Weather::default() });
    thread::sleep(Duration::from_millis(50));
    ip(&format!("link set {DEVICE} down"));
    send(far[0].writer(), 0, MESSAGES);
    let began = Instant::now();
    send(near[0].writer(), 1, MESSAGES);
    let mut logs: Vec<_> = near.iter_mut().map(|member| log(member, MESSAGES)).collect();
    assert!(began.elapsed() < Duration::from_secs(2), "those who are near wait for {:?}", began.elapsed());
    // More than one retransmission is lost.
    thread::sleep(Duration::from_secs(1));
    ip(&format!("link set {DEVICE} up"));
    line.set(Weather::default());
    for (member, log_so_far) in near.iter_mut().zip(&mut logs) {
        log_so_far.extend(log(member, MESSAGES));
    }
    logs.extend(far.iter_mut().map(|member| log(member, 2 * MESSAGES)));
    check(&logs, 2, MESSAGES);
}

#[test]
#[ignore = "needs a network namespace: tests/with-peers.sh"]
fn a_member_whose_link_stays_down_is_closed_and_the_others_lose_nothing() {
    if !in_namespace("a_member_whose_link_stays_down_is_closed_and_the_others_lose_nothing") {
        return;
    }
    let line = Line::new();
    let args = ["--broadcast", "--slow-timeout", "1", "--backlog", "1m", "--max-ws-message-length", "1m", "-v"];
    let mut server = Serving::start(args.into_iter().chain(["ws-l:0.0.0.0:0"]));
    let lost = member(FAR, server.port);
    let mut near = [member("127.0.0.1", server.port), member("127.0.0.1", server.port)];
    line.set(Weather { lost: 100, ..Weather::default() });
    let writer = near[0].writer();
    // More than the system takes for a connection that moves nothing.
    const MESSAGES: usize = 100;
    let sending = thread::spawn(move || {
        let mut writer = writer;
        let payload = vec![b'x'; 100_000];
        (0..MESSAGES).for_each(|_| writer.write_all(&from_client(TEXT, &payload)).expect("send"));
    });
    for _ in 0..MESSAGES {
        for member in &mut near {
            assert_eq!(member.receive().payload.len(), 100_000);
        }
    }
    sending.join().expect("the sender");
    server.running.error_line("1013");
    drop(lost);
}

/// One node is next to the engine, and the packets between the other one and the engine are lost and late.
fn engine_behind_a_bad_line(engine: Engine) {
    let line = Line::new();
    let server = Server::start(engine, false, &format!("packets-{engine:?}"));
    let runtime = Runtime::new().expect("a runtime");
    let entrance = runtime.block_on(cluster_faults::Line::at("0.0.0.0", &server, Duration::ZERO));
    let nodes = [FAR, "127.0.0.1"].map(|address| node_at(engine, address, entrance.port, &["--cluster-wait", "30"]));
    line.set(Weather { lost: 5, delay: Duration::from_millis(200), jitter: Duration::from_millis(20) });
    for _ in 0..3 {
        exchange([0, 0, 1, 1].map(|node: usize| member("127.0.0.1", nodes[node].port)).into());
    }
}

#[test]
#[ignore = "needs a network namespace and redis-server: tests/with-peers.sh"]
fn lost_and_late_packets_between_a_node_of_a_cluster_and_redis_lose_no_message() {
    if in_namespace("lost_and_late_packets_between_a_node_of_a_cluster_and_redis_lose_no_message") {
        engine_behind_a_bad_line(Engine::Redis);
    }
}

#[test]
#[ignore = "needs a network namespace and nats-server: tests/with-peers.sh"]
fn lost_and_late_packets_between_a_node_of_a_cluster_and_nats_lose_no_message() {
    if in_namespace("lost_and_late_packets_between_a_node_of_a_cluster_and_nats_lose_no_message") {
        engine_behind_a_bad_line(Engine::Nats);
    }
}
