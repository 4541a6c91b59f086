//! `--filter-json`: what a jq program makes of each message.

use super::judged::{Judge, Judged, Judging};
use crate::{
    endpoint::{ConnectContext, Transform},
    error::Error,
    filter::{Jq, JqError},
    flow::{BoxFuture, Incoming, MessageEnd, MessageLayer, MessageStream},
    message::{Kind, Message},
    report,
};
use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

/// A layer whose end gives the results of a program in place of each message.
pub fn filter_json(program: &Arc<Jq>) -> Box<dyn Transform<MessageEnd, MessageEnd>> {
    Box::new(FilterJson(program.clone()))
}

/// The error for a program that does not end, and the limit that it is beyond.
pub(super) fn endless(name: &str, option: &str, cause: &str) -> Error {
    Error::Input {
        what: "a message".into(),
        from: name.into(),
        reason: format!("is too much for the program of {option}: {cause}"),
        hint: "first(…) and limit(N; …) end a program that goes on for ever",
    }
}

struct FilterJson(Arc<Jq>);

impl Transform<MessageEnd, MessageEnd> for FilterJson {
    fn apply<'a>(&'a self, inner: MessageEnd, _: &'a mut ConnectContext) -> BoxFuture<'a, Result<MessageEnd, Error>> {
        let (program, name, has_warned) = (self.0.clone(), inner.name.clone(), AtomicBool::new(false));
        let judge: Judge<Vec<Message>> = Arc::new(move |message| {
            let reason = match program.results(&message.payload) {
                Ok(results) => {
                    let message = |text: String| Message { kind: Kind::Text, payload: text.into() };
                    return Ok(results.into_iter().map(message).collect());
                }
                Err(JqError::Endless(cause)) => return Err(endless(&name, "--filter-json", cause)),
                Err(JqError::TooDeep) => "it is nested deeper than 256 levels".to_owned(),
                Err(JqError::NotJson) => "it is not JSON".to_owned(),
                Err(JqError::Failed(reason)) => reason,
            };
            if !has_warned.swap(true, Relaxed) {
                let start: String = reason.chars().take(200).collect();
                report::warn(format_args!(
                    "--filter-json leaves out a message from {name}: {start}; there is no warning for further ones"
                ));
            }
            Ok(Vec::new())
        });
        let io = FilteredStream { judging: Judging::new(inner.io, judge), results: VecDeque::new(), left_out: 0 };
        Box::pin(async move { Ok(MessageEnd { io: Box::new(io), ..inner }) })
    }
}

struct FilteredStream {
    judging: Judging<Vec<Message>>,
    results: VecDeque<Message>,
    /// Messages without results.
    left_out: u64,
}

/// Messages without results before other tasks have their turn.
const BATCH: usize = 64;

impl MessageLayer for FilteredStream {
    fn inner(&self) -> &dyn MessageStream {
        &*self.judging.io
    }

    fn inner_mut(&mut self) -> &mut dyn MessageStream {
        &mut *self.judging.io
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Error>> {
        for _ in 0..BATCH {
            if let Some(message) = self.results.pop_front() {
                return Poll::Ready(Ok(Incoming::Message(message)));
            }
            match ready!(self.judging.poll_next(cx))? {
                Judged::Message(results) => {
                    self.left_out += u64::from(results.is_empty());
                    self.results = results.into();
                }
                Judged::Other(other) => return Poll::Ready(Ok(other)),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn progress(&self) -> u64 {
        self.judging.progress()
    }

    fn left_out(&self) -> u64 {
        self.left_out
    }
}
