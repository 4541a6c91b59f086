//! `log:`: logs the traffic of an end to standard error.

use crate::{
    endpoint::{Build, ConnectContext, Entry, Layer, Overlay, OverlayRow, Transform},
    error::Error,
    flow::{
        BoxFuture, ByteEnd, ByteStream, ControlFrame, Flow, Incoming, MessageEnd, MessageLayer, MessageStream, Transfer,
    },
    message::{Close, Message},
    report,
    visible::excerpt,
};
use std::{
    fmt::Display,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio_util::io::{InspectReader, InspectWriter};

pub(super) static LOG: Entry = Entry {
    names: &["log"],
    arg: None,
    summary: "Log traffic to standard error",
    details: "Writes one line per message, or per read and write of a byte stream, with its type, its length and its \
              first 200 bytes, escaped as in C so that they can be read back. < marks data from the address behind the \
              overlay, > data to it. Pings and pongs of WebSockets are logged too.",
    example: "- log:ws://127.0.0.1:8080/",
    flags: &[],
    build: Build::Overlay(OverlayRow::new(|inner, _| {
        Ok(Overlay::Around(match inner.flow {
            Flow::Bytes => Layer::OnBytes(Box::new(Log)),
            Flow::Messages => Layer::OnMessages(Box::new(Log)),
        }))
    })),
};

/// The start of a payload that is shown, in bytes.
const SHOWN: usize = 200;

struct Log;

impl Transform<ByteEnd, ByteEnd> for Log {
    fn apply<'a>(&'a self, mut inner: ByteEnd, _: &'a mut ConnectContext) -> BoxFuture<'a, Result<ByteEnd, Error>> {
        let (name, sender) = (inner.name.clone(), inner.name.clone());
        let read = InspectReader::new(inner.io, move |bytes: &[u8]| match bytes {
            [] => report::traffic('<', &name, "end"),
            _ => show('<', &name, "bytes", bytes),
        });
        inner.io = ByteStream::other(InspectWriter::new(read, move |bytes: &[u8]| show('>', &sender, "bytes", bytes)));
        Box::pin(async { Ok(inner) })
    }
}

impl Transform<MessageEnd, MessageEnd> for Log {
    fn apply<'a>(
        &'a self,
        mut inner: MessageEnd,
        _: &'a mut ConnectContext,
    ) -> BoxFuture<'a, Result<MessageEnd, Error>> {
        let name = inner.name.clone();
        inner.io.observe_control(Arc::new(move |transfer, frame| {
            let mark = match transfer {
                Transfer::Sent => '>',
                Transfer::Received => '<',
            };
            match frame {
                ControlFrame::Ping(payload) => show(mark, &name, "ping", payload),
                ControlFrame::Pong(payload) => show(mark, &name, "pong", payload),
                // `poll_next` and `poll_finish` log the end of a direction, with its close code.
                ControlFrame::Close(_) => {}
            }
        }));
        inner.io = Box::new(LoggedMessages { io: inner.io, name: inner.name.clone() });
        Box::pin(async { Ok(inner) })
    }
}

fn show(mark: char, name: &str, what: impl Display, payload: &[u8]) {
    report::traffic(mark, name, format_args!("{what} {} B {}", payload.len(), excerpt(payload, SHOWN)));
}

struct LoggedMessages {
    io: Box<dyn MessageStream>,
    name: Arc<str>,
}

impl LoggedMessages {
    fn show(&self, mark: char, message: &Message) {
        show(mark, &self.name, message.kind, &message.payload);
    }
}

impl MessageLayer for LoggedMessages {
    fn inner(&self) -> &dyn MessageStream {
        &*self.io
    }

    fn inner_mut(&mut self) -> &mut dyn MessageStream {
        &mut *self.io
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Error>> {
        let next = ready!(self.io.poll_next(cx));
        match &next {
            Ok(Incoming::Message(message)) => self.show('<', message),
            Ok(Incoming::FlushRequest | Incoming::ControlRequest(_)) => {}
            Ok(Incoming::End(Some(close))) => report::traffic('<', &self.name, format_args!("close {close}")),
            Ok(Incoming::End(None)) => report::traffic('<', &self.name, "end"),
            Err(error) => report::traffic('<', &self.name, format_args!("error: {error}")),
        }
        Poll::Ready(next)
    }

    fn start_send(&mut self, message: Message) -> Result<(), Error> {
        self.show('>', &message);
        self.io.start_send(message)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>, close: Option<&Close>) -> Poll<Result<(), Error>> {
        let finished = ready!(self.io.poll_finish(cx, close));
        report::traffic('>', &self.name, "end");
        Poll::Ready(finished)
    }
}
