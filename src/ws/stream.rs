//! A WebSocket as a message stream.

use super::{
    Event, FrameLog, Role, Upgraded, WebSocketOptions,
    deflate::{Deflater, Inflater},
    fault::Fault,
    frame,
    heartbeat::{Beat, Heartbeat},
    reader::{Limits, Reader},
    wire::Wire,
};
use crate::{
    error::Error,
    flow::{self, ControlFrame, ControlObserver, ControlObservers, Incoming, MessageEnd, MessageStream, Transfer},
    message::{Close, Kind, Message},
};
use bytes::{Bytes, BytesMut};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};
use tokio::{
    task::coop,
    time::{Sleep, sleep},
};
use tokio_tungstenite::tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Control, Data, OpCode},
};

/// Messages longer than this leave as fragments of this size: neither memory nor time grows with their length twice.
const FRAGMENT: usize = 64 * 1024;
/// Frames gather up to this size before they are written: as much as is read at once, so that what came with one system
/// call leaves with one.
const GATHER: usize = 256 * 1024;
/// How long a peer that broke the protocol may take to read our close frame before the connection is cut. Without the
/// wait its unread data would reset the connection, and the close frame could be lost.
const FAREWELL: Duration = Duration::from_secs(1);

/// One end of a WebSocket connection, after the upgrade.
pub struct WebSocket {
    wire: Wire,
    reader: Reader,
    role: Role,
    /// Where messages may leave compressed.
    deflater: Option<Deflater>,
    options: WebSocketOptions,
    /// The rest of a message that leaves in fragments.
    sending: Option<Rest>,
    received_close: Option<Close>,
    close_is_sent: bool,
    /// A failure to write is told when something is to be written; what was received before it is still read.
    write_failed: bool,
    /// The payload of the last ping that is not answered yet: a peer that pings and never reads gets one pong in the end.
    owed_pong: Option<Bytes>,
    /// There is a ping or pong in the output that was not asked for from outside.
    owes_flush: bool,
    violated: Option<Violated>,
    failing: Option<Failing>,
    settling: Settling,
    heartbeat: Option<Heartbeat>,
    heard_at_last_beat: u64,
    /// How much of what was heard were control frames.
    heard_control: u64,
    observers: ControlObservers,
}

struct Rest {
    kind: Kind,
    payload: Bytes,
    is_first: bool,
}

/// The peer broke the protocol. What answers its messages before that may still go out: it is there at once or too late.
struct Violated {
    close: Close,
    error: Error,
}

/// It gets the close frame, behind which nothing is written, and a moment to read it.
struct Failing {
    error: Error,
    deadline: Pin<Box<Sleep>>,
    output_is_done: bool,
}

enum Settling {
    Idle,
    /// For the pong with these bytes, which wakes this task.
    Waiting([u8; 8], Waker),
    Done,
}

impl WebSocket {
    /// Starts to speak frames on a connection whose opening handshake is done. `log` gets its frames.
    pub fn open(upgraded: Upgraded, role: Role, options: &WebSocketOptions, log: Option<FrameLog>) -> MessageEnd {
        let Upgraded { end, early, deflate } = upgraded;
        let options = options.clone();
        let name = end.name.clone();
        let mut log = log.map(Box::new);
        if let Some(log) = &mut log {
            log.received(&early);
        }
        let wire = Wire { end, out: BytesMut::new(), usual: 0, heard: early.len() as u64, log };
        let limits = Limits { message: options.max_message, frame: options.max_frame };
        let inflater = deflate.as_ref().map(|agreed| Inflater::new(agreed, role));
        let stream = Self {
            wire,
            reader: Reader::new(role, limits, early, inflater),
            role,
            deflater: deflate.and_then(|agreed| Deflater::new(&agreed, role, &options.deflate)),
            heartbeat: options.ping_interval.map(|every| Heartbeat::new(every, options.ping_timeout)),
            options,
            sending: None,
            received_close: None,
            close_is_sent: false,
            write_failed: false,
            owed_pong: None,
            owes_flush: false,
            violated: None,
            failing: None,
            settling: Settling::Idle,
            heard_at_last_beat: 0,
            heard_control: 0,
            observers: ControlObservers::default(),
        };
        MessageEnd::new(stream, flow::Role::WebSocket, name)
    }

