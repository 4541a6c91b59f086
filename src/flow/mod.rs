//! Ends: live byte streams and message streams, and what the session asks of each.

mod control_observer;
#[cfg_attr(not(target_os = "linux"), path = "datagram_socket_portable.rs")]
mod datagram_socket;
mod datagrams;
#[cfg_attr(windows, path = "descriptor_windows.rs")]
mod descriptor;
#[cfg_attr(windows, path = "file_options_windows.rs")]
pub mod file_options;
mod message_layer;
mod ping_times;
mod redial_requests;
mod stream;
#[cfg(test)]
pub mod testing;

pub use control_observer::{ControlFrame, ControlObserver, ControlObservers, Transfer};
pub use datagram_socket::DatagramSocket;
pub use datagrams::{DatagramEnd, DatagramFraming, DatagramStream, Destination};
pub use descriptor::{DescriptorReader, DescriptorWriter};
pub use message_layer::MessageLayer;
pub use ping_times::PingTimes;
pub use redial_requests::{RedialRequest, RedialRequests};
pub use stream::{ByteIo, ByteStream, Reregister};

use crate::{
    error::Error,
    message::{Close, Message},
};
use bytes::{Buf, BytesMut};
use std::{
    fmt,
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::{io::AsyncWrite, sync::Notify};
use tokio_util::io::poll_read_buf;

/// The most pieces of memory that one write takes.
const MAX_PARTS: usize = 64;

/// A boxed future, for traits that are used as objects.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What flows through an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// A stream of bytes without boundaries.
    Bytes,
    /// Whole messages, each text or binary.
    Messages,
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bytes => "bytes",
            Self::Messages => "messages",
        })
    }
}

/// What a message stream delivers.
#[derive(Debug)]
pub enum Incoming {
    /// A message.
    Message(Message),
    /// The peer asks whether everything before this has arrived: a ping. The caller flushes that to where it goes, and then calls
    /// `poll_next` again, which answers.
    FlushRequest,
    /// A user at this end asks for a ping or a pong to the other end.
    ControlRequest(ControlFrame),
    /// The end of the stream: a close frame, or the end of the bytes below a framing. Nothing may be read after it.
    End(Option<Close>),
}

/// What kind of end this is, for the rules by which a session ends (the manual, HOW A SESSION ENDS).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndKind {
    /// Standard input and output, which are independent of each other. After the input has ended, replies may still be
    /// wanted at the output.
    Console {
        /// Standard input is a terminal, so it can be left unread without loss.
        terminal: bool,
    },
    /// A file or a literal that is read. What is written to it is dropped.
    Source,
    /// A file that is written. It is never read.
    Sink,
    /// A socket. It may still reply after its input has ended.
    Peer,
    /// Datagrams. They have no end, so one may come at any time.
    Datagrams {
        /// Anybody may send one, also when the other end of the session has nothing more to say.
        from_anybody: bool,
    },
    /// A child process, or a device. It may still reply, or work, after its input has ended. It is gone when its output has ended.
    Process {
        /// It has a terminal. Its output need not end with a newline, as a prompt does not.
        terminal: bool,
    },
    /// A WebSocket, which has close frames and pings.
    WebSocket,
    /// One end that many sessions share (`reuse:`). It stays open when a session ends.
    Shared {
        /// It can still be written after it has nothing more to read, as standard output after the end of standard
        /// input. Sessions go on then.
        outlives_input: bool,
    },
}

/// A live byte stream.
pub struct ByteEnd {
    /// The stream.
    pub io: ByteStream,
    /// The rules by which it ends.
    pub kind: EndKind,
    /// Its name in errors.
    pub name: Arc<str>,
    /// A framing notifies this of each empty message instead of writing it.
    pub on_empty_message: Option<Arc<Notify>>,
}

