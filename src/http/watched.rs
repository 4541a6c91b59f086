//! A connection that hyper serves, and that can be read besides while hyper waits for the answer to a request: hyper notices
//! then neither that the client has left, since a client may end its direction after a request, nor anything else.

use super::write_timeout::{self, WriteTimeout};
use crate::flow::ByteStream;
use bytes::{Buf, BytesMut};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The most bytes that are read before the answer to an opening handshake; the end of a connection behind more is not noticed.
/// A client has nothing to send before the answer.
const AHEAD: usize = 16 * 1024;

/// A connection with a time limit for writes, held by hyper and by the opening handshake, in one task.
#[derive(Clone)]
pub struct Watched(Arc<Mutex<State>>);

struct State {
    io: WriteTimeout,
    /// What was read while the connection was watched.
    ahead: BytesMut,
}

impl Watched {
    /// Adds the time limit to a connection.
    pub fn new(io: ByteStream, limit: Duration) -> Self {
        let io = write_timeout::limit(io, limit);
        Self(Arc::new(Mutex::new(State { io, ahead: BytesMut::new() })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ready when the client has ended the connection or its direction of it. Not to be called while hyper reads.
    pub fn poll_left(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        let State { io, ahead } = &mut *state;
        while ahead.len() < AHEAD {
            let mut read = [0; 1024];
            let mut buffer = ReadBuf::new(&mut read);
            match ready!(io.as_mut().poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => ahead.extend_from_slice(buffer.filled()),
                Ok(()) | Err(_) => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }

    /// Takes the connection back, without the time limit, and what was read ahead.
    pub fn take(&self) -> (ByteStream, BytesMut) {
        let mut state = self.lock();
        (write_timeout::lift(&mut state.io), std::mem::take(&mut state.ahead))
    }
}

impl AsyncRead for Watched {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        let State { io, ahead } = &mut *state;
        if ahead.is_empty() {
            return io.as_mut().poll_read(cx, buf);
        }
        let length = ahead.len().min(buf.remaining());
        buf.put_slice(ahead.get(..length).unwrap_or_default());
        ahead.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.lock().io.as_mut().poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.lock().io.as_mut().poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.lock().io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lock().io.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lock().io.as_mut().poll_shutdown(cx)
    }
}
