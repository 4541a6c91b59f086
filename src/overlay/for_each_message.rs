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
              after the other. What the address replies is passed on until it ends, or, if it is not a program, until \
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
    /// A reply that was read and is not passed on yet.
    reply: Option<Message>,
    /// No more messages come.
    is_finished: bool,
    reader: Option<Waker>,
    observers: ControlObservers,
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
    /// Sends the message and reads the replies. Ready when there is a reply, or no connection any more.
    fn poll_connection(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while self.reply.is_none() {
            match std::mem::replace(&mut self.state, State::Over) {
                idle @ (State::Idle | State::Over) => {
                    self.state = idle;
                    break;
                }
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
        ready!(self.poll_connection(cx))?;
        match self.state {
            State::Idle | State::Over => Poll::Ready(Ok(())),
            State::Dialling(..) | State::Live(_) => Poll::Pending,
        }
    }

    fn start_send(&mut self, message: Message) -> Result<(), Error> {
        if matches!(self.state, State::Over) {
            return Ok(());
        }
        self.state = State::Dialling(self.inner.attempt(self.request.clone(), self.limit), message);
        self.reader.take().into_iter().for_each(Waker::wake);
        Ok(())
    }

    fn send_control(&mut self, _: ControlFrame) {}

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_ready(cx)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>, _: Option<&Close>) -> Poll<Result<(), Error>> {
        ready!(self.poll_ready(cx))?;
        self.is_finished = true;
        self.reader.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }

    fn poll_confirmed(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn progress(&self) -> u64 {
        match &self.state {
            State::Live(connection) => connection.end.io.progress(),
            State::Idle | State::Over | State::Dialling(..) => 0,
        }
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
