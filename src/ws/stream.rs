//! A WebSocket as a message stream.

use super::{
    Budget, CLOSE_READ_TIMEOUT, ControlState, Event, FrameLog, Heartbeat, ReadEnd, Role, Upgraded, WebSocketOptions,
    control::out_of_memory,
    deflate::{Deflater, Inflater},
    encoder,
    output::{LONG, Output},
    reader::Reader,
    slash,
    transport::Wire,
};
use crate::{
    error::Error,
    flow::{self, ControlFrame, ControlObserver, ControlObservers, Incoming, MessageEnd, MessageStream, Transfer},
    memory::{self, Account},
    message::{Close, Kind, Message},
};
use bytes::{Buf, Bytes, BytesMut};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};
use tokio::{
    io::AsyncWrite,
    time::{Sleep, sleep},
};
use tokio_tungstenite::tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Control, Data, OpCode},
};

/// Longer messages are sent as fragments of this size, so that no second copy of a long message is held.
const FRAGMENT: usize = 64 * 1024;
/// Frames are collected up to this size before they are written. It is the size of the largest read, so that what was received
/// with one system call is passed on with one.
const MAX_OUTPUT: usize = 256 * 1024;

/// Compressing a byte takes as long as handling so many: a fragment is as much as one poll does.
const DEFLATE_COST: usize = 8;

/// One end of a WebSocket connection, after the opening handshake.
pub struct WebSocket {
    wire: Wire,
    reader: Reader,
    role: Role,
    /// Present if messages may be compressed.
    deflater: Option<Deflater>,
    options: WebSocketOptions,
    /// The rest of a message that is being sent in fragments.
    sending: Option<Rest>,
    /// What may be sent before other tasks have their turn: bytes of long messages, and of those that are compressed.
    budget: Budget,
    control: ControlState,
    /// The payload of a ping. It is answered when the session asks for more, for then it has flushed what came before.
    unanswered_ping: Option<Bytes>,
    /// Writing failed while reading. The next call that writes reports it; what was received before is still read.
    write_failed: bool,
    /// The output holds a ping or pong that no caller will flush.
    needs_drain: bool,
    /// The peer sent something that is refused. The answers to its earlier messages may still be sent: they are there at once
    /// or too late.
    refused: Option<Box<(Close, Error)>>,
    failing: Option<Box<Failing>>,
    confirmation: Confirmation,
    /// Bytes received up to the last look at the heartbeat.
    received_at_last_beat: u64,
    /// Bytes of the pings and pongs received.
    received_control: u64,
    observers: ControlObservers,
    account: Account,
}

/// The rest of a message.
struct Rest {
    kind: Kind,
    payload: Bytes,
    is_first: bool,
}

/// The peer is sent a close frame, after which nothing is written, and has a moment to read it.
struct Failing {
    error: Error,
    deadline: Pin<Box<Sleep>>,
    is_output_done: bool,
}

/// Whether the peer has received what was sent: it has when it answers a ping that was sent after it.
enum Confirmation {
    NotStarted,
    /// A ping with this payload was sent. Its pong wakes the task.
    Waiting([u8; 8], Waker),
    Done,
}

