//! `autoreconnect:`: reconnects whenever the connection ends. With the terminal, every connection is opened anew on request.

use crate::{
    config::Config,
    endpoint::{
        Build, ConnectContext, Dial, Dialled, Entry, MessageEndpoint, Overlay, OverlayRow, Redial, UpgradeRequest,
    },
    error::Error,
    flow::{
        BoxFuture, ControlFrame, ControlObserver, ControlObservers, EndKind, Incoming, MessageEnd, MessageStream,
        RedialRequest, RedialRequests,
    },
    message::{Close, Message},
    report,
};
use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout};

pub(super) static AUTORECONNECT: Entry = Entry {
    names: &["autoreconnect"],
    arg: None,
    summary: "Reconnect when the connection ends",
    details: "Also retries a first attempt that fails. The delay before an attempt starts at \
              --autoreconnect-delay-millis, doubles up to --autoreconnect-max-delay-millis, varies by up to 25 % at random, and resets after a \
              connection that lasted at least 10 s. Messages wait while there is no connection. No message is sent twice; \
              those in transit when a connection ends may be lost, and wsplice reports how many it has sent without a \
              confirmation: it sends pings behind messages, and counts them as received when the pong arrives. The \
              session ends when the other end does, or when --retry attempts in a row have failed.",
    example: "- autoreconnect:ws://127.0.0.1:8080/",
    flags: &[&["autoreconnect-delay-millis", "autoreconnect-max-delay-millis", "retry"]],
    build: Build::Overlay(OverlayRow::new(|_, config| {
        Ok(Overlay::OnDial(Box::new(Autoreconnect { config: config.clone(), policy: Policy::Always })))
    })),
};

/// A layer that opens a connection anew when the user at the terminal asks for it (`/reconnect`).
#[cfg(feature = "term")]
pub fn reconnect_on_request(config: &Arc<Config>) -> (&'static str, Box<dyn Redial>) {
    ("reconnect", Box::new(Autoreconnect { config: config.clone(), policy: Policy::OnRequest }))
}

/// When a connection is opened anew.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Policy {
    /// Whenever it ends, and on request.
    Always,
    /// On request.
    OnRequest,
}

/// After a connection that lasted this long the delay starts again at its initial value.
const LASTED: Duration = Duration::from_secs(10);
/// How long a connection that is replaced may take to close.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

struct Autoreconnect {
    config: Arc<Config>,
    policy: Policy,
}

impl Redial for Autoreconnect {
    fn kind(&self, inner: EndKind) -> EndKind {
        inner
    }

    fn connects_lazily(&self) -> bool {
        self.policy == Policy::Always
    }

    fn wrap(self: Box<Self>, inner: MessageEndpoint<Dialled>) -> Box<dyn Dial<MessageEnd>> {
        Box::new(Reconnecting { inner: Arc::new(inner), config: self.config, policy: self.policy })
    }
}

struct Reconnecting {
    inner: Arc<MessageEndpoint<Dialled>>,
    config: Arc<Config>,
    policy: Policy,
}

impl Dial<MessageEnd> for Reconnecting {
    fn dial<'a>(&'a self, context: &'a mut ConnectContext) -> BoxFuture<'a, Result<MessageEnd, Error>> {
        Box::pin(async move {
            let mut line = ReconnectingStream {
                inner: self.inner.clone(),
                policy: self.policy,
                requests: context.redial_requests.clone(),
                is_left: false,
                last_failure: String::new(),
                first_pause: self.config.reconnect_delay,
                longest_pause: self.config.max_reconnect_delay,
                max_retries: self.config.max_retries,
                failed: 0,
                given_up: None,
                pause: self.config.reconnect_delay,
                request: context.request.clone(),
                limit: context.limit,
                state: State::Over,
                opened: Instant::now(),
                is_finished: false,
                delivery: Delivery::default(),
                observers: ControlObservers::default(),
            };
            let mut subprotocol = None;
            line.state = match self.policy {
                Policy::Always => State::Dialling(line.attempt(Duration::ZERO)),
                Policy::OnRequest => {
                    let mut first = self.inner.open(context).await?;
                    subprotocol = first.subprotocol.take();
                    State::Live(first)
                }
            };
            Ok(MessageEnd { subprotocol, ..MessageEnd::new(line, self.kind(), self.inner.about.title.as_str()) })
        })
    }

    fn kind(&self) -> EndKind {
        self.inner.about.kind
    }
}

/// A message stream that reconnects.
struct ReconnectingStream {
    inner: Arc<MessageEndpoint<Dialled>>,
    policy: Policy,
    /// What the user at the terminal asks for.
    requests: Option<Arc<RedialRequests>>,
    /// The user does not want another connection.
    is_left: bool,
    /// The error of the last attempt.
    last_failure: String,
    first_pause: Duration,
    longest_pause: Duration,
    /// Attempts in a row that may fail after the first; `None`: any number.
    max_retries: Option<u32>,
    /// Attempts in a row that have failed.
    failed: u32,
    /// The error of the last attempt, which the reading side reports.
    given_up: Option<Error>,
    pause: Duration,
    request: Option<Arc<UpgradeRequest>>,
    /// For connecting and the handshakes together.
    limit: Duration,
    state: State,
    opened: Instant,
    /// Our direction has ended, so there is no reconnection after this connection.
    is_finished: bool,
    delivery: Delivery,
    /// Added to every new connection.
    observers: ControlObservers,
}

