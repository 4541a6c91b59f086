//! `--expect` and `--expect-json`: messages that must come.

#[cfg(feature = "jq")]
use super::filter_json::explain;
use super::judged::{Judge, Judged, Judging};
#[cfg(feature = "jq")]
use crate::filter::Question;
use crate::{
    config::{ExpectOptions, Expectation},
    endpoint::{ConnectContext, Transform},
    error::Error,
    flow::{BoxFuture, Incoming, MessageEnd, MessageLayer, MessageStream},
    message::{Close, Message},
    visible::excerpt,
};
use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};
use tokio::{
    task::spawn_blocking,
    time::{Instant, Sleep, sleep_until},
};

/// Messages that an error shows.
const MAX_SHOWN: usize = 3;
/// The start of each that it shows, in bytes.
const SHOWN: usize = 200;
/// How long the peer has to answer the close frame when all is decided.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);

/// A layer that passes on only the messages that are expected, and ends when each expectation was met. `decision` is for the other end.
pub fn expect(options: &ExpectOptions, decision: &Arc<Decision>) -> Box<dyn Transform<MessageEnd, MessageEnd>> {
    Box::new(Expect(options.clone(), decision.clone()))
}

/// A layer around an input, whose end the session sees when all is decided: until then replies are waited for, and after that no
/// further input is.
pub fn input_until(decision: &Arc<Decision>) -> Box<dyn Transform<MessageEnd, MessageEnd>> {
    Box::new(InputUntil(decision.clone()))
}

/// Whether it is decided how the session ends.
#[derive(Default)]
pub struct Decision(Mutex<(bool, Option<Waker>)>);

impl Decision {
    fn lock(&self) -> MutexGuard<'_, (bool, Option<Waker>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn decide(&self) {
        let mut decision = self.lock();
        decision.0 = true;
        decision.1.take().into_iter().for_each(Waker::wake);
    }

    fn poll_decided(&self, cx: &Context<'_>) -> Poll<()> {
        let mut decision = self.lock();
        if decision.0 {
            return Poll::Ready(());
        }
        decision.1 = Some(cx.waker().clone());
        Poll::Pending
    }
}

struct InputUntil(Arc<Decision>);

impl Transform<MessageEnd, MessageEnd> for InputUntil {
    fn apply<'a>(&'a self, inner: MessageEnd, _: &'a mut ConnectContext) -> BoxFuture<'a, Result<MessageEnd, Error>> {
        let io = InputStream { io: inner.io, decision: self.0.clone(), has_ended: false };
        Box::pin(async move { Ok(MessageEnd { io: Box::new(io), ..inner }) })
    }
}

struct InputStream {
    io: Box<dyn MessageStream>,
    decision: Arc<Decision>,
    has_ended: bool,
}

impl MessageLayer for InputStream {
    fn inner(&self) -> &dyn MessageStream {
        &*self.io
    }

