//! `ws-c:` and `ws-u:`: the WebSocket protocol over any byte stream.

use crate::{
    config::Config,
    error::Error,
    flow::{ByteEnd, MessageEnd, Role, Task},
    http,
    plan::Setup,
    registry::{Build, Entry, Overlay, Transform},
    ws::{Side, Target, WebSocket},
};
use std::sync::Arc;

pub(super) static CONNECT: Entry = Entry {
    names: &["ws-connect", "ws-c", "c-ws", "connect-ws"],
    arg: None,
    summary: "Speak WebSocket as the client",
    details: "Over any transport; --ws-c-uri is the URL that is asked for.",
    example: "- ws-c:tls-c:tcp:127.0.0.1:8443 --ws-c-uri wss://example.com/chat",
    flags: &["ws-c-uri", "header", "origin", "protocol", "ua", "basic-auth", "deflate"],
    build: Build::Overlay(|inner, config| {
        let target = Target { url: config.client.ws_c_uri.clone(), path_was_given: true };
        ws_connect(target, config, inner.title())
    }),
};

pub(super) static UPGRADE: Entry = Entry {
    names: &["ws-upgrade", "ws-u", "u-ws", "upgrade-ws"],
    arg: None,
    summary: "Speak WebSocket as the server",
    details: "Over any transport, such as a unix socket behind a reverse proxy.",
    example: "ws-u:unix-l:/tmp/server.sock mirror:",
    flags: &["server-protocol", "server-header", "restrict-uri", "static-file", "deflate"],
    build: Build::Overlay(|_, config| Ok(ws_upgrade(config))),
};

/// A WebSocket client that asks for `target`; errors call it `name`.
pub fn ws_connect(target: Target, config: &Arc<Config>, name: &str) -> Result<Overlay, Error> {
    Ok(Overlay::Framing(Box::new(Connect { target, name: name.into(), config: config.clone() })))
}

/// A WebSocket server.
pub fn ws_upgrade(config: &Arc<Config>) -> Overlay {
    Overlay::Framing(Box::new(Upgrade { config: config.clone() }))
}

struct Connect {
    target: Target,
    name: Arc<str>,
    config: Arc<Config>,
}

impl Transform<ByteEnd, MessageEnd> for Connect {
    fn apply<'a>(&'a self, mut inner: ByteEnd, setup: &'a mut Setup<'_>) -> Task<'a, Result<MessageEnd, Error>> {
        Box::pin(async move {
            setup.stage = format!("waiting for {} to answer the WebSocket handshake", self.name);
            inner.name = self.name.clone();
            let switched = http::client::upgrade(inner, &self.target, &self.config, setup).await?;
            Ok(WebSocket::open(switched, Side::Client, &self.config))
        })
    }

    fn role(&self, _: Role) -> Role {
        Role::WebSocket
    }
}

struct Upgrade {
    config: Arc<Config>,
}

impl Transform<ByteEnd, MessageEnd> for Upgrade {
    fn apply<'a>(&'a self, inner: ByteEnd, setup: &'a mut Setup<'_>) -> Task<'a, Result<MessageEnd, Error>> {
        Box::pin(async move {
            let switched = http::server::upgrade(inner, &self.config, setup).await?;
            Ok(WebSocket::open(switched, Side::Server, &self.config))
        })
    }

    fn role(&self, _: Role) -> Role {
        Role::WebSocket
    }
}
