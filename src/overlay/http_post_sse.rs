//! `http-post-sse:`, messages for clients that speak only HTTP.

use crate::{
    config::Config,
    endpoint::{Build, ConnectContext, Entry, Framing, Layer, Overlay, OverlayRow, Transform},
    error::Error,
    flow::{BoxFuture, ByteEnd, EndKind, MessageEnd},
    http,
};
use std::sync::Arc;

pub(super) static HTTP_POST_SSE: Entry = Entry {
    names: &["http-post-sse"],
    arg: None,
    summary: "Messages by HTTP: GET receives server-sent events, POST sends its body",
    details: "In front of a listener, for clients without WebSockets. Each request is a session: the body of a POST \
              request is one message, a text message if it is UTF-8 unless -b is given; a GET request receives all \
              messages as events, which are text. With reuse: in front of the second address, both belong to one \
              connection.",
    example: "http-post-sse:tcp-l:127.0.0.1:8080 reuse:ws://127.0.0.1:8081/",
    flags: &[&[
        "max-url-length",
        "max-header-length",
        "max-ws-message-length",
        "message-timeout",
        "allow-origin",
        "same-origin",
        "require-basic-auth",
        "require-token",
    ]],
    build: Build::Overlay(OverlayRow::new(|_, config| {
        let framing = Framing::Direct(Box::new(HttpPostSse { config: config.clone() }));
        Ok(Overlay::Around(Layer::Framing(framing)))
    })),
};

struct HttpPostSse {
    config: Arc<Config>,
}

impl Transform<ByteEnd, MessageEnd> for HttpPostSse {
    fn apply<'a>(&'a self, inner: ByteEnd, _: &'a mut ConnectContext) -> BoxFuture<'a, Result<MessageEnd, Error>> {
        Box::pin(http::receive_events(inner, &self.config))
    }

    fn kind(&self, _: EndKind) -> EndKind {
        EndKind::Peer
    }
}
