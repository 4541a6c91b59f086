//! Descriptors that this process was started with, such as standard input and output.
//!
//! Other processes may share the open file behind such a descriptor, with its flags (open(2)), so O_NONBLOCK must not be set on
//! it: their reads and writes would fail. Each kind of file has a way without that flag, and only a terminal needs a thread.

use rustix::{
    fs::{OFlags, fcntl_getfl},
    io::{read, retry_on_intr, write},
    net::{RecvFlags, SendFlags, SocketType, recv, send, sockopt::socket_type},
};
use std::{
    fs::File,
    io,
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

/// The first read of a file takes this many bytes at most. Each read that takes all doubles it, since the buffer is filled with
/// zeros before.
const FIRST_READ: usize = 4096;
/// The most that one read of a file takes, in bytes. It bounds the time for which a disk can hold up the thread.
const FILE_READ: usize = 64 * 1024;
/// The most that one read of a socket takes, in bytes. The buffer is filled with zeros before each read.
const SOCKET_READ: usize = 16 * 1024;

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
pub struct DescriptorReader {
    access: Access<pipe::Receiver>,
    /// The most that the next read of a file takes, in bytes.
    most: usize,
}

impl DescriptorReader {
    /// # Errors
    /// The descriptor is closed, or there are not enough of them.
    pub fn new(descriptor: impl AsFd) -> io::Result<Self> {
        Ok(Self { access: Access::of(descriptor)?, most: FIRST_READ })
    }
}

impl AsyncRead for DescriptorReader {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { access, most } = &mut *self;
        match access {
            Access::File(file) => {
                let budget = ready!(poll_proceed(cx));
                budget.made_progress();
                let length = retry_on_intr(|| read(&*file, part(buf, *most)))?;
                buf.advance(length);
                if length == *most {
                    *most = FILE_READ.min(2 * length);
                }
                Poll::Ready(Ok(()))
            }
            Access::Pipe(pipe) => Pin::new(pipe).poll_read(cx, buf),
            Access::Socket(socket) => loop {
                let mut ready = ready!(socket.poll_read_ready(cx))?;
                let receive = |socket: &AsyncFd<File>| {
                    Ok(retry_on_intr(|| recv(socket, part(buf, SOCKET_READ), RecvFlags::DONTWAIT))?.0)
                };
                if let Ok(received) = ready.try_io(receive) {
                    buf.advance(received?);
                    return Poll::Ready(Ok(()));
                }
            },
            Access::Thread(file) => Pin::new(file).poll_read(cx, buf),
        }
    }
}

/// Writes a descriptor.
pub struct DescriptorWriter(Access<pipe::Sender>);

impl DescriptorWriter {
    /// # Errors
    /// The descriptor is closed, or there are not enough of them.
    pub fn new(descriptor: impl AsFd) -> io::Result<Self> {
        Access::of(descriptor).map(Self)
    }
}

impl AsyncWrite for DescriptorWriter {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Access::File(file) => {
                let budget = ready!(poll_proceed(cx));
                budget.made_progress();
                Poll::Ready(Ok(retry_on_intr(|| write(&*file, buf))?))
            }
            Access::Pipe(pipe) => Pin::new(pipe).poll_write(cx, buf),
            Access::Socket(socket) => loop {
                let mut ready = ready!(socket.poll_write_ready(cx))?;
                let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
                if let Ok(sent) = ready.try_io(|socket| Ok(retry_on_intr(|| send(socket, buf, flags))?)) {
                    return Poll::Ready(sent);
                }
            },
            Access::Thread(file) => Pin::new(file).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
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

/// The start of what is free in `buf`, filled with zeros.
fn part<'a>(buf: &'a mut ReadBuf<'_>, most: usize) -> &'a mut [u8] {
    buf.initialize_unfilled_to(buf.remaining().min(most))
}