    fn append(&mut self, opcode: Control, payload: &[u8]) {
        match opcode {
            Control::Ping => {
                self.observers.notify(Transfer::Sent, || ControlFrame::Ping(Bytes::copy_from_slice(payload)));
            }
            Control::Pong => {
                self.observers.notify(Transfer::Sent, || ControlFrame::Pong(Bytes::copy_from_slice(payload)));
            }
            Control::Close | Control::Reserved(_) => {}
        }
        self.append_frame(FrameHeader { opcode: OpCode::Control(opcode), ..FrameHeader::default() }, payload);
    }

    fn append_frame(&mut self, header: FrameHeader, payload: &[u8]) {
        let masked = self.role == Role::Client;
        if let Some(log) = &self.wire.log {
            log.sent(&header, payload);
        }
        frame::encode(self.wire.output(), header, masked, payload);
    }

    /// Counts a ping or pong that was read: a header of two bytes, a mask from clients, and the payload.
    fn note_control(&mut self, payload: &[u8]) {
        let mask = if self.role == Role::Server { 4 } else { 0 };
        self.heard_control += 2 + mask + payload.len() as u64;
    }

    fn append_close(&mut self, close: &Close) {
        self.observers.notify(Transfer::Sent, || ControlFrame::Close(close.clone()));
        self.append(Control::Close, &close.payload());
        self.close_is_sent = true;
    }

    /// Encodes the next fragment of the message under way, or all of a short one.
    fn encode_next(&mut self) {
        if let Some(mut rest) = self.sending.take() {
            let length = rest.payload.len();
            let piece = rest.payload.split_to(length.min(FRAGMENT));
            let is_final = rest.payload.is_empty();
            let deflated = match &mut self.deflater {
                Some(deflater) if rest.is_first => deflater.begin(rest.kind, &piece, length),
                Some(deflater) => deflater.go_on(&piece, is_final),
                None => None,
            };
            let opcode = if rest.is_first { rest.kind.into() } else { Data::Continue };
            // RFC 7692 section 6: the first frame speaks for the message.
            let rsv1 = rest.is_first && deflated.is_some();
            let header = FrameHeader { is_final, rsv1, opcode: OpCode::Data(opcode), ..FrameHeader::default() };
            self.append_frame(header, deflated.as_deref().unwrap_or(&piece));
            if !is_final {
                rest.is_first = false;
                self.sending = Some(rest);
            }
        }
    }

    /// Answers the last ping when there is room. Nothing may follow a close frame (RFC 6455 section 5.5.1).
    fn answer_ping(&mut self) {
        if self.close_is_sent {
            self.owed_pong = None;
        } else if self.wire.out.len() < GATHER
            && let Some(payload) = self.owed_pong.take()
        {
            self.append_quietly(Control::Pong, &payload);
        }
    }

    /// A control frame that nobody will flush.
    fn append_quietly(&mut self, opcode: Control, payload: &[u8]) {
        self.append(opcode, payload);
        self.owes_flush = true;
    }

    /// Writes while reading: pings and pongs, and what stands before them. What else has gathered waits for its flush.
    fn drain_quietly(&mut self, cx: &mut Context<'_>) {
        self.answer_ping();
        while self.owes_flush && !self.write_failed {
            match self.wire.poll_drain(cx) {
                Poll::Ready(Ok(())) => {
                    self.owes_flush = false;
                    self.answer_ping();
                }
                Poll::Ready(Err(_)) => self.write_failed = true,
                Poll::Pending => return,
            }
        }
    }

