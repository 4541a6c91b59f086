//! `--jsonl`: what passes as JSON lines on standard output, in place of the messages alone.

use crate::{
    endpoint::{ConnectContext, Transform},
    error::Error,
    flow::{BoxFuture, ControlFrame, Incoming, MessageEnd, MessageLayer, MessageStream, Transfer},
    message::{Close, Kind, Message},
    recording::{Seen, append_line},
};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
    time::SystemTime,
};

/// Control frames that wait to be printed; further ones are not.
const MAX_WAITING: usize = 1024;

/// A layer around the end that prints. `control`: control frames are printed, too. `newline`: nothing else ends the lines.
pub fn json_lines(control: bool, newline: bool) -> Box<dyn Transform<MessageEnd, MessageEnd>> {
    Box::new(JsonLines { control, newline })
}

struct JsonLines {
    control: bool,
    newline: bool,
}

impl Transform<MessageEnd, MessageEnd> for JsonLines {
    fn apply<'a>(
        &'a self,
        mut inner: MessageEnd,
        _: &'a mut ConnectContext,
    ) -> BoxFuture<'a, Result<MessageEnd, Error>> {
        let queue = Arc::new(Queue::default());
        if self.control {
            let (others, lines, newline) = (inner.observer.take(), queue.clone(), self.newline);
            inner.observer = Some(Arc::new(move |transfer, frame: &ControlFrame| {
                others.iter().for_each(|observer| observer(transfer, frame));
                lines.push_control(line(transfer, Seen::Control(frame), newline));
            }));
        }
        let printed = Printed { io: inner.io, queue, newline: self.newline, is_unflushed: false };
        Box::pin(async move { Ok(MessageEnd { io: Box::new(printed), ..inner }) })
    }
}

fn line(transfer: Transfer, seen: Seen<'_>, newline: bool) -> Message {
    let mut line = Vec::new();
    append_line(&mut line, SystemTime::now(), None, transfer, seen);
    line.extend(newline.then_some(b'\n'));
    Message { kind: Kind::Text, payload: line.into() }
}

/// Lines that are not given to the end yet.
#[derive(Default)]
struct Queue(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    lines: VecDeque<Message>,
    waker: Option<Waker>,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push_control(&self, line: Message) {
        let mut waiting = self.lock();
        if waiting.lines.len() < MAX_WAITING {
            waiting.lines.push_back(line);
        }
        waiting.waker.take().into_iter().for_each(Waker::wake);
    }
}

struct Printed {
    io: Box<dyn MessageStream>,
    queue: Arc<Queue>,
    newline: bool,
    /// Lines were given to the end after its last flush that the session does not know of.
    is_unflushed: bool,
}

impl Printed {
    /// Ready when the end has taken all lines.
    fn poll_lines(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            {
                let mut waiting = self.queue.lock();
                if waiting.lines.is_empty() {
                    waiting.waker = Some(cx.waker().clone());
                    return Poll::Ready(Ok(()));
                }
            }
            ready!(self.io.poll_ready(cx))?;
            let line = self.queue.lock().lines.pop_front();
            if let Some(line) = line {
                self.io.start_send(line)?;
                self.is_unflushed = true;
            }
        }
    }
}

impl MessageLayer for Printed {
    fn inner(&self) -> &dyn MessageStream {
        &*self.io
    }

    fn inner_mut(&mut self) -> &mut dyn MessageStream {
        &mut *self.io
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Error>> {
        // Input is not read while its lines cannot be printed.
        ready!(self.poll_lines(cx))?;
        let next = self.io.poll_next(cx);
        match &next {
            Poll::Ready(Ok(Incoming::Message(message))) => {
                let line = line(Transfer::Sent, Seen::Message(message), self.newline);
                self.queue.lock().lines.push_back(line);
            }
            Poll::Ready(_) => {}
            Poll::Pending if self.is_unflushed => {
                self.is_unflushed = self.io.poll_flush(cx)?.is_pending();
            }
            Poll::Pending => {}
        }
        next
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(self.poll_lines(cx))?;
        self.io.poll_ready(cx)
    }

    fn start_send(&mut self, message: Message) -> Result<(), Error> {
        self.io.start_send(line(Transfer::Received, Seen::Message(&message), self.newline))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(self.poll_lines(cx))?;
        ready!(self.io.poll_flush(cx))?;
        self.is_unflushed = false;
        Poll::Ready(Ok(()))
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>, close: Option<&Close>) -> Poll<Result<(), Error>> {
        ready!(MessageLayer::poll_flush(self, cx))?;
        self.io.poll_finish(cx, close)
    }
}
