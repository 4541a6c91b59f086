//! The work that is counted: each path that data takes through the binary.

use crate::{
    Counter,
    http::{Head, upgrade_request},
    raw::{BINARY, CLOSE, PING, TEXT, close_payload, from_client, from_server, raw_client, raw_server, read_frame},
    support::{Serving, connect},
};
use std::{
    io::{BufReader, Read, Write},
    net::{Shutdown, TcpStream},
    thread,
};

/// A piece of work of `units`, enough of them for the start of the program to be a small part.
pub struct Work {
    /// What one unit is.
    pub what: &'static str,
    pub units: usize,
    pub run: fn(&Counter, usize),
}

/// All that is counted, by how far its instructions may lie above their figure, in percent.
pub const WORK: &[(f64, &[Work])] = &[(10.0, ONE_CONNECTION), (20.0, ROOMS)];

const ONE_CONNECTION: &[Work] = &[
    Work { what: "a start, one message there and one back", units: 1, run: one_message },
    Work { what: "a line of 59 bytes from standard input to a WebSocket", units: 50_000, run: lines_sent },
    Work { what: "a message of 59 bytes from a WebSocket to standard output", units: 50_000, run: lines_received },
    Work { what: "a MiB from standard input to a WebSocket", units: 32, run: bytes_sent },
    Work { what: "a MiB from TCP to a WebSocket", units: 32, run: tunnel },
    Work { what: "an echo of 16 bytes", units: 50_000, run: echo_small },
    Work { what: "an echo of 64 KiB", units: 500, run: echo_large },
];

/// Batches are longer on a busy machine, so these vary more.
const ROOMS: &[Work] = &[
    Work { what: "a message of 100 bytes to a room of 10", units: 10_000, run: room_small },
    Work { what: "a message of 16 KiB to a room of 10", units: 1_000, run: room_large },
    Work { what: "a message of 16 KiB to a room of 10 that takes it compressed", units: 1_000, run: room_deflated },
    Work { what: "a member who joins a room and leaves it", units: 200, run: joins },
];

/// `units` lines of 59 bytes.
fn lines(units: usize) -> Vec<u8> {
    (0..units).flat_map(|i| format!("{i:059}\n").into_bytes()).collect()
}

const MIB: usize = 1 << 20;

fn one_message(counter: &Counter, _: usize) {
    let (url, server) = raw_server(|mut stream| {
        read_frame(&mut stream);
        stream.write_all(&from_server(TEXT, "hello")).expect("answer");
        end(&mut stream);
    });
    counter.run(["-1", &url], b"hello\n");
    server.join().expect("serve");
}

fn lines_sent(counter: &Counter, units: usize) {
    sent(counter, &[], &lines(units));
}

fn bytes_sent(counter: &Counter, units: usize) {
    sent(counter, &["-b"], &vec![7; units * MIB]);
}

fn sent(counter: &Counter, options: &[&str], input: &[u8]) {
    let (url, server) = raw_server(swallow);
    counter.run([options, &["-E", &url]].concat(), input);
    server.join().expect("serve");
}

/// Reads up to the close frame and answers it. The buffer is large, so that the program under test is the slower
/// side: otherwise the sizes of its reads and writes would vary.
fn swallow(mut stream: TcpStream) {
    let mut reader = BufReader::with_capacity(MIB, stream.try_clone().expect("a second handle"));
    while read_frame(&mut reader).is_some_and(|frame| frame.first != CLOSE) {}
    let _ = stream.write_all(&from_server(CLOSE, close_payload(1000, "")));
}

/// Closes, and reads until the other side has closed too.
fn end(stream: &mut TcpStream) {
    stream.write_all(&from_server(CLOSE, close_payload(1000, ""))).expect("close");
    let _ = std::io::copy(stream, &mut std::io::sink());
}

fn lines_received(counter: &Counter, units: usize) {
    let (url, server) = raw_server(move |mut stream| {
        let frames: Vec<u8> =
            lines(units).chunks(60).flat_map(|line| from_server(TEXT, line.trim_ascii_end())).collect();
        stream.write_all(&frames).expect("send");
        end(&mut stream);
    });
    counter.run(["-U", "-", &url], b"");
    server.join().expect("serve");
}

fn tunnel(counter: &Counter, units: usize) {
    let (url, server) = raw_server(swallow);
    let front = Serving::from_command(announced(counter, &["--oneshot", "tcp-l:127.0.0.1:0", &url]));
    let mut stream = front.connect();
    stream.write_all(&vec![7; units * MIB]).expect("send");
    stream.shutdown(Shutdown::Write).expect("end");
    let _ = stream.read(&mut [0]);
    front.running.finish().succeeds();
    server.join().expect("serve");
}

