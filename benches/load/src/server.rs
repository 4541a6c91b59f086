//! Loads that connect to a server: rooms, idle connections, echoes, and tunnels from TCP to TCP.

use crate::{
    Args, Poller,
    ws::{self, Frames},
};
use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    time::{Duration, Instant},
};

/// After this time without a message, missing messages count as lost.
const SILENCE: Duration = Duration::from_secs(3);

struct Room {
    /// The number of messages sent.
    sent: u64,
    /// The number of the first message that some member has not received.
    first_under_way: u64,
    /// For each message from that one on, the number of members that have received it.
    received: VecDeque<usize>,
}

struct Client {
    stream: TcpStream,
    frames: Frames,
    room: usize,
    received: u64,
    /// Data that the socket has not accepted yet.
    out: Vec<u8>,
}

/// `room --url ws://HOST/{room} --rooms 1 --clients 100 --senders 1 --size 100 --secs 3`, and `--window 64`, the maximum number of
/// messages of a room that some member has not received, or `--rate 50`, the number of messages that each sender sends per second.
/// `--messages N` ends it earlier. `--stuck N` adds N members that never read to each room.
pub fn room(args: &Args) -> io::Result<()> {
    let rooms = args.number("rooms", 1) as usize;
    let members = args.number("clients", 100) as usize;
    let senders = args.number("senders", 1) as usize;
    let size = (args.number("size", 100) as usize).max(16);
    let (window, rate) = (args.number("window", 64), args.number("rate", 0));
    let most = args.number("messages", u64::MAX);
    let lasts = Duration::from_secs(args.number("secs", 3));
    let poller = Poller::new()?;
    let mut clients = Vec::with_capacity(rooms * members);
    let mut stuck = Vec::new();
    for room in 0..rooms {
        let url = args.text("url").replace("{room}", &format!("room{room}"));
        for _ in 0..members {
            let stream = ws::connect(&url)?;
            stream.set_nonblocking(true)?;
            poller.add(&stream, clients.len() as u64)?;
            clients.push(Client { stream, frames: Frames::default(), room, received: 0, out: Vec::new() });
        }
        for _ in 0..args.number("stuck", 0) {
            stuck.push(ws::connect(&url)?);
        }
    }
    println!("{{\"ready\": true}}");
    let mut states: Vec<_> =
        (0..rooms).map(|_| Room { sent: 0, first_under_way: 0, received: VecDeque::new() }).collect();
    let mut buffer = vec![0; 256 * 1024];
    let mut payload = vec![b'x'; size];
    let mut latencies = Vec::new();
    let (start, mut last) = (Instant::now(), Instant::now());
    let (mut delivered, mut altered) = (0_u64, 0_u64);
    loop {
        let elapsed = start.elapsed();
        let sends = elapsed < lasts;
        for (number, room) in states.iter_mut().enumerate() {
            let allowed = if rate > 0 {
                (elapsed.as_secs_f64() * (rate * senders as u64) as f64) as u64
            } else {
                room.first_under_way + window
            };
            while sends && room.sent < allowed.min(most) {
                let now = start.elapsed().as_nanos() as u64;
                // With a rate, latency is measured from the time when the message was due.
                let stamp = if rate > 0 { (room.sent + 1) * 1_000_000_000 / (rate * senders as u64) } else { now };
                payload[..16].copy_from_slice(format!("{stamp:016x}").as_bytes());
                let sender = &mut clients[number * members + room.sent as usize % senders];
                ws::frame(&mut sender.out, ws::TEXT, ws::MASK, &payload);
                room.sent += 1;
                room.received.push_back(0);
            }
            for sender in &mut clients[number * members..][..senders] {
                while let Ok(written @ 1..) = sender.stream.write(&sender.out) {
                    sender.out.drain(..written);
                }
            }
        }
        let expected: u64 = states.iter().map(|room| room.sent * members as u64).sum();
        if delivered >= expected && (!sends || states.iter().all(|room| room.sent >= most)) || last.elapsed() > SILENCE
        {
            let seconds = last.duration_since(start).as_secs_f64();
            let [p50, p99] = percentiles(&mut latencies);
            println!(
                "{{\"units\": {delivered}, \"lost\": {}, \"bad\": {altered}, \"seconds\": {seconds:.3}, \
                 \"p50_us\": {p50:.1}, \"p99_us\": {p99:.1}}}",
                expected - delivered
            );
            return Ok(());
        }
        let pause = if rate > 0 { Duration::from_micros(200) } else { Duration::from_millis(20) };
        for (id, _) in poller.wait(Some(pause))? {
            let client = &mut clients[id as usize];
            let Ok(read @ 1..) = client.stream.read(&mut buffer) else { continue };
            last = Instant::now();
            let now = start.elapsed().as_nanos() as u64;
            let room = &mut states[client.room];
            client.frames.take(&mut buffer[..read], |first, payload| {
                if first == ws::PING || first == ws::CLOSE {
                    return;
                }
                delivered += 1;
                altered += u64::from(payload.len() != size);
                if let Some(count) = room.received.get_mut((client.received - room.first_under_way) as usize) {
                    *count += 1;
                }
                client.received += 1;
                while room.received.front() == Some(&members) {
                    room.received.pop_front();
                    room.first_under_way += 1;
                }
                // A sample of the messages is enough; parsing each timestamp would cost time.
                if client.received % 8 == id % 8
                    && let Some(stamp) = payload.get(..16).and_then(|stamp| std::str::from_utf8(stamp).ok())
                {
                    latencies.push(now.saturating_sub(u64::from_str_radix(stamp, 16).unwrap_or(now)));
                }
            });
        }
    }
}

