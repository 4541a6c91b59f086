//! `ws://`, `wss://` and the WebSocket listeners: a transport with `ws-c:` or `ws-u:` around it.

use super::{tcp, tls, unix};
use crate::{
    config::Config,
    error::Error,
    net::HostPort,
    overlay,
    plan::Stack,
    registry::{Build, Entry},
    ws::Target,
};
use std::sync::Arc;
use url::Url;

pub(super) static WS: Entry = Entry {
    names: &["ws"],
    arg: Some("//HOST[:PORT][/PATH]"),
    summary: "Connect to a WebSocket",
    details: "Also written as a bare HOST:PORT/PATH. USER:PASSWORD@ in front of the host becomes a Basic Authorization \
              header. When the other end is a listening WebSocket, its client's subprotocols are offered, and a URL \
              without a path asks for the client's path and query.",
    example: "ws://127.0.0.1:8080/chat",
    flags: &["header", "origin", "protocol", "ua", "basic-auth", "connect-timeout", "deflate"],
    build: Build::Address(|arg, config| client("ws", arg, config)),
};

pub(super) static WSS: Entry = Entry {
    names: &["wss"],
    arg: Some("//HOST[:PORT][/PATH]"),
    summary: "Connect to a WebSocket over TLS",
    details: "The certificate must be valid for HOST (or --tls-domain) and signed by an authority that the system, or \
              --cacert, trusts. Otherwise as ws:.",
    example: "wss://example.com/chat",
    flags: &["cacert", "insecure", "tls-domain", "client-cert", "client-key"],
    build: Build::Address(|arg, config| client("wss", arg, config)),
};

pub(super) static WS_UNIX: Entry = Entry {
    names: &["ws+unix"],
    arg: Some("PATH[:/URI]"),
    summary: "Connect to a WebSocket on a unix socket",
    details: "PATH is the socket, URI the path that is asked for. The same as ws-c:unix:PATH --ws-c-uri ws://localhost/URI.",
    example: "ws+unix:/tmp/server.sock:/chat",
    flags: &["header", "origin", "protocol"],
    build: Build::Address(|arg, config| {
        let (path, uri) = match arg.rsplit_once(":/") {
            Some((path, uri)) => (path, format!("/{uri}")),
            None => (arg, "/".to_owned()),
        };
        let url = websocket_url(&format!("ws://localhost{uri}")).map_err(Error::usage)?;
        let target = Target { path_was_given: arg.contains(":/"), url };
        let stack = unix::connect_stack(path);
        let layer = overlay::ws_connect(target, config, &format!("ws+unix:{arg}"))?;
        stack.titled(format_args!("ws+unix:{arg}")).with("ws-connect", layer)
    }),
};

pub(super) static WS_LISTEN: Entry = Entry {
    names: &["ws-listen", "ws-l", "l-ws", "listen-ws"],
    arg: Some("[ADDR:]PORT"),
    summary: "Serve WebSockets",
    details: "Any number of clients at once, at any path (--restrict-uri), each with an end of its own on the right. A \
              port alone listens on 127.0.0.1; port 0 takes any free port. Requests that ask for no upgrade get a file \
              (-F) or 426. The same as ws-u:tcp-l:[ADDR:]PORT.",
    example: "ws-l:127.0.0.1:1234 mirror:",
    flags: &["server-protocol", "server-header", "restrict-uri", "static-file", "oneshot", "conncap", "deflate"],
    build: Build::Address(|arg, config| {
        let stack = tcp::listen_stack(arg)?;
        let title = stack.title().replace("tcp-listen:", "ws-listen:");
        stack.titled(title).with("ws-upgrade", overlay::ws_upgrade(config))
    }),
};

pub(super) static WSS_LISTEN: Entry = Entry {
    names: &["wss-listen", "wss-l", "l-wss", "listen-wss"],
    arg: Some("[ADDR:]PORT"),
    summary: "Serve WebSockets over TLS",
    details: "Needs --cert and --key, or --self-signed. Otherwise as ws-listen:. The same as ws-u:tls-a:tcp-l:[ADDR:]PORT.",
    example: "wss-l:127.0.0.1:1234 mirror: --self-signed",
    flags: &["cert", "key", "self-signed", "client-ca"],
    build: Build::Address(|arg, config| {
        let stack = tls::listen_stack(arg, config)?;
        let title = stack.title().replace("tcp-listen:", "wss-listen:");
        stack.titled(title).with("ws-upgrade", overlay::ws_upgrade(config))
    }),
};

pub(super) static WS_LISTEN_UNIX: Entry = Entry {
    names: &["l-ws-unix"],
    arg: Some("PATH"),
    summary: "Serve WebSockets on a unix socket",
    details: "The same as ws-u:unix-l:PATH; for a reverse proxy on the same machine.",
    example: "l-ws-unix:/tmp/server.sock mirror:",
    flags: &["unlink"],
    build: Build::Address(|arg, config| {
        unix::listen_stack(arg, config).with("ws-upgrade", overlay::ws_upgrade(config))
    }),
};

fn client(scheme: &str, arg: &str, config: &Arc<Config>) -> Result<Stack, Error> {
    let text = format!("{scheme}://{}", arg.strip_prefix("//").unwrap_or(arg));
    let wrong = |reason| Error::Argument { reason, example: format!("{scheme}://example.com/chat") };
    let url = websocket_url(&text).map_err(wrong)?;
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let at = HostPort { host, port: url.port_or_known_default().unwrap_or(80) };
    // A URL without even a slash behind the host passes on the path that a client asked us for, as nginx's
    // proxy_pass does.
    let path_was_given = text.splitn(4, '/').nth(3).is_some() || text.contains('?');
    let shown = without_password(&url);
    let stack = if scheme == "wss" { tls::connect_stack(&at, config)? } else { tcp::connect_stack(&at, config) };
    let layer = overlay::ws_connect(Target { url, path_was_given }, config, &shown)?;
    stack.titled(&shown).with("ws-connect", layer)
}

/// Parses a `ws://` or `wss://` URL. The error is a reason without the URL.
pub fn websocket_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "ws" | "wss") {
        return Err("the scheme must be ws or wss".into());
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("the host is missing".into());
    }
    if url.port() == Some(0) {
        return Err("port 0 cannot be connected to".into());
    }
    if url.fragment().is_some() {
        // RFC 6455 section 3.
        return Err("a WebSocket URL has no fragment; write %23 for #".into());
    }
    Ok(url)
}

/// The URL as it may be shown and logged.
fn without_password(url: &Url) -> String {
    let mut shown = url.clone();
    if shown.password().is_some() {
        let _ = shown.set_password(Some("…"));
    }
    shown.to_string().replace("%E2%80%A6", "…")
}
