//! All addresses. Each family is a file; each address is a line in [`TABLE`].

#[cfg(any(test, not(target_os = "linux")))]
mod absent;
#[cfg(target_os = "linux")]
mod abstract_names;
mod assert;
mod cgi;
#[cfg_attr(windows, path = "children_windows.rs")]
mod children;
mod devices;
mod exec_dir;
mod file;
mod http;
#[cfg(unix)]
mod inetd;
mod literal;
mod mirror;
#[cfg(unix)]
mod open;
mod process;
mod progress;
#[cfg(unix)]
mod pty;
mod replay;
#[cfg(target_os = "linux")]
mod seqpacket;
#[cfg(unix)]
mod socket_activation;
mod stdio;
mod tcp;
#[cfg(feature = "term")]
mod term;
mod terminal_output;
mod tls;
mod udp;
mod udp_server;
#[cfg(unix)]
mod unix;
#[cfg(target_os = "linux")]
mod unix_datagram;
mod unsupported;
mod websocket;
#[cfg(unix)]
mod websocket_unix;

#[cfg(not(target_os = "linux"))]
use absent::{abstract_names, seqpacket, unix_datagram};
#[cfg(not(unix))]
use absent::{inetd, open, socket_activation, unix, websocket_unix};

pub use process::{end_all as end_children, kill_all as kill_children};
pub use stdio::stdio;
pub use tcp::listen as tcp_listener;
#[cfg(feature = "term")]
pub use term::interactive;
pub use websocket::listener as websocket_listener;

use crate::endpoint::Entry;

/// All addresses, in the order of the manual.
pub static TABLE: &[&Entry] = &[
    &websocket::WS,
    &websocket::WSS,
    &websocket_unix::CONNECT,
    &websocket::WS_LISTEN,
    &websocket::WSS_LISTEN,
    &websocket_unix::LISTEN,
    &abstract_names::WS_LISTEN,
    &inetd::WS,
    &stdio::STDIO,
    #[cfg(all(feature = "term", unix))]
    &term::TERM,
    #[cfg(all(feature = "term", not(unix)))]
    &absent::TERM,
    &inetd::INETD,
    &http::HTTP,
    &tcp::CONNECT,
    &tcp::LISTEN,
    &tls::LISTEN,
    &udp::CONNECT,
    &udp::LISTEN,
    &udp_server::SERVER,
    &unix::CONNECT,
    &unix::LISTEN,
    &abstract_names::CONNECT,
    &abstract_names::LISTEN,
    &unix_datagram::UNIX,
    &unix_datagram::ABSTRACT,
    &seqpacket::CONNECT,
    &seqpacket::LISTEN,
    &socket_activation::TCP,
    &socket_activation::UNIX,
    &process::EXEC,
    &process::SHELL,
    &exec_dir::EXEC_DIR,
    &file::READ,
    &file::WRITE,
    &file::APPEND,
    &replay::REPLAY,
    &open::PATH,
    &open::DESCRIPTOR,
    &mirror::MIRROR,
    &literal::LITERAL,
    &literal::LITERAL_REPLY,
    &devices::LITERAL_BASE64,
    &devices::NULL,
    &devices::EMPTY,
    &devices::ZERO,
    &devices::RANDOM,
    &devices::CLOGGED,
    &assert::ASSERT,
    &unsupported::HTTPS,
    &unsupported::VSOCK,
    &unsupported::NAMED_PIPE,
    &unsupported::INTERNAL,
];
