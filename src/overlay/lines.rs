//! `lines:`: each line becomes one message.

use crate::{
    endpoint::{Build, ConnectContext, Entry, Framing, Layer, Overlay, OverlayRow, Transform},
    error::Error,
    flow::{BoxFuture, ByteEnd, MessageEnd},
    framing::{FramingOptions, LineCodec},
};

pub(super) static LINES: Entry = Entry {
    names: &["lines", "line2msg", "msg2line"],
    arg: None,
    summary: "Each line becomes one message",
    details: "Each line, without its newline, becomes one text message (binary with -b); a last line without a newline \
              counts. Each message is written followed by one newline. -0 uses zero bytes instead of newlines, \
              --separator another byte, and --separator-n several of them. \
              --one-line replaces newlines inside messages with spaces.",
    example: "ws-l:127.0.0.1:8080 lines:tcp:127.0.0.1:7",
    flags: &[&["text", "binary", "null-terminated", "separator", "separator-n", "one-line", "max-ws-message-length"]],
    build: Build::Overlay(OverlayRow::new(|_, config| Ok(Overlay::Around(Layer::Framing(lines(&config.framing).1))))),
};

/// The framing `lines:`, and its name.
pub fn lines(options: &FramingOptions) -> (&'static str, Framing) {
    (LINES.name(), Framing::Direct(Box::new(Lines(*options))))
}

struct Lines(FramingOptions);

impl Transform<ByteEnd, MessageEnd> for Lines {
    fn apply<'a>(&'a self, inner: ByteEnd, _: &'a mut ConnectContext) -> BoxFuture<'a, Result<MessageEnd, Error>> {
        Box::pin(async move { Ok(LineCodec::frame(inner, self.0)) })
    }
}
