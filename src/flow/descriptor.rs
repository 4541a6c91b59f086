//! Descriptors that this process was started with, such as standard input and output.
//!
//! Other processes may share the open file behind such a descriptor, with its flags (open(2)), so O_NONBLOCK must not be set on
//! it: their reads and writes would fail. Each kind of file has a way without that flag, and only a terminal needs a thread.

use rustix::{
    fs::{OFlags, fcntl_getfl, tell},
    io::{Errno, read, retry_on_intr, write},
    net::{RecvFlags, SendFlags, SocketType, recv, send, sockopt::socket_type},
};
use std::{
    fs::{File, FileType},
    io::{self, IsTerminal},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, AsRawFd},
        unix::fs::FileTypeExt,
    },
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf, unix::AsyncFd},
    net::unix::pipe,
    task::coop::poll_proceed,
};

/// The most that one read takes, in bytes. It bounds the time for which a disk can hold up the thread.
const MAX_READ: usize = 64 * 1024;

/// A descriptor, by the way in which it is read or written.
enum Access<Pipe> {
    /// A regular file, or a device such as /dev/null. It has no readiness: reads and writes do not wait for anybody.
    File(File),
    /// A pipe opened anew, with flags of its own; or a descriptor that is non-blocking already.
    Pipe(Pipe),
    /// Each call says that it must not block.
    Socket(AsyncFd<File>),
    /// A terminal, a socket of datagrams, or a pipe that cannot be opened anew. A thread waits in each call.
    Thread(tokio::fs::File),
}

/// An end of a pipe of tokio. It calls read(2) or write(2), so it serves every file with readiness.
trait PipeEnd: Sized {
    const INTEREST: Interest;

    fn open(path: &str) -> io::Result<Self>;

    /// `file` must be non-blocking.
    fn from_file(file: File) -> io::Result<Self>;
}

impl PipeEnd for pipe::Receiver {
    const INTEREST: Interest = Interest::READABLE;

    fn open(path: &str) -> io::Result<Self> {
        pipe::OpenOptions::new().open_receiver(path)
    }

    fn from_file(file: File) -> io::Result<Self> {
        Self::from_file_unchecked(file)
    }
}

impl PipeEnd for pipe::Sender {
    const INTEREST: Interest = Interest::WRITABLE;

    fn open(path: &str) -> io::Result<Self> {
        pipe::OpenOptions::new().open_sender(path)
    }

    fn from_file(file: File) -> io::Result<Self> {
        Self::from_file_unchecked(file)
    }
}

impl<Pipe: PipeEnd> Access<Pipe> {
    /// # Errors
    /// The descriptor is closed, or there are not enough of them.
    fn of(descriptor: impl AsFd) -> io::Result<Self> {
        let file = File::from(descriptor.as_fd().try_clone_to_owned()?);
        let kind = file.metadata()?.file_type();
        Self::of_kind(file, kind)
    }

    fn of_kind(file: File, kind: FileType) -> io::Result<Self> {
        if kind.is_file() {
            return Ok(Self::File(file));
        }
        if kind.is_socket() {
            // Of a datagram, what one read does not take is lost: a thread has a longer buffer.
            return match socket_type(&file)? {
                SocketType::STREAM => socket(file, Pipe::INTEREST).map(Self::Socket),
                _ => Ok(Self::Thread(file.into())),
            };
        }
        // It fails without /proc, for a pipe of another user, and for a pipe that nobody reads.
        if kind.is_fifo()
            && let Ok(pipe) = Pipe::open(&format!("/proc/self/fd/{}", file.as_raw_fd()))
        {
            return Ok(Self::Pipe(pipe));
        }
        let is_non_blocking = fcntl_getfl(&file)?.contains(OFlags::NONBLOCK);
        // epoll_ctl(2) refuses files without readiness.
        Ok(match Pipe::from_file(file.try_clone()?) {
            Err(_) => Self::File(file),
            Ok(pipe) if is_non_blocking => Self::Pipe(pipe),
            Ok(_) => Self::Thread(file.into()),
        })
    }
}

#[expect(
    unsafe_code,
    reason = "tokio's other constructors are deprecated, since a descriptor might be closed too early"
)]
fn socket(file: File, interest: Interest) -> io::Result<AsyncFd<File>> {
    // SAFETY: a `File` always returns the same descriptor and closes it when it is dropped, after its registration.
    Ok(unsafe { AsyncFd::register_with_interest(file, interest) }?)
}

