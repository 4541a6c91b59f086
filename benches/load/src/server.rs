//! Loads that connect to a server: rooms, idle connections, handshakes, echoes, and tunnels from TCP to TCP.

use crate::{
    Args, Poller,
    deflate::{Deflate, Inflate},
    socketio,
    stream::{Connector, Stream},
    ws::{self, Frames},
};
use rustix::time::{ClockId, clock_gettime};
use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    time::{Duration, Instant},
};

/// After this time without a message, missing messages count as lost.
const SILENCE: Duration = Duration::from_secs(3);
/// The minimum number of bytes that an echo load gives to a write, if it has as many to send.
const BLOCK: usize = 64 << 10;

/// A message that some member of its room has not received. Members are taken to receive messages in the order in which they were
/// sent, also those of several senders.
struct UnderWay {
    /// The number of members that have received it.
    received: usize,
    /// When it was sent or, with a rate, due, in nanoseconds since the start.
    sent: u64,
}

struct Room {
    /// The number of messages sent.
    sent: u64,
    /// The number of the first message in `under_way`.
    first_under_way: u64,
    under_way: VecDeque<UnderWay>,
}

struct Client {
    stream: Stream,
    frames: Frames,
    room: usize,
    received: u64,
    /// Data that the socket has not accepted yet.
    out: Vec<u8>,
}

/// Text as services send it, with repetitions and numbers. `seed`: different ones give different texts.
fn text(size: usize, seed: u32) -> Vec<u8> {
    let mut random = seed;
    let mut text = Vec::with_capacity(size + 128);
    while text.len() < size {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (id, price, user) = (random >> 12, random >> 20, random >> 26);
        text.extend_from_slice(format!("{{\"id\":{id},\"user\":\"user{user}\",\"price\":{price}.5}},").as_bytes());
    }
    text.truncate(size);
    text
}

/// A frame of a client with the text.
fn text_frame(text: &[u8], deflates: bool) -> io::Result<Vec<u8>> {
    let (mut frame, mut compressed) = (Vec::new(), Vec::new());
    if deflates {
        Deflate::new(6).deflate(text, &mut compressed)?;
        ws::frame(&mut frame, ws::TEXT | ws::COMPRESSED, ws::MASK, &compressed);
    } else {
        ws::frame(&mut frame, ws::TEXT, ws::MASK, text);
    }
    Ok(frame)
}

