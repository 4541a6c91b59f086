//! Unix sockets in the abstract namespace of Linux.

use super::{
    unix::{connect, listen},
    websocket::server_over,
};
use crate::endpoint::{Build, Entry, Listens, ListensAt};

pub(super) static CONNECT: Entry = Entry {
    names: &["abstract", "abstract-connect", "connect-abstract", "abstract-c", "c-abstract"],
    arg: Some("NAME"),
    summary: "Connect to a unix socket in the abstract namespace of Linux",
    details: "As unix:@NAME.",
    example: "- abstract:server",
    flags: &[],
    build: Build::Dial(|arg, _| Ok(connect(&format!("@{arg}")).into())),
};

pub(super) static LISTEN: Entry = Entry {
    names: &["abstract-listen", "listen-abstract", "abstract-l", "l-abstract"],
    arg: Some("NAME"),
    summary: "Accept connections on a unix socket in the abstract namespace of Linux",
    details: "As unix-listen:@NAME.",
    example: "ws-u:abstract-l:server mirror:",
    flags: &[&["oneshot", "conncap", "stdout-announce-listening-ports"]],
    build: Build::Listen(
        |arg, config| Ok(listen(&format!("@{arg}"), config).into()),
        Listens { at: ListensAt::AbstractName, tls: false, http: false },
    ),
};

pub(super) static WS_LISTEN: Entry = Entry {
    names: &["l-ws-abstract"],
    arg: Some("NAME"),
    summary: "Accept WebSocket connections on a unix socket in the abstract namespace of Linux",
    details: "Same as ws-u:abstract-l:NAME.",
    example: "l-ws-abstract:server mirror:",
    flags: &[],
    build: Build::Listen(
        |arg, config| Ok(server_over(listen(&format!("@{arg}"), config), config)),
        Listens { at: ListensAt::AbstractName, tls: false, http: true },
    ),
};
