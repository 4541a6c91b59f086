//! `ws-c:` and `ws-u:`: WebSocket over any byte stream.

use crate::{
    config::Config,
    endpoint::{
        Adds, Build, ConnectContext, Entry, Framing, Layer, Overlay, OverlayRow, PendingUpgrade, Receive, Transform,
        UpgradeRequest,
    },
    error::Error,
    flow::{BoxFuture, ByteEnd, ControlObserver, EndKind, MessageEnd, PingTimes},
    http,
    net::{Peer, WebSocketUrl},
    payload::PayloadStream,
    report,
    ws::{self, FrameLog, Upgraded, WebSocket},
};
use std::sync::{Arc, Mutex, PoisonError};

/// Options of the opening handshake of a client.
pub const CLIENT: &[&str] = &[
    "header",
    "cookie",
    "forward-header",
    "origin",
    "protocol",
    "ua",
    "basic-auth",
    "basic-auth-file",
    "websocket-version",
];

/// Options of the opening handshake of a server.
pub const SERVER: &[&str] = &[
    "server-protocol",
    "server-header",
    "restrict-uri",
    "static-file",
    "staticdir",
    "max-url-length",
    "max-header-length",
    "allow-origin",
    "same-origin",
    "require-basic-auth",
    "require-token",
];

/// Options of the payloads of messages.
pub const PAYLOADS: &[&str] = &[
    "base64",
    "base64-text",
    "text-prefix",
    "binary-prefix",
    "compress-gzip",
    "compress-zlib",
    "compress-deflate",
    "uncompress-gzip",
    "uncompress-zlib",
    "uncompress-deflate",
    "websocket-ignore-zeromsg",
];

/// Options of pings and pongs.
pub const PINGS: &[&str] = &["ping-interval", "ping-timeout", "print-ping-rtts", "max-sent-pings", "inhibit-pongs"];

/// Options of frames, messages and their compression.
pub const FRAMES: &[&str] = &[
    "close-status-code",
    "close-reason",
    "max-ws-message-length",
    "max-ws-frame-length",
    "message-timeout",
    "deflate",
    "deflate-level",
    "deflate-window-bits",
    "deflate-no-context-takeover",
    "deflate-threshold",
];

pub(super) static CONNECT: Entry = Entry {
    names: &["ws-connect", "ws-c", "c-ws", "connect-ws"],
    arg: None,
    summary: "WebSocket, client side",
    details: "Over any transport. --ws-c-uri is the URL to request.",
    example: "- ws-c:tls-c:tcp:127.0.0.1:8443 --ws-c-uri wss://example.com/chat",
    flags: &[&["ws-c-uri", "slash", "show-ping-pong"], CLIENT, PAYLOADS, PINGS, FRAMES],
    build: Build::Overlay(OverlayRow::new(|inner, config| {
        let url = match &config.client.ws_c_uri {
            Some(url) => url.clone(),
            None => WebSocketUrl::parse("ws://localhost/").map_err(Error::usage)?,
        };
        let url = url.shown_as(&inner.about.title);
        Ok(Overlay::Around(Layer::Framing(ws_connect(url, config))))
    })),
};

pub(super) static UPGRADE: Entry = Entry {
    names: &["ws-upgrade", "ws-u", "u-ws", "upgrade-ws"],
    arg: None,
    summary: "WebSocket, server side",
    details: "Over any transport, such as a unix socket behind a reverse proxy.",
    example: "ws-u:unix-l:/tmp/server.sock mirror:",
    flags: &[&["slash", "show-ping-pong"], SERVER, PAYLOADS, PINGS, FRAMES],
    build: Build::Overlay(
        OverlayRow::new(|_, config| Ok(Overlay::Around(Layer::Framing(ws_upgrade(config))))).adding(Adds::Http),
    ),
};

