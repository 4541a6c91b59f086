//! The floor: programs that do the same work as wsplice with the fewest system calls, and without checks, limits or logs.

use crate::{
    Args, Poller,
    deflate::{Deflate, Inflate},
    stream::{Acceptor, Connector, Stream},
    ws::{self, Frames},
};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    pipe::{SpliceFlags, fcntl_setpipe_size, splice},
    stdio::stdin,
};
use std::{
    collections::HashMap,
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
};

const READ: usize = 256 * 1024;
/// Maximum length of a compressed message.
const MOST_INFLATED: usize = 1 << 20;

struct Member {
    stream: Stream,
    room: String,
    frames: Frames,
    backlog: Vec<u8>,
}

impl Member {
    /// Writes as much as the socket accepts, and queues the rest until it is writable.
    fn send(&mut self, id: u64, bytes: &[u8], poller: &Poller) -> io::Result<()> {
        let waited = !self.backlog.is_empty();
        let mut sent = 0;
        while !waited && sent < bytes.len() {
            match self.stream.write(&bytes[sent..]) {
                Ok(written) => sent += written,
                Err(_) => break,
            }
        }
        self.backlog.extend_from_slice(&bytes[sent..]);
        if waited || self.is_idle() { Ok(()) } else { poller.modify(&self.stream, id, true) }
    }

    fn is_idle(&self) -> bool {
        self.backlog.is_empty() && self.stream.is_flushed()
    }

    /// Writes what is queued, when the socket is writable.
    fn resume(&mut self, id: u64, poller: &Poller) -> io::Result<()> {
        if self.stream.flush().is_err() {
            return Ok(());
        }
        poller.modify(&self.stream, id, false)?;
        let backlog = std::mem::take(&mut self.backlog);
        self.send(id, &backlog, poller)
    }
}

/// Compresses each message once, whatever the number of members.
struct Recompress {
    inflate: Inflate,
    deflate: Deflate,
    message: Vec<u8>,
    compressed: Vec<u8>,
}

impl Recompress {
    fn new(level: u32) -> Self {
        Self { inflate: Inflate::new(), deflate: Deflate::new(level), message: Vec::new(), compressed: Vec::new() }
    }

    /// Appends the frame for a received message to `batch`.
    fn frame(&mut self, batch: &mut Vec<u8>, first: u8, payload: &[u8]) -> io::Result<()> {
        let mut message = payload;
        if first & ws::COMPRESSED != 0 {
            self.inflate.inflate(payload, MOST_INFLATED, &mut self.message)?;
            message = &self.message;
        }
        self.deflate.deflate(message, &mut self.compressed)?;
        ws::frame(batch, first | ws::COMPRESSED, None, &self.compressed);
        Ok(())
    }
}

/// `floor-room --port PORT`, `floor-echo --port PORT`: sends all messages of one read with one write to each member. `--cert FILE
/// --key FILE` adds TLS, `--deflate LEVEL` compression.
pub fn room(args: &Args, echoes: bool) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", args.number("port", 0) as u16))?;
    let poller = Poller::new()?;
    poller.add(&listener, 0)?;
    let acceptor = Acceptor::new(args)?;
    let mut recompress = args.has("deflate").then(|| Recompress::new(args.number("deflate", 1) as u32));
    let mut members: HashMap<u64, Member> = HashMap::new();
    let mut rooms: HashMap<String, Vec<u64>> = HashMap::new();
    let mut next = 0;
    let mut buffer = vec![0; READ];
    let mut batch = Vec::new();
    loop {
        for (id, writable) in poller.wait(None)? {
            if id == 0 {
                let mut stream = acceptor.accept(listener.accept()?.0)?;
                let path = ws::accept(&mut stream, recompress.is_some())?;
                stream.set_nonblocking()?;
                next += 1;
                poller.add(&stream, next)?;
                let room = if echoes { next.to_string() } else { path };
                rooms.entry(room.clone()).or_default().push(next);
                members.insert(next, Member { stream, room, frames: Frames::default(), backlog: Vec::new() });
                continue;
            }
            let Some(member) = members.get_mut(&id) else { continue };
            if writable && !member.is_idle() {
                member.resume(id, &poller)?;
            }
            batch.clear();
            let mut has_ended = false;
            match member.stream.read(&mut buffer) {
                Ok(0) => has_ended = true,
                Ok(read) => member.frames.take(&mut buffer[..read], |first, payload| match first & !ws::COMPRESSED {
                    ws::TEXT | ws::BINARY => match &mut recompress {
                        None => ws::frame(&mut batch, first, None, payload),
                        Some(recompress) => has_ended |= recompress.frame(&mut batch, first, payload).is_err(),
                    },
                    ws::CLOSE => has_ended = true,
                    _ => {}
                }),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => has_ended = true,
            }
            let room = member.room.clone();
            if !batch.is_empty() {
                for other in &rooms[&room] {
                    if let Some(member) = members.get_mut(other) {
                        member.send(*other, &batch, &poller)?;
                    }
                }
            }
            if has_ended {
                rooms.entry(room).or_default().retain(|other| *other != id);
                members.remove(&id);
            }
        }
    }
}

