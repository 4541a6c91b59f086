//! Every address: a file for each family, a line each in [`TABLE`].

mod file;
mod handed_over;
mod later;
mod literal;
mod mirror;
mod process;
mod stdio;
mod tcp;
mod tls;
mod unix;
mod websocket;

pub use stdio::stdio;
pub use tcp::listen as tcp_listener;
pub use websocket::listener as websocket_listener;

use crate::endpoint::Entry;

/// All addresses, in the order of the manual.
pub static TABLE: &[&Entry] = &[
    &websocket::WS,
    &websocket::WSS,
    &websocket::WS_UNIX,
    &websocket::WS_LISTEN,
    &websocket::WSS_LISTEN,
    &websocket::WS_LISTEN_UNIX,
    &stdio::STDIO,
    &tcp::CONNECT,
    &tcp::LISTEN,
    &tls::LISTEN,
    &unix::CONNECT,
    &unix::LISTEN,
    &handed_over::TCP,
    &handed_over::UNIX,
    &process::EXEC,
    &process::SHELL,
    &file::READ,
    &file::WRITE,
    &file::APPEND,
    &mirror::MIRROR,
    &literal::LITERAL,
    &literal::LITERAL_REPLY,
    &later::HTTP,
    &later::INETD,
    &later::INETD_WS,
    &later::UDP,
    &later::UNIX_DATAGRAM,
    &later::ABSTRACT,
    &later::SEQPACKET,
    &later::ACCEPT_FROM_FD,
    &later::OPEN,
    &later::TOYS,
    &later::VSOCK,
    &later::NAMED_PIPE,
    &later::INTERNAL,
];
