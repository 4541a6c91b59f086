//! Generates load for WebSocket servers and clients, and does the same work as they do with the fewest system calls (`floor-…`).
//! `benches/end-to-end` runs it as `load MODE --name value --flag`; each load prints one line of JSON.

mod client;
mod deflate;
mod floor;
mod server;
mod socketio;
mod stream;
mod ws;

use rustix::{
    event::{Timespec, epoll},
    io::Errno,
};
use std::{io, os::fd::AsFd, time::Duration};

fn main() {
    let args = Args(std::env::args().skip(1).collect());
    let result = match args.0.first().map(String::as_str) {
        Some("room") => server::room(&args),
        Some("idle") => server::idle(&args),
        Some("handshakes") => server::handshakes(&args),
        Some("echo") => server::echo(&args),
        Some("pump") => server::pump(&args),
        Some("sink") => client::sink(&args),
        Some("flood") => client::flood(&args),
        Some("reply") => client::reply(),
        Some("floor-room") => floor::room(&args, false),
        Some("floor-echo") => floor::room(&args, true),
        Some("floor-proxy") => floor::proxy(&args),
        Some("floor-client") => floor::client(&args),
        other => Err(io::Error::other(format!("no such mode: {other:?}"))),
    };
    if let Err(error) = result {
        eprintln!("load: {error}");
        std::process::exit(1);
    }
}

/// The command line.
pub struct Args(Vec<String>);

impl Args {
    pub fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// The value of `--name`.
    fn value(&self, name: &str) -> Option<&str> {
        let at = self.0.iter().position(|arg| arg.strip_prefix("--") == Some(name))?;
        Some(self.0.get(at + 1).map_or("", String::as_str))
    }

    pub fn text(&self, name: &str) -> &str {
        self.value(name).unwrap_or_else(|| panic!("--{name} is needed"))
    }

    pub fn number(&self, name: &str, default: u64) -> u64 {
        self.value(name).map_or(default, |value| value.parse().expect("a number"))
    }
}

/// Waits for events of many sockets (epoll).
pub struct Poller(std::os::fd::OwnedFd);

impl Poller {
    pub fn new() -> io::Result<Self> {
        Ok(Self(epoll::create(epoll::CreateFlags::CLOEXEC)?))
    }

    /// Adds a socket; [`wait`](Self::wait) reports when it is readable.
    pub fn add(&self, socket: impl AsFd, id: u64) -> io::Result<()> {
        Ok(epoll::add(&self.0, socket, epoll::EventData::new_u64(id), epoll::EventFlags::IN)?)
    }

    /// Sets whether [`wait`](Self::wait) also reports when the socket is writable.
    pub fn modify(&self, socket: impl AsFd, id: u64, writes: bool) -> io::Result<()> {
        let flags = if writes { epoll::EventFlags::IN | epoll::EventFlags::OUT } else { epoll::EventFlags::IN };
        Ok(epoll::modify(&self.0, socket, epoll::EventData::new_u64(id), flags)?)
    }

    /// Waits for events. Returns the ID of each ready socket, and whether it is writable.
    pub fn wait(&self, limit: Option<Duration>) -> io::Result<Vec<(u64, bool)>> {
        let mut events = Vec::with_capacity(1024);
        let limit =
            limit.map(|limit| Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: limit.subsec_nanos().into() });
        match epoll::wait(&self.0, rustix::buffer::spare_capacity(&mut events), limit.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready = |event: &epoll::Event| {
            let flags = event.flags;
            (event.data.u64(), flags.contains(epoll::EventFlags::OUT))
        };
        Ok(events.iter().map(ready).collect())
    }
}