/// `floor-proxy --port PORT --to ADDRESS [--splice]`: copies one connection in both directions.
pub fn proxy(args: &Args) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", args.number("port", 0) as u16))?;
    let near = listener.accept()?.0;
    let far = TcpStream::connect(args.text("to"))?;
    let copy = if args.has("splice") { spliced } else { copied };
    std::thread::scope(|scope| {
        scope.spawn(|| copy(&far, &near));
        copy(&near, &far)
    })
}

fn copied(mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        to.write_all(&buffer[..read])?;
    }
    to.shutdown(Shutdown::Write)
}

fn spliced(from: &TcpStream, to: &TcpStream) -> io::Result<()> {
    let (out, into) = rustix::pipe::pipe()?;
    // The maximum for an unprivileged process. With the default of 64 KiB one call moves half as much.
    let _ = fcntl_setpipe_size(&into, 1 << 20);
    loop {
        let mut held = splice(from, None, &into, None, 1 << 20, SpliceFlags::MOVE)?;
        if held == 0 {
            return to.shutdown(Shutdown::Write);
        }
        while held > 0 {
            held -= splice(&out, None, to, None, held, SpliceFlags::MOVE | SpliceFlags::MORE)?;
        }
    }
}

/// `floor-client --url URL [--binary]`: sends lines or, with `--binary`, chunks of standard input as messages, and writes received
/// messages as lines.
pub fn client(args: &Args) -> io::Result<()> {
    let mut stream = ws::connect(&Connector::new(args)?, args.text("url"), false)?;
    let mut output = io::stdout().lock();
    let mut buffer = vec![0; 64 * 1024];
    let mut received = vec![0; READ];
    let (mut rest, mut out, mut lines) = (Vec::new(), Vec::new(), Vec::new());
    let mut frames = Frames::default();
    let mut is_open = true;
    loop {
        let mut ready = vec![PollFd::new(&stream, PollFlags::IN)];
        if is_open {
            ready.push(PollFd::from_borrowed_fd(stdin(), PollFlags::IN));
        }
        match poll(&mut ready, None) {
            Err(Errno::INTR) => continue,
            polled => polled?,
        };
        let [has_received, has_input] = [0, 1].map(|i| ready.get(i).is_some_and(|fd| !fd.revents().is_empty()));
        out.clear();
        if has_input {
            let read = rustix::io::read(stdin(), &mut buffer)?;
            is_open = read > 0;
            if args.has("binary") {
                ws::frame(&mut out, ws::BINARY, ws::MASK, &buffer[..read]);
            } else {
                split_lines(&buffer[..read], &mut rest, &mut out);
            }
            if !is_open {
                if !rest.is_empty() {
                    ws::frame(&mut out, ws::TEXT, ws::MASK, &rest);
                }
                ws::frame(&mut out, ws::CLOSE, ws::MASK, &1000u16.to_be_bytes());
            }
            stream.write_all(&out)?;
        }
        if has_received {
            let read = stream.read(&mut received)?;
            let mut is_over = read == 0;
            lines.clear();
            frames.take(&mut received[..read], |first, payload| match first {
                ws::CLOSE => is_over = true,
                _ => {
                    lines.extend_from_slice(payload);
                    lines.push(b'\n');
                }
            });
            output.write_all(&lines)?;
            output.flush()?;
            if is_over {
                return Ok(());
            }
        }
    }
}

fn split_lines(read: &[u8], rest: &mut Vec<u8>, out: &mut Vec<u8>) {
    for line in read.split_inclusive(|byte| *byte == b'\n') {
        match line.split_last() {
            Some((b'\n', line)) if rest.is_empty() => ws::frame(out, ws::TEXT, ws::MASK, line),
            Some((b'\n', line)) => {
                rest.extend_from_slice(line);
                ws::frame(out, ws::TEXT, ws::MASK, rest);
                rest.clear();
            }
            _ => rest.extend_from_slice(line),
        }
    }
}