    fn inner_mut(&mut self) -> &mut dyn MessageStream {
        &mut *self.io
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Error>> {
        if self.decision.poll_decided(cx).is_ready() {
            return Poll::Ready(Ok(Incoming::End(None)));
        }
        if !self.has_ended {
            match ready!(self.io.poll_next(cx))? {
                Incoming::End(None) => self.has_ended = true,
                other => return Poll::Ready(Ok(other)),
            }
        }
        Poll::Pending
    }
}

struct Expect(ExpectOptions, Arc<Decision>);

impl Transform<MessageEnd, MessageEnd> for Expect {
    fn apply<'a>(&'a self, inner: MessageEnd, _: &'a mut ConnectContext) -> BoxFuture<'a, Result<MessageEnd, Error>> {
        let ExpectOptions { expectations, within } = self.0.clone();
        let (name, judged) = (inner.name.clone(), expectations.clone());
        let from = name.clone();
        let judge: Judge<(Message, Vec<bool>)> =
            Box::new(move |messages| Box::pin(judge(judged.clone(), messages, from.clone())));
        let io = ExpectStream {
            judging: Judging::new(inner.io, judge),
            is_met: vec![false; expectations.len()],
            expectations,
            within,
            name,
            timer: None,
            unsent: 0,
            others: VecDeque::new(),
            received: 0,
            verdict: None,
            decision: self.1.clone(),
            is_finished: false,
            has_ended: false,
        };
        Box::pin(async move { Ok(MessageEnd { io: Box::new(io), ..inner }) })
    }
}

/// Which expectations each of the messages meets.
async fn judge(
    expectations: Arc<[Expectation]>,
    messages: Vec<Message>,
    name: Arc<str>,
) -> VecDeque<Result<(Message, Vec<bool>), Error>> {
    let mut met = Vec::with_capacity(expectations.len());
    for expected in &*expectations {
        met.push(are_met(expected, &messages, &name).await.into_iter());
    }
    let mut judged = VecDeque::with_capacity(messages.len());
    for message in messages {
        let met: Result<_, _> = met.iter_mut().filter_map(Iterator::next).collect();
        let is_error = met.is_err();
        judged.push_back(met.map(|met| (message, met)));
        if is_error {
            break;
        }
    }
    judged
}

#[cfg_attr(not(feature = "jq"), expect(unused_variables, reason = "only a program can fail"))]
async fn are_met(expected: &Expectation, messages: &[Message], name: &str) -> Vec<Result<bool, Error>> {
    let payloads: Vec<_> = messages.iter().map(|message| message.payload.clone()).collect();
    match expected {
        Expectation::Matches(pattern) => {
            let pattern = pattern.clone();
            let matching =
                spawn_blocking(move || payloads.iter().map(|payload| Ok(pattern.is_match(payload))).collect());
            matching.await.unwrap_or_else(|error| vec![Err(Error::io("cannot judge a message", error.into()))])
        }
        #[cfg(feature = "jq")]
        Expectation::Json(program) => {
            let answers = program.judge(Question::IsMatch, payloads).await.into_iter();
            let explained = |error| explain(error, name, "--expect-json").map(|_| false);
            answers.map(|answer| answer.map(|results| !results.is_empty()).or_else(explained)).collect()
        }
    }
}

struct ExpectStream {
    judging: Judging<(Message, Vec<bool>)>,
    expectations: Arc<[Expectation]>,
    /// Which of them were met.
    is_met: Vec<bool>,
    /// The longest time after the last message was sent.
    within: Option<Duration>,
    name: Arc<str>,
    timer: Option<Pin<Box<Sleep>>>,
    /// What the connection had not taken at the last look, in bytes.
    unsent: u64,
    /// The last messages that were not expected, as they are shown.
    others: VecDeque<String>,
    /// The number of messages that came.
    received: u64,
    /// How it ends, once that is known.
    verdict: Option<Option<Error>>,
    decision: Arc<Decision>,
    /// Our direction has ended.
    is_finished: bool,
    /// Nothing more can be read.
    has_ended: bool,
}

impl ExpectStream {
    fn restart(&mut self) {
        if let (Some(limit), None) = (self.within, &self.verdict) {
            self.set_timer(limit);
        }
    }

