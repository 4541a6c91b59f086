//! `chunks:`: each read becomes one message.

use crate::{
    endpoint::{Build, ConnectContext, Entry, Framing, Layer, Overlay, OverlayRow, Transform},
    error::Error,
    flow::{BoxFuture, ByteEnd, MessageEnd},
    framing::{ChunkStream, FramingOptions},
    message::Kind,
};

pub(super) static CHUNKS: Entry = Entry {
    names: &["chunks"],
    arg: None,
    summary: "Each read becomes one message",
    details: "Each read, of at most 64 KiB, becomes one binary message (text with -t). Each message is written without \
              a trailing newline.",
    example: "ws-l:127.0.0.1:8080 chunks:sh-c:cat",
    flags: &[&["text", "binary"]],
    build: Build::Overlay(OverlayRow::new(|_, config| Ok(Overlay::Around(Layer::Framing(chunks(&config.framing).1))))),
};

/// The framing `chunks:`, and its name.
pub fn chunks(options: &FramingOptions) -> (&'static str, Framing) {
    (CHUNKS.name(), Framing::Direct(Box::new(Chunks { kind: options.kind.unwrap_or(Kind::Binary) })))
}

struct Chunks {
    kind: Kind,
}

impl Transform<ByteEnd, MessageEnd> for Chunks {
    fn apply<'a>(&'a self, inner: ByteEnd, _: &'a mut ConnectContext) -> BoxFuture<'a, Result<MessageEnd, Error>> {
        Box::pin(async move { Ok(ChunkStream::frame(inner, self.kind)) })
    }
}