    fn fail(&mut self, Violated { close, error }: Violated) {
        if !self.close_is_sent {
            self.sending = None;
            self.append_close(&close);
        }
        self.failing = Some(Failing { error, deadline: Box::pin(sleep(FAREWELL)), output_is_done: false });
    }

    /// Writes the close frame, then reads to the end or for [`FAREWELL`], then gives the error.
    fn poll_failing(&mut self, cx: &mut Context<'_>, mut failing: Failing) -> Poll<Error> {
        let wire = &mut self.wire;
        if !failing.output_is_done && wire.poll_drain(cx).is_ready() && wire.end.poll_shutdown(cx).is_ready() {
            failing.output_is_done = true;
        }
        let mut waste = BytesMut::with_capacity(4096);
        let over = failing.deadline.as_mut().poll(cx).is_ready()
            || loop {
                waste.clear();
                match wire.end.poll_fill(cx, &mut waste) {
                    Poll::Ready(Ok(1..)) => {}
                    Poll::Ready(_) => break true,
                    Poll::Pending => break false,
                }
            };
        if over {
            return Poll::Ready(failing.error);
        }
        self.failing = Some(failing);
        Poll::Pending
    }

    /// What it means that nothing more can be read. `Some` is an end that is no error.
    fn ended_by(&mut self, fault: Fault) -> Result<Option<Incoming>, Error> {
        match fault {
            // Many servers answer a close frame with the end of the connection alone.
            Fault::Ended if self.close_is_sent => Ok(Some(Incoming::End(None))),
            Fault::Ended => {
                let with = self.wire.end.name.to_string();
                Err(Error::Lost { with, reason: "it ended without a close frame".into() })
            }
            Fault::Io(error) => Err(self.wire.end.read_error(error)),
            Fault::Violation { code, reason, hint } => {
                let close = Close::new(code, reason.as_str());
                let error = Error::Protocol { with: self.wire.end.name.to_string(), reason, hint };
                self.violated = Some(Violated { close, error });
                Ok(None)
            }
        }
    }
}

impl MessageStream for WebSocket {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Error>> {
        if let Some(violated) = self.violated.take() {
            self.fail(violated);
        }
        loop {
            if let Some(failing) = self.failing.take() {
                return self.poll_failing(cx, failing).map(Err);
            }
            if let Some(close) = &self.received_close {
                return Poll::Ready(Ok(Incoming::End(Some(close.clone()))));
            }
            let next = self.reader.poll_next(&mut self.wire, cx);
            if self.heartbeat.is_some() {
                self.beat(cx, next.is_pending())?;
            }
            if next.is_pending() {
                self.drain_quietly(cx);
                self.wire.rest();
            }
            match next {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(Event::Message(message))) => return Poll::Ready(Ok(Incoming::Message(message))),
                Poll::Ready(Ok(Event::Close(close))) => {
                    self.observers.notify(Transfer::Received, || ControlFrame::Close(close.clone()));
                    self.received_close = Some(close);
                }
                Poll::Ready(Ok(Event::Pong(payload))) => {
                    self.observers.notify(Transfer::Received, || ControlFrame::Pong(payload.clone()));
                    self.note_control(&payload);
                    if let Settling::Waiting(sent, waker) = &self.settling
                        && payload == sent[..]
                    {
                        waker.wake_by_ref();
                        self.settling = Settling::Done;
                    }
                }
                Poll::Ready(Ok(Event::Ping(payload))) => {
                    self.observers.notify(Transfer::Received, || ControlFrame::Ping(payload.clone()));
                    self.note_control(&payload);
                    self.owed_pong = Some(payload);
                    self.drain_quietly(cx);
                }
                Poll::Ready(Err(fault)) => {
                    let end = self.ended_by(fault)?;
                    if end.is_none() {
                        cx.waker().wake_by_ref();
                    }
                    return end.map_or(Poll::Pending, |end| Poll::Ready(Ok(end)));
                }
            }
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.write_failed {
            let with = self.wire.end.name.to_string();
            return Poll::Ready(Err(Error::Lost { with, reason: "it no longer takes data".into() }));
        }
        if self.failing.is_some() {
            // The reading side ends the session; the other end must not wait for that.
            return Poll::Ready(Ok(()));
        }
        loop {
            if self.wire.out.len() >= GATHER {
                ready!(self.wire.poll_drain(cx))?;
            }
            if self.sending.is_none() {
                return Poll::Ready(Ok(()));
            }
            // Compressing may be long work for little output.
            ready!(coop::poll_proceed(cx)).made_progress();
            self.encode_next();
        }
    }

