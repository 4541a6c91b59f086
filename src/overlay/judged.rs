//! Judges the messages of an end apart from its session: a regular expression or a program may take long for a long message, and must
//! not hold up other sessions meanwhile.

use crate::{
    error::Error,
    flow::{BoxFuture, Incoming, MessageStream},
    message::Message,
};
use std::{
    cell::Cell,
    collections::VecDeque,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

/// The most messages that are judged together, so that a burst costs few changes of thread.
const BATCH: usize = 64;
/// A judge that takes longer is given the next messages one by one: each is passed on before the next is looked at.
const QUICK: Duration = Duration::from_millis(10);
/// The same in bytes.
const BATCH_BYTES: usize = 256 * 1024;

/// What is made of messages, for each of them up to the first error. What takes long in it runs on another thread.
pub type Judge<T> = Box<dyn Fn(Vec<Message>) -> Job<T> + Send>;

type Job<T> = BoxFuture<'static, VecDeque<Result<T, Error>>>;

/// What an end gives.
pub enum Judged<T> {
    /// What was made of a message.
    Message(T),
    /// Anything else.
    Other(Incoming),
}

/// A stream with a judge.
pub struct Judging<T> {
    /// The stream.
    pub io: Box<dyn MessageStream>,
    judge: Judge<T>,
    job: Option<Job<T>>,
    /// When the job began.
    since: Instant,
    /// The most messages of the next job.
    most: usize,
    judged: VecDeque<Result<T, Error>>,
    /// What came behind the messages of the job.
    behind: Option<Result<Incoming, Error>>,
    /// How often it was asked for progress during a job.
    asked: Cell<u64>,
}

impl<T> Judging<T> {
    pub fn new(io: Box<dyn MessageStream>, judge: Judge<T>) -> Self {
        let (job, judged, since) = (None, VecDeque::new(), Instant::now());
        Self { io, judge, job, since, most: 1, judged, behind: None, asked: Cell::new(0) }
    }

    /// See [`MessageStream::poll_next`].
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Judged<T>, Error>> {
        loop {
            if let Some(judged) = self.judged.pop_front() {
                return Poll::Ready(judged.map(Judged::Message));
            }
            if let Some(job) = &mut self.job {
                self.judged = ready!(job.as_mut().poll(cx));
                self.job = None;
                self.most = if self.since.elapsed() > QUICK { 1 } else { BATCH.min(self.most * 2) };
                continue;
            }
            if let Some(behind) = self.behind.take() {
                return Poll::Ready(behind.map(Judged::Other));
            }
            let (mut messages, mut bytes) = (Vec::new(), 0);
            while messages.len() < self.most && bytes < BATCH_BYTES {
                match self.io.poll_next(cx) {
                    Poll::Ready(Ok(Incoming::Message(message))) => {
                        bytes += message.payload.len();
                        messages.push(message);
                    }
                    Poll::Ready(other) => {
                        self.behind = Some(other);
                        break;
                    }
                    Poll::Pending if messages.is_empty() => return Poll::Pending,
                    Poll::Pending => break,
                }
            }
            if !messages.is_empty() {
                self.since = Instant::now();
                self.job = Some((self.judge)(messages));
            }
        }
    }

    /// Whether messages have come that are not judged yet.
    pub fn is_busy(&self) -> bool {
        self.job.is_some()
    }

    /// See [`MessageStream::progress`]. A judge that works is no silence.
    pub fn progress(&self) -> u64 {
        if self.job.is_some() {
            self.asked.set(self.asked.get().wrapping_add(1));
        }
        self.io.progress().wrapping_add(self.asked.get())
    }
}
