//! `waitfordata:`: connects when there is something to send.

use crate::{
    endpoint::{
        Build, ConnectContext, Dial, Dialled, Entry, MessageEndpoint, Overlay, OverlayRow, Redial, UpgradeRequest,
    },
    error::Error,
    flow::{BoxFuture, ControlFrame, ControlObserver, ControlObservers, EndKind, Incoming, MessageEnd, MessageStream},
    message::{Close, Message},
    report,
};
use std::{
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

pub(super) static WAIT_FOR_DATA: Entry = Entry {
    names: &["waitfordata", "wait-for-data"],
    arg: None,
    summary: "Connect when there is data to send",
    details: "The address behind the overlay is opened when the first message for it arrives, not before. If none \
              arrives, it is never opened.",
    example: "tcp-l:127.0.0.1:1234 waitfordata:ws://127.0.0.1:8080/",
    flags: &[],
    build: Build::Overlay(OverlayRow::new(|_, _| Ok(Overlay::OnDial(Box::new(WaitForData))))),
};

struct WaitForData;

impl Redial for WaitForData {
    fn kind(&self, inner: EndKind) -> EndKind {
        inner
    }

    fn connects_lazily(&self) -> bool {
        true
    }

    fn wrap(self: Box<Self>, inner: MessageEndpoint<Dialled>) -> Box<dyn Dial<MessageEnd>> {
        Box::new(LazyDial { inner: Arc::new(inner) })
    }
}

struct LazyDial {
    inner: Arc<MessageEndpoint<Dialled>>,
}

impl Dial<MessageEnd> for LazyDial {
    fn dial<'a>(&'a self, context: &'a mut ConnectContext) -> BoxFuture<'a, Result<MessageEnd, Error>> {
        let stream = LazyStream {
            inner: self.inner.clone(),
            request: context.request.clone(),
            limit: context.limit,
            state: State::Waiting,
            first: None,
            reader: None,
            observers: ControlObservers::default(),
        };
        Box::pin(async move { Ok(MessageEnd::new(stream, self.kind(), self.inner.about.title.as_str())) })
    }

    fn kind(&self) -> EndKind {
        self.inner.about.kind
    }
}

/// A message stream that is opened by its first message.
struct LazyStream {
    inner: Arc<MessageEndpoint<Dialled>>,
    request: Option<Arc<UpgradeRequest>>,
    limit: Duration,
    state: State,
    /// The first message, until the stream is open and takes it.
    first: Option<Message>,
    reader: Option<Waker>,
    observers: ControlObservers,
}

enum State {
    Waiting,
    Dialling(BoxFuture<'static, Result<MessageEnd, Error>>),
    Live(MessageEnd),
    Over,
}

impl LazyStream {
    /// Ready when the stream is open and has its first message, or is not being opened.
    fn poll_opening(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if let State::Dialling(attempt) = &mut self.state {
            let opened = ready!(attempt.as_mut().poll(cx));
            self.state = State::Over;
            let mut end = opened?;
            self.observers.pass_to(&mut *end.io);
            report::event(format_args!("connected to {}", end.name));
            self.state = State::Live(end);
            // The other direction waits, too.
            cx.waker().wake_by_ref();
        }
        if let State::Live(end) = &mut self.state
            && self.first.is_some()
        {
            ready!(end.io.poll_ready(cx))?;
            if let Some(message) = self.first.take() {
                end.io.start_send(message)?;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl MessageStream for LazyStream {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Error>> {
        ready!(self.poll_opening(cx))?;
        match &mut self.state {
            State::Live(end) => end.io.poll_next(cx),
            State::Over => Poll::Ready(Ok(Incoming::End(None))),
            State::Waiting | State::Dialling(_) => {
                self.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(self.poll_opening(cx))?;
        match &mut self.state {
            State::Live(end) => end.io.poll_ready(cx),
            _ => Poll::Ready(Ok(())),
        }
    }

    fn start_send(&mut self, message: Message) -> Result<(), Error> {
        match &mut self.state {
            State::Live(end) => return end.io.start_send(message),
            State::Waiting => {
                self.first = Some(message);
                self.state = State::Dialling(self.inner.attempt(self.request.clone(), self.limit));
                self.reader.take().into_iter().for_each(Waker::wake);
            }
            State::Dialling(_) | State::Over => {}
        }
        Ok(())
    }

    fn send_control(&mut self, frame: ControlFrame) {
        if let State::Live(end) = &mut self.state {
            end.io.send_control(frame);
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(self.poll_opening(cx))?;
        match &mut self.state {
            State::Live(end) => end.io.poll_flush(cx),
            _ => Poll::Ready(Ok(())),
        }
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>, close: Option<&Close>) -> Poll<Result<(), Error>> {
        ready!(self.poll_opening(cx))?;
        if let State::Live(end) = &mut self.state {
            return end.io.poll_finish(cx, close);
        }
        self.state = State::Over;
        self.reader.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }

    fn poll_confirmed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(self.poll_opening(cx))?;
        match &mut self.state {
            State::Live(end) => end.io.poll_confirmed(cx),
            _ => Poll::Ready(Ok(())),
        }
    }

    fn progress(&self) -> u64 {
        match &self.state {
            State::Live(end) => end.io.progress(),
            _ => 0,
        }
    }

    fn unsent(&self) -> u64 {
        match &self.state {
            State::Live(end) => end.io.unsent(),
            _ => 0,
        }
    }

    fn observe_control(&mut self, observer: ControlObserver) {
        if let State::Live(end) = &mut self.state {
            end.io.observe_control(observer.clone());
        }
        self.observers.add(observer);
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.state {
            State::Live(end) => end.io.poll_shutdown(cx),
            _ => Poll::Ready(()),
        }
    }
}
