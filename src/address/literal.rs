//! `literal:` and `literalreply:`: text from the command line.

use crate::{
    endpoint::{Build, ByteEndpoint, ConnectContext, Dial, Entry, MessageEndpoint},
    error::Error,
    flow::{BoxFuture, ByteEnd, EndKind, Incoming, MessageEnd, MessageStream},
    message::{Close, Kind, Message},
};
use bytes::Bytes;
use std::{
    io,
    task::{Context, Poll, Waker},
};

pub(super) static LITERAL: Entry = Entry {
    names: &["literal"],
    arg: Some("[TEXT]"),
    summary: "Send this text, then end",
    details: "Data written to it is discarded.",
    example: "ws-l:127.0.0.1:8080 literal:hello",
    flags: &[],
    build: Build::Dial(|arg, _| {
        let dial = Literal { text: Bytes::copy_from_slice(arg.as_bytes()) };
        Ok(ByteEndpoint::dial(format_args!("literal:{arg}"), dial).into())
    }),
};

pub(super) static LITERAL_REPLY: Entry = Entry {
    names: &["literalreply"],
    arg: Some("[TEXT]"),
    summary: "Reply to each message with this text",
    details: "Sends one text message for each message that arrives.",
    example: "ws-l:127.0.0.1:8080 literalreply:pong",
    flags: &[],
    build: Build::Dial(|arg, _| {
        let dial = LiteralReply { text: Bytes::copy_from_slice(arg.as_bytes()) };
        Ok(MessageEndpoint::dial(format_args!("literalreply:{arg}"), dial).into())
    }),
};

struct Literal {
    text: Bytes,
}

impl Dial<ByteEnd> for Literal {
    fn dial<'a>(&'a self, _: &'a mut ConnectContext) -> BoxFuture<'a, Result<ByteEnd, Error>> {
        let io = tokio::io::join(io::Cursor::new(self.text.clone()), tokio::io::sink());
        Box::pin(async { Ok(ByteEnd::new(io, self.kind(), "literal")) })
    }

    fn kind(&self) -> EndKind {
        EndKind::Source
    }
}

struct LiteralReply {
    text: Bytes,
}

impl Dial<MessageEnd> for LiteralReply {
    fn dial<'a>(&'a self, _: &'a mut ConnectContext) -> BoxFuture<'a, Result<MessageEnd, Error>> {
        let io = Replies { text: self.text.clone(), pending: 0, ended: false, writer: None };
        Box::pin(async { Ok(MessageEnd::new(io, self.kind(), "literalreply")) })
    }

    fn kind(&self) -> EndKind {
        EndKind::Peer
    }
}

/// Maximum number of pending replies. At the maximum no more messages are accepted, which stops a peer that never reads.
const MAX_PENDING: u64 = 1024;

struct Replies {
    text: Bytes,
    pending: u64,
    ended: bool,
    writer: Option<Waker>,
}

impl MessageStream for Replies {
    fn poll_next(&mut self, _: &mut Context<'_>) -> Poll<Result<Incoming, Error>> {
        if self.pending > 0 {
            self.pending -= 1;
            self.writer.take().into_iter().for_each(Waker::wake);
            return Poll::Ready(Ok(Incoming::Message(Message { kind: Kind::Text, payload: self.text.clone() })));
        }
        if self.ended {
            return Poll::Ready(Ok(Incoming::End(None)));
        }
        Poll::Pending
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.pending < MAX_PENDING {
            return Poll::Ready(Ok(()));
        }
        self.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    fn start_send(&mut self, _: Message) -> Result<(), Error> {
        self.pending += 1;
        Ok(())
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll_finish(&mut self, _: &mut Context<'_>, _: Option<&Close>) -> Poll<Result<(), Error>> {
        self.ended = true;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}
