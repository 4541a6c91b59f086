//! `foreachmsg:`: opens its address for each message.

use crate::{
    config::Config,
    endpoint::{
        Build, ConnectContext, Dial, Dialled, Entry, MessageEndpoint, Overlay, OverlayRow, Redial, UpgradeRequest,
    },
    error::Error,
    flow::{BoxFuture, ControlFrame, ControlObserver, ControlObservers, EndKind, Incoming, MessageEnd, MessageStream},
    message::{Close, Message},
};
use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep};

pub(super) static FOR_EACH_MESSAGE: Entry = Entry {
    names: &["foreachmsg"],
    arg: None,
    summary: "Open an address for each message",
    details: "Each message for the address behind the overlay opens it anew, is sent and ends its input, one message \
              after the other; up to 64 KiB of messages wait meanwhile. What the address replies is passed on until it ends, or, if it is not a program, until \
              nothing has come for --linger (300 ms); with --foreachmsg-wait-read for as long as it takes. The session \
              ends with an error when the address cannot be opened or a program fails.",
    example: "-u ws://127.0.0.1:8080/ foreachmsg:writefile:/tmp/last-message",
    flags: &[&["foreachmsg-wait-read", "linger"]],
    build: Build::Overlay(
        OverlayRow::new(|_, config| Ok(Overlay::OnDial(Box::new(ForEachMessage { config: config.clone() }))))
            .per_message(),
    ),
};

struct ForEachMessage {
    config: Arc<Config>,
}

impl Redial for ForEachMessage {
    fn kind(&self, inner: EndKind) -> EndKind {
        kind(inner)
    }

    fn connects_lazily(&self) -> bool {
        true
    }

    fn wrap(self: Box<Self>, inner: MessageEndpoint<Dialled>) -> Box<dyn Dial<MessageEnd>> {
        let waits = self.config.messages.foreachmsg_waits || matches!(inner.about.kind, EndKind::Process { .. });
        let linger = (!waits).then_some(self.config.session.linger);
        Box::new(DialForEach { inner: Arc::new(inner), linger })
    }
}

/// Nothing is read from a file that is written. All else may reply after its input has ended.
fn kind(inner: EndKind) -> EndKind {
    if inner == EndKind::Sink { inner } else { EndKind::Peer }
}

struct DialForEach {
    inner: Arc<MessageEndpoint<Dialled>>,
    linger: Option<Duration>,
}

impl Dial<MessageEnd> for DialForEach {
    fn dial<'a>(&'a self, context: &'a mut ConnectContext) -> BoxFuture<'a, Result<MessageEnd, Error>> {
        let stream = EachMessage {
            inner: self.inner.clone(),
            linger: self.linger,
            request: context.request.clone(),
            limit: context.limit,
            state: State::Idle,
            waiting: Waiting::default(),
            done: 0,
            reply: None,
            is_finished: false,
            reader: None,
            observers: ControlObservers::default(),
        };
        Box::pin(async move { Ok(MessageEnd::new(stream, self.kind(), self.inner.about.title.as_str())) })
    }

    fn kind(&self) -> EndKind {
        kind(self.inner.about.kind)
    }
}

/// A message stream of which each message that is sent has a connection of its own.
struct EachMessage {
    inner: Arc<MessageEndpoint<Dialled>>,
    /// The longest silence of a connection after its message was sent; no limit without it.
    linger: Option<Duration>,
    request: Option<Arc<UpgradeRequest>>,
    limit: Duration,
    state: State,
    waiting: Waiting,
    /// Connections that are over.
    done: u64,
    /// A reply that was read and is not passed on yet.
    reply: Option<Message>,
    /// No more messages come.
    is_finished: bool,
    reader: Option<Waker>,
    observers: ControlObservers,
}

/// Messages that wait until the connections for those before them are over. While there is room, the source is read, so that its end
/// is noticed although a connection is silent.
#[derive(Default)]
struct Waiting {
    messages: VecDeque<Message>,
    bytes: usize,
}

