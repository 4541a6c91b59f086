//! `mirror:`: sends each message back.

use crate::{
    endpoint::{Build, ConnectContext, Dial, Entry, MessageEndpoint},
    error::Error,
    flow::{BoxFuture, EndKind, Incoming, MessageEnd, MessageStream},
    message::{Close, Message},
};
use std::{
    collections::VecDeque,
    task::{Context, Poll, Waker},
};

pub(super) static MIRROR: Entry = Entry {
    names: &["mirror"],
    arg: None,
    summary: "Send each message back",
    details: "Messages keep their type, text or binary, and their boundaries.",
    example: "ws-l:127.0.0.1:1234 mirror:",
    flags: &[],
    build: Build::Dial(|_, _| Ok(MessageEndpoint::dial("mirror:", Mirror).into())),
};

struct Mirror;

impl Dial<MessageEnd> for Mirror {
    fn dial<'a>(&'a self, _: &'a mut ConnectContext) -> BoxFuture<'a, Result<MessageEnd, Error>> {
        Box::pin(async { Ok(MessageEnd::new(Echo::default(), self.kind(), "mirror")) })
    }

    fn kind(&self) -> EndKind {
        EndKind::Peer
    }
}

/// Maximum number of queued messages: enough to answer a burst with few writes, and few enough to limit memory.
const MAX_QUEUED: usize = 256;
/// Maximum number of queued bytes. A single message may be longer.
const MAX_QUEUED_BYTES: usize = 256 * 1024;

#[derive(Default)]
struct Echo {
    queue: VecDeque<Message>,
    bytes: usize,
    ended: bool,
    close: Option<Close>,
    writer: Option<Waker>,
}

impl MessageStream for Echo {
    fn poll_next(&mut self, _: &mut Context<'_>) -> Poll<Result<Incoming, Error>> {
        if let Some(message) = self.queue.pop_front() {
            self.bytes -= message.payload.len();
            self.writer.take().into_iter().for_each(Waker::wake);
            return Poll::Ready(Ok(Incoming::Message(message)));
        }
        if self.ended {
            return Poll::Ready(Ok(Incoming::End(self.close.clone())));
        }
        Poll::Pending
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.queue.len() < MAX_QUEUED && self.bytes < MAX_QUEUED_BYTES {
            return Poll::Ready(Ok(()));
        }
        self.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    fn start_send(&mut self, message: Message) -> Result<(), Error> {
        self.bytes += message.payload.len();
        self.queue.push_back(message);
        Ok(())
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll_finish(&mut self, _: &mut Context<'_>, close: Option<&Close>) -> Poll<Result<(), Error>> {
        self.ended = true;
        self.close = close.cloned();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}
