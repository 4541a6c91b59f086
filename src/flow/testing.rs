//! A message end that follows a script, for tests of what runs on top of ends. Use it with tokio's paused time.

use super::{ControlFrame, ControlObserver, ControlObservers, EndKind, Incoming, MessageEnd, MessageStream, Transfer};
use crate::{
    error::Error,
    message::{Close, Kind, Message},
};
use bytes::Bytes;
use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep};

/// A script: what an end says, in this order, and how it takes what it is sent. When the script is over, the end is
/// silent.
pub struct Script {
    kind: EndKind,
    steps: VecDeque<Step>,
    pong_after: Option<Duration>,
    takes: usize,
    pauses_for: Option<Duration>,
    write_error: Option<Error>,
}

enum Step {
    Wait(Duration),
    UntilSent,
    UntilFinished,
    Say(&'static str),
    SayPart,
    End(Option<Close>),
    Fail(Error),
}

impl Script {
    /// An end of this kind. It takes everything at once and answers pings at once.
    pub fn new(kind: EndKind) -> Self {
        Self {
            kind,
            steps: VecDeque::new(),
            pong_after: Some(Duration::ZERO),
            takes: usize::MAX,
            pauses_for: None,
            write_error: None,
        }
    }

    fn then(mut self, step: Step) -> Self {
        self.steps.push_back(step);
        self
    }

    /// Waits so many milliseconds.
    pub fn after(self, millis: u64) -> Self {
        self.then(Step::Wait(Duration::from_millis(millis)))
    }

    /// Waits for a message.
    pub fn when_sent_a_message(self) -> Self {
        self.then(Step::UntilSent)
    }

    /// Waits until it is told that nothing more comes.
    pub fn when_finished(self) -> Self {
        self.then(Step::UntilFinished)
    }

    /// Sends a text message.
    pub fn says(self, text: &'static str) -> Self {
        self.then(Step::Say(text))
    }

    /// Sends a part of a message, which is no message yet.
    pub fn says_a_part(self) -> Self {
        self.then(Step::SayPart)
    }

    /// Ends with a close frame.
    pub fn closes(self, code: u16, reason: &str) -> Self {
        self.then(Step::End(Some(Close::new(code, reason))))
    }

    /// Ends without a close frame.
    pub fn ends(self) -> Self {
        self.then(Step::End(None))
    }

    /// Fails to read.
    pub fn fails(self, error: Error) -> Self {
        self.then(Step::Fail(error))
    }

    /// Answers a ping so many milliseconds later.
    pub fn pongs_after(self, millis: u64) -> Self {
        Self { pong_after: Some(Duration::from_millis(millis)), ..self }
    }

    /// Never answers a ping.
    pub fn never_pongs(self) -> Self {
        Self { pong_after: None, ..self }
    }

    /// Takes so many messages and no more.
    pub fn takes(self, messages: usize) -> Self {
        Self { takes: messages, ..self }
    }

    /// Takes so many messages, and the next so many milliseconds later.
    pub fn pauses(self, messages: usize, millis: u64) -> Self {
        Self { takes: messages, pauses_for: Some(Duration::from_millis(millis)), ..self }
    }

    /// Takes so many messages and fails to write the next, or the close.
    pub fn fails_to_write(self, messages: usize, error: Error) -> Self {
        Self { takes: messages, write_error: Some(error), ..self }
    }

    /// The end, and the log of what it was sent.
    pub fn start(self) -> (MessageEnd, Log) {
        let log = Log { started: Instant::now(), lines: Arc::default() };
        let kind = self.kind;
        let stream = Scripted {
            script: self,
            log: log.clone(),
            sent: 0,
            unnoticed: 0,
            is_finished: false,
            progress: 0,
            reader: None,
            timer: None,
            pause: None,
            pong: None,
            observers: ControlObservers::default(),
        };
        (MessageEnd::new(stream, kind, "script"), log)
    }
}

/// What an end was sent, and when.
#[derive(Clone)]
pub struct Log {
    started: Instant,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Log {
    /// A line each, such as `300 message text`, `300 ping`, `300 close 1000` or `300 close` without a code. The time is
    /// in milliseconds since the start, rounded to tens.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("no panic").clone()
    }

