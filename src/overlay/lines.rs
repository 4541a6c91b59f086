//! `lines:`: a line is a message.

use crate::{
    endpoint::{Build, ConnectContext, Entry, Framing, Layer, Overlay, OverlayRow, Transform},
    error::Error,
    flow::{ByteEnd, MessageEnd, Task},
    framing::{FramingOptions, LineStream},
};

pub(super) static LINES: Entry = Entry {
    names: &["lines", "line2msg", "msg2line"],
    arg: None,
    summary: "A line is a message",
    details: "Each line that is read becomes a text message (a binary one with -b) without its newline; a last line \
              without a newline counts too. Each message is written as it is, with one newline behind it. -0 uses zero \
              bytes instead of newlines; --one-line turns newlines inside messages into spaces.",
    example: "ws-l:127.0.0.1:8080 lines:tcp:127.0.0.1:7",
    flags: &["text", "binary", "null-terminated", "one-line"],
    build: Build::Overlay(OverlayRow::new(|_, config| Ok(Overlay::Around(Layer::Framing(lines(&config.framing).1))))),
};

/// The framing and its name.
pub fn lines(options: &FramingOptions) -> (&'static str, Framing) {
    (LINES.name(), Framing::Direct(Box::new(Lines(*options))))
}

struct Lines(FramingOptions);

impl Transform<ByteEnd, MessageEnd> for Lines {
    fn apply<'a>(&'a self, inner: ByteEnd, _: &'a mut ConnectContext) -> Task<'a, Result<MessageEnd, Error>> {
        Box::pin(async move { Ok(LineStream::frame(inner, self.0)) })
    }
}