    fn set_timer(&mut self, limit: Duration) {
        let at = Instant::now() + limit;
        match &mut self.timer {
            Some(timer) => timer.as_mut().reset(at),
            none => *none = Some(Box::pin(sleep_until(at))),
        }
    }

    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        self.timer.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready())
    }

    fn decide(&mut self, error: Option<Error>) {
        self.verdict = Some(error);
        self.set_timer(LEAVE_TIMEOUT);
    }

    fn decide_late(&mut self) {
        let limit = self.within.unwrap_or_default().as_secs_f64();
        let error = self.unmet(format!("within {limit} s"), false);
        self.decide(Some(error));
    }

    fn unmet(&self, reason: String, is_lost: bool) -> Error {
        let missing = self.is_met.iter().zip(&*self.expectations).find(|(is_met, _)| !**is_met);
        let expected = missing.map(|(_, expected)| expected.to_string()).unwrap_or_default();
        let others = Vec::from(self.others.clone());
        let from = self.name.to_string();
        Error::Expectation { from, expected, reason, is_lost, received: self.received, others }
    }

    fn judge(&mut self, message: &Message, met: &[bool]) -> bool {
        self.received += 1;
        let is_new = self.is_met.iter().zip(met).any(|(before, now)| *now && !before);
        self.is_met.iter_mut().zip(met).for_each(|(is_met, now)| *is_met |= now);
        if !is_new {
            if self.others.len() == MAX_SHOWN {
                self.others.pop_front();
            }
            let (kind, length) = (message.kind, message.payload.len());
            self.others.push_back(format!("{kind} {length} B {}", excerpt(&message.payload, SHOWN)));
        }
        is_new
    }

    /// Closes the connection, and is ready when the peer has done so, or after a second.
    fn poll_leave(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_late(cx) {
            return Poll::Ready(());
        }
        if !self.is_finished {
            // What was wrong before is the error.
            self.has_ended |= ready!(self.judging.io.poll_finish(cx, None)).is_err();
            self.is_finished = true;
        }
        for _ in 0..BATCH {
            if self.has_ended {
                return Poll::Ready(());
            }
            self.has_ended = matches!(ready!(self.judging.io.poll_next(cx)), Ok(Incoming::End(_)) | Err(_));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Messages that are not passed on before other tasks have their turn.
const BATCH: usize = 64;

impl MessageLayer for ExpectStream {
    fn inner(&self) -> &dyn MessageStream {
        &*self.judging.io
    }

    fn inner_mut(&mut self) -> &mut dyn MessageStream {
        &mut *self.judging.io
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Error>> {
        for _ in 0..BATCH {
            if self.verdict.is_some() {
                ready!(self.poll_leave(cx));
                self.decision.decide();
                return Poll::Ready(match self.verdict.take().flatten() {
                    Some(error) => Err(error),
                    None => Ok(Incoming::End(None)),
                });
            }
            let unsent = self.judging.io.unsent();
            if self.timer.is_none() || unsent != self.unsent {
                self.unsent = unsent;
                self.restart();
            }
            match self.judging.poll_next(cx) {
                Poll::Ready(Ok(Judged::Message((message, met)))) => {
                    let is_new = self.judge(&message, &met);
                    if !self.is_met.contains(&false) {
                        self.decide(None);
                    }
                    if is_new {
                        return Poll::Ready(Ok(Incoming::Message(message)));
                    }
                    if self.is_late(cx) {
                        self.decide_late();
                    }
                }
                Poll::Ready(Ok(Judged::Other(Incoming::End(close)))) => {
                    self.has_ended = true;
                    let how = close.map(|close| format!(": {close}")).unwrap_or_default();
                    let error = self.unmet(format!("before the connection was closed{how}"), false);
                    self.decide(Some(error));
                }
                Poll::Ready(Err(Error::Lost { reason, .. })) => {
                    (self.has_ended, self.is_finished) = (true, true);
                    let error = self.unmet(format!("before the connection was lost: {reason}"), true);
                    self.decide(Some(error));
                }
                Poll::Ready(Ok(Judged::Other(other))) => return Poll::Ready(Ok(other)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                // What came in time may be what is expected.
                Poll::Pending if !self.judging.is_busy() && self.is_late(cx) => self.decide_late(),
                Poll::Pending => return Poll::Pending,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn start_send(&mut self, message: Message) -> Result<(), Error> {
        self.restart();
        self.judging.io.start_send(message)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>, close: Option<&Close>) -> Poll<Result<(), Error>> {
        if self.is_finished {
            return Poll::Ready(Ok(()));
        }
        ready!(self.judging.io.poll_finish(cx, close))?;
        self.is_finished = true;
        Poll::Ready(Ok(()))
    }

    fn progress(&self) -> u64 {
        self.judging.progress()
    }
}