/// How many of the messages of a connection the peer has received, as far as that is known.
#[derive(Default)]
struct Delivery {
    sent: u64,
    /// Of these, the ones that have been written.
    flushed: u64,
    /// Of these, the ones that the peer has confirmed.
    confirmed: u64,
    /// The value that `confirmed` will have when the confirmation arrives that is waited for.
    confirming: Option<u64>,
}

impl Delivery {
    /// Asks for confirmations until all that has been written is confirmed. Ready when it is.
    fn poll(&mut self, io: &mut dyn MessageStream, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while self.confirming.is_some() || self.confirmed < self.flushed {
            let covered = *self.confirming.get_or_insert(self.flushed);
            ready!(io.poll_confirmed(cx))?;
            self.confirmed = covered;
            self.confirming = None;
        }
        Poll::Ready(Ok(()))
    }
}

enum State {
    Dialling(BoxFuture<'static, Result<MessageEnd, Error>>),
    Live(MessageEnd),
    Over,
}

impl ReconnectingStream {
    fn attempt(&self, pause: Duration) -> BoxFuture<'static, Result<MessageEnd, Error>> {
        let attempt = self.inner.attempt(self.request.clone(), self.limit);
        Box::pin(async move {
            sleep(pause).await;
            attempt.await
        })
    }

    /// Starts to reconnect after a delay, which doubles each time.
    fn reconnect(&mut self, why: &str) {
        let lost = match std::mem::take(&mut self.delivery) {
            Delivery { sent, confirmed, .. } if sent > confirmed => {
                format!("; messages sent that may be lost: {}", sent - confirmed)
            }
            _ => String::new(),
        };
        if matches!(self.state, State::Live(_)) && self.opened.elapsed() >= LASTED {
            self.pause = self.first_pause;
        }
        // Jitter, so that the clients of a restarted server do not reconnect all at once.
        let pause = self.pause.mul_f64(rand::random_range(0.75..1.25));
        let told = format!("{why}{lost}; connecting again in {:.1} s", pause.as_secs_f64());
        // A user sees changes only, unless -v asks for more.
        match &self.requests {
            Some(_) if lost.is_empty() && why == self.last_failure => {
                report::handshake('*', &self.inner.about.title, told);
            }
            _ => report::warn(told),
        }
        why.clone_into(&mut self.last_failure);
        self.pause = (self.pause * 2).min(self.longest_pause);
        self.state = State::Dialling(self.attempt(pause));
    }

    /// Does what the user asks for.
    fn poll_requests(&mut self, cx: &Context<'_>) {
        while let Some(requests) = &self.requests
            && let Poll::Ready(request) = requests.poll(cx)
        {
            match (request, &self.state) {
                (RedialRequest::Leave, _) => self.is_left = true,
                (RedialRequest::Reconnect, State::Live(_) | State::Dialling(_)) if !self.is_finished => {
                    report::event(format_args!("connecting again to {}", self.inner.about.title));
                    (self.pause, self.delivery) = (self.first_pause, Delivery::default());
                    let dialling = State::Dialling(self.attempt(Duration::ZERO));
                    if let State::Live(end) = std::mem::replace(&mut self.state, dialling) {
                        tokio::spawn(timeout(CLOSE_WAIT, close(end)));
                    }
                }
                (RedialRequest::Reconnect, _) => {}
            }
        }
        if self.is_left && matches!(self.state, State::Dialling(_)) {
            self.state = State::Over;
        }
    }

    /// The end of a connection that fails: it is opened anew, or the session fails.
    fn lost(&mut self, error: Error) -> Result<(), Error> {
        match self.policy {
            Policy::Always => {
                self.reconnect(&error.to_string());
                Ok(())
            }
            Policy::OnRequest => Err(error),
        }
    }

    /// Asks for a confirmation of what has been written. A connection that fails says so when it is read.
    fn poll_delivery(&mut self, cx: &mut Context<'_>) {
        // Nothing may follow our close frame.
        if let State::Live(end) = &mut self.state
            && !self.is_finished
            && self.policy == Policy::Always
        {
            let _ = self.delivery.poll(&mut *end.io, cx);
        }
    }

