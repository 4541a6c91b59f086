//! `ws://`, `wss://` and the WebSocket listeners: a transport with `ws-c:` or `ws-u:` around it.

use super::{tcp, tls, unix};
use crate::{
    config::Config,
    endpoint::{Build, ByteEndpoint, Dialled, Endpoint, Entry, Listening, Listens, ListensAt},
    error::Error,
    net::{HostPort, WebSocketUrl},
    overlay,
};
use std::sync::Arc;

pub(super) static WS: Entry = Entry {
    names: &["ws"],
    arg: Some("//HOST[:PORT][/PATH]"),
    summary: "Connect to a WebSocket",
    details: "Also written as a bare HOST:PORT/PATH. USER:PASSWORD@ in front of the host becomes a Basic Authorization \
              header. When the other end is a listening WebSocket, its client's subprotocols are offered, and a URL \
              without a path asks for the client's path and query.",
    example: "ws://127.0.0.1:8080/chat",
    flags: &["header", "origin", "protocol", "ua", "basic-auth", "connect-timeout", "deflate"],
    build: Build::Dial(|arg, config| client("ws", arg, config)),
};

pub(super) static WSS: Entry = Entry {
    names: &["wss"],
    arg: Some("//HOST[:PORT][/PATH]"),
    summary: "Connect to a WebSocket over TLS",
    details: "The certificate must be valid for HOST (or --tls-domain) and signed by an authority that the system, or \
              --cacert, trusts. Otherwise as ws:.",
    example: "wss://example.com/chat",
    flags: &["cacert", "insecure", "tls-domain", "client-cert", "client-key"],
    build: Build::Dial(|arg, config| client("wss", arg, config)),
};

pub(super) static WS_UNIX: Entry = Entry {
    names: &["ws+unix"],
    arg: Some("PATH[:/URI]"),
    summary: "Connect to a WebSocket on a unix socket",
    details: "PATH is the socket, URI the path that is asked for. The same as ws-c:unix:PATH --ws-c-uri ws://localhost/URI.",
    example: "ws+unix:/tmp/server.sock:/chat",
    flags: &["header", "origin", "protocol"],
    build: Build::Dial(|arg, config| {
        let (path, uri) = match arg.rsplit_once(":/") {
            Some((path, uri)) => (path, format!("/{uri}")),
            None => (arg, String::new()),
        };
        let url = WebSocketUrl::parse(&format!("ws://localhost{uri}")).map_err(Error::usage)?;
        Ok(client_over(unix::connect(path), url.shown_as(format!("ws+unix:{arg}")), config))
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
    build: Build::Listen(
        |arg, config| Ok(listener(&tcp::parse_listen(arg)?, config)),
        Listens { at: ListensAt::Port, tls: false, http: true },
    ),
};

pub(super) static WSS_LISTEN: Entry = Entry {
    names: &["wss-listen", "wss-l", "l-wss", "listen-wss"],
    arg: Some("[ADDR:]PORT"),
    summary: "Serve WebSockets over TLS",
    details: "Needs --cert and --key, or --self-signed. Otherwise as ws-listen:. The same as ws-u:tls-a:tcp-l:[ADDR:]PORT.",
    example: "wss-l:127.0.0.1:1234 mirror: --self-signed",
    flags: &["cert", "key", "self-signed", "client-ca"],
    build: Build::Listen(
        |arg, config| {
            let at = tcp::parse_listen(arg)?;
            Ok(server_over(tls::listen(&at, config)?, config).titled(format_args!("wss-listen:{at}")))
        },
        Listens { at: ListensAt::Port, tls: true, http: true },
    ),
};

pub(super) static WS_LISTEN_UNIX: Entry = Entry {
    names: &["l-ws-unix"],
    arg: Some("PATH"),
    summary: "Serve WebSockets on a unix socket",
    details: "The same as ws-u:unix-l:PATH; for a reverse proxy on the same machine.",
    example: "l-ws-unix:/tmp/server.sock mirror:",
    flags: &["unlink"],
    build: Build::Listen(
        |arg, config| Ok(server_over(unix::listen(arg, config), config)),
        Listens { at: ListensAt::Path, tls: false, http: true },
    ),
};

/// A WebSocket listener on a TCP port.
pub fn listener(at: &HostPort, config: &Arc<Config>) -> Endpoint<Listening> {
    server_over(tcp::listen(at), config).titled(format_args!("ws-listen:{at}"))
}

fn server_over(transport: ByteEndpoint<Listening>, config: &Arc<Config>) -> Endpoint<Listening> {
    transport.frame("ws-upgrade", overlay::ws_upgrade(config)).into()
}

fn client(scheme: &str, arg: &str, config: &Arc<Config>) -> Result<Endpoint<Dialled>, Error> {
    let text = format!("{scheme}://{}", arg.strip_prefix("//").unwrap_or(arg));
    let wrong = |reason| Error::Argument { reason, example: format!("{scheme}://example.com/chat") };
    let url = WebSocketUrl::parse(&text).map_err(wrong)?;
    let transport = if scheme == "wss" { tls::connect(&url.at, config)? } else { tcp::connect(&url.at, config) };
    Ok(client_over(transport, url, config))
}

fn client_over(transport: ByteEndpoint<Dialled>, url: WebSocketUrl, config: &Arc<Config>) -> Endpoint<Dialled> {
    let title = url.to_string();
    let endpoint: Endpoint<_> = transport.frame("ws-connect", overlay::ws_connect(url, config)).into();
    endpoint.titled(title)
}