impl ByteEnd {
    /// A byte stream that is not a plain socket.
    pub fn new(io: impl ByteIo + 'static, kind: EndKind, name: impl Into<Arc<str>>) -> Self {
        Self { io: ByteStream::other(io), kind, name: name.into(), on_empty_message: None }
    }

    /// A plain socket.
    pub fn socket(io: impl Into<ByteStream>, name: impl Into<Arc<str>>) -> Self {
        Self { io: io.into(), kind: EndKind::Peer, name: name.into(), on_empty_message: None }
    }

    /// A stream that behaves as a socket does.
    pub fn peer(io: impl ByteIo + 'static, name: impl Into<Arc<str>>) -> Self {
        Self::new(io, EndKind::Peer, name)
    }

    /// Whether a message is not to be written: it is empty, and its meaning is another one here.
    pub fn takes_as_signal(&self, message: &Message) -> bool {
        let Some(notify) = self.on_empty_message.as_ref().filter(|_| message.payload.is_empty()) else { return false };
        notify.notify_one();
        true
    }

    /// The name of its input, for errors.
    pub fn input_name(&self) -> &str {
        if matches!(self.kind, EndKind::Console { .. }) { "standard input" } else { &self.name }
    }

    /// The error for a failed read.
    pub fn read_error(&self, source: io::Error) -> Error {
        self.error("read", self.input_name(), source)
    }

    /// The error for a failed write.
    pub fn write_error(&self, source: io::Error) -> Error {
        let output_name = if matches!(self.kind, EndKind::Console { .. }) { "standard output" } else { &self.name };
        self.error("write", output_name, source)
    }

    /// Most errors of a socket mean that the connection is lost.
    fn error(&self, doing: &str, name: &str, source: io::Error) -> Error {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, TimedOut, UnexpectedEof};
        match source.downcast::<Error>() {
            Ok(error) => error,
            Err(source) => match (self.kind, source.kind()) {
                (
                    EndKind::Peer | EndKind::Process { .. },
                    BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | TimedOut | UnexpectedEof,
                ) => {
                    let reason = match source.kind() {
                        // rustls's own text is three lines long.
                        UnexpectedEof => "it ended without TLS's close_notify, so data may be missing".into(),
                        _ => crate::error::io_message(&source),
                    };
                    Error::Lost { with: self.name.to_string(), reason }
                }
                _ => Error::Io { at: format!("cannot {doing} {name}"), source },
            },
        }
    }

    /// Reads available bytes and appends them to `buffer`, which must have spare capacity. Returns 0 at the end.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<Result<usize, Error>> {
        poll_read_buf(Pin::new(&mut self.io), cx, buffer).map_err(|error| self.read_error(error))
    }

    /// Writes until `buffer` is empty.
    pub fn poll_drain(&mut self, cx: &mut Context<'_>, buffer: &mut impl Buf) -> Poll<Result<(), Error>> {
        while buffer.has_remaining() {
            let io = Pin::new(&mut self.io);
            let written = if buffer.chunk().len() == buffer.remaining() {
                io.poll_write(cx, buffer.chunk())
            } else {
                let mut parts = [IoSlice::new(&[]); MAX_PARTS];
                let count = buffer.chunks_vectored(&mut parts);
                io.poll_write_vectored(cx, parts.get(..count).unwrap_or_default())
            };
            match ready!(written) {
                Ok(0) => return Poll::Ready(Err(self.write_error(io::ErrorKind::WriteZero.into()))),
                Ok(written) => buffer.advance(written),
                Err(error) => return Poll::Ready(Err(self.write_error(error))),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Flushes the buffers below, such as those of a file or of TLS.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Pin::new(&mut self.io).poll_flush(cx).map_err(|error| self.write_error(error))
    }

    /// Ends our direction: a half-close.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match Pin::new(&mut self.io).poll_shutdown(cx) {
            // The other side has ended the connection already.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            other => other.map_err(|error| self.write_error(error)),
        }
    }
}