/// The median and the 99th percentile in microseconds.
fn percentiles(nanos: &mut [u64]) -> [f64; 2] {
    nanos.sort_unstable();
    [50, 99].map(|percent| nanos.get(nanos.len() * percent / 100).map_or(0.0, |nanos| *nanos as f64 / 1e3))
}

/// `idle --url ws://HOST/{room} --n 10000`: opens N connections, ten per room, and keeps them open until standard input ends.
pub fn idle(args: &Args) -> io::Result<()> {
    let count = args.number("n", 10_000);
    let open = |i| ws::connect(&args.text("url").replace("{room}", &format!("room{}", i / 10)));
    let held = (0..count).map(open).collect::<io::Result<Vec<_>>>()?;
    println!("{{\"units\": {}}}", held.len());
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

/// `echo --url URL --size 16 --count 100000 --window 1024`: sends messages and counts those that come back. `--window` is the
/// maximum number of messages without a reply.
pub fn echo(args: &Args) -> io::Result<()> {
    let (size, count) = (args.number("size", 16) as usize, args.number("count", 100_000));
    let window = args.number("window", 1);
    let mut stream = ws::connect(args.text("url"))?;
    let mut message = Vec::new();
    ws::frame(&mut message, ws::BINARY, ws::MASK, &vec![b'x'; size]);
    let start = Instant::now();
    let mut writer = stream.try_clone()?;
    // Unbounded: the reader must never wait for the writer.
    let permits = std::sync::mpsc::channel::<u64>();
    let sending = std::thread::spawn(move || {
        let (mut sent, mut allowed) = (0, window.min(count));
        let mut batch = Vec::new();
        while sent < count {
            while sent == allowed {
                let Ok(more) = permits.1.recv() else { return };
                allowed += more;
            }
            allowed = permits.1.try_iter().fold(allowed, |sum, more| sum + more).min(count);
            batch.clear();
            (sent..allowed).for_each(|_| batch.extend_from_slice(&message));
            sent = allowed;
            if writer.write_all(&batch).is_err() {
                return;
            }
        }
    });
    let mut frames = Frames::default();
    let mut buffer = vec![0; 256 * 1024];
    let (mut received, mut bad, mut length) = (0, 0, 0);
    let mut last = start;
    let mut rounds = Vec::new();
    while received < count {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        let before = received;
        frames.take(&mut buffer[..read], |first, payload| {
            // A data frame or a continuation: a message may arrive in fragments.
            if first & 0x0f <= 2 {
                length += payload.len();
                if first & 0x80 != 0 {
                    received += 1;
                    bad += u64::from(std::mem::take(&mut length) != size);
                }
            }
        });
        if received > before {
            let now = Instant::now();
            rounds.push(now.duration_since(last).as_nanos() as u64);
            last = now;
            let _ = permits.0.send(received - before);
        }
    }
    drop(permits.0);
    let _ = sending.join();
    let [p50, p99] = percentiles(&mut rounds);
    println!(
        "{{\"units\": {received}, \"lost\": {}, \"bad\": {bad}, \"seconds\": {:.3}, \"p50_us\": {p50:.1}, \"p99_us\": {p99:.1}}}",
        count - received,
        start.elapsed().as_secs_f64()
    );
    Ok(())
}

/// `pump --connect ADDRESS --listen PORT --mib 1024`: sends data through a tunnel from ADDRESS to PORT.
pub fn pump(args: &Args) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", args.number("listen", 0) as u16))?;
    let mut near = TcpStream::connect(args.text("connect"))?;
    let mib = args.number("mib", 1024);
    let start = Instant::now();
    let sending = std::thread::spawn(move || -> io::Result<()> {
        let block: Vec<u8> = (0..1_u32 << 20).map(|i| (i % 251) as u8).collect();
        (0..mib).try_for_each(|_| near.write_all(&block))?;
        near.shutdown(Shutdown::Write)?;
        io::copy(&mut near, &mut io::sink()).map(|_| ())
    });
    let (mut far, _) = listener.accept()?;
    let mut buffer = vec![0; 1 << 20];
    let (mut received, mut bad) = (0_u64, 0_u64);
    while let Ok(read @ 1..) = far.read(&mut buffer) {
        let first = (received % (1 << 20) % 251) as u8;
        bad += u64::from(buffer[0] != first);
        received += read as u64;
    }
    let seconds = start.elapsed().as_secs_f64();
    drop(far);
    let _ = sending.join();
    let lost = (mib << 20).saturating_sub(received);
    println!("{{\"units\": {}, \"lost\": {lost}, \"bad\": {bad}, \"seconds\": {seconds:.3}}}", received as f64 / 1e9);
    Ok(())
}