/// CPU time of this process in seconds.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// `room --url ws://HOST/{room} --rooms 1 --clients 100 --senders 1 --size 100 --secs 3`, and `--window 64`, the maximum number of
/// messages of a room that some member has not received, or `--rate 50`, the number of messages that each sender sends per second.
/// `--messages N` ends it earlier. `--stuck N` adds N members that never read to each room. With `--deflate`, all messages are
/// compressed, in both directions; those received are counted without being decompressed, except the first one of each member.
/// `--url` can have several URLs, separated by spaces: members connect to one after another. With `--socketio` they speak Socket.IO.
pub fn room(args: &Args) -> io::Result<()> {
    let rooms = args.number("rooms", 1) as usize;
    let members = args.number("clients", 100) as usize;
    let senders = args.number("senders", 1) as usize;
    let size = args.number("size", 100) as usize;
    let (window, rate) = (args.number("window", 64), args.number("rate", 0));
    let most = args.number("messages", u64::MAX);
    let lasts = Duration::from_secs(args.number("secs", 3));
    let (deflates, speaks_socketio) = (args.has("deflate"), args.has("socketio"));
    let connector = Connector::new(args)?;
    let poller = Poller::new()?;
    let mut clients = Vec::with_capacity(rooms * members);
    let mut stuck = Vec::new();
    for room in 0..rooms {
        let urls = args.text("url").replace("{room}", &format!("room{room}"));
        let mut urls = urls.split(' ').cycle();
        let mut open = || ws::connect(&connector, urls.next().unwrap_or_default(), deflates);
        for _ in 0..members {
            let mut stream = open()?;
            if speaks_socketio {
                socketio::open(&mut stream)?;
            }
            stream.set_nonblocking()?;
            poller.add(&stream, clients.len() as u64)?;
            clients.push(Client { stream, frames: Frames::default(), room, received: 0, out: Vec::new() });
        }
        for _ in 0..args.number("stuck", 0) {
            stuck.push(open()?);
        }
    }
    println!("{{\"ready\": true}}");
    let mut states: Vec<_> =
        (0..rooms).map(|_| Room { sent: 0, first_under_way: 0, under_way: VecDeque::new() }).collect();
    let mut buffer = vec![0; 256 * 1024];
    // Made beforehand, so that the load takes little time from the server.
    let write = |seed| if speaks_socketio { socketio::event(text(size, seed)) } else { text(size, seed) };
    let texts: Vec<_> = (0..16).map(write).collect();
    let messages = texts.iter().map(|text| text_frame(text, deflates)).collect::<io::Result<Vec<_>>>()?;
    let (mut inflate, mut inflated) = (Inflate::new(), Vec::new());
    let mut latencies = Vec::new();
    let (start, mut last, cpu) = (Instant::now(), Instant::now(), cpu_seconds());
    let (mut delivered, mut altered, mut bytes) = (0_u64, 0_u64, 0_u64);
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
                let sent = if rate > 0 { (room.sent + 1) * 1_000_000_000 / (rate * senders as u64) } else { now };
                let sender = &mut clients[number * members + room.sent as usize % senders];
                sender.out.extend_from_slice(&messages[room.sent as usize % messages.len()]);
                room.sent += 1;
                room.under_way.push_back(UnderWay { received: 0, sent });
            }
            for sender in &mut clients[number * members..][..senders] {
                let _ = sender.stream.flush();
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
                "{{\"units\": {delivered}, \"lost\": {}, \"bad\": {altered}, \"bytes\": {bytes}, \"seconds\": {seconds:.3}, \
                 \"cpu_s\": {:.3}, \"p50_us\": {p50:.1}, \"p99_us\": {p99:.1}}}",
                expected - delivered,
                cpu_seconds() - cpu
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
            client.frames.take(&mut buffer[..read], |first, frame| {
                if first == ws::PING || first == ws::CLOSE {
                    return;
                }
                delivered += 1;
                bytes += frame.len() as u64;
                altered += u64::from(if first & ws::COMPRESSED == 0 {
                    deflates || frame.len() != size
                } else {
                    client.received == 0
                        && (inflate.inflate(frame, size, &mut inflated).is_err() || !texts.contains(&inflated))
                });
                if let Some(message) = room.under_way.get_mut((client.received - room.first_under_way) as usize) {
                    message.received += 1;
                    // A sample is enough.
                    if client.received % 8 == id % 8 {
                        latencies.push(now.saturating_sub(message.sent));
                    }
                }
                client.received += 1;
                while room.under_way.front().is_some_and(|message| message.received == members) {
                    room.under_way.pop_front();
                    room.first_under_way += 1;
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
    let connector = Connector::new(args)?;
    let open = |i| ws::connect(&connector, &args.text("url").replace("{room}", &format!("room{}", i / 10)), false);
    let held = (0..count).map(open).collect::<io::Result<Vec<_>>>()?;
    println!("{{\"units\": {}}}", held.len());
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

/// `handshakes --url URL --n 1000`: opens connections one after another, and closes each one after the opening handshake. With
/// `--resume`, each TLS handshake resumes the session of an earlier connection.
pub fn handshakes(args: &Args) -> io::Result<()> {
    let (count, resumes) = (args.number("n", 1000), args.has("resume"));
    let connector = Connector::new(args)?;
    let open = || ws::connect(&connector, args.text("url"), false);
    // The one whose session is resumed.
    drop(open()?);
    println!("{{\"ready\": true}}");
    let start = Instant::now();
    let mut bad = 0;
    for _ in 0..count {
        bad += u64::from(open()?.is_resumed() != resumes);
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{{\"units\": {count}, \"lost\": 0, \"bad\": {bad}, \"seconds\": {seconds:.3}}}");
    Ok(())
}

struct Echo {
    stream: Stream,
    frames: Frames,
    /// The number of bytes sent.
    sent: u64,
    /// The number of messages received.
    received: u64,
    /// The length of the fragments of the message that has not ended.
    length: usize,
    /// The message whose latency is measured: its number, and when it was sent.
    sample: Option<(u64, Instant)>,
    /// Whether the poller reports when the socket is writable.
    waits: bool,
}

impl Echo {
    /// Sends messages up to number `allowed`, as far as the socket accepts them. `block` has whole messages of `length` bytes.
    fn send(&mut self, allowed: u64, block: &[u8], length: u64) -> io::Result<()> {
        let end = allowed * length;
        if self.sample.is_none() && self.sent < end {
            self.sample = Some((self.sent.div_ceil(length), Instant::now()));
        }
        let result = self.stream.flush().and_then(|()| {
            while self.sent < end {
                let at = (self.sent % block.len() as u64) as usize;
                let most = (end - self.sent).min((block.len() - at) as u64) as usize;
                self.sent += self.stream.write(&block[at..at + most])? as u64;
            }
            Ok(())
        });
        match result {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }
}

/// `echo --url URL --clients 1 --size 16 --count 100000 --window 1024`: sends `--count` messages and counts those that come back.
/// `--window` is the maximum number of messages of a client without a reply.
pub fn echo(args: &Args) -> io::Result<()> {
    let (size, clients) = (args.number("size", 16) as usize, args.number("clients", 1));
    let (each, window) = (args.number("count", 100_000) / clients, args.number("window", 1));
    let mut message = Vec::new();
    ws::frame(&mut message, ws::BINARY, ws::MASK, &vec![b'x'; size]);
    let length = message.len() as u64;
    let block = message.repeat(BLOCK.div_ceil(message.len()));
    let connector = Connector::new(args)?;
    let poller = Poller::new()?;
    let open = |id| {
        let stream = ws::connect(&connector, args.text("url"), false)?;
        stream.set_nonblocking()?;
        poller.add(&stream, id)?;
        let frames = Frames::default();
        Ok(Echo { stream, frames, sent: 0, received: 0, length: 0, sample: None, waits: false })
    };
    let mut echoes = (0..clients).map(open).collect::<io::Result<Vec<_>>>()?;
    println!("{{\"ready\": true}}");
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let mut buffer = vec![0; 256 * 1024];
    let (mut received, mut bad) = (0, 0);
    let mut latencies = Vec::new();
    // At first all of them may send.
    let mut ready: Vec<u64> = (0..clients).collect();
    while !ready.is_empty() {
        for id in ready {
            let echo = &mut echoes[id as usize];
            match echo.stream.read(&mut buffer) {
                Ok(0) => return Err(io::Error::other("the server closed the connection")),
                Ok(read) => echo.frames.take(&mut buffer[..read], |first, payload| {
                    // A data frame or a continuation: a message may arrive in fragments.
                    if first & 0x0f <= 2 {
                        echo.length += payload.len();
                        if first & 0x80 != 0 {
                            echo.received += 1;
                            received += 1;
                            bad += u64::from(std::mem::take(&mut echo.length) != size);
                        }
                    }
                }),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            if let Some((_, sent)) = echo.sample.take_if(|(number, _)| *number < echo.received) {
                latencies.push(sent.elapsed().as_nanos() as u64);
            }
            let allowed = (echo.received + window).min(each);
            echo.send(allowed, &block, length)?;
            let waits = echo.sent < allowed * length || !echo.stream.is_flushed();
            if std::mem::replace(&mut echo.waits, waits) != waits {
                poller.modify(&echo.stream, id, waits)?;
            }
        }
        if received == each * clients {
            break;
        }
        ready = poller.wait(Some(SILENCE))?.into_iter().map(|(id, _)| id).collect();
    }
    let [p50, p99] = percentiles(&mut latencies);
    println!(
        "{{\"units\": {received}, \"lost\": {}, \"bad\": {bad}, \"seconds\": {:.3}, \"cpu_s\": {:.3}, \"p50_us\": {p50:.1}, \
         \"p99_us\": {p99:.1}}}",
        each * clients - received,
        start.elapsed().as_secs_f64(),
        cpu_seconds() - cpu
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