impl Reregister for ByteEnd {
    fn reregister(self) -> io::Result<Self> {
        Ok(Self { io: self.io.reregister()?, ..self })
    }
}

/// Anything that whole messages flow through both ways.
///
/// One task owns and polls the whole stream; it is not split into halves, so it needs no locks. A stream need not wake that task
/// when the task itself makes `poll_next` ready, by sending or finishing: the task polls again after these. Every method may be
/// called again after `Pending` without loss. The defaults are those of a stream without control frames; a stream on
/// top of another implements [`MessageLayer`], whose defaults call the stream below.
pub trait MessageStream: Send {
    /// The next message, the end, or a request to flush. A WebSocket answers pings here.
    ///
    /// # Errors
    ///
    /// The connection is lost, or the other side broke the protocol.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Error>>;

    /// Ready when [`start_send`](Self::start_send) may be called.
    ///
    /// # Errors
    ///
    /// Nothing more can be written.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>>;

    /// Takes a message; only after `poll_ready` was `Ready`.
    ///
    /// # Errors
    ///
    /// Nothing more can be written.
    fn start_send(&mut self, message: Message) -> Result<(), Error>;

    /// Takes a control frame; only after `poll_ready` was `Ready`.
    fn send_control(&mut self, _frame: ControlFrame) {}

    /// Ready when every message taken has been written.
    ///
    /// # Errors
    ///
    /// Nothing more can be written.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>>;

    /// Flushes and ends our direction: with a close frame, or with a half-close. Reading goes on. `close` is the close
    /// frame to send; without it a WebSocket repeats the one that it received, or sends the one that the options set.
    ///
    /// # Errors
    ///
    /// Nothing more can be written.
    fn poll_finish(&mut self, cx: &mut Context<'_>, close: Option<&Close>) -> Poll<Result<(), Error>>;

    /// Ready when the peer has confirmed that it received everything flushed: a WebSocket sends a ping and waits for
    /// its pong, which `poll_next` must be called to receive. After `Ready`, the next call sends a new ping.
    ///
    /// # Errors
    ///
    /// Nothing more can be written.
    fn poll_confirmed(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    /// Whether sending may have made `poll_next` ready without waking the task, which then polls again. A stream that always wakes it
    /// saves that poll.
    fn may_answer_at_once(&self) -> bool {
        true
    }

    /// Bytes received; a change resets the silence timers. It matters while a long message arrives slowly, so a stream
    /// whose messages arrive whole may return a constant.
    fn progress(&self) -> u64 {
        0
    }

    /// Bytes of messages taken that the connection has not taken yet. A change resets the silence timers. A stream that holds nothing
    /// back returns 0.
    fn unsent(&self) -> u64 {
        0
    }

    /// Messages that came and of which a filter left nothing. A change is a reply of the peer that is not shown.
    fn left_out(&self) -> u64 {
        0
    }

    /// Calls `observer` for each control frame from now on.
    fn observe_control(&mut self, _observer: ControlObserver) {}

    /// The last call: ends the connection below (TLS `close_notify`, FIN).
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// A live message stream.
pub struct MessageEnd {
    /// The stream.
    pub io: Box<dyn MessageStream>,
    /// The rules by which it ends.
    pub kind: EndKind,
    /// Its name in errors.
    pub name: Arc<str>,
    /// The subprotocol that a server chose, where we are the client of a WebSocket.
    pub subprotocol: Option<String>,
    /// Called for each control frame of the other end of the session.
    pub observer: Option<ControlObserver>,
}

impl MessageEnd {
    /// An end without a subprotocol.
    pub fn new(io: impl MessageStream + 'static, kind: EndKind, name: impl Into<Arc<str>>) -> Self {
        Self { io: Box::new(io), kind, name: name.into(), subprotocol: None, observer: None }
    }
}

impl Reregister for MessageEnd {
    /// It goes on with the runtime that it knows.
    fn reregister(self) -> io::Result<Self> {
        Ok(self)
    }
}
