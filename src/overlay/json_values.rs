//! `json:`: each JSON value becomes one message.

use crate::{
    endpoint::{Build, ConnectContext, Entry, Framing, Layer, Overlay, OverlayRow, Transform},
    error::Error,
    flow::{BoxFuture, ByteEnd, MessageEnd},
    framing::{FramingOptions, JsonValueCodec},
};

pub(super) static JSON: Entry = Entry {
    names: &["json"],
    arg: None,
    summary: "Each JSON value becomes one message",
    details: "Each JSON value, however many lines it has, becomes one text message (binary with -b), as it was written but without \
              the space around it. What is not JSON is an error that names its line and column. Each message is written followed by one \
              newline. --json-in puts it in place of lines:.",
    example: "json:readfile:/tmp/requests.json ws://127.0.0.1:8080/",
    flags: &[&["json-in", "text", "binary", "max-ws-message-length"]],
    build: Build::Overlay(OverlayRow::new(|_, config| {
        Ok(Overlay::Around(Layer::Framing(json_values(&config.framing).1)))
    })),
};

/// The framing `json:`, and its name.
pub fn json_values(options: &FramingOptions) -> (&'static str, Framing) {
    (JSON.name(), Framing::Direct(Box::new(JsonValues(*options))))
}

struct JsonValues(FramingOptions);

impl Transform<ByteEnd, MessageEnd> for JsonValues {
    fn apply<'a>(&'a self, inner: ByteEnd, _: &'a mut ConnectContext) -> BoxFuture<'a, Result<MessageEnd, Error>> {
        Box::pin(async move { Ok(JsonValueCodec::frame(inner, self.0)) })
    }
}
