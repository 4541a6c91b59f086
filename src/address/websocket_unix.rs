//! WebSockets over unix sockets.

use super::{
    unix,
    websocket::{client_over, server_over},
};
use crate::{
    endpoint::{Build, Entry, Listens, ListensAt},
    error::Error,
    net::WebSocketUrl,
    overlay,
};

pub(super) static CONNECT: Entry = Entry {
    names: &["ws+unix"],
    arg: Some("PATH[:/URI]"),
    summary: "Connect to a WebSocket server on a unix socket",
    details: "PATH is the path of the socket, URI the path to request. Same as ws-c:unix:PATH --ws-c-uri \
              ws://localhost/URI.",
    example: "ws+unix:/tmp/server.sock:/chat",
    flags: &[overlay::CLIENT, overlay::PAYLOADS, overlay::PINGS, overlay::FRAMES],
    build: Build::Dial(|arg, config| {
        let (path, uri) = match arg.rsplit_once(":/") {
            Some((path, uri)) => (path, format!("/{uri}")),
            None => (arg, String::new()),
        };
        let url = WebSocketUrl::parse(&format!("ws://localhost{uri}")).map_err(Error::usage)?;
        Ok(client_over(unix::connect(path), url.shown_as(format!("ws+unix:{arg}")), config).into())
    }),
};

pub(super) static LISTEN: Entry = Entry {
    names: &["l-ws-unix"],
    arg: Some("PATH"),
    summary: "Accept WebSocket connections on a unix socket",
    details: "Same as ws-u:unix-l:PATH, for a reverse proxy on the same machine.",
    example: "l-ws-unix:/tmp/server.sock mirror:",
    flags: &[&["unlink", "chmod", "accept-from-fd"]],
    build: Build::Listen(
        |arg, config| Ok(server_over(unix::listen(arg, config), config)),
        Listens { at: ListensAt::Path, tls: false, http: true },
    ),
};