    /// Ready with the live connection, or with `None` when there will be no further one.
    fn poll_live(&mut self, cx: &mut Context<'_>) -> Poll<Option<&mut MessageEnd>> {
        self.poll_requests(cx);
        while let State::Dialling(attempt) = &mut self.state {
            match ready!(attempt.as_mut().poll(cx)) {
                Ok(mut end) => {
                    self.observers.pass_to(&mut *end.io);
                    self.opened = Instant::now();
                    report::event(format_args!("connected to {}", end.name));
                    self.state = State::Live(end);
                    self.failed = 0;
                    self.last_failure.clear();
                }
                Err(error)
                    if self.policy == Policy::OnRequest || self.max_retries.is_some_and(|most| self.failed >= most) =>
                {
                    self.state = State::Over;
                    self.given_up = Some(error);
                }
                Err(error) => {
                    self.failed += 1;
                    self.reconnect(&error.to_string());
                }
            }
        }
        match &mut self.state {
            State::Live(end) => Poll::Ready(Some(end)),
            State::Dialling(_) | State::Over => Poll::Ready(None),
        }
    }
}

impl MessageStream for ReconnectingStream {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Error>> {
        loop {
            let (is_finished, policy) = (self.is_finished, self.policy);
            let Some(end) = ready!(self.poll_live(cx)) else {
                return Poll::Ready(self.given_up.take().map_or(Ok(Incoming::End(None)), Err));
            };
            let (name, next) = (end.name.clone(), end.io.poll_next(cx));
            if !matches!(next, Poll::Ready(Ok(Incoming::Message(_)))) {
                // A pong may have been read just now, also in front of the end.
                self.poll_delivery(cx);
            }
            match ready!(next) {
                // The end is still there, to answer the close.
                next if policy == Policy::OnRequest => return Poll::Ready(next),
                Ok(next @ (Incoming::Message(_) | Incoming::FlushRequest | Incoming::ControlRequest(_))) => {
                    return Poll::Ready(Ok(next));
                }
                Ok(Incoming::End(close)) if is_finished => {
                    self.state = State::Over;
                    return Poll::Ready(Ok(Incoming::End(close)));
                }
                Err(error) if is_finished => {
                    self.state = State::Over;
                    return Poll::Ready(Err(error));
                }
                Ok(Incoming::End(close)) => {
                    if let State::Live(end) = &mut self.state {
                        // Answer the close, but do not wait if the answer cannot be written at once.
                        let _ = end.io.poll_finish(cx, close.as_ref());
                    }
                    let said = close.map(|close| format!(": {close}")).unwrap_or_default();
                    self.reconnect(&format!("closed by {name}{said}"));
                }
                Err(error) => self.reconnect(&error.to_string()),
            }
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            let Some(end) = ready!(self.poll_live(cx)) else {
                // The reading side ends the session.
                return if self.given_up.is_some() || self.is_left { Poll::Pending } else { Poll::Ready(Ok(())) };
            };
            match ready!(end.io.poll_ready(cx)) {
                Ok(()) => return Poll::Ready(Ok(())),
                Err(error) => self.lost(error)?,
            }
        }
    }

    fn start_send(&mut self, message: Message) -> Result<(), Error> {
        match &mut self.state {
            State::Live(end) => {
                self.delivery.sent += 1;
                end.io.start_send(message)
            }
            State::Dialling(_) | State::Over => Ok(()),
        }
    }

    fn send_control(&mut self, frame: ControlFrame) {
        if let State::Live(end) = &mut self.state {
            end.io.send_control(frame);
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match &mut self.state {
            State::Live(end) => match ready!(end.io.poll_flush(cx)) {
                Ok(()) => {
                    self.delivery.flushed = self.delivery.sent;
                    self.poll_delivery(cx);
                    Poll::Ready(Ok(()))
                }
                Err(error) => {
                    self.lost(error)?;
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
            },
            State::Dialling(_) | State::Over => Poll::Ready(Ok(())),
        }
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>, close: Option<&Close>) -> Poll<Result<(), Error>> {
        self.is_finished = true;
        match &mut self.state {
            State::Live(end) => end.io.poll_finish(cx, close),
            State::Dialling(_) | State::Over => {
                self.state = State::Over;
                Poll::Ready(Ok(()))
            }
        }
    }

    fn poll_confirmed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match &mut self.state {
            State::Live(end) => {
                if self.policy == Policy::Always {
                    // One that is awaited already may not cover the last messages.
                    ready!(self.delivery.poll(&mut *end.io, cx))?;
                }
                end.io.poll_confirmed(cx)
            }
            State::Dialling(_) | State::Over => Poll::Ready(Ok(())),
        }
    }

    fn progress(&self) -> u64 {
        match &self.state {
            State::Live(end) => end.io.progress(),
            State::Dialling(_) | State::Over => 0,
        }
    }

    fn unsent(&self) -> u64 {
        match &self.state {
            State::Live(end) => end.io.unsent(),
            State::Dialling(_) | State::Over => 0,
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
            State::Dialling(_) | State::Over => Poll::Ready(()),
        }
    }
}

/// Closes a connection that another one replaces.
async fn close(mut end: MessageEnd) {
    if poll_fn(|cx| end.io.poll_finish(cx, None)).await.is_ok() {
        while let Ok(Incoming::Message(_) | Incoming::FlushRequest | Incoming::ControlRequest(_)) =
            poll_fn(|cx| end.io.poll_next(cx)).await
        {}
    }
    poll_fn(|cx| end.io.poll_shutdown(cx)).await;
}
