//! `tls-l:`, and the TLS below `wss:` and `wss-l:`. `tls:` itself is an overlay, which takes a bare `HOST:PORT` too.

use super::tcp;
use crate::{
    config::Config,
    error::Error,
    net::HostPort,
    overlay,
    plan::Stack,
    registry::{Build, Entry},
};
use std::sync::Arc;

pub(super) static LISTEN: Entry = Entry {
    names: &["tls-listen", "ssl-listen", "tls-l", "ssl-l", "l-tls", "l-ssl", "listen-tls", "listen-ssl"],
    arg: Some("[ADDR:]PORT"),
    summary: "Accept TLS connections",
    details: "The same as tls-a:tcp-l:[ADDR:]PORT. Needs --cert and --key, or --self-signed.",
    example: "tls-l:127.0.0.1:8443 mirror: --self-signed",
    flags: &["cert", "key", "self-signed", "client-ca"],
    build: Build::Address(listen_stack),
};

/// TLS over a TCP connection.
pub(super) fn connect_stack(at: &HostPort, config: &Arc<Config>) -> Result<Stack, Error> {
    let stack = tcp::connect_stack(at, config);
    let layer = overlay::tls_connect(&stack, config)?;
    stack.with("tls", layer)
}

/// TLS over a TCP listener.
pub(super) fn listen_stack(arg: &str, config: &Arc<Config>) -> Result<Stack, Error> {
    tcp::listen_stack(arg)?.with("tls-accept", overlay::tls_accept(config)?)
}