impl Waiting {
    /// Bytes beyond which no more messages are taken; a single one may be longer.
    const MOST: usize = 64 * 1024;

    fn push(&mut self, message: Message) {
        self.bytes += Self::size(&message);
        self.messages.push_back(message);
    }

    fn pop(&mut self) -> Option<Message> {
        let message = self.messages.pop_front()?;
        self.bytes -= Self::size(&message);
        Some(message)
    }

    /// A short message counts for more, since it occupies more.
    fn size(message: &Message) -> usize {
        message.payload.len().max(1024)
    }
}

enum State {
    /// There is no connection.
    Idle,
    /// One has failed.
    Over,
    Dialling(BoxFuture<'static, Result<MessageEnd, Error>>, Message),
    Live(Connection),
}

/// The connection for one message.
struct Connection {
    end: MessageEnd,
    /// The message, until it is sent.
    message: Option<Message>,
    /// Its size.
    bytes: usize,
    /// Its input has ended, or has failed.
    is_sent: bool,
    /// Why its input has failed.
    unsent: Option<Error>,
    /// Its output has ended.
    is_read: bool,
    silence: Option<Pin<Box<Sleep>>>,
}

impl Connection {
    /// Ready when the message and the end of the input are sent. A failure is kept: the replies may explain it.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_sent {
            self.unsent = ready!(self.poll_message(cx)).err();
            self.is_sent = true;
            // The end of the session, or the next message, may wait for that.
            cx.waker().wake_by_ref();
        }
        Poll::Ready(())
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.message.is_some() {
            ready!(self.end.io.poll_ready(cx))?;
            if let Some(message) = self.message.take() {
                self.end.io.start_send(message)?;
            }
        }
        self.end.io.poll_finish(cx, None)
    }

    /// The next reply; `None` at the end.
    fn poll_read(&mut self, cx: &mut Context<'_>, linger: Option<Duration>) -> Poll<Result<Option<Message>, Error>> {
        if self.is_read {
            return Poll::Ready(Ok(None));
        }
        if let Poll::Ready(next) = self.end.io.poll_next(cx)? {
            if let (Some(linger), Some(silence)) = (linger, &mut self.silence) {
                silence.as_mut().reset(Instant::now() + linger);
            }
            match next {
                Incoming::Message(message) => return Poll::Ready(Ok(Some(message))),
                // What came before has been passed on, or waits for that.
                Incoming::FlushRequest | Incoming::ControlRequest(_) => cx.waker().wake_by_ref(),
                Incoming::End(_) => {
                    self.is_read = true;
                    return Poll::Ready(Ok(None));
                }
            }
            return Poll::Pending;
        }
        if let (Some(linger), true) = (linger, self.is_sent) {
            ready!(self.silence.get_or_insert_with(|| Box::pin(sleep(linger))).as_mut().poll(cx));
            self.is_read = true;
            return Poll::Ready(Ok(None));
        }
        Poll::Pending
    }
}

impl EachMessage {
    fn is_sink(&self) -> bool {
        self.inner.about.kind == EndKind::Sink
    }

    fn has_room(&self) -> bool {
        let under_way = match &self.state {
            State::Dialling(_, message) => Waiting::size(message),
            State::Live(connection) if !connection.is_sent => connection.bytes,
            State::Idle | State::Over | State::Live(_) => 0,
        };
        matches!(self.state, State::Over) || self.waiting.bytes + under_way < Waiting::MOST
    }

    /// The connections for all messages are over.
    fn is_idle(&self) -> bool {
        match &self.state {
            State::Over => true,
            State::Idle => self.waiting.messages.is_empty(),
            State::Dialling(..) | State::Live(_) => false,
        }
    }

    /// Each message has been sent.
    fn is_all_sent(&self) -> bool {
        match &self.state {
            State::Live(connection) => connection.is_sent && self.waiting.messages.is_empty(),
            State::Idle | State::Over | State::Dialling(..) => self.is_idle(),
        }
    }