/// Reads a descriptor.
pub struct DescriptorReader(Access<pipe::Receiver>);

impl DescriptorReader {
    /// # Errors
    /// The descriptor is closed, or there are not enough of them.
    pub fn new(descriptor: impl AsFd) -> io::Result<Self> {
        Access::of(descriptor).map(Self)
    }
}

impl DescriptorReader {
    /// What is left to read of a regular file, in bytes.
    pub fn file_rest(&self) -> Option<u64> {
        let Access::File(file) = &self.0 else { return None };
        let length = file.metadata().ok().filter(|metadata| metadata.is_file())?.len();
        Some(length.saturating_sub(tell(file).ok()?))
    }
}

impl AsyncRead for DescriptorReader {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Access::File(file) => {
                let budget = ready!(poll_proceed(cx));
                budget.made_progress();
                Poll::Ready(Ok(fill(buf, |free| Ok(read(&*file, free)?.0.len()))?))
            }
            Access::Pipe(pipe) => Pin::new(pipe).poll_read(cx, buf),
            Access::Socket(socket) => loop {
                let mut ready = ready!(socket.poll_read_ready(cx))?;
                let receive = |socket: &AsyncFd<File>| {
                    Ok(fill(buf, |free| Ok(recv(socket, free, RecvFlags::DONTWAIT)?.0.0.len()))?)
                };
                if let Ok(received) = ready.try_io(receive) {
                    return Poll::Ready(received);
                }
            },
            Access::Thread(file) => Pin::new(file).poll_read(cx, buf),
        }
    }
}

/// Writes a descriptor.
pub struct DescriptorWriter {
    access: Access<pipe::Sender>,
    is_terminal: bool,
}

impl DescriptorWriter {
    /// # Errors
    /// The descriptor is closed, or there are not enough of them.
    pub fn new(descriptor: impl AsFd) -> io::Result<Self> {
        let file = File::from(descriptor.as_fd().try_clone_to_owned()?);
        let kind = file.metadata()?.file_type();
        // The kernel is asked about devices only: pipes pay nothing for terminals.
        let is_terminal = kind.is_char_device() && file.is_terminal();
        Ok(Self { access: Access::of_kind(file, kind)?, is_terminal })
    }

    /// Whether it is a terminal.
    pub fn is_terminal(&self) -> bool {
        self.is_terminal
    }
}

impl AsyncWrite for DescriptorWriter {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.access {
            Access::File(file) => {
                let budget = ready!(poll_proceed(cx));
                budget.made_progress();
                Poll::Ready(Ok(retry_on_intr(|| write(&*file, buf))?))
            }
            Access::Pipe(pipe) => Pin::new(pipe).poll_write(cx, buf),
            Access::Socket(socket) => loop {
                let mut ready = ready!(socket.poll_write_ready(cx))?;
                // Rust ignores SIGPIPE.
                if let Ok(sent) = ready.try_io(|socket| Ok(retry_on_intr(|| send(socket, buf, SendFlags::DONTWAIT))?)) {
                    return Poll::Ready(sent);
                }
            },
            Access::Thread(file) => Pin::new(file).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.access {
            Access::Thread(file) => Pin::new(file).poll_flush(cx),
            // Nothing is buffered.
            Access::File(_) | Access::Pipe(_) | Access::Socket(_) => Poll::Ready(Ok(())),
        }
    }

    /// The file stays open, since it is not ours alone.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

/// Reads with `call`, which gives the number of bytes that it has written from the start of what is free in `buf`.
#[expect(
    unsafe_code,
    reason = "to fill the buffer with zeros before each read took 5 % of the instructions of an upload"
)]
fn fill(
    buf: &mut ReadBuf<'_>,
    mut call: impl FnMut(&mut [MaybeUninit<u8>]) -> Result<usize, Errno>,
) -> Result<(), Errno> {
    // SAFETY: `call` only writes to it.
    let free = unsafe { buf.unfilled_mut() };
    let most = free.len().min(MAX_READ);
    let length = retry_on_intr(|| call(free.get_mut(..most).unwrap_or_default()))?;
    // SAFETY: the system call has written these bytes.
    unsafe { buf.assume_init(length) };
    buf.advance(length);
    Ok(())
}
