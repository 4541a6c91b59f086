//! `chunks:`: what was read is a message. Also how two byte ends are joined.

use crate::{
    config::Config,
    error::Error,
    flow::{ByteEnd, MessageEnd, Task},
    framing::ChunkStream,
    message::Kind,
    plan::Setup,
    registry::{Build, Entry, Overlay, Transform},
};

pub(super) static CHUNKS: Entry = Entry {
    names: &["chunks"],
    arg: None,
    summary: "What was read is a message",
    details: "Each piece that arrives, of up to 64 KiB, becomes a binary message (a text one with -t). Each message is \
              written as it is, with nothing behind it.",
    example: "ws-l:127.0.0.1:8080 chunks:sh-c:cat",
    flags: &["text", "binary"],
    build: Build::Overlay(|_, config| Ok(chunks(config).1)),
};

/// The overlay and its name.
pub fn chunks(config: &Config) -> (&'static str, Overlay) {
    ("chunks", Overlay::Framing(Box::new(Chunks { kind: config.framing.kind.unwrap_or(Kind::Binary) })))
}

struct Chunks {
    kind: Kind,
}

impl Transform<ByteEnd, MessageEnd> for Chunks {
    fn apply<'a>(&'a self, inner: ByteEnd, _: &'a mut Setup<'_>) -> Task<'a, Result<MessageEnd, Error>> {
        Box::pin(async move { Ok(ChunkStream::frame(inner, self.kind)) })
    }
}