    fn add(&self, event: &str) {
        let line = format!("{} {event}", rounded(self.started.elapsed()));
        self.lines.lock().expect("no panic").push(line);
    }
}

/// Milliseconds, rounded to tens: timers are up to a millisecond late.
pub fn rounded(time: Duration) -> u128 {
    (time.as_millis() + 5) / 10 * 10
}

struct Scripted {
    script: Script,
    log: Log,
    sent: usize,
    /// Messages that no step has waited for yet.
    unnoticed: usize,
    is_finished: bool,
    progress: u64,
    reader: Option<Waker>,
    timer: Option<Pin<Box<Sleep>>>,
    pause: Option<Pin<Box<Sleep>>>,
    pong: Option<Pin<Box<Sleep>>>,
    observers: ControlObservers,
}

/// Ready after the time, which starts with the first call and again after each that was ready.
fn poll_wait(timer: &mut Option<Pin<Box<Sleep>>>, time: Duration, cx: &mut Context<'_>) -> Poll<()> {
    ready!(timer.get_or_insert_with(|| Box::pin(sleep(time))).as_mut().poll(cx));
    *timer = None;
    Poll::Ready(())
}

impl MessageStream for Scripted {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Error>> {
        self.reader = Some(cx.waker().clone());
        loop {
            match self.script.steps.front_mut() {
                None => return Poll::Pending,
                Some(Step::Wait(time)) => ready!(poll_wait(&mut self.timer, *time, cx)),
                Some(Step::UntilSent) if self.unnoticed == 0 => return Poll::Pending,
                Some(Step::UntilSent) => self.unnoticed -= 1,
                Some(Step::UntilFinished) if !self.is_finished => return Poll::Pending,
                Some(Step::UntilFinished) => {}
                Some(Step::SayPart) => self.progress += 1,
                Some(Step::Say(text)) => {
                    let message = Message { kind: Kind::Text, payload: Bytes::from_static(text.as_bytes()) };
                    self.script.steps.pop_front();
                    return Poll::Ready(Ok(Incoming::Message(message)));
                }
                Some(Step::End(close)) => return Poll::Ready(Ok(Incoming::End(close.clone()))),
                Some(Step::Fail(_)) => {
                    let Some(Step::Fail(error)) = self.script.steps.pop_front() else { return Poll::Pending };
                    return Poll::Ready(Err(error));
                }
            }
            self.script.steps.pop_front();
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.sent < self.script.takes {
            return Poll::Ready(Ok(()));
        }
        if let Some(error) = self.script.write_error.take() {
            return Poll::Ready(Err(error));
        }
        let Some(time) = self.script.pauses_for else { return Poll::Pending };
        ready!(poll_wait(&mut self.pause, time, cx));
        self.script.takes = usize::MAX;
        Poll::Ready(Ok(()))
    }

    fn start_send(&mut self, message: Message) -> Result<(), Error> {
        self.log.add(&format!("message {}", String::from_utf8_lossy(&message.payload)));
        self.sent += 1;
        self.unnoticed += 1;
        self.reader.take().into_iter().for_each(Waker::wake);
        Ok(())
    }

    fn send_control(&mut self, frame: ControlFrame) {
        self.log.add(&format!("{frame:?}"));
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>, close: Option<&Close>) -> Poll<Result<(), Error>> {
        if !self.is_finished {
            ready!(self.poll_ready(cx))?;
            self.is_finished = true;
            self.log.add(&match close {
                Some(close) if close.reason.is_empty() => format!("close {}", close.code),
                Some(close) => format!("close {} {}", close.code, close.reason),
                None => "close".into(),
            });
            self.reader.take().into_iter().for_each(Waker::wake);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_confirmed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.script.kind != EndKind::WebSocket {
            return Poll::Ready(Ok(()));
        }
        if self.pong.is_none() {
            self.log.add("ping");
            self.observers.notify(Transfer::Sent, || ControlFrame::Ping(Bytes::new()));
        }
        // Far beyond the length of a test.
        let never = Duration::from_secs(1 << 30);
        ready!(poll_wait(&mut self.pong, self.script.pong_after.unwrap_or(never), cx));
        self.observers.notify(Transfer::Received, || ControlFrame::Pong(Bytes::new()));
        Poll::Ready(Ok(()))
    }

    fn may_answer_at_once(&self) -> bool {
        // It wakes the task.
        false
    }

    fn progress(&self) -> u64 {
        self.progress
    }

    fn observe_control(&mut self, observer: ControlObserver) {
        self.observers.add(observer);
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}
