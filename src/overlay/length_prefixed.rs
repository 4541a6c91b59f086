//! `lengthprefixed:`: messages with their length in front of them.

use crate::{
    endpoint::{Build, ConnectContext, Entry, Framing, Layer, Overlay, OverlayRow, Transform},
    error::Error,
    flow::{BoxFuture, ByteEnd, MessageEnd},
    framing::{FramingOptions, LengthPrefixCodec},
};

pub(super) static LENGTH_PREFIXED: Entry = Entry {
    names: &["lengthprefixed"],
    arg: None,
    summary: "Each message has its length in front of it",
    details: "Each message is read and written as its length, in 4 bytes with the most significant one first, and its \
              payload. Messages that are read are binary (text with -t). --lengthprefixed-nbytes and \
              --lengthprefixed-little-endian set how lengths are written. With --lengthprefixed-tag-text the most \
              significant bit of a length marks text messages. A length above --max-ws-message-length is an error.",
    example: "-u ws://127.0.0.1:8080/ lengthprefixed:writefile:/tmp/messages",
    flags: &[&[
        "lengthprefixed-nbytes",
        "lengthprefixed-little-endian",
        "lengthprefixed-skip-read-direction",
        "lengthprefixed-skip-write-direction",
        "lengthprefixed-tag-text",
        "text",
        "binary",
        "max-ws-message-length",
    ]],
    build: Build::Overlay(OverlayRow::new(|_, config| {
        let framing = Framing::Direct(Box::new(LengthPrefixed(config.framing)));
        Ok(Overlay::Around(Layer::Framing(framing)))
    })),
};

struct LengthPrefixed(FramingOptions);

impl Transform<ByteEnd, MessageEnd> for LengthPrefixed {
    fn apply<'a>(&'a self, inner: ByteEnd, _: &'a mut ConnectContext) -> BoxFuture<'a, Result<MessageEnd, Error>> {
        Box::pin(async move { Ok(LengthPrefixCodec::frame(inner, self.0)) })
    }
}
