//! Ends that work like devices: `null:`, `empty:`, `zero:`, `random:`, `clogged:` and `literal-base64:`.

use crate::{
    endpoint::{Build, ConnectContext, Dial, Dialled, Endpoint, Entry, MessageEndpoint},
    error::Error,
    flow::{BoxFuture, EndKind, Incoming, MessageEnd, MessageStream},
    message::{Close, Kind, Message},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use rand::RngExt;
use std::task::{Context, Poll};

pub(super) static NULL: Entry = Entry {
    names: &["null", "devnull"],
    arg: None,
    summary: "Discard all data",
    details: "It sends nothing; the session lasts until the other end has ended.",
    example: "ws-l:127.0.0.1:8080 null:",
    flags: &[],
    build: Build::Dial(|_, _| Ok(endpoint("null", EndKind::Sink, Output::Nothing, true))),
};

pub(super) static EMPTY: Entry = Entry {
    names: &["empty"],
    arg: None,
    summary: "Discard all data, and end at once",
    details: "As a file without content.",
    example: "ws-l:127.0.0.1:8080 empty:",
    flags: &[],
    build: Build::Dial(|_, _| Ok(endpoint("empty", EndKind::Source, Output::Once(None), true))),
};

pub(super) static ZERO: Entry = Entry {
    names: &["zero"],
    arg: None,
    summary: "Send zero bytes without end",
    details: "In binary messages of 64 KiB. Data written to it is discarded.",
    example: "zero: ws://127.0.0.1:8080/",
    flags: &[],
    build: Build::Dial(|_, _| {
        Ok(endpoint("zero", EndKind::Source, Output::Zeros(vec![0; MESSAGE_LENGTH].into()), true))
    }),
};

pub(super) static RANDOM: Entry = Entry {
    names: &["random"],
    arg: None,
    summary: "Send random bytes without end",
    details: "In binary messages of 64 KiB. Data written to it is discarded.",
    example: "random: ws://127.0.0.1:8080/",
    flags: &[],
    build: Build::Dial(|_, _| Ok(endpoint("random", EndKind::Source, Output::Random, true))),
};

pub(super) static CLOGGED: Entry = Entry {
    names: &["clogged"],
    arg: None,
    summary: "Neither take nor send data",
    details: "A peer that hangs, for tests of how the other side copes with it.",
    example: "ws-l:127.0.0.1:8080 clogged:",
    flags: &[],
    build: Build::Dial(|_, _| Ok(endpoint("clogged", EndKind::Peer, Output::Nothing, false))),
};

pub(super) static LITERAL_BASE64: Entry = Entry {
    names: &["literal-base64"],
    arg: Some("[BASE64]"),
    summary: "Send these bytes, then end",
    details: "In one binary message, with -t a text message. Data written to it is discarded.",
    example: "ws-l:127.0.0.1:8080 literal-base64:aGVsbG8=",
    flags: &[&["text"]],
    build: Build::Dial(|arg, config| {
        let wrong =
            |error| Error::Argument { reason: format!("not base64: {error}"), example: "literal-base64:aGk=".into() };
        let payload = Bytes::from(BASE64_STANDARD.decode(arg).map_err(wrong)?);
        let kind = config.framing.kind.unwrap_or(Kind::Binary);
        if kind == Kind::Text && std::str::from_utf8(&payload).is_err() {
            return Err(Error::usage_hint("the bytes of literal-base64: are not UTF-8", "-b sends a binary message"));
        }
        Ok(endpoint("literal-base64", EndKind::Source, Output::Once(Some(Message { kind, payload })), true))
    }),
};

/// Length of the messages of endless data, in bytes.
const MESSAGE_LENGTH: usize = 64 * 1024;

fn endpoint(name: &'static str, kind: EndKind, output: Output, takes_input: bool) -> Endpoint<Dialled> {
    MessageEndpoint::dial(format_args!("{name}:"), Device { name, kind, output, takes_input }).into()
}

/// What it sends.
#[derive(Clone)]
enum Output {
    /// Nothing, without end.
    Nothing,
    /// At most one message, then the end.
    Once(Option<Message>),
    /// This, without end.
    Zeros(Bytes),
    /// Random bytes without end.
    Random,
}

#[derive(Clone)]
struct Device {
    name: &'static str,
    kind: EndKind,
    output: Output,
    takes_input: bool,
}

impl Dial<MessageEnd> for Device {
    fn dial<'a>(&'a self, _: &'a mut ConnectContext) -> BoxFuture<'a, Result<MessageEnd, Error>> {
        Box::pin(async { Ok(MessageEnd::new(self.clone(), self.kind, self.name)) })
    }

    fn kind(&self) -> EndKind {
        self.kind
    }
}

impl MessageStream for Device {
    fn poll_next(&mut self, _: &mut Context<'_>) -> Poll<Result<Incoming, Error>> {
        let binary = |payload| Incoming::Message(Message { kind: Kind::Binary, payload });
        Poll::Ready(Ok(match &mut self.output {
            Output::Nothing => return Poll::Pending,
            Output::Once(message) => message.take().map_or(Incoming::End(None), Incoming::Message),
            Output::Zeros(zeros) => binary(zeros.clone()),
            Output::Random => {
                let mut bytes = vec![0; MESSAGE_LENGTH];
                rand::rng().fill(&mut bytes[..]);
                binary(bytes.into())
            }
        }))
    }

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.takes_input { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn start_send(&mut self, _: Message) -> Result<(), Error> {
        Ok(())
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll_finish(&mut self, _: &mut Context<'_>, _: Option<&Close>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}