impl WebSocket {
    /// A message stream on a connection whose opening handshake is done. Its frames are logged to `log`.
    pub fn open(upgraded: Upgraded, role: Role, options: &WebSocketOptions, log: Option<FrameLog>) -> MessageEnd {
        let Upgraded { end, early, deflate } = upgraded;
        let options = options.clone();
        let name = end.name.clone();
        let mut log = log.map(Box::new);
        if let Some(log) = &mut log {
            log.received(&early);
        }
        let wire = Wire { end, out: Output::default(), received: early.len() as u64, log };
        let inflater = deflate.as_ref().map(|agreed| Inflater::new(agreed, role));
        let mut control = ControlState::default();
        control.start_heartbeat(Heartbeat::of(&options));
        let stream = Self {
            wire,
            reader: Reader::new(role, &options.limits, early, inflater).with_message_timeout(options.message_timeout),
            role,
            deflater: deflate.and_then(|agreed| Deflater::new(&agreed, role, &options.deflate)),
            options,
            sending: None,
            budget: Budget::new(),
            control,
            unanswered_ping: None,
            write_failed: false,
            needs_drain: false,
            refused: None,
            failing: None,
            confirmation: Confirmation::NotStarted,
            received_at_last_beat: 0,
            received_control: 0,
            observers: ControlObservers::default(),
            account: Account::default(),
        };
        MessageEnd::new(stream, flow::EndKind::WebSocket, name)
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

    #[inline]
    fn append_frame(&mut self, header: FrameHeader, payload: &[u8]) {
        let masked = self.role == Role::Client;
        if let Some(log) = &self.wire.log {
            log.sent(&header, payload);
        }
        encoder::encode(self.wire.out.copied(), &header, masked, payload);
    }

    /// Appends a frame of a message. A long payload is not copied, unless it must be masked, or the connection takes only one piece of
    /// memory a write: TLS would make records of each.
    #[inline]
    fn append_data(&mut self, header: FrameHeader, payload: Bytes) {
        if payload.len() < LONG || self.role == Role::Client || !self.wire.end.io.is_write_vectored() {
            return self.append_frame(header, &payload);
        }
        if let Some(log) = &self.wire.log {
            log.sent(&header, &payload);
        }
        encoder::begin(self.wire.out.copied(), &header, false, payload.len());
        self.wire.out.push(payload);
    }

    /// Counts a ping or pong that was received: a header of two bytes, the masking key of a client, and the payload.
    fn count_control(&mut self, payload: &[u8]) {
        let mask = if self.role == Role::Server { 4 } else { 0 };
        self.received_control += 2 + mask + payload.len() as u64;
    }

    fn append_close(&mut self, close: &Close) {
        if self.control.start_close() {
            self.observers.notify(Transfer::Sent, || ControlFrame::Close(close.clone()));
            self.append(Control::Close, &close.payload());
        }
    }

    /// Encodes the next fragment of the message being sent, or all of a short message.
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
            if deflated.is_some() {
                self.budget.spend(DEFLATE_COST * piece.len());
            }
            let opcode = if rest.is_first { rest.kind.into() } else { Data::Continue };
            // RFC 7692 section 6: the bit is set in the first frame of a message only.
            let rsv1 = rest.is_first && deflated.is_some();
            let header = FrameHeader { is_final, rsv1, opcode: OpCode::Data(opcode), ..FrameHeader::default() };
            match deflated {
                Some(deflated) => self.append_frame(header, &deflated),
                None => self.append_data(header, piece),
            }
            if !is_final {
                rest.is_first = false;
                self.sending = Some(rest);
            }
        }
        Ok(())
    }

    /// Answers the last ping when there is room.
    fn answer_ping(&mut self) {
        if let Some(payload) = self.control.take_pong(self.wire.out.remaining() < MAX_OUTPUT) {
            self.append_unasked(Control::Pong, &payload);
        }
    }

    /// Appends a control frame that no caller will flush.
    fn append_unasked(&mut self, opcode: Control, payload: &[u8]) {
        self.append(opcode, payload);
        self.needs_drain = true;
    }

    /// Writes while reading: pings and pongs, and the frames before them. Other frames wait for their flush.
    fn drain_unasked(&mut self, cx: &mut Context<'_>) {
        self.answer_ping();
        while self.needs_drain && !self.write_failed {
            match self.wire.poll_drain(cx) {
                Poll::Ready(Ok(())) => {
                    self.needs_drain = false;
                    self.answer_ping();
                }
                Poll::Ready(Err(_)) => self.write_failed = true,
                Poll::Pending => return,
            }
        }
    }

    /// Writes the output.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let drained = self.wire.poll_drain(cx);
        if drained.is_pending() {
            self.account(cx)?;
        }
        drained
    }

    /// Ready when all of the message being sent is in the output, and that has room.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.write_failed {
            let with = self.wire.end.name.to_string();
            return Poll::Ready(Err(Error::Lost { with, reason: "it no longer takes data".into() }));
        }
        if self.failing.is_some() {
            // The reading side ends the session; the other end must not wait for that.
            return Poll::Ready(Ok(()));
        }
        if self.account.must_close() {
            // The peer takes nothing, or else reading would end this with a close frame.
            return Poll::Ready(Err(self.out_of_memory()));
        }
        loop {
            if self.budget.is_spent() {
                self.budget.renew();
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if self.wire.out.remaining() >= MAX_OUTPUT {
                ready!(self.poll_drain(cx))?;
            }
            if self.sending.is_none() {
                return Poll::Ready(Ok(()));
            }
            self.budget.spend(FRAGMENT);
            self.encode_next()?;
        }
    }

    fn count_memory(&mut self) {
        self.account.set_own(self.reader.held() + self.wire.out.held());
        // A long message is counted where it was read.
        self.account.set_shared(self.sending.as_ref().map_or(0, |rest| rest.payload.len()));
    }

    /// Accounts for the memory that the connection holds, before its task waits.
    ///
    /// # Errors
    ///
    /// The connection must close to free it.
    fn account(&mut self, cx: &Context<'_>) -> Result<(), Error> {
        self.count_memory();
        if self.account.poll_must_close(cx, self.reader.take_paused()) && self.failing.is_none() {
            return Err(self.out_of_memory());
        }
        Ok(())
    }

    /// Frees what the connection holds.
    fn out_of_memory(&mut self) -> Error {
        let error = Error::OutOfMemory { with: self.wire.end.name.to_string(), held: self.account.held() };
        self.reader.clear();
        self.sending = None;
        self.account = Account::default();
        error
    }

    fn fail(&mut self, close: &Close, error: Error) {
        // Nothing follows the close frame.
        self.sending = None;
        self.append_close(close);
        let deadline = Box::pin(sleep(CLOSE_READ_TIMEOUT));
        self.failing = Some(Box::new(Failing { error, deadline, is_output_done: false }));
    }

    /// Writes the close frame, then reads to the end or for [`CLOSE_READ_TIMEOUT`], then gives the error.
    fn poll_failing(&mut self, cx: &mut Context<'_>, mut failing: Box<Failing>) -> Poll<Error> {
        let wire = &mut self.wire;
        if !failing.is_output_done && wire.poll_drain(cx).is_ready() && wire.end.poll_shutdown(cx).is_ready() {
            failing.is_output_done = true;
        }
        let mut discarded = BytesMut::with_capacity(4096);
        let over = failing.deadline.as_mut().poll(cx).is_ready()
            || loop {
                discarded.clear();
                match wire.end.poll_fill(cx, &mut discarded) {
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
        // After a close frame or an error the reader has none.
        if self.unanswered_ping.is_none()
            && let Some(message) = self.reader.short_message()
        {
            return Poll::Ready(Ok(Incoming::Message(message)));
        }
        if let Some(refused) = self.refused.take() {
            let (close, error) = *refused;
            self.fail(&close, error);
        }
        if let Some(payload) = self.unanswered_ping.take() {
            self.control.ping_received(payload);
            self.drain_unasked(cx);
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
                self.beat(cx, next.is_pending() && !self.reader.has_yielded())?;
            }
            if next.is_pending() {
                self.drain_unasked(cx);
                if !self.reader.has_yielded() {
                    self.wire.out.idle();
                }
                if let Err(error) = self.account(cx) {
                    self.fail(&out_of_memory(), error);
                    continue;
                }
            }
            match next {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(Event::Message(message))) => {
                    if message.payload.len() > memory::LONG_MESSAGE {
                        // It has left this end, which may not be read again until the other end has taken it.
                        self.account.set_own(self.reader.held() + self.wire.out.held());
                    }
                    return Poll::Ready(Ok(Incoming::Message(message)));
                }
                Poll::Ready(Ok(Event::Close(close))) => {
                    self.observers.notify(Transfer::Received, || ControlFrame::Close(close.clone()));
                    self.control.close_received(close);
                }
                Poll::Ready(Ok(Event::Pong(payload))) => {
                    self.observers.notify(Transfer::Received, || ControlFrame::Pong(payload.clone()));
                    self.count_control(&payload);
                    if let Confirmation::Waiting(sent, waker) = &self.confirmation
                        && payload == sent[..]
                    {
                        waker.wake_by_ref();
                        self.confirmation = Confirmation::Done;
                    }
                }
                Poll::Ready(Ok(Event::Ping(payload))) => {
                    self.observers.notify(Transfer::Received, || ControlFrame::Ping(payload.clone()));
                    self.count_control(&payload);
                    if let Some(remaining) = &mut self.options.max_pongs {
                        if *remaining == 0 {
                            continue;
                        }
                        *remaining -= 1;
                    }
                    self.unanswered_ping = Some(payload);
                    return Poll::Ready(Ok(Incoming::FlushRequest));
                }
                Poll::Ready(Err(error)) => match self.control.read_failed(error, &self.wire.end.name) {
                    ReadEnd::Closed => return Poll::Ready(Ok(Incoming::End(None))),
                    ReadEnd::Lost(error) => return Poll::Ready(Err(error)),
                    ReadEnd::Failed(error) => return Poll::Ready(Err(self.wire.end.read_error(error))),
                    ReadEnd::Refused { close, error } => {
                        self.refused = Some(Box::new((close, error)));
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                },
            }
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let has_room = self.sending.is_none() && self.wire.out.remaining() < MAX_OUTPUT && !self.budget.is_spent();
        if has_room && !self.write_failed && !self.account.must_close() {
            Poll::Ready(Ok(()))
        } else {
            self.poll_room(cx)
        }
    }

    fn start_send(&mut self, message: Message) -> Result<(), Error> {
        if self.failing.is_some() || self.control.close_sent() {
            // Nothing follows the close frame.
            return Ok(());
        }
        if self.options.slash
            && message.kind == Kind::Text
            && let Some(Ok(frame)) =
                std::str::from_utf8(&message.payload).ok().and_then(|line| slash::parse(line, &self.options.close))
        {
            self.send_control(frame);
            return Ok(());
        }
        if message.payload.len() <= FRAGMENT && self.deflater.is_none() {
            let opcode = OpCode::Data(message.kind.into());
            self.append_data(FrameHeader { opcode, ..FrameHeader::default() }, message.payload);
            return Ok(());
        }
        self.sending = Some(Rest { kind: message.kind, payload: message.payload, is_first: true });
        self.encode_next()
    }

    fn send_control(&mut self, frame: ControlFrame) {
        if self.failing.is_some() || self.control.close_sent() {
            return;
        }
        match frame {
            ControlFrame::Ping(payload) => self.append(Control::Ping, &payload),
            ControlFrame::Pong(payload) => self.append(Control::Pong, &payload),
            ControlFrame::Close(close) => self.append_close(&close),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(self.poll_ready(cx))?;
        ready!(self.poll_drain(cx))?;
        // The session may wait now without another look at what this end has received.
        self.wire.out.idle();
        self.count_memory();
        Poll::Ready(Ok(()))
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
        match self.confirmation {
            Confirmation::Done => {
                self.confirmation = Confirmation::NotStarted;
                return Poll::Ready(Ok(()));
            }
            Confirmation::NotStarted if self.failing.is_some() => return Poll::Pending,
            Confirmation::NotStarted => {
                let payload: [u8; 8] = rand::random();
                self.append(Control::Ping, &payload);
                self.confirmation = Confirmation::Waiting(payload, cx.waker().clone());
            }
            Confirmation::Waiting(..) => {}
        }
        ready!(self.wire.poll_drain(cx))?;
        Poll::Pending
    }

    fn may_answer_at_once(&self) -> bool {
        self.control.owes_pong()
    }

    fn progress(&self) -> u64 {
        // Pings and pongs are no part of a message. One that is being inflated may grow for a while without further bytes.
        self.wire.received.wrapping_sub(self.received_control).wrapping_add(self.reader.assembled() as u64)
    }

    fn unsent(&self) -> u64 {
        (self.wire.out.remaining() + self.sending.as_ref().map_or(0, |rest| rest.payload.len())) as u64
    }

    fn observe_control(&mut self, observer: ControlObserver) {
        self.observers.add(observer);
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.wire.end.poll_shutdown(cx).map(|_| ())
    }
}

impl WebSocket {
    /// Sends a ping when it is due, and fails when the peer has answered none for too long. `is_idle`: everything that has arrived
    /// has been read. Any data is a sign of life, since a pong may be behind megabytes that the other end of the session is slow
    /// to take.
    fn beat(&mut self, cx: &mut Context<'_>, is_idle: bool) -> Result<(), Error> {
        let wire = &self.wire;
        let is_alive = std::mem::replace(&mut self.received_at_last_beat, wire.received) < wire.received || !is_idle;
        let has_room = wire.out.remaining() < MAX_OUTPUT;
        if let Poll::Ready(due) = self.control.poll_heartbeat(cx, &wire.end.name, is_alive, has_room) {
            due?;
            self.append_unasked(Control::Ping, b"");
        }
        Ok(())
    }
}
