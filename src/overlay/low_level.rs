//! `ws-lowlevel-client:` and `ws-lowlevel-server:`: WebSocket frames without the opening handshake.

use super::websocket::{PAYLOADS, PINGS, open};
use crate::{
    config::Config,
    endpoint::{Build, ConnectContext, Entry, Framing, Layer, Overlay, OverlayRow, Transform},
    error::Error,
    flow::{BoxFuture, ByteEnd, EndKind, MessageEnd},
    ws::{Role, Upgraded},
};
use std::sync::Arc;

pub(super) static CLIENT: Entry = Entry {
    names: &["ws-lowlevel-client", "ws-ll-client", "ws-ll-c"],
    arg: None,
    summary: "WebSocket frames without the opening handshake, client side",
    details: "For connections whose handshake was done elsewhere, or that need none. There is no compression.",
    example: "- ws-ll-c:tcp:127.0.0.1:8080",
    flags: &[&["max-ws-message-length", "max-ws-frame-length"], PAYLOADS, PINGS],
    build: Build::Overlay(OverlayRow::new(|_, config| Ok(low_level(Role::Client, config))).over_tcp()),
};

pub(super) static SERVER: Entry = Entry {
    names: &["ws-lowlevel-server", "ws-ll-server", "ws-ll-s"],
    arg: None,
    summary: "WebSocket frames without the opening handshake, server side",
    details: "As ws-lowlevel-client:, for the side whose frames are not masked.",
    example: "ws-ll-s:tcp-l:127.0.0.1:8080 mirror:",
    flags: &[&["max-ws-message-length", "max-ws-frame-length"], PAYLOADS, PINGS],
    build: Build::Overlay(OverlayRow::new(|_, config| Ok(low_level(Role::Server, config)))),
};

fn low_level(role: Role, config: &Arc<Config>) -> Overlay {
    Overlay::Around(Layer::Framing(Framing::Direct(Box::new(LowLevel { role, config: config.clone() }))))
}

struct LowLevel {
    role: Role,
    config: Arc<Config>,
}

impl Transform<ByteEnd, MessageEnd> for LowLevel {
    fn apply<'a>(&'a self, end: ByteEnd, _: &'a mut ConnectContext) -> BoxFuture<'a, Result<MessageEnd, Error>> {
        Box::pin(async { Ok(open(Upgraded { end, early: Vec::new(), deflate: None }, self.role, &self.config)) })
    }

    fn kind(&self, _: EndKind) -> EndKind {
        EndKind::WebSocket
    }
}
