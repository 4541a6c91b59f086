//! `--filter-json`: what a jq program makes of each message.

use super::judged::{Judge, Judged, Judging};
use crate::{
    endpoint::{ConnectContext, Transform},
    error::Error,
    filter::{Answer, JqError, Program, Question},
    flow::{BoxFuture, Incoming, MessageEnd, MessageLayer, MessageStream},
    message::{Kind, Message},
    report,
};
use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

/// A layer whose end gives the results of a program in place of each message.
pub fn filter_json(program: &Arc<Program>) -> Box<dyn Transform<MessageEnd, MessageEnd>> {
    Box::new(FilterJson(program.clone()))
}

/// Why a program has no results for a message.
///
/// # Errors
/// The program is stopped, or cannot be started, which ends the session.
pub(super) fn explain(error: JqError, name: &str, option: &str) -> Result<String, Error> {
    match error {
        JqError::NotJson => Ok("it is not JSON".to_owned()),
        JqError::TooDeep => Ok("it is nested deeper than 256 levels".to_owned()),
        JqError::Failed(reason) => Ok(reason),
        JqError::Endless(cause) => Err(Error::Input {
            what: "a message".into(),
            from: name.into(),
            reason: format!("is too much for the program of {option}: {cause}"),
            hint: "first(…) and limit(N; …) end a program that goes on for ever",
        }),
        JqError::NoProcess(cause) => {
            Err(Error::io(format_args!("cannot run the program of {option}"), io::Error::other(cause)))
        }
    }
}

struct FilterJson(Arc<Program>);

impl Transform<MessageEnd, MessageEnd> for FilterJson {
    fn apply<'a>(&'a self, inner: MessageEnd, _: &'a mut ConnectContext) -> BoxFuture<'a, Result<MessageEnd, Error>> {
        let (program, name, has_warned) = (self.0.clone(), inner.name.clone(), Arc::new(AtomicBool::new(false)));
        let printed = move |answer: Answer<Vec<String>>| {
            let reason = match answer {
                Ok(results) => {
                    let message = |text: String| Message { kind: Kind::Text, payload: text.into() };
                    return Ok(results.into_iter().map(message).collect());
                }
                Err(error) => explain(error, &name, "--filter-json")?,
            };
            if !has_warned.swap(true, Relaxed) {
                let start: String = reason.chars().take(200).collect();
                report::warn(format_args!(
                    "--filter-json leaves out a message from {name}: {start}; there is no warning for further ones"
                ));
            }
            Ok(Vec::new())
        };
        let judge: Judge<Vec<Message>> = Box::new(move |messages| {
            let (program, printed) = (program.clone(), printed.clone());
            let payloads = messages.into_iter().map(|message| message.payload).collect();
            Box::pin(async move { program.judge(Question::Results, payloads).await.into_iter().map(printed).collect() })
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
