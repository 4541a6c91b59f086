//! `literal:` and `literalreply:`: text from the command line.

use crate::{
    error::Error,
    flow::{ByteEnd, Duplex, Flow, Incoming, MessageEnd, MessageStream, Role, Task},
    message::{Close, Kind, Message},
    plan::{Setup, Stack},
    registry::{Build, Dial, Entry},
};
use bytes::Bytes;
use std::{
    io,
    task::{Context, Poll, Waker},
};

pub(super) static LITERAL: Entry = Entry {
    names: &["literal"],
    arg: Some("[TEXT]"),
    summary: "Say this text, then end",
    details: "What is sent to it is thrown away.",
    example: "ws-l:127.0.0.1:8080 literal:hello",
    flags: &[],
    build: Build::Address(|arg, _| {
        let dial = Literal { text: Bytes::copy_from_slice(arg.as_bytes()) };
        Ok(Stack::dial_with(format_args!("literal:{arg}"), Flow::Bytes, Role::Source, dial))
    }),
};

pub(super) static LITERAL_REPLY: Entry = Entry {
    names: &["literalreply"],
    arg: Some("[TEXT]"),
    summary: "Answer each message with this text",
    details: "One text message for each message that arrives.",
    example: "ws-l:127.0.0.1:8080 literalreply:pong",
    flags: &[],
    build: Build::Address(|arg, _| {
        let dial = LiteralReply { text: Bytes::copy_from_slice(arg.as_bytes()) };
        Ok(Stack::dial_with(format_args!("literalreply:{arg}"), Flow::Messages, Role::Peer, dial))
    }),
};

struct Literal {
    text: Bytes,
}

impl Dial for Literal {
    fn dial<'a>(&'a self, _: &'a mut Setup<'_>) -> Task<'a, Result<Duplex, Error>> {
        let io = tokio::io::join(io::Cursor::new(self.text.clone()), tokio::io::sink());
        Box::pin(async { Ok(Duplex::Bytes(ByteEnd::new(io, Role::Source, "literal"))) })
    }
}

struct LiteralReply {
    text: Bytes,
}

impl Dial for LiteralReply {
    fn dial<'a>(&'a self, _: &'a mut Setup<'_>) -> Task<'a, Result<Duplex, Error>> {
        let io = Box::new(Replies { text: self.text.clone(), owed: 0, ended: false, reader: None, writer: None });
        Box::pin(async { Ok(Duplex::Messages(MessageEnd { io, role: Role::Peer, name: "literalreply".into() })) })
    }
}

/// Replies that may be owed before more questions are taken, so that a peer that never reads is not served for ever.
const MOST_OWED: u64 = 1024;

struct Replies {
    text: Bytes,
    owed: u64,
    ended: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl MessageStream for Replies {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Error>> {
        if self.owed > 0 {
            self.owed -= 1;
            self.writer.take().into_iter().for_each(Waker::wake);
            return Poll::Ready(Ok(Incoming::Message(Message { kind: Kind::Text, payload: self.text.clone() })));
        }
        if self.ended {
            return Poll::Ready(Ok(Incoming::End(None)));
        }
        self.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.owed < MOST_OWED {
            return Poll::Ready(Ok(()));
        }
        self.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    fn start_send(&mut self, _: Message) -> Result<(), Error> {
        self.owed += 1;
        self.reader.take().into_iter().for_each(Waker::wake);
        Ok(())
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll_finish(&mut self, _: &mut Context<'_>, _: Option<&Close>) -> Poll<Result<(), Error>> {
        self.ended = true;
        self.reader.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }
}
