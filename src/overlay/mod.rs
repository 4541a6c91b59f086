//! All overlays. Each is a file and a line in [`TABLE`].

mod autoreconnect;
mod chunks;
mod http_connect;
mod lines;
mod log;
mod reuse;
mod socks5;
mod tls;
mod unsupported;
mod websocket;

pub use chunks::chunks;
pub use http_connect::http_connect;
pub use lines::lines;
pub use reuse::reuse;
pub use socks5::socks5_connect;
pub use tls::{ByteLayer, tls_accept, tls_connect, tls_connect_to};
pub use websocket::{ws_connect, ws_upgrade};

use crate::endpoint::Entry;

/// All overlays, in the order of the manual.
pub static TABLE: &[&Entry] = &[
    &websocket::CONNECT,
    &websocket::UPGRADE,
    &tls::CONNECT,
    &tls::ACCEPT,
    &socks5::CONNECT,
    &socks5::BIND,
    &lines::LINES,
    &chunks::CHUNKS,
    &reuse::REUSE,
    &autoreconnect::AUTORECONNECT,
    &log::LOG,
    &unsupported::LOW_LEVEL,
    &unsupported::FRAMINGS,
    &unsupported::REUSE_RAW,
    &unsupported::WAIT,
    &unsupported::MESSAGES,
    &unsupported::HTTP,
    &unsupported::METRICS,
    &unsupported::CRYPTO,
];