    /// Sends the message and reads the replies. Ready when there is a reply, or no connection any more.
    fn poll_connection(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while self.reply.is_none() {
            match std::mem::replace(&mut self.state, State::Over) {
                State::Over => break,
                State::Idle => match self.waiting.pop() {
                    Some(message) => {
                        self.state = State::Dialling(self.inner.attempt(self.request.clone(), self.limit), message)
                    }
                    None => {
                        self.state = State::Idle;
                        break;
                    }
                },
                State::Dialling(mut attempt, message) => {
                    let Poll::Ready(opened) = attempt.as_mut().poll(cx) else {
                        self.state = State::Dialling(attempt, message);
                        return Poll::Pending;
                    };
                    let mut end = opened?;
                    self.observers.pass_to(&mut *end.io);
                    let is_read = end.kind == EndKind::Sink;
                    self.state = State::Live(Connection {
                        end,
                        bytes: Waiting::size(&message),
                        message: Some(message),
                        is_sent: false,
                        unsent: None,
                        is_read,
                        silence: None,
                    });
                }
                State::Live(mut connection) => {
                    let sent = connection.poll_send(cx);
                    let read = connection.poll_read(cx, self.linger)?;
                    let is_over =
                        connection.is_read && sent.is_ready() && connection.end.io.poll_shutdown(cx).is_ready();
                    if !is_over {
                        self.state = State::Live(connection);
                    } else if let Some(error) =
                        connection.unsent.filter(|_| !matches!(connection.end.kind, EndKind::Process { .. }))
                    {
                        return Poll::Ready(Err(error));
                    } else {
                        // A program that succeeds need not read its input.
                        self.state = State::Idle;
                        self.done += 1;
                        // The other direction may wait for that.
                        cx.waker().wake_by_ref();
                    }
                    match read {
                        Poll::Ready(Some(reply)) => self.reply = Some(reply),
                        _ if is_over => {}
                        _ => return Poll::Pending,
                    }
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl MessageStream for EachMessage {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Error>> {
        ready!(self.poll_connection(cx))?;
        if let Some(reply) = self.reply.take() {
            return Poll::Ready(Ok(Incoming::Message(reply)));
        }
        if self.is_finished || matches!(self.state, State::Over) {
            return Poll::Ready(Ok(Incoming::End(None)));
        }
        self.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let _ = self.poll_connection(cx)?;
        if self.has_room() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn start_send(&mut self, message: Message) -> Result<(), Error> {
        if matches!(self.state, State::Over) {
            return Ok(());
        }
        self.waiting.push(message);
        self.reader.take().into_iter().for_each(Waker::wake);
        Ok(())
    }

    fn send_control(&mut self, _: ControlFrame) {}

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let _ = self.poll_connection(cx)?;
        // A message that waits here is as good as one in the pipe of a program, and a ping must not keep the source from being read.
        if self.is_sink() && !self.is_idle() { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>, _: Option<&Close>) -> Poll<Result<(), Error>> {
        let _ = self.poll_connection(cx)?;
        // Replies may follow, for as long as the session allows. Nothing is read from a file.
        let is_sent = if self.is_sink() { self.is_idle() } else { self.is_all_sent() };
        if !is_sent {
            return Poll::Pending;
        }
        self.is_finished = true;
        self.reader.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }

    fn poll_confirmed(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn progress(&self) -> u64 {
        let current = match &self.state {
            State::Live(connection) => connection.end.io.progress(),
            State::Idle | State::Over | State::Dialling(..) => 0,
        };
        self.done.wrapping_add(current)
    }

    fn observe_control(&mut self, observer: ControlObserver) {
        if let State::Live(connection) = &mut self.state {
            connection.end.io.observe_control(observer.clone());
        }
        self.observers.add(observer);
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.state {
            State::Live(connection) => connection.end.io.poll_shutdown(cx),
            State::Idle | State::Over | State::Dialling(..) => Poll::Ready(()),
        }
    }
}