fn announced(counter: &Counter, args: &[&str]) -> std::process::Command {
    counter.wsplice([args, &["--stdout-announce-listening-ports"]].concat())
}

fn echo_small(counter: &Counter, units: usize) {
    echo(counter, units, 16);
}

fn echo_large(counter: &Counter, units: usize) {
    echo(counter, units, 64 * 1024);
}

fn echo(counter: &Counter, units: usize, size: usize) {
    let server = Serving::from_command(announced(counter, &["--oneshot", "ws-l:127.0.0.1:0", "mirror:"]));
    let stream = raw_client(server.connect());
    let whole = units * from_server(BINARY, vec![0; size]).len();
    let reader = read_on_thread(&stream, whole);
    say(&stream, units, &vec![7; size]);
    reader.join().expect("read");
    drop(stream);
    // Exit code 7: the connection was ended without a close frame, which saves a round here.
    server.running.finish();
}

/// Sends so many binary messages, masked.
fn say(mut stream: &TcpStream, units: usize, payload: &[u8]) {
    let message = from_client(BINARY, payload);
    stream.write_all(&message.repeat(units)).expect("send");
}

fn read_on_thread(stream: &TcpStream, mut left: usize) -> thread::JoinHandle<()> {
    let mut stream = stream.try_clone().expect("a second handle");
    thread::spawn(move || {
        let mut buffer = vec![0; MIB];
        while left > 0 {
            left -= stream.read(&mut buffer).expect("all of it comes");
        }
    })
}

fn room_small(counter: &Counter, units: usize) {
    room(counter, units, 100);
}

fn room_large(counter: &Counter, units: usize) {
    room(counter, units, 16 * 1024);
}

/// On a busy machine a row takes longer than the time between pings, whose bytes nobody expects.
const NO_PINGS: [&str; 2] = ["--ping-interval", "0"];

/// With one thread: how members are divided among several would change the counts.
fn room_server(counter: &Counter, options: &[&str]) -> Serving {
    let all = [&["-q", "--broadcast", "--threads", "1", "ws-l:127.0.0.1:0"], options].concat();
    Serving::from_command(announced(counter, &all))
}

fn room(counter: &Counter, units: usize, size: usize) {
    let server = room_server(counter, &NO_PINGS);
    let members: Vec<_> = (0..10).map(|_| raw_client(server.connect())).collect();
    let whole = units * from_server(BINARY, vec![0; size]).len();
    let readers: Vec<_> = members.iter().map(|member| read_on_thread(member, whole)).collect();
    say(&members[0], units, &vec![7; size]);
    readers.into_iter().for_each(|reader| reader.join().expect("read"));
    stop(server);
}

/// The room compresses a message once for all members.
fn room_deflated(counter: &Counter, units: usize) {
    let server = room_server(counter, &[&NO_PINGS[..], &["--deflate", "on"]].concat());
    let request = upgrade_request("/", "Sec-WebSocket-Extensions: permessage-deflate\r\n");
    let mut members: Vec<_> = (0..10)
        .map(|_| {
            let mut stream = server.connect();
            stream.write_all(request.as_bytes()).expect("ask");
            assert!(Head::read(&mut stream).get("Sec-WebSocket-Extensions").is_some());
            stream
        })
        .collect();
    let payload: Vec<u8> =
        (0..).flat_map(|n: usize| (n * 7919 % 1000).to_string().into_bytes()).take(16 << 10).collect();
    // Each is compressed to the same length.
    say(&members[0], 1, &payload);
    let first = members.iter_mut().map(|member| read_frame(member).expect("a message").payload).last();
    let whole = (units - 1) * from_server(BINARY, first.expect("ten of them")).len();
    let readers: Vec<_> = members.iter().map(|member| read_on_thread(member, whole)).collect();
    say(&members[0], units - 1, &payload);
    readers.into_iter().for_each(|reader| reader.join().expect("read"));
    stop(server);
}

fn stop(server: Serving) {
    server.running.signal("TERM");
    server.running.finish();
}

fn joins(counter: &Counter, units: usize) {
    let server = room_server(counter, &[]);
    for _ in 0..units {
        let mut member = raw_client(connect(server.port));
        // The pong shows that the member has been served.
        member.write_all(&from_client(PING, "")).expect("ping");
        read_frame(&mut member);
    }
    stop(server);
}