    fn start_send(&mut self, message: Message) -> Result<(), Error> {
        if self.failing.is_some() {
            // Nothing follows the close frame.
            return Ok(());
        }
        self.sending = Some(Rest { kind: message.kind, payload: message.payload, is_first: true });
        self.encode_next();
        Ok(())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(self.poll_ready(cx))?;
        self.wire.poll_drain(cx)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>, close: Option<&Close>) -> Poll<Result<(), Error>> {
        if !self.close_is_sent {
            ready!(self.poll_ready(cx))?;
            let close = close.or(self.received_close.as_ref()).unwrap_or(&self.options.close).clone();
            self.append_close(&close);
        }
        ready!(self.wire.poll_drain(cx))?;
        if self.received_close.is_some() && self.role == Role::Server {
            // RFC 6455 section 7.1.1: the server closes the TCP connection first.
            ready!(self.wire.end.poll_shutdown(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_confirmed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match self.settling {
            Settling::Done => {
                self.settling = Settling::Idle;
                return Poll::Ready(Ok(()));
            }
            Settling::Idle if self.failing.is_some() => return Poll::Pending,
            Settling::Idle => {
                let payload: [u8; 8] = rand::random();
                self.append(Control::Ping, &payload);
                self.settling = Settling::Waiting(payload, cx.waker().clone());
            }
            Settling::Waiting(..) => {}
        }
        ready!(self.wire.poll_drain(cx))?;
        Poll::Pending
    }

    fn progress(&self) -> u64 {
        // A peer that only pings says nothing.
        self.wire.heard.wrapping_sub(self.heard_control)
    }

    fn observe_control(&mut self, observer: ControlObserver) {
        self.observers.add(observer);
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.wire.end.poll_shutdown(cx).map(|_| ())
    }
}

impl WebSocket {
    /// Sends pings when they are due and notices a peer that answers none. `is_idle`: nothing that it sent is waiting to be
    /// read. Anything that arrives is a sign of life: a pong may stand behind megabytes that the other end of the session
    /// takes its time for.
    fn beat(&mut self, cx: &mut Context<'_>, is_idle: bool) -> Result<(), Error> {
        if self.close_is_sent {
            // No ping may follow it; from here on the close timeout counts.
            self.heartbeat = None;
        }
        let wire = &mut self.wire;
        let is_alive = std::mem::replace(&mut self.heard_at_last_beat, wire.heard) < wire.heard || !is_idle;
        let has_room = wire.out.len() < GATHER;
        let Some(heartbeat) = &mut self.heartbeat else { return Ok(()) };
        if is_alive {
            heartbeat.heard();
        }
        match heartbeat.poll(cx, has_room) {
            Poll::Pending => Ok(()),
            Poll::Ready(Beat::Ping) => {
                self.append_quietly(Control::Ping, b"");
                // For the timer's next time.
                cx.waker().wake_by_ref();
                Ok(())
            }
            Poll::Ready(Beat::Dead(limit)) => {
                let reason = format!("no answer to a ping for {} s", limit.as_secs_f64());
                Err(Error::Lost { with: self.wire.end.name.to_string(), reason })
            }
        }
    }
}