/// A WebSocket client that requests this URL.
pub fn ws_connect(url: WebSocketUrl, config: &Arc<Config>) -> Framing {
    Framing::Direct(Box::new(Connect { name: url.to_string().into(), url, config: config.clone() }))
}

/// A WebSocket server.
pub fn ws_upgrade(config: &Arc<Config>) -> Framing {
    Framing::Upgrade(Box::new(Upgrade { config: config.clone() }))
}

/// A WebSocket after its opening handshake.
pub(super) fn open(upgraded: Upgraded, role: ws::Role, config: &Config) -> MessageEnd {
    let name = || upgraded.end.name.clone();
    let log = if report::shows_frames() {
        Some(FrameLog::new(name(), |mark, peer, text| report::frame(mark, peer, text)))
    } else {
        config
            .websocket
            .shows_control
            .then(|| FrameLog::of_control(name(), |mark, peer, text| report::traffic(mark, peer, text)))
    };
    let mut end = WebSocket::open(upgraded, role, &config.websocket, log);
    if config.websocket.logs_round_trips {
        end.io.observe_control(round_trip_log());
    }
    PayloadStream::wrap(end, &config.payload)
}

/// Logs the time between each ping and its pong.
fn round_trip_log() -> ControlObserver {
    let pings: Mutex<PingTimes> = Mutex::default();
    Arc::new(move |transfer, frame| {
        let round_trip = pings.lock().unwrap_or_else(PoisonError::into_inner).observe(transfer, frame);
        if let Some(time) = round_trip {
            report::notice(format_args!("RTT {}.{:06} s", time.as_secs(), time.subsec_micros()));
        }
    })
}

struct Connect {
    url: WebSocketUrl,
    name: Arc<str>,
    config: Arc<Config>,
}

impl Transform<ByteEnd, MessageEnd> for Connect {
    fn apply<'a>(
        &'a self,
        mut inner: ByteEnd,
        context: &'a mut ConnectContext,
    ) -> BoxFuture<'a, Result<MessageEnd, Error>> {
        Box::pin(async move {
            context.stage = format!("waiting for {} to answer the WebSocket handshake", self.name);
            inner.name = self.name.clone();
            let request = context.request.as_deref();
            let (upgraded, subprotocol) =
                http::client_handshake::upgrade(inner, &self.url, &self.config, request).await?;
            Ok(MessageEnd { subprotocol, ..open(upgraded, ws::Role::Client, &self.config) })
        })
    }

    fn kind(&self, _: EndKind) -> EndKind {
        EndKind::WebSocket
    }
}

struct Upgrade {
    config: Arc<Config>,
}

impl Receive for Upgrade {
    fn receive<'a>(&'a self, inner: ByteEnd, peer: &'a Peer) -> BoxFuture<'a, Result<Box<dyn PendingUpgrade>, Error>> {
        Box::pin(async move {
            let pending = http::receive(inner, peer, &self.config).await?;
            Ok(Box::new(Pending { pending, config: self.config.clone() }) as Box<dyn PendingUpgrade>)
        })
    }
}

struct Pending {
    pending: http::PendingUpgrade,
    config: Arc<Config>,
}

impl PendingUpgrade for Pending {
    fn request(&self) -> &Arc<UpgradeRequest> {
        self.pending.request()
    }

    fn left(&mut self) -> BoxFuture<'_, Error> {
        Box::pin(self.pending.left())
    }

    fn accept(self: Box<Self>, far: Option<&MessageEnd>) -> BoxFuture<'static, Result<MessageEnd, Error>> {
        let protocol = http::choose_protocol(&self.pending.request().protocols, far, &self.config.server);
        Box::pin(async move {
            let upgraded = self.pending.accept(protocol).await?;
            Ok(open(upgraded, ws::Role::Server, &self.config))
        })
    }

    fn refuse<'a>(self: Box<Self>, error: &'a Error) -> BoxFuture<'a, ()> {
        Box::pin(self.pending.refuse(error))
    }
}
