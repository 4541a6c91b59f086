//! `ws://`, `wss://` and the WebSocket listeners. Each is a transport with the overlay `ws-c:` or `ws-u:`.

use super::{tcp, tls};
use crate::{
    config::Config,
    endpoint::{
        Build, ByteEndpoint, ConnectContext, Dial, Dialled, Endpoint, Entry, Layers, Listening, Listens, ListensAt,
        MessageEndpoint, MessageStack,
    },
    error::Error,
    flow::{BoxFuture, EndKind, MessageEnd},
    net::{HostPort, WebSocketUrl},
    overlay, report,
};
use std::sync::Arc;

pub(super) static WS: Entry = Entry {
    names: &["ws"],
    arg: Some("//HOST[:PORT][/PATH]"),
    summary: "Connect to a WebSocket server",
    details: "A bare HOST:PORT/PATH is a ws:// URL. USER:PASSWORD@ before the host sets the Authorization header for \
              Basic authentication. If the other end is a listening WebSocket, wsplice offers the subprotocols that \
              its client offers and, if the URL has no path, requests the path and query that the client requests.",
    example: "ws://127.0.0.1:8080/chat",
    flags: &[
        &["follow", "max-redirects", "connect-timeout"],
        overlay::CLIENT,
        tcp::PROXIES,
        overlay::PAYLOADS,
        overlay::PINGS,
        overlay::FRAMES,
    ],
    build: Build::Dial(|arg, config| client("ws", arg, config)),
};

pub(super) static WSS: Entry = Entry {
    names: &["wss"],
    arg: Some("//HOST[:PORT][/PATH]"),
    summary: "Connect to a WebSocket server over TLS",
    details: "As ws:. The certificate must be valid for HOST (or --tls-domain) and signed by a CA that the system, or \
              --cacert, trusts.",
    example: "wss://example.com/chat",
    flags: &[
        &["follow", "max-redirects", "cacert", "insecure", "tls-domain", "client-cert", "client-key"],
        tcp::PROXIES,
    ],
    build: Build::Dial(|arg, config| client("wss", arg, config)),
};

pub(super) static WS_LISTEN: Entry = Entry {
    names: &["ws-listen", "ws-l", "l-ws", "listen-ws"],
    arg: Some("[ADDR:]PORT"),
    summary: "Accept WebSocket connections",
    details: "Accepts any number of clients at once, at any path (unless --restrict-uri), and opens ADDR2 once per \
              client. Without ADDR, listens on 127.0.0.1. Port 0 selects any free port. A request that is not an \
              opening handshake gets a file (-F) or 426. Same as ws-u:tcp-l:[ADDR:]PORT.",
    example: "ws-l:127.0.0.1:1234 mirror:",
    flags: &[&["oneshot", "conncap"], overlay::SERVER, overlay::PAYLOADS, overlay::PINGS, overlay::FRAMES],
    build: Build::Listen(
        |arg, config| Ok(listener(&tcp::parse_listen(arg)?, config)),
        Listens { at: ListensAt::Port, tls: false, http: true },
    ),
};

pub(super) static WSS_LISTEN: Entry = Entry {
    names: &["wss-listen", "wss-l", "l-wss", "listen-wss"],
    arg: Some("[ADDR:]PORT"),
    summary: "Accept WebSocket connections over TLS",
    details: "As ws-listen:. Requires --cert and --key, or --self-signed. Same as ws-u:tls-a:tcp-l:[ADDR:]PORT.",
    example: "wss-l:127.0.0.1:1234 mirror: --self-signed",
    flags: &[overlay::SERVER_IDENTITY],
    build: Build::Listen(
        |arg, config| {
            let at = tcp::parse_listen(arg)?;
            Ok(server_over(tls::listen(&at, config)?, config).titled(format_args!("wss-listen:{at}")))
        },
        Listens { at: ListensAt::Port, tls: true, http: true },
    ),
};

/// A WebSocket listener on a TCP port.
pub fn listener(at: &HostPort, config: &Arc<Config>) -> Endpoint<Listening> {
    server_over(tcp::listen(at), config).titled(format_args!("ws-listen:{at}"))
}

pub(super) fn server_over(transport: ByteEndpoint<Listening>, config: &Arc<Config>) -> Endpoint<Listening> {
    transport.frame("ws-upgrade", overlay::ws_upgrade(config)).into()
}

fn client(scheme: &str, arg: &str, config: &Arc<Config>) -> Result<Endpoint<Dialled>, Error> {
    let text = format!("{scheme}://{}", arg.strip_prefix("//").unwrap_or(arg));
    let wrong = |reason| Error::Argument { reason, example: format!("{scheme}://example.com/chat") };
    let url = WebSocketUrl::parse(&text).map_err(wrong)?;
    let endpoint = client_of(&url, config)?;
    if config.client.max_redirects == 0 {
        return Ok(endpoint.into());
    }
    let MessageEndpoint { about, .. } = endpoint;
    let origin: Box<dyn Dial<MessageEnd>> = Box::new(Follow { url, config: config.clone() });
    Ok(MessageEndpoint { about, stack: MessageStack::Native(origin, Layers::default()) }.into())
}

/// A WebSocket client over TCP, or TLS, and the proxy that the options name.
fn client_of(url: &WebSocketUrl, config: &Arc<Config>) -> Result<MessageEndpoint<Dialled>, Error> {
    let connect = if url.scheme() == "wss" { tls::connect } else { tcp::connect };
    let transport = connect(&url.at, Some(url.scheme()), config)?;
    Ok(client_over(transport, url.clone(), config))
}

/// Follows redirects (`--follow`).
struct Follow {
    url: WebSocketUrl,
    config: Arc<Config>,
}

impl Dial<MessageEnd> for Follow {
    fn dial<'a>(&'a self, context: &'a mut ConnectContext) -> BoxFuture<'a, Result<MessageEnd, Error>> {
        Box::pin(async {
            let mut url = self.url.clone();
            let most = self.config.client.max_redirects;
            for _ in 0..most {
                match client_of(&url, &self.config)?.open(context).await {
                    Err(Error::Redirected { location, shown, .. }) => {
                        report::handshake('*', &url.to_string(), format_args!("redirected to {shown}"));
                        url = url.redirected(&location).map_err(Error::usage)?;
                    }
                    opened => return opened,
                }
            }
            client_of(&url, &self.config)?.open(context).await.map_err(|error| match error {
                Error::Redirected { with, .. } => Error::Handshake {
                    with,
                    reason: format!("it is behind more than {most} redirects"),
                    hint: Some("--max-redirects N sets the maximum".into()),
                    refusal: Box::default(),
                },
                other => other,
            })
        })
    }

    fn kind(&self) -> EndKind {
        EndKind::WebSocket
    }

    fn is_remote(&self) -> bool {
        true
    }
}

pub(super) fn client_over(
    transport: ByteEndpoint<Dialled>,
    url: WebSocketUrl,
    config: &Arc<Config>,
) -> MessageEndpoint<Dialled> {
    let title = url.to_string();
    let mut endpoint = transport.frame("ws-connect", overlay::ws_connect(url, config));
    endpoint.about.title = title;
    endpoint
}
