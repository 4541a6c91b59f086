//! A WebSocket as a message stream.

use super::{
    CLOSE_READ_TIMEOUT, ControlState, Event, FrameLog, Heartbeat, ReadEnd, Role, Upgraded, WebSocketOptions,
    deflate::{Deflater, Inflater},
    frame,
    reader::Reader,
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
    control: ControlState,
    /// A failure to write is told when something is to be written; what was received before it is still read.
    write_failed: bool,
    /// There is a ping or pong in the output that was not asked for from outside.
    owes_flush: bool,
    /// The peer sent something that is refused. The answers to its earlier messages may still be sent: they are there at once
    /// or too late.
    refused: Option<(Close, Error)>,
    failing: Option<Failing>,
    settling: Settling,
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
        let inflater = deflate.as_ref().map(|agreed| Inflater::new(agreed, role));
        let mut control = ControlState::default();
        control.start_heartbeat(Heartbeat::of(&options));
        let stream = Self {
            wire,
            reader: Reader::new(role, &options.limits, early, inflater),
            role,
            deflater: deflate.and_then(|agreed| Deflater::new(&agreed, role, &options.deflate)),
            options,
            sending: None,
            control,
            write_failed: false,
            owes_flush: false,
            refused: None,
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
        if self.control.start_close() {
            self.observers.notify(Transfer::Sent, || ControlFrame::Close(close.clone()));
            self.append(Control::Close, &close.payload());
        }
    }

    /// Encodes the next fragment of the message under way, or all of a short one.
    ///
    /// # Errors
    ///
    /// A message that was begun compressed cannot be compressed to its end.
    fn encode_next(&mut self) -> Result<(), Error> {
        if let Some(mut rest) = self.sending.take() {
            let length = rest.payload.len();
            let piece = rest.payload.split_to(length.min(FRAGMENT));
            let is_final = rest.payload.is_empty();
            let deflated = match &mut self.deflater {
                Some(deflater) if rest.is_first => deflater.begin(rest.kind, &piece, length),
                Some(deflater) => {
                    deflater.go_on(&piece, is_final).map_err(|error| self.wire.end.write_error(error.into()))?
                }
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
        Ok(())
    }

    /// Answers the last ping when there is room.
    fn answer_ping(&mut self) {
        if let Some(payload) = self.control.take_pong(self.wire.out.len() < GATHER) {
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

    fn fail(&mut self, close: &Close, error: Error) {
        // Nothing follows the close frame.
        self.sending = None;
        self.append_close(close);
        self.failing = Some(Failing { error, deadline: Box::pin(sleep(CLOSE_READ_TIMEOUT)), output_is_done: false });
    }

    /// Writes the close frame, then reads to the end or for [`CLOSE_READ_TIMEOUT`], then gives the error.
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
}

impl MessageStream for WebSocket {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Error>> {
        if let Some((close, error)) = self.refused.take() {
            self.fail(&close, error);
        }
        loop {
            if let Some(failing) = self.failing.take() {
                return self.poll_failing(cx, failing).map(Err);
            }
            if let Some(close) = self.control.received_close() {
                return Poll::Ready(Ok(Incoming::End(Some(close.clone()))));
            }
            let next = self.reader.poll_next(&mut self.wire, cx);
            if self.control.has_heartbeat() {
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
                    self.control.close_received(close);
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
                    self.control.ping_received(payload);
                    self.drain_quietly(cx);
                }
                Poll::Ready(Err(error)) => match self.control.read_failed(error, &self.wire.end.name) {
                    ReadEnd::Closed => return Poll::Ready(Ok(Incoming::End(None))),
                    ReadEnd::Lost(error) => return Poll::Ready(Err(error)),
                    ReadEnd::Failed(error) => return Poll::Ready(Err(self.wire.end.read_error(error))),
                    ReadEnd::Refused { close, error } => {
                        self.refused = Some((close, error));
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                },
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
            self.encode_next()?;
        }
    }

    fn start_send(&mut self, message: Message) -> Result<(), Error> {
        if self.failing.is_some() {
            // Nothing follows the close frame.
            return Ok(());
        }
        self.sending = Some(Rest { kind: message.kind, payload: message.payload, is_first: true });
        self.encode_next()
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(self.poll_ready(cx))?;
        self.wire.poll_drain(cx)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>, close: Option<&Close>) -> Poll<Result<(), Error>> {
        if !self.control.close_sent() {
            ready!(self.poll_ready(cx))?;
            let close = close.or(self.control.received_close()).unwrap_or(&self.options.close).clone();
            self.append_close(&close);
        }
        ready!(self.wire.poll_drain(cx))?;
        if self.control.received_close().is_some() && self.role == Role::Server {
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
        let wire = &self.wire;
        let is_alive = std::mem::replace(&mut self.heard_at_last_beat, wire.heard) < wire.heard || !is_idle;
        let has_room = wire.out.len() < GATHER;
        if let Poll::Ready(due) = self.control.poll_heartbeat(cx, &wire.end.name, is_alive, has_room) {
            due?;
            self.append_quietly(Control::Ping, b"");
        }
        Ok(())
    }
}
