//! Two plain sockets: the kernel moves the bytes through a pipe and they are never copied to user space (splice(2)).
//!
//! Bytes moved into the pipe appear to the pump as a message without a payload, so this session counts and ends like
//! any other. It takes half to two thirds of the CPU time of reading and writing.

use crate::{
    error::Error,
    flow::{ByteEnd, ByteStream, Incoming, MessageEnd, MessageStream},
    framing::ChunkStream,
    message::{Close, Kind, Message},
};
use bytes::Bytes;
use rustix::{
    pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice},
    process::{Resource, getrlimit},
};
use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};
use tokio::io::Interest;

/// The capacity of a pipe in bytes: the most that Linux lets any user set (pipe(7)). A pipe keeps its default of 64 KiB
/// where the pipes of the user have reached their common limit.
const CAPACITY: usize = 1 << 20;

/// One end of such a session, as a message stream.
struct Spliced {
    end: ByteEnd,
    /// Bytes from this end to the other.
    from: Arc<Mutex<Pipe>>,
    /// Bytes from the other end to this one.
    to: Arc<Mutex<Pipe>>,
}

struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    /// Number of bytes in the pipe.
    held: usize,
    /// Number of these that the destination has accepted and must write.
    taken: usize,
}

/// Pipes are used while less than a fourth of the file descriptors is in use: a session with pipes takes six, one that
/// copies takes two.
const SPARE_PART: u64 = 4;

/// Two byte ends as message ends: through pipes where both are plain sockets and file descriptors are not scarce.
pub fn join(left: ByteEnd, right: ByteEnd) -> (MessageEnd, MessageEnd) {
    if [&left, &right].iter().any(|end| matches!(end.io, ByteStream::Other(_))) {
        return ChunkStream::join(left, right);
    }
    let (Ok(there), Ok(back)) = (Pipe::open(), Pipe::open()) else { return ChunkStream::join(left, right) };
    let (there, back) = (Arc::new(Mutex::new(there)), Arc::new(Mutex::new(back)));
    let spliced = |end: ByteEnd, from: &Arc<Mutex<Pipe>>, to: &Arc<Mutex<Pipe>>| {
        let (kind, name) = (end.kind, end.name.clone());
        MessageEnd::new(Spliced { end, from: from.clone(), to: to.clone() }, kind, name)
    };
    (spliced(left, &there, &back), spliced(right, &back, &there))
}

impl Pipe {
    fn open() -> io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // The kernel hands out the lowest free descriptor.
        let in_use = u64::try_from(write.as_raw_fd()).unwrap_or_default();
        if getrlimit(Resource::Nofile).current.is_some_and(|most| in_use > most / SPARE_PART) {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        let _ = fcntl_setpipe_size(&write, CAPACITY);
        Ok(Self { read, write, held: 0, taken: 0 })
    }

    /// Drops the bytes that the destination has not accepted.
    fn discard(&mut self) -> io::Result<()> {
        let mut waste = [0; 4096];
        while self.held > 0 {
            let length = self.held.min(waste.len());
            self.held -= rustix::io::read(&self.read, &mut waste[..length])?;
        }
        self.taken = 0;
        Ok(())
    }
}

/// Runs the action once the socket is ready, and again after a false readiness.
fn poll_io(
    stream: &ByteStream,
    cx: &mut Context<'_>,
    interest: Interest,
    mut action: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(match stream {
            ByteStream::Tcp(socket) if interest.is_readable() => socket.poll_read_ready(cx),
            ByteStream::Tcp(socket) => socket.poll_write_ready(cx),
            ByteStream::Unix(socket) if interest.is_readable() => socket.poll_read_ready(cx),
            ByteStream::Unix(socket) => socket.poll_write_ready(cx),
            ByteStream::Other(_) => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
        })?;
        let done = match stream {
            ByteStream::Tcp(socket) => socket.try_io(interest, || action(socket.as_fd())),
            ByteStream::Unix(socket) => socket.try_io(interest, || action(socket.as_fd())),
            ByteStream::Other(_) => Err(io::ErrorKind::Unsupported.into()),
        };
        match done {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            done => return Poll::Ready(done),
        }
    }
}

fn lock(pipe: &Mutex<Pipe>) -> MutexGuard<'_, Pipe> {
    pipe.lock().unwrap_or_else(PoisonError::into_inner)
}

fn move_bytes(from: BorrowedFd<'_>, to: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
    Ok(splice(from, None, to, None, most, SpliceFlags::MOVE | SpliceFlags::NONBLOCK)?)
}

impl Spliced {
    fn poll_fill(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut pipe = lock(&self.from);
        // With a full pipe, splice would report the same as with an empty socket.
        pipe.discard()?;
        let moved = ready!(poll_io(&self.end.io, cx, Interest::READABLE, |socket| {
            move_bytes(socket, pipe.write.as_fd(), CAPACITY)
        }))?;
        pipe.held = moved;
        Poll::Ready(Ok(moved))
    }

    fn poll_drain(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut pipe = lock(&self.to);
        while pipe.taken > 0 {
            let moved = ready!(poll_io(&self.end.io, cx, Interest::WRITABLE, |socket| {
                move_bytes(pipe.read.as_fd(), socket, pipe.taken)
            }))
            .map_err(|error| self.end.write_error(error))?;
            pipe.taken -= moved;
            pipe.held -= moved;
        }
        Poll::Ready(Ok(()))
    }
}

impl MessageStream for Spliced {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Error>> {
        Poll::Ready(match ready!(self.poll_fill(cx)) {
            Ok(0) => Ok(Incoming::End(None)),
            Ok(_) => Ok(Incoming::Message(Message { kind: Kind::Binary, payload: Bytes::new() })),
            Err(error) => Err(self.end.read_error(error)),
        })
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_drain(cx)
    }

    fn start_send(&mut self, _: Message) -> Result<(), Error> {
        let mut pipe = lock(&self.to);
        pipe.taken = pipe.held;
        Ok(())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_drain(cx)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>, _: Option<&Close>) -> Poll<Result<(), Error>> {
        ready!(self.poll_drain(cx))?;
        self.end.poll_shutdown(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.end.poll_shutdown(cx).map(|_| ())
    }
}
